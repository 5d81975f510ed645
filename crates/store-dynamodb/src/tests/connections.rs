//! Where what is known of a connection lies: together while it is little, apart where it is much.

use std::{collections::BTreeMap, sync::Arc};

use calmesh_app::{
    contract::{
        a_block, a_connection, a_property, an_account_stands, at, connection_id, nights, nothing_but, property_id,
        some_claims,
    },
    model::{Connection, Property, PropertyState},
    ports::{PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{Block, Claim, ClaimRule, Claims, ConnectionClaims, Runs, Standing};

use super::embedded::embedded;
use crate::{
    DynamoStore, connections,
    doc::{self, connection::OwnedParts},
    item,
    journal::Step,
    schema::{self, attr},
    table::{Item, Range, Write},
};

const ITEM: usize = 400_000;

/// Claims of so many runs: 558 are the most that lie in the connection's item.
fn claims_of(runs: i64) -> ConnectionClaims {
    let claim = Claim { standing: Standing::Possible, rule: ClaimRule::MayBeOurs, since: at(1) };
    // With a night between each and the next: what follows is one run.
    let claims = Runs::of((0..runs).map(|nth| (nights(2 * nth, 2 * nth + 1), claim)));
    ConnectionClaims { claims, ..ConnectionClaims::default() }
}

fn stays(range: std::ops::Range<u64>) -> Vec<Block> {
    range.map(|n| a_block(1, n)).collect()
}

async fn items(store: &DynamoStore, property: &Property) -> BTreeMap<String, Item> {
    let (items, _) = store.table.query(&Range::all(schema::property_partition(&property.id)), None).await.unwrap();
    items.into_iter().map(|item| (item::get_text(&item, attr::SK).unwrap().to_owned(), item)).collect()
}

fn read(item: &Item) -> OwnedParts {
    let bytes = item::get_bytes(item, attr::DOC).unwrap();
    doc::connection::decode(bytes, &property_id(1), &connection_id(1)).unwrap()
}

/// What lies in a property's partition beside its head: kinds of items and the attributes of the connection's.
fn layout(items: &BTreeMap<String, Item>) -> String {
    let mut told = Vec::new();
    let count = |prefix: &str| items.keys().filter(|sk| sk.starts_with(prefix)).count();
    for (sk, item) in items {
        if sk.starts_with(schema::CONNECTIONS) {
            let known = read(item);
            let parts = [
                ("settings", known.settings.is_some()),
                ("stays", known.stays.is_some()),
                ("claims", known.claims.is_some()),
            ];
            told.push(
                parts.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect::<Vec<_>>().join("+"),
            );
        }
    }
    for (prefix, word) in [(schema::BLOCKS, "pages"), (schema::CLAIMS, "heavy claims")] {
        if count(prefix) > 0 {
            told.push(format!("{} {word}", count(prefix)));
        }
    }
    told.join(", ")
}

struct Change {
    what: &'static str,
    change: fn(&mut PropertyCommit, &Connection),
    lies: &'static str,
}

fn changes() -> Vec<Change> {
    let one = |what, lies, change| Change { what, change, lies };
    vec![
        one("it is made", "settings", |commit, connection| commit.put_connections = vec![connection.clone()]),
        one("forty stays come", "settings+stays", |commit, _| commit.put_blocks = stays(0..40)),
        one("it claims", "settings+stays+claims", |commit, connection| {
            commit.put_claims = [(connection.id.clone(), claims_of(3))].into();
        }),
        one("many stays come", "settings+claims, 4 pages", |commit, _| commit.put_blocks = stays(40..500)),
        one("it claims much", "settings, 4 pages, 1 heavy claims", |commit, connection| {
            commit.put_claims = [(connection.id.clone(), claims_of(559))].into();
        }),
        one("most stays go", "settings+stays, 1 heavy claims", |commit, _| {
            commit.remove_blocks = stays(40..500).into_iter().map(|stay| stay.id).collect();
        }),
        one("it claims as much as there is room for", "settings+stays+claims", |commit, connection| {
            commit.put_claims = [(connection.id.clone(), claims_of(558))].into();
        }),
        one("all at once", "settings, 2 pages, 1 heavy claims", |commit, connection| {
            commit.put_connections = vec![Connection { name: "Other".to_owned(), ..connection.clone() }];
            commit.put_blocks = stays(40..300);
            commit.put_claims = [(connection.id.clone(), claims_of(700))].into();
        }),
        one("all at once back", "settings+stays", |commit, connection| {
            commit.put_connections = vec![connection.clone()];
            commit.remove_blocks = stays(40..300).into_iter().map(|stay| stay.id).collect();
            commit.remove_claims = vec![connection.id.clone()];
        }),
        one("its settings go, its stays not", "stays", |commit, connection| {
            commit.remove_connections = vec![connection.id.clone()];
        }),
        one("it claims without settings", "stays+claims", |commit, connection| {
            commit.put_claims = [(connection.id.clone(), claims_of(1))].into();
        }),
        one("its stays go", "claims", |commit, _| {
            commit.remove_blocks = stays(0..40).into_iter().map(|stay| stay.id).collect();
        }),
        one("it claims nothing", "", |commit, connection| commit.remove_claims = vec![connection.id.clone()]),
    ]
}

fn applied(mut state: PropertyState, commit: &PropertyCommit) -> PropertyState {
    state.property = commit.property.clone();
    let put: Vec<_> = commit.put_connections.iter().map(|connection| &connection.id).collect();
    state.connections.retain(|known| !put.contains(&&known.id) && !commit.remove_connections.contains(&known.id));
    state.connections.extend(commit.put_connections.clone());
    let put: Vec<_> = commit.put_blocks.iter().map(|block| &block.id).collect();
    state.blocks.retain(|known| !put.contains(&&known.id) && !commit.remove_blocks.contains(&known.id));
    state.blocks.extend(commit.put_blocks.clone());
    state.blocks.sort_by(|a, b| a.id.cmp(&b.id));
    state.claims.connections.extend(commit.put_claims.clone());
    state.claims.connections.retain(|known, _| !commit.remove_claims.contains(known));
    state
}

#[tokio::test]
async fn a_connection_is_one_item_until_its_stays_or_claims_need_room_of_their_own() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    for (n, with_base) in [(1, true), (2, false)] {
        let property = a_property(1, n);
        let connection = a_connection(&property, 1);
        let mut state = PropertyState::of(property.clone());
        store.commit(&nothing_but(&property)).await.unwrap();
        for Change { what, change, lies } in changes() {
            let next = Property { revision: state.property.revision + 1, ..state.property.clone() };
            let mut commit = nothing_but(&next);
            change(&mut commit, &connection);
            commit.base = with_base.then(|| Arc::new(state.clone()));
            store.commit(&commit).await.unwrap();
            state = applied(state, &commit);
            assert!(store.load(&property.id).await.unwrap().unwrap() == state, "{what}: it is read as it was written");
            let items = items(&store, &property).await;
            assert_eq!(layout(&items), lies, "{what}");
            for (sk, item) in items {
                assert!(Write::put(item).bytes() < ITEM / 4, "{what}: {sk}");
            }
        }
    }
}

/// The most that a connection's item can hold stays far below what DynamoDB takes.
#[test]
fn the_largest_item_of_a_connection_has_room_for_more() {
    let property = a_property(1, 1);
    let long = |n: u64| Block { summary: format!("{n} {}", "Ä\"\\".repeat(60)), ..a_block(1, n) };
    let mut blocks: Vec<Block> = Vec::new();
    let mut largest = 0;
    let claims = some_claims(1).connections.into_values().next().unwrap();
    for runs in [1, 558] {
        let claims = ConnectionClaims { claims: claims_of(runs).claims, ..claims.clone() };
        for n in 0..200 {
            blocks.push(long(n));
            let commit = PropertyCommit {
                put_connections: vec![a_connection(&property, 1)],
                put_blocks: blocks.clone(),
                put_claims: [(connection_id(1), claims.clone())].into(),
                ..nothing_but(&property)
            };
            let steps = connections::steps(&commit, &PropertyState::of(property.clone())).unwrap();
            let item = steps.iter().find(|step| step.place().1.starts_with(schema::CONNECTIONS)).unwrap();
            let (bytes, within) = (item.bytes(), read(&put(item)).stays.is_some());
            largest = largest.max(if within { bytes } else { 0 });
        }
        blocks.clear();
    }
    assert!((8_000..60_000).contains(&largest), "{largest}");
}

fn put(step: &Step) -> Item {
    match step.to_write() {
        Write::Put { item, .. } => item,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_of_settings_stays_or_claims_alone_is_one_write_that_keeps_the_others() {
    let property = a_property(1, 1);
    let connection = a_connection(&property, 1);
    let state = |connection, stays, claims| PropertyState {
        connections: vec![connection],
        blocks: stays,
        claims: Claims { connections: [(connection_id(1), claims)].into() },
        ..PropertyState::of(property.clone())
    };
    let mut all = stays(0..40);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let before = state(connection.clone(), all.clone(), claims_of(3));
    let renamed = Connection { name: "Other".to_owned(), ..connection.clone() };
    let gone = stays(3..4).remove(0).id;
    let left: Vec<Block> = all.iter().filter(|stay| stay.id != gone).cloned().collect();
    let commits = [
        (
            state(renamed.clone(), all.clone(), claims_of(3)),
            PropertyCommit { put_connections: vec![renamed], ..nothing_but(&property) },
        ),
        (
            state(connection.clone(), left, claims_of(3)),
            PropertyCommit { remove_blocks: vec![gone], ..nothing_but(&property) },
        ),
        (
            state(connection.clone(), all, claims_of(9)),
            PropertyCommit { put_claims: [(connection_id(1), claims_of(9))].into(), ..nothing_but(&property) },
        ),
    ];
    for (expected, commit) in commits {
        let steps = connections::steps(&commit, &before).unwrap();
        let [step] = steps.as_slice() else { panic!("{steps:?}") };
        let known = read(&put(step));
        assert_eq!(known.settings.as_ref(), expected.connections.first());
        assert_eq!(known.stays, Some(expected.blocks));
        assert_eq!(known.claims.as_ref(), expected.claims.connections.get(&connection_id(1)));
    }
    let same = PropertyCommit { put_connections: vec![connection], put_blocks: stays(3..4), ..nothing_but(&property) };
    assert_eq!(connections::steps(&same, &before).unwrap(), [], "what is as it was is not written");
}

#[tokio::test]
async fn what_lies_twice_or_nowhere_is_not_read() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let page = |of: u64| {
        let mut item = schema::blocks(&a_property(1, 1).id, Some(&connection_id(1)), 0).item();
        item.insert(attr::DOC.to_owned(), item::bytes(doc::block::encode(&property_id(1), &[&a_block(1, 900)])));
        item.insert(attr::OF.to_owned(), item::number(of));
        item
    };
    let heavy = |property: &Property| {
        let mut item = schema::claims(&property.id, &connection_id(1)).item();
        item.insert(attr::DOC.to_owned(), item::bytes(doc::claims::encode(&property_id(1), &claims_of(1))));
        item
    };
    let bare = |property: &Property| schema::connection(&property.id, &connection_id(2)).item();
    let property = a_property(1, 1);
    let whole = PropertyCommit {
        put_connections: vec![a_connection(&property, 1)],
        put_blocks: stays(0..3),
        put_claims: [(connection_id(1), claims_of(3))].into(),
        ..nothing_but(&property)
    };
    for mut wrong in [page(1), page(2), heavy(&property), bare(&property)] {
        store.commit(&whole).await.unwrap();
        wrong.insert(attr::REV.to_owned(), item::number(1));
        store.table.write(Write::put(wrong.clone())).await.unwrap();
        let refused = store.load(&property.id).await;
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{wrong:?}: {refused:?}");
        store.purge(&property.id).await.unwrap();
        assert_eq!(store.load(&property.id).await.unwrap(), None, "but it can go");
    }
}
