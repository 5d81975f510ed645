//! Calls on the one table: expressions, pages, batches, transactions, repetition and metering. Knows nothing of
//! what items mean. No error that leaves here quotes an item.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{http::HttpResponse, retry::RetryConfig},
    error::{BuildError, ProvideErrorMetadata, SdkError},
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{
        AttributeValue, ConditionCheck, Delete, DeleteRequest, KeysAndAttributes, Put, PutRequest,
        ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
        WriteRequest,
    },
};
use calmesh_app::ports::StoreError;
use calmesh_https::how_it_failed;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    meter::Metered,
    schema::{Key, MARKS_INDEX, attr},
};

/// Gives any of the SDK's builders of a write its condition; the builders have no common trait.
macro_rules! conditioned {
    ($call:expr, $expressions:expr) => {{
        let Expressions { condition, names, values } = $expressions;
        $call
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }};
}

/// Sends one write until it is done, refused or has failed, and meters it.
macro_rules! written {
    ($table:expr, $operation:literal, $error:ident, $call:expr, $expressions:expr) => {{
        let answer = $table
            .persistently(|| {
                let call = conditioned!($call().table_name(&$table.name), $expressions.clone())
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                async move {
                    call.send().await.map_err(|error| match error.as_service_error() {
                        Some($error::ConditionalCheckFailedException(refused)) => {
                            CallError::Refused(vec![(0, refused.item.clone())])
                        }
                        _ => failure($operation, &error),
                    })
                }
            })
            .await?;
        $table.meter.write(answer.consumed_capacity().and_then(|used| used.capacity_units()));
        answer
    }};
}

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Actions that one transaction takes.
pub(crate) const TRANSACTION_ACTIONS: usize = 100;
/// DynamoDB takes 4 MB; attribute names and rounding leave the rest.
pub(crate) const TRANSACTION_BYTES: usize = 3_500_000;
const BATCH_GET_KEYS: usize = 100;
const BATCH_WRITE_ITEMS: usize = 25;
/// DynamoDB takes 16 MB in a batch.
const BATCH_WRITE_BYTES: usize = 8_000_000;
const BATCHES_AT_ONCE: usize = 8;
/// So many times in all a call is made that DynamoDB asks to make later.
const TRIES: u32 = 8;
/// So many that came to no answer, or to a fault of DynamoDB's own.
const TRIES_OF_BROKEN: u32 = 4;
/// No call is made again after this long: the caller's own time is short, and what calls it is tried again itself.
const TRIED_FOR: Duration = Duration::from_secs(15);

/// What DynamoDB answered when it did not do it. Never holds items.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {how}")]
pub(crate) struct CallFailed {
    operation: &'static str,
    how: String,
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) enum CallError {
    /// A condition did not hold; with each refused action's place in the call and the item that stands there.
    Refused(Vec<(usize, Option<Item>)>),
    /// Asked for less, or clashed with a transaction: may be tried again.
    Busy(CallFailed),
    /// Not answered, or not as it should be: may be tried again, since every write has its condition or its token.
    Broken(CallFailed),
    Failed(StoreError),
}

impl CallError {
    /// What a caller sees that has no word for a condition that fails.
    pub(crate) fn or_stale(self) -> StoreError {
        match self {
            Self::Refused(_) => StoreError::Stale,
            Self::Busy(failed) | Self::Broken(failed) => StoreError::Unavailable(Box::new(failed)),
            Self::Failed(error) => error,
        }
    }

    /// The item that stood in the way of the action at this place.
    pub(crate) fn standing(&self, place: usize) -> Option<&Item> {
        match self {
            Self::Refused(refused) => refused.iter().find(|(at, _)| *at == place)?.1.as_ref(),
            _ => None,
        }
    }
}

impl From<BuildError> for CallError {
    fn from(error: BuildError) -> Self {
        Self::Failed(StoreError::Unavailable(Box::new(error)))
    }
}

/// A condition: names are written `#name`, values `:name`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) text: String,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.values.push((name, value));
        self
    }

    pub(crate) fn absent() -> Self {
        Self::new("attribute_not_exists(#pk)")
    }

    pub(crate) fn present() -> Self {
        Self::new("attribute_exists(#pk)")
    }
}

/// One write. In an update's text, names are written `#name`, values `:name`.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Put { item: Item, condition: Option<Condition> },
    Update { key: Key, text: String, values: Vec<(String, AttributeValue)>, condition: Option<Condition> },
    Delete { key: Key, condition: Option<Condition> },
    Check { key: Key, condition: Condition },
}

impl Write {
    pub(crate) fn put(item: Item) -> Self {
        Self::Put { item, condition: None }
    }

    pub(crate) fn delete(key: Key) -> Self {
        Self::Delete { key, condition: None }
    }

    pub(crate) fn when(self, wanted: Condition) -> Self {
        match self {
            Self::Put { item, .. } => Self::Put { item, condition: Some(wanted) },
            Self::Update { key, text, values, .. } => Self::Update { key, text, values, condition: Some(wanted) },
            Self::Delete { key, .. } => Self::Delete { key, condition: Some(wanted) },
            Self::Check { key, .. } => Self::Check { key, condition: wanted },
        }
    }

    /// Sets some attributes and removes others.
    pub(crate) fn set(key: Key, set: Vec<(String, AttributeValue)>, remove: &[&str]) -> Self {
        let mut text = String::new();
        let mut values = Vec::with_capacity(set.len());
        for (nth, (name, value)) in set.into_iter().enumerate() {
            text.push_str(if nth == 0 { "SET " } else { ", " });
            text.push_str(&format!("#{name} = :set_{name}"));
            values.push((format!("set_{name}"), value));
        }
        for (nth, name) in remove.iter().enumerate() {
            text.push_str(if nth == 0 { " REMOVE " } else { ", " });
            text.push_str(&format!("#{name}"));
        }
        Self::Update { key, text, values, condition: None }
    }

    fn key(&self) -> Option<Key> {
        match self {
            Self::Put { item, .. } => {
                let text = |name: &str| item.get(name)?.as_s().ok().cloned();
                Some(Key { pk: text(attr::PK)?, sk: text(attr::SK)? })
            }
            Self::Update { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => Some(key.clone()),
        }
    }

    /// Roughly the bytes that DynamoDB counts.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put { item, .. } => item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum(),
            Self::Update { values, text, .. } => {
                text.len() + values.iter().map(|(_, value)| value_bytes(value)).sum::<usize>()
            }
            Self::Delete { .. } | Self::Check { .. } => 200,
        }
    }

    fn into_action(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let action = TransactWriteItem::builder();
        let action = match self {
            Self::Put { item, condition } => {
                let put = Put::builder().table_name(table).set_item(Some(item));
                action.put(conditioned!(put, Expressions::of(condition)).build()?)
            }
            Self::Update { key, text, values, condition } => {
                let update = Update::builder().table_name(table).set_key(Some(key.item())).update_expression(&text);
                action.update(conditioned!(update, Expressions::new(&text, values, condition)).build()?)
            }
            Self::Delete { key, condition } => {
                let delete = Delete::builder().table_name(table).set_key(Some(key.item()));
                action.delete(conditioned!(delete, Expressions::of(condition)).build()?)
            }
            Self::Check { key, condition } => {
                let check = ConditionCheck::builder().table_name(table).set_key(Some(key.item()));
                action.condition_check(conditioned!(check, Expressions::of(Some(condition))).build()?)
            }
        };
        Ok(action.build())
    }
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 8,
    }
}

#[derive(Clone)]
struct Expressions {
    condition: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Expressions {
    fn of(condition: Option<Condition>) -> Self {
        Self::new("", Vec::new(), condition)
    }

    fn new(update: &str, values: Vec<(String, AttributeValue)>, condition: Option<Condition>) -> Self {
        let mut all: HashMap<String, AttributeValue> =
            values.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        let condition = condition.map(|condition| {
            all.extend(condition.values.into_iter().map(|(name, value)| (format!(":{name}"), value)));
            condition.text
        });
        let mut names: HashMap<String, String> = names_in(update).collect();
        names.extend(condition.iter().flat_map(|text| names_in(text)));
        Self { condition, names: (!names.is_empty()).then_some(names), values: (!all.is_empty()).then_some(all) }
    }
}

/// Every name is written with a placeholder, since DynamoDB reserves hundreds of words.
fn names_in(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('#').skip(1).map(|rest| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        (format!("#{name}"), name)
    })
}

/// Which sort keys.
#[derive(Debug, Clone)]
pub(crate) enum Span {
    All,
    Prefix(String),
    /// Both ends included.
    Between(String, String),
}

impl Span {
    fn contains(&self, sk: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => sk.starts_with(prefix),
            Self::Between(first, last) => (first.as_str()..=last.as_str()).contains(&sk),
        }
    }
}

/// Which items of a partition, in order of their sort keys.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) pk: String,
    pub(crate) span: Span,
    /// Only what comes after this sort key.
    pub(crate) after: Option<String>,
    pub(crate) descending: bool,
    pub(crate) consistent: bool,
}

impl Range {
    /// What starts with `prefix`, strongly consistent.
    pub(crate) fn of(pk: String, prefix: &str) -> Self {
        Self { span: Span::Prefix(prefix.to_owned()), ..Self::all(pk) }
    }

    /// A whole partition, strongly consistent.
    pub(crate) fn all(pk: String) -> Self {
        Self { pk, span: Span::All, after: None, descending: false, consistent: true }
    }

    pub(crate) fn after(self, after: Option<String>) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn newest_first(self) -> Self {
        Self { descending: true, ..self }
    }
}

#[derive(Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
    pub(crate) meter: Arc<Metered>,
}

impl Table {
    pub(crate) fn new(client: Client, name: String) -> Self {
        // Calls are tried again here and nowhere else: the client's own retries would multiply with these.
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { client: Client::from_conf(once), name, meter: Arc::default() }
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        let answer = self
            .persistently(|| {
                let call = self
                    .client
                    .get_item()
                    .table_name(&self.name)
                    .set_key(Some(key.item()))
                    .consistent_read(true)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                async move { call.send().await.map_err(|error| failure("GetItem", &error)) }
            })
            .await
            .map_err(CallError::or_stale)?;
        self.meter.read(answer.consumed_capacity().and_then(|used| used.capacity_units()));
        Ok(answer.item)
    }

    /// The items with these keys that there are, in no order.
    pub(crate) async fn get_many(&self, keys: &[Key], consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut wanted: Vec<Key> = keys.to_vec();
        wanted.sort();
        wanted.dedup();
        let found: Vec<Vec<Item>> =
            stream::iter(wanted.chunks(BATCH_GET_KEYS).map(<[Key]>::to_vec).collect::<Vec<_>>())
                .map(|chunk| self.get_chunk(chunk, consistent))
                .buffer_unordered(BATCHES_AT_ONCE)
                .try_collect()
                .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn get_chunk(&self, chunk: Vec<Key>, consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(chunk.len());
        let mut keys: Vec<Item> = chunk.iter().map(Key::item).collect();
        let mut tries = 0;
        while !keys.is_empty() {
            let ask = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
            let ask = ask.map_err(built)?;
            let answer = self
                .persistently(|| {
                    let call = self
                        .client
                        .batch_get_item()
                        .request_items(&self.name, ask.clone())
                        .return_consumed_capacity(ReturnConsumedCapacity::Total);
                    async move { call.send().await.map_err(|error| failure("BatchGetItem", &error)) }
                })
                .await
                .map_err(CallError::or_stale)?;
            self.meter.read(Some(answer.consumed_capacity().iter().filter_map(|used| used.capacity_units()).sum()));
            found.extend(answer.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default());
            keys = answer
                .unprocessed_keys
                .and_then(|mut tables| tables.remove(&self.name))
                .map(|left| left.keys)
                .unwrap_or_default();
            if !keys.is_empty() {
                tries += 1;
                wait_or_give_up(tries, "BatchGetItem").await?;
            }
        }
        Ok(found)
    }

    /// Items of a partition, at most `limit` where one is given, and over how many pages they came.
    pub(crate) async fn query(&self, range: &Range, limit: Option<usize>) -> Result<(Vec<Item>, usize), StoreError> {
        let mut values = Item::from([(":pk".to_owned(), AttributeValue::S(range.pk.clone()))]);
        let mut text = "pk = :pk".to_owned();
        match &range.span {
            Span::All => {}
            Span::Prefix(prefix) => {
                text.push_str(" AND begins_with(sk, :prefix)");
                values.insert(":prefix".to_owned(), AttributeValue::S(prefix.clone()));
            }
            Span::Between(first, last) => {
                text.push_str(" AND sk BETWEEN :first AND :last");
                values.insert(":first".to_owned(), AttributeValue::S(first.clone()));
                values.insert(":last".to_owned(), AttributeValue::S(last.clone()));
            }
        }
        let mut start = match &range.after {
            None => None,
            Some(after) if range.span.contains(after) => Some(Key { pk: range.pk.clone(), sk: after.clone() }.item()),
            Some(_) => return Err(StoreError::Corrupt { what: "a place in a list".to_owned() }),
        };
        let mut found: Vec<Item> = Vec::new();
        let mut pages = 0;
        loop {
            let left = limit.map(|limit| i32::try_from(limit - found.len()).unwrap_or(i32::MAX));
            let answer = self
                .persistently(|| {
                    let call = self
                        .client
                        .query()
                        .table_name(&self.name)
                        .key_condition_expression(&text)
                        .set_expression_attribute_values(Some(values.clone()))
                        .set_exclusive_start_key(start.clone())
                        .set_limit(left)
                        .scan_index_forward(!range.descending)
                        .consistent_read(range.consistent)
                        .return_consumed_capacity(ReturnConsumedCapacity::Total);
                    async move { call.send().await.map_err(|error| failure("Query", &error)) }
                })
                .await
                .map_err(CallError::or_stale)?;
            pages += 1;
            self.meter.read(answer.consumed_capacity().and_then(|used| used.capacity_units()));
            found.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || limit.is_some_and(|limit| found.len() >= limit) {
                return Ok((found, pages));
            }
        }
    }

    /// Marks of one partition of the index up to `until`, the oldest first, at most `limit`.
    pub(crate) async fn query_marks(
        &self,
        partition: &str,
        until: Option<&str>,
        dirty_only: bool,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        let mut values = Item::from([(":mpk".to_owned(), AttributeValue::S(partition.to_owned()))]);
        let mut text = "mpk = :mpk".to_owned();
        if let Some(until) = until {
            text.push_str(" AND msk <= :until");
            values.insert(":until".to_owned(), AttributeValue::S(until.to_owned()));
        }
        let filter = dirty_only.then(|| format!("attribute_exists({})", attr::DIRTY_SINCE));
        let mut found: Vec<Item> = Vec::new();
        let mut start: Option<Item> = None;
        loop {
            // With a filter the limit counts what is looked at, so only without one it is worth giving.
            let left = (!dirty_only).then(|| i32::try_from(limit - found.len()).unwrap_or(i32::MAX));
            let answer = self
                .persistently(|| {
                    let call = self
                        .client
                        .query()
                        .table_name(&self.name)
                        .index_name(MARKS_INDEX)
                        .key_condition_expression(&text)
                        .set_filter_expression(filter.clone())
                        .set_expression_attribute_values(Some(values.clone()))
                        .set_exclusive_start_key(start.clone())
                        .set_limit(left)
                        .return_consumed_capacity(ReturnConsumedCapacity::Total);
                    async move { call.send().await.map_err(|error| failure("Query", &error)) }
                })
                .await
                .map_err(CallError::or_stale)?;
            self.meter.read(answer.consumed_capacity().and_then(|used| used.capacity_units()));
            found.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// One write; an update answers with the item as it then is.
    pub(crate) async fn write(&self, write: Write) -> Result<Option<Item>, CallError> {
        match write {
            Write::Put { item, condition } => {
                let expressions = Expressions::of(condition);
                let call = || self.client.put_item().set_item(Some(item.clone()));
                written!(self, "PutItem", PutItemError, call, expressions);
                Ok(None)
            }
            Write::Update { key, text, values, condition } => {
                let expressions = Expressions::new(&text, values, condition);
                let call = || {
                    let update = self.client.update_item().set_key(Some(key.item())).update_expression(&text);
                    update.return_values(ReturnValue::AllNew)
                };
                Ok(written!(self, "UpdateItem", UpdateItemError, call, expressions).attributes)
            }
            Write::Delete { key, condition } => {
                let expressions = Expressions::of(condition);
                let call = || self.client.delete_item().set_key(Some(key.item()));
                written!(self, "DeleteItem", DeleteItemError, call, expressions);
                Ok(None)
            }
            check @ Write::Check { .. } => self.transact(vec![check]).await.map(|()| None),
        }
    }

    /// All of these writes or none; at most 100, each of another item.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<(), CallError> {
        let actions: Vec<TransactWriteItem> =
            writes.into_iter().map(|write| write.into_action(&self.name)).collect::<Result<_, _>>()?;
        // DynamoDB does what carries the same token once: an answer that was lost makes no second write, and its
        // conditions are not held against what the first one wrote.
        let token = token();
        let answer = self
            .persistently(|| {
                let call = self
                    .client
                    .transact_write_items()
                    .client_request_token(&token)
                    .set_transact_items(Some(actions.clone()))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                async move { call.send().await.map_err(|error| cancellation(&error)) }
            })
            .await?;
        self.meter.write(Some(answer.consumed_capacity().iter().filter_map(|used| used.capacity_units()).sum()));
        Ok(())
    }

    /// Puts and deletes, the last one of each item, without conditions and without any promise of order or togetherness, until all are done.
    pub(crate) async fn write_many(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut batches: Vec<Vec<WriteRequest>> = Vec::new();
        let mut size = 0;
        for write in last_of_each(writes, |write| write.key()) {
            let bytes = write.bytes();
            let request = WriteRequest::builder();
            let request = match write {
                Write::Put { item, .. } => {
                    request.put_request(PutRequest::builder().set_item(Some(item)).build().map_err(built)?)
                }
                Write::Delete { key, .. } => {
                    request.delete_request(DeleteRequest::builder().set_key(Some(key.item())).build().map_err(built)?)
                }
                Write::Update { .. } | Write::Check { .. } => {
                    return Err(StoreError::Corrupt { what: "a batch takes puts and deletes only".to_owned() });
                }
            };
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_WRITE_ITEMS && size + bytes <= BATCH_WRITE_BYTES => {
                    batch.push(request.build());
                    size += bytes;
                }
                _ => {
                    batches.push(vec![request.build()]);
                    size = bytes;
                }
            }
        }
        stream::iter(batches).map(|batch| self.write_batch(batch)).buffer_unordered(BATCHES_AT_ONCE).try_collect().await
    }

    async fn write_batch(&self, mut batch: Vec<WriteRequest>) -> Result<(), StoreError> {
        let mut tries = 0;
        while !batch.is_empty() {
            let answer = self
                .persistently(|| {
                    let call = self
                        .client
                        .batch_write_item()
                        .request_items(&self.name, batch.clone())
                        .return_consumed_capacity(ReturnConsumedCapacity::Total);
                    async move { call.send().await.map_err(|error| failure("BatchWriteItem", &error)) }
                })
                .await
                .map_err(CallError::or_stale)?;
            self.meter.write(Some(answer.consumed_capacity().iter().filter_map(|used| used.capacity_units()).sum()));
            batch = answer.unprocessed_items.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
            if !batch.is_empty() {
                tries += 1;
                wait_or_give_up(tries, "BatchWriteItem").await?;
            }
        }
        Ok(())
    }

    /// Tries again, a little later each time, while DynamoDB asks for less or another transaction is in the way.
    async fn persistently<T, F>(&self, call: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let (mut tries, mut broken) = (0, 0);
        let began = tokio::time::Instant::now();
        loop {
            self.meter.call();
            let failed = match call().await {
                Err(CallError::Busy(failed)) => failed,
                Err(CallError::Broken(failed)) => {
                    broken += 1;
                    failed
                }
                done => return done,
            };
            tries += 1;
            if tries == TRIES || broken == TRIES_OF_BROKEN || began.elapsed() >= TRIED_FOR {
                return Err(CallError::Failed(StoreError::Unavailable(Box::new(failed))));
            }
            tokio::time::sleep(pause(tries)).await;
        }
    }
}

fn built(error: BuildError) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

async fn wait_or_give_up(tries: u32, operation: &'static str) -> Result<(), StoreError> {
    if tries == TRIES {
        let how = "left items unprocessed, again and again".to_owned();
        return Err(StoreError::Unavailable(Box::new(CallFailed { operation, how })));
    }
    tokio::time::sleep(pause(tries)).await;
    Ok(())
}

/// A name for one transaction among those of the last minutes: no more than difference is asked of it.
fn token() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

/// Twice as long each time, up to about a second, and never the same for two callers.
pub(crate) fn pause(tries: u32) -> Duration {
    let longest = 10u64 << tries.min(7);
    // A fresh hasher is seeded by the system; no more than spread is asked of it.
    let spread = RandomState::new().build_hasher().finish() % longest.max(1);
    Duration::from_millis(longest / 2 + spread / 2)
}

fn failure<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallError {
    let failed = describe(operation, error);
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(
            "TransactionConflictException"
            | "TransactionInProgressException"
            | "ThrottlingException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded",
        ) => CallError::Busy(failed),
        Some(STORE_DAMAGED) => CallError::Failed(damaged(&failed)),
        _ if is_broken(error) => CallError::Broken(failed),
        _ => CallError::Failed(StoreError::Unavailable(Box::new(failed))),
    }
}

/// What an embedded engine answers where its file is damaged, so that no repetition helps. DynamoDB has no such word.
pub const STORE_DAMAGED: &str = "StoreDamaged";

fn damaged(failed: &CallFailed) -> StoreError {
    StoreError::Corrupt { what: format!("the store itself is damaged: {failed}") }
}

/// Whether nothing was decided: no connection, no answer in time, or an answer that speaks of DynamoDB's own trouble.
fn is_broken<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout() || failure.is_io(),
        SdkError::ServiceError(refusal) => refusal.raw().status().is_server_error(),
        _ => false,
    }
}

/// The store's error for a call that did not go through.
pub(crate) fn refusal<E: ProvideErrorMetadata>(
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> StoreError {
    let failed = describe(operation, error);
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(STORE_DAMAGED) => damaged(&failed),
        _ => StoreError::Unavailable(Box::new(failed)),
    }
}

/// What may be told of an error: how the call failed, and the message unless it may quote what was sent.
fn describe<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallFailed {
    let how = how_it_failed(error);
    let refusal = error.as_service_error();
    let may_quote =
        matches!(refusal.and_then(ProvideErrorMetadata::code), Some("ValidationException" | "SerializationException"));
    match refusal.and_then(ProvideErrorMetadata::message).filter(|_| !may_quote) {
        Some(message) => CallFailed { operation, how: format!("{how}: {message}") },
        None => CallFailed { operation, how },
    }
}

fn cancellation(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> CallError {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return failure("TransactWriteItems", error);
    };
    let reasons = cancelled.cancellation_reasons();
    let refused: Vec<(usize, Option<Item>)> = reasons
        .iter()
        .enumerate()
        .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(at, reason)| (at, reason.item.clone()))
        .collect();
    if !refused.is_empty() {
        return CallError::Refused(refused);
    }
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).filter(|code| *code != "None").collect();
    let failed = CallFailed { operation: "TransactWriteItems", how: format!("was cancelled: {}", codes.join(", ")) };
    let passes =
        |code: &&str| matches!(*code, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded");
    if !codes.is_empty() && codes.iter().all(passes) {
        CallError::Busy(failed)
    } else {
        CallError::Failed(StoreError::Unavailable(Box::new(failed)))
    }
}

/// What is written of each item when one call takes an item once: the last word on it, in the order of these.
pub(crate) fn last_of_each<T, K: Ord>(writes: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<T> = writes.into_iter().rev().filter(|write| seen.insert(key(write))).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_writes_of_an_item_the_last_one_counts() {
        let writes = vec![("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)];
        assert_eq!(last_of_each(writes, |(item, _)| *item), [("c", 4), ("b", 5), ("a", 6)]);
        assert!(last_of_each(Vec::<(&str, u8)>::new(), |(item, _)| *item).is_empty());
    }

    #[test]
    fn every_name_of_an_expression_gets_a_placeholder() {
        let names: HashMap<String, String> = names_in("SET #ttl = :t, #doc=:d REMOVE #until").collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names["#ttl"], "ttl");
        assert_eq!(names["#until"], "until");
    }

    #[test]
    fn pauses_grow_and_end() {
        assert!(pause(1) < pause(5));
        assert!(pause(60) <= Duration::from_millis(1280));
    }
}
