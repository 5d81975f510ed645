//! Dull defaults: a property in Madrid, the horizon around 1 January 2027.

use calmesh_calendar::{Extent, FeedEvent, FeedReading};
use calmesh_ics::{Horizon, Limits, ReadContext, Refusal, read};
use jiff::{Timestamp, tz::TimeZone};

pub(crate) fn madrid() -> TimeZone {
    TimeZone::get("Europe/Madrid").unwrap()
}

pub(crate) fn context(zone: &TimeZone) -> ReadContext<'_> {
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    ReadContext { zone, horizon: Horizon::around(now), limits: Limits::default(), end_is_last_night: false }
}

pub(crate) fn try_read(body: impl AsRef<[u8]>) -> Result<FeedReading, Refusal> {
    read(body.as_ref(), &context(&madrid()))
}

pub(crate) fn read_text(body: impl AsRef<[u8]>) -> FeedReading {
    try_read(body).unwrap()
}

/// A calendar around lines, which are given with `\n`.
pub(crate) fn calendar(lines: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{lines}\nEND:VCALENDAR\n")
}

/// A calendar with one event `UID:1` of these properties.
pub(crate) fn event(lines: &str) -> String {
    calendar(&format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT"))
}

pub(crate) fn extent(event: &FeedEvent) -> String {
    match event.extent {
        Extent::Nights(nights) => format!("{}..{}", nights.first(), nights.end()),
        Extent::Times(times) => format!("{}..{}", times.start(), times.end()),
    }
}

/// What a reading lists, in its order.
pub(crate) fn listed(reading: &FeedReading) -> Vec<String> {
    reading.events.iter().map(extent).collect()
}

pub(crate) fn details(reading: &FeedReading) -> Vec<&str> {
    reading.warnings.iter().map(|warning| warning.detail.as_str()).collect()
}

/// What one event of these properties lists.
pub(crate) fn of_event(lines: &str) -> Vec<String> {
    listed(&read_text(event(lines)))
}
