//! Objects, time, randomness, sealing, identities.

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::model::{LinkToken, Snapshot, Validators};

/// The object store can't be reached or refused. Nothing may be assumed about the write.
#[derive(Debug, thiserror::Error)]
#[error("the object store did not answer as it should: {what}")]
pub struct ObjectError {
    pub what: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A fetched body and what came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedBody {
    pub body: Bytes,
    pub validators: Validators,
}

/// A body that is small enough to lie in the store, with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallBody {
    pub snapshot: Snapshot,
    pub parked: ParkedBody,
}

impl SmallBody {
    /// A larger one lies among the objects ([`SnapshotStore`]). Most calendars of a year are a third of this.
    pub const BYTES: usize = 32 << 10;

    /// Whether a body lies in the store.
    #[must_use]
    pub fn is(body: &[u8]) -> bool {
        body.len() <= Self::BYTES
    }

    /// The body as one that lies in the store; none for a larger one.
    #[must_use]
    pub fn of(snapshot: &Snapshot, parked: &ParkedBody) -> Option<Self> {
        Self::is(&parked.body).then(|| Self { snapshot: snapshot.clone(), parked: parked.clone() })
    }
}

/// Fetched bodies that are larger than [`SmallBody::BYTES`], keyed by account, connection and digest. The current one never
/// expires.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Keeps a body. Putting the same twice is fine.
    async fn park(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
        body: &ParkedBody,
    ) -> Result<(), ObjectError>;

    /// The body, also one that was superseded and has not expired yet.
    async fn parked(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, ObjectError>;

    /// Another one is current now: this one expires after 30 days.
    async fn supersede(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<(), ObjectError>;

    /// Removes all bodies of a connection.
    async fn forget(&self, account: &AccountId, connection: &ConnectionId) -> Result<(), ObjectError>;
}

/// Which bytes an export object holds: its ETag, a digest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportVersion(pub String);

/// An export as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportObject {
    pub body: Bytes,
    pub version: ExportVersion,
    pub last_modified: Timestamp,
}

/// Why an export was not put.
#[derive(Debug, thiserror::Error)]
pub enum ExportWriteError {
    /// The object is not the one that was read: render anew.
    #[error("the export was written by somebody else meanwhile")]
    Stale,
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// The rendered calendars behind private links.
#[async_trait]
pub trait ExportStore: Send + Sync {
    async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError>;

    /// The version of the object that is there, without its bytes.
    async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError>;

    /// The version that an object with these bytes has.
    fn version_of(&self, body: &[u8]) -> ExportVersion;

    /// Puts the bytes if the object is still the one that was read (`None`: if there is none).
    /// # Errors
    /// MUST be `Stale` otherwise.
    async fn put_export(
        &self,
        token: &LinkToken,
        body: Bytes,
        expected: Option<&ExportVersion>,
    ) -> Result<ExportVersion, ExportWriteError>;

    /// From then on the link answers 404. A second call does nothing.
    async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError>;
}

/// The present instant.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Unpredictable bytes.
pub trait Randomness: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);

    fn id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes
    }

    /// Whether the same bytes may have been drawn before, by a request that was cut off: what they name may be there,
    /// and is then what was to be made.
    fn repeats(&self) -> bool {
        false
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
    }
}

impl dyn Randomness {
    /// Random bits for ids of what belongs to a property.
    pub(crate) fn ids_in<'a>(&'a self, property: &PropertyId) -> impl FnMut() -> [u8; 16] + use<'a> {
        let property = property.clone();
        move || property.within(self.id())
    }
}

/// Sealing failed, or what was to be opened was not sealed by us for this context.
#[derive(Debug, thiserror::Error)]
#[error("sealing failed: {what}")]
pub struct SealError {
    pub what: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Authenticated encryption bound to a context, such as `idempotency/acc_…`.
#[async_trait]
pub trait Sealer: Send + Sync {
    async fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError>;

    /// # Errors
    /// MUST fail for another context than it was sealed for.
    async fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// Who somebody is, by the word of an OIDC issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The issuer's URL exactly as configured and as in `iss`.
    pub issuer: String,
    /// The `sub` claim; the issuer never gives it to somebody else (OpenID Connect Core, section 2).
    pub subject: String,
}

impl Subject {
    /// The account that belongs to this subject: the first 16 bytes of SHA-256 over issuer, a zero byte and
    /// subject. No claim of another issuer can lead to the same account.
    #[must_use]
    pub fn account_id(&self) -> AccountId {
        let digest = Sha256::new()
            .chain_update(self.issuer.as_bytes())
            // A zero byte stands in no URL, so no other split of the same text gives the same digest.
            .chain_update([0])
            .chain_update(self.subject.as_bytes())
            .finalize();
        let mut random = [0; 16];
        for (slot, byte) in random.iter_mut().zip(digest) {
            *slot = byte;
        }
        AccountId::from_random(random)
    }
}

/// Why a JWT proves nobody's identity. No variant holds the token or any claim of it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this is not a signed JWT; send the access or ID token of the configured issuer as it was given to you")]
    NotAJwt,
    #[error("the token is signed by an algorithm that is not accepted; let the issuer sign with RS256, ES256 or EdDSA")]
    Algorithm,
    #[error("the issuer publishes no key with this token's key id; sign in again for a new token")]
    UnknownKey,
    #[error("the token's signature does not fit the issuer's key; sign in again for a new token")]
    Signature,
    #[error("the token is of another issuer; sign in where this service is registered")]
    Issuer,
    #[error("the token is meant for another service; ask the issuer for one with this service as its audience")]
    Audience,
    #[error("the token has expired; sign in again for a new one")]
    Expired,
    #[error("the token is not valid yet; check the clock of the machine that made it")]
    NotYetValid,
    #[error("the token lacks the claim {0}; configure the issuer to include it")]
    MissingClaim(&'static str),
    /// Nothing was decided: the same token may be good a moment later.
    #[error("the issuer's keys can't be read at present; try again in a minute")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Tells whom a JWT speaks for.
#[async_trait]
pub trait IdentityVerifier: Send + Sync {
    /// # Errors
    /// MUST refuse what the configured issuer did not sign for us, or signed for another time. MUST be
    /// `Unavailable`, never a refusal, where the issuer's keys could not be read.
    async fn verify(&self, jwt: &str) -> Result<Subject, IdentityError>;
}
