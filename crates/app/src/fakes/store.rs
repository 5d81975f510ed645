//! Every store port in memory: one lock, so every call is atomic. Honest about `Stale` and `Exists`, and able to
//! be unavailable before or after a write. Keeps no clock: what expires by age in a real store stays here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_calendar::{
    AccountId, Block, BlockId, Claims, Conflict, ConflictId, ConnectionId, LinkId, PropertyId, RefreshId, TokenId,
    home_of, span::Later,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    locks::lock,
    model::{
        Account, Activity, AnnouncedReading, Budget, ClosedHold, ConflictRecord, Connection, Dirty, ExtraLink, Failure,
        FetchHealth, FetchPlan, FetchState, HostPause, LatestRefresh, LinkOwner, LinkReads, LinkToken, Outcome,
        Property, PropertyState, ReadTimes, Refresh, RefreshOutcome, RefreshPage, RefreshPart, RefreshScope, Replaced,
        RetiringLink, SecretHash, Snapshot, Spender, Spent, SweepRecord, Token, Validators, bucket_of, is_ahead,
        postponed,
    },
    ports::{
        AccountStore, ActivityStore, BudgetStore, FeedReader, FetchStore, IDEMPOTENCY_LEASE, IdempotencyStart,
        IdempotencyStore, LinkStore, Location, Mark, MarkStore, Page, PageRequest, ParkedBody, PlanChange,
        PropertyCommit, PropertyStore, RefreshStore, SmallBody, StoreError, WaitingBody, WaitingFeed,
    },
};

/// When a call that fails does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was read or written.
    Before,
    /// All was done, only the answer is lost.
    After,
}

/// All store ports over maps.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    calls: u64,
    /// Done before the call of this number.
    interruption: Option<(u64, Interruption)>,
    /// Numbers of calls that fail.
    planned: BTreeMap<u64, Moment>,
    /// From this call on nothing is done.
    dead_after: Option<u64>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    erasures: BTreeMap<AccountId, Dirty>,
    tokens: BTreeMap<(AccountId, TokenId), Token>,
    properties: BTreeMap<PropertyId, Held>,
    locations: BTreeMap<String, Location>,
    activity: BTreeMap<PropertyId, Vec<Activity>>,
    plans: BTreeMap<ConnectionId, (FetchPlan, FetchHealth)>,
    /// What waits with the plans.
    waiting: BTreeMap<ConnectionId, WaitingBody>,
    /// Small bodies that were taken in, and whether they go some day.
    bodies: BTreeMap<(ConnectionId, Snapshot), (ParkedBody, bool)>,
    bodies_put: usize,
    poisoned_bodies: Option<ConnectionId>,
    sweeps: BTreeMap<(u16, u16), SweepRecord>,
    pauses: BTreeMap<String, Timestamp>,
    last_step: Option<i64>,
    links: BTreeMap<LinkId, ExtraLink>,
    /// When a settled link must be looked at.
    link_wakes: BTreeMap<LinkId, Timestamp>,
    owners: BTreeMap<SecretHash, Owned>,
    refreshes: BTreeMap<RefreshId, (Refresh, BTreeMap<String, RefreshPage>)>,
    /// By account and scope.
    latest_refreshes: BTreeMap<(AccountId, String), LatestRefresh>,
    /// Marks of refreshes that may not be over.
    unfinished: BTreeMap<RefreshId, Dirty>,
    answers: BTreeMap<(AccountId, String), Answer>,
    /// When each is full again.
    budgets: BTreeMap<String, Timestamp>,
    /// The lists of feeds.
    feeds: BTreeSet<(AccountId, FeedReader)>,
}

struct Held {
    property: Property,
    connections: BTreeMap<ConnectionId, Connection>,
    blocks: BTreeMap<BlockId, Block>,
    retiring: BTreeMap<LinkToken, RetiringLink>,
    claims: Claims,
    conflicts: BTreeMap<ConflictId, Conflict>,
    records: BTreeMap<ConflictId, ConflictRecord>,
    closed: BTreeMap<(Timestamp, String), ClosedHold>,
    replaced: Vec<Replaced>,
}

struct Owned {
    owner: LinkOwner,
    last_read_at: Option<Timestamp>,
    /// Reads by hours since 1970.
    hours: BTreeMap<i64, u32>,
    times: BTreeSet<Timestamp>,
}

/// What comes in between two calls of a fake.
pub type Interruption = Box<dyn FnOnce() + Send>;

struct Answer {
    fingerprint: SecretHash,
    seed: [u8; 16],
    at: Timestamp,
    lease: Timestamp,
    sealed: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the test asked for this failure")]
struct Planned;

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `calls` calls are `Unavailable` and do nothing.
    pub fn fail_next(&self, calls: u64) {
        let mut faults = lock(&self.faults);
        let done = faults.calls;
        faults.planned.extend((1..=calls).map(|nth| (done + nth, Moment::Before)));
    }

    /// The `nth` call from now (1 is the next) is `Unavailable`.
    pub fn fail_call(&self, nth: u64, moment: Moment) {
        let mut faults = lock(&self.faults);
        let at = faults.calls + nth;
        faults.planned.insert(at, moment);
    }

    /// Call number `nth`, counted as `calls` does, and every later one are `Unavailable`: for whoever calls, it is the end.
    pub fn die_at_call(&self, nth: u64, moment: Moment) {
        let mut faults = lock(&self.faults);
        faults.planned.insert(nth, moment);
        faults.dead_after = Some(nth);
    }

    /// Ends what `die_at_call` began; answers whether it came to that call.
    pub fn revive(&self) -> bool {
        let mut faults = lock(&self.faults);
        faults.planned.clear();
        faults.dead_after.take().is_some_and(|nth| faults.calls >= nth)
    }

    /// How many there are of everything that a request makes: accounts, tokens, properties, connections, blocks,
    /// retiring links, extra links, refreshes.
    #[must_use]
    pub fn inventory(&self) -> Vec<usize> {
        let state = lock(&self.state);
        let held = |count: fn(&Held) -> usize| state.properties.values().map(count).sum();
        vec![
            state.accounts.len(),
            state.tokens.len(),
            state.properties.len(),
            held(|held| held.connections.len()),
            held(|held| held.blocks.len()),
            held(|held| held.retiring.len()),
            state.links.len(),
            state.refreshes.len(),
        ]
    }

    /// How many answers are kept.
    #[must_use]
    pub fn kept_answers(&self) -> usize {
        lock(&self.state).answers.values().filter(|answer| answer.sealed.is_some()).count()
    }

    /// How many small bodies there are of a connection, those that wait and those that expire included.
    #[must_use]
    pub fn bodies_of(&self, connection: &ConnectionId) -> usize {
        let state = lock(&self.state);
        let waits = matches!(state.waiting.get(connection), Some(WaitingBody::Small(_)));
        state.bodies.keys().filter(|(of, _)| of == connection).count() + usize::from(waits)
    }

    /// The small bodies that were taken in and do not expire.
    #[must_use]
    pub fn current_snapshots(&self, connection: &ConnectionId) -> Vec<Snapshot> {
        let state = lock(&self.state);
        let stay = state.bodies.iter().filter(|((of, _), (_, expires))| of == connection && !expires);
        stay.map(|((_, snapshot), _)| snapshot.clone()).collect()
    }

    /// How many bodies of a connection wait for a change to take them in.
    #[must_use]
    pub fn bodies_that_wait(&self, connection: &ConnectionId) -> usize {
        usize::from(matches!(lock(&self.state).waiting.get(connection), Some(WaitingBody::Small(_))))
    }

    /// Whoever reads a body of this connection panics from now on; nobody does with none.
    pub fn poison_bodies(&self, connection: Option<ConnectionId>) {
        lock(&self.state).poisoned_bodies = connection;
    }

    /// As after the 30 days that superseded bodies have.
    pub fn expire_superseded(&self) {
        lock(&self.state).bodies.retain(|_, (_, expires)| !*expires);
    }

    /// How many bodies were written down.
    #[must_use]
    pub fn bodies_put(&self) -> usize {
        lock(&self.state).bodies_put
    }

    /// Forgets every failure that has not happened yet; answers whether there was one.
    pub fn heal(&self) -> bool {
        !std::mem::take(&mut lock(&self.faults).planned).is_empty()
    }

    /// How many calls there were, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.faults).calls
    }

    /// Does this before the `nth` call from now (1 is the next). Whoever is interrupted waits for it.
    pub fn interrupt(&self, nth: u64, by: Interruption) {
        let mut faults = lock(&self.faults);
        faults.interruption = Some((faults.calls + nth, by));
    }

    /// Forgets an interruption that has not come; answers whether there was one.
    pub fn leave_alone(&self) -> bool {
        lock(&self.faults).interruption.take().is_some()
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let interruption = {
            let mut faults = lock(&self.faults);
            let next = faults.calls + 1;
            faults.interruption.take_if(|(nth, _)| *nth == next)
        };
        if let Some((_, interruption)) = interruption {
            interruption();
        }
        let fault = {
            let mut faults = lock(&self.faults);
            faults.calls += 1;
            let nth = faults.calls;
            let dead = faults.dead_after.is_some_and(|after| nth > after);
            faults.planned.remove(&nth).or(dead.then_some(Moment::Before))
        };
        if fault == Some(Moment::Before) {
            return Err(StoreError::Unavailable(Box::new(Planned)));
        }
        let answer = work(&mut lock(&self.state))?;
        match fault {
            Some(_) => Err(StoreError::Unavailable(Box::new(Planned))),
            None => Ok(answer),
        }
    }
}

/// A page of things that are already in order; a place in the list is the number of things before it.
fn page<T: Clone>(all: &[T], request: &PageRequest) -> Result<Page<T>, StoreError> {
    let start = match &request.after {
        None => 0,
        Some(after) => {
            after.parse::<usize>().map_err(|_| StoreError::Corrupt { what: "a place in a list".to_owned() })?
        }
    };
    let limit = usize::from(request.limit.max(1));
    let items: Vec<T> = all.iter().skip(start).take(limit).cloned().collect();
    let end = start + items.len();
    Ok(Page { items, next: (end < all.len()).then(|| end.to_string()) })
}

/// A page of things with a key: the place is the key of the last one, so that what comes and goes meanwhile moves
/// nothing.
fn keyed_page<T>(all: impl Iterator<Item = (String, T)>, request: &PageRequest) -> Page<T> {
    let limit = usize::from(request.limit.max(1));
    let mut rest = all.skip_while(|(key, _)| request.after.as_ref().is_some_and(|after| key <= after)).peekable();
    let mut items = Vec::new();
    let mut last = None;
    while items.len() < limit
        && let Some((key, item)) = rest.next()
    {
        items.push(item);
        last = Some(key);
    }
    Page { items, next: rest.peek().and(last) }
}

fn sortable(at: Timestamp) -> String {
    format!("{at:.9}")
}

impl Held {
    fn state(&self) -> PropertyState {
        let mut connections: Vec<Connection> = self.connections.values().cloned().collect();
        connections.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        PropertyState {
            property: self.property.clone(),
            connections,
            blocks: self.blocks.values().cloned().collect(),
            retiring: self.retiring.values().cloned().collect(),
            claims: self.claims.clone(),
            conflicts: self.conflicts.values().cloned().collect(),
        }
    }

    /// Puts a connection; when its export last changed never goes back while its link stays.
    fn put_connection(&mut self, connection: &Connection) {
        let mut connection = connection.clone();
        let known = self.connections.get(&connection.id).and_then(|known| known.export.as_ref());
        if let (Some(export), Some(known)) = (&mut connection.export, known)
            && export.token == known.token
        {
            export.last_changed_at = export.last_changed_at.max(known.last_changed_at);
        }
        self.connections.insert(connection.id.clone(), connection);
    }
}

impl State {
    fn put_account(&mut self, account: &Account) {
        match account.erasure() {
            Some(mark) => self.erasures.insert(account.id.clone(), mark),
            None => self.erasures.remove(&account.id),
        };
        self.accounts.insert(account.id.clone(), account.clone());
    }

    fn own(&mut self, token: &LinkToken, owner: &LinkOwner) {
        let owned = self.owners.entry(token.hash()).or_insert_with(|| Owned {
            owner: owner.clone(),
            last_read_at: None,
            hours: BTreeMap::new(),
            times: BTreeSet::new(),
        });
        owned.owner = owner.clone();
    }

    /// Every mark with its time and whether it is dirty, in order of time.
    fn marks(&self) -> Vec<(Timestamp, Mark, bool)> {
        let time = |dirty: Option<Dirty>, wake_at: Option<Timestamp>| {
            dirty.map(|dirty| dirty.announce_at).into_iter().chain(wake_at).min()
        };
        let properties = self.properties.values().filter_map(|held| {
            let Property { id, dirty, wake_at, .. } = &held.property;
            Some((time(*dirty, *wake_at)?, Mark::Property { id: id.clone() }, dirty.is_some()))
        });
        let links = self.links.values().filter_map(|link| {
            let wake_at = self.link_wakes.get(&link.id).copied();
            Some((time(link.dirty, wake_at)?, Mark::Link { id: link.id.clone() }, link.dirty.is_some()))
        });
        let accounts =
            self.erasures.iter().map(|(id, mark)| (mark.announce_at, Mark::Account { id: id.clone() }, true));
        let refreshes =
            self.unfinished.iter().map(|(id, mark)| (mark.announce_at, Mark::Refresh { id: id.clone() }, true));
        let mut marks: Vec<_> = properties.chain(links).chain(accounts).chain(refreshes).collect();
        marks.sort();
        marks
    }

    fn drop_link(&mut self, id: &LinkId) -> bool {
        let Some(link) = self.links.remove(id) else { return false };
        self.link_wakes.remove(id);
        self.owners.remove(&link.token.hash());
        true
    }
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn create_account(&self, account: &Account, first_token: Option<&Token>) -> Result<(), StoreError> {
        self.call(|state| {
            let taken = |token: &Token| state.tokens.values().any(|known| clash(known, token));
            if state.accounts.contains_key(&account.id) || first_token.is_some_and(taken) {
                return Err(StoreError::Exists);
            }
            state.put_account(account);
            if let Some(token) = first_token {
                state.tokens.insert((token.account.clone(), token.id.clone()), token.clone());
            }
            Ok(())
        })
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.call(|state| Ok(state.accounts.get(id).cloned()))
    }

    async fn accounts(&self, request: PageRequest) -> Result<Page<Account>, StoreError> {
        self.call(|state| {
            let all = state.accounts.values().map(|account| (account.id.to_string(), account.clone()));
            Ok(keyed_page(all, &request))
        })
    }

    async fn update_account(&self, account: &Account) -> Result<(), StoreError> {
        self.call(|state| match state.accounts.get(&account.id) {
            Some(known) if known.version + 1 == account.version => {
                state.put_account(account);
                Ok(())
            }
            _ => Err(StoreError::Stale),
        })
    }

    async fn purge_access(&self, id: &AccountId) -> Result<(), StoreError> {
        self.call(|state| {
            state.tokens.retain(|(account, _), _| account != id);
            state.answers.retain(|(account, _), _| account != id);
            Ok(())
        })
    }

    async fn purge_account(&self, id: &AccountId) -> Result<(), StoreError> {
        self.call(|state| {
            let links: Vec<LinkId> =
                state.links.values().filter(|link| link.account == *id).map(|link| link.id.clone()).collect();
            for link in links {
                state.drop_link(&link);
            }
            state.tokens.retain(|(account, _), _| account != id);
            state.answers.retain(|(account, _), _| account != id);
            state.feeds.retain(|(account, _)| account != id);
            state.accounts.remove(id);
            state.erasures.remove(id);
            Ok(())
        })
    }

    async fn create_token(&self, token: &Token) -> Result<(), StoreError> {
        self.call(|state| {
            if state.tokens.values().any(|known| clash(known, token)) {
                return Err(StoreError::Exists);
            }
            state.tokens.insert((token.account.clone(), token.id.clone()), token.clone());
            Ok(())
        })
    }

    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<Token>, StoreError> {
        self.call(|state| Ok(state.tokens.values().find(|token| token.hash == *hash).cloned()))
    }

    async fn tokens(&self, account: &AccountId, request: PageRequest) -> Result<Page<Token>, StoreError> {
        self.call(|state| {
            let own = state.tokens.values().filter(|token| token.account == *account);
            Ok(keyed_page(own.map(|token| (token.id.to_string(), token.clone())), &request))
        })
    }

    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<bool, StoreError> {
        self.call(|state| Ok(state.tokens.remove(&(account.clone(), id.clone())).is_some()))
    }
}

fn clash(known: &Token, new: &Token) -> bool {
    known.hash == new.hash || (known.account == new.account && known.id == new.id)
}

#[async_trait]
impl PropertyStore for MemoryStore {
    async fn property(&self, id: &PropertyId) -> Result<Option<Property>, StoreError> {
        self.call(|state| Ok(state.properties.get(id).map(|held| held.property.clone())))
    }

    async fn properties(&self, account: &AccountId, request: PageRequest) -> Result<Page<Property>, StoreError> {
        self.call(|state| {
            let all = state.properties.values().map(|held| &held.property);
            let own = all.filter(|property| property.account == *account && property.deleted_at.is_none());
            let ordered: BTreeMap<String, Property> = own
                .map(|property| (format!("{}#{}", sortable(property.created_at), property.id), property.clone()))
                .collect();
            Ok(keyed_page(ordered.into_iter(), &request))
        })
    }

    async fn count_properties(&self, account: &AccountId, most: usize) -> Result<usize, StoreError> {
        self.call(|state| {
            let all = state.properties.values().map(|held| &held.property);
            let own = all.filter(|property| property.account == *account && property.deleted_at.is_none());
            Ok(own.take(most).count())
        })
    }

    async fn load(&self, id: &PropertyId) -> Result<Option<PropertyState>, StoreError> {
        self.call(|state| {
            let Some(held) = state.properties.get(id) else { return Ok(None) };
            held.property.house().map_err(|error| StoreError::Corrupt { what: format!("a property: {error}") })?;
            Ok(Some(held.state()))
        })
    }

    async fn commit(&self, commit: &PropertyCommit) -> Result<(), StoreError> {
        self.call(|state| {
            let property = &commit.property;
            match state.properties.get(&property.id) {
                Some(_) if property.revision == 1 => return Err(StoreError::Exists),
                None if property.revision == 1 => {
                    let account = state.accounts.get(&property.account);
                    if account.is_none_or(|account| account.deleted_at.is_some()) {
                        return Err(StoreError::Stale);
                    }
                }
                Some(held) if held.property.revision + 1 == property.revision => {}
                _ => return Err(StoreError::Stale),
            }
            for change in &commit.plans {
                let PlanChange::Put { plan, taken: Some(taken), .. } = change else { continue };
                let announced = state.plans.get(&plan.connection).and_then(|(_, health)| health.announced);
                if announced.is_none_or(|announced| announced.read_at != *taken) {
                    return Err(StoreError::Stale);
                }
            }
            let home = home_of(property.id.as_str()).unwrap_or_default().to_owned();
            let location = Location { account: property.account.clone(), property: property.id.clone() };
            if state.locations.entry(home).or_insert_with(|| location.clone()) != &location {
                return Err(StoreError::Exists);
            }
            let held = state.properties.entry(property.id.clone()).or_insert_with(|| Held {
                property: property.clone(),
                connections: BTreeMap::new(),
                blocks: BTreeMap::new(),
                retiring: BTreeMap::new(),
                claims: Claims::default(),
                conflicts: BTreeMap::new(),
                records: BTreeMap::new(),
                closed: BTreeMap::new(),
                replaced: Vec::new(),
            });
            held.replaced.extend(commit.replaced.clone());
            held.property = property.clone();
            for connection in &commit.put_connections {
                held.put_connection(connection);
            }
            for id in &commit.remove_connections {
                held.connections.remove(id);
            }
            for block in &commit.put_blocks {
                held.blocks.insert(block.id.clone(), block.clone());
            }
            for id in &commit.remove_blocks {
                held.blocks.remove(id);
            }
            held.retiring.extend(commit.put_retiring.iter().map(|link| (link.token.clone(), link.clone())));
            held.retiring.retain(|token, _| !commit.remove_retiring.contains(token));
            held.claims.connections.extend(commit.put_claims.clone());
            held.claims.connections.retain(|connection, _| !commit.remove_claims.contains(connection));
            for conflict in &commit.put_conflicts {
                held.conflicts.insert(conflict.id.clone(), conflict.clone());
            }
            held.conflicts.retain(|id, _| !commit.remove_conflicts.contains(id));
            for record in &commit.conflict_records {
                held.records.insert(record.conflict.id.clone(), record.clone());
            }
            for closed in &commit.closed_holds {
                held.closed.insert((closed.closed_at, closed.hold.id.to_string()), closed.clone());
            }
            for change in &commit.plans {
                match change {
                    PlanChange::Put { plan, fresh, taken } => {
                        if *fresh || taken.is_some() {
                            state.waiting.remove(&plan.connection);
                        }
                        let known = state.plans.remove(&plan.connection).filter(|_| !fresh);
                        let health = known.map(|(_, health)| health).unwrap_or_default();
                        state.plans.insert(plan.connection.clone(), (plan.clone(), health));
                    }
                    PlanChange::Remove(connection) => {
                        state.plans.remove(connection);
                        state.waiting.remove(connection);
                    }
                }
            }
            state.bodies_put += commit.put_bodies.len();
            for (connection, body) in &commit.put_bodies {
                state.bodies.insert((connection.clone(), body.snapshot.clone()), (own_bytes(&body.parked), false));
            }
            for superseded in &commit.superseded_bodies {
                state.bodies.entry(superseded.clone()).and_modify(|(_, expires)| *expires = true);
            }
            let entry = |(mark, connection): &(SecretHash, ConnectionId)| {
                let (connection, property) = (connection.clone(), commit.property.id.clone());
                (commit.property.account.clone(), FeedReader { mark: *mark, connection, property })
            };
            state.feeds.extend(commit.put_feeds.iter().map(entry));
            for gone in commit.remove_feeds.iter().map(entry) {
                state.feeds.remove(&gone);
            }
            for (token, owner) in &commit.owners {
                match owner {
                    Some(owner) => state.own(token, owner),
                    None => {
                        state.owners.remove(&token.hash());
                    }
                }
            }
            for entry in &commit.activity {
                state.activity.entry(entry.property.clone()).or_default().push(entry.clone());
            }
            Ok(())
        })
    }

    async fn replaced_after(&self, id: &PropertyId, after: Timestamp) -> Result<Vec<Replaced>, StoreError> {
        self.call(|state| {
            let all = state.properties.get(id).into_iter().flat_map(|held| &held.replaced);
            Ok(all.filter(|change| change.at > after).cloned().collect())
        })
    }

    async fn kept_body(
        &self,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, StoreError> {
        self.call(|state| {
            assert!(state.poisoned_bodies.as_ref() != Some(connection), "this body is poisoned");
            let kept = state.bodies.get(&(connection.clone(), snapshot.clone()));
            Ok(kept.map(|(parked, _)| parked.clone()))
        })
    }

    async fn forget_bodies(&self, connection: &ConnectionId) -> Result<(), StoreError> {
        self.call(|state| {
            state.bodies.retain(|(of, _), _| of != connection);
            Ok(())
        })
    }

    async fn settle(
        &self,
        id: &PropertyId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        exports_changed: &[(ConnectionId, Timestamp)],
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let held = state.properties.get_mut(id).filter(|held| held.property.revision == rendered_revision);
            let held = held.ok_or(StoreError::Stale)?;
            held.property.dirty = None;
            held.property.wake_at = wake_at;
            for (connection, at) in exports_changed {
                if let Some(export) = held.connections.get_mut(connection).and_then(|known| known.export.as_mut()) {
                    export.last_changed_at = export.last_changed_at.max(Some(*at));
                }
            }
            Ok(())
        })
    }

    async fn forget_past(&self, id: &PropertyId) -> Result<(), StoreError> {
        self.call(|state| {
            state.activity.remove(id);
            let Some(held) = state.properties.get_mut(id) else { return Ok(()) };
            held.replaced.clear();
            held.closed.clear();
            held.records.clear();
            Ok(())
        })
    }

    async fn purge(&self, id: &PropertyId) -> Result<(), StoreError> {
        self.call(|state| {
            for connection in state.properties.remove(id).iter().flat_map(|held| held.connections.keys()) {
                state.bodies.retain(|(of, _), _| of != connection);
                state.waiting.remove(connection);
            }
            state.activity.remove(id);
            state.locations.retain(|_, location| location.property != *id);
            state.plans.retain(|_, (plan, _)| plan.property != *id);
            state.feeds.retain(|(_, reader)| reader.property != *id);
            state
                .owners
                .retain(|_, owned| !matches!(&owned.owner, LinkOwner::Connection { property, .. } if property == id));
            Ok(())
        })
    }

    async fn locate(&self, id: &str) -> Result<Option<Location>, StoreError> {
        self.call(|state| Ok(home_of(id).and_then(|home| state.locations.get(home)).cloned()))
    }

    async fn feed_readers(
        &self,
        account: &AccountId,
        marks: &BTreeSet<SecretHash>,
        most: usize,
    ) -> Result<Vec<FeedReader>, StoreError> {
        self.call(|state| {
            let of = |mark: &SecretHash| {
                let all = state.feeds.iter().filter(move |(of, reader)| of == account && reader.mark == *mark);
                all.map(|(_, reader)| reader.clone()).take(most).collect::<Vec<_>>()
            };
            Ok(marks.iter().flat_map(of).collect())
        })
    }

    async fn closed_holds(&self, id: &PropertyId, request: PageRequest) -> Result<Page<ClosedHold>, StoreError> {
        self.call(|state| {
            let held = state.properties.get(id);
            let newest: Vec<ClosedHold> =
                held.map(|held| held.closed.values().rev().cloned().collect()).unwrap_or_default();
            page(&newest, &request)
        })
    }

    async fn conflict_records(
        &self,
        account: &AccountId,
        property: Option<&PropertyId>,
        request: PageRequest,
    ) -> Result<Page<ConflictRecord>, StoreError> {
        self.call(|state| {
            let own = state.properties.values().filter(|held| held.property.account == *account);
            let wanted = own.filter(|held| property.is_none_or(|property| held.property.id == *property));
            let mut records: Vec<ConflictRecord> = wanted.flat_map(|held| held.records.values().cloned()).collect();
            records.sort_by(|a, b| {
                let place = |record: &ConflictRecord| (record.property.clone(), record.conflict.opened_at);
                place(b).cmp(&place(a)).then_with(|| b.conflict.id.cmp(&a.conflict.id))
            });
            page(&records, &request)
        })
    }
}

#[async_trait]
impl ActivityStore for MemoryStore {
    async fn activity(&self, property: &PropertyId, request: PageRequest) -> Result<Page<Activity>, StoreError> {
        self.call(|state| {
            let mut entries = state.activity.get(property).cloned().unwrap_or_default();
            entries.sort_by_key(|entry| entry.at);
            entries.reverse();
            page(&entries, &request)
        })
    }

    async fn append_activity(&self, entries: &[Activity]) -> Result<(), StoreError> {
        self.call(|state| {
            for entry in entries {
                state.activity.entry(entry.property.clone()).or_default().push(entry.clone());
            }
            Ok(())
        })
    }
}

#[async_trait]
impl FetchStore for MemoryStore {
    async fn plans(
        &self,
        first_bucket: u16,
        last_bucket: u16,
        request: PageRequest,
    ) -> Result<Page<FetchState>, StoreError> {
        self.call(|state| {
            let ordered: BTreeMap<String, FetchState> = state
                .plans
                .values()
                .map(|(plan, health)| (bucket_of(&plan.connection), plan, health))
                .filter(|(bucket, ..)| (first_bucket..=last_bucket).contains(bucket))
                .map(|(bucket, plan, health)| {
                    let key = format!("{bucket:04}#{}", plan.connection);
                    (key, FetchState { plan: plan.clone(), health: health.clone() })
                })
                .collect();
            Ok(keyed_page(ordered.into_iter(), &request))
        })
    }

    async fn fetch_states(
        &self,
        connections: &[ConnectionId],
    ) -> Result<BTreeMap<ConnectionId, FetchState>, StoreError> {
        self.call(|state| {
            let known = connections.iter().filter_map(|id| {
                let (plan, health) = state.plans.get(id)?;
                Some((id.clone(), FetchState { plan: plan.clone(), health: health.clone() }))
            });
            Ok(known.collect())
        })
    }

    async fn record_failure(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        failure: &Failure,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let (_, health) = standing(state, connection, plan_since)?;
            health.failure = Some(failure.clone());
            Ok(())
        })
    }

    async fn record_success(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let (_, health) = standing(state, connection, plan_since)?;
            if health.last_success_at.is_none_or(|known| known <= at || known > now) {
                *health = FetchHealth { failure: None, last_success_at: Some(at), announced: health.announced };
            }
            Ok(())
        })
    }

    async fn record_announced(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        announced: &AnnouncedReading,
        waiting: &WaitingBody,
        last_success_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let (_, health) = standing(state, connection, plan_since)?;
            let is_later = |known: AnnouncedReading| {
                known.read_at > announced.read_at && !is_ahead(known.read_at, announced.read_at)
            };
            if health.announced.is_some_and(is_later) {
                return Ok(());
            }
            health.announced = Some(*announced);
            health.last_success_at = last_success_at.or(health.last_success_at);
            state.bodies_put += usize::from(matches!(waiting, WaitingBody::Small(_)));
            state.waiting.insert(connection.clone(), copied(waiting));
            Ok(())
        })
    }

    async fn waiting(&self, connections: &[ConnectionId]) -> Result<BTreeMap<ConnectionId, WaitingFeed>, StoreError> {
        self.call(|state| {
            assert!(state.poisoned_bodies.as_ref().is_none_or(|id| !connections.contains(id)), "this body is poisoned");
            let known = connections.iter().filter_map(|id| {
                let (plan, health) = state.plans.get(id)?;
                let feed = FetchState { plan: plan.clone(), health: health.clone() };
                Some((id.clone(), WaitingFeed { state: feed, body: state.waiting.get(id).cloned() }))
            });
            Ok(known.collect())
        })
    }

    async fn record_validators(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        validators: &Validators,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let (plan, _) = standing(state, connection, plan_since)?;
            plan.validators = validators.clone();
            plan.validators_at = Some(at);
            Ok(())
        })
    }

    async fn record_sweep(&self, record: &SweepRecord) -> Result<(), StoreError> {
        self.call(|state| {
            let key = (record.first_bucket, record.last_bucket);
            let is_later =
                |known: &SweepRecord| known.number > record.number && !is_ahead(known.started_at, record.started_at);
            if !state.sweeps.get(&key).is_some_and(is_later) {
                state.sweeps.insert(key, record.clone());
            }
            Ok(())
        })
    }

    async fn sweeps(&self, buckets: &[u16]) -> Result<Vec<SweepRecord>, StoreError> {
        self.call(|state| {
            let asked: BTreeSet<u16> = buckets.iter().copied().collect();
            let covers = |record: &&SweepRecord| asked.range(record.first_bucket..=record.last_bucket).next().is_some();
            Ok(state.sweeps.values().filter(covers).cloned().collect())
        })
    }

    async fn last_step(&self) -> Result<Option<i64>, StoreError> {
        self.call(|state| Ok(state.last_step))
    }

    async fn record_step(&self, step: i64) -> Result<(), StoreError> {
        self.call(|state| {
            state.last_step = Some(step);
            Ok(())
        })
    }

    async fn pause_host(&self, pause: &HostPause) -> Result<(), StoreError> {
        self.call(|state| {
            let until = state.pauses.entry(pause.host.clone()).or_insert(pause.until);
            *until = pause.until.max(*until);
            Ok(())
        })
    }

    async fn paused_hosts(&self, hosts: &BTreeSet<String>, now: Timestamp) -> Result<Vec<HostPause>, StoreError> {
        self.call(|state| {
            let standing = state.pauses.iter().filter(|(host, until)| **until > now && hosts.contains(*host));
            Ok(standing.map(|(host, until)| HostPause { host: host.clone(), until: *until }).collect())
        })
    }
}

fn standing<'a>(
    state: &'a mut State,
    connection: &ConnectionId,
    since: Timestamp,
) -> Result<&'a mut (FetchPlan, FetchHealth), StoreError> {
    state.plans.get_mut(connection).filter(|(plan, _)| plan.since == since).ok_or(StoreError::Stale)
}

/// A store has bytes of its own: what came keeps nobody's room.
fn own_bytes(parked: &ParkedBody) -> ParkedBody {
    ParkedBody { body: Bytes::copy_from_slice(&parked.body), validators: parked.validators.clone() }
}

fn copied(waiting: &WaitingBody) -> WaitingBody {
    match waiting {
        WaitingBody::Small(SmallBody { snapshot, parked }) => {
            WaitingBody::Small(SmallBody { snapshot: snapshot.clone(), parked: own_bytes(parked) })
        }
        WaitingBody::Parked(snapshot) => WaitingBody::Parked(snapshot.clone()),
    }
}

fn put_off(mark: Option<&mut Dirty>, now: Timestamp) {
    if let Some(mark) = mark {
        *mark = postponed(Some(*mark), None, now).0.unwrap_or(*mark);
    }
}

#[async_trait]
impl MarkStore for MemoryStore {
    async fn due(&self, now: Timestamp, limit: u16) -> Result<Vec<Mark>, StoreError> {
        self.call(|state| {
            let due = state.marks().into_iter().filter(|(at, ..)| *at <= now);
            Ok(due.take(usize::from(limit)).map(|(_, mark, _)| mark).collect())
        })
    }

    async fn dirty(&self, limit: u16) -> Result<Vec<Mark>, StoreError> {
        self.call(|state| {
            let dirty = state.marks().into_iter().filter(|(.., dirty)| *dirty);
            Ok(dirty.take(usize::from(limit)).map(|(_, mark, _)| mark).collect())
        })
    }

    async fn postpone(&self, mark: &Mark, now: Timestamp) -> Result<(), StoreError> {
        self.call(|state| {
            match mark {
                Mark::Property { id } => {
                    if let Some(held) = state.properties.get_mut(id) {
                        let Property { dirty, wake_at, .. } = &mut held.property;
                        (*dirty, *wake_at) = postponed(*dirty, *wake_at, now);
                    }
                }
                Mark::Link { id } => {
                    if let Some(link) = state.links.get_mut(id) {
                        let (dirty, wake_at) = postponed(link.dirty, state.link_wakes.remove(id), now);
                        link.dirty = dirty;
                        state.link_wakes.extend(wake_at.map(|at| (id.clone(), at)));
                    }
                }
                Mark::Account { id } => put_off(state.erasures.get_mut(id), now),
                Mark::Refresh { id } => put_off(state.unfinished.get_mut(id), now),
            }
            Ok(())
        })
    }
}

#[async_trait]
impl LinkStore for MemoryStore {
    async fn links(&self, account: &AccountId, request: PageRequest) -> Result<Page<ExtraLink>, StoreError> {
        self.call(|state| {
            let own = state.links.values().filter(|link| link.account == *account);
            let ordered: BTreeMap<String, ExtraLink> =
                own.map(|link| (format!("{}#{}", sortable(link.created_at), link.id), link.clone())).collect();
            Ok(keyed_page(ordered.into_iter(), &request))
        })
    }

    async fn count_links(&self, account: &AccountId, most: usize) -> Result<usize, StoreError> {
        self.call(|state| Ok(state.links.values().filter(|link| link.account == *account).take(most).count()))
    }

    async fn link(&self, id: &LinkId) -> Result<Option<ExtraLink>, StoreError> {
        self.call(|state| Ok(state.links.get(id).cloned()))
    }

    async fn put_link(&self, link: &ExtraLink) -> Result<(), StoreError> {
        self.call(|state| {
            match state.links.get(&link.id) {
                Some(_) if link.revision == 1 => return Err(StoreError::Exists),
                None if link.revision == 1 => {}
                Some(known) if known.revision + 1 == link.revision => {
                    if known.token != link.token {
                        state.owners.remove(&known.token.hash());
                    }
                }
                _ => return Err(StoreError::Stale),
            }
            let owner = LinkOwner::Link { account: link.account.clone(), link: link.id.clone() };
            state.own(&link.token, &owner);
            state.links.insert(link.id.clone(), link.clone());
            state.link_wakes.remove(&link.id);
            Ok(())
        })
    }

    async fn settle_link(
        &self,
        id: &LinkId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        last_changed_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let link = state.links.get_mut(id).filter(|link| link.revision == rendered_revision);
            let link = link.ok_or(StoreError::Stale)?;
            link.dirty = None;
            state.link_wakes.remove(id);
            state.link_wakes.extend(wake_at.map(|at| (id.clone(), at)));
            link.last_changed_at = last_changed_at.or(link.last_changed_at);
            Ok(())
        })
    }

    async fn delete_link(&self, id: &LinkId) -> Result<bool, StoreError> {
        self.call(|state| Ok(state.drop_link(id)))
    }

    async fn owner(&self, token: &SecretHash) -> Result<Option<LinkOwner>, StoreError> {
        self.call(|state| Ok(state.owners.get(token).map(|owned| owned.owner.clone())))
    }

    async fn record_reads(&self, token: &SecretHash, times: &BTreeSet<Timestamp>) -> Result<(), StoreError> {
        self.call(|state| {
            if let Some(owned) = state.owners.get_mut(token) {
                owned.last_read_at = owned.last_read_at.max(times.last().copied());
                for at in times {
                    if owned.times.insert(*at) {
                        *owned.hours.entry(hour_of(*at)).or_default() += 1;
                    }
                }
            }
            Ok(())
        })
    }

    async fn reads(&self, tokens: &[SecretHash], now: Timestamp) -> Result<Vec<LinkReads>, StoreError> {
        self.call(|state| {
            let reads = tokens.iter().map(|token| {
                state.owners.get(token).map_or_else(LinkReads::default, |owned| LinkReads {
                    last_read_at: owned.last_read_at,
                    reads_24h: owned.hours.range(hour_of(now) - 23..).map(|(_, count)| count).sum(),
                })
            });
            Ok(reads.collect())
        })
    }

    async fn read_times(&self, tokens: &[SecretHash]) -> Result<Vec<ReadTimes>, StoreError> {
        self.call(|state| {
            let times = tokens.iter().map(|token| {
                let times = state.owners.get(token).map(|owned| owned.times.iter().copied().collect());
                ReadTimes { times: times.unwrap_or_default(), whole_since: None }
            });
            Ok(times.collect())
        })
    }
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3600)
}

#[async_trait]
impl BudgetStore for MemoryStore {
    async fn spend(
        &self,
        spender: &Spender,
        budget: Budget,
        patience: SignedDuration,
        now: Timestamp,
    ) -> Result<Spent, StoreError> {
        self.call(|state| {
            let (spent, full_at) = budget.spend(state.budgets.get(&spender.key()).copied(), patience, now);
            state.budgets.extend(full_at.map(|at| (spender.key(), at)));
            Ok(spent)
        })
    }
}

#[async_trait]
impl RefreshStore for MemoryStore {
    async fn create_refresh(&self, refresh: &Refresh, pending: &[ConnectionId]) -> Result<(), StoreError> {
        self.call(|state| {
            if state.refreshes.contains_key(&refresh.id) {
                return Err(StoreError::Exists);
            }
            let mut pages = BTreeMap::new();
            if !pending.is_empty() {
                let outcomes = pending.iter().map(|id| (id.clone(), Outcome::Pending)).collect();
                pages.insert(String::new(), RefreshPage { started_at: refresh.requested_at, outcomes });
            }
            state.refreshes.insert(refresh.id.clone(), (refresh.clone(), pages));
            state.unfinished.extend(refresh.mark(pending).map(|mark| (refresh.id.clone(), mark)));
            Ok(())
        })
    }

    async fn finish_refresh(&self, id: &RefreshId) -> Result<(), StoreError> {
        self.call(|state| {
            state.unfinished.remove(id);
            Ok(())
        })
    }

    async fn refresh(&self, id: &RefreshId) -> Result<Option<Refresh>, StoreError> {
        self.call(|state| Ok(state.refreshes.get(id).map(|(refresh, _)| refresh.clone())))
    }

    async fn latest_refresh(
        &self,
        account: &AccountId,
        scope: &RefreshScope,
    ) -> Result<Option<LatestRefresh>, StoreError> {
        self.call(|state| Ok(state.latest_refreshes.get(&(account.clone(), scope.key())).cloned()))
    }

    async fn claim_latest(&self, refresh: &Refresh, known: Option<&RefreshId>) -> Result<(), StoreError> {
        self.call(|state| {
            let place = (refresh.account.clone(), refresh.scope.key());
            if state.latest_refreshes.get(&place).map(|latest| &latest.id) != known {
                return Err(StoreError::Stale);
            }
            let before = known.cloned();
            let latest = LatestRefresh { id: refresh.id.clone(), requested_at: refresh.requested_at, before };
            state.latest_refreshes.insert(place, latest);
            Ok(())
        })
    }

    async fn add_pending(
        &self,
        refresh: &Refresh,
        page: &str,
        connections: &[ConnectionId],
        now: Timestamp,
    ) -> Result<Vec<ConnectionId>, StoreError> {
        self.call(|state| {
            let Some((_, pages)) = state.refreshes.get_mut(&refresh.id) else { return Ok(Vec::new()) };
            let fresh = || RefreshPage { started_at: now, outcomes: BTreeMap::new() };
            let page = pages.entry(page.to_owned()).or_insert_with(fresh);
            let waits = connections.iter().filter(|connection| {
                *page.outcomes.entry((*connection).clone()).or_insert(Outcome::Pending) == Outcome::Pending
            });
            Ok(waits.cloned().collect())
        })
    }

    async fn mark_spread(&self, id: &RefreshId) -> Result<(), StoreError> {
        self.call(|state| {
            if let Some((refresh, _)) = state.refreshes.get_mut(id) {
                refresh.spread = true;
            }
            Ok(())
        })
    }

    async fn record_outcomes(
        &self,
        part: &RefreshPart,
        outcomes: &[(ConnectionId, Outcome)],
    ) -> Result<(), StoreError> {
        self.call(|state| {
            let Some((refresh, pages)) = state.refreshes.get_mut(&part.refresh) else { return Ok(()) };
            let fresh = || RefreshPage { started_at: refresh.requested_at, outcomes: BTreeMap::new() };
            let page = pages.entry(part.page.clone()).or_insert_with(fresh);
            for (connection, outcome) in outcomes {
                let known = page.outcomes.entry(connection.clone()).or_insert(Outcome::Pending);
                if *known == Outcome::Pending {
                    *known = outcome.clone();
                }
            }
            Ok(())
        })
    }

    async fn outcomes(&self, id: &RefreshId, request: PageRequest) -> Result<Page<RefreshOutcome>, StoreError> {
        self.call(|state| {
            let pages = state.refreshes.get(id).map(|(_, pages)| pages.clone()).unwrap_or_default();
            let all = pages.into_iter().flat_map(|(page, known)| {
                known.outcomes.into_iter().map(move |(connection, outcome)| {
                    (format!("{page}/{connection}"), RefreshOutcome { connection, outcome })
                })
            });
            Ok(keyed_page(all, &request))
        })
    }

    async fn page_with(&self, id: &RefreshId, property: &Property) -> Result<Option<RefreshPage>, StoreError> {
        self.call(|state| {
            let place = format!("{}#{}", sortable(property.created_at), property.id);
            let pages = state.refreshes.get(id).map(|(_, pages)| pages);
            Ok(pages.and_then(|pages| Some(pages.range(..place).next_back()?.1.clone())))
        })
    }

    async fn any_pending(&self, id: &RefreshId) -> Result<bool, StoreError> {
        self.call(|state| {
            let pages = state.refreshes.get(id).map(|(_, pages)| pages);
            let mut all = pages.into_iter().flat_map(|pages| pages.values()).flat_map(|page| page.outcomes.values());
            Ok(all.any(|outcome| *outcome == Outcome::Pending))
        })
    }
}

/// A request that has not come to its end after this long is taken for dead.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn start(
        &self,
        account: &AccountId,
        key: &str,
        fingerprint: &SecretHash,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<IdempotencyStart, StoreError> {
        self.call(|state| {
            let place = (account.clone(), key.to_owned());
            let fresh =
                Answer { fingerprint: *fingerprint, seed, at: now, lease: now.later(IDEMPOTENCY_LEASE), sealed: None };
            let Some(known) = state.answers.get_mut(&place) else {
                state.answers.insert(place, fresh);
                return Ok(IdempotencyStart::New { seed, again: false });
            };
            let free = known.sealed.is_none() && now >= known.lease;
            let same = known.fingerprint == *fingerprint;
            if now.duration_since(known.at) >= KEPT_FOR || (free && !same) {
                *known = fresh;
                return Ok(IdempotencyStart::New { seed, again: false });
            }
            if !same {
                return Ok(IdempotencyStart::Mismatch);
            }
            match &known.sealed {
                Some(sealed) => Ok(IdempotencyStart::Done(sealed.clone())),
                None if !free => Ok(IdempotencyStart::Running),
                None => {
                    known.lease = now.later(IDEMPOTENCY_LEASE);
                    Ok(IdempotencyStart::New { seed: known.seed, again: true })
                }
            }
        })
    }

    async fn finish(&self, account: &AccountId, key: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        self.call(|state| {
            if let Some(known) = state.answers.get_mut(&(account.clone(), key.to_owned())) {
                known.sealed = Some(sealed.to_vec());
                known.at = now;
            }
            Ok(())
        })
    }

    async fn abandon(&self, account: &AccountId, key: &str) -> Result<(), StoreError> {
        self.call(|state| {
            if let Some(known) = state.answers.get_mut(&(account.clone(), key.to_owned())) {
                known.lease = Timestamp::MIN;
            }
            Ok(())
        })
    }
}
