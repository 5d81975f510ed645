//! The schedule inside this process: sweeps at every whole period, marks once a second.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use calmesh_app::{Common, Tick, model::ClockWatch};
use calmesh_lambda_kit::telemetry::chain;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::embedded::{dynamo::EmbeddedDynamo, s3::EmbeddedS3};

const MARKS_EVERY: Duration = Duration::from_secs(1);
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);
/// What panicked is begun anew after this.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Runs until `stopped`. The first sweep is announced at once: feeds may have changed while nothing ran.
pub(crate) async fn run(
    tick: Tick,
    common: Common,
    dynamo: EmbeddedDynamo,
    s3: EmbeddedS3,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = async {
            tokio::join!(
                unending("sweeps", || sweeps(&tick, &common)),
                unending("marks", || marks(&tick, &common)),
                unending("expiries", || expiries(&common, &dynamo, &s3)),
            );
        } => {}
    }
}

/// Runs what never ends by itself. What panics is told and begun anew: without sweeps the service would go on and read
/// nothing any more.
async fn unending<F: Future<Output = ()>>(what: &'static str, run: impl Fn() -> F) {
    while AssertUnwindSafe(run()).catch_unwind().await.is_err() {
        tracing::error!(timer = what, "a part of the timer panicked and is begun anew");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn sweeps(tick: &Tick, common: &Common) {
    let period = common.settings.sweep_period;
    loop {
        let now = common.clock.now();
        // One shard, and steps as long as the period: every call is a sweep.
        if let Err(error) = tick.announce_shards(now, period).await {
            tracing::error!(error = chain(&error), "a sweep was not announced; the next one makes up for it");
        }
        tokio::time::sleep(until_next(common.clock.now(), period)).await;
    }
}

/// The time to the next whole period. Sweeps keep to these, so that each has a number of its own.
fn until_next(now: Timestamp, period: SignedDuration) -> Duration {
    let period = period.as_millis().max(1);
    let left = period - i128::from(now.as_millisecond()).rem_euclid(period);
    // A little later rather than a little early, which would be the old number again.
    Duration::from_millis(u64::try_from(left).unwrap_or(1000) + 5)
}

async fn marks(tick: &Tick, common: &Common) {
    let mut ticks = tokio::time::interval(MARKS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, mut watch) = (std::time::Instant::now(), ClockWatch::default());
    loop {
        ticks.tick().await;
        if let Some(jump) = watch.look(common.clock.now(), began.elapsed()) {
            tracing::warn!("{jump}");
        }
        if let Err(error) = tick.announce_marks(common.clock.now()).await {
            tracing::error!(error = chain(&error), "what waits was not announced; the next tick tries again");
        }
    }
}

async fn expiries(common: &Common, dynamo: &EmbeddedDynamo, s3: &EmbeddedS3) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        dynamo.sweep_expired().await;
        s3.sweep_expired(common.clock.now().into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_begun_anew_and_stops_nothing_beside_it() {
        let (count, beside) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let panics = || async {
            count.set(count.get() + 1);
            assert!(count.get() > 3, "a timer that panics three times");
        };
        let ticks = || async {
            for _ in 0..60 {
                tokio::time::sleep(MARKS_EVERY).await;
                beside.set(beside.get() + 1);
            }
        };
        tokio::join!(unending("one", panics), unending("other", ticks));
        assert_eq!((count.get(), beside.get()), (4, 60));
    }

    #[test]
    fn sweeps_keep_to_whole_periods() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let quarter = SignedDuration::from_mins(15);
        assert_eq!(until_next(at("2026-12-04T10:14:59Z"), quarter), Duration::from_millis(1005));
        assert_eq!(until_next(at("2026-12-04T10:15:00Z"), quarter), Duration::from_millis(15 * 60 * 1000 + 5));
    }
}
