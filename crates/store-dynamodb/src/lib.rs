#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod accounts;
mod answers;
mod budgets;
mod commit;
mod conflicts;
mod connections;
mod doc;
mod fetches;
#[cfg(feature = "forms")]
pub mod forms;
mod history;
mod item;
mod journal;
mod links;
mod making;
mod marks;
mod meter;
mod pages;
mod property;
mod refreshes;
mod schema;
mod stays;
mod table;

use std::{collections::HashMap, fmt, sync::Arc};

use aws_sdk_dynamodb::Client;
use calmesh_app::ports::{Page, PageRequest, StoreError};

pub use making::create_table_if_missing;
pub use meter::{Metered, Usage};

use schema::{Key, attr};
pub use table::STORE_DAMAGED;
use table::{Item, Range, Table};

/// Every store port over one DynamoDB table. Cheap to clone; clones share the meter.
#[derive(Clone)]
pub struct DynamoStore {
    table: Table,
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoStore").finish_non_exhaustive()
    }
}

impl DynamoStore {
    /// A store over a table that has the keys of `create_table_if_missing`.
    #[must_use]
    pub fn new(client: Client, table_name: impl Into<String>) -> Self {
        Self { table: Table::new(client, table_name.into()) }
    }

    /// What DynamoDB was asked for by this store and its clones.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.table.meter.usage()
    }

    /// The counters behind `usage`, to keep an eye on them elsewhere.
    #[must_use]
    pub fn meter(&self) -> Arc<Metered> {
        Arc::clone(&self.table.meter)
    }

    /// Sixteen random bytes as text.
    fn unique(&self) -> Result<String, StoreError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(hex::encode(bytes))
    }

    /// A page of items that are what is listed.
    async fn list<T>(
        &self,
        range: Range,
        page: PageRequest,
        read: impl Fn(&Item) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let (found, _) = self.table.query(&range.after(page.after), Some(limit + 1)).await?;
        let more = found.len() > limit;
        let shown = found.get(..limit).unwrap_or(&found);
        let items = shown.iter().map(read).collect::<Result<_, _>>()?;
        let last = shown.last().filter(|_| more);
        Ok(Page { items, next: last.map(|item| item::get_text(item, attr::SK).map(str::to_owned)).transpose()? })
    }

    /// How many entries a list has, no further than to `most`: entries are a tenth of a kilobyte, and none is too late to
    /// count half as much.
    async fn count(&self, range: Range, most: usize) -> Result<usize, StoreError> {
        let (entries, _) = self.table.query(&Range { consistent: false, ..range }, Some(most)).await?;
        Ok(entries.len())
    }

    /// A page of heads that entries of a list point to; what is gone or not to be shown is passed over.
    async fn list_by_entry<T>(
        &self,
        range: Range,
        page: PageRequest,
        head_of: impl Fn(&Item) -> Result<Key, StoreError>,
        read: impl Fn(&Item) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let mut after = page.after;
        let mut shown: Vec<(String, T)> = Vec::new();
        loop {
            let wanted = limit + 1 - shown.len();
            let (entries, _) = self.table.query(&range.clone().after(after.take()), Some(wanted)).await?;
            let keys: Vec<Key> = entries.iter().map(&head_of).collect::<Result<_, _>>()?;
            let mut heads: HashMap<String, Item> = HashMap::new();
            for head in self.table.get_many(&keys, true).await? {
                heads.insert(item::get_text(&head, attr::PK)?.to_owned(), head);
            }
            for (entry, key) in entries.iter().zip(&keys) {
                if let Some(head) = heads.get(&key.pk)
                    && let Some(record) = read(head)?
                {
                    shown.push((item::get_text(entry, attr::SK)?.to_owned(), record));
                }
            }
            let ended = entries.len() < wanted;
            if ended || shown.len() > limit {
                let more = shown.len() > limit;
                shown.truncate(limit);
                let next = shown.last().filter(|_| more).map(|(sk, _)| sk.clone());
                return Ok(Page { items: shown.into_iter().map(|(_, record)| record).collect(), next });
            }
            if let Some(last) = entries.last() {
                after = Some(item::get_text(last, attr::SK)?.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
