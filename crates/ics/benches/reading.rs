//! Figures of reading and rendering by size, and of reading beside other readers of Rust, by plain timing:
//! `cargo bench -p calmesh-ics`.
//!
//! What is compared runs in turns, so that a busy machine is as hard on one as on the other: the ratios hold, the times
//! are this machine's. The others only take a body apart; they place no time in a zone, repeat nothing, and check less.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fmt::Write,
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use calmesh_calendar::{Extent, Nights};
use calmesh_ics::{Document, DocumentEvent, Horizon, Limits, ReadContext, accept, meaning, read, render};
use jiff::{
    Timestamp,
    civil::{Date, date},
    tz::TimeZone,
};

/// A feed of so many stays.
type Feed = fn(usize) -> String;

/// A feed of these events, one stay after the other, which begins anew where the horizon ends.
fn feed(head: &str, events: usize, mut write_event: impl FnMut(&mut String, usize, Date, Date)) -> String {
    let mut feed = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{head}");
    let mut day = date(2027, 1, 1);
    for number in 0..events {
        let end = day.tomorrow().unwrap().tomorrow().unwrap();
        write_event(&mut feed, number, day, end);
        day = if day.year() > 2028 { date(2027, 1, 1) } else { end };
    }
    feed.push_str("END:VCALENDAR\r\n");
    feed
}

fn digits(day: Date) -> String {
    day.strftime("%Y%m%d").to_string()
}

/// As Airbnb writes it: days, and a description that is folded and escaped.
fn airbnb(events: usize) -> String {
    let head = "PRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nCALSCALE:GREGORIAN\r\n";
    feed(head, events, |feed, number, from, to| {
        let (from, to) = (digits(from), digits(to));
        write!(
            feed,
            "BEGIN:VEVENT\r\nDTSTAMP:20270101T000000Z\r\nDTSTART;VALUE=DATE:{from}\r\nDTEND;VALUE=DATE:{to}\r\n\
             SUMMARY:Reserved\r\nUID:1418fb94e984-{number:032x}@airbnb.com\r\n\
             DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n \
             tails/HMTEST{number:04}\\nPhone Number (Last 4 Digits): 0000\r\nEND:VEVENT\r\n"
        )
        .unwrap();
    })
}

/// As Booking.com writes it: days, and nothing else.
fn booking(events: usize) -> String {
    feed("PRODID:-//Booking.com//ICal//EN\r\n", events, |feed, number, from, to| {
        let (from, to) = (digits(from), digits(to));
        write!(
            feed,
            "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:{from}\r\nDTEND;VALUE=DATE:{to}\r\n\
             UID:{number:032x}@booking.com\r\nSUMMARY:CLOSED - Not available\r\nEND:VEVENT\r\n"
        )
        .unwrap();
    })
}

/// As calendars for people write it: times in a zone of the feed, and much that no reading asks for.
fn timed(events: usize) -> String {
    let head = "X-WR-TIMEZONE:Europe/Madrid\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Madrid\r\nBEGIN:STANDARD\r\n\
         TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nDTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\n\
         END:STANDARD\r\nEND:VTIMEZONE\r\n";
    feed(head, events, |feed, number, from, to| {
        let (from, to) = (digits(from), digits(to));
        write!(
            feed,
            "BEGIN:VEVENT\r\nDTSTART;TZID=Europe/Madrid:{from}T160000\r\nDTEND;TZID=Europe/Madrid:{to}T100000\r\n\
             DTSTAMP:20270101T000000Z\r\nUID:{number}-stay@calendar.example\r\nCREATED:20260101T000000Z\r\n\
             LAST-MODIFIED:20260102T000000Z\r\nSEQUENCE:0\r\nSTATUS:CONFIRMED\r\nSUMMARY:Stay {number}\r\n\
             TRANSP:OPAQUE\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Keys\r\nTRIGGER:-P1D\r\nEND:VALARM\r\n\
             END:VEVENT\r\n"
        )
        .unwrap();
    })
}

/// Series that need expansion.
fn yearly(events: usize) -> String {
    feed("", events, |feed, number, _, _| {
        let (month, day) = (number % 12 + 1, number % 28 + 1);
        write!(
            feed,
            "BEGIN:VEVENT\r\nUID:{number}\r\nDTSTART;VALUE=DATE:2019{month:02}{day:02}\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\n"
        )
        .unwrap();
    })
}

const FEEDS: [(&str, Feed); 3] = [("days, described", airbnb), ("days", booking), ("times", timed)];

/// Each of them by what it does with a body.
type Ways<'a> = [(&'a str, &'a dyn Fn(&str)); 5];

/// The least time of one call of each, over rounds that take half a second for each of them.
fn times(body: &str, ways: &Ways<'_>) -> [Duration; 5] {
    let mut least = [Duration::MAX; 5];
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2_500) {
        for ((_, way), least) in ways.iter().zip(&mut least) {
            let round = Instant::now();
            way(body);
            *least = round.elapsed().min(*least);
        }
    }
    least
}

fn with_calcard(body: &str) {
    let mut parser = calcard::Parser::new(body);
    loop {
        match parser.entry() {
            calcard::Entry::Eof => break,
            entry => _ = black_box(entry),
        }
    }
}

/// Kilobytes that this process held at most, where the kernel says so.
fn peak_kilobytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// The least time of one call, over rounds that take a third of a second.
fn least(mut work: impl FnMut()) -> Duration {
    let mut least = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(333) {
        let round = Instant::now();
        work();
        least = round.elapsed().min(least);
    }
    least
}

/// A link of so many stays, as busy ones are shown.
fn document(events: usize) -> Document {
    let mut day = date(2027, 1, 1);
    let event = |number: usize| {
        let end = day.tomorrow().unwrap().tomorrow().unwrap();
        let extent = Extent::Nights(Nights::new(day, end).unwrap());
        day = end;
        DocumentEvent {
            uid: format!("{number:032x}@calmesh"),
            extent,
            summary: "Not available".to_owned(),
            description: None,
            stamp: "2027-01-01T00:00:00Z".parse().unwrap(),
            sequence: 1,
        }
    };
    Document { name: "Not available".to_owned(), refresh_minutes: 15, events: (0..events).map(event).collect() }
}

fn by_size(cx: &ReadContext<'_>) {
    const SIZES: [usize; 3] = [40, 400, 4_000];
    println!("{:<28}{:>12}{:>12}{:>12}   µs, so many events", "", SIZES[0], SIZES[1], SIZES[2]);
    let row = |what: &str, time: &dyn Fn(usize) -> Duration| {
        let times = SIZES.map(|events| time(events).as_nanos() as f64 / 1e3);
        println!("{what:<28}{:>12.1}{:>12.1}{:>12.1}", times[0], times[1], times[2]);
    };
    for (name, feed) in FEEDS {
        row(&format!("read {name}"), &|events| {
            let body = feed(events);
            least(|| _ = black_box(read(body.as_bytes(), cx)))
        });
    }
    row("accept days, described", &|events| {
        let body = airbnb(events);
        least(|| _ = black_box(accept(body.as_bytes(), &cx.limits)))
    });
    row("meaning of days, described", &|events| {
        let body = airbnb(events);
        least(|| _ = black_box(meaning(body.as_bytes())))
    });
    row("render a busy link", &|events| {
        let document = document(events);
        least(|| _ = black_box(render(&document)))
    });
    println!();
}

fn main() {
    let zone = TimeZone::get("Europe/Madrid").unwrap();
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let limits = Limits::default();
    let cx = ReadContext { zone: &zone, horizon: Horizon::around(now), limits, end_is_last_night: false };

    by_size(&cx);
    let before = peak_kilobytes();
    for (name, body) in [("5,000 stays", airbnb(5_000)), ("5,000 yearly series", yearly(5_000))] {
        let reading = read(body.as_bytes(), &cx).unwrap();
        let (bytes, listed, peak) = (body.len(), reading.events.len(), peak_kilobytes());
        println!("{name}: {bytes} bytes, {listed} listed, peak {peak:?} kB (before: {before:?})");
    }

    let ways: Ways<'_> = [
        ("read", &|body| _ = black_box(read(body.as_bytes(), &cx))),
        ("accept", &|body| _ = black_box(accept(body.as_bytes(), &limits))),
        ("meaning", &|body| _ = black_box(meaning(body.as_bytes()))),
        ("calcard", &with_calcard),
        ("icalendar", &|body| {
            _ = black_box(icalendar::parser::read_calendar(&icalendar::parser::unfold(body)).is_ok())
        }),
    ];
    println!("{:<18} {:>6} {:<10} {:>10} {:>8} {:>12}", "feed", "events", "by", "µs", "MB/s", "times read's");
    for (name, feed) in FEEDS {
        for events in [40, 5_000] {
            let body = feed(events);
            let taken = times(&body, &ways).map(|taken| taken.as_secs_f64());
            for ((by, _), seconds) in ways.iter().zip(taken) {
                let (micros, megabytes) = (seconds * 1e6, body.len() as f64 / seconds / 1e6);
                let ratio = seconds / taken[0];
                println!("{name:<18} {events:>6} {by:<10} {micros:>10.1} {megabytes:>8.0} {ratio:>12.2}");
            }
        }
    }
}
