//! Why a call was not done, and whether it may be made again. No error that leaves here quotes an item.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
};
use calmesh_app::ports::StoreError;
use calmesh_https::how_it_failed;

use crate::schema::Item;

/// What DynamoDB answered when it did not do it. Never holds items.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {how}")]
pub(crate) struct CallFailed {
    pub(super) operation: &'static str,
    pub(super) how: String,
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) enum CallError {
    /// A condition did not hold; with each refused action's place in the call and the item that stands there.
    Refused(Vec<(usize, Option<Item>)>),
    /// Asked for less, or clashed with a transaction: may be tried again.
    Busy(CallFailed),
    /// Not answered, or not as it should be: may be tried again, since every write has its condition or its token.
    Broken(CallFailed),
    Failed(StoreError),
}

impl CallError {
    /// What a caller sees that has no word for a condition that fails.
    pub(crate) fn or_stale(self) -> StoreError {
        match self {
            Self::Refused(_) => StoreError::Stale,
            Self::Busy(failed) | Self::Broken(failed) => StoreError::Unavailable(Box::new(failed)),
            Self::Failed(error) => error,
        }
    }

    /// The item that stood in the way of the action at this place.
    pub(crate) fn standing(&self, place: usize) -> Option<&Item> {
        match self {
            Self::Refused(refused) => refused.iter().find(|(at, _)| *at == place)?.1.as_ref(),
            _ => None,
        }
    }
}

impl From<BuildError> for CallError {
    fn from(error: BuildError) -> Self {
        Self::Failed(StoreError::Unavailable(Box::new(error)))
    }
}

pub(super) fn built(error: BuildError) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

pub(super) fn failure<E: ProvideErrorMetadata>(
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> CallError {
    let failed = describe(operation, error);
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(
            "TransactionConflictException"
            | "TransactionInProgressException"
            | "ThrottlingException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded",
        ) => CallError::Busy(failed),
        Some(STORE_DAMAGED) => CallError::Failed(damaged(&failed)),
        _ if is_broken(error) => CallError::Broken(failed),
        _ => CallError::Failed(StoreError::Unavailable(Box::new(failed))),
    }
}

/// What an embedded engine answers where its file is damaged, so that no repetition helps. DynamoDB has no such word.
pub const STORE_DAMAGED: &str = "StoreDamaged";

fn damaged(failed: &CallFailed) -> StoreError {
    StoreError::Corrupt { what: format!("the store itself is damaged: {failed}") }
}

/// Whether nothing was decided: no connection, no answer in time, or an answer that speaks of DynamoDB's own trouble.
fn is_broken<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout() || failure.is_io(),
        SdkError::ServiceError(refusal) => refusal.raw().status().is_server_error(),
        _ => false,
    }
}

/// The store's error for a call that did not go through.
pub(crate) fn refusal<E: ProvideErrorMetadata>(
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> StoreError {
    let failed = describe(operation, error);
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(STORE_DAMAGED) => damaged(&failed),
        _ => StoreError::Unavailable(Box::new(failed)),
    }
}

/// What may be told of an error: how the call failed, and the message unless it may quote what was sent.
fn describe<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallFailed {
    let how = how_it_failed(error);
    let refusal = error.as_service_error();
    let may_quote =
        matches!(refusal.and_then(ProvideErrorMetadata::code), Some("ValidationException" | "SerializationException"));
    match refusal.and_then(ProvideErrorMetadata::message).filter(|_| !may_quote) {
        Some(message) => CallFailed { operation, how: format!("{how}: {message}") },
        None => CallFailed { operation, how },
    }
}

pub(super) fn cancellation(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> CallError {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return failure("TransactWriteItems", error);
    };
    let reasons = cancelled.cancellation_reasons();
    let refused: Vec<(usize, Option<Item>)> = reasons
        .iter()
        .enumerate()
        .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(at, reason)| (at, reason.item.clone()))
        .collect();
    if !refused.is_empty() {
        return CallError::Refused(refused);
    }
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).filter(|code| *code != "None").collect();
    let failed = CallFailed { operation: "TransactWriteItems", how: format!("was cancelled: {}", codes.join(", ")) };
    let passes =
        |code: &&str| matches!(*code, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded");
    if !codes.is_empty() && codes.iter().all(passes) {
        CallError::Busy(failed)
    } else {
        CallError::Failed(StoreError::Unavailable(Box::new(failed)))
    }
}

/// Twice as long each time, up to about a second, and never the same for two callers.
pub(crate) fn pause(tries: u32) -> Duration {
    let longest = 10u64 << tries.min(7);
    // A fresh hasher is seeded by the system; no more than spread is asked of it.
    let spread = RandomState::new().build_hasher().finish() % longest.max(1);
    Duration::from_millis(longest / 2 + spread / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        assert!(pause(1) < pause(5));
        assert!(pause(60) <= Duration::from_millis(1280));
    }
}
