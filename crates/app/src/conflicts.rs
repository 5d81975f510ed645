//! Conflicts: the same time claimed by two stays that both stand. The host learns of them, and may say which of the two
//! is gone.

use calmesh_calendar::{BlockId, Conflict, ConflictId, PropertyId};
use jiff::Timestamp;

use crate::{
    App, Draft, InvalidField, Reach,
    change::ChangeRefusal,
    model::{ActivityKind, ConflictRecord},
    ports::{Page, PageRequest, StoreError},
    preview::Openings,
};

/// Where a conflict stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictStatus {
    /// Nobody has settled it.
    Open,
    /// The host said which of the two is gone; both are still shown.
    Resolved,
    /// One of them ended, or turned out to be no stay of its own.
    Closed,
}

/// A conflict as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    pub property: PropertyId,
    pub conflict: Conflict,
    pub status: ConflictStatus,
    pub closed_at: Option<Timestamp>,
}

/// Why a conflict was not shown or settled.
#[derive(Debug, thiserror::Error)]
pub enum ConflictError {
    /// Unknown, or not the caller's.
    #[error("no such conflict or property")]
    NotFound,
    /// One of its stays ended before.
    #[error("the conflict has closed already")]
    Closed,
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

impl App {
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
        let known = self.properties.property(property).await?;
        if !known.is_some_and(|known| reach.shows(&known)) {
            return Err(ConflictError::NotFound);
        }
        let page = self.properties.conflict_records(&reach.account, Some(property), page).await?;
        Ok(Page { items: page.items.into_iter().map(view_of).collect(), next: page.next })
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
        Ok(Page { items: seen.map(view_of).collect(), next: page.next })
    }

    /// The host says that one of the two stays is gone. Where its claim may be an echo, its site is asked; until it is
    /// known, both block.
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `Invalid` for a block that is none of the two or the host's own, or the store's.
    pub async fn resolve_conflict(
        &self,
        reach: &Reach,
        id: &ConflictId,
        gone: &BlockId,
    ) -> Result<ConflictView, ConflictError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(ConflictError::NotFound)?;
        let changed = self.change(&property, |draft| apply_resolution(draft, reach, id, gone)).await?;
        let stands = changed.state.conflicts.iter().find(|conflict| conflict.id == *id).cloned();
        let (resolved, now) = changed.value;
        let closed_at = stands.is_none().then_some(now);
        Ok(view_of(ConflictRecord { property, conflict: stands.unwrap_or(resolved), closed_at }))
    }
}

impl App {
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
        self.openings_of(&before, |draft| apply_resolution(draft, reach, id, gone)).await
    }
}

fn view_of(record: ConflictRecord) -> ConflictView {
    let ConflictRecord { property, conflict, closed_at } = record;
    let status = match (&conflict.gone, closed_at) {
        (_, Some(_)) => ConflictStatus::Closed,
        (Some(_), None) => ConflictStatus::Resolved,
        (None, None) => ConflictStatus::Open,
    };
    ConflictView { property, conflict, status, closed_at }
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
    let known = at.and_then(|at| draft.state.conflicts.get(at)).ok_or(ConflictError::Closed)?.clone();
    let block = draft.block(gone).filter(|_| known.blocks.contains(gone)).cloned();
    let block = block.ok_or_else(|| invalid("must be one of the two blocks of the conflict"))?;
    if block.is_own() {
        return Err(invalid("is a block of your own: delete it, and the conflict closes by itself"));
    }
    if known.gone.as_ref() == Some(gone) {
        return Ok((known, now));
    }
    let (sources, house) = (draft.state.sources(), draft.state.house());
    let claims = draft.state.claims.said_gone(&draft.state.picture(&sources, &house), &block, now);
    draft.state.claims = claims;
    let resolved = Conflict { gone: Some(gone.clone()), ..known };
    if let Some(slot) = at.and_then(|at| draft.state.conflicts.get_mut(at)) {
        *slot = resolved.clone();
    }
    draft.note(block.connection(), ActivityKind::ConflictResolved { conflict: id.clone(), gone: gone.clone() });
    Ok((resolved, now))
}
