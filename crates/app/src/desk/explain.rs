//! Why a night is taken or free, in full: every claim with its source, the event in the feed's text, the rules that
//! decided, and the links that carry it.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{
    Block, BlockId, BlockKind, ConnectionId, EventKey, ExplainedClaim, LeftOff, Lines, LinkId, Nights, PropertyId,
    Standing, availability, span::Later, taken,
};
use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    desk::{
        Desk,
        blocks::{BlockSource, source_of},
        reach::Reach,
    },
    model::{Connection, ExtraLink, PAST_KEPT, PropertyState},
    ports::{ObjectError, StoreError},
    readings::body::read_body,
};

/// The last moment of a second, after its beginning.
const SECOND: SignedDuration = SignedDuration::from_nanos(999_999_999);

/// All that is known of one night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub night: Date,
    pub available: bool,
    /// It was over at that instant.
    pub past: bool,
    pub as_of: Timestamp,
    /// In order of block.
    pub claims: Vec<ClaimView>,
    /// What is not known any more of a past instant; nothing of the present one.
    pub not_known: Vec<NotKnown>,
}

/// One claim on the night, with what is known of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimView {
    pub claim: ExplainedClaim,
    pub kind: BlockKind,
    pub source: BlockSource,
    /// Where the event stands in the feed as it was last read; none where it is not in there, or has no UID.
    pub lines: Option<Lines>,
    /// Whose private links show it on this night, connections that only export included.
    pub carried_by: Vec<CarriedBy>,
}

/// What has a private link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedBy {
    Connection(ConnectionId),
    /// An extra link.
    Link(LinkId),
}

/// What of a past instant can't be told any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotKnown {
    /// The feed of this connection as it was last read then: where its events stood in it.
    Feed(ConnectionId),
    /// Whether this extra link covered the property: it was edited since.
    Link(LinkId),
}

/// Why a night was not explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Unknown, or not the caller's.
    #[error("no such property")]
    NotFound,
    #[error("what will stand then is not known yet")]
    Future,
    /// What was replaced that long ago is not kept any more: for `PAST_KEPT` it is.
    #[error("what stood then is not kept any more")]
    TooLongAgo,
    #[error("the property was not there yet")]
    BeforeItWasMade,
    /// Changes since then were made before what they replaced was kept.
    #[error("what stood then was not kept")]
    NotKept,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Why a night is taken or free, or was at a past instant, as things stood then: the state of that instant is brought
    /// back by undoing the changes since, and its feeds are the snapshots that were current.
    ///
    /// # Errors
    /// `NotFound`, that the instant can't be told of, or a store's.
    pub async fn explain_night(
        &self,
        reach: &Reach,
        property: &PropertyId,
        night: Date,
        as_of: Option<Timestamp>,
    ) -> Result<Explanation, ExplainError> {
        let state = self.state_within(reach, property).await?.ok_or(ExplainError::NotFound)?;
        let now = self.clock.now();
        let (state, at) = match as_of {
            Some(as_of) => self.state_at(state, as_of, now).await?,
            None => (state, now),
        };
        let (sources, house) = (state.sources(), state.house());
        let picture = state.picture(&sources, &house);
        let claims = calmesh_calendar::explain(&picture, night, at);
        let mut not_known = Vec::new();
        let events = self.events_of(&state, &claims, &mut not_known).await?;
        let open = self.open_links(reach, &state, as_of.map(|_| at), &mut not_known).await?;
        if as_of.is_none() {
            not_known.clear();
        }
        let left_off = LeftOff::of(&picture, None, at);
        let blocks: BTreeMap<&BlockId, &Block> = state.blocks.iter().map(|block| (&block.id, block)).collect();
        let claims = claims.into_iter().filter_map(|claim| {
            let block = *blocks.get(&claim.block)?;
            let lines = claim.connection.clone().zip(claim.key.clone()).and_then(|key| events.get(&key).copied());
            let taken = picture.counts(block) && picture.standing(block, night) != Standing::Echo;
            let is_on_all = claim.turnover || taken && left_off.shows(block, night);
            let of_readers = claim.carried_by.iter().cloned().map(CarriedBy::Connection);
            let carried_by = of_readers.chain(open.iter().filter(|_| is_on_all).cloned()).collect();
            Some(ClaimView { kind: block.kind, source: source_of(block, &state), lines, carried_by, claim })
        });
        let is_taken = Nights::one(night)
            .map(|one| availability(&taken(&picture), &house, one.first(), one.end()))
            .is_some_and(|found| found.nights.iter().any(|night| !night.blocks.is_empty()));
        let as_of = as_of.unwrap_or(now);
        Ok(Explanation {
            night,
            available: !is_taken,
            past: night < house.date(at),
            as_of,
            claims: claims.collect(),
            not_known,
        })
    }

    /// The state of a property as it stood at a past instant, and that instant. One without a fraction is a whole second,
    /// since that is how instants are told: what happened within it counts.
    async fn state_at(
        &self,
        state: PropertyState,
        as_of: Timestamp,
        now: Timestamp,
    ) -> Result<(PropertyState, Timestamp), ExplainError> {
        if as_of > now {
            return Err(ExplainError::Future);
        }
        let at = match as_of.subsec_nanosecond() {
            0 => now.min(as_of.later(SECOND)),
            _ => as_of,
        };
        if at < state.property.created_at {
            return Err(ExplainError::BeforeItWasMade);
        }
        if at < now.earlier(PAST_KEPT) {
            return Err(ExplainError::TooLongAgo);
        }
        let later = self.properties.replaced_after(&state.property.id, at).await?;
        let state = state.as_it_stood(at, later).ok_or(ExplainError::NotKept)?;
        Ok((state, at))
    }

    /// Links that show all that is taken: of connections that only export, and the extra ones that the caller sees.
    async fn open_links(
        &self,
        reach: &Reach,
        state: &PropertyState,
        past: Option<Timestamp>,
        not_known: &mut Vec<NotKnown>,
    ) -> Result<Vec<CarriedBy>, ExplainError> {
        let exports_only = |known: &&Connection| !known.is_paused() && known.import.is_none() && known.export.is_some();
        let connections = state.connections.iter().filter(exports_only);
        let mut open: Vec<CarriedBy> = connections.map(|known| CarriedBy::Connection(known.id.clone())).collect();
        for link in self.links_within(reach).await? {
            match covered(&link, &state.property.id, past) {
                Some(true) => open.push(CarriedBy::Link(link.id)),
                Some(false) => {}
                None => not_known.push(NotKnown::Link(link.id)),
            }
        }
        Ok(open)
    }

    /// Where the events behind some claims stand in the bodies that were read last.
    async fn events_of(
        &self,
        state: &PropertyState,
        claims: &[ExplainedClaim],
        not_known: &mut Vec<NotKnown>,
    ) -> Result<BTreeMap<(ConnectionId, EventKey), Lines>, ExplainError> {
        let ids: BTreeSet<&ConnectionId> = claims.iter().filter_map(|claim| claim.connection.as_ref()).collect();
        let mut found = BTreeMap::new();
        for connection in ids.into_iter().filter_map(|id| state.connection(id)) {
            let Some(applied) = connection.applied() else { continue };
            let _turn = self.traffic.turn_with_kept().await;
            let Some(body) = self.publish.kept_at().body_of::<ExplainError>(connection).await? else {
                not_known.push(NotKnown::Feed(connection.id.clone()));
                continue;
            };
            // What was taken in could be read then, and can be now.
            let Ok(reading) = read_body(&body, &state.house(), connection.profile(), applied.horizon_at) else {
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

/// Whether a link covers a property, or did at a past instant; None where that is not known, since only the present scope
/// of a link is.
fn covered(link: &ExtraLink, property: &PropertyId, past: Option<Timestamp>) -> Option<bool> {
    let Some(at) = past else { return Some(link.deleted_at.is_none() && link.shows(property)) };
    let was_there = link.created_at <= at && link.deleted_at.is_none_or(|gone| gone > at);
    // Deleting counts as a version too.
    let edited = link.version > 1 + u64::from(link.deleted_at.is_some());
    match was_there {
        false => Some(false),
        true if edited => None,
        true => Some(link.shows(property)),
    }
}
