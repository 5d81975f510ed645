//! Extra private links, whose a token is, and who reads it. Reads are counted by hours on the owner's item, and
//! go with it.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{ExtraLink, LinkOwner, LinkReads, SecretHash},
    ports::{LinkStore, Page, PageRequest, StoreError},
};
use calmesh_calendar::{AccountId, LinkId};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::Document,
    item::{self, MarkState},
    journal,
    property::read_owner,
    schema::{self, attr},
    table::{CallError, Condition, Item, Range, Write},
};

const LOOKS: u32 = 10;
/// Hours that count, the present one included.
const HOURS_COUNTED: i64 = 24;
/// Hours that are kept beside the newest: logs may arrive late.
const HOURS_KEPT: i64 = 48;

fn link_item(link: &ExtraLink) -> Result<Item, StoreError> {
    let mut item = schema::link(&link.id).item();
    item.insert(attr::DOC.to_owned(), item::text(link.encode()?));
    item.insert(attr::REV.to_owned(), item::number(link.revision));
    item.insert(attr::LINK.to_owned(), item::text(link.token.hash().to_hex()));
    if let Some(at) = link.last_changed_at {
        item.insert(attr::LAST_CHANGED_AT.to_owned(), item::instant(at));
    }
    item.extend(MarkState { dirty: link.dirty, wake_at: None }.attributes(link.id.as_str()));
    Ok(item)
}

fn read_link(item: &Item) -> Result<ExtraLink, StoreError> {
    let stored: ExtraLink = item::document(item, attr::DOC)?;
    Ok(ExtraLink {
        revision: item::get_number(item, attr::REV)?,
        dirty: MarkState::of(item)?.dirty,
        last_changed_at: item::find_instant(item, attr::LAST_CHANGED_AT)?,
        ..stored
    })
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3600)
}

fn hour_name(hour: i64) -> String {
    format!("h{hour}")
}

/// The counters of an item: hour since 1970 and reads in it.
fn hours(item: &Item) -> impl Iterator<Item = (i64, u32)> {
    item.iter().filter_map(|(name, value)| {
        let hour = name.strip_prefix('h')?.parse().ok()?;
        Some((hour, value.as_n().ok()?.parse().ok()?))
    })
}

#[async_trait]
impl LinkStore for DynamoStore {
    async fn links(&self, account: &AccountId, page: PageRequest) -> Result<Page<ExtraLink>, StoreError> {
        let range = Range::of(schema::account_partition(account), schema::LINKS);
        let head_of = |entry: &Item| {
            let id = item::get_text(entry, attr::SK)?.rsplit('#').next().and_then(|id| id.parse().ok());
            id.map(|id| schema::link(&id)).ok_or_else(|| item::missing(attr::SK))
        };
        self.list_by_entry(range, page, head_of, |head| read_link(head).map(Some)).await
    }

    async fn count_links(&self, account: &AccountId, most: usize) -> Result<usize, StoreError> {
        self.count(Range::of(schema::account_partition(account), schema::LINKS), most).await
    }

    async fn link(&self, id: &LinkId) -> Result<Option<ExtraLink>, StoreError> {
        self.table.get(&schema::link(id)).await?.as_ref().map(read_link).transpose()
    }

    async fn put_link(&self, link: &ExtraLink) -> Result<(), StoreError> {
        let head = Write::put(link_item(link)?);
        let hash = link.token.hash();
        let owner = LinkOwner::Link { account: link.account.clone(), link: link.id.clone() };
        let own = journal::own(hash, &owner)?.to_write();
        if link.revision == 1 {
            let entry = schema::link_entry(&link.account, link.created_at, &link.id).item();
            let writes = vec![head.when(Condition::absent()), Write::put(entry), own];
            return self.table.transact(writes).await.map_err(|error| match error {
                CallError::Refused(_) => StoreError::Exists,
                error => error.or_stale(),
            });
        }
        let Some(known) = self.table.get(&schema::link(&link.id)).await? else { return Err(StoreError::Stale) };
        let expected = link.revision.saturating_sub(1);
        let follows = Condition::new("#rev = :expected").with("expected", item::number(expected));
        let mut writes = vec![head.when(follows), own];
        let old = SecretHash::from_hex(item::get_text(&known, attr::LINK)?).ok_or_else(|| item::missing(attr::LINK))?;
        if old != hash {
            writes.push(Write::delete(schema::owner(&old)));
        }
        self.table.transact(writes).await.map_err(CallError::or_stale)
    }

    async fn settle_link(
        &self,
        id: &LinkId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        last_changed_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (mut set, remove) = MarkState { dirty: None, wake_at }.update(id.as_str());
        set.extend(last_changed_at.map(|at| (attr::LAST_CHANGED_AT.to_owned(), item::instant(at))));
        let rendered = Condition::new("#rev = :rendered").with("rendered", item::number(rendered_revision));
        let write = Write::set(schema::link(id), set, &remove).when(rendered);
        self.table.write(write).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn delete_link(&self, id: &LinkId) -> Result<bool, StoreError> {
        let key = schema::link(id);
        for _ in 0..LOOKS {
            let Some(head) = self.table.get(&key).await? else { return Ok(false) };
            let link = read_link(&head)?;
            let token = link.token.hash();
            let unmoved = Condition::new("#link = :link").with("link", item::text(token.to_hex()));
            let writes = vec![
                Write::delete(key.clone()).when(unmoved),
                Write::delete(schema::link_entry(&link.account, link.created_at, id)),
                Write::delete(schema::owner(&token)),
            ];
            match self.table.transact(writes).await {
                Ok(()) => return Ok(true),
                // It got another token or went meanwhile.
                Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.or_stale()),
            }
        }
        Err(StoreError::Stale)
    }

    async fn owner(&self, token: &SecretHash) -> Result<Option<LinkOwner>, StoreError> {
        self.table.get(&schema::owner(token)).await?.as_ref().map(read_owner).transpose()
    }

    async fn record_read(&self, token: &SecretHash, at: Timestamp) -> Result<(), StoreError> {
        let key = schema::owner(token);
        let hour = hour_name(hour_of(at));
        let count = |set: &str, values: Vec<(String, AttributeValue)>, condition: &str| Write::Update {
            key: key.clone(),
            text: format!("{set} ADD #{hour} :one"),
            values: values.into_iter().chain([("one".to_owned(), item::number(1))]).collect(),
            condition: Some(Condition::new(condition)),
        };
        let newest = count(
            "SET #last_read_at = :at",
            vec![("at".to_owned(), item::instant(at))],
            "attribute_exists(#pk) AND (attribute_not_exists(#last_read_at) OR #last_read_at <= :at)",
        );
        let counted = match self.table.write(newest).await {
            Err(error) if error.standing(0).is_some() => {
                self.table.write(count("", Vec::new(), "attribute_exists(#pk)")).await
            }
            done => done,
        };
        let item = match counted {
            Ok(item) => item.unwrap_or_default(),
            // Nobody's, or not any more.
            Err(CallError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error.or_stale()),
        };
        let Some(newest) = hours(&item).map(|(hour, _)| hour).max() else { return Ok(()) };
        let old: Vec<String> =
            hours(&item).filter(|(hour, _)| *hour < newest - HOURS_KEPT).map(|(hour, _)| hour_name(hour)).collect();
        if !old.is_empty() {
            let names: Vec<&str> = old.iter().map(String::as_str).collect();
            let prune = Write::set(key, Vec::new(), &names).when(Condition::present());
            match self.table.write(prune).await {
                Ok(_) | Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.or_stale()),
            }
        }
        Ok(())
    }

    async fn reads(&self, tokens: &[SecretHash], now: Timestamp) -> Result<Vec<LinkReads>, StoreError> {
        let keys: Vec<_> = tokens.iter().map(schema::owner).collect();
        let mut known: HashMap<String, LinkReads> = HashMap::new();
        let first = hour_of(now) - (HOURS_COUNTED - 1);
        for item in self.table.get_many(&keys, true).await? {
            let reads = LinkReads {
                last_read_at: item::find_instant(&item, attr::LAST_READ_AT)?,
                reads_24h: hours(&item).filter(|(hour, _)| *hour >= first).map(|(_, count)| count).sum(),
            };
            known.insert(item::get_text(&item, attr::PK)?.to_owned(), reads);
        }
        Ok(keys.iter().map(|key| known.get(&key.pk).copied().unwrap_or_default()).collect())
    }
}
