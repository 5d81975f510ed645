//! What a commit writes beside the head, as steps.

use std::collections::BTreeMap;

use calmesh_app::{
    model::{PAST_KEPT, PropertyState, SecretHash},
    ports::{PlanChange, PropertyCommit, StoreError, WaitingBody},
};
use calmesh_calendar::{Conflict, ConnectionId, span::Later};
use jiff::Timestamp;

use crate::{
    conflicts, connections, doc, history, item,
    journal::{Step, Value, encoded, kept_until, own},
    schema::{self, Key, attr},
    table::{Condition, Write, last_of_each},
};

/// Everything that a commit writes beside the head, where this was the state before.
pub(crate) fn steps_of(commit: &PropertyCommit, before: &PropertyState) -> Result<Vec<Step>, StoreError> {
    let mut steps = connections::steps(commit, before)?;
    steps.extend(conflicts::steps(commit, before));
    steps.extend(conflict_entries(commit)?);
    steps.extend(link_steps(commit)?);
    steps.extend(plan_steps(commit)?);
    steps.extend(body_steps(commit)?);
    steps.extend(history::steps_of(commit)?);
    let property = &commit.property;
    let entry = schema::property_entry(&property.account, property.created_at, &property.id);
    if property.deleted_at.is_some() {
        steps.push(Step::delete(entry));
    } else if property.revision == 1 {
        steps.push(Step::put(entry, [(attr::PROPERTY, Value::S(property.id.to_string()))]));
    }
    // A transaction takes one action an item.
    Ok(last_of_each(steps, |step| {
        let (pk, sk) = step.place();
        (pk.to_owned(), sk.to_owned())
    }))
}

fn rev(commit: &PropertyCommit) -> (&'static str, Value) {
    (attr::REV, Value::N(commit.property.revision.to_string()))
}

/// How the lists of conflicts show those that were put or closed.
fn conflict_entries(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let property = &commit.property;
    let id = &property.id;
    let mut steps = Vec::new();
    for record in &commit.conflict_records {
        let Conflict { id: conflict, opened_at, .. } = &record.conflict;
        let key = schema::conflict_entry(&property.account, id, *opened_at, conflict);
        let doc = (attr::DOC, encoded(record)?);
        steps.push(match record.closed_at {
            Some(closed_at) => Step::put(key, [doc, (attr::TTL, kept_until(closed_at))]),
            None => Step::put(key, [doc]),
        });
    }
    Ok(steps)
}

/// Whose links are, those that retire included, and who reads which feed.
fn link_steps(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let property = &commit.property;
    let id = &property.id;
    let mut steps = Vec::new();
    for link in &commit.put_retiring {
        steps.push(Step::put(schema::retiring(id, link.token.hash()), [(attr::DOC, encoded(link)?), rev(commit)]));
    }
    steps.extend(commit.remove_retiring.iter().map(|gone| Step::delete(schema::retiring(id, gone.hash()))));
    for (token, owner) in &commit.owners {
        steps.push(match owner {
            Some(owner) => own(token.hash(), owner)?,
            None => Step::delete(schema::owner(&token.hash())),
        });
    }
    let feed =
        |(mark, connection): &(SecretHash, ConnectionId)| schema::feed_entry(&property.account, *mark, connection);
    let here = || [(attr::PROPERTY, Value::S(id.to_string()))];
    steps.extend(commit.put_feeds.iter().map(|entry| Step::put(feed(entry), here())));
    steps.extend(commit.remove_feeds.iter().map(|entry| Step::delete(feed(entry))));
    Ok(steps)
}

fn plan_steps(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    for change in &commit.plans {
        steps.push(match change {
            PlanChange::Put { plan, fresh, taken: _ } => {
                let attributes =
                    [(attr::PLAN, encoded(plan)?), (attr::PLAN_SINCE, Value::S(schema::sortable(plan.since)))];
                let health =
                    [attr::FAILURE, attr::SUCCESS_AT, attr::ANNOUNCED_SINCE, attr::ANNOUNCED_READ_AT, attr::WAITING];
                let health = health.into_iter().filter(|_| *fresh);
                let stale = health.chain([attr::VALIDATORS, attr::VALIDATORS_AT]);
                Step::set(schema::fetch_plan(&plan.connection), attributes, stale)
            }
            PlanChange::Remove(connection) => Step::delete(schema::fetch_plan(connection)),
        });
    }
    Ok(steps)
}

/// Bodies lie beside the property, so that who loads it does not read them.
fn body_steps(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    let goes_at = commit.property.revised_at.unwrap_or(commit.property.created_at).later(PAST_KEPT);
    for (connection, snapshot) in &commit.superseded_bodies {
        let goes = (attr::TTL, Value::N(goes_at.as_second().to_string()));
        steps.push(Step::set(schema::body(connection, snapshot), [goes], []));
    }
    for (connection, body) in &commit.put_bodies {
        let doc = doc::body::encode(&WaitingBody::Small(body.clone()))?;
        steps.push(Step::put(schema::body(connection, &body.snapshot), [(attr::DOC, Value::B(doc))]));
    }
    Ok(steps)
}

/// The writes of a change that is one transaction: with it goes what waited and is taken in by it. Steps that are done later,
/// when another body may wait, leave that where it is.
pub(crate) fn writes_of(commit: &PropertyCommit, steps: &[Step]) -> Vec<Write> {
    let taken = commit.plans.iter().filter_map(|change| match change {
        PlanChange::Put { plan, taken: Some(at), .. } => Some((schema::fetch_plan(&plan.connection), *at)),
        PlanChange::Put { .. } | PlanChange::Remove(_) => None,
    });
    let taken: BTreeMap<Key, Timestamp> = taken.collect();
    let write = |step: &Step| {
        let (pk, sk) = step.place();
        match taken.get(&Key { pk: pk.to_owned(), sk: sk.to_owned() }) {
            None => step.to_write(),
            Some(at) => {
                let unmoved = Condition::new("#announced_read_at = :taken").with("taken", item::instant(*at));
                step.clone().removing(attr::WAITING).to_write().when(unmoved)
            }
        }
    };
    steps.iter().map(write).collect()
}
