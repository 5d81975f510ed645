//! What is known of one provider: the facts that a profile holds. Read from data files, never changed.

use std::fmt;

use calmesh_calendar::Policy;
use url::Url;

use crate::{
    marks::Marks,
    rules::{CodePattern, Rule},
};

/// The id of a provider that has a profile, such as `airbnb`. Only ids of the catalogue exist as values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(pub(crate) &'static str);

impl ProviderId {
    /// The id as it stands in JSON, tables and logs: lower case, digits and underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A string that names no provider of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known provider; `generic` fits any iCalendar link")]
pub struct UnknownProvider;

/// In which directions a connection with this provider can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directions {
    /// Its calendar can be read by us.
    pub import: bool,
    /// It reads our private link (or takes our blocks through its account).
    pub export: bool,
}

/// How a connection with this provider is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By iCalendar links.
    Ical,
    /// By an account there that the host connects; there is no feed URL.
    Account,
}

/// How often the provider's feed may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Minutes that must lie between two readings of one feed.
    pub min_interval_minutes: u32,
}

/// What is odd about a provider's feeds and about what it accepts from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Its importer was seen to refuse a calendar without events: serve one event in 1970.
    pub far_past_event_when_empty: bool,
    /// DTEND is the last night and not the departure day. False in every file: some sites do it, none is known by name.
    pub end_is_last_night: bool,
    /// Its import adds nights and never takes them back, so what we stop showing stays blocked there.
    pub import_never_cancels: bool,
    /// It understands whole days only, so that a late check-out costs the day there.
    pub whole_days_only: bool,
    /// All-day events are free (transparent) unless the host changed that.
    pub all_day_events_default_to_free: bool,
    /// The feed is served under a content type other than `text/calendar`.
    pub odd_content_type: bool,
    /// Events may carry a guest's name, phone or price.
    pub carries_guest_details: bool,
}

/// What a host does about a feed of this provider that could not be read: sentences, each for one way in which a site
/// does not give a calendar. None where there is nothing to know beside what is true of every site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    /// 404 or 410.
    pub link_gone: Option<String>,
    /// 401, 403, or another status that refuses.
    pub link_refused: Option<String>,
    /// 5xx.
    pub server_error: Option<String>,
    /// 429 or 503.
    pub rate_limited: Option<String>,
    /// What came is no calendar: most often a page.
    pub not_a_calendar: Option<String>,
}

/// What is known of one provider.
#[derive(Debug, Clone)]
pub struct Profile {
    pub id: ProviderId,
    /// As hosts know it.
    pub name: String,
    /// Where the host finds the link of this provider's calendar, for our import.
    pub help: String,
    /// Where the host pastes our private link, for our export.
    pub export_help: String,
    /// What a host should know: delays, limits, what is not confirmed. One sentence or two each.
    pub limits: Vec<String>,
    /// What its site wants to be read by, where it does not give its calendars to our own name. Printable ASCII.
    pub user_agent: Option<String>,
    pub refusals: Refusals,
    pub directions: Directions,
    pub via: Via,
    /// How often we may read at most; None where nothing is known.
    pub cadence: Option<Cadence>,
    /// How often it reads our link, in minutes: the slowest that was reported, so that no wait is too short. None where unknown.
    pub reads_export_every_minutes: Option<u32>,
    /// How many calendars one listing can import there.
    pub max_imports: Option<u32>,
    pub quirks: Quirks,
    /// Whether its feed says which events are reservations. Where it does not, every closure counts as a possible reservation.
    pub tells_reservations_apart: bool,
    /// It can't show what it read from us: its feed holds only its own events.
    pub never_echoes: bool,
    /// What a new connection's policy starts from (API.md, "A connection"). A channel manager aggregates: its feed lists
    /// stays that were booked elsewhere (SAFETY.md, "Mirrors").
    pub policy: Policy,
    pub(crate) marks: Marks,
    pub(crate) rules: Vec<Rule>,
    pub(crate) codes: Vec<CodePattern>,
}

impl Profile {
    /// Whether this URL has the shape of a feed of this provider, and is not another page of its site (a listing
    /// pasted by mistake). False for a profile whose feeds have no known shape. Looks only; the URL is never
    /// rebuilt, because Agoda's key must keep its `%2f` and `%2b` as they are.
    #[must_use]
    pub fn is_feed_url(&self, url: &Url) -> bool {
        self.marks.is_feed_url(url)
    }
}
