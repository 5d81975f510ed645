//! What a reading costs after it was read, by plain timing: `cargo bench -p calmesh-calendar`.
//!
//! A property of three sites, each with so many stays, of which every tenth clashes with one of the next site. The times
//! are this machine's, the least of many rounds; how they grow with the size holds everywhere.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    time::{Duration, Instant},
};

use calmesh_calendar::{
    Block, BlockId, BlockKind, Change, Claims, ConnectionId, EventKey, Extent, FeedOrigin, HoldPolicy, House, Judging,
    LinkFacts, MassVanishPolicy, NightSet, Nights, Origin, Picture, Reading, Sighting, Sign, Source, Verdict, Viewer,
    conflicts, reconcile, taken, view, weigh,
};
use jiff::{
    Timestamp,
    civil::{Date, date, time},
    tz::TimeZone,
};

const SITES: u8 = 3;

fn now() -> Timestamp {
    "2027-01-01T12:00:00Z".parse().unwrap()
}

fn site(number: u8) -> ConnectionId {
    ConnectionId::from_random([number; 16])
}

/// A stay of a site: two nights of every nine, three nights after the site before; where there are more than fit into
/// three years, they begin anew.
fn nights(of: u8, number: usize, moved: bool) -> Nights {
    let shift = if number.is_multiple_of(10) { 0 } else { i64::from(of) * 3 };
    let day = i64::try_from(number).unwrap() % 110 * 9 + shift + i64::from(moved);
    let from: Date = date(2027, 1, 10).checked_add(jiff::Span::new().days(day)).unwrap();
    Nights::new(from, from.tomorrow().unwrap().tomorrow().unwrap()).unwrap()
}

fn sighting(of: u8, number: usize, moved: bool) -> Sighting {
    Sighting {
        key: Some(EventKey { uid: format!("{number:032x}@site-{of}"), occurrence: None }),
        code: None,
        extent: Extent::Nights(nights(of, number, moved)),
        summary: "CLOSED - Not available".into(),
        rule: "bench".to_owned(),
        sign: Sign::None,
        verdict: Verdict::Blocks(BlockKind::Reservation),
    }
}

fn block(of: u8, number: usize) -> Block {
    let Sighting { key, extent, summary, rule, sign, .. } = sighting(of, number, false);
    let seen = now() - jiff::SignedDuration::from_hours(24 + i64::from(of));
    Block {
        id: BlockId::from_random((u128::from(of) << 64 | number as u128).to_be_bytes()),
        origin: Origin::Feed(FeedOrigin { connection: site(of), key, code: None, rule, sign, hold: None }),
        kind: BlockKind::Reservation,
        extent,
        summary: summary.to_string(),
        sequence: 0,
        first_seen_at: seen,
        changed_at: seen,
    }
}

struct Property {
    house: House,
    sources: BTreeMap<ConnectionId, Source>,
    links: BTreeMap<ConnectionId, LinkFacts>,
    claims: Claims,
    blocks: Vec<Block>,
    /// The same before the first site was read.
    before: Vec<Block>,
    /// The same, site after site read for the first time.
    filled: Vec<Vec<Block>>,
    /// The same, site after site with one stay moved by a day.
    moved: Vec<Vec<Block>>,
    stays: usize,
}

fn ids() -> impl FnMut() -> [u8; 16] {
    let mut number = u128::MAX / 2;
    move || {
        number += 1;
        number.to_be_bytes()
    }
}

impl Property {
    fn of(stays: usize) -> Self {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let of_site = |of: u8| (0..stays).map(move |number| block(of, number));
        let of_first = |count: u8| (1..=count).flat_map(of_site).collect();
        let moved = |of: u8, count: u8| {
            let extent = Extent::Nights(nights(of, stays / 2, of <= count));
            of_site(of).enumerate().map(move |(at, one)| if at == stays / 2 { Block { extent, ..one } } else { one })
        };
        Self {
            house: House::new(zone, time(15, 0, 0, 0), time(11, 0, 0, 0), 0).unwrap(),
            sources: (1..=SITES).map(|of| (site(of), Source::default())).collect(),
            links: BTreeMap::new(),
            claims: Claims::default(),
            blocks: (1..=SITES).flat_map(of_site).collect(),
            before: (2..=SITES).flat_map(of_site).collect(),
            filled: (0..=SITES).map(of_first).collect(),
            moved: (0..=SITES).map(|count| (1..=SITES).flat_map(|of| moved(of, count)).collect()).collect(),
            stays,
        }
    }

    fn picture<'a>(&'a self, blocks: &'a [Block]) -> Picture<'a> {
        Picture { blocks, sources: &self.sources, claims: &self.claims, house: &self.house }
    }

    /// The first site's feed, taken in: as it is known, or with every twentieth stay moved by a day.
    fn reconciled(&self, moved: bool) {
        let (of, expected_to_go) = (site(1), NightSet::default());
        let sightings = (0..self.stays).map(|number| sighting(1, number, moved && number.is_multiple_of(20)));
        let reading = Reading {
            sightings: sightings.collect(),
            unread: BTreeSet::new(),
            read_at: now(),
            now: now(),
            repeated: false,
        };
        let judging = Judging {
            connection: &of,
            house: &self.house,
            hold: HoldPolicy::default(),
            mass_vanish: MassVanishPolicy::default(),
            expected_to_go: &expected_to_go,
            replaced: false,
        };
        let mine = self.blocks.iter().filter(|block| block.connection() == Some(&of)).cloned().collect();
        black_box(reconcile(mine, &reading, &judging, &mut ids()));
    }

    fn weighed(&self) {
        let of = site(1);
        let change = Change {
            before: self.picture(&self.before),
            after: self.picture(&self.blocks),
            links: &self.links,
            read: Some((&of, now())),
            replaced: None,
            now: now(),
        };
        black_box(weigh(&change, &mut ids()));
    }

    /// Readings of all sites as one change: each is weighed, and its conflicts found, on what those before it left.
    fn read_in_turn(&self, steps: &[Vec<Block>]) {
        let (mut claims, mut known, mut ids) = (self.claims.clone(), Vec::new(), ids());
        for (of, step) in (1..).zip(steps.windows(2)) {
            let [before, after] = step else { continue };
            let (of, read_claims) = (site(of), claims.clone());
            let picture = |blocks| Picture { claims: &read_claims, ..self.picture(blocks) };
            let change = Change {
                before: picture(before),
                after: picture(after),
                links: &self.links,
                read: Some((&of, now())),
                replaced: None,
                now: now(),
            };
            claims = weigh(&change, &mut ids).claims;
            let picture = Picture { claims: &claims, ..self.picture(after) };
            known = conflicts(&known, &picture, now(), &mut ids).standing;
        }
        black_box((claims, known));
    }

    fn viewed(&self) {
        let of = site(1);
        black_box(view(&self.picture(&self.blocks), Viewer { own: Some(&of), times: false }, now(), now()));
    }
}

type Way = (&'static str, fn(&Property));

const WAYS: [Way; 8] = [
    ("reconcile, nothing changed", |it| it.reconciled(false)),
    ("reconcile, 5 % moved", |it| it.reconciled(true)),
    ("weigh a first reading", Property::weighed),
    ("conflicts", |it| _ = black_box(conflicts(&[], &it.picture(&it.blocks), now(), &mut ids()))),
    ("three first readings", |it| it.read_in_turn(&it.filled)),
    ("three with one stay moved", |it| it.read_in_turn(&it.moved)),
    ("view of one link", Property::viewed),
    ("what is taken", |it| _ = black_box(taken(&it.picture(&it.blocks)))),
];

/// The least time of one call, over rounds that take a third of a second.
fn least(property: &Property, way: fn(&Property)) -> Duration {
    let mut least = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(333) {
        let round = Instant::now();
        way(property);
        least = round.elapsed().min(least);
    }
    least
}

fn main() {
    const SIZES: [usize; 3] = [40, 400, 4_000];
    println!("{:<30}{:>12}{:>12}{:>12}   µs, three sites of so many stays", "", SIZES[0], SIZES[1], SIZES[2]);
    let properties = SIZES.map(Property::of);
    for (name, way) in WAYS {
        let times = properties.each_ref().map(|property| least(property, way).as_nanos() as f64 / 1e3);
        println!("{name:<30}{:>12.1}{:>12.1}{:>12.1}", times[0], times[1], times[2]);
    }
}
