#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![doc = include_str!("../README.md")]

mod batch;
//CLOUD mod cloud;
mod config;
pub mod metrics;
pub mod telemetry;
mod world;

pub use batch::{BatchLimits, MessageError, NamelessMessage, work_batch};
//CLOUD pub use cloud::{Cloud, StartError};
pub use config::{Config, ConfigError, Function, Oidc};
pub use world::{OsRandomness, SystemClock};
