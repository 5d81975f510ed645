//! Reads of links that a log tells of, late and more than once.

use std::collections::{BTreeSet, VecDeque};

use calmesh_calendar::{ClaimRule, Finding, Standing};
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
    world.app.access.take_read_log(&logs, "a").await.unwrap();
    world.app.access.take_read_log(&logs, "a").await.unwrap();
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
    let failed = world.app.access.take_read_log(&logs, "a").await;
    assert!(matches!(failed, Err(TakeLogError::Object(_))), "{failed:?}");
    assert_eq!(logs.names(), ["a"], "it is told of again");
    world.app.access.take_read_log(&logs, "a").await.unwrap();
    assert!(logs.names().is_empty());
    assert_eq!(world.store.reads(&[token.hash()], world.now()).await.unwrap()[0].reads_24h, 1);
}

/// A site that shows a stay's nights as its own, whose link is read every 15 minutes; what a log tells of that comes an hour
/// later, if at all. Answers what was found out within four hours after the stay's origin cancelled it.
async fn found_of_a_site_that_stands(logged: bool) -> Vec<Finding> {
    let world = World::new().await.with_settings(|settings| settings.every_read_is_recorded = false);
    world.connect("a", "airbnb").await;
    let b = world.connect("b", "generic").await;
    let own = "BEGIN:VCALENDAR\r\nPRODID:-//somebody//EN\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1@b\r\n\
               DTSTART;VALUE=DATE:20261204\r\nDTEND;VALUE=DATE:20261206\r\nSUMMARY:Blocked\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let stays = [
        ("HMAAAA", "2026-12-04", "2026-12-06"),
        ("HMBBBB", "2027-01-10", "2027-01-12"),
        ("HMCCCC", "2027-02-01", "2027-02-03"),
    ];
    world.serve("a", airbnb(1, &stays));
    world.sweep().await;
    world.serve("b", own.to_owned());
    world.sweep().await;
    world.serve("a", airbnb(2, &stays[1..]));
    let token = world.state().await.connection(&b).unwrap().export.clone().unwrap().token;
    let logs = MemoryReadLogs::new();
    let mut underway: VecDeque<Timestamp> = VecDeque::new();
    for round in 0..16 {
        world.clock.advance(SignedDuration::from_mins(5));
        underway.push_back(world.now());
        if round == 4 {
            // The next booking: the link is put anew, at an instant of its own on this clock that stands still.
            world.serve("a", airbnb(3, &[stays[1], stays[2], ("HMDDDD", "2027-03-01", "2027-03-04")]));
        }
        if logged && underway.len() > 4 {
            let name = round.to_string();
            logs.put(&name, told(&token, &[underway.pop_front().unwrap()]));
            world.app.access.take_read_log(&logs, &name).await.unwrap();
        }
        world.sweep().await;
    }
    let entries = world.store.activity(&world.property, PageRequest { limit: 200, after: None }).await.unwrap().items;
    let found = entries.into_iter().rev().filter_map(|entry| match entry.kind {
        ActivityKind::ClaimsDecided { finding, .. } => Some(finding),
        _ => None,
    });
    found.collect()
}

#[tokio::test]
async fn a_question_to_a_site_goes_by_reads_that_a_log_tells_of_late() {
    let with = found_of_a_site_that_stands(true).await;
    let without = found_of_a_site_that_stands(false).await;
    assert!(with.contains(&Finding::Asked) && without.contains(&Finding::Asked));
    let stood = Finding::Judged(Standing::Certain, ClaimRule::StoodAfterRead);
    assert!(with.contains(&stood), "it read its link without the nights, and shows them still: {with:?}");
    assert!(!without.contains(&stood), "nobody knows whether it read its link: {without:?}");
}
