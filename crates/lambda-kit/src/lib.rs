#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![doc = include_str!("../README.md")]

#[cfg(feature = "cloud")]
mod aws;
#[cfg(feature = "cloud")]
mod batch;
#[cfg(feature = "cloud")]
mod cloud;
#[cfg(feature = "cloud")]
mod config;
pub mod metrics;
#[cfg(feature = "cloud")]
mod not_found_page;
mod own_agent;
pub mod telemetry;
mod world;

#[cfg(feature = "cloud")]
pub use batch::{BatchLimits, MessageError, NamelessMessage, work_batch};
#[cfg(feature = "cloud")]
pub use cloud::{Api, Cloud, Logs, StartError, Works};
#[cfg(feature = "cloud")]
pub use config::{Config, ConfigError, Function, Oidc};
pub use own_agent::{CONTACT_URL, OwnAgent};
pub use world::{OsRandomness, SystemClock};
