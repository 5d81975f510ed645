//! One thread that writes to the database, and puts on the disk together what was written together.
//!
//! A transaction alone costs a sync of the disk, and everybody who waits to write waits for it too. Here a batch of them
//! shares one: nobody is answered before the sync that follows his transaction, so what was acknowledged is on the disk.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::{oneshot, watch};

/// Transactions of one batch: those that came first are not to wait for ever.
const MOST_TOGETHER: usize = 64;

/// What makes all that was written so far stand, also after a loss of power.
pub(crate) trait Syncs: Send + 'static {
    /// # Errors
    /// When it may not stand. The next call makes up for it, or fails too.
    fn sync(&mut self) -> io::Result<()>;
}

/// The thread. When this and its clones are gone it has ended, and let go of what it wrote to.
pub(crate) struct Writer<Q, A> {
    running: Arc<Running<Q, A>>,
    state: State,
}

impl<Q, A> Clone for Writer<Q, A> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone(), state: self.state.clone() }
    }
}

struct Running<Q, A> {
    queue: Option<mpsc::Sender<Job<Q, A>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<Q, A> Drop for Running<Q, A> {
    fn drop(&mut self) {
        // Nothing more comes, so it ends.
        self.queue = None;
        if let Some(Err(_)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!("the thread that writes panicked");
        }
    }
}

struct Job<Q, A> {
    asked: Q,
    answer: oneshot::Sender<io::Result<A>>,
}

/// How far the writing is.
#[derive(Clone)]
struct State {
    begun: Arc<AtomicU64>,
    settled: watch::Receiver<u64>,
}

impl<Q: Send + 'static, A: Send + 'static> Writer<Q, A> {
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(write: impl Fn(Q) -> A + Send + 'static, mut disk: impl Syncs) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job<Q, A>>();
        let begun = Arc::new(AtomicU64::new(0));
        let (settle, settled) = watch::channel(0);
        let state = State { begun: begun.clone(), settled };
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(move || {
            while let Ok(first) = jobs.recv() {
                let mut done = Vec::new();
                let mut next = Some(first);
                while let Some(Job { asked, answer }) = next {
                    begun.fetch_add(1, Ordering::SeqCst);
                    done.push((answer, write(asked)));
                    next = if done.len() < MOST_TOGETHER { jobs.try_recv().ok() } else { None };
                }
                let stands = disk.sync();
                if stands.is_ok() {
                    settle.send_replace(begun.load(Ordering::SeqCst));
                }
                for (answer, written) in done {
                    // Who asked may have gone.
                    let _ = answer.send(match &stands {
                        Ok(()) => Ok(written),
                        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                    });
                }
            }
        })?;
        Ok(Self { running: Arc::new(Running { queue: Some(queue), thread: Some(thread) }), state })
    }

    /// Writes, and answers once it stands.
    ///
    /// # Errors
    /// When it may not stand, though others may see it already; or when the thread has ended.
    pub(crate) async fn write(&self, asked: Q) -> io::Result<A> {
        let (answer, answered) = oneshot::channel();
        let ended = || io::Error::other("nothing is written any more");
        let queue = self.running.queue.as_ref().ok_or_else(ended)?;
        queue.send(Job { asked, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Waits until all that somebody may have seen up to now stands.
    ///
    /// # Errors
    /// When the thread has ended.
    pub(crate) async fn settled(&self) -> io::Result<()> {
        let begun = self.state.begun.load(Ordering::SeqCst);
        if *self.state.settled.borrow() >= begun {
            return Ok(());
        }
        let waited = self.state.settled.clone().wait_for(|settled| *settled >= begun).await.map(|_| ());
        waited.map_err(|_| io::Error::other("nothing is written any more"))
    }
}

/// The log of a database, which the engine writes and does not sync.
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

    fn sync_log(&mut self) -> io::Result<()> {
        if self.log.is_none() {
            let mut path = self.database.clone().into_os_string();
            path.push("-wal");
            // The engine makes it at its first transaction and keeps it until it is closed.
            self.log = Some(File::options().write(true).open(path)?);
        }
        self.log.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Brings all of the log into the database, each page written anew, and syncs it.
    fn checkpoint(&self) -> io::Result<()> {
        let all = || -> Result<i64, rusqlite::Error> {
            let connection = rusqlite::Connection::open(&self.database)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        };
        match all() {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::other("the log could not be brought into the database")),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Syncs for Log {
    fn sync(&mut self) -> io::Result<()> {
        if !self.in_doubt && self.sync_log().is_ok() {
            return Ok(());
        }
        self.in_doubt = true;
        self.checkpoint()?;
        self.in_doubt = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down what happens, and fails as it is told.
    #[derive(Clone, Default)]
    struct Told {
        happened: Arc<Mutex<Vec<String>>>,
        fails: Arc<Mutex<bool>>,
    }

    impl Told {
        fn note(&self, what: impl Into<String>) {
            self.happened.lock().unwrap().push(what.into());
        }
        fn happened(&self) -> Vec<String> {
            self.happened.lock().unwrap().clone()
        }
    }

    impl Syncs for Told {
        fn sync(&mut self) -> io::Result<()> {
            self.note("synced");
            if *self.fails.lock().unwrap() { Err(io::Error::other("no")) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn nobody_is_answered_before_what_he_wrote_is_synced() {
        let told = Told::default();
        let noting = told.clone();
        let writer = Writer::start(move |what: u32| noting.note(what.to_string()), told.clone()).unwrap();
        writer.write(1).await.unwrap();
        assert_eq!(told.happened(), ["1", "synced"]);
        writer.write(2).await.unwrap();
        assert_eq!(told.happened(), ["1", "synced", "2", "synced"]);
    }

    #[tokio::test]
    async fn what_waits_meanwhile_is_synced_together() {
        let told = Told::default();
        let noting = told.clone();
        let (gate, opened) = mpsc::channel::<()>();
        let write = move |what: u32| {
            // Until the gate is gone.
            opened.recv().unwrap_err();
            noting.note(what.to_string());
        };
        let writer = Writer::start(write, told.clone()).unwrap();
        let mut writes = futures::future::join_all((0..200).map(|what| writer.write(what)));
        assert!(futures::poll!(&mut writes).is_pending(), "all of them are there now");
        drop(gate);
        let answers = writes.await;
        assert!(answers.iter().all(Result::is_ok));
        let happened = told.happened();
        let syncs = happened.iter().filter(|what| *what == "synced").count();
        assert_eq!((happened.len() - syncs, syncs), (200, 200_usize.div_ceil(MOST_TOGETHER)));
    }

    #[tokio::test]
    async fn what_may_not_stand_is_answered_as_failed_and_who_saw_it_waits() {
        let told = Told::default();
        let writer = Writer::start(|_: u32| (), told.clone()).unwrap();
        writer.settled().await.unwrap();
        *told.fails.lock().unwrap() = true;
        writer.write(1).await.unwrap_err();
        let waiting = writer.settled();
        futures::pin_mut!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        *told.fails.lock().unwrap() = false;
        writer.write(2).await.unwrap();
        waiting.await.unwrap();
    }

    #[test]
    fn a_log_that_can_not_be_synced_is_brought_into_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
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
