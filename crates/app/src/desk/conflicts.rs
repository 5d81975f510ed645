//! Conflicts: the same time claimed by stays that all stand. The host learns of them, and may say which of them are gone.

use calmesh_calendar::{BlockId, BlockKind, Conflict, ConflictId, PropertyId};
use jiff::Timestamp;

use crate::{
    changes::{ChangeRefusal, draft::Draft},
    desk::{
        Desk,
        blocks::{BlockSource, source_of},
        edit::InvalidField,
        listed::ListedNights,
        preview::Openings,
        reach::Reach,
    },
    model::{ActivityKind, ConflictRecord, PropertyState, Span, span_of},
    ports::{Page, PageRequest, StoreError},
};

/// Where a conflict stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictStatus {
    /// Nobody has settled it.
    Open,
    /// The host said which of them are gone; what is left does not clash. They are still shown.
    Resolved,
    /// So many of them ended, or turned out to be no stay of their own, that no two clash any more.
    Closed,
}

/// A conflict as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    pub property: PropertyId,
    /// What the host calls it; none where it is gone.
    pub property_name: Option<String>,
    pub conflict: Conflict,
    pub status: ConflictStatus,
    pub closed_at: Option<Timestamp>,
    /// That at least two of them claim.
    pub nights: ListedNights,
    /// The stays that it names, as they are now, in the same order.
    pub stays: Vec<ConflictStay>,
}

/// A stay of a conflict by its name and dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictStay {
    pub block: BlockId,
    /// None where the stay is not known any more.
    pub known: Option<KnownStay>,
}

/// What is known of a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStay {
    pub source: BlockSource,
    /// What the host calls its connection; none for a block of the host's own.
    pub site: Option<String>,
    pub kind: BlockKind,
    /// On the property's clock.
    pub span: Span,
}

/// Why a conflict was not shown or settled.
#[derive(Debug, thiserror::Error)]
pub enum ConflictError {
    /// Unknown, or not the caller's.
    #[error("no such conflict or property")]
    NotFound,
    /// No two of its stays clash any more: by the host's word, or by themselves.
    #[error("the conflict has closed already")]
    Closed { by_host: bool },
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for ConflictError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

impl Desk {
    /// Conflicts of a property: those that stand, and those that closed in the last 90 days; the newest first.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn list_conflicts(
        &self,
        reach: &Reach,
        property: &PropertyId,
        page: PageRequest,
    ) -> Result<Page<ConflictView>, ConflictError> {
        let state = self.state_within(reach, property).await?.ok_or(ConflictError::NotFound)?;
        let page = self.properties.conflict_records(&reach.account, Some(property), page).await?;
        Ok(Page {
            items: page.items.into_iter().map(|record| view_of(record, Some(&state))).collect(),
            next: page.next,
        })
    }

    /// The same of every property that the caller sees; those of one property together.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_all_conflicts(
        &self,
        reach: &Reach,
        page: PageRequest,
    ) -> Result<Page<ConflictView>, ConflictError> {
        let page = self.properties.conflict_records(&reach.account, None, page).await?;
        let seen = page.items.into_iter().filter(|record| reach.sees(&reach.account, &record.property));
        // They come together by property: one state at a time is enough.
        let mut at_hand: Option<(PropertyId, Option<PropertyState>)> = None;
        let mut items = Vec::new();
        for record in seen {
            let state = match at_hand.take().filter(|(id, _)| *id == record.property) {
                Some((_, state)) => state,
                None => self.state_to_name_by(&record.property).await?,
            };
            let property = record.property.clone();
            items.push(view_of(record, state.as_ref()));
            at_hand = Some((property, state));
        }
        Ok(Page { items, next: page.next })
    }

    /// The host says that one of the stays is gone. Where its claim may be an echo, its site is asked; until it is known,
    /// all block.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Invalid` for a block that is none of those named or the host's own, or the store's.
    pub async fn resolve_conflict(
        &self,
        reach: &Reach,
        id: &ConflictId,
        gone: &BlockId,
    ) -> Result<ConflictView, ConflictError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(ConflictError::NotFound)?;
        let changed = match self.changes.change(&property, |draft| apply_resolution(draft, reach, id, gone)).await {
            Err(ConflictError::Closed { .. }) => return self.said_of_closed(reach, &property, id, gone).await,
            changed => changed?,
        };
        let stands = changed.state.conflicts.iter().find(|conflict| conflict.id == *id).cloned();
        let (resolved, now) = changed.value;
        let closed_at = stands.is_none().then_some(now);
        let record = ConflictRecord { property, conflict: stands.unwrap_or(resolved), closed_at };
        Ok(view_of(record, Some(&changed.state)))
    }

    /// Of a conflict that has closed the same may be said again, and nothing else.
    async fn said_of_closed(
        &self,
        reach: &Reach,
        property: &PropertyId,
        id: &ConflictId,
        gone: &BlockId,
    ) -> Result<ConflictView, ConflictError> {
        let state = self.state_within(reach, property).await?.ok_or(ConflictError::NotFound)?;
        let mut after = None;
        loop {
            let page = PageRequest { limit: 200, after };
            let page = self.properties.conflict_records(&reach.account, Some(property), page).await?;
            let mut closed = page.items.into_iter().filter(|record| record.closed_at.is_some());
            match closed.find(|record| record.conflict.id == *id) {
                Some(record) if record.conflict.gone.contains(gone) => return Ok(view_of(record, Some(&state))),
                Some(record) => return Err(ConflictError::Closed { by_host: !record.conflict.gone.is_empty() }),
                None if page.next.is_none() => return Err(ConflictError::NotFound),
                None => after = page.next,
            }
        }
    }
}

impl Desk {
    /// What this settlement would open at once; what opens when a site was asked, nobody knows yet.
    ///
    /// # Errors
    /// As the settlement itself.
    pub async fn preview_resolution(
        &self,
        reach: &Reach,
        id: &ConflictId,
        gone: &BlockId,
    ) -> Result<Openings, ConflictError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(ConflictError::NotFound)?;
        let before = self.state_within(reach, &property).await?.ok_or(ConflictError::NotFound)?;
        match self.openings_of(reach, &before, |draft| apply_resolution(draft, reach, id, gone)).await {
            Err(ConflictError::Closed { .. }) => {
                self.said_of_closed(reach, &property, id, gone).await.map(|_| Openings::default())
            }
            openings => openings,
        }
    }
}

fn view_of(record: ConflictRecord, state: Option<&PropertyState>) -> ConflictView {
    let ConflictRecord { property, conflict, closed_at } = record;
    let status = match (conflict.settled, closed_at) {
        (_, Some(_)) => ConflictStatus::Closed,
        (true, None) => ConflictStatus::Resolved,
        (false, None) => ConflictStatus::Open,
    };
    ConflictView {
        property_name: state.map(|state| state.property.name.clone()),
        nights: ListedNights::of(conflict.nights, conflict.opened_at),
        stays: conflict.blocks.iter().map(|block| stay_of(block, state)).collect(),
        property,
        conflict,
        status,
        closed_at,
    }
}

fn stay_of(id: &BlockId, state: Option<&PropertyState>) -> ConflictStay {
    let known = state.and_then(|state| {
        let block = state.blocks.iter().find(|block| block.id == *id)?;
        let connection = block.connection().and_then(|connection| state.connection(connection));
        Some(KnownStay {
            source: source_of(block, state),
            site: connection.map(|connection| connection.name.clone()),
            kind: block.kind,
            span: span_of(block.extent, &state.house()),
        })
    });
    ConflictStay { block: id.clone(), known }
}

/// Answers the conflict as the host settled it, and when.
fn apply_resolution(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConflictId,
    gone: &BlockId,
) -> Result<(Conflict, Timestamp), ConflictError> {
    if !reach.shows(&draft.state.property) {
        return Err(ConflictError::NotFound);
    }
    let invalid = |detail: &str| ConflictError::Invalid(vec![InvalidField::new("gone", detail)]);
    let now = draft.now;
    let at = draft.state.conflicts.iter().position(|conflict| conflict.id == *id);
    let known =
        at.and_then(|at| draft.state.conflicts.get(at)).ok_or(ConflictError::Closed { by_host: false })?.clone();
    let block = draft.block(gone).filter(|_| known.blocks.contains(gone)).cloned();
    let block = block.ok_or_else(|| invalid("must be one of the blocks that the conflict names"))?;
    if block.is_own() {
        return Err(invalid("is a block of your own: delete it, and the conflict closes by itself"));
    }
    if known.gone.contains(gone) {
        return Ok((known, now));
    }
    let (sources, house) = (draft.state.sources(), draft.state.house());
    let picture = draft.state.picture(&sources, &house);
    let (claims, resolved) = (draft.state.claims.said_gone(&picture, &block, now), known.with_gone(&picture, gone));
    draft.state.claims = claims;
    if let Some(slot) = at.and_then(|at| draft.state.conflicts.get_mut(at)) {
        *slot = resolved.clone();
    }
    draft.note(block.connection(), ActivityKind::ConflictResolved { conflict: id.clone(), gone: gone.clone() });
    Ok((resolved, now))
}
