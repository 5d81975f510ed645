//! The fixed span of time that the domain knows: whatever leaves it is clipped, so that no arithmetic can fail.
//!
//! Days run from 1900 to 2200. Instants reach two days further at both ends, so that every day of the span has its
//! midnight, check-in and check-out in every zone. Neither end moves with the clock: a stay that was clipped is
//! clipped to the same day tomorrow.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, date},
};

/// The first day that a night may have.
pub const FIRST_DAY: Date = date(1900, 1, 1);
/// The last departure day: no night of it or after it is known.
pub const LAST_DAY: Date = date(2200, 1, 1);
/// 1899-12-30T00:00Z.
pub const FIRST_INSTANT: Timestamp = Timestamp::constant(-2_209_161_600, 0);
/// 2200-01-03T00:00Z.
pub const LAST_INSTANT: Timestamp = Timestamp::constant(7_258_291_200, 0);

/// What lies in the span, or is brought into it.
pub trait InSpan: Copy + Ord {
    /// Whether it lies within, both ends included.
    fn is_in_span(self) -> bool {
        self == self.clipped()
    }

    /// The nearest value within.
    #[must_use]
    fn clipped(self) -> Self;
}

impl InSpan for Date {
    fn clipped(self) -> Self {
        self.clamp(FIRST_DAY, LAST_DAY)
    }
}

impl InSpan for Timestamp {
    fn clipped(self) -> Self {
        self.clamp(FIRST_INSTANT, LAST_INSTANT)
    }
}

/// Arithmetic on instants that stops at the ends of the span. The operators of `jiff` panic at the ends of theirs, and
/// are not to be used.
pub trait Later {
    /// So much later; earlier where `by` is negative.
    #[must_use]
    fn later(self, by: SignedDuration) -> Self;

    /// So much earlier.
    #[must_use]
    fn earlier(self, by: SignedDuration) -> Self;
}

impl Later for Timestamp {
    fn later(self, by: SignedDuration) -> Self {
        let end = if by.is_negative() { FIRST_INSTANT } else { LAST_INSTANT };
        self.checked_add(by).unwrap_or(end).clipped()
    }

    fn earlier(self, by: SignedDuration) -> Self {
        let end = if by.is_negative() { LAST_INSTANT } else { FIRST_INSTANT };
        self.checked_sub(by).unwrap_or(end).clipped()
    }
}

/// Arithmetic on days that stops at the ends of the span.
pub trait Days {
    /// So many days later; earlier where `days` is negative.
    #[must_use]
    fn days_later(self, days: i64) -> Self;

    /// Days from here to there; negative where that lies before.
    #[must_use]
    fn days_until(self, other: Self) -> i64;

    #[must_use]
    fn next_day(self) -> Self;

    #[must_use]
    fn previous_day(self) -> Self;
}

impl Days for Date {
    fn days_later(self, days: i64) -> Self {
        let end = if days < 0 { FIRST_DAY } else { LAST_DAY };
        self.checked_add(SignedDuration::from_hours(days.clamp(-DAYS_IN_ALL, DAYS_IN_ALL) * 24))
            .unwrap_or(end)
            .clipped()
    }

    fn days_until(self, other: Self) -> i64 {
        days_between(self, other)
    }

    fn next_day(self) -> Self {
        self.tomorrow().unwrap_or(LAST_DAY).clipped()
    }

    fn previous_day(self) -> Self {
        self.yesterday().unwrap_or(FIRST_DAY).clipped()
    }
}

/// More days than any calendar of `jiff` has.
const DAYS_IN_ALL: i64 = 8_000_000;

/// Days from one date to another; negative when that lies before.
pub(crate) fn days_between(from: Date, to: Date) -> i64 {
    days(to) - days(from)
}

/// Days since the first of March of the year 0, by Howard Hinnant's method.
fn days(date: Date) -> i64 {
    let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let from = date(1999, 12, 30);
        for number in [0, 1, 60, 61, 365, 366, 1_000, 36_524, 146_097] {
            assert_eq!(days_between(from, from.checked_add(number.days()).unwrap()), number);
        }
        assert_eq!(days_between(from, date(1999, 12, 1)), -29);
    }

    #[test]
    fn the_ends_are_the_instants_that_they_are_said_to_be() {
        assert_eq!(FIRST_INSTANT.to_string(), "1899-12-30T00:00:00Z");
        assert_eq!(LAST_INSTANT.to_string(), "2200-01-03T00:00:00Z");
    }

    #[test]
    fn no_sum_leaves_the_span() {
        for at in [Timestamp::MIN, FIRST_INSTANT, Timestamp::UNIX_EPOCH, LAST_INSTANT, Timestamp::MAX] {
            for by in [SignedDuration::MIN, SignedDuration::from_secs(-1), SignedDuration::ZERO, SignedDuration::MAX] {
                assert!(at.later(by).is_in_span(), "{at} later by {by}");
                assert!(at.earlier(by).is_in_span(), "{at} earlier by {by}");
            }
        }
        for day in [Date::MIN, FIRST_DAY, date(2026, 12, 4), LAST_DAY, Date::MAX] {
            for days in [i64::MIN, -1, 0, 1, i64::MAX] {
                assert!(day.days_later(days).is_in_span(), "{day} later by {days}");
            }
            assert!(day.next_day().is_in_span() && day.previous_day().is_in_span());
        }
    }

    #[test]
    fn within_the_span_sums_are_exact() {
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(at.later(SignedDuration::from_nanos(1)).as_nanosecond(), 1);
        assert_eq!(at.earlier(SignedDuration::from_nanos(1)).as_nanosecond(), -1);
        assert_eq!(date(2028, 2, 28).days_later(2), date(2028, 3, 1));
        assert_eq!(date(2028, 3, 1).days_later(-2), date(2028, 2, 28));
        assert_eq!(date(2028, 2, 28).days_until(date(2028, 3, 1)), 2);
    }
}
