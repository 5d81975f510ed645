//! Properties against a dull model: a set of nights.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, ToSpan, civil::Date};
use proptest::prelude::*;

use super::build::*;
use crate::*;

fn nights_from(start: i64, length: i64) -> Nights {
    let first = day("2026-12-01").checked_add(start.days()).unwrap();
    Nights::new(first, first.checked_add(length.days()).unwrap()).unwrap()
}

prop_compose! {
    fn feed()(events in prop::collection::vec((0u8..12, 0i64..90, 1i64..8, prop::option::of(0u8..6)), 0..9)) -> Vec<Sighting> {
        let mut uids = BTreeSet::new();
        events
            .into_iter()
            .filter(|(uid, ..)| uids.insert(*uid))
            .map(|(uid, start, length, code)| Sighting {
                code: code.map(|code| format!("HM{code}")),
                ..sighting(&format!("u{uid}"), Extent::Nights(nights_from(start, length)))
            })
            .collect()
    }
}

fn nights_of(sightings: &[Sighting]) -> BTreeSet<Date> {
    sightings.iter().filter_map(|sighting| sighting.extent.nights(&house())).flat_map(Nights::iter).collect()
}

fn nights_taken(world: &World) -> BTreeSet<Date> {
    world.blocks.iter().filter_map(|block| block.extent.nights(&house())).flat_map(Nights::iter).collect()
}

proptest! {
    /// Whatever a feed shows is blocked at once, whatever was known before.
    #[test]
    fn every_shown_night_is_taken(feeds in prop::collection::vec(feed(), 1..6)) {
        let mut world = World::at(noon("2026-11-20"));
        for feed in feeds {
            world.after(MINUTES_31).read(feed.clone());
            prop_assert!(nights_of(&feed).is_subset(&nights_taken(&world)));
        }
    }

    /// When a feed stays as it is, what is taken becomes exactly what it shows.
    #[test]
    fn no_phantom_outlives_a_feed_that_stays(before in prop::collection::vec(feed(), 0..4), last in feed()) {
        let mut world = World::at(noon("2026-11-20"));
        for feed in before {
            world.after(MINUTES_31).read(feed);
        }
        for _ in 0..4 {
            world.after(SignedDuration::from_hours(13)).read(last.clone());
        }
        prop_assert_eq!(nights_taken(&world), nights_of(&last));
        let still = world.blocks.clone();
        world.after(MINUTES_31).read(last);
        prop_assert_eq!(&world.blocks, &still);
    }

    /// The order of events in a feed means nothing.
    #[test]
    fn the_order_of_events_does_not_matter(first in feed(), second in feed()) {
        let run = |reverse: bool| {
            let turned = |mut feed: Vec<Sighting>| { if reverse { feed.reverse(); } feed };
            let mut world = World::at(noon("2026-11-20"));
            world.read(turned(first.clone())).after(MINUTES_31).read(turned(second.clone()));
            world.blocks
        };
        prop_assert_eq!(run(false), run(true));
    }

    /// An id is never given to two stays.
    #[test]
    fn ids_are_unique(feeds in prop::collection::vec(feed(), 1..6)) {
        let mut world = World::at(noon("2026-11-20"));
        for feed in feeds {
            world.after(MINUTES_31).read(feed);
            let ids: BTreeSet<_> = world.blocks.iter().map(|block| &block.id).collect();
            prop_assert_eq!(ids.len(), world.blocks.len());
        }
    }

    /// Merging is a union: sources in any order, once or twice, take the nights that any of them takes.
    #[test]
    fn merging_is_a_union(extents in prop::collection::vec((0i64..60, 1i64..8, 1u8..4), 0..12), seed in any::<u64>()) {
        let house = house();
        let sources: BTreeMap<_, _> = (1..4).map(|of| (connection(of), Source::default())).collect();
        let claims = Claims::default();
        let blocks: Vec<Block> = extents
            .iter()
            .zip(1u8..)
            .map(|((start, length, of), number)| stay(number, *of, Extent::Nights(nights_from(*start, *length))))
            .collect();
        let model: BTreeSet<Date> = extents.iter().flat_map(|(start, length, _)| nights_from(*start, *length).iter()).collect();
        let merged = taken(&seen(&blocks, &sources, &claims, &house));
        let mut shuffled = blocks.clone();
        shuffled.sort_by_key(|block| block.id.as_str().bytes().fold(seed, |hash, byte| hash.rotate_left(5) ^ u64::from(byte)));
        shuffled.extend(blocks.clone());
        prop_assert_eq!(&taken(&seen(&shuffled, &sources, &claims, &house)), &merged);
        prop_assert_eq!(taken_nights(&merged, &house, day("2026-01-01")), model.clone());
        let found = availability(&merged, &house, day("2026-12-01"), day("2027-03-01"));
        let unavailable: BTreeSet<Date> = found.nights.iter().filter(|night| !night.blocks.is_empty()).map(|night| night.date).collect();
        prop_assert_eq!(unavailable, model);
    }

    /// Nights survive the way through instants in any zone, over every clock change.
    #[test]
    fn nights_survive_instants(start in 0i64..800, length in 1i64..30, zone in prop::sample::select(vec!["Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu"])) {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let house = House::new(zone, jiff::civil::time(15, 0, 0, 0), jiff::civil::time(11, 0, 0, 0), 0).unwrap();
        let nights = nights_from(start, length);
        prop_assert_eq!(house.nights_of(house.times_of(nights)), Some(nights));
    }
}
