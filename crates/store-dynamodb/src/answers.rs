//! Kept answers to requests with an `Idempotency-Key`. An answer arrives here sealed.

use async_trait::async_trait;
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use calmesh_app::{
    model::SecretHash,
    ports::{IDEMPOTENCY_LEASE, IdempotencyStart, IdempotencyStore, StoreError},
};
use calmesh_calendar::AccountId;
use jiff::{SignedDuration, Timestamp};

use crate::{
    DynamoStore, item,
    schema::{self, attr},
    table::{CallError, Condition, Item, Write},
};

const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
const KEPT_DAYS: i64 = 1;
/// An item takes 400 KB.
const LARGEST: usize = 380_000;

/// Taken over by whoever comes first: the lease that was seen must still stand.
fn as_seen(lease: Timestamp) -> Condition {
    Condition::new("attribute_not_exists(#sealed) AND #lease_until = :seen").with("seen", item::instant(lease))
}

fn leased_until(now: Timestamp) -> AttributeValue {
    item::instant(now.saturating_add(IDEMPOTENCY_LEASE).unwrap_or(Timestamp::MAX))
}

fn seed_of(item: &Item) -> Result<[u8; 16], StoreError> {
    let seed = hex::decode(item::get_text(item, attr::SEED)?).ok();
    seed.and_then(|seed| seed.try_into().ok()).ok_or_else(|| item::missing(attr::SEED))
}

#[async_trait]
impl IdempotencyStore for DynamoStore {
    async fn start(
        &self,
        account: &AccountId,
        key: &str,
        fingerprint: &SecretHash,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<IdempotencyStart, StoreError> {
        let mut fresh = schema::answer(account, key).item();
        fresh.insert(attr::FINGERPRINT.to_owned(), item::text(fingerprint.to_hex()));
        fresh.insert(attr::SEED.to_owned(), item::text(hex::encode(seed)));
        fresh.insert(attr::STARTED_AT.to_owned(), item::instant(now));
        fresh.insert(attr::LEASE_UNTIL.to_owned(), leased_until(now));
        fresh.insert(attr::TTL.to_owned(), item::expiry(now, KEPT_DAYS));
        let free = Condition::new("attribute_not_exists(#pk) OR #started_at <= :forgotten")
            .with("forgotten", item::instant(now.saturating_sub(KEPT_FOR).unwrap_or(Timestamp::MIN)));
        let error = match self.table.write(Write::put(fresh.clone()).when(free)).await {
            Ok(_) => return Ok(IdempotencyStart::New { seed, again: false }),
            Err(error) => error,
        };
        let Some(standing) = error.standing(0) else { return Err(error.or_stale()) };
        let same = item::get_text(standing, attr::FINGERPRINT)? == fingerprint.to_hex();
        match standing.get(attr::SEALED) {
            _ if !same && standing.contains_key(attr::SEALED) => return Ok(IdempotencyStart::Mismatch),
            Some(AttributeValue::B(sealed)) => return Ok(IdempotencyStart::Done(sealed.as_ref().to_vec())),
            Some(_) => return Err(item::missing(attr::SEALED)),
            None => {}
        }
        let lease = item::get_instant(standing, attr::LEASE_UNTIL)?;
        let taken = if same { IdempotencyStart::Running } else { IdempotencyStart::Mismatch };
        if now < lease {
            return Ok(taken);
        }
        let (write, start) = if same {
            let set = vec![(attr::LEASE_UNTIL.to_owned(), leased_until(now))];
            let seed = seed_of(standing)?;
            (Write::set(schema::answer(account, key), set, &[]), IdempotencyStart::New { seed, again: true })
        } else {
            (Write::put(fresh), IdempotencyStart::New { seed, again: false })
        };
        match self.table.write(write.when(as_seen(lease))).await {
            Ok(_) => Ok(start),
            Err(CallError::Refused(_)) => Ok(taken),
            Err(error) => Err(error.or_stale()),
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
        let unanswered = Condition::new("attribute_exists(#pk) AND attribute_not_exists(#sealed)");
        let set = vec![(attr::LEASE_UNTIL.to_owned(), item::instant(Timestamp::UNIX_EPOCH))];
        match self.table.write(Write::set(schema::answer(account, key), set, &[]).when(unanswered)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }
}
