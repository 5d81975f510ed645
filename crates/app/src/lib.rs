#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
//! Use cases and ports of Calmesh. What happens is decided in `calendar`; what it happens to comes in through
//! the ports. No SDK, no HTTP client and no web framework is known here.

mod app;
mod change;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod fetch;
mod judge;
pub mod model;
pub mod ports;
mod publish;
mod reading;
mod settings;
mod work;

pub use app::App;
pub use change::{ChangeError, Draft};
pub use fetch::{BUCKETS, is_turn_of, refused, sweeps_between_reads};
pub use judge::{judge_feed, unread_uids, warnings_of};
pub use publish::echo_tag;
pub use reading::{AcceptedFeed, ReadingReport, take_reading};
pub use settings::{Keys, Settings};
pub use work::{WorkError, read_body};
