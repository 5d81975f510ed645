//! When feeds were read and links were fetched: what a connection shows beside what can be edited.
//!
//! A feed that did not change costs no write, so when it was read last is known from the record of its sweep.

use std::{collections::BTreeMap, sync::Arc};

use calmesh_calendar::{ConnectionId, ReadWarning};
use jiff::{SignedDuration, Timestamp};

use crate::{
    desk::Desk,
    health::{counts_while_unrecorded, keeps_away, last_swept},
    model::{
        Connection, Failure, FailureKind, FetchHealth, FetchState, Health, NOT_IN_LINKS, Property, RefreshPage,
        SweepRecord, TRIED_AGAIN, bucket_of, found_unchanged, happened,
    },
    ports::StoreError,
    schedule::{BUCKETS, is_turn_of, sweeps_between_reads},
    settings::Settings,
};

/// What is known of a connection's import beside its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTelemetry {
    pub health: Health,
    pub last_attempt_at: Option<Timestamp>,
    /// The last good reading that is taken in, changed or not.
    pub last_refreshed_at: Option<Timestamp>,
    /// Since when something that was read waits to be taken in; none while nothing does.
    pub waiting_since: Option<Timestamp>,
    /// When a reading last changed blocks.
    pub last_changed_at: Option<Timestamp>,
    /// About when the next sweep reads it; none while it is paused.
    pub next_refresh_at: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// Stays that it shows or that are held.
    pub blocks: u32,
    /// Of these, held.
    pub holds: u32,
    pub warnings: Vec<ReadWarning>,
}

/// Fetch states and sweeps of some connections.
#[derive(Debug)]
pub(crate) struct Readings {
    states: BTreeMap<ConnectionId, FetchState>,
    sweeps: Vec<SweepRecord>,
    /// What the latest refresh of the whole account says, where it may be later than the sweeps.
    refreshed: Vec<RefreshPage>,
    settings: Arc<Settings>,
    now: Timestamp,
}

impl Desk {
    /// When these connections of a property were read: three store calls, or four after a refresh of the whole account,
    /// however many they are.
    pub(crate) async fn readings_of(
        &self,
        property: &Property,
        connections: &[ConnectionId],
    ) -> Result<Readings, StoreError> {
        let (settings, now) = (Arc::clone(&self.settings), self.clock.now());
        if connections.is_empty() {
            return Ok(Readings { states: BTreeMap::new(), sweeps: Vec::new(), refreshed: Vec::new(), settings, now });
        }
        let mut buckets: Vec<u16> = connections.iter().map(bucket_of).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let (states, sweeps, refreshed) = futures::try_join!(
            self.fetches.fetch_states(connections),
            self.fetches.sweeps(&buckets),
            self.refreshes.refreshed_with(property, self.clock.now())
        )?;
        Ok(Readings { states, sweeps, refreshed, settings, now })
    }
}

impl Readings {
    fn health(&self, connection: &ConnectionId) -> FetchHealth {
        self.states.get(connection).map(|state| state.health.clone()).unwrap_or_default()
    }

    /// The last good reading that is taken in: by merge, or as one that said what was known, recorded or known from
    /// the record of a sweep. None is of the future, whatever a clock once wrote.
    pub(crate) fn last_refreshed_at(&self, connection: &Connection) -> Option<Timestamp> {
        let applied = connection.applied().map(|applied| applied.read_at);
        let recorded = self.health(&connection.id).last_success_at;
        let state = self.states.get(&connection.id);
        let swept = state.and_then(|state| last_swept(state, &self.sweeps, &self.settings, self.now));
        let refreshed = state
            .filter(|state| counts_while_unrecorded(state))
            .and_then(|state| found_unchanged(&self.refreshed, &state.plan.connection, state.plan.since));
        happened(applied, self.now).max(happened(recorded, self.now)).max(swept).max(happened(refreshed, self.now))
    }

    /// The first turn of this connection after `now` at which its own back-off is over. The shards' times are those
    /// of `Tick::announce_shards`.
    fn next_refresh_at(&self, connection: &Connection, now: Timestamp) -> Option<Timestamp> {
        let state = self.states.get(&connection.id).filter(|_| connection.is_read())?;
        let period = self.settings.sweep_period.as_secs().max(1);
        let shards = i64::from(self.settings.shards.max(1));
        let shard = i64::from(bucket_of(&connection.id)) * shards / i64::from(BUCKETS);
        let offset = shard * period / shards;
        let earliest = state
            .health
            .failure
            .as_ref()
            .map_or(now, |failure| if keeps_away(failure, now) { failure.retry_at } else { now });
        let number = (earliest.as_second() - offset).div_euclid(period) + 1;
        let turns = number..number + sweeps_between_reads(&connection.provider, self.settings.sweep_period);
        let mut turns =
            turns.filter(|turn| is_turn_of(&connection.id, &connection.provider, *turn, self.settings.sweep_period));
        turns.next().and_then(|turn| Timestamp::from_second(turn * period + offset).ok())
    }

    /// What is known of a connection's import; none where it has none.
    pub(crate) fn telemetry(
        &self,
        connection: &Connection,
        property: &Property,
        blocks: &[calmesh_calendar::Block],
    ) -> Option<ImportTelemetry> {
        let (import, now) = (connection.import.as_ref()?, self.now);
        let state = self.states.get(&connection.id);
        let failure = state.and_then(|state| state.failure(now)).or_else(|| lagging(connection, property, now));
        let awaited = state.and_then(FetchState::awaits);
        let last_refreshed_at = self.last_refreshed_at(connection);
        let mine = || blocks.iter().filter(|block| block.connection() == Some(&connection.id));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(ImportTelemetry {
            health: Health::of(failure.as_ref(), now),
            last_attempt_at: state
                .and_then(|state| state.health.failure.as_ref())
                .map(|failure| failure.last_attempt_at)
                .max(awaited.map(|awaited| awaited.read_at))
                .max(last_refreshed_at),
            last_refreshed_at,
            waiting_since: awaited.map(|awaited| awaited.since),
            last_changed_at: import.applied.as_ref().map(|applied| applied.changed_at),
            next_refresh_at: self.next_refresh_at(connection, now),
            failure,
            blocks: count(mine().count()),
            holds: count(mine().filter(|block| block.hold().is_some()).count()),
            warnings: import.applied.as_ref().map(|applied| applied.warnings.clone()).unwrap_or_default(),
        })
    }
}

/// Links follow a change within seconds; those of a property that lag so long don't follow by themselves.
const LINKS_FOLLOW_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What was taken in and can't be put into the property's links is a failure of all that it reads.
fn lagging(connection: &Connection, property: &Property, now: Timestamp) -> Option<Failure> {
    let dirty = property.dirty.filter(|_| connection.is_read())?;
    let lags = now.duration_since(dirty.since) > LINKS_FOLLOW_WITHIN && dirty.attempts > 0;
    lags.then(|| Failure {
        kind: FailureKind::NotTakenIn,
        detail: format!("{NOT_IN_LINKS}{TRIED_AGAIN}"),
        since: dirty.since,
        count: dirty.attempts.max(1),
        last_attempt_at: now,
        retry_at: dirty.announce_at,
    })
}
