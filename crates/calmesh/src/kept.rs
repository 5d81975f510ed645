//! Private links in memory, as they are served.
//!
//! The object store tells of every change of an object, before it is made and after. What was read meanwhile is not kept,
//! so nothing that is kept is older than what lies in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderValue;
use bytes::Bytes;
use jiff::Timestamp;

use crate::bounded::Bounded;

/// So much is kept in all.
const MOST_BYTES: usize = 16 << 20;
/// What an entry takes beside its body: its name, twice, its tag and its date.
const BESIDE_BODY: usize = 400;

/// A calendar with the headers that belong to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) body: Bytes,
    /// With its quotes.
    pub(crate) etag: String,
    pub(crate) last_modified: Timestamp,
    pub(crate) date: Option<HeaderValue>,
}

impl Served {
    fn size(&self) -> usize {
        self.body.len().saturating_add(BESIDE_BODY)
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Mutex<Inner>>);

struct Inner {
    links: Bounded<Arc<str>, Arc<Served>>,
    changes: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self::of_at_most(MOST_BYTES)
    }
}

impl Kept {
    fn of_at_most(most: usize) -> Self {
        let links = Bounded::of_at_most(most, |served: &Arc<Served>| served.size());
        Self(Arc::new(Mutex::new(Inner { links, changes: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds this lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Served>> {
        self.lock().links.get(name).cloned()
    }

    /// How many changes were told. To be asked before something is read that is to be kept.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Keeps what was read, where no change was told since there were `changes`.
    pub(crate) fn keep(&self, name: &str, served: &Arc<Served>, changes: u64) {
        let mut inner = self.lock();
        if inner.changes == changes {
            inner.links.put(name.into(), served.clone());
        }
    }

    /// An object of this name is about to change, or has changed.
    pub(crate) fn changed(&self, name: &str) {
        let mut inner = self.lock();
        inner.changes = inner.changes.wrapping_add(1);
        inner.links.take(name);
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(bytes: usize) -> Arc<Served> {
        let body = Bytes::from(vec![b'x'; bytes]);
        Arc::new(Served { body, etag: "\"a\"".to_owned(), last_modified: Timestamp::UNIX_EPOCH, date: None })
    }

    #[test]
    fn what_was_read_while_something_changed_is_not_kept() {
        let kept = Kept::default();
        let before = kept.changes();
        kept.keep("a", &served(1), before);
        assert!(kept.find("a").is_some());
        kept.changed("a");
        assert!(kept.find("a").is_none(), "what changes goes");
        kept.keep("a", &served(1), before);
        assert!(kept.find("a").is_none(), "and what was read before it changed does not come back");
        kept.keep("a", &served(1), kept.changes());
        kept.changed("b");
        assert!(kept.find("a").is_some(), "another one's change leaves it");
    }

    #[test]
    fn the_first_goes_when_there_is_too_much() {
        let kept = Kept::of_at_most(10 * (1_000 + BESIDE_BODY));
        for name in 0..1_000 {
            kept.keep(&name.to_string(), &served(1_000), kept.changes());
            let inner = kept.lock();
            assert!(inner.links.bytes <= inner.links.most);
        }
        assert!(kept.find("989").is_none() && kept.find("990").is_some() && kept.find("999").is_some());
        kept.keep("large", &served(100_000), kept.changes());
        assert!(kept.find("large").is_none() && kept.find("999").is_some(), "what is too large is not kept at all");
    }

    #[test]
    fn what_goes_and_comes_again_does_not_grow() {
        let kept = Kept::default();
        for _ in 0..10_000 {
            kept.keep("a", &served(10), kept.changes());
            kept.changed("a");
        }
        let inner = kept.lock();
        let links = &inner.links;
        assert!(links.order.len() < 100 && links.bytes == 0, "{} names, {} bytes", links.order.len(), links.bytes);
    }
}
