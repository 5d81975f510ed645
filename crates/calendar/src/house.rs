//! The rules of one property's days: its zone, check-in and check-out time, nights kept free for turnover.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    Extent, Nights, Times,
    span::{Days, FIRST_INSTANT, InSpan, LAST_INSTANT},
};

/// Why a property's rules make no house.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HouseError {
    /// A day that is left later than it is entered would make every night overlap the next.
    #[error("check_out must not be after check_in")]
    CheckOutAfterCheckIn,
}

/// How a property turns instants into nights. Always `check_out <= check_in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct House {
    zone: TimeZone,
    check_in: Time,
    check_out: Time,
    turnover_nights: u8,
}

impl House {
    /// # Errors
    /// When `check_out` is after `check_in`.
    pub fn new(zone: TimeZone, check_in: Time, check_out: Time, turnover_nights: u8) -> Result<Self, HouseError> {
        if check_out > check_in {
            return Err(HouseError::CheckOutAfterCheckIn);
        }
        Ok(Self { zone, check_in, check_out, turnover_nights })
    }

    /// Check-in at 15:00, check-out at 11:00, UTC: what is taken where a stored property can't be understood.
    #[must_use]
    pub fn ordinary() -> Self {
        let (check_in, check_out) = (jiff::civil::time(15, 0, 0, 0), jiff::civil::time(11, 0, 0, 0));
        Self { zone: TimeZone::UTC, check_in, check_out, turnover_nights: 0 }
    }

    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    #[must_use]
    pub fn check_in(&self) -> Time {
        self.check_in
    }

    #[must_use]
    pub fn check_out(&self) -> Time {
        self.check_out
    }

    /// Nights taken by the host after each reservation.
    #[must_use]
    pub fn turnover_nights(&self) -> u8 {
        self.turnover_nights
    }

    /// The instant of a local date-time. In a gap the time after it, in a fold the earlier one (RFC 5545 3.3.5). Outside
    /// the span the end of the span.
    #[must_use]
    pub fn instant(&self, local: DateTime) -> Timestamp {
        let end = if local.year() < 0 { FIRST_INSTANT } else { LAST_INSTANT };
        self.zone.to_ambiguous_timestamp(local).compatible().unwrap_or(end).clipped()
    }

    /// The local date-time of an instant.
    #[must_use]
    pub fn local(&self, instant: Timestamp) -> DateTime {
        self.zone.to_datetime(instant)
    }

    /// The date on the property's calendar at an instant, within the span.
    #[must_use]
    pub fn date(&self, instant: Timestamp) -> Date {
        self.local(instant).date().clipped()
    }

    /// From check-in on the first day to check-out on the departure day.
    #[must_use]
    pub fn times_of(&self, nights: Nights) -> Times {
        let start = self.instant(nights.first().to_datetime(self.check_in));
        let end = self.instant(nights.end().to_datetime(self.check_out));
        // Check-out at or before check-in on a later day: the end is after the start, but for a zone that skips a day.
        Times::new(start, end).unwrap_or_else(|_| Times::moment(start))
    }

    /// The turnover nights after a departure day; none where the host keeps none.
    #[must_use]
    pub fn turnover_after(&self, departure: Date) -> Option<Nights> {
        Nights::new(departure, departure.days_later(i64::from(self.turnover_nights))).ok()
    }

    /// When the turnover nights that may follow an extent are over, by check-out time; without any, when it ends itself.
    #[must_use]
    pub fn turned_over_at(&self, extent: Extent) -> Timestamp {
        let end = extent.times(self).end();
        if self.turnover_nights == 0 {
            return end;
        }
        let turnover = extent.nights(self).and_then(|nights| self.turnover_after(nights.end()));
        turnover.map_or(end, |turnover| end.max(self.times_of(turnover).end()))
    }

    /// The nights whose span from check-in to the next day's check-out is overlapped; none for a stay
    /// that fits between check-out and check-in.
    #[must_use]
    pub fn nights_of(&self, times: Times) -> Option<Nights> {
        // Night D overlaps when D+check-in < end and start < D+1+check-out.
        let start = self.local(times.start());
        let mut first = start.date().previous_day();
        let end_date = self.date(times.end());
        while first <= end_date {
            let next = first.next_day();
            if next == first || times.start() < self.instant(next.to_datetime(self.check_out)) {
                break;
            }
            first = next;
        }
        let mut end = end_date.next_day();
        while end > first {
            let last = end.previous_day();
            if self.instant(last.to_datetime(self.check_in)) < times.end() {
                break;
            }
            end = last;
        }
        Nights::new(first, end).ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    fn madrid() -> House {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        House::new(zone, time(15, 0, 0, 0), time(11, 0, 0, 0), 0).unwrap()
    }

    fn taken(house: &House, start: DateTime, end: DateTime) -> Option<(Date, Date)> {
        let times = Times::new(house.instant(start), house.instant(end)).unwrap();
        house.nights_of(times).map(|nights| (nights.first(), nights.end()))
    }

    #[test]
    fn a_late_check_out_before_check_in_costs_no_night() {
        let house = madrid();
        let day = date(2026, 12, 7);
        assert_eq!(taken(&house, day.at(11, 0, 0, 0), day.at(14, 0, 0, 0)), None);
        assert_eq!(taken(&house, day.at(11, 0, 0, 0), day.at(15, 0, 0, 0)), None);
    }

    #[test]
    fn a_late_check_out_past_check_in_costs_the_night() {
        let house = madrid();
        let day = date(2026, 12, 7);
        assert_eq!(taken(&house, day.at(11, 0, 0, 0), day.at(18, 0, 0, 0)), Some((day, date(2026, 12, 8))));
    }

    #[test]
    fn an_early_arrival_before_check_out_costs_the_night_before() {
        let house = madrid();
        let day = date(2026, 12, 7);
        assert_eq!(taken(&house, day.at(10, 0, 0, 0), day.at(12, 0, 0, 0)), Some((date(2026, 12, 6), day)));
    }

    #[test]
    fn nights_survive_the_way_through_instants_over_both_clock_changes() {
        let house = madrid();
        for (first, end) in [(date(2026, 3, 28), date(2026, 3, 30)), (date(2026, 10, 24), date(2026, 10, 27))] {
            let nights = Nights::new(first, end).unwrap();
            assert_eq!(house.nights_of(house.times_of(nights)), Some(nights));
        }
    }

    #[test]
    fn midnight_to_midnight_of_another_zone_takes_the_nights_it_touches() {
        let house = madrid();
        let start = date(2026, 12, 4).at(0, 0, 0, 0);
        // From midnight on, the night before is still running until check-out.
        assert_eq!(
            taken(&house, start, date(2026, 12, 5).at(0, 0, 0, 0)),
            Some((date(2026, 12, 3), date(2026, 12, 5)))
        );
    }

    #[test]
    fn check_out_after_check_in_is_no_house() {
        let zone = TimeZone::UTC;
        assert!(House::new(zone, time(10, 0, 0, 0), time(11, 0, 0, 0), 0).is_err());
    }
}
