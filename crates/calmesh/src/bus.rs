//! The event bus inside this process: lanes of bounded workers, at least once, retried with back-off. What a crash
//! takes with it is announced again: dirty marks by the tick, readings by the next sweep.

use std::{
    collections::hash_map::DefaultHasher,
    future::Future,
    hash::{Hash, Hasher},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use calmesh_app::{
    WorkError,
    ports::{BusError, Event, EventBus, StoreError},
};
use futures::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Sweeps, refreshes by hand and merges don't wait for each other.
const SWEEPERS: usize = 2;
const REFRESHERS: usize = 2;
/// Events of one property go to one of these, so that its changes take turns instead of racing.
const MERGERS: usize = 8;
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

/// Takes events. Cheap to clone. Nothing is worked on before [`Workers::start`].
#[derive(Debug, Clone)]
pub(crate) struct LocalBus {
    lanes: Arc<[mpsc::UnboundedSender<Delivery>]>,
    queues: Arc<Mutex<Option<Vec<mpsc::UnboundedReceiver<Delivery>>>>>,
}

/// The workers of a bus.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl LocalBus {
    pub(crate) fn new() -> Self {
        let (lanes, queues): (Vec<_>, Vec<_>) =
            (0..SWEEPERS + REFRESHERS + MERGERS).map(|_| mpsc::unbounded_channel()).unzip();
        Self { lanes: lanes.into(), queues: Arc::new(Mutex::new(Some(queues))) }
    }

    fn send(&self, delivery: Delivery) -> bool {
        lane_of(&delivery.event, self.lanes.len())
            .and_then(|lane| self.lanes.get(lane))
            .is_none_or(|lane| lane.send(delivery).is_ok())
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
        let queues = self.queues.lock().map(|mut queues| queues.take()).ok().flatten().unwrap_or_default();
        let mut tasks = JoinSet::new();
        for queue in queues {
            tasks.spawn(run_lane(queue, self.clone(), work.clone(), stopped.clone()));
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

/// None for what nobody here listens to.
fn lane_of(event: &Event, lanes: usize) -> Option<usize> {
    let spread = |key: &dyn Fn(&mut DefaultHasher), first: usize, count: usize| {
        let mut hasher = DefaultHasher::new();
        key(&mut hasher);
        let slot = hasher.finish() % u64::try_from(count.max(1)).unwrap_or(1);
        first + usize::try_from(slot).unwrap_or_default()
    };
    let first_merger = SWEEPERS + REFRESHERS;
    let mergers = lanes.saturating_sub(first_merger);
    Some(match event {
        Event::SweepDue { first_bucket, .. } => spread(&|h| first_bucket.hash(h), 0, SWEEPERS),
        Event::RefreshRequested { refresh, .. } => spread(&|h| refresh.hash(h), SWEEPERS, REFRESHERS),
        Event::FeedRead { property, .. } | Event::PropertyDirty { property } => {
            spread(&|h| property.hash(h), first_merger, mergers)
        }
        Event::LinkDirty { link } => spread(&|h| link.hash(h), first_merger, mergers),
        Event::AccountDeleted { account } => spread(&|h| account.hash(h), first_merger, mergers),
        Event::PropertyChanged { .. } => return None,
    })
}

async fn run_lane(
    mut queue: mpsc::UnboundedReceiver<Delivery>,
    bus: LocalBus,
    work: Work,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let delivery = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return,
            delivery = queue.recv() => delivery,
        };
        let Some(Delivery { event, attempt }) = delivery else { return };
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use calmesh_calendar::PropertyId;

    use super::*;

    fn dirty(n: u8) -> Event {
        Event::PropertyDirty { property: PropertyId::from_random([n; 16]) }
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
        bus.publish(&vec![dirty(1); 20]).await.unwrap();
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
        bus.publish(&[dirty(1), dirty(1)]).await.unwrap();
        told.recv().await.unwrap();
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
