//! Logs that tell who read private links, where we do not serve them ourselves.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;

use super::ObjectError;
use crate::model::SecretHash;

/// What one log tells of the readers of links: when, and never who they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoggedReads {
    /// The answered reads by anybody but ourselves, by the hash of the link's token.
    pub reads: BTreeMap<SecretHash, BTreeSet<Timestamp>>,
    /// Lines of which no sense could be made.
    pub unreadable: u32,
}

/// Why a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// It will never be readable: it is no log, or larger than one may be. The text quotes nothing of it.
    #[error("the log can't be read: {0}")]
    Unusable(&'static str),
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Logs of reads, by their names.
#[async_trait]
pub trait ReadLogs: Send + Sync {
    /// None where there is no such log, or not any more.
    async fn reads(&self, log: &str) -> Result<Option<LoggedReads>, ReadLogError>;

    /// Removes a log. A second call does nothing.
    async fn remove(&self, log: &str) -> Result<(), ObjectError>;
}
