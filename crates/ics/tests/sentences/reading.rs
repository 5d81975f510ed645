//! What a feed says, case by case: each body is written as a site might write it, each value is invented.

use calmesh_calendar::{BusyStatus, EventStatus};
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
    assert_eq!(event.summary, "Reserved");
    assert_eq!(
        event.description,
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
    assert_eq!(reading.events[0].summary, "Réservée");
}

#[test]
fn a_value_broken_by_raw_line_ends_goes_on_in_the_next_line() {
    let reading = read_text(event(
        "DTSTART;VALUE=DATE:20270110\nDESCRIPTION:CHECK IN\nPhone (last 4): 0000\nhttps://example.com/HMTESTTEST\n\nbye\nSUMMARY:Reserved",
    ));
    assert_eq!(reading.events[0].description, "CHECK IN\nPhone (last 4): 0000\nhttps://example.com/HMTESTTEST\nbye");
    assert_eq!(reading.events[0].summary, "Reserved");
    assert_eq!(reading.warnings, []);
}

#[test]
fn every_line_end_reads_alike() {
    let text = event("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113\nSUMMARY:a\n b");
    let plain = read_text(&text);
    assert_eq!(plain.events[0].summary, "ab");
    for end in ["\r\n", "\r", "\r\r\n", "\n\n"] {
        let other = read_text(text.replace('\n', end));
        assert_eq!(listed(&other), listed(&plain), "{end:?}");
        assert_eq!(other.events[0].summary, "ab", "{end:?}");
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
        assert_eq!(reading.events[0].summary, "Réservée", "{name}");
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
fn several_masters_with_one_uid_all_count() {
    let reading = read_text(calendar(
        "BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20270110\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20270120\nEND:VEVENT",
    ));
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-11", "2027-01-20..2027-01-21"]);
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
        ("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270230", "its DTEND is not a date that exists"),
        ("DTSTART;VALUE=DATE:20270110\nDTEND:", "its DTEND is not a date that exists"),
        ("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE", "its DTEND is not a date that exists"),
        ("DTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270109", "it ends before it starts"),
        ("DTSTART;VALUE=DATE:20270110\nDURATION:-P2D", "it ends before it starts"),
        ("DTSTART;VALUE=DATE:20270110\nDURATION:soon", "its DURATION is not one of RFC 5545"),
        ("DTSTART:20270110T150000Z\nDTEND:20270110T140000Z", "it ends before it starts"),
        ("DTSTART:20270110T150000Z", "it has no length: it ends when it starts, so it blocks nothing"),
        (
            "DTSTART:20270110T150000Z\nDTEND:20270110T150000Z",
            "it has no length: it ends when it starts, so it blocks nothing",
        ),
        ("DTSTART:20270110\nRRULE:FREQ=SECONDLY", "it repeats more often than daily"),
        ("DTSTART:20270110\nRRULE:FREQ=DAILY\nRDATE:soon", "its RDATE is not a date that exists"),
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
    assert_eq!(listed(&reading), ["2024-01-10..2027-01-10"]);
    assert_eq!((reading.events_in_text, reading.events_read), (3, 3));
    assert_eq!(reading.warnings, []);
}

#[test]
fn an_alarm_inside_an_event_says_nothing_of_the_event() {
    let reading = read_text(event(
        "DTSTART:20270110\nBEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT5M\nSUMMARY:ring\nEND:VALARM\nSUMMARY:stay",
    ));
    assert_eq!(reading.events[0].summary, "stay");
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
