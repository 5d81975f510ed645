//! Where things lie that take more room than an item is meant for: on pages of about `WEIGHT`, so that a change of one of
//! thousands rewrites one page.
//!
//! On which page something lies follows from all of them alone: how many pages there are from how much they weigh, which
//! one it is from its id. So a writer knows from the state before which pages there are. **Both are part of the stored form**:
//! who changes them needs another prefix of the key.

use calmesh_app::{model::spread_of, ports::StoreError};

/// A page is meant to hold about so much.
pub(crate) const WEIGHT: usize = 24_000;

/// What lies on pages.
pub(crate) trait Paged {
    fn id(&self) -> &str;
    /// About the bytes that it would have in plain words, reckoned so that no change of a form moves it.
    fn weight(&self) -> usize;
}

/// How many pages these take: a power of two.
pub(crate) fn count_of<T: Paged>(things: &[&T]) -> usize {
    if things.is_empty() {
        return 0;
    }
    let all: usize = things.iter().map(|thing| thing.weight()).sum();
    all.div_ceil(WEIGHT).next_power_of_two()
}

/// On which of so many pages something lies.
pub(crate) fn nth_of(id: &str, count: usize) -> usize {
    usize::try_from(spread_of(id) >> 32).unwrap_or_default() & count.saturating_sub(1)
}

/// The pages of these, which keep their order.
pub(crate) fn paged<'a, T: Paged>(things: &[&'a T]) -> Vec<Vec<&'a T>> {
    let count = count_of(things);
    let mut pages = vec![Vec::new(); count];
    for thing in things {
        if let Some(page) = pages.get_mut(nth_of(thing.id(), count)) {
            page.push(*thing);
        }
    }
    pages
}

/// Which pages are written and how many there are from then on, where these were the pages before.
pub(crate) fn moved<'p, 'a, T: PartialEq>(
    old: &'p [Vec<&'a T>],
    new: &'p [Vec<&'a T>],
) -> impl Iterator<Item = (usize, &'p Vec<&'a T>)> {
    let as_many = old.len() == new.len();
    new.iter().enumerate().filter(move |(nth, page)| !as_many || old.get(*nth) != Some(*page))
}

/// What is told where pages are missing, or there are too many.
pub(crate) fn incomplete(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("pages of {what} are missing, or there are too many") }
}
