use calmesh_calendar::{AccountId, ConnectionId, RefreshId};
use jiff::SignedDuration;

use super::world::*;
use crate::{fakes::Answer, model::*, ports::*};

const STAYS: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-04", "2026-12-07"), ("HMBBBB", "2027-01-10", "2027-01-20")];

#[tokio::test]
async fn each_site_is_given_what_the_others_took() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "vrbo").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[("HMCCCC", "2026-12-24", "2026-12-27")]));
    world.sweep().await;
    assert_eq!(world.link(&a).await.unwrap(), ["20261224-20261227"]);
    assert_eq!(world.link(&b).await.unwrap(), ["20261204-20261207", "20270110-20270120"]);
    assert_eq!(world.taken().await.len(), 16);
}

#[tokio::test]
async fn an_unchanged_feed_costs_no_write_no_event_and_no_put() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let (state, puts, bodies) = (world.state().await, world.objects.exports_put(), world.bodies_put());
    let health = world.health(&a).await;
    world.serve("a", airbnb(2, STAYS));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    let events = world.bus.drain();
    assert_eq!(events.len(), 1);
    for event in &events {
        world.app.handle(event).await.unwrap();
    }
    assert!(world.bus.events().is_empty(), "no event");
    assert_eq!(world.state().await, state, "no write");
    assert_eq!((world.objects.exports_put(), world.bodies_put()), (puts, bodies), "no put");
    assert_eq!((world.health(&a).await, &health.failure), (health.clone(), &None));
    let sweeps = world.store.sweeps(&[bucket_of(&a)]).await.unwrap();
    assert_eq!(sweeps.iter().map(|sweep| sweep.started_at).max(), Some(world.now()), "the sweep record says when");
}

#[tokio::test]
async fn a_removed_stay_is_held_then_goes_everywhere() {
    let world = World::new().await;
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "generic").await);
    let three = [STAYS[0], STAYS[1], ("HMDDDD", "2027-02-01", "2027-02-20")];
    world.serve("a", airbnb(1, &three));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    world.serve("a", airbnb(2, &three[1..]));
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap().len(), 3, "held");
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap().len(), 3, "two readings, but only 15 minutes apart");
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap(), ["20270110-20270120", "20270201-20270220"]);
    let holds = world.store.closed_holds(&world.property, PageRequest { limit: 10, after: None }).await.unwrap();
    assert_eq!(holds.items.len(), 1);
}

#[tokio::test]
async fn a_failed_feed_frees_no_night_and_says_since_when() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let failing_since = world.now() + SignedDuration::from_mins(15);
    for answer in [
        Answer::failure(FailureKind::Unreachable),
        Answer::body("<html>login</html>"),
        Answer::body("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"),
    ] {
        world.feeds.set(&World::url("a"), answer);
        world.sweep().await;
        assert_eq!(world.taken().await.len(), 13);
    }
    let failure = world.health(&a).await.failure.unwrap();
    assert_eq!((failure.since, failure.count, failure.kind), (failing_since, 3, FailureKind::Truncated));
    assert_eq!(world.health(&a).await.health(world.now()), Health::Failing);
    world.serve("a", airbnb(2, STAYS));
    for _ in 0..4 {
        world.sweep().await;
    }
    assert_eq!(world.health(&a).await.failure, None);
    assert_eq!(world.health(&a).await.health(world.now()), Health::Ok);
}

fn requested(world: &World, id: &RefreshId) -> Event {
    Event::RefreshRequested { account: world.account.clone(), refresh: id.clone(), after: None, rest: false }
}

/// Lets connections of one provider read these links, one each.
async fn reading(world: &World, provider: &str, links: &[&str]) -> Vec<ConnectionId> {
    let mut all = Vec::new();
    for (name, link) in ["a", "b", "c"].into_iter().zip(links) {
        let id = world.connect(name, provider).await;
        let url: FeedUrl = link.parse().unwrap();
        world
            .change(|state| {
                let connection = state.connections.iter_mut().find(|known| known.id == id).unwrap();
                connection.import.as_mut().unwrap().url = url.clone();
            })
            .await;
        all.push(id);
    }
    all
}

#[tokio::test]
async fn a_known_host_that_asks_for_less_is_left_alone_by_all() {
    let world = World::new().await;
    // Whatever the host calls it: the name of the site decides.
    let links = ["https://www.airbnb.com/calendar/ical/1.ics", "https://www.airbnb.com/calendar/ical/2.ics"];
    reading(&world, "generic", &links).await;
    world.feeds.set(links[0], Answer::rate_limited(3600));
    world.feeds.serve(links[1], airbnb(1, STAYS));
    world.sweep().await;
    let asked = world.feeds.total();
    world.sweep().await;
    world.sweep().await;
    assert_eq!(world.feeds.total(), asked, "nobody asks before the hour is over");
}

#[tokio::test]
async fn a_host_that_anybody_could_set_up_holds_up_only_the_link_that_it_answered() {
    let world = World::new().await;
    let links = ["https://shared.example/1.ics", "https://shared.example/2.ics"];
    reading(&world, "airbnb", &links).await;
    world.feeds.set(links[0], Answer::rate_limited(3600));
    world.feeds.serve(links[1], airbnb(1, STAYS));
    for _ in 0..3 {
        world.sweep().await;
    }
    assert_eq!((world.feeds.count(links[0]), world.feeds.count(links[1])), (1, 3));
}

#[tokio::test]
async fn a_host_that_asks_several_accounts_for_less_is_left_alone_by_all() {
    let world = World::new().await;
    let links = ["https://shared.example/1.ics", "https://shared.example/2.ics", "https://shared.example/3.ics"];
    let ids = reading(&world, "generic", &links).await;
    world.feeds.set(links[0], Answer::rate_limited(3600));
    world.feeds.set(links[1], Answer::rate_limited(3600));
    world.feeds.serve(links[2], airbnb(1, STAYS));
    world.sweep().await;
    world.sweep().await;
    assert_eq!(world.feeds.count(links[2]), 2, "one account alone may have set the host up itself");
    let [ana, bob] = [8, 9].map(|n| AccountId::from_random([n; 16]));
    world
        .change(|state| {
            for connection in &mut state.connections {
                if connection.id == ids[0] {
                    connection.account = ana.clone();
                } else if connection.id == ids[1] {
                    connection.account = bob.clone();
                }
            }
        })
        .await;
    world.sweep().await;
    assert_eq!(world.feeds.count(links[2]), 2, "several can't have");
    world.clock.advance(SignedDuration::from_hours(1));
    world.sweep().await;
    assert_eq!(world.feeds.count(links[2]), 3, "until the time that it asked for is over");
}

#[tokio::test]
async fn a_redirect_holds_up_the_host_that_answered_and_not_the_one_that_redirects() {
    let world = World::new().await;
    let links = ["https://www.vrbo.com/icalendar/1.ics", "https://www.airbnb.com/calendar/ical/2.ics"];
    reading(&world, "generic", &links).await;
    world.feeds.set(links[0], Answer::rate_limited_by("www.airbnb.com", 3600));
    world.feeds.serve(links[1], airbnb(1, STAYS));
    world.sweep().await;
    let hosts = ["www.airbnb.com", "www.vrbo.com"].map(str::to_owned).into();
    let paused = world.store.paused_hosts(&hosts, world.now()).await.unwrap();
    assert_eq!(paused.into_iter().map(|pause| pause.host).collect::<Vec<_>>(), ["www.airbnb.com"]);
    let asked = world.feeds.count(links[1]);
    world.sweep().await;
    assert_eq!(world.feeds.count(links[1]), asked);
}

#[tokio::test]
async fn readings_that_arrive_out_of_order_are_dropped() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let old = world.state().await;
    let old = old.connections[0].import.as_ref().unwrap().applied.clone().unwrap();
    world.serve("a", airbnb(2, &[STAYS[0], STAYS[1], ("HMEEEE", "2027-03-01", "2027-03-03")]));
    world.sweep().await;
    let before = world.state().await;
    let read =
        ReadFeed { connection: a, snapshot: old.snapshot, read_at: old.read_at, plan_since: START.parse().unwrap() };
    let late = Event::FeedsRead {
        account: world.account.clone(),
        property: world.property.clone(),
        readings: vec![read],
        refresh: None,
    };
    world.app.handle(&late).await.unwrap();
    assert_eq!(world.state().await.blocks, before.blocks);
}

#[tokio::test]
async fn a_manual_refresh_is_done_when_blocks_and_exports_stand() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.feeds.set(&World::url("b"), Answer::failure(FailureKind::LinkGone));
    let id = calmesh_calendar::RefreshId::from_random([9; 16]);
    let refresh = Refresh {
        id: id.clone(),
        account: world.account.clone(),
        scope: RefreshScope::Property(world.property.clone()),
        requested_at: world.now(),
        spread: false,
    };
    world.store.create_refresh(&refresh, &[]).await.unwrap();
    world.app.handle(&requested(&world, &id)).await.unwrap();
    assert!(world.store.any_pending(&id).await.unwrap(), "merge has not spoken yet");
    world.work().await;
    assert!(!world.store.any_pending(&id).await.unwrap());
    let outcomes = world.store.outcomes(&id, PageRequest { limit: 10, after: None }).await.unwrap().items;
    let of = |connection| outcomes.iter().find(|found| found.connection == connection).unwrap().outcome.clone();
    assert_eq!(of(a), Outcome::Changed { blocks_added: 2, blocks_removed: 0, blocks_held: 0 });
    assert_eq!(of(b.clone()), Outcome::Failed { reason: "link_gone".to_owned() });
    assert_eq!(world.link(&b).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_shards_of_a_period_are_announced_once_each() {
    let world = World::new().await.with_settings(|settings| settings.shards = 64);
    let app = &world.app;
    let mut seen = Vec::new();
    for minute in 0..15 {
        let now = world.now() + SignedDuration::from_secs(minute * 60 + minute * 3 % 60);
        app.tick.announce_shards(now, SignedDuration::from_mins(1)).await.unwrap();
        let announced = world.bus.drain();
        assert!((4..=5).contains(&announced.len()), "level by construction: {}", announced.len());
        seen.extend(announced.into_iter().map(|event| match event {
            Event::SweepDue { first_bucket, last_bucket, .. } => (first_bucket, last_bucket),
            other => panic!("{other:?}"),
        }));
    }
    seen.sort_unstable();
    let expected: Vec<_> = (0..64).map(|shard| (shard * 64, shard * 64 + 63)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_new_is_done_only_when_the_exports_stand() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    // A change was acknowledged, and its announcement is still on the way.
    world.change(|state| state.property.turnover_nights = 1).await;
    assert_eq!(world.bus.drain().len(), 1);
    assert_eq!(world.link(&b).await.unwrap().len(), 2);
    let id = calmesh_calendar::RefreshId::from_random([9; 16]);
    let scope = RefreshScope::Connection { property: world.property.clone(), connection: a };
    let refresh =
        Refresh { id: id.clone(), account: world.account.clone(), scope, requested_at: world.now(), spread: false };
    world.store.create_refresh(&refresh, &[]).await.unwrap();
    world.app.handle(&requested(&world, &id)).await.unwrap();
    // Who reads feeds puts no exports: that is left to who merges.
    assert!(world.store.any_pending(&id).await.unwrap());
    assert_eq!(world.link(&b).await.unwrap().len(), 2);
    let [announced] = &world.bus.drain()[..] else { panic!("one reading is announced") };
    assert!(matches!(announced, Event::FeedsRead { refresh: Some(part), .. } if part.refresh == id));
    world.app.handle(announced).await.unwrap();
    assert!(!world.store.any_pending(&id).await.unwrap());
    assert_eq!(world.link(&b).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_connection_that_was_made_unseen_learns_whose_feed_it_is() {
    let world = World::new().await;
    let (unseen, told) = (world.connect("a", "generic").await, world.connect("b", "vrbo").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let provider =
        |state: &PropertyState, id| state.connections.iter().find(|known| known.id == id).unwrap().provider.to_string();
    let state = world.state().await;
    assert_eq!(provider(&state, unseen), "airbnb");
    assert_eq!(provider(&state, told), "vrbo", "what the host said stands");
}

#[tokio::test]
async fn a_feed_of_a_refused_provider_is_not_taken_in_however_it_was_connected() {
    let refused = ["airbnb".parse().unwrap()].into();
    let world = World::new().await.with_settings(|settings| settings.refused_providers = refused);
    let a = world.connect("a", "generic").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    assert_eq!(world.taken().await, Vec::<String>::new());
    assert_eq!(world.health(&a).await.failure.unwrap().kind, FailureKind::LinkRefused);
}

#[tokio::test]
async fn a_refresh_whose_event_was_lost_is_announced_again_until_it_is_over() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    let reach = crate::Reach::whole(world.account.clone());
    let id = world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    let asked = vec![requested(&world, &id)];
    assert_eq!(world.bus.drain(), asked, "and this is lost");
    let page = || PageRequest { limit: 10, after: None };
    assert!(!world.app.desk.refresh_status(&reach, &id, page()).await.unwrap().done);
    // A start finishes it first, whenever it comes.
    world.app.tick.announce_unfinished(world.now()).await.unwrap();
    assert_eq!(world.bus.drain(), asked, "lost again");
    world.clock.advance(SignedDuration::from_mins(5));
    world.app.tick.announce_marks(world.now()).await.unwrap();
    assert_eq!(world.bus.events(), asked, "by the tick");
    world.work().await;
    assert_eq!(world.taken().await.len(), 13);
    assert!(world.app.desk.refresh_status(&reach, &id, page()).await.unwrap().done);
    assert!(world.store.dirty(10).await.unwrap().is_empty(), "nothing is left to announce");
}

#[tokio::test]
async fn a_refresh_nobody_asks_about_is_announced_no_more_once_it_is_over() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    let reach = crate::Reach::whole(world.account.clone());
    world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    world.work().await;
    let reads = world.feeds.total();
    for _ in 0..3 {
        world.clock.advance(SignedDuration::from_mins(3));
        world.app.tick.announce_marks(world.now()).await.unwrap();
        world.work().await;
    }
    assert_eq!(world.feeds.total(), reads, "what is over is read no second time");
    assert!(world.store.dirty(10).await.unwrap().is_empty());
    // One that nothing comes of is given up.
    world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    assert_eq!(world.bus.drain().len(), 1);
    world.clock.advance(SignedDuration::from_mins(11));
    world.app.tick.announce_marks(world.now()).await.unwrap();
    world.work().await;
    assert!(world.store.dirty(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refresh_is_done_only_when_the_extra_links_stand_too() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let reach = crate::Reach::whole(world.account.clone());
    let new = crate::NewLink {
        name: "all".to_owned(),
        scope: crate::WantedScope::All,
        detail: None,
        format: crate::model::Format::Nights,
    };
    world.app.desk.create_link(&reach, new).await.unwrap();
    world.work().await;
    world.serve("a", airbnb(1, STAYS));
    let id = world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    let mut late = Vec::new();
    loop {
        let events = world.bus.drain();
        if events.is_empty() {
            break;
        }
        for event in events {
            match event {
                Event::LinkDirty { .. } => late.push(event),
                _ => world.app.handle(&event).await.unwrap(),
            }
        }
    }
    let page = || PageRequest { limit: 10, after: None };
    assert!(!world.app.desk.refresh_status(&reach, &id, page()).await.unwrap().done, "a link has not followed");
    assert_eq!(late.len(), 1);
    world.app.handle(&late[0]).await.unwrap();
    assert!(world.app.desk.refresh_status(&reach, &id, page()).await.unwrap().done);
}

#[tokio::test]
async fn a_refresh_of_the_same_scope_is_answered_by_the_one_that_waits_runs_or_was_just_asked_for() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    let reach = crate::Reach::whole(world.account.clone());
    let ask = async || world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    let first = ask().await;
    world.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(ask().await, first, "it waits");
    assert_ne!(world.app.desk.request_property_refresh(&reach, &world.property).await.unwrap(), first, "another scope");
    world.work().await;
    let second = ask().await;
    assert_ne!(second, first, "it is over, and long ago");
    world.work().await;
    assert_eq!(ask().await, second, "it is over, but was asked for a moment ago");
    world.clock.advance(SignedDuration::from_secs(2));
    let third = ask().await;
    assert_ne!(third, second);
    world.clock.advance(SignedDuration::from_mins(11));
    assert_ne!(ask().await, third, "what was given up answers for nobody");
}

#[tokio::test]
async fn refreshes_of_one_account_have_a_budget_and_joined_ones_cost_none() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let reach = crate::Reach::whole(world.account.clone());
    for _ in 0..200 {
        world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    }
    let mut refused = 0;
    for _ in 0..100 {
        // Each is another one, as the one before is forgotten at once.
        world
            .store
            .claim_latest(
                &Refresh {
                    id: RefreshId::from_random(world.ports.common.randomness.id()),
                    account: world.account.clone(),
                    scope: RefreshScope::Account,
                    requested_at: world.now(),
                    spread: true,
                },
                world
                    .store
                    .latest_refresh(&world.account, &RefreshScope::Account)
                    .await
                    .unwrap()
                    .map(|it| it.id)
                    .as_ref(),
            )
            .await
            .unwrap();
        match world.app.desk.request_account_refresh(&reach).await {
            Ok(_) => {}
            Err(crate::RefreshError::TooMany(told)) => {
                assert_eq!(told.retry_after, SignedDuration::from_secs(1));
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 100 - (crate::REFRESHES.burst - 1));
}

#[tokio::test]
async fn a_feed_that_was_read_well_a_moment_ago_is_not_fetched_by_a_refresh() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    let reach = crate::Reach::whole(world.account.clone());
    world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    world.work().await;
    let read = world.feeds.total();
    let id = world.app.desk.request_account_refresh(&reach).await.unwrap();
    world.work().await;
    assert_eq!(world.feeds.total(), read);
    let page = PageRequest { limit: 10, after: None };
    let told = world.app.desk.refresh_status(&reach, &id, page).await.unwrap();
    assert_eq!((told.done, &told.outcomes[0].outcome), (true, &Outcome::Unchanged { blocks_held: 0 }));
    world.clock.advance(SignedDuration::from_secs(3));
    world.app.desk.request_account_refresh(&reach).await.unwrap();
    world.work().await;
    assert_eq!(world.feeds.total(), read + 1);
    // A clock that was ahead when it was read.
    world.clock.advance(SignedDuration::from_hours(-1));
    world.app.desk.request_account_refresh(&reach).await.unwrap();
    world.work().await;
    assert_eq!(world.feeds.total(), read + 2, "a reading from the future counts as none");
}

#[tokio::test]
async fn a_refresh_reads_within_a_budget_tells_what_it_has_and_announces_the_rest() {
    let world = World::new().await;
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.feeds.hold(&World::url("b"));
    let reach = crate::Reach::whole(world.account.clone());
    let id = world.app.desk.request_property_refresh(&reach, &world.property).await.unwrap();
    let asked = world.bus.drain();
    let (app, event) = (world.app.clone(), asked[0].clone());
    let running = tokio::spawn(async move { app.handle(&event).await });
    world.feeds.arrived(&World::url("b"), 1).await;
    world.feeds.arrived(&World::url("a"), 1).await;
    // The outcome of what does not hang is there before the other one's.
    while world.bus.events().is_empty() {
        tokio::task::yield_now().await;
    }
    world.work().await;
    assert_eq!(pending(&world, &id).await, std::slice::from_ref(&b));
    // Delivered a second time meanwhile: what has its outcome is not read again.
    world.feeds.release(&World::url("b"));
    running.await.unwrap().unwrap();
    world.app.handle(&asked[0]).await.unwrap();
    assert_eq!(world.feeds.count(&World::url("a")), 1);
    world.work().await;
    assert!(pending(&world, &id).await.is_empty());
}

#[tokio::test]
async fn a_refresh_of_everything_that_finds_nothing_new_writes_nothing_of_a_feed_and_says_when_it_was_read() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let (state, health) = (world.state().await, world.health(&a).await);
    let reach = crate::Reach::whole(world.account.clone());
    let told = async |id: &ConnectionId| world.app.desk.connection(&reach, id).await.unwrap().import.unwrap();
    world.clock.advance(SignedDuration::from_mins(3));
    let pressed = world.now();
    world.app.desk.request_account_refresh(&reach).await.unwrap();
    let fetched = world.feeds.total();
    world.work().await;
    assert_eq!(world.feeds.total(), fetched + 2);
    assert_eq!((world.state().await, world.health(&a).await), (state, health), "nothing of them is written");
    assert_eq!([told(&a).await.last_refreshed_at, told(&b).await.last_refreshed_at], [Some(pressed); 2]);
    // Whoever asks for one of them a moment later is answered by it.
    world.app.desk.request_property_refresh(&reach, &world.property).await.unwrap();
    world.work().await;
    assert_eq!(world.feeds.total(), fetched + 2);
    // What fails from now on was read then.
    world.feeds.fail(&World::url("a"), FailureKind::Unreachable);
    world.serve("b", airbnb(2, STAYS));
    world.clock.advance(SignedDuration::from_mins(3));
    world.app.desk.request_account_refresh(&reach).await.unwrap();
    let changed_at = world.now();
    world.work().await;
    assert_eq!([told(&a).await.last_refreshed_at, told(&b).await.last_refreshed_at], [Some(pressed), Some(changed_at)]);
    assert_eq!(world.health(&a).await.failure.map(|failure| failure.count), Some(1));
}

#[tokio::test]
async fn a_feed_that_waits_to_be_taken_in_was_last_read_when_a_refresh_of_everything_says() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let reach = crate::Reach::whole(world.account.clone());
    world.clock.advance(SignedDuration::from_mins(3));
    let pressed = world.now();
    world.app.desk.request_account_refresh(&reach).await.unwrap();
    world.work().await;
    world.serve("a", airbnb(2, &[]));
    world.clock.advance(SignedDuration::from_mins(12));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    for event in world.bus.drain() {
        world.app.handle(&event).await.unwrap();
    }
    let told = world.app.desk.connection(&reach, &a).await.unwrap().import.unwrap();
    assert_eq!((told.last_refreshed_at, told.waiting_since), (Some(pressed), Some(world.now())));
}

/// The connections of a refresh that have no final outcome.
async fn pending(world: &World, id: &RefreshId) -> Vec<ConnectionId> {
    let outcomes = world.store.outcomes(id, PageRequest { limit: 100, after: None }).await.unwrap().items;
    let waits = outcomes.into_iter().filter(|one| one.outcome == Outcome::Pending);
    waits.map(|one| one.connection).collect()
}

/// Sweeps a connection until its daily turn for a reading of the whole, and answers how many it took.
async fn until_whole_turn(world: &World, name: &str) -> usize {
    for count in 1..=100 {
        world.sweep().await;
        if world.feeds.requests(&World::url(name)).last().unwrap().validators == Validators::default() {
            return count;
        }
    }
    panic!("a day of sweeps went by");
}

#[tokio::test]
async fn a_feed_is_read_without_validators_once_a_day_and_at_the_button() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    until_whole_turn(&world, "a").await;
    assert_eq!(until_whole_turn(&world, "a").await, 96, "a day of quarters of an hour");
    world.sweep().await;
    let validators = |world: &World| world.feeds.requests(&World::url("a")).last().unwrap().validators.clone();
    assert!(validators(&world).etag.is_some());
    let reach = crate::Reach::whole(world.account.clone());
    world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    world.work().await;
    assert_eq!(validators(&world), Validators::default());
}

#[tokio::test]
async fn a_server_that_always_answers_304_hides_a_booking_for_a_day_at_most_and_then_fails() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    world.feeds.set(&World::url("a"), Answer::AlwaysNotModified);
    until_whole_turn(&world, "a").await;
    for _ in 0..3 {
        assert_eq!(world.health(&a).await.failure.unwrap().kind, FailureKind::ServerError);
        world.sweep().await;
    }
    let asked = world.feeds.requests(&World::url("a"));
    assert_eq!(asked.last().unwrap().validators, Validators::default(), "a 304 does not mend it");
    world.serve("a", airbnb(2, &[]));
    world.clock.advance(SignedDuration::from_hours(4));
    world.sweep().await;
    assert!(world.health(&a).await.failure.is_none());
}

#[tokio::test]
async fn an_etag_that_changed_under_an_equal_body_is_kept() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    let body = || bytes::Bytes::from(airbnb(1, STAYS));
    let etag = |text: &str| Validators { etag: Some(text.to_owned()), last_modified: None };
    world.feeds.set(&World::url("a"), Answer::BodyWith(body(), etag("1")));
    world.sweep().await;
    world.feeds.set(&World::url("a"), Answer::BodyWith(body(), etag("2")));
    world.sweep().await;
    world.sweep().await;
    let sent = |world: &World| world.feeds.requests(&World::url("a")).last().unwrap().validators.clone();
    assert_eq!(sent(&world), etag("2"));
    // One that is new at each answer is written a few times a day and no more.
    let mut kept = std::collections::BTreeSet::new();
    for number in 3..99 {
        world.feeds.set(&World::url("a"), Answer::BodyWith(body(), etag(&number.to_string())));
        world.sweep().await;
        kept.insert(sent(&world).etag);
    }
    assert!(kept.len() <= 6, "{kept:?}");
}

#[tokio::test]
async fn a_failure_is_told_with_what_its_provider_has_to_say_about_it() {
    let world = World::new().await;
    let a = world.connect("a", "google_ical").await;
    world.feeds.fail(&World::url("a"), FailureKind::LinkGone);
    world.sweep().await;
    let failure = world.health(&a).await.failure.unwrap();
    assert!(failure.detail.contains("Secret address in iCal format"), "{}", failure.detail);
}

#[tokio::test]
async fn a_sweep_that_is_dated_ahead_is_told_of_until_there_is_a_later_one() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    world.sweep().await;
    assert_eq!(world.app.fetch.swept_ahead().await.unwrap(), None);
    let days = SignedDuration::from_hours(24 * 3);
    world.clock.advance(days);
    world.sweep().await;
    let ahead = world.now();
    world.clock.advance(-days);
    assert_eq!(world.app.fetch.swept_ahead().await.unwrap(), Some(ahead));
    world.sweep().await;
    assert_eq!(world.app.fetch.swept_ahead().await.unwrap(), None);
}

/// A sequence that looks random and is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test]
async fn every_shard_has_each_of_its_turns_whatever_minutes_are_missed_and_processes_begun_anew() {
    let mut dice = Dice(11);
    for round in 0..60 {
        let world = World::new().await;
        let period = [60, 61, 90, 100, 150, 299, 600, 900, 3600][usize::try_from(dice.below(9)).unwrap()];
        let shards = 1 << dice.below(7);
        let world = world.with_settings(|settings| {
            (settings.shards, settings.sweep_period) = (shards, SignedDuration::from_secs(period));
        });
        let mut app = world.app.clone();
        let minute = |nth: i64| world.now() + SignedDuration::from_secs(60 * nth + 17);
        let (mut announced, mut longest, mut last, mut end) = (Vec::new(), 0, 0, 0);
        for nth in 0..120 {
            // The first minute is where it all begins; of the others some are missed.
            if nth > 0 && dice.below(3) == 0 {
                continue;
            }
            if dice.below(2) == 0 {
                app = crate::App::new(&world.ports);
            }
            app.tick.announce_shards(minute(nth), SignedDuration::from_mins(1)).await.unwrap();
            longest = longest.max(nth - last);
            (last, end) = (nth, nth + 1);
            announced.extend(world.bus.drain().into_iter().map(|event| match event {
                Event::SweepDue { first_bucket, number, .. } => {
                    (i64::from(first_bucket) * i64::from(shards) / 4096, number)
                }
                other => panic!("{other:?}"),
            }));
        }
        let told = format!("round {round}: {period} s, {shards} shards, {longest} minutes at most in between");
        announced.sort_unstable();
        assert!(announced.windows(2).all(|two| two[0] != two[1]), "{told}: none twice");
        let begin = world.now().as_second().div_euclid(60) * 60;
        let within = begin..begin + 60 * end;
        let due = (begin / period - 1..=(begin + 60 * end) / period + 1).flat_map(|number| {
            (0..i64::from(shards))
                .map(move |shard| (number * period + shard * period / i64::from(shards), shard, number))
        });
        let due: Vec<(i64, i64)> =
            due.filter(|(at, ..)| within.contains(at)).map(|(_, shard, number)| (shard, number)).collect();
        assert!(announced.iter().all(|one| due.contains(one)), "{told}: none that is not due");
        if longest * 60 <= period {
            assert_eq!(announced.len(), due.len(), "{told}: every one");
        } else {
            // What was missed for longer than a period is read once and not several times over.
            for shard in 0..i64::from(shards) {
                assert!(announced.iter().any(|(of, _)| *of == shard), "{told}: each shard");
            }
        }
    }
}

#[tokio::test]
async fn sweeps_are_announced_though_nobody_can_read_or_write_which_were() {
    let world = World::new().await;
    let tick = SignedDuration::from_mins(15);
    world.clock.advance(tick);
    world.store.fail_next(2);
    assert_eq!(world.app.tick.announce_shards(world.now(), tick).await.unwrap(), 1);
    // A clock that was ahead by a year wrote it.
    world.store.record_step(world.now().as_second() + 365 * 86_400).await.unwrap();
    world.clock.advance(tick);
    assert_eq!(world.app.tick.announce_shards(world.now(), tick).await.unwrap(), 1);
    assert!(world.store.last_step().await.unwrap().is_some_and(|step| step <= world.now().as_second()));
}

#[tokio::test]
async fn a_host_whose_feeds_hang_holds_up_nobody_but_itself() {
    let world = World::new().await;
    let slow = |nth: usize| format!("https://slow.example/{nth}.ics");
    let mut ids = Vec::new();
    for nth in 0..100 {
        let id = world.connect(&format!("slow{nth}"), "generic").await;
        ids.push(id.clone());
        let url: FeedUrl = slow(nth).parse().unwrap();
        world
            .change(|state| {
                let connection = state.connections.iter_mut().find(|known| known.id == id).unwrap();
                connection.import.as_mut().unwrap().url = url.clone();
            })
            .await;
        world.feeds.hold(&slow(nth));
    }
    world.work().await;
    let quick = world.connect("quick", "airbnb").await;
    world.serve("quick", airbnb(1, STAYS));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    let events = world.bus.drain();
    let (app, event) = (world.app.clone(), events[0].clone());
    let sweeping = tokio::spawn(async move { app.handle(&event).await });
    world.feeds.arrived(&World::url("quick"), 1).await;
    // Its reading is announced, and taken in, while all of the other host's hang.
    while world.bus.events().is_empty() {
        tokio::task::yield_now().await;
    }
    world.work().await;
    assert!(world.health(&quick).await.failure.is_none());
    assert_eq!(world.taken().await.len(), 13);
    let at_slow = (0..100).map(|nth| world.feeds.count(&slow(nth))).sum::<usize>();
    assert_eq!(at_slow, 6, "so many of one host at once, and no more");
    sweeping.abort();
}

#[tokio::test]
async fn a_body_for_which_there_is_no_room_is_read_at_the_next_turn_and_no_failure() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let before = world.health(&a).await;
    world.feeds.set(&World::url("a"), Answer::NoRoom);
    world.sweep().await;
    assert_eq!(world.health(&a).await.failure, before.failure, "the site has not failed");
    let sweeps = world.store.sweeps(&[bucket_of(&a)]).await.unwrap();
    let last = sweeps.iter().max_by_key(|sweep| sweep.number).unwrap();
    assert_eq!(last.skipped, std::slice::from_ref(&a), "nor does anything say that it was read");
    world.serve("a", airbnb(1, &[STAYS[0]]));
    world.sweep().await;
    assert_eq!(
        world.store.sweeps(&[bucket_of(&a)]).await.unwrap().iter().max_by_key(|s| s.number).unwrap().skipped,
        []
    );
    // Somebody who asks for it waits until there is room.
    let reach = crate::Reach::whole(world.account.clone());
    world.feeds.script(&World::url("a"), [Answer::NoRoom, Answer::body(airbnb(2, STAYS))]);
    let id = world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    world.work().await;
    let page = PageRequest { limit: 10, after: None };
    let told = world.app.desk.refresh_status(&reach, &id, page).await.unwrap();
    assert!(told.done && !matches!(told.outcomes[0].outcome, Outcome::Failed { .. }), "{:?}", told.outcomes);
}
