//! Extra private links, owners of tokens, reads.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    a_link, a_property, account_id, all, an_account_stands, at, connection_id, link_id, link_token, nothing_but,
};
use crate::{
    model::{Dirty, ExtraLink, LinkOwner, LinkReads, LinkScope, ReadTimes},
    ports::{AccountStore, LinkStore, PropertyCommit, PropertyStore, StoreError},
};

const HOUR: i64 = 3600;

/// What `LinkStore` promises; `properties` and `accounts` are the same store.
pub async fn link_store(store: &dyn LinkStore, properties: &dyn PropertyStore, accounts: &dyn AccountStore) {
    an_account_stands(accounts, 1).await;
    let link = a_link(1, 1);
    let id = link.id.clone();
    let owner = LinkOwner::Link { account: account_id(1), link: id.clone() };
    assert_eq!(store.link(&id).await.unwrap(), None, "an empty store has no link");
    let early = ExtraLink { revision: 2, ..link.clone() };
    assert!(matches!(store.put_link(&early).await, Err(StoreError::Stale)), "nothing follows what is not there");
    store.put_link(&link).await.unwrap();
    assert_eq!(store.link(&id).await.unwrap(), Some(link.clone()), "a link is kept as it was");
    assert_eq!(store.owner(&link.token.hash()).await.unwrap(), Some(owner.clone()), "its token is known");
    assert!(matches!(store.put_link(&link).await, Err(StoreError::Exists)), "a link is made once");

    store.settle_link(&id, 1, None, Some(at(30))).await.unwrap();
    let settled = ExtraLink { dirty: None, last_changed_at: Some(at(30)), ..link.clone() };
    assert_eq!(store.link(&id).await.unwrap(), Some(settled.clone()), "settling clears the mark");
    store.settle_link(&id, 1, None, None).await.unwrap();
    assert_eq!(store.link(&id).await.unwrap(), Some(settled.clone()), "bytes that stayed change nothing else");
    assert!(
        matches!(store.settle_link(&id, 2, None, None).await, Err(StoreError::Stale)),
        "what is not rendered is stale"
    );
    assert!(
        matches!(store.settle_link(&link_id(404), 1, None, None).await, Err(StoreError::Stale)),
        "so is what is not there"
    );

    let rotated = ExtraLink {
        token: link_token(60),
        scope: LinkScope::Properties([super::property_id(1)].into()),
        version: 2,
        revision: 2,
        dirty: Some(Dirty { since: at(40), attempts: 0, announce_at: at(160) }),
        ..settled
    };
    store.put_link(&rotated).await.unwrap();
    assert_eq!(store.link(&id).await.unwrap(), Some(rotated.clone()), "an edit is seen");
    assert_eq!(store.owner(&link_token(60).hash()).await.unwrap(), Some(owner), "the new token is known");
    assert_eq!(store.owner(&link.token.hash()).await.unwrap(), None, "the old one is nobody's");
    assert!(matches!(store.put_link(&rotated).await, Err(StoreError::Stale)), "an edit of what was is stale");

    for n in 2..12 {
        store.put_link(&a_link(1, n)).await.unwrap();
    }
    let expected: Vec<_> = (1..12).map(link_id).collect();
    for limit in [1, 4, 11, 50] {
        let found = all(limit, async |page| store.links(&account_id(1), page).await).await;
        assert_eq!(found.into_iter().map(|link| link.id).collect::<Vec<_>>(), expected, "links in order of creation");
    }
    assert_eq!(store.count_links(&account_id(1), 50).await.unwrap(), 11, "they can be counted");
    assert_eq!(store.count_links(&account_id(1), 5).await.unwrap(), 5, "no further than was asked");
    assert!(all(5, async |page| store.links(&account_id(2), page).await).await.is_empty(), "each account has its own");

    reads(store).await;

    assert!(store.delete_link(&id).await.unwrap(), "a link can be deleted");
    assert!(!store.delete_link(&id).await.unwrap(), "once");
    assert_eq!(store.link(&id).await.unwrap(), None, "then it is gone");
    assert_eq!(store.owner(&link_token(60).hash()).await.unwrap(), None, "and its token nobody's");
    assert_eq!(all(50, async |page| store.links(&account_id(1), page).await).await.len(), 10, "and it is not listed");

    // A connection's link, whose owner may be said again.
    let property = a_property(1, 1);
    let owner =
        LinkOwner::Connection { account: account_id(1), property: property.id.clone(), connection: connection_id(1) };
    let own = PropertyCommit { owners: vec![(link_token(70), Some(owner.clone()))], ..nothing_but(&property) };
    properties.commit(&own).await.unwrap();
    let hash = link_token(70).hash();
    store.record_reads(&hash, &[at(0)].into()).await.unwrap();
    let mut second = property.clone();
    second.revision = 2;
    properties.commit(&PropertyCommit { property: second, ..own }).await.unwrap();
    assert_eq!(store.owner(&hash).await.unwrap(), Some(owner), "a connection's token is known");
    assert_eq!(store.reads(&[hash], at(0)).await.unwrap()[0].reads_24h, 1, "its reads stay when that is said again");
}

async fn reads(store: &dyn LinkStore) {
    let [second, third, nobodys] = [2, 3, 404].map(|n| link_token(n).hash());
    store.record_reads(&nobodys, &[at(0)].into()).await.unwrap();
    for seconds in [10, 20, 30 * HOUR, 5 * HOUR, 5 * HOUR + 1] {
        store.record_reads(&second, &[at(seconds)].into()).await.unwrap();
    }
    let found = store.reads(&[third, second, nobodys, second], at(30 * HOUR)).await.unwrap();
    let none = LinkReads::default();
    // Twenty-four whole hours reach back to the seventh.
    let one = LinkReads { last_read_at: Some(at(30 * HOUR)), reads_24h: 1 };
    assert_eq!(found, vec![none, one, none, one], "reads in the order asked; nobody's tokens are not counted");
    let found = store.reads(&[second], at(28 * HOUR)).await.unwrap();
    assert_eq!(found[0].reads_24h, 3, "reads that arrive late are counted in their hour");
    let times = store.read_times(&[nobodys, second]).await.unwrap();
    let expected = [10, 20, 5 * HOUR, 5 * HOUR + 1, 30 * HOUR].map(at).to_vec();
    let whole = ReadTimes { times: expected, whole_since: None };
    assert_eq!(times, vec![ReadTimes::default(), whole], "when a link was read is kept, in order");
    let odd = at(30 * HOUR) + jiff::SignedDuration::from_millis(1_234);
    store.record_reads(&third, &[odd].into()).await.unwrap();
    let times = store.read_times(&[third]).await.unwrap();
    assert_eq!(times[0].times, vec![odd], "to the millisecond");

    store.record_reads(&second, &[at(300 * HOUR)].into()).await.unwrap();
    let found = store.reads(&[second], at(300 * HOUR)).await.unwrap();
    assert_eq!(found, vec![LinkReads { last_read_at: Some(at(300 * HOUR)), reads_24h: 1 }], "a day's reads, no more");

    // As a log tells them: many at once, over several hours, and again.
    let told: BTreeSet<Timestamp> = (0..150).map(|minutes| at(300 * HOUR + minutes * 60)).collect();
    store.record_reads(&second, &told).await.unwrap();
    let all = LinkReads { last_read_at: told.last().copied(), reads_24h: 150 };
    let asked = at(303 * HOUR);
    assert_eq!(
        store.reads(&[second], asked).await.unwrap(),
        vec![all],
        "reads are counted once, one that was known too"
    );
    store.record_reads(&second, &told).await.unwrap();
    store.record_reads(&second, &[at(300 * HOUR)].into()).await.unwrap();
    assert_eq!(store.reads(&[second], asked).await.unwrap(), vec![all], "however often they are told");
    let late = [at(299 * HOUR), at(301 * HOUR), at(302 * HOUR + 7)].into();
    store.record_reads(&second, &late).await.unwrap();
    let all = LinkReads { reads_24h: 152, last_read_at: told.last().copied().max(Some(at(302 * HOUR + 7))) };
    assert_eq!(store.reads(&[second], asked).await.unwrap(), vec![all], "what is new among them is added");
}
