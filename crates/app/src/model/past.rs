//! What a property was like before it was changed: each change keeps what it replaced, and undoing the later ones brings
//! an earlier state back.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{Block, BlockId, ConnectionClaims, ConnectionId};
use jiff::{SignedDuration, Timestamp};

use super::{Connection, LinkToken, Property, PropertyState, Validators};

/// What changes replaced is kept for so long, as are superseded snapshots.
pub const PAST_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What one change of a property replaced: with it the state before the change can be had from the one after, as far as it
/// is asked about afterwards. Conflicts and retiring links are not in it; nor is what would open a feed or a link, nor what a
/// feed or a host says in words, which the past has no use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// When the change was made.
    pub at: Timestamp,
    /// The revision that it made.
    pub revision: u64,
    /// The property's record as it was, at the revision before, without its mark.
    pub property: Property,
    /// Those that were changed or removed, as they were.
    pub connections: Vec<Connection>,
    pub blocks: Vec<Block>,
    /// By connection: what was kept of its claims.
    pub claims: BTreeMap<ConnectionId, ConnectionClaims>,
    pub new_connections: Vec<ConnectionId>,
    pub new_blocks: Vec<BlockId>,
    /// Connections of whose claims nothing was kept.
    pub new_claims: Vec<ConnectionId>,
}

/// As the past keeps it.
pub(crate) fn without_secrets(connection: &Connection) -> Connection {
    let mut kept = connection.clone();
    if let Some(import) = &mut kept.import {
        import.url = import.url.without_secrets();
        (import.replaces, import.listed) = (None, None);
        if let Some(applied) = &mut import.applied {
            applied.validators = Validators::default();
            applied.warnings.clear();
        }
    }
    if let Some(export) = &mut kept.export {
        // Nobody's.
        export.token = LinkToken::from_random([0; 32]);
    }
    kept
}

/// As the past keeps it.
pub(crate) fn without_words(block: &Block) -> Block {
    Block { summary: String::new(), ..block.clone() }
}

impl PropertyState {
    /// The state as it stood at an instant, from what later changes replaced, in any order. None where one of those is not
    /// known, or not since when the state that they lead back to stood. Conflicts and retiring links stay the present ones.
    #[must_use]
    pub fn as_it_stood(mut self, at: Timestamp, mut later: Vec<Replaced>) -> Option<Self> {
        later.sort_by_key(|change| std::cmp::Reverse(change.revision));
        for change in later.into_iter().filter(|change| change.at > at) {
            if change.revision > self.property.revision {
                // Made after this state was read.
                continue;
            }
            if change.revision < self.property.revision {
                return None;
            }
            self.undo(change);
        }
        self.property.revised_at.is_some_and(|since| since <= at).then_some(self)
    }

    fn undo(&mut self, change: Replaced) {
        let Replaced { property, connections, blocks, claims, new_connections, new_blocks, new_claims, .. } = change;
        self.property = property;
        let replaced =
            |id: &ConnectionId| connections.iter().any(|known| known.id == *id) || new_connections.contains(id);
        self.connections.retain(|known| !replaced(&known.id));
        self.connections.extend(connections);
        self.connections.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let gone: BTreeSet<BlockId> = blocks.iter().map(|block| block.id.clone()).chain(new_blocks).collect();
        self.blocks.retain(|block| !gone.contains(&block.id));
        self.blocks.extend(blocks);
        self.blocks.sort_by(|a, b| a.id.cmp(&b.id));
        for connection in &new_claims {
            self.claims.forget(connection);
        }
        self.claims.connections.extend(claims);
    }
}
