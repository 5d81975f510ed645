//! Dirty marks and wake-up times.

use super::{a_link, a_property, an_account, an_account_stands, at, link_id, nothing_but, property_id};
use crate::{
    model::{Account, Dirty, Property},
    ports::{AccountStore, LinkStore, Mark, MarkStore, PropertyStore},
};

/// What `MarkStore` promises; `properties`, `links` and `accounts` are the same store.
pub async fn mark_store(
    store: &dyn MarkStore,
    properties: &dyn PropertyStore,
    links: &dyn LinkStore,
    accounts: &dyn AccountStore,
) {
    erasures(store, accounts).await;
    an_account_stands(accounts, 1).await;
    let of = |n: u64| Mark::Property { id: property_id(n) };
    let of_link = |n: u64| Mark::Link { id: link_id(n) };
    let dirty = |announce_at: i64| Some(Dirty { since: at(0), attempts: 0, announce_at: at(announce_at) });
    assert!(store.due(at(9_999), 10).await.unwrap().is_empty(), "an empty store has no marks");

    // 1 is dirty, 2 sleeps until 300, 3 is both, 4 is neither; link 5 is dirty.
    for (n, mark, wake_at) in
        [(1, dirty(120), None), (2, None, Some(at(300))), (3, dirty(400), Some(at(200))), (4, None, None)]
    {
        let property = Property { dirty: mark, wake_at, ..a_property(1, n) };
        properties.commit(&nothing_but(&property)).await.unwrap();
    }
    let mut link = a_link(1, 5);
    link.dirty = dirty(250);
    links.put_link(&link).await.unwrap();

    assert!(store.due(at(119), 10).await.unwrap().is_empty(), "nothing is due before its time");
    assert_eq!(store.due(at(120), 10).await.unwrap(), vec![of(1)], "a mark is due at its time");
    let all = vec![of(1), of(3), of_link(5), of(2)];
    assert_eq!(store.due(at(9_999), 10).await.unwrap(), all, "the oldest first, each once");
    assert_eq!(store.due(at(9_999), 2).await.unwrap(), vec![of(1), of(3)], "no more than was asked");
    let mut found = store.dirty(10).await.unwrap();
    found.sort();
    let mut expected = vec![of(1), of(3), of_link(5)];
    expected.sort();
    assert_eq!(found, expected, "dirty ones, due or not");
    assert_eq!(store.dirty(2).await.unwrap().len(), 2, "no more than was asked");

    for mark in [of(1), of(3), of_link(5), of(2), of(4), of(404)] {
        store.postpone(&mark, at(380)).await.unwrap();
    }
    assert!(store.due(at(499), 10).await.unwrap().is_empty(), "what was announced is not due before two minutes");
    assert_eq!(store.due(at(500), 10).await.unwrap().len(), 4, "it is due then, and nothing else is marked by it");
    let property = properties.property(&property_id(1)).await.unwrap().unwrap();
    assert_eq!(property.dirty.unwrap().attempts, 1, "each announcement is counted");
    assert_eq!(property.revision, 1, "which is no change of state");
    assert_eq!(links.link(&link_id(5)).await.unwrap().unwrap().dirty.unwrap().attempts, 1, "for links too");
    backing_off(store, properties, links).await;

    properties.settle(&property_id(1), 1, None, &[]).await.unwrap();
    properties.settle(&property_id(3), 1, Some(at(90_000)), &[]).await.unwrap();
    links.settle_link(&link_id(5), 1, Some(at(80_000)), None).await.unwrap();
    store.postpone(&of(1), at(600)).await.unwrap();
    assert_eq!(store.due(at(79_999), 10).await.unwrap(), vec![of(2)], "a mark that is gone stays gone");
    assert_eq!(store.due(at(80_000), 10).await.unwrap(), vec![of(2), of_link(5)], "a link sleeps and wakes, too");
    store.postpone(&of_link(5), at(80_000)).await.unwrap();
    assert_eq!(store.due(at(80_119), 10).await.unwrap(), vec![of(2)], "and is left alone for two minutes then");
    links.settle_link(&link_id(5), 1, None, None).await.unwrap();
    assert_eq!(store.due(at(89_999), 10).await.unwrap(), vec![of(2)], "until nothing is left to wake it for");
    assert_eq!(store.due(at(90_000), 10).await.unwrap(), vec![of(2), of(3)], "what sleeps is found when it must wake");
    assert_eq!(store.dirty(10).await.unwrap(), vec![of(2)], "but what has woken is work like any other");
    properties.purge(&property_id(3)).await.unwrap();
    assert_eq!(store.due(at(90_000), 10).await.unwrap(), vec![of(2)], "what is purged needs nothing");
}

/// 1 and link 5 are dirty, 3 is dirty and must wake, 2 must wake; all were announced once.
async fn backing_off(store: &dyn MarkStore, properties: &dyn PropertyStore, links: &dyn LinkStore) {
    let (dirty, sleeping, both) = (property_id(1), property_id(2), property_id(3));
    let mut now = 500;
    for minutes in [4, 8, 16, 32, 64, 128, 128, 128] {
        for id in [&dirty, &sleeping, &both] {
            store.postpone(&Mark::Property { id: id.clone() }, at(now)).await.unwrap();
        }
        store.postpone(&Mark::Link { id: link_id(5) }, at(now)).await.unwrap();
        let due = now + minutes * 60;
        let property = properties.property(&dirty).await.unwrap().unwrap();
        assert_eq!(property.dirty.unwrap().announce_at, at(due), "what stays dirty is announced ever less often");
        let link = links.link(&link_id(5)).await.unwrap().unwrap();
        assert_eq!(link.dirty.unwrap().announce_at, at(due), "a link too");
        let property = properties.property(&both).await.unwrap().unwrap();
        assert_eq!(property.wake_at, Some(at(due)), "a wake-up waits with the dirty mark, which serves it too");
        let property = properties.property(&sleeping).await.unwrap().unwrap();
        assert_eq!(property.wake_at, Some(at(due)), "a wake-up that has come is announced ever less often, too");
        let dirty = property.dirty.map(|dirty| (dirty.since, dirty.announce_at));
        assert_eq!(dirty, Some((at(380), at(due))), "it has become work that is left undone");
        now = due;
    }
}

/// A deleted account is marked until nothing of it is left.
async fn erasures(store: &dyn MarkStore, accounts: &dyn AccountStore) {
    let account = an_account(7);
    let mark = Mark::Account { id: account.id.clone() };
    accounts.create_account(&account, None).await.unwrap();
    assert!(store.dirty(10).await.unwrap().is_empty(), "an account that stands has no mark");
    let deleted = Account { deleted_at: Some(at(100)), version: 2, ..account };
    accounts.update_account(&deleted).await.unwrap();
    assert_eq!(store.dirty(10).await.unwrap(), vec![mark.clone()], "a deleted one is unfinished");
    assert!(store.due(at(219), 10).await.unwrap().is_empty(), "its first announcement gets two minutes");
    assert_eq!(store.due(at(220), 10).await.unwrap(), vec![mark.clone()], "then it is announced again");
    store.postpone(&mark, at(220)).await.unwrap();
    assert!(store.due(at(339), 10).await.unwrap().is_empty(), "what was announced is not due before its time");
    store.postpone(&mark, at(340)).await.unwrap();
    assert!(store.due(at(579), 10).await.unwrap().is_empty(), "nor before twice as long the next time");
    assert_eq!(store.due(at(580), 10).await.unwrap(), vec![mark.clone()], "but it stays marked");
    assert_eq!(accounts.account(&deleted.id).await.unwrap(), Some(deleted.clone()), "which changes nothing of it");
    let emptied = Account { links_until: Some(at(90_000)), version: 3, ..deleted.clone() };
    accounts.update_account(&emptied).await.unwrap();
    assert!(store.due(at(89_999), 10).await.unwrap().is_empty(), "one whose links are empty waits for their end");
    assert_eq!(store.due(at(90_000), 10).await.unwrap(), vec![mark.clone()], "which is announced");
    accounts.purge_account(&deleted.id).await.unwrap();
    store.postpone(&mark, at(600)).await.unwrap();
    assert!(store.dirty(10).await.unwrap().is_empty(), "what is purged needs nothing");
    assert_eq!(accounts.account(&deleted.id).await.unwrap(), None, "and does not come back by a late mark");
}
