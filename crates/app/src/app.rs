//! The ports and settings of one deployment, wired once; use cases are its methods.

use std::{fmt, sync::Arc};

use crate::{
    Settings, Traffic,
    ports::{
        AccountStore, ActivityStore, BudgetStore, Clock, EventBus, ExportStore, FeedSource, FetchStore,
        IdempotencyStore, LinkStore, MarkStore, PropertyStore, Randomness, RefreshStore, Sealer, SnapshotStore,
    },
};

/// One deployment. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub accounts: Arc<dyn AccountStore>,
    pub properties: Arc<dyn PropertyStore>,
    pub activity: Arc<dyn ActivityStore>,
    pub fetches: Arc<dyn FetchStore>,
    pub marks: Arc<dyn MarkStore>,
    pub links: Arc<dyn LinkStore>,
    pub refreshes: Arc<dyn RefreshStore>,
    pub idempotency: Arc<dyn IdempotencyStore>,
    pub budgets: Arc<dyn BudgetStore>,
    /// Of this process.
    pub traffic: Arc<Traffic>,
    pub bus: Arc<dyn EventBus>,
    pub feeds: Arc<dyn FeedSource>,
    pub snapshots: Arc<dyn SnapshotStore>,
    pub exports: Arc<dyn ExportStore>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub sealer: Arc<dyn Sealer>,
    pub settings: Arc<Settings>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("settings", &self.settings).finish_non_exhaustive()
    }
}
