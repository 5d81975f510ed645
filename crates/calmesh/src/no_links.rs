//! Accounts of which this process knows that they have no extra links: each change of a property would ask. Nobody else writes
//! to the store of a data folder.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use calmesh_calendar::AccountId;

/// So many accounts are known. Another one's are asked for.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct NoLinks {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: HashSet<AccountId>,
    /// How many links were written since the start, or are being written.
    writes: u64,
}

impl NoLinks {
    pub(crate) fn has_none(&self, account: &AccountId) -> bool {
        self.locked().accounts.contains(account)
    }

    /// Before the store is asked: what [`Self::found_none`] wants to know.
    pub(crate) fn before(&self) -> u64 {
        self.locked().writes
    }

    /// The store had none, unless one was written since it was asked.
    pub(crate) fn found_none(&self, account: &AccountId, before: u64) {
        let mut known = self.locked();
        if known.writes == before && known.accounts.len() < MOST {
            known.accounts.insert(account.clone());
        }
    }

    /// A link is about to be written. It may be there from now on, whatever comes of the write.
    pub(crate) fn gets_one(&self, account: &AccountId) {
        let mut known = self.locked();
        known.writes += 1;
        known.accounts.remove(account);
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds this lock can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId::from_random([n; 16])
    }

    #[test]
    fn an_account_that_gets_a_link_is_not_known_to_have_none() {
        let none = NoLinks::default();
        let before = none.before();
        none.found_none(&account(1), before);
        none.found_none(&account(2), before);
        assert!(none.has_none(&account(1)) && !none.has_none(&account(3)));
        none.gets_one(&account(1));
        assert!(!none.has_none(&account(1)) && none.has_none(&account(2)));
        // Who asked before it was written found what is not true any more.
        none.found_none(&account(1), before);
        assert!(!none.has_none(&account(1)));
    }
}
