//! What sites write every day is read as `icalendar` reads it: that is as much as one may take for granted.

use calmesh_calendar::Extent;
use icalendar::{Calendar, CalendarDateTime, Component, DatePerhapsTime};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, date},
    tz::TimeZone,
};
use proptest::prelude::*;

use crate::support::*;

/// One event as both readers tell it: UID, start, end, summary, description.
type Told = (String, String, String, String, String);

/// How an event says when it is.
#[derive(Debug, Clone)]
enum When {
    Days,
    Utc,
    Zoned(&'static str),
}

impl When {
    /// A property of a day, or of an hour of it.
    fn written(&self, name: &str, day: Date, hour: i8) -> String {
        let at = day.at(hour, 30, 0, 0).strftime("%Y%m%dT%H%M%S");
        match self {
            Self::Days => format!("{name};VALUE=DATE:{}", day.strftime("%Y%m%d")),
            Self::Utc => format!("{name}:{at}Z"),
            Self::Zoned(tzid) => format!("{name};TZID={tzid}:{at}"),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;").replace('\n', "\\n")
}

/// A line, folded after every so many characters.
fn folded(line: &str, after: usize, line_end: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    let pieces: Vec<String> = letters.chunks(after).map(|piece| piece.iter().collect()).collect();
    pieces.join(&format!("{line_end} ")) + line_end
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Reserved".to_owned()),
        Just(String::new()),
        "[ -~éß老€\n]{1,120}".prop_map(|text| text.trim().to_owned()),
    ]
}

/// The lines of one event.
fn some_event() -> impl Strategy<Value = Vec<String>> {
    let when = prop_oneof![
        3 => Just(When::Days),
        1 => Just(When::Utc),
        1 => prop::sample::select(vec!["Europe/Madrid", "America/New_York", "Asia/Kathmandu"]).prop_map(When::Zoned),
    ];
    let moments = (when, 0_i32..700, 1_i32..40, 7_i8..20);
    let texts = ("[a-z0-9@.-]{1,90}", some_text(), some_text());
    (moments, texts, prop::sample::select(vec!["", "CONFIRMED", "TENTATIVE"])).prop_map(
        |((when, first, nights, hour), (uid, summary, description), status)| {
            let day = |days: i32| date(2026, 12, 20).checked_add(days.days()).unwrap();
            let mut lines = vec![
                "DTSTAMP:20261201T000000Z".to_owned(),
                when.written("DTSTART", day(first), hour),
                when.written("DTEND", day(first + nights), hour),
                format!("UID:{uid}"),
                format!("SUMMARY:{}", escaped(&summary)),
                format!("DESCRIPTION:{}", escaped(&description)),
                "X-NOBODYS-BUSINESS;X=\"a;b:c\":1".to_owned(),
            ];
            if !status.is_empty() {
                lines.push(format!("STATUS:{status}"));
            }
            lines
        },
    )
}

fn by_icalendar(moment: Option<DatePerhapsTime>) -> String {
    let instant = |local: String, tzid: &str| {
        let local: DateTime = local.parse().unwrap();
        local.to_zoned(TimeZone::get(tzid).unwrap()).unwrap().timestamp().to_string()
    };
    match moment.unwrap() {
        DatePerhapsTime::Date(day) => day.to_string(),
        DatePerhapsTime::DateTime(CalendarDateTime::Utc(at)) => {
            Timestamp::from_second(at.timestamp()).unwrap().to_string()
        }
        DatePerhapsTime::DateTime(CalendarDateTime::WithTimezone { date_time, tzid }) => {
            instant(date_time.to_string(), &tzid)
        }
        DatePerhapsTime::DateTime(CalendarDateTime::Floating(local)) => instant(local.to_string(), "Europe/Madrid"),
    }
}

fn told_by_icalendar(body: &str) -> Vec<Told> {
    let calendar: Calendar = body.parse().unwrap();
    let events = calendar.components.iter().filter_map(|component| component.as_event());
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    events
        .map(|event| {
            let (start, end) = (by_icalendar(event.get_start()), by_icalendar(event.get_end()));
            (text(event.get_uid()), start, end, text(event.get_summary()), text(event.get_description()))
        })
        .collect()
}

fn told_here(body: &str) -> Vec<Told> {
    let reading = read_text(body);
    assert_eq!(reading.warnings, []);
    let events = reading.events.into_iter();
    events
        .map(|event| {
            let (start, end) = match event.extent {
                Extent::Nights(nights) => (nights.first().to_string(), nights.end().to_string()),
                Extent::Times(times) => (times.start().to_string(), times.end().to_string()),
            };
            (event.key.unwrap().uid, start, end, event.summary.to_string(), event.description.to_string())
        })
        .collect()
}

proptest! {
    #[test]
    fn an_ordinary_feed_is_read_as_icalendar_reads_it(
        events in prop::collection::vec(some_event(), 0..8),
        after in 20_usize..75,
        line_end in prop::sample::select(vec!["\r\n", "\n"]),
    ) {
        let frame = |name: &str| [format!("BEGIN:{name}"), format!("END:{name}")];
        let [begin, end] = frame("VEVENT");
        let events = events.into_iter().flat_map(|lines| [vec![begin.clone()], lines, vec![end.clone()]].concat());
        let [first, last] = frame("VCALENDAR");
        let lines = [first, "VERSION:2.0".to_owned(), "PRODID:-//x//y//EN".to_owned()].into_iter().chain(events);
        let body: String = lines.chain([last]).map(|line| folded(&line, after, line_end)).collect();
        prop_assert_eq!(told_here(&body), told_by_icalendar(&body));
    }
}
