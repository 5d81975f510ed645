//! In-memory fakes of the ports, honest about their errors. For tests.

mod store;

pub use store::{MemoryStore, Moment};
mod objects;

pub use objects::{Fault, FixedClock, MemoryBus, MemoryObjects, PlainSealer, SeededRandomness};
mod feeds;

pub use feeds::{Answer, MemoryFeeds};
