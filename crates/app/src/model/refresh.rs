//! Manual refreshes and what became of each connection in them.

use calmesh_calendar::{AccountId, ConnectionId, PropertyId, RefreshId};
use jiff::Timestamp;

use super::Dirty;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    pub id: RefreshId,
    pub account: AccountId,
    pub scope: RefreshScope,
    pub requested_at: Timestamp,
    /// Every connection of the scope has an outcome, pending at first. Until then it is running.
    pub spread: bool,
}

impl Refresh {
    /// The mark of a refresh that was just asked for: it is announced again until it is over, since a client was
    /// told that it runs. None where nothing is waited for.
    #[must_use]
    pub fn mark(&self, pending: &[ConnectionId]) -> Option<Dirty> {
        (!self.spread || !pending.is_empty()).then(|| Dirty::new(self.requested_at))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshScope {
    Connection { property: PropertyId, connection: ConnectionId },
    Property(PropertyId),
    Account,
}

impl RefreshScope {
    /// A text that names it and nothing else of the same account.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Connection { connection, .. } => connection.to_string(),
            Self::Property(property) => property.to_string(),
            Self::Account => "account".to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshOutcome {
    pub connection: ConnectionId,
    pub outcome: Outcome,
}

/// What a refresh did to one connection. All but `Pending` are final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Unchanged {
        blocks_held: u32,
    },
    Changed {
        blocks_added: u32,
        blocks_removed: u32,
        blocks_held: u32,
    },
    /// A failure's word, or `gave_up`, or `paused` for one that was paused or deleted meanwhile.
    Failed {
        reason: String,
    },
}
