//! What an unchanged feed means later: because the horizon has moved on, or because it is understood better.

use calmesh_calendar::ConnectionId;
use jiff::SignedDuration;

use super::world::*;
use crate::{READER, fakes::Answer, model::*, ports::FetchFailure};

const FAR: &str = "2029-01-15";

#[tokio::test]
async fn a_stay_beyond_the_horizon_appears_when_it_comes_into_reach_though_its_feed_never_changes() {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "vrbo").await);
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-04", "2026-12-07"), ("HMFARR", FAR, "2029-01-18")]));
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap(), ["20261204-20261207"], "785 days ahead is out of reach");
    // 760 days before its arrival the stay must be there: so far ahead may be asked for.
    world.clock.advance(SignedDuration::from_hours(24 * 25));
    world.sweep().await;
    assert_eq!(world.link(&b).await.unwrap().last().unwrap(), "20290115-20290118");
    let state = world.state().await;
    let applied = state.connection(&a).unwrap().applied().unwrap();
    assert_eq!(applied.more_at, None, "it says all by now, so nothing wakes for it");
}

#[tokio::test]
async fn a_feed_that_says_all_that_it_ever_will_wakes_nobody() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-04", "2026-12-07")]));
    world.sweep().await;
    assert_eq!(world.state().await.connection(&a).unwrap().applied().unwrap().more_at, None);
}

/// A world in which one site has a stay that the other is to be shown, and which an older reader missed in the body that
/// it took in.
async fn understood_by_an_older_reader() -> (World, ConnectionId, ConnectionId) {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "generic").await, world.connect("b", "generic").await);
    world.serve("a", airbnb(1, &[("HMAAAA", "2027-12-04", "2027-12-07")]));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    world
        .change(|state| {
            state.blocks.clear();
            for connection in &mut state.connections {
                if let Some(applied) = connection.import.as_mut().and_then(|import| import.applied.as_mut()) {
                    applied.reader = READER - 1;
                }
            }
        })
        .await;
    world.work().await;
    (world, a, b)
}

#[tokio::test]
async fn after_an_upgrade_of_the_reader_an_unchanged_feed_is_read_anew_within_a_day_and_once() {
    let (world, a, b) = understood_by_an_older_reader().await;
    assert!(world.link(&b).await.unwrap().is_empty());
    let mut commits = 0;
    for _ in 0..96 {
        let before = world.state().await.property.revision;
        world.sweep().await;
        commits += world.state().await.property.revision - before;
    }
    assert_eq!(world.link(&b).await.unwrap(), ["20271204-20271207"]);
    let state = world.state().await;
    for connection in [&a, &b] {
        assert_eq!(state.connection(connection).unwrap().applied().unwrap().reader, READER);
    }
    assert_eq!(commits, 1, "one for both connections, whose turn is the same");
}

#[tokio::test]
async fn a_kept_body_of_a_site_that_fails_is_read_anew_too_and_the_failure_stays() {
    let (world, a, b) = understood_by_an_older_reader().await;
    let failure =
        FetchFailure { kind: FailureKind::Unreachable, detail: "No.".to_owned(), retry_after: None, host: None };
    world.feeds.set(&World::url("a"), Answer::Fail(failure));
    for _ in 0..96 {
        world.sweep().await;
    }
    assert_eq!(world.link(&b).await.unwrap(), ["20271204-20271207"]);
    assert!(world.health(&a).await.failure.is_some());
}

#[tokio::test]
async fn a_refresh_by_hand_reads_anew_at_once_what_an_older_reader_understood() {
    let (world, a, b) = understood_by_an_older_reader().await;
    let reach = crate::Reach::whole(world.account.clone());
    world.app.desk.request_connection_refresh(&reach, &a).await.unwrap();
    world.work().await;
    assert_eq!(world.link(&b).await.unwrap(), ["20271204-20271207"]);
}
