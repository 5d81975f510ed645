//! A process that dies at any call leaves the old state or the new one, and whoever comes next goes on from there.

use calmesh_app::{
    contract::{
        a_block, a_conflict, a_connection, a_plan, a_property, an_account, an_account_stands, at, block_id,
        connection_id, link_token, nothing_but, some_claims,
    },
    model::{ConflictRecord, LinkOwner, Property, PropertyState},
    ports::{AccountStore, FetchStore, LinkStore, PlanChange, PropertyCommit, PropertyStore, StoreError},
};

use super::embedded::{Cut, Line, embedded};
use crate::{
    DynamoStore, schema,
    table::{Item, Range},
};

fn next(property: &Property) -> Property {
    Property { revision: property.revision + 1, ..property.clone() }
}

/// A property with two connections and a few blocks.
async fn a_furnished_property(store: &DynamoStore, n: u64) -> Property {
    // Whoever comes first makes the account.
    let _ = store.create_account(&an_account(1), None).await;
    let property = a_property(1, n);
    let first = PropertyCommit {
        put_connections: vec![a_connection(&property, n * 1000), a_connection(&property, n * 1000 + 1)],
        put_blocks: (0..8).map(|nth| a_block(n * 1000, n * 1000 + nth)).collect(),
        put_claims: some_claims(n * 1000).connections,
        plans: vec![PlanChange::Put { plan: a_plan(&property, n * 1000), fresh: true, taken: None }],
        ..nothing_but(&property)
    };
    store.commit(&first).await.unwrap();
    property
}

/// A change of such a property that touches everything. Each block comes from a source of its own, so that each is a
/// write of its own.
fn a_change(property: &Property, n: u64, blocks: u64) -> PropertyCommit {
    let owner = LinkOwner::Connection {
        account: property.account.clone(),
        property: property.id.clone(),
        connection: connection_id(n * 1000 + 2),
    };
    let renamed = Property { name: "Casa Sol".to_owned(), ..next(property) };
    PropertyCommit {
        put_connections: vec![a_connection(property, n * 1000 + 2)],
        remove_connections: vec![connection_id(n * 1000 + 1)],
        put_blocks: (4..4 + blocks).map(|nth| a_block(n * 1000 + 2 + nth, n * 1000 + nth)).collect(),
        remove_blocks: (0..4).map(|nth| block_id(n * 1000 + nth)).collect(),
        plans: vec![
            PlanChange::Remove(connection_id(n * 1000)),
            PlanChange::Put { plan: a_plan(property, n * 1000 + 2), fresh: true, taken: None },
        ],
        owners: vec![(link_token(n * 1000 + 2), Some(owner))],
        // One goes, one stays, one comes.
        put_claims: [some_claims(n * 1000 + 2).connections.pop_first().unwrap()].into(),
        remove_claims: vec![connection_id(n * 1000 + 1)],
        put_conflicts: vec![a_conflict(n * 1000 + 4)],
        conflict_records: vec![ConflictRecord {
            property: property.id.clone(),
            conflict: a_conflict(n * 1000 + 4),
            closed_at: None,
        }],
        ..nothing_but(&renamed)
    }
}

async fn stages(store: &DynamoStore, property: &Property) -> Vec<Item> {
    let range = Range::of(schema::property_partition(&property.id), schema::STAGES);
    store.table.query(&range, None).await.unwrap().0
}

/// Cuts the line at every call of a commit, once before it and once after.
async fn every_cut(store: &DynamoStore, line: &Line, blocks: u64) {
    let mut n = 1;
    let property = a_furnished_property(store, n).await;
    let before = line.calls();
    store.commit(&a_change(&property, n, blocks)).await.unwrap();
    let calls = i64::try_from(line.calls() - before).unwrap();
    assert!(calls > 1, "there is something to cut");

    for cut_after in 0..calls {
        for cut in [Cut::Before, Cut::After] {
            n += 1;
            let place = format!("cut {cut:?} call {cut_after} of {calls}");
            let property = a_furnished_property(store, n).await;
            let old = store.load(&property.id).await.unwrap().unwrap();
            let change = a_change(&property, n, blocks);
            line.cut_after(cut_after, cut);
            let answer = store.commit(&change).await;
            line.mend();

            let seen = store.load(&property.id).await.unwrap().unwrap();
            let changed = seen.property.revision == 2;
            if changed {
                assert_new(&old, &change, &seen, &place);
            } else {
                assert_eq!(seen, old, "{place}: nothing of a change that did not come about is seen");
            }
            match answer {
                Ok(()) => assert!(changed, "{place}: what was acknowledged is there"),
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{place}: {error}"),
            }

            // Somebody else settles or changes it, and finds all of it in place.
            if n % 2 == 0 {
                store.settle(&property.id, seen.property.revision, None, &[]).await.unwrap();
            }
            let after = PropertyCommit {
                put_blocks: vec![a_block(n * 1000, n * 1000 + 900)],
                ..nothing_but(&next(&seen.property))
            };
            store.commit(&after).await.unwrap();
            let settled = store.load(&property.id).await.unwrap().unwrap();
            assert_eq!(settled.blocks.len(), seen.blocks.len() + 1, "{place}: the next change builds on it");
            assert!(settled.blocks.iter().filter(|block| block.id != block_id(n * 1000 + 900)).eq(&seen.blocks));
            assert_eq!(settled.connections, seen.connections, "{place}: the next change builds on it");
            assert_eq!(settled.claims, seen.claims, "{place}: the next change builds on it");
            assert!(stages(store, &property).await.is_empty(), "{place}: nothing staged is left behind");
            let known = store.fetch_states(&[connection_id(n * 1000), connection_id(n * 1000 + 2)]).await.unwrap();
            let read: Vec<_> = known.into_keys().collect();
            let expected = if changed { connection_id(n * 1000 + 2) } else { connection_id(n * 1000) };
            assert_eq!(read, vec![expected], "{place}: plans go with the state");
            let owner = store.owner(&link_token(n * 1000 + 2).hash()).await.unwrap();
            assert_eq!(owner.is_some(), changed, "{place}: owners go with the state");
            assert!(store.locate(property.id.as_str()).await.unwrap().is_some(), "{place}: what is there is found");
        }
    }
}

fn assert_new(old: &PropertyState, change: &PropertyCommit, seen: &PropertyState, place: &str) {
    assert_eq!(seen.property, change.property, "{place}: the head is the new one");
    let mut blocks = change.put_blocks.clone();
    let gone = |id: &_| change.remove_blocks.contains(id) || change.put_blocks.iter().any(|block| block.id == *id);
    blocks.extend(old.blocks.iter().filter(|block| !gone(&block.id)).cloned());
    blocks.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(seen.blocks, blocks, "{place}: all blocks are the new ones");
    let mut claims = old.claims.clone();
    claims.connections.extend(change.put_claims.clone());
    claims.connections.retain(|connection, _| !change.remove_claims.contains(connection));
    assert_eq!(claims.connections.len(), 2, "{place}: one of them went, one came");
    assert_eq!(seen.claims, claims, "{place}: all claims are the new ones");
    let connections: Vec<_> = seen.connections.iter().map(|connection| &connection.id).collect();
    assert_eq!(connections.len(), 2, "{place}: all connections are the new ones");
    assert!(!connections.contains(&&change.remove_connections[0]));
}

#[tokio::test]
async fn a_change_cut_short_anywhere_is_there_or_not() {
    let (store, line) = embedded().await;
    every_cut(&store, &line, 10).await;
}

#[tokio::test]
async fn a_staged_change_cut_short_anywhere_is_there_or_not() {
    let (store, line) = embedded().await;
    every_cut(&store, &line, 130).await;
}

#[tokio::test]
async fn a_purge_cut_short_anywhere_can_be_finished() {
    let (store, line) = embedded().await;
    let property = a_furnished_property(&store, 1).await;
    store.commit(&a_change(&property, 1, 30)).await.unwrap();
    let before = line.calls();
    store.purge(&property.id).await.unwrap();
    let calls = i64::try_from(line.calls() - before).unwrap();
    for cut_after in 0..calls {
        for (cut, n) in [(Cut::Before, 2), (Cut::After, 3)] {
            let n = u64::try_from(cut_after).unwrap() * 10 + n;
            let property = a_furnished_property(&store, n).await;
            store.commit(&a_change(&property, n, 30)).await.unwrap();
            line.cut_after(cut_after, cut);
            store.purge(&property.id).await.unwrap_err();
            line.mend();
            store.purge(&property.id).await.unwrap();
            let (left, _) =
                store.table.query(&Range::all(schema::property_partition(&property.id)), None).await.unwrap();
            assert!(left.is_empty(), "cut {cut:?} call {cut_after}: nothing is left");
            let plan = store.fetch_states(&[connection_id(n * 1000 + 2)]).await.unwrap();
            assert!(plan.is_empty(), "cut {cut:?} call {cut_after}: nobody reads it any more");
            assert_eq!(store.locate(property.id.as_str()).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn one_who_was_slow_to_roll_forward_undoes_nothing_of_what_came_later() {
    let (store, line) = embedded().await;
    // Heads that were moved by one who died before everything was done in place: found by dying later each time, until
    // nobody dies any more.
    let mut found = 0;
    for n in 1.. {
        let property = a_furnished_property(&store, n).await;
        let change = a_change(&property, n, 150);
        line.cut_after(i64::try_from(n).unwrap(), Cut::Before);
        let whole = store.commit(&change).await.is_ok() && !line.is_cut();
        line.mend();
        let staged = store.table.get(&schema::property_head(&property.id)).await.unwrap().unwrap();
        if staged.contains_key(schema::attr::STAGED) {
            found += 1;
            let later = PropertyCommit {
                remove_blocks: vec![block_id(n * 1000 + 10)],
                put_blocks: vec![calmesh_calendar::Block {
                    summary: "Later".to_owned(),
                    ..a_block(n * 1000 + 13, n * 1000 + 11)
                }],
                ..nothing_but(&next(&change.property))
            };
            store.commit(&later).await.unwrap();
            let expected = store.load(&property.id).await.unwrap().unwrap();
            assert!(expected.blocks.iter().all(|block| block.id != block_id(n * 1000 + 10)));
            store.roll_forward(&property.id, &staged).await.unwrap();
            assert_eq!(store.load(&property.id).await.unwrap(), Some(expected), "cut after {n} calls");
        }
        if whole {
            break;
        }
    }
    assert!(found > 0, "no head was ever left staged");
}

#[tokio::test]
async fn of_many_who_change_at_once_one_wins() {
    let (store, _) = embedded().await;
    let property = a_furnished_property(&store, 1).await;
    let attempts = (0..8u64).map(|nth| {
        let store = store.clone();
        let renamed = Property { name: format!("Casa {nth}"), ..next(&property) };
        // Every other one is too large for a transaction.
        let blocks = if nth % 2 == 0 { 3 } else { 130 };
        let put_blocks = (0..blocks).map(|block| a_block(1000 + block, 10_000 * (nth + 1) + block)).collect();
        let commit = PropertyCommit { put_blocks, ..nothing_but(&renamed) };
        tokio::spawn(async move { (commit.clone(), store.commit(&commit).await) })
    });
    let answers: Vec<_> = futures::future::join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|(_, answer)| matches!(answer, Err(StoreError::Stale))));
    let state = store.load(&property.id).await.unwrap().unwrap();
    assert_eq!(state.property.name, won[0].0.property.name);
    assert_eq!(state.blocks.len(), 8 + won[0].0.put_blocks.len());
    assert!(stages(&store, &property).await.is_empty());
}

#[tokio::test]
async fn a_reader_never_sees_half_of_a_change() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let id = property.id.clone();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut property = property;
            for round in 0..12u32 {
                property = next(&property);
                let blocks = if round % 3 == 2 { 160 } else { 60 };
                let block =
                    |n| calmesh_calendar::Block { sequence: round, changed_at: at(i64::from(round)), ..a_block(n, n) };
                let commit = PropertyCommit {
                    put_blocks: (0..blocks).map(block).collect(),
                    remove_blocks: (blocks..160).map(block_id).collect(),
                    remove_claims: (0..u64::from(round)).map(connection_id).collect(),
                    put_claims: some_claims(u64::from(round)).connections,
                    ..nothing_but(&property)
                };
                store.commit(&commit).await.unwrap();
            }
        })
    };
    let mut seen = 0;
    while seen < 13 {
        let state = store.load(&id).await.unwrap().unwrap();
        if state.property.revision > 1 {
            let round = state.property.revision - 2;
            let expected = if round % 3 == 2 { 160 } else { 60 };
            assert_eq!(state.blocks.len(), expected, "all blocks of revision {}", round + 2);
            assert!(state.blocks.iter().all(|block| u64::from(block.sequence) == round));
            assert_eq!(state.claims, some_claims(round), "what is claimed goes with them");
        }
        seen = state.property.revision;
    }
    writer.await.unwrap();
}
