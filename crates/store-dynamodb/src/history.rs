//! What happened to a property, as items of records: those of one change lie in one item, or on pages. In one partition the
//! activity and what changes replaced; in another one, since they are listed on their own and few changes have any, the
//! holds that ended.

use std::collections::BTreeMap;

use calmesh_app::{
    model::{Activity, ClosedHold, Property, Replaced},
    ports::{Page, PageRequest, PropertyCommit, StoreError},
};
use calmesh_calendar::{Block, ConnectionId, PropertyId};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::{
        self, Document,
        connection::Parts,
        pack,
        past::{self, Record, Word},
    },
    item,
    journal::{self, Step, Value},
    schema::{self, attr},
    stays,
    table::{Item, Range},
};

const WHAT: &str = "the history of a property";

/// An item may be written down in a staged item first, where its bytes are digits, and that takes 400 KB.
const PAGE_BYTES: usize = 150_000;
/// So many ids are one record.
const IDS_A_RECORD: usize = 1_000;
/// What a list's place has between the item and how many of its records were shown.
const SHOWN: char = '/';
/// Sorts after everything that a sort key of these partitions has in it.
const AFTER_ITEM: char = '~';

fn unreadable() -> StoreError {
    StoreError::Corrupt { what: WHAT.to_owned() }
}

type Records = BTreeMap<Timestamp, Vec<Record>>;

/// What a commit adds to the past.
pub(crate) fn steps_of(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let unique = format!("{:020}", commit.property.revision);
    let mut records = activity_records(&commit.activity)?;
    if let Some(replaced) = &commit.replaced {
        records.entry(replaced.at).or_default().extend(replaced_records(replaced)?);
    }
    let id = &commit.property.id;
    let mut steps = items(&schema::history_partition(id), &unique, records)?;
    let mut ended: Vec<&ClosedHold> = commit.closed_holds.iter().collect();
    ended.sort_by_key(|closed| &closed.hold.id);
    let mut records = Records::new();
    for closed in ended {
        records.entry(closed.closed_at).or_default().push(Record::new(Word::Hold, closed.encode()?));
    }
    steps.extend(items(&schema::closed_holds_partition(id), &unique, records)?);
    Ok(steps)
}

/// Entries of one property that belong to no commit.
pub(crate) fn appended(property: &PropertyId, unique: &str, entries: &[Activity]) -> Result<Vec<Step>, StoreError> {
    items(&schema::history_partition(property), unique, activity_records(entries)?)
}

fn activity_records(entries: &[Activity]) -> Result<Records, StoreError> {
    let mut records = Records::new();
    for entry in entries {
        records.entry(entry.at).or_default().push(Record::new(Word::Activity, entry.encode()?));
    }
    Ok(records)
}

fn items(partition: &str, unique: &str, records: Records) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    for (at, records) in records {
        let pages = past::paged(records, PAGE_BYTES);
        let of = Value::N(pages.len().to_string());
        for (nth, page) in pages.into_iter().enumerate() {
            let doc = Value::B(past::encode(&page)?);
            let attributes = [(attr::DOC, doc), (attr::OF, of.clone()), (attr::TTL, journal::kept_until(at))];
            steps.push(Step::put(schema::past(partition.to_owned(), at, unique, nth), attributes));
        }
    }
    Ok(steps)
}

fn replaced_records(replaced: &Replaced) -> Result<Vec<Record>, StoreError> {
    let id = &replaced.property.id;
    let mut records = vec![Record::new(Word::Property, doc::property::encode(&replaced.property))];
    for connection in &replaced.connections {
        let parts = Parts { settings: Some(connection), ..Parts::default() };
        records.push(Record::of(Word::Connection, connection.id.as_str(), doc::connection::encode(id, &parts)?));
    }
    for of_one in replaced.blocks.chunk_by(|a, b| a.connection() == b.connection()) {
        let source = of_one.first().and_then(Block::connection);
        let source = source.map_or(schema::OWN_BLOCKS, |connection| connection.as_str());
        for blocks in stays::in_order(of_one) {
            records.push(Record::of(Word::Blocks, source, doc::block::encode(id, &blocks)));
        }
    }
    for (connection, claims) in &replaced.claims {
        records.push(Record::of(Word::Claims, connection.as_str(), doc::claims::encode(id, claims)));
    }
    records.extend(id_records(Word::NewConnections, id, &replaced.new_connections));
    records.extend(id_records(Word::NewBlocks, id, &replaced.new_blocks));
    records.extend(id_records(Word::NewClaims, id, &replaced.new_claims));
    Ok(records)
}

fn id_records<T: pack::Id>(word: Word, property: &PropertyId, ids: &[T]) -> impl Iterator<Item = Record> {
    ids.chunks(IDS_A_RECORD).map(move |ids| Record::new(word, pack::ids(property, ids)))
}

fn records_of(item: &Item) -> Result<Vec<Record>, StoreError> {
    past::decode(item::get_bytes(item, attr::DOC)?)
}

/// What changes of a property replaced; none where the pages of one are not all there yet.
pub(crate) fn read_replaced(id: &PropertyId, items: &[Item]) -> Result<Option<Vec<Replaced>>, StoreError> {
    let mut changes: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in items {
        let (change, _) = item::get_text(item, attr::SK)?.rsplit_once('#').ok_or_else(unreadable)?;
        changes.entry(change).or_default().push(item);
    }
    let mut found = Vec::new();
    for (change, pages) in changes {
        let of: usize = pages.first().map_or(Ok(0), |page| item::get_number(page, attr::OF))?;
        if of != pages.len() {
            return Ok(None);
        }
        let mut records = Vec::new();
        for page in pages {
            records.extend(records_of(page)?);
        }
        records.retain(|record| record.word != Word::Activity);
        if !records.is_empty() {
            found.push(read_change(id, change, &records)?);
        }
    }
    Ok(Some(found))
}

fn read_change(id: &PropertyId, change: &str, records: &[Record]) -> Result<Replaced, StoreError> {
    let (at, revision) = change.split_once('#').ok_or_else(unreadable)?;
    let revision: u64 = revision.parse().map_err(|_| unreadable())?;
    let (mut connections, mut blocks, mut claims) = (Vec::new(), Vec::new(), BTreeMap::new());
    let (mut new_connections, mut new_blocks, mut new_claims) = (Vec::new(), Vec::new(), Vec::new());
    let mut property = None;
    for record in records {
        let of = || record.of.parse::<ConnectionId>().map_err(|_| unreadable());
        let told = record.told.as_slice();
        match record.word {
            Word::Property => {
                let stood = doc::property::decode(told, id)?;
                property = Some(Property { revision: revision.saturating_sub(1), ..stood });
            }
            Word::Connection => connections.extend(doc::connection::decode(told, id, &of()?)?.settings),
            Word::Blocks => {
                let source = stays::source(&record.of).ok_or_else(unreadable)?;
                blocks.extend(doc::block::decode(told, id, source.as_ref())?);
            }
            Word::Claims => drop(claims.insert(of()?, doc::claims::decode(told, id)?)),
            Word::NewConnections => new_connections.extend(pack::read_ids(told, id)?),
            Word::NewBlocks => new_blocks.extend(pack::read_ids(told, id)?),
            Word::NewClaims => new_claims.extend(pack::read_ids(told, id)?),
            Word::Activity | Word::Hold => return Err(unreadable()),
        }
    }
    let property = property.ok_or_else(unreadable)?;
    let at = at.parse().map_err(|_| unreadable())?;
    Ok(Replaced { at, revision, property, connections, blocks, claims, new_connections, new_blocks, new_claims })
}

/// How far a list was shown: an item's sort key, and how many of its records.
fn place(sk: &str, shown: usize) -> String {
    format!("{sk}{SHOWN}{shown}")
}

fn read_place(place: &str) -> Option<(&str, usize)> {
    let (sk, shown) = place.rsplit_once(SHOWN)?;
    Some((sk, shown.parse().ok()?))
}

impl DynamoStore {
    /// A page of the records of this kind, the newest first. A page may end in the middle of an item, since what
    /// was written of the past never changes.
    pub(crate) async fn list_past<T: Document>(
        &self,
        partition: String,
        word: Word,
        page: PageRequest,
    ) -> Result<Page<T>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let range = Range::all(partition).newest_first();
        let begun = page
            .after
            .as_deref()
            .map(|after| read_place(after).ok_or_else(|| StoreError::Corrupt { what: "a place in a list".to_owned() }));
        let begun = begun.transpose()?;
        // That item once more: the rest of its records come next.
        let mut after = begun.map(|(sk, _)| format!("{sk}{AFTER_ITEM}"));
        let mut found: Vec<(String, T)> = Vec::new();
        loop {
            let wanted = limit + 1 - found.len();
            let (items, _) = self.table.query(&range.clone().after(after.take()), Some(wanted)).await?;
            for item in &items {
                let sk = item::get_text(item, attr::SK)?;
                let shown = begun.filter(|(begun, _)| *begun == sk).map_or(0, |(_, shown)| shown);
                let records = records_of(item)?;
                let records = records.iter().rev().filter(|record| record.word == word).enumerate().skip(shown);
                for (nth, record) in records.take(limit + 1 - found.len()) {
                    found.push((place(sk, nth + 1), T::decode(record.text()?)?));
                }
                if found.len() > limit {
                    found.truncate(limit);
                    let next = found.last().map(|(place, _)| place.clone());
                    return Ok(Page { items: found.into_iter().map(|(_, record)| record).collect(), next });
                }
            }
            match items.last() {
                Some(last) if items.len() == wanted => after = Some(item::get_text(last, attr::SK)?.to_owned()),
                _ => return Ok(Page { items: found.into_iter().map(|(_, record)| record).collect(), next: None }),
            }
        }
    }
}
