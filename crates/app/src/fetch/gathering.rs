//! Readings of one property go to merge together: what is read of it in one run waits, for a moment, for the rest of it.

use std::{collections::BTreeMap, time::Duration};

use calmesh_calendar::{AccountId, PropertyId};
use tokio::time::Instant;

use crate::{
    model::{FailureKind, FetchPlan, FetchState, RefreshPart, Snapshot},
    ports::{Event, ReadFeed},
};

/// So long a reading waits for others of its property.
const TOGETHER_WITHIN: Duration = Duration::from_secs(1);
/// So many readings go together at most, and bodies of about so many bytes.
const MOST_TOGETHER: usize = 16;
const BYTES_TOGETHER: usize = 1024 * 1024;

/// What reading one feed led to.
#[derive(Debug)]
pub(super) enum Read {
    Over(ReadResult),
    /// Merge says what becomes of it.
    ToMerge(ToMerge),
}

/// What is told of a feed that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadResult {
    Unchanged,
    /// Another body, announced: merge says what becomes of it.
    Announced,
    /// The same body, announced since something of the connection waits for readings.
    Awaited,
    Failed(FailureKind),
    /// Its host asked for less.
    HostPaused,
    /// There was no time left for it.
    NotReached,
}

/// A reading that merge must see.
#[derive(Debug)]
pub(super) struct ToMerge {
    pub(super) read: ReadFeed,
    /// The size of the body that is new.
    pub(super) bytes: usize,
    /// What is told of it once it was announced.
    pub(super) result: ReadResult,
}

/// Readings of one property that wait.
#[derive(Debug)]
pub(super) struct Batch {
    account: AccountId,
    property: PropertyId,
    pub(super) readings: Vec<ToMerge>,
    bytes: usize,
    until: Instant,
}

/// What waits in a run, and how many feeds of each property were not read yet.
#[derive(Debug)]
pub(super) struct Gathering {
    unread: BTreeMap<PropertyId, usize>,
    waiting: BTreeMap<PropertyId, Batch>,
}

impl ToMerge {
    pub(super) fn new(plan: &FetchPlan, snapshot: Snapshot, read_at: jiff::Timestamp, result: ReadResult) -> Self {
        let read = ReadFeed { connection: plan.connection.clone(), snapshot, read_at, plan_since: plan.since };
        Self { read, bytes: 0, result }
    }
}

impl Batch {
    fn is_full(&self) -> bool {
        self.readings.len() >= MOST_TOGETHER || self.bytes >= BYTES_TOGETHER
    }

    pub(super) fn event(&self, refresh: Option<RefreshPart>) -> Event {
        Event::FeedsRead {
            account: self.account.clone(),
            property: self.property.clone(),
            readings: self.readings.iter().map(|one| one.read.clone()).collect(),
            refresh,
        }
    }
}

impl Gathering {
    pub(super) fn of(states: &[FetchState]) -> Self {
        let mut unread = BTreeMap::new();
        for state in states {
            *unread.entry(state.plan.property.clone()).or_insert(0) += 1;
        }
        Self { unread, waiting: BTreeMap::new() }
    }

    /// When something that waits has waited long enough.
    pub(super) fn until(&self) -> Option<Instant> {
        self.waiting.values().map(|batch| batch.until).min()
    }

    /// One more feed of a property was read. Answers what waits of it no longer.
    pub(super) fn take(&mut self, of: (AccountId, PropertyId), found: Option<ToMerge>, now: Instant) -> Option<Batch> {
        let (account, property) = of;
        if let Some(found) = found {
            let until = now.checked_add(TOGETHER_WITHIN).unwrap_or(now);
            let fresh = || Batch { account, property: property.clone(), readings: Vec::new(), bytes: 0, until };
            let batch = self.waiting.entry(property.clone()).or_insert_with(fresh);
            batch.bytes = batch.bytes.saturating_add(found.bytes);
            batch.readings.push(found);
        }
        let unread = self.unread.get_mut(&property).map_or(0, |unread| {
            *unread = unread.saturating_sub(1);
            *unread
        });
        let goes = unread == 0 || self.waiting.get(&property).is_some_and(Batch::is_full);
        if goes { self.waiting.remove(&property) } else { None }
    }

    /// What has waited long enough; with no instant, all of it.
    pub(super) fn take_due(&mut self, now: Option<Instant>) -> Vec<Batch> {
        let due = |batch: &Batch| now.is_none_or(|now| batch.until <= now);
        let ids: Vec<PropertyId> =
            self.waiting.iter().filter(|(_, batch)| due(batch)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.waiting.remove(id)).collect()
    }
}
