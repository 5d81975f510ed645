//! How often each caller may call.

use std::sync::atomic::{AtomicU32, Ordering};

use governor::{
    DefaultKeyedRateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::options::RateLimit;

/// Counts the requests of each caller.
#[derive(Debug)]
pub(crate) struct Limiter {
    counts: DefaultKeyedRateLimiter<String>,
    checks: AtomicU32,
}

/// After so many checks, callers that have been quiet are forgotten.
const CHECKS_BETWEEN_CLEANING: u32 = 10_000;

impl Limiter {
    pub(crate) fn new(rate: RateLimit) -> Self {
        Self { counts: DefaultKeyedRateLimiter::keyed(rate.quota()), checks: AtomicU32::new(0) }
    }

    /// # Errors
    /// The whole seconds after which the caller may try again.
    pub(crate) fn admit(&self, caller: &str) -> Result<(), u64> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_CLEANING == CHECKS_BETWEEN_CLEANING - 1 {
            self.counts.retain_recent();
        }
        let now = DefaultClock::default().now();
        self.counts.check_key(&caller.to_owned()).map_err(|wait| wait.wait_time_from(now).as_secs() + 1)
    }
}
