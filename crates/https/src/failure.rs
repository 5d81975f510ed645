//! How a call of AWS failed, in words that may be told. An SDK's error holds the whole answer, and that may repeat a key,
//! a link's name or a secret; so what leaves is made of words of ours, a status, a code and the request's id.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

/// What became of a call, to stand behind the words for it: `was answered 403 AccessDenied, request 4442587FB7D0A2F9`.
pub fn how_it_failed<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
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
    }
}

/// Codes and request ids come from the other side: only what looks like one is repeated.
fn is_code(text: &str) -> bool {
    text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::{client::result::ConnectorError, http::StatusCode};
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    fn refused(status: u16, code: &str, request: &str) -> SdkError<ErrorMetadata, HttpResponse> {
        let meta = ErrorMetadata::builder().code(code).message("no /f/key").custom("aws_request_id", request).build();
        let answer = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from("no /f/key"));
        SdkError::service_error(meta, answer)
    }

    #[test]
    fn a_refusal_is_told_by_status_code_and_request() {
        let told = how_it_failed(&refused(403, "AccessDenied", "4442587FB7D0A2F9"));
        assert_eq!(told, "was answered 403 AccessDenied, request 4442587FB7D0A2F9");
        assert_eq!(how_it_failed(&refused(400, "about <key>", "about <key>")), "was answered 400 no code");
    }

    #[test]
    fn what_was_never_answered_says_where_to_look() {
        let failed = |error| how_it_failed(&SdkError::<ErrorMetadata, HttpResponse>::dispatch_failure(error));
        assert_eq!(failed(ConnectorError::timeout("/f/key".into())), "was not answered in time");
        assert_eq!(failed(ConnectorError::io("/f/key".into())), "could not be sent: no connection");
        assert!(failed(ConnectorError::other("/f/key".into(), None)).ends_with("is the endpoint right?"));
    }
}
