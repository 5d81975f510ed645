//! Two feeds full of the same nights, and stays without end: everything is taken in, and the next booking too.

use super::world::*;
use crate::{ConflictStatus, Reach, ports::PageRequest};

const FEED: usize = 400;

/// Codes, and the same nights for all.
fn crowd(site: &str, start: &str, end: &str) -> Vec<(String, String, String)> {
    (0..FEED).map(|number| (format!("HM{site}{number:04}"), start.to_owned(), end.to_owned())).collect()
}

fn body(stays: &[(String, String, String)], more: &[(&str, &str, &str)]) -> String {
    let all: Vec<(&str, &str, &str)> =
        stays.iter().map(|(code, start, end)| (code.as_str(), start.as_str(), end.as_str())).collect();
    airbnb(1, &[all, more.to_vec()].concat())
}

fn reach(world: &World) -> Reach {
    Reach::whole(world.account.clone())
}

async fn conflicts(world: &World) -> Vec<crate::ConflictView> {
    let page = PageRequest { limit: 200, after: None };
    world.app.desk.list_conflicts(&reach(world), &world.property, page).await.unwrap().items
}

#[tokio::test]
async fn two_feeds_of_four_hundred_events_on_the_same_nights_are_one_conflict_and_a_new_booking_is_taken_in_next() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    let (of_a, of_b) = (crowd("A", "2026-12-04", "2026-12-14"), crowd("B", "2026-12-04", "2026-12-14"));
    world.serve("a", body(&of_a, &[]));
    world.serve("b", body(&of_b, &[]));
    world.sweep().await;
    assert_eq!(world.state().await.blocks.len(), 2 * FEED);
    assert_eq!(world.taken().await.len(), 10);
    for link in [&a, &b] {
        let shown = world.link(link).await.unwrap();
        assert!(shown.iter().any(|stay| stay == "20261204-20261214"), "{} events", shown.len());
    }
    let told = conflicts(&world).await;
    let [conflict] = &told[..] else { panic!("{} conflicts", told.len()) };
    assert_eq!((conflict.status, conflict.nights.nights.len(), conflict.stays.len()), (ConflictStatus::Open, 10, 16));
    assert_eq!(conflict.conflict.more, 784);

    world.serve("b", body(&of_b, &[("HMNEW", "2027-02-01", "2027-02-03")]));
    world.sweep().await;
    assert_eq!(world.taken().await.len(), 12);
    assert!(world.link(&a).await.unwrap().contains(&"20270201-20270203".to_owned()));
    assert_eq!(conflicts(&world).await, told, "nothing else is told");
}

#[tokio::test]
async fn a_stay_until_further_notice_in_both_feeds_is_taken_in_and_so_is_what_comes_next() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    let ever = |code| (code, "2027-06-01", "9999-12-31");
    world.serve("a", airbnb(1, &[ever("HMAEVER")]));
    world.serve("b", airbnb(1, &[ever("HMBEVER")]));
    world.sweep().await;
    let told = conflicts(&world).await;
    let [conflict] = &told[..] else { panic!("{} conflicts", told.len()) };
    let nights = conflict.conflict.nights.unwrap();
    assert_eq!(nights.first().to_string(), "2027-06-01");
    assert!(nights.count() > 1_200, "as far as a feed is read");
    assert_eq!(conflict.nights.nights.len(), 100, "the first are listed");
    assert_eq!(100 + conflict.nights.more, nights.count());
    for link in [&a, &b] {
        assert_eq!(world.link(link).await.unwrap().len(), 1);
    }
    world.serve("a", airbnb(1, &[ever("HMAEVER"), ("HMNEW", "2027-02-01", "2027-02-03")]));
    world.sweep().await;
    assert!(world.link(&b).await.unwrap().contains(&"20270201-20270203".to_owned()));
    assert_eq!(conflicts(&world).await, told);
}

#[tokio::test]
async fn of_three_stays_on_a_night_the_host_says_one_after_the_other_which_are_gone() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.connect(name, "airbnb").await;
        world.serve(name, airbnb(1, &[(&format!("HM{name}"), "2026-12-04", "2026-12-06")]));
    }
    world.sweep().await;
    let told = conflicts(&world).await;
    let [conflict] = &told[..] else { panic!("{} conflicts", told.len()) };
    let names: Vec<_> = conflict.stays.iter().filter_map(|stay| stay.known.as_ref()?.site.clone()).collect();
    assert_eq!((conflict.property_name.as_deref(), names.len()), (Some("Flat"), 3), "{names:?}");
    let id = &conflict.conflict.id;
    let [first, second, _] = &conflict.conflict.blocks[..] else { panic!("{conflict:?}") };
    let once = world.app.desk.resolve_conflict(&reach(&world), id, first).await.unwrap();
    assert_eq!((once.status, once.conflict.gone.len()), (ConflictStatus::Open, 1));
    let twice = world.app.desk.resolve_conflict(&reach(&world), id, second).await.unwrap();
    assert_eq!((twice.status, twice.conflict.gone.len()), (ConflictStatus::Resolved, 2));
    world.sweep().await;
    assert_eq!(conflicts(&world).await, [twice]);
}
