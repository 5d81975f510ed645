//! What goes wrong while an event is worked on.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::ports::{BusError, ObjectError, StoreError};

/// Why an event was not worked through. It is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("the store did not do its part")]
    Store(#[from] StoreError),
    #[error("the objects could not be read or put")]
    Objects(#[from] ObjectError),
    #[error("an event could not be announced")]
    Bus(#[from] BusError),
    /// What it panicked with is in the log, if anywhere: it may quote.
    #[error("the work panicked")]
    Panicked,
    #[error("others took all threads on which bodies are read")]
    NoThread,
    /// Such events are worked on by another room.
    #[error("this event came to a room that does not work on it")]
    Elsewhere,
}

/// Does work of which a panic is an error.
pub(crate) async fn guarded<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, WorkError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(WorkError::Panicked))
}
