//! What each fuzz target holds of any bytes. The tests of `calmesh-ics` replay the corpus through the same functions.

use calmesh_calendar::{FeedEvent, FeedReading};
use calmesh_ics::{Document, DocumentEvent, Horizon, Limits, ReadContext, Refusal, meaning, read, render};
use jiff::{Timestamp, tz::TimeZone};

fn read_it(body: &[u8]) -> Result<FeedReading, Refusal> {
    let zone = TimeZone::get("Europe/Madrid").unwrap_or(TimeZone::UTC);
    let horizon = Horizon::around(Timestamp::from_second(1_798_761_600).unwrap_or(Timestamp::UNIX_EPOCH));
    read(body, &ReadContext { zone: &zone, horizon, limits: Limits::default(), end_is_last_night: false })
}

/// Any body is read or refused, the same every time, and has a meaning.
pub(crate) fn parse(body: &[u8]) {
    let once = read_it(body);
    assert_eq!(once, read_it(body));
    assert_eq!(meaning(body), meaning(body));
    if let Ok(reading) = once {
        assert!(reading.events.len() <= Limits::default().occurrences);
    }
}

/// Any properties make an event that is expanded within bounds.
pub(crate) fn expand(properties: &[u8]) {
    let frame = |start: &[u8]| {
        [b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n", start, b"\n", properties, b"\nEND:VEVENT\nEND:VCALENDAR\n"].concat()
    };
    parse(&frame(b"DTSTART:20270101"));
    parse(&frame(b"DTSTART;TZID=Europe/Madrid:20200229T100000\nDURATION:PT2H"));
}

/// What was read can be written, and reads the same then, but for what is not exported.
pub(crate) fn round_trip(body: &[u8]) {
    let Ok(reading) = read_it(body) else { return };
    if reading.events.len() > Limits::default().events {
        return;
    }
    let events: Vec<DocumentEvent> = reading
        .events
        .iter()
        .zip(0_u32..)
        .map(|(event, number)| DocumentEvent {
            uid: format!("{number}@calmesh"),
            extent: event.extent,
            summary: event.summary.to_string(),
            description: Some(event.description.to_string()),
            stamp: Timestamp::UNIX_EPOCH,
            sequence: number,
        })
        .collect();
    let document = Document { name: reading.name.unwrap_or_default(), refresh_minutes: 15, events };
    let bytes = render(&document);
    let Ok(again) = read_it(&bytes) else { panic!("what is rendered must be read") };
    assert_eq!(again.events_read, again.events_in_text);
    assert_eq!(render(&document), bytes);
    // Times from midnight to midnight only are read as days, so that nothing more can be said of those.
    if again.warnings.is_empty() {
        let mut here: Vec<_> = reading.events.iter().map(said).collect();
        let mut there: Vec<_> = again.events.iter().map(said).collect();
        here.sort();
        there.sort();
        assert_eq!(here, there);
    }
}

/// What survives the way out and back.
fn said(event: &FeedEvent) -> (calmesh_calendar::Extent, String) {
    (event.extent, event.summary.to_string())
}
