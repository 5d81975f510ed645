//! Manual refreshes, gone after a week. What became of the connections of one page is one item.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{LatestRefresh, Outcome, Property, Refresh, RefreshOutcome, RefreshPage, RefreshPart, RefreshScope},
    ports::{Page, PageRequest, RefreshStore, StoreError},
};
use calmesh_calendar::{AccountId, ConnectionId, RefreshId};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::Document,
    item::{self, MarkState},
    schema::{self, Key, attr},
    table::{CallError, Condition, Item, Range, Write},
};

const KEPT_DAYS: i64 = 7;
/// An expression takes 4 KB: so many connections are named in one.
const OUTCOMES_PER_WRITE: usize = 50;
/// Pages that are read by one query.
const PAGES_AT_ONCE: usize = 8;
/// About so many connections are on one page.
const ON_A_PAGE: usize = 64;
/// How often a page is looked at again that others write meanwhile.
const LOOKS: u32 = 10;

/// A page on which all of these are pending.
fn fresh_page(key: &Key, refresh: &Refresh, connections: &[ConnectionId], now: Timestamp) -> Result<Item, StoreError> {
    let pending = item::text(Outcome::Pending.encode()?);
    let outcomes: HashMap<String, AttributeValue> =
        connections.iter().map(|connection| (connection.to_string(), pending.clone())).collect();
    let mut item = key.item();
    item.insert(attr::OUTCOMES.to_owned(), AttributeValue::M(outcomes));
    item.insert(attr::STARTED_AT.to_owned(), item::instant(now));
    item.insert(attr::TTL.to_owned(), item::expiry(refresh.requested_at, KEPT_DAYS));
    Ok(item)
}

fn read_page(item: &Item) -> Result<RefreshPage, StoreError> {
    let wrong = || item::missing(attr::OUTCOMES);
    let map = item.get(attr::OUTCOMES).and_then(|map| map.as_m().ok()).ok_or_else(wrong)?;
    let mut outcomes = BTreeMap::new();
    for (connection, outcome) in map {
        let outcome = Outcome::decode(outcome.as_s().map_err(|_| wrong())?)?;
        outcomes.insert(connection.parse().map_err(|_| wrong())?, outcome);
    }
    Ok(RefreshPage { started_at: item::get_instant(item, attr::STARTED_AT)?, outcomes })
}

/// Outcomes by connection.
type Ends<'a> = Vec<(&'a ConnectionId, &'a Outcome)>;

/// Sets outcomes of a page: those of `pending` while they are, those of `unknown` while nobody waited for them.
fn outcomes_set(key: &Key, pending: &Ends<'_>, unknown: &Ends<'_>) -> Result<Write, StoreError> {
    let place = |connection: &ConnectionId| format!("#{}.#{connection}", attr::OUTCOMES);
    let (mut sets, mut wanted, mut values) = (Vec::new(), vec!["attribute_exists(#pk)".to_owned()], Vec::new());
    for (nth, (connection, outcome)) in pending.iter().chain(unknown).enumerate() {
        let place = place(connection);
        wanted.push(match nth < pending.len() {
            true => format!("{place} = :waits"),
            false => format!("attribute_not_exists({place})"),
        });
        sets.push(format!("{place} = :o{nth}"));
        values.push((format!("o{nth}"), item::text(outcome.encode()?)));
    }
    let mut condition = Condition::new(&wanted.join(" AND "));
    if !pending.is_empty() {
        condition = condition.with("waits", item::text(Outcome::Pending.encode()?));
    }
    let text = format!("SET {}", sets.join(", "));
    Ok(Write::Update { key: key.clone(), text, values, condition: Some(condition) })
}

impl DynamoStore {
    /// Writes outcomes of a page, none in the place of a final one. Answers false where there is no such page.
    async fn write_outcomes(&self, key: &Key, outcomes: &[(ConnectionId, Outcome)]) -> Result<bool, StoreError> {
        let all = || outcomes.iter().map(|(connection, outcome)| (connection, outcome));
        // Most are pending; only who finds otherwise looks.
        let (mut pending, mut unknown): (Ends<'_>, Ends<'_>) = (all().collect(), Vec::new());
        for _ in 0..LOOKS {
            match self.table.write(outcomes_set(key, &pending, &unknown)?).await {
                Ok(_) => return Ok(true),
                Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.or_stale()),
            }
            let Some(standing) = self.table.get(key).await? else { return Ok(false) };
            let page = read_page(&standing)?;
            let waits = |(connection, outcome): &(&ConnectionId, &Outcome)| {
                page.outcomes.get(*connection) == Some(&Outcome::Pending) && **outcome != Outcome::Pending
            };
            pending = all().filter(waits).collect();
            unknown = all().filter(|(connection, _)| !page.outcomes.contains_key(*connection)).collect();
            if pending.is_empty() && unknown.is_empty() {
                return Ok(true);
            }
        }
        Err(StoreError::Stale)
    }
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
        if !pending.is_empty() {
            let page = fresh_page(&schema::outcomes(&refresh.id, ""), refresh, pending, refresh.requested_at)?;
            self.table.write(Write::put(page)).await.map_err(CallError::or_stale)?;
        }
        match self.table.write(Write::put(head).when(Condition::absent())).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(_)) => Err(StoreError::Exists),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn refresh(&self, id: &RefreshId) -> Result<Option<Refresh>, StoreError> {
        self.table.get(&schema::refresh(id)).await?.as_ref().map(read_refresh).transpose()
    }

    async fn latest_refresh(
        &self,
        account: &AccountId,
        scope: &RefreshScope,
    ) -> Result<Option<LatestRefresh>, StoreError> {
        let item = self.table.get(&schema::latest_refresh(account, scope)).await?;
        let latest = |item: &Item| {
            Ok(LatestRefresh {
                id: item::get_text(item, attr::REFRESH)?.parse().map_err(|_| item::missing(attr::REFRESH))?,
                requested_at: item::get_instant(item, attr::REQUESTED_AT)?,
                before: item::find_text(item, attr::BEFORE)
                    .map(|id| id.parse().map_err(|_| item::missing(attr::BEFORE)))
                    .transpose()?,
            })
        };
        item.as_ref().map(latest).transpose()
    }

    async fn claim_latest(&self, refresh: &Refresh, known: Option<&RefreshId>) -> Result<(), StoreError> {
        let mut set = vec![
            (attr::REFRESH.to_owned(), item::text(refresh.id.as_str())),
            (attr::REQUESTED_AT.to_owned(), item::instant(refresh.requested_at)),
            (attr::TTL.to_owned(), item::expiry(refresh.requested_at, KEPT_DAYS)),
        ];
        set.extend(known.map(|known| (attr::BEFORE.to_owned(), item::text(known.as_str()))));
        let unmoved = match known {
            None => Condition::absent(),
            Some(known) => Condition::new("#refresh = :known").with("known", item::text(known.as_str())),
        };
        let key = schema::latest_refresh(&refresh.account, &refresh.scope);
        self.table.write(Write::set(key, set, &[]).when(unmoved)).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn add_pending(
        &self,
        refresh: &Refresh,
        page: &str,
        connections: &[ConnectionId],
        now: Timestamp,
    ) -> Result<Vec<ConnectionId>, StoreError> {
        let key = schema::outcomes(&refresh.id, page);
        let fresh = Write::put(fresh_page(&key, refresh, connections, now)?).when(Condition::absent());
        match self.table.write(fresh).await {
            Ok(_) => return Ok(connections.to_vec()),
            Err(CallError::Refused(_)) => {}
            Err(error) => return Err(error.or_stale()),
        }
        let Some(standing) = self.table.get(&key).await? else { return Ok(Vec::new()) };
        let known = read_page(&standing)?.outcomes;
        let new: Vec<_> = connections.iter().filter(|connection| !known.contains_key(*connection)).collect();
        for chunk in new.chunks(OUTCOMES_PER_WRITE) {
            let chunk: Vec<_> = chunk.iter().map(|connection| ((*connection).clone(), Outcome::Pending)).collect();
            self.write_outcomes(&key, &chunk).await?;
        }
        let waits = |connection: &&ConnectionId| known.get(*connection).is_none_or(|known| *known == Outcome::Pending);
        Ok(connections.iter().filter(waits).cloned().collect())
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

    async fn record_outcomes(
        &self,
        part: &RefreshPart,
        outcomes: &[(ConnectionId, Outcome)],
    ) -> Result<(), StoreError> {
        let key = schema::outcomes(&part.refresh, &part.page);
        for chunk in outcomes.chunks(OUTCOMES_PER_WRITE) {
            if self.write_outcomes(&key, chunk).await? {
                continue;
            }
            // Nobody waited for anything of it yet.
            let Some(refresh) = self.refresh(&part.refresh).await? else { return Ok(()) };
            self.add_pending(&refresh, &part.page, &[], refresh.requested_at).await?;
            self.write_outcomes(&key, chunk).await?;
        }
        Ok(())
    }

    async fn outcomes(&self, id: &RefreshId, page: PageRequest) -> Result<Page<RefreshOutcome>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let mut range = Range::of(schema::refresh_partition(id), schema::OUTCOMES);
        let mut shown = Vec::new();
        let mut add =
            |item: &Item, after: Option<&ConnectionId>| {
                let sk = item::get_text(item, attr::SK)?;
                let outcomes = read_page(item)?.outcomes.into_iter();
                let outcomes = outcomes.filter(|(connection, _)| after.is_none_or(|after| connection > after));
                shown.extend(outcomes.map(|(connection, outcome)| {
                    (format!("{sk}/{connection}"), RefreshOutcome { connection, outcome })
                }));
                Ok::<_, StoreError>(shown.len())
            };
        let mut found = 0;
        if let Some(after) = page.after {
            let wrong = || StoreError::Corrupt { what: "a place in a list".to_owned() };
            let (sk, connection) = after.rsplit_once('/').ok_or_else(wrong)?;
            let connection = connection.parse().map_err(|_| wrong())?;
            if let Some(item) = self.table.get(&Key { pk: schema::refresh_partition(id), sk: sk.to_owned() }).await? {
                found = add(&item, Some(&connection))?;
            }
            range = range.after(Some(sk.to_owned()));
        }
        let at_once = limit.div_ceil(ON_A_PAGE).min(PAGES_AT_ONCE);
        // A dead attempt to create leaves outcomes without a head.
        while found <= limit {
            let (items, _) = self.table.query(&range, Some(at_once)).await?;
            for item in &items {
                found = add(item, None)?;
            }
            match items.last() {
                Some(last) if items.len() == at_once => {
                    range = range.after(Some(item::get_text(last, attr::SK)?.to_owned()));
                }
                _ => break,
            }
        }
        let more = shown.len() > limit;
        shown.truncate(limit);
        let next = shown.last().filter(|_| more).map(|(place, _)| place.clone());
        Ok(Page { items: shown.into_iter().map(|(_, outcome)| outcome).collect(), next })
    }

    async fn page_with(&self, id: &RefreshId, property: &Property) -> Result<Option<RefreshPage>, StoreError> {
        // Pages begin after an entry of the list of properties: the last one that begins before this property's has it.
        let place = schema::property_entry(&property.account, property.created_at, &property.id).sk;
        let range = Range::of(schema::refresh_partition(id), schema::OUTCOMES).newest_first();
        let before = range.after(Some(schema::outcomes(id, &place).sk));
        let (found, _) = self.table.query(&before, Some(1)).await?;
        found.first().map(read_page).transpose()
    }

    async fn any_pending(&self, id: &RefreshId) -> Result<bool, StoreError> {
        // Pages are read in their order, so what waits is on the last ones: whoever asks again and again reads few.
        let mut range = Range::of(schema::refresh_partition(id), schema::OUTCOMES).newest_first();
        loop {
            let (items, _) = self.table.query(&range, Some(PAGES_AT_ONCE)).await?;
            for item in &items {
                if read_page(item)?.outcomes.values().any(|outcome| *outcome == Outcome::Pending) {
                    return Ok(true);
                }
            }
            match items.last() {
                Some(last) if items.len() == PAGES_AT_ONCE => {
                    range = range.after(Some(item::get_text(last, attr::SK)?.to_owned()));
                }
                _ => return Ok(false),
            }
        }
    }
}
