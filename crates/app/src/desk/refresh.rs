//! Manual refreshes: asked for, announced, and what became of them.

use calmesh_calendar::{ConnectionId, PropertyId, RefreshId};
use jiff::Timestamp;

use crate::{
    desk::{Desk, reach::Reach},
    model::{Connection, ExtraLink, Outcome, Refresh, RefreshOutcome, RefreshScope, Spender},
    ports::{BusError, PageRequest, StoreError},
    refreshes::is_late,
    traffic::{REFRESHES, TooMany, budgets::NotNow},
};

/// Extra links are looked through in pages of this size.
const LINKS_AT_ONCE: u16 = 200;
/// The reason of what was given up.
pub const GAVE_UP: &str = "gave_up";

/// Why a refresh was not asked for or shown.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Unknown, or not the caller's.
    #[error("no such refresh, connection or property")]
    NotFound,
    /// The caller sees some properties only, and asked for all.
    #[error("this token sees some properties only")]
    Limited,
    #[error("the connection is paused")]
    Paused,
    #[error("the connection only exports; it has no feed to refresh")]
    ExportOnly,
    /// More are asked for than this account may.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The refresh could not be announced; ask again.
    #[error("the refresh could not be announced")]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotNow> for RefreshError {
    fn from(refused: NotNow) -> Self {
        match refused {
            NotNow::TooMany(refused) => refused.into(),
            NotNow::Store(error) => error.into(),
        }
    }
}

/// Where a refresh stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshView {
    pub id: RefreshId,
    /// Every connection has its final outcome.
    pub done: bool,
    /// By pages of properties, in each in order of connection id.
    pub outcomes: Vec<RefreshOutcome>,
    pub next: Option<String>,
}

impl Desk {
    /// Asks for a refresh of one connection.
    ///
    /// # Errors
    /// `NotFound`, `Paused`, `ExportOnly`, `TooMany`, or the bus's or store's.
    pub async fn request_connection_refresh(
        &self,
        reach: &Reach,
        id: &ConnectionId,
    ) -> Result<RefreshId, RefreshError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(RefreshError::NotFound)?;
        let state = self.state_within(reach, &property).await?.ok_or(RefreshError::NotFound)?;
        let connection = state.connection(id);
        let connection = connection.ok_or(RefreshError::NotFound)?;
        if connection.import.is_none() {
            return Err(RefreshError::ExportOnly);
        }
        if connection.is_paused() {
            return Err(RefreshError::Paused);
        }
        let since = connection.import.as_ref().map(|import| import.since);
        let scope = RefreshScope::Connection { property, connection: id.clone() };
        self.ask_once(reach, scope, std::slice::from_ref(id), true, since).await
    }

    /// Asks for a refresh of all active importing connections of a property.
    ///
    /// # Errors
    /// `NotFound`, `TooMany`, or the bus's or store's.
    pub async fn request_property_refresh(&self, reach: &Reach, id: &PropertyId) -> Result<RefreshId, RefreshError> {
        let state = self.state_within(reach, id).await?.ok_or(RefreshError::NotFound)?;
        let reading = state.connections.iter().filter(|connection| connection.is_read());
        let connections: Vec<ConnectionId> = reading.map(|connection: &Connection| connection.id.clone()).collect();
        let since = state.connections.iter().filter_map(|known| Some(known.import.as_ref()?.since)).max();
        self.ask_once(reach, RefreshScope::Property(id.clone()), &connections, true, since).await
    }

    /// Asks for a refresh of all active importing connections of the account. A worker pages through them.
    ///
    /// # Errors
    /// `Limited`, `TooMany`, or the bus's or store's.
    pub async fn request_account_refresh(&self, reach: &Reach) -> Result<RefreshId, RefreshError> {
        if reach.properties.is_some() {
            return Err(RefreshError::Limited);
        }
        self.ask_once(reach, RefreshScope::Account, &[], false, None).await
    }

    /// Asks for a refresh unless one of the same scope waits, runs, or was asked for a moment ago: then that one is the
    /// answer. `since`: what is read stands since then, so an earlier refresh read something else.
    async fn ask_once(
        &self,
        reach: &Reach,
        scope: RefreshScope,
        connections: &[ConnectionId],
        spread: bool,
        since: Option<Timestamp>,
    ) -> Result<RefreshId, RefreshError> {
        let known = self.refreshes.latest_refresh(&reach.account, &scope).await?;
        if let Some(known) = &known
            && self.answers_for(&known.id, since).await?
        {
            return Ok(known.id.clone());
        }
        let spender = Spender::Refreshes(reach.account.clone());
        self.budgets.spend(&spender, REFRESHES, "refreshes are asked for by this account").await?;
        let refresh =
            self.refreshing.new_refresh(RefreshId::from_random(self.randomness.id()), &reach.account, scope, spread);
        self.refreshing.keep(&refresh, connections).await?;
        match self.refreshes.claim_latest(&refresh, known.as_ref().map(|known| &known.id)).await {
            Err(StoreError::Stale) => {
                // Somebody asked at the same time and was first. Nobody was told of this one.
                self.refreshes.finish_refresh(&refresh.id).await?;
                let first = self.refreshes.latest_refresh(&refresh.account, &refresh.scope).await?;
                return first.map(|first| first.id).ok_or(RefreshError::Store(StoreError::Stale));
            }
            claimed => claimed?,
        }
        self.refreshing.announce(&refresh, connections).await?;
        Ok(refresh.id)
    }

    /// Whether whoever asks for the same now is answered by this refresh.
    async fn answers_for(&self, id: &RefreshId, since: Option<Timestamp>) -> Result<bool, StoreError> {
        let Some(refresh) = self.refreshes.refresh(id).await? else { return Ok(false) };
        let now = self.clock.now();
        // One from the future was asked for under a clock that was wrong.
        if refresh.requested_at > now || since.is_some_and(|since| refresh.requested_at < since) {
            return Ok(false);
        }
        let recent = now.duration_since(refresh.requested_at) < self.settings.read_again_after;
        Ok(recent || (!is_late(&refresh, now) && !self.refreshes.all_read(&refresh).await?))
    }

    /// Whether the extra links that show what was refreshed have followed too: they are marked before an outcome is
    /// recorded, and rendered by a job of their own.
    async fn extra_links_stand(&self, refresh: &Refresh) -> Result<bool, StoreError> {
        let shown = |link: &ExtraLink| match &refresh.scope {
            RefreshScope::Connection { property, .. } | RefreshScope::Property(property) => link.shows(property),
            RefreshScope::Account => true,
        };
        let mut after = None;
        loop {
            let page = self.links.links(&refresh.account, PageRequest { limit: LINKS_AT_ONCE, after }).await?;
            if page.items.iter().any(|link| link.deleted_at.is_none() && link.dirty.is_some() && shown(link)) {
                return Ok(false);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(true),
            }
        }
    }

    /// Where a refresh stands. One that takes over 10 minutes is done, and what is pending then was given up.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn refresh_status(
        &self,
        reach: &Reach,
        id: &RefreshId,
        page: PageRequest,
    ) -> Result<RefreshView, RefreshError> {
        let refresh = self.refreshes.refresh(id).await?;
        let refresh = refresh.filter(|refresh| in_reach(reach, refresh)).ok_or(RefreshError::NotFound)?;
        let late = is_late(&refresh, self.clock.now());
        // Asked before the outcomes are read, so that a refresh that is done shows no pending one.
        let read = late || self.refreshes.all_read(&refresh).await?;
        let done = late || (read && self.extra_links_stand(&refresh).await?);
        if done {
            self.refreshes.finish_refresh(id).await?;
        }
        let page = self.refreshes.outcomes(id, page).await?;
        let settle = |mut one: RefreshOutcome| {
            if late && one.outcome == Outcome::Pending {
                one.outcome = Outcome::Failed { reason: GAVE_UP.to_owned() };
            }
            one
        };
        let outcomes = page.items.into_iter().map(settle).collect();
        Ok(RefreshView { id: id.clone(), done, outcomes, next: page.next })
    }
}

fn in_reach(reach: &Reach, refresh: &Refresh) -> bool {
    match &refresh.scope {
        RefreshScope::Connection { property, .. } | RefreshScope::Property(property) => {
            reach.sees(&refresh.account, property)
        }
        RefreshScope::Account => reach.account == refresh.account && reach.properties.is_none(),
    }
}
