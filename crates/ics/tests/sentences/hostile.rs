//! Whatever comes is read or refused: no panic, no overflow of the stack, nothing without bounds.

use calmesh_calendar::{Extent, FeedEvent, FeedReading, Lines, Nights, Times};
use calmesh_ics::{Document, DocumentEvent, Excess, Refusal, meaning, render};
use jiff::{Timestamp, civil::date};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn three_thousand_begins_inside_each_other_do_not_overflow() {
    for end in ["", &"END:VEVENT\n".repeat(3_000)] {
        assert!(try_read(format!("BEGIN:VCALENDAR\n{}{end}END:VCALENDAR\n", "BEGIN:VEVENT\n".repeat(3_000))).is_err());
        assert!(try_read(format!("{}{}", "BEGIN:VCALENDAR\n".repeat(3_000), "END:VCALENDAR\n".repeat(3_000))).is_err());
    }
}

#[test]
fn a_line_of_a_megabyte_is_read() {
    let within = |line: String| {
        let reading = try_read(calendar(&format!("BEGIN:VEVENT\n{line}\nDTSTART:20270110\nEND:VEVENT")));
        assert!(reading.is_ok(), "{}", &line[..8]);
        let _ = meaning(line.as_bytes());
    };
    within(format!("SUMMARY:{}", "x ".repeat(500_000)));
    for piece in ["\n ", "\n", "\"", "\\", "a=b:"] {
        let long = piece.repeat(100_000 / piece.len());
        within(format!("SUMMARY:{long}"));
        within(format!("X-{long}:x"));
        within(format!("UID;X={long}:x"));
        within(format!("EXDATE:{long}"));
        within(format!("RRULE:{long}"));
    }
}

#[test]
fn what_every_occurrence_carries_is_bounded() {
    let long = "x".repeat(1_000_000);
    let reading = read_text(event(&format!(
        "UID:{long}\nDTSTART:20270101\nRRULE:FREQ=DAILY\nSUMMARY:{long}\nDESCRIPTION:{long}"
    )));
    assert_eq!(reading.events.len(), 776);
    assert!(reading.events.iter().all(|event| event.summary.len() <= 1_000 && event.description.len() <= 4_000));
    let many = "x,".repeat(1_000_000);
    let reading = read_text(event(&format!("DTSTART:20270101\nRRULE:FREQ=DAILY\nEXDATE:{many}")));
    assert_eq!(reading.warnings.len(), 1);
    let many = "20270101,".repeat(50_000);
    let reading = read_text(event(&format!("DTSTART:20270101\nRRULE:FREQ=DAILY\nEXDATE:{many}")));
    assert_eq!((reading.events.len(), reading.warnings.len()), (775, 1));
    assert_eq!(of_event(&format!("DTSTART:20270101\nRDATE:{many}")), ["2027-01-01..2027-01-02"]);
}

#[test]
fn no_duration_is_too_long_to_be_refused() {
    for duration in [
        "P7304484D",
        "P1043497W",
        "P1043497W7304484D",
        "PT175307616H",
        "P7304484DT175307616H",
        "P1043497W7304484DT175307616H",
    ] {
        for start in ["20270110", "20270110T100000Z", "99991231T100000", "00000101"] {
            for more in ["", "RRULE:FREQ=DAILY", "RDATE:20270301T100000Z/P1043497W7304484D", "EXDATE:99991231"] {
                let _ = try_read(event(&format!("DTSTART:{start}\nDURATION:{duration}\n{more}")));
                let change = format!(
                    "DTSTART:{start}\nDURATION:{duration}\n{more}\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\n\
                    RECURRENCE-ID;RANGE=THISANDFUTURE:00010101\nDTSTART:99991201\nDURATION:{duration}"
                );
                let _ = try_read(event(&change));
            }
        }
    }
}

#[test]
fn thousands_of_endless_series_stay_within_bounds() {
    let of_rule = |rule: &str, times: usize| {
        let one = format!("BEGIN:VEVENT\nUID:1\nDTSTART:00010101\nRRULE:{rule}\nEND:VEVENT\n");
        try_read(calendar(&one.repeat(times)))
    };
    for rule in ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=400"] {
        assert_eq!(of_rule(rule, 300).unwrap().events, [], "{rule}");
    }
    let counted = of_rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=700000", 100);
    assert_eq!(counted, Err(Refusal::TooLarge { what: Excess::Recurrence, limit: 50_000_000 }));
    let masters = "BEGIN:VEVENT\nUID:1\nDTSTART:20270101\nEND:VEVENT\n".repeat(1_700);
    let overrides = "BEGIN:VEVENT\nUID:1\nDTSTART:20270101\nRECURRENCE-ID:20270101\nEND:VEVENT\n".repeat(1_700);
    let paired = try_read(calendar(&format!("{masters}{overrides}")));
    assert_eq!(paired, Err(Refusal::TooLarge { what: Excess::Recurrence, limit: 50_000_000 }));
}

/// Pieces of which bodies are made: structure, dates, rules, and dirt.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "BEGIN:VCALENDAR\r\n",
        "END:VCALENDAR\r\n",
        "BEGIN:VEVENT\r\n",
        "END:VEVENT\r\n",
        "BEGIN:VTIMEZONE\n",
        "TZID:X\n",
        "BEGIN:STANDARD\n",
        "TZOFFSETFROM:+0100\n",
        "TZOFFSETTO:-0200\n",
        "END:STANDARD\n",
        "END:VTIMEZONE\n",
        "BEGIN:VALARM\r",
        "END:VALARM\r",
        "DTSTART;VALUE=DATE:20270110\n",
        "DTEND;VALUE=DATE:20270112\n",
        "DTSTART;TZID=X:20270110T100000\n",
        "DTSTART:00010101T000000Z\n",
        "DTSTART:99991231T235959\n",
        "DTEND:99991231\n",
        "DTSTART;VALUE=DATE:20271332\n",
        "DURATION:P1D\n",
        "DURATION:PT99999999999H\n",
        "UID:1\n",
        "UID:2\n",
        "SEQUENCE:2\n",
        "RRULE:FREQ=DAILY\n",
        "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10;UNTIL=20280101T000000Z\n",
        "RRULE:FREQ=SECONDLY\n",
        "RRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU;COUNT=2147483647\n",
        "RDATE:20270301,20270302T100000/PT1H\n",
        "EXDATE:20270111\n",
        "EXRULE:FREQ=WEEKLY\n",
        "RECURRENCE-ID:20270111\n",
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20270111T100000\n",
        "STATUS:CANCELLED\n",
        "SUMMARY:é\\,\\n\n",
        "\n ",
        "\r\n\t",
        ":",
        ";",
        "\"",
        "=",
        "\\",
        "\u{FEFF}",
        "\0",
        "€",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat());
    let framed = prop::collection::vec(piece(), 0..30).prop_map(|pieces| event(&pieces.concat()));
    prop_oneof![
        2 => text.prop_map(String::into_bytes),
        4 => framed.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn some_event() -> impl Strategy<Value = DocumentEvent> {
    let extent = prop_oneof![
        (0_i32..700, 1_i32..40).prop_map(|(first, nights)| {
            let day = |days: i32| date(2026, 12, 20).checked_add(jiff::Span::new().days(days)).unwrap();
            Extent::Nights(Nights::new(day(first), day(first + nights)).unwrap())
        }),
        // Never from midnight to midnight, which is read as days.
        (0_i64..700, 1_i64..100_000).prop_map(|(day, length)| {
            let start = 1_798_000_001 + day * 86_400;
            let at = |second| Timestamp::from_second(second).unwrap();
            Extent::Times(Times::new(at(start), at(start + length)).unwrap())
        }),
    ];
    ("[a-z0-9@.-]{1,90}", extent, "[ -~éß老€\n]{0,120}", prop::option::of("[ -~é老\n]{1,200}"), 0_u32..9).prop_map(
        |(uid, extent, summary, description, sequence)| DocumentEvent {
            uid,
            extent,
            summary: summary.trim().to_owned(),
            description: description.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            stamp: Timestamp::from_second(1_790_000_000 + i64::from(sequence)).unwrap(),
            sequence,
        },
    )
}

/// A reading without where things stand in the text.
fn said(reading: &FeedReading) -> (Vec<FeedEvent>, Vec<String>, u32, u32, Option<jiff::Timestamp>) {
    let mut events = reading.events.clone();
    for event in &mut events {
        event.lines = Lines::default();
    }
    events.sort_by_key(|event| format!("{event:?}"));
    let mut warnings: Vec<String> = reading
        .warnings
        .iter()
        .map(|warning| {
            let words: Vec<&str> =
                warning.detail.split(' ').filter(|word| word.trim_end_matches('.').parse::<u32>().is_err()).collect();
            format!("{:?} {} {}", warning.uid, words.join(" "), warning.unread)
        })
        .collect();
    warnings.sort();
    (events, warnings, reading.events_in_text, reading.events_read, reading.more_from)
}

proptest! {
    #[test]
    fn no_body_makes_reading_panic_or_grow(body in soup()) {
        let first = try_read(&body);
        if let Ok(reading) = &first {
            prop_assert!(reading.events.len() <= 20_000);
            prop_assert!(reading.events_read <= reading.events_in_text || reading.events_in_text == 0);
        }
        prop_assert_eq!(&first, &try_read(&body));
        prop_assert_eq!(meaning(&body), meaning(&body));
    }

    #[test]
    fn a_mutated_body_is_read_or_refused(
        events in prop::collection::vec(some_event(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut body = render(&Document { name: "x".to_owned(), refresh_minutes: 15, events });
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let _ = try_read(&body);
        let _ = meaning(&body);
    }

    #[test]
    fn what_is_rendered_reads_as_it_was(events in prop::collection::vec(some_event(), 0..8)) {
        let document = Document { name: "Casa, sea".to_owned(), refresh_minutes: 15, events };
        let bytes = render(&document);
        let reading = read_text(&bytes);
        prop_assert_eq!(&reading.warnings, &[]);
        let mut read: Vec<_> = reading.events.iter()
            .map(|event| (event.key.clone().unwrap().uid, event.extent, event.summary.to_string(), event.description.to_string()))
            .collect();
        let mut meant: Vec<_> = document.events.iter()
            .map(|event| (event.uid.clone(), event.extent, event.summary.clone(), event.description.clone().unwrap_or_default()))
            .collect();
        read.sort();
        meant.sort();
        prop_assert_eq!(read, meant);
        // Rendered again from what was read, nothing changes.
        let mut backwards = document.clone();
        backwards.events.reverse();
        prop_assert_eq!(render(&backwards), bytes);
    }

    #[test]
    fn equal_meanings_read_alike(
        events in prop::collection::vec(prop::collection::vec(piece(), 0..10), 1..5),
        shuffle in any::<prop::sample::Index>(),
        crlf in any::<bool>(),
    ) {
        let body = |events: &[Vec<String>], stamp: &str| {
            let events: Vec<String> = events.iter()
                .map(|pieces| format!("BEGIN:VEVENT\n{}\nDTSTAMP:{stamp}\nEND:VEVENT\n", pieces.concat()))
                .collect();
            calendar(&events.concat())
        };
        let here = body(&events, "1");
        let mut other = events.clone();
        other.rotate_left(shuffle.index(events.len()));
        let mut there = body(&other, "2");
        if crlf {
            there = there.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
            // Refold what is long enough.
            there = there.replace("VALUE=DATE", "VALUE=\r\n DATE");
        }
        if meaning(here.as_bytes()) == meaning(there.as_bytes()) {
            match (try_read(&here), try_read(&there)) {
                (Ok(here), Ok(there)) => prop_assert_eq!(said(&here), said(&there)),
                (here, there) => prop_assert_eq!(here.is_err(), there.is_err()),
            }
        }
    }

    #[test]
    fn other_dates_are_another_meaning(events in prop::collection::vec(some_event(), 1..6), which in any::<prop::sample::Index>(), by in 1_i64..400) {
        let document = Document { name: "x".to_owned(), refresh_minutes: 15, events };
        let mut moved = document.clone();
        let which = which.index(moved.events.len());
        let event = &mut moved.events[which];
        event.extent = match event.extent {
            Extent::Nights(nights) => {
                let later = |day: jiff::civil::Date| day.checked_add(jiff::Span::new().days(by)).unwrap();
                Extent::Nights(Nights::new(nights.first(), later(nights.end())).unwrap())
            }
            Extent::Times(times) => Extent::Times(Times::new(times.start(), times.end().checked_add(jiff::SignedDuration::from_secs(by)).unwrap()).unwrap()),
        };
        prop_assert_ne!(meaning(&render(&document)), meaning(&render(&moved)));
        let mut stamped = document.clone();
        for event in &mut stamped.events {
            event.stamp = event.stamp.checked_add(jiff::SignedDuration::from_secs(by)).unwrap();
        }
        prop_assert_eq!(meaning(&render(&document)), meaning(&render(&stamped)));
    }
}
