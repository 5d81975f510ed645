//! What is known of one connection, in one item and one document: its settings, its stays and its claims. Stays that take
//! more than a page lie on pages beside it (`stays`), and claims that weigh too much
//! in an item of their own, so that no item comes near what DynamoDB takes.
//!
//! Where stays and claims lie follows from each alone, so a writer who knows the state before knows which items there
//! are. An item may be there without settings: stays and claims of a connection that is not kept any more.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_app::{
    model::{Connection, ExportSide, PropertyState},
    ports::{PropertyCommit, StoreError},
};
use calmesh_calendar::{Block, BlockId, ConnectionClaims, ConnectionId, PropertyId};

use crate::{
    doc::{self, connection::Parts},
    journal::{Step, Value},
    schema::{self, attr},
    stays::{self, Source},
};

/// Claims of more weight lie in an item of their own.
const CLAIMS_WEIGHT: usize = 24_000;
/// What a run weighs, reckoned so that no change of the document's form moves claims; it takes fewer bytes (see the README).
const CLAIM_WEIGHT: usize = 43;
const PART_WEIGHT: usize = 151;
const LINK_WEIGHT: usize = 88;

fn are_light(claims: &ConnectionClaims) -> bool {
    let ConnectionClaims { claims, parts, link, habits: _ } = claims;
    let weights =
        [(claims.iter().len(), CLAIM_WEIGHT), (parts.iter().len(), PART_WEIGHT), (link.iter().len(), LINK_WEIGHT)];
    weights.into_iter().map(|(runs, each)| runs * each).sum::<usize>() <= CLAIMS_WEIGHT
}

/// What is known of one source of blocks, a connection or the host.
#[derive(Debug, Clone, Default)]
struct Known<'a> {
    settings: Option<&'a Connection>,
    blocks: Vec<&'a Block>,
    claims: Option<&'a ConnectionClaims>,
}

impl<'a> Known<'a> {
    /// The stays, where there are any and they have room in the connection's item.
    fn stays_within(&self) -> Option<&[&'a Block]> {
        Some(self.blocks.as_slice()).filter(|stays| !stays.is_empty() && stays::are_few(stays))
    }

    fn claims_within(&self) -> Option<&'a ConnectionClaims> {
        self.claims.filter(|claims| are_light(claims))
    }

    fn claims_beside(&self) -> Option<&'a ConnectionClaims> {
        self.claims.filter(|claims| !are_light(claims))
    }

    /// What lies in the connection's item, with these settings.
    fn within<'b>(&'b self, settings: Option<&'b Connection>) -> Parts<'b> {
        Parts { settings, stays: self.stays_within(), claims: self.claims_within() }
    }
}

/// Whether a commit needs to know what there is.
pub(crate) fn touches(commit: &PropertyCommit) -> bool {
    !(commit.put_connections.is_empty()
        && commit.remove_connections.is_empty()
        && commit.put_blocks.is_empty()
        && commit.remove_blocks.is_empty()
        && commit.put_claims.is_empty()
        && commit.remove_claims.is_empty())
}

/// What a commit writes and removes of connections and blocks, where this was the state before.
pub(crate) fn steps(commit: &PropertyCommit, before: &PropertyState) -> Result<Vec<Step>, StoreError> {
    let id = &commit.property.id;
    let rev = Value::N(commit.property.revision.to_string());
    let mut steps = Vec::new();
    for (source, (old, new)) in touched(commit, before) {
        steps.extend(stays::steps(id, &rev, source.as_ref(), &old.blocks, &new.blocks));
        if let Some(connection) = &source {
            steps.extend(step_of_item(id, &rev, connection, &old, &new)?);
            steps.extend(step_of_claims(id, &rev, connection, &old, &new));
        }
    }
    Ok(steps)
}

/// Each source that a commit touches, as it is known before and after.
fn touched<'a>(commit: &'a PropertyCommit, before: &'a PropertyState) -> BTreeMap<Source, (Known<'a>, Known<'a>)> {
    let known: BTreeMap<&BlockId, &Block> = before.blocks.iter().map(|block| (&block.id, block)).collect();
    let mut blocks = known.clone();
    let mut moved: BTreeSet<Source> = BTreeSet::new();
    for block in &commit.put_blocks {
        moved.insert(block.connection().cloned());
        moved.extend(known.get(&block.id).map(|block| block.connection().cloned()));
        blocks.insert(&block.id, block);
    }
    for id in &commit.remove_blocks {
        moved.extend(known.get(id).map(|block| block.connection().cloned()));
        blocks.remove(id);
    }
    let named = commit.put_connections.iter().map(|connection| &connection.id);
    let named = named.chain(&commit.remove_connections).chain(commit.put_claims.keys()).chain(&commit.remove_claims);
    let sources: BTreeSet<Source> = moved.into_iter().chain(named.cloned().map(Some)).collect();

    let mut old = before.connections.iter().map(|known| (&known.id, known)).collect::<BTreeMap<_, _>>();
    let mut old_blocks = stays::by_source(known.into_values(), &sources);
    let mut new = old.clone();
    new.extend(commit.put_connections.iter().map(|connection| (&connection.id, connection)));
    new.retain(|connection, _| !commit.remove_connections.contains(connection));
    let mut new_blocks = stays::by_source(blocks.into_values(), &sources);
    let of_one = |source: Source| {
        let connection = source.as_ref();
        let claimed = connection.and_then(|connection| before.claims.connections.get(connection));
        let put = connection.and_then(|connection| commit.put_claims.get(connection)).or(claimed);
        let removed = connection.is_some_and(|connection| commit.remove_claims.contains(connection));
        let was = Known {
            settings: connection.and_then(|connection| old.remove(connection)),
            blocks: old_blocks.remove(&source).unwrap_or_default(),
            claims: claimed,
        };
        let is = Known {
            settings: connection.and_then(|connection| new.remove(connection)),
            blocks: new_blocks.remove(&source).unwrap_or_default(),
            claims: put.filter(|_| !removed),
        };
        (source, (was, is))
    };
    sources.into_iter().map(of_one).collect()
}

/// The write of a connection's item; none where nothing in it changed.
fn step_of_item(
    property: &PropertyId,
    rev: &Value,
    connection: &ConnectionId,
    old: &Known<'_>,
    new: &Known<'_>,
) -> Result<Option<Step>, StoreError> {
    let key = schema::connection(property, connection);
    let kept = new.settings.map(|settings| with_last_change(settings, old.settings));
    let (before, after) = (old.within(old.settings), new.within(kept.as_ref()));
    if before == after {
        return Ok(None);
    }
    if after == Parts::default() {
        return Ok(Some(Step::delete(key)));
    }
    let doc = Value::B(doc::connection::encode(property, &after)?);
    Ok(Some(Step::put(key, [(attr::DOC, doc), (attr::REV, rev.clone())])))
}

/// The write of the item of claims that have no room in the connection's; none where nothing in it changed.
fn step_of_claims(
    property: &PropertyId,
    rev: &Value,
    connection: &ConnectionId,
    old: &Known<'_>,
    new: &Known<'_>,
) -> Option<Step> {
    let key = schema::claims(property, connection);
    let (before, after) = (old.claims_beside(), new.claims_beside());
    let step = match after {
        Some(claims) => {
            let doc = Value::B(doc::claims::encode(property, claims));
            Step::put(key, [(attr::DOC, doc), (attr::REV, rev.clone())])
        }
        None => Step::delete(key),
    };
    (before != after).then_some(step)
}

fn token_of(connection: Option<&Connection>) -> Option<&calmesh_app::model::LinkToken> {
    Some(&connection?.export.as_ref()?.token)
}

/// When an export last changed never goes back while its link stays.
fn with_last_change(connection: &Connection, before: Option<&Connection>) -> Connection {
    let known = before.filter(|before| token_of(Some(before)) == token_of(Some(connection)));
    let known = known.and_then(|known| known.export.as_ref()?.last_changed_at);
    let export = connection.export.clone();
    let export = export.map(|export| ExportSide { last_changed_at: export.last_changed_at.max(known), ..export });
    Connection { export, ..connection.clone() }
}

/// The connections whose link is another one after a commit, or that have none any more: what the head says of their
/// exports is true no longer.
pub(crate) fn with_another_link<'a>(commit: &'a PropertyCommit, before: &PropertyState) -> BTreeSet<&'a ConnectionId> {
    let known: BTreeMap<&ConnectionId, &Connection> =
        before.connections.iter().map(|connection| (&connection.id, connection)).collect();
    let has_another = |connection: &&Connection| {
        let link = token_of(Some(connection));
        link.is_none() || link != token_of(known.get(&connection.id).copied())
    };
    let put = commit.put_connections.iter().filter(has_another).map(|connection| &connection.id);
    put.chain(&commit.remove_connections).collect()
}
