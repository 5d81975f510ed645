#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
//! Use cases and ports of Calmesh. What happens is decided in `calendar`; what it happens to comes in through
//! the ports. No SDK, no HTTP client and no web framework is known here.

mod app;
mod change;
#[cfg(any(test, feature = "fakes"))]
pub mod contract;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
pub mod model;
pub mod ports;
mod settings;

pub use app::App;
pub use change::{ChangeError, Draft};
pub use settings::{Keys, Settings};
