//! Calendars that say when somebody is busy, without events (RFC 5545 3.6.4).

use calmesh_calendar::{BusyStatus, EventStatus};
use calmesh_ics::{Excess, Limits, ReadContext, Refusal, read};

use crate::support::*;

fn busy(lines: &str) -> String {
    calendar(&format!(
        "BEGIN:VFREEBUSY\nUID:fb\nDTSTAMP:20261130T080000Z\nDTSTART:20261201T000000Z\nDTEND:20271201T000000Z\n{lines}\nEND:VFREEBUSY"
    ))
}

#[test]
fn each_busy_period_blocks_and_a_free_one_does_not() {
    let reading = read_text(busy(
        "FREEBUSY;FBTYPE=BUSY:20270601T130000Z/20270604T090000Z\nFREEBUSY;FBTYPE=FREE:20270610T000000Z/20270611T000000Z\n\
         FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20270615T130000Z/PT20H,20270620T130000Z/PT20H\n\
         FREEBUSY:20270701T130000Z/P2D\nFREEBUSY;FBTYPE=BUSY-TENTATIVE:20270705T130000Z/PT1H\n\
         FREEBUSY;FBTYPE=X-OTHER:20270706T130000Z/PT1H",
    ));
    assert_eq!(
        listed(&reading),
        [
            "2027-06-01T13:00:00Z..2027-06-04T09:00:00Z",
            "2027-06-15T13:00:00Z..2027-06-16T09:00:00Z",
            "2027-06-20T13:00:00Z..2027-06-21T09:00:00Z",
            "2027-07-01T13:00:00Z..2027-07-03T13:00:00Z",
            "2027-07-05T13:00:00Z..2027-07-05T14:00:00Z",
            "2027-07-06T13:00:00Z..2027-07-06T14:00:00Z",
        ]
    );
    // A period is known by its times alone.
    assert!(reading.events.iter().all(|event| event.key.is_none()));
    let said = |place: usize| (reading.events[place].status, reading.events[place].busy_status);
    assert_eq!(said(0), (Some(EventStatus::Confirmed), Some(BusyStatus::Busy)));
    assert_eq!(said(4), (Some(EventStatus::Tentative), Some(BusyStatus::Tentative)));
    assert_eq!((reading.events_in_text, reading.events_read), (6, 6));
    assert_eq!(reading.warnings, []);
    assert_eq!((reading.events[1].lines.first, reading.events[1].lines.last), (10, 10));
}

#[test]
fn a_busy_period_that_cant_be_read_is_told_and_the_others_count() {
    let reading = read_text(busy("FREEBUSY:soon/PT1H,20270620T130000Z/PT20H\nFREEBUSY:"));
    assert_eq!(listed(&reading), ["2027-06-20T13:00:00Z..2027-06-21T09:00:00Z"]);
    assert_eq!((reading.events_in_text, reading.events_read), (2, 1));
    assert_eq!(reading.warnings.iter().find(|warning| warning.unread).unwrap().line, Some(8));
}

#[test]
fn a_list_of_busy_times_that_is_cut_anywhere_is_truncated() {
    let whole =
        busy("FREEBUSY:20270601T130000Z/20270604T090000Z,\n 20270615T130000Z/PT20H\nFREEBUSY:20270620T130000Z/PT20H");
    let end = whole.trim_end().len();
    for cut in 1..end {
        assert!(matches!(try_read(&whole[..cut]), Err(Refusal::Truncated { .. })), "cut at {cut}");
    }
    for (body, line) in [
        ("BEGIN:VCALENDAR\nBEGIN:VFREEBUSY\nFREEBUSY:20270601T130000Z/PT1H\nEND:VCALENDAR", 2),
        ("BEGIN:VCALENDAR\nFREEBUSY:20270601T130000Z/PT1H\nEND:VFREEBUSY\nEND:VCALENDAR", 3),
    ] {
        assert_eq!(try_read(body), Err(Refusal::Truncated { component: "list of busy times", line }));
    }
}

#[test]
fn busy_periods_are_bounded_as_events_are() {
    let zone = madrid();
    let cx = ReadContext { limits: Limits { events: 2, ..Limits::default() }, ..context(&zone) };
    let body = busy("FREEBUSY:20270601T130000Z/PT1H,20270602T130000Z/PT1H,20270603T130000Z/PT1H");
    assert_eq!(read(body.as_bytes(), &cx), Err(Refusal::TooLarge { what: Excess::Events, limit: 2 }));
}

#[test]
fn a_calendar_of_other_entries_only_is_not_empty_without_a_word() {
    for kind in ["VTODO", "VJOURNAL", "X-BOOKING"] {
        let reading = read_text(calendar(&format!("BEGIN:{kind}\nDTSTART:20270110\nEND:{kind}")));
        assert_eq!(
            details(&reading),
            ["There are no events, and 1 entry of another kind was passed over, the first at line 3."]
        );
    }
    let hours = "BEGIN:VAVAILABILITY\nBEGIN:AVAILABLE\nDTSTART:20270110T090000Z\nEND:AVAILABLE\nEND:VAVAILABILITY";
    assert_eq!(
        details(&read_text(calendar(hours))),
        [
            "1 calendars of working hours (VAVAILABILITY) can't be read as nights and were passed over, the first at line 3."
        ]
    );
    let both = "BEGIN:VTODO\nEND:VTODO\nBEGIN:VEVENT\nDTSTART:20270110\nEND:VEVENT";
    assert_eq!(read_text(calendar(both)).warnings, []);
}
