//! Calendars for the other side to read. The same document is always the same bytes (RFC 5545).

use calmesh_calendar::Extent;
use icalendar::{Calendar, Component, Event, Property};
use jiff::{Timestamp, civil::Date, tz::Offset};

/// A calendar to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// X-WR-CALNAME.
    pub name: String,
    /// How long a reader may keep what it read: REFRESH-INTERVAL (RFC 7986) and X-PUBLISHED-TTL, in minutes.
    pub refresh_minutes: u32,
    /// In any order.
    pub events: Vec<DocumentEvent>,
}

/// One event of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentEvent {
    pub uid: String,
    /// Nights are written as dates, times in UTC to the second: a start is rounded down and an end up.
    pub extent: Extent,
    pub summary: String,
    pub description: Option<String>,
    /// When what this event says last changed: DTSTAMP and LAST-MODIFIED.
    pub stamp: Timestamp,
    /// How often it changed.
    pub sequence: u32,
}

/// The document's bytes: UTF-8, CRLF, folded at 75 octets, events sorted by start and then UID.
///
/// There is no METHOD, which would want an ORGANIZER (RFC 5546), and a document without events is a calendar
/// without events.
#[must_use]
pub fn render(document: &Document) -> Vec<u8> {
    let mut calendar = Calendar::empty();
    let refresh = format!("PT{}M", document.refresh_minutes);
    for property in [
        Property::new("VERSION", "2.0"),
        Property::new("PRODID", "-//Calmesh//Calmesh 1.0//EN"),
        Property::new("CALSCALE", "GREGORIAN"),
        Property::new("X-WR-CALNAME", printable(&document.name)),
        Property::new("REFRESH-INTERVAL", refresh.as_str()).add_parameter("VALUE", "DURATION").done(),
        Property::new("X-PUBLISHED-TTL", refresh.as_str()),
    ] {
        calendar.append_property(property);
    }
    let mut events: Vec<(Written, &DocumentEvent)> =
        document.events.iter().map(|event| (Written::of(event.extent), event)).collect();
    events.sort_by(|(at, a), (other, b)| {
        at.start.cmp(&other.start).then_with(|| a.uid.cmp(&b.uid)).then_with(|| order_of_twins(a, b))
    });
    for (at, event) in events {
        calendar.push(written(at, event));
    }
    calendar.to_string().into_bytes()
}

/// Events that share start and UID are ordered by all else they say, or their order would leak into the bytes.
fn order_of_twins(a: &DocumentEvent, b: &DocumentEvent) -> std::cmp::Ordering {
    let rest = |event: &DocumentEvent| (event.extent, event.sequence, event.stamp);
    rest(a).cmp(&rest(b)).then_with(|| a.summary.cmp(&b.summary)).then_with(|| a.description.cmp(&b.description))
}

/// An extent as it is written.
struct Written {
    dates: bool,
    start: String,
    end: String,
}

impl Written {
    fn of(extent: Extent) -> Self {
        match extent {
            Extent::Nights(nights) => Self { dates: true, start: date(nights.first()), end: date(nights.end()) },
            Extent::Times(times) => {
                let start = times.start().as_second() - i64::from(times.start().subsec_nanosecond() < 0);
                let end = times.end().as_second() + i64::from(times.end().subsec_nanosecond() > 0);
                Self { dates: false, start: instant(start), end: instant(end) }
            }
        }
    }
}

/// `20261204`. iCalendar can't write a year before 0 (RFC 3339's four digits).
fn date(date: Date) -> String {
    let date = date.max(Date::constant(0, 1, 1));
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// `20261204T150000Z` of seconds since 1970.
fn instant(second: i64) -> String {
    let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    let at = Offset::UTC.to_datetime(timestamp);
    let at = at.max(Date::constant(0, 1, 1).at(0, 0, 0, 0));
    format!("{}T{:02}{:02}{:02}Z", date(at.date()), at.hour(), at.minute(), at.second())
}

fn written(at: Written, event: &DocumentEvent) -> Event {
    let Written { dates, start, end } = at;
    let moment = |name: &str, value: String| {
        let mut property = Property::new(name, value);
        if dates {
            property.add_parameter("VALUE", "DATE");
        }
        property
    };
    let stamp = instant(event.stamp.as_second());
    let mut out = Event::new();
    out.append_property(moment("DTSTART", start))
        .append_property(moment("DTEND", end))
        .add_property("DTSTAMP", stamp.as_str())
        .add_property("LAST-MODIFIED", stamp.as_str())
        .add_property("SEQUENCE", event.sequence.to_string())
        .add_property("STATUS", "CONFIRMED")
        .add_property("TRANSP", "OPAQUE")
        .add_property("UID", printable(&event.uid))
        .add_property("SUMMARY", printable(&event.summary));
    if let Some(description) = &event.description {
        out.add_property("DESCRIPTION", printable(description));
    }
    out.done()
}

/// Text without the control characters that RFC 5545 3.1 forbids; every line end becomes a line feed, which the
/// writer escapes.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}
