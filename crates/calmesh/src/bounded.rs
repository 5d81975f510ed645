//! A map that holds so many bytes at most: what came first goes first.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
};

pub(crate) struct Bounded<K, V> {
    pub(crate) most: usize,
    size: fn(&V) -> usize,
    pub(crate) values: HashMap<K, V>,
    /// Names of what went meanwhile stay until their turn.
    pub(crate) order: VecDeque<K>,
    pub(crate) bytes: usize,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub(crate) fn of_at_most(most: usize, size: fn(&V) -> usize) -> Self {
        Self { most, size, values: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(name)
    }

    pub(crate) fn take<Q: Hash + Eq + ?Sized>(&mut self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let value = self.values.remove(name)?;
        self.bytes = self.bytes.saturating_sub((self.size)(&value));
        Some(value)
    }

    /// What takes more than there is room for is not kept.
    pub(crate) fn put(&mut self, name: K, value: V) {
        let size = (self.size)(&value);
        if size > self.most {
            return;
        }
        self.take(&name);
        self.bytes = self.bytes.saturating_add(size);
        self.values.insert(name.clone(), value);
        self.order.push_back(name);
        // Names of what went and came again are there twice; then it goes a little early.
        while self.bytes > self.most || self.order.len() > self.values.len().saturating_mul(2).saturating_add(64) {
            let Some(first) = self.order.pop_front() else { return };
            self.take(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_bytes_and_names_are_held_than_may_be() {
        let mut held = Bounded::<u32, Vec<u8>>::of_at_most(1_000, Vec::len);
        for nth in 0..10_000 {
            held.put(nth % 7, vec![0; 1]);
            held.take(&(nth % 5));
            held.put(20 + nth, vec![0; 400]);
            assert!(held.bytes <= 1_000 && held.order.len() < 100);
            assert_eq!(held.bytes, held.values.values().map(Vec::len).sum::<usize>());
        }
        held.put(1, vec![0; 1_001]);
        assert!(held.get(&1).is_none_or(|known| known.len() <= 1_000), "what is larger than all is not held");
    }
}
