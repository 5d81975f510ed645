//! How long a very large property takes, and how much is written down of it.

use std::time::Instant;

use jiff::ToSpan;

use super::{build::*, home::Home};
use crate::*;

const CONNECTIONS: u8 = 50;
const STAYS: i64 = 100;

/// A stay on every eleven nights, closed to all others by whoever reads its link.
fn stay_at(number: i64, cancelled: bool) -> Sighting {
    let first = day("2026-12-01").checked_add((number * 11).days()).unwrap();
    let extent = Extent::Nights(Nights::new(first, first.checked_add(7.days()).unwrap()).unwrap());
    let verdict = if cancelled { Verdict::Cancelled } else { Verdict::Blocks(BlockKind::Closure) };
    Sighting { verdict, ..sighting(&format!("stay-{number}"), extent) }
}

fn runs(claims: &Claims) -> usize {
    let runs = claims.connections.values();
    runs.map(|mine| mine.claims.iter().len() + mine.parts.iter().len() + mine.link.iter().len()).sum()
}

fn timed(what: &str, home: &mut Home, step: impl FnOnce(&mut Home)) {
    let started = Instant::now();
    step(home);
    println!(
        "{what}: {:?}, {} blocks, {} runs in {} connections",
        started.elapsed(),
        home.blocks.len(),
        runs(&home.claims),
        home.claims.connections.len()
    );
}

/// One site's stays, repeated by 49 others; then all of them are cancelled.
#[test]
#[ignore = "prints figures"]
fn five_thousand_blocks_of_fifty_connections() {
    let sites: Vec<u8> = (1..=CONNECTIONS).collect();
    let mut home = Home::of(&sites);
    home.feed(1, (0..STAYS).map(|number| stay_at(number, false)).collect());
    for of in 2..CONNECTIONS {
        home.later(1).reads_link(of).later(1).feed(of, (0..STAYS).map(|number| stay_at(number, false)).collect());
    }
    timed("the last feed is read for the first time", &mut home, |home| {
        home.later(1).reads_link(CONNECTIONS).later(1);
        home.feed(CONNECTIONS, (0..STAYS).map(|number| stay_at(number, false)).collect());
    });
    timed("it is read again", &mut home, |home| {
        home.later(1).feed(CONNECTIONS, (0..STAYS).map(|number| stay_at(number, false)).collect());
    });
    timed("one of its stays goes", &mut home, |home| {
        home.later(1).feed(CONNECTIONS, (0..STAYS).map(|number| stay_at(number, number == 7)).collect());
    });
    timed("all stays of the origin are cancelled", &mut home, |home| {
        home.later(1).feed(1, (0..STAYS).map(|number| stay_at(number, true)).collect());
    });
    timed("a link is rendered", &mut home, |home| {
        home.link(CONNECTIONS);
    });
    // Each stay of each site goes at another time.
    timed("the sites answer, a stay at a time", &mut home, |home| {
        for number in 0..STAYS / 4 {
            for of in [2, 3] {
                let left = (number..STAYS).map(|number| stay_at(number, false)).collect();
                home.later(5).reads_link(of).later(5).feed(of, left);
            }
        }
    });
}
