//! Reading feeds: a run of buckets that is due (`sweep`), or what somebody asked for (`refresh`). Both read a `crowd` at once,
//! each `feed` by itself; what merge must see of one property goes there together (`gathering`).

mod crowd;
mod feed;
mod gathering;
mod refresh;
mod seen;
mod sweep;

use std::sync::Arc;

use crate::{
    health::Failures,
    ports::{Clock, Event, EventBus, FeedSource, FetchStore, PropertyStore, RefreshStore, SnapshotStore},
    readings::parked::Bodies,
    settings::Settings,
    traffic::Traffic,
    trouble::{WorkError, guarded},
    wiring::Common,
};

/// Reads feeds.
#[derive(Clone)]
pub struct Fetch {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) feeds: Arc<dyn FeedSource>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) failures: Failures,
    pub(crate) bodies: Bodies,
}

impl Fetch {
    #[must_use]
    pub fn new(common: &Common, feeds: &Arc<dyn FeedSource>, snapshots: &Arc<dyn SnapshotStore>) -> Self {
        Self {
            properties: common.properties.clone(),
            fetches: common.fetches.clone(),
            refreshes: common.refreshes.clone(),
            snapshots: snapshots.clone(),
            feeds: feeds.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            traffic: common.traffic.clone(),
            settings: common.settings.clone(),
            failures: Failures::new(common),
            bodies: Bodies::new(common, snapshots),
        }
    }

    /// Works on an event that asks for reading.
    ///
    /// # Errors
    /// When a part of the world failed, or the work panicked, or another room works on such events.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        guarded(async {
            match event {
                Event::SweepDue { first_bucket, last_bucket, number } => {
                    self.sweep(*first_bucket, *last_bucket, *number).await
                }
                Event::RefreshRequested { refresh, after, rest, .. } => {
                    self.refresh_requested(refresh, after.as_deref(), *rest).await
                }
                _ => Err(WorkError::Elsewhere),
            }
        })
        .await
    }
}
