#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
//! Use cases and ports of Calmesh. What happens is decided in `calendar`; what it happens to comes in through
//! the ports. No SDK, no HTTP client and no web framework is known here.

mod accounts;
mod app;
mod change;
#[cfg(any(test, feature = "fakes"))]
pub mod contract;
mod edit;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod fetch;
mod history;
mod judge;
mod links;
pub mod model;
pub mod ports;
mod publish;
mod reach;
mod reading;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod work;

pub use accounts::{AccountEdit, AccountError, EraseError, NewAccount, Opened, Refusal};
pub use app::App;
pub use change::{ChangeError, Changed, Draft};
pub use edit::{Edit, Expected, InvalidField};
pub use fetch::{BUCKETS, is_turn_of, refused, sweeps_between_reads};
pub use judge::{judge_feed, unread_uids, warnings_of};
pub use links::{LinkEdit, LinkError, LinkView, NewLink, WantedScope};
pub use publish::echo_tag;
pub use reach::Reach;
pub use reading::{AcceptedFeed, ReadingReport, take_reading};
pub use settings::{Keys, Settings};
pub use tokens::{NewToken, TokenError};
pub use work::{WorkError, read_body};
