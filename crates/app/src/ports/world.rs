//! Objects, time, randomness, sealing.

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_calendar::{AccountId, ConnectionId};
use jiff::Timestamp;

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

/// Fetched bodies, keyed by account, connection and digest. The current one never expires.
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

/// Which bytes an export object holds: its ETag.
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

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
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
