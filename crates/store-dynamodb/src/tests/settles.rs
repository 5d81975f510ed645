//! What is said of exports, at the head and in one write.

use std::sync::Arc;

use calmesh_app::{
    contract::{a_connection, a_property, an_account_stands, at, connection_id, link_token, nothing_but},
    model::{Connection, Property, PropertyState},
    ports::{PropertyCommit, PropertyStore, StoreError},
};
use jiff::Timestamp;

use super::embedded::{Cut, embedded};
use crate::{DynamoStore, schema};

fn next(property: &Property) -> Property {
    Property { revision: property.revision + 1, ..property.clone() }
}

async fn with_connections(store: &DynamoStore, n: u64, connections: u64) -> Property {
    let property = a_property(1, n);
    let put_connections = (0..connections).map(|nth| a_connection(&property, n * 1000 + nth)).collect();
    store.commit(&PropertyCommit { put_connections, ..nothing_but(&property) }).await.unwrap();
    property
}

async fn load(store: &DynamoStore, property: &Property) -> PropertyState {
    store.load(&property.id).await.unwrap().unwrap()
}

fn exported(state: &PropertyState) -> Vec<Option<Timestamp>> {
    let last = |connection: &Connection| connection.export.as_ref().and_then(|export| export.last_changed_at);
    state.connections.iter().map(last).collect()
}

#[tokio::test]
async fn settling_is_one_write_of_the_head() {
    let (store, line) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = with_connections(&store, 1, 3).await;
    let exports: Vec<_> = (0..3).map(|nth| (connection_id(1000 + nth), at(20))).collect();
    let (calls, used) = (line.calls(), store.usage());
    store.settle(&property.id, 1, Some(at(900)), &exports).await.unwrap();
    assert_eq!(line.calls() - calls, 1);
    assert!(store.usage().since(used).write_units <= 3.0, "with the index");
    assert_eq!(exported(&load(&store, &property).await), [Some(at(20)); 3]);
}

#[tokio::test]
async fn as_many_exports_as_a_property_can_have_settle_though_the_line_is_cut_anywhere() {
    let (store, line) = embedded().await;
    an_account_stands(&store, 1).await;
    let furnished = async |n: u64| {
        let property = with_connections(&store, n, 50).await;
        let of = |nth: u64, time: i64| (connection_id(n * 1000 + nth), at(time));
        // Some are told already, some of them later.
        store.settle(&property.id, 1, None, &[of(0, 30), of(1, 10), of(49, 20)]).await.unwrap();
        let exports: Vec<_> = (0..50).map(|nth| of(nth, 20)).collect();
        (property, exports)
    };
    let (property, exports) = furnished(1).await;
    let before = line.calls();
    store.settle(&property.id, 1, Some(at(900)), &exports).await.unwrap();
    let calls = i64::try_from(line.calls() - before).unwrap();
    assert!(calls > 2, "there is something to cut");
    for cut_after in 0..calls {
        for (cut, n) in [(Cut::Before, 2), (Cut::After, 3)] {
            let (property, exports) = furnished(u64::try_from(cut_after).unwrap() * 2 + n).await;
            line.cut_after(cut_after, cut);
            store.settle(&property.id, 1, Some(at(900)), &exports).await.unwrap_err();
            line.mend();
            store.settle(&property.id, 1, Some(at(900)), &exports).await.unwrap();
            let state = load(&store, &property).await;
            let mut expected = vec![Some(at(20)); 50];
            expected[0] = Some(at(30));
            assert_eq!(exported(&state), expected, "cut {cut:?} call {cut_after}");
            assert_eq!((state.property.dirty, state.property.wake_at), (None, Some(at(900))));
        }
    }
}

#[tokio::test]
async fn what_was_settled_between_load_and_commit_is_not_lost_while_the_link_stays() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = with_connections(&store, 1, 3).await;
    let base = load(&store, &property).await;
    let exports: Vec<_> = (0..3).map(|nth| (connection_id(1000 + nth), at(20))).collect();
    store.settle(&property.id, 1, None, &exports).await.unwrap();
    // One is renamed, one gets another link, one stays as it was.
    let mut put = base.connections.clone();
    put.pop();
    put[0].name = "Other".to_owned();
    if let Some(export) = &mut put[1].export {
        export.token = link_token(7);
    }
    let second = PropertyCommit { base: Some(Arc::new(base)), put_connections: put, ..nothing_but(&next(&property)) };
    store.commit(&second).await.unwrap();
    let state = load(&store, &property).await;
    assert_eq!(exported(&state), [Some(at(20)), None, Some(at(20))]);
    // One goes and comes back with the link that it had.
    let back = vec![a_connection(&property, 1002)];
    let third =
        PropertyCommit { remove_connections: vec![connection_id(1002)], ..nothing_but(&next(&second.property)) };
    store.commit(&third).await.unwrap();
    let head = store.table.get(&schema::property_head(&property.id)).await.unwrap().unwrap();
    let told = head.keys().filter(|name| name.starts_with("exported")).count();
    assert_eq!(told, 1, "nothing is said of what is gone");
    let fourth = PropertyCommit { put_connections: back, ..nothing_but(&next(&third.property)) };
    store.commit(&fourth).await.unwrap();
    assert_eq!(exported(&load(&store, &property).await), [Some(at(20)), None, None]);
}

#[tokio::test]
async fn an_export_of_a_staged_change_is_settled_after_it_was_done_in_place() {
    let (store, line) = embedded().await;
    an_account_stands(&store, 1).await;
    let mut left = 0;
    for n in 2..40 {
        let property = with_connections(&store, n, 2).await;
        let mut other = a_connection(&property, n * 1000);
        if let Some(export) = &mut other.export {
            export.token = link_token(n * 1000 + 500);
        }
        store.settle(&property.id, 1, None, &[(other.id.clone(), at(10))]).await.unwrap();
        let large = PropertyCommit {
            put_connections: vec![other.clone()],
            put_blocks: (0..130)
                .map(|nth| calmesh_app::contract::a_block(n * 1000 + 100 + nth, n * 1000 + nth))
                .collect(),
            ..nothing_but(&next(&property))
        };
        line.cut_after(i64::try_from(n).unwrap() - 1, Cut::Before);
        let done = store.commit(&large).await;
        line.mend();
        let state = load(&store, &property).await;
        let revision = state.property.revision;
        let staged = store.table.get(&schema::property_head(&property.id)).await.unwrap().unwrap();
        left += u32::from(staged.contains_key(schema::attr::STAGED));
        assert_eq!(exported(&state)[0], (revision == 1).then(|| at(10)), "of another link nothing is known");
        store.settle(&property.id, revision, None, &[(other.id.clone(), at(5))]).await.unwrap();
        let expected = if revision == 1 { at(10) } else { at(5) };
        assert_eq!(exported(&load(&store, &property).await)[0], Some(expected));
        let stale = store.settle(&property.id, 3 - revision, None, &[(other.id, at(50))]).await;
        assert!(matches!(stale, Err(StoreError::Stale)));
        if done.is_ok() {
            break;
        }
    }
    assert!(left > 0, "a head was left staged");
}
