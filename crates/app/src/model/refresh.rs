//! Manual refreshes and what became of each connection in them.

use std::collections::BTreeMap;

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

/// A part of a refresh that is worked on by itself: an account's is one of some properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshPart {
    pub refresh: RefreshId,
    /// The place in the list of properties after which it begins; empty for the first.
    pub page: String,
}

/// What a part of a refresh says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefreshPage {
    /// When it was begun: its feeds were read no earlier.
    pub started_at: Timestamp,
    pub outcomes: BTreeMap<ConnectionId, Outcome>,
}

impl RefreshPage {
    /// Whether it says of each of its connections when it was read.
    pub(crate) fn is_whole(&self) -> bool {
        let mut outcomes = self.outcomes.values();
        outcomes.all(|outcome| matches!(outcome, Outcome::Unchanged { .. } | Outcome::Changed { .. }))
    }

    /// When this connection was read, where it was found unchanged by a plan that stands since `since`.
    fn read_at(&self, connection: &ConnectionId, since: Timestamp) -> Option<Timestamp> {
        let is_unchanged = matches!(self.outcomes.get(connection), Some(Outcome::Unchanged { .. }));
        (is_unchanged && since <= self.started_at).then_some(self.started_at)
    }
}

/// When one of these pages found a connection unchanged that reads by a plan since `since`.
pub(crate) fn found_unchanged(pages: &[RefreshPage], connection: &ConnectionId, since: Timestamp) -> Option<Timestamp> {
    pages.iter().filter_map(|page| page.read_at(connection, since)).max()
}

/// The refresh of a scope that was last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestRefresh {
    pub id: RefreshId,
    pub requested_at: Timestamp,
    /// The one before it.
    pub before: Option<RefreshId>,
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
