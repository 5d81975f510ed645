//! A fake of the logs that tell of reads.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use crate::{
    locks::lock,
    ports::{LoggedReads, ObjectError, ReadLogError, ReadLogs},
};

/// `ReadLogs` in memory.
#[derive(Debug, Default)]
pub struct MemoryReadLogs {
    logs: Mutex<BTreeMap<String, LoggedReads>>,
    removal_fails: Mutex<bool>,
}

impl MemoryReadLogs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&self, name: &str, reads: LoggedReads) {
        lock(&self.logs).insert(name.to_owned(), reads);
    }

    /// The next removal fails, and nothing is removed.
    pub fn fail_to_remove(&self) {
        *lock(&self.removal_fails) = true;
    }

    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.logs).keys().cloned().collect()
    }
}

#[async_trait]
impl ReadLogs for MemoryReadLogs {
    async fn reads(&self, log: &str) -> Result<Option<LoggedReads>, ReadLogError> {
        Ok(lock(&self.logs).get(log).cloned())
    }

    async fn remove(&self, log: &str) -> Result<(), ObjectError> {
        if std::mem::take(&mut *lock(&self.removal_fails)) {
            return Err(ObjectError { what: "the test asked for this failure".to_owned(), source: None });
        }
        lock(&self.logs).remove(log);
        Ok(())
    }
}
