//! What every store promises, kept by this one.

use calmesh_app::contract;

use super::embedded::{embedded, two_instances};

#[tokio::test]
async fn accounts_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::account_store(&store, &store).await;
}

#[tokio::test]
async fn properties_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::property_store(&store, &store, &store, &store).await;
}

#[tokio::test]
async fn activity_is_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::activity_store(&store, &store, &store).await;
}

#[tokio::test]
async fn fetch_states_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::fetch_store(&store, &store, &store).await;
}

#[tokio::test]
async fn marks_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::mark_store(&store, &store, &store, &store).await;
}

#[tokio::test]
async fn links_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::link_store(&store, &store, &store).await;
}

#[tokio::test]
async fn refreshes_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::refresh_store(&store, &store).await;
    contract::pages_of_refreshes(&store, &store, &store).await;
}

#[tokio::test]
async fn answers_are_kept_as_promised() {
    let (store, _) = embedded().await;
    contract::idempotency_store(&store).await;
}

#[tokio::test]
async fn budgets_hold_over_two_instances_as_promised() {
    let (store, another) = two_instances().await;
    contract::budget_store(&store, &another).await;
}
