//! Holds: removals that were seen but not yet believed. The host may say that a stay is really gone, or that it
//! stands whatever the feed says.

use std::collections::BTreeSet;

use calmesh_calendar::{Block, BlockId, ConnectionId, Hold, HoldEnd, HoldId, Origin, PropertyId};
use jiff::Timestamp;

use crate::{
    changes::{
        ChangeRefusal,
        draft::Draft,
        holds::{close_holds, end_hold},
    },
    desk::{Desk, listed::ListedNights, preview::Openings, reach::Reach},
    model::{ActivityKind, ClosedHold, Connection, PropertyState, Site, Span, span_of},
    ports::{Page, PageRequest, StoreError},
};

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldStatus {
    Open,
    /// The host said that the stay stands.
    Kept,
    /// The host said that it is gone.
    Released,
    /// The readings bore it out, or the stay departed.
    Confirmed,
    /// The feed shows it again.
    Returned,
}

/// A hold with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldView {
    pub hold: Hold,
    pub status: HoldStatus,
    pub block: BlockId,
    pub connection: ConnectionId,
    /// The connection as its host knows it; none where it is not known any more.
    pub site: Option<Site>,
    /// When the stay is or was, on the property's clock; none where that is not known any more.
    pub span: Option<Span>,
    /// The nights that it keeps, or kept, taken.
    pub nights: ListedNights,
    pub closed_at: Option<Timestamp>,
}

/// Why a hold was not shown or ended.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Unknown, or not the caller's.
    #[error("no such hold or property")]
    NotFound,
    /// It has ended: what it held is gone or shown again.
    #[error("the hold has ended already")]
    Ended(HoldStatus),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for HoldError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

/// Marks in a page's place whether it is among the open or the ended holds.
const AMONG_OPEN: &str = "open ";
const AMONG_ENDED: &str = "ended ";

impl Desk {
    /// Holds of a property: the open and kept ones, then those that ended in the last 90 days, newest first.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn list_holds(
        &self,
        reach: &Reach,
        property: &PropertyId,
        page: PageRequest,
    ) -> Result<Page<HoldView>, HoldError> {
        let state = self.state_within(reach, property).await?.ok_or(HoldError::NotFound)?;
        let limit = usize::from(page.limit);
        let mut items = Vec::new();
        let ended_after = page.after.as_deref().and_then(|after| after.strip_prefix(AMONG_ENDED));
        if ended_after.is_none() {
            let after = page.after.as_deref().and_then(|after| after.strip_prefix(AMONG_OPEN));
            let mut open = open_holds(&state);
            open.retain(|view| after.is_none_or(|after| view.hold.id.as_str() > after));
            if open.len() > limit {
                open.truncate(limit);
                let next = open.last().map(|view| format!("{AMONG_OPEN}{}", view.hold.id));
                return Ok(Page { items: open, next });
            }
            items = open;
        }
        let room = u16::try_from(limit.saturating_sub(items.len())).unwrap_or_default();
        if room == 0 {
            // The page is full to the brim; the ended ones, if any, start on the next.
            let any = self.properties.closed_holds(property, PageRequest { limit: 1, after: None }).await?;
            return Ok(Page { items, next: (!any.items.is_empty()).then(|| AMONG_ENDED.to_owned()) });
        }
        let after = ended_after.filter(|after| !after.is_empty()).map(str::to_owned);
        let ended = self.properties.closed_holds(property, PageRequest { limit: room, after }).await?;
        items.extend(ended.items.iter().map(|closed| ended_view(closed, &state)));
        Ok(Page { items, next: ended.next.map(|next| format!("{AMONG_ENDED}{next}")) })
    }

    /// The host says that what is held is really gone: it goes at once. With `group`, all that vanished with it.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, or the store's.
    pub async fn release_hold(&self, reach: &Reach, id: &HoldId, group: bool) -> Result<HoldView, HoldError> {
        self.decide_hold(reach, id, |draft| release(draft, id, group)).await
    }

    /// What releasing it would open.
    ///
    /// # Errors
    /// As releasing it.
    pub async fn preview_release(&self, reach: &Reach, id: &HoldId, group: bool) -> Result<Openings, HoldError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(HoldError::NotFound)?;
        let before = self.state_within(reach, &property).await?.ok_or(HoldError::NotFound)?;
        let (view, openings) =
            self.tried(reach, &before, |draft| Ok::<_, HoldError>(release(draft, id, group))).await?;
        match view {
            Some(_) => Ok(openings),
            None => Err(self.ended_hold(&property, id).await?.map_or(HoldError::NotFound, HoldError::Ended)),
        }
    }

    /// The host says that what is held stands: it blocks until the feed shows it again, it is released or it
    /// departs. With `group`, all that vanished with it.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, or the store's.
    pub async fn keep_hold(&self, reach: &Reach, id: &HoldId, group: bool) -> Result<HoldView, HoldError> {
        self.decide_hold(reach, id, |draft| keep(draft, id, group)).await
    }

    async fn decide_hold(
        &self,
        reach: &Reach,
        id: &HoldId,
        mut decide: impl FnMut(&mut Draft) -> Option<HoldView> + Send,
    ) -> Result<HoldView, HoldError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(HoldError::NotFound)?;
        let changed = self
            .changes
            .change(&property, |draft| {
                if !reach.shows(&draft.state.property) {
                    return Err(HoldError::NotFound);
                }
                Ok(decide(draft))
            })
            .await?;
        match changed.value {
            Some(view) => Ok(view),
            None => Err(self.ended_hold(&property, id).await?.map_or(HoldError::NotFound, HoldError::Ended)),
        }
    }

    /// How a hold ended, if it did in the last 90 days.
    async fn ended_hold(&self, property: &PropertyId, id: &HoldId) -> Result<Option<HoldStatus>, StoreError> {
        let mut after = None;
        loop {
            let page = self.properties.closed_holds(property, PageRequest { limit: 200, after }).await?;
            if let Some(found) = page.items.iter().find(|closed| closed.hold.id == *id) {
                return Ok(Some(status_of(found.end)));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }
}

fn status_of(end: HoldEnd) -> HoldStatus {
    match end {
        HoldEnd::Released => HoldStatus::Released,
        HoldEnd::Confirmed => HoldStatus::Confirmed,
        HoldEnd::Returned => HoldStatus::Returned,
    }
}

fn ended_view(closed: &ClosedHold, state: &PropertyState) -> HoldView {
    HoldView {
        hold: closed.hold.clone(),
        status: status_of(closed.end),
        block: closed.block.clone(),
        connection: closed.connection.clone(),
        site: state.connection(&closed.connection).map(Connection::site),
        span: closed.nights.map(|nights| Span::Nights(nights.first(), nights.end())),
        nights: ListedNights::of(closed.nights, closed.hold.opened_at),
        closed_at: Some(closed.closed_at),
    }
}

fn open_view(block: &Block, state: &PropertyState) -> Option<HoldView> {
    let hold = block.hold()?.clone();
    let (connection, house) = (block.connection()?, state.house());
    let nights = block.extent.nights(&house);
    Some(HoldView {
        status: if hold.kept { HoldStatus::Kept } else { HoldStatus::Open },
        nights: ListedNights::of(nights, hold.opened_at),
        hold,
        block: block.id.clone(),
        connection: connection.clone(),
        site: state.connection(connection).map(Connection::site),
        span: Some(span_of(block.extent, &house)),
        closed_at: None,
    })
}

/// In order of id.
fn open_holds(state: &PropertyState) -> Vec<HoldView> {
    let mut open: Vec<HoldView> = state.blocks.iter().filter_map(|block| open_view(block, state)).collect();
    open.sort_by(|a, b| a.hold.id.cmp(&b.hold.id));
    open
}

/// The blocks that a decision on this hold is about; the hold's own first. With the group, those
/// of it that are decided alike: what the host said to keep is not freed together with what nobody kept.
fn concerned(draft: &Draft, id: &HoldId, group: bool) -> Vec<BlockId> {
    let Some(own) = draft.state.blocks.iter().find(|block| block.hold().is_some_and(|hold| hold.id == *id)) else {
        return Vec::new();
    };
    let mut blocks = vec![own.id.clone()];
    if group && let Some(group) = own.hold().and_then(|hold| hold.group.as_ref()) {
        let others = draft.state.blocks.iter().filter(|block| {
            block.id != own.id
                && block.hold().map(|hold| hold.kept) == own.hold().map(|hold| hold.kept)
                && block.connection() == own.connection()
                && block.hold().is_some_and(|hold| hold.group.as_ref() == Some(group))
        });
        blocks.extend(others.map(|block| block.id.clone()));
    }
    blocks
}

fn release(draft: &mut Draft, id: &HoldId, group: bool) -> Option<HoldView> {
    let blocks = concerned(draft, id, group);
    let own = blocks.first().and_then(|block| draft.block(block)).and_then(|block| open_view(block, &draft.state))?;
    let gone: BTreeSet<BlockId> = blocks.into_iter().collect();
    close_holds(draft, &gone, end_hold);
    draft.state.blocks.retain(|block| !gone.contains(&block.id));
    Some(HoldView { status: HoldStatus::Released, closed_at: Some(draft.now), ..own })
}

fn keep(draft: &mut Draft, id: &HoldId, group: bool) -> Option<HoldView> {
    let blocks = concerned(draft, id, group);
    let all: BTreeSet<&BlockId> = blocks.iter().collect();
    let mut kept = Vec::new();
    for found in draft.state.blocks.iter_mut().filter(|block| all.contains(&block.id)) {
        let connection = found.connection().cloned();
        let Origin::Feed(origin) = &mut found.origin else { continue };
        let Some(hold) = origin.hold.as_mut().filter(|hold| !hold.kept) else { continue };
        hold.kept = true;
        kept.push((connection, ActivityKind::HoldKept { hold: hold.id.clone(), block: found.id.clone() }));
    }
    for (connection, kind) in kept {
        draft.note(connection.as_ref(), kind);
    }
    blocks.first().and_then(|block| draft.block(block)).and_then(|block| open_view(block, &draft.state))
}
