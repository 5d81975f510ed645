#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod accounts;
mod advice;
mod app;
mod aside;
mod availability;
mod blocks;
mod bodies;
mod body;
mod change;
mod check;
mod conflicts;
mod connections;
#[cfg(any(test, feature = "fakes"))]
pub mod contract;
mod desk;
mod edit;
mod elsewhere;
mod erase;
mod explain;
mod extensions;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod fetch;
mod health;
mod history;
mod holds;
mod judge;
mod kept;
pub mod limits;
mod links;
mod listed;
mod looks;
mod mend;
mod merge;
pub mod model;
mod naming;
mod pages;
pub mod ports;
mod preview;
mod properties;
mod provider_words;
mod publish;
mod reach;
mod reading;
mod reads;
mod refresh;
mod refreshes;
mod room;
mod schedule;
mod served;
mod settings;
mod tags;
mod telemetry;
#[cfg(test)]
mod tests;
mod tick;
mod tokens;
mod traffic;
mod trouble;
mod weighing;
mod wiring;

pub use accounts::{AccountEdit, AccountError, NewAccount, Opened, Refusal};
pub use app::App;
pub use availability::{AvailabilityError, AvailabilityView, SaleCheck, TakenInterval};
pub use blocks::{BlockEdit, BlockError, BlockSource, BlockView, NewBlock, OwnKind, Pruning, Span, When};
pub use body::{read_body, refused};
pub use change::{ChangeError, Changed, Changes, Draft};
pub use check::{CheckError, CheckReport, CheckSource, CheckedBlock, EventCounts, Problem, check_body};
pub use conflicts::{ConflictError, ConflictStatus, ConflictStay, ConflictView, KnownStay};
pub use connections::{
    ConnectionEdit, ConnectionError, ConnectionView, ExportView, NewConnection, PolicyEdit, SideEdit, TurnedOn,
};
pub use desk::Desk;
pub use edit::{Edit, Expected, InvalidField, counted};
pub use erase::EraseError;
pub use explain::{CarriedBy, ClaimView, ExplainError, Explanation, NotKnown};
pub use extensions::StayApart;
pub use fetch::Fetch;
pub use holds::{HoldError, HoldStatus, HoldView};
pub use judge::{judge_feed, unread_uids, warnings_of};
pub use limits::{CONNECTIONS, Full, LIMITS, LINKS, LINKS_OVER_ALL, Limit, OWN_BLOCKS, PROPERTIES, TOKENS};
pub use links::{LinkEdit, LinkError, LinkView, NewLink, WantedScope};
pub use listed::ListedNights;
pub use mend::{Mend, Mended};
pub use merge::Merge;
pub use naming::{site_in_words, span_in_words, stay_in_words};
pub use preview::Openings;
pub use properties::{DEFAULT_CHECK_IN, DEFAULT_CHECK_OUT, NewProperty, PropertyEdit, PropertyError};
pub use provider_words::{user_agent_for, with_help};
pub use publish::Publish;
pub use reach::Reach;
pub use reading::{AcceptedFeed, READER, ReadingReport, take_reading};
pub use reads::{Reads, TakeLogError};
pub use refresh::{GAVE_UP, RefreshError, RefreshView};
pub use refreshes::GIVE_UP_AFTER;
pub use schedule::{BUCKETS, is_turn_of, sweeps_between_reads};
pub use settings::{Keys, Settings};
pub use tags::echo_tag;
pub use telemetry::ImportTelemetry;
pub use tick::Tick;
pub use tokens::{NewToken, TokenError};
pub use traffic::{CHECKS, HOST, NEW_FEEDS, REFRESHES, TEXTS, TooMany, Traffic};
pub use trouble::WorkError;
pub use wiring::{Common, Ports, Store};
