//! Connections: the link between a property and one calendar elsewhere.

use calmesh_calendar::{AccountId, ConnectionId, Policy, PropertyId, ReadWarning};
use calmesh_profiles::Profile;
use jiff::Timestamp;

use super::{FeedUrl, LinkToken, PolicyOverrides, Provider, SecretHash, Site, Snapshot, Validators};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Import,
    Export,
    Bidirectional,
}

impl Direction {
    #[must_use]
    pub fn imports(self) -> bool {
        matches!(self, Self::Import | Self::Bidirectional)
    }

    #[must_use]
    pub fn exports(self) -> bool {
        matches!(self, Self::Export | Self::Bidirectional)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Active,
    /// Neither side counts; resumes by itself at `until` where that is given.
    Paused {
        until: Option<Timestamp>,
    },
}

/// How much a link's reader learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Detail {
    Busy,
    Label,
    Full,
}

/// Whether a link carries whole nights or exact times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    Nights,
    Times,
}

/// One named link between a property and one calendar elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub id: ConnectionId,
    pub account: AccountId,
    pub property: PropertyId,
    pub name: String,
    pub provider: Provider,
    pub direction: Direction,
    pub status: Status,
    /// There exactly while the direction imports.
    pub import: Option<ImportSide>,
    /// There exactly while the direction exports.
    pub export: Option<ExportSide>,
    pub created_at: Timestamp,
    /// When the name last changed: `label` links stamp their events with it.
    pub named_at: Timestamp,
    /// Counts what can be edited; the ETag. Telemetry does not count.
    pub version: u64,
}

impl Connection {
    /// As its host knows it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site { name: self.name.clone(), provider: self.provider.clone() }
    }

    /// Whether its feed is read and counts.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.import.is_some() && matches!(self.status, Status::Active)
    }

    /// Whether its private link shows what the others took; else that is empty, or there is none.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.export.as_ref().is_some_and(|export| !export.paused) && matches!(self.status, Status::Active)
    }

    /// The last reading that was taken in, if any.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.import.as_ref()?.applied.as_ref()
    }

    /// The body that was taken in last, where it lies among the objects.
    #[must_use]
    pub fn parked(&self) -> Option<&Snapshot> {
        self.applied().filter(|applied| !applied.small).map(|applied| &applied.snapshot)
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        matches!(self.status, Status::Paused { .. })
    }

    /// Its provider's profile.
    #[must_use]
    pub fn profile(&self) -> &'static Profile {
        self.provider.profile()
    }

    /// How its feed is judged.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let defaults = &self.profile().policy;
        self.import.as_ref().map_or_else(|| defaults.clone(), |import| import.policy.resolve(defaults))
    }
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSide {
    pub url: FeedUrl,
    /// When this URL was set or its reading was resumed: sweeps before it did not read it.
    pub since: Timestamp,
    pub policy: PolicyOverrides,
    /// The last reading that merge took in. Only merge writes it, in its transaction.
    pub applied: Option<Applied>,
    /// The mark of the URL whose stays are still known though the host gave another one since, of which no reading that
    /// shows anything was taken in yet.
    pub replaces: Option<SecretHash>,
    /// The mark under which the account's list of feeds has this one; none as earlier versions wrote it.
    pub listed: Option<SecretHash>,
}

impl ImportSide {
    /// One of which nothing is known yet.
    #[must_use]
    pub fn new(url: FeedUrl, since: Timestamp, policy: PolicyOverrides) -> Self {
        Self { url, since, policy, applied: None, replaces: None, listed: None }
    }
}

/// The last reading that merge took in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub snapshot: Snapshot,
    /// What came with that body, to ask for changes only.
    pub validators: Validators,
    /// When that body was read; older readings that arrive later are dropped.
    pub read_at: Timestamp,
    /// When a reading last changed blocks.
    pub changed_at: Timestamp,
    /// When the same body will mean more, because the horizon has moved on by then: an event recurs, or lies beyond it.
    /// None where it says all that it ever will.
    pub more_at: Option<Timestamp>,
    /// By which reader the body was understood ([`crate::readings::take::READER`]); one of an older reader is read anew.
    pub reader: u16,
    /// Whether the body lies in the store, and not among the objects.
    pub small: bool,
    /// Around when the horizon lay by which it was expanded.
    pub horizon_at: Timestamp,
    /// At most 20, the first ones.
    pub warnings: Vec<ReadWarning>,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSide {
    pub token: LinkToken,
    pub detail: Detail,
    pub format: Format,
    /// The link alone is paused and empty; the feed is read and blocks all the same.
    pub paused: bool,
    /// When the rendered bytes last changed.
    pub last_changed_at: Option<Timestamp>,
    /// Since when the reads of this link, and of those that it was given out as before, are recorded.
    pub recorded_since: Timestamp,
}
