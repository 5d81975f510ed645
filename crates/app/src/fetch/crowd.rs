//! Many feeds read at once: each host, each account and all together within their bounds.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use calmesh_calendar::{AccountId, ConnectionId};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    gathering::{Batch, Gathering, Read, ReadResult},
    seen::Seen,
};
use crate::{
    fetch::Fetch,
    health::keeps_away,
    model::{FailureKind, FetchPlan, FetchState, RefreshPart, spread_of},
    ports::BusError,
    schedule::is_turn_to_read_anew,
    trouble::WorkError,
};

/// Feeds that are read at the same time.
const AT_ONCE: usize = 64;
/// Of these, so many of one account where there are several.
const AT_ONCE_PER_ACCOUNT: usize = 32;
/// Of these, so many of one host.
const AT_ONCE_PER_HOST: usize = 6;

/// Feeds that are read in one go.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) states: Vec<FetchState>,
    /// Hosts that asked for less.
    pub(super) paused: &'a BTreeSet<String>,
    pub(super) why: Why<'a>,
    /// Nothing is begun after this long.
    pub(super) budget: Duration,
    /// Another number begins with others.
    pub(super) turn: i64,
}

/// Why feeds are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why<'a> {
    Sweep,
    /// Somebody asked for it. `is_kept_by_page`: the outcomes of the page say when an unchanged feed was read.
    Refresh {
        part: &'a RefreshPart,
        is_kept_by_page: bool,
    },
}

/// What a run tells.
#[derive(Debug)]
pub(super) enum Told {
    One(ConnectionId, Result<ReadResult, WorkError>),
    /// Until the instant that was asked for.
    NothingYet,
    /// Everything was told.
    All,
}

/// One feed's end: whose it is, and what came of it.
type Ended = (FetchPlan, Result<Read, WorkError>);

/// A reading of many feeds on its way. What merge must see is announced by properties.
pub(super) struct Run<'a> {
    fetch: &'a Fetch,
    why: Why<'a>,
    ended: BoxStream<'a, Ended>,
    gathering: Gathering,
    told: VecDeque<(ConnectionId, Result<ReadResult, WorkError>)>,
    is_over: bool,
}

impl Run<'_> {
    /// What became of the next feed, once it was read, and announced where merge must see it; or that nothing is known
    /// until an instant.
    pub(super) async fn next(&mut self, until: Option<Instant>) -> Told {
        loop {
            if let Some((connection, result)) = self.told.pop_front() {
                return Told::One(connection, result);
            }
            if self.is_over {
                return Told::All;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Told::NothingYet;
            }
            let ended = match self.gathering.until().into_iter().chain(until).min() {
                Some(until) => timeout_at(until, self.ended.next()).await.ok(),
                None => Some(self.ended.next().await),
            };
            let go = match ended {
                None => self.gathering.take_due(Some(Instant::now())),
                Some(None) => {
                    self.is_over = true;
                    self.gathering.take_due(None)
                }
                Some(Some((plan, read))) => self.take(plan, read).into_iter().collect(),
            };
            for batch in go {
                self.announce(batch).await;
            }
        }
    }

    fn take(&mut self, plan: FetchPlan, read: Result<Read, WorkError>) -> Option<Batch> {
        let found = match read {
            Ok(Read::ToMerge(found)) => Some(found),
            Ok(Read::Over(result)) => {
                self.told.push_back((plan.connection, Ok(result)));
                None
            }
            Err(error) => {
                self.told.push_back((plan.connection, Err(error)));
                None
            }
        };
        self.gathering.take((plan.account, plan.property), found, Instant::now())
    }

    async fn announce(&mut self, batch: Batch) {
        let part = match self.why {
            Why::Refresh { part, .. } => Some(part.clone()),
            Why::Sweep => None,
        };
        let done = self.fetch.bus.publish(&[batch.event(part)]).await;
        let failed = done.err().map(|error| (error.failed, error.total));
        for one in batch.readings {
            let told = match failed {
                None => Ok(one.result),
                Some((failed, total)) => Err(BusError { failed, total, source: None }.into()),
            };
            self.told.push_back((one.read.connection, told));
        }
    }
}

impl Fetch {
    /// Reads many feeds at once, within a budget for each host and one for all: a host that hangs holds up nobody
    /// but itself. Each `turn` begins with another host, and at each host in the order of [`in_turn`], so that no budget
    /// ends before the same ones every time.
    pub(super) fn read_all<'a>(&'a self, reading: Reading<'a>, seen: Seen) -> Run<'a> {
        let Reading { states, paused, why, budget, turn } = reading;
        let gathering = Gathering::of(&states);
        let mut accounts: BTreeMap<AccountId, Arc<Semaphore>> = BTreeMap::new();
        for state in &states {
            accounts.entry(state.plan.account.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_PER_ACCOUNT)));
        }
        if accounts.len() == 1 {
            accounts.clear();
        }
        let shared = Arc::new(Shared {
            places: Semaphore::new(AT_ONCE),
            accounts,
            end: Instant::now().checked_add(budget),
            now: self.clock.now(),
            is_refresh: matches!(why, Why::Refresh { .. }),
            is_kept_by_page: matches!(why, Why::Refresh { is_kept_by_page: true, .. }),
            turn,
            seen,
        });
        let hosts = hosts_in_turn(states, turn).into_iter().map(move |(host, states)| {
            let is_paused = paused.contains(&host);
            let shared = Arc::clone(&shared);
            stream::iter(in_turn(states, turn))
                .map(move |state| self.read_in_turn(state, is_paused, Arc::clone(&shared)))
                .buffer_unordered(AT_ONCE_PER_HOST)
        });
        let ended = stream::iter(hosts).flatten_unordered(None).boxed();
        Run { fetch: self, why, ended, gathering, told: VecDeque::new(), is_over: false }
    }

    async fn read_in_turn(&self, state: FetchState, is_paused: bool, shared: Arc<Shared>) -> Ended {
        let plan = state.plan.clone();
        // A host's `Retry-After` holds for the button too; another back-off does not.
        if is_paused || asked_for_less(&state, shared.now) {
            return (plan, Ok(Read::Over(ReadResult::HostPaused)));
        }
        self.traffic.turn_at(&plan.url.host()).await;
        // One account's feeds that hang leave places to the others.
        let own = shared.accounts.get(&plan.account);
        let _own = match own {
            Some(own) => own.acquire().await.ok(),
            None => None,
        };
        let _place = shared.places.acquire().await;
        if shared.end.is_some_and(|end| Instant::now() >= end) {
            return (plan, Ok(Read::Over(ReadResult::NotReached)));
        }
        let anew = shared.is_refresh || is_turn_to_read_anew(&state, shared.turn, self.settings.sweep_period);
        let read = self.read_one(state, anew, &shared).await;
        (plan, read)
    }
}

/// What all feeds of a run share.
pub(super) struct Shared {
    places: Semaphore,
    accounts: BTreeMap<AccountId, Arc<Semaphore>>,
    /// Nothing is begun after it.
    end: Option<Instant>,
    now: Timestamp,
    /// Somebody asked for it.
    pub(super) is_refresh: bool,
    /// When an unchanged feed was read is known from its page.
    pub(super) is_kept_by_page: bool,
    turn: i64,
    pub(super) seen: Seen,
}

/// Feeds by their hosts, of which each turn begins with another one.
fn hosts_in_turn(states: Vec<FetchState>, turn: i64) -> Vec<(String, Vec<FetchState>)> {
    let mut by_host: BTreeMap<String, Vec<FetchState>> = BTreeMap::new();
    for state in states {
        by_host.entry(state.plan.url.host()).or_default().push(state);
    }
    let mut hosts: Vec<(String, Vec<FetchState>)> = by_host.into_iter().collect();
    let count = i64::try_from(hosts.len()).unwrap_or(1).max(1);
    hosts.rotate_left(usize::try_from(turn.rem_euclid(count)).unwrap_or(0));
    hosts
}

/// The order in which one host's feeds are read: those that could be read last time before those that could not, and of
/// either the accounts by turns, each with its feeds in an order that is another one each turn. So a budget that ends
/// early ends for others each time, and feeds that hang end it for nobody but themselves. Every host has the feeds of one
/// property at about the same place, so that they are read at about the same time.
fn in_turn(states: Vec<FetchState>, turn: i64) -> Vec<FetchState> {
    let lot = |id: &str| spread_of(&format!("{turn} {id} {turn}"));
    let mut states: Vec<(bool, (u64, u64), FetchState)> = states
        .into_iter()
        .map(|state| {
            let lots = (lot(state.plan.property.as_str()), lot(state.plan.connection.as_str()));
            (state.health.failure.is_some(), lots, state)
        })
        .collect();
    states.sort_by_key(|(failing, lots, _)| (*failing, *lots));
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

/// Whether this connection's own site asked not to be read yet.
pub(super) fn asked_for_less(state: &FetchState, now: Timestamp) -> bool {
    let failure = state.health.failure.as_ref();
    failure.is_some_and(|failure| failure.kind == FailureKind::RateLimited && keeps_away(failure, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::{a_plan, a_property},
        model::{Failure, FetchHealth},
    };

    /// A second that is no multiple of anything here.
    const START: i64 = 1_796_378_460;

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
}
