//! A list in which each value stands once, while a document is written: what names a value says where it stands.

use std::collections::BTreeMap;

/// Where something is in its list.
pub(super) type Place = usize;

pub(super) struct List<T> {
    places: BTreeMap<T, Place>,
    values: Vec<T>,
}

impl<T: Ord + Clone> List<T> {
    pub(super) fn new() -> Self {
        Self { places: BTreeMap::new(), values: Vec::new() }
    }

    pub(super) fn place(&mut self, value: &T) -> Place {
        if let Some(place) = self.places.get(value) {
            return *place;
        }
        let place = self.values.len();
        self.places.insert(value.clone(), place);
        self.values.push(value.clone());
        place
    }

    pub(super) fn place_option(&mut self, value: Option<&T>) -> Option<Place> {
        value.map(|value| self.place(value))
    }

    /// In the order in which they were named first.
    pub(super) fn into_values(self) -> Vec<T> {
        self.values
    }
}
