//! Figures of reading and of meaning, by plain timing: `cargo bench -p calmesh-ics`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fmt::Write,
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use calmesh_ics::{Horizon, Limits, ReadContext, meaning, read};
use jiff::{Timestamp, civil::date, tz::TimeZone};

/// A feed as Airbnb writes it, of so many stays in a row.
fn airbnb(events: usize) -> String {
    let mut feed = String::from(
        "BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nCALSCALE:GREGORIAN\r\nVERSION:2.0\r\n",
    );
    let mut day = date(2027, 1, 1);
    for number in 0..events {
        let end = day.tomorrow().unwrap().tomorrow().unwrap();
        let (from, to) = (day.strftime("%Y%m%d"), end.strftime("%Y%m%d"));
        write!(
            feed,
            "BEGIN:VEVENT\r\nDTSTAMP:20270101T000000Z\r\nDTSTART;VALUE=DATE:{from}\r\nDTEND;VALUE=DATE:{to}\r\n\
             SUMMARY:Reserved\r\nUID:1418fb94e984-{number:032x}@airbnb.com\r\n\
             DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n \
             tails/HMTESTTEST\\nPhone Number (Last 4 Digits): 0000\r\nEND:VEVENT\r\n"
        )
        .unwrap();
        day = if day.year() > 2028 { date(2027, 1, 1) } else { end };
    }
    feed.push_str("END:VCALENDAR\r\n");
    feed
}

/// Five thousand series that need expansion.
fn series(events: usize) -> String {
    let mut feed = String::from("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n");
    for number in 0..events {
        write!(
            feed,
            "BEGIN:VEVENT\r\nUID:{number}\r\nDTSTART;VALUE=DATE:2019{:02}{:02}\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\n",
            number % 12 + 1,
            number % 28 + 1
        )
        .unwrap();
    }
    feed.push_str("END:VCALENDAR\r\n");
    feed
}

/// The least time of one call, over rounds that take half a second in all.
fn time<T>(mut call: impl FnMut() -> T) -> Duration {
    let mut least = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        let round = Instant::now();
        black_box(call());
        least = least.min(round.elapsed());
    }
    least
}

fn report(what: &str, bytes: usize, events: usize, taken: Duration) {
    let seconds = taken.as_secs_f64();
    let (micros, events, megabytes) = (seconds * 1e6, events as f64 / seconds, bytes as f64 / seconds / 1e6);
    println!("{what:<52} {micros:>10.1} µs  {events:>11.0} events/s  {megabytes:>7.1} MB/s");
}

/// Kilobytes that this process held at most, where the kernel says so.
fn peak_kilobytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

fn main() {
    let zone = TimeZone::get("Europe/Madrid").unwrap();
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let cx =
        ReadContext { zone: &zone, horizon: Horizon::around(now), limits: Limits::default(), end_is_last_night: false };

    let before = peak_kilobytes();
    for (name, body) in [("5,000 stays", airbnb(5_000)), ("5,000 yearly series", series(5_000))] {
        let reading = read(body.as_bytes(), &cx).unwrap();
        println!(
            "{name}: {} bytes, {} listed, peak {:?} kB (before: {before:?})",
            body.len(),
            reading.events.len(),
            peak_kilobytes()
        );
    }
    for events in [60, 5_000] {
        let body = airbnb(events);
        report(
            &format!("{events} events, lexer and icalendar, whole reading"),
            body.len(),
            events,
            time(|| read(body.as_bytes(), &cx)),
        );
        report(
            &format!("{events} events, bare icalendar on the whole body"),
            body.len(),
            events,
            time(|| icalendar::parser::read_calendar(&icalendar::parser::unfold(&body)).is_ok()),
        );
        report(&format!("{events} events, meaning"), body.len(), events, time(|| meaning(body.as_bytes())));
    }
    let body = series(5_000);
    report("5,000 yearly series, whole reading", body.len(), 5_000, time(|| read(body.as_bytes(), &cx)));

    let body = airbnb(26);
    let thousand = time(|| (0..1_000).for_each(|_| _ = black_box(meaning(body.as_bytes()))));
    println!("meaning of 1,000 feeds of {} bytes: {:.4} s", body.len(), thousand.as_secs_f64());

    let hostile = format!(
        "BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n",
        "BEGIN:VEVENT\r\nDTSTART:00010101\r\nRRULE:FREQ=DAILY;COUNT=2147483647;BYMONTHDAY=31;BYMONTH=2\r\nEND:VEVENT\r\n".repeat(9_000)
    );
    let started = Instant::now();
    let refusal = read(hostile.as_bytes(), &cx).err();
    println!("9,000 hostile series: {refusal:?} after {:?}", started.elapsed());
}
