//! Manual refreshes, gone after a week. An outcome is an item of its own.

use std::collections::BTreeSet;

use async_trait::async_trait;
use calmesh_app::{
    model::{Outcome, Refresh, RefreshOutcome, RefreshScope},
    ports::{Page, PageRequest, RefreshStore, StoreError},
};
use calmesh_calendar::{AccountId, ConnectionId, RefreshId};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::Document,
    item::{self, MarkState},
    schema::{self, attr},
    table::{CallError, Condition, Item, Range, Write},
};

const KEPT_DAYS: i64 = 7;
const WRITES_AT_ONCE: usize = 16;

fn outcome_item(
    id: &RefreshId,
    connection: &ConnectionId,
    outcome: &Outcome,
    requested_at: Timestamp,
) -> Result<Item, StoreError> {
    let mut item = schema::outcome(id, connection).item();
    item.insert(attr::DOC.to_owned(), item::text(outcome.encode()?));
    item.insert(attr::FINAL.to_owned(), item::number(u8::from(*outcome != Outcome::Pending)));
    item.insert(attr::TTL.to_owned(), item::expiry(requested_at, KEPT_DAYS));
    Ok(item)
}

fn is_pending(item: &Item) -> Result<bool, StoreError> {
    Ok(item::get_number::<u8>(item, attr::FINAL)? == 0)
}

fn read_refresh(item: &Item) -> Result<Refresh, StoreError> {
    let stored: Refresh = item::document(item, attr::DOC)?;
    Ok(Refresh { spread: item::get_number::<u8>(item, attr::SPREAD)? == 1, ..stored })
}

#[async_trait]
impl RefreshStore for DynamoStore {
    async fn create_refresh(&self, refresh: &Refresh, pending: &[ConnectionId]) -> Result<(), StoreError> {
        let mut head = schema::refresh(&refresh.id).item();
        head.insert(attr::DOC.to_owned(), item::text(refresh.encode()?));
        head.insert(attr::SPREAD.to_owned(), item::number(u8::from(refresh.spread)));
        head.insert(attr::TTL.to_owned(), item::expiry(refresh.requested_at, KEPT_DAYS));
        // It never changes; marks are postponed under a revision.
        head.insert(attr::REV.to_owned(), item::number(1));
        let mark = MarkState { dirty: refresh.mark(pending), wake_at: None };
        head.extend(mark.attributes(refresh.id.as_str()));
        // The head comes last: whoever sees it sees all that is waited for.
        if self.table.get(&schema::refresh(&refresh.id)).await?.is_some() {
            return Err(StoreError::Exists);
        }
        let outcomes = pending
            .iter()
            .map(|connection| {
                outcome_item(&refresh.id, connection, &Outcome::Pending, refresh.requested_at).map(Write::put)
            })
            .collect::<Result<_, _>>()?;
        self.table.write_many(outcomes).await?;
        match self.table.write(Write::put(head).when(Condition::absent())).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(_)) => Err(StoreError::Exists),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn refresh(&self, id: &RefreshId) -> Result<Option<Refresh>, StoreError> {
        self.table.get(&schema::refresh(id)).await?.as_ref().map(read_refresh).transpose()
    }

    async fn latest_refresh(&self, account: &AccountId, scope: &RefreshScope) -> Result<Option<RefreshId>, StoreError> {
        let item = self.table.get(&schema::latest_refresh(account, scope)).await?;
        let id = |item: &Item| item::get_text(item, attr::REFRESH)?.parse().map_err(|_| item::missing(attr::REFRESH));
        item.as_ref().map(id).transpose()
    }

    async fn claim_latest(&self, refresh: &Refresh, known: Option<&RefreshId>) -> Result<(), StoreError> {
        let set = vec![
            (attr::REFRESH.to_owned(), item::text(refresh.id.as_str())),
            (attr::TTL.to_owned(), item::expiry(refresh.requested_at, KEPT_DAYS)),
        ];
        let unmoved = match known {
            None => Condition::absent(),
            Some(known) => Condition::new("#refresh = :known").with("known", item::text(known.as_str())),
        };
        let key = schema::latest_refresh(&refresh.account, &refresh.scope);
        self.table.write(Write::set(key, set, &[]).when(unmoved)).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn still_pending(
        &self,
        id: &RefreshId,
        connections: &[ConnectionId],
    ) -> Result<Vec<ConnectionId>, StoreError> {
        let keys: Vec<_> = connections.iter().map(|connection| schema::outcome(id, connection)).collect();
        let mut waits = BTreeSet::new();
        for item in self.table.get_many(&keys, true).await? {
            if is_pending(&item)? {
                waits.insert(item::get_text(&item, attr::SK)?.to_owned());
            }
        }
        let waits = |connection: &&ConnectionId| waits.contains(&schema::outcome(id, connection).sk);
        Ok(connections.iter().filter(waits).cloned().collect())
    }

    async fn add_pending(&self, id: &RefreshId, connections: &[ConnectionId]) -> Result<(), StoreError> {
        let Some(refresh) = self.refresh(id).await? else { return Ok(()) };
        let requested_at = refresh.requested_at;
        stream::iter(connections.to_vec())
            .map(|connection| async move {
                let item = outcome_item(id, &connection, &Outcome::Pending, requested_at)?;
                match self.table.write(Write::put(item).when(Condition::absent())).await {
                    Ok(_) | Err(CallError::Refused(_)) => Ok(()),
                    Err(error) => Err(error.or_stale()),
                }
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }

    async fn finish_refresh(&self, id: &RefreshId) -> Result<(), StoreError> {
        let (set, remove) = MarkState { dirty: None, wake_at: None }.update(id.as_str());
        let marked = Condition::new("attribute_exists(#mpk)");
        match self.table.write(Write::set(schema::refresh(id), set, &remove).when(marked)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn mark_spread(&self, id: &RefreshId) -> Result<(), StoreError> {
        let set = vec![(attr::SPREAD.to_owned(), item::number(1))];
        match self.table.write(Write::set(schema::refresh(id), set, &[]).when(Condition::present())).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn record_outcome(
        &self,
        id: &RefreshId,
        connection: &ConnectionId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let set = vec![
            (attr::DOC.to_owned(), item::text(outcome.encode()?)),
            (attr::FINAL.to_owned(), item::number(u8::from(*outcome != Outcome::Pending))),
        ];
        let waits = Condition::new("#final = :waits").with("waits", item::number(0));
        match self.table.write(Write::set(schema::outcome(id, connection), set, &[]).when(waits)).await {
            Ok(_) => return Ok(()),
            Err(error) if error.standing(0).is_some() => return Ok(()),
            Err(CallError::Refused(_)) => {}
            Err(error) => return Err(error.or_stale()),
        }
        // Nobody waited for it yet.
        let Some(refresh) = self.refresh(id).await? else { return Ok(()) };
        let item = outcome_item(id, connection, outcome, refresh.requested_at)?;
        let waits = Condition::new("attribute_not_exists(#pk) OR #final = :waits").with("waits", item::number(0));
        match self.table.write(Write::put(item).when(waits)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn outcomes(&self, id: &RefreshId, page: PageRequest) -> Result<Page<RefreshOutcome>, StoreError> {
        // A dead attempt to create leaves outcomes without a head.
        let range = Range::of(schema::refresh_partition(id), schema::OUTCOMES);
        self.list(range, page, |item| {
            let id = item::get_text(item, attr::SK)?.strip_prefix(schema::OUTCOMES).and_then(|id| id.parse().ok());
            let connection = id.ok_or_else(|| item::missing(attr::SK))?;
            Ok(RefreshOutcome { connection, outcome: item::document(item, attr::DOC)? })
        })
        .await
    }

    async fn any_pending(&self, id: &RefreshId) -> Result<bool, StoreError> {
        let mut range = Range::of(schema::refresh_partition(id), schema::OUTCOMES);
        loop {
            let (items, _) = self.table.query(&range, Some(500)).await?;
            for item in &items {
                if is_pending(item)? {
                    return Ok(true);
                }
            }
            match items.last() {
                Some(last) if items.len() == 500 => {
                    range = range.after(Some(item::get_text(last, attr::SK)?.to_owned()));
                }
                _ => return Ok(false),
            }
        }
    }
}
