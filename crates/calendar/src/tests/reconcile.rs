use jiff::SignedDuration;

use super::build::*;
use crate::*;

/// Three stays of which one may vanish without being a mass vanish: the other two hold most nights.
fn three() -> Vec<Sighting> {
    vec![
        sighting("a", nights("2026-12-04", "2026-12-07")),
        sighting("b", nights("2026-12-10", "2026-12-20")),
        sighting("c", nights("2027-01-10", "2027-01-20")),
    ]
}

fn without(uid: &str) -> Vec<Sighting> {
    three().into_iter().filter(|sighting| sighting.key.as_ref().unwrap().uid != uid).collect()
}

fn world() -> World {
    let mut world = World::at(noon("2026-11-20"));
    world.read(three());
    world
}

#[test]
fn a_new_event_blocks_at_once() {
    let world = world();
    assert_eq!(world.last.added, 3);
    assert_eq!(world.taken().len(), 23);
}

#[test]
fn the_same_reading_again_changes_nothing() {
    let mut world = world();
    let before = world.blocks.clone();
    world.after(MINUTES_31).read(three());
    assert_eq!(world.blocks, before);
    assert_eq!((world.last.added, world.last.changed, world.last.removed, world.last.held), (0, 0, 0, 0));
}

#[test]
fn one_reading_without_a_stay_frees_no_night() {
    let mut world = world();
    world.after(MINUTES_31).read(without("a"));
    assert_eq!(world.taken().len(), 23);
    assert_eq!(world.last.held, 1);
    assert_eq!(world.last.opened_holds.len(), 1);
}

#[test]
fn two_readings_in_quick_succession_free_no_night() {
    let mut world = world();
    world.read(without("a")).after(SignedDuration::from_mins(29)).read(without("a"));
    assert_eq!(world.taken().len(), 23);
}

#[test]
fn two_readings_half_an_hour_apart_free_the_night() {
    let mut world = world();
    world.read(without("a")).after(SignedDuration::from_mins(30)).read(without("a"));
    assert_eq!(world.taken().len(), 20);
    assert_eq!(world.last.removed, 1);
    assert_eq!(world.last.ended_holds[0].end, HoldEnd::Confirmed);
}

#[test]
fn a_stay_that_comes_back_is_judged_anew() {
    let mut world = world();
    world.read(without("a")).after(MINUTES_31).read(three());
    assert_eq!(world.last.ended_holds[0].end, HoldEnd::Returned);
    assert_eq!(world.last.held, 0);
    world.after(MINUTES_31).read(without("a"));
    assert_eq!(world.taken().len(), 23, "the count starts again");
}

#[test]
fn a_cancelled_stay_goes_at_once() {
    let mut world = world();
    let mut readings = three();
    readings[0].verdict = Verdict::Cancelled;
    world.read(readings);
    assert_eq!(world.taken().len(), 20);
}

#[test]
fn a_cancelled_event_that_nobody_knew_blocks_nothing() {
    let mut cancelled = sighting("z", nights("2027-02-01", "2027-02-03"));
    cancelled.verdict = Verdict::Cancelled;
    let mut world = World::at(noon("2026-11-20"));
    world.read(vec![cancelled]);
    assert!(world.blocks.is_empty());
}

#[test]
fn a_date_that_moves_under_its_uid_moves_the_stay_and_keeps_its_id() {
    let mut world = world();
    let id = world.blocks[0].id.clone();
    let mut moved = three();
    moved[0].extent = nights("2026-12-05", "2026-12-08");
    world.after(MINUTES_31).read(moved);
    let block = world.blocks.iter().find(|block| block.id == id).unwrap();
    assert_eq!(block.extent, nights("2026-12-05", "2026-12-08"));
    assert_eq!((block.sequence, block.changed_at), (1, world.now));
    assert_eq!(world.last.changed, 1);
}

#[test]
fn a_new_uid_on_the_same_dates_is_the_same_stay() {
    let mut world = world();
    let before: Vec<_> = world.blocks.iter().map(|block| (block.id.clone(), block.sequence)).collect();
    let reminted = three().into_iter().enumerate();
    world.read(
        reminted
            .map(|(i, s)| Sighting { key: Some(EventKey { uid: format!("new-{i}"), occurrence: None }), ..s })
            .collect(),
    );
    let after: Vec<_> = world.blocks.iter().map(|block| (block.id.clone(), block.sequence)).collect();
    assert_eq!(after, before);
}

#[test]
fn nights_that_are_over_when_they_are_given_up_are_not_held() {
    let closed = |uid, extent| Sighting { verdict: Verdict::Blocks(BlockKind::Closure), ..sighting(uid, extent) };
    let mut world = World::at(noon("2026-12-01"));
    world.read(vec![closed("whole", nights("2026-12-04", "2026-12-09"))]);
    // Split in two, and the first night of the whole in neither.
    let split =
        vec![closed("rest", nights("2026-12-07", "2026-12-09")), closed("middle", nights("2026-12-05", "2026-12-07"))];
    world.now = noon("2026-12-06");
    world.read(split.clone());
    assert_eq!(world.last.opened_holds, []);
    let before = world.blocks.clone();
    world.read(split);
    assert_eq!(world.blocks, before, "a second delivery changes nothing");
}

#[test]
fn a_match_by_dates_alone_holds_the_nights_that_it_gives_up() {
    let mut world = world();
    let mut events = three();
    events[0] = sighting("reminted", nights("2026-12-05", "2026-12-07"));
    world.after(MINUTES_31).read(events.clone());
    assert!(world.taken().contains(&"2026-12-04".to_owned()), "the given-up night is held");
    assert_eq!(world.last.held, 1);
    world.after(MINUTES_31).read(events);
    assert!(!world.taken().contains(&"2026-12-04".to_owned()), "two readings later it is free");
}

#[test]
fn the_reservation_code_is_stronger_than_the_uid() {
    let coded = |uid: &str, code: &str, extent| Sighting { code: Some(code.to_owned()), ..sighting(uid, extent) };
    let mut world = World::at(noon("2026-11-20"));
    world.read(vec![
        coded("a", "HMAAA", nights("2026-12-04", "2026-12-07")),
        coded("b", "HMBBB", nights("2026-12-20", "2026-12-22")),
    ]);
    let first =
        world.blocks.iter().find(|block| block.extent == nights("2026-12-04", "2026-12-07")).unwrap().id.clone();
    // The UIDs are swapped; the codes tell the truth.
    world.read(vec![
        coded("b", "HMAAA", nights("2026-12-04", "2026-12-07")),
        coded("a", "HMBBB", nights("2026-12-20", "2026-12-22")),
    ]);
    assert_eq!(world.blocks.iter().find(|block| block.id == first).unwrap().extent, nights("2026-12-04", "2026-12-07"));
    assert_eq!((world.last.changed, world.last.added), (0, 0));
}

#[test]
fn a_new_booking_beside_an_old_one_frees_nothing() {
    let mut world = world();
    let mut events = without("a");
    events.push(sighting("new", nights("2026-12-06", "2026-12-09")));
    world.read(events);
    for night in ["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-07", "2026-12-08"] {
        assert!(world.taken().contains(&night.to_owned()), "{night}");
    }
}

#[test]
fn a_stay_under_way_keeps_its_true_arrival() {
    let mut world = World::at(noon("2026-12-01"));
    world.read(vec![sighting("a", nights("2026-12-04", "2026-12-09"))]);
    world.now = noon("2026-12-06");
    world.read(vec![sighting("a", nights("2026-12-06", "2026-12-09"))]);
    assert_eq!(world.only().extent, nights("2026-12-04", "2026-12-09"));
    assert_eq!(world.only().sequence, 0);
}

#[test]
fn a_stay_that_has_begun_is_never_removed_by_absence() {
    let mut world = World::at(noon("2026-12-01"));
    world.read(vec![sighting("a", nights("2026-12-04", "2026-12-09"))]);
    world.now = noon("2026-12-05");
    for _ in 0..10 {
        world.after(MINUTES_31).read(vec![]);
    }
    assert_eq!(world.taken().len(), 5);
    world.now = noon("2026-12-09");
    world.read(vec![]);
    assert!(world.blocks.is_empty(), "it ends on its departure day");
}

#[test]
fn a_stay_that_departed_is_kept_while_its_turnover_nights_last() {
    let mut world = World::at(noon("2026-12-01"));
    world.house = house_with_turnover(1);
    world.read(vec![sighting("a", nights("2026-12-04", "2026-12-06"))]);
    world.now = noon("2026-12-06");
    world.read(vec![]).after(MINUTES_31).read(vec![]);
    assert_eq!(world.taken(), ["2026-12-04", "2026-12-05"], "so that the night after it is kept free");
    world.now = noon("2026-12-07");
    world.read(vec![]);
    assert!(world.blocks.is_empty(), "the next guest may come");
}

#[test]
fn an_event_that_can_not_be_read_keeps_its_stay() {
    let mut world = world();
    for _ in 0..5 {
        world.after(MINUTES_31).read_with(without("a"), &["a"]);
    }
    assert_eq!(world.taken().len(), 23);
    assert_eq!(world.last.held, 0);
}

#[test]
fn an_emptied_feed_is_held_for_a_day() {
    let mut world = world();
    for _ in 0..20 {
        world.after(SignedDuration::from_hours(1)).read(vec![]);
    }
    assert_eq!(world.taken().len(), 23);
    assert!(world.blocks.iter().all(|block| block.hold().unwrap().cause == HoldCause::MassVanish));
    let groups: std::collections::BTreeSet<_> =
        world.blocks.iter().map(|block| block.hold().unwrap().group.clone()).collect();
    assert_eq!(groups.len(), 1, "one group for all that vanished together");
    for _ in 0..5 {
        world.after(SignedDuration::from_hours(1)).read(vec![]);
    }
    assert!(world.blocks.is_empty());
}

#[test]
fn a_lone_stay_that_vanishes_is_a_mass_vanish() {
    let mut world = World::at(noon("2026-11-20"));
    world.read(vec![sighting("a", nights("2026-12-04", "2026-12-07"))]);
    world.after(MINUTES_31).read(vec![]);
    assert_eq!(world.only().hold().unwrap().cause, HoldCause::MassVanish);
}

#[test]
fn what_the_policy_drops_goes_at_once() {
    let mut world = world();
    let mut events = three();
    events[0].verdict = Verdict::Dropped;
    world.read(events);
    assert_eq!(world.taken().len(), 20);
    assert_eq!(world.last.held, 0);
}

#[test]
fn the_same_body_judged_anew_does_not_count_as_a_reading() {
    let mut world = world();
    world.read(without("a"));
    let again = Reading {
        sightings: without("a"),
        unread: Default::default(),
        read_at: world.now,
        now: world.now,
        repeated: true,
    };
    for _ in 0..5 {
        world.after(MINUTES_31).take(&again.clone());
    }
    assert_eq!(world.taken().len(), 23);
}

#[test]
fn events_without_uids_are_known_by_their_dates() {
    let nameless = |extent| Sighting { key: None, ..sighting("", extent) };
    let events = || vec![nameless(nights("2026-12-04", "2026-12-07")), nameless(nights("2026-12-10", "2026-12-20"))];
    let mut world = World::at(noon("2026-11-20"));
    world.read(events());
    let before = world.blocks.clone();
    world.after(MINUTES_31).read(events());
    assert_eq!(world.blocks, before);
}

#[test]
fn several_events_with_one_uid_are_all_kept_apart() {
    let events = || {
        vec![
            sighting("same", nights("2026-12-04", "2026-12-07")),
            sighting("same", nights("2026-12-10", "2026-12-12")),
            sighting("same", nights("2026-12-20", "2026-12-22")),
        ]
    };
    let mut world = World::at(noon("2026-11-20"));
    world.read(events());
    let before = world.blocks.clone();
    world.read(events());
    assert_eq!(world.blocks, before);
    assert_eq!(world.blocks.len(), 3);
}

#[test]
fn a_stay_that_begins_while_it_is_held_waits_for_no_further_reading() {
    let mut world = world();
    world.now = noon("2026-12-03");
    world.read(without("a"));
    assert_eq!(world.last.held, 1);
    world.now = noon("2026-12-05");
    world.read(without("a"));
    let held = world.blocks.iter().find(|block| block.hold().is_some()).unwrap();
    assert!(held.hold().unwrap().kept, "it blocks until it departs");
    assert_eq!(world.taken().len(), 23);
}

#[test]
fn a_stay_that_began_since_the_reading_is_not_removed_when_that_is_judged_anew() {
    let mut world = world();
    let reading = Reading {
        sightings: without("a"),
        unread: Default::default(),
        read_at: world.now,
        now: noon("2026-12-05"),
        repeated: true,
    };
    world.take(&reading);
    assert_eq!(world.taken().len(), 23);
    assert_eq!(world.last.held, 0);
}

#[test]
fn thousands_of_twins_under_new_names_are_paired_in_bounded_work() {
    let twins = |prefix: &str| -> Vec<Sighting> {
        (0..8_000).map(|n| sighting(&format!("{prefix}{n}"), nights("2026-12-04", "2026-12-07"))).collect()
    };
    let mut number = 0_u32;
    let mut fresh = || {
        number += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let (house, connection) = (house(), connection(1));
    let judging = judging(&connection, &house);
    let mut blocks = Vec::new();
    for prefix in ["a", "b"] {
        let now = noon("2026-11-20");
        let reading =
            Reading { sightings: twins(prefix), unread: Default::default(), read_at: now, now, repeated: false };
        let found = reconcile(blocks, &reading, &judging, &mut fresh);
        assert_eq!((found.removed, found.held), (0, 0));
        blocks = found.blocks;
    }
    assert_eq!(blocks.len(), 8_000);
}

#[test]
fn a_stay_that_is_read_in_part_keeps_the_nights_that_were_known() {
    let stay = |first, end| vec![sighting("a", nights(first, end))];
    let mut world = World::at(noon("2026-11-20"));
    world.read(stay("2026-12-04", "2026-12-07"));
    for _ in 0..3 {
        // Its end can't be read any more, so the night of its start is told.
        world.after(MINUTES_31).read_with(stay("2026-12-04", "2026-12-05"), &["a"]);
        assert_eq!(world.taken(), ["2026-12-04", "2026-12-05", "2026-12-06"]);
    }
    world.after(MINUTES_31).read_with(stay("2026-12-03", "2026-12-05"), &["a"]);
    assert_eq!(world.taken(), ["2026-12-03", "2026-12-04", "2026-12-05", "2026-12-06"]);
    // Elsewhere, and not certainly so: both stand at first.
    world.after(MINUTES_31).read_with(stay("2026-12-20", "2026-12-21"), &["a"]);
    assert_eq!(world.taken().len(), 5);
    // Read in full, what it says counts at once.
    let mut world = World::at(noon("2026-11-20"));
    world.read(stay("2026-12-04", "2026-12-07")).after(MINUTES_31).read(stay("2026-12-04", "2026-12-05"));
    assert_eq!(world.taken(), ["2026-12-04"]);
}

#[test]
fn half_of_the_shorter_stay_is_counted_in_nights() {
    let mut world = World::at(noon("2026-11-20"));
    world.read(vec![sighting("a", nights("2026-12-20", "2026-12-24"))]);
    let id = world.only().id.clone();
    world.after(MINUTES_31).read(vec![sighting("b", nights("2026-12-18", "2026-12-22"))]);
    let moved = world.blocks.iter().find(|block| block.extent == nights("2026-12-18", "2026-12-22")).unwrap();
    assert_eq!(moved.id, id, "two of four nights are the same");
    assert_eq!(world.taken().len(), 6, "what it gives up is held");
    let mut world = World::at(noon("2026-11-20"));
    world.read(vec![sighting("a", nights("2026-12-20", "2026-12-24"))]);
    let id = world.only().id.clone();
    world.after(MINUTES_31).read(vec![sighting("b", nights("2026-12-17", "2026-12-21"))]);
    let other = world.blocks.iter().find(|block| block.extent == nights("2026-12-17", "2026-12-21")).unwrap();
    assert_ne!(other.id, id, "one of four is not");
}

#[test]
fn a_mass_vanish_is_told_once_though_one_of_its_holds_is_kept() {
    let mut world = world();
    world.after(MINUTES_31).read(without("a"));
    let held = world.blocks.iter_mut().find(|block| block.hold().is_some()).unwrap();
    let Origin::Feed(FeedOrigin { hold: Some(hold), .. }) = &mut held.origin else { panic!("a feed's") };
    assert_eq!(hold.cause, HoldCause::Absent);
    hold.kept = true;
    world.after(MINUTES_31).read(vec![]);
    assert!(world.last.mass_vanish.is_some());
    let taken = world.taken().len();
    for _ in 0..3 {
        world.after(MINUTES_31).read(vec![]);
        assert_eq!((&world.last.mass_vanish, world.taken().len()), (&None, taken));
    }
}
