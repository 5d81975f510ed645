//! The time that a site has for its answer. What it waits for ourselves does not count.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// While a site waits for us, it is looked so often whether it still does.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Watch {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: Duration,
    /// Since when the time runs; none while it does not.
    runs_since: Option<Instant>,
    waited: Duration,
}

impl Watch {
    pub(crate) fn new(total: Duration) -> Self {
        let state = State { left: total, runs_since: Some(Instant::now()), waited: Duration::ZERO };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds this lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something of our own while the site's time stands still.
    pub(crate) async fn pausing<T>(&self, wait: impl Future<Output = T>) -> T {
        let paused = Instant::now();
        {
            let mut state = self.state();
            let ran = state.runs_since.take().map_or(Duration::ZERO, |since| paused.duration_since(since));
            state.left = state.left.saturating_sub(ran);
        }
        let value = wait.await;
        let mut state = self.state();
        state.waited = state.waited.saturating_add(paused.elapsed());
        state.runs_since = Some(Instant::now());
        value
    }

    /// How long the site was made to wait.
    pub(crate) fn waited(&self) -> Duration {
        self.state().waited
    }

    /// Returns when the site's time is over.
    pub(crate) async fn over(&self) {
        loop {
            let now = Instant::now();
            let look_at = {
                let state = self.state();
                match state.runs_since {
                    Some(since) => since.checked_add(state.left).filter(|end| *end > now),
                    None => now.checked_add(LOOK_EVERY),
                }
            };
            let Some(look_at) = look_at else { return };
            sleep_until(look_at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_site_waits_for_us_is_not_its_time() {
        let watch = Watch::new(Duration::from_secs(10));
        let began = Instant::now();
        let work = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            watch.pausing(tokio::time::sleep(Duration::from_secs(60))).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = watch.over() => {}
        }
        assert_eq!((began.elapsed().as_secs(), watch.waited().as_secs()), (70, 60));
    }
}
