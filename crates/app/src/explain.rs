//! Why a night is taken or free, in full: every claim with its source, the event in the feed's text, the rules that
//! decided, and the links that carry it.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{
    BlockKind, ConnectionId, EventKey, ExplainedClaim, LeftOff, Lines, Nights, Picture, PropertyId, Standing,
    availability, taken,
};
use jiff::{Timestamp, civil::Date};

use crate::{
    App, BlockSource, Reach,
    blocks::source_of,
    model::{Connection, PropertyState},
    ports::{ObjectError, StoreError},
    read_body,
};

/// All that is known of one night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub night: Date,
    pub available: bool,
    pub as_of: Timestamp,
    /// In order of block.
    pub claims: Vec<ClaimView>,
}

/// One claim on the night, with what is known of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimView {
    /// `carried_by` names also connections that only export.
    pub claim: ExplainedClaim,
    pub kind: BlockKind,
    pub source: BlockSource,
    /// Where the event stands in the feed as it was last read; none where it is not in there, or has no UID.
    pub lines: Option<Lines>,
}

/// Why a night was not explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Unknown, or not the caller's.
    #[error("no such property")]
    NotFound,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Why a night is taken or free, as things stand.
    ///
    /// # Errors
    /// `NotFound`, or a store's.
    pub async fn explain_night(
        &self,
        reach: &Reach,
        property: &PropertyId,
        night: Date,
    ) -> Result<Explanation, ExplainError> {
        let state = self.state_within(reach, property).await?.ok_or(ExplainError::NotFound)?;
        let now = self.clock.now();
        let (sources, house) = (state.sources(), state.house());
        let picture = state.picture(&sources, &house);
        let mut claims = calmesh_calendar::explain(&picture, night, now);
        carry_by_export_only(&mut claims, &picture, &state, night, now);
        let events = self.events_of(&state, &claims).await?;
        let claims = claims.into_iter().filter_map(|claim| {
            let block = state.blocks.iter().find(|block| block.id == claim.block)?;
            let lines = claim.connection.clone().zip(claim.key.clone()).and_then(|key| events.get(&key).copied());
            Some(ClaimView { kind: block.kind, source: source_of(block, &state), lines, claim })
        });
        let is_taken = Nights::one(night)
            .map(|one| availability(&taken(&picture), &house, one.first(), one.end()))
            .is_some_and(|found| found.nights.iter().any(|night| !night.blocks.is_empty()));
        Ok(Explanation { night, available: !is_taken, as_of: now, claims: claims.collect() })
    }

    /// Where the events behind some claims stand in the bodies that were read last.
    async fn events_of(
        &self,
        state: &PropertyState,
        claims: &[ExplainedClaim],
    ) -> Result<BTreeMap<(ConnectionId, EventKey), Lines>, ExplainError> {
        let ids: BTreeSet<&ConnectionId> = claims.iter().filter_map(|claim| claim.connection.as_ref()).collect();
        let mut found = BTreeMap::new();
        for connection in ids.into_iter().filter_map(|id| state.connection(id)) {
            let Some(applied) = connection.applied() else { continue };
            let parked = self.snapshots.parked(&connection.account, &connection.id, &applied.snapshot).await?;
            let Some(parked) = parked else { continue };
            // What was taken in could be read then, and can be now.
            let Ok(reading) = read_body(&parked.body, &state.house(), connection.profile(), applied.horizon_at) else {
                continue;
            };
            for event in reading.events {
                if let Some(key) = event.key {
                    found.insert((connection.id.clone(), key), event.lines);
                }
            }
        }
        Ok(found)
    }
}

/// Adds the connections that only export: their links show all that is taken.
fn carry_by_export_only(
    claims: &mut [ExplainedClaim],
    picture: &Picture<'_>,
    state: &PropertyState,
    night: Date,
    now: Timestamp,
) {
    let exports_only = |known: &&Connection| !known.is_paused() && known.import.is_none() && known.export.is_some();
    let links: Vec<ConnectionId> =
        state.connections.iter().filter(exports_only).map(|known| known.id.clone()).collect();
    if links.is_empty() {
        return;
    }
    let left_off = LeftOff::of(picture, None, now);
    for claim in claims {
        let Some(block) = state.blocks.iter().find(|block| block.id == claim.block) else { continue };
        let taken = picture.counts(block) && picture.standing(block, night) != Standing::Echo;
        if claim.turnover || taken && left_off.shows(block, night) {
            claim.carried_by.extend(links.iter().cloned());
        }
    }
}
