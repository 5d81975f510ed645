use jiff::SignedDuration;

use super::world::*;
use crate::{fakes::Fault, model::*, ports::*};

const STAYS: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-04", "2026-12-07")];

#[tokio::test]
async fn a_new_connection_has_a_valid_empty_link_with_its_readers_quirks() {
    let world = World::new().await;
    let (plain, booking) = (world.connect("a", "airbnb").await, world.connect("b", "booking_com").await);
    assert_eq!(world.link(&plain).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.link(&booking).await.unwrap(), ["19700101-19700102"]);
}

#[tokio::test]
async fn a_paused_connection_serves_an_empty_calendar_and_blocks_nothing() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[("HMBBBB", "2026-12-20", "2026-12-22")]));
    world.sweep().await;
    world
        .change(|state| {
            state.connections.iter_mut().find(|known| known.id == a).unwrap().status = Status::Paused { until: None }
        })
        .await;
    world.work().await;
    assert_eq!(world.link(&a).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.link(&b).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.taken().await, ["2026-12-20", "2026-12-21"]);
}

#[tokio::test]
async fn a_pause_with_an_end_resumes_by_itself() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let until = world.now() + SignedDuration::from_hours(3);
    world.change(|state| state.connections[0].status = Status::Paused { until: Some(until) }).await;
    world.work().await;
    for _ in 0..11 {
        world.sweep().await;
        assert!(world.state().await.connections[0].is_paused());
    }
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    world.sweep().await;
    assert!(!world.state().await.connections[0].is_paused());
    assert_eq!(world.taken().await.len(), 3);
    let _ = a;
}

#[tokio::test]
async fn a_retiring_link_serves_until_its_time_and_then_answers_404() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let old = world.state().await.connections.iter().find(|known| known.id == b).unwrap().export.clone().unwrap().token;
    let until = world.now() + SignedDuration::from_hours(24 * 7);
    let new = LinkToken::from_random([77; 32]);
    world
        .change(|state| {
            state.retiring.push(RetiringLink {
                token: old.clone(),
                serves: RetiringServes::Current { connection: b.clone() },
                until,
            });
            let connection = state.connections.iter_mut().find(|known| known.id == b).unwrap();
            connection.export.as_mut().unwrap().token = new.clone();
        })
        .await;
    world.serve("a", airbnb(2, &[STAYS[0], ("HMCCCC", "2026-12-20", "2026-12-21")]));
    world.sweep().await;
    assert_eq!(world.served(&old), world.served(&new), "kept up to date");
    assert_eq!(world.served(&old).unwrap().len(), 2);
    world.clock.set(until);
    world.sweep().await;
    assert_eq!(world.served(&old), None);
    assert!(world.served(&new).is_some());
    assert!(world.state().await.retiring.is_empty());
    let _ = a;
}

#[tokio::test]
async fn bytes_change_only_when_what_they_say_changes() {
    let world = World::new().await;
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let before = world.objects.exports();
    // A change that b's link does not show: b's own stay.
    world.serve("b", airbnb(2, &[("HMBBBB", "2026-12-20", "2026-12-22")]));
    world.sweep().await;
    let after = world.objects.exports();
    let token =
        world.state().await.connections.iter().find(|known| known.id == b).unwrap().export.clone().unwrap().token;
    assert_eq!(before[&token], after[&token]);
    // The same once more by hand: nothing is put.
    let puts = world.objects.exports_put();
    world.app.publish.publish_property(&world.property).await.unwrap();
    assert_eq!(world.objects.exports_put(), puts);
}

#[tokio::test]
async fn a_stay_that_departed_falls_out_of_the_links_by_itself() {
    let world = World::new().await;
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap().len(), 1);
    world.clock.set("2026-12-08T10:30:00Z".parse().unwrap());
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_extra_link_over_all_properties_follows() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    let link = world.extra_link("Cleaners", LinkScope::All, Detail::Label).await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    assert_eq!(world.served(&link.token).unwrap(), ["20261204-20261207"]);
    let text = String::from_utf8(world.objects.exports()[&link.token].to_vec()).unwrap();
    assert!(text.contains("SUMMARY:EX-a") && text.contains("X-WR-CALNAME:Cleaners"), "{text}");
}

#[tokio::test]
async fn links_and_kept_feeds_that_were_lost_come_back_though_no_feed_changes() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", sized(Size::Large, &airbnb(1, STAYS)));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    let links = world.objects.exports();
    world.objects.lose_everything();
    assert_eq!(world.link(&b).await, None);

    let mended = world.app.mend.mend_everything(2).await.unwrap();
    assert_eq!((mended.looked_at, mended.failed), (1, 0));
    assert_eq!(world.objects.exports(), links);
    let state = world.state().await;
    assert!(state.connection(&a).unwrap().applied().is_none(), "its body lay among the objects");
    assert!(state.connection(&b).unwrap().applied().is_some(), "and this one's in the store");
    world.sweep().await;
    for connection in [&a, &b] {
        assert_eq!(world.current_snapshots(connection).len(), 1);
    }
    assert_eq!(world.objects.exports(), links, "reading a feed anew changes no byte of a link");
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written_again() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let (before, puts) = (world.state().await, world.objects.exports_put());
    world.app.mend.mend_everything(1).await.unwrap();
    assert_eq!((world.state().await, world.objects.exports_put()), (before, puts));
}

#[tokio::test]
async fn one_property_that_can_not_be_mended_keeps_no_other_from_it() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    world.objects.fail_next(Fault::Before);
    let mended = world.app.mend.mend_everything(1).await.unwrap();
    assert_eq!((mended.looked_at, mended.failed), (0, 1));
}

/// The calendar's name behind a link, unfolded and unescaped.
fn calendar_name(world: &World, token: &LinkToken) -> String {
    let text = String::from_utf8(world.objects.exports()[token].to_vec()).unwrap().replace("\r\n ", "");
    let line = text.lines().find_map(|line| line.strip_prefix("X-WR-CALNAME:")).unwrap();
    line.replace("\\,", ",").replace("\\;", ";")
}

#[tokio::test]
async fn a_links_name_says_what_it_shows_and_no_more_than_its_detail_does() {
    let world = World::new().await;
    let site = world.connect("a", "airbnb").await;
    world.connect("b", "vrbo").await;
    world
        .change(|state| {
            for one in &mut state.connections {
                if one.id == site { "Whole flat, 2nd floor" } else { "Attic" }.clone_into(&mut one.name);
            }
        })
        .await;
    let named = async |property: &str, detail: Detail| {
        world
            .change(|state| {
                property.clone_into(&mut state.property.name);
                state.connections.iter_mut().for_each(|one| one.export.as_mut().unwrap().detail = detail);
            })
            .await;
        world.work().await;
        let state = world.state().await;
        let token = state.connection(&site).unwrap().export.clone().unwrap().token;
        calendar_name(&world, &token)
    };
    assert_eq!(named("Harbour; flat, Rua 7", Detail::Busy).await, "Harbour; flat, Rua 7: not available");
    for detail in [Detail::Label, Detail::Full] {
        assert_eq!(named("Harbour flat", detail).await, "Harbour flat: all but Whole flat, 2nd floor");
    }
    // A property that is called by a provider or a connection is not told to a busy link's readers.
    for telling in ["Airbnb flat", "The BOOKING.COM one", "attic", "Our Attic (vrbo)", "Google Calendar"] {
        assert_eq!(named(telling, Detail::Busy).await, "Availability", "{telling}");
    }
    assert_eq!(named("Atticus", Detail::Busy).await, "Atticus: not available", "words, not parts of them");
    let long = "ñ".repeat(200);
    assert_eq!(named(&long, Detail::Busy).await, format!("{long}: not available"));
    world.change(|state| state.connections.iter_mut().for_each(|one| one.import = None)).await;
    assert_eq!(named("Harbour flat", Detail::Label).await, "Harbour flat: all that is taken");
}

#[tokio::test]
async fn a_busy_link_over_several_properties_names_the_first_of_them() {
    let world = World::new().await;
    let link = world.extra_link("Airbnb guests of Ana", LinkScope::All, Detail::Busy).await;
    let expected = [
        "Flat: not available",
        "Flat and House 1: not available",
        "Flat, House 1 and House 2: not available",
        "Flat, House 1, House 2 and 1 more: not available",
        "Flat, House 1, House 2 and 2 more: not available",
    ];
    for (nth, expected) in expected.into_iter().enumerate() {
        if nth > 0 {
            let id = calmesh_calendar::PropertyId::from_random([10 + u8::try_from(nth).unwrap(); 16]);
            let created_at = world.now() + SignedDuration::from_secs(i64::try_from(nth).unwrap());
            let property = Property { id, name: format!("House {nth}"), created_at, ..world.state().await.property };
            let property = Property { revision: 1, dirty: None, ..property };
            world.store.commit(&crate::contract::nothing_but(&property)).await.unwrap();
        }
        world.app.publish.publish_link(&link.id).await.unwrap();
        assert_eq!(calendar_name(&world, &link.token), expected);
    }
}
