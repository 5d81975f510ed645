//! Kept answers.

use super::{account_id, at};
use crate::{
    model::SecretHash,
    ports::{IDEMPOTENCY_LEASE, IdempotencyStart, IdempotencyStore},
};

const DAY: i64 = 24 * 3600;

/// What `IdempotencyStore` promises.
pub async fn idempotency_store(store: &dyn IdempotencyStore) {
    let account = account_id(1);
    let [request, other] = ["request", "other"].map(SecretHash::of);
    let start = async |key: &str, fingerprint: &SecretHash, seconds: i64| {
        let seed = [u8::try_from(seconds % 251).unwrap(); 16];
        store.start(&account, key, fingerprint, seed, at(seconds)).await.unwrap()
    };
    let new = |seconds: u8| IdempotencyStart::New { seed: [seconds; 16], again: false };
    let again = |seconds: u8| IdempotencyStart::New { seed: [seconds; 16], again: true };
    let lease = IDEMPOTENCY_LEASE.as_secs();
    assert!((1..=10).contains(&lease), "who waits after a crash waits seconds");
    assert_eq!(start("a", &request, 7).await, new(7), "a new key is ours");
    assert_eq!(start("a", &request, 6 + lease).await, IdempotencyStart::Running, "while it runs, nobody else has it");
    assert_eq!(start("a", &other, 6 + lease).await, IdempotencyStart::Mismatch, "least of all another request");
    let elsewhere = store.start(&account_id(2), "a", &other, [1; 16], at(10)).await.unwrap();
    assert_eq!(elsewhere, new(1), "another account's key is another key");
    assert_eq!(start("a", &request, 7 + lease).await, again(7), "what came to no end runs again, from its own seed");
    assert_eq!(start("a", &request, 8 + lease).await, IdempotencyStart::Running, "once at a time");
    store.finish(&account, "a", b"sealed", at(70)).await.unwrap();
    let done = IdempotencyStart::Done(b"sealed".to_vec());
    assert_eq!(start("a", &request, 500).await, done, "an answer is kept");
    assert_eq!(start("a", &other, 500).await, IdempotencyStart::Mismatch, "for this request only");
    store.abandon(&account, "a").await.unwrap();
    assert_eq!(start("a", &request, 69 + DAY).await, done, "an answer that is kept can't be abandoned");
    let forgotten = start("a", &request, 70 + DAY).await;
    assert!(matches!(forgotten, IdempotencyStart::New { seed, again: false } if seed != [7; 16]), "for a day");

    assert_eq!(start("a key/with ☂", &request, 0).await, new(0), "a key may be any text");
    store.abandon(&account, "a key/with ☂").await.unwrap();
    assert_eq!(
        start("a key/with ☂", &request, 1).await,
        again(0),
        "what gave up runs again at once, from its own seed"
    );
    store.abandon(&account, "a key/with ☂").await.unwrap();
    assert_eq!(start("a key/with ☂", &other, 2).await, new(2), "or another request takes the key");
    assert_eq!(start("lost", &request, 0).await, new(0));
    assert_eq!(
        start("lost", &other, lease).await,
        IdempotencyStart::New { seed: [u8::try_from(lease).unwrap(); 16], again: false },
        "also after a crash"
    );
    assert_eq!(start("late", &request, 0).await, new(0));
    let late = start("late", &request, DAY).await;
    assert!(
        matches!(late, IdempotencyStart::New { again: false, .. }),
        "what never ended is forgotten after a day too"
    );
    store.finish(&account, "never started", b"sealed", at(0)).await.unwrap();
    assert_eq!(start("never started", &request, 1).await, new(1), "what did not begin does not end");
}
