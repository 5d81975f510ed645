//! Properties, what is decided with them, and what happened to them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use calmesh_calendar::{Block, Claim, Claims, Conflict, ConnectionId, HoldEnd, HoldId, Origin, PropertyId, Runs};
use jiff::SignedDuration;

use super::{
    a_block, a_conflict, a_connection, a_hold, a_plan, a_property, account_id, all, an_account, an_account_stands, at,
    block_id, connection_id, link_token, nothing_but, property_id, some_claims,
};
use crate::{
    model::{
        Account, Activity, ActivityKind, ClosedHold, ConflictRecord, Connection, Dirty, ExportSide, ImportSide,
        LinkOwner, Names, Property, PropertyState, Replaced, RetiringLink, RetiringServes, SecretHash, Snapshot,
        Validators,
    },
    ports::{
        AccountStore, ActivityStore, FeedReader, FetchStore, LinkStore, Location, PageRequest, ParkedBody, PlanChange,
        PropertyCommit, PropertyStore, SmallBody, StoreError,
    },
};

/// The same property at the next revision.
fn next(property: &Property) -> Property {
    Property { revision: property.revision + 1, ..property.clone() }
}

fn held(mut block: Block, n: u64) -> Block {
    if let Origin::Feed(feed) = &mut block.origin {
        feed.hold = Some(a_hold(n));
    }
    block
}

/// What `PropertyStore` promises; `fetches`, `links` and `accounts` are the same store.
pub async fn property_store(
    store: &dyn PropertyStore,
    fetches: &dyn FetchStore,
    links: &dyn LinkStore,
    accounts: &dyn AccountStore,
) {
    ownership(store, accounts).await;
    for n in [1, 7] {
        an_account_stands(accounts, n).await;
    }
    let property = a_property(1, 1);
    let id = property.id.clone();
    let here = Location { account: property.account.clone(), property: id.clone() };
    assert_eq!(store.load(&id).await.unwrap(), None, "an empty store has no property");
    let early = nothing_but(&next(&property));
    assert!(matches!(store.commit(&early).await, Err(StoreError::Stale)), "nothing follows what is not there");
    store.commit(&nothing_but(&property)).await.unwrap();
    assert_eq!(store.property(&id).await.unwrap(), Some(property.clone()), "a property is kept as it was");
    assert!(matches!(store.commit(&nothing_but(&property)).await, Err(StoreError::Exists)), "it is created once");

    // Everything at once.
    let owner = LinkOwner::Connection { account: account_id(1), property: id.clone(), connection: connection_id(1) };
    let retiring = RetiringLink {
        token: link_token(90),
        serves: RetiringServes::Empty { provider: "booking_com".into() },
        until: at(700),
    };
    let second = PropertyCommit {
        put_connections: vec![a_connection(&property, 2), a_connection(&property, 1)],
        put_blocks: vec![a_block(1, 5), held(a_block(1, 4), 1)],
        put_retiring: vec![retiring.clone()],
        plans: vec![
            PlanChange::Put { plan: a_plan(&property, 1), fresh: true, taken: None },
            PlanChange::Put { plan: a_plan(&property, 2), fresh: true, taken: None },
        ],
        owners: vec![(link_token(1), Some(owner.clone())), (link_token(90), Some(owner.clone()))],
        put_bodies: vec![(connection_id(1), a_body("one")), (connection_id(2), a_body("two"))],
        put_claims: some_claims(1).connections,
        put_conflicts: vec![a_conflict(4), a_conflict(5)],
        conflict_records: vec![record(&property, 4, None), record(&property, 5, None)],
        ..nothing_but(&Property { wake_at: Some(at(700)), ..next(&property) })
    };
    store.commit(&second).await.unwrap();
    let mut blocks = vec![held(a_block(1, 4), 1), a_block(1, 5)];
    blocks.sort_by(|a, b| a.id.cmp(&b.id));
    let mut conflicts = vec![a_conflict(4), a_conflict(5)];
    conflicts.sort_by(|a, b| a.id.cmp(&b.id));
    let expected = PropertyState {
        property: second.property.clone(),
        connections: vec![a_connection(&property, 1), a_connection(&property, 2)],
        blocks,
        retiring: vec![retiring.clone()],
        claims: some_claims(1),
        conflicts,
    };
    assert_eq!(store.load(&id).await.unwrap(), Some(expected.clone()), "a commit is seen whole and in order");
    let in_it = id.within([7; 16]);
    let things = [ConnectionId::from_random(in_it).to_string(), HoldId::from_random(in_it).to_string(), id.to_string()];
    for thing in &things {
        assert_eq!(store.locate(thing).await.unwrap(), Some(here.clone()), "what begins as a property's id is in it");
    }
    for other in [block_id(4).as_str(), "blk_", "nothing"] {
        assert_eq!(store.locate(other).await.unwrap(), None, "any other is nowhere");
    }
    let twin = Property { id: PropertyId::from_random(in_it), ..a_property(7, 1) };
    let taken = store.commit(&nothing_but(&twin)).await;
    assert!(matches!(taken, Err(StoreError::Exists)), "no second property begins so");
    assert_eq!(store.load(&twin.id).await.unwrap(), None);
    assert_eq!(store.locate(&things[0]).await.unwrap(), Some(here.clone()));
    assert_eq!(links.owner(&link_token(1).hash()).await.unwrap(), Some(owner.clone()), "a link's token is known");
    let states = fetches.fetch_states(&[connection_id(1), connection_id(2), connection_id(3)]).await.unwrap();
    assert_eq!(states.len(), 2, "plans come with the commit");
    assert_eq!(kept_body(store, 1, "one").await, Some(a_body("one").parked), "and so do bodies");
    assert_eq!(kept_body(store, 2, "two").await, Some(a_body("two").parked));
    assert_eq!(kept_body(store, 2, "one").await, None, "each of its own connection");

    // Somebody else was first.
    let stale = PropertyCommit {
        put_blocks: vec![a_block(1, 6)],
        remove_claims: vec![connection_id(1)],
        remove_conflicts: vec![a_conflict(4).id],
        conflict_records: vec![record(&property, 4, Some(9))],
        remove_connections: vec![connection_id(1)],
        put_bodies: vec![(connection_id(2), a_body("three"))],
        superseded_bodies: vec![(connection_id(1), a_body("one").snapshot)],
        plans: vec![PlanChange::Remove(connection_id(1))],
        owners: vec![(link_token(1), None)],
        ..nothing_but(&second.property)
    };
    assert!(matches!(store.commit(&stale).await, Err(StoreError::Stale)), "a commit on what was is stale");
    assert_eq!(store.load(&id).await.unwrap(), Some(expected), "and nothing of it was written");
    assert!(links.owner(&link_token(1).hash()).await.unwrap().is_some(), "not even an owner was removed");
    assert_eq!(kept_body(store, 2, "three").await, None, "nor a body put");
    assert_eq!(fetches.fetch_states(&[connection_id(1)]).await.unwrap().len(), 1, "nor a plan");

    settling(store, &second.property).await;

    // Removals.
    let closed = |n: u64, seconds: i64| ClosedHold {
        hold: a_hold(n),
        end: HoldEnd::Confirmed,
        closed_at: at(seconds),
        property: id.clone(),
        block: block_id(4),
        connection: connection_id(1),
        nights: None,
    };
    let resolved = Conflict { gone: [block_id(6)].into(), settled: true, ..a_conflict(5) };
    let third = PropertyCommit {
        remove_connections: vec![connection_id(2)],
        superseded_bodies: vec![
            (connection_id(2), a_body("two").snapshot),
            (connection_id(1), a_body("nine").snapshot),
        ],
        remove_blocks: vec![block_id(4), block_id(400)],
        remove_retiring: vec![link_token(90)],
        plans: vec![PlanChange::Remove(connection_id(2))],
        owners: vec![(link_token(90), None)],
        closed_holds: vec![closed(1, 50), closed(2, 60), closed(3, 55)],
        remove_claims: vec![connection_id(1), connection_id(2), connection_id(404)],
        put_conflicts: vec![resolved.clone()],
        remove_conflicts: vec![a_conflict(4).id],
        conflict_records: vec![record(&property, 4, Some(50)), record_of(&property, &resolved, None)],
        ..nothing_but(&next(&second.property))
    };
    store.commit(&third).await.unwrap();
    let state = store.load(&id).await.unwrap().unwrap();
    assert_eq!(state.connections.len(), 1, "a removed connection is gone");
    assert_eq!(state.blocks, vec![a_block(1, 5)], "a removed block is gone");
    assert!(state.retiring.is_empty(), "a retired link is gone");
    assert_eq!(kept_body(store, 2, "two").await, Some(a_body("two").parked), "a superseded body is kept for a while");
    assert_eq!(kept_body(store, 1, "nine").await, None, "unless there was none");
    store.forget_bodies(&connection_id(2)).await.unwrap();
    store.forget_bodies(&connection_id(2)).await.unwrap();
    assert_eq!(kept_body(store, 2, "two").await, None, "or is forgotten");
    assert_eq!(kept_body(store, 1, "one").await, Some(a_body("one").parked), "which no other is");
    assert_eq!(links.owner(&link_token(90).hash()).await.unwrap(), None, "and nobody's");
    assert_eq!(fetches.fetch_states(&[connection_id(2)]).await.unwrap().len(), 0, "nobody reads it any more");
    let holds = all(2, async |page| store.closed_holds(&id, page).await).await;
    assert_eq!(holds, vec![closed(2, 60), closed(3, 55), closed(1, 50)], "ended holds are listed, newest first");

    assert_eq!(state.claims, Claims::default(), "nothing is in question any more");
    assert_eq!(state.conflicts, vec![resolved.clone()], "a conflict that closed stands no more");
    let of_this = all(1, async |page| store.conflict_records(&account_id(1), Some(&id), page).await).await;
    let expected = vec![record_of(&property, &resolved, None), record(&property, 4, Some(50))];
    assert_eq!(of_this, expected, "conflicts are listed, the newest first, also when they closed");
    conflicts_of_an_account(store, &expected).await;

    lists_of_feeds(store).await;
    listing(store).await;
    past(store).await;
    shares_of_claims(store).await;

    store.purge(&id).await.unwrap();
    store.purge(&id).await.unwrap();
    assert_eq!(store.load(&id).await.unwrap(), None, "a purged property is gone");
    for thing in &things {
        assert_eq!(store.locate(thing).await.unwrap(), None, "with all that belonged to it");
    }
    assert_eq!(links.owner(&link_token(1).hash()).await.unwrap(), None, "its links are nobody's");
    assert_eq!(kept_body(store, 1, "one").await, None, "nothing that was read of it is kept");
    assert!(fetches.fetch_states(&[connection_id(1)]).await.unwrap().is_empty(), "nothing of it is read");
    let holds = store.closed_holds(&id, PageRequest { limit: 9, after: None }).await.unwrap();
    assert!(holds.items.is_empty(), "its ended holds are gone");
    let records = all(9, async |page| store.conflict_records(&account_id(1), Some(&id), page).await).await;
    assert!(records.is_empty(), "and its conflicts");
    store.commit(&nothing_but(&property)).await.unwrap();
    assert_eq!(store.load(&id).await.unwrap().unwrap().blocks, Vec::new(), "what comes after begins with nothing");
    store.purge(&id).await.unwrap();
}

fn record(property: &Property, n: u64, closed_at: Option<i64>) -> ConflictRecord {
    record_of(property, &a_conflict(n), closed_at)
}

fn record_of(property: &Property, conflict: &Conflict, closed_at: Option<i64>) -> ConflictRecord {
    ConflictRecord { property: property.id.clone(), conflict: conflict.clone(), closed_at: closed_at.map(at) }
}

/// Who reads one feed is found within its account, and only while that reads it.
async fn lists_of_feeds(store: &dyn PropertyStore) {
    let (one, other, stranger) = (a_property(1, 60), a_property(1, 61), a_property(7, 62));
    let mark = |n: u64| SecretHash::of(&format!("feed {n}"));
    for (property, n) in [(&one, 60), (&other, 61), (&stranger, 62)] {
        let put_feeds = vec![(mark(1), connection_id(n)), (mark(2), connection_id(n + 10))];
        store.commit(&PropertyCommit { put_feeds, ..nothing_but(property) }).await.unwrap();
    }
    let reader = |n: u64, property: &Property| FeedReader {
        mark: mark(1),
        connection: connection_id(n),
        property: property.id.clone(),
    };
    let found = async |marks: &[u64], most| {
        let marks = marks.iter().map(|n| mark(*n)).collect();
        let mut found = store.feed_readers(&account_id(1), &marks, most).await.unwrap();
        found.sort();
        found
    };
    let mut both = vec![reader(60, &one), reader(61, &other)];
    both.sort();
    assert_eq!(found(&[1], 9).await, both, "those of one account and one feed");
    assert_eq!(found(&[1, 2, 3], 9).await.len(), 4, "several feeds at once");
    assert_eq!(found(&[1, 2], 1).await.len(), 2, "no more of each than was asked for");
    assert_eq!(found(&[], 9).await, [], "no feed, no reader");
    let remove_feeds = vec![(mark(1), connection_id(60)), (mark(9), connection_id(60))];
    store.commit(&PropertyCommit { remove_feeds, ..nothing_but(&next(&one)) }).await.unwrap();
    assert_eq!(found(&[1], 9).await, [reader(61, &other)], "who reads it no more is gone");
    let stale =
        PropertyCommit { remove_feeds: vec![(mark(1), connection_id(61))], ..nothing_but(&next(&next(&other))) };
    assert!(matches!(store.commit(&stale).await, Err(StoreError::Stale)));
    assert_eq!(found(&[1], 9).await.len(), 1, "with the commit or not at all");
    let connection = a_connection(&other, 61);
    let import = connection.import.clone().map(|import| ImportSide { listed: Some(mark(1)), ..import });
    let put_connections = vec![Connection { import, ..connection }];
    store.commit(&PropertyCommit { put_connections, ..nothing_but(&next(&other)) }).await.unwrap();
    store.purge(&other.id).await.unwrap();
    assert_eq!(found(&[1], 9).await, [], "a purged property reads nothing");
    for property in [&one, &stranger] {
        store.purge(&property.id).await.unwrap();
    }
}

/// Lists over several properties keep those of each together.
async fn conflicts_of_an_account(store: &dyn PropertyStore, of_first: &[ConflictRecord]) {
    let other = a_property(1, 30);
    let records = vec![record(&other, 30, None), record(&other, 31, Some(40))];
    let put_conflicts = vec![a_conflict(30)];
    store
        .commit(&PropertyCommit { put_conflicts, conflict_records: records.clone(), ..nothing_but(&other) })
        .await
        .unwrap();
    for limit in [1, 3, 9] {
        let mut found = all(limit, async |page| store.conflict_records(&account_id(1), None, page).await).await;
        assert!(found.is_sorted_by_key(|record| std::cmp::Reverse(record.property.clone())), "by property");
        found.retain(|record| record.property == of_first[0].property);
        assert_eq!(found, of_first, "the newest first in each");
    }
    let found = all(9, async |page| store.conflict_records(&account_id(1), Some(&other.id), page).await).await;
    assert_eq!(found.len(), 2, "each property has its own");
    let nobody = all(9, async |page| store.conflict_records(&account_id(8), None, page).await).await;
    assert!(nobody.is_empty(), "another account has none of them");
    store.purge(&other.id).await.unwrap();
}

/// A property is made only for an account that stands.
async fn ownership(store: &dyn PropertyStore, accounts: &dyn AccountStore) {
    let property = a_property(50, 50);
    // One that fits into a transaction of any size, and one that does not.
    let blocks = (0..150).map(|n| a_block(50, 5000 + n)).collect();
    let large = PropertyCommit { put_blocks: blocks, ..nothing_but(&a_property(50, 51)) };
    let refused = async |of: &str| {
        for commit in [&nothing_but(&property), &large] {
            assert!(matches!(store.commit(commit).await, Err(StoreError::Stale)), "no property {of}");
            assert_eq!(store.load(&commit.property.id).await.unwrap(), None, "and nothing of it is kept");
        }
    };
    refused("of nobody").await;
    let account = an_account(50);
    accounts.create_account(&account, None).await.unwrap();
    store.commit(&large).await.unwrap();
    assert!(matches!(store.commit(&large).await, Err(StoreError::Exists)), "a large one is created once too");
    store.purge(&large.property.id).await.unwrap();
    accounts.update_account(&Account { deleted_at: Some(at(5)), version: 2, ..account }).await.unwrap();
    refused("of a deleted account").await;
    accounts.purge_account(&account_id(50)).await.unwrap();
    refused("of an account that is gone").await;
}

fn a_body(text: &'static str) -> SmallBody {
    let parked = ParkedBody { body: Bytes::from_static(text.as_bytes()), validators: Validators::default() };
    SmallBody { snapshot: Snapshot(hex::encode(text)), parked }
}

async fn kept_body(store: &dyn PropertyStore, connection: u64, text: &'static str) -> Option<ParkedBody> {
    store.kept_body(&connection_id(connection), &a_body(text).snapshot).await.unwrap()
}

async fn settling(store: &dyn PropertyStore, property: &Property) {
    let id = &property.id;
    let stale = store.settle(id, property.revision - 1, None, &[]).await;
    assert!(matches!(stale, Err(StoreError::Stale)), "what was rendered of an older revision settles nothing");
    assert!(store.property(id).await.unwrap().unwrap().dirty.is_some(), "the mark stays");
    let unknown = store.settle(&property_id(404), 1, None, &[]).await;
    assert!(matches!(unknown, Err(StoreError::Stale)), "nothing is settled where nothing is");

    let changed = [(connection_id(1), at(20)), (connection_id(404), at(20))];
    store.settle(id, property.revision, Some(at(900)), &changed).await.unwrap();
    let state = store.load(id).await.unwrap().unwrap();
    let expected = Property { dirty: None, wake_at: Some(at(900)), ..property.clone() };
    assert_eq!(state.property, expected, "the mark is gone, the revision stays");
    assert_eq!(state.connections.len(), 2, "a connection that is not there does not come by being settled");
    let exported = |state: &PropertyState, n: usize| {
        state.connections[n].export.as_ref().and_then(|export| export.last_changed_at)
    };
    assert_eq!(exported(&state, 0), Some(at(20)), "when an export changed is kept");
    assert_eq!(exported(&state, 1), None, "the other one did not change");
    store.settle(id, property.revision, None, &[(connection_id(1), at(15))]).await.unwrap();
    let state = store.load(id).await.unwrap().unwrap();
    assert_eq!(state.property.wake_at, None, "settling twice is fine");
    assert_eq!(exported(&state, 0), Some(at(20)), "when an export last changed never goes back");
    settling_beside_commits(store).await;
}

/// What is settled between the load and the commit of somebody else is kept while the link stays, and no longer.
async fn settling_beside_commits(store: &dyn PropertyStore) {
    let property = a_property(1, 90);
    let id = &property.id;
    let (one, other) = (a_connection(&property, 91), a_connection(&property, 92));
    let put_connections = vec![one.clone(), other.clone()];
    store.commit(&PropertyCommit { put_connections, ..nothing_but(&property) }).await.unwrap();
    let base = store.load(id).await.unwrap().unwrap();
    let changed = [(one.id.clone(), at(20)), (other.id.clone(), at(30))];
    store.settle(id, 1, None, &changed).await.unwrap();
    let relinked = Connection {
        export: other.export.clone().map(|export| ExportSide { token: link_token(93), ..export }),
        ..other.clone()
    };
    let renamed = Connection { name: "Other".to_owned(), ..one.clone() };
    let second = PropertyCommit {
        base: Some(Arc::new(base)),
        put_connections: vec![renamed.clone(), relinked],
        ..nothing_but(&next(&property))
    };
    store.commit(&second).await.unwrap();
    let exported = async |of: &ConnectionId| {
        let state = store.load(id).await.unwrap().unwrap();
        let connection = state.connections.into_iter().find(|known| known.id == *of)?;
        connection.export?.last_changed_at
    };
    assert_eq!(exported(&one.id).await, Some(at(20)), "what was settled meanwhile is kept");
    assert_eq!(exported(&other.id).await, None, "of another link nothing is known");
    store.settle(id, 2, None, &[(other.id.clone(), at(10))]).await.unwrap();
    assert_eq!(exported(&other.id).await, Some(at(10)), "another link has a time of its own, earlier than the other's");
    let gone = PropertyCommit { remove_connections: vec![one.id.clone()], ..nothing_but(&next(&second.property)) };
    store.commit(&gone).await.unwrap();
    store
        .commit(&PropertyCommit { put_connections: vec![renamed], ..nothing_but(&next(&gone.property)) })
        .await
        .unwrap();
    assert_eq!(exported(&one.id).await, None, "what was removed comes back as new");
    store.purge(id).await.unwrap();
}

async fn listing(store: &dyn PropertyStore) {
    for n in 10..22 {
        store.commit(&nothing_but(&a_property(7, n))).await.unwrap();
    }
    let gone = Property { deleted_at: Some(at(99)), ..next(&a_property(7, 15)) };
    store.commit(&nothing_but(&gone)).await.unwrap();
    let expected: Vec<_> = (10..22).filter(|n| *n != 15).map(property_id).collect();
    for limit in [1, 3, 11, 50] {
        let found = all(limit, async |page| store.properties(&account_id(7), page).await).await;
        let ids: Vec<_> = found.into_iter().map(|property| property.id).collect();
        assert_eq!(ids, expected, "an account's properties in order of creation, without deleted ones");
    }
    assert_eq!(store.property(&property_id(15)).await.unwrap(), Some(gone), "a deleted property is still there");
    assert_eq!(store.count_properties(&account_id(7), 50).await.unwrap(), 11, "they can be counted");
    assert_eq!(store.count_properties(&account_id(7), 5).await.unwrap(), 5, "no further than was asked");
    assert_eq!(store.count_properties(&account_id(8), 5).await.unwrap(), 0, "each account for itself");
    let nobody = store.properties(&account_id(8), PageRequest { limit: 5, after: None }).await.unwrap();
    assert!(nobody.items.is_empty() && nobody.next.is_none(), "another account has none of them");
}

/// What a change replaced is kept beside it, also by a change that is too large to be written at once.
async fn past(store: &dyn PropertyStore) {
    let first = Property { revised_at: Some(at(1)), ..a_property(7, 70) };
    store.commit(&nothing_but(&first)).await.unwrap();
    let id = &first.id.clone();
    assert!(store.replaced_after(id, at(0)).await.unwrap().is_empty(), "a new property replaced nothing");
    let mut made = Vec::new();
    let mut property = first;
    for (seconds, blocks) in [(10, 1), (20, 600), (20, 0), (30, 2)] {
        let before = Property { dirty: None, ..property.clone() };
        property = Property { revised_at: Some(at(seconds)), ..next(&property) };
        let replaced = Replaced {
            at: at(seconds),
            revision: property.revision,
            property: before.clone(),
            connections: vec![a_connection(&before, 71)],
            blocks: (1000..1000 + blocks).map(|n| a_block(71, n)).collect(),
            claims: if blocks == 0 { BTreeMap::new() } else { some_claims(71).connections },
            new_connections: vec![connection_id(72)],
            new_blocks: (2000..2000 + blocks).map(block_id).collect(),
            new_claims: vec![connection_id(73)],
        };
        let put_blocks = (2000..2000 + blocks).map(|n| a_block(71, n)).collect();
        let commit = PropertyCommit { replaced: Some(replaced.clone()), put_blocks, ..nothing_but(&property) };
        store.commit(&commit).await.unwrap();
        made.push(replaced);
    }
    for after in [0, 9, 10, 19, 20, 29, 30] {
        let mut found = store.replaced_after(id, at(after)).await.unwrap();
        found.sort_by_key(|change| change.revision);
        let expected: Vec<_> = made.iter().filter(|change| change.at > at(after)).cloned().collect();
        assert!(found == expected, "what was replaced after {after} s: {} changes", found.len());
    }
    assert_eq!(store.load(id).await.unwrap().unwrap().property, property, "when a revision was made is kept");
    store.purge(id).await.unwrap();
    assert!(store.replaced_after(id, at(0)).await.unwrap().is_empty(), "what is purged has no past");
}

/// What each connection claims is kept for itself, in a change of any size, and to the nanosecond: what came back
/// rounded would differ from what is weighed next, and be written again and again.
async fn shares_of_claims(store: &dyn PropertyStore) {
    let finely = |claims: Claims| {
        let shares = claims.connections.into_iter().map(|(connection, mut mine)| {
            let odd = |claim: &Claim| Claim { since: claim.since + SignedDuration::from_nanos(123_456_789), ..*claim };
            mine.claims = Runs::of(mine.claims.iter().map(|(nights, claim)| (*nights, odd(claim))));
            (connection, mine)
        });
        shares.collect::<BTreeMap<_, _>>()
    };
    let mut property = a_property(7, 80);
    let id = &property.id.clone();
    // Of connections 81 and 82, then 83 and 84.
    let (mut expected, others) = (finely(some_claims(81)), some_claims(83).connections);
    let first = PropertyCommit { put_claims: expected.clone(), ..nothing_but(&property) };
    store.commit(&first).await.unwrap();
    assert_eq!(store.load(id).await.unwrap().unwrap().claims.connections, expected, "claims are kept as they were");
    for blocks in [0, 600] {
        property = next(&property);
        let put_blocks = (3000..3000 + blocks).map(|n| a_block(81, n)).collect();
        let put_claims = others.clone();
        store.commit(&PropertyCommit { put_blocks, put_claims, ..nothing_but(&property) }).await.unwrap();
        expected.extend(others.clone());
        let known = store.load(id).await.unwrap().unwrap().claims.connections;
        assert_eq!(known, expected, "what others claim stays as it was, beside {blocks} blocks");

        // One of them has other things to say, and another one nothing.
        property = next(&property);
        let changed = [(connection_id(83), expected[&connection_id(84)].clone())];
        let commit = PropertyCommit {
            remove_blocks: (3000..3000 + blocks).map(block_id).collect(),
            put_claims: changed.clone().into(),
            remove_claims: vec![connection_id(84), connection_id(404)],
            ..nothing_but(&property)
        };
        store.commit(&commit).await.unwrap();
        expected.extend(changed);
        expected.remove(&connection_id(84));
        let known = store.load(id).await.unwrap().unwrap().claims.connections;
        assert_eq!(known, expected, "who has nothing to say is not there, after {blocks} blocks went");
    }
    store.purge(id).await.unwrap();
    property.revision = 1;
    store.commit(&nothing_but(&property)).await.unwrap();
    assert!(store.load(id).await.unwrap().unwrap().claims.is_empty(), "what was purged is not claimed any more");
    store.purge(id).await.unwrap();
}

/// What `ActivityStore` promises; `properties` and `accounts` are the same store.
pub async fn activity_store(store: &dyn ActivityStore, properties: &dyn PropertyStore, accounts: &dyn AccountStore) {
    an_account_stands(accounts, 1).await;
    let property = a_property(1, 1);
    let entry = |seconds: i64, kind: ActivityKind| Activity {
        property: property.id.clone(),
        at: at(seconds),
        connection: None,
        kind,
        names: Names { property: Some(format!("Casa {seconds}")), ..Names::default() },
    };
    let added = |n: u32| ActivityKind::FeedChanged { added: n, changed: 0, removed: 0, held: 0 };
    let commit = PropertyCommit {
        activity: vec![entry(10, ActivityKind::PropertyCreated), entry(10, added(1))],
        ..nothing_but(&property)
    };
    properties.commit(&commit).await.unwrap();
    store.append_activity(&[entry(30, ActivityKind::FeedRecovered), entry(20, added(2))]).await.unwrap();
    let dirty = Some(Dirty { since: at(40), attempts: 0, announce_at: at(160) });
    let later =
        PropertyCommit { activity: vec![entry(40, added(3))], ..nothing_but(&Property { dirty, ..next(&property) }) };
    properties.commit(&later).await.unwrap();
    let expected = vec![
        entry(40, added(3)),
        entry(30, ActivityKind::FeedRecovered),
        entry(20, added(2)),
        entry(10, added(1)),
        entry(10, ActivityKind::PropertyCreated),
    ];
    for limit in [1, 2, 5, 50] {
        let found = all(limit, async |page| store.activity(&property.id, page).await).await;
        assert_eq!(found, expected, "what happened, newest first");
    }
    properties.purge(&property.id).await.unwrap();
    let found = all(9, async |page| store.activity(&property.id, page).await).await;
    assert!(found.is_empty(), "what happened to a purged property is forgotten");
}
