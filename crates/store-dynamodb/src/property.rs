//! A property's partition: how a change becomes visible as a whole, how it is read, how it goes.
//!
//! A change that fits is one transaction. A larger one is written down first, in staged items that nobody minds
//! until one conditional write of the head names them; readers lay them over the rest from then on, and whoever
//! writes next does them in place before anything else. The README tells why each step may be the last.

mod change;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use calmesh_app::{
    model::{Activity, ClosedHold, ConflictRecord, LinkOwner, Property, PropertyState, Replaced, SecretHash, Snapshot},
    ports::{
        ActivityStore, FeedReader, Location, Page, PageRequest, ParkedBody, PropertyCommit, PropertyStore, StoreError,
        WaitingBody,
    },
};
use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    DynamoStore, commit, connections,
    doc::{self, past::Word},
    history,
    item::{self, MarkState},
    journal::{self, Step},
    schema::{self, Key, attr},
    table::{CallError, Condition, Item, Range, TRANSACTION_ACTIONS, TRANSACTION_BYTES, Write, pause},
};
use change::{HeadChange, LOCATION, beginning};
use read::{Look, read_head, read_settings, read_state};

/// How often a reader looks again at a state that is just being written, or a writer at a head that moves.
const LOOKS: u32 = 10;

/// So many exports one write of the head tells of: its condition names each, and has room for 4 KB.
const EXPORTS_A_WRITE: usize = 20;

/// So many small queries run at the same time.
const QUERIES_AT_ONCE: usize = 16;

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
                past.push(item::key_of(item)?);
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
        let steps = commit::steps_of(commit, &before)?;
        let head = HeadChange { property, forgotten: connections::with_another_link(commit, &before) };
        let wrote = journal::wrote(&steps, &schema::property_partition(&property.id));
        let wrote = serde_json::to_string(&wrote)
            .map_err(|_| StoreError::Corrupt { what: "a property's head can't be written".to_owned() })?;
        let moved = head.write(vec![(attr::WROTE.to_owned(), item::text(wrote))], &[])?;
        let bytes = moved.bytes() + steps.iter().map(Step::bytes).sum::<usize>();
        let beginning = beginning(property);
        let fits = steps.len() + beginning.len() < TRANSACTION_ACTIONS && bytes <= TRANSACTION_BYTES;

        for _ in 0..LOOKS {
            let done = if fits {
                self.commit_at_once(moved.clone(), beginning.clone(), commit::writes_of(commit, &steps)).await
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

    async fn kept_body(
        &self,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, StoreError> {
        let item = self.table.get(&schema::body(connection, snapshot)).await?;
        // One of which only the end is known was superseded after it was lost.
        let Some(doc) = item.as_ref().and_then(|item| item::find_bytes(item, attr::DOC)) else { return Ok(None) };
        match doc::body::decode(doc)? {
            WaitingBody::Small(body) if body.snapshot == *snapshot => Ok(Some(body.parked)),
            _ => Err(StoreError::Corrupt { what: "a kept body is not the one that it should be".to_owned() }),
        }
    }

    async fn forget_bodies(&self, connection: &ConnectionId) -> Result<(), StoreError> {
        let (items, _) = self.table.query(&Range::all(schema::bodies_partition(connection)), None).await?;
        self.table
            .write_many(items.iter().map(|item| item::key_of(item).map(Write::delete)).collect::<Result<_, _>>()?)
            .await
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
            let (mut gone, mut bodies) = (Vec::new(), Vec::new());
            let (items, _) = self.table.query(&Range::all(partition.clone()), None).await?;
            for item in &items {
                let sk = item::get_text(item, attr::SK)?;
                if let Some(connection) = read_settings(id, sk, item)? {
                    gone.push(schema::fetch_plan(&connection.id));
                    bodies.push(connection.id.clone());
                    let listed = connection.import.as_ref().and_then(|import| import.listed);
                    gone.extend(listed.map(|mark| schema::feed_entry(&connection.account, mark, &connection.id)));
                    gone.extend(connection.export.map(|export| schema::owner(&export.token.hash())));
                } else if sk.starts_with(schema::RETIRING) {
                    let link: calmesh_app::model::RetiringLink = item::document(item, attr::DOC)?;
                    gone.push(schema::owner(&link.token.hash()));
                }
                if sk != schema::HEAD {
                    gone.push(item::key_of(item)?);
                }
            }
            for connection in &bodies {
                self.forget_bodies(connection).await?;
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
