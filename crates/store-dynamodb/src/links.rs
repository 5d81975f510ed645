//! Extra private links, whose a token is, and who reads it. Reads are counted by hours on the owner's item, with their
//! times, and go with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{ExtraLink, LinkOwner, LinkReads, ReadTimes, SecretHash},
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
    schema::{self, Key, attr},
    table::{CallError, Condition, Item, Range, Write},
};

const LOOKS: u32 = 10;
/// Hours that count, the present one included.
const HOURS_COUNTED: i64 = 24;
/// Hours that are kept beside the newest: logs may arrive late.
const HOURS_KEPT: i64 = 48;
/// So many reads are counted by one write: its condition names each, and has room for 4 KB.
const TIMES_A_WRITE: usize = 50;
/// So many times of one hour are kept; of a link that is read more often every other one goes.
const TIMES_AN_HOUR: usize = 120;

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

fn times_name(hour: i64) -> String {
    format!("t{hour}")
}

/// The times of an item: hour since 1970, and milliseconds of that hour.
fn times(item: &Item) -> impl Iterator<Item = (i64, Vec<i64>)> {
    item.iter().filter_map(|(name, value)| {
        let hour = name.strip_prefix('t')?.parse().ok()?;
        let mut times: Vec<i64> = value.as_ns().ok()?.iter().filter_map(|time| time.parse().ok()).collect();
        times.sort_unstable();
        Some((hour, times))
    })
}

fn milliseconds(times: impl IntoIterator<Item = i64>) -> AttributeValue {
    AttributeValue::Ns(times.into_iter().map(|time| time.to_string()).collect())
}

/// The last hour of which some times were dropped.
fn thinned(item: &Item) -> Option<i64> {
    item::get_number(item, attr::THINNED).ok()
}

fn millisecond_of(at: Timestamp) -> i64 {
    at.as_millisecond().rem_euclid(3_600_000)
}

/// Those of these reads whose times the item does not hold.
fn unknown_to(item: &Item, reads: &[Timestamp]) -> Vec<Timestamp> {
    let known: HashMap<i64, Vec<i64>> = times(item).collect();
    let is_new = |at: &&Timestamp| {
        known.get(&hour_of(**at)).is_none_or(|times| times.binary_search(&millisecond_of(**at)).is_err())
    };
    reads.iter().filter(is_new).copied().collect()
}

/// The write that counts these reads, refused where the link is nobody's, one of them is known by now, or a later read
/// than all of `standing`'s is.
fn counting(key: &Key, standing: &Item, new: &[Timestamp]) -> Result<Write, StoreError> {
    let mut by_hour: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for at in new {
        by_hour.entry(hour_of(*at)).or_default().push(millisecond_of(*at));
    }
    let (mut adds, mut values) = (Vec::new(), Vec::new());
    let mut condition = "attribute_exists(#pk)".to_owned();
    for (hour, times) in by_hour {
        let (count, set) = (hour_name(hour), times_name(hour));
        adds.push(format!("#{count} :{count}, #{set} :{set}"));
        for time in &times {
            let name = format!("{set}_{time}");
            condition.push_str(&format!(" AND NOT contains(#{set}, :{name})"));
            values.push((name, item::number(time)));
        }
        values.push((count, item::number(times.len())));
        values.push((set, milliseconds(times)));
    }
    let adds = adds.join(", ");
    let known = item::find_instant(standing, attr::LAST_READ_AT)?;
    let text = match new.iter().max().copied().filter(|last| known.is_none_or(|known| known < *last)) {
        Some(last) => {
            let last_read_at = attr::LAST_READ_AT;
            values.push(("last".to_owned(), item::instant(last)));
            condition.push_str(&format!(" AND (attribute_not_exists(#{last_read_at}) OR #{last_read_at} < :last)"));
            format!("SET #{last_read_at} = :last ADD {adds}")
        }
        None => format!("ADD {adds}"),
    };
    Ok(Write::Update { key: key.clone(), text, values, condition: Some(Condition::new(&condition)) })
}

/// When the link of an owner was read.
fn read_times(item: &Item) -> ReadTimes {
    let mut found: Vec<Timestamp> = Vec::new();
    for (hour, times) in times(item) {
        let instant = |time| Timestamp::from_millisecond(hour * 3_600_000 + time).ok();
        found.extend(times.into_iter().filter_map(instant));
    }
    found.sort_unstable();
    // Earlier hours may have been thinned before the last one.
    let whole_since = thinned(item).and_then(|hour| Timestamp::from_second((hour + 1).saturating_mul(3_600)).ok());
    ReadTimes { times: found, whole_since }
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

    async fn record_reads(&self, token: &SecretHash, times: &BTreeSet<Timestamp>) -> Result<(), StoreError> {
        let key = schema::owner(token);
        let times: Vec<Timestamp> = times.iter().copied().collect();
        for times in times.chunks(TIMES_A_WRITE) {
            if !self.count_reads(&key, times).await? {
                break;
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

    async fn read_times(&self, tokens: &[SecretHash]) -> Result<Vec<ReadTimes>, StoreError> {
        let keys: Vec<_> = tokens.iter().map(schema::owner).collect();
        let mut known: HashMap<String, ReadTimes> = HashMap::new();
        for item in self.table.get_many(&keys, true).await? {
            known.insert(item::get_text(&item, attr::PK)?.to_owned(), read_times(&item));
        }
        Ok(keys.iter().map(|key| known.get(&key.pk).cloned().unwrap_or_default()).collect())
    }
}

impl DynamoStore {
    /// Counts those of these reads that are not counted yet, all together. Answers whether the link is anybody's.
    async fn count_reads(&self, key: &Key, times: &[Timestamp]) -> Result<bool, StoreError> {
        // What stands in the item, once a write was refused because it holds more than was thought.
        let mut standing = Item::new();
        for _ in 0..LOOKS {
            let new = unknown_to(&standing, times);
            if new.is_empty() {
                return Ok(true);
            }
            match self.table.write(counting(key, &standing, &new)?).await {
                Ok(item) => {
                    self.tidy_reads(key, &item.unwrap_or_default(), &new).await?;
                    return Ok(true);
                }
                Err(error) => match error.standing(0) {
                    Some(item) => standing.clone_from(item),
                    // Nobody's, or not any more.
                    None if matches!(error, CallError::Refused(_)) => return Ok(false),
                    None => return Err(error.or_stale()),
                },
            }
        }
        Err(StoreError::Stale)
    }

    /// Keeps the item of a link small: thins hours with very many times, and forgets hours that are long over.
    async fn tidy_reads(&self, key: &Key, item: &Item, counted: &[Timestamp]) -> Result<(), StoreError> {
        let Some(newest) = hours(item).map(|(hour, _)| hour).max() else { return Ok(()) };
        let touched: BTreeSet<i64> = counted.iter().map(|at| hour_of(*at)).collect();
        for hour in touched {
            self.thin_times(key, item, hour).await?;
        }
        let old: Vec<String> = hours(item)
            .filter(|(hour, _)| *hour < newest - HOURS_KEPT)
            .flat_map(|(hour, _)| [hour_name(hour), times_name(hour)])
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = old.iter().map(String::as_str).collect();
        let prune = Write::set(key.clone(), Vec::new(), &names).when(Condition::present());
        match self.table.write(prune).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    /// Drops every other time of an hour in which a link was read very often, so that its item stays small.
    async fn thin_times(&self, key: &Key, item: &Item, hour: i64) -> Result<(), StoreError> {
        let Some((_, times)) = times(item).find(|(of, times)| *of == hour && times.len() > TIMES_AN_HOUR) else {
            return Ok(());
        };
        let thin = Write::Update {
            key: key.clone(),
            text: format!("SET #{} = :hour DELETE #{} :gone", attr::THINNED, times_name(hour)),
            values: vec![
                ("hour".to_owned(), item::number(thinned(item).map_or(hour, |before| before.max(hour)))),
                ("gone".to_owned(), milliseconds(times.into_iter().skip(1).step_by(2))),
            ],
            condition: Some(Condition::present()),
        };
        match self.table.write(thin).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }
}
