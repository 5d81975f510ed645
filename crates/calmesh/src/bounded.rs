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

    /// Lets go of all that are named so.
    pub(crate) fn forget(&mut self, named_so: impl Fn(&K) -> bool) {
        let names: Vec<K> = self.values.keys().filter(|name| named_so(name)).cloned().collect();
        for name in names {
            self.take(&name);
        }
    }
}
