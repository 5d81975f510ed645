//! Conflicts: runs of nights, and the named ones of who claims them. As pages of what stands, compact; and one as JSON, within
//! the record by which it is listed.

use calmesh_app::{model::ConflictRecord, ports::StoreError};
use calmesh_calendar::{BlockId, Conflict, ConflictId, Nights, PropertyId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    block::{bit, read_nights, write_nights},
    pack::{self, Reader, Writer},
    values::{is_default, nights_option, text, text_list, text_option},
};

const WHAT: &str = "a page of conflicts";
const VERSION: u8 = 1;

const NIGHTS: u8 = 1;
const SETTLED: u8 = 1 << 1;
const GONE: u8 = 1 << 2;

fn write<'a>(to: &mut Writer<'a>, conflict: &'a Conflict) {
    let Conflict { id, blocks, more, first, nights, arrives_at, opened_at, gone, settled } = conflict;
    to.byte(bit(nights.is_some(), NIGHTS) | bit(*settled, SETTLED) | bit(!gone.is_empty(), GONE));
    to.id(id);
    to.count(blocks.len());
    for block in blocks {
        to.id(block);
    }
    to.number((*more).into());
    to.id(first);
    if let Some(nights) = nights {
        write_nights(to, *nights);
    }
    to.instant(*arrives_at);
    to.instant(*opened_at);
    if !gone.is_empty() {
        to.count(gone.len());
        for block in gone {
            to.id(block);
        }
    }
}

fn read(from: &mut Reader<'_>) -> Option<Conflict> {
    let flags = from.flags(NIGHTS | SETTLED | GONE)?;
    Some(Conflict {
        id: from.id()?,
        blocks: (0..from.count()?).map(|_| from.id()).collect::<Option<_>>()?,
        more: from.number()?,
        first: from.id()?,
        nights: if flags & NIGHTS == 0 { None } else { Some(read_nights(from)?) },
        arrives_at: from.instant()?,
        opened_at: from.instant()?,
        gone: match flags & GONE {
            0 => std::collections::BTreeSet::new(),
            _ => (0..from.count()?).map(|_| from.id()).collect::<Option<_>>()?,
        },
        settled: flags & SETTLED != 0,
    })
}

/// A page of conflicts of a property.
pub(crate) fn encode(property: &PropertyId, conflicts: &[&Conflict]) -> Vec<u8> {
    let mut to = Writer::new(VERSION, property);
    to.count(conflicts.len());
    for conflict in conflicts {
        write(&mut to, conflict);
    }
    to.into_bytes()
}

pub(crate) fn decode(bytes: &[u8], property: &PropertyId) -> Result<Vec<Conflict>, StoreError> {
    let mut from = Reader::new(pack::of_version(bytes, VERSION, WHAT)?, property);
    let mut whole = || {
        let count = from.count()?;
        let conflicts: Option<Vec<Conflict>> = (0..count).map(|_| read(&mut from)).collect();
        from.end().and(conflicts)
    };
    whole().ok_or_else(|| pack::unreadable(WHAT))
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(with = "text")]
    id: ConflictId,
    #[serde(with = "text_list")]
    blocks: Vec<BlockId>,
    #[serde(default, skip_serializing_if = "is_default")]
    more: u32,
    #[serde(with = "text")]
    first: BlockId,
    #[serde(with = "nights_option", default, skip_serializing_if = "Option::is_none")]
    run: Option<Nights>,
    #[serde(with = "text")]
    arrives_at: Timestamp,
    #[serde(with = "text")]
    opened_at: Timestamp,
    #[serde(with = "text_list", default, skip_serializing_if = "Vec::is_empty")]
    said_gone: Vec<BlockId>,
    #[serde(default, skip_serializing_if = "is_default")]
    settled: bool,
}

pub(super) fn serialize<S: Serializer>(conflict: &Conflict, serializer: S) -> Result<S::Ok, S::Error> {
    let Conflict { id, blocks, more, first, nights: run, arrives_at, opened_at, gone, settled } = conflict.clone();
    let said_gone = gone.into_iter().collect();
    Stored { id, blocks, more, first, run, arrives_at, opened_at, said_gone, settled }.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Conflict, D::Error> {
    let Stored { id, blocks, more, first, run: nights, arrives_at, opened_at, said_gone, settled } =
        Stored::deserialize(deserializer)?;
    let gone = said_gone.into_iter().collect();
    Ok(Conflict { id, blocks, more, first, nights, arrives_at, opened_at, gone, settled })
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConflictRecord")]
pub(super) struct ConflictRecordDoc {
    #[serde(with = "text")]
    property: PropertyId,
    #[serde(with = "super::conflict")]
    conflict: Conflict,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
}
