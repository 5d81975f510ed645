//! Kept answers.

use super::{account_id, at};
use crate::{
    model::SecretHash,
    ports::{IdempotencyStart, IdempotencyStore},
};

const DAY: i64 = 24 * 3600;

/// What `IdempotencyStore` promises.
pub async fn idempotency_store(store: &dyn IdempotencyStore) {
    let account = account_id(1);
    let [request, other] = ["request", "other"].map(SecretHash::of);
    let start = async |key: &str, fingerprint: &SecretHash, seconds: i64| {
        store.start(&account, key, fingerprint, at(seconds)).await.unwrap()
    };
    assert_eq!(start("a", &request, 0).await, IdempotencyStart::New, "a new key is ours");
    assert_eq!(start("a", &request, 30).await, IdempotencyStart::Running, "while it runs, nobody else has it");
    assert_eq!(start("a", &other, 30).await, IdempotencyStart::Mismatch, "least of all another request");
    let elsewhere = store.start(&account_id(2), "a", &other, at(30)).await.unwrap();
    assert_eq!(elsewhere, IdempotencyStart::New, "another account's key is another key");
    assert_eq!(start("a", &request, 60).await, IdempotencyStart::New, "what ran for a minute is taken for dead");
    store.finish(&account, "a", b"sealed", at(70)).await.unwrap();
    let done = IdempotencyStart::Done(b"sealed".to_vec());
    assert_eq!(start("a", &request, 500).await, done, "an answer is kept");
    assert_eq!(start("a", &other, 500).await, IdempotencyStart::Mismatch, "for this request only");
    store.abandon(&account, "a").await.unwrap();
    assert_eq!(start("a", &request, 69 + DAY).await, done, "an answer that is kept can't be abandoned");
    assert_eq!(start("a", &request, 70 + DAY).await, IdempotencyStart::New, "for a day");

    assert_eq!(start("a key/with ☂", &request, 0).await, IdempotencyStart::New, "a key may be any text");
    store.abandon(&account, "a key/with ☂").await.unwrap();
    assert_eq!(start("a key/with ☂", &other, 1).await, IdempotencyStart::New, "an abandoned key is free");
    store.finish(&account, "never started", b"sealed", at(0)).await.unwrap();
    assert_eq!(start("never started", &request, 1).await, IdempotencyStart::New, "what did not begin does not end");
}
