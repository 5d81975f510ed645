//! Only what may have changed is looked at, and that makes no difference: a home asserts so of each of its changes
//! (`Home::change`), and here anything happens to it.

use proptest::prelude::*;

use super::{build::*, home::Home};
use crate::{span::Days, *};

#[derive(Debug, Clone)]
enum Deed {
    /// A site shows these stays: where, how many nights, by hours of the day, and what of them its text tells.
    Shows(u8, Vec<(i64, i64, Form, Sign)>),
    ReadsItsLink(u8),
    Pauses(u8),
    Resumes(u8),
    HostCloses(i64, i64),
    HostSaysGone(usize),
    Wakes,
    Later(i64),
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Nights,
    Reserved,
    /// From ten in the morning to six in the evening: an arrival and a departure at odd hours.
    Hours,
}

fn shown() -> impl Strategy<Value = (i64, i64, Form, Sign)> {
    let form = prop_oneof![3 => Just(Form::Nights), 1 => Just(Form::Reserved), 1 => Just(Form::Hours)];
    let sign = prop_oneof![4 => Just(Sign::None), 1 => Just(Sign::Reservation), 1 => Just(Sign::Ours)];
    (-3i64..40, 1i64..6, form, sign)
}

fn deed() -> impl Strategy<Value = Deed> {
    let of = 1u8..4;
    prop_oneof![
        6 => (of.clone(), prop::collection::vec(shown(), 0..6)).prop_map(|(of, all)| Deed::Shows(of, all)),
        3 => of.clone().prop_map(Deed::ReadsItsLink),
        1 => of.clone().prop_map(Deed::Pauses),
        1 => of.prop_map(Deed::Resumes),
        1 => (-3i64..40, 1i64..6).prop_map(|(first, count)| Deed::HostCloses(first, count)),
        1 => (0usize..8).prop_map(Deed::HostSaysGone),
        1 => Just(Deed::Wakes),
        4 => prop_oneof![1i64..90, 600i64..3_000].prop_map(Deed::Later),
    ]
}

fn extent(first: i64, count: i64, form: Form) -> Extent {
    let first = day("2026-11-21").days_later(first);
    let end = first.days_later(count);
    match form {
        Form::Nights | Form::Reserved => Extent::Nights(Nights::new(first, end).unwrap()),
        Form::Hours => times(&format!("{first}T10:00"), &format!("{end}T18:00")),
    }
}

fn sightings(all: Vec<(i64, i64, Form, Sign)>) -> Vec<Sighting> {
    let one = |(number, (first, count, form, sign)): (usize, (i64, i64, Form, Sign))| {
        let kind = if matches!(form, Form::Reserved) { BlockKind::Reservation } else { BlockKind::Closure };
        // Under a name of its own each, so that it moves, or by its dates alone.
        let one = sighting(&format!("{}", number / 2 * 2), extent(first, count, form));
        let key = one.key.clone().filter(|_| number % 2 == 0);
        Sighting { key, sign, verdict: Verdict::Blocks(kind), ..one }
    };
    all.into_iter().enumerate().map(one).collect()
}

fn do_to(home: &mut Home, deed: Deed) {
    match deed {
        Deed::Shows(of, all) if home.sources.contains_key(&connection(of)) => drop(home.feed(of, sightings(all))),
        Deed::ReadsItsLink(of) => drop(home.reads_link(of)),
        Deed::Pauses(of) => drop(home.change(None, |home| _ = home.sources.remove(&connection(of)))),
        Deed::Resumes(of) => {
            home.change(None, |home| _ = home.sources.entry(connection(of)).or_default());
        }
        Deed::HostCloses(first, count) => drop(home.add_own(extent(first, count, Form::Nights), None)),
        Deed::HostSaysGone(at) => {
            let Some(block) = home.blocks.get(at).filter(|block| block.hold().is_none()).cloned() else { return };
            let now = home.now;
            home.change(None, |home| home.claims = home.claims.said_gone(&home.picture(), &block, now));
        }
        Deed::Wakes => drop(home.wake()),
        Deed::Later(minutes) => drop(home.later(minutes)),
        Deed::Shows(..) => {}
    }
}

proptest! {
    #[test]
    fn what_is_not_looked_at_does_not_change(deeds in prop::collection::vec(deed(), 1..40), turnover in 0u8..2, master in prop::bool::weighted(0.2)) {
        let mut home = Home::of(&[1, 2, 3]);
        if turnover > 0 {
            home.house = house_with_turnover(turnover);
        }
        home.sources.get_mut(&connection(3)).unwrap().aggregates = master;
        for deed in deeds {
            do_to(&mut home, deed);
        }
    }
}
