//! Manual refreshes.

use calmesh_calendar::RefreshId;

use super::{a_property, account_id, all, an_account_stands, at, connection_id, nothing_but, property_id, refresh_id};
use crate::{
    model::{LatestRefresh, Outcome, Refresh, RefreshOutcome, RefreshPart, RefreshScope},
    ports::{AccountStore, Mark, MarkStore, PageRequest, PropertyStore, RefreshStore, StoreError},
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
    let (first, second) = (of_page(&id, ""), of_page(&id, "more"));
    let unchanged = Outcome::Unchanged { blocks_held: 0 };
    for outcome in [&changed, &failed, &Outcome::Pending] {
        store.record_outcomes(&first, &[(connection_id(1), outcome.clone())]).await.unwrap();
    }
    let several = [(connection_id(1), unchanged.clone()), (connection_id(7), unchanged.clone())];
    store.record_outcomes(&first, &several).await.unwrap();
    store.record_outcomes(&first, &[]).await.unwrap();
    let more: Vec<_> = (1..40).map(connection_id).collect();
    let waits = store.add_pending(&refresh, "", &more, at(5)).await.unwrap();
    assert_eq!(waits.len(), 37, "those that have no final outcome");
    assert!(!waits.contains(&connection_id(1)) && !waits.contains(&connection_id(7)));
    let other: Vec<_> = (40..45).map(connection_id).collect();
    assert_eq!(store.add_pending(&refresh, "more", &other, at(9)).await.unwrap(), other, "in the order given");
    let mut expected: Vec<RefreshOutcome> = (1..45)
        .map(|n| RefreshOutcome {
            connection: connection_id(n),
            outcome: match n {
                1 => changed.clone(),
                7 => unchanged.clone(),
                _ => Outcome::Pending,
            },
        })
        .collect();
    expected.sort_by_key(|one| (other.contains(&one.connection), one.connection.clone()));
    for limit in [1, 10, 39, 44, 200] {
        let found = all(limit, async |page| store.outcomes(&id, page).await).await;
        assert_eq!(found, expected, "outcomes in order of page and connection; a final one stays");
    }
    store.mark_spread(&id).await.unwrap();
    assert!(store.refresh(&id).await.unwrap().unwrap().spread, "it is known that all were added");
    let ends: Vec<_> = more.iter().map(|connection| (connection.clone(), failed.clone())).collect();
    store.record_outcomes(&first, &ends).await.unwrap();
    assert!(store.any_pending(&id).await.unwrap(), "while one page waits it is not over");
    let (last, ends) = (other.len() - 1, other.iter().map(|connection| (connection.clone(), failed.clone())));
    let ends: Vec<_> = ends.collect();
    store.record_outcomes(&second, &ends[..last]).await.unwrap();
    assert!(store.any_pending(&id).await.unwrap(), "while one is pending it is not over");
    store.record_outcomes(&second, &ends).await.unwrap();
    assert!(!store.any_pending(&id).await.unwrap(), "then it is");
    large_page(store).await;

    // What is long forgotten.
    store.mark_spread(&refresh_id(404)).await.unwrap();
    store.record_outcomes(&of_page(&refresh_id(404), ""), &[(connection_id(1), failed)]).await.unwrap();
    assert_eq!(store.refresh(&refresh_id(404)).await.unwrap(), None, "a forgotten refresh does not come back");
    assert!(all(9, async |page| store.outcomes(&refresh_id(404), page).await).await.is_empty(), "nor its outcomes");
}

fn of_page(id: &RefreshId, page: &str) -> RefreshPart {
    RefreshPart { refresh: id.clone(), page: page.to_owned() }
}

/// As many as 25 properties may have, 50 connections each.
async fn large_page(store: &dyn RefreshStore) {
    let id = refresh_id(3);
    let refresh = Refresh {
        id: id.clone(),
        account: account_id(1),
        scope: RefreshScope::Account,
        requested_at: at(0),
        spread: true,
    };
    store.create_refresh(&refresh, &[]).await.unwrap();
    let many: Vec<_> = (0..1250).map(connection_id).collect();
    assert_eq!(store.add_pending(&refresh, "", &many, at(1)).await.unwrap(), many);
    let failed = Outcome::Failed { reason: "not_taken_in".to_owned() };
    let ends: Vec<_> = many.iter().map(|connection| (connection.clone(), failed.clone())).collect();
    store.record_outcomes(&of_page(&id, ""), &ends).await.unwrap();
    assert!(store.add_pending(&refresh, "", &many, at(2)).await.unwrap().is_empty());
    assert_eq!(all(500, async |page| store.outcomes(&id, page).await).await.len(), 1250);
}

/// Which page a property is on follows from where the pages of its account's list begin.
pub async fn pages_of_refreshes(
    refreshes: &dyn RefreshStore,
    properties: &dyn PropertyStore,
    accounts: &dyn AccountStore,
) {
    an_account_stands(accounts, 7).await;
    for n in 10..19 {
        properties.commit(&nothing_but(&a_property(7, n))).await.unwrap();
    }
    let account = &account_id(7);
    let refresh = Refresh {
        id: refresh_id(90),
        account: account.clone(),
        scope: RefreshScope::Account,
        requested_at: at(0),
        spread: false,
    };
    refreshes.create_refresh(&refresh, &[]).await.unwrap();
    let (mut after, mut places) = (None::<String>, Vec::new());
    loop {
        let page = properties.properties(account, PageRequest { limit: 2, after: after.clone() }).await.unwrap();
        let place = after.clone().unwrap_or_default();
        let begun = at(60 + i64::try_from(places.len()).unwrap());
        refreshes.add_pending(&refresh, &place, &[connection_id(1)], begun).await.unwrap();
        places.extend(page.items.into_iter().map(|property| (property, begun)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert!(places.len() > 4, "several pages");
    for (property, begun) in places {
        let page = refreshes.page_with(&refresh.id, &property).await.unwrap().unwrap();
        assert_eq!(page.started_at, begun);
        assert_eq!(page.outcomes.into_iter().collect::<Vec<_>>(), [(connection_id(1), Outcome::Pending)]);
    }
    refreshes.finish_refresh(&refresh.id).await.unwrap();
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
    let latest_of = |n: u64, before: Option<u64>| LatestRefresh {
        id: refresh_id(n),
        requested_at: at(0),
        before: before.map(refresh_id),
    };
    let one = || RefreshScope::Connection { property: property_id(1), connection: connection_id(1) };
    for n in [71, 72] {
        store.create_refresh(&of(n, one()), &[connection_id(1)]).await.unwrap();
    }
    assert_eq!(store.latest_refresh(&account_id(7), &one()).await.unwrap(), None, "none is the latest at first");
    store.claim_latest(&of(71, one()), None).await.unwrap();
    let late = store.claim_latest(&of(72, one()), None).await;
    assert!(matches!(late, Err(StoreError::Stale)), "of two at the same time one is first");
    assert_eq!(store.latest_refresh(&account_id(7), &one()).await.unwrap(), Some(latest_of(71, None)));
    let (all, flat) = (RefreshScope::Account, RefreshScope::Property(property_id(1)));
    for scope in [all, flat] {
        assert_eq!(store.latest_refresh(&account_id(7), &scope).await.unwrap(), None, "scopes are told apart");
    }
    assert_eq!(store.latest_refresh(&account_id(8), &one()).await.unwrap(), None, "and accounts");
    store.claim_latest(&of(72, one()), Some(&refresh_id(71))).await.unwrap();
    assert_eq!(
        store.latest_refresh(&account_id(7), &one()).await.unwrap(),
        Some(latest_of(72, Some(71))),
        "one follows"
    );
    let one = [connection_id(1)];
    let waits = store.add_pending(&of(71, RefreshScope::Account), "", &one, at(1)).await.unwrap();
    assert_eq!(waits, one, "what is waited for");
    let known = [(connection_id(1), Outcome::Unchanged { blocks_held: 0 })];
    store.record_outcomes(&of_page(&refresh_id(71), ""), &known).await.unwrap();
    assert!(
        store.add_pending(&of(71, RefreshScope::Account), "", &one, at(1)).await.unwrap().is_empty(),
        "until it is known"
    );
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
