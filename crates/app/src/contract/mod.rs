//! What every store promises, as functions over the ports: run on the fake here and on the real adapter in its
//! room, so that neither can drift. Each wants a store with nothing in it and panics where a promise is broken.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these functions are tests, wherever they run")]
#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "a test that leaves what there is of time fails")
)]

mod accounts;
mod budgets;
mod build;
mod fetches;
mod idempotency;
mod links;
mod marks;
pub mod objects;
mod properties;
mod refreshes;

pub use accounts::account_store;
pub use budgets::budget_store;
pub use build::{
    a_block, a_conflict, a_connection, a_hold, a_link, a_plan, a_property, a_token, a_url, account_id, an_account, at,
    block_id, connection_id, hold_id, link_id, link_token, nights, nothing_but, property_id, refresh_id, some_claims,
    token_id,
};
pub use fetches::fetch_store;
pub use idempotency::idempotency_store;
pub use links::link_store;
pub use marks::mark_store;
pub use properties::{activity_store, property_store};
pub use refreshes::{pages_of_refreshes, refresh_store};

use crate::ports::{AccountStore, Page, PageRequest, StoreError};

/// Makes account number `n`, whose properties a test is about.
pub async fn an_account_stands(accounts: &dyn AccountStore, n: u64) {
    accounts.create_account(&an_account(n), None).await.unwrap();
}

/// Everything of a list, read in pages of `limit`, each of which must be no longer than that.
pub(crate) async fn all<T>(
    limit: u16,
    mut page: impl AsyncFnMut(PageRequest) -> Result<Page<T>, StoreError>,
) -> Vec<T> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let answer = page(PageRequest { limit, after }).await.unwrap();
        assert!(answer.items.len() <= usize::from(limit), "a page is no longer than was asked");
        found.extend(answer.items);
        match answer.next {
            None => return found,
            next => after = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::MemoryStore;

    #[tokio::test]
    async fn the_fake_keeps_accounts_as_promised() {
        let store = MemoryStore::new();
        account_store(&store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_properties_as_promised() {
        let store = MemoryStore::new();
        property_store(&store, &store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_activity_as_promised() {
        let store = MemoryStore::new();
        activity_store(&store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_fetch_states_as_promised() {
        let store = MemoryStore::new();
        fetch_store(&store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_marks_as_promised() {
        let store = MemoryStore::new();
        mark_store(&store, &store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_links_as_promised() {
        let store = MemoryStore::new();
        link_store(&store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_refreshes_as_promised() {
        let store = MemoryStore::new();
        refresh_store(&store, &store).await;
        pages_of_refreshes(&store, &store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_budgets_as_promised() {
        let store = MemoryStore::new();
        budget_store(&store, &store).await;
    }

    #[tokio::test]
    async fn the_fake_keeps_answers_as_promised() {
        let store = MemoryStore::new();
        idempotency_store(&store).await;
    }
}
