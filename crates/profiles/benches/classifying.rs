//! What it takes to classify a feed's events, by plain timing: `cargo bench -p calmesh-profiles`.
//!
//! The times are this machine's, the least of many rounds; how they grow with the size holds everywhere.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench tells and may fail")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use calmesh_calendar::{EventKey, Extent, FeedEvent, Lines, Nights};
use calmesh_profiles::{Profile, find};

/// An event as a site writes it: provider, text, description and UID.
type Written = (&'static str, &'static str, &'static str, fn(usize) -> String);

const FEEDS: [Written; 4] = [
    (
        "airbnb",
        "Reserved",
        "Reservation URL: https://www.airbnb.com/hosting/reservations/details/HMTESTTEST\nPhone Number (Last 4 Digits): 0000",
        |number| format!("1418fb94e984-{number:032x}@airbnb.com"),
    ),
    ("booking_com", "CLOSED - Not available", "", |number| format!("{number:032x}@booking.com")),
    ("vrbo", "Reserved - Ada", "", |number| format!("{number:08x}-0000-4000-8000-000000000000")),
    ("generic", "Aunt Vera", "Keys at the bakery", |number| format!("{number}@calendar.example")),
];

fn events(of: Written, count: usize) -> Vec<FeedEvent> {
    let (_, summary, description, uid) = of;
    let nights = Nights::new("2027-12-04".parse().unwrap(), "2027-12-07".parse().unwrap()).unwrap();
    let event = |number| FeedEvent {
        key: Some(EventKey { uid: uid(number), occurrence: None }),
        extent: Extent::Nights(nights),
        summary: summary.into(),
        description: description.into(),
        status: None,
        transparent: None,
        busy_status: None,
        lines: Lines::default(),
    };
    (0..count).map(event).collect()
}

/// The least time in which all of them are classified, over rounds that take a third of a second.
fn least(profile: &Profile, events: &[FeedEvent]) -> Duration {
    let mut least = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(333) {
        let round = Instant::now();
        for event in events {
            black_box(profile.classify(event));
        }
        least = round.elapsed().min(least);
    }
    least
}

fn main() {
    const SIZES: [usize; 3] = [40, 400, 4_000];
    println!("{:<20}{:>12}{:>12}{:>12}   µs, so many events", "classify", SIZES[0], SIZES[1], SIZES[2]);
    for of in FEEDS {
        let profile = find(of.0).unwrap();
        let times = SIZES.map(|count| least(profile, &events(of, count)).as_nanos() as f64 / 1e3);
        println!("{:<20}{:>12.1}{:>12.1}{:>12.1}", of.0, times[0], times[1], times[2]);
    }
}
