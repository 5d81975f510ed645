//! What the fetcher needs to know of a connection, what it found, and when whole shards were read.

use calmesh_calendar::{AccountId, ConnectionId, PropertyId, home_of};
use jiff::{SignedDuration, Timestamp};

use super::{FeedUrl, Provider};

/// One fetched body, kept by what it says: the digest that `calmesh_ics::meaning` gives, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snapshot(pub String);

/// HTTP validators of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What the sweep needs of one importing connection. A projection of the connection, written in the same
/// transaction as it; it is gone while the connection is paused, deleted or exports only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPlan {
    pub connection: ConnectionId,
    pub account: AccountId,
    pub property: PropertyId,
    pub provider: Provider,
    /// The connection's, for what is told of it; none in what an earlier version wrote.
    pub name: Option<String>,
    pub url: FeedUrl,
    /// What merge last took in, and the validators that came with that body.
    pub applied: Option<Snapshot>,
    pub validators: Validators,
    /// Since when the validators are those of a later body that says the same; none for the applied body's own.
    pub validators_at: Option<Timestamp>,
    /// When the applied body was read.
    pub applied_read_at: Option<Timestamp>,
    /// By which reader it was understood ([`crate::readings::take::READER`]).
    pub applied_by: Option<u16>,
    /// A hold or a question waits for readings: unchanged ones count and are announced too.
    pub pending: bool,
    /// Since when this plan stands: sweeps before it did not read this URL.
    pub since: Timestamp,
}

/// What the fetcher knows of a connection beyond its plan. Absent while every fetch is good and none was manual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchHealth {
    pub failure: Option<Failure>,
    /// The last good reading that was recorded; unchanged sweeps are in the sweep record alone.
    pub last_success_at: Option<Timestamp>,
    /// What was read last and announced to be taken in. It stays written when that was done: `FetchState::awaits`
    /// tells.
    pub announced: Option<AnnouncedReading>,
}

/// A reading that was parked and announced, so that merge takes it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedReading {
    /// The first reading since the last one that was taken in.
    pub since: Timestamp,
    /// The last one: when its body was read.
    pub read_at: Timestamp,
}

/// Merge has so long for a reading; one that waits longer was lost on its way, which is a failure.
pub(crate) const TAKEN_IN_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Plan and health of one importing connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchState {
    pub plan: FetchPlan,
    pub health: FetchHealth,
}

impl FetchState {
    /// The reading that was fetched and is not taken in yet, if any.
    #[must_use]
    pub fn awaits(&self) -> Option<AnnouncedReading> {
        let done = self.plan.applied_read_at.max(self.health.last_success_at);
        self.health.announced.filter(|announced| done.is_none_or(|done| done < announced.read_at))
    }

    /// The reading that should have been taken in by now and was not.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> Option<AnnouncedReading> {
        self.awaits().filter(|awaited| now.duration_since(awaited.since) > TAKEN_IN_WITHIN)
    }

    /// The failure that the host is told of: the recorded one, or a reading that never was taken in.
    #[must_use]
    pub fn failure(&self, now: Timestamp) -> Option<Failure> {
        let overdue = || {
            let AnnouncedReading { since, read_at } = self.is_overdue(now)?;
            Some(Failure {
                kind: FailureKind::NotTakenIn,
                detail: format!("{NOT_TAKEN_IN}{READ_AGAIN}"),
                since,
                count: 1,
                last_attempt_at: read_at,
                retry_at: now,
            })
        };
        self.health.failure.clone().or_else(overdue)
    }
}

/// What a host is told of a reading that was good and could not be taken in.
pub(crate) const NOT_TAKEN_IN: &str = "The calendar was read, but what is new in it could not be taken in: what was \
    known before still blocks, and what is new does not block yet. Nothing is wrong with the link.";
/// What a host is told of links that don't follow.
pub(crate) const NOT_IN_LINKS: &str = "What changed in this property could not be put into its private links yet: the \
    sites are shown what stood before. Nothing is wrong with the link that is read.";
/// What is added where nobody has to do anything.
pub(crate) const READ_AGAIN: &str = " It is read again by itself.";
pub(crate) const TRIED_AGAIN: &str = " It is tried again by itself.";

/// The failures of SAFETY.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    NotACalendar,
    Truncated,
    LinkRefused,
    LinkGone,
    RateLimited,
    ServerError,
    Unreachable,
    TimedOut,
    TooLarge,
    AddressRefused,
    /// The reading was good, and we could not take it in.
    NotTakenIn,
}

impl FailureKind {
    /// Whether the same link may well be read a little later without anybody doing anything.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::Truncated
            | Self::RateLimited
            | Self::ServerError
            | Self::Unreachable
            | Self::TimedOut
            | Self::NotTakenIn => true,
            Self::NotACalendar | Self::LinkRefused | Self::LinkGone | Self::TooLarge | Self::AddressRefused => false,
        }
    }

    pub const ALL: [Self; 11] = [
        Self::NotACalendar,
        Self::Truncated,
        Self::LinkRefused,
        Self::LinkGone,
        Self::RateLimited,
        Self::ServerError,
        Self::Unreachable,
        Self::TimedOut,
        Self::TooLarge,
        Self::AddressRefused,
        Self::NotTakenIn,
    ];

    /// The word that JSON, logs and tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotACalendar => "not_a_calendar",
            Self::Truncated => "truncated",
            Self::LinkRefused => "link_refused",
            Self::LinkGone => "link_gone",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::AddressRefused => "address_refused",
            Self::NotTakenIn => "not_taken_in",
        }
    }
}

/// A run of failed fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// A sentence for the host with advice; holds no URL and nothing of the body but its kind.
    pub detail: String,
    /// The first failure of this run.
    pub since: Timestamp,
    pub count: u32,
    pub last_attempt_at: Timestamp,
    /// Sweeps leave it alone until then.
    pub retry_at: Timestamp,
}

/// SAFETY.md: `ok`, `degraded` after 1 failure, `failing` after 3, `dead` after 24 h without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    Ok,
    Degraded,
    Failing,
    Dead,
}

impl Health {
    #[must_use]
    pub fn of(failure: Option<&Failure>, now: Timestamp) -> Self {
        match failure {
            None => Self::Ok,
            Some(failure) if now.duration_since(failure.since).as_hours() >= 24 => Self::Dead,
            Some(failure) if failure.count >= 3 => Self::Failing,
            Some(_) => Self::Degraded,
        }
    }
}

impl FetchHealth {
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Health {
        Health::of(self.failure.as_ref(), now)
    }
}

/// What one GET of a feed brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// 304: the body is still the one whose validators were sent.
    NotModified,
    /// 200 with a whole body within the limits.
    Body { bytes: bytes::Bytes, validators: Validators, content_type: Option<String> },
    /// We send enough to a host on the way already: nothing is known of the feed. There may be a turn after so long.
    HeldBack { wait: SignedDuration },
    /// Other bodies had all the room there is: nothing is known of the feed.
    NoRoom,
}

/// A host asked for less (429, 503): nobody reads it before `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPause {
    pub host: String,
    pub until: Timestamp,
}

/// One pass over a run of buckets that was finished. Every connection of the run that was due, has no
/// failure and was not skipped was read well between `started_at` and `finished_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRecord {
    /// First and last bucket of the run, both included.
    pub first_bucket: u16,
    pub last_bucket: u16,
    /// The number of the period since 1970.
    pub number: i64,
    pub started_at: Timestamp,
    /// Not read in this pass though due: their host was paused, or the pass ended early for them.
    pub skipped: Vec<ConnectionId>,
}

/// FNV-1a, 64 bits, by which ids are spread over fixed places. The upper bits are the well mixed ones.
#[must_use]
pub fn spread_of(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The fixed bucket of a connection, 0 to 4,095: twelve bits of `spread_of` what its id shares with its property's. So all
/// feeds of a property are read by the same sweep.
#[must_use]
pub fn bucket_of(connection: &ConnectionId) -> u16 {
    let id = connection.as_str();
    let hash = spread_of(home_of(id).unwrap_or(id));
    u16::try_from(hash >> 52).unwrap_or_default()
}
