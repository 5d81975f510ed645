//! What hosts ask for, over REST, and the program for itself.

pub(crate) mod accounts;
pub(crate) mod advice;
pub(crate) mod availability;
pub(crate) mod blocks;
pub(crate) mod check;
pub(crate) mod conflicts;
pub(crate) mod connections;
pub(crate) mod edit;
pub(crate) mod elsewhere;
pub(crate) mod explain;
pub(crate) mod extending;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod links;
pub(crate) mod listed;
pub(crate) mod looks;
pub(crate) mod preview;
pub(crate) mod properties;
pub(crate) mod reach;
pub(crate) mod refresh;
pub(crate) mod telemetry;
pub(crate) mod tokens;

use std::sync::Arc;

use url::Url;

use crate::{
    changes::Changes,
    model::{LinkToken, SecretHash},
    ports::{
        AccountStore, ActivityStore, Clock, EventBus, FeedSource, FetchStore, IdempotencyStore, LinkStore,
        PropertyStore, Randomness, RefreshStore, Sealer, SnapshotStore,
    },
    publish::Publish,
    refreshes::Refreshing,
    settings::Settings,
    traffic::{Traffic, budgets::Budgets},
    wiring::Ports,
};

/// What REST and the program ask for.
#[derive(Clone)]
pub struct Desk {
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) activity: Arc<dyn ActivityStore>,
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub idempotency: Arc<dyn IdempotencyStore>,
    pub(crate) budgets: Budgets,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) feeds: Arc<dyn FeedSource>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub sealer: Arc<dyn Sealer>,
    pub(crate) traffic: Arc<Traffic>,
    pub settings: Arc<Settings>,
    links_base: Url,
    pub operator_key: SecretHash,
    pub cursor_key: [u8; 32],
    pub(crate) changes: Changes,
    pub(crate) publish: Publish,
    pub(crate) refreshing: Refreshing,
}

impl Desk {
    #[must_use]
    pub fn new(ports: &Ports, publish: &Publish) -> Self {
        let Ports { common, .. } = ports;
        Self {
            accounts: common.accounts.clone(),
            properties: common.properties.clone(),
            activity: common.activity.clone(),
            fetches: common.fetches.clone(),
            links: common.links.clone(),
            refreshes: common.refreshes.clone(),
            idempotency: common.idempotency.clone(),
            budgets: Budgets { store: common.budgets.clone(), clock: common.clock.clone() },
            snapshots: ports.snapshots.clone(),
            feeds: ports.feeds.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            sealer: ports.sealer.clone(),
            traffic: common.traffic.clone(),
            settings: common.settings.clone(),
            links_base: ports.links_base.clone(),
            operator_key: ports.operator_key,
            cursor_key: ports.keys.cursor,
            changes: publish.changes.clone(),
            publish: publish.clone(),
            refreshing: Refreshing::new(common),
        }
    }

    /// The address of a private link.
    #[must_use]
    pub fn link_url(&self, token: &LinkToken) -> String {
        let base = self.links_base.as_str().trim_end_matches('/');
        format!("{base}/f/{}.ics", token.reveal())
    }
    /// The same, of which all that is drawn at random comes from here.
    #[must_use]
    pub fn drawing_from(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.changes.randomness = Arc::clone(&randomness);
        self.publish.changes.randomness = Arc::clone(&randomness);
        self.publish.randomness = Arc::clone(&randomness);
        self.publish.refreshing.randomness = Arc::clone(&randomness);
        self.refreshing.randomness = Arc::clone(&randomness);
        Self { randomness, ..self }
    }
}
