//! The adapter over the embedded object store, and over answers that the embedded store never gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../calmesh/src/embedded/disk.rs"]
mod disk;
#[path = "../../../calmesh/src/embedded/objects.rs"]
mod objects;
#[path = "../../../calmesh/src/embedded/s3.rs"]
mod s3;

mod answers;
mod store;
