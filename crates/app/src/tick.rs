//! What the timer does every minute: announces the sweeps that are due, and what was left undone or has come to its time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    locks::lock,
    model::Refresh,
    ports::{Event, EventBus, FetchStore, Mark, MarkStore, RefreshStore, StoreError},
    schedule::{BUCKETS, due_shards, first_second_to_announce},
    settings::Settings,
    trouble::{WorkError, guarded},
    wiring::Common,
};

/// Marks are taken in pages of this size.
const MARKS_PER_TICK: u16 = 500;
/// A tick begins no further page after this long; the next one goes on.
const TICK_BUDGET: std::time::Duration = std::time::Duration::from_secs(30);
/// So many marks are moved at the same time.
const POSTPONED_AT_ONCE: usize = 16;

/// Announces what is due. It reads marks and changes nothing of any property.
#[derive(Clone)]
pub struct Tick {
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) marks: Arc<dyn MarkStore>,
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) last_step: Arc<Mutex<Option<i64>>>,
}

impl Tick {
    #[must_use]
    pub fn new(common: &Common) -> Self {
        Self {
            fetches: common.fetches.clone(),
            marks: common.marks.clone(),
            refreshes: common.refreshes.clone(),
            bus: common.bus.clone(),
            settings: common.settings.clone(),
            last_step: Arc::default(),
        }
    }
}

impl Tick {
    /// Announces the runs of buckets that are due at `now`: the shards are spread evenly over the period, so that
    /// the load on every provider is level. Looked at in steps of `tick`, which may come late within its step; steps
    /// that were missed, by this process or any before it, are made up for, as far as a period goes back.
    ///
    /// # Errors
    /// When the bus did not take all of them; the next period reads what this one missed.
    pub async fn announce_shards(&self, now: Timestamp, tick: SignedDuration) -> Result<u32, WorkError> {
        let period = self.settings.sweep_period.as_secs().max(1);
        let shards = self.settings.shards.max(1);
        let tick = tick.as_secs().max(1);
        let step = now.as_second().div_euclid(tick) * tick;
        let known = match self.fetches.last_step().await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "it can't be read which sweeps were announced"
                );
                None
            }
        };
        // One of the future was written by a clock that was ahead.
        let known = known.into_iter().chain(*lock(&self.last_step)).filter(|last| *last <= step).max();
        let from = first_second_to_announce(known, step, tick, period);
        let buckets = BUCKETS / shards;
        let events: Vec<Event> = due_shards(from, step + tick, period, shards)
            .into_iter()
            .map(|(shard, number)| {
                let first = shard.saturating_mul(buckets);
                Event::SweepDue { first_bucket: first, last_bucket: first.saturating_add(buckets - 1), number }
            })
            .collect();
        if !events.is_empty() {
            self.bus.publish(&events).await?;
        }
        *lock(&self.last_step) = Some(step);
        // The sweeps are announced: that this can't be written makes at most a later step announce some once more.
        if let Err(error) = self.fetches.record_step(step).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "it can't be written which sweeps were announced");
        }
        Ok(u32::try_from(events.len()).unwrap_or(u32::MAX))
    }

    /// Announces what was left undone and what has come to its time.
    ///
    /// # Errors
    /// When the store or the bus can't be reached.
    pub async fn announce_marks(&self, now: Timestamp) -> Result<u32, WorkError> {
        guarded(self.announce_due(now)).await
    }

    async fn announce_due(&self, now: Timestamp) -> Result<u32, WorkError> {
        let started = tokio::time::Instant::now();
        let mut announced = BTreeSet::new();
        loop {
            let mut due = self.marks.due(now, MARKS_PER_TICK).await?;
            let page = due.len();
            // The index follows its table a moment later: what was announced may still be listed.
            due.retain(|mark| announced.insert(mark.clone()));
            self.announce(&due, now).await?;
            if page < usize::from(MARKS_PER_TICK) || due.is_empty() || started.elapsed() > TICK_BUDGET {
                return Ok(u32::try_from(announced.len()).unwrap_or(u32::MAX));
            }
        }
    }

    /// Announces everything whose exports have not followed yet and every erasure that has not come to its end, due
    /// or not: what a start finishes first.
    ///
    /// # Errors
    /// When the store or the bus can't be reached.
    pub async fn announce_unfinished(&self, now: Timestamp) -> Result<u32, WorkError> {
        let dirty = self.marks.dirty(MARKS_PER_TICK).await?;
        self.announce(&dirty, now).await
    }

    /// What announces a mark; none where what it marks is forgotten by now.
    ///
    /// # Errors
    /// The store's.
    pub async fn event_of(&self, mark: &Mark) -> Result<Option<Event>, StoreError> {
        Ok(Some(match mark {
            Mark::Property { id } => Event::PropertyDirty { property: id.clone() },
            Mark::Link { id } => Event::LinkDirty { link: id.clone() },
            Mark::Account { id } => Event::AccountDeleted { account: id.clone() },
            Mark::Refresh { id } => {
                let Some(Refresh { account, .. }) = self.refreshes.refresh(id).await? else { return Ok(None) };
                Event::RefreshRequested { account, refresh: id.clone(), after: None, rest: false }
            }
        }))
    }

    async fn announce(&self, marks: &[Mark], now: Timestamp) -> Result<u32, WorkError> {
        // One that can't be read holds up no other; it is postponed with the rest, ever longer.
        let events = stream::iter(marks.to_vec()).map(|mark| async move {
            self.event_of(&mark).await.unwrap_or_else(|error| {
                tracing::error!(mark = ?mark, error = &error as &dyn std::error::Error, "a mark can't be announced");
                None
            })
        });
        let events: Vec<Event> =
            events.buffered(POSTPONED_AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten().collect();
        if !events.is_empty() {
            self.bus.publish(&events).await?;
        }
        let postponed = marks.iter().map(|mark| async move {
            // One that can't be moved is announced again by the next tick, and holds up no other.
            if let Err(error) = guarded(async { Ok(self.marks.postpone(mark, now).await?) }).await {
                tracing::error!(mark = ?mark, error = &error as &dyn std::error::Error, "a mark can't be moved");
            }
        });
        stream::iter(postponed.collect::<Vec<_>>()).buffer_unordered(POSTPONED_AT_ONCE).collect::<Vec<()>>().await;
        Ok(u32::try_from(events.len()).unwrap_or(u32::MAX))
    }
}
