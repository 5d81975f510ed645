#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![doc = include_str!("../README.md")]

mod aws;
mod batch;
mod cloud;
mod config;
pub mod metrics;
mod not_found_page;
pub mod telemetry;
mod world;

pub use batch::{BatchLimits, MessageError, NamelessMessage, work_batch};
pub use cloud::{Cloud, StartError};
pub use config::{Config, ConfigError, Function, Oidc};
pub use world::{OsRandomness, SystemClock};

/// How our fetcher's name begins, whatever its version: what it reads of our own links is no read.
pub const OWN_AGENT: &str = "Calmesh/";

/// How the fetcher names itself to the hosts of feeds; some refuse whoever has no name.
pub const USER_AGENT: &str = concat!("Calmesh/", env!("CARGO_PKG_VERSION"), " (calendar sync)");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_fetcher_is_known_by_the_beginning_of_its_name() {
        assert!(USER_AGENT.starts_with(OWN_AGENT));
    }
}
