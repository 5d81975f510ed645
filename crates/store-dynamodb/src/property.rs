//! A property's partition: how a change becomes visible as a whole, how it is read, how it goes.
//!
//! A change that fits is one transaction. A larger one is written down first, in staged items that nobody minds
//! until one conditional write of the head names them; readers lay them over the rest from then on, and whoever
//! writes next does them in place before anything else. The README tells why each step may be the last.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{
        Activity, ClosedHold, ConflictRecord, Connection, LinkOwner, Property, PropertyState, Replaced, SecretHash,
    },
    ports::{ActivityStore, FeedReader, Location, Page, PageRequest, PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{AccountId, ConnectionClaims, ConnectionId, PropertyId};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    DynamoStore, conflicts, connections,
    doc::{self, connection::Known, past::Word},
    history,
    item::{self, MarkState},
    journal::{self, Step, Wrote},
    schema::{self, Key, attr},
    stays::Pages,
    table::{CallError, Condition, Item, Range, TRANSACTION_ACTIONS, TRANSACTION_BYTES, Write, pause},
};

/// How often a reader looks again at a state that is just being written, or a writer at a head that moves.
const LOOKS: u32 = 10;

/// So many exports one write of the head tells of: its condition names each, and has room for 4 KB.
const EXPORTS_A_WRITE: usize = 20;

/// So many small queries run at the same time.
const QUERIES_AT_ONCE: usize = 16;

/// What was read of a partition.
enum Look {
    Absent,
    /// A head and all of its items, staged ones laid over; and staged items that nothing will ever name.
    Whole {
        items: BTreeMap<String, Item>,
        head: Item,
        dead: Vec<Key>,
    },
    /// Something is just being written.
    Torn,
}

impl DynamoStore {
    async fn look(&self, id: &PropertyId) -> Result<Look, StoreError> {
        let partition = schema::property_partition(id);
        let (found, pages) = self.table.query(&Range::all(partition.clone()), None).await?;
        let mut items: BTreeMap<String, Item> = BTreeMap::new();
        for item in found {
            items.insert(item::get_text(&item, attr::SK)?.to_owned(), item);
        }
        let Some(head) = items.remove(schema::HEAD) else { return Ok(Look::Absent) };
        let revision: u64 = item::get_number(&head, attr::REV)?;
        let staged = item::find_text(&head, attr::STAGED);

        let ours = staged.map(|attempt| schema::stages_of(revision, attempt));
        let mut steps = Vec::new();
        let mut stages = 0;
        let mut dead = Vec::new();
        let keys: Vec<String> = items.keys().filter(|sk| sk.starts_with(schema::STAGES)).cloned().collect();
        for sk in keys {
            let Some(page) = items.remove(&sk) else { continue };
            if ours.as_ref().is_some_and(|ours| sk.starts_with(ours)) {
                steps.extend(journal::read_page(&page)?);
                stages += 1;
            } else if schema::stage_revision(&sk).is_some_and(|staged_for| staged_for <= revision) {
                // Its head can't be moved there any more.
                dead.push(Key { pk: partition.clone(), sk });
            }
        }

        // A query is no snapshot. The head was read first, so what follows is at least as new as it, but for
        // items of the head's own transaction that are not written yet: the head names those.
        for item in items.values() {
            if item::get_number::<u64>(item, attr::REV)? > revision {
                return Ok(Look::Torn);
            }
        }
        if staged.is_some() {
            if item::get_number::<usize>(&head, attr::STAGED_COUNT)? != stages {
                return Ok(Look::Torn);
            }
        } else if let Some(wrote) = item::find_text(&head, attr::WROTE) {
            let wrote: Wrote = serde_json::from_str(wrote).map_err(|_| item::missing(attr::WROTE))?;
            let stands = |sk: &String| {
                items.get(sk).is_some_and(|item| item::get_number::<u64>(item, attr::REV).ok() == Some(revision))
            };
            if !wrote.put.iter().all(stands) || wrote.removed.iter().any(|sk| items.contains_key(sk)) {
                return Ok(Look::Torn);
            }
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

    /// Does in place what the head's staged items say, then lets go of them. Several may do so at once, and any
    /// may stop anywhere.
    pub(crate) async fn roll_forward(&self, id: &PropertyId, head: &Item) -> Result<(), StoreError> {
        let Some(attempt) = item::find_text(head, attr::STAGED) else { return Ok(()) };
        let revision: u64 = item::get_number(head, attr::REV)?;
        let range = Range::of(schema::property_partition(id), &schema::stages_of(revision, attempt));
        let (pages, _) = self.table.query(&range, None).await?;
        if pages.len() != item::get_number::<usize>(head, attr::STAGED_COUNT)? {
            // Somebody else has just finished it.
            return Ok(());
        }
        let mut steps = Vec::new();
        for page in &pages {
            steps.extend(journal::read_page(page)?);
        }
        // Each piece holds only while the head still names the attempt, so that one who was slow undoes nothing
        // of what came later.
        let still = || Condition::new("#staged = :attempt").with("attempt", item::text(attempt));
        let check = || Write::Check { key: schema::property_head(id), condition: still() };
        let mut writes = steps.iter().map(Step::to_write).peekable();
        while writes.peek().is_some() {
            let mut piece = vec![check()];
            let mut bytes = 0;
            while piece.len() < TRANSACTION_ACTIONS
                && let Some(write) =
                    writes.next_if(|write| piece.len() == 1 || bytes + write.bytes() <= TRANSACTION_BYTES)
            {
                bytes += write.bytes();
                piece.push(write);
            }
            match self.table.transact(piece).await {
                Ok(()) => {}
                Err(CallError::Refused(_)) => return Ok(()),
                Err(error) => return Err(error.or_stale()),
            }
        }
        let done = Write::set(schema::property_head(id), Vec::new(), &[attr::STAGED, attr::STAGED_COUNT]);
        match self.table.write(done.when(still())).await {
            Ok(_) => {}
            Err(CallError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error.or_stale()),
        }
        let keys = pages.iter().map(|page| key_of(page).map(Write::delete)).collect::<Result<_, _>>()?;
        self.table.write_many(keys).await
    }

    /// What is there before a commit, where that says which items it writes.
    async fn before<'a>(&self, commit: &'a PropertyCommit) -> Result<Cow<'a, PropertyState>, StoreError> {
        let known = commit.property.revision.checked_sub(1);
        let Some(expected) = known.filter(|at| *at > 0 && (connections::touches(commit) || conflicts::touches(commit)))
        else {
            return Ok(Cow::Owned(PropertyState::of(commit.property.clone())));
        };
        if let Some(base) = commit.base.as_ref().filter(|base| base.property.revision == expected) {
            return Ok(Cow::Borrowed(base));
        }
        match self.load(&commit.property.id).await? {
            Some(state) if state.property.revision == expected => Ok(Cow::Owned(state)),
            _ => Err(StoreError::Stale),
        }
    }

    async fn commit_at_once(&self, head: Write, beginning: Vec<Write>, steps: &[Step]) -> Result<(), CallError> {
        let writes = std::iter::once(head).chain(beginning).chain(steps.iter().map(Step::to_write));
        self.table.transact(writes.collect()).await
    }

    async fn commit_staged(&self, head: &HeadChange<'_>, attempt: &str, pages: Vec<String>) -> Result<(), CallError> {
        let property = head.property;
        let count = pages.len();
        let keys: Vec<Key> =
            (0..count).map(|nth| schema::stage(&property.id, property.revision, attempt, nth)).collect();
        let stages = keys.iter().zip(pages).map(|(key, page)| {
            let mut item = key.item();
            item.insert(attr::DOC.to_owned(), item::text(page));
            Write::put(item)
        });
        self.table.write_many(stages.collect()).await.map_err(CallError::Failed)?;
        let attempted =
            vec![(attr::STAGED.to_owned(), item::text(attempt)), (attr::STAGED_COUNT.to_owned(), item::number(count))];
        let write = head.write(attempted.clone(), &[attr::WROTE]).map_err(CallError::Failed)?;
        let beginning = beginning(property);
        let moved = if beginning.is_empty() {
            self.table.write(write).await.map(|_| ())
        } else {
            self.table.transact(std::iter::once(write).chain(beginning).collect()).await
        };
        match moved {
            Ok(()) => {}
            // The SDK asked again though the first time had done it.
            Err(error)
                if error.standing(0).and_then(|standing| item::find_text(standing, attr::STAGED)) == Some(attempt) => {}
            Err(CallError::Refused(refused)) => {
                let gone = keys.into_iter().map(Write::delete).collect();
                if let Err(error) = self.table.write_many(gone).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "staged items are left to a reader");
                }
                return Err(CallError::Refused(refused));
            }
            Err(error) => return Err(error),
        }
        // From here on it is done; whoever comes next can finish the rest.
        let mut moved: Item = attempted.into_iter().collect();
        moved.insert(attr::REV.to_owned(), item::number(property.revision));
        if let Err(error) = self.roll_forward(&property.id, &moved).await {
            tracing::warn!(error = &error as &dyn std::error::Error, property.id = %property.id, "a staged change is left to the next writer");
        }
        Ok(())
    }
}

fn key_of(item: &Item) -> Result<Key, StoreError> {
    Ok(Key { pk: item::get_text(item, attr::PK)?.to_owned(), sk: item::get_text(item, attr::SK)?.to_owned() })
}

/// What a commit makes of a head.
struct HeadChange<'a> {
    property: &'a Property,
    /// Of whose exports nothing is known any more.
    forgotten: BTreeSet<&'a ConnectionId>,
}

impl HeadChange<'_> {
    /// The write that moves the head. It leaves what the head says of exports as it is, since `settle` writes that at the
    /// same revision.
    fn write(&self, more: Vec<(String, AttributeValue)>, without: &[&str]) -> Result<Write, StoreError> {
        let property = self.property;
        let key = schema::property_head(&property.id);
        let mark = MarkState { dirty: property.dirty, wake_at: property.wake_at };
        let (mut set, mut remove) = mark.update(property.id.as_str());
        set.push((attr::DOC.to_owned(), item::bytes(doc::property::encode(property))));
        set.push((attr::REV.to_owned(), item::number(property.revision)));
        set.extend(more);
        if property.revision == 1 {
            let mut head = key.item();
            head.extend(set);
            return Ok(Write::put(head).when(Condition::absent()));
        }
        let exports: Vec<String> = self.forgotten.iter().map(|connection| schema::exported(connection)).collect();
        remove.extend_from_slice(without);
        let remove: Vec<&str> = remove.into_iter().chain(exports.iter().map(String::as_str)).collect();
        Ok(Write::set(key, set, &remove).when(follows(property.revision)))
    }
}

fn read_head(head: &Item) -> Result<Property, StoreError> {
    let mark = MarkState::of(head)?;
    let id = schema::property_of(item::get_text(head, attr::PK)?).ok_or_else(|| item::missing(attr::PK))?;
    let stored = doc::property::decode(item::get_bytes(head, attr::DOC)?, &id)?;
    Ok(Property { revision: item::get_number(head, attr::REV)?, dirty: mark.dirty, wake_at: mark.wake_at, ..stored })
}

/// The settings in an item of a property; none where it is no connection's, or has its stays and claims alone.
fn read_settings(property: &PropertyId, sk: &str, item: &Item) -> Result<Option<Connection>, StoreError> {
    let (Some(id), Some(bytes)) = (sk.strip_prefix(schema::CONNECTIONS), item::find_bytes(item, attr::DOC)) else {
        return Ok(None);
    };
    let id = id.parse().map_err(|_| item::missing(attr::SK))?;
    Ok(doc::connection::decode(bytes, property, &id)?.settings)
}

fn read_state(head: &Item, items: &BTreeMap<String, Item>) -> Result<PropertyState, StoreError> {
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
    let Known { settings, stays, claims } =
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

/// Where the location is among the writes that make a property: after the head and the check of the account.
const LOCATION: usize = 2;

/// What goes into the transaction that makes a property. Its account must be there and not deleted (its mark says so),
/// so that no erasure is passed by. And where the property is can be told from the ids of all that will belong to it.
fn beginning(property: &Property) -> Vec<Write> {
    if property.revision != 1 {
        return Vec::new();
    }
    let stands = Condition::new("attribute_exists(#pk) AND attribute_not_exists(#dirty_since)");
    let mut location = schema::location(property.id.as_str()).item();
    location.insert(attr::ACCOUNT.to_owned(), item::text(property.account.as_str()));
    location.insert(attr::PROPERTY.to_owned(), item::text(property.id.as_str()));
    vec![
        Write::Check { key: schema::account(&property.account), condition: stands },
        Write::put(location).when(Condition::absent()),
    ]
}

/// The stored head must be the one before this revision, with nothing left to roll forward.
fn follows(revision: u64) -> Condition {
    if revision == 1 {
        return Condition::absent();
    }
    Condition::new("#rev = :expected AND attribute_not_exists(#staged)")
        .with("expected", item::number(revision.saturating_sub(1)))
}

impl DynamoStore {
    /// Where everything of a property's past is.
    async fn past_of(&self, id: &PropertyId, property: Option<&Property>) -> Result<Vec<Key>, StoreError> {
        let mut past = Vec::new();
        let mut ranges = [schema::closed_holds_partition(id), schema::history_partition(id)].map(Range::all).to_vec();
        ranges
            .extend(property.map(|property| {
                Range::of(schema::account_partition(&property.account), &schema::conflict_entries(id))
            }));
        for range in ranges {
            let (items, _) = self.table.query(&range, None).await?;
            for item in &items {
                past.push(key_of(item)?);
            }
        }
        Ok(past)
    }
}

/// The write by which the head says of these exports when they changed, and, where it is the last one, that they followed
/// (with when to look at it again). No export is set back.
fn settling(
    id: &PropertyId,
    rendered_revision: u64,
    followed: Option<Option<Timestamp>>,
    exports: &[(ConnectionId, Timestamp)],
) -> Write {
    let (mut set, remove) = match followed {
        Some(wake_at) => MarkState { dirty: None, wake_at }.update(id.as_str()),
        None => (Vec::new(), Vec::new()),
    };
    let mut text = "#rev = :rendered AND attribute_not_exists(#staged)".to_owned();
    for (connection, at) in exports {
        let name = schema::exported(connection);
        text.push_str(&format!(" AND (attribute_not_exists(#{name}) OR #{name} < :set_{name})"));
        set.push((name, item::instant(*at)));
    }
    let unmoved = Condition::new(&text).with("rendered", item::number(rendered_revision));
    Write::set(schema::property_head(id), set, &remove).when(unmoved)
}

#[async_trait]
impl PropertyStore for DynamoStore {
    async fn property(&self, id: &PropertyId) -> Result<Option<Property>, StoreError> {
        self.table.get(&schema::property_head(id)).await?.as_ref().map(read_head).transpose()
    }

    async fn properties(&self, account: &AccountId, page: PageRequest) -> Result<Page<Property>, StoreError> {
        let range = Range::of(schema::account_partition(account), schema::PROPERTIES);
        self.list_by_entry(
            range,
            page,
            |entry| {
                Ok(schema::property_head(
                    &item::get_text(entry, attr::PROPERTY)?.parse().map_err(|_| item::missing(attr::PROPERTY))?,
                ))
            },
            |head| Ok(Some(read_head(head)?).filter(|property| property.deleted_at.is_none())),
        )
        .await
    }

    async fn count_properties(&self, account: &AccountId, most: usize) -> Result<usize, StoreError> {
        self.count(Range::of(schema::account_partition(account), schema::PROPERTIES), most).await
    }

    async fn load(&self, id: &PropertyId) -> Result<Option<PropertyState>, StoreError> {
        for looks in 1..=LOOKS {
            match self.look(id).await? {
                Look::Absent => return Ok(None),
                Look::Whole { items, head, dead } => {
                    if !dead.is_empty()
                        && let Err(error) = self.table.write_many(dead.into_iter().map(Write::delete).collect()).await
                    {
                        tracing::debug!(error = &error as &dyn std::error::Error, "dead staged items stay a while");
                    }
                    return read_state(&head, &items).map(Some);
                }
                Look::Torn => tokio::time::sleep(pause(looks)).await,
            }
        }
        Err(StoreError::Corrupt { what: "a property's items do not come to fit its head".to_owned() })
    }

    async fn commit(&self, commit: &PropertyCommit) -> Result<(), StoreError> {
        let property = &commit.property;
        let attempt = self.unique()?;
        let before = self.before(commit).await?;
        let steps = journal::steps_of(commit, &before)?;
        let head = HeadChange { property, forgotten: connections::with_another_link(commit, &before) };
        let wrote = journal::wrote(&steps, &schema::property_partition(&property.id));
        let wrote = serde_json::to_string(&wrote)
            .map_err(|_| StoreError::Corrupt { what: "a property's head can't be written".to_owned() })?;
        let moved = head.write(vec![(attr::WROTE.to_owned(), item::text(wrote))], &[])?;
        let bytes = moved.bytes() + steps.iter().map(|step| step.to_write().bytes()).sum::<usize>();
        let beginning = beginning(property);
        let fits = steps.len() + beginning.len() < TRANSACTION_ACTIONS && bytes <= TRANSACTION_BYTES;

        for _ in 0..LOOKS {
            let done = if fits {
                self.commit_at_once(moved.clone(), beginning.clone(), &steps).await
            } else {
                self.commit_staged(&head, &attempt, journal::pages(&steps)?).await
            };
            let refused = match done {
                Ok(()) => return Ok(()),
                Err(refused @ CallError::Refused(_)) => refused,
                Err(error) => return Err(error.or_stale()),
            };
            if property.revision == 1 {
                // What stands in the way is the head, or what another property has its things found by (`LOCATION` is where
                // that is among the writes), or else the account does not stand.
                let exists = [0, LOCATION].into_iter().any(|nth| refused.standing(nth).is_some());
                return Err(if exists { StoreError::Exists } else { StoreError::Stale });
            }
            match refused.standing(0) {
                Some(standing)
                    if item::find_text(standing, attr::STAGED).is_some()
                        && item::get_number::<u64>(standing, attr::REV)? + 1 == property.revision =>
                {
                    self.roll_forward(&property.id, standing).await?;
                }
                _ => return Err(StoreError::Stale),
            }
        }
        Err(StoreError::Stale)
    }

    async fn replaced_after(&self, id: &PropertyId, after: Timestamp) -> Result<Vec<Replaced>, StoreError> {
        // A change that is staged keeps what it replaced only when it was done in place.
        if let Some(head) = self.table.get(&schema::property_head(id)).await? {
            self.roll_forward(id, &head).await?;
        }
        let range = Range::all(schema::history_partition(id)).after(Some(schema::past_after(after)));
        for looks in 1..=LOOKS {
            match history::read_replaced(id, &self.table.query(&range, None).await?.0)? {
                Some(changes) => return Ok(changes),
                // One is just being written.
                None => tokio::time::sleep(pause(looks)).await,
            }
        }
        Err(StoreError::Corrupt { what: "pages of what a change of a property replaced are missing".to_owned() })
    }

    async fn settle(
        &self,
        id: &PropertyId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        exports_changed: &[(ConnectionId, Timestamp)],
    ) -> Result<(), StoreError> {
        let mut latest: BTreeMap<ConnectionId, Timestamp> = BTreeMap::new();
        for (connection, at) in exports_changed {
            let known = latest.entry(connection.clone()).or_insert(*at);
            *known = (*at).max(*known);
        }
        let mut left: Vec<(ConnectionId, Timestamp)> = latest.into_iter().collect();
        for _ in 0..LOOKS {
            let last = left.len() <= EXPORTS_A_WRITE;
            let piece = left.get(..EXPORTS_A_WRITE).unwrap_or(&left).to_vec();
            match self.table.write(settling(id, rendered_revision, last.then_some(wake_at), &piece)).await {
                Ok(_) if last => return Ok(()),
                Ok(_) => {
                    left.drain(..piece.len());
                }
                Err(CallError::Refused(refused)) => {
                    let Some((_, Some(standing))) = refused.first() else { return Err(StoreError::Stale) };
                    if item::get_number::<u64>(standing, attr::REV)? != rendered_revision {
                        return Err(StoreError::Stale);
                    }
                    self.roll_forward(id, standing).await?;
                    // Exports that changed later still have nothing to be told.
                    let mut newer = Vec::new();
                    for (connection, at) in left {
                        let known = item::find_instant(standing, &schema::exported(&connection))?;
                        newer.extend(known.is_none_or(|known| known < at).then_some((connection, at)));
                    }
                    left = newer;
                }
                Err(error) => return Err(error.or_stale()),
            }
        }
        Err(StoreError::Stale)
    }

    async fn forget_past(&self, id: &PropertyId) -> Result<(), StoreError> {
        let head = self.property(id).await?;
        let gone = self.past_of(id, head.as_ref()).await?;
        self.table.write_many(gone.into_iter().map(Write::delete).collect()).await
    }

    async fn purge(&self, id: &PropertyId) -> Result<(), StoreError> {
        let key = schema::property_head(id);
        let partition = schema::property_partition(id);
        for _ in 0..LOOKS {
            // The head goes last, so that a purge that was cut short is found again. It names no items from now on.
            let head = match self
                .table
                .write(Write::set(key.clone(), Vec::new(), &[attr::WROTE]).when(Condition::present()))
                .await
            {
                Ok(Some(head)) => Some(head),
                Ok(None) | Err(CallError::Refused(_)) => None,
                Err(error) => return Err(error.or_stale()),
            };
            if let Some(head) = &head {
                self.roll_forward(id, head).await?;
            }
            let mut gone = Vec::new();
            let (items, _) = self.table.query(&Range::all(partition.clone()), None).await?;
            for item in &items {
                let sk = item::get_text(item, attr::SK)?;
                if let Some(connection) = read_settings(id, sk, item)? {
                    gone.push(schema::fetch_plan(&connection.id));
                    let listed = connection.import.as_ref().and_then(|import| import.listed);
                    gone.extend(listed.map(|mark| schema::feed_entry(&connection.account, mark, &connection.id)));
                    gone.extend(connection.export.map(|export| schema::owner(&export.token.hash())));
                } else if sk.starts_with(schema::RETIRING) {
                    let link: calmesh_app::model::RetiringLink = item::document(item, attr::DOC)?;
                    gone.push(schema::owner(&link.token.hash()));
                }
                if sk != schema::HEAD {
                    gone.push(key_of(item)?);
                }
            }
            let property = head.as_ref().map(read_head).transpose()?;
            gone.extend(self.past_of(id, property.as_ref()).await?);
            if let Some(property) = property {
                gone.push(schema::property_entry(&property.account, property.created_at, id));
                gone.push(schema::location(id.as_str()));
            }
            gone.sort();
            gone.dedup();
            self.table.write_many(gone.into_iter().map(Write::delete).collect()).await?;
            let Some(head) = head else { return Ok(()) };
            let revision: u64 = item::get_number(&head, attr::REV)?;
            let unmoved = Condition::new("#rev = :rev").with("rev", item::number(revision));
            match self.table.write(Write::delete(key.clone()).when(unmoved)).await {
                Ok(_) => return Ok(()),
                // Somebody changed it meanwhile: once more.
                Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.or_stale()),
            }
        }
        Err(StoreError::Stale)
    }

    async fn locate(&self, id: &str) -> Result<Option<Location>, StoreError> {
        let Some(item) = self.table.get(&schema::location(id)).await? else { return Ok(None) };
        let account = item::get_text(&item, attr::ACCOUNT)?.parse().map_err(|_| item::missing(attr::ACCOUNT))?;
        let property = item::get_text(&item, attr::PROPERTY)?.parse().map_err(|_| item::missing(attr::PROPERTY))?;
        Ok(Some(Location { account, property }))
    }

    async fn feed_readers(
        &self,
        account: &AccountId,
        marks: &BTreeSet<SecretHash>,
        most: usize,
    ) -> Result<Vec<FeedReader>, StoreError> {
        let of_one = |mark: SecretHash| async move {
            let range = Range::of(schema::account_partition(account), &schema::feed_entries(mark));
            let (entries, _) = self.table.query(&range, Some(most)).await?;
            entries.iter().map(|entry| read_feed_entry(entry, mark)).collect::<Result<Vec<_>, _>>()
        };
        let found = stream::iter(marks.iter().copied()).map(of_one).buffered(QUERIES_AT_ONCE);
        found.try_concat().await
    }

    async fn closed_holds(&self, id: &PropertyId, page: PageRequest) -> Result<Page<ClosedHold>, StoreError> {
        self.list_past(schema::closed_holds_partition(id), Word::Hold, page).await
    }

    async fn conflict_records(
        &self,
        account: &AccountId,
        property: Option<&PropertyId>,
        page: PageRequest,
    ) -> Result<Page<ConflictRecord>, StoreError> {
        let entries = property.map_or_else(|| schema::CONFLICTS.to_owned(), schema::conflict_entries);
        let range = Range::of(schema::account_partition(account), &entries).newest_first();
        self.list(range, page, |item| item::document(item, attr::DOC)).await
    }
}

#[async_trait]
impl ActivityStore for DynamoStore {
    async fn activity(&self, property: &PropertyId, page: PageRequest) -> Result<Page<Activity>, StoreError> {
        self.list_past(schema::history_partition(property), Word::Activity, page).await
    }

    async fn append_activity(&self, entries: &[Activity]) -> Result<(), StoreError> {
        let unique = self.unique()?;
        let mut of_each: BTreeMap<&PropertyId, Vec<Activity>> = BTreeMap::new();
        for entry in entries {
            of_each.entry(&entry.property).or_default().push(entry.clone());
        }
        let mut writes = Vec::new();
        for (property, entries) in of_each {
            writes.extend(history::appended(property, &unique, &entries)?.iter().map(Step::to_write));
        }
        // One entry is one put, which is all that a fetcher may do.
        match writes.len() {
            1 => {
                for write in writes {
                    self.table.write(write).await.map_err(CallError::or_stale)?;
                }
                Ok(())
            }
            _ => self.table.write_many(writes).await,
        }
    }
}

fn read_feed_entry(entry: &Item, mark: SecretHash) -> Result<FeedReader, StoreError> {
    let connection = item::get_text(entry, attr::SK)?.rsplit('#').next().and_then(|id| id.parse().ok());
    Ok(FeedReader {
        mark,
        connection: connection.ok_or_else(|| item::missing(attr::SK))?,
        property: item::get_text(entry, attr::PROPERTY)?.parse().map_err(|_| item::missing(attr::PROPERTY))?,
    })
}

/// Whose an owner item says that a token is.
pub(crate) fn read_owner(item: &Item) -> Result<LinkOwner, StoreError> {
    item::document(item, attr::DOC)
}
