//! Plans, health, passes, pauses.

use std::collections::BTreeSet;

use bytes::Bytes;
use calmesh_calendar::ConnectionId;
use jiff::Timestamp;

use super::{a_plan, a_property, a_url, all, an_account_stands, at, connection_id, nothing_but};
use crate::{
    model::{
        AnnouncedReading, Failure, FailureKind, FetchHealth, FetchPlan, FetchState, HostPause, Property, Snapshot,
        SweepRecord, Validators, bucket_of,
    },
    ports::{
        AccountStore, FetchStore, PageRequest, ParkedBody, PlanChange, PropertyCommit, PropertyStore, SmallBody,
        StoreError, WaitingBody,
    },
};

fn a_failure(seconds: i64) -> Failure {
    Failure {
        kind: FailureKind::RateLimited,
        detail: "The site asks us to wait.".to_owned(),
        since: at(seconds),
        count: 1,
        last_attempt_at: at(seconds),
        retry_at: at(seconds + 60),
    }
}

/// What `FetchStore` promises; `properties` and `accounts` are the same store.
pub async fn fetch_store(store: &dyn FetchStore, properties: &dyn PropertyStore, accounts: &dyn AccountStore) {
    an_account_stands(accounts, 1).await;
    let property = a_property(1, 1);
    let put = |n: u64| PlanChange::Put { plan: a_plan(&property, n), fresh: true, taken: None };
    let commit = PropertyCommit { plans: (0..40).map(put).collect(), ..nothing_but(&property) };
    properties.commit(&commit).await.unwrap();

    let mut expected: Vec<_> = (0..40).map(connection_id).map(|id| (bucket_of(&id), id)).collect();
    expected.sort();
    for (first, last) in [(0, 4095), (0, 63), (100, 2000), (bucket_of(&connection_id(3)), bucket_of(&connection_id(3)))]
    {
        let wanted: Vec<_> = expected.iter().filter(|(bucket, _)| (first..=last).contains(bucket)).collect();
        for limit in [1, 7, 300] {
            let found = all(limit, async |page| store.plans(first, last, page).await).await;
            let ids: Vec<_> = found.iter().map(|state| &state.plan.connection).collect();
            let wanted: Vec<_> = wanted.iter().map(|(_, id)| id).collect();
            assert_eq!(ids, wanted, "a run of buckets in order of bucket and id");
        }
    }

    health(store, properties, &property).await;
    bodies(store, properties).await;
    sweeps(store).await;
    pauses(store).await;
    steps(store).await;
}

async fn state_of(store: &dyn FetchStore, n: u64) -> Option<FetchState> {
    store.fetch_states(&[connection_id(n)]).await.unwrap().remove(&connection_id(n))
}

async fn health(store: &dyn FetchStore, properties: &dyn PropertyStore, property: &Property) {
    let id = connection_id(3);
    let plan = a_plan(property, 3);
    store.record_failure(&id, plan.since, &a_failure(10)).await.unwrap();
    let failed = FetchHealth { failure: Some(a_failure(10)), last_success_at: None, announced: None };
    assert_eq!(state_of(store, 3).await.unwrap().health, failed, "a failure is kept");
    let page = PageRequest { limit: 300, after: None };
    let listed = store.plans(bucket_of(&id), bucket_of(&id), page).await.unwrap();
    assert!(listed.items.iter().any(|state| state.health == failed), "and listed with its plan");
    let elsewhen = store.record_failure(&id, at(1), &a_failure(10)).await;
    assert!(matches!(elsewhen, Err(StoreError::Stale)), "a failure of another plan is stale");
    let unknown = store.record_failure(&connection_id(99), at(0), &a_failure(10)).await;
    assert!(matches!(unknown, Err(StoreError::Stale)), "so is one of no plan");
    assert_eq!(state_of(store, 99).await, None, "and makes none");

    store.record_success(&id, plan.since, at(20), at(40)).await.unwrap();
    let well = FetchHealth { failure: None, last_success_at: Some(at(20)), announced: None };
    assert_eq!(state_of(store, 3).await.unwrap().health, well, "a good reading clears the failure");
    store.record_failure(&id, plan.since, &a_failure(25)).await.unwrap();
    store.record_success(&id, plan.since, at(15), at(40)).await.unwrap();
    let failed = FetchHealth { failure: Some(a_failure(25)), last_success_at: Some(at(20)), announced: None };
    assert_eq!(state_of(store, 3).await.unwrap().health, failed, "an older good reading changes nothing");
    assert!(
        matches!(store.record_success(&id, at(1), at(30), at(40)).await, Err(StoreError::Stale)),
        "plans are told apart"
    );
    let unknown = store.record_success(&connection_id(99), at(0), at(30), at(40)).await;
    assert!(matches!(unknown, Err(StoreError::Stale)), "a good reading of no plan is stale");

    announced(store, &id, plan.since).await;
    let failed = state_of(store, 3).await.unwrap().health;
    let later = Validators { etag: Some("\"2\"".to_owned()), last_modified: None };
    store.record_validators(&id, plan.since, &later, at(30)).await.unwrap();
    let noted = FetchPlan { validators: later.clone(), validators_at: Some(at(30)), ..plan.clone() };
    let expected = FetchState { plan: noted, health: failed.clone() };
    assert_eq!(state_of(store, 3).await, Some(expected), "later validators are kept beside the health");
    let elsewhen = store.record_validators(&id, at(1), &later, at(31)).await;
    assert!(matches!(elsewhen, Err(StoreError::Stale)), "validators of another plan are stale");
    let unknown = store.record_validators(&connection_id(99), at(0), &later, at(31)).await;
    assert!(matches!(unknown, Err(StoreError::Stale)), "so are those of no plan");

    let pending = FetchPlan { pending: true, ..plan.clone() };
    let second = Property { revision: 2, ..property.clone() };
    let change = PlanChange::Put { plan: pending.clone(), fresh: false, taken: None };
    properties.commit(&PropertyCommit { plans: vec![change], ..nothing_but(&second) }).await.unwrap();
    let expected = FetchState { plan: pending, health: failed };
    assert_eq!(
        state_of(store, 3).await,
        Some(expected),
        "a plan that goes on keeps its health, and the validators that it says"
    );
    let moved = FetchPlan { url: a_url(77), since: at(50), ..plan };
    let third = Property { revision: 3, ..property.clone() };
    let change = PlanChange::Put { plan: moved.clone(), fresh: true, taken: None };
    properties.commit(&PropertyCommit { plans: vec![change], ..nothing_but(&third) }).await.unwrap();
    let expected = FetchState { plan: moved, health: FetchHealth::default() };
    assert_eq!(state_of(store, 3).await, Some(expected), "a fresh plan begins with good health");
    assert!(
        matches!(store.record_success(&id, at(0), at(60), at(40)).await, Err(StoreError::Stale)),
        "it is another plan"
    );
    let fourth = Property { revision: 4, ..property.clone() };
    let commit = PropertyCommit { plans: vec![PlanChange::Remove(id)], ..nothing_but(&fourth) };
    properties.commit(&commit).await.unwrap();
    assert_eq!(state_of(store, 3).await, None, "a removed plan is gone");
}

/// 3 has a failure since 25, and was read well at 20.
async fn announced(store: &dyn FetchStore, id: &ConnectionId, since: Timestamp) {
    let first = AnnouncedReading { since: at(26), read_at: at(26) };
    store.record_announced(id, since, &first, &a_small_body("one"), None).await.unwrap();
    let health = state_of(store, 3).await.unwrap().health;
    assert_eq!(health.announced, Some(first), "what was announced is kept");
    assert_eq!((health.failure, health.last_success_at), (Some(a_failure(25)), Some(at(20))), "beside all the rest");
    let second = AnnouncedReading { since: at(26), read_at: at(30) };
    store.record_announced(id, since, &second, &a_small_body("two"), Some(at(22))).await.unwrap();
    let health = state_of(store, 3).await.unwrap().health;
    assert_eq!((health.announced, health.last_success_at), (Some(second), Some(at(22))), "the last one is kept");
    let elsewhen = store.record_announced(id, at(1), &first, &a_small_body("one"), None).await;
    assert!(matches!(elsewhen, Err(StoreError::Stale)), "of another plan it is stale");
    let unknown = store.record_announced(&connection_id(99), at(0), &first, &a_small_body("one"), None).await;
    assert!(matches!(unknown, Err(StoreError::Stale)), "and so of none");

    store.record_success(id, since, at(90_000), at(90_000)).await.unwrap();
    store.record_success(id, since, at(31), at(32)).await.unwrap();
    let health = state_of(store, 3).await.unwrap().health;
    assert_eq!(health.last_success_at, Some(at(31)), "a success of the future is replaced by one of the present");
    assert_eq!(health.announced, Some(second), "and what was announced stays written");
}

fn small(text: &str) -> SmallBody {
    let validators = Validators { etag: Some(format!("\"é {text}\"")), last_modified: None };
    let body = Bytes::from(text.repeat(SmallBody::BYTES / text.len().max(1)));
    SmallBody { snapshot: Snapshot(format!("{:064x}", text.len())), parked: ParkedBody { body, validators } }
}

fn a_small_body(text: &str) -> WaitingBody {
    WaitingBody::Small(small(text))
}

/// Bodies wait with a plan until a change takes them in, and then lie with the connection.
async fn bodies(store: &dyn FetchStore, properties: &dyn PropertyStore) {
    let property = a_property(1, 2);
    let (id, plan) = (connection_id(60), FetchPlan { since: at(0), ..a_plan(&property, 60) });
    let put = |fresh, taken| vec![PlanChange::Put { plan: plan.clone(), fresh, taken }];
    let waits = async || {
        let mut found = store.waiting(&[id.clone(), connection_id(61)]).await.unwrap();
        assert!(found.len() <= 1, "of others nothing is told");
        found.remove(&id).and_then(|feed| feed.body)
    };
    let kept = async || properties.kept_body(&id, &small("bb").snapshot).await.unwrap();
    let at_revision = |revision| Property { revision, ..property.clone() };
    properties.commit(&PropertyCommit { plans: put(true, None), ..nothing_but(&property) }).await.unwrap();
    assert_eq!((waits().await, kept().await), (None, None), "nothing was read at first");
    let reading = |seconds| AnnouncedReading { since: at(seconds), read_at: at(seconds) };
    store.record_announced(&id, plan.since, &reading(10), &a_small_body("a"), None).await.unwrap();
    assert_eq!(waits().await, Some(a_small_body("a")), "what was read waits");
    assert_eq!(store.waiting(&[]).await.unwrap().len(), 0);
    let changed = PropertyCommit { plans: put(false, None), ..nothing_but(&at_revision(2)) };
    properties.commit(&changed).await.unwrap();
    assert_eq!(waits().await, Some(a_small_body("a")), "also while the plan changes");

    let large = WaitingBody::Parked(Snapshot("1a".repeat(32)));
    store.record_announced(&id, plan.since, &reading(20), &large, None).await.unwrap();
    assert_eq!(waits().await, Some(large.clone()), "a later one takes its place");
    store.record_announced(&id, plan.since, &reading(15), &a_small_body("a"), None).await.unwrap();
    assert_eq!(waits().await, Some(large), "and an earlier one that comes late does not");
    let ahead = AnnouncedReading { since: at(90_000), read_at: at(90_000) };
    store.record_announced(&id, plan.since, &ahead, &a_small_body("a"), None).await.unwrap();
    store.record_announced(&id, plan.since, &reading(30), &a_small_body("bb"), None).await.unwrap();
    assert_eq!(waits().await, Some(a_small_body("bb")), "unless the later one is of a clock that was ahead");

    let taking = |revision, seconds| PropertyCommit {
        plans: put(false, Some(at(seconds))),
        put_bodies: vec![(id.clone(), small("bb"))],
        ..nothing_but(&at_revision(revision))
    };
    let late = properties.commit(&taking(3, 20)).await;
    assert!(matches!(late, Err(StoreError::Stale)), "who takes in an earlier one than waits is stale");
    assert_eq!((waits().await, kept().await), (Some(a_small_body("bb")), None), "and nothing is written");
    properties.commit(&taking(3, 30)).await.unwrap();
    assert_eq!(
        (waits().await, kept().await),
        (None, Some(small("bb").parked)),
        "what was taken in is kept, and waits no more"
    );
    let health = store.fetch_states(std::slice::from_ref(&id)).await.unwrap().remove(&id).unwrap().health;
    assert_eq!(health.announced, Some(reading(30)), "that it was announced stays written");

    store.record_announced(&id, plan.since, &reading(40), &a_small_body("ccc"), None).await.unwrap();
    let fresh = PropertyCommit { plans: put(true, None), ..nothing_but(&at_revision(4)) };
    properties.commit(&fresh).await.unwrap();
    assert_eq!((waits().await, kept().await), (None, Some(small("bb").parked)), "a body of another URL waits no more");
    store.record_announced(&id, plan.since, &reading(50), &a_small_body("ccc"), None).await.unwrap();
    let unplanned = PropertyCommit { plans: vec![PlanChange::Remove(id.clone())], ..nothing_but(&at_revision(5)) };
    properties.commit(&unplanned).await.unwrap();
    let again = PropertyCommit { plans: put(false, None), ..nothing_but(&at_revision(6)) };
    properties.commit(&again).await.unwrap();
    assert_eq!(waits().await, None, "and one that waits goes with its plan");
    properties.purge(&property.id).await.unwrap();
}

/// The number that is known of a bucket's last pass, and whether it says that this connection was skipped.
async fn last_pass(store: &dyn FetchStore, bucket: u16, n: u64) -> Option<(i64, bool)> {
    let records = store.sweeps(&[bucket]).await.unwrap();
    assert!(
        records.iter().all(|record| (record.first_bucket..=record.last_bucket).contains(&bucket)),
        "only passes over what was asked for"
    );
    let last = records.into_iter().max_by_key(|record| record.number)?;
    Some((last.number, last.skipped.contains(&connection_id(n))))
}

async fn sweeps(store: &dyn FetchStore) {
    let skipped = connection_id(5);
    let bucket = bucket_of(&skipped);
    let first = bucket / 64 * 64;
    let record = |number: i64, first_bucket: u16, last_bucket: u16, skipped: &[_]| SweepRecord {
        first_bucket,
        last_bucket,
        number,
        started_at: at(number),
        skipped: skipped.to_vec(),
    };
    assert_eq!(last_pass(store, bucket, 5).await, None, "no pass is known at first");
    let own = record(10, first, first + 63, std::slice::from_ref(&skipped));
    store.record_sweep(&own).await.unwrap();
    assert_eq!(store.sweeps(&[bucket]).await.unwrap(), vec![own], "a pass is kept as it was");
    store.record_sweep(&record(9, first, first + 63, &[])).await.unwrap();
    assert_eq!(last_pass(store, bucket, 5).await, Some((10, true)), "an older pass does not replace a newer one");
    store.record_sweep(&record(11, first, first + 31, &[])).await.unwrap();
    store.record_sweep(&record(11, first + 32, first + 63, &[])).await.unwrap();
    assert_eq!(last_pass(store, bucket, 5).await, Some((11, false)), "passes over other runs are known too");
    store.record_sweep(&record(12, 0, 4095, &[skipped, connection_id(6)])).await.unwrap();
    assert_eq!(last_pass(store, bucket, 5).await, Some((12, true)), "a pass over everything is known everywhere");
    assert_eq!(last_pass(store, bucket_of(&connection_id(6)), 6).await, Some((12, true)), "with all that it skipped");
    let everywhere: Vec<u16> = (0..4096).collect();
    let records = store.sweeps(&everywhere).await.unwrap();
    for bucket in everywhere {
        let covered = records.iter().any(|known| (known.first_bucket..=known.last_bucket).contains(&bucket));
        assert!(covered, "many buckets can be asked for at once");
    }
}

async fn pauses(store: &dyn FetchStore) {
    let pause = |host: &str, seconds: i64| HostPause { host: host.to_owned(), until: at(seconds) };
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<BTreeSet<_>>();
    let all = hosts(&["a.example", "b.example", "c.example"]);
    assert!(store.paused_hosts(&all, at(0)).await.unwrap().is_empty(), "no host is paused at first");
    store.pause_host(&pause("a.example", 100)).await.unwrap();
    store.pause_host(&pause("a.example", 50)).await.unwrap();
    store.pause_host(&pause("b.example", 20)).await.unwrap();
    let standing = store.paused_hosts(&all, at(10)).await.unwrap();
    assert_eq!(standing, vec![pause("a.example", 100), pause("b.example", 20)], "the longer pause stands");
    let standing = store.paused_hosts(&hosts(&["b.example", "c.example"]), at(10)).await.unwrap();
    assert_eq!(standing, vec![pause("b.example", 20)], "nobody is told of others");
    assert!(store.paused_hosts(&BTreeSet::new(), at(10)).await.unwrap().is_empty());
    assert_eq!(
        store.paused_hosts(&all, at(20)).await.unwrap(),
        vec![pause("a.example", 100)],
        "a pause ends at its time"
    );
    store.pause_host(&pause("a.example", 200)).await.unwrap();
    assert_eq!(
        store.paused_hosts(&all, at(150)).await.unwrap(),
        vec![pause("a.example", 200)],
        "a pause can be prolonged"
    );
}

async fn steps(store: &dyn FetchStore) {
    assert_eq!(store.last_step().await.unwrap(), None, "no step is known at first");
    for step in [1_796_378_460, 1_796_378_520, 1_796_378_400] {
        store.record_step(step).await.unwrap();
        assert_eq!(store.last_step().await.unwrap(), Some(step), "the last one that was written, and no other");
    }
}
