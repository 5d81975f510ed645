//! Figures of reading and of meaning.
fn main() {}
