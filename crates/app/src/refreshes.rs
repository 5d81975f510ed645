//! What several rooms do with manual refreshes: ask for one that nobody waits for, end one that is over, and tell what the
//! last one of the whole account found, since an unchanged feed writes nothing else.

use std::{slice, sync::Arc};

use calmesh_calendar::{AccountId, ConnectionId, PropertyId, RefreshId};
use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{LatestRefresh, Property, Refresh, RefreshPage, RefreshScope, is_ahead},
    ports::{BusError, Clock, Event, EventBus, Randomness, RefreshStore, StoreError},
    trouble::WorkError,
    wiring::Common,
};

/// What takes longer is given up.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// So long a refresh tells when feeds were read; every site is read by sweeps meanwhile.
const TELLS_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Asks for refreshes.
#[derive(Clone)]
pub(crate) struct Refreshing {
    pub(crate) refreshes: Arc<dyn RefreshStore>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
}

impl Refreshing {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            refreshes: common.refreshes.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
        }
    }
    /// `spread`: every connection that the scope has is added at once.
    pub(crate) fn new_refresh(&self, id: RefreshId, account: &AccountId, scope: RefreshScope, spread: bool) -> Refresh {
        Refresh { id, account: account.clone(), scope, requested_at: self.clock.now(), spread }
    }

    pub(crate) async fn keep(&self, refresh: &Refresh, connections: &[ConnectionId]) -> Result<(), StoreError> {
        match self.refreshes.create_refresh(refresh, connections).await {
            // Asked for by a request that was cut off, perhaps before anybody was told.
            Err(StoreError::Exists) if self.randomness.repeats() => Ok(()),
            other => other,
        }
    }

    /// Announces a refresh that has something to read. Where somebody waits for it, what the bus did not take is told at once
    /// and not left to the tick.
    pub(crate) async fn announce(&self, refresh: &Refresh, connections: &[ConnectionId]) -> Result<(), BusError> {
        let Refresh { id, account, spread, .. } = refresh.clone();
        if spread && connections.is_empty() {
            return Ok(());
        }
        self.bus.publish(&[Event::RefreshRequested { account, refresh: id, after: None, rest: false }]).await
    }

    /// Refreshes a connection without anybody waiting for the answer. Where it can't be announced, the next sweep reads it.
    pub(crate) async fn soon(&self, account: &AccountId, property: &PropertyId, connection: &ConnectionId) {
        self.soon_as(RefreshId::from_random(self.randomness.id()), account, property, connection).await;
    }

    /// The same under an id that was drawn before.
    pub(crate) async fn soon_as(
        &self,
        id: RefreshId,
        account: &AccountId,
        property: &PropertyId,
        connection: &ConnectionId,
    ) {
        let scope = RefreshScope::Connection { property: property.clone(), connection: connection.clone() };
        let refresh = self.new_refresh(id, account, scope, true);
        let asked = async {
            self.keep(&refresh, slice::from_ref(connection)).await?;
            Ok::<_, WorkError>(self.announce(&refresh, slice::from_ref(connection)).await?)
        };
        if let Err(error) = asked.await {
            tracing::warn!(
                connection.id = %connection,
                error = &error as &dyn std::error::Error,
                "a refresh is left to the next sweep"
            );
        }
    }
}

impl dyn RefreshStore {
    /// The latest refresh of a whole account, if it was asked for within a day: what it found unchanged is written nowhere
    /// but in its pages.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn refresh_of_account(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Option<LatestRefresh>, StoreError> {
        let latest = self.latest_refresh(account, &RefreshScope::Account).await?;
        let counts = |latest: &LatestRefresh| {
            now.duration_since(latest.requested_at) < TELLS_FOR && !is_ahead(latest.requested_at, now)
        };
        Ok(latest.filter(counts))
    }

    /// What this refresh of the whole account says of a property's connections, and, where it did not come to all of them
    /// yet or could not read them, the one before it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn pages_with(
        &self,
        latest: &LatestRefresh,
        property: &Property,
    ) -> Result<Vec<RefreshPage>, StoreError> {
        let page = self.page_with(&latest.id, property).await?;
        let before = match &latest.before {
            Some(before) if !page.as_ref().is_some_and(RefreshPage::is_whole) => {
                self.page_with(before, property).await?
            }
            _ => None,
        };
        Ok(page.into_iter().chain(before).collect())
    }

    /// The same of the account's latest refresh.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn refreshed_with(
        &self,
        property: &Property,
        now: Timestamp,
    ) -> Result<Vec<RefreshPage>, StoreError> {
        match self.refresh_of_account(&property.account, now).await? {
            Some(latest) => self.pages_with(&latest, property).await,
            None => Ok(Vec::new()),
        }
    }

    /// Takes the mark off a refresh that is over; answers whether it is.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn finish_if_over(&self, refresh: &Refresh, now: Timestamp) -> Result<bool, StoreError> {
        let over = is_late(refresh, now) || self.all_read(refresh).await?;
        if over {
            self.finish_refresh(&refresh.id).await?;
        }
        Ok(over)
    }

    /// Whether every connection of the scope has its final outcome, its own links standing.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn all_read(&self, refresh: &Refresh) -> Result<bool, StoreError> {
        Ok(refresh.spread && !self.any_pending(&refresh.id).await?)
    }
}

pub(crate) fn is_late(refresh: &Refresh, now: Timestamp) -> bool {
    now.duration_since(refresh.requested_at) > GIVE_UP_AFTER
}
