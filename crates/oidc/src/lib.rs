#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod issuer;
mod keys;
mod token;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use calmesh_app::ports::{Clock, IdentityError, IdentityVerifier, Subject};
use calmesh_calendar::AccountId;
use jiff::{SignedDuration, Timestamp};

pub use issuer::{KeysError, OidcConfigError};

use crate::{
    issuer::Issuer,
    keys::{Key, Keys},
    token::Header,
};

/// Keys are read anew after this time though every token finds its key: one that the issuer withdrew must go.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// Keys that could not be read anew are believed for so long: an issuer's outage must not close every account.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// At most one reading in this time, whatever key ids the tokens of strangers name.
const BETWEEN_READINGS: SignedDuration = SignedDuration::from_secs(60);

/// The same after a reading that failed.
const BETWEEN_FAILURES: SignedDuration = SignedDuration::from_secs(5);

/// The account of a subject: the first 16 bytes of SHA-256 over issuer, a zero byte and subject. The same as
/// `Subject::account_id`.
#[must_use]
pub fn account_id(issuer: &str, subject: &str) -> AccountId {
    Subject { issuer: issuer.to_owned(), subject: subject.to_owned() }.account_id()
}

#[derive(Debug, Default)]
struct Known {
    keys: Arc<Keys>,
    /// When `keys` were read.
    read_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    /// Why the latest reading failed; none after a good one.
    failure: Option<Arc<KeysError>>,
}

impl Known {
    /// Whether the keys in hand may decide at all.
    fn usable(&self, now: Timestamp) -> bool {
        self.read_at.is_some_and(|read_at| now.duration_since(read_at) < STALE)
    }

    fn fresh(&self, now: Timestamp) -> bool {
        self.read_at.is_some_and(|read_at| now.duration_since(read_at) < FRESH)
    }

    fn may_try(&self, now: Timestamp) -> bool {
        let pause = if self.failure.is_some() { BETWEEN_FAILURES } else { BETWEEN_READINGS };
        // A clock that was set back must not forbid the next reading for long.
        self.tried_at.is_none_or(|tried_at| now.duration_since(tried_at).abs() >= pause)
    }
}

/// Verifies the JWTs of one issuer. Make one per process and share it: it keeps the issuer's keys.
pub struct OidcVerifier {
    issuer: Issuer,
    audience: String,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    /// One reading at a time; whoever waited finds its result.
    reading: tokio::sync::Mutex<()>,
}

impl fmt::Debug for OidcVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcVerifier")
            .field("issuer", &self.issuer.name())
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl OidcVerifier {
    /// `issuer` is the URL exactly as the issuer writes itself in `iss`; `audience` is what its tokens for this
    /// service carry in `aud`. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the issuer is no https URL (http is for loopback alone), the audience is empty, or TLS can't be set up.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OidcConfigError> {
        let audience = audience.into();
        if audience.trim().is_empty() {
            return Err(OidcConfigError::Audience);
        }
        Ok(Self {
            issuer: Issuer::new(issuer.into())?,
            audience,
            clock,
            known: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }

    /// The key that the header asks for, after a reading where one is due or the key is not known.
    async fn key_for(&self, header: &Header, now: Timestamp) -> Result<Key, IdentityError> {
        let (keys, decided) = self.look(|known| (Arc::clone(&known.keys), known.fresh(now)));
        if decided && let Ok(key) = keys.find(header) {
            return Ok(key);
        }
        let _one_at_a_time = self.reading.lock().await;
        // Somebody may have read them while this one waited.
        let (keys, fresh, may_try) = self.look(|known| (Arc::clone(&known.keys), known.fresh(now), known.may_try(now)));
        let found = keys.find(header);
        if (fresh && !matches!(found, Err(IdentityError::UnknownKey))) || !may_try {
            return self.judge(found, now);
        }
        let read = self.issuer.read_keys().await;
        let keys = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.tried_at = Some(now);
            match read {
                Ok(keys) => {
                    known.keys = Arc::new(keys);
                    known.read_at = Some(now);
                    known.failure = None;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &(dyn std::error::Error + 'static),
                        kept = known.usable(now),
                        "the issuer's keys could not be read"
                    );
                    known.failure = Some(Arc::new(error));
                }
            }
            Arc::clone(&known.keys)
        };
        self.judge(keys.find(header), now)
    }

    /// A refusal for want of a key stands only where the keys could be read.
    fn judge(&self, found: Result<Key, IdentityError>, now: Timestamp) -> Result<Key, IdentityError> {
        let (usable, failure) = self.look(|known| (known.usable(now), known.failure.clone()));
        match (found, failure) {
            (Ok(key), _) if usable => Ok(key),
            (Err(IdentityError::Algorithm), _) if usable => Err(IdentityError::Algorithm),
            (_, Some(failure)) => Err(IdentityError::Unavailable(Box::new(failure))),
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(IdentityError::Unavailable(Box::new(KeysError::Stale))),
        }
    }

    fn look<T>(&self, what: impl FnOnce(&Known) -> T) -> T {
        what(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl IdentityVerifier for OidcVerifier {
    async fn verify(&self, jwt: &str) -> Result<Subject, IdentityError> {
        let now = self.clock.now();
        let header = Header::of(jwt)?;
        let key = self.key_for(&header, now).await?;
        let subject = token::verify(jwt, &header, &key, self.issuer.name(), &self.audience, now)?;
        Ok(Subject { issuer: self.issuer.name().to_owned(), subject })
    }
}
