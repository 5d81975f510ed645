//! The past of a property in few items.

use std::collections::BTreeMap;

use calmesh_app::{
    contract::{
        a_block, a_connection, a_hold, a_property, an_account_stands, at, block_id, connection_id, nothing_but,
        property_id, some_claims,
    },
    model::{Activity, ActivityKind, ClosedHold, Names, Property, Replaced},
    ports::{ActivityStore, Page, PageRequest, PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{Block, HoldEnd, Origin};

use super::embedded::embedded;
use crate::{
    DynamoStore, history, schema,
    table::{Item, Range, Write},
};

fn entry(seconds: i64, n: u32) -> Activity {
    Activity {
        property: property_id(1),
        at: at(seconds),
        connection: Some(connection_id(1)),
        kind: ActivityKind::FeedChanged { added: n, changed: 0, removed: 0, held: 0 },
        names: Names { property: Some("Casa".to_owned()), ..Names::default() },
    }
}

fn replaced(property: &Property, seconds: i64, blocks: u64) -> Replaced {
    Replaced {
        at: at(seconds),
        revision: property.revision,
        property: Property { revision: property.revision - 1, dirty: None, ..property.clone() },
        connections: vec![a_connection(property, 1)],
        blocks: (0..blocks).map(|n| Block { summary: format!("{n:0120}"), ..a_block(1 + n / 2000, n) }).collect(),
        claims: some_claims(1).connections,
        new_connections: vec![connection_id(3)],
        new_blocks: (0..blocks).map(|n| block_id(10_000 + n)).collect(),
        new_claims: vec![connection_id(4)],
    }
}

fn closed(n: u64, seconds: i64) -> ClosedHold {
    ClosedHold {
        hold: a_hold(n),
        end: HoldEnd::Confirmed,
        closed_at: at(seconds),
        property: property_id(1),
        block: block_id(n),
        connection: connection_id(1),
        nights: None,
    }
}

async fn all<T>(limit: u16, mut page: impl AsyncFnMut(PageRequest) -> Result<Page<T>, StoreError>) -> Vec<T> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let answer = page(PageRequest { limit, after }).await.unwrap();
        assert!(answer.items.len() <= usize::from(limit));
        found.extend(answer.items);
        match answer.next {
            None => return found,
            next => after = next,
        }
    }
}

async fn partition(store: &DynamoStore, pk: String) -> Vec<Item> {
    store.table.query(&Range::all(pk), None).await.unwrap().0
}

#[tokio::test]
async fn a_change_is_one_item_of_the_past_and_its_lists_may_stop_in_the_middle_of_it() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let first = a_property(1, 1);
    let id = &first.id;
    store.commit(&PropertyCommit { activity: vec![entry(1, 1)], ..nothing_but(&first) }).await.unwrap();
    store.append_activity(&[entry(5, 2), entry(5, 3), entry(4, 4)]).await.unwrap();
    let second = Property { revision: 2, ..first.clone() };
    let commit = PropertyCommit {
        activity: (10..17).map(|n| entry(6, n)).collect(),
        replaced: Some(replaced(&second, 6, 3)),
        closed_holds: (1..6).map(|n| closed(n, 6)).collect(),
        ..nothing_but(&second)
    };
    store.commit(&commit).await.unwrap();
    let third = Property { revision: 3, ..first.clone() };
    let quiet = PropertyCommit {
        replaced: Some(replaced(&third, 7, 1)),
        closed_holds: vec![closed(6, 7)],
        ..nothing_but(&third)
    };
    store.commit(&quiet).await.unwrap();
    store.append_activity(&[entry(8, 20)]).await.unwrap();
    store.append_activity(&[]).await.unwrap();

    assert_eq!(
        partition(&store, schema::history_partition(id)).await.len(),
        6,
        "one of each change, and of each instant"
    );
    assert_eq!(partition(&store, schema::closed_holds_partition(id)).await.len(), 2, "none where no hold ended");
    let mut expected = vec![entry(8, 20)];
    expected.extend((10..17).rev().map(|n| entry(6, n)));
    expected.extend([entry(5, 3), entry(5, 2), entry(4, 4), entry(1, 1)]);
    let mut ended: Vec<ClosedHold> = (1..7).map(|n| closed(n, if n == 6 { 7 } else { 6 })).collect();
    ended.sort_by(|a, b| (b.closed_at, &b.hold.id).cmp(&(a.closed_at, &a.hold.id)));
    for limit in (1..15).chain([500]) {
        let listed = all(limit, async |page| store.activity(id, page).await).await;
        assert_eq!(listed, expected, "{limit} at a time");
        let holds = all(limit, async |page| store.closed_holds(id, page).await).await;
        assert_eq!(holds, ended, "{limit} at a time");
    }
    let mut known = store.replaced_after(id, at(0)).await.unwrap();
    known.sort_by_key(|change| change.revision);
    assert_eq!(known, [replaced(&second, 6, 3), replaced(&third, 7, 1)], "also beside what happened");
    assert_eq!(store.replaced_after(id, at(6)).await.unwrap().len(), 1);

    // What comes meanwhile moves no place.
    let page = store.activity(id, PageRequest { limit: 4, after: None }).await.unwrap();
    store.append_activity(&[entry(9, 21), entry(6, 22)]).await.unwrap();
    let rest = store.activity(id, PageRequest { limit: 2, after: page.next }).await.unwrap();
    assert_eq!(rest.items, [entry(6, 13), entry(6, 12)]);

    for place in ["", "nowhere", "2031-01-01/x"] {
        let page = PageRequest { limit: 4, after: Some(place.to_owned()) };
        assert!(matches!(store.activity(id, page).await, Err(StoreError::Corrupt { .. })), "{place}");
    }
    store.forget_past(id).await.unwrap();
    assert!(partition(&store, schema::history_partition(id)).await.is_empty());
    assert!(partition(&store, schema::closed_holds_partition(id)).await.is_empty());
}

#[tokio::test]
async fn the_past_of_the_largest_change_lies_on_pages() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let first = a_property(1, 1);
    let id = &first.id;
    store.commit(&nothing_but(&first)).await.unwrap();
    let second = Property { revision: 2, ..first.clone() };
    let large = replaced(&second, 6, 5000);
    let commit = PropertyCommit {
        activity: (0..1500).map(|n| entry(6, n)).collect(),
        replaced: Some(large.clone()),
        closed_holds: (0..1200).map(|n| closed(n, 6)).collect(),
        ..nothing_but(&second)
    };
    store.commit(&commit).await.unwrap();
    for pk in [schema::history_partition(id), schema::closed_holds_partition(id)] {
        let items = partition(&store, pk).await;
        assert!((2..12).contains(&items.len()), "{} pages", items.len());
        let largest = items.into_iter().map(|item| Write::put(item).bytes()).max().unwrap();
        assert!(largest < 300_000, "{largest}");
    }
    assert!(store.replaced_after(id, at(0)).await.unwrap() == [large], "what was replaced is read as it was written");
    let listed = all(400, async |page| store.activity(id, page).await).await;
    assert!(listed.iter().eq((0..1500).rev().map(|n| entry(6, n)).collect::<Vec<_>>().iter()));
    let holds = all(250, async |page| store.closed_holds(id, page).await).await;
    assert_eq!(holds.len(), 1200);
    assert!(holds.is_sorted_by_key(|closed| std::cmp::Reverse(closed.hold.id.clone())));
}

/// Blocks of several sources by turns, and of the host's own among them, come back in the order in which they were.
#[test]
fn what_was_replaced_keeps_its_order_and_a_page_that_is_missing_is_missed() {
    let property = Property { revision: 7, ..a_property(1, 1) };
    let own = Block { origin: Origin::Own { extends: None, lost: None }, ..a_block(1, 9) };
    let blocks = vec![a_block(2, 1), a_block(1, 2), own.clone(), a_block(2, 3), a_block(2, 4), own, a_block(1, 5)];
    let mixed = Replaced { blocks, claims: BTreeMap::new(), ..replaced(&property, 6, 0) };
    let items = |replaced: &Replaced| {
        let commit = PropertyCommit { replaced: Some(replaced.clone()), ..nothing_but(&property) };
        let steps = history::steps_of(&commit).unwrap();
        let item = |write: Write| match write {
            Write::Put { item, .. } => item,
            other => panic!("{other:?}"),
        };
        steps.iter().map(|step| item(step.to_write())).collect::<Vec<Item>>()
    };
    assert_eq!(history::read_replaced(&property.id, &items(&mixed)).unwrap(), Some(vec![mixed]));
    let pages = items(&replaced(&property, 6, 3000));
    assert!(pages.len() > 2);
    for nth in 0..pages.len() {
        let mut some = pages.clone();
        some.remove(nth);
        assert_eq!(history::read_replaced(&property.id, &some).unwrap(), None, "page {nth} is not there yet");
    }
    assert!(history::read_replaced(&property.id, &pages).unwrap().is_some());
}
