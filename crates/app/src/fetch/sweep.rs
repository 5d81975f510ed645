//! A sweep: the connections of a run of buckets that are due, read in one pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use calmesh_calendar::{AccountId, span::Later};
use jiff::{SignedDuration, Timestamp};

use super::{
    crowd::{Reading, Told, Why, asked_for_less},
    gathering::ReadResult,
    seen::Seen,
};
use crate::{
    fetch::Fetch,
    health::{AS_ASKED, LONGEST_ASKED, is_of_known_provider, keeps_away},
    model::{CLOCKS_DIFFER, FetchState, SweepRecord, bucket_of, is_ahead},
    ports::{Event, PageRequest, StoreError},
    schedule::{BUCKETS, due_at, is_turn_of},
    trouble::WorkError,
};

/// One message covers at most so many connections, or one bucket.
const PER_MESSAGE: u16 = 300;
/// A sweep begins no further reading after this long; what is left is read by the next one.
const SWEEP_BUDGET: Duration = Duration::from_secs(90);

impl Fetch {
    /// Reads the connections of a run of buckets that are due; more than one message's worth is announced again
    /// as a shorter run.
    pub(crate) async fn sweep(&self, first: u16, last: u16, number: i64) -> Result<(), WorkError> {
        let started_at = self.clock.now();
        let (states, last) = self.plans_of_run(first, last, number).await?;
        let mut paused = self.paused_hosts(&states, started_at).await?;
        paused.extend(asking_several(&states, started_at));
        let due: Vec<FetchState> = states.into_iter().filter(|state| self.is_due(state, number, started_at)).collect();
        let mut report = SweepCounts::default();
        let mut skipped = Vec::new();
        let reading = Reading { states: due, paused: &paused, why: Why::Sweep, budget: SWEEP_BUDGET, turn: number };
        let mut run = self.read_all(reading, Seen::default());
        while let Told::One(connection, result) = run.next(None).await {
            match result {
                Ok(ReadResult::HostPaused | ReadResult::NotReached) => skipped.push(connection),
                Ok(ReadResult::Unchanged) => report.unchanged += 1,
                Ok(ReadResult::Announced) => report.changed += 1,
                Ok(ReadResult::Awaited) => report.held += 1,
                Ok(ReadResult::Failed(_)) => report.failed += 1,
                Err(error) => {
                    // Its own state could not be written: it was not read in this pass.
                    tracing::warn!(connection.id = %connection, error = &error as &dyn std::error::Error, "a feed could not be taken in");
                    skipped.push(connection);
                }
            }
        }
        skipped.sort();
        let read = report.unchanged + report.changed + report.held + report.failed;
        if read > 0 || !skipped.is_empty() {
            let record =
                SweepRecord { first_bucket: first, last_bucket: last, number, started_at, skipped: skipped.clone() };
            self.fetches.record_sweep(&record).await?;
            tracing::info!(
                feeds = read,
                unchanged = report.unchanged,
                changed = report.changed,
                held = report.held,
                failed = report.failed,
                skipped = skipped.len(),
                "feeds were read"
            );
        }
        tracing::debug!(sweep.first_bucket = first, sweep.last_bucket = last, sweep.number = number, "swept");
        tracing::info!(
            target: "calmesh::metric",
            refreshes = read,
            unchanged = report.unchanged,
            changed = report.changed,
            held = report.held,
            failed = report.failed,
            skipped = skipped.len(),
            oldest_due_seconds = self.lateness(first, number, started_at).as_secs(),
        );
        Ok(())
    }

    /// The plans of as many whole buckets as one message covers, and the last of these buckets; the rest is
    /// announced as a run of its own.
    async fn plans_of_run(&self, first: u16, last: u16, number: i64) -> Result<(Vec<FetchState>, u16), WorkError> {
        let page = PageRequest { limit: PER_MESSAGE, after: None };
        let found = self.fetches.plans(first, last, page).await?;
        let mut states = found.items;
        let Some(mut next) = found.next else { return Ok((states, last)) };
        // The page ends somewhere in a bucket: that one is left to the next message, unless it is the only one.
        let cut = states.last().map_or(first, |state| bucket_of(&state.plan.connection));
        let until = if cut > first {
            states.retain(|state| bucket_of(&state.plan.connection) < cut);
            cut - 1
        } else {
            loop {
                let page = PageRequest { limit: PER_MESSAGE, after: Some(next) };
                let more = self.fetches.plans(first, first, page).await?;
                states.extend(more.items.into_iter().filter(|state| bucket_of(&state.plan.connection) == first));
                match more.next {
                    Some(after) => next = after,
                    None => break,
                }
            }
            first
        };
        if until < last {
            let rest = Event::SweepDue { first_bucket: until + 1, last_bucket: last, number };
            self.bus.publish(&[rest]).await?;
        }
        Ok((states, until))
    }

    /// Whether a sweep reads this connection: its own back-off is over, and its provider's pace allows it.
    fn is_due(&self, state: &FetchState, number: i64, now: Timestamp) -> bool {
        if state.health.failure.as_ref().is_some_and(|failure| keeps_away(failure, now)) {
            return false;
        }
        is_turn_of(&state.plan.connection, &state.plan.provider, number, self.settings.sweep_period)
    }

    /// Which of the hosts of these feeds want to be left alone by everybody.
    pub(super) async fn paused_hosts(
        &self,
        states: &[FetchState],
        now: Timestamp,
    ) -> Result<BTreeSet<String>, StoreError> {
        let hosts = states.iter().map(|state| state.plan.url.host());
        // No other host's wish counts for everybody, and there are few of these.
        let mut hosts: BTreeSet<String> = hosts.collect();
        hosts.retain(|host| is_of_known_provider(host));
        if hosts.is_empty() {
            return Ok(hosts);
        }
        // No site is left alone for longer than it may ask for: such a pause is of a clock that was ahead.
        let longest = now.later(LONGEST_ASKED).later(CLOCKS_DIFFER);
        let pauses = self.fetches.paused_hosts(&hosts, now).await?.into_iter();
        Ok(pauses.filter(|pause| pause.until <= longest).map(|pause| pause.host).collect())
    }

    /// How long ago a run that begins with this bucket was due, by the times of `Tick::announce_shards`.
    fn lateness(&self, first: u16, number: i64, now: Timestamp) -> SignedDuration {
        let period = self.settings.sweep_period.as_secs().max(1);
        let shards = self.settings.shards.max(1);
        let shard = i64::from(first) * i64::from(shards) / i64::from(BUCKETS);
        let due = due_at(shard, number, period, shards);
        SignedDuration::from_secs(now.as_second().saturating_sub(due).max(0))
    }

    /// When the last sweep began, where that is dated ahead: a clock was ahead then, or is behind now.
    ///
    /// # Errors
    /// The store's.
    pub async fn swept_ahead(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let sweeps = self.fetches.sweeps(&[0]).await?;
        Ok(sweeps.into_iter().map(|sweep| sweep.started_at).filter(|at| is_ahead(*at, now)).max())
    }
}

#[derive(Debug, Default)]
struct SweepCounts {
    unchanged: u32,
    changed: u32,
    /// Read again because a hold or a question to the site waits.
    held: u32,
    failed: u32,
}

/// Hosts that have just asked several accounts to come less often: they mean everybody. One account alone may have
/// set up its host itself. Told by the states that a sweep reads anyway, so it speaks for the run that they are of; a
/// link that was refused more than twice in a row speaks for itself alone, and so does a time longer than was asked.
fn asking_several(states: &[FetchState], now: Timestamp) -> BTreeSet<String> {
    let mut asked: BTreeMap<String, BTreeSet<&AccountId>> = BTreeMap::new();
    for state in states.iter().filter(|state| asked_for_less(state, now)) {
        let fresh = state.health.failure.as_ref().is_some_and(|failure| failure.count <= AS_ASKED);
        if fresh {
            asked.entry(state.plan.url.host()).or_default().insert(&state.plan.account);
        }
    }
    asked.into_iter().filter(|(_, accounts)| accounts.len() > 1).map(|(host, _)| host).collect()
}
