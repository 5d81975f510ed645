use std::collections::BTreeMap;

use super::build::*;
use crate::*;

fn sources(tells: bool) -> BTreeMap<ConnectionId, Source> {
    let source = Source { tells_reservations_apart: tells, ..Source::default() };
    BTreeMap::from([(connection(1), source), (connection(2), source)])
}

fn all_taken(blocks: &[Block], tells: bool, house: &House) -> Vec<Taken> {
    taken(&seen(blocks, &sources(tells), &Claims::default(), house))
}

fn taken_of(blocks: &[Block], house: &House) -> Vec<String> {
    let all = all_taken(blocks, true, house);
    taken_nights(&all, house, day("2026-01-01")).iter().map(ToString::to_string).collect()
}

#[test]
fn a_night_is_taken_when_any_source_takes_it() {
    let blocks = [
        stay(1, 1, nights("2026-12-04", "2026-12-06")),
        stay(2, 2, nights("2026-12-05", "2026-12-07")),
        own(3, nights("2026-12-10", "2026-12-11")),
    ];
    assert_eq!(taken_of(&blocks, &house()), ["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-10"]);
}

#[test]
fn a_paused_source_takes_nothing() {
    let blocks = [stay(1, 9, nights("2026-12-04", "2026-12-06"))];
    assert!(taken_of(&blocks, &house()).is_empty());
}

#[test]
fn turnover_nights_follow_a_reservation() {
    let blocks = [stay(1, 1, nights("2026-12-04", "2026-12-06"))];
    assert_eq!(taken_of(&blocks, &house_with_turnover(1)), ["2026-12-04", "2026-12-05", "2026-12-06"]);
}

#[test]
fn a_known_closure_is_not_followed_by_turnover_nights_and_an_undecidable_one_is() {
    let closure = Block { kind: BlockKind::Closure, ..stay(1, 1, nights("2026-12-04", "2026-12-05")) };
    let house = house_with_turnover(1);
    let count = |tells| all_taken(std::slice::from_ref(&closure), tells, &house).len();
    assert_eq!((count(true), count(false)), (1, 2));
}

#[test]
fn turnover_nights_follow_what_extends_the_stay() {
    let house = house_with_turnover(1);
    let stay = stay(1, 1, nights("2026-12-04", "2026-12-06"));
    let extra = Block {
        origin: Origin::Own { extends: Some(stay.id.clone()), lost: None },
        ..own(2, nights("2026-12-06", "2026-12-07"))
    };
    assert_eq!(taken_of(&[stay, extra], &house), ["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-07"]);
}

#[test]
fn a_stay_that_moved_away_from_what_extends_it_has_turnover_nights_of_its_own() {
    let house = house_with_turnover(1);
    let moved = stay(1, 1, nights("2026-12-04", "2026-12-06"));
    let extra = Block {
        origin: Origin::Own { extends: Some(moved.id.clone()), lost: None },
        ..own(2, nights("2026-12-08", "2026-12-09"))
    };
    let expected = ["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-08", "2026-12-09"];
    assert_eq!(taken_of(&[moved, extra], &house), expected);
}

#[test]
fn extensions_that_extend_each_other_end() {
    let house = house_with_turnover(1);
    let (mut a, mut b) = (own(1, nights("2026-12-04", "2026-12-05")), own(2, nights("2026-12-05", "2026-12-06")));
    a.origin = Origin::Own { extends: Some(b.id.clone()), lost: None };
    b.origin = Origin::Own { extends: Some(a.id.clone()), lost: None };
    assert_eq!(taken_of(&[a, b], &house), ["2026-12-04", "2026-12-05"]);
}

#[test]
fn a_late_check_out_is_in_the_way_of_an_early_arrival_only() {
    let blocks = [own(1, times("2026-12-07T11:00", "2026-12-07T14:00"))];
    let (house, all) = (house(), all_taken(&blocks, true, &house()));
    assert!(in_the_way(&all, nights("2026-12-07", "2026-12-08"), &house).is_empty());
    assert_eq!(in_the_way(&all, times("2026-12-07T13:00", "2026-12-08T11:00"), &house).len(), 1);
    assert!(in_the_way(&all, times("2026-12-07T14:00", "2026-12-08T11:00"), &house).is_empty());
}

#[test]
fn intervals_join_what_touches_and_keep_turnover_gaps() {
    let blocks = [
        own(1, nights("2026-12-04", "2026-12-06")),
        own(2, times("2026-12-06T11:00", "2026-12-06T14:00")),
        own(3, nights("2026-12-06", "2026-12-07")),
    ];
    let house = house();
    let found = availability(&all_taken(&blocks, true, &house), &house, day("2026-12-01"), day("2026-12-31"));
    assert_eq!(found.nights.len(), 30);
    assert_eq!(found.intervals.len(), 2);
    assert_eq!(found.intervals[0].blocks.len(), 2);
    assert_eq!(found.intervals[0].times.end(), house.instant("2026-12-06T14:00".parse().unwrap()));
}
