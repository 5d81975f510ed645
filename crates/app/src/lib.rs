#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod access;
mod app;
mod changes;
#[cfg(any(test, feature = "fakes"))]
pub mod contract;
mod desk;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod fetch;
mod health;
pub mod limits;
mod locks;
mod mend;
mod merge;
pub mod model;
pub mod ports;
mod provider_words;
mod publish;
mod readings;
mod refreshes;
mod schedule;
mod settings;
mod tags;
#[cfg(test)]
mod tests;
mod tick;
mod traffic;
mod trouble;
mod wiring;
mod words;

pub use access::{Access, TakeLogError};
pub use app::App;
pub use changes::extensions::StayApart;
pub use changes::naming::{site_in_words, span_in_words, stay_in_words};
pub use changes::{ChangeError, Changed, Changes, draft::Draft};
pub use desk::Desk;
pub use desk::accounts::{AccountEdit, AccountError, NewAccount, Opened, Refusal};
pub use desk::availability::{AvailabilityError, AvailabilityView, SaleCheck, TakenInterval};
pub use desk::blocks::{BlockEdit, BlockError, BlockSource, BlockView, NewBlock, OwnKind, Pruning, When};
pub use desk::check::{CheckError, CheckReport, CheckSource, CheckedBlock, EventCounts, Problem, check_body};
pub use desk::conflicts::{ConflictError, ConflictStatus, ConflictStay, ConflictView, KnownStay};
pub use desk::connections::{
    ConnectionEdit, ConnectionError, ConnectionView, ExportView, NewConnection, PolicyEdit, SideEdit, TurnedOn,
};
pub use desk::edit::{Edit, Expected, InvalidField};
pub use desk::explain::{CarriedBy, ClaimView, ExplainError, Explanation, NotKnown};
pub use desk::holds::{HoldError, HoldStatus, HoldView};
pub use desk::links::{LinkEdit, LinkError, LinkView, NewLink, WantedScope};
pub use desk::listed::ListedNights;
pub use desk::preview::Openings;
pub use desk::properties::{DEFAULT_CHECK_IN, DEFAULT_CHECK_OUT, NewProperty, PropertyEdit, PropertyError};
pub use desk::reach::Reach;
pub use desk::refresh::{GAVE_UP, RefreshError, RefreshView};
pub use desk::telemetry::ImportTelemetry;
pub use desk::tokens::{NewToken, TokenError};
pub use fetch::Fetch;
pub use limits::{CONNECTIONS, Full, LIMITS, LINKS, LINKS_OVER_ALL, Limit, OWN_BLOCKS, PROPERTIES, TOKENS};
pub use mend::{Mend, Mended};
pub use merge::Merge;
pub use merge::erase::EraseError;
pub use model::Span;
pub use provider_words::{user_agent_for, with_help};
pub use publish::Publish;
pub use readings::body::{read_body, refused};
pub use readings::judge::{judge_feed, unread_uids, warnings_of};
pub use readings::take::{AcceptedFeed, READER, ReadingReport, take_reading};
pub use refreshes::GIVE_UP_AFTER;
pub use schedule::{BUCKETS, is_turn_of, sweeps_between_reads};
pub use settings::{Keys, Settings};
pub use tags::echo_tag;
pub use tick::Tick;
pub use traffic::{CHECKS, HOST, NEW_FEEDS, REFRESHES, TEXTS, TooMany, Traffic};
pub use trouble::WorkError;
pub use wiring::{Common, Ports, Store};
pub use words::counted;
