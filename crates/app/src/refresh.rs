//! Manual refreshes: asked for, announced, and what became of them.

use calmesh_calendar::{ConnectionId, PropertyId, RefreshId};
use jiff::{SignedDuration, Timestamp};

use crate::{
    App, Reach,
    model::{Connection, Outcome, Refresh, RefreshOutcome, RefreshScope, SecretHash},
    ports::{BusError, Event, IdempotencyStart, PageRequest, StoreError},
};

/// What takes longer is given up.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// A refresh that is still running then is announced again: longer than the slowest feed is waited for.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(40);
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
    /// The refresh could not be announced; ask again.
    #[error("the refresh could not be announced")]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a refresh stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshView {
    pub id: RefreshId,
    /// Every connection has its final outcome.
    pub done: bool,
    /// In order of connection id.
    pub outcomes: Vec<RefreshOutcome>,
    pub next: Option<String>,
}

impl App {
    /// Asks for a refresh of one connection.
    ///
    /// # Errors
    /// `NotFound`, `Paused`, `ExportOnly`, or the bus's or store's.
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
        let scope = RefreshScope::Connection { property, connection: id.clone() };
        self.ask(reach, scope, std::slice::from_ref(id), true).await
    }

    /// Asks for a refresh of all active importing connections of a property.
    ///
    /// # Errors
    /// `NotFound`, or the bus's or store's.
    pub async fn request_property_refresh(&self, reach: &Reach, id: &PropertyId) -> Result<RefreshId, RefreshError> {
        let state = self.state_within(reach, id).await?.ok_or(RefreshError::NotFound)?;
        let reading = state.connections.iter().filter(|connection| connection.reads());
        let connections: Vec<ConnectionId> = reading.map(|connection: &Connection| connection.id.clone()).collect();
        self.ask(reach, RefreshScope::Property(id.clone()), &connections, true).await
    }

    /// Asks for a refresh of all active importing connections of the account. A worker pages through them.
    ///
    /// # Errors
    /// `Limited`, or the bus's or store's.
    pub async fn request_account_refresh(&self, reach: &Reach) -> Result<RefreshId, RefreshError> {
        if reach.properties.is_some() {
            return Err(RefreshError::Limited);
        }
        self.ask(reach, RefreshScope::Account, &[], false).await
    }

    /// `spread`: `connections` are all that the scope has.
    async fn ask(
        &self,
        reach: &Reach,
        scope: RefreshScope,
        connections: &[ConnectionId],
        spread: bool,
    ) -> Result<RefreshId, RefreshError> {
        let id = RefreshId::from_random(self.randomness.id());
        let refresh =
            Refresh { id: id.clone(), account: reach.account.clone(), scope, requested_at: self.clock.now(), spread };
        self.refreshes.create_refresh(&refresh, connections).await?;
        if !spread || !connections.is_empty() {
            // Nothing announces a refresh again, so one that the bus did not take was not accepted.
            self.bus.publish(&[Event::RefreshRequested { refresh: id.clone(), after: None }]).await?;
        }
        Ok(id)
    }

    /// Refreshes connections without anybody waiting for the answer. Where it can't be announced, the next sweep
    /// reads them.
    pub(crate) async fn refresh_soon(&self, reach: &Reach, property: &PropertyId, connection: &ConnectionId) {
        let scope = RefreshScope::Connection { property: property.clone(), connection: connection.clone() };
        if let Err(error) = self.ask(reach, scope, std::slice::from_ref(connection), true).await {
            tracing::warn!(
                connection.id = %connection,
                error = &error as &dyn std::error::Error,
                "a refresh is left to the next sweep"
            );
        }
    }

    /// Announces a refresh again that should be done by now: the worker that had it may have died, and where events
    /// live in one process they die with it. Once in a while, however often somebody asks.
    async fn announce_forgotten(&self, refresh: &Refresh) -> Result<(), StoreError> {
        let now = self.clock.now();
        let turns = now.duration_since(refresh.requested_at).as_secs() / FORGOTTEN_AFTER.as_secs();
        if turns < 1 {
            return Ok(());
        }
        // Whoever writes this turn's key first announces.
        let key = format!("refresh-again/{}/{turns}", refresh.id);
        let fingerprint = SecretHash::of(refresh.id.as_str());
        if self.idempotency.start(&refresh.account, &key, &fingerprint, now).await? == IdempotencyStart::New {
            self.idempotency.finish(&refresh.account, &key, &[], now).await?;
            self.announce_soon(&[Event::RefreshRequested { refresh: refresh.id.clone(), after: None }]).await;
        }
        Ok(())
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
        let done = late || (refresh.spread && !self.refreshes.any_pending(id).await?);
        if !done {
            self.announce_forgotten(&refresh).await?;
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

fn is_late(refresh: &Refresh, now: Timestamp) -> bool {
    now.duration_since(refresh.requested_at) > GIVE_UP_AFTER
}

fn in_reach(reach: &Reach, refresh: &Refresh) -> bool {
    match &refresh.scope {
        RefreshScope::Connection { property, .. } | RefreshScope::Property(property) => {
            reach.sees(&refresh.account, property)
        }
        RefreshScope::Account => reach.account == refresh.account && reach.properties.is_none(),
    }
}
