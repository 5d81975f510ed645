//! What a reading depends on beside the body: the property's clock, the horizon, and how much is too much.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// What a reading depends on beside the body.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// The property's zone: dates and floating times are local to it.
    pub zone: &'a TimeZone,
    /// Occurrences outside of it are read but not listed.
    pub horizon: Horizon,
    pub limits: Limits,
    /// DTEND of all-day events is the last night, not the departure day, as some sites write it.
    pub end_is_last_night: bool,
}

/// The time that is of interest, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Horizon {
    /// From 30 days back to 775 days ahead: feeds reach a year or two, hosts ask for 760 days, and the horizon of a feed
    /// that does not change is moved on once a week.
    #[must_use]
    pub fn around(now: Timestamp) -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self {
            from: now.checked_sub(days(30)).unwrap_or(Timestamp::MIN),
            until: now.checked_add(days(775)).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Sizes beyond which a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the body.
    pub bytes: usize,
    /// VEVENTs.
    pub events: usize,
    /// Listed occurrences of all events together.
    pub occurrences: usize,
    /// Of the names and summaries of these, one by one.
    pub listed_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 * 1024 * 1024, events: 10_000, occurrences: 20_000, listed_bytes: 16 * 1024 * 1024 }
    }
}
