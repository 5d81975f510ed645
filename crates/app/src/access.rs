//! Access of private links that a log tells of: where somebody else serves the links, nobody sees them at once.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::ports::{LinkStore, ObjectError, ReadLogError, ReadLogs, StoreError};

/// So many links are written at the same time.
const LINKS_AT_ONCE: usize = 16;

/// Why a log was not taken. It may be told of again.
#[derive(Debug, thiserror::Error)]
pub enum TakeLogError {
    #[error(transparent)]
    Log(#[from] ReadLogError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes logs of reads.
#[derive(Clone)]
pub struct Access {
    pub(crate) links: Arc<dyn LinkStore>,
}

impl Access {
    #[must_use]
    pub fn new(links: Arc<dyn LinkStore>) -> Self {
        Self { links }
    }

    /// Records the reads that a log tells of, and then removes the log: it names addresses of readers, which nobody
    /// keeps. A log that is gone was taken before. A crash in between leaves it to the next call, which finds the reads
    /// recorded.
    ///
    /// Nothing is announced: when links were read is looked at with every reading of a feed whose nights are in question,
    /// changed or not.
    ///
    /// # Errors
    /// When the log can't be read, or the store or the objects did not do their part.
    pub async fn take_read_log(&self, logs: &dyn ReadLogs, log: &str) -> Result<(), TakeLogError> {
        let Some(told) = logs.reads(log).await? else {
            tracing::info!(log.name = log, "a log is gone; it was taken before");
            return Ok(());
        };
        let links = told.reads.len();
        let reads: usize = told.reads.values().map(std::collections::BTreeSet::len).sum();
        let written: Vec<_> = told.reads.iter().map(|(token, times)| self.links.record_reads(token, times)).collect();
        stream::iter(written).buffer_unordered(LINKS_AT_ONCE).try_collect::<Vec<()>>().await?;
        logs.remove(log).await?;
        if told.unreadable > 0 {
            tracing::warn!(log.name = log, log.unreadable = told.unreadable, "lines of a log could not be read");
        }
        tracing::info!(log.name = log, log.links = links, log.reads = reads, "a log was taken");
        tracing::info!(target: "calmesh::metric", link_reads = reads, unreadable_lines = told.unreadable);
        Ok(())
    }
}
