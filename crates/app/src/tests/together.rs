//! What is read of one property at the same time is taken in as one change.

use std::collections::BTreeSet;

use calmesh_calendar::ConnectionId;
use jiff::{
    SignedDuration,
    civil::{Date, date},
};
use proptest::prelude::*;

use super::world::*;
use crate::{fakes::Answer, ports::*};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A stay of these days of December.
fn stay(n: usize, from: i8, until: i8) -> (String, String, String) {
    let day = |day: i8| date(2026, 12, 1).saturating_add(jiff::Span::new().days(day)).to_string();
    (format!("HM{n:04}"), day(from), day(until))
}

fn feed(stamp: u32, stays: &[(String, String, String)]) -> String {
    let stays: Vec<_> = stays.iter().map(|(code, from, until)| (&**code, &**from, &**until)).collect();
    airbnb(stamp, &stays)
}

async fn three(world: &World) -> Vec<ConnectionId> {
    let mut all = Vec::new();
    for name in NAMES {
        all.push(world.connect(name, "airbnb").await);
        world.serve(name, airbnb(1, &[]));
    }
    world.sweep().await;
    all
}

/// A sweep a period later: what it announces.
async fn swept(world: &World) -> Vec<Event> {
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    for event in world.bus.drain() {
        world.app.handle(&event).await.unwrap();
    }
    world.bus.drain()
}

#[tokio::test]
async fn all_feeds_of_a_property_that_changed_in_one_sweep_are_one_change_and_each_link_is_put_once() {
    let world = World::new().await;
    let ids = three(&world).await;
    let (revision, puts) = (world.state().await.property.revision, world.objects.exports_put());
    for (n, name) in NAMES.into_iter().enumerate() {
        let n8 = i8::try_from(n).unwrap();
        world.serve(name, feed(2, &[stay(n, 5 * n8, 5 * n8 + 2)]));
    }
    let announced = swept(&world).await;
    let [Event::FeedsRead { readings, .. }] = &announced[..] else { panic!("one event: {announced:?}") };
    assert_eq!(readings.len(), 3);
    world.app.handle(&announced[0]).await.unwrap();
    assert_eq!(world.state().await.property.revision, revision + 1, "one change");
    assert_eq!(world.objects.exports_put(), puts + 3, "each link once");
    assert_eq!(world.link(&ids[0]).await.unwrap(), ["20261206-20261208", "20261211-20261213"]);
    assert_eq!(world.taken().await.len(), 6);
}

#[tokio::test]
async fn a_reading_that_can_not_be_taken_in_keeps_none_of_the_others_out() {
    let world = World::new().await;
    let ids = three(&world).await;
    for (n, name) in NAMES.into_iter().enumerate() {
        let n8 = i8::try_from(n).unwrap();
        world.serve(name, feed(2, &[stay(n, 5 * n8, 5 * n8 + 2)]));
    }
    world.store.poison_bodies(Some(ids[1].clone()));
    let announced = swept(&world).await;
    assert!(matches!(world.app.handle(&announced[0]).await, Err(crate::WorkError::Panicked)));
    assert_eq!(world.link(&ids[1]).await.unwrap(), ["20261201-20261203", "20261211-20261213"]);
    assert_eq!(world.link(&ids[0]).await.unwrap(), ["20261211-20261213"]);
    let failing: Vec<bool> = [world.health(&ids[0]).await, world.health(&ids[1]).await, world.health(&ids[2]).await]
        .iter()
        .map(|health| health.failure.is_some())
        .collect();
    assert_eq!(failing, [false, true, false], "it shows where it is");
    world.store.poison_bodies(None);
    world.app.handle(&announced[0]).await.unwrap();
    assert_eq!(world.link(&ids[0]).await.unwrap(), ["20261206-20261208", "20261211-20261213"]);
    assert_eq!(world.health(&ids[1]).await.failure, None);
}

#[tokio::test]
async fn a_site_that_hangs_holds_up_the_others_of_its_property_for_a_moment_only() {
    let world = World::new().await;
    let ids = three(&world).await;
    world.serve("a", feed(2, &[stay(0, 3, 5)]));
    world.feeds.hold(&World::url("b"));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    let [sweep] = &world.bus.drain()[..] else { panic!("one sweep") };
    let announced = async {
        loop {
            if let [first, ..] = &world.bus.events()[..] {
                return first.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let first = tokio::select! {
        done = world.app.handle(sweep) => panic!("it waits for a site that hangs: {done:?}"),
        first = announced => first,
    };
    world.app.handle(&first).await.unwrap();
    assert_eq!(world.link(&ids[1]).await.unwrap(), ["20261204-20261206"]);
    world.feeds.release(&World::url("b"));
}

/// What stands in the end: the nights taken, and those that each link shows. In which pieces it shows stays of one site that
/// overlap, ids decide, which are drawn.
async fn stands(world: &World, ids: &[ConnectionId]) -> (Vec<String>, Vec<BTreeSet<Date>>) {
    let day = |text: &str| Date::strptime("%Y%m%d", text).unwrap();
    let mut links = Vec::new();
    for id in ids {
        let mut shown = BTreeSet::new();
        for stay in world.link(id).await.unwrap() {
            let (from, to) = stay.split_once('-').unwrap();
            shown.extend(day(from).series(jiff::Span::new().days(1)).take_while(|night| *night < day(to)));
        }
        links.push(shown);
    }
    (world.taken().await, links)
}

/// A site's stays, one a code and none over another: of two that are alike, that is taken for the other which drew the lower
/// id.
fn apart(drawn: &[(usize, i8, i8)]) -> Vec<(String, String, String)> {
    let (mut codes, mut nights) = (BTreeSet::new(), BTreeSet::new());
    let stays = drawn.iter().filter(|(code, from, count)| {
        let free = (*from..from + count).all(|night| !nights.contains(&night)) && codes.insert(*code);
        if free {
            nights.extend(*from..from + count);
        }
        free
    });
    stays.map(|(code, from, count)| stay(*code, *from, from + count)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever three sites show, and however it moves, taken in together or each alone.
    #[test]
    fn taken_in_together_is_what_is_taken_in_one_after_the_other(
        rounds in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((0_usize..6, 0_i8..24, 1_i8..5), 0..4), 3),
            1..5,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (together, alone) = (World::new().await, World::new().await);
            let ids = [three(&together).await, three(&alone).await];
            for (round, feeds) in rounds.iter().enumerate() {
                for (name, stays) in NAMES.into_iter().zip(feeds) {
                    let stays = apart(stays);
                    let body = feed(u32::try_from(round).unwrap() + 2, &stays);
                    together.feeds.set(&World::url(name), Answer::body(body.clone()));
                    alone.feeds.set(&World::url(name), Answer::body(body));
                }
                together.sweep().await;
                for event in swept(&alone).await {
                    let Event::FeedsRead { account, property, readings, refresh } = event else { continue };
                    for read in readings {
                        let (account, property, refresh) = (account.clone(), property.clone(), refresh.clone());
                        let one = Event::FeedsRead { account, property, readings: vec![read], refresh };
                        alone.app.handle(&one).await.unwrap();
                    }
                }
                alone.app.tick.announce_marks(alone.now()).await.unwrap();
                alone.work().await;
                let found = [stands(&together, &ids[0]).await, stands(&alone, &ids[1]).await];
                assert_eq!(found[0], found[1], "round {round}");
            }
        });
    }
}
