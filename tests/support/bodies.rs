//! Feed bodies of the shapes that PROVIDERS.md describes, from stays that a test names. Every value is invented.
//!
//! ```
//! use calmesh_tests::bodies::airbnb;
//!
//! let feed = airbnb().reserved("2026-12-04", "2026-12-07", "HMTEST0001").closed("2026-12-24", "2026-12-27");
//! assert!(feed.body(0).contains("DTSTART;VALUE=DATE:20261204\r\n"));
//! // The moment of the fetch is in every event, so the bytes differ though nothing changed.
//! assert_ne!(feed.body(0), feed.body(1));
//! ```

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, civil::Date};
use sha2::{Digest, Sha256};

use crate::dates::day;

/// Nights from arrival to departure, both `YYYY-MM-DD`, or `MM-DD` of next year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: Date,
    end: Date,
}

impl Span {
    #[track_caller]
    fn new(start: &str, end: &str) -> Self {
        Self { start: day(start), end: day(end) }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}

/// When the fetch of this number happens: a quarter of an hour after the one before. No clock is read.
fn moment(fetch: u64) -> String {
    let first: Timestamp = "2026-11-21T08:00:00Z".parse().expect("an instant");
    let quarters = i64::try_from(fetch).unwrap_or_default();
    let at = first + SignedDuration::from_mins(15) * i32::try_from(quarters).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex_of(seed: &str, digits: usize) -> String {
    let mut text = hex::encode(Sha256::digest(seed.as_bytes()));
    text.truncate(digits);
    text
}

/// Content lines, folded at 75 octets.
#[derive(Debug)]
struct Lines {
    text: String,
    end: &'static str,
}

impl Lines {
    fn new(end: &'static str) -> Self {
        Self { text: String::new(), end }
    }

    fn line(mut self, line: &str) -> Self {
        let mut width = 0;
        for letter in line.chars() {
            if width + letter.len_utf8() > 75 {
                self.text.push_str(self.end);
                self.text.push(' ');
                width = 1;
            }
            self.text.push(letter);
            width += letter.len_utf8();
        }
        self.text.push_str(self.end);
        self
    }

    fn dates(self, span: Span) -> Self {
        self.line(&format!("DTSTART;VALUE=DATE:{}", span.start.strftime("%Y%m%d")))
            .line(&format!("DTEND;VALUE=DATE:{}", span.end.strftime("%Y%m%d")))
    }

    /// An event as most sites write one; its DTSTAMP never moves.
    fn event(self, span: Span, uid: &str, summary: &str) -> Self {
        self.line("BEGIN:VEVENT")
            .line(&format!("UID:{uid}"))
            .line("DTSTAMP:20261101T000000Z")
            .dates(span)
            .line(&format!("SUMMARY:{summary}"))
            .line("END:VEVENT")
    }
}

/// An empty feed of Airbnb's shape.
#[must_use]
pub fn airbnb() -> Airbnb {
    Airbnb::default()
}

/// Airbnb: `Reserved` with a code in the description, `Airbnb (Not available)` without one, a moving DTSTAMP.
#[derive(Debug, Clone, Default)]
pub struct Airbnb {
    events: Vec<(Span, Option<String>)>,
}

impl Airbnb {
    /// A reservation. The code (`HM…`) is its identity: the UID follows it, not the dates.
    #[must_use]
    #[track_caller]
    pub fn reserved(mut self, start: &str, end: &str, code: &str) -> Self {
        self.events.push((Span::new(start, end), Some(code.to_owned())));
        self
    }

    /// A closure. Its UID follows the dates.
    #[must_use]
    #[track_caller]
    pub fn closed(mut self, start: &str, end: &str) -> Self {
        self.events.push((Span::new(start, end), None));
        self
    }

    /// Without the events that start on this date.
    #[must_use]
    #[track_caller]
    pub fn without(mut self, start: &str) -> Self {
        let start = day(start);
        self.events.retain(|(span, _)| span.start != start);
        self
    }

    /// The body as fetched for the `fetch`th time, from 0.
    #[must_use]
    pub fn body(&self, fetch: u64) -> String {
        let mut lines = Lines::new("\r\n")
            .line("BEGIN:VCALENDAR")
            .line("PRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN")
            .line("CALSCALE:GREGORIAN")
            .line("VERSION:2.0");
        for (span, code) in &self.events {
            lines = lines.line("BEGIN:VEVENT").line(&format!("DTSTAMP:{}", moment(fetch))).dates(*span);
            lines = match code {
                Some(code) => lines
                    .line("SUMMARY:Reserved")
                    .line(&format!("UID:1418fb94e984-{}@airbnb.com", hex_of(code, 32)))
                    .line(&format!(
                        "DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/details/{code}\\nPhone \
                         Number (Last 4 Digits): 0000"
                    )),
                None => lines
                    .line("SUMMARY:Airbnb (Not available)")
                    .line(&format!("UID:7f662ec65913-{}@airbnb.com", hex_of(&span.to_string(), 32))),
            }
            .line("END:VEVENT");
        }
        lines.line("END:VCALENDAR").text
    }
}

/// An empty feed of Booking.com's shape.
#[must_use]
pub fn booking_com() -> BookingCom {
    BookingCom::default()
}

/// Booking.com: everything is `CLOSED - Not available`; line feeds alone; a new UID on most edits.
#[derive(Debug, Clone, Default)]
pub struct BookingCom {
    spans: Vec<Span>,
    mint: u32,
}

impl BookingCom {
    /// A reservation or a closure; nobody can tell.
    #[must_use]
    #[track_caller]
    pub fn closed(mut self, start: &str, end: &str) -> Self {
        self.spans.push(Span::new(start, end));
        self
    }

    /// Without the events that start on this date.
    #[must_use]
    #[track_caller]
    pub fn without(mut self, start: &str) -> Self {
        let start = day(start);
        self.spans.retain(|span| span.start != start);
        self
    }

    /// The same with new UIDs, as after an edit.
    #[must_use]
    pub fn reminted(mut self) -> Self {
        self.mint += 1;
        self
    }

    #[must_use]
    pub fn body(&self) -> String {
        let mut lines = Lines::new("\n")
            .line("BEGIN:VCALENDAR")
            .line("VERSION:2.0")
            .line("PRODID:-//admin.booking.com\\, b.v.//NONSGML v1.0//EN")
            .line("CALSCALE:GREGORIAN")
            .line("METHOD:PUBLISH");
        for span in &self.spans {
            lines = lines
                .line("BEGIN:VEVENT")
                .dates(*span)
                .line(&format!("UID:{}@booking.com", hex_of(&format!("{span} {}", self.mint), 32)))
                .line("SUMMARY:CLOSED - Not available")
                .line("END:VEVENT");
        }
        lines.line("END:VCALENDAR").text
    }
}

/// An empty feed of Vrbo's shape.
#[must_use]
pub fn vrbo() -> Vrbo {
    Vrbo::default()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum VrboKind {
    Reserved(String),
    Blocked,
    Tentative(String),
}

/// Vrbo, HomeAway, Abritel: a UUID that changes with the dates, an owner's closure with one made of dates.
#[derive(Debug, Clone, Default)]
pub struct Vrbo {
    events: Vec<(Span, VrboKind)>,
}

impl Vrbo {
    #[must_use]
    #[track_caller]
    pub fn reserved(mut self, start: &str, end: &str, first_name: &str) -> Self {
        self.events.push((Span::new(start, end), VrboKind::Reserved(first_name.to_owned())));
        self
    }

    /// An owner's closure.
    #[must_use]
    #[track_caller]
    pub fn blocked(mut self, start: &str, end: &str) -> Self {
        self.events.push((Span::new(start, end), VrboKind::Blocked));
        self
    }

    /// A request that holds its nights; its word is known in French alone.
    #[must_use]
    #[track_caller]
    pub fn tentative(mut self, start: &str, end: &str, first_name: &str) -> Self {
        self.events.push((Span::new(start, end), VrboKind::Tentative(first_name.to_owned())));
        self
    }

    /// Without the events that start on this date.
    #[must_use]
    #[track_caller]
    pub fn without(mut self, start: &str) -> Self {
        let start = day(start);
        self.events.retain(|(span, _)| span.start != start);
        self
    }

    #[must_use]
    pub fn body(&self) -> String {
        let mut lines = Lines::new("\r\n")
            .line("BEGIN:VCALENDAR")
            .line("PRODID:-//HomeAway.com\\, Inc.//EN")
            .line("VERSION:2.0")
            .line("CALSCALE:GREGORIAN");
        for (span, kind) in &self.events {
            let (summary, uid) = match kind {
                VrboKind::Reserved(name) => (format!("Reserved - {name}"), uuid(&format!("{span} {name}"))),
                VrboKind::Tentative(name) => (format!("Provisoire - {name}"), uuid(&format!("{span} {name}"))),
                VrboKind::Blocked => ("Blocked".to_owned(), uuid_of_dates(*span)),
            };
            lines = lines.event(*span, &uid, &summary);
        }
        lines.line("END:VCALENDAR").text
    }
}

/// The form of a UUID of version 4.
fn uuid(seed: &str) -> String {
    let mut digits = hex_of(seed, 32);
    digits.replace_range(12..13, "4");
    digits.replace_range(16..17, "a");
    for at in [20, 16, 12, 8] {
        digits.insert(at, '-');
    }
    digits
}

/// As `02292020-0229-2020-0305-202003052020` for the nights from 29 February to 5 March 2020.
fn uuid_of_dates(span: Span) -> String {
    let mut text = String::new();
    let (start, end) = (span.start, span.end);
    let _ = write!(text, "{}-{}-{}-", start.strftime("%m%d%Y"), start.strftime("%m%d"), start.strftime("%Y"));
    let _ = write!(text, "{}-{}{}", end.strftime("%m%d"), end.strftime("%Y%m%d"), end.strftime("%Y"));
    text
}

/// An empty feed of no known provider.
#[must_use]
pub fn generic() -> Generic {
    Generic::default()
}

/// Whole days with a UID and a summary that the test chooses.
#[derive(Debug, Clone, Default)]
pub struct Generic {
    events: Vec<(Span, String, String)>,
}

impl Generic {
    #[must_use]
    #[track_caller]
    pub fn event(mut self, start: &str, end: &str, uid: &str, summary: &str) -> Self {
        self.events.push((Span::new(start, end), uid.to_owned(), summary.to_owned()));
        self
    }

    #[must_use]
    pub fn body(&self) -> String {
        let mut lines = Lines::new("\r\n").line("BEGIN:VCALENDAR").line("VERSION:2.0").line("PRODID:-//Example//EN");
        for (span, uid, summary) in &self.events {
            lines = lines.event(*span, uid, summary);
        }
        lines.line("END:VCALENDAR").text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owners_closure_at_vrbo_has_a_uid_made_of_its_dates() {
        assert_eq!(uuid_of_dates(Span::new("2020-02-29", "2020-03-05")), "02292020-0229-2020-0305-202003052020");
    }

    #[test]
    fn a_reservation_keeps_its_uid_when_its_dates_move_and_a_closure_does_not() {
        let uids = |feed: Airbnb| -> Vec<String> {
            feed.body(0).lines().filter(|line| line.starts_with("UID:")).map(str::to_owned).collect()
        };
        let before =
            uids(airbnb().reserved("2026-12-04", "2026-12-07", "HMTEST0001").closed("2026-12-24", "2026-12-27"));
        let after =
            uids(airbnb().reserved("2026-12-05", "2026-12-07", "HMTEST0001").closed("2026-12-24", "2026-12-28"));
        assert_eq!(before.first(), after.first());
        assert_ne!(before.last(), after.last());
    }

    #[test]
    fn no_line_is_longer_than_75_octets() {
        let body = airbnb().reserved("2026-12-04", "2026-12-07", "HMTEST0001").body(7);
        assert!(body.split("\r\n").all(|line| line.len() <= 75), "{body}");
        assert!(body.contains("DTSTAMP:20261121T094500Z\r\n"), "{body}");
    }
}
