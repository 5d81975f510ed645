//! How long something lasts: whole nights, or exact instants. Everything is half-open.

use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    House,
    span::{Days, InSpan, LAST_INSTANT, Later, days_between},
};

/// Why two ends make no extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtentError {
    /// The end is not after the start.
    #[error("the end must be after the start")]
    EndNotAfterStart,
    /// Nothing of it lies between 1900 and 2200.
    #[error("must lie between the years 1900 and 2200")]
    OutsideSpan,
}

/// A run of at least one night: from the night of `first` to the night before `end`, both within the [fixed span](crate::span).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nights {
    first: Date,
    end: Date,
}

impl Nights {
    /// What lies outside the span is cut off.
    ///
    /// # Errors
    /// When `end` is not after `first`, or none of the nights lies within the span.
    pub fn new(first: Date, end: Date) -> Result<Self, ExtentError> {
        if first >= end {
            return Err(ExtentError::EndNotAfterStart);
        }
        let (first, end) = (first.clipped(), end.clipped());
        if first < end { Ok(Self { first, end }) } else { Err(ExtentError::OutsideSpan) }
    }

    /// The one night of a date; none outside the span.
    #[must_use]
    pub fn one(night: Date) -> Option<Self> {
        Self::new(night, night.next_day()).ok()
    }

    /// The arrival day, which is the first taken night.
    #[must_use]
    pub fn first(self) -> Date {
        self.first
    }

    /// The departure day, whose night is free again.
    #[must_use]
    pub fn end(self) -> Date {
        self.end
    }

    /// Every night, in order.
    pub fn iter(self) -> impl Iterator<Item = Date> {
        std::iter::successors(Some(self.first), |date| Some(date.next_day())).take_while(move |date| *date < self.end)
    }

    /// The number of nights, at least one.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::try_from(self.first.days_until(self.end)).unwrap_or(1)
    }

    #[must_use]
    pub fn contains(self, night: Date) -> bool {
        self.first <= night && night < self.end
    }

    /// The nights that both have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.end.min(other.end)).ok()
    }
}

/// Time between two instants, the end not included, both within the [fixed span](crate::span).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Times {
    start: Timestamp,
    end: Timestamp,
}

const A_NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

impl Times {
    /// What lies outside the span is cut off.
    ///
    /// # Errors
    /// When `end` is not after `start`, or nothing between them lies within the span.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, ExtentError> {
        if start >= end {
            return Err(ExtentError::EndNotAfterStart);
        }
        let (start, end) = (start.clipped(), end.clipped());
        if start < end { Ok(Self { start, end }) } else { Err(ExtentError::OutsideSpan) }
    }

    /// The shortest time that begins at an instant, or that ends with the span.
    pub(crate) fn moment(start: Timestamp) -> Self {
        let start = start.clipped().min(LAST_INSTANT.earlier(A_NANOSECOND));
        Self { start, end: start.later(A_NANOSECOND) }
    }

    #[must_use]
    pub fn start(self) -> Timestamp {
        self.start
    }

    #[must_use]
    pub fn end(self) -> Timestamp {
        self.end
    }

    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The time that both have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }
}

/// What a block or an event covers. Whole nights have no zone of their own: they are the property's,
/// and run from its check-in to its check-out time. Timed extents are instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// Whole nights, half-open.
    Nights(Nights),
    /// Exact instants, half-open.
    Times(Times),
}

impl Extent {
    /// The instants that this covers in a house: nights run from check-in to check-out time there.
    #[must_use]
    pub fn times(self, house: &House) -> Times {
        match self {
            Self::Nights(nights) => house.times_of(nights),
            Self::Times(times) => times,
        }
    }

    /// The nights that this takes in a house (SAFETY.md, "What blocks"); a timed extent may take none.
    #[must_use]
    pub fn nights(self, house: &House) -> Option<Nights> {
        match self {
            Self::Nights(nights) => Some(nights),
            Self::Times(times) => house.nights_of(times),
        }
    }

    /// The days since 1970 within which this begins and ends wherever the house is, check-in and check-out days included:
    /// a first look, without asking its zone.
    pub(crate) fn days_about(self) -> (i64, i64) {
        let epoch = jiff::civil::date(1970, 1, 1);
        match self {
            Self::Nights(nights) => (days_between(epoch, nights.first), days_between(epoch, nights.end)),
            Self::Times(times) => {
                let day = |at: Timestamp| at.as_second().div_euclid(24 * 60 * 60);
                (day(times.start) - 2, day(times.end) + 2)
            }
        }
    }

    #[must_use]
    pub fn overlaps(self, other: Self, house: &House) -> bool {
        match (self, other) {
            (Self::Nights(a), Self::Nights(b)) => a.intersection(b).is_some(),
            _ => self.times(house).overlaps(other.times(house)),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_departure_day_is_not_a_taken_night() {
        let stay = Nights::new(date(2026, 12, 4), date(2026, 12, 7)).unwrap();
        assert_eq!(stay.count(), 3);
        assert!(stay.contains(date(2026, 12, 6)));
        assert!(!stay.contains(date(2026, 12, 7)));
        assert_eq!(stay.iter().count(), 3);
    }

    #[test]
    fn a_departure_does_not_meet_the_arrival_of_the_same_day() {
        let leaving = Nights::new(date(2026, 12, 4), date(2026, 12, 7)).unwrap();
        let arriving = Nights::new(date(2026, 12, 7), date(2026, 12, 9)).unwrap();
        assert_eq!(leaving.intersection(arriving), None);
    }

    #[test]
    fn an_extent_is_cut_to_the_fixed_span() {
        let until_further_notice = Nights::new(date(2028, 1, 1), date(9999, 12, 31)).unwrap();
        assert_eq!(until_further_notice.end(), date(2200, 1, 1));
        assert_eq!(Nights::new(date(2200, 1, 1), date(9999, 12, 31)), Err(ExtentError::OutsideSpan));
        assert_eq!(Nights::new(date(1, 1, 1), date(1900, 1, 1)), Err(ExtentError::OutsideSpan));
        let ever = Times::new(Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!((ever.start(), ever.end()), (crate::span::FIRST_INSTANT, crate::span::LAST_INSTANT));
    }

    #[test]
    fn an_end_on_its_start_is_no_extent() {
        assert_eq!(Nights::new(date(2026, 12, 4), date(2026, 12, 4)), Err(ExtentError::EndNotAfterStart));
    }
}
