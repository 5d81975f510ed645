//! Nothing grows with the square: twice the stays in two feeds take twice the time, however they lie on each other.

use std::{collections::BTreeMap, fs, hint::black_box, time::Instant};

use jiff::civil::Date;

use super::build::*;
use crate::{span::Days, *};

/// Which of two feeds, first night and nights of so many stays in each.
type Shape = fn(i64) -> Vec<(u8, i64, i64)>;

fn both(n: i64, stay: impl Fn(i64) -> (i64, i64)) -> Vec<(u8, i64, i64)> {
    (0..n).flat_map(|number| [1, 2].map(|of| (of, stay(number).0, stay(number).1))).collect()
}

/// All within so many nights, which are what anybody may ask about.
const NIGHTS: i64 = 1_000;

const SHAPES: &[(&str, Shape)] = &[
    ("the same nights", |n| both(n, |_| (3, 40))),
    ("nested", |n| {
        both(n, |number| {
            let first = number * NIGHTS / 2 / n;
            (first, NIGHTS - 2 * first)
        })
    }),
    ("a staggered chain", |n| both(n, |number| (number, 5))),
    ("one long stay over short ones", |n| {
        let short = (0..n).map(|number| (1, 2 * number % NIGHTS, 1));
        short.chain([(2, 0, NIGHTS)]).collect()
    }),
    ("long stays over short ones", |n| {
        let short = (0..n).map(|number| (1, 2 * number % NIGHTS, 1));
        short.chain((0..n).map(|_| (2, 0, NIGHTS))).collect()
    }),
    ("pairs, one after the other", |n| both(n, |number| (number * 2, 2))),
    ("until further notice", |n| both(n, |number| (number % 3, 60_000))),
];

struct Property {
    house: House,
    sources: BTreeMap<ConnectionId, Source>,
    claims: Claims,
    blocks: Vec<Block>,
    before: Vec<Block>,
    known: Vec<Conflict>,
    links: BTreeMap<ConnectionId, LinkFacts>,
}

fn numbered(number: usize, of: u8, first: i64, count: i64) -> Block {
    let first: Date = day("2026-12-01").days_later(first);
    let extent = Extent::Nights(Nights::new(first, first.days_later(count)).unwrap());
    let mut block = stay(0, of, extent);
    block.id = BlockId::from_random((number as u128 + 1).to_be_bytes());
    block.kind = if number % 4 < 2 { BlockKind::Reservation } else { BlockKind::Closure };
    if let Origin::Feed(origin) = &mut block.origin {
        origin.key = Some(EventKey { uid: format!("uid-{number}"), occurrence: None });
    }
    block
}

impl Property {
    fn of(shape: Shape, n: i64) -> Self {
        let house = house_with_turnover(1);
        let closures = Source { tells_reservations_apart: false, ..Source::default() };
        let sources = BTreeMap::from([
            (connection(1), closures),
            (connection(2), Source { aggregates: true, ..closures }),
            (connection(3), closures),
        ]);
        let blocks: Vec<Block> = shape(n)
            .into_iter()
            .enumerate()
            .map(|(number, (of, first, count))| {
                // Not all of them mirrors: every second stay of the second feed is longer by a night.
                numbered(number, of, first, if number % 4 == 1 { count + 1 } else { count })
            })
            .collect();
        let mut property = Self {
            house,
            sources,
            claims: Claims::default(),
            before: blocks.iter().filter(|block| block.connection() != Some(&connection(2))).cloned().collect(),
            blocks,
            known: Vec::new(),
            links: BTreeMap::new(),
        };
        // What the second feed shows may be what was read from us, and is asked for when the first lets go.
        let weighed = property.weighed();
        let gone: Vec<Block> = property.blocks.iter().map(|block| held(block.clone())).collect();
        let of_second = connection(2);
        let read = Some((&of_second, noon("2026-11-20")));
        let change = Change {
            before: Picture { claims: &weighed.claims, ..property.picture() },
            after: Picture { blocks: &gone, claims: &weighed.claims, ..property.picture() },
            links: &property.links,
            read,
            replaced: None,
            now: noon("2026-11-20"),
        };
        property.claims = weigh(&change, &mut || [7; 16]).claims;
        let certain = Picture { claims: &Claims::default(), ..property.picture() };
        property.known = conflicts(&[], &certain, noon("2026-11-20"), &mut counter()).standing;
        property
    }

    fn picture(&self) -> Picture<'_> {
        seen(&self.blocks, &self.sources, &self.claims, &self.house)
    }

    fn weighed(&self) -> Weighed {
        let of = connection(2);
        let change = Change {
            before: Picture { blocks: &self.before, ..self.picture() },
            after: self.picture(),
            links: &self.links,
            read: Some((&of, noon("2026-11-20"))),
            replaced: None,
            now: noon("2026-11-20"),
        };
        weigh(&change, &mut counter())
    }

    /// The same feed with other UIDs, its stays a night earlier.
    fn reconciled(&self, names: &str) -> Reconciled {
        let mine = self.blocks.iter().filter(|block| block.connection() == Some(&connection(1)));
        let sightings = mine.clone().map(|block| {
            let nights = block.extent.nights(&self.house).unwrap();
            let earlier = Nights::new(nights.first().days_later(-1), nights.end().days_later(-1)).unwrap();
            let uid = format!("{names}{}", block.id);
            Sighting { verdict: Verdict::Blocks(block.kind), ..sighting(&uid, Extent::Nights(earlier)) }
        });
        let reading = Reading {
            sightings: sightings.collect(),
            unread: Default::default(),
            read_at: noon("2026-11-20"),
            now: noon("2026-12-20"),
            repeated: false,
        };
        let id = connection(1);
        let expected = self.claims.expected_to_go(&connection(2));
        let judging = Judging { expected_to_go: &expected, ..judging(&id, &self.house) };
        reconcile(mine.cloned().collect(), &reading, &judging, &mut counter())
    }
}

fn held(mut block: Block) -> Block {
    if let Origin::Feed(origin) = &mut block.origin
        && origin.connection == connection(1)
    {
        origin.hold = Some(Hold {
            id: HoldId::from_random([9; 16]),
            cause: HoldCause::Absent,
            group: None,
            opened_at: noon("2026-11-20"),
            readings: 1,
            earliest_release_at: noon("2026-11-20"),
            kept: false,
        });
    }
    block
}

fn counter() -> impl FnMut() -> [u8; 16] {
    let mut number = u128::MAX / 2;
    move || {
        number += 1;
        number.to_be_bytes()
    }
}

type Way = (&'static str, fn(&Property));

const WAYS: &[Way] = &[
    ("conflicts", |it| {
        for claims in [&it.claims, &Claims::default()] {
            let picture = Picture { claims, ..it.picture() };
            black_box(conflicts(&it.known, &picture, noon("2026-11-20"), &mut counter()));
        }
    }),
    ("weigh", |it| {
        black_box(it.weighed());
    }),
    ("what the host says is gone", |it| {
        for block in it.blocks.iter().take(8) {
            black_box(it.claims.said_gone(&it.picture(), block, noon("2026-11-20")));
        }
    }),
    ("when questions end", |it| {
        black_box((it.claims.questions_end_at(), it.claims.expected_to_go(&connection(2))));
    }),
    ("reconcile", |it| {
        black_box((it.reconciled("other "), it.reconciled("uid-")));
    }),
    ("view", |it| {
        for of in [1, 2, 3] {
            let (id, now) = (connection(of), noon("2026-11-20"));
            black_box(view(&it.picture(), Viewer { own: Some(&id), times: false }, now, now));
        }
    }),
    ("what is taken", |it| {
        let all = taken(&it.picture());
        black_box(availability(&all, &it.house, day("2026-12-01"), day("2028-12-01")));
    }),
    ("explain", |it| {
        black_box(explain(&it.picture(), day("2026-12-05"), noon("2026-11-20")));
    }),
    ("states", |it| {
        let picture = it.picture();
        let (mirrors, certain) = (Mirrors::of(&picture), Certain::of(&picture));
        for block in &it.blocks {
            let nights = block.extent.nights(&it.house).unwrap();
            black_box((block_state(&picture, &mirrors, block), certain.beside(block, nights)));
        }
        black_box((mirrored(&picture), superfluous_mirrors(&picture)));
    }),
];

/// Seconds that this thread has run, where the kernel says so: other work on the machine does not count.
fn seconds() -> Option<f64> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(told.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

fn time(least: f64, call: impl Fn()) -> f64 {
    let clock = Instant::now();
    let now = || seconds().unwrap_or_else(|| clock.elapsed().as_secs_f64());
    let (begun, mut calls) = (now(), 0.0);
    loop {
        call();
        calls += 1.0;
        let taken = now() - begun;
        if taken >= least {
            return taken / calls;
        }
    }
}

#[test]
fn twice_the_stays_of_two_feeds_take_twice_the_time_however_they_lie() {
    // What grows with the square takes sixteen times as long for four times the stays.
    const MOST_RATIO: f64 = 8.0;
    const MOST_SECONDS: f64 = 2.0;
    let mut slow = Vec::new();
    println!(
        "{:<56} {:>9} {:>9} {:>9} {:>6}",
        "ms of CPU for so many stays in each of two feeds", 200, 400, 800, "ratio"
    );
    for (name, shape) in SHAPES {
        let sizes = [200, 400, 800].map(|n| Property::of(*shape, n));
        for (way, call) in WAYS {
            let mut taken = [0.0; 3];
            for least in [0.01, 0.1, 0.5] {
                taken = sizes.each_ref().map(|property| time(least, || call(property)));
                if taken[2] < MOST_RATIO * taken[0] {
                    break;
                }
            }
            let [small, middle, large] = taken.map(|seconds| 1e3 * seconds);
            let ratio = large / small;
            println!("{:<56} {small:>9.2} {middle:>9.2} {large:>9.2} {ratio:>6.2}", format!("{way}: {name}"));
            if taken[2] >= MOST_RATIO * taken[0] || taken[2] > MOST_SECONDS {
                slow.push(format!("{way} of {name}: {small:.2} ms, then {large:.2} ms"));
            }
        }
    }
    assert_eq!(slow, Vec::<String>::new());
}

#[test]
fn what_is_known_of_conflicts_grows_no_faster_than_the_stays() {
    for (name, shape) in SHAPES {
        let size = |n: i64| {
            let known = Property::of(*shape, n).known;
            assert!(known.iter().all(|conflict| conflict.blocks.len() <= CLAIMANTS_NAMED), "{name}");
            known.len() + known.iter().map(|conflict| conflict.blocks.len()).sum::<usize>()
        };
        let (small, large) = (size(200), size(800));
        println!("{name}: {small} and {large} ids");
        assert!(small > 0 && large <= 4 * small + CLAIMANTS_NAMED, "{name}: {small}, then {large}");
    }
}
