//! In-memory fakes of the ports, honest about their errors. For tests.

mod objects;

pub use objects::{Fault, FixedClock, MemoryBus, MemoryObjects, PlainSealer, SeededRandomness};
