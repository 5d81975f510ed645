//! What the embedded services' databases have in common: connections that read beside the one that writes, the log that is
//! synced after what was written together, and what a damaged file says.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use tokio::{task::JoinHandle, time::timeout};

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

/// Looks at whole files, each over a connection of its own. They take as long as the disk takes to read all of it, so
/// whoever stops cuts them off: a file that is still held when its last writer lets go keeps its log beside it.
#[derive(Clone, Default)]
pub(crate) struct Looks(Arc<Looking>);

#[derive(Default)]
struct Looking {
    over: AtomicBool,
    at: Mutex<Vec<InterruptHandle>>,
}

impl Looks {
    /// How soon one is cut off again that had not begun when it was cut off.
    const AGAIN: Duration = Duration::from_millis(10);

    /// Looks at a file; nothing is seen by one that was cut off.
    ///
    /// # Errors
    /// What SQLite says of the file.
    pub(crate) fn at<A>(
        &self,
        file: &Path,
        look: impl FnOnce(&Connection) -> rusqlite::Result<A>,
    ) -> rusqlite::Result<Option<A>> {
        if self.0.over.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        lock(&self.0.at).push(connection.get_interrupt_handle());
        match look(&connection) {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Cuts off all of them, and waits until those who look hold no file any more.
    pub(crate) async fn end(&self, looking: JoinHandle<()>) {
        self.0.over.store(true, Ordering::SeqCst);
        let mut looking = pin!(looking);
        loop {
            // One that comes right before the look begins is not heard.
            lock(&self.0.at).iter().for_each(InterruptHandle::interrupt);
            if timeout(Self::AGAIN, &mut looking).await.is_ok() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever holds one leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whoever only looks can't bring the log into the file, so he may not be the last to hold it.
    #[tokio::test]
    async fn a_look_that_would_not_end_is_cut_off_and_holds_its_file_no_more() {
        const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE things (key TEXT)").unwrap();
        let looks = Looks::default();
        let (begun, begins) = std::sync::mpsc::channel();
        let (file, there) = (path.clone(), looks.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let seen = there.at(&file, |connection| {
                begun.send(()).unwrap();
                connection.query_row(ENDLESS, [], |row| row.get::<_, i64>(0))
            });
            assert_eq!(seen.unwrap(), None);
        });
        begins.recv().unwrap();
        looks.end(looking).await;
        drop(writer);
        assert!(!folder.path().join("store.db-wal").exists(), "the last to hold it has brought its log into it");
        assert_eq!(looks.at(&path, |_| Ok(())).unwrap(), None, "and none begins any more");
    }

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
