//! Calls on the one table: expressions, pages, batches, transactions, repetition and metering. Knows nothing of
//! what items mean. No error that leaves here quotes an item.

mod failure;
mod range;
mod write;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::retry::RetryConfig,
    operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::{
        AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, ReturnValue,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, WriteRequest,
    },
};
use calmesh_app::ports::StoreError;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    meter::Metered,
    schema::{Key, MARKS_INDEX, attr},
};

pub(crate) use crate::schema::Item;

pub use failure::STORE_DAMAGED;
pub(crate) use failure::{CallError, pause, refusal};
pub(crate) use range::{Range, Span};
pub(crate) use write::{Condition, Write, last_of_each};

use failure::{CallFailed, built, cancellation, failure};
use write::{Expressions, conditioned};

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
