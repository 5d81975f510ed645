//! What was read counts only once it is taken in; what can't be taken in shows, and stops nobody else.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::world::*;
use crate::{Reach, model::*, ports::*};

const ONE: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-24", "2026-12-27")];
const TWO: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-24", "2026-12-27"), ("HMBBBB", "2027-02-10", "2027-02-12")];

async fn telemetry(
    world: &World,
    connection: &calmesh_calendar::ConnectionId,
) -> crate::desk::telemetry::ImportTelemetry {
    let reach = Reach::whole(world.account.clone());
    world.app.desk.connection(&reach, connection).await.unwrap().import.unwrap()
}

#[tokio::test]
async fn a_reading_whose_event_is_lost_is_no_refresh_and_in_the_end_a_failure() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "generic").await, world.connect("b", "generic").await);
    world.serve("a", airbnb(1, ONE));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let refreshed_at = telemetry(&world, &a).await.last_refreshed_at;
    world.serve("a", airbnb(2, TWO));
    // The feed is read, and its event gets lost, an hour long.
    for _ in 0..4 {
        world.clock.advance(SignedDuration::from_mins(15));
        world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
        for event in world.bus.drain() {
            world.app.handle(&event).await.unwrap();
        }
        drop(world.bus.drain());
    }
    let told = telemetry(&world, &a).await;
    assert_eq!(told.last_refreshed_at, refreshed_at, "only what is taken in is a refresh");
    assert_eq!(told.failure.map(|failure| failure.kind), Some(FailureKind::NotTakenIn));
    assert_ne!(told.health, Health::Ok);
    assert!(told.waiting_since.is_some());
    // What is read again is announced again, and all is well.
    for _ in 0..8 {
        world.sweep().await;
    }
    let told = telemetry(&world, &a).await;
    assert_eq!((told.health, told.failure, told.waiting_since), (Health::Ok, None, None));
    assert_eq!(world.link(&b).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_property_whose_work_panics_stops_no_other_shows_it_and_is_tried_ever_more_seldom() {
    let world = World::new().await;
    let a = world.connect("a", "generic").await;
    let b = world.connect("b", "generic").await;
    world.serve("a", airbnb(1, ONE));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let token = world.state().await.connection(&b).unwrap().export.as_ref().unwrap().token.clone();
    world.objects.poison(Some(token));
    world.serve("a", airbnb(2, TWO));
    let mut queue = Vec::new();
    let mut announced = 0;
    for _ in 0..96 {
        world.struggle(&mut queue).await;
        // A queue gives a message up after a while: from then on the mark alone brings it back.
        announced += queue.iter().filter(|event| matches!(event, Event::PropertyDirty { .. })).count();
        queue.clear();
    }
    assert!(announced < 30, "{announced} times in a day is not ever more seldom");
    assert!(announced > 5, "{announced} times in a day is giving up");
    let told = telemetry(&world, &a).await;
    assert_eq!(told.failure.map(|failure| failure.kind), Some(FailureKind::NotTakenIn), "it shows");
    world.objects.poison(None);
    for _ in 0..12 {
        world.sweep().await;
    }
    assert_eq!(world.link(&b).await.unwrap().len(), 2);
    assert_eq!(telemetry(&world, &a).await.health, Health::Ok);
}

/// What is true however wrong the clock was, once it is right again for some hours.
async fn comes_right(world: &World, a: &calmesh_calendar::ConnectionId, b: &calmesh_calendar::ConnectionId) {
    world.serve("a", airbnb(9, TWO));
    for _ in 0..20 {
        world.sweep().await;
    }
    assert_eq!(world.link(b).await.unwrap(), ["20261224-20261227", "20270210-20270212"]);
    let told = telemetry(world, a).await;
    assert_eq!(told.health, Health::Ok, "{:?}", told.failure);
    let refreshed_at = told.last_refreshed_at.unwrap();
    assert!(refreshed_at <= world.now(), "nothing was read in the future");
    assert!(world.now().duration_since(refreshed_at) < SignedDuration::from_hours(1), "it is read all the time");
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_makes_no_connection_deaf() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "generic").await, world.connect("b", "generic").await);
    world.serve("a", airbnb(1, &[]));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let right = world.now();
    world.clock.set(right + SignedDuration::from_hours(24 * 5));
    world.serve("a", airbnb(2, ONE));
    world.sweep().await;
    world.clock.set(right + SignedDuration::from_mins(1));
    comes_right(&world, &a, &b).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_clock_did_all_is_taken_in_once_it_is_right(
        jumps in prop::collection::vec((-24_i64 * 40..24 * 40, 0_usize..3, 0_u8..4), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let (a, b) = (world.connect("a", "generic").await, world.connect("b", "generic").await);
            world.serve("a", airbnb(1, &[]));
            world.serve("b", airbnb(1, &[]));
            world.sweep().await;
            let mut right: Timestamp = world.now();
            for (hours, sweeps, what) in jumps {
                world.clock.set(right + SignedDuration::from_hours(hours));
                match what {
                    0 => world.serve("a", airbnb(2, ONE)),
                    1 => world.serve("a", airbnb(3, &[])),
                    2 => world.feeds.fail(&World::url("a"), FailureKind::Unreachable),
                    _ => world.feeds.set(&World::url("a"), crate::fakes::Answer::rate_limited(3_000)),
                }
                for _ in 0..sweeps {
                    world.sweep().await;
                }
                right += SignedDuration::from_mins(20);
                world.clock.set(right);
                world.sweep().await;
                right = world.now();
            }
            comes_right(&world, &a, &b).await;
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    TheSameEvent,
    ALaterReading,
}

/// Takes a reading in while another worker does its work before the nth call of the store. Answers whether it came to that call.
async fn taken_in_beside(other: Other, size: Size, nth: u64) -> bool {
    const THREE: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-24", "2026-12-28"), TWO[1]];
    let world = World::new().await;
    let (a, b) = (world.connect("a", "generic").await, world.connect("b", "generic").await);
    world.serve("a", sized(size, &airbnb(1, ONE)));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    world.serve("a", sized(size, &airbnb(2, TWO)));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    for event in world.bus.drain() {
        world.app.handle(&event).await.unwrap();
    }
    let [event] = &world.bus.drain()[..] else { panic!("one reading") };
    let (same, bus, reach, of) = (event.clone(), world.bus.clone(), Reach::whole(world.account.clone()), a.clone());
    let work = meanwhile(&world.app, move |app| async move {
        if other == Other::TheSameEvent {
            return app.handle(&same).await.unwrap();
        }
        app.desk.request_connection_refresh(&reach, &of).await.unwrap();
        loop {
            let events = bus.drain();
            if events.is_empty() {
                return;
            }
            for event in events {
                app.handle(&event).await.unwrap();
            }
        }
    });
    if other == Other::ALaterReading {
        world.serve("a", sized(size, &airbnb(3, THREE)));
        world.clock.advance(SignedDuration::from_secs(1));
    }
    world.store.interrupt(nth, work);
    let mut queue = vec![event.clone()];
    while let Some(event) = queue.pop() {
        if world.app.handle(&event).await.is_err() {
            queue.push(event);
        }
    }
    let came = !world.store.leave_alone();
    world.work().await;
    let at = format!("{other:?}, {size:?}, before call {nth}");
    assert_eq!(world.health(&a).await.failure, None, "{at}: nothing failed");
    let last = if other == Other::ALaterReading && came { "20261224-20261228" } else { "20261224-20261227" };
    assert_eq!(world.link(&b).await.unwrap(), [last, "20270210-20270212"], "{at}");
    assert_eq!(world.bodies_that_stay(&a), 1, "{at}: what is taken in, and nothing else");
    came
}

#[tokio::test]
async fn another_who_takes_in_the_same_or_a_later_reading_between_any_two_calls_is_no_failure() {
    for (other, size) in
        [Other::TheSameEvent, Other::ALaterReading].into_iter().flat_map(|one| SIZES.map(|size| (one, size)))
    {
        let mut nth = 1;
        while taken_in_beside(other, size, nth).await {
            nth += 1;
        }
        assert!(nth > 6, "{other:?}, {size:?}: only {nth} calls");
    }
}
