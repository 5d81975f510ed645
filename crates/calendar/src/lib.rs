#![doc = include_str!("../README.md")]
mod block;
mod event;
mod extent;
mod house;
mod id;
mod occupancy;
mod policy;
mod reconcile;
#[cfg(test)]
mod tests;
mod view;

pub use block::{Block, BlockKind, FeedOrigin, Hold, HoldCause, HoldEnd, Origin};
pub use event::{BusyStatus, EventKey, EventStatus, FeedEvent, FeedReading, Lines, ReadWarning};
pub use extent::{Extent, ExtentError, Nights, Times};
pub use house::{House, HouseError};
pub use id::{AccountId, BlockId, ConflictId, ConnectionId, HoldId, IdError, LinkId, PropertyId, RefreshId, TokenId};
pub use occupancy::{
    Availability, BusyInterval, NightAvailability, SourceRules, Taken, Turnovers, availability, counts, in_the_way,
    taken, taken_nights,
};
pub use policy::{EchoPolicy, HoldPolicy, MassVanishPolicy, Policy};
pub use reconcile::{EndedHold, Judging, Reading, Reconciled, Sighting, Verdict, reconcile};
pub use view::{SHOWN_AFTER_DEPARTURE, ViewEvent, Viewer, next_departure, view};
