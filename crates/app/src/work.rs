//! The one way in for every event, whoever delivers it: timer, button or push. A second run changes nothing.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, ConnectionId, FeedReading, House, PropertyId, RefreshId};
use calmesh_ics::{Horizon, Limits, ReadContext, Refusal, read};
use calmesh_profiles::Profile;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    App, ChangeError, Draft, EraseError,
    check::refusal_of,
    fetch::refused,
    model::{Connection, FailureKind, Outcome, PropertyState, Refresh, Snapshot},
    ports::{BusError, Event, FetchFailure, Mark, ObjectError, StoreError},
    reading::{AcceptedFeed, ReadingReport, take_reading},
};

/// Why an event was not worked through. It is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("the store did not do its part")]
    Store(#[from] StoreError),
    #[error("the objects could not be read or put")]
    Objects(#[from] ObjectError),
    #[error("an event could not be announced")]
    Bus(#[from] BusError),
}

/// Marks are taken in pages of this size.
const MARKS_PER_TICK: u16 = 500;
/// A tick begins no further page after this long; the next one goes on.
const TICK_BUDGET: std::time::Duration = std::time::Duration::from_secs(30);
/// So many marks are moved at the same time.
const POSTPONED_AT_ONCE: usize = 16;

impl App {
    /// Works on one event. It may come twice, late, or out of order.
    ///
    /// # Errors
    /// When a part of the world failed; nothing that was acknowledged is lost, and the event may come again.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        match event {
            Event::SweepDue { first_bucket, last_bucket, number } => {
                self.sweep(*first_bucket, *last_bucket, *number).await
            }
            Event::RefreshRequested { refresh, after, rest, .. } => {
                self.refresh_requested(refresh, after.as_deref(), *rest).await
            }
            Event::FeedRead { account, property, connection, snapshot, read_at, plan_since, refresh } => {
                let (read_at, plan_since) = (*read_at, *plan_since);
                let read = Announced { account, property, connection, snapshot, read_at, plan_since };
                self.feed_read(read, refresh.as_ref()).await
            }
            Event::PropertyDirty { property } => self.publish_property(property).await,
            Event::LinkDirty { link } => self.publish_link(link).await,
            Event::AccountDeleted { account } => match self.erase_account(account).await {
                // Nobody asked for it, or it was taken back: an event is no reason to delete.
                Ok(()) | Err(EraseError::NotDeleted) => Ok(()),
                Err(EraseError::Work(error)) => Err(error),
                Err(EraseError::Object(error)) => Err(error.into()),
                Err(EraseError::Store(error)) => Err(error.into()),
            },
            Event::PropertyChanged { .. } | Event::ConflictOpened { .. } => Ok(()),
        }
    }

    /// Announces what was left undone and what has come to its time.
    ///
    /// # Errors
    /// When the store or the bus can't be reached.
    pub async fn announce_marks(&self, now: Timestamp) -> Result<u32, WorkError> {
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
        let events = stream::iter(marks.to_vec()).map(|mark| async move { self.event_of(&mark).await });
        let events: Vec<Option<Event>> = events.buffered(POSTPONED_AT_ONCE).try_collect().await?;
        let events: Vec<Event> = events.into_iter().flatten().collect();
        if !events.is_empty() {
            self.bus.publish(&events).await?;
        }
        let postponed: Vec<_> = marks.iter().map(|mark| self.marks.postpone(mark, now)).collect();
        stream::iter(postponed).buffer_unordered(POSTPONED_AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(u32::try_from(events.len()).unwrap_or(u32::MAX))
    }

    /// Merges a reading: judge, reconcile, write what differs, make the exports follow.
    async fn feed_read(&self, read: Announced<'_>, refresh: Option<&RefreshId>) -> Result<(), WorkError> {
        let Announced { property, connection, read_at, .. } = read;
        let (merged, state) = self.merge(read).await?;
        // Also when nothing was taken in: this may be the second delivery, after a crash before the exports.
        match state {
            Some(state) => self.publish_known(state).await?,
            None => self.publish_property(property).await?,
        }
        self.tell_health(connection, &merged, read_at).await?;
        if let Some(refresh) = refresh {
            let outcome = match merged {
                Merged::Taken(report) if report.changed_something() => Outcome::Changed {
                    blocks_added: report.added,
                    blocks_removed: report.removed,
                    blocks_held: report.held,
                },
                Merged::Taken(report) => Outcome::Unchanged { blocks_held: report.held },
                Merged::Refused(failure) => Outcome::Failed { reason: failure.kind.as_str().to_owned() },
                Merged::NothingToTakeIt => Outcome::Failed { reason: "paused".to_owned() },
            };
            self.refreshes.record_outcome(refresh, connection, &outcome).await?;
        }
        Ok(())
    }

    /// A reading that was taken in ends a failure; one that was refused is a failure of the feed.
    async fn tell_health(
        &self,
        connection: &ConnectionId,
        merged: &Merged,
        read_at: Timestamp,
    ) -> Result<(), WorkError> {
        if matches!(merged, Merged::NothingToTakeIt) {
            return Ok(());
        }
        let states = self.fetches.fetch_states(std::slice::from_ref(connection)).await?;
        let Some(state) = states.get(connection) else { return Ok(()) };
        match merged {
            Merged::Refused(failure) => self.take_failure(state, failure.clone(), read_at).await,
            // A body that was kept and is read anew says nothing of what failed since.
            _ if state.health.failure.as_ref().is_some_and(|failure| failure.last_attempt_at < read_at) => {
                self.take_recovery(state, read_at).await
            }
            _ => Ok(()),
        }
    }

    /// Takes a reading in. Answers what became of it, and the property's state afterwards where it was seen.
    async fn merge(&self, read: Announced<'_>) -> Result<(Merged, Option<PropertyState>), WorkError> {
        let Announced { account, property, connection, snapshot, read_at, plan_since } = read;
        let Some(body) = self.snapshots.parked(account, connection, snapshot).await? else {
            tracing::info!(connection.id = %connection, "an announced snapshot is gone; the next sweep reads it again");
            return Ok((Merged::NothingToTakeIt, None));
        };
        let mut superseded = None;
        let take = |draft: &mut Draft| {
            superseded = draft.connection(connection).and_then(applied_snapshot).cloned();
            let is_plan = |known: &Connection| {
                known.account == *account && known.import.as_ref().is_some_and(|import| import.since == plan_since)
            };
            let Some(known) = draft.connection(connection).filter(|known| known.reads() && is_plan(known)) else {
                return Ok::<_, WorkError>(Merged::NothingToTakeIt);
            };
            let reading = match read_body(&body.body, &draft.state.house(), known.profile(), read_at) {
                Ok(reading) => reading,
                // The fetcher looked at its form; how often its events recur is known only now.
                Err(refusal) => return Ok(Merged::Refused(refused(&refusal))),
            };
            let url = known.import.as_ref().and_then(|import| import.url.to_url());
            let told = calmesh_profiles::detect(url.as_ref(), reading.prodid.as_deref());
            if self.settings.refused_providers.contains(told.id.as_str()) {
                return Ok(Merged::Refused(refused_provider(told.id.as_str())));
            }
            learn_provider(draft, connection, told);
            let feed = AcceptedFeed {
                reading: &reading,
                snapshot,
                validators: &body.validators,
                read_at,
                horizon_at: read_at,
            };
            let report = take_reading(draft, connection, feed, &mut || self.randomness.id());
            Ok(report.map_or(Merged::NothingToTakeIt, Merged::Taken))
        };
        let changed = match self.commit_change(property, false, take).await {
            Ok(changed) => changed,
            Err(ChangeError::NotFound) => return Ok((Merged::NothingToTakeIt, None)),
            Err(ChangeError::Refused(error)) => return Err(error),
            Err(ChangeError::Store(error)) => return Err(error.into()),
        };
        // What is not the applied body expires: the one before it, or this one where it came too late.
        let applied = changed.state.connection(connection).and_then(applied_snapshot);
        for old in superseded.iter().chain([snapshot]).filter(|old| applied != Some(*old)) {
            self.snapshots.supersede(account, connection, old).await?;
            self.keep_if_applied(&changed.state, connection, old).await?;
        }
        Ok((changed.value, Some(changed.state)))
    }
}

impl App {
    /// Puts a body back that another worker took in again, after `known`, while this one was putting it aside.
    async fn keep_if_applied(
        &self,
        known: &PropertyState,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<(), WorkError> {
        let id = &known.property.id;
        let head = self.properties.property(id).await?;
        if head.is_none_or(|head| head.revision == known.property.revision) {
            return Ok(());
        }
        let Some(state) = self.properties.load(id).await? else { return Ok(()) };
        let applied = state.connection(connection).and_then(applied_snapshot);
        if applied == Some(snapshot) {
            let account = &state.property.account;
            if let Some(body) = self.snapshots.parked(account, connection, snapshot).await? {
                self.snapshots.park(account, connection, snapshot, &body).await?;
            }
        }
        Ok(())
    }
}

/// A reading that the fetcher announced.
#[derive(Debug, Clone, Copy)]
struct Announced<'a> {
    account: &'a AccountId,
    property: &'a PropertyId,
    connection: &'a ConnectionId,
    snapshot: &'a Snapshot,
    read_at: Timestamp,
    plan_since: Timestamp,
}

/// A connection that was made without looking at its feed learns from the first reading whose feed it is.
fn learn_provider(draft: &mut Draft, connection: &ConnectionId, told: &Profile) {
    let generic = calmesh_profiles::generic().id;
    let Some(known) = draft.connection_mut(connection) else { return };
    if known.provider == generic.as_str() && told.id != generic && applied_snapshot(known).is_none() {
        known.provider = told.id.as_str().to_owned();
        known.version += 1;
    }
}

/// A feed that turns out to be of a provider that this deployment refuses over iCalendar.
fn refused_provider(provider: &str) -> FetchFailure {
    FetchFailure { kind: FailureKind::LinkRefused, detail: refusal_of(provider), retry_after: None, host: None }
}

/// What became of an announced reading.
#[derive(Debug)]
enum Merged {
    Taken(ReadingReport),
    Refused(FetchFailure),
    /// The connection is gone, paused, or reads another URL by now.
    NothingToTakeIt,
}

fn applied_snapshot(connection: &Connection) -> Option<&Snapshot> {
    Some(&connection.applied()?.snapshot)
}

/// Reads a body for a house, by the quirks of its provider.
///
/// # Errors
/// What `calmesh_ics::read` refuses.
pub fn read_body(body: &[u8], house: &House, profile: &Profile, now: Timestamp) -> Result<FeedReading, Refusal> {
    let context = ReadContext {
        zone: house.zone(),
        horizon: Horizon::around(now),
        limits: Limits::default(),
        end_is_last_night: profile.quirks.end_is_last_night,
    };
    read(body, &context)
}
