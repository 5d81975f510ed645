//! In-memory fakes of the ports, honest about their errors. For tests.

mod feeds;

pub use feeds::{Answer, MemoryFeeds};
