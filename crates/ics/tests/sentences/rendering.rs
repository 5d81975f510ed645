//! What is written for the other side.

use calmesh_calendar::{Extent, Nights, Times};
use calmesh_ics::{Document, DocumentEvent, render};
use jiff::civil::date;

use crate::support::*;

pub(crate) fn night(uid: &str, from: &str, to: &str) -> DocumentEvent {
    DocumentEvent {
        uid: uid.to_owned(),
        extent: Extent::Nights(Nights::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()),
        summary: "Reserved".to_owned(),
        description: None,
        stamp: "2026-12-31T23:59:58.9Z".parse().unwrap(),
        sequence: 3,
    }
}

fn document(events: Vec<DocumentEvent>) -> Document {
    Document { name: "Casa del Mar; A, B".to_owned(), refresh_minutes: 15, events }
}

fn text(document: &Document) -> String {
    String::from_utf8(render(document)).unwrap()
}

#[test]
fn a_document_is_written_like_this() {
    let timed = DocumentEvent {
        extent: Extent::Times(
            Times::new("2027-01-04T14:00:00.5Z".parse().unwrap(), "2027-01-05T10:30:00.000001Z".parse().unwrap())
                .unwrap(),
        ),
        summary: "Late, \"very\"; C:\\new".to_owned(),
        description: Some("one\r\ntwo\u{7}\u{0}".to_owned()),
        sequence: 0,
        ..night("b@calmesh", "2027-01-01", "2027-01-02")
    };
    let golden = "BEGIN:VCALENDAR\r\n\
        VERSION:2.0\r\n\
        PRODID:-//Calmesh//Calmesh 1.0//EN\r\n\
        CALSCALE:GREGORIAN\r\n\
        X-WR-CALNAME:Casa del Mar\\; A\\, B\r\n\
        REFRESH-INTERVAL;VALUE=DURATION:PT15M\r\n\
        X-PUBLISHED-TTL:PT15M\r\n\
        BEGIN:VEVENT\r\n\
        DTEND:20270105T103001Z\r\n\
        DTSTAMP:20261231T235958Z\r\n\
        DTSTART:20270104T140000Z\r\n\
        DESCRIPTION:one\\ntwo\r\n\
        LAST-MODIFIED:20261231T235958Z\r\n\
        SEQUENCE:0\r\n\
        STATUS:CONFIRMED\r\n\
        SUMMARY:Late\\, \"very\"\\; C:\\\\new\r\n\
        TRANSP:OPAQUE\r\n\
        UID:b@calmesh\r\n\
        END:VEVENT\r\n\
        BEGIN:VEVENT\r\n\
        DTEND;VALUE=DATE:20270113\r\n\
        DTSTAMP:20261231T235958Z\r\n\
        DTSTART;VALUE=DATE:20270110\r\n\
        LAST-MODIFIED:20261231T235958Z\r\n\
        SEQUENCE:3\r\n\
        STATUS:CONFIRMED\r\n\
        SUMMARY:Reserved\r\n\
        TRANSP:OPAQUE\r\n\
        UID:a@calmesh\r\n\
        END:VEVENT\r\n\
        END:VCALENDAR\r\n";
    let mut written: Vec<&str> = golden.split_inclusive("\r\n").collect();
    written.sort_unstable();
    let here = text(&document(vec![night("a@calmesh", "2027-01-10", "2027-01-13"), timed.clone()]));
    assert_eq!(
        here,
        golden.replace("DESCRIPTION:one\\ntwo\r\nLAST", "LAST").replacen(
            "DTEND:2027",
            "DESCRIPTION:one\\ntwo\r\nDTEND:2027",
            1
        )
    );
    let there = text(&document(vec![timed, night("a@calmesh", "2027-01-10", "2027-01-13")]));
    assert_eq!(here, there);
}

#[test]
fn events_are_sorted_by_start_and_then_uid() {
    let events = vec![
        night("b", "2027-01-10", "2027-01-11"),
        night("c", "2027-01-09", "2027-01-11"),
        night("a", "2027-01-10", "2027-01-12"),
    ];
    let reading = read_text(render(&document(events)));
    let uids: Vec<_> = reading.events.iter().map(|event| event.key.clone().unwrap().uid).collect();
    assert_eq!(uids, ["c", "a", "b"]);
}

#[test]
fn no_line_is_longer_than_75_octets_nor_ends_without_crlf() {
    for summary in [
        "é".repeat(200),
        " ".repeat(300),
        "a b ".repeat(90),
        format!("{}{}", "x".repeat(70), "老虎 ".repeat(40)),
        ",".repeat(500),
    ] {
        let mut long = night(&"u".repeat(180), "2027-01-10", "2027-01-11");
        long.summary = summary.clone();
        let bytes = render(&document(vec![long]));
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n") && line.len() <= 77, "{:?}", String::from_utf8_lossy(line));
            assert!(std::str::from_utf8(line).is_ok());
        }
        let reading = read_text(&bytes);
        assert_eq!(&*reading.events[0].summary, summary.trim());
        assert_eq!(reading.events[0].key.as_ref().unwrap().uid, "u".repeat(180));
    }
}

#[test]
fn no_text_can_add_a_line() {
    let mut event = night("x\r\nATTENDEE:a", "2027-01-10", "2027-01-11");
    event.summary = "a\r\nEND:VEVENT\rBEGIN:VEVENT\nX:\u{85}".to_owned();
    let text = text(&Document { name: "n\r\nMETHOD:CANCEL".to_owned(), ..document(vec![event]) });
    assert_eq!(text.lines().filter(|line| line.starts_with("BEGIN:VEVENT")).count(), 1);
    assert!(!text.lines().any(|line| line.starts_with("METHOD") || line.starts_with("ATTENDEE")));
}

#[test]
fn an_empty_document_is_a_calendar() {
    let reading = read_text(render(&document(Vec::new())));
    assert_eq!(reading.name.as_deref(), Some("Casa del Mar; A, B"));
    assert_eq!(reading.events, []);
}

#[test]
fn the_ends_of_time_can_be_written() {
    let far = DocumentEvent {
        extent: Extent::Nights(Nights::new(date(-9999, 1, 1), date(9999, 12, 31)).unwrap()),
        ..night("a", "2027-01-01", "2027-01-02")
    };
    let text = text(&document(vec![far]));
    assert!(text.contains("DTSTART;VALUE=DATE:19000101\r\n"), "{text}");
    assert!(text.contains("DTEND;VALUE=DATE:22000101\r\n"), "{text}");
}
