//! What scenarios are built from: feeds of each provider's shape, and a server that serves and breaks them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken test support must fail its test at once")]

pub mod bodies;
pub mod feed_server;
