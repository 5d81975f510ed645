//! A conflict as a document: a run of nights, and the named ones of who claims them.

use calmesh_calendar::{BlockId, Conflict, ConflictId, Nights};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{is_default, nights_option, text, text_list};

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
