//! In-memory fakes of the ports, honest about their errors. For tests.

mod feeds;
mod store;

pub use feeds::{Answer, MemoryFeeds};
pub use store::{MemoryStore, Moment};
