//! A function in the cloud: its configuration, the SDK clients that it uses, and the one room of `app` that it runs.

use std::{fmt, sync::Arc, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_secretsmanager::Client as SecretsClient;
use aws_types::SdkConfig;
use calmesh_access_log::{AccessLogs, new_logs};
use calmesh_app::{
    Access, Common, Desk, Fetch, Keys, Merge, Ports, Publish, Settings, Tick, WorkError,
    model::{LinkToken, SecretHash},
    ports::{AccountStore, Clock, Event, ExportStore, FeedSource, IdentityVerifier, Randomness, SnapshotStore},
};
use calmesh_events_eventbridge::EventBridgeBus;
use calmesh_exports_s3::{Buckets, S3Objects};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, HttpFeedsError};
use calmesh_https::{AwsHttpError, Roots, aws_http_client};
use calmesh_oidc::{OidcConfigError, OidcVerifier};
use calmesh_secrets::{DeriveError, KmsSealer, derive_keys};
use calmesh_store_dynamodb::DynamoStore;
use futures::FutureExt;
use jiff::SignedDuration;
use lambda_runtime::LambdaEvent;

use crate::{
    BatchLimits, Config, ConfigError, Function, MessageError, OsRandomness, OwnAgent, SystemClock, aws,
    not_found_page::WithNotFoundPage, telemetry, work_batch,
};

/// The schedule comes once a minute.
const TICK: SignedDuration = SignedDuration::from_mins(1);
/// Kept free at the end of an invocation, to answer which messages are done.
const TIME_TO_ANSWER: Duration = Duration::from_secs(2);

/// A function that runs one room, ready to be invoked.
pub struct Cloud<R> {
    pub room: R,
    pub config: Config,
}

impl<R> fmt::Debug for Cloud<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What `access` runs: logs of reads, and where they are recorded.
#[derive(Debug)]
pub struct Logs {
    access: Access,
    logs: AccessLogs,
}

/// What `api` runs: what hosts ask for, and who they are where an issuer of JWTs says so.
pub struct Api {
    pub desk: Desk,
    pub identity: Option<Arc<dyn IdentityVerifier>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("desk", &self.desk).finish_non_exhaustive()
    }
}

/// Why a function can't start. Lambda starts it anew.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the secret that {variable} names can't be read from Secrets Manager; may this function read it?")]
    Secret {
        variable: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("no keys can be derived from the secret that CALMESH_DEPLOYMENT_SECRET names")]
    Keys(#[from] DeriveError),
    #[error("CALMESH_OIDC_ISSUER or CALMESH_OIDC_AUDIENCE can't be used")]
    Oidc(#[from] OidcConfigError),
    #[error("feeds can't be fetched")]
    Feeds(#[from] HttpFeedsError),
    #[error("AWS can't be asked")]
    Aws(#[from] AwsHttpError),
    #[error("the secret that {variable} names is {fault}")]
    SecretForm { variable: &'static str, fault: &'static str },
}

/// Starts logs, reads the environment, makes the clients that this function uses, and opens their connections while the
/// machine still runs at full speed. What goes wrong is logged here, once.
async fn started<R>(
    function: Function,
    wire: impl AsyncFnOnce(&Wires) -> Result<R, StartError>,
) -> Result<Cloud<R>, StartError> {
    telemetry::start(function);
    let wired = async {
        let wires = Wires::from_env(function)?;
        let room = wire(&wires).await?;
        Ok(Cloud { room, config: wires.config })
    };
    let wired: Result<_, StartError> = wired.await;
    wired.inspect_err(|error| tracing::error!(error = telemetry::chain(error), "the function can't start"))
}

impl Cloud<Tick> {
    /// # Errors
    /// When a variable is missing or can't be read.
    pub async fn schedule() -> Result<Self, StartError> {
        started(Function::Schedule, async |wires| {
            warm(&wires.store).await;
            Ok(Tick::new(&wires.common()))
        })
        .await
    }

    /// One tick: announces the shards whose minute it is and what has waited too long.
    ///
    /// # Errors
    /// When either could not be announced; the other one was, and the next tick makes up for it.
    pub async fn tick(&self) -> Result<(), lambda_runtime::Error> {
        let now = SystemClock.now();
        let (shards, marks) = tokio::join!(self.room.announce_shards(now, TICK), self.room.announce_marks(now));
        shards?;
        marks?;
        Ok(())
    }
}

impl Cloud<Fetch> {
    /// # Errors
    /// When a variable is missing or can't be read.
    pub async fn fetch() -> Result<Self, StartError> {
        started(Function::Fetch, async |wires| {
            warm(&wires.store).await;
            let snapshots: Arc<dyn SnapshotStore> = Arc::new(wires.objects());
            Ok(Fetch::new(&wires.common(), &wires.feeds()?, &snapshots))
        })
        .await
    }
}

impl Cloud<Merge> {
    /// # Errors
    /// When a variable or a secret is missing or can't be read.
    pub async fn merge() -> Result<Self, StartError> {
        started(Function::Merge, async |wires| {
            let (objects, secrets) = (wires.objects(), SecretsClient::new(&wires.sdk));
            // All at once: over new connections, one after the other would take as many times as long.
            let (keys, (), ()) =
                tokio::try_join!(wires.keys(&secrets), warm(&wires.store).map(Ok), warm_objects(&objects).map(Ok))?;
            let (snapshots, exports): (Arc<dyn SnapshotStore>, Arc<dyn ExportStore>) =
                (Arc::new(objects.clone()), Arc::new(objects));
            let common = wires.common();
            Ok(Merge::new(&common, &Publish::new(&common, &snapshots, &exports, keys.echo)))
        })
        .await
    }
}

impl Cloud<Logs> {
    /// # Errors
    /// When a variable is missing or can't be read.
    pub async fn access() -> Result<Self, StartError> {
        started(Function::Access, async |wires| {
            // Nobody waits for a log to be taken, and this function may ask for nothing beforehand.
            let bucket = wires.config.access_log_bucket.clone().unwrap_or_default();
            let mark = wires.agent.mark().unwrap_or_default();
            let logs = AccessLogs::new(aws::on_demand(&wires.sdk, aws::s3), bucket, mark);
            Ok(Logs { access: Access::new(wires.store.clone()), logs })
        })
        .await
    }

    /// One batch of what S3 tells of new logs of reads.
    ///
    /// # Errors
    /// [`NamelessMessage`](crate::NamelessMessage). What fails for itself is named in the answer.
    pub async fn take_logs(&self, batch: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let limits = limits(&self.config, &batch);
        Ok(work_batch(batch.payload, limits, |message| self.take_logs_of(message)).await?)
    }

    async fn take_logs_of(&self, message: SqsMessage) -> Result<(), MessageError> {
        let Logs { access, logs } = &self.room;
        let body = message.body.unwrap_or_default();
        let new = new_logs(&body, logs.bucket()).map_err(|e| MessageError::Undecodable(e.into()))?;
        for log in new {
            access.take_read_log(logs, &log).await.map_err(|e| MessageError::Work(e.into()))?;
        }
        Ok(())
    }
}

impl Cloud<Api> {
    /// # Errors
    /// When a variable or a secret is missing or can't be read.
    pub async fn api() -> Result<Self, StartError> {
        started(Function::Api, async |wires| {
            let Wires { config, sdk, .. } = wires;
            let secrets = SecretsClient::new(sdk);
            let (keys, operator, ()) =
                tokio::try_join!(wires.keys(&secrets), wires.operator_key(&secrets), warm(&wires.store).map(Ok))?;
            let objects = wires.objects();
            let sealing = config.kms_key.clone().unwrap_or_default();
            let ports = Ports {
                common: wires.common(),
                feeds: wires.feeds()?,
                snapshots: Arc::new(objects.clone()),
                exports: Arc::new(WithNotFoundPage::new(objects)),
                sealer: Arc::new(KmsSealer::new(aws::on_demand(sdk, aws_sdk_kms::Client::new), sealing)),
                links_base: config.links_base()?,
                operator_key: SecretHash::of(&operator),
                keys,
            };
            let identity = match &config.oidc {
                Some(oidc) => {
                    let verifier = OidcVerifier::new(&oidc.issuer, &oidc.audience, Arc::new(SystemClock))?;
                    Some(Arc::new(verifier) as Arc<dyn IdentityVerifier>)
                }
                None => None,
            };
            let publish = Publish::new(&ports.common, &ports.snapshots, &ports.exports, ports.keys.echo);
            Ok(Api { desk: Desk::new(&ports, &publish), identity })
        })
        .await
    }
}

/// A room that works on events out of a queue.
pub trait Works {
    fn handle(&self, event: &Event) -> impl Future<Output = Result<(), WorkError>>;
}

impl Works for Fetch {
    fn handle(&self, event: &Event) -> impl Future<Output = Result<(), WorkError>> {
        Self::handle(self, event)
    }
}

impl Works for Merge {
    fn handle(&self, event: &Event) -> impl Future<Output = Result<(), WorkError>> {
        Self::handle(self, event)
    }
}

impl<R: Works> Cloud<R> {
    /// One batch of events out of a queue.
    ///
    /// # Errors
    /// [`NamelessMessage`](crate::NamelessMessage). What fails for itself is named in the answer.
    pub async fn work(&self, batch: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let limits = limits(&self.config, &batch);
        Ok(work_batch(batch.payload, limits, |message| self.work_one(message)).await?)
    }

    async fn work_one(&self, message: SqsMessage) -> Result<(), MessageError> {
        let body = message.body.unwrap_or_default();
        let event =
            calmesh_events_eventbridge::decode_envelope(&body).map_err(|e| MessageError::Undecodable(e.into()))?;
        self.room.handle(&event).await.map_err(|e| MessageError::Work(e.into()))
    }
}

fn limits(config: &Config, batch: &LambdaEvent<SqsEvent>) -> BatchLimits {
    let deadline = i64::try_from(batch.context.deadline).unwrap_or(i64::MAX);
    let left = deadline.saturating_sub(SystemClock.now().as_millisecond());
    let within = Duration::from_millis(u64::try_from(left).unwrap_or_default()).saturating_sub(TIME_TO_ANSWER);
    BatchLimits { concurrency: config.concurrency, within }
}

/// What functions are wired from, as far as each of them asks for it.
struct Wires {
    config: Config,
    sdk: SdkConfig,
    store: Arc<DynamoStore>,
    agent: OwnAgent,
}

impl Wires {
    fn from_env(function: Function) -> Result<Self, StartError> {
        let config = Config::from_env(function)?;
        let sdk = aws::from_env(aws_http_client(Roots::Bundled, aws::CONNECT_TIMEOUT)?)?;
        let store = Arc::new(DynamoStore::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.clone()));
        let agent = OwnAgent::of_deployment(&config.contact, config.stack_id.as_bytes());
        Ok(Self { config, sdk, store, agent })
    }

    fn common(&self) -> Common {
        let Self { config, sdk, store, .. } = self;
        let settings = Settings {
            refused_providers: config.refused_providers.clone(),
            sweep_period: config.sweep_period,
            read_again_after: Settings::READ_AGAIN_AFTER,
            shards: config.shards,
            private_feeds: config.private_feeds,
            every_read_is_recorded: false,
        };
        let bus = EventBridgeBus::new(aws::on_demand(sdk, aws_sdk_eventbridge::Client::new), config.bus.clone());
        Common::on(store.clone(), Arc::new(bus), Arc::new(SystemClock), Arc::new(OsRandomness), settings)
    }

    fn objects(&self) -> S3Objects {
        let Config { exports_bucket, snapshots_bucket, .. } = &self.config;
        let buckets = Buckets { exports: exports_bucket.clone(), snapshots: snapshots_bucket.clone() };
        S3Objects::new(aws::on_demand(&self.sdk, aws::s3), buckets)
    }

    fn feeds(&self) -> Result<Arc<dyn FeedSource>, StartError> {
        let mut feeds = HttpFeedsConfig::new(self.agent.as_str());
        feeds.private_feeds = self.config.private_feeds;
        // Nothing is read from disk: at each start that would take as long as all the rest.
        feeds.roots = Roots::Bundled;
        Ok(Arc::new(HttpFeeds::new(feeds)?))
    }

    /// The keys that are derived from the deployment's secret.
    async fn keys(&self, secrets: &SecretsClient) -> Result<Keys, StartError> {
        let secret =
            self.secret(secrets, "CALMESH_DEPLOYMENT_SECRET", self.config.deployment_secret.as_deref()).await?;
        Ok(derive_keys(secret.as_bytes())?)
    }

    async fn operator_key(&self, secrets: &SecretsClient) -> Result<String, StartError> {
        self.secret(secrets, "CALMESH_OPERATOR_KEY", self.config.operator_key.as_deref()).await
    }

    async fn secret(
        &self,
        secrets: &SecretsClient,
        variable: &'static str,
        id: Option<&str>,
    ) -> Result<String, StartError> {
        let id = id.ok_or(ConfigError::Missing { variable, wanted: "the ARN of a secret in Secrets Manager" })?;
        let answer = secrets.get_secret_value().secret_id(id).send().await;
        let answer = answer.map_err(|error| StartError::Secret { variable, source: error.into() })?;
        let text = answer.secret_string().map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(StartError::SecretForm { variable, fault: "empty; it must be a text" });
        }
        // A guess of 2^128 is beyond anybody; Secrets Manager makes 32 characters when asked for no number.
        if text.len() < 32 {
            return Err(StartError::SecretForm { variable, fault: "too short; it must have 32 characters or more" });
        }
        Ok(text.to_owned())
    }
}

/// Opens the connection that the first call needs: at 128 MB the TLS handshake alone is most of it, and during init it
/// costs no caller anything. Asks for what nobody has, and reads no more than the function may.
async fn warm(store: &DynamoStore) {
    if let Err(error) = store.token_by_hash(&SecretHash::of("")).await {
        stays_cold(telemetry::chain(&error));
    }
}

/// The same for objects. The API needs them for new links alone, and a client more is a tenth of its start.
async fn warm_objects(objects: &S3Objects) {
    if let Err(error) = objects.export(&LinkToken::from_random(OsRandomness.secret())).await {
        stays_cold(telemetry::chain(&error));
    }
}

fn stays_cold(error: String) {
    tracing::warn!(error, "the first call will be slower: warming up failed");
}
