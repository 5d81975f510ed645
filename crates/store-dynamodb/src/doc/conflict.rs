//! A conflict as a document: a run of nights, and the named ones of who claims them. An earlier version had two stays
//! with a list of nights, and one of them gone at most; that is still read.

use std::collections::BTreeSet;

use calmesh_calendar::{BlockId, Conflict, ConflictId, Nights, span::Days};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{is_default, nights_option, text, text_list, text_option};

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
    /// Of an earlier version.
    #[serde(with = "text_list", default, skip_serializing)]
    nights: Vec<Date>,
    #[serde(with = "text_option", default, skip_serializing)]
    gone: Option<BlockId>,
}

pub(super) fn serialize<S: Serializer>(conflict: &Conflict, serializer: S) -> Result<S::Ok, S::Error> {
    let Conflict { id, blocks, more, first, nights, arrives_at, opened_at, gone, settled } = conflict.clone();
    let said_gone = gone.into_iter().collect();
    let (run, nights, gone) = (nights, Vec::new(), None);
    Stored { id, blocks, more, first, run, arrives_at, opened_at, said_gone, settled, nights, gone }
        .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Conflict, D::Error> {
    let Stored { id, blocks, more, first, run, arrives_at, opened_at, said_gone, settled, nights, gone } =
        Stored::deserialize(deserializer)?;
    // A list with gaps is read as one run: the next weighing tells them apart.
    let listed = nights.first().zip(nights.last());
    let listed = listed.and_then(|(first, last)| Nights::new(*first, last.next_day()).ok());
    Ok(Conflict {
        id,
        blocks,
        more,
        first,
        nights: run.or(listed),
        arrives_at,
        opened_at,
        settled: settled || gone.is_some(),
        gone: said_gone.into_iter().chain(gone).collect::<BTreeSet<_>>(),
    })
}
