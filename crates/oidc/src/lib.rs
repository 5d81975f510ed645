#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod header;
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
use tokio::sync::OwnedMutexGuard;

pub use issuer::{KeysError, OidcConfigError};

use crate::{
    header::Header,
    issuer::Issuer,
    keys::{Key, Keys},
};

/// Keys are read anew after this time though every token finds its key: one that the issuer withdrew must go.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// From this age on they are read anew beside the calls, which do not wait for it.
const AGEING: SignedDuration = SignedDuration::from_mins(50);

/// So long a call waits for a reading where it finds its key among keys that are too old.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

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

    /// Whether a reading should come: long enough before the keys are too old that nobody waits for it.
    fn ageing(&self, now: Timestamp) -> bool {
        self.read_at.is_none_or(|read_at| now.duration_since(read_at) >= AGEING)
    }

    fn may_try(&self, now: Timestamp) -> bool {
        let pause = if self.failure.is_some() { BETWEEN_FAILURES } else { BETWEEN_READINGS };
        // A clock that was set back must not forbid the next reading for long.
        self.tried_at.is_none_or(|tried_at| now.duration_since(tried_at).abs() >= pause)
    }
}

/// Verifies the JWTs of one issuer. Make one per process and share it: it keeps the issuer's keys.
pub struct OidcVerifier {
    audience: String,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

/// What a reading that goes on beside its callers needs.
struct Shared {
    issuer: Issuer,
    known: RwLock<Known>,
    /// One reading at a time; whoever waited finds its result.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for OidcVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcVerifier")
            .field("issuer", &self.shared.issuer.name())
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
            audience,
            clock,
            shared: Arc::new(Shared {
                issuer: Issuer::new(issuer.into())?,
                known: RwLock::default(),
                reading: Arc::default(),
            }),
        })
    }

    /// The key that the header asks for. One that is known is given at once, also while the issuer can't be reached;
    /// only who names an unknown one, or comes before any was read, waits for a reading.
    async fn key_for(&self, header: &Header, now: Timestamp) -> Result<Key, IdentityError> {
        let (keys, usable, fresh, due) = self.shared.look(|known| {
            (Arc::clone(&known.keys), known.usable(now), known.fresh(now), known.ageing(now) && known.may_try(now))
        });
        if usable && let Ok(key) = keys.find(header) {
            let Some(turn) = due.then(|| Arc::clone(&self.shared.reading).try_lock_owned().ok()).flatten() else {
                return Ok(key);
            };
            let reading = tokio::spawn(Arc::clone(&self.shared).read(turn, now));
            if fresh {
                return Ok(key);
            }
            // Whoever finds the keys too old gives the issuer a moment, so that a withdrawn one does not pass; no more.
            drop(tokio::time::timeout(PATIENCE, reading).await);
            return self.shared.judge(header, now);
        }
        let turn = Arc::clone(&self.shared.reading).lock_owned().await;
        // Somebody may have read them while this one waited.
        let known = self.shared.look(|known| known.fresh(now) && known.keys.find(header).is_ok());
        if !known && self.shared.look(|known| known.may_try(now)) {
            // In a task of its own: a caller that hangs up must not end what others wait for.
            drop(tokio::spawn(Arc::clone(&self.shared).read(turn, now)).await);
        }
        self.shared.judge(header, now)
    }
}

impl Shared {
    /// Reads the keys; `_turn` is held meanwhile.
    async fn read(self: Arc<Self>, _turn: OwnedMutexGuard<()>, now: Timestamp) {
        let read = self.issuer.read_keys().await;
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
                    keys.age_seconds = known.read_at.map(|read_at| now.duration_since(read_at).as_secs()),
                    "the issuer's keys could not be read"
                );
                known.failure = Some(Arc::new(error));
            }
        }
    }

    /// A refusal for want of a key stands only where the keys could be read.
    fn judge(&self, header: &Header, now: Timestamp) -> Result<Key, IdentityError> {
        let (found, usable, failure) =
            self.look(|known| (known.keys.find(header), known.usable(now), known.failure.clone()));
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
        let subject = token::verify(jwt, &header, &key, self.shared.issuer.name(), &self.audience, now)?;
        Ok(Subject { issuer: self.shared.issuer.name().to_owned(), subject })
    }
}
