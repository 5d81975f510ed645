//! Runs of nights with one value each.

use jiff::civil::Date;

use crate::Nights;

/// Values by night, in order of time: no two runs share a night, and neighbours that touch differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs<T>(Vec<(Nights, T)>);

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq + Copy> Runs<T> {
    /// Runs out of any pieces, in any order; where pieces overlap, the night belongs to the one that begins first.
    #[must_use]
    pub fn of(pieces: impl IntoIterator<Item = (Nights, T)>) -> Self {
        let mut pieces: Vec<(Nights, T)> = pieces.into_iter().collect();
        pieces.sort_by_key(|(nights, _)| (nights.first(), nights.end()));
        let mut runs = Self::default();
        for (nights, value) in pieces {
            let first = runs.0.last().map_or(nights.first(), |(last, _)| last.end().max(nights.first()));
            if let Ok(nights) = Nights::new(first, nights.end()) {
                runs.push(nights, value);
            }
        }
        runs
    }

    /// Adds a run behind all others.
    pub(crate) fn push(&mut self, nights: Nights, value: T) {
        match self.0.last_mut() {
            Some((last, known)) if last.end() == nights.first() && *known == value => {
                if let Ok(joined) = Nights::new(last.first(), nights.end()) {
                    *last = joined;
                }
            }
            _ => self.0.push((nights, value)),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a night.
    #[must_use]
    pub fn get(&self, night: Date) -> Option<&T> {
        let at = self.0.partition_point(|(nights, _)| nights.end() <= night);
        self.0.get(at).filter(|(nights, _)| nights.contains(night)).map(|(_, value)| value)
    }

    /// The values of many nights that follow each other.
    pub(crate) fn spread(&self, from: Date, nights: usize) -> Vec<Option<T>> {
        let mut out = vec![None; nights];
        for (run, value) in &self.0 {
            let first = days_between(from, run.first()).max(0);
            let end = days_between(from, run.end()).clamp(0, i64::try_from(nights).unwrap_or(i64::MAX));
            for at in first..end {
                if let Some(slot) = usize::try_from(at).ok().and_then(|at| out.get_mut(at)) {
                    *slot = Some(*value);
                }
            }
        }
        out
    }

    /// The runs that have one of these nights.
    pub(crate) fn touching(&self, nights: Nights) -> &[(Nights, T)] {
        let first = self.0.partition_point(|(run, _)| run.end() <= nights.first());
        let end = self.0.partition_point(|(run, _)| run.first() < nights.end());
        self.0.get(first..end).unwrap_or_default()
    }

    /// The end of the last run.
    pub(crate) fn last_night(&self) -> Option<Date> {
        self.0.last().map(|(nights, _)| nights.end())
    }

    /// In order of time.
    pub fn iter(&self) -> std::slice::Iter<'_, (Nights, T)> {
        self.0.iter()
    }
}

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
    use jiff::{ToSpan, civil::date};

    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let from = date(1999, 12, 30);
        for number in [0, 1, 60, 61, 365, 366, 1_000, 36_524, 146_097] {
            assert_eq!(days_between(from, from.checked_add(number.days()).unwrap()), number);
        }
        assert_eq!(days_between(from, date(1999, 12, 1)), -29);
    }
}
