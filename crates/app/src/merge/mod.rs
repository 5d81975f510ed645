//! What was written is followed: readings are taken into their properties (`feeds`), exports are made to follow, accounts that
//! go are erased (`erase`).

pub(crate) mod erase;
pub(crate) mod feeds;

use std::sync::Arc;

use crate::{
    changes::Changes,
    health::Failures,
    ports::{
        AccountStore, Clock, Event, FetchStore, LinkStore, PropertyStore, Randomness, RefreshStore, SnapshotStore,
    },
    publish::Publish,
    readings::parked::Bodies,
    settings::Settings,
    traffic::Traffic,
    trouble::{WorkError, guarded},
    wiring::Common,
};

/// Takes readings in; and all else that follows what was written: exports, erasures.
#[derive(Clone)]
pub struct Merge {
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) changes: Changes,
    pub(crate) publish: Publish,
    pub(crate) failures: Failures,
    pub(crate) bodies: Bodies,
}

impl Merge {
    #[must_use]
    pub fn new(common: &Common, publish: &Publish) -> Self {
        let snapshots = &publish.snapshots;
        Self {
            accounts: common.accounts.clone(),
            properties: common.properties.clone(),
            fetches: common.fetches.clone(),
            links: common.links.clone(),
            refreshes: common.refreshes.clone(),
            snapshots: snapshots.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            traffic: common.traffic.clone(),
            settings: common.settings.clone(),
            changes: publish.changes.clone(),
            publish: publish.clone(),
            failures: Failures::new(common),
            bodies: Bodies::new(common, snapshots),
        }
    }

    /// Works on an event that state or exports must follow.
    ///
    /// # Errors
    /// When a part of the world failed, or the work panicked, or another room works on such events.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        guarded(async {
            match event {
                Event::FeedsRead { account, property, readings, refresh } => {
                    self.feeds_read(account, property, readings, refresh.as_ref()).await
                }
                Event::PropertyDirty { property } => self.publish.publish_property(property).await,
                Event::LinkDirty { link } => self.publish.publish_link(link).await,
                Event::AccountDeleted { account } => self.erase_if_it_goes(account).await,
                _ => Err(WorkError::Elsewhere),
            }
        })
        .await
    }
}
