//! One function in the cloud: its configuration, its SDK clients (one of each per process) and the `App` wired to
//! them.

use std::{fmt, sync::Arc, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_types::SdkConfig;
use calmesh_access_log::{AccessLogs, new_logs};
use calmesh_app::{
    App, Keys, Settings,
    model::{LinkToken, SecretHash, TokenSecret},
    ports::{AccountStore, ExportStore, IdentityVerifier, Randomness},
};
use calmesh_events_eventbridge::EventBridgeBus;
use calmesh_exports_s3::{Buckets, S3Objects};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, HttpFeedsError};
use calmesh_https::{AwsHttpError, OnDemand, Roots, aws_http_client};
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

/// A function, ready to be invoked. Cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    pub app: App,
    /// Verifies JWTs, where an issuer is configured.
    pub identity: Option<Arc<dyn IdentityVerifier>>,
    pub config: Arc<Config>,
    logs: AccessLogs,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("config", &self.config).finish_non_exhaustive()
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

impl Cloud {
    /// Starts logs, reads the environment and the secrets, makes the clients, and opens their connections while the
    /// machine still runs at full speed. What goes wrong is logged here, once.
    ///
    /// # Errors
    /// When a variable or a secret is missing or can't be read.
    pub async fn start(function: Function) -> Result<Self, StartError> {
        telemetry::start(function);
        let started = Self::wire(function).await;
        started.inspect_err(|error| tracing::error!(error = telemetry::chain(error), "the function can't start"))
    }

    async fn wire(function: Function) -> Result<Self, StartError> {
        let config = Config::from_env(function)?;
        let sdk = aws::from_env(aws_http_client(Roots::Bundled, aws::CONNECT_TIMEOUT)?)?;
        let store = Arc::new(DynamoStore::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.clone()));
        let s3 = aws::on_demand(&sdk, aws::s3);
        let agent = OwnAgent::of_deployment(&config.contact, config.stack_id.as_bytes());
        let log_bucket = config.access_log_bucket.clone().unwrap_or_default();
        let logs = AccessLogs::new(s3.clone(), log_bucket, agent.mark().unwrap_or_default());
        let buckets = Buckets { exports: config.exports_bucket.clone(), snapshots: config.snapshots_bucket.clone() };
        let objects = S3Objects::new(s3, buckets);
        // All at once: over new connections, one after the other would take as many times as long.
        let warm = warm_up(function, &store, &objects).map(Ok);
        let ((deployment, operator), ()) = tokio::try_join!(secrets(&sdk, &config), warm)?;

        let settings = Settings {
            links_base: config.links_base.clone(),
            refused_providers: config.refused_providers.clone(),
            sweep_period: config.sweep_period,
            read_again_after: Settings::READ_AGAIN_AFTER,
            shards: config.shards,
            private_feeds: config.private_feeds,
            every_read_is_recorded: false,
            operator_key: SecretHash::of(operator.as_deref().unwrap_or(&nobodys_key())),
            keys: keys_of(deployment.as_deref())?,
        };
        let bus = EventBridgeBus::new(aws::on_demand(&sdk, aws_sdk_eventbridge::Client::new), config.bus.clone());
        let sealing = config.kms_key.clone().unwrap_or_default();
        let sealer = KmsSealer::new(aws::on_demand(&sdk, aws_sdk_kms::Client::new), sealing);
        let mut feeds = HttpFeedsConfig::new(agent.as_str());
        feeds.private_feeds = config.private_feeds;
        // Nothing is read from disk: at each start that would take as long as all the rest.
        feeds.roots = Roots::Bundled;
        let feeds = HttpFeeds::new(feeds)?;
        let identity = match &config.oidc {
            Some(oidc) if matches!(function, Function::Api) => {
                let verifier = OidcVerifier::new(&oidc.issuer, &oidc.audience, Arc::new(SystemClock))?;
                Some(Arc::new(verifier) as Arc<dyn IdentityVerifier>)
            }
            _ => None,
        };
        let exports: Arc<dyn ExportStore> = match function {
            Function::Api => Arc::new(WithNotFoundPage::new(objects.clone())),
            _ => Arc::new(objects.clone()),
        };
        let app = App {
            accounts: store.clone(),
            properties: store.clone(),
            activity: store.clone(),
            fetches: store.clone(),
            marks: store.clone(),
            links: store.clone(),
            refreshes: store.clone(),
            idempotency: store.clone(),
            budgets: store,
            traffic: Arc::default(),
            bus: Arc::new(bus),
            feeds: Arc::new(feeds),
            snapshots: Arc::new(objects),
            exports,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(OsRandomness),
            sealer: Arc::new(sealer),
            settings: Arc::new(settings),
        };
        Ok(Self { app, identity, config: Arc::new(config), logs })
    }

    /// One tick: announces the shards whose minute it is and what has waited too long.
    ///
    /// # Errors
    /// When either could not be announced; the other one was, and the next tick makes up for it.
    pub async fn tick(&self) -> Result<(), lambda_runtime::Error> {
        let now = self.app.clock.now();
        let (shards, marks) = tokio::join!(self.app.announce_shards(now, TICK), self.app.announce_marks(now));
        shards?;
        marks?;
        Ok(())
    }

    /// One batch of events out of a queue.
    ///
    /// # Errors
    /// [`NamelessMessage`](crate::NamelessMessage). What fails for itself is named in the answer.
    pub async fn work(&self, batch: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let limits = self.limits(&batch);
        Ok(work_batch(batch.payload, limits, |message| self.work_one(message)).await?)
    }

    /// One batch of what S3 tells of new logs of reads.
    ///
    /// # Errors
    /// As [`work`](Self::work).
    pub async fn take_logs(&self, batch: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let limits = self.limits(&batch);
        Ok(work_batch(batch.payload, limits, |message| self.take_logs_of(message)).await?)
    }

    fn limits(&self, batch: &LambdaEvent<SqsEvent>) -> BatchLimits {
        let deadline = i64::try_from(batch.context.deadline).unwrap_or(i64::MAX);
        let left = deadline.saturating_sub(self.app.clock.now().as_millisecond());
        let within = Duration::from_millis(u64::try_from(left).unwrap_or_default()).saturating_sub(TIME_TO_ANSWER);
        BatchLimits { concurrency: self.config.concurrency, within }
    }

    async fn work_one(&self, message: SqsMessage) -> Result<(), MessageError> {
        let body = message.body.unwrap_or_default();
        let event =
            calmesh_events_eventbridge::decode_envelope(&body).map_err(|e| MessageError::Undecodable(e.into()))?;
        self.app.handle(&event).await.map_err(|e| MessageError::Work(e.into()))
    }

    async fn take_logs_of(&self, message: SqsMessage) -> Result<(), MessageError> {
        let body = message.body.unwrap_or_default();
        let logs = new_logs(&body, self.logs.bucket()).map_err(|e| MessageError::Undecodable(e.into()))?;
        for log in logs {
            self.app.take_read_log(&self.logs, &log).await.map_err(|e| MessageError::Work(e.into()))?;
        }
        Ok(())
    }
}

/// Opens the connections that the first call needs: at 128 MB the TLS handshake alone is most of it, and during init it
/// costs no caller anything. Asks for things that nobody has, and reads no more than the function may.
async fn warm_up(function: Function, store: &DynamoStore, objects: &S3Objects) {
    // Nobody waits for a log to be taken, and its function may ask for nothing beforehand.
    if function.takes_logs() {
        return;
    }
    let nobody = SecretHash::of("");
    let store = async { store.token_by_hash(&nobody).await.err().map(|e| telemetry::chain(&e)) };
    let exports = async {
        // The API needs exports for new links alone, and a client more is a tenth of its start.
        if !matches!(function, Function::Merge) {
            return None;
        }
        let nowhere = LinkToken::from_random(OsRandomness.secret());
        objects.export(&nowhere).await.err().map(|e| telemetry::chain(&e))
    };
    let (store, exports) = tokio::join!(store, exports);
    for error in [store, exports].into_iter().flatten() {
        tracing::warn!(error, "the first call will be slower: warming up failed");
    }
}

/// The deployment's secret and the operator's key, of a function that is given them.
async fn secrets(sdk: &SdkConfig, config: &Config) -> Result<(Option<String>, Option<String>), StartError> {
    let secrets = aws::on_demand(sdk, aws_sdk_secretsmanager::Client::new);
    tokio::try_join!(
        secret(&secrets, "CALMESH_DEPLOYMENT_SECRET", config.deployment_secret.as_deref()),
        secret(&secrets, "CALMESH_OPERATOR_KEY", config.operator_key.as_deref()),
    )
}

/// A function that is not given the deployment's secret has no key to mark exports by, so it can render none. It makes no
/// list either: nobody can know the key of its cursors.
fn keys_of(deployment: Option<&str>) -> Result<Keys, DeriveError> {
    match deployment {
        Some(secret) => derive_keys(secret.as_bytes()),
        None => Ok(Keys { cursor: OsRandomness.secret(), echo: None }),
    }
}

/// What opens nothing, since nobody can know it.
fn nobodys_key() -> String {
    TokenSecret::from_random(OsRandomness.secret()).reveal().to_owned()
}

async fn secret(
    client: &OnDemand<aws_sdk_secretsmanager::Client>,
    variable: &'static str,
    id: Option<&str>,
) -> Result<Option<String>, StartError> {
    let Some(id) = id else { return Ok(None) };
    let answer = client.get_secret_value().secret_id(id).send().await;
    let answer = answer.map_err(|error| StartError::Secret { variable, source: error.into() })?;
    let text = answer.secret_string().map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(StartError::SecretForm { variable, fault: "empty; it must be a text" });
    }
    // A guess of 2^128 is beyond anybody; Secrets Manager makes 32 characters when asked for no number.
    if text.len() < 32 {
        return Err(StartError::SecretForm { variable, fault: "too short; it must have 32 characters or more" });
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_the_deployments_secret_has_no_key_to_mark_exports_by() {
        assert_eq!(keys_of(None).unwrap().echo, None);
        let given = keys_of(Some("0123456789abcdef0123456789abcdef")).unwrap();
        assert_eq!(given.echo, derive_keys(b"0123456789abcdef0123456789abcdef").unwrap().echo);
        assert!(given.echo.is_some());
        assert!(keys_of(Some("short")).is_err(), "what was given is never replaced");
    }
}
