//! `HttpFeeds` against real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod fetch;
mod secrets;
mod site;
