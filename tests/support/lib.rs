//! What scenarios are built from: feeds of each provider's shape, a server that serves and breaks them, and the cloud
//! around a function.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken test support must fail its test at once"
)]

pub mod bodies;
pub mod dates;
pub mod feed_server;
pub mod lambda_runtime;
pub mod program;
