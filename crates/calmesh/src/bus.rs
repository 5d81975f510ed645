//! The event bus inside this process: lanes of bounded workers and of bounded queues, in which accounts and properties
//! take turns; at least once, retried with back-off. What a crash
//! takes with it is announced again: dirty marks by the tick, readings by the next sweep.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use calmesh_app::{
    WorkError,
    ports::{BusError, Event, EventBus, StoreError},
};
use futures::FutureExt;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

/// Sweeps, refreshes by hand and merges don't wait for each other: each has workers of its own.
const LANES: [Lane; 3] =
    [Lane { workers: 4, of_one: 1 }, Lane { workers: 8, of_one: 2 }, Lane { workers: 8, of_one: 1 }];
const SWEEPS: usize = 0;
const REFRESHES: usize = 1;
const MERGES: usize = 2;
/// So much may wait of one run of buckets, account or property. What comes beyond is not taken.
const WAITING_OF_ONE: usize = 1000;
/// How often an event is tried before it is left to the tick or the next sweep.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What an event's work says when it failed; only for the log.
pub(crate) type WorkFailure = Box<dyn std::error::Error + Send + Sync>;
type Work = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = Result<(), WorkFailure>> + Send>> + Send + Sync>;

#[derive(Debug)]
struct Delivery {
    event: Event,
    attempt: u32,
}

/// So many workers, of which one run of buckets, account or property keeps at most so many busy.
#[derive(Debug, Clone, Copy)]
struct Lane {
    workers: usize,
    of_one: usize,
}

/// What waits in a lane. Whoever has something waiting gets a turn after all the others had theirs, however much of it
/// there is: an account with a hundred refreshes does not put off another one's first.
#[derive(Debug)]
struct Queue {
    lane: Lane,
    state: Mutex<Waiting>,
    /// A worker may find something new.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    of: HashMap<String, VecDeque<Delivery>>,
    /// Everybody of whom something waits, once, in the order of their turns.
    turns: VecDeque<String>,
    running: HashMap<String, usize>,
}

impl Queue {
    fn new(lane: Lane) -> Self {
        Self { lane, state: Mutex::default(), moved: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds this lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers whether it was taken. What waits already is not taken twice: its work begins later than now.
    fn push(&self, whose: String, delivery: Delivery) -> bool {
        let mut state = self.state();
        let waiting = state.of.entry(whose.clone()).or_default();
        if let Some(known) = waiting.iter_mut().find(|known| known.event == delivery.event) {
            known.attempt = known.attempt.min(delivery.attempt);
            return true;
        }
        if waiting.len() >= WAITING_OF_ONE {
            return false;
        }
        waiting.push_back(delivery);
        if waiting.len() == 1 {
            state.turns.push_back(whose);
        }
        drop(state);
        self.moved.notify_one();
        true
    }

    /// The next delivery of the first in turn who may have one more worker; `done` must follow.
    fn pop(&self) -> Option<(String, Delivery)> {
        let mut state = self.state();
        let may_run = |whose: &String| state.running.get(whose).is_none_or(|running| *running < self.lane.of_one);
        let place = state.turns.iter().position(may_run)?;
        let whose = state.turns.remove(place)?;
        let waiting = state.of.get_mut(&whose)?;
        let delivery = waiting.pop_front()?;
        if waiting.is_empty() {
            state.of.remove(&whose);
        } else {
            state.turns.push_back(whose.clone());
        }
        *state.running.entry(whose.clone()).or_default() += 1;
        let more = !state.turns.is_empty();
        drop(state);
        if more {
            self.moved.notify_one();
        }
        Some((whose, delivery))
    }

    fn done(&self, whose: &str) {
        let mut state = self.state();
        if let Some(running) = state.running.get_mut(whose) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                state.running.remove(whose);
            }
        }
        drop(state);
        self.moved.notify_one();
    }

    async fn next(&self) -> (String, Delivery) {
        loop {
            let moved = self.moved.notified();
            if let Some(next) = self.pop() {
                return next;
            }
            moved.await;
        }
    }
}

/// Takes events. Cheap to clone. Nothing is worked on before [`Workers::start`].
#[derive(Debug, Clone)]
pub(crate) struct LocalBus {
    queues: Arc<[Queue; 3]>,
    started: Arc<AtomicBool>,
}

/// The workers of a bus.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl LocalBus {
    pub(crate) fn new() -> Self {
        Self { queues: Arc::new(LANES.map(Queue::new)), started: Arc::default() }
    }

    fn send(&self, delivery: Delivery) -> bool {
        let Some((lane, whose)) = place_of(&delivery.event) else { return true };
        self.queues.get(lane).is_none_or(|queue| queue.push(whose, delivery))
    }

    /// Starts the workers. `work` is called once for each delivery; what it panics with fails that event alone.
    /// A second call starts none.
    pub(crate) fn start<W, F>(&self, work: W) -> Workers
    where
        W: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), WorkFailure>> + Send + 'static,
    {
        let work: Work = Arc::new(move |event| Box::pin(work(event)));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if !self.started.swap(true, Ordering::SeqCst) {
            for (nth, queue) in self.queues.iter().enumerate() {
                for _ in 0..queue.lane.workers {
                    tasks.spawn(run_worker(nth, self.clone(), work.clone(), stopped.clone()));
                }
            }
        }
        Workers { tasks, stop }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let failed = events.iter().filter(|&event| !self.send(Delivery { event: event.clone(), attempt: 0 })).count();
        if failed == 0 { Ok(()) } else { Err(BusError { failed, total: events.len(), source: None }) }
    }
}

/// In which lane, and whose turn it takes there. None for what nobody here listens to.
fn place_of(event: &Event) -> Option<(usize, String)> {
    Some(match event {
        Event::SweepDue { first_bucket, .. } => (SWEEPS, first_bucket.to_string()),
        Event::RefreshRequested { account, .. } => (REFRESHES, account.to_string()),
        // The changes of one property take turns instead of racing.
        Event::FeedRead { property, .. } | Event::PropertyDirty { property } => (MERGES, property.to_string()),
        Event::LinkDirty { link } => (MERGES, link.to_string()),
        Event::AccountDeleted { account } => (MERGES, account.to_string()),
        Event::PropertyChanged { .. } | Event::ConflictOpened { .. } => return None,
    })
}

/// Ends somebody's turn, also where the worker is dropped in the middle of it.
struct Turn<'a> {
    queue: &'a Queue,
    whose: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.done(&self.whose);
    }
}

async fn run_worker(lane: usize, bus: LocalBus, work: Work, mut stopped: watch::Receiver<bool>) {
    let Some(queue) = bus.queues.get(lane) else { return };
    loop {
        let (whose, Delivery { event, attempt }) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return,
            next = queue.next() => next,
        };
        let _turn = Turn { queue, whose };
        let mut overtaken = false;
        let attempted = AssertUnwindSafe(async { work(event.clone()).await }).catch_unwind().await;
        let failure = match attempted {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => {
                overtaken = is_overtaken(failure.as_ref());
                calmesh_lambda_kit::telemetry::chain(failure.as_ref())
            }
            Err(_) => "it panicked".to_owned(),
        };
        if attempt + 1 >= ATTEMPTS {
            tracing::error!(event = ?event, failure, "an event is left to the tick and the next sweep");
            continue;
        }
        if overtaken {
            tracing::debug!(event = ?event, attempt, "somebody else was faster; the event's work is begun anew");
        } else {
            tracing::warn!(event = ?event, attempt, failure, "an event's work failed and is tried again");
        }
        let pause = pause_before(attempt + 1);
        let bus = bus.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = tokio::time::sleep(pause) => { bus.send(Delivery { event, attempt: attempt + 1 }); }
            }
        });
    }
}

/// Whether the work only met others who changed the same thing: what happens every day, and is no failure.
fn is_overtaken(failure: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(failure.downcast_ref(), Some(WorkError::Store(StoreError::Stale)))
}

fn pause_before(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE)
}

impl Workers {
    /// Takes no further event and waits for those at hand, at most so long.
    pub(crate) async fn drain(mut self, at_most: Duration) {
        // Nobody listens when every worker has ended already.
        let _ = self.stop.send(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::info!("work at hand was left; the next start finishes it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use calmesh_calendar::{AccountId, PropertyId, RefreshId};
    use tokio::sync::mpsc;

    use super::*;

    fn dirty(n: u8) -> Event {
        Event::PropertyDirty { property: PropertyId::from_random([n; 16]) }
    }

    /// A reading of one property, at that second.
    fn read(second: i64) -> Event {
        let at = jiff::Timestamp::from_second(second).unwrap();
        Event::FeedRead {
            account: AccountId::from_random([1; 16]),
            property: PropertyId::from_random([1; 16]),
            connection: calmesh_calendar::ConnectionId::from_random([1; 16]),
            snapshot: calmesh_app::model::Snapshot("s".to_owned()),
            read_at: at,
            plan_since: at,
            refresh: None,
        }
    }

    fn refresh(account: u8, n: u8) -> Event {
        let account = AccountId::from_random([account; 16]);
        Event::RefreshRequested { account, refresh: RefreshId::from_random([n; 16]), after: None, rest: false }
    }

    /// A bus whose work never ends by itself, and what it began.
    fn hanging() -> (LocalBus, Workers, mpsc::UnboundedReceiver<Event>) {
        let bus = LocalBus::new();
        let (began, told) = mpsc::unbounded_channel();
        let workers = bus.start(move |event| {
            let began = began.clone();
            async move {
                began.send(event)?;
                std::future::pending().await
            }
        });
        (bus, workers, told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_refreshes_of_one_account_that_hang_hold_up_nobody_elses_first() {
        let (bus, _workers, mut told) = hanging();
        bus.publish(&(0..100).map(|n| refresh(1, n)).collect::<Vec<_>>()).await.unwrap();
        bus.publish(&[refresh(2, 1)]).await.unwrap();
        let mut began = Vec::new();
        for _ in 0..3 {
            began.push(told.recv().await.unwrap());
        }
        assert_eq!(began.iter().filter(|event| **event == refresh(2, 1)).count(), 1, "{began:?}");
        assert!(tokio::time::timeout(Duration::from_secs(60), told.recv()).await.is_err(), "two of one at once");
    }

    #[tokio::test]
    async fn accounts_take_turns_whoever_asked_first() {
        let queue = Queue::new(Lane { workers: 1, of_one: 1 });
        for n in 0..3 {
            for account in ["one", "other", "third"].into_iter().take(3 - usize::from(n)) {
                queue.push(account.to_owned(), Delivery { event: refresh(1, n), attempt: 0 });
            }
        }
        let mut turns = Vec::new();
        while let Some((whose, _)) = queue.pop() {
            queue.done(&whose);
            turns.push(whose);
        }
        assert_eq!(turns, ["one", "other", "third", "one", "other", "one"]);
        assert!(queue.state().of.is_empty() && queue.state().running.is_empty(), "nothing is left of them");
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_whose_work_hangs_holds_up_no_other_one() {
        let (bus, _workers, mut told) = hanging();
        bus.publish(&(0..50).map(read).chain((2..9).map(dirty)).collect::<Vec<_>>()).await.unwrap();
        for _ in 0..8 {
            told.recv().await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_waits_already_waits_once_and_no_queue_grows_without_end() {
        let bus = LocalBus::new();
        let waiting =
            || bus.queues.iter().flat_map(|queue| queue.state().of.values().map(VecDeque::len).collect::<Vec<_>>());
        bus.publish(&vec![dirty(1); 5000]).await.unwrap();
        assert_eq!(waiting().sum::<usize>(), 1);
        let many: Vec<Event> = (0..5000).map(read).collect();
        let refused = bus.publish(&many).await.unwrap_err();
        assert_eq!(waiting().sum::<usize>(), WAITING_OF_ONE);
        assert_eq!(refused.failed, 5000 - (WAITING_OF_ONE - 1));
        bus.publish(&[dirty(2), refresh(1, 1)]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_fails_or_panics_is_tried_again_until_it_is_done() {
        let bus = LocalBus::new();
        let tries = Arc::new(AtomicU32::new(0));
        let (done, mut told) = mpsc::unbounded_channel();
        let counted = tries.clone();
        let workers = bus.start(move |_| {
            let (tries, done) = (counted.clone(), done.clone());
            async move {
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("not yet".into()),
                    1 => panic!("not yet either"),
                    _ => done.send(()).map_err(Into::into),
                }
            }
        });
        bus.publish(&[dirty(1)]).await.unwrap();
        told.recv().await.unwrap();
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        workers.drain(Duration::from_secs(1)).await;
    }

    #[tokio::test]
    async fn events_of_one_property_take_turns() {
        let bus = LocalBus::new();
        let running = Arc::new(AtomicU32::new(0));
        let (done, mut told) = mpsc::unbounded_channel();
        let counted = running.clone();
        let _workers = bus.start(move |_| {
            let (running, done) = (counted.clone(), done.clone());
            async move {
                let together = running.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(together).map_err(Into::into)
            }
        });
        bus.publish(&(0..20).map(read).collect::<Vec<_>>()).await.unwrap();
        for _ in 0..20 {
            assert_eq!(told.recv().await, Some(0));
        }
    }

    #[tokio::test]
    async fn draining_waits_for_the_work_at_hand_and_takes_no_more() {
        let bus = LocalBus::new();
        let (started, mut told) = mpsc::unbounded_channel();
        let finished = Arc::new(AtomicU32::new(0));
        let counted = finished.clone();
        let workers = bus.start(move |_| {
            let (started, finished) = (started.clone(), counted.clone());
            async move {
                started.send(())?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                finished.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        });
        bus.publish(&[dirty(1)]).await.unwrap();
        told.recv().await.unwrap();
        bus.publish(&[dirty(1)]).await.unwrap();
        workers.drain(Duration::from_secs(5)).await;
        assert_eq!(finished.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn pauses_grow_and_end_at_a_minute() {
        assert_eq!(pause_before(1), Duration::from_millis(200));
        assert_eq!(pause_before(3), Duration::from_millis(800));
        assert_eq!(pause_before(30), LONGEST_PAUSE);
    }
}
