//! A random series of changes gives the same state here and in the fake.

use calmesh_app::{
    contract::{
        a_block, a_conflict, a_connection, a_hold, a_plan, a_property, an_account_stands, at, block_id, connection_id,
        link_token, nothing_but, some_claims,
    },
    fakes::MemoryStore,
    model::{ConflictRecord, Property, RetiringLink, RetiringServes},
    ports::{FetchStore, PageRequest, PlanChange, PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{Conflict, Origin};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::embedded::embedded;

/// What one change does, in numbers.
#[derive(Debug, Clone)]
struct Change {
    put_blocks: Vec<u64>,
    remove_blocks: Vec<u64>,
    /// Many more blocks, so that a transaction is too small.
    many: bool,
    connections: Vec<(u64, bool)>,
    plans: Vec<(u64, bool, bool)>,
    retiring: Vec<(u64, bool)>,
    claims: Vec<(u64, bool)>,
    conflicts: Vec<(u64, bool)>,
    behind: u64,
    settles: Option<u64>,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let several = |below: u64| proptest::collection::vec(0..below, 0..6);
    let flagged = |below: u64| proptest::collection::vec((0..below, any::<bool>()), 0..3);
    let change = (
        several(30),
        several(30),
        proptest::bool::weighted(0.2),
        flagged(4),
        proptest::collection::vec((0..4u64, any::<bool>(), any::<bool>()), 0..3),
        flagged(3),
        (flagged(4), flagged(5)),
        prop_oneof![9 => Just(0u64), 1 => 1..3u64],
        proptest::option::weighted(0.3, 0..4u64),
    );
    let change =
        change.prop_map(|(put_blocks, remove_blocks, many, connections, plans, retiring, judged, behind, settles)| {
            let (claims, conflicts) = judged;
            Change { put_blocks, remove_blocks, many, connections, plans, retiring, claims, conflicts, behind, settles }
        });
    proptest::collection::vec(change, 1..10)
}

fn commit_of(property: &Property, base: u64, round: u64, change: &Change) -> PropertyCommit {
    let revision = (property.revision + 1).saturating_sub(change.behind);
    let mut commit = nothing_but(&Property {
        name: format!("Round {round}"),
        revision,
        wake_at: round.is_multiple_of(2).then(|| at(9)),
        ..property.clone()
    });
    let more = if change.many { 100..230u64 } else { 0..0 };
    for n in change.put_blocks.iter().copied().chain(more) {
        // Blocks of one source share pages; those of many sources don't.
        let mut block = a_block(if n < 100 { base } else { base + n }, base + n);
        block.summary = format!("Round {round}");
        if let Origin::Feed(feed) = &mut block.origin
            && n.is_multiple_of(5)
        {
            feed.hold = Some(a_hold(base + n));
        }
        commit.put_blocks.push(block);
    }
    commit.remove_blocks = change.remove_blocks.iter().map(|n| block_id(base + n)).collect();
    for (n, put) in &change.connections {
        if *put {
            let mut connection = a_connection(property, base + n);
            connection.version = round;
            if let Some(export) = &mut connection.export
                && round.is_multiple_of(3)
            {
                export.token = link_token(base + 10 + round);
            }
            if round.is_multiple_of(4) {
                connection.export = None;
            }
            commit.put_connections.push(connection);
        } else {
            commit.remove_connections.push(connection_id(base + n));
        }
    }
    for (n, put, fresh) in &change.plans {
        commit.plans.push(match put {
            true => PlanChange::Put { plan: a_plan(property, base + n), fresh: *fresh, taken: None },
            false => PlanChange::Remove(connection_id(base + n)),
        });
    }
    for (n, put) in &change.claims {
        let connection = connection_id(base + n);
        // Of two kinds, by turns.
        let claims = some_claims(round).connections.into_values().nth(usize::from(!round.is_multiple_of(2)));
        if let Some(claims) = claims.filter(|_| *put) {
            commit.put_claims.insert(connection, claims);
        } else {
            commit.remove_claims.push(connection);
        }
    }
    for (n, put) in &change.conflicts {
        let conflict = Conflict { arrives_at: at(i64::try_from(round).unwrap()), ..a_conflict(base + n) };
        let closed_at = (!put).then(|| at(9));
        let record = ConflictRecord { property: property.id.clone(), conflict: conflict.clone(), closed_at };
        // The last word on each.
        commit.put_conflicts.retain(|known| known.id != conflict.id);
        commit.remove_conflicts.retain(|known| *known != conflict.id);
        commit.conflict_records.retain(|known| known.conflict.id != conflict.id);
        commit.conflict_records.push(record);
        if *put {
            commit.put_conflicts.push(conflict);
        } else {
            commit.remove_conflicts.push(conflict.id);
        }
    }
    for (n, put) in &change.retiring {
        let token = link_token(base + n);
        if *put {
            let until = at(i64::try_from(round).unwrap());
            commit.put_retiring.push(RetiringLink {
                token,
                serves: RetiringServes::Current { connection: connection_id(base) },
                until,
            });
        } else {
            commit.remove_retiring.push(token);
        }
    }
    commit
}

fn word(answer: &Result<(), StoreError>) -> &'static str {
    match answer {
        Ok(()) => "done",
        Err(StoreError::Stale) => "stale",
        Err(StoreError::Exists) => "exists",
        Err(StoreError::Unavailable(_)) => "unavailable",
        Err(StoreError::Corrupt { .. }) => "corrupt",
    }
}

#[test]
fn any_series_of_changes_gives_the_same_state_as_in_the_fake() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (store, _) = runtime.block_on(embedded());
    runtime.block_on(an_account_stands(&store, 1));
    let cases = std::sync::atomic::AtomicU64::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&changes(), |changes| {
            let case = cases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let base = case * 100_000;
            let fake = MemoryStore::new();
            runtime.block_on(async {
                an_account_stands(&fake, 1).await;
                let mut property = a_property(1, base);
                store.commit(&nothing_but(&property)).await.unwrap();
                fake.commit(&nothing_but(&property)).await.unwrap();
                for (round, change) in changes.iter().enumerate() {
                    let commit = commit_of(&property, base, u64::try_from(round).unwrap(), change);
                    let (here, there) = (store.commit(&commit).await, fake.commit(&commit).await);
                    prop_assert_eq!(word(&here), word(&there), "{:?}", here);
                    if here.is_ok() {
                        property = commit.property.clone();
                    }
                    if let Some(n) = change.settles {
                        let exports = [(connection_id(base + n), at(i64::try_from(round).unwrap()))];
                        for store in [&store as &dyn PropertyStore, &fake] {
                            store.settle(&property.id, property.revision, None, &exports).await.unwrap();
                        }
                    }
                    let (here, there) =
                        (store.load(&property.id).await.unwrap(), fake.load(&property.id).await.unwrap());
                    prop_assert_eq!(here, there);
                    let of = async |store: &dyn PropertyStore| {
                        let page = PageRequest { limit: 50, after: None };
                        store.conflict_records(&property.account, Some(&property.id), page).await.unwrap().items
                    };
                    prop_assert_eq!(of(&store).await, of(&fake).await);
                    let ids: Vec<_> = (0..4).map(|n| connection_id(base + n)).collect();
                    prop_assert_eq!(store.fetch_states(&ids).await.unwrap(), fake.fetch_states(&ids).await.unwrap());
                }
                Ok(())
            })
        })
        .unwrap();
}
