#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod block;
mod claims;
mod conflict;
mod event;
mod explain;
mod extent;
mod house;
mod id;
mod mirror;
mod night_set;
mod occupancy;
mod picture;
pub mod policy;
mod reconcile;
pub mod span;
#[cfg(test)]
mod tests;
mod view;

pub use block::{Block, BlockKind, FeedOrigin, Hold, HoldCause, HoldEnd, LostStay, Origin, Sign};
pub use claims::{
    Asked, Change, Claim, ClaimRule, Claims, ConnectionClaims, Decision, Finding, Habits, LeftOff, LinkFacts,
    LinkNight, Part, Runs, Standing, Weighed, carried_by, weigh,
};
pub use conflict::{CLAIMANTS_NAMED, Conflict, Conflicts, conflicts};
pub use event::{BusyStatus, EventKey, EventStatus, FeedEvent, FeedReading, Lines, ReadWarning};
pub use explain::{BlockState, ExplainedClaim, block_state, explain};
pub use extent::{Extent, ExtentError, Nights, Times};
pub use house::{House, HouseError};
pub use id::{
    AccountId, BlockId, ConflictId, ConnectionId, HoldId, IdError, LinkId, PropertyId, RefreshId, TokenId, home_of,
};
pub use mirror::{Mirrors, mirrored, superfluous_mirrors};
pub use night_set::NightSet;
pub use occupancy::{
    Availability, BusyInterval, NAMED_MOST, NightAvailability, Taken, Turnovers, availability, in_the_way, taken,
    taken_nights,
};
pub use picture::{Certain, Picture, Source};
pub use policy::{EchoPolicy, HoldPolicy, MassVanishPolicy, Policy};
pub use reconcile::{EndedHold, Judging, Reading, Reconciled, Sighting, Successor, Verdict, reconcile};
pub use view::{SHOWN_AFTER_DEPARTURE, ViewEvent, Viewer, next_departure, view};
