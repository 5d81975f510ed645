//! Kept answers to requests with an `Idempotency-Key`. An answer arrives here sealed.

use async_trait::async_trait;
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use calmesh_app::{
    model::SecretHash,
    ports::{IdempotencyStart, IdempotencyStore, StoreError},
};
use calmesh_calendar::AccountId;
use jiff::{SignedDuration, Timestamp};

use crate::{
    DynamoStore, item,
    schema::{self, attr},
    table::{CallError, Condition, Write},
};

/// A request that has not come to its end after this long is taken for dead.
const RUNS_AT_MOST: SignedDuration = SignedDuration::from_mins(1);
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
const KEPT_DAYS: i64 = 1;
/// An item takes 400 KB.
const LARGEST: usize = 380_000;

#[async_trait]
impl IdempotencyStore for DynamoStore {
    async fn start(
        &self,
        account: &AccountId,
        key: &str,
        fingerprint: &SecretHash,
        now: Timestamp,
    ) -> Result<IdempotencyStart, StoreError> {
        let mut item = schema::answer(account, key).item();
        item.insert(attr::FINGERPRINT.to_owned(), item::text(fingerprint.to_hex()));
        item.insert(attr::STARTED_AT.to_owned(), item::instant(now));
        item.insert(attr::TTL.to_owned(), item::expiry(now, KEPT_DAYS));
        let free = Condition::new(
            "attribute_not_exists(#pk) OR #started_at <= :forgotten \
             OR (attribute_not_exists(#sealed) AND #started_at <= :dead)",
        )
        .with("forgotten", item::instant(now.saturating_sub(KEPT_FOR).unwrap_or(Timestamp::MIN)))
        .with("dead", item::instant(now.saturating_sub(RUNS_AT_MOST).unwrap_or(Timestamp::MIN)));
        let error = match self.table.write(Write::put(item).when(free)).await {
            Ok(_) => return Ok(IdempotencyStart::New),
            Err(error) => error,
        };
        let Some(standing) = error.standing(0) else { return Err(error.or_stale()) };
        if item::get_text(standing, attr::FINGERPRINT)? != fingerprint.to_hex() {
            return Ok(IdempotencyStart::Mismatch);
        }
        match standing.get(attr::SEALED) {
            None => Ok(IdempotencyStart::Running),
            Some(AttributeValue::B(sealed)) => Ok(IdempotencyStart::Done(sealed.as_ref().to_vec())),
            Some(_) => Err(item::missing(attr::SEALED)),
        }
    }

    async fn finish(&self, account: &AccountId, key: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        if sealed.len() > LARGEST {
            // Only answers that change nothing are so large; the request may run once more.
            return self.abandon(account, key).await;
        }
        let set = vec![
            (attr::SEALED.to_owned(), AttributeValue::B(Blob::new(sealed))),
            (attr::STARTED_AT.to_owned(), item::instant(now)),
            (attr::TTL.to_owned(), item::expiry(now, KEPT_DAYS)),
        ];
        match self.table.write(Write::set(schema::answer(account, key), set, &[]).when(Condition::present())).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn abandon(&self, account: &AccountId, key: &str) -> Result<(), StoreError> {
        let unanswered = Condition::new("attribute_not_exists(#sealed)");
        match self.table.write(Write::delete(schema::answer(account, key)).when(unanswered)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }
}
