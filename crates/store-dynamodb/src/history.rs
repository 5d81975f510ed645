//! What happened to a property, as items of lines: those of one change lie in one item, or on pages. First the form's
//! version, then on each line a word that says what it is, and a record. In one partition the activity and what changes
//! replaced; in another one, since they are listed on their own and few changes have any, the holds that ended.

use std::collections::BTreeMap;

use calmesh_app::{
    model::{Activity, ClosedHold, Connection, Property, Replaced},
    ports::{Page, PageRequest, PropertyCommit, StoreError},
};
use calmesh_calendar::{Block, ConnectionClaims, PropertyId};
use jiff::Timestamp;

use crate::{
    DynamoStore,
    doc::{Document, page},
    item,
    journal::{self, Step, Value},
    schema::{self, attr},
    stays,
    table::{Item, Range},
};

const WHAT: &str = "the history of a property";

pub(crate) const ACTIVITY: &str = "ACT";
pub(crate) const HOLD: &str = "HLD";
const PROPERTY: &str = "PRP";
const CONNECTION: &str = "CON";
/// Blocks of a source (`own`, or a connection) that follow each other, as a page.
const BLOCKS: &str = "BLK";
const CLAIMS: &str = "CLM";
const NEW_CONNECTIONS: &str = "+CON";
const NEW_BLOCKS: &str = "+BLK";
const NEW_CLAIMS: &str = "+CLM";

/// An item may be written down in a staged item first, with escapes, and that takes 400 KB.
const PAGE_BYTES: usize = 200_000;
/// So many ids stand on one line.
const IDS_A_LINE: usize = 1_000;
/// What a list's place has between the item and how many of its lines were shown.
const SHOWN: char = '/';
/// Sorts after everything that a sort key of these partitions has in it.
const AFTER_ITEM: char = '~';

fn unreadable() -> StoreError {
    StoreError::Corrupt { what: WHAT.to_owned() }
}

type Lines = BTreeMap<Timestamp, Vec<String>>;

/// What a commit adds to the past.
pub(crate) fn steps_of(commit: &PropertyCommit) -> Result<Vec<Step>, StoreError> {
    let unique = format!("{:020}", commit.property.revision);
    let mut lines = activity_lines(&commit.activity)?;
    if let Some(replaced) = &commit.replaced {
        lines.entry(replaced.at).or_default().extend(replaced_lines(replaced)?);
    }
    let id = &commit.property.id;
    let mut steps = items(&schema::history_partition(id), &unique, lines);
    let mut ended: Vec<&ClosedHold> = commit.closed_holds.iter().collect();
    ended.sort_by_key(|closed| &closed.hold.id);
    let mut lines = Lines::new();
    for closed in ended {
        lines.entry(closed.closed_at).or_default().push(format!("{HOLD} {}", closed.encode()?));
    }
    steps.extend(items(&schema::closed_holds_partition(id), &unique, lines));
    Ok(steps)
}

/// Entries of one property that belong to no commit.
pub(crate) fn appended(property: &PropertyId, unique: &str, entries: &[Activity]) -> Result<Vec<Step>, StoreError> {
    Ok(items(&schema::history_partition(property), unique, activity_lines(entries)?))
}

fn activity_lines(entries: &[Activity]) -> Result<Lines, StoreError> {
    let mut lines = Lines::new();
    for entry in entries {
        lines.entry(entry.at).or_default().push(format!("{ACTIVITY} {}", entry.encode()?));
    }
    Ok(lines)
}

fn items(partition: &str, unique: &str, lines: Lines) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, lines) in lines {
        let pages = journal::paged(lines, PAGE_BYTES);
        let of = Value::N(pages.len().to_string());
        for (nth, page) in pages.into_iter().enumerate() {
            let doc = Value::S(journal::with_form(&page));
            let attributes = [(attr::DOC, doc), (attr::OF, of.clone()), (attr::TTL, journal::kept_until(at))];
            steps.push(Step::put(schema::past(partition.to_owned(), at, unique, nth), attributes));
        }
    }
    steps
}

fn replaced_lines(replaced: &Replaced) -> Result<Vec<String>, StoreError> {
    let mut lines = vec![format!("{PROPERTY} {}", replaced.property.encode()?)];
    for connection in &replaced.connections {
        lines.push(format!("{CONNECTION} {}", connection.encode()?));
    }
    for of_one in replaced.blocks.chunk_by(|a, b| a.connection() == b.connection()) {
        let source = of_one.first().and_then(Block::connection);
        let source = source.map_or(schema::OWN_BLOCKS, |connection| connection.as_str());
        for blocks in stays::in_order(of_one) {
            lines.push(format!("{BLOCKS} {source} {}", page::encode(&blocks)?));
        }
    }
    for (connection, claims) in &replaced.claims {
        lines.push(format!("{CLAIMS} {connection} {}", claims.encode()?));
    }
    lines.extend(id_lines(NEW_CONNECTIONS, &replaced.new_connections));
    lines.extend(id_lines(NEW_BLOCKS, &replaced.new_blocks));
    lines.extend(id_lines(NEW_CLAIMS, &replaced.new_claims));
    Ok(lines)
}

/// Lines of ids: what all on it begin with, then the rest of each.
fn id_lines<T: ToString>(word: &str, ids: &[T]) -> Vec<String> {
    let line = |ids: &[T]| {
        let ids: Vec<String> = ids.iter().map(T::to_string).collect();
        let beginning = page::common_beginning(ids.iter().map(String::as_str));
        let rest: Vec<&str> = ids.iter().map(|id| id.strip_prefix(beginning).unwrap_or_default()).collect();
        format!("{word} {beginning} {}", rest.join(" "))
    };
    ids.chunks(IDS_A_LINE).map(line).collect()
}

/// The words and records of an item.
fn lines_of(item: &Item) -> Result<impl DoubleEndedIterator<Item = (&str, &str)>, StoreError> {
    Ok(journal::lines_of(item, WHAT)?.map(|line| line.split_once(' ').unwrap_or((line, ""))))
}

/// What changes replaced; none where the pages of one are not all there yet.
pub(crate) fn read_replaced(items: &[Item]) -> Result<Option<Vec<Replaced>>, StoreError> {
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
        let mut lines = Vec::new();
        for page in pages {
            lines.extend(lines_of(page)?.filter(|(word, _)| *word != ACTIVITY));
        }
        if !lines.is_empty() {
            found.push(read_change(change, &lines)?);
        }
    }
    Ok(Some(found))
}

fn read_change(change: &str, lines: &[(&str, &str)]) -> Result<Replaced, StoreError> {
    let (at, revision) = change.split_once('#').ok_or_else(unreadable)?;
    let revision: u64 = revision.parse().map_err(|_| unreadable())?;
    let (mut connections, mut blocks, mut claims) = (Vec::new(), Vec::new(), BTreeMap::new());
    let (mut new_connections, mut new_blocks, mut new_claims) = (Vec::new(), Vec::new(), Vec::new());
    let mut property = None;
    for (word, told) in lines {
        let of_one = || told.split_once(' ').ok_or_else(unreadable);
        match *word {
            PROPERTY => property = Some(Property { revision: revision.saturating_sub(1), ..Property::decode(told)? }),
            CONNECTION => connections.push(Connection::decode(told)?),
            BLOCKS => {
                let (source, told) = of_one()?;
                let source = stays::source(source).ok_or_else(unreadable)?;
                blocks.extend(page::decode(told, source.as_ref())?);
            }
            CLAIMS => {
                let (connection, told) = of_one()?;
                claims.insert(connection.parse().map_err(|_| unreadable())?, ConnectionClaims::decode(told)?);
            }
            NEW_CONNECTIONS => new_connections.extend(ids(told)?),
            NEW_BLOCKS => new_blocks.extend(ids(told)?),
            NEW_CLAIMS => new_claims.extend(ids(told)?),
            _ => return Err(unreadable()),
        }
    }
    let property = property.ok_or_else(unreadable)?;
    let at = at.parse().map_err(|_| unreadable())?;
    Ok(Replaced { at, revision, property, connections, blocks, claims, new_connections, new_blocks, new_claims })
}

fn ids<T: std::str::FromStr>(told: &str) -> Result<Vec<T>, StoreError> {
    let (beginning, rest) = told.split_once(' ').ok_or_else(unreadable)?;
    rest.split(' ').map(|rest| format!("{beginning}{rest}").parse().map_err(|_| unreadable())).collect()
}

/// How far a list was shown: an item's sort key, and how many of its lines.
fn place(sk: &str, shown: usize) -> String {
    format!("{sk}{SHOWN}{shown}")
}

fn read_place(place: &str) -> Option<(&str, usize)> {
    let (sk, shown) = place.rsplit_once(SHOWN)?;
    Some((sk, shown.parse().ok()?))
}

impl DynamoStore {
    /// A page of the records that these lines hold, the newest first. A page may end in the middle of an item, since what
    /// was written of the past never changes.
    pub(crate) async fn list_lines<T: Document>(
        &self,
        partition: String,
        word: &str,
        page: PageRequest,
    ) -> Result<Page<T>, StoreError> {
        let limit = usize::from(page.limit.max(1));
        let range = Range::all(partition).newest_first();
        let begun = page
            .after
            .as_deref()
            .map(|after| read_place(after).ok_or_else(|| StoreError::Corrupt { what: "a place in a list".to_owned() }));
        let begun = begun.transpose()?;
        // That item once more: the rest of its lines come next.
        let mut after = begun.map(|(sk, _)| format!("{sk}{AFTER_ITEM}"));
        let mut found: Vec<(String, T)> = Vec::new();
        loop {
            let wanted = limit + 1 - found.len();
            let (items, _) = self.table.query(&range.clone().after(after.take()), Some(wanted)).await?;
            for item in &items {
                let sk = item::get_text(item, attr::SK)?;
                let shown = begun.filter(|(begun, _)| *begun == sk).map_or(0, |(_, shown)| shown);
                let lines = lines_of(item)?.rev().filter(|(of, _)| *of == word).enumerate().skip(shown);
                for (nth, (_, told)) in lines.take(limit + 1 - found.len()) {
                    found.push((place(sk, nth + 1), T::decode(told)?));
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
