//! Manual refreshes.

use super::{account_id, all, at, connection_id, property_id, refresh_id};
use crate::{
    model::{Outcome, Refresh, RefreshOutcome, RefreshScope},
    ports::{Mark, MarkStore, RefreshStore, StoreError},
};

/// What `RefreshStore` promises.
pub async fn refresh_store(store: &dyn RefreshStore, marks: &dyn MarkStore) {
    unfinished(store, marks).await;
    latest(store).await;
    let id = refresh_id(1);
    let refresh = Refresh {
        id: id.clone(),
        account: account_id(1),
        scope: RefreshScope::Property(property_id(1)),
        requested_at: at(0),
        spread: false,
    };
    assert_eq!(store.refresh(&id).await.unwrap(), None, "an empty store has no refresh");
    store.create_refresh(&refresh, &[connection_id(1), connection_id(2)]).await.unwrap();
    assert_eq!(store.refresh(&id).await.unwrap(), Some(refresh.clone()), "a refresh is kept as it was");
    assert!(matches!(store.create_refresh(&refresh, &[]).await, Err(StoreError::Exists)), "it is made once");
    assert!(store.any_pending(&id).await.unwrap(), "it waits for its connections");

    let changed = Outcome::Changed { blocks_added: 1, blocks_removed: 2, blocks_held: 3 };
    let failed = Outcome::Failed { reason: "gave_up".to_owned() };
    store.record_outcome(&id, &connection_id(1), &changed).await.unwrap();
    store.record_outcome(&id, &connection_id(1), &failed).await.unwrap();
    store.record_outcome(&id, &connection_id(1), &Outcome::Pending).await.unwrap();
    store.record_outcome(&id, &connection_id(7), &Outcome::Unchanged { blocks_held: 0 }).await.unwrap();
    let more: Vec<_> = (1..40).map(connection_id).collect();
    store.add_pending(&id, &more).await.unwrap();
    let mut expected: Vec<RefreshOutcome> = (1..40)
        .map(|n| RefreshOutcome {
            connection: connection_id(n),
            outcome: match n {
                1 => changed.clone(),
                7 => Outcome::Unchanged { blocks_held: 0 },
                _ => Outcome::Pending,
            },
        })
        .collect();
    expected.sort_by(|a, b| a.connection.cmp(&b.connection));
    for limit in [1, 10, 39, 200] {
        let found = all(limit, async |page| store.outcomes(&id, page).await).await;
        assert_eq!(found, expected, "outcomes in order of connection; a final one stays");
    }
    store.mark_spread(&id).await.unwrap();
    assert!(store.refresh(&id).await.unwrap().unwrap().spread, "it is known that all were added");
    for connection in &more {
        assert!(store.any_pending(&id).await.unwrap(), "while one is pending it is not over");
        store.record_outcome(&id, connection, &failed).await.unwrap();
        if *connection == connection_id(39) {
            break;
        }
    }
    assert!(!store.any_pending(&id).await.unwrap(), "then it is");

    // What is long forgotten.
    store.add_pending(&refresh_id(404), &more).await.unwrap();
    store.mark_spread(&refresh_id(404)).await.unwrap();
    store.record_outcome(&refresh_id(404), &connection_id(1), &failed).await.unwrap();
    assert_eq!(store.refresh(&refresh_id(404)).await.unwrap(), None, "a forgotten refresh does not come back");
    assert!(all(9, async |page| store.outcomes(&refresh_id(404), page).await).await.is_empty(), "nor its outcomes");
}

/// One refresh is the latest of its scope, whoever asks at the same time.
async fn latest(store: &dyn RefreshStore) {
    let of = |n: u64, scope: RefreshScope| Refresh {
        id: refresh_id(n),
        account: account_id(7),
        scope,
        requested_at: at(0),
        spread: true,
    };
    let one = || RefreshScope::Connection { property: property_id(1), connection: connection_id(1) };
    for n in [71, 72] {
        store.create_refresh(&of(n, one()), &[connection_id(1)]).await.unwrap();
    }
    assert_eq!(store.latest_refresh(&account_id(7), &one()).await.unwrap(), None, "none is the latest at first");
    store.claim_latest(&of(71, one()), None).await.unwrap();
    let late = store.claim_latest(&of(72, one()), None).await;
    assert!(matches!(late, Err(StoreError::Stale)), "of two at the same time one is first");
    assert_eq!(store.latest_refresh(&account_id(7), &one()).await.unwrap(), Some(refresh_id(71)));
    let (all, flat) = (RefreshScope::Account, RefreshScope::Property(property_id(1)));
    for scope in [all, flat] {
        assert_eq!(store.latest_refresh(&account_id(7), &scope).await.unwrap(), None, "scopes are told apart");
    }
    assert_eq!(store.latest_refresh(&account_id(8), &one()).await.unwrap(), None, "and accounts");
    store.claim_latest(&of(72, one()), Some(&refresh_id(71))).await.unwrap();
    assert_eq!(store.latest_refresh(&account_id(7), &one()).await.unwrap(), Some(refresh_id(72)), "one follows");
    let asked = [connection_id(2), connection_id(1)];
    assert_eq!(store.still_pending(&refresh_id(71), &asked).await.unwrap(), [connection_id(1)], "what is waited for");
    store.record_outcome(&refresh_id(71), &connection_id(1), &Outcome::Unchanged { blocks_held: 0 }).await.unwrap();
    assert!(store.still_pending(&refresh_id(71), &asked).await.unwrap().is_empty(), "until it is known");
    for n in [71, 72] {
        store.finish_refresh(&refresh_id(n)).await.unwrap();
    }
}

/// A refresh that somebody was told of is marked until it is over.
async fn unfinished(store: &dyn RefreshStore, marks: &dyn MarkStore) {
    let asked = |n: u64, spread: bool| Refresh {
        id: refresh_id(n),
        account: account_id(1),
        scope: RefreshScope::Account,
        requested_at: at(0),
        spread,
    };
    store.create_refresh(&asked(50, true), &[]).await.unwrap();
    assert!(marks.dirty(10).await.unwrap().is_empty(), "what waits for nothing needs no mark");
    store.create_refresh(&asked(51, true), &[connection_id(1)]).await.unwrap();
    store.create_refresh(&asked(52, false), &[]).await.unwrap();
    let mark = |n: u64| Mark::Refresh { id: refresh_id(n) };
    let mut found = marks.dirty(10).await.unwrap();
    found.sort();
    let mut expected = vec![mark(51), mark(52)];
    expected.sort();
    assert_eq!(found, expected, "what waits is unfinished");
    assert!(marks.due(at(119), 10).await.unwrap().is_empty(), "its first announcement gets two minutes");
    assert_eq!(marks.due(at(120), 10).await.unwrap().len(), 2, "then it is announced again");
    marks.postpone(&mark(51), at(120)).await.unwrap();
    assert_eq!(marks.due(at(239), 10).await.unwrap(), vec![mark(52)], "which is counted");
    assert_eq!(store.refresh(&refresh_id(51)).await.unwrap(), Some(asked(51, true)), "and changes nothing of it");
    store.finish_refresh(&refresh_id(51)).await.unwrap();
    store.finish_refresh(&refresh_id(51)).await.unwrap();
    assert_eq!(marks.dirty(10).await.unwrap(), vec![mark(52)], "what is over needs nothing");
    assert_eq!(store.refresh(&refresh_id(51)).await.unwrap(), Some(asked(51, true)), "but is still told of");
    store.finish_refresh(&refresh_id(52)).await.unwrap();
    store.finish_refresh(&refresh_id(404)).await.unwrap();
    marks.postpone(&mark(404), at(120)).await.unwrap();
    assert_eq!(store.refresh(&refresh_id(404)).await.unwrap(), None, "a forgotten one does not come back by it");
    assert!(marks.dirty(10).await.unwrap().is_empty(), "and has no mark");
}
