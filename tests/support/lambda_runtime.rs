//! What surrounds a function in the cloud, on loopback: Lambda's runtime API that hands out invocations, DynamoDB,
//! S3, and one endpoint that plays EventBridge, Secrets Manager and KMS. The function's real binary runs against it
//! as a child process.
//!
//! Runtime API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_credential_types::Credentials;
use aws_sdk_s3::operation::get_object::GetObjectError;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use calmesh_app::{
    App, Common, Expected, Keys, NewConnection, NewProperty, Ports, PropertyEdit, Reach, Settings,
    fakes::{FixedClock, MemoryBus, MemoryFeeds, PlainSealer, SeededRandomness},
    model::{Account, Detail, Direction, PolicyOverrides, SecretHash, TokenSecret},
    ports::{AccountStore, PropertyStore},
};
use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use calmesh_exports_s3::{Buckets, S3Objects};
use calmesh_https::{Roots, aws_http_client};
use calmesh_store_dynamodb::{DynamoStore, create_table_if_missing};
use jiff::{SignedDuration, Timestamp};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, mpsc},
};

#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../crates/calmesh/src/embedded/objects.rs"]
mod objects;
#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../crates/calmesh/src/embedded/rows.rs"]
mod rows;
#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../crates/calmesh/src/embedded/sqlite.rs"]
mod sqlite;
#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../crates/calmesh/src/embedded/writer.rs"]
mod writer;

const TABLE: &str = "calmesh";
const EXPORTS: &str = "calmesh-exports";
const SNAPSHOTS: &str = "calmesh-snapshots";
/// The bucket that CloudFront would put its logs into.
pub const ACCESS_LOGS: &str = "calmesh-access-log";
const ACCESS: &str = "AKIATEST";
const SECRET: &str = "secret";
/// The operator's key of this cloud.
pub fn operator_key() -> String {
    TokenSecret::from_random([5; 32]).reveal().to_owned()
}
/// The present of who sets a scene.
const LONG_AGO: &str = "2025-06-01T10:00:00Z";
const DEPLOYMENT_SECRET: &str = "a-deployment-secret-of-forty-characters!";
/// Long enough for a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answered(Value),
    Failed(Value),
}

#[derive(Debug)]
struct Invocation {
    id: String,
    payload: Value,
}

#[derive(Clone)]
struct RuntimeApi {
    waiting: Arc<AsyncMutex<mpsc::UnboundedReceiver<Invocation>>>,
    ended: mpsc::UnboundedSender<(String, Outcome)>,
}

/// One entry that was put on the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct PutEvent {
    pub detail_type: String,
    pub detail: Value,
}

/// The cloud around one function.
pub struct FakeCloud {
    invocations: mpsc::UnboundedSender<Invocation>,
    outcomes: AsyncMutex<mpsc::UnboundedReceiver<(String, Outcome)>>,
    invoked: AtomicU64,
    put_events: Arc<Mutex<Vec<PutEvent>>>,
    variables: HashMap<&'static str, String>,
    pub store: DynamoStore,
    pub objects: S3Objects,
    s3: aws_sdk_s3::Client,
    _folder: tempfile::TempDir,
}

impl std::fmt::Debug for FakeCloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeCloud")
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// The S3 API on a file; requests must be signed.
async fn serve_objects(file: &std::path::Path) -> String {
    let (objects, _) =
        objects::Objects::open(file, &[EXPORTS, SNAPSHOTS, ACCESS_LOGS], rows::Tells::default()).unwrap();
    let mut builder = S3ServiceBuilder::new(objects);
    builder.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
    let service = builder.build();
    let answer = move |request: Request| {
        let service = service.clone();
        async move {
            let request = request.map(s3s::Body::http_body_unsync);
            service.call(request).await.unwrap().map(axum::body::Body::new)
        }
    };
    serve(Router::new().fallback(answer)).await
}

impl FakeCloud {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (invocations, waiting) = mpsc::unbounded_channel();
        let (ended, outcomes) = mpsc::unbounded_channel();
        let runtime = serve(runtime_api(RuntimeApi { waiting: Arc::new(AsyncMutex::new(waiting)), ended })).await;
        let put_events = Arc::new(Mutex::new(Vec::new()));
        let services = serve(Router::new().fallback(services).with_state(put_events.clone())).await;

        let database = dynoxide::Database::new(folder.path().join("store.db").to_str().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamo = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));

        let s3_endpoint = format!("http://{}", serve_objects(&folder.path().join("objects.db")).await);

        let credentials = Credentials::from_keys(ACCESS, SECRET, None);
        let http = aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::from_static("eu-west-1"))
            .endpoint_url(&dynamo)
            .http_client(http.clone())
            .credentials_provider(credentials.clone())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        create_table_if_missing(&client, TABLE).await.unwrap();
        let store = DynamoStore::new(client, TABLE);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::from_static("eu-west-1"))
            .endpoint_url(&s3_endpoint)
            .http_client(http)
            .force_path_style(true)
            .credentials_provider(credentials)
            .build();
        let buckets = Buckets { exports: EXPORTS.to_owned(), snapshots: SNAPSHOTS.to_owned() };
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let objects = S3Objects::new(s3.clone(), buckets);

        let variables = HashMap::from([
            ("AWS_LAMBDA_RUNTIME_API", runtime),
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{services}")),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamo),
            ("AWS_ENDPOINT_URL_S3", s3_endpoint),
            ("CALMESH_TABLE", TABLE.to_owned()),
            ("CALMESH_EXPORTS_BUCKET", EXPORTS.to_owned()),
            ("CALMESH_SNAPSHOTS_BUCKET", SNAPSHOTS.to_owned()),
            ("CALMESH_ACCESS_LOG_BUCKET", ACCESS_LOGS.to_owned()),
            ("CALMESH_BUS", "calmesh".to_owned()),
            ("CALMESH_STACK_ID", "arn:aws:cloudformation:eu-west-1:1:stack/calmesh/1".to_owned()),
            ("CALMESH_LINKS_BASE", "https://d111.cloudfront.net".to_owned()),
            ("CALMESH_DEPLOYMENT_SECRET", "deployment".to_owned()),
            ("CALMESH_OPERATOR_KEY", "operator".to_owned()),
            ("CALMESH_KMS_KEY", "alias/calmesh".to_owned()),
            ("CALMESH_ALLOW_PRIVATE_FEEDS", "true".to_owned()),
        ]);
        Self {
            invocations,
            outcomes: AsyncMutex::new(outcomes),
            invoked: AtomicU64::new(0),
            put_events,
            variables,
            store,
            objects,
            s3,
            _folder: folder,
        }
    }

    /// What a function finds in its environment, changed.
    pub fn set(&mut self, variable: &'static str, value: &str) {
        self.variables.insert(variable, value.to_owned());
    }

    pub fn unset(&mut self, variable: &'static str) {
        self.variables.remove(variable);
    }

    /// Starts a function's binary; it ends with the returned handle.
    pub fn run(&self, binary: &str) -> Child {
        self.command(binary).spawn().unwrap()
    }

    /// Starts a function that is expected to give up, and waits for that. Answers what it logged.
    pub async fn run_to_its_end(&self, binary: &str) -> String {
        let ended = self.command(binary).stdout(Stdio::piped()).output();
        let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
        assert!(!ended.status.success());
        String::from_utf8(ended.stdout).unwrap()
    }

    fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(binary);
        command.env_clear().envs(&self.variables).kill_on_drop(true);
        command
    }

    /// Invokes the function and waits for what it answers.
    pub async fn invoke(&self, payload: Value) -> Outcome {
        let number = self.invoked.fetch_add(1, Ordering::Relaxed);
        let id = format!("8476a536-e9f4-11e8-9739-{number:012}");
        self.invocations.send(Invocation { id: id.clone(), payload }).unwrap();
        let mut outcomes = self.outcomes.lock().await;
        let (ended, outcome) = tokio::time::timeout(PATIENCE, outcomes.recv()).await.unwrap().unwrap();
        assert_eq!(ended, id);
        outcome
    }

    /// Puts a log of CloudFront's into its bucket.
    pub async fn put_log(&self, name: &str, body: Vec<u8>) {
        self.s3.put_object().bucket(ACCESS_LOGS).key(name).body(body.into()).send().await.unwrap();
    }

    /// The logs in CloudFront's bucket, by name.
    pub async fn logs(&self) -> Vec<String> {
        let found = self.s3.list_objects_v2().bucket(ACCESS_LOGS).send().await.unwrap();
        found.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// What is kept under this name for CloudFront.
    pub async fn exported(&self, name: &str) -> Option<String> {
        match self.s3.get_object().bucket(EXPORTS).key(name).send().await {
            Ok(found) => Some(String::from_utf8(found.body.collect().await.unwrap().to_vec()).unwrap()),
            Err(error) => {
                assert!(error.as_service_error().is_some_and(GetObjectError::is_no_such_key), "{error:?}");
                None
            }
        }
    }

    /// What was put on the bus since the last call.
    pub fn taken_events(&self) -> Vec<PutEvent> {
        std::mem::take(&mut self.put_events.lock().unwrap())
    }

    /// A deployment on the same store and objects, to set a scene with. Its clock is long behind the function's.
    pub fn app(&self) -> App {
        let objects = Arc::new(self.objects.clone());
        let settings = Settings {
            refused_providers: Default::default(),
            sweep_period: SignedDuration::from_mins(15),
            read_again_after: Settings::READ_AGAIN_AFTER,
            shards: 64,
            private_feeds: true,
            every_read_is_recorded: false,
        };
        App::new(&Ports {
            common: Common::on(
                Arc::new(self.store.clone()),
                Arc::new(MemoryBus::new()),
                Arc::new(FixedClock::at(LONG_AGO.parse::<Timestamp>().unwrap())),
                Arc::new(SeededRandomness::new(7)),
                settings,
            ),
            feeds: Arc::new(MemoryFeeds::new()),
            snapshots: objects.clone(),
            exports: objects,
            sealer: Arc::new(PlainSealer),
            links_base: "https://d111.cloudfront.net".parse().unwrap(),
            operator_key: SecretHash::of(&operator_key()),
            keys: Keys { cursor: [1; 32], echo: [2; 32] },
        })
    }

    /// Gives a property another name, which its links must follow.
    pub async fn rename(&self, app: &App, property: &PropertyId, name: &str) {
        let reach = Reach::whole(self.store.property(property).await.unwrap().unwrap().account);
        let edit = PropertyEdit { name: Some(name.to_owned()), ..PropertyEdit::default() };
        app.desk.edit_property(&reach, property, &edit, &Expected::Any).await.unwrap();
    }

    /// A property with one connection that reads this URL and has a private link.
    pub async fn property_reading(&self, app: &App, url: &str) -> (PropertyId, ConnectionId) {
        let account = AccountId::from_random([7; 16]);
        let made = Account {
            id: account.clone(),
            name: "host".to_owned(),
            default_detail: Detail::Busy,
            default_label_prefix: "EX-".to_owned(),
            created_at: LONG_AGO.parse().unwrap(),
            deleted_at: None,
            links_until: None,
            version: 1,
        };
        self.store.create_account(&made, None).await.unwrap();
        let reach = Reach::whole(account);
        let flat = NewProperty {
            name: "flat".to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            check_in: jiff::civil::time(15, 0, 0, 0),
            check_out: jiff::civil::time(11, 0, 0, 0),
            turnover_nights: 0,
            label_prefix: None,
        };
        let property = app.desk.create_property(&reach, flat).await.unwrap().id;
        let connection = NewConnection {
            name: "site".to_owned(),
            provider: None,
            direction: Direction::Bidirectional,
            paused: false,
            url: Some(url.parse().unwrap()),
            policy: PolicyOverrides::default(),
            has_import: true,
            detail: None,
            format: None,
            export_paused: false,
            has_export: true,
            skip_check: true,
        };
        let connection = app.desk.create_connection(&reach, &property, &connection).await.unwrap();
        (property, connection.connection.id)
    }
}

/// A batch as SQS hands it over, of EventBridge's envelopes; the bodies' order numbers the message ids from 1.
pub fn sqs_batch(bodies: &[String]) -> Value {
    let records: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| {
            json!({
                "messageId": format!("message-{}", n + 1),
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue",
                "awsRegion": "eu-west-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

/// An event in the envelope in which a rule hands it to a queue.
pub fn envelope(detail_type: &str, detail: &Value) -> String {
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": detail_type,
        "source": "calmesh",
        "account": "123456789012",
        "time": "2026-12-01T10:00:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    })
    .to_string()
}

/// The ids that a function wants delivered again.
pub fn failed_messages(outcome: &Outcome) -> Vec<String> {
    let Outcome::Answered(answer) = outcome else { panic!("the whole batch failed: {outcome:?}") };
    let failures = answer["batchItemFailures"].as_array().expect("a batch response");
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

fn runtime_api(api: RuntimeApi) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .with_state(api)
}

async fn next(State(api): State<RuntimeApi>) -> Response {
    let Some(invocation) = api.waiting.lock().await.recv().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    #[allow(clippy::disallowed_methods, reason = "the deadline is an instant of the real clock")]
    let deadline = Timestamp::now().as_millisecond() + 30_000;
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", invocation.id),
        ("Lambda-Runtime-Deadline-Ms", deadline.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:f".to_owned()),
        ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".to_owned()),
    ];
    (headers, Json(invocation.payload)).into_response()
}

async fn response(State(api): State<RuntimeApi>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    api.ended.send((id, Outcome::Answered(answer))).unwrap();
    StatusCode::ACCEPTED
}

async fn error(State(api): State<RuntimeApi>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    api.ended.send((id, Outcome::Failed(answer))).unwrap();
    StatusCode::ACCEPTED
}

/// EventBridge, Secrets Manager and KMS, told apart by their target header.
async fn services(State(put_events): State<Arc<Mutex<Vec<PutEvent>>>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match target {
        "AWSEvents.PutEvents" => {
            let entries = asked["Entries"].as_array().cloned().unwrap_or_default();
            let put = entries.iter().map(|entry| PutEvent {
                detail_type: entry["DetailType"].as_str().unwrap_or_default().to_owned(),
                detail: serde_json::from_str(entry["Detail"].as_str().unwrap_or_default()).unwrap_or_default(),
            });
            put_events.lock().unwrap().extend(put);
            let taken: Vec<Value> = entries.iter().map(|_| json!({ "EventId": "11710aed-b79e-4468" })).collect();
            json!({ "FailedEntryCount": 0, "Entries": taken })
        }
        "secretsmanager.GetSecretValue" => {
            let secret = match asked["SecretId"].as_str() {
                Some("operator") => operator_key(),
                Some("deployment") => DEPLOYMENT_SECRET.to_owned(),
                _ => String::new(),
            };
            json!({ "ARN": "arn:aws:secretsmanager:eu-west-1:1:secret:s", "Name": "s", "SecretString": secret })
        }
        "TrentService.GenerateDataKey" => {
            let key = STANDARD.encode([9; 32]);
            json!({ "CiphertextBlob": key, "Plaintext": key, "KeyId": asked["KeyId"] })
        }
        "TrentService.Decrypt" => {
            json!({ "Plaintext": asked["CiphertextBlob"], "KeyId": asked["KeyId"] })
        }
        _ => return (StatusCode::BAD_REQUEST, Json(json!({ "__type": "UnknownOperationException" }))).into_response(),
    };
    ([("content-type", "application/x-amz-json-1.1")], answer.to_string()).into_response()
}
