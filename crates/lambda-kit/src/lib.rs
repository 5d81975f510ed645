#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![doc = include_str!("../README.md")]

mod aws;
mod batch;
mod cloud;
mod config;
pub mod metrics;
mod not_found_page;
mod own_agent;
pub mod telemetry;
mod world;

pub use batch::{BatchLimits, MessageError, NamelessMessage, work_batch};
pub use cloud::{Cloud, StartError};
pub use config::{Config, ConfigError, Function, Oidc};
pub use own_agent::{CONTACT_URL, OwnAgent};
pub use world::{OsRandomness, SystemClock};
