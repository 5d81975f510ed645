//! Private links: extra ones, retiring ones, who owns a token, who reads it.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, ConnectionId, LinkId, PropertyId, span::Later};
use jiff::{SignedDuration, Timestamp};

use super::{Detail, Dirty, Format, LinkToken, Provider};

/// An old link is served for so long, so that its reader lets go of what it holds, or is told of the new one.
pub const RETIRES_AFTER: SignedDuration = SignedDuration::from_hours(24 * 7);

/// An extra private link that is not a connection's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraLink {
    pub id: LinkId,
    pub account: AccountId,
    pub name: String,
    pub scope: LinkScope,
    pub detail: Detail,
    pub format: Format,
    pub token: LinkToken,
    pub created_at: Timestamp,
    pub last_changed_at: Option<Timestamp>,
    /// Counts what can be edited; the ETag.
    pub version: u64,
    /// Counts every change; the mark is cleared only for the revision that was rendered.
    pub revision: u64,
    pub dirty: Option<Dirty>,
    /// Deleted: nobody sees it, and its address serves an empty calendar until `retires_at`.
    pub deleted_at: Option<Timestamp>,
}

impl ExtraLink {
    /// When the address of a deleted link is given up and its record goes.
    #[must_use]
    pub fn retires_at(&self) -> Option<Timestamp> {
        self.deleted_at.map(|at| at.later(RETIRES_AFTER))
    }

    /// Whether this property's stays are in it.
    #[must_use]
    pub fn shows(&self, property: &PropertyId) -> bool {
        match &self.scope {
            LinkScope::All => true,
            LinkScope::Properties(properties) => properties.contains(property),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkScope {
    /// Every property of the account, also those to come.
    All,
    Properties(BTreeSet<PropertyId>),
}

/// A private link that still answers for a while after it was rotated away or its connection went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiringLink {
    pub token: LinkToken,
    pub serves: RetiringServes,
    /// Then its object goes and it answers 404.
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetiringServes {
    /// A valid calendar with nothing in it, with the quirks of this provider's profile.
    Empty { provider: Provider },
    /// What the connection's present link serves: rotated, not yet revoked.
    Current { connection: ConnectionId },
    /// Nothing, since the export of its connection was stopped; turned on again it lives again.
    Stopped {
        connection: ConnectionId,
        /// Whose quirks the empty calendar has.
        provider: Provider,
        /// The link's settings; none for one that had been rotated away before.
        was: Option<StoppedExport>,
    },
}

/// A connection's link as it was when its export was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoppedExport {
    pub detail: Detail,
    pub format: Format,
    /// Since when its reads are recorded, as they go on to be; none where that was not written down.
    pub recorded_since: Option<Timestamp>,
}

/// Whose a private link's token is. Found by the token's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOwner {
    Connection { account: AccountId, property: PropertyId, connection: ConnectionId },
    Link { account: AccountId, link: LinkId },
}

/// When one link was read by anybody but ourselves, in the last 48 hours and often longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadTimes {
    /// Oldest first, to the millisecond.
    pub times: Vec<Timestamp>,
    /// None of them was dropped since then; before, there were so many that some were. None where all are there.
    pub whole_since: Option<Timestamp>,
}

/// Reads of one link by anybody but ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkReads {
    pub last_read_at: Option<Timestamp>,
    /// In the last 24 hours, by whole hours.
    pub reads_24h: u32,
}
