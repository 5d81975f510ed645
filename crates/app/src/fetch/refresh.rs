//! A manual refresh, worked on: what it names is read now, a page of properties at a time.

use std::time::Duration;

use calmesh_calendar::{ConnectionId, RefreshId};
use tokio::time::Instant;

use super::{
    crowd::{Reading, Told, Why},
    gathering::ReadResult,
    seen::Seen,
};
use crate::{
    fetch::Fetch,
    model::{FailureKind, FetchState, Outcome, Property, Refresh, RefreshPart, RefreshScope},
    ports::{Event, PageRequest},
    trouble::WorkError,
};

/// One delivery of a refresh begins no further reading after this long; what is left is announced again.
const REFRESH_BUDGET: Duration = Duration::from_secs(20);
/// An account is refreshed in parts of so many properties.
const PROPERTIES_PER_REFRESH: u16 = 25;
/// What became of feeds is written after this long, though others of the page are still read.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// Outcomes that are known and not written yet.
struct Outcomes<'a> {
    fetch: &'a Fetch,
    part: &'a RefreshPart,
    known: Vec<(ConnectionId, Outcome)>,
    until: Option<Instant>,
}

impl Outcomes<'_> {
    fn add(&mut self, connection: ConnectionId, outcome: Outcome) {
        self.until = self.until.or_else(|| Instant::now().checked_add(TOLD_WITHIN));
        self.known.push((connection, outcome));
    }

    async fn write(&mut self) -> Result<(), WorkError> {
        self.until = None;
        if self.known.is_empty() {
            return Ok(());
        }
        let known = std::mem::take(&mut self.known);
        Ok(self.fetch.refreshes.record_outcomes(self.part, &known).await?)
    }
}

impl Fetch {
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
        if after.is_none() && self.refreshes.finish_if_over(&refresh, self.clock.now()).await? {
            return Ok(());
        }
        let (properties, next) = self.properties_of_part(&refresh, after).await?;
        let wanted = match &refresh.scope {
            // One that does not read any more has its outcome, too.
            RefreshScope::Connection { connection, .. } => vec![connection.clone()],
            RefreshScope::Property(_) | RefreshScope::Account => {
                properties.into_iter().flat_map(|property| property.reading).collect()
            }
        };
        let event = |after: Option<String>, rest: bool| Event::RefreshRequested {
            account: refresh.account.clone(),
            refresh: id.clone(),
            after,
            rest,
        };
        let part = RefreshPart { refresh: id.clone(), page: after.unwrap_or_default().to_owned() };
        let awaited = self.refreshes.add_pending(&refresh, &part.page, &wanted, self.clock.now()).await?;
        let is_last = next.is_none();
        match next {
            Some(next) if !rest => self.bus.publish(&[event(Some(next), false)]).await?,
            None if !refresh.spread => self.refreshes.mark_spread(id).await?,
            Some(_) | None => {}
        }
        if self.read_awaited(&refresh, &part, &awaited).await? {
            self.bus.publish(&[event(after.map(str::to_owned), true)]).await?;
            return Ok(());
        }
        if is_last {
            self.refreshes.finish_if_over(&Refresh { spread: true, ..refresh }, self.clock.now()).await?;
        }
        Ok(())
    }

    /// The properties whose feeds this part is to read, and where the next one begins.
    async fn properties_of_part(
        &self,
        refresh: &Refresh,
        after: Option<&str>,
    ) -> Result<(Vec<Property>, Option<String>), WorkError> {
        match &refresh.scope {
            // It names what is to be read by itself.
            RefreshScope::Connection { .. } => Ok((Vec::new(), None)),
            RefreshScope::Property(property) => {
                Ok((self.properties.property(property).await?.into_iter().collect(), None))
            }
            RefreshScope::Account => {
                let page = PageRequest { limit: PROPERTIES_PER_REFRESH, after: after.map(str::to_owned) };
                let page = self.properties.properties(&refresh.account, page).await?;
                Ok((page.items, page.next))
            }
        }
    }

    /// The heads of a page's properties, which would else be read one by one. They are read after the states: a state that
    /// tells of a change whose exports have not followed has a head that says so.
    async fn heads_of_page(&self, refresh: &Refresh, part: &RefreshPart) -> Result<Seen, WorkError> {
        if refresh.scope != RefreshScope::Account {
            return Ok(Seen::default());
        }
        let after = Some(part.page.clone()).filter(|page| !page.is_empty());
        let (properties, _) = self.properties_of_part(refresh, after.as_deref()).await?;
        Ok(Seen::of(properties))
    }

    /// Reads these connections for a refresh. Answers whether there was no time for some.
    async fn read_awaited(
        &self,
        refresh: &Refresh,
        part: &RefreshPart,
        awaited: &[ConnectionId],
    ) -> Result<bool, WorkError> {
        let mut outcomes = Outcomes { fetch: self, part, known: Vec::new(), until: None };
        let states = self.fetches.fetch_states(awaited).await?;
        for gone in awaited.iter().filter(|connection| !states.contains_key(*connection)) {
            outcomes.add(gone.clone(), failed("paused"));
        }
        let states: Vec<FetchState> = states.into_values().collect();
        let paused = self.paused_hosts(&states, self.clock.now()).await?;
        let is_kept_by_page = refresh.scope == RefreshScope::Account;
        let why = Why::Refresh { part, is_kept_by_page };
        let reading = Reading { states, paused: &paused, why, budget: REFRESH_BUDGET, turn: 0 };
        let mut run = self.read_all(reading, self.heads_of_page(refresh, part).await?);
        let mut trouble = None;
        let mut left = false;
        loop {
            match run.next(outcomes.until).await {
                Told::One(connection, result) => match result {
                    Ok(ReadResult::Unchanged) => outcomes.add(connection, Outcome::Unchanged { blocks_held: 0 }),
                    // Merge says what becomes of it.
                    Ok(ReadResult::Announced | ReadResult::Awaited) => {}
                    Ok(ReadResult::NotReached) => left = true,
                    Ok(ReadResult::Failed(kind)) => outcomes.add(connection, failed(kind.as_str())),
                    Ok(ReadResult::HostPaused) => outcomes.add(connection, failed(FailureKind::RateLimited.as_str())),
                    Err(error) => trouble = Some(error),
                },
                Told::NothingYet => outcomes.write().await?,
                Told::All => break,
            }
        }
        outcomes.write().await?;
        trouble.map_or(Ok(left), Err)
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned() }
}
