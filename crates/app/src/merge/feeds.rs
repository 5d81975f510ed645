//! Readings taken into the property that they are of: judged, reconciled, written as one change; then the exports follow.

use std::{collections::BTreeMap, slice};

use calmesh_calendar::{AccountId, ConnectionId, FeedReading, House, PropertyId};
use calmesh_profiles::{Profile, ProviderId};
use jiff::{SignedDuration, Timestamp};

use crate::{
    changes::{ChangeError, Decided, draft::Draft},
    health::not_taken_in,
    merge::Merge,
    model::{Connection, FailureKind, FetchState, Outcome, PropertyState, RefreshPart, Snapshot, is_ahead},
    ports::{FetchFailure, ParkedBody, ReadFeed, SmallBody, StoreError, WaitingBody, WaitingFeed},
    provider_words::refusal_of,
    readings::{
        aside::{AsideError, unreadable},
        body::{read_aside, refused},
        take::{AcceptedFeed, ReadingReport, take_reading},
    },
    trouble::{WorkError, guarded},
};

/// Readings are prepared anew so often when the property changes under them.
const PREPARATIONS: u32 = 8;
/// What was read longer ago than this is judged again, not for the first time.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Whose feeds were read.
#[derive(Debug, Clone, Copy)]
struct Of<'a> {
    account: &'a AccountId,
    property: &'a PropertyId,
}

/// What became of an announced reading.
#[derive(Debug, Clone)]
enum Merged {
    Taken(ReadingReport),
    Refused(FetchFailure),
    /// Nobody has its body any more.
    BodyGone,
    /// The connection is gone, paused, or reads another URL by now.
    NothingToTakeIt,
}

/// What became of readings, each in its place, and the property's state afterwards where it was seen.
struct Settled {
    /// What was taken in: a later reading of the same feed, where one waited.
    readings: Vec<ReadFeed>,
    merged: Vec<Merged>,
    /// The bodies among the objects that were applied before, as far as others took their place.
    superseded: Vec<Option<Snapshot>>,
    /// What was known of the plans that they were read by.
    states: Vec<Option<FetchState>>,
    state: Option<PropertyState>,
    /// The bodies that were put aside since.
    aside: Vec<(ConnectionId, Snapshot)>,
}

/// A reading on its way into a change.
enum Prepared {
    /// No decision is needed.
    Settled(Merged),
    BodyGone,
    Read(Box<Understood>),
}

/// A body that was read.
struct Understood {
    reading: FeedReading,
    parked: ParkedBody,
    horizon_at: Timestamp,
    profile: &'static Profile,
    /// Where it waited with its plan: when it was read, as it is written there.
    waited: Option<Timestamp>,
}

/// What waits of each feed.
type Waiting = BTreeMap<ConnectionId, WaitingFeed>;

/// What a body was read by has changed since.
#[derive(Debug, Clone, Copy)]
struct Moved;

impl Merge {
    /// Merges readings of one property: judge, reconcile, write what differs, make the exports follow. All of them are one
    /// change, and the links are put once. Where that fails, each is taken in by itself, so that one that can't be keeps
    /// none of the others out.
    pub(crate) async fn feeds_read(
        &self,
        account: &AccountId,
        property: &PropertyId,
        readings: &[ReadFeed],
        refresh: Option<&RefreshPart>,
    ) -> Result<(), WorkError> {
        let readings: Vec<ReadFeed> =
            readings.iter().map(|read| ReadFeed { read_at: self.by_now(read.read_at), ..read.clone() }).collect();
        let of = Of { account, property };
        self.take_in_with_all(of, &readings, refresh).await
    }

    /// A reading of the future is of a clock that was ahead: the body is what it is, and was read by now.
    fn by_now(&self, read_at: Timestamp) -> Timestamp {
        let now = self.clock.now();
        if is_ahead(read_at, now) { now } else { read_at }
    }

    /// Takes readings in with all that follows, or else tells of it.
    async fn take_in_with_all(
        &self,
        of: Of<'_>,
        readings: &[ReadFeed],
        refresh: Option<&RefreshPart>,
    ) -> Result<(), WorkError> {
        let error = match guarded(self.merge(of, readings)).await {
            Ok(settled) => return self.follow(of, settled, refresh).await,
            Err(error) => error,
        };
        if readings.len() > 1 && !is_overtaken(&error) {
            let mut trouble = None;
            for read in readings {
                let done = Box::pin(self.take_in_with_all(of, slice::from_ref(read), refresh)).await;
                trouble = trouble.or(done.err());
            }
            return trouble.map_or(Ok(()), Err);
        }
        self.tell_not_taken_in(readings, refresh, &error).await;
        Err(error)
    }

    /// What follows when readings were taken in: health, exports, outcomes.
    async fn follow(&self, of: Of<'_>, settled: Settled, refresh: Option<&RefreshPart>) -> Result<(), WorkError> {
        let Settled { readings, merged, state, aside, states, .. } = settled;
        // Before the exports, which are no matter of these connections' health.
        self.tell_health(&readings, &merged, states).await?;
        // Also when nothing was taken in: this may be the second delivery, after a crash before the exports.
        match state {
            Some(state) => {
                let revision = state.property.revision;
                let published = self.publish.publish_known(state).await;
                // It read the head after these bodies were put aside: whoever deletes a connection from then on finds them
                // where they lie.
                let stands = matches!(&published, Ok(Some(state)) if state.property.revision == revision);
                if !aside.is_empty() && !stands {
                    self.keep_what_is_applied(of, &aside).await?;
                }
                published?;
            }
            None => self.publish.publish_property(of.property).await?,
        }
        let Some(refresh) = refresh else { return Ok(()) };
        let outcomes: Vec<_> =
            readings.iter().map(|read| read.connection.clone()).zip(merged.into_iter().map(outcome_of)).collect();
        Ok(self.refreshes.record_outcomes(refresh, &outcomes).await?)
    }

    /// A reading that was taken in ends a failure; one that was refused is a failure of the feed.
    async fn tell_health(
        &self,
        readings: &[ReadFeed],
        merged: &[Merged],
        states: Vec<Option<FetchState>>,
    ) -> Result<(), WorkError> {
        for ((read, merged), state) in readings.iter().zip(merged).zip(states) {
            let Some(state) = state else { continue };
            match merged {
                Merged::NothingToTakeIt => {}
                Merged::Refused(failure) => self.failures.take_failure(&state, failure.clone(), read.read_at).await?,
                Merged::BodyGone => self.failures.take_failure(&state, not_taken_in(), read.read_at).await?,
                // The same reading that failed, or a later one, is taken in now; an earlier one says nothing of it.
                Merged::Taken(_) => {
                    let ends = |at| at <= read.read_at || is_ahead(at, self.clock.now());
                    if state.health.failure.as_ref().is_some_and(|failure| ends(failure.last_attempt_at)) {
                        self.failures.take_recovery(&state, read.read_at).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Readings that could not be taken in are failures of their connections, told once for each. Who was overtaken by
    /// somebody else has not failed.
    async fn tell_not_taken_in(&self, readings: &[ReadFeed], refresh: Option<&RefreshPart>, error: &WorkError) {
        if is_overtaken(error) {
            return;
        }
        let told = async {
            let states = self.fetches.fetch_states(&ids_of(readings)).await?;
            for (read, state) in readings.iter().zip(states_of_plans(readings, states)) {
                if let Some(state) = state {
                    self.failures.take_failure(&state, not_taken_in(), read.read_at).await?;
                }
                // Nobody waits ten minutes for what fails in the same way each time.
                if let (Some(refresh), WorkError::Panicked | WorkError::Store(StoreError::Corrupt { .. })) =
                    (refresh, error)
                {
                    let outcome = Outcome::Failed { reason: FailureKind::NotTakenIn.as_str().to_owned() };
                    self.refreshes.record_outcomes(refresh, &[(read.connection.clone(), outcome)]).await?;
                }
            }
            Ok(())
        };
        if let Err(untold) = guarded(told).await {
            let untold = &untold as &dyn std::error::Error;
            tracing::warn!(connections = ?ids_of(readings), error = untold, "their health does not tell of it yet");
        }
    }

    /// Takes readings in, and puts aside the bodies that are not applied then.
    async fn merge(&self, of: Of<'_>, readings: &[ReadFeed]) -> Result<Settled, WorkError> {
        let settled = self.take_in(of, readings).await?;
        let aside = self.put_aside(of, readings, &settled).await?;
        Ok(Settled { aside, ..settled })
    }

    async fn take_in(&self, of: Of<'_>, readings: &[ReadFeed]) -> Result<Settled, WorkError> {
        for _ in 0..PREPARATIONS {
            // Before the state: what waits no more by then was taken in, which the state tells.
            let waiting = self.fetches.waiting(&ids_of(readings)).await?;
            let state = self.properties.load(of.property).await?;
            let Some(state) = state.filter(|state| state.property.deleted_at.is_none()) else {
                return Ok(Settled::nothing(readings.to_vec()));
            };
            let readings: Vec<ReadFeed> = readings.iter().map(|read| self.latest(read, &waiting)).collect();
            let mut prepared = Vec::with_capacity(readings.len());
            for read in &readings {
                prepared.push(self.prepare_reading(of, read, &state, waiting.get(&read.connection)).await?);
            }
            let states = states_of_plans(&readings, waiting.into_iter().map(|(id, feed)| (id, feed.state)).collect());
            let none = || Settled { states: states.clone(), ..Settled::nothing(readings.clone()) };
            if let Some(merged) = prepared.iter().map(Prepared::settled).collect() {
                return Ok(Settled { merged, state: Some(state), ..none() });
            }
            let house = state.house();
            let mut superseded = vec![None; readings.len()];
            let decisions = readings.iter().zip(&prepared).zip(&mut superseded);
            let decisions: Vec<_> = decisions
                .map(|((read, prepared), superseded)| {
                    let mut is_again = false;
                    let house = &house;
                    move |draft: &mut Draft| {
                        // Somebody else was first: perhaps with a later reading, whose body took the place of this one's.
                        if std::mem::replace(&mut is_again, true) {
                            return Err(Moved);
                        }
                        *superseded = draft.connection(&read.connection).and_then(Connection::parked).cloned();
                        self.decide(of, read, prepared, house, draft)
                    }
                })
                .collect();
            let changed = match self.changes.commit_each(of.property, Some(state), false, decisions).await {
                Ok(changed) => changed,
                Err(ChangeError::NotFound) => return Ok(none()),
                Err(ChangeError::Refused(Moved)) => continue,
                Err(ChangeError::Store(error)) => return Err(error.into()),
            };
            let merged: Vec<Merged> = changed.value.into_iter().map(Merged::of).collect();
            tell_of_lost_bodies(&readings, &merged);
            return Ok(Settled { merged, superseded, state: Some(changed.state), ..none() });
        }
        Err(StoreError::Stale.into())
    }

    /// A later reading of the same feed that waits is taken in in the place of this one.
    fn latest(&self, read: &ReadFeed, waiting: &Waiting) -> ReadFeed {
        let later = || {
            let WaitingFeed { state, body } = waiting.get(&read.connection)?;
            let read_at = self.by_now(state.health.announced?.read_at);
            let waits = state.plan.since == read.plan_since && read_at > read.read_at;
            let snapshot = body.as_ref().filter(|_| waits)?.snapshot().clone();
            Some(ReadFeed { snapshot, read_at, ..read.clone() })
        };
        later().unwrap_or_else(|| read.clone())
    }

    /// Reads a body before the decision, beside the threads that wait; anew should what it is read by change meanwhile.
    async fn prepare_reading(
        &self,
        of: Of<'_>,
        read: &ReadFeed,
        state: &PropertyState,
        waiting: Option<&WaitingFeed>,
    ) -> Result<Prepared, WorkError> {
        let Some(known) = state.connection(&read.connection).filter(|known| is_read_by_plan(known, of, read)) else {
            return Ok(Prepared::Settled(Merged::NothingToTakeIt));
        };
        let profile = known.profile();
        // One that is judged again is judged by the present horizon.
        let now = self.clock.now();
        let is_old = now.duration_since(read.read_at) > REPEATED_AFTER;
        let horizon_at = if is_old { now } else { read.read_at };
        let _turn = self.traffic.turn_with_kept().await;
        let waits = waiting.and_then(|feed| feed.body.as_ref()).filter(|body| *body.snapshot() == read.snapshot);
        let waited = waits.and(waiting).and_then(|feed| Some(feed.state.health.announced?.read_at));
        let Some(parked) = self.body_of(of, read, known, waits).await? else {
            // A later one took its place and was taken in.
            let is_overtaken = known.applied().is_some_and(|applied| applied.read_at > read.read_at);
            let taken = Prepared::Settled(Merged::Taken(ReadingReport::default()));
            return Ok(if is_overtaken { taken } else { Prepared::BodyGone });
        };
        match read_aside(parked.body.clone(), state.house(), profile, horizon_at).await {
            Ok(Ok(reading)) => {
                Ok(Prepared::Read(Box::new(Understood { reading, parked, horizon_at, profile, waited })))
            }
            // The fetcher looked at its form; how often its events recur is known only now.
            Ok(Err(refusal)) => Ok(Prepared::Settled(Merged::Refused(refused(&refusal)))),
            Err(AsideError::Full) => Err(WorkError::NoThread),
            Err(error) => Ok(Prepared::Settled(Merged::Refused(unreadable(&error)))),
        }
    }

    /// The body of a reading: where it waits, or, of a feed that says what is known, where that is kept.
    async fn body_of(
        &self,
        of: Of<'_>,
        read: &ReadFeed,
        known: &Connection,
        waits: Option<&WaitingBody>,
    ) -> Result<Option<ParkedBody>, WorkError> {
        if let Some(WaitingBody::Small(small)) = waits {
            return Ok(Some(small.parked.clone()));
        }
        if waits.is_none() && known.applied().is_some_and(|applied| applied.small && applied.snapshot == read.snapshot)
        {
            return Ok(self.properties.kept_body(&read.connection, &read.snapshot).await?);
        }
        Ok(self.snapshots.parked(of.account, &read.connection, &read.snapshot).await?)
    }

    fn decide(
        &self,
        of: Of<'_>,
        read: &ReadFeed,
        prepared: &Prepared,
        house: &House,
        draft: &mut Draft,
    ) -> Result<Merged, Moved> {
        let connection = &read.connection;
        let understood = match prepared {
            Prepared::Settled(merged) => return Ok(merged.clone()),
            Prepared::BodyGone => {
                forget_applied(draft, read);
                return Ok(Merged::BodyGone);
            }
            Prepared::Read(understood) => understood,
        };
        let Understood { reading, parked, horizon_at, profile, waited } = &**understood;
        let Some(known) = draft.connection(connection).filter(|known| is_read_by_plan(known, of, read)) else {
            return Ok(Merged::NothingToTakeIt);
        };
        if draft.state.house() != *house || known.profile().quirks != profile.quirks {
            return Err(Moved);
        }
        let url = known.import.as_ref().and_then(|import| import.url.to_url());
        let told = calmesh_profiles::detect(url.as_ref(), reading.prodid.as_deref());
        if self.settings.refused_providers.contains(&told.id) {
            return Ok(Merged::Refused(refused_provider(told.id)));
        }
        learn_provider(draft, connection, told);
        let feed = AcceptedFeed {
            reading,
            snapshot: &read.snapshot,
            validators: &parked.validators,
            read_at: read.read_at,
            horizon_at: *horizon_at,
            body: Some(&parked.body),
            small: SmallBody::is(&parked.body),
            waited: *waited,
        };
        let report = take_reading(draft, connection, feed, &mut self.randomness.ids_in(of.property));
        Ok(report.map_or(Merged::NothingToTakeIt, Merged::Taken))
    }

    /// What is not an applied body expires, where it lies among the objects: the one before it, and a read one where nothing
    /// took it in, since it came too late, or to a connection that was paused or reads another URL by now.
    async fn put_aside(
        &self,
        of: Of<'_>,
        readings: &[ReadFeed],
        settled: &Settled,
    ) -> Result<Vec<(ConnectionId, Snapshot)>, WorkError> {
        let mut aside = Vec::new();
        for (read, superseded) in readings.iter().zip(&settled.superseded) {
            let known = settled.state.as_ref().and_then(|state| state.connection(&read.connection));
            let Some(known) = known else {
                self.bodies.forget_if_gone(of.account, of.property, &read.connection).await?;
                continue;
            };
            let applied = applied_snapshot(known);
            for old in superseded.iter().chain([&read.snapshot]).filter(|old| applied != Some(*old)) {
                self.snapshots.supersede(of.account, &read.connection, old).await?;
                aside.push((read.connection.clone(), old.clone()));
            }
        }
        Ok(aside)
    }

    /// Puts bodies back that another worker took in again while this one was putting them aside.
    async fn keep_what_is_applied(&self, of: Of<'_>, aside: &[(ConnectionId, Snapshot)]) -> Result<(), WorkError> {
        let state = self.properties.load(of.property).await?;
        for (connection, snapshot) in aside {
            let applied = state.as_ref().and_then(|state| applied_snapshot(state.connection(connection)?));
            let _turn = self.traffic.turn_with_kept().await;
            if applied == Some(snapshot)
                && let Some(body) = self.snapshots.parked(of.account, connection, snapshot).await?
            {
                self.snapshots.park(of.account, connection, snapshot, &body).await?;
            }
            self.bodies.forget_if_gone(of.account, of.property, connection).await?;
        }
        Ok(())
    }
}

impl Prepared {
    /// What became of it, where no decision is needed.
    fn settled(&self) -> Option<Merged> {
        match self {
            Self::Settled(merged) => Some(merged.clone()),
            Self::BodyGone | Self::Read(_) => None,
        }
    }
}

impl Merged {
    fn of(decided: Decided<Self>) -> Self {
        match decided.value {
            Self::Taken(report) => Self::Taken(report.with_gone_at_once(decided.passed_holds)),
            other => other,
        }
    }
}

impl Settled {
    /// What became of readings of what is not there.
    fn nothing(readings: Vec<ReadFeed>) -> Self {
        let count = readings.len();
        let (superseded, states) = (vec![None; count], vec![None; count]);
        let merged = vec![Merged::NothingToTakeIt; count];
        Self { readings, merged, superseded, states, state: None, aside: Vec::new() }
    }
}

/// What is known of the plans that these readings were read by, while those stand.
fn states_of_plans(readings: &[ReadFeed], mut states: BTreeMap<ConnectionId, FetchState>) -> Vec<Option<FetchState>> {
    let state = |read: &ReadFeed| states.remove(&read.connection).filter(|state| state.plan.since == read.plan_since);
    readings.iter().map(state).collect()
}

fn ids_of(readings: &[ReadFeed]) -> Vec<ConnectionId> {
    readings.iter().map(|read| read.connection.clone()).collect()
}

/// Whether the work only met others who changed the same thing.
fn is_overtaken(error: &WorkError) -> bool {
    matches!(error, WorkError::Store(StoreError::Stale))
}

/// Whether a connection reads still what was read, by the same plan.
fn is_read_by_plan(known: &Connection, of: Of<'_>, read: &ReadFeed) -> bool {
    known.account == *of.account
        && known.is_read()
        && known.import.as_ref().is_some_and(|import| import.since == read.plan_since)
}

fn applied_snapshot(connection: &Connection) -> Option<&Snapshot> {
    Some(&connection.applied()?.snapshot)
}

/// A connection whose applied body is lost counts as never read, so that the next sweep reads it anew; its blocks stay.
fn forget_applied(draft: &mut Draft, read: &ReadFeed) {
    let import = draft.connection_mut(&read.connection).and_then(|known| known.import.as_mut());
    if let Some(import) = import
        && import.applied.as_ref().is_some_and(|applied| applied.snapshot == read.snapshot)
    {
        import.applied = None;
    }
}

fn tell_of_lost_bodies(readings: &[ReadFeed], merged: &[Merged]) {
    for (read, _) in readings.iter().zip(merged).filter(|(_, merged)| matches!(merged, Merged::BodyGone)) {
        let connection = &read.connection;
        tracing::warn!(connection.id = %connection, "the body of a reading is gone; the next sweep reads it again");
        tracing::info!(target: "calmesh::metric", kept_bodies_lost = 1);
    }
}

/// A connection that was made without looking at its feed learns from the first reading whose feed it is.
fn learn_provider(draft: &mut Draft, connection: &ConnectionId, told: &Profile) {
    let generic = calmesh_profiles::generic().id;
    let Some(known) = draft.connection_mut(connection) else { return };
    if known.provider == generic.into() && told.id != generic && applied_snapshot(known).is_none() {
        known.provider = told.id.into();
        known.version += 1;
    }
}

/// A feed that turns out to be of a provider that this deployment refuses over iCalendar.
fn refused_provider(provider: ProviderId) -> FetchFailure {
    FetchFailure { kind: FailureKind::LinkRefused, detail: refusal_of(provider), retry_after: None, host: None }
}

fn outcome_of(merged: Merged) -> Outcome {
    let failed = |reason: &str| Outcome::Failed { reason: reason.to_owned() };
    match merged {
        Merged::Taken(report) if report.changed_something() => {
            Outcome::Changed { blocks_added: report.added, blocks_removed: report.removed, blocks_held: report.held }
        }
        Merged::Taken(report) => Outcome::Unchanged { blocks_held: report.held },
        Merged::Refused(failure) => failed(failure.kind.as_str()),
        Merged::BodyGone => failed(FailureKind::NotTakenIn.as_str()),
        Merged::NothingToTakeIt => failed("paused"),
    }
}
