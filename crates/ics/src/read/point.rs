//! Points in time on their clocks, and the days that they mean.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
};

use crate::read::zones::Clock;

/// On which clock an instant is a day of an all-day event.
#[derive(Debug, Clone)]
pub(crate) struct Days {
    pub(crate) clock: Clock,
    /// The calendar names it; else it is the property's, and may be another than that of whoever wrote the feed.
    pub(crate) named: bool,
}

/// A start, an end, or another point of an event, on its clock.
#[derive(Debug, Clone)]
pub(crate) enum Point {
    Day(Date),
    At { local: DateTime, clock: Clock },
}

impl Point {
    /// On the wall clock; a day begins at midnight.
    pub(crate) fn civil(&self) -> DateTime {
        match self {
            Self::Day(day) => day.to_datetime(Time::midnight()),
            Self::At { local, .. } => *local,
        }
    }

    pub(crate) fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Day(_) => None,
            Self::At { local, clock } => Some(clock.instant(*local)),
        }
    }

    /// The day that this means for an event that is given in days: a day, the date on its own clock, or for an
    /// instant the date where days are reckoned; `T000000Z` means the date as it is written.
    pub(crate) fn day(&self, days: &Days) -> Date {
        match self {
            Self::Day(day) => *day,
            Self::At { local, clock } if clock.is_utc() && local.time() != Time::midnight() => {
                days.clock.local(clock.instant(*local)).date()
            }
            Self::At { local, .. } => local.date(),
        }
    }

    /// Whether the day that this means depends on a clock that nobody named.
    pub(crate) fn day_is_open(&self, days: &Days) -> bool {
        match self {
            Self::At { local, clock } if clock.is_utc() && local.time() != Time::midnight() && !days.named => {
                days.clock.local(clock.instant(*local)).time() != Time::midnight()
            }
            _ => false,
        }
    }

    /// The day before whose end this is, where it is the last minute of one (`T235959`), on its own clock or where
    /// days are reckoned.
    pub(crate) fn last_minute_of(&self, days: &Days) -> Option<Date> {
        let Self::At { local, clock } = self else { return None };
        let there = || days.clock.local(clock.instant(*local));
        let is_last = |local: &DateTime| local.hour() == 23 && local.minute() == 59;
        Some(*local).filter(is_last).or_else(|| Some(there()).filter(is_last)).map(DateTime::date)
    }
}
