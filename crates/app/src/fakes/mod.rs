//! In-memory fakes of the ports, honest about their errors. For tests.

mod deployment;
mod feeds;
mod objects;
mod read_logs;
mod store;

pub use deployment::FakeDeployment;
pub use feeds::{Answer, MemoryFeeds};
pub use objects::{Fault, FixedClock, MemoryBus, MemoryObjects, PlainSealer, SeededRandomness};
pub use read_logs::MemoryReadLogs;
pub use store::{Interruption, MemoryStore, Moment};
