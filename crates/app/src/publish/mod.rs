//! Exports follow: what time brings about, then every private link rendered, and only what differs put.

pub(crate) mod property;
pub(crate) mod served;

use std::sync::Arc;

use crate::{
    changes::Changes,
    ports::{Clock, EventBus, ExportStore, LinkStore, PropertyStore, Randomness, SnapshotStore},
    readings::kept::KeptAt,
    refreshes::Refreshing,
    traffic::Traffic,
    wiring::Common,
};

/// Makes exports follow.
#[derive(Clone)]
pub struct Publish {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) exports: Arc<dyn ExportStore>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) echo_key: [u8; 32],
    pub(crate) changes: Changes,
    pub(crate) refreshing: Refreshing,
}

impl Publish {
    #[must_use]
    pub fn new(
        common: &Common,
        snapshots: &Arc<dyn SnapshotStore>,
        exports: &Arc<dyn ExportStore>,
        echo_key: [u8; 32],
    ) -> Self {
        Self {
            properties: common.properties.clone(),
            links: common.links.clone(),
            exports: exports.clone(),
            snapshots: snapshots.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            traffic: common.traffic.clone(),
            echo_key,
            changes: Changes::new(common, echo_key),
            refreshing: Refreshing::new(common),
        }
    }

    /// Where the bodies are kept that connections are taken from.
    pub(crate) fn kept_at(&self) -> KeptAt<'_> {
        KeptAt {
            properties: &*self.properties,
            snapshots: &*self.snapshots,
            traffic: &self.traffic,
            clock: &*self.clock,
        }
    }
}
