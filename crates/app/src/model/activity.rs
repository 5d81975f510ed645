//! What happened to a property, for the host to read. Never a secret and never a guest's detail.

use calmesh_calendar::{BlockId, ConnectionId, HoldId, PropertyId};
use jiff::{Timestamp, civil::Date};

use super::FailureKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    pub property: PropertyId,
    pub at: Timestamp,
    pub connection: Option<ConnectionId>,
    pub kind: ActivityKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityKind {
    PropertyCreated,
    PropertyChanged,
    ConnectionCreated {
        name: String,
    },
    ConnectionChanged {
        name: String,
    },
    ConnectionDeleted {
        name: String,
    },
    ConnectionPaused {
        name: String,
    },
    ConnectionResumed {
        name: String,
    },
    LinkRotated {
        name: String,
    },
    /// A refresh that changed something.
    FeedChanged {
        added: u32,
        changed: u32,
        removed: u32,
        held: u32,
    },
    /// The first failure of a run, and each time the health gets worse.
    FeedFailed {
        failure: FailureKind,
        detail: String,
    },
    FeedRecovered,
    HoldOpened {
        hold: HoldId,
        block: BlockId,
    },
    /// Many stays went from the feed together, told once for all of them. `hold` is one of theirs: to release or keep
    /// it with its group decides on all.
    MassVanished {
        hold: HoldId,
        stays: u32,
        /// How many nights they have.
        nights: u32,
        /// The first of these nights, in order.
        first_nights: Vec<Date>,
    },
    HoldReleased {
        hold: HoldId,
        block: BlockId,
    },
    HoldKept {
        hold: HoldId,
        block: BlockId,
    },
    HoldConfirmed {
        hold: HoldId,
        block: BlockId,
    },
    HoldReturned {
        hold: HoldId,
        block: BlockId,
    },
    BlockCreated {
        block: BlockId,
    },
    BlockChanged {
        block: BlockId,
    },
    BlockDeleted {
        block: BlockId,
    },
    /// The stay that an own block extends has gone; the extension stays.
    ExtensionOrphaned {
        block: BlockId,
        stay: BlockId,
    },
}
