#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![doc = include_str!("../README.md")]

mod catalogue;
mod classify;
mod data;
mod detect;
mod marks;
mod matcher;
mod profile;
mod rules;

pub use catalogue::{all, find, generic};
pub use classify::Classified;
pub use data::DataError;
pub use detect::detect;
pub use profile::{Cadence, Directions, Profile, ProviderId, Quirks, Refusals, UnknownProvider, Via};
pub use rules::EventClass;
