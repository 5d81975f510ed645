//! Whether a connection can be read: failures and recoveries, what the host is told of them, when it is tried again.

use std::sync::Arc;

use calmesh_calendar::span::Later;
use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{
        Activity, ActivityKind, Failure, FailureKind, FetchState, HostPause, NOT_TAKEN_IN, Names, READ_AGAIN, Site,
        SweepRecord, bucket_of, found_unchanged, happened, is_ahead,
    },
    ports::{ActivityStore, Clock, FetchFailure, FetchStore, PropertyStore, Randomness, RefreshStore, StoreError},
    provider_words::with_help,
    schedule::is_turn_of,
    settings::Settings,
    trouble::WorkError,
    wiring::Common,
};

/// A query of plans may not see one that is younger.
const YOUNG_PLAN: SignedDuration = SignedDuration::from_secs(5);
/// So many times in a row a site is left alone for exactly as long as it asked; then for longer.
pub(crate) const AS_ASKED: u32 = 2;
const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_hours(4);
/// So long a site may ask to be left alone, at most.
pub(crate) const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_OWN_BACK_OFF: SignedDuration = SignedDuration::from_hours(1);

/// Notes when connections fail and recover.
#[derive(Clone)]
pub(crate) struct Failures {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) activity: Arc<dyn ActivityStore>,
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) settings: Arc<Settings>,
}

impl Failures {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            properties: common.properties.clone(),
            activity: common.activity.clone(),
            fetches: common.fetches.clone(),
            refreshes: common.refreshes.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            settings: common.settings.clone(),
        }
    }
}

impl Failures {
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

    /// Writes down when this feed was last read well by what wrote nothing: that speaks only for feeds without a failure.
    async fn remember_last_success(&self, state: &FetchState) -> Result<(), StoreError> {
        let (plan, now) = (&state.plan, self.clock.now());
        let sweeps = self.fetches.sweeps(&[bucket_of(&plan.connection)]).await?;
        let pages = match self.properties.property(&plan.property).await? {
            Some(property) => self.refreshes.refreshed_with(&property, self.clock.now()).await?,
            None => Vec::new(),
        };
        let refreshed = found_unchanged(&pages, &plan.connection, plan.since);
        let refreshed = happened(refreshed.filter(|_| counts_while_unrecorded(state)), now);
        match last_swept(state, &sweeps, &self.settings, now).max(refreshed) {
            Some(at) => match self.fetches.record_success(&plan.connection, plan.since, at, now).await {
                Err(StoreError::Stale) => Ok(()),
                other => other,
            },
            None => Ok(()),
        }
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
}

/// Whether a failure's back-off is not over. One that a clock wrote that was ahead keeps nobody away.
pub(crate) fn keeps_away(failure: &Failure, now: Timestamp) -> bool {
    failure.retry_at > now && !is_ahead(failure.last_attempt_at, now)
}

/// A good reading that we could not take in.
pub(crate) fn not_taken_in() -> FetchFailure {
    FetchFailure { kind: FailureKind::NotTakenIn, detail: NOT_TAKEN_IN.to_owned(), retry_after: None, host: None }
}

/// Whether what found a feed unchanged without writing so speaks for this one: not while it fails, or while what was read of
/// it is not taken in yet.
pub(crate) fn counts_while_unrecorded(state: &FetchState) -> bool {
    state.health.failure.is_none() && state.awaits().is_none()
}

/// The latest of these sweeps that read this connection well; none while it fails, or while what was read of it is
/// not taken in yet.
pub(crate) fn last_swept(
    state: &FetchState,
    sweeps: &[SweepRecord],
    settings: &Settings,
    now: Timestamp,
) -> Option<Timestamp> {
    let plan = &state.plan;
    let period = settings.sweep_period;
    if !counts_while_unrecorded(state) {
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

/// Whether a host is a provider's by its name alone. Neither what a user calls it nor what a feed says of itself
/// counts: a host that anybody can set up would else be paused for everybody.
pub(crate) fn is_of_known_provider(host: &str) -> bool {
    let url = url::Url::parse(&format!("https://{host}/")).ok();
    url.is_some_and(|url| calmesh_profiles::detect(Some(&url), None).id != calmesh_profiles::generic().id)
}
