//! Blocks: what is taken in a property, by whom, and what is only still held.

use jiff::Timestamp;

use crate::{BlockId, ConnectionId, EventKey, Extent, HoldId};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    Reservation,
    Closure,
    Tentative,
    /// The edge of a site's own rule, such as an advance notice.
    RuleClosure,
}

/// One taken half-open interval of one property: the host's own, or a stay that a feed shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub id: BlockId,
    pub origin: Origin,
    pub kind: BlockKind,
    pub extent: Extent,
    /// The host's own words, or an imported summary, which is for the host's eyes only.
    pub summary: String,
    /// How often what an export says of this block has changed; RFC 5545 SEQUENCE.
    pub sequence: u32,
    pub first_seen_at: Timestamp,
    /// When what an export says of this block last changed; DTSTAMP and LAST-MODIFIED there.
    pub changed_at: Timestamp,
}

/// Where a block comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The host made it. It may extend a stay (a late check-out, an extra night), or have done so until that went.
    Own { extends: Option<BlockId>, lost: Option<LostStay> },
    /// A connection's feed shows it, or showed it until lately.
    Feed(FeedOrigin),
}

/// The stay that an own block extended, as it was before it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostStay {
    pub stay: BlockId,
    /// None for one of the host's own.
    pub connection: Option<ConnectionId>,
    /// What the host called that connection then, and the id of its provider.
    pub site: Option<(String, String)>,
    pub extent: Extent,
}

/// How a stay is known on the other side, and whether it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedOrigin {
    pub connection: ConnectionId,
    pub key: Option<EventKey>,
    /// The provider's own reservation code.
    pub code: Option<String>,
    /// The rule of the profile that gave the kind.
    pub rule: String,
    /// What its text tells of where it comes from.
    pub sign: Sign,
    /// Set while the feed no longer shows it but that is not yet believed.
    pub hold: Option<Hold>,
}

/// What an event's own text tells of where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Sign {
    /// Nothing.
    #[default]
    None,
    /// A reservation of that site itself: it writes this text for nothing else.
    Reservation,
    /// It carries the tag of our own export of this property.
    Ours,
}

/// A removal that was seen but not yet believed; the block still blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub id: HoldId,
    pub cause: HoldCause,
    /// Holds that were opened by one mass vanish share a group.
    pub group: Option<HoldId>,
    pub opened_at: Timestamp,
    /// Good readings in a row without it, the first included.
    pub readings: u32,
    /// When the clock and the count may be through, if every reading goes on missing it.
    pub earliest_release_at: Timestamp,
    /// The host said that it blocks until the feed shows it again or it departs.
    pub kept: bool,
}

/// Why a removal is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldCause {
    Absent,
    MassVanish,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldEnd {
    /// The host said that it is gone.
    Released,
    /// The readings bore it out, or the stay departed.
    Confirmed,
    /// The feed shows it again.
    Returned,
}

impl Block {
    /// The connection that brought it; none for the host's own.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnectionId> {
        match &self.origin {
            Origin::Own { .. } => None,
            Origin::Feed(feed) => Some(&feed.connection),
        }
    }

    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        match &self.origin {
            Origin::Own { .. } => None,
            Origin::Feed(feed) => feed.hold.as_ref(),
        }
    }

    /// Whether its text carries the tag of our own export: it comes back to us, and takes nothing.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(&self.origin, Origin::Feed(FeedOrigin { sign: Sign::Ours, .. }))
    }

    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.origin, Origin::Own { .. })
    }

    /// The stay that this own block extends.
    #[must_use]
    pub fn extends(&self) -> Option<&BlockId> {
        match &self.origin {
            Origin::Own { extends, .. } => extends.as_ref(),
            Origin::Feed(_) => None,
        }
    }

    /// The stay that this own block extended until that went.
    #[must_use]
    pub fn lost(&self) -> Option<&LostStay> {
        match &self.origin {
            Origin::Own { lost, .. } => lost.as_ref(),
            Origin::Feed(_) => None,
        }
    }
}
