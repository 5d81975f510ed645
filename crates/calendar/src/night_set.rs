//! Sets of nights, kept as runs: a stay until further notice is one of them, not seventy thousand.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::Nights;

/// Nights by the first of each run, with its end; no two runs touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NightSet(BTreeMap<Date, Date>);

impl NightSet {
    pub const EMPTY: Self = Self(BTreeMap::new());

    pub fn insert(&mut self, nights: Nights) {
        let (mut first, mut end) = (nights.first(), nights.end());
        let touching = self.0.range(..=end).rev().take_while(|(_, known)| **known >= first);
        let touching: Vec<Date> = touching.map(|(known, _)| *known).collect();
        for known in touching {
            first = first.min(known);
            end = self.0.remove(&known).map_or(end, |known| end.max(known));
        }
        self.0.insert(first, end);
    }

    #[must_use]
    pub fn contains(&self, night: Date) -> bool {
        self.0.range(..=night).next_back().is_some_and(|(_, end)| night < *end)
    }

    /// What of some nights is not in the set.
    #[must_use]
    pub fn missing_of(&self, nights: Nights) -> Vec<Nights> {
        let before = self.0.range(..=nights.first()).next_back();
        let within = self.0.range(nights.first()..nights.end()).filter(|(first, _)| **first > nights.first());
        let (mut missing, mut from) = (Vec::new(), nights.first());
        for (first, end) in before.into_iter().chain(within) {
            missing.extend(Nights::new(from, *first));
            from = from.max(*end);
        }
        missing.extend(Nights::new(from, nights.end()));
        missing
    }

    /// What of some nights is in the set.
    #[must_use]
    pub fn common_with(&self, nights: Nights) -> Vec<Nights> {
        let before = self.0.range(..=nights.first()).next_back();
        let within = self.0.range(nights.first()..nights.end()).filter(|(first, _)| **first > nights.first());
        let runs = before.into_iter().chain(within);
        runs.filter_map(|(first, end)| Nights::new(nights.first().max(*first), nights.end().min(*end)).ok()).collect()
    }

    /// The run with a night, if it is in the set.
    pub(crate) fn run_of(&self, night: Date) -> Option<Nights> {
        let (first, end) = self.0.range(..=night).next_back().filter(|(_, end)| night < **end)?;
        Nights::new(*first, *end).ok()
    }

    /// Whether all of some nights are in the set.
    #[must_use]
    pub fn holds(&self, nights: Nights) -> bool {
        self.0.range(..=nights.first()).next_back().is_some_and(|(_, end)| nights.end() <= *end)
    }

    /// The runs, in order of time.
    pub fn runs(&self) -> impl Iterator<Item = Nights> {
        self.0.iter().filter_map(|(first, end)| Nights::new(*first, *end).ok())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Nights> for NightSet {
    fn from_iter<T: IntoIterator<Item = Nights>>(all: T) -> Self {
        let mut set = Self::default();
        for nights in all {
            set.insert(nights);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::span::Days;

    fn run() -> impl Strategy<Value = Nights> {
        (0i64..30, 1i64..8).prop_map(|(first, count)| {
            let first = date(2026, 12, 1).days_later(first);
            Nights::new(first, first.days_later(count)).unwrap()
        })
    }

    proptest! {
        /// It holds what was put in, in runs that don't touch, and tells what is missing of anything.
        #[test]
        fn a_set_of_runs_is_a_set_of_nights(all in prop::collection::vec(run(), 0..8), asked in run()) {
            let set: NightSet = all.iter().copied().collect();
            let model: BTreeSet<Date> = all.iter().flat_map(|nights| nights.iter()).collect();
            prop_assert_eq!(set.runs().flat_map(Nights::iter).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            let runs: Vec<Nights> = set.runs().collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].first()));
            let common: Vec<Date> = set.common_with(asked).into_iter().flat_map(Nights::iter).collect();
            prop_assert_eq!(common, asked.iter().filter(|night| model.contains(night)).collect::<Vec<_>>());
            prop_assert_eq!(set.holds(asked), asked.iter().all(|night| model.contains(&night)));
            let missing: Vec<Date> = set.missing_of(asked).into_iter().flat_map(Nights::iter).collect();
            prop_assert_eq!(missing, asked.iter().filter(|night| !model.contains(night)).collect::<Vec<_>>());
            prop_assert!(asked.iter().all(|night| set.contains(night) == model.contains(&night)));
            prop_assert!(asked.iter().all(|night| set.run_of(night).is_some_and(|run| run.contains(night)) == model.contains(&night)));
        }
    }
}
