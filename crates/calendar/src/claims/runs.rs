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
