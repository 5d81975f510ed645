//! What S3 answered, without what must not be told: keys of exports are secrets, and an SDK error holds the whole
//! answer, key included. So the error that leaves this room is made of words of ours, a status and a code.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use calmesh_app::ports::ObjectError;

/// A failure told by operation (`PutObject`) and object (`an export`), and no cause attached.
pub(crate) fn failure<E>(operation: &str, noun: &str, error: &SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata,
{
    let how = match error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().filter(|code| is_code(code)).unwrap_or("no code");
            let status = refusal.raw().status().as_u16();
            match refusal.err().meta().request_id().filter(|id| is_code(id)) {
                Some(id) => format!("was answered {status} {code}, request {id}"),
                None => format!("was answered {status} {code}"),
            }
        }
        SdkError::TimeoutError(_) => "was not answered in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "was not answered in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_io() => "could not be sent: no connection".to_owned(),
        SdkError::DispatchFailure(_) => {
            "could not be sent: is the region set, are there credentials, is the endpoint right?".to_owned()
        }
        SdkError::ConstructionFailure(_) => "could not be made".to_owned(),
        SdkError::ResponseError(refusal) => {
            format!("was answered {} with what could not be read", refusal.raw().status().as_u16())
        }
        _ => "failed".to_owned(),
    };
    told(operation, noun, &how)
}

pub(crate) fn told(operation: &str, noun: &str, how: &str) -> ObjectError {
    ObjectError { what: format!("{operation} of {noun} {how}"), source: None }
}

/// Codes and request ids come from the other side: only what looks like one is repeated.
fn is_code(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_.".contains(&byte))
}

/// The status and code of a refusal.
pub(crate) fn refusal<E>(error: &SdkError<E, HttpResponse>) -> Option<(u16, Option<&str>)>
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::ServiceError(refusal) => Some((refusal.raw().status().as_u16(), refusal.err().code())),
        _ => None,
    }
}
