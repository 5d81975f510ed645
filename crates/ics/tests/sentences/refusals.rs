//! Which bodies are not believed at all, and what the host is told.

use calmesh_ics::{Excess, Found, Limits, ReadContext, Refusal, read};

use crate::support::*;

fn refusal(body: impl AsRef<[u8]>) -> Refusal {
    try_read(body).unwrap_err()
}

#[test]
fn what_is_not_a_calendar_is_named() {
    for (body, found) in [
        (&b""[..], Found::Empty),
        (b" \r\n\t\n", Found::Empty),
        (b"\xEF\xBB\xBF", Found::Empty),
        (b"<!DOCTYPE html><html><body>BEGIN:VCALENDAR\nEND:VCALENDAR", Found::WebPage),
        (b"\n<?xml version=\"1.0\"?><html>", Found::WebPage),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", Found::Xml),
        (b"{\"error\": \"expired\"}", Found::Json),
        (b"[]", Found::Json),
        (b"\x1F\x8B\x08\x00\x00", Found::Binary),
        (b"Unauthorized", Found::Text),
        (b"BEGIN:VCARD\nEND:VCARD\n", Found::Text),
        (b"BEGIN:VEVENT\nDTSTART:20270110\nEND:VEVENT\n", Found::Text),
        (b"VERSION:2.0\nBEGIN:VCALENDAR\nEND:VCALENDAR\n", Found::Text),
    ] {
        assert_eq!(refusal(body), Refusal::NotACalendar { found }, "{:?}", String::from_utf8_lossy(body));
    }
    let login = refusal("<html>").to_string();
    assert_eq!(login, "This is not a calendar but a web page, probably a login page.");
}

#[test]
fn a_body_that_is_cut_anywhere_is_truncated() {
    let whole = event("DTSTART;VALUE=DATE:20270110\nBEGIN:VALARM\nTRIGGER:-PT15M\nEND:VALARM\nSUMMARY:x");
    let end = whole.trim_end().len();
    for cut in 1..end {
        let refusal = refusal(&whole[..cut]);
        assert!(matches!(refusal, Refusal::Truncated { .. }), "cut at {cut}: {refusal:?}");
    }
    assert!(try_read(&whole[..end]).is_ok());
}

#[test]
fn a_second_calendar_that_is_cut_is_truncated() {
    let whole = format!("{}{}", event("DTSTART:20270110"), event("DTSTART:20270120"));
    let first = event("DTSTART:20270110").len();
    for cut in first + 1..whole.trim_end().len() {
        let refusal = refusal(&whole[..cut]);
        assert!(matches!(refusal, Refusal::Truncated { .. }), "cut at {cut}: {refusal:?}");
    }
}

#[test]
fn a_body_with_a_piece_missing_inside_is_truncated() {
    for (body, component, line) in [
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270110\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR", "event", 2),
        ("BEGIN:VCALENDAR\nDTSTART:20270110\nEND:VEVENT\nEND:VCALENDAR", "event", 3),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270110\nEND:VCALENDAR", "event", 2),
        ("BEGIN:VCALENDAR\nBEGIN:VCALENDAR\nEND:VCALENDAR", "calendar", 1),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VCALENDAR", "calendar", 3),
    ] {
        assert_eq!(refusal(body), Refusal::Truncated { component, line }, "{body}");
    }
    let told = refusal("BEGIN:VCALENDAR\nBEGIN:VEVENT\n").to_string();
    assert_eq!(told, "The calendar is cut off: the event at line 2 is incomplete.");
}

#[test]
fn each_limit_is_named_when_it_is_passed() {
    let zone = madrid();
    let with = |limits: Limits, body: &str| read(body.as_bytes(), &ReadContext { limits, ..context(&zone) }).err();
    let body = event("DTSTART:20270110\nRRULE:FREQ=DAILY");
    let limits = Limits::default();
    assert_eq!(with(Limits { bytes: 20, ..limits }, &body), Some(Refusal::TooLarge { what: Excess::Bytes, limit: 20 }));
    assert_eq!(with(Limits { events: 0, ..limits }, &body), Some(Refusal::TooLarge { what: Excess::Events, limit: 0 }));
    assert_eq!(
        with(Limits { occurrences: 100, ..limits }, &body),
        Some(Refusal::TooLarge { what: Excess::Occurrences, limit: 100 })
    );
    let many = event(&"UID:\n".repeat(300_001));
    assert_eq!(refusal(many), Refusal::TooLarge { what: Excess::Properties, limit: 300_000 });
    let nested = "BEGIN:X\n".repeat(3_000);
    let refusal = refusal(format!("BEGIN:VCALENDAR\n{nested}"));
    assert_eq!(refusal, Refusal::TooLarge { what: Excess::Nesting, limit: 16 });
    assert_eq!(refusal.to_string(), "The calendar is too large: more than 16 entries inside each other.");
}

#[test]
fn a_calendar_without_events_is_believed() {
    let reading = read_text("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n");
    assert_eq!((reading.events_in_text, reading.events.len(), reading.warnings.len()), (0, 0, 0));
}
