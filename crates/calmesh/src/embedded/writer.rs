//! One thread that writes to a database, and puts on the disk together what was written together.
//!
//! A transaction alone costs a sync of the disk, and everybody who waits to write waits for it too. Here a batch of them
//! shares one: nobody is answered before the sync that follows his write, so what was acknowledged is on the disk.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::{oneshot, watch};

/// Writes of one batch: those that came first are not to wait for ever.
const MOST_TOGETHER: usize = 64;

/// What the thread does.
pub(crate) trait Writes: Send + 'static {
    type Asked: Send + 'static;
    type Answer: Send + 'static;
    /// Whether others see a write when it is made, or all of a batch when it is committed.
    const SEEN_AT_ONCE: bool;

    fn write(&mut self, asked: Self::Asked) -> Self::Answer;

    /// Shows others what was written since the last call, or none of it.
    ///
    /// # Errors
    /// When nothing of it is written.
    fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Makes all that others see stand, also after a loss of power.
    ///
    /// # Errors
    /// When it may not stand. The next call makes up for it, or fails too.
    fn sync(&mut self) -> io::Result<()>;
}

/// The thread. When this and its clones are gone it has ended, and let go of what it wrote to.
pub(crate) struct Writer<W: Writes> {
    running: Arc<Running<W>>,
    state: State,
}

impl<W: Writes> Clone for Writer<W> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone(), state: self.state.clone() }
    }
}

struct Running<W: Writes> {
    queue: Option<mpsc::Sender<Job<W>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<W: Writes> Drop for Running<W> {
    fn drop(&mut self) {
        // Nothing more comes, so it ends.
        self.queue = None;
        if let Some(Err(_)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!("the thread that writes panicked");
        }
    }
}

struct Job<W: Writes> {
    asked: W::Asked,
    answer: oneshot::Sender<io::Result<W::Answer>>,
}

/// How far the writing is.
#[derive(Clone)]
struct State {
    /// What others may see.
    seen: Arc<AtomicU64>,
    settled: watch::Receiver<u64>,
}

impl<W: Writes> Writer<W> {
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(writes: W) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job<W>>();
        let seen = Arc::new(AtomicU64::new(0));
        let (settle, settled) = watch::channel(0);
        let state = State { seen: seen.clone(), settled };
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || Thread { writes, seen, settle, in_doubt: false }.run(&jobs))?;
        Ok(Self { running: Arc::new(Running { queue: Some(queue), thread: Some(thread) }), state })
    }

    /// Writes, and answers once it stands.
    ///
    /// # Errors
    /// When it may not stand, though others may see it already; or when the thread has ended.
    pub(crate) async fn write(&self, asked: W::Asked) -> io::Result<W::Answer> {
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
        let seen = self.state.seen.load(Ordering::SeqCst);
        if *self.state.settled.borrow() >= seen {
            return Ok(());
        }
        let waited = self.state.settled.clone().wait_for(|settled| *settled >= seen).await.map(|_| ());
        waited.map_err(|_| io::Error::other("nothing is written any more"))
    }
}

struct Thread<W> {
    writes: W,
    seen: Arc<AtomicU64>,
    settle: watch::Sender<u64>,
    /// Whether something is seen that may not stand.
    in_doubt: bool,
}

impl<W: Writes> Thread<W> {
    fn run(mut self, jobs: &mpsc::Receiver<Job<W>>) {
        while let Ok(first) = jobs.recv() {
            let mut done = Vec::new();
            let mut next = Some(first);
            while let Some(Job { asked, answer }) = next {
                if W::SEEN_AT_ONCE {
                    self.seen.fetch_add(1, Ordering::SeqCst);
                }
                done.push((answer, self.writes.write(asked)));
                next = if done.len() < MOST_TOGETHER { jobs.try_recv().ok() } else { None };
            }
            let stands = self.stand();
            for (answer, written) in done {
                // Who asked may have gone.
                let _ = answer.send(match &stands {
                    Ok(()) => Ok(written),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                });
            }
        }
    }

    fn stand(&mut self) -> io::Result<()> {
        if !W::SEEN_AT_ONCE {
            self.seen.fetch_add(1, Ordering::SeqCst);
        }
        let committed = self.writes.commit();
        if committed.is_ok() {
            let synced = self.writes.sync();
            self.in_doubt = synced.is_err();
            synced?;
        }
        // Of what was not committed nothing is seen.
        if !self.in_doubt {
            self.settle.send_replace(self.seen.load(Ordering::SeqCst));
        }
        committed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down what happens, and fails as it is told.
    #[derive(Clone, Default)]
    struct Told<const AT_ONCE: bool> {
        happened: Arc<Mutex<Vec<String>>>,
        fails: Arc<Mutex<&'static str>>,
        gate: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
    }

    impl<const AT_ONCE: bool> Told<AT_ONCE> {
        fn happened(&self) -> Vec<String> {
            self.happened.lock().unwrap().clone()
        }

        fn note(&self, what: &str) -> io::Result<()> {
            self.happened.lock().unwrap().push(what.to_owned());
            if *self.fails.lock().unwrap() == what { Err(io::Error::other("no")) } else { Ok(()) }
        }

        fn fail(&self, what: &'static str) {
            *self.fails.lock().unwrap() = what;
        }
    }

    impl<const AT_ONCE: bool> Writes for Told<AT_ONCE> {
        type Asked = u32;
        type Answer = ();
        const SEEN_AT_ONCE: bool = AT_ONCE;

        fn write(&mut self, asked: u32) {
            if let Some(gate) = &self.gate {
                // Until the gate is gone.
                gate.lock().unwrap().recv().unwrap_err();
            }
            drop(self.note(&asked.to_string()));
        }

        fn commit(&mut self) -> io::Result<()> {
            self.note("committed")
        }

        fn sync(&mut self) -> io::Result<()> {
            self.note("synced")
        }
    }

    #[tokio::test]
    async fn nobody_is_answered_before_what_he_wrote_is_synced() {
        let told = Told::<true>::default();
        let writer = Writer::start(told.clone()).unwrap();
        writer.write(1).await.unwrap();
        assert_eq!(told.happened(), ["1", "committed", "synced"]);
        writer.write(2).await.unwrap();
        assert_eq!(told.happened(), ["1", "committed", "synced", "2", "committed", "synced"]);
    }

    #[tokio::test]
    async fn what_waits_meanwhile_is_synced_together() {
        let (gate, opened) = mpsc::channel::<()>();
        let told = Told::<true> { gate: Some(Arc::new(Mutex::new(opened))), ..Told::default() };
        let writer = Writer::start(told.clone()).unwrap();
        let mut writes = futures::future::join_all((0..200).map(|what| writer.write(what)));
        assert!(futures::poll!(&mut writes).is_pending(), "all of them are there now");
        drop(gate);
        let answers = writes.await;
        assert!(answers.iter().all(Result::is_ok));
        let happened = told.happened();
        let times = |what: &str| happened.iter().filter(|happened| *happened == what).count();
        let batches = 200_usize.div_ceil(MOST_TOGETHER);
        assert_eq!((times("synced"), times("committed"), happened.len()), (batches, batches, 200 + 2 * batches));
    }

    #[tokio::test]
    async fn what_may_not_stand_is_answered_as_failed_and_who_saw_it_waits() {
        async fn holds<const AT_ONCE: bool>() {
            let told = Told::<AT_ONCE>::default();
            let writer = Writer::start(told.clone()).unwrap();
            writer.settled().await.unwrap();
            told.fail("synced");
            writer.write(1).await.unwrap_err();
            let waiting = writer.settled();
            futures::pin_mut!(waiting);
            assert!(futures::poll!(&mut waiting).is_pending());
            told.fail("");
            writer.write(2).await.unwrap();
            waiting.await.unwrap();
        }
        holds::<true>().await;
        holds::<false>().await;
    }

    #[tokio::test]
    async fn what_nobody_saw_is_answered_as_failed_and_nobody_waits_for_it() {
        let told = Told::<false>::default();
        let writer = Writer::start(told.clone()).unwrap();
        told.fail("committed");
        writer.write(1).await.unwrap_err();
        assert_eq!(told.happened(), ["1", "committed"], "and there is nothing to sync");
        writer.settled().await.unwrap();
        // What was seen before and may not stand is still waited for.
        told.fail("synced");
        writer.write(2).await.unwrap_err();
        told.fail("committed");
        writer.write(3).await.unwrap_err();
        let waiting = writer.settled();
        futures::pin_mut!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
    }
}
