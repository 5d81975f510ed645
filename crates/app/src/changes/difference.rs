//! What must be written to get from one state of a property to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use calmesh_calendar::{Block, Claims, ConnectionId};

use crate::{
    changes::draft::{History, TakenBody},
    model::{
        ConflictRecord, Connection, FetchPlan, LinkOwner, LinkToken, Property, PropertyState, Replaced, SecretHash,
        Snapshot, without_secrets, without_words,
    },
    ports::{PlanChange, PropertyCommit, SmallBody},
};

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
    let (bodies_before, bodies) = (small_bodies(known), small_bodies(after));
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
        plans: plan_changes(known, after, &history.bodies),
        put_bodies: new_bodies(bodies.difference(&bodies_before), &history.bodies),
        superseded_bodies: bodies_before
            .difference(&bodies)
            .map(|(connection, snapshot)| ((*connection).clone(), (*snapshot).clone()))
            .collect(),
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
    let import = connection.import.as_ref().filter(|_| connection.is_read())?;
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

/// Of the small bodies that are applied from now on, those that came with the change.
fn new_bodies<'a>(
    new: impl Iterator<Item = &'a (&'a ConnectionId, &'a Snapshot)>,
    taken: &BTreeMap<ConnectionId, TakenBody>,
) -> Vec<(ConnectionId, SmallBody)> {
    let new = new.filter_map(|(connection, snapshot)| {
        let body = taken.get(*connection)?.small.as_ref().filter(|body| body.snapshot == **snapshot)?;
        Some(((*connection).clone(), body.clone()))
    });
    new.collect()
}

/// Which small body each connection is taken from.
fn small_bodies(state: &PropertyState) -> BTreeSet<(&ConnectionId, &Snapshot)> {
    let applied = state.connections.iter().filter_map(|known| Some((&known.id, known.applied()?)));
    applied.filter(|(_, applied)| applied.small).map(|(id, applied)| (id, &applied.snapshot)).collect()
}

fn plan_changes(
    before: &PropertyState,
    after: &PropertyState,
    taken: &BTreeMap<ConnectionId, TakenBody>,
) -> Vec<PlanChange> {
    let mut old: BTreeMap<ConnectionId, FetchPlan> = plans(before);
    let mut out = Vec::new();
    for (id, plan) in plans(after) {
        let known = old.remove(&id);
        if known.as_ref() != Some(&plan) {
            let fresh = known.is_none_or(|known| known.url != plan.url || known.since != plan.since);
            let taken = taken.get(&id).and_then(|taken| taken.waited);
            out.push(PlanChange::Put { plan, fresh, taken });
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
