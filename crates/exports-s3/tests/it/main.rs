//! The adapter over the embedded object store, and over answers that the embedded store never gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../../calmesh/src/embedded/objects.rs"]
mod objects;
#[path = "../../../calmesh/src/embedded/rows.rs"]
mod rows;
#[allow(dead_code, reason = "the program's embedded object store, of which not all is needed here")]
#[path = "../../../calmesh/src/embedded/s3.rs"]
mod s3;
#[path = "../../../calmesh/src/embedded/sqlite.rs"]
mod sqlite;
#[path = "../../../calmesh/src/embedded/writer.rs"]
mod writer;

mod answers;
mod store;
