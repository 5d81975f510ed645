//! What stood at a past instant: explained as it was explained then.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{Block, Claims, ConnectionClaims, ConnectionId};
use jiff::{SignedDuration, Timestamp};

use super::world::*;
use crate::{
    ExplainError, Explanation, NewLink, Reach, WantedScope,
    contract::{a_block, a_connection, a_property, at, block_id, connection_id, some_claims},
    model::*,
    ports::*,
};

const NIGHTS: [&str; 5] = ["2026-12-04", "2026-12-05", "2026-12-11", "2027-01-10", "2027-02-01"];

fn reach(world: &World) -> Reach {
    Reach::whole(world.account.clone())
}

async fn explained(world: &World, night: &str, as_of: Option<Timestamp>) -> Result<Explanation, ExplainError> {
    world.app.desk.explain_night(&reach(world), &world.property, night.parse().unwrap(), as_of).await
}

/// Each of the nights as it is explained now, with now; time moves on, so that instants tell steps apart.
async fn looked_at(world: &World, seen: &mut Vec<Explanation>) {
    for night in NIGHTS {
        seen.push(explained(world, night, None).await.unwrap());
    }
    world.clock.advance(SignedDuration::from_secs(2));
}

async fn paused(world: &World, connection: &ConnectionId, status: Status) {
    world
        .change(|state| state.connections.iter_mut().find(|known| known.id == *connection).unwrap().status = status)
        .await;
    world.work().await;
}

#[tokio::test]
async fn every_instant_is_explained_later_as_it_was_then() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let b = world.connect("b", "generic").await;
    let all = NewLink { name: "all".to_owned(), scope: WantedScope::All, detail: None, format: Format::Nights };
    let link = world.app.desk.create_link(&reach(&world), all).await.unwrap().link;
    let stays = [
        ("HMAAAA", "2026-12-04", "2026-12-06"),
        ("HMBBBB", "2027-01-10", "2027-01-12"),
        ("HMCCCC", "2027-02-01", "2027-02-03"),
    ];
    let mut seen = Vec::new();
    looked_at(&world, &mut seen).await;
    // Stays come, one moves, one goes by a hold; another site shows the same nights, which is asked about.
    world.serve("a", airbnb(1, &stays));
    world.sweep().await;
    looked_at(&world, &mut seen).await;
    let token = world.state().await.connection(&b).unwrap().export.clone().unwrap().token;
    world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
    world.serve("b", airbnb(1, &[]).replace("Airbnb Inc", "somebody").replace(
        "END:VCALENDAR",
        "BEGIN:VEVENT\r\nUID:1@b\r\nDTSTART;VALUE=DATE:20261204\r\nDTEND;VALUE=DATE:20261206\r\nSUMMARY:Blocked\r\nEND:VEVENT\r\nEND:VCALENDAR",
    ));
    for _ in 0..3 {
        world.sweep().await;
        looked_at(&world, &mut seen).await;
    }
    world.serve("a", airbnb(2, &[("HMAAAA", "2026-12-11", "2026-12-12"), stays[1]]));
    for _ in 0..4 {
        world.sweep().await;
        looked_at(&world, &mut seen).await;
    }
    paused(&world, &b, Status::Paused { until: None }).await;
    looked_at(&world, &mut seen).await;
    world.change(|state| state.property.turnover_nights = 1).await;
    world.work().await;
    looked_at(&world, &mut seen).await;
    world.change(|state| state.connections.retain(|known| known.id != b)).await;
    world.work().await;
    looked_at(&world, &mut seen).await;

    assert!(
        seen.iter().any(|then| then.claims.iter().any(|claim| claim.claim.asked_since.is_some())),
        "a site was asked"
    );
    assert!(seen.iter().any(|then| !then.available) && seen.iter().any(|then| then.available));
    for then in &seen {
        let told = explained(&world, &then.night.to_string(), Some(then.as_of)).await.unwrap();
        assert_eq!(&told, then, "{} as of {}", then.night, then.as_of);
    }

    // A link that was edited since may have covered another property then.
    let edit = crate::LinkEdit { name: Some("some".to_owned()), ..crate::LinkEdit::default() };
    world.app.desk.edit_link(&reach(&world), &link.id, &edit, &crate::Expected::default()).await.unwrap();
    let told = explained(&world, NIGHTS[3], Some(seen.last().unwrap().as_of)).await.unwrap();
    assert_eq!(told.not_known, [crate::NotKnown::Link(link.id)]);
    assert_eq!(world.state().await.connections[0].id, a);
}

#[tokio::test]
async fn what_is_not_kept_is_not_guessed_at() {
    let world = World::new().await;
    let made_at = world.now();
    let a = world.connect("a", "airbnb").await;
    let refused = explained(&world, NIGHTS[0], Some(world.now() + SignedDuration::from_secs(1))).await;
    assert!(matches!(refused, Err(ExplainError::Future)), "{refused:?}");
    let refused = explained(&world, NIGHTS[0], Some(made_at - SignedDuration::from_secs(1))).await;
    assert!(matches!(refused, Err(ExplainError::BeforeItWasMade)), "{refused:?}");
    world.clock.advance(PAST_KEPT + SignedDuration::from_secs(5));
    let refused = explained(&world, NIGHTS[0], Some(made_at)).await;
    assert!(matches!(refused, Err(ExplainError::TooLongAgo)), "{refused:?}");

    // A change that was made before anything was kept of it: nobody knows what it replaced.
    let mut state = world.state().await;
    state.property.revision += 1;
    let kept = state.property.revised_at.take();
    assert!(kept.is_some());
    let commit = crate::changes::difference::difference(None, &state, crate::changes::draft::History::default());
    crate::ports::PropertyStore::commit(&*world.store, &commit).await.unwrap();
    let before = world.now();
    world.clock.advance(SignedDuration::from_mins(1));
    let refused = explained(&world, NIGHTS[0], Some(before)).await;
    assert!(matches!(refused, Err(ExplainError::NotKept)), "{refused:?}");
    paused(&world, &a, Status::Paused { until: None }).await;
    let told = explained(&world, NIGHTS[0], Some(world.now())).await.unwrap();
    assert!(told.available, "from then on it is kept");
}

#[tokio::test]
async fn what_is_kept_of_the_past_opens_no_feed_and_no_link_and_tells_no_words() {
    let world = World::new().await;
    let a = world.connect("a", "airbnb").await;
    let beginning = world.now();
    world.clock.advance(SignedDuration::from_secs(1));
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-04", "2026-12-06")]));
    world.sweep().await;
    let state = world.state().await;
    assert_eq!(state.blocks[0].summary, "Reserved");
    let token = state.connection(&a).unwrap().export.clone().unwrap().token;
    world
        .change(|state| {
            state.connections.clear();
            state.blocks.clear();
        })
        .await;
    let kept = world.store.replaced_after(&world.property, beginning).await.unwrap();
    let connections: Vec<&Connection> = kept.iter().flat_map(|change| &change.connections).collect();
    assert!(!connections.is_empty());
    for connection in connections {
        assert_eq!(connection.import.as_ref().unwrap().url.as_str(), "https://a.example/");
        assert_ne!(connection.export.as_ref().unwrap().token, token);
    }
    let blocks: Vec<&str> = kept.iter().flat_map(|change| &change.blocks).map(|block| block.summary.as_str()).collect();
    assert_eq!(blocks, [""]);
}

#[test]
fn a_change_puts_what_differs_and_keeps_what_that_replaced() {
    let share = |n: u64| some_claims(n).connections;
    let property = Property { revised_at: Some(at(1)), ..a_property(1, 1) };
    let before = PropertyState {
        connections: vec![a_connection(&property, 1), a_connection(&property, 2), a_connection(&property, 3)],
        blocks: vec![a_block(1, 1), a_block(2, 2), a_block(3, 3)],
        claims: Claims { connections: share(1).into_iter().chain(share(3)).collect() },
        ..PropertyState::of(property.clone())
    };
    // Of each: the first goes, the second changes, the third stays and the fifth is new.
    let mut after = before.clone();
    after.property = Property { revision: 2, revised_at: Some(at(5)), ..property };
    after.connections.retain(|connection| connection.id != connection_id(1));
    after.connections[0].version = 7;
    after.connections.push(a_connection(&after.property, 5));
    after.blocks = vec![Block { sequence: 7, ..a_block(2, 2) }, a_block(3, 3), a_block(3, 5)];
    after.claims.forget(&connection_id(1));
    after.claims.connections.insert(connection_id(2), share(1)[&connection_id(1)].clone());
    after.claims.connections.extend(share(5).into_iter().filter(|(id, _)| *id == connection_id(5)));

    let commit = crate::changes::difference::difference(
        Some(&before.clone().into()),
        &after,
        crate::changes::draft::History::default(),
    );
    let ids = |connections: &[Connection]| connections.iter().map(|known| known.id.clone()).collect::<Vec<_>>();
    let keys = |claims: &BTreeMap<ConnectionId, ConnectionClaims>| claims.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(ids(&commit.put_connections), [connection_id(2), connection_id(5)]);
    assert_eq!(commit.remove_connections, [connection_id(1)]);
    assert_eq!(commit.put_blocks, [after.blocks[0].clone(), after.blocks[2].clone()]);
    assert_eq!(commit.remove_blocks, [block_id(1)]);
    assert_eq!(keys(&commit.put_claims), [connection_id(2), connection_id(5)].into());
    assert_eq!(commit.remove_claims, [connection_id(1)]);
    let replaced = commit.replaced.unwrap();
    assert_eq!(ids(&replaced.connections), [connection_id(2), connection_id(1)]);
    assert_eq!(replaced.new_connections, [connection_id(5)]);
    assert_eq!(replaced.blocks.iter().map(|block| block.id.clone()).collect::<Vec<_>>(), [block_id(2), block_id(1)]);
    assert_eq!(replaced.new_blocks, [block_id(5)]);
    assert_eq!(keys(&replaced.claims), [connection_id(1), connection_id(2)].into());
    assert_eq!(replaced.new_claims, [connection_id(5)]);

    let earlier = after.as_it_stood(at(4), vec![replaced]).unwrap();
    assert_eq!(earlier.claims, before.claims);
    assert_eq!(ids(&earlier.connections), ids(&before.connections));
    assert_eq!(earlier.blocks.len(), before.blocks.len());
}
