//! Reading feeds: a run of buckets that is due, or what a manual refresh names. Unchanged costs no write; a failure
//! touches health alone; what changed is parked and announced by id.

use std::time::Duration;

use calmesh_ics as ics;
use jiff::{SignedDuration, Timestamp};

use super::{
    crowd::Shared,
    gathering::{Read, ReadResult, ToMerge},
    seen::Seen,
};
use crate::{
    fetch::Fetch,
    health::{last_swept, not_taken_in},
    model::{AnnouncedReading, FetchPlan, FetchState, Fetched, Snapshot, Validators, happened, is_ahead},
    ports::{Event, FeedRequest, FetchFailure, ParkedBody, SmallBody, StoreError, WaitingBody},
    provider_words::user_agent_for,
    readings::{
        aside::{AsideError, aside, unreadable},
        body::{unasked_304, understand},
        take::READER,
    },
    trouble::WorkError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Validators that changed under an equal body are kept again after so long.
const VALIDATORS_KEPT_FOR: SignedDuration = SignedDuration::from_hours(6);

/// A body that was looked at: what it says, and its bytes where that is new.
type Looked = (Snapshot, Option<ParkedBody>);

impl Fetch {
    /// Reads one feed and writes what must be. `anew`: its site is asked for the whole and not for changes alone, and what
    /// an older reader understood is announced though it is unchanged.
    pub(super) async fn read_one(&self, state: FetchState, anew: bool, run: &Shared) -> Result<Read, WorkError> {
        let plan = &state.plan;
        // What an older reader understood is not fresh, however young.
        let misread = anew && plan.applied_by.is_some_and(|reader| reader != READER);
        if run.is_refresh && !misread && self.is_fresh(&state, &run.seen).await? {
            return Ok(Read::Over(ReadResult::Unchanged));
        }
        // A site, or a cache before it, that answers 304 for ever would else hide every booking.
        let validators = if anew { Validators::default() } else { plan.validators.clone() };
        let fetched = self.feeds.fetch(self.request_for(plan, validators.clone())).await;
        let read_at = self.clock.now();
        let read = match fetched {
            Ok(Fetched::HeldBack { .. } | Fetched::NoRoom) => return Ok(Read::Over(ReadResult::NotReached)),
            Ok(Fetched::NotModified) => match &plan.applied {
                Some(applied) if validators != Validators::default() => Ok((applied.clone(), None)),
                _ => Err(unasked_304()),
            },
            Ok(Fetched::Body { bytes, validators, .. }) => {
                self.look_at(plan, ParkedBody { body: bytes, validators }, read_at).await?
            }
            Err(failure) => Err(failure),
        };
        match read {
            Ok(looked) => self.take_good(&state, looked, read_at, misread, run).await,
            Err(failure) => {
                let kind = failure.kind;
                self.failures.take_failure(&state, failure, read_at).await?;
                // What was kept while the site can't be read is understood anew as well, as the reading that it was.
                if let (true, Some(snapshot), Some(read_at)) = (misread, plan.applied.clone(), plan.applied_read_at) {
                    self.announce_alone(plan, snapshot, read_at).await?;
                }
                Ok(Read::Over(ReadResult::Failed(kind)))
            }
        }
    }

    fn request_for(&self, plan: &FetchPlan, validators: Validators) -> FeedRequest {
        FeedRequest {
            url: plan.url.clone(),
            validators,
            user_agent: user_agent_for(&plan.url),
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            hops: Some(self.traffic.gate_of_reads()),
            room: Some(self.traffic.room_to_read(&plan.account)),
        }
    }

    /// Tells what a body says, beside the threads that wait, and whether it is a calendar where that is new.
    async fn look_at(
        &self,
        plan: &FetchPlan,
        came: ParkedBody,
        read_at: Timestamp,
    ) -> Result<Result<Looked, FetchFailure>, WorkError> {
        let (known, body) = (plan.applied.clone(), came.body.clone());
        let look = move || {
            let snapshot = Snapshot(ics::meaning(&body).to_string());
            let is_known = known.as_ref() == Some(&snapshot);
            if is_known { Ok((snapshot, true)) } else { understand(&body).map(|()| (snapshot, false)) }
        };
        match aside(look).await {
            Ok(Ok((snapshot, true))) => {
                self.keep_validators(plan, came.validators, read_at).await?;
                Ok(Ok((snapshot, None)))
            }
            Ok(Ok((snapshot, false))) => Ok(Ok((snapshot, Some(came)))),
            Ok(Err(failure)) => Ok(Err(failure)),
            Err(AsideError::Full) => Err(WorkError::NoThread),
            Err(error) => Ok(Err(unreadable(&error))),
        }
    }

    /// Announces a reading for which nobody waits and which waits for no other.
    async fn announce_alone(&self, plan: &FetchPlan, snapshot: Snapshot, read_at: Timestamp) -> Result<(), WorkError> {
        let ToMerge { read, .. } = ToMerge::new(plan, snapshot, read_at, ReadResult::Awaited);
        let (account, property) = (plan.account.clone(), plan.property.clone());
        Ok(self.bus.publish(&[Event::FeedsRead { account, property, readings: vec![read], refresh: None }]).await?)
    }

    /// Keeps the validators of a body that says what the known one said. A site that names each answer anew is believed
    /// only a few times a day, since each of these writes costs.
    async fn keep_validators(&self, plan: &FetchPlan, came: Validators, at: Timestamp) -> Result<(), StoreError> {
        let lately = plan.validators_at.is_some_and(|kept| at.duration_since(kept) < VALIDATORS_KEPT_FOR);
        if came == plan.validators || lately {
            return Ok(());
        }
        match self.fetches.record_validators(&plan.connection, plan.since, &came, at).await {
            Err(StoreError::Stale) => Ok(()),
            other => other,
        }
    }

    async fn take_good(
        &self,
        state: &FetchState,
        (snapshot, body): Looked,
        read_at: Timestamp,
        anew: bool,
        run: &Shared,
    ) -> Result<Read, WorkError> {
        let plan = &state.plan;
        // What changed is a success only once it was taken in; merge says so. One that was announced and never taken in
        // is over when the feed says again what is known.
        let troubled = state.health.failure.is_some() || state.awaits().is_some();
        if body.is_none() && (troubled || (run.is_refresh && !run.is_kept_by_page)) {
            self.failures.take_recovery(state, read_at).await?;
        }
        // What a clock wrote that was ahead is written anew with this reading.
        let ahead = is_ahead(plan.since, read_at) || plan.applied_read_at.is_some_and(|at| is_ahead(at, read_at));
        if ahead {
            tracing::warn!(connection.id = %plan.connection, "its last reading is dated ahead: a clock was wrong then, or is now");
        }
        if body.is_none() && !plan.pending && !anew && !ahead {
            // Whoever asked waits for the exports too: merge makes them stand where they have not followed yet.
            let is_awaited = run.is_refresh && run.seen.is_dirty(self, &plan.property).await?;
            if !is_awaited {
                return Ok(Read::Over(ReadResult::Unchanged));
            }
        }
        let result = if body.is_some() { ReadResult::Announced } else { ReadResult::Awaited };
        let mut found = ToMerge::new(plan, snapshot.clone(), read_at, result);
        if let Some(body) = body {
            found.bytes = body.body.len();
            let waiting = match SmallBody::of(&snapshot, &body) {
                Some(small) => WaitingBody::Small(small),
                None => {
                    self.snapshots.park(&plan.account, &plan.connection, &snapshot, &body).await?;
                    WaitingBody::Parked(snapshot)
                }
            };
            // Written before it is announced: should the event be lost, this tells of it. Where the plan still stands
            // after a body was parked, whoever deletes the connection finds the body.
            let stands = self.await_merge(state, read_at, &waiting, &run.seen).await?;
            if !stands && matches!(waiting, WaitingBody::Parked(_)) {
                self.bodies.forget_if_gone(&plan.account, &plan.property, &plan.connection).await?;
            }
        }
        Ok(Read::ToMerge(found))
    }

    /// Writes down that a reading is on its way to merge, and answers whether the plan that it was read by still stands.
    /// One before it that never arrived is a failure.
    async fn await_merge(
        &self,
        state: &FetchState,
        read_at: Timestamp,
        waiting: &WaitingBody,
        seen: &Seen,
    ) -> Result<bool, WorkError> {
        let plan = &state.plan;
        if state.is_overdue(read_at).is_some() {
            self.failures.take_failure(state, not_taken_in(), read_at).await?;
        }
        let awaited = state.awaits().filter(|awaited| awaited.since <= read_at);
        // Sweeps say nothing of a feed that waits: what they last said is kept before.
        let last = match awaited.is_some() || state.health.failure.is_some() {
            true => None,
            false => {
                let swept = last_swept(state, &seen.sweeps(self, &plan.connection).await?, &self.settings, read_at);
                swept.max(happened(seen.refreshed_at(self, plan).await?, read_at))
            }
        };
        let last = last.max(happened(state.health.last_success_at, read_at));
        let announced = AnnouncedReading { since: awaited.map_or(read_at, |awaited| awaited.since), read_at };
        match self.fetches.record_announced(&plan.connection, plan.since, &announced, waiting, last).await {
            Ok(()) => Ok(true),
            Err(StoreError::Stale) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a refresh needs not fetch this feed, because it was read well a moment ago and all that follows stands.
    async fn is_fresh(&self, state: &FetchState, seen: &Seen) -> Result<bool, StoreError> {
        let FetchState { plan, health } = state;
        let told = seen.refreshed_at(self, plan).await?;
        let read = plan.applied_read_at.max(health.last_success_at).max(told).filter(|read| *read >= plan.since);
        // A reading from the future counts as none.
        let age = read.map(|read| self.clock.now().duration_since(read)).filter(|age| !age.is_negative());
        let fresh = age.is_some_and(|age| age < self.settings.read_again_after);
        let is_understood = plan.applied_by == Some(READER);
        if !fresh || !is_understood || health.failure.is_some() || state.awaits().is_some() || plan.pending {
            return Ok(false);
        }
        Ok(!seen.is_dirty(self, &plan.property).await?)
    }
}
