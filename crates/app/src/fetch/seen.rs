//! What was asked of the store in one go: feeds of the same buckets, properties and accounts ask the same.

use std::{collections::BTreeMap, sync::Mutex};

use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use jiff::Timestamp;

use crate::{
    fetch::Fetch,
    locks::lock,
    model::{FetchPlan, LatestRefresh, Property, RefreshPage, SweepRecord, bucket_of, found_unchanged},
    ports::StoreError,
};

/// By what was asked for, what was found.
type Answers<K, V> = Mutex<BTreeMap<K, V>>;

#[derive(Debug, Default)]
pub(super) struct Seen {
    sweeps: Answers<u16, Vec<SweepRecord>>,
    heads: Answers<PropertyId, Option<Property>>,
    latest: Answers<AccountId, Option<LatestRefresh>>,
    refreshed: Answers<PropertyId, Vec<RefreshPage>>,
}

impl Seen {
    /// These properties were read a moment ago.
    pub(super) fn of(properties: Vec<Property>) -> Self {
        let heads = properties.into_iter().map(|property| (property.id.clone(), Some(property))).collect();
        Self { heads: Mutex::new(heads), ..Self::default() }
    }

    /// The records of the sweeps that may have read this connection.
    pub(super) async fn sweeps(
        &self,
        fetch: &Fetch,
        connection: &ConnectionId,
    ) -> Result<Vec<SweepRecord>, StoreError> {
        let bucket = bucket_of(connection);
        asked_once(&self.sweeps, &bucket, fetch.fetches.sweeps(&[bucket])).await
    }

    /// Whether exports have not followed a change of this property yet.
    pub(super) async fn is_dirty(&self, fetch: &Fetch, property: &PropertyId) -> Result<bool, StoreError> {
        Ok(self.head(fetch, property).await?.is_some_and(|known| known.dirty.is_some()))
    }

    /// When a refresh of the whole account last found this connection unchanged.
    pub(super) async fn refreshed_at(&self, fetch: &Fetch, plan: &FetchPlan) -> Result<Option<Timestamp>, StoreError> {
        let pages = asked_once(&self.refreshed, &plan.property, async {
            let Some(latest) = self.latest(fetch, &plan.account).await? else { return Ok(Vec::new()) };
            let Some(property) = self.head(fetch, &plan.property).await? else { return Ok(Vec::new()) };
            fetch.refreshes.pages_with(&latest, &property).await
        });
        Ok(found_unchanged(&pages.await?, &plan.connection, plan.since))
    }

    async fn latest(&self, fetch: &Fetch, account: &AccountId) -> Result<Option<LatestRefresh>, StoreError> {
        asked_once(&self.latest, account, fetch.refreshes.refresh_of_account(account, fetch.clock.now())).await
    }

    async fn head(&self, fetch: &Fetch, property: &PropertyId) -> Result<Option<Property>, StoreError> {
        asked_once(&self.heads, property, fetch.properties.property(property)).await
    }
}

/// What is known, or else asked for and kept. Two who ask at the same time may both ask.
async fn asked_once<K: Ord + Clone, V: Clone>(
    known: &Answers<K, V>,
    of: &K,
    ask: impl Future<Output = Result<V, StoreError>>,
) -> Result<V, StoreError> {
    let answer = lock(known).get(of).cloned();
    if let Some(answer) = answer {
        return Ok(answer);
    }
    let answer = ask.await?;
    lock(known).insert(of.clone(), answer.clone());
    Ok(answer)
}
