//! Large things, what they cost, and what an error tells.

use std::time::Instant;

use calmesh_app::{
    contract::{a_block, a_connection, a_link, a_plan, a_property, an_account_stands, at, connection_id, nothing_but},
    model::{Property, SweepRecord, bucket_of},
    ports::{FetchStore, LinkStore, PlanChange, PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::Block;

use super::embedded::embedded;

#[tokio::test]
async fn five_thousand_blocks_are_one_change() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let second = Property { revision: 2, ..property.clone() };
    let block = |n: u64| Block { summary: "x".repeat(200), ..a_block(1, n) };
    let large = PropertyCommit {
        put_connections: vec![a_connection(&property, 1)],
        put_blocks: (0..5000).map(block).collect(),
        plans: vec![PlanChange::Put { plan: a_plan(&property, 1), fresh: true }],
        ..nothing_but(&second)
    };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&large).await.unwrap();
    println!("5,000 blocks committed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let before = store.usage();
    let started = Instant::now();
    let state = store.load(&property.id).await.unwrap().unwrap();
    println!("5,000 blocks loaded in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let mut expected = large.put_blocks.clone();
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(state.blocks, expected);

    let third = Property { revision: 3, ..second };
    let small = PropertyCommit { put_blocks: vec![a_block(1, 7)], ..nothing_but(&third) };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&small).await.unwrap();
    println!("one block changed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let gone = PropertyCommit {
        remove_blocks: expected.iter().map(|block| block.id.clone()).collect(),
        ..nothing_but(&Property { revision: 4, ..third })
    };
    store.commit(&gone).await.unwrap();
    assert!(store.load(&property.id).await.unwrap().unwrap().blocks.is_empty());
}

#[tokio::test]
async fn a_pass_that_skipped_twenty_thousand_says_so_of_each() {
    let (store, _) = embedded().await;
    let of_one_partition: Vec<_> = (0..).map(connection_id).filter(|id| bucket_of(id) < 64).take(20_000).collect();
    let record = SweepRecord {
        first_bucket: 0,
        last_bucket: 63,
        number: 5,
        started_at: at(0),
        skipped: of_one_partition.clone(),
    };
    store.record_sweep(&record).await.unwrap();
    let mut found = store.sweeps(&[3]).await.unwrap().remove(0).skipped;
    found.sort();
    let mut expected = of_one_partition;
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_error_tells_nothing_of_an_item() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    // More than an item can hold.
    let too_large = Property { name: "secret ".repeat(100_000), ..property };
    let error = store.commit(&nothing_but(&too_large)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let told = format!("{error:?} {error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(!told.contains("secret"), "{told}");
    assert!(told.contains("ValidationException"), "{told}");
}

#[tokio::test]
async fn what_is_asked_of_the_table_is_metered() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let before = store.usage();
    assert!(before.write_units > 0.0 && before.calls > 0, "{before:?}");
    store.clone().load(&property.id).await.unwrap();
    let used = store.usage().since(before);
    assert_eq!(used.calls, 1, "one query reads a property");
    assert!(used.read_units > 0.0 && used.write_units == 0.0, "{used:?}");
}

#[tokio::test]
async fn a_link_that_is_read_all_the_time_keeps_some_of_the_times_and_says_so() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    store.put_link(&a_link(1, 1)).await.unwrap();
    let hash = a_link(1, 1).token.hash();
    for second in 0..130 {
        store.record_reads(&hash, &[at(second)].into()).await.unwrap();
    }
    let often = store.read_times(&[hash]).await.unwrap().remove(0);
    assert!(!often.whole && often.times.len() < 121, "{}", often.times.len());
    assert_eq!((often.times[0], often.times.last().copied()), (at(0), Some(at(129))), "the first and the last stay");
    assert_eq!(store.reads(&[hash], at(129)).await.unwrap()[0].reads_24h, 130, "and all of them count");
    // Two days later that hour is forgotten, and nothing is missing any more.
    for hour in [50, 51] {
        store.record_reads(&hash, &[at(hour * 3600)].into()).await.unwrap();
    }
    let times = store.read_times(&[hash]).await.unwrap().remove(0);
    assert!(times.whole && times.times == [at(50 * 3600), at(51 * 3600)], "{times:?}");
}
