//! What a feed says, case by case: each body is written as a site might write it, each value is invented.

use calmesh_calendar::{BusyStatus, EventStatus, FeedReading};
use calmesh_ics::{ReadContext, read};

use crate::support::*;

#[test]
fn an_airbnb_reservation_is_three_nights() {
    let reading = read_text(
        "BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nCALSCALE:GREGORIAN\r\nVERSION:2.0\r\n\
         BEGIN:VEVENT\r\nDTEND;VALUE=DATE:20270113\r\nDTSTART;VALUE=DATE:20270110\r\nSUMMARY:Reserved\r\n\
         UID:1418fb94e984-0123@airbnb.com\r\nDESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n \
         tails/HMTESTTEST\\nPhone Number (Last 4 Digits): 0000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-13"]);
    let event = &reading.events[0];
    assert_eq!(&*event.summary, "Reserved");
    assert_eq!(
        &*event.description,
        "Reservation URL: https://www.airbnb.com/hosting/reservations/details/HMTESTTEST\nPhone Number (Last 4 Digits): 0000"
    );
    assert_eq!(event.key.as_ref().unwrap().uid, "1418fb94e984-0123@airbnb.com");
    assert_eq!((event.lines.first, event.lines.last), (5, 12));
    assert_eq!(reading.prodid.as_deref(), Some("-//Airbnb Inc//Hosting Calendar 1.0//EN"));
    assert_eq!((reading.events_in_text, reading.events_read, reading.more_from), (1, 1, None));
    assert_eq!(reading.warnings, []);
}

#[test]
fn folding_is_undone_wherever_it_broke_the_text() {
    // Inside a name, inside a word of the structure, inside a letter of two bytes, and with a tab.
    let body = b"BEGIN:VCAL\r\n ENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTST\r\n ART;VALUE=DATE:2027\r\n\t0110\r\nSUMMARY:R\xC3\r\n \xA9serv\r\n \r\n \xC3\xA9e\r\nEND:VEV\r\n ENT\r\nEND:VCALENDAR";
    let reading = read_text(body);
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
    assert_eq!(&*reading.events[0].summary, "Réservée");
}

#[test]
fn a_value_broken_by_raw_line_ends_goes_on_in_the_next_line() {
    let reading = read_text(event(
        "DTSTART;VALUE=DATE:20270110\nDESCRIPTION:CHECK IN\nPhone (last 4): 0000\nhttps://example.com/HMTESTTEST\n\nbye\nSUMMARY:Reserved",
    ));
    assert_eq!(&*reading.events[0].description, "CHECK IN\nPhone (last 4): 0000\nhttps://example.com/HMTESTTEST\nbye");
    assert_eq!(&*reading.events[0].summary, "Reserved");
    assert_eq!(reading.warnings, []);
}

#[test]
fn every_line_end_reads_alike() {
    let text = event("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113\nSUMMARY:a\n b");
    let plain = read_text(&text);
    assert_eq!(&*plain.events[0].summary, "ab");
    for end in ["\r\n", "\r", "\r\r\n", "\n\n"] {
        let other = read_text(text.replace('\n', end));
        assert_eq!(listed(&other), listed(&plain), "{end:?}");
        assert_eq!(&*other.events[0].summary, "ab", "{end:?}");
    }
}

#[test]
fn every_encoding_reads_alike() {
    let text = event("DTSTART;VALUE=DATE:20270110\nSUMMARY:Réservée");
    let utf16 = |units: &mut dyn Iterator<Item = [u8; 2]>| units.flatten().collect::<Vec<u8>>();
    let bodies = [
        ("UTF-8", text.clone().into_bytes()),
        ("UTF-8 with BOM", [b"\xEF\xBB\xBF", text.as_bytes()].concat()),
        ("Latin-1", text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()),
        ("UTF-16LE", [&b"\xFF\xFE"[..], &utf16(&mut text.encode_utf16().map(u16::to_le_bytes))].concat()),
        ("UTF-16BE", [&b"\xFE\xFF"[..], &utf16(&mut text.encode_utf16().map(u16::to_be_bytes))].concat()),
        ("UTF-16LE without BOM", utf16(&mut text.encode_utf16().map(u16::to_le_bytes))),
        ("UTF-16BE without BOM", utf16(&mut text.encode_utf16().map(u16::to_be_bytes))),
    ];
    for (name, body) in bodies {
        let reading = read_text(body);
        assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"], "{name}");
        assert_eq!(&*reading.events[0].summary, "Réservée", "{name}");
    }
}

#[test]
fn upper_and_lower_case_are_one() {
    let reading = read_text(
        "begin:vcalendar\nbegin:vevent\nuid:1\ndtstart;value=date:20270110\nstatus:cancelled\ntransp:transparent\n\
         x-microsoft-cdo-busystatus:oof\nend:vevent\nend:vcalendar",
    );
    assert_eq!(reading.events_in_text, 1);
    let event = &reading.events[0];
    assert_eq!(event.status, Some(EventStatus::Cancelled));
    assert_eq!(event.transparent, Some(true));
    assert_eq!(event.busy_status, Some(BusyStatus::OutOfOffice));
}

#[test]
fn parameters_and_unknown_properties_are_no_obstacle() {
    assert_eq!(
        of_event(
            "X-FOO;X-BAR=\"a;b:c\":d\nDTSTART;X-A=b;X-Q=\"x:y;z\";VALUE=DATE:20270110\nDTEND;X-A=b\\;c;VALUE=DATE:20270112\n\
             ATTENDEE;CN=\"A: B\";ROLE=CHAIR:mailto:a@example.com\nX-NO-VALUE\nGEO:1;2"
        ),
        ["2027-01-10..2027-01-12"]
    );
}

#[test]
fn several_calendars_in_one_body_are_read_as_one() {
    let one = event("DTSTART;VALUE=DATE:20270110");
    let two = event("DTSTART;VALUE=DATE:20270120");
    let reading = read_text(format!("{one}{two}"));
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11", "2027-01-20..2027-01-21"]);
    assert_eq!(reading.events_in_text, 2);
}

#[test]
fn an_event_without_uid_and_stamp_counts() {
    let reading = read_text(calendar("BEGIN:VEVENT\nDTSTART;VALUE=DATE:20270110\nEND:VEVENT"));
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
    assert_eq!(reading.events[0].key, None);
}

#[test]
fn of_several_events_with_one_uid_the_latest_revision_counts() {
    let both = |first: &str, second: &str| {
        let one = |day: &str, more: &str| format!("BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:{day}{more}\nEND:VEVENT");
        let (a, b) = (one("20270110", first), one("20270120", second));
        let here = read_text(calendar(&format!("{a}\n{b}")));
        let there = read_text(calendar(&format!("{b}\n{a}")));
        let sorted = |reading: &FeedReading| {
            let mut listed = listed(reading);
            listed.sort();
            listed
        };
        assert_eq!(sorted(&here), sorted(&there), "the order of the text must not matter");
        assert_eq!(here.events_read, 2);
        here
    };
    assert_eq!(listed(&both("", "")), ["2027-01-10..2027-01-11", "2027-01-20..2027-01-21"]);
    assert_eq!(listed(&both("\nSEQUENCE:3", "\nSEQUENCE:3")), ["2027-01-10..2027-01-11", "2027-01-20..2027-01-21"]);
    assert_eq!(listed(&both("", "\nSEQUENCE:1")), ["2027-01-20..2027-01-21"]);
    assert_eq!(listed(&both("\nSEQUENCE:10", "\nSEQUENCE:9")), ["2027-01-10..2027-01-11"]);
    assert_eq!(listed(&both("\nSEQUENCE:1", "\nSEQUENCE:18446744073709551616")), ["2027-01-20..2027-01-21"]);
    for unreadable in ["1.5", "0x10", "-1", ""] {
        let both = both("\nSEQUENCE:1", &format!("\nSEQUENCE:{unreadable}"));
        assert_eq!(listed(&both), ["2027-01-10..2027-01-11", "2027-01-20..2027-01-21"], "nobody knows which is later");
    }
    let cancelled = both("\nSEQUENCE:1", "\nSEQUENCE:2\nSTATUS:CANCELLED");
    assert_eq!(listed(&cancelled), ["2027-01-20..2027-01-21"]);
    assert_eq!(cancelled.events[0].status, Some(EventStatus::Cancelled));
}

#[test]
fn a_date_is_a_date_however_it_is_written() {
    for lines in [
        "DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113",
        "DTEND;VALUE=DATE:20270113\nDTSTART;VALUE=DATE:20270110",
        "DTSTART:20270110\nDTEND:20270113",
        "DTSTART;VALUE=DATE:2027-01-10\nDTEND;VALUE=DATE:2027-01-13",
        "DTSTART;VALUE=DATE:20270110T000000\nDTEND;VALUE=DATE:20270113T000000Z",
        "DTSTART ;VALUE=DATE : 20270110\nDTEND :20270113",
        "DTSTART;VALUE=DATE:20270110  \nDTEND;VALUE=DATE: 20270113",
        "DTSTART;TZID=Europe/Madrid;VALUE=DATE:20270110\nDURATION:P3D",
        "DTSTART;VALUE=DATE:20270110\nDURATION:PT72H",
        "DTSTART;VALUE=DATE:20270110\nDTEND:20270113T110000",
        "DTSTART;VALUE=DATE:20270110\nDTEND:20270112T235959",
    ] {
        assert_eq!(of_event(lines), ["2027-01-10..2027-01-13"], "{lines}");
    }
}

#[test]
fn an_all_day_event_without_end_or_ending_on_its_start_is_one_night() {
    for lines in [
        "DTSTART;VALUE=DATE:20270110",
        "DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270110",
        "DTSTART;VALUE=DATE:20270110\nDURATION:PT0S",
    ] {
        assert_eq!(of_event(lines), ["2027-01-10..2027-01-11"], "{lines}");
    }
}

#[test]
fn where_dtend_is_the_last_night_one_more_is_taken() {
    let zone = madrid();
    let cx = ReadContext { end_is_last_night: true, ..context(&zone) };
    let nights = |lines: &str| listed(&read(event(lines).as_bytes(), &cx).unwrap());
    assert_eq!(nights("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270112"), ["2027-01-10..2027-01-13"]);
    assert_eq!(nights("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270110"), ["2027-01-10..2027-01-11"]);
    assert_eq!(nights("DTSTART;VALUE=DATE:20270110"), ["2027-01-10..2027-01-11"]);
}

#[test]
fn a_feed_in_which_all_run_from_midnight_to_midnight_means_days() {
    let stay = |from: &str, to: &str| format!("BEGIN:VEVENT\nDTSTART:{from}\nDTEND:{to}\nEND:VEVENT");
    let days = calendar(&format!(
        "{}\n{}",
        stay("20270110T000000Z", "20270113T000000Z"),
        stay("20270720T000000Z", "20270721T000000Z")
    ));
    let reading = read_text(days);
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-13", "2027-07-20..2027-07-21"]);
    assert_eq!(details(&reading), ["Every event runs from midnight to midnight, so all are read as whole days."]);

    let mixed = calendar(&format!(
        "{}\n{}",
        stay("20270110T000000Z", "20270113T000000Z"),
        stay("20270720T140000Z", "20270721T000000Z")
    ));
    assert_eq!(
        listed(&read_text(mixed)),
        ["2027-01-10T00:00:00Z..2027-01-13T00:00:00Z", "2027-07-20T14:00:00Z..2027-07-21T00:00:00Z"]
    );
}

#[test]
fn a_time_is_on_the_clock_that_it_names() {
    let tail = "\nDURATION:PT2H";
    for (start, instant) in [
        ("DTSTART:20270110T150000Z", "2027-01-10T15:00:00Z"),
        ("DTSTART:20270110T150000", "2027-01-10T14:00:00Z"),
        ("DTSTART;TZID=America/New_York:20270110T150000", "2027-01-10T20:00:00Z"),
        ("DTSTART;TZID=\"/example.com/20270101/America/New_York\":20270110T150000", "2027-01-10T20:00:00Z"),
        ("DTSTART;TZID=Eastern Standard Time:20270110T150000", "2027-01-10T20:00:00Z"),
        ("DTSTART;TZID=(UTC-05:00) Eastern Time (US & Canada):20270110T150000", "2027-01-10T20:00:00Z"),
        ("DTSTART;TZID=UTC:20270110T150000Z", "2027-01-10T15:00:00Z"),
        ("DTSTART;TZID=America/New_York:20270110T150000Z", "2027-01-10T15:00:00Z"),
        ("DTSTART:20270110T150000+0300", "2027-01-10T12:00:00Z"),
        // The clock jumps from 2 to 3 on 28 March; it is turned back from 3 to 2 on 31 October.
        ("DTSTART:20270328T023000", "2027-03-28T01:30:00Z"),
        ("DTSTART:20271031T023000", "2027-10-31T00:30:00Z"),
    ] {
        let listed = of_event(&format!("{start}{tail}"));
        assert_eq!(listed.len(), 1, "{start}");
        assert!(listed[0].starts_with(&format!("{instant}..")), "{start}: {listed:?}");
    }
}

#[test]
fn x_wr_timezone_is_a_hint_for_floating_times_only() {
    let hinted = |zone: &str, lines: &str| {
        listed(&read_text(calendar(&format!("X-WR-TIMEZONE:{zone}\nBEGIN:VEVENT\n{lines}\nEND:VEVENT"))))
    };
    let floating = "DTSTART:20270110T150000\nDTEND:20270110T160000";
    assert_eq!(hinted("America/New_York", floating), ["2027-01-10T20:00:00Z..2027-01-10T21:00:00Z"]);
    assert_eq!(hinted("Nowhere", floating), ["2027-01-10T14:00:00Z..2027-01-10T15:00:00Z"]);
    let zoned = "DTSTART;TZID=Europe/Madrid:20270110T150000\nDTEND;TZID=Europe/Madrid:20270110T160000";
    assert_eq!(hinted("America/New_York", zoned), ["2027-01-10T14:00:00Z..2027-01-10T15:00:00Z"]);
    assert_eq!(hinted("America/New_York", "DTSTART:20270110"), ["2027-01-10..2027-01-11"]);
}

#[test]
fn a_zone_that_only_the_feed_defines_is_used() {
    let feed = |zone: &str| {
        calendar(&format!(
            "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\n{zone}\nEND:VTIMEZONE\nBEGIN:VEVENT\nUID:1\n\
             DTSTART;TZID=\"Customized Time Zone\":20270110T150000\nDTEND;TZID=Customized Time Zone:20270710T150000\nEND:VEVENT"
        ))
    };
    let outlook = "BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0600\nTZOFFSETTO:+0500\n\
         RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\n\
         BEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0500\nTZOFFSETTO:+0600\n\
         RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT";
    let reading = read_text(feed(outlook));
    assert_eq!(listed(&reading), ["2027-01-10T10:00:00Z..2027-07-10T09:00:00Z"]);
    assert_eq!(reading.warnings, []);
    // natuurhuisje.nl writes observances without DTSTART.
    let bare = "BEGIN:STANDARD\nTZOFFSETFROM:+0500\nTZOFFSETTO:+0500\nEND:STANDARD";
    assert_eq!(listed(&read_text(feed(bare))), ["2027-01-10T10:00:00Z..2027-07-10T10:00:00Z"]);
}

#[test]
fn a_zone_defined_inside_an_event_defines_nothing() {
    let reading = read_text(event(
        "BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nTZOFFSETTO:+0500\nEND:STANDARD\nEND:VTIMEZONE\n\
         DTSTART;TZID=X:20270110T150000\nDURATION:PT1H",
    ));
    assert_eq!(listed(&reading), ["2027-01-10T14:00:00Z..2027-01-10T15:00:00Z"]);
}

#[test]
fn an_unknown_zone_is_the_propertys_with_a_warning() {
    let reading =
        read_text(event("DTSTART;TZID=Middle Earth:20270110T150000\nDTEND;TZID=Middle Earth:20270110T160000"));
    assert_eq!(listed(&reading), ["2027-01-10T14:00:00Z..2027-01-10T15:00:00Z"]);
    assert_eq!(
        details(&reading),
        ["A time zone of this calendar is not known; its times are read in the property's zone."]
    );
    assert_eq!(reading.warnings[0].line, Some(5));
}

#[test]
fn an_event_that_cant_be_read_is_a_warning_with_its_line_and_never_a_lost_feed() {
    for (lines, reason) in [
        ("SUMMARY:x", "it has no start"),
        ("DTSTART;VALUE=DATE:20271332", "its DTSTART is not a date that exists"),
        ("DTSTART:soon", "its DTSTART is not a date that exists"),
        ("DTSTART:202701100", "its DTSTART is not a date that exists"),
        ("DTSTART:20270110T150000Z", "it has no length: it ends when it starts, so it blocks nothing"),
        (
            "DTSTART:20270110T150000Z\nDTEND:20270110T150000Z",
            "it has no length: it ends when it starts, so it blocks nothing",
        ),
    ] {
        let reading = read_text(calendar(&format!(
            "BEGIN:VEVENT\nUID:bad\n{lines}\nEND:VEVENT\nBEGIN:VEVENT\nUID:good\nDTSTART:20270110\nEND:VEVENT"
        )));
        assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"], "{lines}");
        assert_eq!((reading.events_in_text, reading.events_read), (2, 1), "{lines}");
        let warning = reading.warnings.iter().find(|warning| warning.unread).expect(lines);
        assert_eq!(warning.detail, format!("The event at line 3 was not read: {reason}."), "{lines}");
        assert_eq!((warning.line, warning.uid.as_deref()), (Some(3), Some("bad")), "{lines}");
        assert!(details(&reading).contains(&"Only 1 of 2 events could be read."));
    }
}

/// What an event of these lines lists, its one warning with the line and whether more may be blocked by it.
fn in_part(lines: &str) -> (Vec<String>, String, Option<u32>, bool) {
    let reading = read_text(event(lines));
    assert_eq!((reading.events_in_text, reading.events_read), (1, 1), "{lines}");
    let [warning] = reading.warnings.as_slice() else { panic!("{lines}: {:?}", reading.warnings) };
    assert_eq!(warning.uid.as_deref(), Some("1"));
    let detail =
        warning.detail.strip_prefix("The event at line 3 was read in part: ").expect(&warning.detail).to_owned();
    (listed(&reading), detail, warning.line, warning.unread)
}

#[test]
fn an_end_that_cant_be_read_leaves_the_night_of_the_start() {
    for (end, detail) in [
        ("DTEND;VALUE=DATE:20270230", "its DTEND can't be read, so only the night of its start is blocked."),
        ("DTEND:", "its DTEND can't be read, so only the night of its start is blocked."),
        ("DTEND;VALUE=DATE", "its DTEND can't be read, so only the night of its start is blocked."),
        ("DTEND;VALUE=DATE:20270109", "its DTEND is before its start, so only the night of its start is blocked."),
        ("DURATION:-P2D", "its DURATION is before its start, so only the night of its start is blocked."),
        ("DURATION:-P99999999999W", "its DURATION is before its start, so only the night of its start is blocked."),
        ("DURATION:soon", "its DURATION can't be read, so only the night of its start is blocked."),
        ("DURATION:", "its DURATION can't be read, so only the night of its start is blocked."),
    ] {
        let day = in_part(&format!("DTSTART;VALUE=DATE:20270110\n{end}"));
        assert_eq!(day, (vec!["2027-01-10..2027-01-11".to_owned()], detail.to_owned(), Some(6), true), "{end}");
        let time = in_part(&format!("DTSTART:20270110T140000Z\n{end}"));
        let night = "2027-01-10T14:00:00Z..2027-01-11T09:00:00Z".to_owned();
        assert_eq!(time, (vec![night], detail.to_owned(), Some(6), true), "{end}");
    }
    // At another clock than the start's.
    for end in ["DTEND:20270110T120000Z", "DTEND;VALUE=DATE:20270110", "DTEND;TZID=Asia/Tokyo:20270110T220000"] {
        let (nights, _, line, unread) = in_part(&format!("DTSTART;TZID=Europe/Madrid:20270110T150000\n{end}"));
        assert_eq!(nights, ["2027-01-10T14:00:00Z..2027-01-11T09:00:00Z"], "{end}");
        assert_eq!((line, unread), (Some(6), true), "{end}");
    }
}

#[test]
fn where_two_ends_are_stated_the_one_that_can_be_read_counts() {
    let (nights, ..) = in_part("DTSTART:20270110\nDTEND:soon\nDURATION:P3D");
    assert_eq!(nights, ["2027-01-10..2027-01-13"]);
    let (nights, ..) = in_part("DTSTART:20270110\nDTEND:20270113\nDURATION:3 nights");
    assert_eq!(nights, ["2027-01-10..2027-01-13"]);
}

#[test]
fn what_is_glued_to_a_date_is_told_and_loses_nothing() {
    for start in ["20270110 (Sunday)", "20270110;X", "20270110T990000", "\"20270110\"", "\\20270110"] {
        let (nights, detail, line, unread) = in_part(&format!("DTSTART:{start}"));
        assert_eq!(nights, ["2027-01-10..2027-01-11"], "{start}");
        assert_eq!(detail, "its DTSTART goes on after the date, and the rest was passed over.");
        assert_eq!((line, unread), (Some(5), true));
    }
    let (nights, ..) = in_part("DTSTART:20270110T140000Z;foo\nDTEND:20270112T100000Z");
    assert_eq!(nights, ["2027-01-10T14:00:00Z..2027-01-12T10:00:00Z"]);
    let (nights, detail, ..) = in_part("DTSTART:20270110\nDTEND:20270113 (Wednesday)");
    assert_eq!(nights, ["2027-01-10..2027-01-13"]);
    assert!(detail.starts_with("its DTEND"), "{detail}");
}

#[test]
fn until_further_notice_ends_some_years_ahead() {
    for lines in [
        "DTSTART;VALUE=DATE:20280101\nDTEND;VALUE=DATE:99991231",
        "DTSTART;VALUE=DATE:20280101\nDTEND:99991231T235959Z",
        "DTSTART;VALUE=DATE:20280101\nDURATION:P99999999W",
        "DTSTART;VALUE=DATE:20280101\nDURATION:PT99999999999999999999S",
    ] {
        let (nights, detail, line, unread) = in_part(lines);
        assert_eq!(nights, ["2028-01-01..2031-01-01"], "{lines}");
        assert_eq!(detail, "it ends far ahead, and is counted until 2031-01-01.");
        assert_eq!((line, unread), (Some(3), false));
    }
    for lines in [
        "DTSTART:20280101T140000Z\nDTEND:99991231T235959Z",
        "DTSTART:20280101T140000Z\nDTEND:99991231T235959-2359",
        "DTSTART:20280101T140000Z\nDURATION:P99999999W",
        "DTSTART;TZID=Pacific/Kiritimati:20280102T040000\nDTEND;TZID=Pacific/Kiritimati:99991231T235959",
    ] {
        assert_eq!(in_part(lines).0, ["2028-01-01T14:00:00Z..2030-12-31T23:00:00Z"], "{lines}");
    }
    assert_eq!(in_part("DTSTART;VALUE=DATE:00010101\nDTEND;VALUE=DATE:99991231").0, ["2025-01-01..2031-01-01"]);
    for far in [
        "DTSTART:99991231",
        "DTSTART:99991231T235959Z\nDURATION:P1D",
        "DTSTART:00000101",
        "DTSTART:00000101T000000Z\nDURATION:P1D",
    ] {
        let reading = read_text(event(far));
        assert_eq!((reading.events.len(), reading.events_read, reading.warnings.len()), (0, 1, 0), "{far}");
    }
}

#[test]
fn a_long_series_and_a_long_period_are_cut_and_not_lost() {
    let reading = read_text(event("DTSTART:20270110\nDURATION:P99999999W\nRRULE:FREQ=DAILY;COUNT=3"));
    assert_eq!(listed(&reading), ["2027-01-10..2031-01-01", "2027-01-11..2031-01-01", "2027-01-12..2031-01-01"]);
    let reading =
        read_text(event("DTSTART:20270110T140000Z\nDURATION:PT20H\nRDATE;VALUE=PERIOD:20270301T140000Z/P99999999W"));
    assert_eq!(
        listed(&reading),
        ["2027-01-10T14:00:00Z..2027-01-11T10:00:00Z", "2027-03-01T14:00:00Z..2030-12-31T23:00:00Z"]
    );
}

#[test]
fn an_end_without_a_zone_is_on_the_clock_of_its_start() {
    assert_eq!(
        of_event("DTSTART;TZID=Europe/London:20261204T120000\nDTEND:20261204T143000"),
        ["2026-12-04T12:00:00Z..2026-12-04T14:30:00Z"]
    );
    assert_eq!(
        of_event(
            "DTSTART;TZID=Europe/London:20270104T120000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20270105T120000\nRDATE:20270110T120000"
        ),
        [
            "2027-01-04T12:00:00Z..2027-01-04T13:00:00Z",
            "2027-01-06T12:00:00Z..2027-01-06T13:00:00Z",
            "2027-01-10T12:00:00Z..2027-01-10T13:00:00Z"
        ]
    );
    assert_eq!(
        of_event("DTSTART:20270104T120000Z\nDTEND:20270104T143000"),
        ["2027-01-04T12:00:00Z..2027-01-04T14:30:00Z"]
    );
}

#[test]
fn outlooks_word_that_an_event_is_all_day_makes_days_of_it() {
    let flagged = |hint: &str, lines: &str| {
        let lines = format!(
            "{hint}BEGIN:VEVENT\n{lines}\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:20270201T150000Z\nEND:VEVENT"
        );
        listed(&read_text(calendar(&lines)))
    };
    let days = ["2027-06-10..2027-06-13"];
    for lines in [
        "DTSTART;TZID=W. Europe Standard Time:20270610T000000\nDTEND;TZID=W. Europe Standard Time:20270613T000000",
        "DTSTART;TZID=America/New_York:20270610T000000\nDTEND;TZID=America/New_York:20270613T000000",
        "DTSTART:20270610T000000\nDTEND:20270613T000000",
        "DTSTART:20270610T000000Z\nDURATION:P3D",
        "DTSTART:20270609T220000Z\nDTEND:20270612T220000Z",
        "DTSTART:20270609T220000Z\nDTEND:20270612T215959Z",
    ] {
        assert_eq!(flagged("", lines), days, "{lines}");
    }
    // Midnight where the calendar says that it is, whatever the property's zone.
    assert_eq!(flagged("X-WR-TIMEZONE:America/New_York\n", "DTSTART:20270610T040000Z\nDTEND:20270613T040000Z"), days);
}

#[test]
fn the_last_second_of_a_day_is_all_of_it_on_every_clock() {
    for end in ["20270112T235959Z", "20270112T235900Z", "20270112T225959Z", "20270112T235959"] {
        assert_eq!(of_event(&format!("DTSTART;VALUE=DATE:20270110\nDTEND:{end}")), ["2027-01-10..2027-01-13"], "{end}");
    }
}

#[test]
fn a_feeds_own_zone_counts_before_a_guess_at_its_name() {
    let feed = |tzid: &str| {
        let zone = "BEGIN:STANDARD\nDTSTART:19701101T020000\nTZOFFSETFROM:-0400\nTZOFFSETTO:-0500\n\
             RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\nEND:STANDARD\n\
             BEGIN:DAYLIGHT\nDTSTART:19700308T020000\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\n\
             RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\nEND:DAYLIGHT";
        listed(&read_text(calendar(&format!(
            "BEGIN:VTIMEZONE\nTZID:{tzid}\n{zone}\nEND:VTIMEZONE\nBEGIN:VEVENT\nUID:1\n\
             DTSTART;TZID={tzid}:20270710T150000\nDURATION:PT1H\nEND:VEVENT"
        ))))
    };
    for tzid in ["EST", "W. Europe Standard Time", "Customized", "+0100"] {
        assert_eq!(feed(tzid), ["2027-07-10T19:00:00Z..2027-07-10T20:00:00Z"], "{tzid}");
    }
    assert_eq!(feed("Europe/Madrid"), ["2027-07-10T13:00:00Z..2027-07-10T14:00:00Z"]);
    assert_eq!(feed("UTC"), ["2027-07-10T15:00:00Z..2027-07-10T16:00:00Z"]);
}

#[test]
fn a_list_of_cities_is_the_zone_that_the_calendar_names() {
    let feed = |hint: &str| {
        listed(&read_text(calendar(&format!(
            "X-WR-TIMEZONE:{hint}\nBEGIN:VEVENT\nDTSTART;TZID=\"(UTC) Monrovia, Reykjavik, Lisbon\":20270710T150000\nDURATION:PT1H\nEND:VEVENT"
        ))))
    };
    assert_eq!(feed("Europe/Lisbon"), ["2027-07-10T14:00:00Z..2027-07-10T15:00:00Z"]);
    assert_eq!(feed("Europe/Madrid"), ["2027-07-10T15:00:00Z..2027-07-10T16:00:00Z"]);
}

#[test]
fn warnings_never_quote_what_an_event_says() {
    let reading = read_text(event("DTSTART:Jane Doe\nSUMMARY:Jane Doe"));
    assert!(reading.warnings.iter().all(|warning| !warning.detail.contains("Jane")));
}

#[test]
fn what_lies_outside_of_the_horizon_is_read_but_not_listed() {
    let reading = read_text(calendar(
        "BEGIN:VEVENT\nUID:past\nDTSTART:20240110\nEND:VEVENT\nBEGIN:VEVENT\nUID:under way\nDTSTART:20240110\nDTEND:20270110\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:far\nDTSTART:20400110\nEND:VEVENT",
    ));
    // What began years ago is told from the year before the horizon's on.
    assert_eq!(listed(&reading), ["2025-01-01..2027-01-10"]);
    assert_eq!((reading.events_in_text, reading.events_read), (3, 3));
    assert_eq!(reading.warnings, []);
}

#[test]
fn an_alarm_inside_an_event_says_nothing_of_the_event() {
    let reading = read_text(event(
        "DTSTART:20270110\nBEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT5M\nSUMMARY:ring\nEND:VALARM\nSUMMARY:stay",
    ));
    assert_eq!(&*reading.events[0].summary, "stay");
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
}

#[test]
fn the_calendars_name_is_text() {
    let reading =
        read_text(calendar("X-WR-CALNAME:Casa\\, sea\nPRODID:-//admin.booking.com\\, b.v.//NONSGML v1.0//EN"));
    assert_eq!(reading.name.as_deref(), Some("Casa, sea"));
    assert_eq!(reading.prodid.as_deref(), Some("-//admin.booking.com, b.v.//NONSGML v1.0//EN"));
    assert_eq!(reading.events, []);
}

#[test]
fn an_unclosed_alarm_and_stray_lines_are_warnings() {
    let reading = read_text(event("DTSTART:20270110\nBEGIN:VALARM\nTRIGGER:-PT15M"));
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
    let reading = read_text(
        "BEGIN:VCALENDAR\n???\nBEGIN:VEVENT\nDTSTART:20270110\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\nbye <!-- cached -->\n",
    );
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11"]);
    assert_eq!(
        details(&reading),
        [
            "2 lines are no part of any entry and were passed over, the first at line 2.",
            "There is text outside of the calendar; it was passed over."
        ]
    );
}
