//! A property's state while a use case decides on it, and what the decision adds to its past.

use std::collections::BTreeMap;

use calmesh_calendar::{Block, BlockId, ConnectionId};
use jiff::Timestamp;

use crate::{
    model::{Activity, ActivityKind, ClosedHold, ConflictRecord, Connection, Names, PropertyState},
    ports::SmallBody,
};

/// A property's state while a use case decides on it.
#[derive(Debug)]
pub struct Draft {
    pub state: PropertyState,
    pub now: Timestamp,
    /// The connection whose good reading was taken in, and when its body was read; none for one that was known before.
    pub(crate) read: Option<(ConnectionId, Timestamp)>,
    /// The connection of which another calendar was taken in than was read before.
    pub(crate) replaced: Option<ConnectionId>,
    /// By which our own blocks are known in a feed.
    pub(crate) echo_key: [u8; 32],
    pub(crate) history: History,
    /// Holds that were opened by this decision and ended by weighing it: their stays went at once.
    pub(crate) passed_holds: u32,
}

/// What a change brings beside the state: more of a property's past, and the bodies that it was taken from.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) bodies: BTreeMap<ConnectionId, TakenBody>,
    pub(crate) activity: Vec<Activity>,
    pub(crate) closed_holds: Vec<ClosedHold>,
    pub(crate) closed_conflicts: Vec<ConflictRecord>,
}

/// A body that was taken in.
#[derive(Debug, Clone)]
pub(crate) struct TakenBody {
    /// None for one that lies among the objects.
    pub(crate) small: Option<SmallBody>,
    /// When it was read, where it waited with its plan.
    pub(crate) waited: Option<Timestamp>,
}

impl History {
    pub(crate) fn extend(&mut self, later: Self) {
        self.bodies.extend(later.bodies);
        self.activity.extend(later.activity);
        self.closed_holds.extend(later.closed_holds);
        self.closed_conflicts.extend(later.closed_conflicts);
    }

    /// Whether nothing is to be told. A body by itself is not.
    pub(crate) fn is_empty(&self) -> bool {
        self.activity.is_empty() && self.closed_holds.is_empty() && self.closed_conflicts.is_empty()
    }
}

impl Draft {
    /// Adds to what the host can read of this property.
    pub fn note(&mut self, connection: Option<&ConnectionId>, kind: ActivityKind) {
        let property = self.state.property.id.clone();
        let (connection, names) = (connection.cloned(), Names::default());
        self.history.activity.push(Activity { property, at: self.now, connection, kind, names });
    }

    #[must_use]
    pub fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.state.connection(id)
    }

    pub fn connection_mut(&mut self, id: &ConnectionId) -> Option<&mut Connection> {
        self.state.connections.iter_mut().find(|connection| connection.id == *id)
    }

    #[must_use]
    pub fn block(&self, id: &BlockId) -> Option<&Block> {
        self.state.blocks.iter().find(|block| block.id == *id)
    }

    pub fn block_mut(&mut self, id: &BlockId) -> Option<&mut Block> {
        self.state.blocks.iter_mut().find(|block| block.id == *id)
    }
}
