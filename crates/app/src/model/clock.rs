//! Stored instants and the present one: a clock may have been wrong when something was written.

use jiff::{SignedDuration, Timestamp};

/// Clocks of machines that work together differ by less. What is dated later than that after the present was written
/// by a clock that was ahead, and orders nothing.
pub const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

/// Whether a stored instant lies in the future, where nothing can have happened.
#[must_use]
pub fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > CLOCKS_DIFFER
}

/// An instant at which something happened; none where a wrong clock wrote it.
#[must_use]
pub fn happened(at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    at.filter(|at| !is_ahead(*at, now))
}
