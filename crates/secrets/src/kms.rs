//! Sealing in the cloud: envelope encryption. KMS makes data keys and gives them back; bytes are sealed here.
//!
//! A data key is made for one purpose, which is what a context has before its first slash (`idempotency` of
//! `idempotency/acc_…`). The purpose is KMS's encryption context, so that its log tells what was opened and a policy
//! may tell purposes apart; the whole context is bound by the encryption here. A call of KMS for each context
//! would be one for each request.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::aead::RandomizedNonceKey;
use aws_sdk_kms::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::DataKeySpec,
};
use calmesh_app::ports::{SealError, Sealer};
use calmesh_https::{OnDemand, how_it_failed};
use tokio::{sync::Mutex, time::Instant};

use crate::envelope::{self, BY_KMS, refused};

/// A data key seals for this long, and no more often than this.
const SEALS_FOR: Duration = Duration::from_secs(300);
const SEALS: u32 = 1 << 20;
/// An opened data key is kept for this long, and no more of them than this.
const KEPT_FOR: Duration = Duration::from_secs(300);
const KEPT: usize = 64;

/// The name of the one pair of KMS's encryption context.
const PURPOSE: &str = "calmesh:purpose";

/// `Sealer` with a key in KMS. Cheap to clone; clones share the data keys that they keep.
#[derive(Clone)]
pub struct KmsSealer {
    client: OnDemand<Client>,
    /// The id or ARN of the key; not an alias, which could come to mean another key.
    key: String,
    kept: Arc<Mutex<Kept>>,
}

impl fmt::Debug for KmsSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsSealer").field("key", &self.key).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Kept {
    /// By purpose. There are as many as the product has words for purposes.
    sealing: HashMap<String, Sealing>,
    /// By purpose and encrypted data key.
    opening: HashMap<(String, Vec<u8>), Opening>,
}

struct Sealing {
    key: Arc<RandomizedNonceKey>,
    header: Arc<[u8]>,
    until: Instant,
    seals_left: u32,
}

struct Opening {
    key: Arc<RandomizedNonceKey>,
    until: Instant,
}

fn purpose(context: &str) -> &str {
    match context.split_once('/') {
        Some((purpose, _)) => purpose,
        None => context,
    }
}

/// An answer of KMS may hold a key, so no cause is attached.
fn failure<E: ProvideErrorMetadata>(operation: &str, error: &SdkError<E, HttpResponse>) -> SealError {
    refused(format!("{operation} {}", how_it_failed(error)))
}

impl KmsSealer {
    /// `key` is the id or ARN of a symmetric KMS key. Time-outs and retries are the client's.
    #[must_use]
    pub fn new(client: impl Into<OnDemand<Client>>, key: impl Into<String>) -> Self {
        Self { client: client.into(), key: key.into(), kept: Arc::default() }
    }

    /// A data key to seal with, and the header that says how to get it back.
    async fn sealing_key(&self, purpose: &str) -> Result<(Arc<RandomizedNonceKey>, Arc<[u8]>), SealError> {
        // Held over the call: of many that need a key at once, one asks for it.
        let mut kept = self.kept.lock().await;
        if let Some(sealing) = kept.sealing.get_mut(purpose)
            && sealing.seals_left > 0
            && Instant::now() < sealing.until
        {
            sealing.seals_left -= 1;
            return Ok((sealing.key.clone(), sealing.header.clone()));
        }
        let make = self
            .client
            .generate_data_key()
            .key_id(&self.key)
            .key_spec(DataKeySpec::Aes256)
            .encryption_context(PURPOSE, purpose);
        let made = make.send().await.map_err(|error| failure("GenerateDataKey", &error))?;
        let (Some(plain), Some(encrypted)) = (made.plaintext, made.ciphertext_blob) else {
            return Err(refused("GenerateDataKey was answered without a key"));
        };
        let key = Arc::new(envelope::key(plain.as_ref())?);
        let length = u16::try_from(encrypted.as_ref().len())
            .map_err(|_| refused("GenerateDataKey was answered with a key of odd length"))?;
        let header: Arc<[u8]> = [&[BY_KMS], length.to_be_bytes().as_slice(), encrypted.as_ref()].concat().into();
        let until = Instant::now() + SEALS_FOR;
        let sealing = Sealing { key: key.clone(), header: header.clone(), until, seals_left: SEALS - 1 };
        kept.sealing.insert(purpose.to_owned(), sealing);
        kept.keep(purpose, encrypted.as_ref(), key.clone());
        Ok((key, header))
    }

    /// The data key that KMS gives back for these bytes and this purpose.
    async fn opening_key(&self, purpose: &str, encrypted: &[u8]) -> Result<Arc<RandomizedNonceKey>, SealError> {
        if let Some(key) = self.kept.lock().await.kept(purpose, encrypted) {
            return Ok(key);
        }
        // Not held over this call: a slow answer for one key would keep everybody waiting.
        let decrypt = self
            .client
            .decrypt()
            .key_id(&self.key)
            .ciphertext_blob(Blob::new(encrypted))
            .encryption_context(PURPOSE, purpose);
        let answer = decrypt.send().await.map_err(|error| failure("Decrypt", &error))?;
        let plain = answer.plaintext.ok_or_else(|| refused("Decrypt was answered without a key"))?;
        let key = Arc::new(envelope::key(plain.as_ref())?);
        self.kept.lock().await.keep(purpose, encrypted, key.clone());
        Ok(key)
    }
}

impl Kept {
    fn kept(&self, purpose: &str, encrypted: &[u8]) -> Option<Arc<RandomizedNonceKey>> {
        let opening = self.opening.get(&(purpose.to_owned(), encrypted.to_vec()))?;
        (Instant::now() < opening.until).then(|| opening.key.clone())
    }

    fn keep(&mut self, purpose: &str, encrypted: &[u8], key: Arc<RandomizedNonceKey>) {
        let now = Instant::now();
        self.opening.retain(|_, opening| now < opening.until);
        if self.opening.len() >= KEPT {
            let oldest = self.opening.iter().min_by_key(|(_, opening)| opening.until).map(|(of, _)| of.clone());
            oldest.and_then(|of| self.opening.remove(&of));
        }
        self.opening.insert((purpose.to_owned(), encrypted.to_vec()), Opening { key, until: now + KEPT_FOR });
    }
}

#[async_trait]
impl Sealer for KmsSealer {
    async fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (key, header) = self.sealing_key(purpose(context)).await?;
        envelope::seal(&key, &header, context, plain)
    }

    async fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let Some(([BY_KMS, high, low], rest)) = sealed.split_first_chunk::<3>() else {
            return Err(refused("not sealed with a key in KMS"));
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (Some((encrypted, rest)), Some(header)) = (rest.split_at_checked(length), sealed.get(..3 + length)) else {
            return Err(refused("cut short"));
        };
        let key = self.opening_key(purpose(context), encrypted).await?;
        envelope::open(&key, header, context, rest)
    }
}

#[cfg(test)]
mod tests {
    //! Against a server that speaks the service's protocol, JSON 1.1 with `X-Amz-Target`.

    use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use axum::{
        Json, Router,
        extract::State,
        http::{HeaderMap, StatusCode},
        response::{IntoResponse, Response},
        routing::post,
    };
    use base64::{Engine, engine::general_purpose::STANDARD};
    use calmesh_https::{Roots, aws_http_client};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[derive(Default)]
    struct Kms {
        /// Data keys by their encrypted form, with their encryption context.
        keys: HashMap<String, (Value, String)>,
        made: usize,
        given_back: usize,
        denied: bool,
    }

    type Shared = Arc<std::sync::Mutex<Kms>>;

    async fn answer(State(kms): State<Shared>, headers: HeaderMap, body: String) -> Response {
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["KeyId"], KEY);
        let mut kms = kms.lock().unwrap();
        let refuse = |name| {
            let headers = [("content-type", "application/x-amz-json-1.1")];
            (StatusCode::BAD_REQUEST, headers, Json(json!({"__type": name, "message": "a secret"}))).into_response()
        };
        if kms.denied {
            return refuse("AccessDeniedException");
        }
        match headers["x-amz-target"].to_str().unwrap() {
            "TrentService.GenerateDataKey" => {
                assert_eq!(body["KeySpec"], "AES_256");
                kms.made += 1;
                let mut random = [0; 32 + 152];
                aws_lc_rs::rand::fill(&mut random).unwrap();
                let (plain, encrypted) = random.split_at(32);
                let (plain, encrypted) = (STANDARD.encode(plain), STANDARD.encode(encrypted));
                kms.keys.insert(encrypted.clone(), (body["EncryptionContext"].clone(), plain.clone()));
                Json(json!({"CiphertextBlob": encrypted, "Plaintext": plain, "KeyId": KEY})).into_response()
            }
            "TrentService.Decrypt" => {
                kms.given_back += 1;
                match kms.keys.get(body["CiphertextBlob"].as_str().unwrap()) {
                    Some((context, plain)) if *context == body["EncryptionContext"] => {
                        Json(json!({"Plaintext": plain, "KeyId": KEY, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
                            .into_response()
                    }
                    _ => refuse("InvalidCiphertextException"),
                }
            }
            other => panic!("no operation of ours: {other}"),
        }
    }

    async fn kms() -> (Client, Shared) {
        let kms = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(answer)).with_state(kms.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("calmesh", "secret", None, None, "tests"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
            .endpoint_url(format!("http://{address}"))
            .build();
        (Client::from_conf(config), kms)
    }

    #[tokio::test]
    async fn a_key_in_kms_keeps_the_promises_of_a_sealer() {
        let (client, _) = kms().await;
        calmesh_app::contract::objects::sealer(&KmsSealer::new(client, KEY)).await;
    }

    #[tokio::test]
    async fn what_was_sealed_opens_in_another_process() {
        let (client, kms) = kms().await;
        let sealed = KmsSealer::new(client.clone(), KEY).seal("kigo/acc_1", b"secret").await.unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let another = KmsSealer::new(client, KEY);
        assert_eq!(another.open("kigo/acc_1", &sealed).await.unwrap(), b"secret");
        assert!(another.open("kigo/acc_2", &sealed).await.is_err());
        let kms = kms.lock().unwrap();
        assert_eq!((kms.made, kms.given_back), (1, 1));
    }

    #[tokio::test]
    async fn a_purpose_has_a_data_key_of_its_own_which_its_contexts_share() {
        let (client, kms) = kms().await;
        let sealer = KmsSealer::new(client, KEY);
        for context in ["idempotency/acc_1", "idempotency/acc_2", "kigo/acc_1", "kigo/acc_1"] {
            sealer.seal(context, b"x").await.unwrap();
        }
        let kms = kms.lock().unwrap();
        assert_eq!((kms.made, kms.given_back), (2, 0));
        let mut contexts: Vec<_> = kms.keys.values().map(|(context, _)| context.to_string()).collect();
        contexts.sort();
        assert_eq!(contexts, [r#"{"calmesh:purpose":"idempotency"}"#, r#"{"calmesh:purpose":"kigo"}"#]);
    }

    #[tokio::test]
    async fn a_data_key_is_asked_for_anew_after_a_while_and_what_it_sealed_still_opens() {
        let (client, kms) = kms().await;
        let sealer = KmsSealer::new(client, KEY);
        let sealed = sealer.seal("kigo/acc_1", b"x").await.unwrap();
        tokio::time::pause();
        tokio::time::advance(SEALS_FOR + Duration::from_secs(1)).await;
        tokio::time::resume();
        sealer.seal("kigo/acc_1", b"y").await.unwrap();
        assert_eq!(sealer.open("kigo/acc_1", &sealed).await.unwrap(), b"x");
        sealer.open("kigo/acc_1", &sealed).await.unwrap();
        let kms = kms.lock().unwrap();
        assert_eq!((kms.made, kms.given_back), (2, 1));
    }

    #[tokio::test]
    async fn no_more_data_keys_are_kept_than_agreed() {
        let (client, _) = kms().await;
        let sealer = KmsSealer::new(client, KEY);
        for n in 0..KEPT + 9 {
            sealer.seal(&format!("{n}/"), b"x").await.unwrap();
        }
        assert_eq!(sealer.kept.lock().await.opening.len(), KEPT);
    }

    #[tokio::test]
    async fn a_refusal_of_kms_is_told_by_its_code_alone() {
        let (client, kms) = kms().await;
        kms.lock().unwrap().denied = true;
        let refused = KmsSealer::new(client, KEY).seal("kigo/acc_1", b"x").await.unwrap_err();
        assert_eq!(refused.what, "GenerateDataKey was answered 400 AccessDeniedException");
        assert!(!format!("{refused:?}").contains("a secret"));
    }

    #[tokio::test]
    async fn what_a_key_file_sealed_is_refused_without_asking_kms() {
        let (client, kms) = kms().await;
        let refused = KmsSealer::new(client, KEY).open("kigo/acc_1", &[1; 60]).await.unwrap_err();
        assert_eq!(refused.what, "not sealed with a key in KMS");
        assert_eq!(kms.lock().unwrap().given_back, 0);
    }
}
