//! Repeating events: rules, dates, exceptions, overrides.

use calmesh_calendar::{EventStatus, FeedReading};

use crate::support::*;

fn starts(reading: &FeedReading) -> Vec<String> {
    listed(reading).iter().map(|extent| extent.split("..").next().unwrap().to_owned()).collect()
}

fn starts_of(lines: &str) -> Vec<String> {
    let reading = read_text(event(lines));
    assert_eq!(reading.warnings, [], "{lines}");
    starts(&reading)
}

fn occurrences(reading: &FeedReading) -> Vec<String> {
    let key = |event: &calmesh_calendar::FeedEvent| event.key.clone().unwrap().occurrence.unwrap();
    reading.events.iter().map(key).collect()
}

/// A series `UID:1` and its overrides.
fn with_overrides(master: &str, overrides: &[&str]) -> FeedReading {
    let events: Vec<String> =
        [master].iter().chain(overrides).map(|lines| format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT")).collect();
    let reading = read_text(calendar(&events.join("\n")));
    let backwards: Vec<String> = events.into_iter().rev().collect();
    let mut there = read_text(calendar(&backwards.join("\n"))).events;
    let mut here = reading.events.clone();
    for event in here.iter_mut().chain(&mut there) {
        event.lines = calmesh_calendar::Lines::default();
    }
    here.sort_by_key(|event| (event.extent, event.key.clone(), event.summary.clone()));
    there.sort_by_key(|event| (event.extent, event.key.clone(), event.summary.clone()));
    assert_eq!(here, there, "the order of the text must not matter");
    reading
}

#[test]
fn a_series_is_expanded_within_the_horizon() {
    let reading = read_text(event("DTSTART;VALUE=DATE:20200106\nDTEND;VALUE=DATE:20200108\nRRULE:FREQ=WEEKLY"));
    assert_eq!(reading.more_from, Some("2029-02-14T00:00:00Z".parse().unwrap()));
    assert_eq!(reading.events_read, 1);
    // 30 days back and 775 ahead of 1 January 2027.
    assert_eq!(listed(&reading).first().unwrap(), "2026-12-07..2026-12-09");
    assert_eq!(listed(&reading).last().unwrap(), "2029-02-12..2029-02-14");
    assert_eq!(reading.events.len(), 115);
}

#[test]
fn the_day_of_the_horizons_edge_does_not_depend_on_where_a_series_is_entered() {
    for start in ["19010107", "20200106", "20261130"] {
        let reading = read_text(event(&format!("DTSTART;VALUE=DATE:{start}\nRRULE:FREQ=WEEKLY;INTERVAL=2")));
        assert!(starts(&reading).windows(2).all(|pair| pair[0] < pair[1]));
        assert!(reading.events.len() >= 56, "{start}");
    }
}

#[test]
fn a_zoned_series_keeps_its_wall_clock_over_the_change() {
    assert_eq!(
        starts_of("DTSTART;TZID=Europe/Madrid:20270327T150000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"),
        ["2027-03-27T14:00:00Z", "2027-03-28T13:00:00Z", "2027-03-29T13:00:00Z"]
    );
}

#[test]
fn a_start_that_its_rule_does_not_generate_counts() {
    // 1 January 2027 is a Friday.
    assert_eq!(
        starts_of("DTSTART:20270101\nRRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20270112"),
        ["2027-01-01", "2027-01-04", "2027-01-11"]
    );
    assert_eq!(starts_of("DTSTART:20270101\nRRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2"), ["2027-01-01", "2027-01-04"]);
}

#[test]
fn until_is_read_in_every_form() {
    let days = ["2027-01-10", "2027-01-11", "2027-01-12"];
    for until in ["20270112", "20270112T120000", "20270112T000000Z", "20270112T225959Z"] {
        assert_eq!(starts_of(&format!("DTSTART:20270110\nRRULE:FREQ=DAILY;UNTIL={until}")), days, "{until}");
    }
    // In Madrid it is past midnight then.
    assert_eq!(starts_of("DTSTART:20270110\nRRULE:FREQ=DAILY;UNTIL=20270111T230000Z"), days);
    let times = ["2027-01-10T22:30:00Z", "2027-01-11T22:30:00Z", "2027-01-12T22:30:00Z"];
    for until in ["20270112", "20270112T233000", "20270112T223000Z"] {
        let lines =
            format!("DTSTART;TZID=Europe/Madrid:20270110T233000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL={until}");
        assert_eq!(starts_of(&lines), times, "{until}");
    }
}

#[test]
fn dates_are_added_and_taken_away() {
    assert_eq!(
        starts_of(
            "DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE;VALUE=DATE:20270111,20270113\nRDATE;VALUE=DATE:20270120\nEXDATE:20270301"
        ),
        ["2027-01-10", "2027-01-12", "2027-01-20"]
    );
    let timed = "DTSTART;TZID=Europe/Madrid:20270110T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3";
    for except in [
        "EXDATE:20270111T090000Z",
        "EXDATE;TZID=Europe/Madrid:20270111T100000",
        "EXDATE;VALUE=DATE:20270111",
        "EXDATE;TZID=America/New_York:20270111T040000",
        "EXDATE:20270111T100000",
        "EXRULE:FREQ=DAILY;INTERVAL=3;BYMONTHDAY=11",
    ] {
        let expected = if except.starts_with("EXRULE") {
            // No third day from the start is an 11th: an exception that takes nothing away.
            vec!["2027-01-10T09:00:00Z", "2027-01-11T09:00:00Z", "2027-01-12T09:00:00Z"]
        } else {
            vec!["2027-01-10T09:00:00Z", "2027-01-12T09:00:00Z"]
        };
        assert_eq!(starts_of(&format!("{timed}\n{except}")), expected, "{except}");
    }
    assert_eq!(
        of_event(
            "DTSTART:20270110T100000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20270111T100000Z/PT3H,20270112T100000Z/20270112T110000Z"
        ),
        [
            "2027-01-10T10:00:00Z..2027-01-10T11:00:00Z",
            "2027-01-11T10:00:00Z..2027-01-11T13:00:00Z",
            "2027-01-12T10:00:00Z..2027-01-12T11:00:00Z"
        ]
    );
}

#[test]
fn a_period_added_to_whole_days_is_days() {
    assert_eq!(
        of_event("DTSTART;VALUE=DATE:20270110\nRDATE;VALUE=PERIOD:20270120T150000/20270123T110000"),
        ["2027-01-10..2027-01-11", "2027-01-20..2027-01-23"]
    );
}

#[test]
fn an_exception_that_cant_be_read_leaves_the_night_blocked() {
    let reading = read_text(event("DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:soon\nEXRULE:FREQ=HOURLY"));
    assert_eq!(starts(&reading), ["2027-01-10", "2027-01-11"]);
    assert_eq!(reading.warnings.len(), 2);
    assert!(reading.warnings.iter().all(|warning| warning.detail.contains(" EX")), "{:?}", reading.warnings);
    assert!(reading.warnings.iter().all(|warning| !warning.unread && warning.uid.as_deref() == Some("1")));
}

#[test]
fn an_override_moves_its_occurrence_however_it_names_it() {
    let master = "DTSTART;TZID=Europe/Madrid:20270110T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3";
    for id in [
        "RECURRENCE-ID;TZID=Europe/Madrid:20270111T100000",
        "RECURRENCE-ID:20270111T090000Z",
        "RECURRENCE-ID;TZID=America/New_York:20270111T040000",
        "RECURRENCE-ID;VALUE=DATE:20270111",
    ] {
        let reading = with_overrides(
            master,
            &[&format!("{id}\nDTSTART:20270111T150000Z\nDTEND:20270111T160000Z\nSUMMARY:moved")],
        );
        assert_eq!(starts(&reading), ["2027-01-10T09:00:00Z", "2027-01-12T09:00:00Z", "2027-01-11T15:00:00Z"], "{id}");
        assert_eq!(
            occurrences(&reading),
            ["2027-01-10T09:00:00Z", "2027-01-12T09:00:00Z", "2027-01-11T09:00:00Z"],
            "{id}"
        );
    }
    let days = "DTSTART;VALUE=DATE:20270110\nRRULE:FREQ=DAILY;COUNT=3";
    for id in ["RECURRENCE-ID;VALUE=DATE:20270111", "RECURRENCE-ID:20270111T000000Z", "RECURRENCE-ID:20270111T000000"] {
        let reading = with_overrides(days, &[&format!("{id}\nDTSTART;VALUE=DATE:20270120")]);
        assert_eq!(starts(&reading), ["2027-01-10", "2027-01-12", "2027-01-20"], "{id}");
        assert_eq!(occurrences(&reading), ["2027-01-10", "2027-01-12", "2027-01-11"], "{id}");
    }
}

#[test]
fn a_cancelled_occurrence_is_listed_as_cancelled() {
    let master = "DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=3";
    let reading = with_overrides(master, &["RECURRENCE-ID:20270111\nSTATUS:CANCELLED"]);
    assert_eq!(starts(&reading), ["2027-01-10", "2027-01-12", "2027-01-11"]);
    assert_eq!(reading.events[2].status, Some(EventStatus::Cancelled));
    assert_eq!(occurrences(&reading)[2], "2027-01-11");
}

#[test]
fn a_later_sequence_wins_and_what_takes_place_wins_over_what_is_cancelled() {
    let master = "DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=2";
    let moved = "RECURRENCE-ID:20270111\nSEQUENCE:1\nDTSTART:20270120";
    let later = "RECURRENCE-ID:20270111\nSEQUENCE:2\nDTSTART:20270122";
    let cancelled = "RECURRENCE-ID:20270111\nSEQUENCE:1\nDTSTART:20270111\nSTATUS:CANCELLED";
    assert_eq!(starts(&with_overrides(master, &[moved, later, cancelled])), ["2027-01-10", "2027-01-22"]);
    assert_eq!(starts(&with_overrides(master, &[cancelled, moved])), ["2027-01-10", "2027-01-20"]);
    for unreadable in ["x", "-1", "1.0"] {
        let stands = format!("RECURRENCE-ID:20270111\nSEQUENCE:{unreadable}\nDTSTART:20270111");
        let gone = format!("RECURRENCE-ID:20270111\nSEQUENCE:{unreadable}\nDTSTART:20270111\nSTATUS:CANCELLED");
        let reading = with_overrides(master, &[cancelled, &stands]);
        assert_eq!(starts(&reading), ["2027-01-10", "2027-01-11"], "nobody knows which is later: {unreadable}");
        assert!(reading.events.iter().all(|event| event.status != Some(EventStatus::Cancelled)));
        assert_eq!(starts(&with_overrides(master, &[moved, &gone])), ["2027-01-10", "2027-01-20"]);
    }
    let other = "RECURRENCE-ID:20270111\nSEQUENCE:1\nDTSTART:20270124";
    assert_eq!(starts(&with_overrides(master, &[moved, other])), ["2027-01-10", "2027-01-20", "2027-01-24"]);
}

#[test]
fn overrides_belong_to_their_uid() {
    let reading = read_text(calendar(
        "BEGIN:VEVENT\nUID:1\nDTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=2\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:2\nRECURRENCE-ID:20270111\nDTSTART:20270120\nEND:VEVENT",
    ));
    assert_eq!(starts(&reading), ["2027-01-10", "2027-01-11", "2027-01-20"]);
    assert_eq!(occurrences(&reading)[2], "2027-01-11");
}

#[test]
fn this_and_future_changes_all_that_follows() {
    let master = "DTSTART;TZID=Europe/Madrid:20270110T100000\nDURATION:PT1H\nSUMMARY:a\nRRULE:FREQ=DAILY;COUNT=4";
    let change = "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Madrid:20270112T100000\n\
                  DTSTART;TZID=Europe/Madrid:20270112T120000\nDURATION:PT2H\nSUMMARY:b";
    let reading = with_overrides(master, &[change]);
    let said: Vec<_> = reading.events.iter().map(|event| (extent(event), &*event.summary)).collect();
    assert_eq!(
        said,
        [
            ("2027-01-10T09:00:00Z..2027-01-10T10:00:00Z".to_owned(), "a"),
            ("2027-01-11T09:00:00Z..2027-01-11T10:00:00Z".to_owned(), "a"),
            ("2027-01-13T11:00:00Z..2027-01-13T13:00:00Z".to_owned(), "b"),
            ("2027-01-12T11:00:00Z..2027-01-12T13:00:00Z".to_owned(), "b"),
        ]
    );
    assert_eq!(occurrences(&reading)[2], "2027-01-13T09:00:00Z");

    let cancelled =
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20270112T090000Z\nDTSTART:20270112T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED";
    let reading = with_overrides(master, &[cancelled]);
    let gone = reading.events.iter().filter(|event| event.status == Some(EventStatus::Cancelled)).count();
    assert_eq!((reading.events.len(), gone), (4, 2));
}

#[test]
fn no_rule_gets_past_the_caps() {
    for rule in [
        "FREQ=SECONDLY",
        "FREQ=MINUTELY;COUNT=2147483647",
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=400",
        "RSCALE=HEBREW;FREQ=DAILY",
        "nonsense",
    ] {
        let reading = read_text(event(&format!("DTSTART:19700101\nRRULE:{rule}")));
        assert_eq!(reading.events, [], "{rule}");
        let unread: Vec<_> = reading.warnings.iter().filter(|warning| warning.unread).collect();
        assert_eq!((unread.len(), unread[0].uid.as_deref(), unread[0].line), (1, Some("1"), Some(6)), "{rule}");
        let reading = read_text(event(&format!("DTSTART:20270110\nRRULE:{rule}")));
        assert_eq!(starts(&reading), ["2027-01-10"], "{rule}: the start is certain");
        assert!(reading.more_from.is_some());
        assert_eq!(occurrences(&reading), ["2027-01-10"], "{rule}: named as the rule would name it");
    }
    let thousand = (0..1000).map(|day| (day % 366 + 1).to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(of_event(&format!("DTSTART:20270101\nRRULE:FREQ=YEARLY;BYYEARDAY={thousand}")).len(), 776);
    // Harmless, however large the number.
    assert_eq!(of_event("DTSTART:20270101\nRRULE:FREQ=DAILY;COUNT=2147483647").len(), 776);
    assert_eq!(of_event("DTSTART:00010101\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30").len(), 0);
}

#[test]
fn a_rule_below_a_day_is_a_stretch_of_each_day() {
    let starts = "DTSTART;TZID=Europe/Madrid:20270110T090000\nDURATION:PT1H";
    assert_eq!(
        of_event(&format!("{starts}\nRRULE:FREQ=HOURLY;COUNT=18")),
        ["2027-01-10T08:00:00Z..2027-01-10T23:00:00Z", "2027-01-10T23:00:00Z..2027-01-11T02:00:00Z"]
    );
    assert_eq!(
        of_event(&format!("{starts}\nRRULE:FREQ=DAILY;BYHOUR=9,17;COUNT=4")),
        ["2027-01-10T08:00:00Z..2027-01-10T17:00:00Z", "2027-01-11T08:00:00Z..2027-01-11T17:00:00Z"]
    );
    assert_eq!(
        of_event("DTSTART:20270110\nRRULE:FREQ=HOURLY;COUNT=30"),
        ["2027-01-10..2027-01-11", "2027-01-11..2027-01-12"]
    );
    assert_eq!(of_event(&format!("{starts}\nRRULE:FREQ=HOURLY")).len(), 767);
    // One of its starts called off leaves the others of its day.
    assert_eq!(
        of_event(&format!("{starts}\nRRULE:FREQ=HOURLY;COUNT=3\nEXDATE:20270110T100000")),
        ["2027-01-10T08:00:00Z..2027-01-10T11:00:00Z"]
    );
}

#[test]
fn until_of_an_all_day_series_is_a_day_where_the_calendar_is() {
    let last = |zone: &str, frame: &str, until: &str| {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let body = calendar(&format!(
            "{frame}BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20270701\nRRULE:FREQ=DAILY;UNTIL={until}\nEND:VEVENT"
        ));
        let reading = calmesh_ics::read(body.as_bytes(), &context(&zone)).unwrap();
        starts(&reading).pop().unwrap()
    };
    let hint = "X-WR-TIMEZONE:Europe/Berlin\n";
    let own = "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nEND:VTIMEZONE\n";
    for zone in ["Europe/Lisbon", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "UTC"] {
        for frame in [hint, own, "", "X-WR-TIMEZONE:UTC\n"] {
            assert_eq!(last(zone, frame, "20270702T220000Z"), "2027-07-03", "{zone} {frame}");
        }
        assert_eq!(last(zone, hint, "20270702T215959Z"), "2027-07-02", "{zone}");
        assert_eq!(last(zone, hint, "20270702T120000Z"), "2027-07-02", "{zone}");
        assert_eq!(last(zone, "", "20270703T000000Z"), "2027-07-03", "{zone}");
        assert_eq!(last(zone, "X-WR-TIMEZONE:America/New_York\n", "20270703T040000Z"), "2027-07-03", "{zone}");
    }
}

#[test]
fn an_exception_of_an_all_day_series_by_an_instant_is_a_day_where_the_calendar_is() {
    let days = |frame: &str, except: &str| {
        starts(&read_text(calendar(&format!(
            "{frame}BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20270701\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE:{except}\nEND:VEVENT"
        ))))
    };
    let without_third = ["2027-07-01", "2027-07-02", "2027-07-04"];
    assert_eq!(days("X-WR-TIMEZONE:Europe/Berlin\n", "20270702T220000Z"), without_third);
    assert_eq!(days("X-WR-TIMEZONE:America/New_York\n", "20270703T040000Z"), without_third);
    assert_eq!(days("", "20270702T220000Z"), without_third);
    assert_eq!(days("", "20270703T000000Z"), without_third);
    // Midnight neither here nor in a zone that is named: nothing is taken away.
    assert_eq!(days("", "20270703T040000Z").len(), 4);
}

#[test]
fn a_date_that_cant_be_read_loses_no_other() {
    let reading = read_text(event(
        "DTSTART:20270110T140000Z\nDURATION:PT20H\n\
         RDATE;VALUE=PERIOD:20270120T140000Z/PT40H,soon/PT1H,20270125T140000Z/later,20270130T140000Z/20270129T000000Z",
    ));
    assert_eq!(
        listed(&reading),
        [
            "2027-01-10T14:00:00Z..2027-01-11T10:00:00Z",
            "2027-01-20T14:00:00Z..2027-01-22T06:00:00Z",
            "2027-01-25T14:00:00Z..2027-01-26T09:00:00Z",
            "2027-01-30T14:00:00Z..2027-01-31T09:00:00Z"
        ]
    );
    assert!(reading.warnings.iter().all(|warning| warning.unread && warning.line == Some(7)), "{:?}", reading.warnings);
    assert_eq!(reading.warnings.len(), 2);
}

#[test]
fn an_event_without_length_still_has_its_periods() {
    let reading = read_text(event("DTSTART:20270110T140000Z\nRDATE;VALUE=PERIOD:20270120T140000Z/PT40H"));
    assert_eq!(listed(&reading), ["2027-01-20T14:00:00Z..2027-01-22T06:00:00Z"]);
    assert_eq!(reading.events_read, 1);
}

#[test]
fn an_override_of_an_occurrence_that_cant_be_read_counts_beside_its_series() {
    let master = "DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=2";
    let reading = with_overrides(master, &["RECURRENCE-ID:soon\nDTSTART:20270120\nSEQUENCE:7"]);
    assert_eq!(starts(&reading), ["2027-01-10", "2027-01-11", "2027-01-20"]);
    assert!(reading.warnings.iter().any(|warning| warning.unread));
    let cancelled = with_overrides(master, &["RECURRENCE-ID:soon\nDTSTART:20270110\nSTATUS:CANCELLED"]);
    assert_eq!(starts(&cancelled), ["2027-01-10", "2027-01-11"]);
}

#[test]
fn of_two_ends_of_a_rule_the_later_one_counts() {
    let days = ["2027-01-10", "2027-01-11", "2027-01-12"];
    assert_eq!(starts_of("DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=3;UNTIL=20270111"), days);
    assert_eq!(starts_of("DTSTART:20270110\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20270112"), days);
}
