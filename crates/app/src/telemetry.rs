//! When feeds were read and links were fetched: what a connection shows beside what can be edited.
//!
//! A feed that did not change costs no write, so when it was read last is known from the record of its sweep.

use std::collections::BTreeMap;

use calmesh_calendar::{ConnectionId, ReadWarning};
use jiff::{SignedDuration, Timestamp};

use crate::{
    App,
    fetch::{BUCKETS, is_turn_of, last_swept, sweeps_between_reads},
    model::{Connection, Failure, FetchHealth, FetchState, Health, SweepRecord, bucket_of},
    ports::StoreError,
};

/// What is known of a connection's import beside its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTelemetry {
    pub health: Health,
    pub last_attempt_at: Option<Timestamp>,
    /// The last good reading, changed or not.
    pub last_refreshed_at: Option<Timestamp>,
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
#[derive(Debug, Default)]
pub(crate) struct Readings {
    states: BTreeMap<ConnectionId, FetchState>,
    sweeps: Vec<SweepRecord>,
    period: SignedDuration,
    shards: u16,
}

impl App {
    /// When these connections were read: two store calls, however many they are.
    pub(crate) async fn readings_of(&self, connections: &[ConnectionId]) -> Result<Readings, StoreError> {
        let (period, shards) = (self.settings.sweep_period, self.settings.shards);
        if connections.is_empty() {
            return Ok(Readings { period, shards, ..Readings::default() });
        }
        let mut buckets: Vec<u16> = connections.iter().map(bucket_of).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let (states, sweeps) =
            futures::try_join!(self.fetches.fetch_states(connections), self.fetches.sweeps(&buckets))?;
        Ok(Readings { states, sweeps, period, shards })
    }
}

impl Readings {
    fn health(&self, connection: &ConnectionId) -> FetchHealth {
        self.states.get(connection).map(|state| state.health.clone()).unwrap_or_default()
    }

    /// The last good reading: taken in, recorded, or known from the record of a sweep.
    pub(crate) fn last_refreshed_at(&self, connection: &Connection) -> Option<Timestamp> {
        let applied = connection.applied().map(|applied| applied.read_at);
        let recorded = self.health(&connection.id).last_success_at;
        let swept = self.states.get(&connection.id).and_then(|state| last_swept(state, &self.sweeps, self.period));
        applied.max(recorded).max(swept)
    }

    /// The first turn of this connection after `now` at which its own back-off is over. The shards' times are those
    /// of `App::announce_shards`.
    fn next_refresh_at(&self, connection: &Connection, now: Timestamp) -> Option<Timestamp> {
        let state = self.states.get(&connection.id).filter(|_| connection.reads())?;
        let period = self.period.as_secs().max(1);
        let shards = i64::from(self.shards.max(1));
        let shard = i64::from(bucket_of(&connection.id)) * shards / i64::from(BUCKETS);
        let offset = shard * period / shards;
        let earliest = state.health.failure.as_ref().map_or(now, |failure| failure.retry_at.max(now));
        let number = (earliest.as_second() - offset).div_euclid(period) + 1;
        let turns = number..number + sweeps_between_reads(&connection.provider, self.period);
        let mut turns = turns.filter(|turn| is_turn_of(&connection.id, &connection.provider, *turn, self.period));
        turns.next().and_then(|turn| Timestamp::from_second(turn * period + offset).ok())
    }

    /// What is known of a connection's import; none where it has none.
    pub(crate) fn telemetry(
        &self,
        connection: &Connection,
        blocks: &[calmesh_calendar::Block],
        now: Timestamp,
    ) -> Option<ImportTelemetry> {
        let import = connection.import.as_ref()?;
        let health = self.health(&connection.id);
        let last_refreshed_at = self.last_refreshed_at(connection);
        let mine = || blocks.iter().filter(|block| block.connection() == Some(&connection.id));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(ImportTelemetry {
            health: health.health(now),
            last_attempt_at: health.failure.as_ref().map(|failure| failure.last_attempt_at).max(last_refreshed_at),
            last_refreshed_at,
            last_changed_at: import.applied.as_ref().map(|applied| applied.changed_at),
            next_refresh_at: self.next_refresh_at(connection, now),
            failure: health.failure,
            blocks: count(mine().count()),
            holds: count(mine().filter(|block| block.hold().is_some()).count()),
            warnings: import.applied.as_ref().map(|applied| applied.warnings.clone()).unwrap_or_default(),
        })
    }
}
