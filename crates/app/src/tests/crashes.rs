//! A death at every call to the outside: whatever was written, doing it again ends in the same state.

use super::world::*;
use crate::{
    fakes::{Fault, Moment},
    ports::*,
};

const FIRST: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-04", "2026-12-07"), ("HMBBBB", "2027-01-10", "2027-01-20")];
const SECOND: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-05", "2026-12-08"), ("HMBBBB", "2027-01-10", "2027-01-20")];

/// The nights taken and what both links serve.
type Outcome = (Vec<String>, Vec<Vec<String>>);

/// Rounds in which something may break, and those in which all is whole again, so that what broke is made good.
const BREAKING: usize = 6;
const WHOLE: usize = 5;

/// What stands after the second reading, with whatever `break_it` does before it; and how many calls of the store and of
/// the objects there were while something could break.
async fn run(size: Size, break_it: impl Fn(&World)) -> (Outcome, (u64, u64)) {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", sized(size, &airbnb(1, FIRST)));
    world.serve("b", airbnb(1, &[("HMCCCC", "2026-12-20", "2026-12-22")]));
    world.sweep().await;
    world.serve("a", sized(size, &airbnb(2, SECOND)));
    world.serve("b", airbnb(2, &[("HMCCCC", "2026-12-20", "2026-12-23")]));
    let calls = |world: &World| (world.store.calls(), world.objects.calls());
    let before = calls(&world);
    break_it(&world);
    // The queue delivers again what was not acknowledged; the tick announces what was left undone.
    let mut queue: Vec<Event> = Vec::new();
    for _ in 0..BREAKING {
        world.struggle(&mut queue).await;
    }
    let after = calls(&world);
    for _ in 0..WHOLE {
        world.struggle(&mut queue).await;
    }
    assert!(!world.store.heal() && !world.objects.heal(), "what was to break broke");
    assert!(queue.is_empty(), "something is never worked through: {queue:?}");
    assert!(world.state().await.property.dirty.is_none(), "a change was acknowledged and never published");
    let outcome = (world.taken().await, vec![world.link(&a).await.unwrap(), world.link(&b).await.unwrap()]);
    (outcome, (after.0 - before.0, after.1 - before.1))
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_changes_nothing_in_the_end() {
    for size in SIZES {
        let (expected, (calls, _)) = run(size, |_| {}).await;
        assert_eq!(expected.1, [vec!["20261220-20261223"], vec!["20261205-20261208", "20270110-20270120"]]);
        assert!(calls > 30, "{calls}");
        for nth in 1..=calls {
            for moment in [Moment::Before, Moment::After] {
                let (found, _) = run(size, |world| world.store.fail_call(nth, moment)).await;
                assert_eq!(found, expected, "call {nth} of {calls}, {size:?}, {moment:?}");
            }
        }
    }
}

#[tokio::test]
async fn objects_that_fail_at_any_call_change_nothing_in_the_end() {
    let (expected, (_, calls)) = run(Size::Large, |_| {}).await;
    assert!(calls > 5, "{calls}");
    for nth in 1..=calls {
        for fault in [Fault::Before, Fault::After] {
            // Once, and three times in a row.
            for times in [1, 3] {
                let (found, _) =
                    run(Size::Large, |world| (0..times).for_each(|n| world.objects.fail_call(nth + n, fault))).await;
                assert_eq!(found, expected, "call {nth} of {calls}, {fault:?}, {times} times");
            }
        }
    }
}

#[tokio::test]
async fn a_bus_that_takes_only_some_changes_nothing_in_the_end() {
    let (expected, _) = run(Size::Small, |_| {}).await;
    for taken in [0, 1] {
        let (found, _) = run(Size::Small, |world| world.bus.fail_next_after(taken)).await;
        assert_eq!(found, expected, "{taken} were taken");
    }
}

#[tokio::test]
async fn every_event_twice_and_late_changes_nothing_in_the_end() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    let mut all = Vec::new();
    for (a_stays, stamp) in [(FIRST, 1), (SECOND, 2), (FIRST, 3)] {
        world.serve("a", airbnb(stamp, a_stays));
        world.serve("b", airbnb(stamp, &[("HMCCCC", "2026-12-20", "2026-12-22")]));
        world.clock.advance(jiff::SignedDuration::from_mins(15));
        world.app.tick.announce_shards(world.now(), jiff::SignedDuration::from_mins(15)).await.unwrap();
        loop {
            let events = world.bus.drain();
            if events.is_empty() {
                break;
            }
            for event in events {
                world.app.handle(&event).await.unwrap();
                world.app.handle(&event).await.unwrap();
                all.push(event);
            }
        }
    }
    let (state, links) = (world.state().await, (world.link(&a).await, world.link(&b).await));
    // Everything that ever happened, once more, backwards; sweeps would read anew and are left out.
    for event in all.iter().rev().filter(|event| !matches!(event, Event::SweepDue { .. })) {
        world.app.handle(event).await.unwrap();
    }
    world.work().await;
    assert_eq!(world.state().await.blocks, state.blocks);
    assert_eq!((world.link(&a).await, world.link(&b).await), links);
}
