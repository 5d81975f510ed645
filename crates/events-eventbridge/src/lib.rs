#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")
)]

mod bus;
mod wire;

pub use bus::EventBridgeBus;
pub use wire::{DecodeError, Encoded, SOURCE, VERSION, decode, decode_envelope, encode};
