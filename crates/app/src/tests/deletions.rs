//! A deletion, a pause or another URL between any two calls of whoever reads a feed: nothing of what was read stays
//! behind it.

use std::sync::Arc;

use calmesh_calendar::ConnectionId;
use jiff::SignedDuration;

use super::world::*;
use crate::{App, ConnectionEdit, Expected, Reach, SideEdit, ports::*};

const FIRST: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-04", "2026-12-07"), ("HMBBBB", "2027-01-10", "2027-01-20")];
const SECOND: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-05", "2026-12-08"), ("HMBBBB", "2027-01-10", "2027-01-20")];

#[derive(Debug, Clone, Copy)]
enum Deed {
    Connection,
    Property,
    Account,
    Pause,
    OtherUrl,
}

async fn act(app: &App, reach: &Reach, deed: Deed, property: &calmesh_calendar::PropertyId, connection: &ConnectionId) {
    let any = Expected::Any;
    match deed {
        Deed::Connection => app.desk.delete_connection(reach, connection, &any).await.map(drop).unwrap(),
        Deed::Property => app.desk.delete_property(reach, property, &any).await.map(drop).unwrap(),
        Deed::Account => {
            app.desk.delete_account(reach, &any).await.unwrap();
            app.merge.erase_account(&reach.account).await.unwrap();
        }
        Deed::Pause => drop(app.desk.pause_connection(reach, connection, None).await.unwrap()),
        Deed::OtherUrl => {
            let url = Some(World::url("b").parse().unwrap());
            let edit = ConnectionEdit { url, import: SideEdit::Touch, skip_check: true, ..Default::default() };
            drop(app.desk.edit_connection(reach, connection, &edit, &any).await.unwrap());
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Store,
    Objects,
}

/// Reads a feed for the second time, with a deed before the nth call. Answers whether it came to that call.
async fn read_and(deed: Deed, size: Size, of: Of, nth: u64) -> bool {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let is_deletion = matches!(deed, Deed::Connection | Deed::Property | Deed::Account);
    if is_deletion {
        world.connect("b", "airbnb").await;
    }
    world.serve("a", sized(size, &airbnb(1, FIRST)));
    world.serve("b", sized(size, &airbnb(1, &[])));
    world.sweep().await;
    assert_eq!(world.bodies_of(&a), 1);
    world.serve("a", sized(size, &airbnb(2, SECOND)));
    let (reach, property, connection) = (Reach::whole(world.account.clone()), world.property.clone(), a.clone());
    let interruption =
        meanwhile(&world.app, move |app| async move { act(&app, &reach, deed, &property, &connection).await });
    match of {
        Of::Store => world.store.interrupt(nth, interruption),
        Of::Objects => world.objects.interrupt(nth, interruption),
    }
    let mut queue: Vec<Event> = Vec::new();
    world.struggle(&mut queue).await;
    let came = match of {
        Of::Store => !world.store.leave_alone(),
        Of::Objects => !world.objects.leave_alone(),
    };
    for _ in 0..3 {
        world.struggle(&mut queue).await;
    }
    let at = format!("{deed:?}, {size:?}, before call {nth} of {of:?}");
    assert!(queue.is_empty(), "{at}: {queue:?}");
    if came && !is_deletion {
        let staying = world.bodies_that_stay(&a);
        assert!(staying <= 1, "{at}: {staying} bodies stay, and one is taken in");
    } else if came {
        assert_eq!(world.bodies_of(&a), 0, "{at}: a body stayed");
        let known = world.store.fetch_states(std::slice::from_ref(&a)).await.unwrap();
        assert!(known.is_empty(), "{at}: nobody reads it any more");
    }
    came
}

#[tokio::test]
async fn a_deletion_between_any_two_calls_of_a_reading_leaves_no_body_behind() {
    between_any_two_calls(&[Deed::Connection, Deed::Property, Deed::Account]).await;
}

#[tokio::test]
async fn a_pause_or_another_url_between_any_two_calls_of_a_reading_leaves_no_body_that_nobody_took_in() {
    between_any_two_calls(&[Deed::Pause, Deed::OtherUrl]).await;
}

async fn between_any_two_calls(deeds: &[Deed]) {
    for deed in deeds.iter().copied() {
        for (size, of) in SIZES.into_iter().flat_map(|size| [(size, Of::Store), (size, Of::Objects)]) {
            let mut nth = 1;
            while read_and(deed, size, of, nth).await {
                nth += 1;
            }
            let least = match (of, size) {
                (Of::Store, _) => 11,
                (Of::Objects, Size::Small) => 1,
                (Of::Objects, Size::Large) => 3,
            };
            assert!(nth > least, "{deed:?}, {size:?}, {of:?}: only {nth} calls");
        }
    }
}

#[tokio::test]
async fn a_deletion_while_the_site_answers_leaves_no_body_behind() {
    let deeds = [Deed::Connection, Deed::Property, Deed::Account];
    for (deed, size) in deeds.into_iter().flat_map(|deed| SIZES.map(|size| (deed, size))) {
        let world = World::new().await;
        let a = world.connect("a", "airbnb").await;
        world.serve("a", sized(size, &airbnb(1, FIRST)));
        world.sweep().await;
        world.serve("a", sized(size, &airbnb(2, SECOND)));
        world.feeds.hold(&World::url("a"));
        world.clock.advance(SignedDuration::from_mins(15));
        world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
        let event = world.bus.drain().remove(0);
        let app = Arc::new(world.app.clone());
        let reading = tokio::spawn(async move { app.handle(&event).await });
        world.feeds.arrived(&World::url("a"), 2).await;
        act(&world.app, &Reach::whole(world.account.clone()), deed, &world.property, &a).await;
        world.feeds.release(&World::url("a"));
        reading.await.unwrap().unwrap();
        world.work().await;
        assert_eq!(world.bodies_of(&a), 0, "{deed:?}, {size:?}");
    }
}
