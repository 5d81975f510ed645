//! One way to change a property: load, decide, commit what differs, announce. Somebody else's change in between
//! means deciding anew on what is there now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use calmesh_calendar::{Block, BlockId, Claims, ConnectionId, PropertyId};
use jiff::Timestamp;

use crate::{
    Settings,
    model::{
        Activity, ActivityKind, ClosedHold, ConflictRecord, Connection, Dirty, FetchPlan, LinkOwner, LinkToken, Names,
        Property, PropertyState, Replaced, SecretHash, happened, without_secrets, without_words,
    },
    naming::name_things,
    ports::{Clock, Event, EventBus, LinkStore, PlanChange, PropertyCommit, PropertyStore, Randomness, StoreError},
    weighing::KnownReads,
    wiring::Common,
};

const ATTEMPTS: u32 = 12;
/// How often an edit is decided anew because somebody else wrote first.
pub(crate) const EDIT_ATTEMPTS: u32 = 12;

/// A property's state while a use case decides on it.
#[derive(Debug)]
pub struct Draft {
    pub state: PropertyState,
    pub now: Timestamp,
    /// The connection whose good reading was taken in, and when its body was read; none for one that was known before.
    pub(crate) read: Option<(ConnectionId, Timestamp)>,
    /// The connection of which another calendar was taken in than was read before.
    pub(crate) replaced: Option<ConnectionId>,
    /// By which our own blocks are known in a feed.
    pub(crate) echo_key: [u8; 32],
    pub(crate) history: History,
    /// Holds that were opened by this decision and ended by weighing it: their stays went at once.
    pub(crate) passed_holds: u32,
}

/// What a change adds to what is kept of a property's past.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) activity: Vec<Activity>,
    pub(crate) closed_holds: Vec<ClosedHold>,
    pub(crate) closed_conflicts: Vec<ConflictRecord>,
}

impl History {
    fn extend(&mut self, later: Self) {
        self.activity.extend(later.activity);
        self.closed_holds.extend(later.closed_holds);
        self.closed_conflicts.extend(later.closed_conflicts);
    }

    fn is_empty(&self) -> bool {
        self.activity.is_empty() && self.closed_holds.is_empty() && self.closed_conflicts.is_empty()
    }
}

impl Draft {
    /// Adds to what the host can read of this property.
    pub fn note(&mut self, connection: Option<&ConnectionId>, kind: ActivityKind) {
        let property = self.state.property.id.clone();
        let (connection, names) = (connection.cloned(), Names::default());
        self.history.activity.push(Activity { property, at: self.now, connection, kind, names });
    }

    #[must_use]
    pub fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.state.connection(id)
    }

    pub fn connection_mut(&mut self, id: &ConnectionId) -> Option<&mut Connection> {
        self.state.connections.iter_mut().find(|connection| connection.id == *id)
    }

    #[must_use]
    pub fn block(&self, id: &BlockId) -> Option<&Block> {
        self.state.blocks.iter().find(|block| block.id == *id)
    }

    pub fn block_mut(&mut self, id: &BlockId) -> Option<&mut Block> {
        self.state.blocks.iter_mut().find(|block| block.id == *id)
    }
}

/// Why a property was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// There is no such property, or it was deleted.
    #[error("no such property")]
    NotFound,
    /// The use case refused.
    #[error(transparent)]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A use case's own error, in whose words a change is refused.
pub(crate) trait ChangeRefusal: From<StoreError> + Send {
    /// There is no such property, or it was deleted.
    fn not_found() -> Self;
}

/// What a finished change brought.
#[derive(Debug)]
pub struct Changed<T> {
    pub value: T,
    /// The state as it now is.
    pub state: PropertyState,
    /// Whether anything was written.
    pub written: bool,
}

/// What one decision of several brought.
#[derive(Debug)]
pub(crate) struct Decided<T> {
    pub(crate) value: T,
    /// Holds that it opened and ended in one.
    pub(crate) passed_holds: u32,
}

/// The one way to change a property.
#[derive(Clone)]
pub struct Changes {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) echo_key: [u8; 32],
}

impl Changes {
    pub(crate) fn new(common: &Common, echo_key: [u8; 32]) -> Self {
        Self {
            properties: common.properties.clone(),
            links: common.links.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            settings: common.settings.clone(),
            echo_key,
        }
    }
}

impl Changes {
    /// Changes a property that is not deleted, and announces that its exports must follow.
    ///
    /// `decide` may run several times, on a fresh state each time. When it leaves the state as it was, nothing is
    /// written and nothing announced.
    ///
    /// # Errors
    /// `NotFound` for an unknown or deleted property, `Refused` with what `decide` answered, `Store` otherwise.
    pub async fn change_property<T, E>(
        &self,
        id: &PropertyId,
        mut decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let changed = self.commit_change(id, false, &mut decide).await?;
        if changed.written {
            self.bus.announce_soon(&[Event::PropertyDirty { property: id.clone() }]).await;
        }
        Ok(changed)
    }

    /// The same in the words of a use case.
    ///
    /// # Errors
    /// What `decide` answered, and what `ChangeRefusal` says for the rest.
    pub(crate) async fn change<T: Send, E: ChangeRefusal>(
        &self,
        id: &PropertyId,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, E> {
        self.change_property(id, decide).await.map_err(in_words)
    }

    /// The same without the announcement: for who makes the exports follow before the answer
    /// (`Publish::serve_at_once`).
    ///
    /// # Errors
    /// As `change`.
    pub(crate) async fn change_to_serve<T: Send, E: ChangeRefusal>(
        &self,
        id: &PropertyId,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, E> {
        self.commit_change(id, false, decide).await.map_err(in_words)
    }

    /// Like `change_property`, without the announcement, also for a deleted property: for workers that publish by themselves.
    pub(crate) async fn commit_change<T, E>(
        &self,
        id: &PropertyId,
        deleted_too: bool,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        self.commit_change_of(id, None, deleted_too, decide).await
    }

    /// The same, decided first on a state that was loaded a moment ago, which saves reading all of it again.
    pub(crate) async fn commit_change_of<T, E>(
        &self,
        id: &PropertyId,
        known: Option<PropertyState>,
        deleted_too: bool,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let Changed { mut value, state, written } = self.commit_each(id, known, deleted_too, vec![decide]).await?;
        let Some(Decided { value, .. }) = value.pop() else { unreachable!("what is decided once has one value") };
        Ok(Changed { value, state, written })
    }

    /// Several decisions as one change: each is made, and weighed, on what those before it left, as if each had been
    /// committed by itself.
    pub(crate) async fn commit_each<T, E>(
        &self,
        id: &PropertyId,
        mut known: Option<PropertyState>,
        deleted_too: bool,
        mut decisions: Vec<impl FnMut(&mut Draft) -> Result<T, E> + Send>,
    ) -> Result<Changed<Vec<Decided<T>>>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let mut attempt = 0;
        loop {
            let before = match known.take() {
                Some(known) => known,
                None => self.properties.load(id).await?.ok_or(ChangeError::NotFound)?,
            };
            let before = Arc::new(before);
            if before.property.deleted_at.is_some() && !deleted_too {
                return Err(ChangeError::NotFound);
            }
            let now = self.clock.now();
            let (mut state, mut history) = (PropertyState::clone(&before), History::default());
            let mut values = Vec::with_capacity(decisions.len());
            let mut reads = KnownReads::for_decisions(decisions.len());
            for (nth, decide) in decisions.iter_mut().enumerate() {
                let on = if nth == 0 { Arc::clone(&before) } else { Arc::new(state.clone()) };
                let mut draft = self.draft(state, now);
                let value = decide(&mut draft).map_err(ChangeError::Refused)?;
                self.weigh(&on, &mut draft, &mut reads).await?;
                name_things(&mut draft.history.activity, &on, &draft.state);
                history.extend(draft.history);
                values.push(Decided { value, passed_holds: draft.passed_holds });
                state = draft.state;
            }
            if state == *before && history.is_empty() {
                return Ok(Changed { value: values, state, written: false });
            }
            list_feeds(&mut state);
            let reading = state.connections.iter().filter(|connection| connection.reads());
            state.property.reading = reading.map(|connection| connection.id.clone()).collect();
            state.property.revision = before.property.revision + 1;
            // Clocks differ a little; later revisions are never made earlier, unless a clock was wrong.
            state.property.revised_at = happened(before.property.revised_at, now).max(Some(now));
            // What became due first stays due: who tells of it must know since when.
            let since = happened(before.property.dirty.map(|dirty| dirty.since), now).unwrap_or(now);
            state.property.dirty = Some(Dirty { since, ..Dirty::new(now) });
            let commit = difference(Some(&before), &state, history);
            match self.properties.commit(&commit).await {
                Ok(()) => return Ok(Changed { value: values, state, written: true }),
                Err(StoreError::Stale) if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.let_others_through(attempt).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writers of one property take turns; a little time apart lets one of them through.
    async fn let_others_through(&self, attempt: u32) {
        let [jitter, ..] = self.randomness.id();
        let pause = u64::from(attempt) * 5 + u64::from(jitter % 16);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }

    pub(crate) fn draft(&self, state: PropertyState, now: Timestamp) -> Draft {
        let echo_key = self.echo_key;
        Draft { state, now, read: None, replaced: None, echo_key, history: History::default(), passed_holds: 0 }
    }
}

fn in_words<E: ChangeRefusal>(error: ChangeError<E>) -> E {
    match error {
        ChangeError::NotFound => E::not_found(),
        ChangeError::Refused(error) => error,
        ChangeError::Store(error) => error.into(),
    }
}

/// Every feed is in the account's list, also one that an earlier version wrote down.
fn list_feeds(state: &mut PropertyState) {
    for connection in &mut state.connections {
        if let Some(import) = &mut connection.import {
            import.listed = Some(import.url.mark(&connection.account));
        }
    }
}

/// What must be written to get from one state to the other.
pub(crate) fn difference(
    before: Option<&Arc<PropertyState>>,
    after: &PropertyState,
    history: History,
) -> PropertyCommit {
    let none = PropertyState::of(after.property.clone());
    let known = before.map_or(&none, |before| before);
    let connections = became_of_list(&known.connections, &after.connections, |connection| &connection.id);
    let blocks = became_of_list(&known.blocks, &after.blocks, |block| &block.id);
    let claims = became(&known.claims.connections, &after.claims.connections);
    let retiring = became_of_list(&known.retiring, &after.retiring, |link| &link.token);
    let conflicts = became_of_list(&known.conflicts, &after.conflicts, |conflict| &conflict.id);
    let replaced = before.zip(after.property.revised_at).map(|(before, at)| Replaced {
        at,
        revision: after.property.revision,
        property: Property { dirty: None, wake_at: None, ..before.property.clone() },
        connections: connections.replaced.iter().map(|(_, connection)| without_secrets(connection)).collect(),
        blocks: blocks.replaced.iter().map(|(_, block)| without_words(block)).collect(),
        claims: owned(&claims.replaced).collect(),
        new_connections: connections.new.into_iter().cloned().collect(),
        new_blocks: blocks.new.into_iter().cloned().collect(),
        new_claims: claims.new.into_iter().cloned().collect(),
    });
    let standing = conflicts.put.iter().map(|(_, conflict)| ConflictRecord {
        property: after.property.id.clone(),
        conflict: (*conflict).clone(),
        closed_at: None,
    });
    let (listed_before, listed) = (feeds(known), feeds(after));
    PropertyCommit {
        property: after.property.clone(),
        base: before.cloned(),
        replaced,
        put_connections: values(&connections.put),
        remove_connections: connections.remove.into_iter().cloned().collect(),
        put_blocks: values(&blocks.put),
        remove_blocks: blocks.remove.into_iter().cloned().collect(),
        put_retiring: values(&retiring.put),
        remove_retiring: retiring.remove.into_iter().cloned().collect(),
        plans: plan_changes(known, after),
        owners: owner_changes(known, after),
        put_feeds: listed.difference(&listed_before).cloned().collect(),
        remove_feeds: listed_before.difference(&listed).cloned().collect(),
        put_claims: owned(&claims.put).collect(),
        remove_claims: claims.remove.into_iter().cloned().collect(),
        conflict_records: standing.chain(history.closed_conflicts).collect(),
        put_conflicts: values(&conflicts.put),
        remove_conflicts: conflicts.remove.into_iter().cloned().collect(),
        closed_holds: history.closed_holds,
        activity: history.activity,
    }
}

/// What became of things that have a key each.
struct Became<'a, K, T> {
    /// Those that are new or other than they were, as they are.
    put: Vec<(&'a K, &'a T)>,
    remove: Vec<&'a K>,
    /// Those that were changed or removed, as they were.
    replaced: Vec<(&'a K, &'a T)>,
    new: Vec<&'a K>,
}

fn became<'a, K: Ord, T: PartialEq>(
    before: impl IntoIterator<Item = (&'a K, &'a T)>,
    after: impl IntoIterator<Item = (&'a K, &'a T)>,
) -> Became<'a, K, T> {
    let mut old: BTreeMap<&K, &T> = before.into_iter().collect();
    let (mut put, mut replaced, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for (key, item) in after {
        match old.remove(key) {
            Some(known) if known == item => continue,
            Some(known) => replaced.push((key, known)),
            None => new.push(key),
        }
        put.push((key, item));
    }
    let remove = old.keys().copied().collect();
    replaced.extend(old);
    Became { put, remove, replaced, new }
}

fn became_of_list<'a, K: Ord, T: PartialEq>(
    before: &'a [T],
    after: &'a [T],
    key: impl Fn(&'a T) -> &'a K,
) -> Became<'a, K, T> {
    became(before.iter().map(|item| (key(item), item)), after.iter().map(|item| (key(item), item)))
}

fn owned<K: Clone, T: Clone>(pairs: &[(&K, &T)]) -> impl Iterator<Item = (K, T)> {
    pairs.iter().map(|(key, item)| ((*key).clone(), (*item).clone()))
}

fn values<K, T: Clone>(pairs: &[(&K, &T)]) -> Vec<T> {
    pairs.iter().map(|(_, item)| (*item).clone()).collect()
}

/// The plan by which the sweep reads a connection; none while it is not read.
pub(crate) fn plan_of(connection: &Connection, blocks: &[Block], claims: &Claims) -> Option<FetchPlan> {
    let import = connection.import.as_ref().filter(|_| connection.reads())?;
    let applied = import.applied.as_ref();
    let waits =
        |block: &Block| block.connection() == Some(&connection.id) && block.hold().is_some_and(|hold| !hold.kept);
    Some(FetchPlan {
        connection: connection.id.clone(),
        account: connection.account.clone(),
        property: connection.property.clone(),
        provider: connection.provider.clone(),
        name: Some(connection.name.clone()),
        url: import.url.clone(),
        applied: applied.map(|applied| applied.snapshot.clone()),
        validators: applied.map(|applied| applied.validators.clone()).unwrap_or_default(),
        validators_at: None,
        applied_read_at: applied.map(|applied| applied.read_at),
        applied_by: applied.map(|applied| applied.reader),
        pending: blocks.iter().any(waits) || claims.waits_for_readings(&connection.id),
        since: import.since,
    })
}

fn plan_changes(before: &PropertyState, after: &PropertyState) -> Vec<PlanChange> {
    let mut old: BTreeMap<ConnectionId, FetchPlan> = plans(before);
    let mut out = Vec::new();
    for (id, plan) in plans(after) {
        let known = old.remove(&id);
        if known.as_ref() != Some(&plan) {
            let fresh = known.is_none_or(|known| known.url != plan.url || known.since != plan.since);
            out.push(PlanChange::Put { plan, fresh });
        }
    }
    out.extend(old.into_keys().map(PlanChange::Remove));
    out
}

fn plans(state: &PropertyState) -> BTreeMap<ConnectionId, FetchPlan> {
    let plans = state.connections.iter().filter_map(|connection| plan_of(connection, &state.blocks, &state.claims));
    plans.map(|plan| (plan.connection.clone(), plan)).collect()
}

/// What of a state the account's list of feeds has.
fn feeds(state: &PropertyState) -> BTreeSet<(SecretHash, ConnectionId)> {
    let listed = |connection: &Connection| Some((connection.import.as_ref()?.listed?, connection.id.clone()));
    state.connections.iter().filter_map(listed).collect()
}

fn owner_changes(before: &PropertyState, after: &PropertyState) -> Vec<(LinkToken, Option<LinkOwner>)> {
    let mut old = owners(before);
    let mut out = Vec::new();
    for (token, owner) in owners(after) {
        let known = old.remove(&token);
        if known != Some(owner.clone()) && owner.is_some() {
            out.push((token, owner));
        }
    }
    out.extend(old.into_keys().map(|token| (token, None)));
    out
}

/// Tokens of a property, each with its owner where this state names one. A retiring link of a connection that
/// went keeps the owner that it had.
fn owners(state: &PropertyState) -> BTreeMap<LinkToken, Option<LinkOwner>> {
    let mut out: BTreeMap<LinkToken, Option<LinkOwner>> =
        state.retiring.iter().map(|link| (link.token.clone(), None)).collect();
    for connection in &state.connections {
        if let Some(export) = &connection.export {
            let owner = LinkOwner::Connection {
                account: connection.account.clone(),
                property: connection.property.clone(),
                connection: connection.id.clone(),
            };
            out.insert(export.token.clone(), Some(owner));
        }
    }
    out
}
