//! Mirrors: connections whose feed repeats stays of other connections (a channel manager's master feed).

use std::collections::{BTreeMap, BTreeSet};

use crate::{Block, BlockId, ConnectionId, Nights, Picture};

/// Whose stays have which nights, worked out once for all blocks: a stay of an aggregating connection with the arrival
/// and departure of a stay of another connection is that stay reported twice.
#[derive(Debug)]
pub struct Mirrors<'a> {
    picture: Picture<'a>,
    stays: BTreeMap<Nights, BTreeSet<&'a ConnectionId>>,
}

impl<'a> Mirrors<'a> {
    #[must_use]
    pub fn of(picture: &Picture<'a>) -> Self {
        Self::among(picture, picture.blocks)
    }

    /// Only these blocks are origins.
    pub(crate) fn among(picture: &Picture<'a>, blocks: impl IntoIterator<Item = &'a Block>) -> Self {
        let mut mirrors = Self { picture: *picture, stays: BTreeMap::new() };
        if !picture.sources.values().any(|source| source.aggregates) {
            return mirrors;
        }
        for block in blocks {
            let counts = picture.source_of(block).is_some_and(|source| source.blocks);
            // What carries our own tag is nobody's stay.
            let stay = block.connection().filter(|_| counts && !block.is_ours());
            if let Some((connection, nights)) = stay.zip(block.extent.nights(picture.house)) {
                mirrors.stays.entry(nights).or_default().insert(connection);
            }
        }
        mirrors
    }

    /// Connections whose stay this one repeats. Of two aggregating connections that repeat each other, the later one by
    /// id is the mirror.
    #[must_use]
    pub fn origins(&self, block: &Block) -> Vec<&'a ConnectionId> {
        let aggregates =
            |connection: &ConnectionId| self.picture.sources.get(connection).is_some_and(|source| source.aggregates);
        let mirror = block.connection().filter(|connection| aggregates(connection) && !block.is_ours());
        let Some((mirror, nights)) = mirror.zip(block.extent.nights(self.picture.house)) else { return Vec::new() };
        let others = self.stays.get(&nights).into_iter().flatten().copied();
        others.filter(|other| *other != mirror && (!aggregates(other) || *other < mirror)).collect()
    }

    /// Whether a stay repeats that of another connection.
    #[must_use]
    pub fn is_mirrored(&self, block: &Block) -> bool {
        !self.origins(block).is_empty()
    }
}

/// Stays of aggregating connections with the arrival and departure of a stay of another connection: that stay
/// reported twice, a second witness and no conflict.
#[must_use]
pub fn mirrored(picture: &Picture<'_>) -> BTreeSet<BlockId> {
    let mirrors = Mirrors::of(picture);
    let mirrored = picture.blocks.iter().filter(|block| mirrors.is_mirrored(block));
    mirrored.map(|block| block.id.clone()).collect()
}

/// Aggregating connections whose stays all stand in other connections too: nothing would be missed without them.
#[must_use]
pub fn superfluous_mirrors(picture: &Picture<'_>) -> Vec<ConnectionId> {
    let aggregating = picture.sources.iter().filter(|(_, source)| source.aggregates && source.blocks);
    let mut all_mirrored: BTreeMap<&ConnectionId, bool> = BTreeMap::new();
    let mirrors = Mirrors::of(picture);
    for block in picture.blocks {
        if let Some(connection) = block.connection() {
            let mirrored = all_mirrored.entry(connection).or_insert(true);
            *mirrored = *mirrored && mirrors.is_mirrored(block);
        }
    }
    aggregating.map(|(id, _)| id).filter(|id| all_mirrored.get(id) == Some(&true)).cloned().collect()
}
