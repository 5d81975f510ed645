//! A manual refresh, worked on: what it names is read now.

use std::time::Duration;

use calmesh_calendar::{ConnectionId, PropertyId, RefreshId};

use super::{ReadResult, crowd::Reading};
use crate::{
    App,
    model::{Connection, FailureKind, Outcome, Refresh, RefreshScope},
    ports::{Event, PageRequest},
    trouble::WorkError,
};

/// One delivery of a refresh begins no further reading after this long; what is left is announced again.
const REFRESH_BUDGET: Duration = Duration::from_secs(20);
/// An account is refreshed in parts of so many properties.
const PROPERTIES_PER_REFRESH: u16 = 25;

impl App {
    /// Works on a part of a manual refresh: every connection of its scope is read now, whatever its own back-off says.
    /// What follows is announced before anything is read, so that a host that hangs here holds up nobody there; what
    /// has its final outcome is not read again; and what there is no time for is announced anew.
    pub(crate) async fn refresh_requested(
        &self,
        id: &RefreshId,
        after: Option<&str>,
        rest: bool,
    ) -> Result<(), WorkError> {
        let Some(refresh) = self.refreshes.refresh(id).await? else { return Ok(()) };
        // Announced again, by the tick or a queue: what is over by now is read no second time.
        if self.finish_if_over(&refresh).await? {
            return Ok(());
        }
        let mut next = None;
        let mut awaited = Vec::new();
        match &refresh.scope {
            RefreshScope::Connection { property, connection } => {
                awaited.extend(self.await_property(&refresh, property, Some(connection)).await?);
            }
            RefreshScope::Property(property) => awaited.extend(self.await_property(&refresh, property, None).await?),
            RefreshScope::Account => {
                let page = PageRequest { limit: PROPERTIES_PER_REFRESH, after: after.map(str::to_owned) };
                let page = self.properties.properties(&refresh.account, page).await?;
                for property in &page.items {
                    awaited.extend(self.await_property(&refresh, &property.id, None).await?);
                }
                next = page.next;
            }
        }
        let event = |after: Option<String>, rest: bool| Event::RefreshRequested {
            account: refresh.account.clone(),
            refresh: id.clone(),
            after,
            rest,
        };
        match next {
            Some(next) if !rest => self.bus.publish(&[event(Some(next), false)]).await?,
            None if !refresh.spread => self.refreshes.mark_spread(id).await?,
            Some(_) | None => {}
        }
        if self.read_awaited(&refresh, &awaited).await? {
            self.bus.publish(&[event(after.map(str::to_owned), true)]).await?;
            return Ok(());
        }
        if let Some(refresh) = self.refreshes.refresh(id).await? {
            self.finish_if_over(&refresh).await?;
        }
        Ok(())
    }

    /// Adds a property's connections to a refresh; those without a final outcome.
    async fn await_property(
        &self,
        refresh: &Refresh,
        property: &PropertyId,
        only: Option<&ConnectionId>,
    ) -> Result<Vec<ConnectionId>, WorkError> {
        let Some(state) = self.properties.load(property).await? else { return Ok(Vec::new()) };
        let wanted = |connection: &&Connection| only.is_none_or(|only| connection.id == *only);
        let reading: Vec<ConnectionId> = state
            .connections
            .iter()
            .filter(wanted)
            .filter(|connection| connection.reads())
            .map(|connection| connection.id.clone())
            .collect();
        self.refreshes.add_pending(&refresh.id, &reading).await?;
        if let Some(only) = only.filter(|only| !reading.contains(only)) {
            let gone = Outcome::Failed { reason: "paused".to_owned() };
            self.refreshes.record_outcome(&refresh.id, only, &gone).await?;
        }
        Ok(self.refreshes.still_pending(&refresh.id, &reading).await?)
    }

    /// Reads these connections for a refresh. Answers whether there was no time for some.
    async fn read_awaited(&self, refresh: &Refresh, awaited: &[ConnectionId]) -> Result<bool, WorkError> {
        let states = self.fetches.fetch_states(awaited).await?;
        for gone in awaited.iter().filter(|connection| !states.contains_key(*connection)) {
            let outcome = Outcome::Failed { reason: "paused".to_owned() };
            self.refreshes.record_outcome(&refresh.id, gone, &outcome).await?;
        }
        let paused = self.paused_hosts(self.clock.now()).await?;
        let states = states.into_values().collect();
        let reading = Reading { states, paused: &paused, refresh: Some(&refresh.id), budget: REFRESH_BUDGET, turn: 0 };
        let mut run = self.read_all(reading);
        let mut trouble = None;
        let mut left = false;
        while let Some((connection, result)) = run.next().await {
            let outcome = match result {
                Ok(ReadResult::Unchanged) => Outcome::Unchanged { blocks_held: 0 },
                // Merge says what becomes of it.
                Ok(ReadResult::Announced | ReadResult::Awaited) => continue,
                Ok(ReadResult::NotReached) => {
                    left = true;
                    continue;
                }
                Ok(ReadResult::Failed(kind)) => Outcome::Failed { reason: kind.as_str().to_owned() },
                Ok(ReadResult::HostPaused) => Outcome::Failed { reason: FailureKind::RateLimited.as_str().to_owned() },
                Err(error) => {
                    trouble = Some(error);
                    continue;
                }
            };
            self.refreshes.record_outcome(&refresh.id, &connection, &outcome).await?;
        }
        trouble.map_or(Ok(left), Err)
    }
}
