//! What the rooms of a deployment are wired from.

use std::sync::Arc;

use url::Url;

use crate::{
    model::SecretHash,
    ports::{
        AccountStore, ActivityStore, BudgetStore, Clock, EventBus, ExportStore, FeedSource, FetchStore,
        IdempotencyStore, LinkStore, MarkStore, PropertyStore, Randomness, RefreshStore, Sealer, SnapshotStore,
    },
    settings::{Keys, Settings},
    traffic::Traffic,
};

/// What every process of a deployment has: the table, the bus, the world, and what was decided once. No secret is in it.
/// Each room takes of it what it holds.
#[derive(Clone)]
pub struct Common {
    pub accounts: Arc<dyn AccountStore>,
    pub properties: Arc<dyn PropertyStore>,
    pub activity: Arc<dyn ActivityStore>,
    pub fetches: Arc<dyn FetchStore>,
    pub marks: Arc<dyn MarkStore>,
    pub links: Arc<dyn LinkStore>,
    pub refreshes: Arc<dyn RefreshStore>,
    pub idempotency: Arc<dyn IdempotencyStore>,
    pub budgets: Arc<dyn BudgetStore>,
    pub bus: Arc<dyn EventBus>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    /// Of this process.
    pub traffic: Arc<Traffic>,
    pub settings: Arc<Settings>,
}

/// A store that has all there is to keep.
pub trait Store:
    AccountStore
    + PropertyStore
    + ActivityStore
    + FetchStore
    + MarkStore
    + LinkStore
    + RefreshStore
    + IdempotencyStore
    + BudgetStore
    + 'static
{
}

impl<S> Store for S where
    S: AccountStore
        + PropertyStore
        + ActivityStore
        + FetchStore
        + MarkStore
        + LinkStore
        + RefreshStore
        + IdempotencyStore
        + BudgetStore
        + 'static
{
}

impl Common {
    /// Everything in one store.
    pub fn on<S: Store>(
        store: Arc<S>,
        bus: Arc<dyn EventBus>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        settings: Settings,
    ) -> Self {
        Self {
            accounts: store.clone(),
            properties: store.clone(),
            activity: store.clone(),
            fetches: store.clone(),
            marks: store.clone(),
            links: store.clone(),
            refreshes: store.clone(),
            idempotency: store.clone(),
            budgets: store,
            bus,
            clock,
            randomness,
            traffic: Arc::default(),
            settings: Arc::new(settings),
        }
    }
}

/// All that a deployment is wired from.
#[derive(Clone)]
pub struct Ports {
    pub common: Common,
    pub feeds: Arc<dyn FeedSource>,
    pub snapshots: Arc<dyn SnapshotStore>,
    pub exports: Arc<dyn ExportStore>,
    pub sealer: Arc<dyn Sealer>,
    /// Where private links are served: `https://d111.cloudfront.net`.
    pub links_base: Url,
    /// Digest of the operator's key.
    pub operator_key: SecretHash,
    pub keys: Keys,
}
