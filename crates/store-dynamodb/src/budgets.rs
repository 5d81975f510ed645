//! Budgets that hold over all instances: an item says when a bucket is full again.

use async_trait::async_trait;
use calmesh_app::{
    model::{Budget, Spender, Spent},
    ports::{BudgetStore, StoreError},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    DynamoStore, item,
    schema::{self, attr},
    table::{CallError, Condition, Write},
};

/// A bucket that has been full for so long says nothing.
const KEPT_DAYS: i64 = 1;
/// How often it is tried while others spend of the same bucket.
const TRIES: u32 = 10;
/// Told to whoever found so many others at the same bucket.
const CROWDED: SignedDuration = SignedDuration::from_secs(1);

#[async_trait]
impl BudgetStore for DynamoStore {
    async fn spend(
        &self,
        spender: &Spender,
        budget: Budget,
        patience: SignedDuration,
        now: Timestamp,
    ) -> Result<Spent, StoreError> {
        let key = schema::budget(spender);
        // A refusal costs a read alone.
        let mut standing = self.table.get(&key).await?;
        for _ in 0..TRIES {
            let known = standing.as_ref().map(|item| item::get_instant(item, attr::UNTIL)).transpose()?;
            let (spent, full_at) = budget.spend(known, patience, now);
            let Some(full_at) = full_at else { return Ok(spent) };
            let unmoved = match known {
                None => Condition::absent(),
                Some(known) => Condition::new("#until = :known").with("known", item::instant(known)),
            };
            let set = vec![
                (attr::UNTIL.to_owned(), item::instant(full_at)),
                (attr::TTL.to_owned(), item::expiry(full_at, KEPT_DAYS)),
            ];
            match self.table.write(Write::set(key.clone(), set, &[]).when(unmoved)).await {
                Ok(_) => return Ok(spent),
                Err(CallError::Refused(refused)) => standing = refused.into_iter().find_map(|(_, item)| item),
                Err(error) => return Err(error.or_stale()),
            }
        }
        Ok(Spent::Refused { retry_after: CROWDED })
    }
}
