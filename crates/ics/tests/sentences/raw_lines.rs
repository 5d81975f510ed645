//! Descriptions with line breaks in them, and other lines that are not what they look like.

use calmesh_calendar::EventStatus;
use calmesh_ics::Refusal;

use crate::support::*;

/// What a feed lists with these lines somewhere inside of its one event, and what is said of it.
fn with(lines: &str) -> (Vec<String>, Vec<String>) {
    let reading = read_text(event(lines));
    (listed(&reading), details(&reading).into_iter().map(str::to_owned).collect())
}

const STAY: &str = "2027-01-10..2027-01-13";

#[test]
fn a_line_without_a_colon_joins_texts_only() {
    for before in [
        "UID:1",
        "DTSTART;VALUE=DATE:20270110",
        "DTEND;VALUE=DATE:20270113",
        "DTSTAMP:20261130T080000Z",
        "STATUS:CONFIRMED",
        "TRANSP:OPAQUE",
        "SEQUENCE:1",
        "CLASS:PUBLIC",
        "GEO:1;2",
        "X-MICROSOFT-CDO-BUSYSTATUS:BUSY",
    ] {
        let lines = ["UID:1", "DTSTART;VALUE=DATE:20270110", "DTEND;VALUE=DATE:20270113"];
        let mut body: Vec<&str> = lines.into_iter().filter(|line| *line != before).collect();
        body.extend([before, "this has no colon"]);
        let reading = read_text(calendar(&format!("BEGIN:VEVENT\n{}\nEND:VEVENT", body.join("\n"))));
        assert_eq!(listed(&reading), [STAY], "{before}");
        let event = &reading.events[0];
        assert_eq!(event.key.as_ref().unwrap().uid, "1", "{before}");
        assert_eq!(details(&reading).len(), 1, "{before}");
        let warning = &reading.warnings[0];
        assert_eq!(warning.line, Some(u32::try_from(body.len()).unwrap() + 3), "{before}");
        assert!(warning.detail.starts_with("1 lines are no part of any entry"), "{before}");
    }
    let dates = "DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113";
    for text in ["SUMMARY", "DESCRIPTION", "LOCATION", "COMMENT", "CONTACT", "X-NOTE", "X-ALT-DESC;FMTTYPE=text/html"] {
        assert_eq!(
            with(&format!("{dates}\n{text}:hello\nthis has no colon\n folded")),
            (vec![STAY.to_owned()], vec![])
        );
    }
    let reading = read_text(event(&format!("SUMMARY:a\nb\n\n c\nd\n{dates}")));
    assert_eq!(&*reading.events[0].summary, "a\nbc\nd");
}

#[test]
fn what_looks_like_structure_in_a_broken_description_opens_and_closes_nothing() {
    for line in [
        "Begin: 15:00",
        "Begin: noon",
        "Begin: standard",
        "BEGIN:15.00",
        "Begin:",
        "Begin: our house",
        "End: of stay",
        "End: noon",
        "END:",
        "End: 11:00",
        "Begin: noon\nEnd: eleven",
        "> BEGIN:VEVENT",
        "Begin: a\nBegin: b\nBegin: c",
        "Arrival: 15:00",
        "Duration: three nights",
        "Duration: 3 nights",
        "Dtend: noon",
        "Dtstart: noon",
        "DTEND: noon",
        "UID: ask the host",
        "Uid: ask",
        "Sequence: 5",
        "SEQUENCE: five",
        "RRULE:",
        "Status: cancelled",
        "STATUS: as agreed",
        "Transp: transparent",
        "Exdate: 20270110",
        "Recurrence-Id: 20270120",
        "https://example.com/a",
    ] {
        for order in [0, 1] {
            let dates = "DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113";
            let text = format!("DESCRIPTION:Welcome\n{line}\nbye");
            let lines = if order == 0 {
                format!("BEGIN:VEVENT\n{text}\n{dates}\nUID:1\nEND:VEVENT")
            } else {
                format!("BEGIN:VEVENT\n{dates}\nUID:1\n{text}\nEND:VEVENT")
            };
            let reading = read_text(calendar(&lines));
            assert_eq!(listed(&reading), [STAY], "{lines}");
            let event = &reading.events[0];
            assert_eq!(
                event.key.as_ref().map(|key| (key.uid.as_str(), &key.occurrence)),
                Some(("1", &None)),
                "{lines}"
            );
            assert_eq!((event.status, event.transparent), (None, None), "{lines}");
            assert!(details(&reading).iter().all(|detail| !detail.contains("noon") && !detail.contains("host")));
        }
    }
    // A whole line that is one of the structure can't be told from it: nothing of such a body is believed.
    let quoted = try_read(event("DTSTART:20270110\nDESCRIPTION:send\nBEGIN:VEVENT\nto me"));
    assert!(matches!(quoted, Err(Refusal::Truncated { component: "event", .. })));
}

#[test]
fn of_several_values_of_one_property_the_one_that_blocks_counts() {
    let plain = "DTSTART:20270110\nDTEND:20270113";
    for (one, other) in [
        ("STATUS:CANCELLED", "STATUS:CONFIRMED"),
        ("STATUS:CANCELLED", "STATUS:TENTATIVE"),
        ("STATUS:maybe", "STATUS:TENTATIVE"),
        ("TRANSP:TRANSPARENT", "TRANSP:OPAQUE"),
        ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY"),
        ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", "X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE"),
    ] {
        let only = &read_text(event(&format!("{plain}\n{other}"))).events[0];
        for lines in [format!("{plain}\n{one}\n{other}"), format!("{plain}\n{other}\n{one}")] {
            let reading = read_text(event(&lines));
            let event = &reading.events[0];
            let said = |event: &calmesh_calendar::FeedEvent| (event.status, event.transparent, event.busy_status);
            assert_eq!(said(event), said(only), "{lines}");
            let name = one.split(':').next().unwrap();
            let (counts, not) = if lines.ends_with(one) { (7, 8) } else { (8, 7) };
            assert_eq!(
                details(&reading),
                [format!(
                    "The event at line 3 can be read in several ways. It says several things as {name}: line {counts} counts, line {not} does not."
                )],
                "{lines}"
            );
            assert_eq!((reading.warnings[0].line, reading.warnings[0].unread), (Some(not), false));
        }
    }
    for lines in [
        "DTSTART:20270110\nDTSTART:20270111\nDTEND:20270112\nDTEND:20270113",
        "DTSTART:20270111\nDTEND:20270113\nDTEND:20270112\nDTSTART:20270110",
        "DTSTART:20270110\nDTEND:soon\nDTEND:20270113",
        "DTSTART:20270110\nDTEND:20270113\nDTEND:20270132",
        "DTSTART:soon\nDTSTART:20270110\nDTEND:20270113",
        "DTSTART:20270110\nDURATION:P2D\nDURATION:P3D",
        "DTSTART:20270110\nDURATION:P3D\nDURATION:long",
    ] {
        let (listed, told) = with(lines);
        assert_eq!(listed, [STAY], "{lines}");
        assert_eq!(told.len(), 1, "{lines}");
    }
    // What is said twice contradicts nothing.
    assert_eq!(with("DTSTART:20270110\nDTEND:20270113\nDTEND:20270113\nUID:1").1, Vec::<String>::new());
}

#[test]
fn a_cancellation_that_is_no_text_is_one() {
    for lines in ["STATUS:CANCELLED", "STATUS: CANCELLED", "status:cancelled", "Status:CANCELLED"] {
        let reading = read_text(event(&format!("DTSTART:20270110\nDTEND:20270113\n{lines}")));
        assert_eq!(reading.events[0].status, Some(EventStatus::Cancelled), "{lines}");
    }
    let lower = "begin:vcalendar\nbegin:vevent\nuid:1\ndtstart:20270110\nstatus: cancelled\nend:vevent\nend:vcalendar";
    assert_eq!(read_text(lower).events[0].status, Some(EventStatus::Cancelled));
    let (_, told) = with("DTSTART:20270110\nDESCRIPTION:x\nStatus: cancelled");
    assert_eq!(
        told,
        [
            "The event at line 3 can be read in several ways. Line 7 looks like a line of a text, and was not read as its STATUS."
        ]
    );
}

#[test]
fn a_part_without_end_takes_nothing_from_its_event() {
    for (part, line) in [
        ("BEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT5M\nUID:alarm\nSUMMARY:ring", 4),
        ("BEGIN:VALARM\nBEGIN:VALARM\nTRIGGER:-PT15M\nEND:VALARM", 4),
        ("Begin: noon", 4),
    ] {
        let lines = format!("BEGIN:VEVENT\n{part}\nDTSTART:20270110\nDTEND:20270113\nSTATUS:TENTATIVE\nEND:VEVENT");
        let reading = read_text(calendar(&lines));
        assert_eq!(listed(&reading), [STAY], "{part}");
        assert_eq!(reading.events[0].status, Some(EventStatus::Tentative), "{part}");
        assert_eq!(&*reading.events[0].summary, "", "{part}");
        assert_eq!(
            details(&reading),
            [format!(
                "1 parts of entries have no end of their own, so what may be of the entry was read as such, the first at line {line}."
            )]
        );
        assert_eq!(reading.warnings[0].line, Some(line));
    }
    // One that ends keeps what is its own.
    let (listed, told) =
        with("DTSTART:20270110\nBEGIN:X-PART\nDTEND:20270120\nBEGIN:VALARM\nDTEND:20270120\nEND:X-PART");
    assert_eq!(listed, ["2027-01-10..2027-01-11"]);
    assert_eq!(told.len(), 1);
}

#[test]
fn properties_of_events_outside_of_every_event_are_told() {
    let reading = read_text(calendar(
        "BEGIN:VEVENT\nUID:1\nDTSTART:20270110\nEND:VEVENT\nDTEND;VALUE=DATE:20270113\nRRULE:FREQ=DAILY",
    ));
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
    assert_eq!(
        details(&reading),
        ["2 properties of events stand outside of every event and were passed over, the first at line 7."]
    );
}

#[test]
fn a_name_one_letter_from_a_known_one_is_told() {
    for (slip, meant) in [("DTENE:20270113", "DTEND"), ("RRUL:FREQ=DAILY", "RRULE"), ("STATSU:CANCELLED", "STATUS")] {
        let reading = read_text(event(&format!("DTSTART:20270110\n{slip}")));
        assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
        assert_eq!(
            details(&reading),
            [format!("1 properties have names one letter from {meant} and were passed over, the first at line 6.")]
        );
    }
    assert_eq!(
        with("DTSTART:20270110\nDTSTAMP:20270110T000000Z\nX-DTEND:1\nDUE:20270101\nCREATED:x").1,
        Vec::<String>::new()
    );
}

#[test]
fn an_event_inside_of_something_else_is_read_and_told() {
    for (around, told) in [("VTODO", 1), ("VFREEBUSY", 1), ("X-GROUP", 1), ("VTIMEZONE", 1)] {
        let reading = read_text(calendar(&format!(
            "BEGIN:{around}\nBEGIN:VEVENT\nDTSTART:20270110\nDTEND:20270113\nEND:VEVENT\nEND:{around}"
        )));
        assert_eq!(listed(&reading), [STAY], "{around}");
        assert_eq!(details(&reading).len(), told, "{around}");
        assert_eq!(
            details(&reading)[0],
            "1 events stand inside of other entries; they were read, the first at line 4.",
            "{around}"
        );
    }
}

#[test]
fn names_and_parameters_beyond_a_bound_are_passed_over_and_told() {
    let long = "X".repeat(257);
    let many = ";X=1".repeat(65);
    for line in [format!("{long}:x"), format!("DTEND;{long}=1:20270113"), format!("DTEND{many}:20270113")] {
        let (_, told) = with(&format!("DTSTART:20270110\n{line}"));
        assert_eq!(
            told,
            [
                "1 properties have names or parameters that are too long or too many, and were not read in full, the first at line 6."
            ]
        );
    }
    assert_eq!(with(&format!("DTSTART:20270110\nDTEND;{long}=1:20270113")).0, [STAY]);
    let reading = read_text(calendar(&format!(
        "X-WR-CALNAME:{}\nPRODID:{}\nX-WR-TIMEZONE:{}",
        "é".repeat(5_000),
        "a".repeat(5_000),
        "b".repeat(5_000)
    )));
    assert_eq!(reading.name.map(|name| name.len()), Some(1_000));
    assert_eq!(reading.prodid.map(|name| name.len()), Some(1_000));
}
