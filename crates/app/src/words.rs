//! Numbers in words.

use std::fmt;

/// A number of things in words: `1 night`, `2 nights`.
#[must_use]
pub fn counted<N: Copy + fmt::Display + TryInto<u64>>(number: N, thing: &str) -> String {
    let one = number.try_into().is_ok_and(|number| number == 1);
    format!("{number} {thing}{}", if one { "" } else { "s" })
}
