//! Days of next year, which lie ahead of every clock and within what links show: tests of the real program write them as
//! `MM-DD`.

use std::sync::LazyLock;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Once for a process, so that no test sees a year end.
static NEXT_YEAR: LazyLock<i16> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the program under test has the real clock too")]
    let now = Timestamp::now();
    now.to_zoned(TimeZone::UTC).year() + 1
});

/// `YYYY-…` of next year, for what begins with `MM-DD`.
#[must_use]
pub fn next_year(rest: &str) -> String {
    format!("{}-{rest}", *NEXT_YEAR)
}

/// What a date or time looks like without its year, where that is next year: the other way round.
#[must_use]
pub fn without_year(at: &str) -> String {
    at.strip_prefix(&format!("{}-", *NEXT_YEAR)).unwrap_or(at).to_owned()
}

/// A date as tests write it: `YYYY-MM-DD`, or `MM-DD` of next year.
#[track_caller]
pub(crate) fn day(text: &str) -> Date {
    let whole = if text.len() == "MM-DD".len() { next_year(text) } else { text.to_owned() };
    whole.parse().expect("a date")
}
