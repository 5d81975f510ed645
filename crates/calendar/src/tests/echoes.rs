//! The rules about echoes in a host's words, as stories of a few sites: what is read, what each link then shows.

use std::collections::BTreeMap;

use jiff::ToSpan;

use super::{build::*, home::Home};
use crate::*;

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;

fn home() -> Home {
    // Stories of a single stay: nothing vanishes in masses.
    let mut home = Home::of(&[A, B, C]);
    home.mass_vanish.nights_percent = 101;
    home
}

fn reserved(uid: &str, extent: Extent) -> Sighting {
    Sighting { sign: Sign::Reservation, code: Some(uid.to_owned()), ..sighting(uid, extent) }
}

fn closed(uid: &str, extent: Extent) -> Sighting {
    Sighting { verdict: Verdict::Blocks(BlockKind::Closure), ..sighting(uid, extent) }
}

fn stay_of_four() -> Extent {
    nights("2026-12-04", "2026-12-08")
}

/// A sells four nights; B imports them and shows them as its own closure.
fn echoed() -> Home {
    let mut home = home();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B);
    home.later(20).feed(B, vec![closed("x", stay_of_four())]);
    home
}

#[test]
fn what_a_site_repeats_of_ours_may_be_ours_and_changes_nothing() {
    let home = echoed();
    assert_eq!((home.link(B).len(), home.link(C).len(), home.taken().len()), (4, 4, 4));
    let claims = home.explained(day("2026-12-05"));
    let of_b = claims.iter().find(|claim| claim.connection == Some(connection(B))).unwrap();
    assert_eq!(of_b.state, BlockState::PossibleEcho);
    assert!(of_b.rules.contains(&ClaimRule::MayBeOurs.as_str().to_owned()), "{of_b:?}");
    let of_a = claims.iter().find(|claim| claim.connection == Some(connection(A))).unwrap();
    assert_eq!((of_a.state, of_a.carried_by.clone()), (BlockState::Standing, vec![connection(B), connection(C)]));
}

#[test]
fn a_site_that_did_not_read_its_link_holds_what_it_shows() {
    let mut home = home();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).feed(B, vec![closed("x", stay_of_four())]);
    assert!(home.claims.is_empty(), "nothing is in question: {:?}", home.claims);
}

#[test]
fn what_carries_our_tag_is_ours_and_never_blocks() {
    let mut home = home();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).later(20);
    let tagged = Sighting { sign: Sign::Ours, ..closed("x", stay_of_four()) };
    home.feed(B, vec![tagged.clone()]).later(20).feed(A, vec![]).later(31).feed(A, vec![]);
    home.later(60 * 24).feed(A, vec![]);
    assert_eq!((home.taken().len(), home.link(A).len(), home.link(C).len()), (0, 0, 0));
}

/// A's guest cancels; nobody knows yet whether B repeats it or holds the nights too.
fn cancelled() -> Home {
    let mut home = echoed();
    let gone = Sighting { verdict: Verdict::Cancelled, ..reserved("HM1", stay_of_four()) };
    home.later(20).feed(A, vec![gone]);
    home
}

#[test]
fn when_the_origin_goes_the_one_that_may_repeat_it_is_asked_and_the_nights_stay_taken() {
    let home = cancelled();
    assert_eq!(home.taken().len(), 4, "nothing is freed before it was asked");
    assert_eq!((home.link(A).len(), home.link(B).len(), home.link(C).len()), (4, 0, 4), "left off one link alone");
    assert!(home.claims.waits_for_readings(&connection(B)) && home.claims.waits_for_read(&connection(B)));
}

#[test]
fn a_site_that_lets_go_once_it_read_its_link_had_only_repeated_it() {
    let mut home = cancelled();
    home.later(15).feed(B, vec![closed("x", stay_of_four())]);
    assert_eq!(home.taken().len(), 4, "it has not read its link yet");
    home.later(5).reads_link(B).later(10).feed(B, vec![]);
    assert_eq!(
        (home.taken().len(), home.link(A).len(), home.link(C).len()),
        (0, 0, 0),
        "free at the first reading, without a hold"
    );
    assert!(home.blocks.is_empty());
}

#[test]
fn a_site_that_goes_on_showing_a_night_that_its_link_leaves_out_holds_it() {
    let mut home = cancelled();
    home.later(5).reads_link(B);
    for _ in 0..3 {
        home.later(40).feed(B, vec![closed("x", stay_of_four())]);
    }
    assert_eq!((home.taken().len(), home.link(A).len(), home.link(C).len()), (4, 4, 4));
    assert!(!home.claims.waits_for_readings(&connection(B)), "the question is answered");
    let rules = &home.explained(day("2026-12-05"))[0].rules;
    assert!(rules.contains(&ClaimRule::StoodAfterRead.as_str().to_owned()), "{rules:?}");
}

#[test]
fn two_sites_that_repeat_each_other_do_not_keep_a_night_for_ever() {
    let mut home = echoed();
    home.reads_link(C).later(10).feed(C, vec![closed("y", stay_of_four())]);
    let gone = Sighting { verdict: Verdict::Cancelled, ..reserved("HM1", stay_of_four()) };
    home.later(10).feed(A, vec![gone]);
    // Each shows what its link carries.
    for _ in 0..12 {
        for of in [B, C] {
            home.later(10).reads_link(of);
            let shown = if home.link(of).is_empty() { vec![] } else { vec![closed("z", stay_of_four())] };
            home.later(10).feed(of, shown);
        }
    }
    assert_eq!(home.taken().len(), 0);
}

#[test]
fn what_others_may_repeat_of_a_sites_own_stay_is_not_on_its_link() {
    let mut home = echoed();
    assert!(home.link(A).is_empty());
    home.reads_link(A).later(10).feed(A, vec![closed("HM1", stay_of_four())]);
    assert!(home.claims.claim(&connection(A), day("2026-12-05")).is_none(), "so its closure can't come from us");
}

#[test]
fn a_question_to_a_site_that_can_not_be_read_is_taken_back() {
    let mut home = echoed();
    home.reads_link(C).later(10).feed(C, vec![closed("y", stay_of_four())]);
    let gone = Sighting { verdict: Verdict::Cancelled, ..reserved("HM1", stay_of_four()) };
    home.later(10).feed(A, vec![gone]);
    assert_eq!((home.link(B).len(), home.link(C).len()), (0, 4), "B is asked first");
    home.later(60 * 7).feed(A, vec![]);
    assert_eq!((home.link(B).len(), home.link(C).len()), (4, 0), "B is silent: C is asked, and B kept from selling");
}

#[test]
fn turnover_nights_do_not_grow_through_an_echo() {
    // B repeats the stay and the turnover night after it as one closure, which is followed by no further night.
    let house = house_with_turnover(1);
    let sources = BTreeMap::from([
        (connection(A), Source::default()),
        (connection(B), Source { tells_reservations_apart: false, ..Source::default() }),
    ]);
    let echo = Block { kind: BlockKind::Closure, ..stay(2, B, nights("2026-12-04", "2026-12-09")) };
    let blocks = [stay(1, A, stay_of_four()), echo];
    let claim = Claim { standing: Standing::Possible, rule: ClaimRule::MayBeOurs, since: noon("2026-11-20") };
    let Extent::Nights(run) = nights("2026-12-04", "2026-12-09") else { unreachable!() };
    let mine = ConnectionClaims { claims: Runs::of([(run, claim)]), ..ConnectionClaims::default() };
    let claims = Claims { connections: BTreeMap::from([(connection(B), mine)]) };
    let all = taken(&Picture { blocks: &blocks, sources: &sources, claims: &claims, house: &house });
    assert_eq!(taken_nights(&all, &house, day("2026-01-01")).len(), 5);
}

#[test]
fn turnover_nights_do_not_creep_through_a_site_that_rounds_up() {
    let mut home = home();
    home.house = house_with_turnover(1);
    home.sources.get_mut(&connection(B)).unwrap().tells_reservations_apart = false;
    home.feed(A, vec![reserved("HM1", stay_of_four())]);
    for _ in 0..6 {
        home.later(20).reads_link(B).later(20);
        let shown = home.link(B).into_iter().map(|night| {
            let end = night.checked_add(2.days()).unwrap();
            closed(&format!("{night}"), Extent::Nights(Nights::new(night, end).unwrap()))
        });
        let shown = shown.collect();
        home.feed(B, shown);
    }
    assert_eq!(home.taken().len(), 6, "the stay, its turnover night, and the one that B adds");
}

#[test]
fn a_closure_on_the_turnover_night_of_an_earlier_stay_may_be_its_echo_and_is_followed_by_none() {
    let house = house_with_turnover(1);
    let sources = BTreeMap::from([(connection(B), Source { tells_reservations_apart: false, ..Source::default() })]);
    let closure = |number, first, end| {
        let seen = noon("2026-11-01") + jiff::SignedDuration::from_hours(-i64::from(number));
        Block { kind: BlockKind::Closure, first_seen_at: seen, ..stay(number, B, nights(first, end)) }
    };
    // The echo was seen first: it was a stay of its own until that was cancelled.
    let blocks = [closure(1, "2026-12-04", "2026-12-08"), closure(2, "2026-12-08", "2026-12-09")];
    let claims = Claims::default();
    let all = taken(&Picture { blocks: &blocks, sources: &sources, claims: &claims, house: &house });
    assert_eq!(taken_nights(&all, &house, day("2026-01-01")).len(), 5);
}

#[test]
fn a_master_feed_is_a_second_witness_and_no_conflict() {
    let house = house();
    let mut sources = home().sources;
    sources.insert(connection(C), Source { aggregates: true, ..Source::default() });
    let claims = Claims::default();
    let blocks =
        [stay(1, A, stay_of_four()), stay(2, C, stay_of_four()), stay(3, B, nights("2026-12-07", "2026-12-09"))];
    let picture = Picture { blocks: &blocks, sources: &sources, claims: &claims, house: &house };
    let mut number = 0;
    let mut ids = || {
        number += 1;
        [number; 16]
    };
    let found = conflicts(&[], &picture, noon("2026-11-20"), &mut ids);
    let told: Vec<_> = found.standing.iter().map(|conflict| &conflict.blocks).collect();
    assert_eq!(told, [&[blocks[0].id.clone(), blocks[2].id.clone()]], "A's stay and its mirror are one stay");
    assert_eq!(superfluous_mirrors(&picture), [connection(C)]);
    assert!(mirrored(&picture).contains(&blocks[1].id));
    let events =
        view(&picture, Viewer { own: Some(&connection(A)), times: false }, noon("2026-11-20"), noon("2026-11-20"));
    assert_eq!(events.len(), 1, "A's link does not repeat A's own stay by way of its mirror");
}

#[test]
fn what_carries_our_tag_is_on_no_link_though_its_site_holds_the_night_too() {
    let mut home = home();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20);
    let tagged = Sighting { sign: Sign::Ours, ..closed("x", stay_of_four()) };
    home.feed(B, vec![reserved("HM2", stay_of_four()), tagged]);
    let id = connection(A);
    let viewer = Viewer { own: Some(&id), times: false };
    assert_eq!(
        view(&home.picture(), viewer, home.now, home.now).len(),
        1,
        "or two sites would double each other's events"
    );
    assert_eq!(home.conflicts.len(), 1);
}

#[test]
fn what_lies_on_a_stay_of_its_own_site_is_shown_once_or_two_sites_would_double_each_others_events() {
    let mut home = home();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20);
    let echoes = ["x", "y"].map(|uid| closed(uid, stay_of_four()));
    let shorter = closed("z", nights("2026-12-05", "2026-12-07"));
    home.feed(B, [vec![reserved("HM2", stay_of_four()), shorter], echoes.to_vec()].concat());
    let id = connection(A);
    let viewer = Viewer { own: Some(&id), times: false };
    let events = view(&home.picture(), viewer, home.now, home.now);
    let shown = home.blocks.iter().find(|block| block.id == events[0].block).unwrap();
    assert_eq!((events.len(), shown.kind), (1, BlockKind::Reservation));
}

#[test]
fn an_echo_on_a_stay_of_its_own_site_does_not_make_that_site_the_oldest_witness() {
    let mut home = home();
    let echo = || closed("echo", stay_of_four());
    home.feed(B, vec![echo()]).later(20).feed(A, vec![closed("a", stay_of_four())]).later(20);
    home.feed(B, vec![echo(), closed("own", stay_of_four())]);
    assert_eq!((home.link(A).len(), home.link(B).len()), (0, 4), "A is the oldest");
    home.later(40).feed(B, vec![closed("own", stay_of_four())]).later(40).feed(B, vec![closed("own", stay_of_four())]);
    assert_eq!((home.link(A).len(), home.link(B).len()), (0, 4), "and stays so when B's echo is gone");
}

#[test]
fn what_a_site_repeats_under_our_tag_is_no_stay_for_a_master_feed_to_repeat() {
    let mut home = home();
    home.sources.insert(connection(C), Source { aggregates: true, ..Source::default() });
    home.feed(B, vec![reserved("HM1", stay_of_four())]).later(20);
    home.feed(C, vec![closed("m", nights("2026-12-04", "2026-12-06"))]).later(20).reads_link(B);
    let shown = home.link(B);
    let tagged = Sighting { sign: Sign::Ours, ..closed("x", nights("2026-12-04", "2026-12-06")) };
    home.later(20).feed(B, vec![reserved("HM1", stay_of_four()), tagged]);
    assert_eq!(
        (shown.len(), home.link(B)),
        (2, shown),
        "or its link would leave the nights out, then show them, without end"
    );
}

#[test]
fn what_a_site_repeats_beside_its_own_stay_is_no_stay_for_a_master_feed_to_repeat() {
    let mut home = home();
    home.sources.insert(connection(C), Source { aggregates: true, ..Source::default() });
    home.feed(B, vec![reserved("HM1", stay_of_four())]).later(20);
    home.feed(C, vec![closed("m", nights("2026-12-04", "2026-12-06"))]).later(20).reads_link(B);
    let echo = closed("x", nights("2026-12-04", "2026-12-06"));
    home.later(20).feed(B, vec![reserved("HM1", stay_of_four()), echo]);
    assert_eq!(home.link(B).len(), 2);
}

#[test]
fn a_conflict_closes_when_one_of_its_stays_goes_and_does_not_open_again_once_settled() {
    let (house, sources, claims) = (house(), home().sources, Claims::default());
    let mut blocks = vec![stay(1, A, stay_of_four()), stay(2, B, nights("2026-12-07", "2026-12-09"))];
    if let Origin::Feed(origin) = &mut blocks[1].origin {
        // Plainly a reservation, which the host's word does not put in question.
        origin.sign = Sign::Reservation;
    }
    let mut number = 0;
    let mut ids = || {
        number += 1;
        [number; 16]
    };
    let picture = |blocks| Picture { blocks, sources: &sources, claims: &claims, house: &house };
    let mut found = conflicts(&[], &picture(&blocks), noon("2026-11-20"), &mut ids);
    assert_eq!((found.opened.len(), found.standing[0].nights), (1, Nights::one(day("2026-12-07"))));
    found.standing[0] = found.standing[0].with_gone(&picture(&blocks), &blocks[1].id);
    assert!(found.standing[0].settled);
    let again = conflicts(&found.standing, &picture(&blocks), noon("2026-11-21"), &mut ids);
    assert_eq!((again.opened.len(), again.standing.len(), again.closed.len()), (0, 1, 0));
    let closed = conflicts(&again.standing, &picture(&blocks[..1]), noon("2026-11-21"), &mut ids);
    assert_eq!((closed.standing.len(), closed.closed.len()), (0, 1));
}

#[test]
fn a_late_check_out_clashes_with_an_early_arrival() {
    let (house, sources, claims) = (house(), home().sources, Claims::default());
    let late = own(1, times("2026-12-07T11:00", "2026-12-07T18:00"));
    let blocks = [late, stay(2, B, nights("2026-12-07", "2026-12-09"))];
    let picture = Picture { blocks: &blocks, sources: &sources, claims: &claims, house: &house };
    let found = conflicts(&[], &picture, noon("2026-11-20"), &mut || [1; 16]);
    assert_eq!(found.standing.len(), 1);
}
