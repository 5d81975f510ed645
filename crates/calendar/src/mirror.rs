//! Mirrors: connections whose feed repeats stays of other connections (a channel manager's master feed).

use std::collections::BTreeSet;

use crate::{Block, BlockId, ConnectionId, Picture};

/// Stays of aggregating connections with the arrival and departure of a stay of another connection: that stay
/// reported twice, a second witness and no conflict.
#[must_use]
pub fn mirrored(picture: &Picture<'_>) -> BTreeSet<BlockId> {
    let mirrored = picture.blocks.iter().filter(|block| is_mirrored(picture, block));
    mirrored.map(|block| block.id.clone()).collect()
}

/// Aggregating connections whose stays all stand in other connections too: nothing would be missed without them.
#[must_use]
pub fn superfluous_mirrors(picture: &Picture<'_>) -> Vec<ConnectionId> {
    let aggregating = picture.sources.iter().filter(|(_, source)| source.aggregates && source.blocks);
    aggregating
        .filter(|(id, _)| {
            let mut stays = picture.blocks.iter().filter(|block| block.connection() == Some(*id)).peekable();
            stays.peek().is_some() && stays.all(|block| is_mirrored(picture, block))
        })
        .map(|(id, _)| (*id).clone())
        .collect()
}

/// Whether one of two stays repeats the other.
pub(crate) fn is_mirror_of(picture: &Picture<'_>, one: &Block, other: &Block) -> bool {
    let aggregates = |block: &Block| picture.source_of(block).is_some_and(|source| source.aggregates);
    // What carries our own tag is nobody's stay.
    let is_stay = |block: &Block| !block.is_own() && !block.is_ours();
    (aggregates(one) || aggregates(other))
        && is_stay(one)
        && is_stay(other)
        && one.connection() != other.connection()
        && one.extent.nights(picture.house).is_some()
        && one.extent.nights(picture.house) == other.extent.nights(picture.house)
}

/// Whether a stay repeats that of another connection.
pub(crate) fn is_mirrored(picture: &Picture<'_>, block: &Block) -> bool {
    let aggregates = picture.source_of(block).is_some_and(|source| source.aggregates);
    // Of two aggregating connections that repeat each other, the later one by id is the mirror.
    let is_origin = |other: &Block| {
        let theirs = picture.source_of(other);
        theirs.is_some_and(|source| source.blocks && (!source.aggregates || other.connection() < block.connection()))
    };
    aggregates && picture.blocks.iter().any(|other| is_origin(other) && is_mirror_of(picture, block, other))
}
