//! In-memory fakes of the ports, honest about their errors. For tests.

mod store;

pub use store::{MemoryStore, Moment};
