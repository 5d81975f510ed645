//! Reading bodies beside the threads that wait: a body that takes long holds up nobody but itself.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

use crate::{model::FailureKind, ports::FetchFailure};

/// A body is read within this, or is not read. Ten megabytes of a plain calendar take a tenth of a second.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// So long a reading waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// Readings at the same time: as many as there are processors, and two at least, so that one body never has all.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(processors.max(2)))
});

/// Why work was not done beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AsideError {
    #[error("it took too long")]
    TooSlow,
    #[error("it panicked")]
    Panicked,
    /// Nothing is said of this work: others had all places for too long.
    #[error("no thread was free for it")]
    Full,
}

/// Does work that waits for nothing on a thread of its own, a bounded number at the same time. What takes too long
/// keeps its place until it ends.
///
/// # Errors
/// When it took too long, panicked, or never had its turn.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AsideError> {
    let place = match timeout(TURN_WITHIN, Arc::clone(&PLACES).acquire_owned()).await {
        Ok(Ok(place)) => place,
        Ok(Err(_)) | Err(_) => return Err(AsideError::Full),
    };
    let done = tokio::task::spawn_blocking(move || {
        let value = work();
        drop(place);
        value
    });
    match timeout(READ_WITHIN, done).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(AsideError::Panicked),
        Err(_) => Err(AsideError::TooSlow),
    }
}

/// A body that could not be read to its end, as a failure of its feed.
pub(crate) fn unreadable(error: &AsideError) -> FetchFailure {
    let detail = match error {
        AsideError::Panicked => {
            "This calendar can't be read: something in it is beyond what this service understands. Save it as a file \
             and send it to whoever runs this service."
        }
        AsideError::TooSlow | AsideError::Full => {
            "Reading this calendar takes longer than a calendar may take. Give a link to fewer events, or ask the site \
             for a simpler one."
        }
    };
    FetchFailure { kind: FailureKind::TooLarge, detail: detail.to_owned(), retry_after: None, host: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_beside_fails_alone_and_gives_its_place_back() {
        for _ in 0..100 {
            assert_eq!(aside(|| -> u8 { panic!("poisoned") }).await, Err(AsideError::Panicked));
        }
        assert_eq!(aside(|| 7).await, Ok(7));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_body_that_takes_long_holds_up_nothing_on_a_single_thread() {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let slow = tokio::spawn(aside(move || {
            begun.send(()).unwrap();
            may_go.recv().is_ok()
        }));
        has_begun.await.unwrap();
        // The only thread of this runtime goes on with this, and lets the other end.
        assert_eq!(aside(|| 1).await, Ok(1));
        go.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), Ok(true));
    }
}
