//! A property and all that is decided together with it: the unit of optimistic concurrency.

use calmesh_calendar::{
    AccountId, Block, Claims, Conflict, ConnectionId, Hold, HoldEnd, House, HouseError, Nights, PropertyId, span::Later,
};
use jiff::{SignedDuration, Timestamp, civil::Time, tz::TimeZone};

use super::{Connection, RetiringLink, happened, is_ahead};

/// One bookable unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub id: PropertyId,
    pub account: AccountId,
    pub name: String,
    /// IANA name; always one that jiff knows.
    pub time_zone: String,
    pub check_in: Time,
    pub check_out: Time,
    pub turnover_nights: u8,
    pub label_prefix: String,
    pub created_at: Timestamp,
    /// When a setting that moves nights (zone, times of day, turnover) last changed.
    pub rules_changed_at: Timestamp,
    /// Counts what can be edited; the ETag.
    pub version: u64,
    /// Counts every committed change of the property's state, settings and telemetry of merges included.
    pub revision: u64,
    /// When this revision was made; none for one that was made before that was kept.
    pub revised_at: Option<Timestamp>,
    /// The outbox: set by every commit that exports must follow, cleared when they did.
    pub dirty: Option<Dirty>,
    /// The next time something must happen though no feed changes.
    pub wake_at: Option<Timestamp>,
    /// The connections that read a feed, in order of creation: what a refresh of many properties needs to know of each.
    pub reading: Vec<ConnectionId>,
    /// Deleted: answers 404; what is left serves empty links until they retire.
    pub deleted_at: Option<Timestamp>,
}

/// Why a property's days can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyHouseError {
    #[error("its time zone is not known here")]
    UnknownZone,
    #[error(transparent)]
    House(#[from] HouseError),
}

/// A change that the exports have not followed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    pub since: Timestamp,
    /// How often it was announced again.
    pub attempts: u32,
    /// When it is announced again: two minutes after the change, then with back-off.
    pub announce_at: Timestamp,
}

/// A mark that was announced is announced again after this long at first, then after twice as long each time.
const REANNOUNCE_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// From so many attempts on the wait (a little over two hours) grows no more.
const DOUBLINGS_MOST: u32 = 6;

impl Dirty {
    /// The mark of what became due at `since`.
    #[must_use]
    pub fn new(since: Timestamp) -> Self {
        Self { since, attempts: 0, announce_at: since.later(REANNOUNCE_AFTER) }
    }

    /// How long the next announcement is left to work: what fails again and again is tried ever less often.
    fn pause(self) -> SignedDuration {
        REANNOUNCE_AFTER * (1 << self.attempts.min(DOUBLINGS_MOST))
    }
}

/// A mark after its announcement at `now`. A wake-up that has come makes the thing dirty: what is due is work like any
/// other, and is tried ever less often where it fails. Then it waits with the dirty mark, since one announcement serves
/// both. A mark that a clock dated that was ahead begins anew.
#[must_use]
pub fn postponed(
    dirty: Option<Dirty>,
    wake_at: Option<Timestamp>,
    now: Timestamp,
) -> (Option<Dirty>, Option<Timestamp>) {
    let dirty = dirty.map(|dirty| if is_ahead(dirty.since, now) { Dirty::new(now) } else { dirty });
    let woken = wake_at.filter(|at| *at <= now).map(|_| Dirty::new(now));
    let pause = dirty.or(woken).map_or(REANNOUNCE_AFTER, Dirty::pause);
    let wake_at = wake_at.map(|at| at.max(now.later(if at <= now { pause } else { REANNOUNCE_AFTER })));
    let dirty = dirty.or(woken).map(|dirty| Dirty {
        attempts: dirty.attempts.saturating_add(1),
        announce_at: now.later(dirty.pause()).max(happened(Some(dirty.announce_at), now).unwrap_or(now)),
        ..dirty
    });
    (dirty, wake_at)
}

impl Property {
    /// The rules of its days.
    ///
    /// # Errors
    /// When its zone is not known here, or `check_out` is after `check_in`. Neither is ever stored, and a store that finds
    /// it all the same calls the property corrupt: another clock would open nights in silence.
    pub fn house(&self) -> Result<House, PropertyHouseError> {
        let zone = TimeZone::get(&self.time_zone).map_err(|_| PropertyHouseError::UnknownZone)?;
        Ok(House::new(zone, self.check_in, self.check_out, self.turnover_nights)?)
    }
}

/// All that one query of a property's partition brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyState {
    pub property: Property,
    /// In order of creation, then id.
    pub connections: Vec<Connection>,
    /// In order of id.
    pub blocks: Vec<Block>,
    pub retiring: Vec<RetiringLink>,
    /// What of the blocks may be an echo; empty while nothing is in question.
    pub claims: Claims,
    /// Those that stand, in order of id.
    pub conflicts: Vec<Conflict>,
}

impl PropertyState {
    /// A property with nothing in it.
    #[must_use]
    pub fn of(property: Property) -> Self {
        Self {
            property,
            connections: Vec::new(),
            blocks: Vec::new(),
            retiring: Vec::new(),
            claims: Claims::default(),
            conflicts: Vec::new(),
        }
    }

    #[must_use]
    pub fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.id == *id)
    }
}

/// A hold that has ended, kept for 90 days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHold {
    pub hold: Hold,
    pub end: HoldEnd,
    pub closed_at: Timestamp,
    pub property: PropertyId,
    pub block: calmesh_calendar::BlockId,
    pub connection: calmesh_calendar::ConnectionId,
    /// The nights that it kept taken; none for one that took no night.
    pub nights: Option<Nights>,
}

/// A conflict as the lists show it; kept for 90 days after it closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictRecord {
    pub property: PropertyId,
    pub conflict: Conflict,
    /// None while it stands.
    pub closed_at: Option<Timestamp>,
}
