//! What the fetcher reads and writes: plans beside their buckets, passes, pauses.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use calmesh_app::{
    model::{
        AnnouncedReading, CLOCKS_DIFFER, Failure, FetchHealth, FetchPlan, FetchState, HostPause, SweepRecord,
        Validators, bucket_of,
    },
    ports::{FetchStore, Page, PageRequest, StoreError, WaitingBody, WaitingFeed},
};
use calmesh_calendar::{ConnectionId, span::Later};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::{self, Document},
    item,
    schema::{self, BUCKETS_PER_PARTITION, Key, attr},
    table::{CallError, Condition, Item, Range, Span, Write},
};

/// How many skipped connections stand in a pass's own item, and in each of the items beside it: 31 bytes each.
const SKIPPED_PER_ITEM: usize = 8_000;
/// A pause that is over may go soon; skipped connections whose pass was not replaced for so long as well.
const PAUSES_KEPT_DAYS: i64 = 1;
const SKIPPED_KEPT_DAYS: i64 = 30;
const QUERIES_AT_ONCE: usize = 16;

fn read_state(item: &Item) -> Result<FetchState, StoreError> {
    let mut plan: FetchPlan = item::document(item, attr::PLAN)?;
    if let Some(text) = item::find_text(item, attr::VALIDATORS) {
        plan.validators = Validators::decode(text)?;
        plan.validators_at = item::find_instant(item, attr::VALIDATORS_AT)?;
    }
    let failure = item::find_text(item, attr::FAILURE).map(Failure::decode).transpose()?;
    Ok(FetchState {
        plan,
        health: FetchHealth {
            failure,
            last_success_at: item::find_instant(item, attr::SUCCESS_AT)?,
            announced: item::find_instant(item, attr::ANNOUNCED_SINCE)?
                .zip(item::find_instant(item, attr::ANNOUNCED_READ_AT)?)
                .map(|(since, read_at)| AnnouncedReading { since, read_at }),
        },
    })
}

fn stands_since(since: Timestamp) -> Condition {
    Condition::new("#plan_since = :since").with("since", item::instant(since))
}

fn is_since(plan: &Item, since: Timestamp) -> bool {
    matches!(item::find_instant(plan, attr::PLAN_SINCE), Ok(Some(known)) if known == since)
}

/// A run of buckets as it lies in one partition.
struct Piece {
    first: u16,
    last: u16,
}

fn pieces(first: u16, last: u16) -> impl Iterator<Item = Piece> {
    (first / BUCKETS_PER_PARTITION..=last / BUCKETS_PER_PARTITION).map(move |partition| {
        let start = partition * BUCKETS_PER_PARTITION;
        Piece { first: first.max(start), last: last.min(start + BUCKETS_PER_PARTITION - 1) }
    })
}

fn joined(ids: &[&ConnectionId]) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
}

fn split(text: &str) -> Result<Vec<ConnectionId>, StoreError> {
    text.split_whitespace().map(|id| id.parse().map_err(|_| item::missing("skipped"))).collect()
}

impl DynamoStore {
    async fn record_piece(&self, record: &SweepRecord, piece: Piece) -> Result<(), StoreError> {
        let Piece { first, last } = piece;
        let skipped: Vec<&ConnectionId> =
            record.skipped.iter().filter(|id| (first..=last).contains(&bucket_of(id))).collect();
        let mut chunks = skipped.chunks(SKIPPED_PER_ITEM);
        let own = chunks.next().unwrap_or_default();
        let beside: Vec<Write> = chunks
            .enumerate()
            .map(|(nth, ids)| {
                let mut item = schema::sweep_skipped(first, last, record.number, nth).item();
                item.insert(attr::DOC.to_owned(), item::text(joined(ids)));
                item.insert(attr::TTL.to_owned(), item::expiry(record.started_at, SKIPPED_KEPT_DAYS));
                Write::put(item)
            })
            .collect();
        let count = beside.len();
        // What is beside comes first, so that the record never names what is not there.
        self.table.write_many(beside).await?;
        let mut item = schema::sweep(first, last).item();
        item.insert(attr::NUMBER.to_owned(), item::number(record.number));
        item.insert(attr::STARTED_AT.to_owned(), item::instant(record.started_at));
        item.insert(attr::CHUNKS.to_owned(), item::number(count));
        item.insert(attr::DOC.to_owned(), item::text(joined(own)));
        let ahead = record.started_at.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        let newer = Condition::new("attribute_not_exists(#pk) OR #number <= :number OR #started_at > :ahead")
            .with("number", item::number(record.number))
            .with("ahead", item::instant(ahead));
        match self.table.write(Write::put(item).when(newer)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    /// None where part of it is no longer there: then nothing may be said by it.
    async fn read_sweep(&self, item: &Item) -> Result<Option<SweepRecord>, StoreError> {
        let sk = item::get_text(item, attr::SK)?;
        let run = sk.strip_prefix(schema::SWEEP_RUNS).and_then(|run| run.split_once('-'));
        let (first, last) = run.ok_or_else(|| item::missing(attr::SK))?;
        let bucket = |text: &str| text.parse::<u16>().map_err(|_| item::missing(attr::SK));
        let (first_bucket, last_bucket) = (bucket(first)?, bucket(last)?);
        let number: i64 = item::get_number(item, attr::NUMBER)?;
        let mut skipped = split(item::get_text(item, attr::DOC)?)?;
        let count: usize = item::get_number(item, attr::CHUNKS)?;
        let keys: Vec<Key> =
            (0..count).map(|nth| schema::sweep_skipped(first_bucket, last_bucket, number, nth)).collect();
        let beside = self.table.get_many(&keys, true).await?;
        if beside.len() != count {
            return Ok(None);
        }
        for item in &beside {
            skipped.extend(split(item::get_text(item, attr::DOC)?)?);
        }
        let started_at = item::get_instant(item, attr::STARTED_AT)?;
        Ok(Some(SweepRecord { first_bucket, last_bucket, number, started_at, skipped }))
    }
}

#[async_trait]
impl FetchStore for DynamoStore {
    async fn plans(
        &self,
        first_bucket: u16,
        last_bucket: u16,
        page: PageRequest,
    ) -> Result<Page<FetchState>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let unknown = || StoreError::Corrupt { what: "a place in a list".to_owned() };
        let from = match &page.after {
            None => None,
            Some(after) => {
                let (bucket, id) = after.split_once('#').ok_or_else(unknown)?;
                let bucket: u16 = bucket.parse().map_err(|_| unknown())?;
                Some((bucket, format!("{}{id}", schema::fetch_prefix(bucket))))
            }
        };
        let start = from.as_ref().map_or(first_bucket, |(bucket, _)| *bucket);
        let mut found: Vec<FetchState> = Vec::new();
        if first_bucket <= last_bucket && (first_bucket..=last_bucket).contains(&start) {
            for piece in pieces(start, last_bucket) {
                let after = from.as_ref().filter(|(bucket, _)| *bucket == piece.first).map(|(_, sk)| sk.clone());
                let span = Span::Between(
                    schema::fetch_prefix(piece.first),
                    // Ids are letters, digits and `_`, all before `~`.
                    format!("{}~", schema::fetch_prefix(piece.last)),
                );
                // A plan that is a moment old is met with `Stale` when its fetch is written: half the price.
                let range = Range { span, consistent: false, ..Range::all(schema::fetch_partition(piece.first)) };
                let (items, _) = self.table.query(&range.after(after), Some(limit + 1 - found.len())).await?;
                for item in &items {
                    found.push(read_state(item)?);
                }
                if found.len() > limit {
                    break;
                }
            }
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let place = |state: &FetchState| format!("{:04}#{}", bucket_of(&state.plan.connection), state.plan.connection);
        let next = found.last().filter(|_| more).map(place);
        Ok(Page { items: found, next })
    }

    async fn fetch_states(
        &self,
        connections: &[ConnectionId],
    ) -> Result<BTreeMap<ConnectionId, FetchState>, StoreError> {
        let keys: Vec<Key> = connections.iter().map(schema::fetch_plan).collect();
        let mut states = BTreeMap::new();
        for item in self.table.get_many(&keys, true).await? {
            let state = read_state(&item)?;
            states.insert(state.plan.connection.clone(), state);
        }
        Ok(states)
    }

    async fn record_failure(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        failure: &Failure,
    ) -> Result<(), StoreError> {
        let set = vec![(attr::FAILURE.to_owned(), item::text(failure.encode()?))];
        let write = Write::set(schema::fetch_plan(connection), set, &[]).when(stands_since(plan_since));
        self.table.write(write).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn record_success(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let set = vec![(attr::SUCCESS_AT.to_owned(), item::instant(at))];
        let newer = Condition::new(
            "#plan_since = :since AND (attribute_not_exists(#success_at) OR #success_at <= :set_success_at OR \
             #success_at > :now)",
        )
        .with("now", item::instant(now))
        .with("since", item::instant(plan_since));
        let write = Write::set(schema::fetch_plan(connection), set, &[attr::FAILURE]).when(newer);
        match self.table.write(write).await {
            Ok(_) => Ok(()),
            Err(error) => match error.standing(0) {
                Some(standing) if is_since(standing, plan_since) => Ok(()),
                _ => Err(error.or_stale()),
            },
        }
    }

    async fn record_announced(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        announced: &AnnouncedReading,
        waiting: &WaitingBody,
        last_success_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut set = vec![
            (attr::ANNOUNCED_SINCE.to_owned(), item::instant(announced.since)),
            (attr::ANNOUNCED_READ_AT.to_owned(), item::instant(announced.read_at)),
            (attr::WAITING.to_owned(), item::bytes(doc::body::encode(waiting)?)),
        ];
        set.extend(last_success_at.map(|at| (attr::SUCCESS_AT.to_owned(), item::instant(at))));
        let ahead = announced.read_at.later(CLOCKS_DIFFER);
        let newer = Condition::new(
            "#plan_since = :since AND (attribute_not_exists(#announced_read_at) OR \
             #announced_read_at <= :set_announced_read_at OR #announced_read_at > :ahead)",
        )
        .with("since", item::instant(plan_since))
        .with("ahead", item::instant(ahead));
        match self.table.write(Write::set(schema::fetch_plan(connection), set, &[]).when(newer)).await {
            Ok(_) => Ok(()),
            // A later one waits.
            Err(error) if error.standing(0).is_some_and(|plan| is_since(plan, plan_since)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn waiting(&self, connections: &[ConnectionId]) -> Result<BTreeMap<ConnectionId, WaitingFeed>, StoreError> {
        let keys: Vec<Key> = connections.iter().map(schema::fetch_plan).collect();
        let mut feeds = BTreeMap::new();
        for item in self.table.get_many(&keys, true).await? {
            let state = read_state(&item)?;
            let body = item::find_bytes(&item, attr::WAITING).map(doc::body::decode).transpose()?;
            feeds.insert(state.plan.connection.clone(), WaitingFeed { state, body });
        }
        Ok(feeds)
    }

    async fn record_validators(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        validators: &Validators,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let set = vec![
            (attr::VALIDATORS.to_owned(), item::text(validators.encode()?)),
            (attr::VALIDATORS_AT.to_owned(), item::instant(at)),
        ];
        let write = Write::set(schema::fetch_plan(connection), set, &[]).when(stands_since(plan_since));
        self.table.write(write).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn record_sweep(&self, record: &SweepRecord) -> Result<(), StoreError> {
        stream::iter(pieces(record.first_bucket, record.last_bucket))
            .map(|piece| self.record_piece(record, piece))
            .buffer_unordered(QUERIES_AT_ONCE)
            .try_collect()
            .await
    }

    async fn sweeps(&self, buckets: &[u16]) -> Result<Vec<SweepRecord>, StoreError> {
        let asked: BTreeSet<u16> = buckets.iter().copied().collect();
        let partitions: BTreeSet<String> = asked.iter().map(|bucket| schema::sweeps_partition(*bucket)).collect();
        let ranges: Vec<Range> = partitions.into_iter().map(|pk| Range::of(pk, schema::SWEEP_RUNS)).collect();
        let found: Vec<Vec<Item>> = stream::iter(ranges)
            .map(|range| async move { self.table.query(&range, None).await.map(|(items, _)| items) })
            .buffered(QUERIES_AT_ONCE)
            .try_collect()
            .await?;
        let mut records = Vec::new();
        for item in found.iter().flatten() {
            if let Some(record) = self.read_sweep(item).await?
                && asked.range(record.first_bucket..=record.last_bucket).next().is_some()
            {
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn last_step(&self) -> Result<Option<i64>, StoreError> {
        let item = self.table.get(&schema::last_step()).await?;
        item.as_ref().map(|item| item::get_number(item, attr::STEP)).transpose()
    }

    async fn record_step(&self, step: i64) -> Result<(), StoreError> {
        let write = Write::set(schema::last_step(), vec![(attr::STEP.to_owned(), item::number(step))], &[]);
        self.table.write(write).await.map(|_| ()).map_err(CallError::or_stale)
    }

    async fn pause_host(&self, pause: &HostPause) -> Result<(), StoreError> {
        let set = vec![
            (attr::UNTIL.to_owned(), item::instant(pause.until)),
            (attr::TTL.to_owned(), item::expiry(pause.until, PAUSES_KEPT_DAYS)),
        ];
        let longer = Condition::new("attribute_not_exists(#until) OR #until < :set_until");
        match self.table.write(Write::set(schema::pause(&pause.host), set, &[]).when(longer)).await {
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn paused_hosts(&self, hosts: &BTreeSet<String>, now: Timestamp) -> Result<Vec<HostPause>, StoreError> {
        let keys: Vec<Key> = hosts.iter().map(|host| schema::pause(host)).collect();
        let mut pauses = Vec::new();
        for item in self.table.get_many(&keys, true).await? {
            let until = item::get_instant(&item, attr::UNTIL)?;
            let host =
                item::get_text(&item, attr::PK)?.strip_prefix(schema::PAUSES).ok_or_else(|| item::missing(attr::PK))?;
            if until > now {
                pauses.push(HostPause { host: host.to_owned(), until });
            }
        }
        pauses.sort_by(|a, b| a.host.cmp(&b.host));
        Ok(pauses)
    }
}
