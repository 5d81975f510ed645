//! What every implementation of a port must pass: the same sentences run on the fakes and on the adapters.

pub mod objects;
