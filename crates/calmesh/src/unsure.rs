//! Whether links that are not there may only be missing: after a loss of power, and after all objects were lost, until all
//! were compared with what they should be.

use std::sync::Arc;

use tokio::sync::watch;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Unsure(Arc<watch::Sender<Losses>>);

#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    /// How many there were.
    times: u64,
    /// How many were made up for.
    mended: u64,
}

impl Default for Unsure {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Losses::default())))
    }
}

impl Unsure {
    pub(crate) fn is_unsure(&self) -> bool {
        let Losses { times, mended } = *self.0.borrow();
        mended < times
    }

    /// Anything may be missing from now on.
    pub(crate) fn of_all(&self) {
        self.0.send_modify(|losses| losses.times = losses.times.saturating_add(1));
    }

    /// How many losses there were. To be asked before all is compared.
    pub(crate) fn now(&self) -> u64 {
        self.0.borrow().times
    }

    /// All is as it should be, but for what was lost since there were `times` losses.
    pub(crate) fn sure_since(&self, times: u64) {
        self.0.send_modify(|losses| losses.mended = times);
    }

    /// Waits for another loss than these.
    pub(crate) async fn more_than(&self, times: u64) {
        // Whoever waits holds the sender.
        drop(self.0.subscribe().wait_for(|losses| losses.times > times).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_while_all_is_compared_is_not_mended_by_that() {
        let unsure = Unsure::default();
        assert!(!unsure.is_unsure());
        unsure.of_all();
        let since = unsure.now();
        unsure.of_all();
        unsure.sure_since(since);
        assert!(unsure.is_unsure());
        unsure.sure_since(unsure.now());
        assert!(!unsure.is_unsure());
    }

    #[tokio::test]
    async fn who_compares_is_woken_by_the_next_loss_also_by_one_that_came_meanwhile() {
        let unsure = Unsure::default();
        let since = unsure.now();
        let waiting = unsure.more_than(since);
        futures::pin_mut!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        unsure.of_all();
        waiting.await;
        unsure.more_than(since).await;
    }
}
