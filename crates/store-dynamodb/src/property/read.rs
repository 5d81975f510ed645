//! How a property is read: its partition's items, what is staged laid over them, made into its state.

use std::collections::BTreeMap;

use calmesh_app::{
    model::{Connection, Property, PropertyState},
    ports::StoreError,
};
use calmesh_calendar::{ConnectionClaims, ConnectionId, PropertyId};

use crate::{
    DynamoStore, conflicts,
    doc::{self, connection::OwnedParts},
    item::{self, MarkState},
    journal::{self, Step, Wrote},
    schema::{self, Key, attr},
    stays::Pages,
    table::{Item, Range},
};

type Items = BTreeMap<String, Item>;

/// What was read of a partition.
pub(super) enum Look {
    Absent,
    /// A head and all of its items, staged ones laid over; and staged items that nothing will ever name.
    Whole {
        items: Items,
        head: Item,
        dead: Vec<Key>,
    },
    /// Something is just being written.
    Torn,
}

/// What a head says to be staged, as far as it was read, and what nothing will ever name.
#[derive(Default)]
struct Staged {
    steps: Vec<Step>,
    pages: usize,
    dead: Vec<Key>,
}

/// Takes staged items out of what was read.
fn take_staged(items: &mut Items, partition: &str, head: &Item, revision: u64) -> Result<Staged, StoreError> {
    let ours = item::find_text(head, attr::STAGED).map(|attempt| schema::stages_of(revision, attempt));
    let mut staged = Staged::default();
    for (sk, page) in items.extract_if(.., |sk, _| sk.starts_with(schema::STAGES)) {
        if ours.as_ref().is_some_and(|ours| sk.starts_with(ours)) {
            staged.steps.extend(journal::read_page(&page)?);
            staged.pages += 1;
        } else if schema::stage_revision(&sk).is_some_and(|staged_for| staged_for <= revision) {
            // Its head can't be moved there any more.
            staged.dead.push(Key { pk: partition.to_owned(), sk });
        }
    }
    Ok(staged)
}

/// Whether something was just being written. A query is no snapshot. The head was read first, so what follows is at least as
/// new as it, but for items of the head's own transaction that are not written yet: the head names those.
fn is_torn(items: &Items, head: &Item, revision: u64, staged_pages: usize) -> Result<bool, StoreError> {
    let mut of_head: Vec<&str> = Vec::new();
    for (sk, item) in items {
        let wrote: u64 = item::get_number(item, attr::REV)?;
        if wrote > revision {
            return Ok(true);
        }
        if wrote == revision {
            of_head.push(sk);
        }
    }
    if head.contains_key(attr::STAGED) {
        return Ok(item::get_number::<usize>(head, attr::STAGED_COUNT)? != staged_pages);
    }
    let Some(wrote) = item::find_text(head, attr::WROTE) else { return Ok(false) };
    let wrote: Wrote = serde_json::from_str(wrote).map_err(|_| item::missing(attr::WROTE))?;
    let stands = |sk: &String| of_head.binary_search(&sk.as_str()).is_ok();
    Ok(!wrote.put.iter().all(stands) || wrote.removed.iter().any(|sk| items.contains_key(sk)))
}

impl DynamoStore {
    pub(super) async fn look(&self, id: &PropertyId) -> Result<Look, StoreError> {
        let partition = schema::property_partition(id);
        let (found, pages) = self.table.query(&Range::all(partition.clone()), None).await?;
        let mut items = Items::new();
        for item in found {
            items.insert(item::get_text(&item, attr::SK)?.to_owned(), item);
        }
        let Some(head) = items.remove(schema::HEAD) else { return Ok(Look::Absent) };
        let revision: u64 = item::get_number(&head, attr::REV)?;
        let Staged { steps, pages: staged, dead } = take_staged(&mut items, &partition, &head, revision)?;
        if is_torn(&items, &head, revision, staged)? {
            return Ok(Look::Torn);
        }
        if pages > 1 {
            let now = self.table.get(&schema::property_head(id)).await?;
            let same = |name: &str| now.as_ref().and_then(|now| now.get(name)) == head.get(name);
            if !same(attr::REV) || !same(attr::STAGED) {
                return Ok(Look::Torn);
            }
        }
        for step in steps {
            if step.place().0 == partition {
                step.overlay(&mut items);
            }
        }
        Ok(Look::Whole { items, head, dead })
    }
}

pub(super) fn read_head(head: &Item) -> Result<Property, StoreError> {
    let mark = MarkState::of(head)?;
    let id = schema::property_of(item::get_text(head, attr::PK)?).ok_or_else(|| item::missing(attr::PK))?;
    let stored = doc::property::decode(item::get_bytes(head, attr::DOC)?, &id)?;
    Ok(Property { revision: item::get_number(head, attr::REV)?, dirty: mark.dirty, wake_at: mark.wake_at, ..stored })
}

/// The settings in an item of a property; none where it is no connection's, or has its stays and claims alone.
pub(super) fn read_settings(property: &PropertyId, sk: &str, item: &Item) -> Result<Option<Connection>, StoreError> {
    let (Some(id), Some(bytes)) = (sk.strip_prefix(schema::CONNECTIONS), item::find_bytes(item, attr::DOC)) else {
        return Ok(None);
    };
    let id = id.parse().map_err(|_| item::missing(attr::SK))?;
    Ok(doc::connection::decode(bytes, property, &id)?.settings)
}

pub(super) fn read_state(head: &Item, items: &Items) -> Result<PropertyState, StoreError> {
    let mut state = PropertyState::of(read_head(head)?);
    // On another clock its nights would be others, so nothing is decided or rendered of it. Lists go on to show it.
    state.property.house().map_err(|error| StoreError::Corrupt { what: format!("a property: {error}") })?;
    let id = state.property.id.clone();
    let mut pages = Pages::new(&id);
    let mut of_conflicts = Vec::new();
    for (sk, item) in items {
        let connection = |id: &str| id.parse::<ConnectionId>().map_err(|_| item::missing(attr::SK));
        if let Some(place) = sk.strip_prefix(schema::BLOCKS) {
            pages.read(place, item)?;
        } else if let Some(id) = sk.strip_prefix(schema::CONNECTIONS) {
            read_connection(&mut state, &mut pages, head, &connection(id)?, item)?;
        } else if let Some(id) = sk.strip_prefix(schema::CLAIMS) {
            let claims = doc::claims::decode(item::get_bytes(item, attr::DOC)?, &state.property.id)?;
            claim(&mut state, connection(id)?, claims)?;
        } else if sk.starts_with(schema::CONFLICTS) {
            of_conflicts.push(item);
        } else if sk.starts_with(schema::RETIRING) {
            state.retiring.push(item::document(item, attr::DOC)?);
        } else {
            return Err(StoreError::Corrupt { what: "an item of a property of an unknown kind".to_owned() });
        }
    }
    state.blocks = pages.blocks()?;
    state.connections.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    state.conflicts = conflicts::read(&id, &of_conflicts)?;
    state.retiring.sort_by(|a, b| a.token.cmp(&b.token));
    Ok(state)
}

/// Takes in what a connection's item holds.
fn read_connection(
    state: &mut PropertyState,
    pages: &mut Pages<'_>,
    head: &Item,
    id: &ConnectionId,
    item: &Item,
) -> Result<(), StoreError> {
    let OwnedParts { settings, stays, claims } =
        doc::connection::decode(item::get_bytes(item, attr::DOC)?, &state.property.id, id)?;
    if let Some(mut connection) = settings {
        if let Some(export) = &mut connection.export {
            export.last_changed_at = export.last_changed_at.max(item::find_instant(head, &schema::exported(id))?);
        }
        state.connections.push(connection);
    }
    if let Some(stays) = stays {
        pages.take_within(id, stays)?;
    }
    match claims {
        Some(claims) => claim(state, id.clone(), claims),
        None => Ok(()),
    }
}

/// Takes in what a connection claims, which lies in one place.
fn claim(state: &mut PropertyState, connection: ConnectionId, claims: ConnectionClaims) -> Result<(), StoreError> {
    match state.claims.connections.insert(connection, claims) {
        None => Ok(()),
        Some(_) => Err(StoreError::Corrupt { what: "what a connection claims is there twice".to_owned() }),
    }
}
