//! Reading feeds: a run of buckets that is due, or what a manual refresh names. Unchanged costs no write; a failure
//! touches health alone; what changed is parked and announced by id.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use calmesh_calendar::{AccountId, ConnectionId, PropertyId, RefreshId, span::Later};
use calmesh_ics as ics;
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::{
    App, READER, Settings,
    aside::{AsideError, aside, unreadable},
    model::{
        Activity, ActivityKind, AnnouncedReading, CLOCKS_DIFFER, Connection, Failure, FailureKind, FetchPlan,
        FetchState, Fetched, HostPause, NOT_TAKEN_IN, Names, Outcome, READ_AGAIN, Refresh, RefreshScope, Site,
        Snapshot, SweepRecord, Validators, bucket_of, happened, is_ahead, spread_of,
    },
    ports::{Event, FeedRequest, FetchFailure, PageRequest, ParkedBody, StoreError},
    provider_words::{user_agent_for, with_help},
    work::WorkError,
};

/// The fixed number of buckets.
pub const BUCKETS: u16 = 4096;
/// One message covers at most so many connections, or one bucket.
const PER_MESSAGE: u16 = 300;
/// Feeds that are read at the same time.
const AT_ONCE: usize = 64;
/// Of these, so many of one account where there are several.
const AT_ONCE_PER_ACCOUNT: usize = 32;
/// Of these, so many of one host.
const AT_ONCE_PER_HOST: usize = 6;
/// A sweep begins no further reading after this long; what is left is read by the next one.
const SWEEP_BUDGET: Duration = Duration::from_secs(90);
/// One delivery of a refresh begins no further reading after this long; what is left is announced again.
const REFRESH_BUDGET: Duration = Duration::from_secs(20);
/// An account is refreshed in parts of so many properties.
const PROPERTIES_PER_REFRESH: u16 = 25;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// A query of plans may not see one that is younger.
const YOUNG_PLAN: SignedDuration = SignedDuration::from_secs(5);
/// So many times in a row a site is left alone for exactly as long as it asked; then for longer.
const AS_ASKED: u32 = 2;
/// Validators that changed under an equal body are kept again after so long.
const VALIDATORS_KEPT_FOR: SignedDuration = SignedDuration::from_hours(6);
const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_hours(4);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// So long a site may ask to be left alone, at most.
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_OWN_BACK_OFF: SignedDuration = SignedDuration::from_hours(1);

/// What reading one feed led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadResult {
    Unchanged,
    /// Another body, announced: merge says what becomes of it.
    Announced,
    /// The same body, announced since something of the connection waits for readings.
    Awaited,
    Failed(FailureKind),
    /// Its host asked for less.
    HostPaused,
    /// There was no time left for it.
    NotReached,
}

impl App {
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
        let known = known.into_iter().chain(self.traffic.last_step()).filter(|last| *last <= step).max();
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
        self.traffic.stepped(step);
        // The sweeps are announced: that this can't be written makes at most a later step announce some once more.
        if let Err(error) = self.fetches.record_step(step).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "it can't be written which sweeps were announced");
        }
        Ok(u32::try_from(events.len()).unwrap_or(u32::MAX))
    }

    /// Reads the connections of a run of buckets that are due; more than one message's worth is announced again
    /// as a shorter run.
    pub(crate) async fn sweep(&self, first: u16, last: u16, number: i64) -> Result<(), WorkError> {
        let started_at = self.clock.now();
        let (states, last) = self.plans_of_run(first, last, number).await?;
        let mut paused = self.paused_hosts(started_at).await?;
        paused.extend(asking_several(&states, started_at));
        let due: Vec<FetchState> = states.into_iter().filter(|state| self.is_due(state, number, started_at)).collect();
        let mut report = SweepCounts::default();
        let mut skipped = Vec::new();
        let mut results = self.read_all(due, &paused, None, Some(SWEEP_BUDGET), number);
        while let Some((connection, result)) = results.next().await {
            match result {
                Ok(ReadResult::HostPaused | ReadResult::NotReached) => skipped.push(connection),
                Ok(ReadResult::Unchanged) => report.unchanged += 1,
                Ok(ReadResult::Announced) => report.changed += 1,
                Ok(ReadResult::Awaited) => report.held += 1,
                Ok(ReadResult::Failed(_)) => report.failed += 1,
                Err(error) => {
                    // Its own state could not be written: it was not read in this pass.
                    tracing::warn!(connection.id = %connection, error = &error as &dyn std::error::Error, "a feed could not be taken in");
                    skipped.push(connection);
                }
            }
        }
        drop(results);
        skipped.sort();
        let read = report.unchanged + report.changed + report.held + report.failed;
        if read > 0 || !skipped.is_empty() {
            let record =
                SweepRecord { first_bucket: first, last_bucket: last, number, started_at, skipped: skipped.clone() };
            self.fetches.record_sweep(&record).await?;
            tracing::info!(
                feeds = read,
                unchanged = report.unchanged,
                changed = report.changed,
                held = report.held,
                failed = report.failed,
                skipped = skipped.len(),
                "feeds were read"
            );
        }
        tracing::debug!(sweep.first_bucket = first, sweep.last_bucket = last, sweep.number = number, "swept");
        tracing::info!(
            target: "calmesh::metric",
            refreshes = read,
            unchanged = report.unchanged,
            changed = report.changed,
            held = report.held,
            failed = report.failed,
            skipped = skipped.len(),
            oldest_due_seconds = self.lateness(first, number, started_at).as_secs(),
        );
        Ok(())
    }

    /// How long ago a run that begins with this bucket was due, by the times of [`App::announce_shards`].
    fn lateness(&self, first: u16, number: i64, now: Timestamp) -> SignedDuration {
        let period = self.settings.sweep_period.as_secs().max(1);
        let shards = self.settings.shards.max(1);
        let shard = i64::from(first) * i64::from(shards) / i64::from(BUCKETS);
        let due = due_at(shard, number, period, shards);
        SignedDuration::from_secs(now.as_second().saturating_sub(due).max(0))
    }

    /// The plans of as many whole buckets as one message covers, and the last of these buckets; the rest is
    /// announced as a run of its own.
    async fn plans_of_run(&self, first: u16, last: u16, number: i64) -> Result<(Vec<FetchState>, u16), WorkError> {
        let page = PageRequest { limit: PER_MESSAGE, after: None };
        let found = self.fetches.plans(first, last, page).await?;
        let mut states = found.items;
        let Some(mut next) = found.next else { return Ok((states, last)) };
        // The page ends somewhere in a bucket: that one is left to the next message, unless it is the only one.
        let cut = states.last().map_or(first, |state| bucket_of(&state.plan.connection));
        let until = if cut > first {
            states.retain(|state| bucket_of(&state.plan.connection) < cut);
            cut - 1
        } else {
            loop {
                let page = PageRequest { limit: PER_MESSAGE, after: Some(next) };
                let more = self.fetches.plans(first, first, page).await?;
                states.extend(more.items.into_iter().filter(|state| bucket_of(&state.plan.connection) == first));
                match more.next {
                    Some(after) => next = after,
                    None => break,
                }
            }
            first
        };
        if until < last {
            let rest = Event::SweepDue { first_bucket: until + 1, last_bucket: last, number };
            self.bus.publish(&[rest]).await?;
        }
        Ok((states, until))
    }

    /// Whether a sweep reads this connection: its own back-off is over, and its provider's pace allows it.
    fn is_due(&self, state: &FetchState, number: i64, now: Timestamp) -> bool {
        if state.health.failure.as_ref().is_some_and(|failure| keeps_away(failure, now)) {
            return false;
        }
        is_turn_of(&state.plan.connection, &state.plan.provider, number, self.settings.sweep_period)
    }

    async fn paused_hosts(&self, now: Timestamp) -> Result<BTreeSet<String>, StoreError> {
        // No site is left alone for longer than it may ask for: such a pause is of a clock that was ahead.
        let longest = now.later(LONGEST_ASKED).later(CLOCKS_DIFFER);
        let pauses = self.fetches.paused_hosts(now).await?.into_iter();
        Ok(pauses.filter(|pause| pause.until <= longest).map(|pause| pause.host).collect())
    }

    /// Reads many feeds at once, within a budget for each host and one for all: a host that hangs holds up nobody
    /// but itself. Each `turn` begins with another host, and at each host in the order of [`in_turn`], so that no budget
    /// ends before the same ones every time.
    fn read_all<'a>(
        &'a self,
        states: Vec<FetchState>,
        paused: &'a BTreeSet<String>,
        refresh: Option<&'a RefreshId>,
        budget: Option<Duration>,
        turn: i64,
    ) -> impl futures::Stream<Item = (ConnectionId, Result<ReadResult, WorkError>)> + Unpin + 'a {
        let mut accounts: BTreeMap<AccountId, Arc<Semaphore>> = BTreeMap::new();
        for state in &states {
            accounts.entry(state.plan.account.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_PER_ACCOUNT)));
        }
        if accounts.len() == 1 {
            accounts.clear();
        }
        let accounts = Arc::new(accounts);
        let mut by_host: BTreeMap<String, Vec<FetchState>> = BTreeMap::new();
        for state in states {
            by_host.entry(state.plan.url.host()).or_default().push(state);
        }
        let mut hosts: Vec<(String, Vec<FetchState>)> = by_host.into_iter().collect();
        let count = i64::try_from(hosts.len()).unwrap_or(1).max(1);
        hosts.rotate_left(usize::try_from(turn.rem_euclid(count)).unwrap_or(0));
        let now = self.clock.now();
        let period = self.settings.sweep_period;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let end = budget.and_then(|budget| tokio::time::Instant::now().checked_add(budget));
        let hosts = hosts.into_iter().map(move |(host, states)| {
            let is_paused = paused.contains(&host);
            let (places, accounts) = (Arc::clone(&places), Arc::clone(&accounts));
            stream::iter(in_turn(states, turn))
                .map(move |state| {
                    let (places, accounts) = (Arc::clone(&places), Arc::clone(&accounts));
                    async move {
                        let connection = state.plan.connection.clone();
                        // A host's `Retry-After` holds for the button too; another back-off does not.
                        if is_paused || asked_for_less(&state, now) {
                            return (connection, Ok(ReadResult::HostPaused));
                        }
                        self.traffic.turn_at(&state.plan.url.host()).await;
                        // One account's feeds that hang leave places to the others.
                        let own = accounts.get(&state.plan.account);
                        let _own = match own {
                            Some(own) => own.acquire().await.ok(),
                            None => None,
                        };
                        let _place = places.acquire().await;
                        if end.is_some_and(|end| tokio::time::Instant::now() >= end) {
                            return (connection, Ok(ReadResult::NotReached));
                        }
                        let anew = refresh.is_some() || is_turn_to_read_anew(&state, turn, period);
                        let result = self.read_one(state, refresh, anew).await;
                        (connection, result)
                    }
                })
                .buffer_unordered(AT_ONCE_PER_HOST)
        });
        Box::pin(stream::iter(hosts).flatten_unordered(None))
    }

    /// Reads one feed and writes or announces what must be. `anew`: its site is asked for the whole and not for changes
    /// alone, and what an older reader understood is announced though it is unchanged.
    async fn read_one(
        &self,
        state: FetchState,
        refresh: Option<&RefreshId>,
        anew: bool,
    ) -> Result<ReadResult, WorkError> {
        let plan = &state.plan;
        // What an older reader understood is not fresh, however young.
        let misread = anew && plan.applied_by.is_some_and(|reader| reader != READER);
        if refresh.is_some() && !misread && self.is_fresh(&state).await? {
            return Ok(ReadResult::Unchanged);
        }
        // A site, or a cache before it, that answers 304 for ever would else hide every booking.
        let validators = if anew { Validators::default() } else { plan.validators.clone() };
        let asked_for_changes = validators != Validators::default();
        let anew = misread;
        let request = FeedRequest {
            url: plan.url.clone(),
            validators,
            user_agent: user_agent_for(&plan.url),
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            hops: Some(self.gate_of_reads()),
            room: Some(self.traffic.room_to_read(&plan.account)),
        };
        let fetched = self.feeds.fetch(request).await;
        let read_at = self.clock.now();
        let read = match fetched {
            Ok(Fetched::HeldBack { .. } | Fetched::NoRoom) => return Ok(ReadResult::NotReached),
            Ok(Fetched::NotModified) => match &plan.applied {
                Some(applied) if asked_for_changes => Ok((applied.clone(), None)),
                _ => Err(unasked_304()),
            },
            Ok(Fetched::Body { bytes, validators, .. }) => {
                let known = plan.applied.clone();
                let body = bytes.clone();
                let look = move || {
                    let snapshot = Snapshot(ics::meaning(&body).to_string());
                    let is_known = known.as_ref() == Some(&snapshot);
                    if is_known { Ok((snapshot, true)) } else { understand(&body).map(|()| (snapshot, false)) }
                };
                match aside(look).await {
                    Ok(Ok((snapshot, true))) => {
                        self.keep_validators(plan, validators, read_at).await?;
                        Ok((snapshot, None))
                    }
                    Ok(Ok((snapshot, false))) => Ok((snapshot, Some(ParkedBody { body: bytes, validators }))),
                    Ok(Err(failure)) => Err(failure),
                    Err(AsideError::Full) => return Err(WorkError::NoThread),
                    Err(error) => Err(unreadable(&error)),
                }
            }
            Err(failure) => Err(failure),
        };
        match read {
            Ok((snapshot, body)) => self.take_good(&state, snapshot, body, read_at, refresh, anew).await,
            Err(failure) => {
                let kind = failure.kind;
                self.take_failure(&state, failure, read_at).await?;
                // What was kept while the site can't be read is understood anew as well, as the reading that it was.
                if let (true, Some(snapshot), Some(read_at)) = (anew, plan.applied.clone(), plan.applied_read_at) {
                    self.bus.publish(&[feed_read(plan, snapshot, read_at, None)]).await?;
                }
                Ok(ReadResult::Failed(kind))
            }
        }
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
        snapshot: Snapshot,
        body: Option<ParkedBody>,
        read_at: Timestamp,
        refresh: Option<&RefreshId>,
        anew: bool,
    ) -> Result<ReadResult, WorkError> {
        let plan = &state.plan;
        // What changed is a success only once it was taken in; merge says so. One that was announced and never taken in
        // is over when the feed says again what is known.
        let troubled = state.health.failure.is_some() || state.awaits().is_some();
        if body.is_none() && (troubled || refresh.is_some()) {
            self.take_recovery(state, read_at).await?;
        }
        // What a clock wrote that was ahead is written anew with this reading.
        let ahead = is_ahead(plan.since, read_at) || plan.applied_read_at.is_some_and(|at| is_ahead(at, read_at));
        if ahead {
            tracing::warn!(connection.id = %plan.connection, "its last reading is dated ahead: a clock was wrong then, or is now");
        }
        if body.is_none() && !plan.pending && !anew && !ahead {
            // Whoever asked waits for the exports too: merge makes them stand where they have not followed yet.
            let is_awaited = refresh.is_some() && self.is_dirty(&plan.property).await?;
            if !is_awaited {
                return Ok(ReadResult::Unchanged);
            }
        }
        let result = if body.is_some() { ReadResult::Announced } else { ReadResult::Awaited };
        if let Some(body) = body {
            self.snapshots.park(&plan.account, &plan.connection, &snapshot, &body).await?;
            // Written before it is announced: should the event be lost, this tells of it. Where the plan still stands
            // after the body was parked, whoever deletes the connection finds the body.
            if !self.await_merge(state, read_at).await? {
                self.forget_if_gone(&plan.account, &plan.property, &plan.connection).await?;
            }
        }
        self.bus.publish(&[feed_read(plan, snapshot, read_at, refresh)]).await?;
        Ok(result)
    }

    /// Writes down that a reading is on its way to merge, and answers whether the plan that it was read by still stands.
    /// One before it that never arrived is a failure.
    async fn await_merge(&self, state: &FetchState, read_at: Timestamp) -> Result<bool, WorkError> {
        let plan = &state.plan;
        if state.is_overdue(read_at).is_some() {
            self.take_failure(state, not_taken_in(), read_at).await?;
        }
        let awaited = state.awaits().filter(|awaited| awaited.since <= read_at);
        // Sweeps say nothing of a feed that waits: what they last said is kept before.
        let last = match awaited.is_some() || state.health.failure.is_some() {
            true => None,
            false => {
                last_swept(state, &self.fetches.sweeps(&[bucket_of(&plan.connection)]).await?, &self.settings, read_at)
            }
        };
        let last = last.max(happened(state.health.last_success_at, read_at));
        let announced = AnnouncedReading { since: awaited.map_or(read_at, |awaited| awaited.since), read_at };
        match self.fetches.record_announced(&plan.connection, plan.since, &announced, last).await {
            Ok(()) => Ok(true),
            Err(StoreError::Stale) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a good reading down; one after failures is told to the host.
    pub(crate) async fn take_recovery(&self, state: &FetchState, read_at: Timestamp) -> Result<(), WorkError> {
        let (plan, now) = (&state.plan, self.clock.now());
        match self.fetches.record_success(&plan.connection, plan.since, read_at, now).await {
            // The plan changed while the feed was read: that reading says nothing of the new one.
            Err(StoreError::Stale) => return Ok(()),
            other => other?,
        }
        if state.health.failure.is_some() {
            self.note(state, ActivityKind::FeedRecovered, read_at).await?;
        }
        Ok(())
    }

    pub(crate) async fn take_failure(
        &self,
        state: &FetchState,
        failure: FetchFailure,
        now: Timestamp,
    ) -> Result<(), WorkError> {
        let plan = &state.plan;
        // One of the future is of a clock that was wrong.
        let known = state.health.failure.as_ref().filter(|known| !is_ahead(known.last_attempt_at, now));
        // A reading that is delivered again fails again, and is one reading.
        let is_again = |known: &Failure| known.kind == FailureKind::NotTakenIn && known.last_attempt_at >= now;
        if failure.kind == FailureKind::NotTakenIn && known.is_some_and(is_again) {
            return Ok(());
        }
        if known.is_none() && state.awaits().is_none() {
            self.remember_last_success(state).await?;
        }
        let failure = with_help(failure, &plan.url, &plan.provider);
        let count = known.map_or(0, |known| known.count).saturating_add(1);
        let asked = failure.retry_after.unwrap_or(SignedDuration::ZERO).min(LONGEST_ASKED);
        let kind = failure.kind;
        // The connection stands, so it is tried again whatever the host does.
        let again = if kind.may_pass() { READ_AGAIN } else { "" };
        let detail = format!("{}{again}", failure.detail);
        let asked_for_less = kind == FailureKind::RateLimited && failure.retry_after.is_some();
        let record = Failure {
            kind,
            detail: detail.clone(),
            since: known
                .map_or_else(|| state.awaits().map_or(now, |awaited| awaited.since.min(now)), |known| known.since),
            count,
            last_attempt_at: now,
            retry_at: now.later(if asked_for_less && count <= AS_ASKED {
                asked
            } else {
                self.back_off(kind, count).max(asked)
            }),
        };
        match self.fetches.record_failure(&plan.connection, plan.since, &record).await {
            Err(StoreError::Stale) => return Ok(()),
            other => other?,
        }
        tracing::info!(
            connection.id = %plan.connection,
            failure.kind = kind.as_str(),
            failure.count = count,
            "a feed could not be read"
        );
        let worse = count == 1 || count == 3 || known.is_some_and(|known| known.kind != kind);
        if worse {
            self.note(state, ActivityKind::FeedFailed { failure: kind, detail }, now).await?;
        }
        if let (FailureKind::RateLimited, Some(asked), Some(host)) = (kind, failure.retry_after, failure.host)
            && is_of_known_provider(&host)
        {
            self.fetches.pause_host(&HostPause { host, until: now.later(asked) }).await?;
        }
        Ok(())
    }

    /// Writes down when sweeps last read this feed well: their record speaks only for feeds without a failure.
    async fn remember_last_success(&self, state: &FetchState) -> Result<(), StoreError> {
        let plan = &state.plan;
        let sweeps = self.fetches.sweeps(&[bucket_of(&plan.connection)]).await?;
        let now = self.clock.now();
        match last_swept(state, &sweeps, &self.settings, now) {
            Some(at) => match self.fetches.record_success(&plan.connection, plan.since, at, now).await {
                Err(StoreError::Stale) => Ok(()),
                other => other,
            },
            None => Ok(()),
        }
    }

    /// When the last sweep began, where that is dated ahead: a clock was ahead then, or is behind now.
    ///
    /// # Errors
    /// The store's.
    pub async fn swept_ahead(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let sweeps = self.fetches.sweeps(&[0]).await?;
        Ok(sweeps.into_iter().map(|sweep| sweep.started_at).filter(|at| is_ahead(*at, now)).max())
    }

    /// How long sweeps leave a failing feed alone: the next two sweeps try again, then ever fewer, with jitter.
    fn back_off(&self, kind: FailureKind, count: u32) -> SignedDuration {
        let period = self.settings.sweep_period;
        // Nobody but ourselves can mend what we could not take in, and a booking may wait in it.
        let longest = if kind == FailureKind::NotTakenIn { LONGEST_OWN_BACK_OFF } else { LONGEST_BACK_OFF };
        let doublings = count.saturating_sub(2).min(10);
        let steady = period.checked_mul(1 << doublings).unwrap_or(longest).min(longest.max(period));
        let [jitter, ..] = self.randomness.id();
        // Between a half and nine tenths, so that a sweep a period later always finds it due.
        (steady / 2).saturating_add(steady.saturating_mul(i32::from(jitter)) / 640)
    }

    async fn note(&self, state: &FetchState, kind: ActivityKind, at: Timestamp) -> Result<(), StoreError> {
        let plan = &state.plan;
        let site = plan.name.clone().map(|name| Site { name, provider: plan.provider.clone() });
        let entry = Activity {
            property: plan.property.clone(),
            at,
            connection: Some(plan.connection.clone()),
            kind,
            // Nothing of the property is read for this: its name is looked up where the entry is shown.
            names: Names { site, ..Names::default() },
        };
        self.activity.append_activity(&[entry]).await
    }

    /// Works on a part of a manual refresh: every connection of its scope is read now, whatever its own back-off says.
    /// What follows is announced before anything is read, so that a host that hangs here holds up nobody there; what
    /// has its final outcome is not read again; and what there is no time for is announced anew.
    pub(crate) async fn refresh_requested(
        &self,
        id: &RefreshId,
        after: Option<&str>,
        rest: bool,
    ) -> Result<(), WorkError> {
        let Some(refresh) = self.refreshes.refresh(id).await? else { return Ok(()) };
        // Announced again, by the tick or a queue: what is over by now is read no second time.
        if self.finish_if_over(&refresh).await? {
            return Ok(());
        }
        let mut next = None;
        let mut awaited = Vec::new();
        match &refresh.scope {
            RefreshScope::Connection { property, connection } => {
                awaited.extend(self.await_property(&refresh, property, Some(connection)).await?);
            }
            RefreshScope::Property(property) => awaited.extend(self.await_property(&refresh, property, None).await?),
            RefreshScope::Account => {
                let page = PageRequest { limit: PROPERTIES_PER_REFRESH, after: after.map(str::to_owned) };
                let page = self.properties.properties(&refresh.account, page).await?;
                for property in &page.items {
                    awaited.extend(self.await_property(&refresh, &property.id, None).await?);
                }
                next = page.next;
            }
        }
        let event = |after: Option<String>, rest: bool| Event::RefreshRequested {
            account: refresh.account.clone(),
            refresh: id.clone(),
            after,
            rest,
        };
        match next {
            Some(next) if !rest => self.bus.publish(&[event(Some(next), false)]).await?,
            None if !refresh.spread => self.refreshes.mark_spread(id).await?,
            Some(_) | None => {}
        }
        if self.read_awaited(&refresh, &awaited).await? {
            self.bus.publish(&[event(after.map(str::to_owned), true)]).await?;
            return Ok(());
        }
        if let Some(refresh) = self.refreshes.refresh(id).await? {
            self.finish_if_over(&refresh).await?;
        }
        Ok(())
    }

    /// Adds a property's connections to a refresh; those without a final outcome.
    async fn await_property(
        &self,
        refresh: &Refresh,
        property: &PropertyId,
        only: Option<&ConnectionId>,
    ) -> Result<Vec<ConnectionId>, WorkError> {
        let Some(state) = self.properties.load(property).await? else { return Ok(Vec::new()) };
        let wanted = |connection: &&Connection| only.is_none_or(|only| connection.id == *only);
        let reading: Vec<ConnectionId> = state
            .connections
            .iter()
            .filter(wanted)
            .filter(|connection| connection.reads())
            .map(|connection| connection.id.clone())
            .collect();
        self.refreshes.add_pending(&refresh.id, &reading).await?;
        if let Some(only) = only.filter(|only| !reading.contains(only)) {
            let gone = Outcome::Failed { reason: "paused".to_owned() };
            self.refreshes.record_outcome(&refresh.id, only, &gone).await?;
        }
        Ok(self.refreshes.still_pending(&refresh.id, &reading).await?)
    }

    /// Reads these connections for a refresh. Answers whether there was no time for some.
    async fn read_awaited(&self, refresh: &Refresh, awaited: &[ConnectionId]) -> Result<bool, WorkError> {
        let states = self.fetches.fetch_states(awaited).await?;
        for gone in awaited.iter().filter(|connection| !states.contains_key(*connection)) {
            let outcome = Outcome::Failed { reason: "paused".to_owned() };
            self.refreshes.record_outcome(&refresh.id, gone, &outcome).await?;
        }
        let paused = self.paused_hosts(self.clock.now()).await?;
        let states = states.into_values().collect();
        let mut results = self.read_all(states, &paused, Some(&refresh.id), Some(REFRESH_BUDGET), 0);
        let mut trouble = None;
        let mut left = false;
        while let Some((connection, result)) = results.next().await {
            let outcome = match result {
                Ok(ReadResult::Unchanged) => Outcome::Unchanged { blocks_held: 0 },
                // Merge says what becomes of it.
                Ok(ReadResult::Announced | ReadResult::Awaited) => continue,
                Ok(ReadResult::NotReached) => {
                    left = true;
                    continue;
                }
                Ok(ReadResult::Failed(kind)) => Outcome::Failed { reason: kind.as_str().to_owned() },
                Ok(ReadResult::HostPaused) => Outcome::Failed { reason: FailureKind::RateLimited.as_str().to_owned() },
                Err(error) => {
                    trouble = Some(error);
                    continue;
                }
            };
            self.refreshes.record_outcome(&refresh.id, &connection, &outcome).await?;
        }
        trouble.map_or(Ok(left), Err)
    }

    /// Whether a refresh needs not fetch this feed, because it was read well a moment ago and all that follows stands.
    async fn is_fresh(&self, state: &FetchState) -> Result<bool, StoreError> {
        let FetchState { plan, health } = state;
        let read = plan.applied_read_at.max(health.last_success_at).filter(|read| *read >= plan.since);
        // A reading from the future counts as none.
        let age = read.map(|read| self.clock.now().duration_since(read)).filter(|age| !age.is_negative());
        let fresh = age.is_some_and(|age| age < self.settings.read_again_after);
        let is_understood = plan.applied_by == Some(READER);
        if !fresh || !is_understood || health.failure.is_some() || state.awaits().is_some() || plan.pending {
            return Ok(false);
        }
        Ok(!self.is_dirty(&plan.property).await?)
    }

    /// Whether exports have not followed a change of this property yet.
    async fn is_dirty(&self, property: &PropertyId) -> Result<bool, StoreError> {
        Ok(self.properties.property(property).await?.is_some_and(|known| known.dirty.is_some()))
    }
}

/// The order in which one host's feeds are read: those that could be read last time before those that could not, and of
/// either the accounts by turns, each with its feeds in an order that is another one each turn. So a budget that ends
/// early ends for others each time, and feeds that hang end it for nobody but themselves.
fn in_turn(states: Vec<FetchState>, turn: i64) -> Vec<FetchState> {
    let lot = |id: &str| spread_of(&format!("{turn} {id} {turn}"));
    let mut states: Vec<(bool, u64, FetchState)> = states
        .into_iter()
        .map(|state| (state.health.failure.is_some(), lot(state.plan.connection.as_str()), state))
        .collect();
    states.sort_by_key(|(failing, lot, _)| (*failing, *lot));
    let mut of_account: BTreeMap<(bool, AccountId), usize> = BTreeMap::new();
    let mut placed: Vec<_> = states
        .into_iter()
        .map(|(failing, _, state)| {
            let next = of_account.entry((failing, state.plan.account.clone())).or_default();
            let place = *next;
            *next += 1;
            (failing, place, lot(state.plan.account.as_str()), state)
        })
        .collect();
    placed.sort_by_key(|(failing, place, account, _)| (*failing, *place, *account));
    placed.into_iter().map(|(.., state)| state).collect()
}

/// When a shard is due in the period of this number, in seconds since 1970.
fn due_at(shard: i64, number: i64, period: i64, shards: u16) -> i64 {
    number.saturating_mul(period).saturating_add(shard.saturating_mul(period) / i64::from(shards))
}

/// The shards that are due in these seconds, the last one left out, and the number of the period of each. Periods that
/// are no multiple of a step lie across its ends, so each period that the seconds touch is looked at.
fn due_shards(from: i64, until: i64, period: i64, shards: u16) -> Vec<(u16, i64)> {
    let numbers = from.div_euclid(period)..=(until - 1).div_euclid(period);
    let all = numbers.flat_map(|number| (0..shards).map(move |shard| (shard, number)));
    all.filter(|(shard, number)| (from..until).contains(&due_at(i64::from(*shard), *number, period, shards))).collect()
}

/// From which second on a step announces: its own first, or that of the steps before it that were missed, but no shard
/// twice. A last step that is not before this one was made by a clock that was wrong, or is this one again.
fn first_second_to_announce(last_step: Option<i64>, step: i64, tick: i64, period: i64) -> i64 {
    let missed = last_step.filter(|last| *last < step).map_or(step, |last| last + tick);
    missed.max(step + tick - period)
}

#[derive(Debug, Default)]
struct SweepCounts {
    unchanged: u32,
    changed: u32,
    /// Read again because a hold or a question to the site waits.
    held: u32,
    failed: u32,
}

/// Whether a failure's back-off is not over. One that a clock wrote that was ahead keeps nobody away.
pub(crate) fn keeps_away(failure: &Failure, now: Timestamp) -> bool {
    failure.retry_at > now && !is_ahead(failure.last_attempt_at, now)
}

/// A good reading that we could not take in.
pub(crate) fn not_taken_in() -> FetchFailure {
    FetchFailure { kind: FailureKind::NotTakenIn, detail: NOT_TAKEN_IN.to_owned(), retry_after: None, host: None }
}

/// Whether this connection's own site asked not to be read yet.
fn asked_for_less(state: &FetchState, now: Timestamp) -> bool {
    let failure = state.health.failure.as_ref();
    failure.is_some_and(|failure| failure.kind == FailureKind::RateLimited && keeps_away(failure, now))
}

/// Hosts that have just asked several accounts to come less often: they mean everybody. One account alone may have
/// set up its host itself. Told by the states that a sweep reads anyway, so it speaks for the run that they are of; a
/// link that was refused more than twice in a row speaks for itself alone, and so does a time longer than was asked.
fn asking_several(states: &[FetchState], now: Timestamp) -> BTreeSet<String> {
    let mut asked: BTreeMap<String, BTreeSet<&AccountId>> = BTreeMap::new();
    for state in states.iter().filter(|state| asked_for_less(state, now)) {
        let fresh = state.health.failure.as_ref().is_some_and(|failure| failure.count <= AS_ASKED);
        if fresh {
            asked.entry(state.plan.url.host()).or_default().insert(&state.plan.account);
        }
    }
    asked.into_iter().filter(|(_, accounts)| accounts.len() > 1).map(|(host, _)| host).collect()
}

/// The latest of these sweeps that read this connection well; none while it fails, or while what was read of it is
/// not taken in yet.
pub(crate) fn last_swept(
    state: &FetchState,
    sweeps: &[SweepRecord],
    settings: &Settings,
    now: Timestamp,
) -> Option<Timestamp> {
    let FetchState { plan, health } = state;
    let period = settings.sweep_period;
    if health.failure.is_some() || state.awaits().is_some() {
        return None;
    }
    let bucket = bucket_of(&plan.connection);
    let read = sweeps.iter().filter(|sweep| {
        (sweep.first_bucket..=sweep.last_bucket).contains(&bucket)
            // A plan this young may have been missing from the sweep's query.
            && (is_ahead(plan.since, now) || plan.since.later(YOUNG_PLAN) < sweep.started_at)
            && !is_ahead(sweep.started_at, now)
            && !sweep.skipped.contains(&plan.connection)
            && is_turn_of(&plan.connection, &plan.provider, sweep.number, period)
    });
    read.map(|sweep| sweep.started_at).max()
}

/// Whether a provider's pace lets this sweep read the connection: where it allows less than every sweep, each of its
/// connections has turns of its own, spread by bucket. Known to whoever asks when it was last read, too.
#[must_use]
pub fn is_turn_of(connection: &ConnectionId, provider: &str, number: i64, period: SignedDuration) -> bool {
    let every = sweeps_between_reads(provider, period);
    (number + i64::from(bucket_of(connection))).rem_euclid(every) == 0
}

/// Whether this sweep is the one of its day in which a connection is read without validators, and anew if an older reader
/// understood its body: after an upgrade all of them come to it within a day, and no sweep has more than its share. A
/// failing one is asked so seldom that every time is its turn; after a failure, a 304 may be all that the site has to say.
fn is_turn_to_read_anew(state: &FetchState, number: i64, period: SignedDuration) -> bool {
    let FetchState { plan, health } = state;
    if health.failure.is_some() {
        return true;
    }
    let every = sweeps_between_reads(&plan.provider, period);
    let turns_a_day = (DAY.as_secs() / period.as_secs().max(1) / every).max(1);
    let turn = number.saturating_add(i64::from(bucket_of(&plan.connection))).div_euclid(every);
    turn.rem_euclid(turns_a_day) == 0
}

/// A reading, announced by ids.
fn feed_read(plan: &FetchPlan, snapshot: Snapshot, read_at: Timestamp, refresh: Option<&RefreshId>) -> Event {
    Event::FeedRead {
        account: plan.account.clone(),
        property: plan.property.clone(),
        connection: plan.connection.clone(),
        snapshot,
        read_at,
        plan_since: plan.since,
        refresh: refresh.cloned(),
    }
}

/// Every so many sweeps one reads a connection of this provider; at least 1.
#[must_use]
pub fn sweeps_between_reads(provider: &str, period: SignedDuration) -> i64 {
    let profile = calmesh_profiles::find(provider).unwrap_or_else(calmesh_profiles::generic);
    let pace = profile.cadence.as_ref().map_or(0, |cadence| i64::from(cadence.min_interval_minutes) * 60);
    let period = period.as_secs().max(1);
    // Rounded up: never more often than the provider allows.
    ((pace + period - 1) / period).max(1)
}

/// Whether a host is a provider's by its name alone. Neither what a user calls it nor what a feed says of itself
/// counts: a host that anybody can set up would else be paused for everybody.
fn is_of_known_provider(host: &str) -> bool {
    let url = url::Url::parse(&format!("https://{host}/")).ok();
    url.is_some_and(|url| calmesh_profiles::detect(Some(&url), None).id != calmesh_profiles::generic().id)
}

/// Refuses what is not a whole calendar, as a failure of the feed.
pub(crate) fn understand(body: &[u8]) -> Result<(), FetchFailure> {
    ics::accept(body, &ics::Limits::default()).map_err(|refusal| refused(&refusal))
}

/// A refused body as a failure.
#[must_use]
pub fn refused(refusal: &ics::Refusal) -> FetchFailure {
    let kind = match refusal {
        ics::Refusal::NotACalendar { .. } => FailureKind::NotACalendar,
        ics::Refusal::Truncated { .. } => FailureKind::Truncated,
        ics::Refusal::TooLarge { .. } => FailureKind::TooLarge,
    };
    FetchFailure { kind, detail: refusal.to_string(), retry_after: None, host: None }
}

pub(crate) fn unasked_304() -> FetchFailure {
    FetchFailure {
        kind: FailureKind::ServerError,
        detail: "The site answered that nothing has changed though it was asked for the whole calendar.".to_owned(),
        retry_after: None,
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::{a_plan, a_property},
        model::FetchHealth,
    };

    const TICK: i64 = 60;
    /// A second that is no multiple of anything here.
    const START: i64 = 1_796_378_460;

    /// What is announced by these steps, one after the other.
    fn announced(steps: impl IntoIterator<Item = i64>, period: i64, shards: u16) -> Vec<(u16, i64)> {
        let mut last = None;
        let mut all = Vec::new();
        for step in steps {
            let from = first_second_to_announce(last, step, TICK, period);
            all.extend(due_shards(from, step + TICK, period, shards));
            last = Some(step);
        }
        all
    }

    /// All that is due in these seconds, by the dullest way of looking.
    fn due(from: i64, until: i64, period: i64, shards: u16) -> Vec<(u16, i64)> {
        let numbers = from / period - 1..=until / period + 1;
        let mut all: Vec<(i64, u16, i64)> = numbers
            .flat_map(|number| {
                (0..shards).map(move |shard| (due_at(i64::from(shard), number, period, shards), shard, number))
            })
            .filter(|(at, ..)| (from..until).contains(at))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, shard, number)| (shard, number)).collect()
    }

    fn sorted(mut all: Vec<(u16, i64)>) -> Vec<(u16, i64)> {
        all.sort_unstable();
        all
    }

    /// Feed number `n` of an account, at the one host.
    fn feed_of(account: u64, n: u64, failing: bool) -> FetchState {
        let at = Timestamp::from_second(START).unwrap();
        let failure = Failure {
            kind: FailureKind::Unreachable,
            detail: "It hangs.".to_owned(),
            since: at,
            count: 1,
            last_attempt_at: at,
            retry_at: at,
        };
        let plan = a_plan(&a_property(account, account), n);
        FetchState { plan, health: FetchHealth { failure: failing.then_some(failure), ..FetchHealth::default() } }
    }

    #[test]
    fn feeds_that_hang_and_an_account_that_has_many_put_no_other_off() {
        let many = (0..90).map(|n| feed_of(1, n, false)).chain((100..108).map(|n| feed_of(2, n, false)));
        let read = in_turn(many.collect(), 7);
        let of_few = |state: &FetchState| state.plan.account == a_property(2, 2).account;
        assert_eq!(read[..16].iter().filter(|state| of_few(state)).count(), 8, "by turns");
        let failing = (0..90).map(|n| feed_of(1, n, true)).chain((100..108).map(|n| feed_of(1, n, false)));
        let read = in_turn(failing.collect(), 7);
        assert!(read[..8].iter().all(|state| state.health.failure.is_none()), "who answered last time is read first");
    }

    #[test]
    fn a_budget_for_a_fifth_of_the_feeds_reaches_each_of_them_within_a_day_of_sweeps() {
        let reached: BTreeSet<ConnectionId> = (0..96)
            .flat_map(|turn| {
                let states = in_turn((0..90).map(|n| feed_of(1, n, false)).collect(), turn);
                states.into_iter().take(18).map(|state| state.plan.connection)
            })
            .collect();
        assert_eq!(reached.len(), 90);
    }

    #[test]
    fn every_shard_is_announced_exactly_once_a_period_for_every_period() {
        for period in (60..=240).chain([299, 300, 600, 899, 900, 901, 3600, 5400, 86_400]) {
            for shards in [1, 2, 64] {
                let minutes = 4 * period / TICK + 7;
                let found = announced((0..minutes).map(|minute| START + minute * TICK), period, shards);
                let expected = due(START, START + minutes * TICK, period, shards);
                assert_eq!(sorted(found), sorted(expected), "{period} s, {shards} shards");
            }
        }
    }

    #[test]
    fn minutes_that_were_missed_are_made_up_for_and_nothing_comes_twice() {
        for period in [90, 150, 600, 900] {
            for gap in [2, 3, 5, 9] {
                let mut steps = (0..60).filter(|minute| minute % gap == 0).map(|minute| START + minute * TICK);
                let found = announced(steps.clone(), period, 64);
                let end = steps.next_back().unwrap() + TICK;
                let wanted = sorted(due(START, end, period, 64));
                let found = sorted(found);
                assert!(found.windows(2).all(|two| two[0] != two[1]), "{period} s, every {gap}th minute: none twice");
                assert!(found.iter().all(|one| wanted.contains(one)));
                // What was missed for longer than a period is not read twice over.
                if gap * TICK <= period {
                    assert_eq!(found, wanted, "{period} s, every {gap}th minute");
                } else {
                    let shards: BTreeSet<u16> = found.iter().map(|(shard, _)| *shard).collect();
                    assert_eq!(shards.len(), 64, "every shard has its turn");
                }
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_no_step_announce_more_than_every_shard_once() {
        let day = 86_400;
        let steps = [START, START + 400 * day, START + 60, START + 120, START - 400 * day, START + 180];
        let mut last = None;
        for step in steps {
            let from = first_second_to_announce(last, step, TICK, 900);
            let found = due_shards(from, step + TICK, 900, 64);
            assert!((1..=64).contains(&found.len()), "{found:?}");
            let shards: BTreeSet<u16> = found.iter().map(|(shard, _)| *shard).collect();
            assert_eq!(shards.len(), found.len(), "none twice");
            let own = due_shards(step, step + TICK, 900, 64);
            assert!(own.iter().all(|one| found.contains(one)), "the step's own are there");
            last = Some(step);
        }
    }
}
