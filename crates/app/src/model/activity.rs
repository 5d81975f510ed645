//! What happened to a property, for the host to read. Never a secret and never a guest's detail.

use calmesh_calendar::{BlockId, ConflictId, ConnectionId, Finding, HoldId, Nights, PropertyId};
use jiff::{Timestamp, civil::Date};

use super::{FailureKind, Provider};
use crate::model::Span;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    pub property: PropertyId,
    pub at: Timestamp,
    pub connection: Option<ConnectionId>,
    pub kind: ActivityKind,
    pub names: Names,
}

/// What the host called the things of an entry when it was written, so that it tells of what was deleted since. Never a
/// guest's detail. What an earlier version wrote has no names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The property's.
    pub property: Option<String>,
    /// The connection's.
    pub site: Option<Site>,
    /// What it is about, in order of time within each part; the first few.
    pub stays: Vec<NamedStay>,
}

/// A connection as its host knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub name: String,
    pub provider: Provider,
}

/// A block by whose it was and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStay {
    pub block: BlockId,
    pub part: StayPart,
    /// None for the host's own.
    pub site: Option<Site>,
    /// On the property's clock.
    pub span: Span,
    /// When it was before, where that changed.
    pub before: Option<Span>,
}

/// What a block is to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StayPart {
    /// The entry is about it.
    Itself,
    /// A refresh brought it.
    New,
    /// A refresh changed it; told as it is now.
    Changed,
    /// It is not there any more.
    Gone,
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
    /// What was found out of the nights that a connection shows, or done to find it out.
    ClaimsDecided {
        finding: Finding,
        /// The first 100 runs of them.
        nights: Vec<Nights>,
    },
    ConflictOpened {
        conflict: ConflictId,
        /// Those that are named.
        blocks: Vec<BlockId>,
        /// Which of them was seen first.
        first: BlockId,
        /// When the first of the guests arrives.
        arrives_at: Timestamp,
        /// The first of the nights that at least two of them claim.
        nights: Vec<Date>,
    },
    /// The host said that one of them no longer stands.
    ConflictResolved {
        conflict: ConflictId,
        gone: BlockId,
    },
    ConflictClosed {
        conflict: ConflictId,
        blocks: Vec<BlockId>,
        /// Of these, what the host said to be gone.
        gone: Vec<BlockId>,
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
    /// The stay that an own block extends was moved away from it; the extension stays where it is.
    ExtensionLeft {
        block: BlockId,
        stay: BlockId,
    },
}
