//! What a feed says, in the domain's terms: the border between `ics` and everything that judges.

use std::sync::Arc;

use jiff::Timestamp;

use crate::Extent;

/// RFC 5545 STATUS of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventStatus {
    Confirmed,
    Tentative,
    Cancelled,
}

/// X-MICROSOFT-CDO-BUSYSTATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BusyStatus {
    Free,
    Tentative,
    Busy,
    OutOfOffice,
    WorkingElsewhere,
}

/// Where an event stands in the feed's text: numbers of its first and last line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lines {
    pub first: u32,
    pub last: u32,
}

/// How the other side names an occurrence: its UID, and for one of a series the RECURRENCE-ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    pub uid: String,
    /// The original start of this occurrence of a series, in a form that compares equal for the same one.
    pub occurrence: Option<String>,
}

/// One occurrence of one event. A recurring event was already expanded within the horizon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// None where the feed gives no UID.
    pub key: Option<EventKey>,
    /// Whole nights for all-day events: from the start day, to DTEND exclusive; at least one night.
    pub extent: Extent,
    /// Shared by all occurrences of a series, as is the description.
    pub summary: Arc<str>,
    pub description: Arc<str>,
    pub status: Option<EventStatus>,
    /// TRANSP: `Some(true)` for TRANSPARENT, `Some(false)` for OPAQUE, `None` when not given.
    pub transparent: Option<bool>,
    pub busy_status: Option<BusyStatus>,
    pub lines: Lines,
}

/// Something in a feed that could not be taken as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWarning {
    /// Line in the feed's text, from 1; none for the feed as a whole.
    pub line: Option<u32>,
    pub uid: Option<String>,
    /// A sentence for the host; never a guest's details.
    pub detail: String,
    /// Something of the event was not read that might block more, or all of it, so that stays known by this UID are
    /// kept as they were.
    pub unread: bool,
}

/// A feed that was read: what it says and what could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedReading {
    /// X-WR-CALNAME.
    pub name: Option<String>,
    pub prodid: Option<String>,
    /// Raw `BEGIN:VEVENT` lines in the body.
    pub events_in_text: u32,
    /// Of these, how many were understood (a recurring event counts once).
    pub events_read: u32,
    /// The earliest start of what lies beyond the horizon, from which on the same body means more; the horizon's own
    /// end where an event recurs. None where the body will never say more.
    pub more_from: Option<Timestamp>,
    /// Occurrences in the order of the text; series in order of time.
    pub events: Vec<FeedEvent>,
    pub warnings: Vec<ReadWarning>,
}
