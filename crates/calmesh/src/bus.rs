//! The event bus inside this process: lanes of bounded workers and of bounded queues, in which accounts and properties
//! take turns; at least once, retried with back-off. What a crash
//! takes with it is announced again: dirty marks by the tick, readings by the next sweep.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
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
const LANES: [Lane; 3] = [
    Lane { workers: 4, of_account: 4, of_one: 1 },
    Lane { workers: 8, of_account: 2, of_one: 2 },
    Lane { workers: 8, of_account: 6, of_one: 1 },
];
const SWEEPS: usize = 0;
const REFRESHES: usize = 1;
const MERGES: usize = 2;
/// So much may wait of one run of buckets, account or property. What comes beyond is not taken.
const WAITING_OF_ONE: usize = 1000;
/// Owners are forgotten when there are more than this.
const OWNERS_KNOWN: usize = 20_000;
/// How often an event is tried before it is left to the tick or the next sweep.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What an event's work says when it failed; only for the log.
pub(crate) type WorkFailure = Box<dyn std::error::Error + Send + Sync>;
type Work = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = Result<(), WorkFailure>> + Send>> + Send + Sync>;

/// Who an event's work is done for.
pub(crate) type OwnerOf = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

#[derive(Debug)]
struct Delivery {
    event: Event,
    attempt: u32,
}

/// Whose turn an event takes: its account's, and there that of its run of buckets, property or link.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whose {
    account: String,
    one: String,
}

/// So many workers, of which one account, and there one run of buckets or property, keeps at most so many busy.
#[derive(Debug, Clone, Copy)]
struct Lane {
    workers: usize,
    of_account: usize,
    of_one: usize,
}

/// What waits in a lane. Whoever has something waiting gets a turn after all the others had theirs, however much of it
/// there is: an account with a hundred refreshes, or five thousand properties to publish, does not put off another one's
/// first.
#[derive(Debug)]
struct Queue {
    lane: Lane,
    state: Mutex<Waiting>,
    /// A worker may find something new.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    accounts: HashMap<String, Account>,
    /// Every account of which something waits, once, in the order of their turns.
    turns: VecDeque<String>,
}

/// What waits and is worked on of one account.
#[derive(Debug, Default)]
struct Account {
    of: HashMap<String, VecDeque<Delivery>>,
    /// As for accounts.
    turns: VecDeque<String>,
    running: HashMap<String, usize>,
}

impl Account {
    /// The next of those that may have one more worker.
    fn pop(&mut self, lane: Lane) -> Option<(String, Delivery)> {
        if self.running.values().sum::<usize>() >= lane.of_account {
            return None;
        }
        let may_run = |one: &String| self.running.get(one).is_none_or(|running| *running < lane.of_one);
        let place = self.turns.iter().position(may_run)?;
        let one = self.turns.remove(place)?;
        let waiting = self.of.get_mut(&one)?;
        let delivery = waiting.pop_front()?;
        if waiting.is_empty() {
            self.of.remove(&one);
        } else {
            self.turns.push_back(one.clone());
        }
        *self.running.entry(one.clone()).or_default() += 1;
        Some((one, delivery))
    }
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
    fn push(&self, whose: Whose, delivery: Delivery) -> bool {
        let mut state = self.state();
        let Waiting { accounts, turns } = &mut *state;
        let account = accounts.entry(whose.account.clone()).or_default();
        let waiting = account.of.entry(whose.one.clone()).or_default();
        if let Some(known) = waiting.iter_mut().find(|known| known.event == delivery.event) {
            known.attempt = known.attempt.min(delivery.attempt);
            return true;
        }
        if waiting.len() >= WAITING_OF_ONE {
            return false;
        }
        waiting.push_back(delivery);
        if waiting.len() == 1 {
            account.turns.push_back(whose.one);
            if account.turns.len() == 1 {
                turns.push_back(whose.account);
            }
        }
        drop(state);
        self.moved.notify_one();
        true
    }

    /// The next delivery of the first account in turn that may have one more worker; `done` must follow.
    fn pop(&self) -> Option<(Whose, Delivery)> {
        let mut state = self.state();
        let Waiting { accounts, turns } = &mut *state;
        let (place, one, delivery) = turns.iter().enumerate().find_map(|(place, whose)| {
            let (one, delivery) = accounts.get_mut(whose)?.pop(self.lane)?;
            Some((place, one, delivery))
        })?;
        let whose = turns.remove(place)?;
        if accounts.get(&whose).is_some_and(|account| !account.turns.is_empty()) {
            turns.push_back(whose.clone());
        }
        let more = !turns.is_empty();
        drop(state);
        if more {
            self.moved.notify_one();
        }
        Some((Whose { account: whose, one }, delivery))
    }

    fn done(&self, whose: &Whose) {
        let mut state = self.state();
        if let Some(account) = state.accounts.get_mut(&whose.account) {
            if let Some(running) = account.running.get_mut(&whose.one) {
                *running = running.saturating_sub(1);
                if *running == 0 {
                    account.running.remove(&whose.one);
                }
            }
            if account.running.is_empty() && account.of.is_empty() {
                state.accounts.remove(&whose.account);
            }
        }
        drop(state);
        self.moved.notify_one();
    }

    async fn next(&self) -> (Whose, Delivery) {
        loop {
            let moved = self.moved.notified();
            if let Some(next) = self.pop() {
                return next;
            }
            moved.await;
        }
    }
}

/// Takes events. Cheap to clone. Nothing is worked on before [`LocalBus::start`].
#[derive(Clone)]
pub(crate) struct LocalBus {
    queues: Arc<[Queue; 3]>,
    started: Arc<AtomicBool>,
    owner_of: Arc<OnceLock<OwnerOf>>,
    /// Accounts by property or link, as far as they were asked for.
    owners: Arc<Mutex<HashMap<String, String>>>,
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBus").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// The workers of a bus.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl LocalBus {
    pub(crate) fn new() -> Self {
        Self {
            queues: Arc::new(LANES.map(Queue::new)),
            started: Arc::default(),
            owner_of: Arc::default(),
            owners: Arc::default(),
        }
    }

    /// Who is asked for the account of a property or link that an event names alone. Only the first call counts.
    pub(crate) fn ask_owners_of(&self, owner_of: OwnerOf) {
        // Set already: whoever was first goes on to be asked.
        let _ = self.owner_of.set(owner_of);
    }

    async fn send(&self, event: Event) -> bool {
        let Some((lane, one, account)) = place_of(&event) else { return true };
        let account = match account {
            Some(account) => account,
            // The same account as that of the feeds' readings, so that all changes of one property take turns.
            None => self.owner(&event, &one).await,
        };
        let delivery = Delivery { event, attempt: 0 };
        self.queues.get(lane).is_none_or(|queue| queue.push(Whose { account, one }, delivery))
    }

    /// Nobody's is a turn of its own.
    async fn owner(&self, event: &Event, one: &str) -> String {
        let owners = || self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owners().get(one) {
            return known.clone();
        }
        let Some(owner_of) = self.owner_of.get() else { return one.to_owned() };
        let Some(owner) = owner_of(event.clone()).await else { return one.to_owned() };
        let mut owners = owners();
        if owners.len() >= OWNERS_KNOWN {
            owners.clear();
        }
        owners.insert(one.to_owned(), owner.clone());
        owner
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
        let mut failed = 0;
        for event in events {
            failed += usize::from(!self.send(event.clone()).await);
        }
        if failed == 0 { Ok(()) } else { Err(BusError { failed, total: events.len(), source: None }) }
    }
}

/// In which lane, whose turn it takes there, and of which account where the event says so. None for what nobody here
/// listens to.
fn place_of(event: &Event) -> Option<(usize, String, Option<String>)> {
    Some(match event {
        // Everybody's.
        Event::SweepDue { first_bucket, .. } => (SWEEPS, first_bucket.to_string(), Some(String::new())),
        Event::RefreshRequested { account, .. } => (REFRESHES, account.to_string(), Some(account.to_string())),
        // The changes of one property take turns instead of racing.
        Event::FeedsRead { account, property, .. } => (MERGES, property.to_string(), Some(account.to_string())),
        Event::PropertyDirty { property } => (MERGES, property.to_string(), None),
        Event::LinkDirty { link } => (MERGES, link.to_string(), None),
        Event::AccountDeleted { account } => (MERGES, account.to_string(), Some(account.to_string())),
        Event::PropertyChanged { .. } | Event::ConflictOpened { .. } => return None,
    })
}

/// Ends somebody's turn, also where the worker is dropped in the middle of it.
struct Turn<'a> {
    queue: &'a Queue,
    whose: Whose,
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
        let turn = Turn { queue, whose };
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
        let (bus, whose) = (bus.clone(), turn.whose.clone());
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = tokio::time::sleep(pause) => {
                    if let Some(queue) = bus.queues.get(lane) {
                        queue.push(whose, Delivery { event, attempt: attempt + 1 });
                    }
                }
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

    use calmesh_app::ports::ReadFeed;
    use calmesh_calendar::{AccountId, PropertyId, RefreshId};
    use tokio::sync::mpsc;

    use super::*;

    fn dirty(n: u8) -> Event {
        Event::PropertyDirty { property: PropertyId::from_random([n; 16]) }
    }

    /// A reading of one property, at that second.
    fn read(second: i64) -> Event {
        let at = jiff::Timestamp::from_second(second).unwrap();
        let read = ReadFeed {
            connection: calmesh_calendar::ConnectionId::from_random([1; 16]),
            snapshot: calmesh_app::model::Snapshot("s".to_owned()),
            read_at: at,
            plan_since: at,
        };
        Event::FeedsRead {
            account: AccountId::from_random([1; 16]),
            property: PropertyId::from_random([1; 16]),
            readings: vec![read],
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
        let queue = Queue::new(Lane { workers: 1, of_account: 1, of_one: 1 });
        for n in 0..3 {
            for account in ["one", "other", "third"].into_iter().take(3 - usize::from(n)) {
                let whose = Whose { account: account.to_owned(), one: account.to_owned() };
                queue.push(whose, Delivery { event: refresh(1, n), attempt: 0 });
            }
        }
        let mut turns = Vec::new();
        while let Some((whose, _)) = queue.pop() {
            queue.done(&whose);
            turns.push(whose.account);
        }
        assert_eq!(turns, ["one", "other", "third", "one", "other", "one"]);
        assert!(queue.state().accounts.is_empty() && queue.state().turns.is_empty(), "nothing is left of them");
    }

    /// A property of the nth account.
    fn property_of(account: u8, n: u16) -> PropertyId {
        let [high, low] = n.to_be_bytes();
        PropertyId::from_random([account, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// A bus that knows whose those are.
    fn knowing() -> LocalBus {
        let bus = LocalBus::new();
        let account_of =
            |property: &PropertyId| (1..=3).find(|n| (0..5001).any(|nth| property_of(*n, nth) == *property));
        bus.ask_owners_of(Arc::new(move |event| {
            let owner = match &event {
                Event::PropertyDirty { property } => account_of(property).map(|n| n.to_string()),
                _ => None,
            };
            Box::pin(async move { owner })
        }));
        bus
    }

    #[tokio::test]
    async fn five_thousand_dirty_properties_of_one_account_put_off_nobody_elses() {
        let bus = knowing();
        let of = |account, n| Event::PropertyDirty { property: property_of(account, n) };
        bus.publish(&(0..5000).map(|n| of(1, n)).collect::<Vec<_>>()).await.unwrap();
        bus.publish(&[of(2, 0), of(2, 1), of(3, 0)]).await.unwrap();
        let queue = &bus.queues[MERGES];
        let mut order = Vec::new();
        while let Some((whose, delivery)) = queue.pop() {
            queue.done(&whose);
            order.push((whose.account, delivery.event));
        }
        let accounts: Vec<_> = order.iter().take(6).map(|(account, _)| account.as_str()).collect();
        assert_eq!(accounts, ["1", "2", "3", "1", "2", "1"]);
        assert_eq!(order.len(), 5003, "and nobody is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn properties_of_one_account_that_hang_leave_workers_to_the_others() {
        let bus = knowing();
        let (began, mut told) = mpsc::unbounded_channel();
        let _workers = bus.start(move |event| {
            let began = began.clone();
            async move {
                began.send(event)?;
                std::future::pending().await
            }
        });
        let of = |account, n| Event::PropertyDirty { property: property_of(account, n) };
        bus.publish(&(0..50).map(|n| of(1, n)).collect::<Vec<_>>()).await.unwrap();
        bus.publish(&[of(2, 0)]).await.unwrap();
        let mut begun = Vec::new();
        while begun.len() < 7 {
            begun.push(told.recv().await.unwrap());
        }
        assert!(begun.contains(&of(2, 0)));
        assert!(
            tokio::time::timeout(Duration::from_secs(60), told.recv()).await.is_err(),
            "six of one account at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_costs_no_worker() {
        let bus = LocalBus::new();
        let (done, mut told) = mpsc::unbounded_channel();
        let _workers = bus.start(move |event| {
            let done = done.clone();
            async move {
                assert!(event != dirty(1), "a poisoned property");
                done.send(event).map_err(Into::into)
            }
        });
        // More often than there are workers, and than it is tried.
        for _ in 0..3 {
            bus.publish(&[dirty(1)]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let good: Vec<Event> = (2..42).map(dirty).collect();
        bus.publish(&good).await.unwrap();
        for _ in &good {
            told.recv().await.unwrap();
        }
        assert!(bus.queues.iter().all(|queue| queue.state().accounts.is_empty()), "no turn is kept");
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
        bus.ask_owners_of(Arc::new(|_| Box::pin(async { Some(AccountId::from_random([1; 16]).to_string()) })));
        let waiting = || {
            let of = |account: &Account| account.of.values().map(VecDeque::len).sum::<usize>();
            bus.queues.iter().map(move |queue| queue.state().accounts.values().map(of).sum::<usize>())
        };
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
