//! What S3 answered, without what must not be told: keys of exports are secrets, and an SDK error holds the whole
//! answer, key included. So no cause is attached to the error that leaves this room.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use calmesh_app::ports::ObjectError;
use calmesh_https::how_it_failed;

/// A failure told by operation (`PutObject`) and object (`an export`).
pub(crate) fn failure<E>(operation: &str, noun: &str, error: &SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata,
{
    told(operation, noun, &how_it_failed(error))
}

pub(crate) fn told(operation: &str, noun: &str, how: &str) -> ObjectError {
    ObjectError { what: format!("{operation} of {noun} {how}"), source: None }
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
