//! Scenarios over several rooms, in one test binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod app_rooms;
mod feed_server;
mod files;
mod imports;
mod rooms;
