//! Conflicts: told in sentences, and held against a dull model of pairs on single nights.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use proptest::prelude::*;

use super::build::*;
use crate::{span::Days, *};

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;

const NOW: &str = "2026-11-20";

fn sources() -> BTreeMap<ConnectionId, Source> {
    [A, B, C, 4].map(|of| (connection(of), Source::default())).into()
}

/// Conflicts of these blocks, by what was known before.
fn found_by(known: &[Conflict], blocks: &[Block], draw: &mut u8) -> Conflicts {
    let (house, sources, claims) = (house(), sources(), Claims::default());
    let picture = seen(blocks, &sources, &claims, &house);
    conflicts(known, &picture, noon(NOW), &mut || {
        *draw += 1;
        [*draw; 16]
    })
}

fn found(blocks: &[Block]) -> Conflicts {
    found_by(&[], blocks, &mut 0)
}

fn told(conflict: &Conflict) -> (Vec<BlockId>, Option<(String, String)>) {
    let nights = conflict.nights.map(|nights| (nights.first().to_string(), nights.end().to_string()));
    (conflict.blocks.clone(), nights)
}

fn ids(numbers: &[u8]) -> Vec<BlockId> {
    numbers.iter().map(|number| BlockId::from_random([*number; 16])).collect()
}

fn run(first: &str, end: &str) -> Option<(String, String)> {
    Some((format!("2026-12-{first}"), format!("2026-12-{end}")))
}

fn dec(first: u8, end: u8) -> Extent {
    nights(&format!("2026-12-{first:02}"), &format!("2026-12-{end:02}"))
}

fn gone(blocks: &[Block], conflict: &Conflict, number: u8) -> Conflict {
    let (house, sources, claims) = (house(), sources(), Claims::default());
    conflict.with_gone(&seen(blocks, &sources, &claims, &house), &BlockId::from_random([number; 16]))
}

/// As a site writes what it plainly calls a reservation.
fn plainly(mut block: Block) -> Block {
    if let Origin::Feed(origin) = &mut block.origin {
        origin.sign = Sign::Reservation;
    }
    block
}

/// As a feed no more shows it.
fn held(mut block: Block) -> Block {
    if let Origin::Feed(origin) = &mut block.origin {
        origin.hold = Some(Hold {
            id: HoldId::from_random([9; 16]),
            cause: HoldCause::Absent,
            group: None,
            opened_at: noon(NOW),
            readings: 1,
            earliest_release_at: noon(NOW),
            kept: false,
        });
    }
    block
}

#[test]
fn two_stays_that_share_three_nights_are_one_conflict_of_these_nights() {
    let found = found(&[stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12))]);
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), [(ids(&[1, 2]), run("06", "09"))]);
    assert_eq!((found.standing[0].more, &found.standing[0].first), (0, &ids(&[1])[0]));
    assert_eq!(found.standing[0].arrives_at, house().instant(day("2026-12-04").at(15, 0, 0, 0)));
}

#[test]
fn a_stay_between_two_others_is_two_conflicts() {
    let found = found(&[stay(1, A, dec(1, 4)), stay(2, B, dec(3, 6)), stay(3, A, dec(5, 8))]);
    let expected = [(ids(&[1, 2]), run("03", "04")), (ids(&[2, 3]), run("05", "06"))];
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), expected);
    // Also where there is no night between.
    let found = self::found(&[stay(1, A, dec(1, 4)), stay(2, B, dec(3, 5)), stay(3, A, dec(4, 8))]);
    let expected = [(ids(&[1, 2]), run("03", "04")), (ids(&[2, 3]), run("04", "05"))];
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn three_stays_on_one_night_are_one_conflict() {
    let found = found(&[stay(1, A, dec(4, 7)), stay(2, B, dec(5, 9)), stay(3, C, dec(6, 7))]);
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), [(ids(&[1, 2, 3]), run("05", "07"))]);
}

#[test]
fn two_stays_of_one_feed_clash_with_a_third_and_not_with_each_other() {
    assert_eq!(found(&[stay(1, A, dec(4, 7)), stay(2, A, dec(5, 9))]), Conflicts::default());
    let found = found(&[stay(1, A, dec(4, 7)), stay(2, A, dec(5, 9)), stay(3, B, dec(8, 10))]);
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), [(ids(&[2, 3]), run("08", "09"))]);
}

#[test]
fn a_stay_that_joins_a_conflict_opens_none_and_one_that_leaves_closes_none() {
    let mut blocks = vec![stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12))];
    let mut draw = 0;
    let first = found_by(&[], &blocks, &mut draw);
    blocks.push(stay(3, C, dec(5, 20)));
    let second = found_by(&first.standing, &blocks, &mut draw);
    assert_eq!((second.opened.len(), second.closed.len()), (0, 0));
    assert_eq!(second.standing.iter().map(told).collect::<Vec<_>>(), [(ids(&[1, 2, 3]), run("05", "12"))]);
    blocks.remove(0);
    let third = found_by(&second.standing, &blocks, &mut draw);
    assert_eq!((third.opened.len(), third.closed.len()), (0, 0));
    assert_eq!(third.standing[0].id, first.standing[0].id);
    blocks.remove(0);
    assert_eq!(found_by(&third.standing, &blocks, &mut draw).closed, third.standing);
}

#[test]
fn another_guest_against_the_same_stays_of_one_site_is_another_conflict() {
    let mut blocks = vec![stay(1, A, dec(4, 9)), stay(2, A, dec(5, 9)), stay(3, B, dec(6, 8))];
    let mut draw = 0;
    let first = found_by(&[], &blocks, &mut draw);
    assert_eq!(first.standing.iter().map(told).collect::<Vec<_>>(), [(ids(&[1, 2, 3]), run("06", "08"))]);
    blocks[2] = stay(4, B, dec(6, 8));
    let second = found_by(&first.standing, &blocks, &mut draw);
    assert_eq!((second.opened.len(), &second.closed), (1, &first.standing));
}

#[test]
fn a_conflict_of_several_is_settled_when_no_two_are_left_that_clash() {
    let mut blocks = [stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12)), stay(3, C, dec(5, 20))].map(plainly).to_vec();
    let mut draw = 0;
    let conflict = found_by(&[], &blocks, &mut draw).standing.remove(0);
    let once = gone(&blocks, &conflict, 1);
    assert!(!once.settled, "two are left");
    let twice = gone(&blocks, &once, 3);
    assert!(twice.settled);
    let again = found_by(std::slice::from_ref(&twice), &blocks, &mut draw);
    assert_eq!((again.opened.len(), &again.standing), (0, &vec![twice.clone()]), "for as long as all are shown");
    blocks.push(stay(4, 4, dec(7, 8)));
    let told = found_by(std::slice::from_ref(&twice), &blocks, &mut draw);
    assert_eq!((told.opened.len(), &told.closed), (1, &vec![twice]), "a fourth is news");
    assert_eq!(told.standing[0].gone, ids(&[1, 3]).into_iter().collect());
    assert!(!told.standing[0].settled);
}

#[test]
fn what_the_host_said_is_gone_stays_listed_when_it_claims_nothing_any_more() {
    let mut blocks = vec![stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12)), stay(3, C, dec(5, 20))];
    let mut draw = 0;
    let conflict = found_by(&[], &blocks, &mut draw).standing.remove(0);
    let said = gone(&blocks, &conflict, 1);
    blocks.remove(0);
    let goes_on = found_by(std::slice::from_ref(&said), &blocks, &mut draw).standing;
    assert_eq!(goes_on.iter().map(told).collect::<Vec<_>>(), [(ids(&[1, 2, 3]), run("06", "12"))]);
    assert_eq!((&goes_on[0].id, &goes_on[0].gone, goes_on[0].settled), (&conflict.id, &said.gone, false));
    assert_eq!(found_by(&goes_on, &blocks, &mut draw).standing, goes_on, "the same again changes nothing");
    let both = gone(&blocks, &goes_on[0], 2);
    blocks.remove(0);
    let over = found_by(std::slice::from_ref(&both), &blocks, &mut draw);
    assert_eq!((over.standing, &over.closed[0].gone), (Vec::new(), &ids(&[1, 2]).into_iter().collect()));
}

#[test]
fn a_stay_that_was_said_to_be_gone_and_stands_after_all_counts_again() {
    let mut blocks = vec![stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12)), stay(3, C, dec(5, 20))];
    let mut draw = 0;
    let conflict = found_by(&[], &blocks, &mut draw).standing.remove(0);
    let without = blocks.split_off(1);
    let said = gone(&[blocks.clone(), without.clone()].concat(), &conflict, 1);
    let goes_on = found_by(std::slice::from_ref(&said), &without, &mut draw).standing.remove(0);
    assert_eq!((&goes_on.gone, goes_on.blocks.len()), (&said.gone, 3), "it is in question");
    let back = found_by(std::slice::from_ref(&goes_on), &[blocks, without].concat(), &mut draw);
    assert_eq!((&back.standing[0].id, back.opened.len()), (&conflict.id, 0));
    assert_eq!((back.standing[0].gone.len(), back.standing[0].settled), (0, false), "its site holds it by itself");
}

#[test]
fn what_is_held_keeps_a_conflict_open_and_opens_none() {
    let (a, b) = (stay(1, A, dec(4, 9)), stay(2, B, dec(6, 12)));
    assert_eq!(found(&[held(a.clone()), b.clone()]), Conflicts::default());
    let mut draw = 0;
    let known = found_by(&[], &[a.clone(), b.clone()], &mut draw).standing;
    let kept = found_by(&known, &[held(a.clone()), b.clone()], &mut draw);
    assert_eq!((&kept.standing, kept.opened.len(), kept.closed.len()), (&known, 0, 0));
    // Nor against somebody else.
    let beside = found_by(&known, &[held(a), b, stay(3, C, dec(4, 5))], &mut draw);
    assert_eq!((&beside.standing, beside.opened.len()), (&known, 0));
}

#[test]
fn late_check_outs_clash_with_early_arrivals_by_the_hour() {
    let late = own(1, times("2026-12-07T11:00", "2026-12-07T13:00"));
    let early = |number, from: &str| stay(number, B, times(&format!("2026-12-07T{from}"), "2026-12-09T11:00"));
    assert_eq!(found(&[late.clone(), early(2, "13:00")]), Conflicts::default());
    let found = found(&[late, early(2, "13:00"), early(3, "12:00"), stay(4, C, dec(7, 8))]);
    let expected = [(ids(&[1, 3]), None), (ids(&[2, 3, 4]), run("07", "08"))];
    assert_eq!(found.standing.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn no_conflict_names_more_than_sixteen_stays_and_the_others_are_counted() {
    let mut blocks: Vec<Block> = (1..=40).map(|number| plainly(stay(number, A + number % 2, dec(4, 9)))).collect();
    blocks[39].first_seen_at = noon("2026-10-01");
    let mut draw = 0;
    let first = found_by(&[], &blocks, &mut draw);
    let [conflict] = &first.standing[..] else { panic!("one conflict: {first:#?}") };
    assert_eq!((conflict.blocks.len(), conflict.more), (CLAIMANTS_NAMED, 24));
    assert!(conflict.blocks.contains(&blocks[39].id) && conflict.first == blocks[39].id, "the first is named");
    let said = gone(&blocks, conflict, 40);
    let again = found_by(std::slice::from_ref(&said), &blocks, &mut draw);
    assert_eq!((again.standing, again.opened.len()), (vec![said], 0), "who was named stays named");
}

#[test]
fn two_closures_until_further_notice_are_one_conflict_without_a_list_of_nights() {
    let ever = |number, of, first| {
        let nights = Nights::new(day(first), Date::MAX).unwrap();
        stay(number, of, Extent::Nights(nights))
    };
    let found = found(&[ever(1, A, "2026-12-01"), ever(2, B, "2027-01-01")]);
    let told = found.standing.iter().map(|conflict| conflict.nights).collect::<Vec<_>>();
    assert_eq!(told, [Nights::new(day("2027-01-01"), Date::MAX).ok()]);
    let far = self::found(&[ever(1, A, "2026-12-01"), ever(2, B, "2035-01-01")]);
    assert_eq!(far, Conflicts::default(), "what lies so far ahead is nobody's question yet");
}

// ---- against a model --------------------------------------------------------------------------------------------

/// What a stay is in the model: number, source (0 is the host), first night, nights, what it extends.
type Drawn = (u8, i64, i64, Option<u8>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let one = (0u8..5, 0i64..16, 1i64..6, prop::option::of(0u8..6));
    prop::collection::vec(one, 0..12)
}

fn at(night: i64) -> Date {
    day("2026-12-01").days_later(night)
}

fn blocks_of(drawn: &[Drawn]) -> Vec<Block> {
    (1..)
        .zip(drawn)
        .map(|(number, (of, first, count, extends))| {
            let extent = Extent::Nights(Nights::new(at(*first), at(first + count)).unwrap());
            if *of > 0 {
                return stay(number, *of, extent);
            }
            let extends = extends.map(|number| BlockId::from_random([number + 1; 16]));
            Block { origin: Origin::Own { extends, lost: None }, ..own(number, extent) }
        })
        .collect()
}

/// Which nights of which connection are only perhaps its own.
fn claims_of(doubtful: &[(u8, i64)]) -> Claims {
    let mut claims = Claims::default();
    let mut nights: BTreeMap<u8, BTreeSet<Date>> = BTreeMap::new();
    for (of, night) in doubtful {
        nights.entry(*of).or_default().insert(at(*night));
    }
    let possible = Claim { standing: Standing::Possible, rule: ClaimRule::MayBeOurs, since: noon(NOW) };
    for (of, nights) in nights {
        let runs = nights.into_iter().map(|night| (Nights::one(night).unwrap(), possible));
        let mine = ConnectionClaims { claims: Runs::of(runs), ..ConnectionClaims::default() };
        claims.connections.insert(connection(of), mine);
    }
    claims
}

/// Who claims a night beside somebody else, one pair at a time. Source 4 is a master feed.
fn claimants<'a>(picture: &Picture<'a>, night: Date) -> BTreeSet<&'a BlockId> {
    let takes = |block: &Block| block.extent.nights(picture.house).is_some_and(|nights| nights.contains(night));
    let certain = |block: &&Block| takes(block) && picture.standing(block, night) == Standing::Certain;
    let surely: Vec<&Block> = picture.blocks.iter().filter(certain).collect();
    let master = connection(4);
    let repeats = |block: &Block| {
        let of_another = |other: &&Block| other.connection().is_some_and(|of| *of != master);
        block.connection() == Some(&master)
            && surely.iter().filter(|other| of_another(other)).any(|other| other.extent == block.extent)
    };
    let mut all = BTreeSet::new();
    for one in surely.iter().filter(|block| !repeats(block)) {
        for other in surely.iter().filter(|block| !repeats(block)) {
            let linked = one.extends() == Some(&other.id) || other.extends() == Some(&one.id);
            if one.connection() != other.connection() && !linked {
                all.insert(&one.id);
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Every night on which two certain stays of different sources clash is in exactly one conflict, which names them,
    /// and there is nothing else in any. The same again changes nothing.
    #[test]
    fn every_night_that_two_surely_claim_is_in_one_conflict_that_names_them(
        drawn in drawn(),
        later in drawn(),
        doubtful in prop::collection::vec((1u8..5, 0i64..20), 0..12),
    ) {
        let (house, claims) = (house(), claims_of(&doubtful));
        let mut sources = sources();
        sources.get_mut(&connection(4)).unwrap().aggregates = true;
        let mut draw = 0u8;
        let mut fresh = || { draw += 1; [draw; 16] };
        let mut known = Vec::new();
        for drawn in [drawn, later] {
            let blocks = blocks_of(&drawn);
            let picture = seen(&blocks, &sources, &claims, &house);
            let found = conflicts(&known, &picture, noon(NOW), &mut fresh);
            let mut named: BTreeMap<&ConflictId, BTreeSet<&BlockId>> = BTreeMap::new();
            for night in (0..30).map(at) {
                let claimants = claimants(&picture, night);
                let of_night = |conflict: &&Conflict| conflict.nights.is_some_and(|nights| nights.contains(night));
                let here: Vec<&Conflict> = found.standing.iter().filter(of_night).collect();
                prop_assert_eq!(here.len(), usize::from(!claimants.is_empty()), "{}: {:#?}", night, here);
                for conflict in here {
                    named.entry(&conflict.id).or_default().extend(claimants.clone());
                }
            }
            for conflict in &found.standing {
                let all = named.remove(&conflict.id).unwrap_or_default();
                prop_assert_eq!(&conflict.blocks.iter().collect::<BTreeSet<_>>(), &all);
                prop_assert_eq!(conflict.more, 0);
                let of = |id: &BlockId| blocks.iter().find(|block| block.id == *id).unwrap();
                let first = all.iter().min_by_key(|id| (of(id).first_seen_at, **id)).unwrap();
                prop_assert_eq!(&&conflict.first, first);
                let arrives = all.iter().map(|id| of(id).extent.times(&house).start()).min().unwrap();
                prop_assert_eq!(conflict.arrives_at, arrives);
            }
            let before: BTreeSet<&ConflictId> = known.iter().map(|known: &Conflict| &known.id).collect();
            let (kept, new): (Vec<&Conflict>, Vec<&Conflict>) =
                found.standing.iter().partition(|conflict| before.contains(&conflict.id));
            prop_assert_eq!(new.len(), found.opened.len());
            prop_assert_eq!(kept.len() + found.closed.len(), known.len());
            let again = conflicts(&found.standing, &picture, noon(NOW), &mut fresh);
            prop_assert_eq!(&again, &Conflicts { standing: found.standing.clone(), ..Conflicts::default() });
            known = found.standing;
        }
    }

    /// By the hour as by the night: who overlaps anybody else's stay is named together with it, and nobody else is.
    #[test]
    fn whoever_overlaps_another_by_hours_is_named_beside_it(
        drawn in prop::collection::vec((0u8..4, 0i64..90, 1i64..60), 0..10),
    ) {
        let (house, sources, claims) = (house(), sources(), Claims::default());
        let hour = |hours: i64| -> Timestamp {
            house.instant(at(0).to_datetime(jiff::civil::time(10, 0, 0, 0))) + jiff::SignedDuration::from_hours(hours)
        };
        let blocks: Vec<Block> = (1..)
            .zip(&drawn)
            .map(|(number, (of, first, long))| {
                let extent = Extent::Times(Times::new(hour(*first), hour(first + long)).unwrap());
                if *of == 0 { own(number, extent) } else { stay(number, *of, extent) }
            })
            .collect();
        let picture = seen(&blocks, &sources, &claims, &house);
        let found = conflicts(&[], &picture, noon(NOW), &mut || [0; 16]);
        let clash = |one: &Block, other: &Block| {
            let nights = one.extent.nights(&house).zip(other.extent.nights(&house));
            let night = nights.is_some_and(|(a, b)| a.intersection(b).is_some());
            one.connection() != other.connection() && (night || one.extent.overlaps(other.extent, &house))
        };
        let named = |conflict: &&Conflict, block: &Block| conflict.blocks.contains(&block.id);
        for one in &blocks {
            let others = blocks.iter().filter(|other| clash(one, other)).collect::<Vec<_>>();
            for other in &others {
                let both = |conflict: &&Conflict| named(conflict, one) && named(conflict, other);
                prop_assert_eq!(found.standing.iter().filter(both).count(), 1);
            }
            let somewhere = found.standing.iter().any(|conflict| named(&conflict, one));
            prop_assert_eq!(somewhere, !others.is_empty());
        }
    }
}
