//! What the embedded services' databases have in common: connections that read beside the one that writes, the log that is
//! synced after what was written together, and what a damaged file says.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

use rusqlite::{Connection, ErrorCode};

/// Whether SQLite can't make sense of the file: no repetition helps.
pub(crate) fn speaks_of_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// A file that lies beside a database: `-wal` or `-shm`.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(ending);
    path.into()
}

/// Connections that read, each for one at a time.
pub(crate) struct Readers<T>(Box<[Mutex<T>]>);

impl<T> Readers<T> {
    /// More than two cores rarely read at once.
    pub(crate) const USUAL: usize = 4;

    pub(crate) fn new(readers: impl IntoIterator<Item = T>) -> Self {
        Self(readers.into_iter().map(Mutex::new).collect())
    }

    /// Reads on the first that is free; nothing where there is none at all.
    pub(crate) fn with<A>(&self, read: impl FnOnce(&T) -> A) -> Option<A> {
        let free = self.0.iter().find_map(|reader| match reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(reader)) => Some(reader.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let reader = match free {
            Some(reader) => reader,
            None => lock(self.0.first()?),
        };
        Some(read(&reader))
    }

    /// All of them, once nobody reads any more.
    pub(crate) fn all(&self) -> Vec<MutexGuard<'_, T>> {
        self.0.iter().map(lock).collect()
    }
}

fn lock<T>(reader: &Mutex<T>) -> MutexGuard<'_, T> {
    // What reads leaves nothing half done.
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log of a database, which whoever writes does not sync.
pub(crate) struct Log {
    database: PathBuf,
    log: Option<File>,
    /// Whether a sync failed since the last one that did not: the system may have forgotten what it could not write.
    in_doubt: bool,
}

impl Log {
    pub(crate) fn of(database: PathBuf) -> Self {
        Self { database, log: None, in_doubt: false }
    }

    /// Makes all that was committed so far stand, also after a loss of power.
    ///
    /// # Errors
    /// When it may not stand. The next call makes up for it, or fails too.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !self.in_doubt && self.sync_log().is_ok() {
            return Ok(());
        }
        self.in_doubt = true;
        self.checkpoint()?;
        self.in_doubt = false;
        Ok(())
    }

    fn sync_log(&mut self) -> io::Result<()> {
        if let Some(log) = &self.log {
            return log.sync_data();
        }
        // SQLite makes it at the first transaction and keeps it until it is closed.
        let log = File::options().write(true).open(beside(&self.database, "-wal"))?;
        log.sync_data()?;
        // Its name too.
        #[cfg(unix)]
        self.database.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        self.log = Some(log);
        Ok(())
    }

    /// Brings all of the log into the database, each page written anew, and syncs it.
    fn checkpoint(&self) -> io::Result<()> {
        let all = || -> Result<i64, rusqlite::Error> {
            let connection = Connection::open(&self.database)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        };
        match all() {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::other("the log could not be brought into the database")),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_can_not_be_synced_is_brought_into_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE things (key TEXT)").unwrap();
        let wal = folder.path().join("store.db-wal");
        let mut log = Log::of(path);
        log.sync().unwrap();
        assert!(wal.metadata().unwrap().len() > 0, "a sync alone leaves the log");
        connection.execute("INSERT INTO things VALUES ('a')", []).unwrap();
        log.in_doubt = true;
        log.sync().unwrap();
        assert_eq!(wal.metadata().unwrap().len(), 0, "all of it is in the database");
        assert!(!log.in_doubt);
        // A reader that stands in the way leaves it in doubt.
        connection.execute_batch("INSERT INTO things VALUES ('b')").unwrap();
        connection.execute_batch("BEGIN; SELECT * FROM things").unwrap();
        log.in_doubt = true;
        log.sync().unwrap_err();
        assert!(log.in_doubt);
    }
}
