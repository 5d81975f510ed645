//! Reads of links that a log tells of, late and more than once.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::world::*;
use crate::{TakeLogError, fakes::MemoryReadLogs, model::*, ports::*};

async fn token(world: &World) -> LinkToken {
    let connection = world.connect("airbnb", "airbnb").await;
    world.state().await.connection(&connection).unwrap().export.clone().unwrap().token
}

fn told(token: &LinkToken, times: &[Timestamp]) -> LoggedReads {
    let times: BTreeSet<Timestamp> = times.iter().copied().collect();
    LoggedReads { reads: [(token.hash(), times)].into(), unreadable: 0 }
}

#[tokio::test]
async fn a_log_is_recorded_and_removed_and_a_repetition_finds_it_gone() {
    let world = World::new().await;
    let token = token(&world).await;
    let logs = MemoryReadLogs::new();
    let read_at = world.now() - SignedDuration::from_mins(40);
    logs.put("a", told(&token, &[read_at, read_at - SignedDuration::from_mins(15)]));
    world.app.take_read_log(&logs, "a").await.unwrap();
    world.app.take_read_log(&logs, "a").await.unwrap();
    assert!(logs.names().is_empty());
    let reads = world.store.reads(&[token.hash()], world.now()).await.unwrap();
    assert_eq!(reads, [LinkReads { last_read_at: Some(read_at), reads_24h: 2 }]);
}

#[tokio::test]
async fn a_log_that_could_not_be_removed_is_counted_once_all_the_same() {
    let world = World::new().await;
    let token = token(&world).await;
    let logs = MemoryReadLogs::new();
    logs.put("a", told(&token, &[world.now()]));
    logs.fail_to_remove();
    let failed = world.app.take_read_log(&logs, "a").await;
    assert!(matches!(failed, Err(TakeLogError::Object(_))), "{failed:?}");
    assert_eq!(logs.names(), ["a"], "it is told of again");
    world.app.take_read_log(&logs, "a").await.unwrap();
    assert!(logs.names().is_empty());
    assert_eq!(world.store.reads(&[token.hash()], world.now()).await.unwrap()[0].reads_24h, 1);
}
