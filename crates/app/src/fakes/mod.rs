//! In-memory fakes of the ports, honest about their errors. For tests.

mod feeds;
mod objects;
mod store;

pub use feeds::{Answer, MemoryFeeds};
pub use objects::{Fault, FixedClock, MemoryBus, MemoryObjects, PlainSealer, SeededRandomness};
pub use store::{MemoryStore, Moment};
