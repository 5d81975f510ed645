//! Events: ids, never contents. A worker re-reads state.

use async_trait::async_trait;
use calmesh_calendar::{AccountId, ConflictId, ConnectionId, LinkId, PropertyId, RefreshId};
use jiff::Timestamp;

use crate::model::{RefreshPart, Snapshot};

/// A feed that was read, and whose body is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFeed {
    pub connection: ConnectionId,
    pub snapshot: Snapshot,
    pub read_at: Timestamp,
    /// Since when the plan stood by which it was read: a reading of another URL is not taken in.
    pub plan_since: Timestamp,
}

/// What is announced between the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connections of this run of buckets (both ends included) are due; `number` is the period's number
    /// since 1970. A run that is too long for one message is announced again as a shorter one.
    SweepDue { first_bucket: u16, last_bucket: u16, number: i64 },
    /// Somebody pressed the button; the scope is in the refresh. `after` continues through a large account; `rest`: this
    /// part of it was begun and takes longer than one delivery may, and what follows it was announced.
    RefreshRequested { account: AccountId, refresh: RefreshId, after: Option<String>, rest: bool },
    /// Good readings of feeds of one property that merge must see: they changed, or a hold waits for readings.
    FeedsRead { account: AccountId, property: PropertyId, readings: Vec<ReadFeed>, refresh: Option<RefreshPart> },
    /// The exports of this property must follow its state, or its time to wake has come.
    PropertyDirty { property: PropertyId },
    /// The same for an extra link.
    LinkDirty { link: LinkId },
    /// A property's blocks or settings changed and its exports stand. For whoever listens.
    PropertyChanged { account: AccountId, property: PropertyId, revision: u64 },
    /// Two stays claim the same time, which the host must settle. For whoever listens; may come twice.
    ConflictOpened { account: AccountId, property: PropertyId, conflict: ConflictId },
    /// An account's deletion began.
    AccountDeleted { account: AccountId },
}

/// The bus did not take all of the events. Those that were taken may be delivered.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} events were not taken by the bus")]
pub struct BusError {
    pub failed: usize,
    pub total: usize,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Announces events. Delivery is at least once, in any order, perhaps late.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// # Errors
    /// MUST fail when any of the events was not taken, also where the service answers 200.
    async fn publish(&self, events: &[Event]) -> Result<(), BusError>;
}

impl dyn EventBus {
    /// Announces; a bus that fails only delays, since the dirty mark is announced again by the tick.
    pub(crate) async fn announce_soon(&self, events: &[Event]) {
        if let Err(error) = self.publish(events).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "an announcement is left to the tick");
        }
    }
}
