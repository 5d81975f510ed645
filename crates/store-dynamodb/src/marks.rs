//! Dirty marks and wake-up times, by the sparse index.

use async_trait::async_trait;
use calmesh_app::{
    model::postponed,
    ports::{Mark, MarkStore, StoreError},
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    item::{self, MarkState},
    schema::{self, attr},
    table::{CallError, Condition, Item, Write},
};

const QUERIES_AT_ONCE: usize = 16;
/// How often a mark is looked at again that moves while it is postponed.
const LOOKS: u32 = 10;

impl DynamoStore {
    async fn marks(&self, until: Option<Timestamp>, dirty_only: bool, limit: u16) -> Result<Vec<Mark>, StoreError> {
        let limit = usize::from(limit);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let until = until.map(schema::sortable);
        let found: Vec<Vec<Item>> = stream::iter(0..schema::MARK_PARTITIONS)
            .map(|nth| {
                let until = until.as_deref();
                async move { self.table.query_marks(&schema::mark_partition_at(nth), until, dirty_only, limit).await }
            })
            .buffer_unordered(QUERIES_AT_ONCE)
            .try_collect()
            .await?;
        let mut marks = Vec::new();
        for item in found.iter().flatten() {
            let mark = schema::mark_of(item::get_text(item, attr::PK)?).ok_or_else(|| item::missing(attr::PK))?;
            marks.push((item::get_text(item, attr::MSK)?, mark));
        }
        marks.sort();
        Ok(marks.into_iter().take(limit).map(|(_, mark)| mark).collect())
    }
}

#[async_trait]
impl MarkStore for DynamoStore {
    async fn due(&self, now: Timestamp, limit: u16) -> Result<Vec<Mark>, StoreError> {
        self.marks(Some(now), false, limit).await
    }

    async fn dirty(&self, limit: u16) -> Result<Vec<Mark>, StoreError> {
        self.marks(None, true, limit).await
    }

    async fn postpone(&self, mark: &Mark, now: Timestamp) -> Result<(), StoreError> {
        let (key, id) = match mark {
            Mark::Property { id } => (schema::property_head(id), id.as_str()),
            Mark::Link { id } => (schema::link(id), id.as_str()),
            Mark::Account { id } => (schema::account(id), id.as_str()),
            Mark::Refresh { id } => (schema::refresh(id), id.as_str()),
        };
        for _ in 0..LOOKS {
            let Some(head) = self.table.get(&key).await? else { return Ok(()) };
            let Some(at) = head.get(attr::MSK).cloned() else { return Ok(()) };
            let known = MarkState::of(&head)?;
            let (dirty, wake_at) = postponed(known.dirty, known.wake_at, now);
            let later = MarkState { dirty, wake_at };
            let revision: u64 = item::get_number(&head, attr::REV)?;
            let unmoved =
                Condition::new("#rev = :rev AND #msk = :msk").with("rev", item::number(revision)).with("msk", at);
            let (set, remove) = later.update(id);
            match self.table.write(Write::set(key.clone(), set, &remove).when(unmoved)).await {
                Ok(_) => return Ok(()),
                Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.or_stale()),
            }
        }
        // It moved all the time, so somebody is at work on it.
        Ok(())
    }
}
