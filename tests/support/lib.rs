//! What scenarios are built from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken test support must fail its test at once"
)]

pub mod lambda_runtime;
