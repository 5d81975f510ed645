#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")
)]

mod derive;
mod envelope;
mod key_file;
#[cfg(feature = "kms")]
mod kms;

pub use derive::{DeriveError, derive_keys};
pub use key_file::{KeyFileError, KeyFileSealer};
#[cfg(feature = "kms")]
pub use kms::KmsSealer;
