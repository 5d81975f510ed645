//! The one way in for every event, whoever delivers it: timer, button or push. A second run changes nothing.

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use bytes::Bytes;
use calmesh_calendar::{AccountId, ConnectionId, FeedReading, House, PropertyId, RefreshId};
use calmesh_ics::{Horizon, Limits, ReadContext, Refusal, read};
use calmesh_profiles::Profile;
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    App, ChangeError, Draft, EraseError,
    aside::{AsideError, aside, unreadable},
    check::refusal_of,
    fetch::{not_taken_in, refused},
    model::{Connection, FailureKind, FetchState, Outcome, PropertyState, Refresh, Snapshot, is_ahead},
    ports::{BusError, Event, FetchFailure, Mark, ObjectError, ParkedBody, StoreError},
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
    /// What it panicked with is in the log, if anywhere: it may quote.
    #[error("the work panicked")]
    Panicked,
    #[error("others took all threads on which bodies are read")]
    NoThread,
}

/// A reading is prepared anew so often when the property changes under it.
const PREPARATIONS: u32 = 8;

/// What was read longer ago than this is judged again, not for the first time.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(1);
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
    /// When a part of the world failed, or the work panicked, which is this event's alone; nothing that was acknowledged
    /// is lost, and the event may come again.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        guarded(self.work_on(event)).await
    }

    async fn work_on(&self, event: &Event) -> Result<(), WorkError> {
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

    /// Merges a reading: judge, reconcile, write what differs, make the exports follow.
    async fn feed_read(&self, read: Announced<'_>, refresh: Option<&RefreshId>) -> Result<(), WorkError> {
        // A reading of the future is of a clock that was ahead: the body is what it is, and was read by now.
        let now = self.clock.now();
        let read = if is_ahead(read.read_at, now) { Announced { read_at: now, ..read } } else { read };
        let Announced { property, connection, .. } = read;
        let (merged, state) = match guarded(self.merge(read)).await {
            Ok(merged) => merged,
            Err(error) => {
                if let Err(untold) = guarded(self.tell_not_taken_in(read, refresh, &error)).await {
                    let untold = &untold as &dyn std::error::Error;
                    tracing::warn!(connection.id = %connection, error = untold, "its health does not tell of it yet");
                }
                return Err(error);
            }
        };
        // Before the exports, which are no matter of this connection's health.
        self.tell_health(read, &merged).await?;
        // Also when nothing was taken in: this may be the second delivery, after a crash before the exports.
        match state {
            Some(state) => self.publish_known(state).await?,
            None => self.publish_property(property).await?,
        }
        if let Some(refresh) = refresh {
            let outcome = match merged {
                Merged::Taken(report) if report.changed_something() => Outcome::Changed {
                    blocks_added: report.added,
                    blocks_removed: report.removed,
                    blocks_held: report.held,
                },
                Merged::Taken(report) => Outcome::Unchanged { blocks_held: report.held },
                Merged::Refused(failure) => Outcome::Failed { reason: failure.kind.as_str().to_owned() },
                Merged::BodyGone => Outcome::Failed { reason: FailureKind::NotTakenIn.as_str().to_owned() },
                Merged::NothingToTakeIt => Outcome::Failed { reason: "paused".to_owned() },
            };
            self.refreshes.record_outcome(refresh, connection, &outcome).await?;
        }
        Ok(())
    }

    /// A reading that was taken in ends a failure; one that was refused is a failure of the feed.
    async fn tell_health(&self, read: Announced<'_>, merged: &Merged) -> Result<(), WorkError> {
        let failure = match merged {
            Merged::NothingToTakeIt => return Ok(()),
            Merged::Taken(_) => None,
            Merged::Refused(failure) => Some(failure.clone()),
            Merged::BodyGone => Some(not_taken_in()),
        };
        let Some(state) = self.state_of_plan(read).await? else { return Ok(()) };
        match failure {
            Some(failure) => self.take_failure(&state, failure, read.read_at).await,
            // The same reading that failed, or a later one, is taken in now; an earlier one says nothing of it.
            None => match &state.health.failure {
                Some(failure)
                    if failure.last_attempt_at <= read.read_at
                        || is_ahead(failure.last_attempt_at, self.clock.now()) =>
                {
                    self.take_recovery(&state, read.read_at).await
                }
                _ => Ok(()),
            },
        }
    }

    /// A reading that could not be taken in is a failure of its connection, told once for each reading. Who was
    /// overtaken by somebody else has not failed.
    async fn tell_not_taken_in(
        &self,
        read: Announced<'_>,
        refresh: Option<&RefreshId>,
        error: &WorkError,
    ) -> Result<(), WorkError> {
        if matches!(error, WorkError::Store(StoreError::Stale)) {
            return Ok(());
        }
        if let Some(state) = self.state_of_plan(read).await? {
            self.take_failure(&state, not_taken_in(), read.read_at).await?;
        }
        // Nobody waits ten minutes for what fails in the same way each time.
        if let (Some(refresh), WorkError::Panicked | WorkError::Store(StoreError::Corrupt { .. })) = (refresh, error) {
            let outcome = Outcome::Failed { reason: FailureKind::NotTakenIn.as_str().to_owned() };
            self.refreshes.record_outcome(refresh, read.connection, &outcome).await?;
        }
        Ok(())
    }

    /// What is known of the plan that a reading was read by, while that stands.
    async fn state_of_plan(&self, read: Announced<'_>) -> Result<Option<FetchState>, StoreError> {
        let mut states = self.fetches.fetch_states(std::slice::from_ref(read.connection)).await?;
        Ok(states.remove(read.connection).filter(|state| state.plan.since == read.plan_since))
    }

    /// Takes a reading in. Answers what became of it, and the property's state afterwards where it was seen.
    async fn merge(&self, read: Announced<'_>) -> Result<(Merged, Option<PropertyState>), WorkError> {
        let mut superseded = None;
        let (merged, state) = self.take_in(read, &mut superseded).await?;
        self.put_aside(read, superseded.as_ref(), state.as_ref()).await?;
        Ok((merged, state))
    }

    /// What is not the applied body expires: the one before it, and this one where nothing took it in, since it came too
    /// late, or to a connection that was paused or reads another URL by now.
    async fn put_aside(
        &self,
        read: Announced<'_>,
        superseded: Option<&Snapshot>,
        state: Option<&PropertyState>,
    ) -> Result<(), WorkError> {
        let Announced { account, property, connection, snapshot, .. } = read;
        let known = state.and_then(|state| Some((state, state.connection(connection)?)));
        let Some((state, known)) = known else { return self.forget_if_gone(account, property, connection).await };
        let applied = applied_snapshot(known);
        for old in superseded.into_iter().chain([snapshot]).filter(|old| applied != Some(*old)) {
            self.snapshots.supersede(account, connection, old).await?;
            self.keep_if_applied(state, connection, old).await?;
        }
        Ok(())
    }

    async fn take_in(
        &self,
        read: Announced<'_>,
        superseded: &mut Option<Snapshot>,
    ) -> Result<(Merged, Option<PropertyState>), WorkError> {
        let Announced { account, property, connection, snapshot, read_at, plan_since } = read;
        let is_plan = |known: &Connection| {
            known.account == *account
                && known.reads()
                && known.import.as_ref().is_some_and(|import| import.since == plan_since)
        };
        for _ in 0..PREPARATIONS {
            let state = self.properties.load(property).await?;
            let state = state.filter(|state| state.property.deleted_at.is_none());
            let Some(state) = state else { return Ok((Merged::NothingToTakeIt, None)) };
            let Some(known) = state.connection(connection).filter(|known| is_plan(known)) else {
                return Ok((Merged::NothingToTakeIt, Some(state)));
            };
            // Read before the decision, beside the threads that wait; anew should what it is read by change meanwhile.
            let (house, profile) = (state.house(), known.profile());
            // One that is judged again is judged by the present horizon.
            let now = self.clock.now();
            let is_old = now.duration_since(read_at) > REPEATED_AFTER;
            let horizon_at = if is_old { now } else { read_at };
            let turn = self.traffic.turn_with_kept().await;
            let parked = self.snapshots.parked(account, connection, snapshot).await?;
            let Some(ParkedBody { body, validators }) = parked else {
                drop(turn);
                return self.body_is_gone(read).await;
            };
            let reading = read_aside(body, house.clone(), profile, horizon_at).await;
            drop(turn);
            let reading = match reading {
                Ok(Ok(reading)) => reading,
                // The fetcher looked at its form; how often its events recur is known only now.
                Ok(Err(refusal)) => return Ok((Merged::Refused(refused(&refusal)), Some(state))),
                Err(AsideError::Full) => return Err(WorkError::NoThread),
                Err(error) => return Ok((Merged::Refused(unreadable(&error)), Some(state))),
            };
            let take = |draft: &mut Draft| {
                *superseded = draft.connection(connection).and_then(applied_snapshot).cloned();
                let Some(known) = draft.connection(connection).filter(|known| is_plan(known)) else {
                    return Ok(Merged::NothingToTakeIt);
                };
                if draft.state.house() != house || known.profile().quirks != profile.quirks {
                    return Err(Moved);
                }
                let url = known.import.as_ref().and_then(|import| import.url.to_url());
                let told = calmesh_profiles::detect(url.as_ref(), reading.prodid.as_deref());
                if self.settings.refused_providers.contains(told.id.as_str()) {
                    return Ok(Merged::Refused(refused_provider(told.id.as_str())));
                }
                learn_provider(draft, connection, told);
                let feed = AcceptedFeed { reading: &reading, snapshot, validators: &validators, read_at, horizon_at };
                let report = take_reading(draft, connection, feed, &mut self.ids_in(property));
                Ok(report.map_or(Merged::NothingToTakeIt, Merged::Taken))
            };
            let changed = match self.commit_change_of(property, Some(state), false, take).await {
                Ok(changed) => changed,
                Err(ChangeError::NotFound) => return Ok((Merged::NothingToTakeIt, None)),
                Err(ChangeError::Refused(Moved)) => continue,
                Err(ChangeError::Store(error)) => return Err(error.into()),
            };
            let merged = match changed.value {
                Merged::Taken(report) => Merged::Taken(report.with_gone_at_once(changed.passed_holds)),
                other => other,
            };
            return Ok((merged, Some(changed.state)));
        }
        Err(StoreError::Stale.into())
    }

    /// The body of an announced reading is lost. Where it is what stands, the connection counts as never read, so that
    /// the next sweep reads it anew; its blocks stay.
    async fn body_is_gone(&self, read: Announced<'_>) -> Result<(Merged, Option<PropertyState>), WorkError> {
        let Announced { property, connection, snapshot, .. } = read;
        let forget = |draft: &mut Draft| {
            let import = draft.connection_mut(connection).and_then(|known| known.import.as_mut());
            if let Some(import) =
                import.filter(|import| import.applied.as_ref().is_some_and(|a| a.snapshot == *snapshot))
            {
                import.applied = None;
            }
            Ok::<_, WorkError>(())
        };
        match self.commit_change(property, false, forget).await {
            Ok(changed) => {
                tracing::warn!(connection.id = %connection, "the body of a reading is gone; the next sweep reads it again");
                tracing::info!(target: "calmesh::metric", kept_bodies_lost = 1);
                Ok((Merged::BodyGone, Some(changed.state)))
            }
            Err(ChangeError::NotFound) => Ok((Merged::NothingToTakeIt, None)),
            Err(ChangeError::Refused(error)) => Err(error),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    /// Removes the bodies of a connection that is not there any more: whoever puts one does this afterwards, so that
    /// none stays behind a deletion that came in between.
    pub(crate) async fn forget_if_gone(
        &self,
        account: &AccountId,
        property: &PropertyId,
        connection: &ConnectionId,
    ) -> Result<(), WorkError> {
        // Most are there, which one small read tells.
        let states = self.fetches.fetch_states(std::slice::from_ref(connection)).await?;
        if states.contains_key(connection) {
            return Ok(());
        }
        let state = self.properties.load(property).await?;
        let imports = |state: &PropertyState| {
            state.connection(connection).is_some_and(|known| known.account == *account && known.import.is_some())
        };
        if !state.is_some_and(|state| imports(&state)) {
            self.snapshots.forget(account, connection).await?;
        }
        Ok(())
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
        // Whoever deletes the connection from now on finds the body where it lies.
        if head.is_some_and(|head| head.revision == known.property.revision) {
            return Ok(());
        }
        let account = &known.property.account;
        let state = self.properties.load(id).await?;
        let applied = state.as_ref().and_then(|state| applied_snapshot(state.connection(connection)?));
        let _turn = self.traffic.turn_with_kept().await;
        if applied == Some(snapshot)
            && let Some(body) = self.snapshots.parked(account, connection, snapshot).await?
        {
            self.snapshots.park(account, connection, snapshot, &body).await?;
        }
        self.forget_if_gone(account, id, connection).await
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
    /// Nobody has its body any more.
    BodyGone,
    /// The connection is gone, paused, or reads another URL by now.
    NothingToTakeIt,
}

fn applied_snapshot(connection: &Connection) -> Option<&Snapshot> {
    Some(&connection.applied()?.snapshot)
}

/// What a body was read by has changed since.
#[derive(Debug, Clone, Copy)]
struct Moved;

/// Does work of which a panic is an error.
async fn guarded<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, WorkError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(WorkError::Panicked))
}

/// Reads a body as [`read_body`] does, on a thread of its own.
pub(crate) async fn read_aside(
    body: Bytes,
    house: House,
    profile: &'static Profile,
    now: Timestamp,
) -> Result<Result<FeedReading, Refusal>, AsideError> {
    aside(move || read_body(&body, &house, profile, now)).await
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
