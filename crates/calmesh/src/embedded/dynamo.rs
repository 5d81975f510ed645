//! The DynamoDB API in this process: SDK requests go straight to an engine on SQLite, over no socket.
//!
//! A listener on loopback would be open to every user and browser of this machine: the engine checks no signatures
//! and answers cross-origin requests.
//!
//! - All that writes goes through one thread, which syncs the disk once for what came together (see `writer`).
//! - What reads is read where it is asked for, on connections of its own: it costs no change of threads, and waits for no
//!   transaction. It is answered once all that it may have seen stands.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::{
    client::{
        auth::AuthSchemeId,
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use calmesh_store_dynamodb::STORE_DAMAGED;
use dynoxide::{
    Database, DynoxideError,
    actions::{
        batch_write_item::{BatchWriteItemRequest, BatchWriteItemResponse, WriteRequest},
        transact_write_items::{TransactDelete, TransactPut, TransactWriteItem, TransactWriteItemsRequest},
    },
};
use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    sqlite::{Log, Looks, Readers, speaks_of_damage},
    writer::{Writer, Writes},
};

/// Requests stay in the process, so nothing needs a signature.
const NO_AUTH: AuthSchemeId = AuthSchemeId::new("noAuth");
const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "DynamoDB_20120810.";
/// What a transaction takes. Items are smaller than the JSON that brings them.
const TRANSACTION_BYTES: usize = 4 << 20;
/// A table of one item: to whom the store belongs.
const OWNER_TABLE: &str = "calmesh-owner";
/// What every database file of SQLite begins with.
const SQLITE_HEAD: &[u8; 16] = b"SQLite format 3\0";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// What changes nothing, and need not see several items at one moment.
const READS: [&str; 6] = ["GetItem", "Query", "Scan", "BatchGetItem", "DescribeTable", "DescribeTimeToLive"];

/// The engine on one database file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EmbeddedDynamo {
    path: PathBuf,
    database: Database,
    readers: Arc<Readers<Database>>,
    writer: Writer<Writing>,
}

/// What the thread that writes works on.
struct Writing {
    database: Database,
    log: Log,
}

impl Writes for Writing {
    type Asked = HttpRequest;
    type Answer = HttpResponse;
    const SEEN_AT_ONCE: bool = true;

    fn write(&mut self, request: HttpRequest) -> HttpResponse {
        answer(&self.database, &request)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync()
    }
}

/// The database file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the database {path} can't be opened")]
    Failed {
        path: String,
        #[source]
        source: DynoxideError,
    },
    #[error("nothing can be written to the database {path}")]
    NoWriter {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The engine's own words advise on its library.
    #[error("{0} is no database of SQLite, or its head is damaged")]
    NoDatabase(String),
}

impl EmbeddedDynamo {
    /// Opens or makes the database file.
    ///
    /// # Errors
    /// When the file can't be opened or is no database.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let text = path.display().to_string();
        let failed = |source| {
            if is_no_database(path) {
                tracing::debug!(error = %source, "the store can't be opened");
                return OpenError::NoDatabase(text.clone());
            }
            OpenError::Failed { path: text.clone(), source }
        };
        let database = Database::new(&text).map_err(failed)?;
        let readers = (0..Readers::<Database>::USUAL).map(|_| Database::new(&text)).collect::<Result<Vec<_>, _>>();
        let readers = Arc::new(Readers::new(readers.map_err(failed)?));
        leave_syncing_to_writer(&database).map_err(failed)?;
        let writer = Writer::start(Writing { database: database.clone(), log: Log::of(path.to_owned()) });
        let writer = writer.map_err(|source| OpenError::NoWriter { path: text.clone(), source })?;
        Ok(Self { path: path.to_owned(), database, readers, writer })
    }

    fn read(&self, request: &HttpRequest) -> HttpResponse {
        let read = self.readers.with(|reader| answer(reader, request));
        read.unwrap_or_else(|| answer(&self.database, request))
    }

    /// What SQLite finds wrong with a database file; none where it is whole, or the look was cut off. Reads all of it.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn damage_of(path: &Path, looks: &Looks) -> Result<Option<String>, rusqlite::Error> {
        let look = |connection: &Connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        match looks.at(path, look) {
            Ok(said) => Ok(said.filter(|said: &String| said != "ok")),
            Err(error) if speaks_of_damage(&error) => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// An SDK client whose requests this engine answers.
    pub(crate) fn client(&self) -> aws_sdk_dynamodb::Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            // No name is looked up and nothing is dialled: requests end in the connector.
            .endpoint_url("http://embedded.invalid")
            .allow_no_auth()
            .auth_scheme_preference([NO_AUTH])
            // Nothing is lost on the way or waits on a line, and what the engine refuses it refuses again.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// To which deployment the store belongs, as it was written down when it was made; none for a store that nobody made.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn owner(&self) -> Result<Option<String>, DynoxideError> {
        let asked = json!({ "TableName": OWNER_TABLE, "Key": owner_key(), "ConsistentRead": true });
        match dispatch(&self.database, "GetItem", &asked.to_string()) {
            Ok(answer) => {
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                Ok(answer.pointer("/Item/owner/S").and_then(Value::as_str).map(str::to_owned))
            }
            Err(DynoxideError::ResourceNotFoundException(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes down to which deployment the store belongs.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn belongs_to(&self, owner: &str) -> Result<(), DynoxideError> {
        let table = json!({
            "TableName": OWNER_TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        });
        match dispatch(&self.database, "CreateTable", &table.to_string()) {
            Ok(_) | Err(DynoxideError::ResourceInUseException(_)) => {}
            Err(error) => return Err(error),
        }
        let put = json!({ "TableName": OWNER_TABLE, "Item": { "pk": { "S": "owner" }, "owner": { "S": owner } } });
        dispatch(&self.database, "PutItem", &put.to_string())?;
        // This went past the writer.
        Log::of(self.path.clone()).sync().map_err(|error| DynoxideError::InternalServerError(error.to_string()))
    }

    /// Removes items whose time has come, as DynamoDB does by itself.
    pub(crate) async fn sweep_expired(&self) {
        let database = self.database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "expired items were not removed; the next round tries again");
        }
    }
}

impl fmt::Debug for EmbeddedDynamo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedDynamo")
    }
}

impl HttpConnector for EmbeddedDynamo {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let store = self.clone();
        HttpConnectorFuture::new(async move {
            let answered = if operation_of(&request).is_some_and(|operation| READS.contains(&operation)) {
                let answer = store.read(&request);
                store.writer.settled().await.map(|()| answer)
            } else {
                store.writer.write(request).await
            };
            answered.map_err(|stopped| ConnectorError::io(stopped.into()))
        })
    }
}

/// Has the engine sync nothing at a commit, which is the writer's part. What it calls normal after a bulk load is that:
/// its checkpoints sync, its commits don't.
fn leave_syncing_to_writer(database: &Database) -> Result<(), DynoxideError> {
    database.enable_bulk_loading()?;
    database.disable_bulk_loading()
}

fn operation_of(request: &HttpRequest) -> Option<&str> {
    request.headers().get(TARGET).and_then(|target| target.strip_prefix(TARGET_PREFIX))
}

/// Whether a file holds something that no database of SQLite begins with.
fn is_no_database(file: &Path) -> bool {
    let mut head = [0; SQLITE_HEAD.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut head));
    read.is_err() || head != *SQLITE_HEAD
}

/// Whether the engine speaks of damage, which mostly has SQLite's words alone.
fn is_of_damage(error: &DynoxideError) -> bool {
    match error {
        DynoxideError::SqliteError(error) => speaks_of_damage(error),
        DynoxideError::InternalServerError(said) => {
            ["database disk image is malformed", "file is not a database"].iter().any(|words| said.contains(words))
        }
        _ => false,
    }
}

fn owner_key() -> Value {
    json!({ "pk": { "S": "owner" } })
}

fn answer(database: &Database, request: &HttpRequest) -> HttpResponse {
    let operation = operation_of(request);
    let body = request.body().bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let answered = match (operation, body) {
        (Some(operation), Some(body)) => dispatch(database, operation, body),
        _ => Err(DynoxideError::SerializationException("no operation, or a body that is no text".to_owned())),
    };
    let (status, body) = match answered {
        Ok(body) => (200, body),
        Err(error) if is_of_damage(&error) => {
            (400, json!({ "__type": STORE_DAMAGED, "message": error.to_string() }).to_string())
        }
        Err(error) => (error.status_code(), error.to_json()),
    };
    let status = StatusCode::try_from(status).unwrap_or_else(|_| unreachable_status());
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", CONTENT_TYPE);
    response
}

/// What the engine's own statuses never come to.
fn unreachable_status() -> StatusCode {
    StatusCode::try_from(500).unwrap_or_else(|_| StatusCode::from(http::StatusCode::INTERNAL_SERVER_ERROR))
}

/// The operations that a store needs.
fn dispatch(database: &Database, operation: &str, body: &str) -> Result<String, DynoxideError> {
    match operation {
        "GetItem" => call(body, |request| database.get_item(request)),
        "PutItem" => call(body, |request| database.put_item(request)),
        "UpdateItem" => call(body, |request| database.update_item(request)),
        "DeleteItem" => call(body, |request| database.delete_item(request)),
        "Query" => call(body, |request| database.query(request)),
        "Scan" => call(body, |request| database.scan(request)),
        "BatchGetItem" => call(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" if body.len() <= TRANSACTION_BYTES => call(body, |request| write_batch(database, request)),
        "BatchWriteItem" => call(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => call(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => call(body, |request| database.transact_write_items(request)),
        "CreateTable" => call(body, |request| database.create_table(request)),
        "DescribeTable" => call(body, |request| database.describe_table(request)),
        "UpdateTimeToLive" => call(body, |request| database.update_time_to_live(request)),
        "DescribeTimeToLive" => call(body, |request| database.describe_time_to_live(request)),
        _ => Err(DynoxideError::ValidationException(format!("{operation} is not among the embedded operations"))),
    }
}

/// Writes a batch that fits as a transaction, which syncs the disk once; the engine's own batch does so for each item. It
/// is more than DynamoDB promises of a batch.
fn write_batch(database: &Database, batch: BatchWriteItemRequest) -> Result<BatchWriteItemResponse, DynoxideError> {
    let writes = batch.request_items.into_iter();
    let actions = writes.flat_map(|(table, writes)| writes.into_iter().map(move |write| action(&table, write)));
    let transact_items = actions.collect();
    database.transact_write_items(TransactWriteItemsRequest { transact_items, ..Default::default() })?;
    Ok(BatchWriteItemResponse::default())
}

fn action(table: &str, write: WriteRequest) -> TransactWriteItem {
    let put =
        write.put_request.map(|put| TransactPut { table_name: table.to_owned(), item: put.item, ..Default::default() });
    let delete = write.delete_request.map(|delete| TransactDelete {
        table_name: table.to_owned(),
        key: delete.key,
        ..Default::default()
    });
    TransactWriteItem { put, delete, ..Default::default() }
}

fn call<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    run: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request =
        serde_json::from_str(body).map_err(|error| DynoxideError::SerializationException(error.to_string()))?;
    let answer = run(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        error::ProvideErrorMetadata,
        types::{
            AttributeDefinition, AttributeValue, BillingMode, DeleteRequest, KeySchemaElement, KeyType, Put,
            PutRequest, ScalarAttributeType, Select, TransactWriteItem, WriteRequest,
        },
    };

    use super::{EmbeddedDynamo, Looks};

    async fn table(client: &aws_sdk_dynamodb::Client) {
        client
            .create_table()
            .table_name("things")
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name("pk")
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .unwrap(),
            )
            .key_schema(KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap())
            .send()
            .await
            .unwrap();
    }

    fn put(key: &str) -> Put {
        Put::builder()
            .table_name("things")
            .item("pk", AttributeValue::S(key.to_owned()))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn a_condition_that_fails_is_the_error_that_the_sdk_knows() {
        let folder = tempfile::tempdir().unwrap();
        let client = EmbeddedDynamo::open(&folder.path().join("store.db")).unwrap().client();
        table(&client).await;
        let put_once = || {
            client
                .put_item()
                .table_name("things")
                .item("pk", AttributeValue::S("a".to_owned()))
                .condition_expression("attribute_not_exists(pk)")
                .send()
        };
        put_once().await.unwrap();
        let error = put_once().await.unwrap_err().into_service_error();
        assert!(error.is_conditional_check_failed_exception(), "{error:?}");
    }

    #[tokio::test]
    async fn a_transaction_is_all_or_nothing_and_gives_its_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let client = EmbeddedDynamo::open(&folder.path().join("store.db")).unwrap().client();
        table(&client).await;
        let write = |keys: [&str; 2]| {
            let items = keys.iter().map(|key| TransactWriteItem::builder().put(put(key)).build()).collect();
            client.transact_write_items().set_transact_items(Some(items)).send()
        };
        write(["a", "b"]).await.unwrap();
        let error = write(["c", "b"]).await.unwrap_err().into_service_error();
        assert!(error.is_transaction_canceled_exception(), "{error:?}");
        let missing =
            client.get_item().table_name("things").key("pk", AttributeValue::S("c".to_owned())).send().await.unwrap();
        assert!(missing.item().is_none());
    }

    fn put_in_batch(key: &str, bytes: usize) -> WriteRequest {
        let put = PutRequest::builder()
            .item("pk", AttributeValue::S(key.to_owned()))
            .item("doc", AttributeValue::S("x".repeat(bytes)))
            .build()
            .unwrap();
        WriteRequest::builder().put_request(put).build()
    }

    #[tokio::test]
    async fn a_batch_puts_and_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let client = EmbeddedDynamo::open(&folder.path().join("store.db")).unwrap().client();
        table(&client).await;
        let put = |key| put_in_batch(key, 1);
        let delete = |key: &str| {
            let delete = DeleteRequest::builder().key("pk", AttributeValue::S(key.to_owned())).build().unwrap();
            WriteRequest::builder().delete_request(delete).build()
        };
        let write = |batch| client.batch_write_item().request_items("things", batch).send();
        let keys = async || {
            let found = client.scan().table_name("things").send().await.unwrap();
            let mut keys: Vec<String> = found.items().iter().map(|item| item["pk"].as_s().unwrap().clone()).collect();
            keys.sort();
            keys
        };
        let answer = write(vec![put("a"), put("b"), delete("none")]).await.unwrap();
        assert!(answer.unprocessed_items().is_none_or(std::collections::HashMap::is_empty));
        assert_eq!(keys().await, ["a", "b"]);
        write(vec![delete("a"), put("c")]).await.unwrap();
        assert_eq!(keys().await, ["b", "c"]);
        let error = write(vec![put("d"), put("d")]).await.unwrap_err().into_service_error();
        assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
    }

    #[tokio::test]
    async fn a_batch_may_be_larger_than_a_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let client = EmbeddedDynamo::open(&folder.path().join("store.db")).unwrap().client();
        table(&client).await;
        let batch = (0..12).map(|number| put_in_batch(&number.to_string(), 390_000)).collect();
        client.batch_write_item().request_items("things", batch).send().await.unwrap();
        let pages = client.scan().table_name("things").select(Select::Count).into_paginator().send();
        let pages = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
        assert_eq!(pages.iter().map(|page| page.count()).sum::<i32>(), 12);
    }

    #[tokio::test]
    async fn a_damaged_page_is_found_and_what_lies_on_it_is_answered_as_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        {
            let client = EmbeddedDynamo::open(&path).unwrap().client();
            table(&client).await;
            let batch = (0..20).map(|number| put_in_batch(&number.to_string(), 9_000)).collect();
            client.batch_write_item().request_items("things", batch).send().await.unwrap();
        }
        assert_eq!(EmbeddedDynamo::damage_of(&path, &Looks::default()).unwrap(), None);
        let mut bytes = std::fs::read(&path).unwrap();
        let pages = bytes.len() / 4096;
        bytes[pages / 2 * 4096..].fill(0);
        std::fs::write(&path, bytes).unwrap();
        assert!(EmbeddedDynamo::damage_of(&path, &Looks::default()).unwrap().is_some());
        let client = EmbeddedDynamo::open(&path).unwrap().client();
        let error = client.scan().table_name("things").send().await.unwrap_err().into_service_error();
        assert_eq!(error.code(), Some("StoreDamaged"), "{error:?}");
    }

    #[test]
    fn what_is_no_database_is_refused_without_advice_for_programmers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::write(&path, "x".repeat(9_000)).unwrap();
        let error = EmbeddedDynamo::open(&path).err().unwrap();
        let said = calmesh_lambda_kit::telemetry::chain(&error);
        assert!(said.contains("is no database of SQLite") && !said.contains("encrypt"), "{said}");
        assert!(EmbeddedDynamo::damage_of(&path, &Looks::default()).unwrap().is_some());
    }

    #[test]
    fn a_store_knows_to_whom_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let made = EmbeddedDynamo::open(&path).unwrap();
        assert_eq!(made.owner().unwrap(), None);
        made.belongs_to("a").unwrap();
        made.belongs_to("a").unwrap();
        drop(made);
        assert_eq!(EmbeddedDynamo::open(&path).unwrap().owner().unwrap().as_deref(), Some("a"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_reads_sees_what_was_acknowledged_before() {
        let folder = tempfile::tempdir().unwrap();
        let client = EmbeddedDynamo::open(&folder.path().join("store.db")).unwrap().client();
        table(&client).await;
        let write_and_look = |key: String| {
            let client = client.clone();
            async move {
                for number in 0..25 {
                    let written = client.put_item().table_name("things").item("pk", AttributeValue::S(key.clone()));
                    written.item("number", AttributeValue::N(number.to_string())).send().await.unwrap();
                    let read = client.get_item().table_name("things").key("pk", AttributeValue::S(key.clone())).send();
                    let read = read.await.unwrap();
                    assert_eq!(read.item().unwrap()["number"].as_n().unwrap(), &number.to_string());
                }
            }
        };
        let all = (0..16).map(|key| tokio::spawn(write_and_look(key.to_string())));
        for done in futures::future::join_all(all).await {
            done.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        {
            let client = EmbeddedDynamo::open(&path).unwrap().client();
            table(&client).await;
            client.put_item().table_name("things").item("pk", AttributeValue::S("a".to_owned())).send().await.unwrap();
        }
        let client = EmbeddedDynamo::open(&path).unwrap().client();
        let found =
            client.get_item().table_name("things").key("pk", AttributeValue::S("a".to_owned())).send().await.unwrap();
        assert!(found.item().is_some());
    }
}
