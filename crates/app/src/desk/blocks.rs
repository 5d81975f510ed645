//! Blocks: all that is taken or shown in a property, and the host's own, which are made, edited, deleted and pruned
//! here. What a feed shows is only ever changed by its source.

use std::collections::BTreeSet;

use calmesh_calendar::{
    Block, BlockId, BlockKind, BlockState, Certain, ConnectionId, Extent, House, Mirrors, NAMED_MOST, Nights, Origin,
    Picture, PropertyId, Times, block_state, in_the_way,
    span::{FIRST_DAY, InSpan, LAST_DAY},
};
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};

use crate::{
    changes::{
        ChangeRefusal,
        draft::Draft,
        extensions::{StayApart, apart},
        naming::named_stay,
    },
    desk::{
        Desk,
        edit::{Edit, Expected, Flaws, InvalidField},
        extending::check_extends,
        preview::{Openings, openings},
        reach::Reach,
    },
    limits::{self, Full, SUMMARY_MOST},
    model::{ActivityKind, Connection, NamedStay, PropertyState, Provider, Span, StayPart, span_of},
    ports::{Page, PageRequest, StoreError},
};

/// What the host's own block may be; the edge of a site's rule is never the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnKind {
    Reservation,
    Closure,
    Tentative,
}

impl From<OwnKind> for BlockKind {
    fn from(kind: OwnKind) -> Self {
        match kind {
            OwnKind::Reservation => Self::Reservation,
            OwnKind::Closure => Self::Closure,
            OwnKind::Tentative => Self::Tentative,
        }
    }
}

/// One end of a span as a client writes it: a night, or the time on the property's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Night(Date),
    Local(DateTime),
}

/// A host's own block to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlock {
    pub kind: OwnKind,
    pub start: When,
    pub end: When,
    pub summary: String,
    pub extends: Option<BlockId>,
    /// Make it though something stands in the way.
    pub force: bool,
}

/// What an edit of an own block changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockEdit {
    pub kind: Option<OwnKind>,
    pub start: Option<When>,
    pub end: Option<When>,
    /// Back to the default is no summary.
    pub summary: Edit<String>,
    pub extends: Edit<BlockId>,
    pub force: bool,
}

/// Whose a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockSource {
    Own,
    Connection {
        connection: ConnectionId,
        /// What the host calls it; empty, and without a provider, where it is not known any more.
        name: String,
        provider: Option<Provider>,
    },
}

/// A block as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockView {
    pub block: Block,
    pub property: PropertyId,
    /// On the property's clock.
    pub span: Span,
    pub source: BlockSource,
    /// Label prefix and connection's name; none for the host's own.
    pub label: Option<String>,
    pub state: BlockState,
    /// Imported stays that cover this own block wholly, so that pruning would remove it.
    pub covered_by: Vec<BlockId>,
    /// The stay that this own block extends, where that has gone or was moved away.
    pub apart: Option<StayApart>,
    /// Names what can be edited, for the ETag.
    pub version: u64,
}

/// What pruning does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruning {
    /// As they were.
    pub removed: Vec<BlockView>,
    /// What this opens: such as turnover nights after a reservation of the host's own.
    pub openings: Openings,
}

/// Why a block was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Unknown, gone, or not the caller's.
    #[error("no such block or property")]
    NotFound,
    #[error("the block is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// Something is in the way, in order of time; the first of it by names and dates.
    #[error("{} blocks are in the way", .by.len())]
    Blocked { by: Vec<BlockId>, first: Vec<NamedStay> },
    /// A feed shows it; its source decides.
    #[error("the block came from a connection's feed")]
    Imported,
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for BlockError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

impl Desk {
    /// The blocks of a property in order of time, then id. With `all`, also echoes, what may be one beside the stay that
    /// it may repeat, and stays of paused connections.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn list_blocks(
        &self,
        reach: &Reach,
        property: &PropertyId,
        all: bool,
        page: PageRequest,
    ) -> Result<Page<BlockView>, BlockError> {
        let state = self.state_within(reach, property).await?.ok_or(BlockError::NotFound)?;
        let (sources, house) = (state.sources(), state.house());
        let picture = state.picture(&sources, &house);
        let (views, certain) = (Views::of(&state, picture), Certain::of(&picture));
        let mut places: Vec<(String, &Block)> = state
            .blocks
            .iter()
            .filter(|block| all || views.is_listed(block, &certain))
            .map(|block| (place(block, &house), block))
            .collect();
        places.sort_by(|a, b| a.0.cmp(&b.0));
        places.retain(|(place, _)| page.after.as_ref().is_none_or(|after| place > after));
        let limit = usize::from(page.limit);
        let next = (places.len() > limit)
            .then(|| limit.checked_sub(1).and_then(|last| places.get(last)).map(|(place, _)| place.clone()))
            .flatten();
        let items = places.into_iter().take(limit).map(|(_, block)| views.view(block)).collect();
        Ok(Page { items, next })
    }

    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn block(&self, reach: &Reach, id: &BlockId) -> Result<BlockView, BlockError> {
        view_of(id, &self.state_of_block(reach, id).await?)
    }

    /// Makes a block of the host's own.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, `Blocked`, `Full`, or the store's.
    pub async fn create_block(
        &self,
        reach: &Reach,
        property: &PropertyId,
        new: &NewBlock,
    ) -> Result<BlockView, BlockError> {
        let id = BlockId::from_random(property.within(self.randomness.id()));
        let changed = self.changes.change(property, |draft| apply_creation(draft, reach, &id, new)).await?;
        view_of(&id, &changed.state)
    }

    /// Edits a block of the host's own.
    ///
    /// # Errors
    /// `NotFound`, `Imported`, `Outdated`, `Invalid`, `Blocked`, or the store's.
    pub async fn edit_block(
        &self,
        reach: &Reach,
        id: &BlockId,
        edit: &BlockEdit,
        expected: &Expected,
    ) -> Result<BlockView, BlockError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(BlockError::NotFound)?;
        let changed = self.changes.change(&property, |draft| apply_edit(draft, reach, id, edit, expected)).await?;
        view_of(id, &changed.state)
    }

    /// What the edit would open.
    ///
    /// # Errors
    /// As the edit itself.
    pub async fn preview_block_edit(
        &self,
        reach: &Reach,
        id: &BlockId,
        edit: &BlockEdit,
        expected: &Expected,
    ) -> Result<Openings, BlockError> {
        let before = self.state_of_block(reach, id).await?;
        self.openings_of(reach, &before, |draft| apply_edit(draft, reach, id, edit, expected)).await
    }

    /// Deletes a block of the host's own.
    ///
    /// # Errors
    /// `NotFound`, `Imported`, `Outdated`, or the store's.
    pub async fn delete_block(&self, reach: &Reach, id: &BlockId, expected: &Expected) -> Result<(), BlockError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(BlockError::NotFound)?;
        self.changes.change(&property, |draft| apply_deletion(draft, reach, id, expected)).await?;
        Ok(())
    }

    /// What deleting it would open.
    ///
    /// # Errors
    /// As the deletion itself.
    pub async fn preview_block_deletion(
        &self,
        reach: &Reach,
        id: &BlockId,
        expected: &Expected,
    ) -> Result<Openings, BlockError> {
        let before = self.state_of_block(reach, id).await?;
        self.openings_of(reach, &before, |draft| apply_deletion(draft, reach, id, expected)).await
    }

    async fn state_of_block(&self, reach: &Reach, id: &BlockId) -> Result<PropertyState, BlockError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(BlockError::NotFound)?;
        self.state_within(reach, &property).await?.ok_or(BlockError::NotFound)
    }

    /// Removes the host's own blocks that an imported stay now covers.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn prune_blocks(&self, reach: &Reach, property: &PropertyId) -> Result<Pruning, BlockError> {
        // Before the change: nothing may fail after it.
        let links = self.links_within(reach).await?;
        let changed = self
            .changes
            .change(property, |draft| {
                let before = draft.state.clone();
                Ok::<_, BlockError>((apply_prune(draft, reach)?, before, draft.now))
            })
            .await?;
        let (removed, before, now) = changed.value;
        Ok(Pruning { removed, openings: openings(&links, &before, &changed.state, now) })
    }

    /// What pruning would do.
    ///
    /// # Errors
    /// As pruning itself.
    pub async fn preview_prune(&self, reach: &Reach, property: &PropertyId) -> Result<Pruning, BlockError> {
        let before = self.state_within(reach, property).await?.ok_or(BlockError::NotFound)?;
        let (removed, openings) = self.tried(reach, &before, |draft| apply_prune(draft, reach)).await?;
        Ok(Pruning { removed, openings })
    }
}

/// Sorts by time, then id; seconds with a fixed width, so that texts sort like numbers.
fn place(block: &Block, house: &House) -> String {
    let seconds = block.extent.times(house).start().as_second();
    // Times before 1970 are shifted into the positive.
    format!("{:020} {}", seconds.saturating_add(1 << 40), block.id)
}

// ---- views ------------------------------------------------------------------------------------------------------

fn view_of(id: &BlockId, state: &PropertyState) -> Result<BlockView, BlockError> {
    let block = state.blocks.iter().find(|block| block.id == *id).ok_or(BlockError::NotFound)?;
    let (sources, house) = (state.sources(), state.house());
    Ok(Views::of(state, state.picture(&sources, &house)).view(block))
}

fn connection_of<'a>(block: &Block, state: &'a PropertyState) -> Option<&'a Connection> {
    let id = block.connection()?;
    state.connection(id)
}

/// What all blocks of a property are seen by, worked out once for all of them.
struct Views<'a> {
    state: &'a PropertyState,
    picture: Picture<'a>,
    mirrors: Mirrors<'a>,
    covers: Covers<'a>,
}

impl<'a> Views<'a> {
    fn of(state: &'a PropertyState, picture: Picture<'a>) -> Self {
        let (mirrors, covers) = (Mirrors::of(&picture), Covers::of(state, &picture));
        Self { state, picture, mirrors, covers }
    }

    fn state(&self, block: &Block) -> BlockState {
        block_state(&self.picture, &self.mirrors, block)
    }

    /// Whether a block is listed where nobody asks for all of them: what may repeat a stay is not beside it.
    fn is_listed(&self, block: &Block, certain: &Certain<'_>) -> bool {
        match self.state(block) {
            BlockState::Standing | BlockState::Held | BlockState::Mirrored | BlockState::Shown => true,
            BlockState::PossibleEcho => {
                let nights = block.extent.nights(self.picture.house);
                !nights.is_some_and(|nights| certain.beside(block, nights))
            }
            BlockState::Echo | BlockState::Paused => false,
        }
    }

    fn view(&self, block: &Block) -> BlockView {
        let state = self.state;
        let connection = connection_of(block, state);
        BlockView {
            property: state.property.id.clone(),
            span: span_of(block.extent, self.picture.house),
            source: source_of(block, state),
            label: connection.map(|connection| format!("{}{}", state.property.label_prefix, connection.name)),
            state: self.state(block),
            covered_by: self.covers.of_own(block, self.picture.house),
            apart: apart(block, state, self.picture.house),
            version: version_of(block),
            block: block.clone(),
        }
    }
}

pub(crate) fn source_of(block: &Block, state: &PropertyState) -> BlockSource {
    match block.connection() {
        None => BlockSource::Own,
        Some(id) => {
            let site = connection_of(block, state).map(Connection::site);
            let (name, provider) = site.map(|site| (site.name, site.provider)).unzip();
            BlockSource::Connection { connection: id.clone(), name: name.unwrap_or_default(), provider }
        }
    }
}

/// A digest of what can be edited: blocks count no versions, and `sequence` is the exports'.
fn version_of(block: &Block) -> u64 {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    let extends = block.extends().map_or("", BlockId::as_str);
    digest.update(format!("{:?}\n{:?}\n{extends}\n{}", block.kind, block.extent, block.summary).as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Imported stays that may cover blocks of the host's own, in order of time.
///
/// A reservation covers. A closure may be our own block that the site read from our link and shows again: it covers
/// only where it was there before the block was, or where its connection gives nothing out. What is held, optional,
/// a site's rule or perhaps an echo may be gone tomorrow and covers nothing.
struct Covers<'a> {
    stays: Vec<(Times, &'a Block, &'a Connection)>,
    /// The latest end in each so many of them.
    latest: Vec<Timestamp>,
}

/// So many stays are passed over at once, where none of them lasts long enough.
const COVERS_AT_ONCE: usize = 64;

impl<'a> Covers<'a> {
    fn of(state: &'a PropertyState, picture: &Picture<'a>) -> Self {
        let house = picture.house;
        let mut covers = Self { stays: Vec::new(), latest: Vec::new() };
        if !state.blocks.iter().any(Block::is_own) {
            return covers;
        }
        for block in &state.blocks {
            let Some(connection) = connection_of(block, state) else { continue };
            let kind = matches!(block.kind, BlockKind::Reservation | BlockKind::Closure);
            if kind && block.hold().is_none() && picture.counts(block) && picture.is_certain(block) {
                covers.stays.push((block.extent.times(house), block, connection));
            }
        }
        covers.stays.sort_by(|(a, one, _), (b, other, _)| (a, &one.id).cmp(&(b, &other.id)));
        let chunks = covers.stays.chunks(COVERS_AT_ONCE);
        covers.latest = chunks.filter_map(|chunk| chunk.iter().map(|(times, ..)| times.end()).max()).collect();
        covers
    }

    /// Those that cover an own block wholly and that will not turn out to be that block itself: as many as are ever
    /// named.
    fn of_own(&self, own: &Block, house: &House) -> Vec<BlockId> {
        if !own.is_own() {
            return Vec::new();
        }
        let wanted = own.extent.times(house);
        let long = self.stays.chunks(COVERS_AT_ONCE).zip(&self.latest).filter(|(_, latest)| wanted.end() <= **latest);
        let begun = long.flat_map(|(chunk, _)| chunk).take_while(|(times, ..)| times.start() <= wanted.start());
        let covering = begun.filter(|(times, block, connection)| {
            let genuine = block.kind == BlockKind::Reservation
                || connection.export.is_none()
                || block.first_seen_at <= own.first_seen_at
                || block.first_seen_at <= connection.created_at;
            genuine && wanted.end() <= times.end()
        });
        let mut named: Vec<BlockId> = covering.take(NAMED_MOST).map(|(_, block, _)| block.id.clone()).collect();
        named.sort();
        named
    }
}

// ---- decisions --------------------------------------------------------------------------------------------------

/// The extent that both ends give, or what is wrong with them.
pub(crate) fn extent_of(start: When, end: When, house: &House) -> Result<Extent, Vec<InvalidField>> {
    let mut flaws = Flaws::default();
    for (field, when) in [("start", start), ("end", end)] {
        let day = match when {
            When::Night(day) => day,
            When::Local(local) => local.date(),
        };
        if !day.is_in_span() {
            flaws.add(field, format!("must lie between {FIRST_DAY} and {LAST_DAY}"));
        }
    }
    flaws.into_result()?;
    let after_start = || vec![InvalidField::new("end", "must be after start")];
    match (start, end) {
        (When::Night(start), When::Night(end)) => {
            Nights::new(start, end).map(Extent::Nights).map_err(|_| after_start())
        }
        (When::Local(start), When::Local(end)) => {
            Times::new(house.instant(start), house.instant(end)).map(Extent::Times).map_err(|_| after_start())
        }
        _ => Err(vec![InvalidField::new("end", "must be a night or a local date-time, as start is")]),
    }
}

/// Refuses what was over before today, on the property's clock: nothing is sold or blocked there any more.
pub(crate) fn refuse_past(
    extent: Extent,
    state: &PropertyState,
    house: &House,
    now: Timestamp,
) -> Result<(), InvalidField> {
    let end = match extent {
        Extent::Nights(nights) => nights.end(),
        Extent::Times(times) => house.date(times.end()),
    };
    let today = house.date(now);
    if end < today {
        let zone = &state.property.time_zone;
        return Err(InvalidField::new("end", format!("is in the past: today is {today} in {zone}")));
    }
    Ok(())
}

/// What is in the way of an own block: all that is taken but the block itself, the stay that it extends and that
/// stay's turnover nights.
fn blocking(draft: &Draft, house: &House, extent: Extent, own: &BlockId, extends: Option<&BlockId>) -> Vec<BlockId> {
    let mut part_of_stay = BTreeSet::from([own]);
    let mut whole_stay = BTreeSet::new();
    // An extension of an extension belongs to the same stay, whose turnover nights move behind all of them.
    let mut next = extends;
    part_of_stay.extend(extends);
    while let Some(id) = next.filter(|id| whole_stay.insert(*id)) {
        next = draft.block(id).and_then(Block::extends);
    }
    let mut taken = draft.state.taken();
    taken.retain(|one| !(part_of_stay.contains(&one.block) || one.turnover && whole_stay.contains(&one.block)));
    in_the_way(&taken, extent, house)
}

/// So much of what is in the way is told by names and dates.
const TOLD_IN_THE_WAY: usize = 3;

fn refuse_what_is_taken(
    draft: &Draft,
    house: &House,
    extent: Extent,
    own: &BlockId,
    extends: Option<&BlockId>,
) -> Result<(), BlockError> {
    let by = blocking(draft, house, extent, own, extends);
    if by.is_empty() {
        return Ok(());
    }
    let named = by.iter().filter_map(|id| named_stay(draft.block(id)?, StayPart::Itself, &draft.state, house));
    let first = named.take(TOLD_IN_THE_WAY).collect();
    Err(BlockError::Blocked { by, first })
}

fn apply_creation(draft: &mut Draft, reach: &Reach, id: &BlockId, new: &NewBlock) -> Result<(), BlockError> {
    if !reach.shows(&draft.state.property) {
        return Err(BlockError::NotFound);
    }
    // By the same request, which runs a second time.
    if draft.block(id).is_some() {
        return Ok(());
    }
    let house = draft.state.house();
    let mut flaws = Flaws::default();
    let extent = extent_of(new.start, new.end, &house);
    if let Ok(extent) = extent
        && let Err(past) = refuse_past(extent, &draft.state, &house, draft.now)
    {
        flaws.add(past.field, past.detail);
    }
    flaws.text("summary", &new.summary, 0, SUMMARY_MOST);
    if let Some(extends) = &new.extends {
        check_extends(draft, id, extends, extent.as_ref().ok().copied(), &house, &mut flaws);
    }
    let extent = flaws.with(extent).map_err(BlockError::Invalid)?;
    if !new.force {
        refuse_what_is_taken(draft, &house, extent, id, new.extends.as_ref())?;
    }
    limits::OWN_BLOCKS.room_beside(draft.state.blocks.iter().filter(|block| block.is_own()).count())?;
    let block = Block {
        id: id.clone(),
        origin: Origin::Own { extends: new.extends.clone(), lost: None },
        kind: new.kind.into(),
        extent,
        summary: new.summary.trim().to_owned(),
        sequence: 0,
        first_seen_at: draft.now,
        changed_at: draft.now,
    };
    let at = draft.state.blocks.partition_point(|other| other.id < block.id);
    draft.state.blocks.insert(at, block);
    draft.note(None, ActivityKind::BlockCreated { block: id.clone() });
    Ok(())
}

fn own_block<'a>(draft: &'a Draft, reach: &Reach, id: &BlockId, expected: &Expected) -> Result<&'a Block, BlockError> {
    if !reach.shows(&draft.state.property) {
        return Err(BlockError::NotFound);
    }
    let block = draft.block(id).ok_or(BlockError::NotFound)?;
    if !block.is_own() {
        return Err(BlockError::Imported);
    }
    if !expected.fits(version_of(block)) {
        return Err(BlockError::Outdated);
    }
    Ok(block)
}

fn apply_edit(
    draft: &mut Draft,
    reach: &Reach,
    id: &BlockId,
    edit: &BlockEdit,
    expected: &Expected,
) -> Result<(), BlockError> {
    let before = own_block(draft, reach, id, expected)?.clone();
    let house = draft.state.house();
    let mut flaws = Flaws::default();
    let (old_start, old_end) = match span_of(before.extent, &house) {
        Span::Nights(start, end) => (When::Night(start), When::Night(end)),
        Span::Local(start, end) => (When::Local(start), When::Local(end)),
    };
    let extent = if edit.start.is_none() && edit.end.is_none() {
        Ok(before.extent)
    } else {
        extent_of(edit.start.unwrap_or(old_start), edit.end.unwrap_or(old_end), &house)
    };
    if let Ok(extent) = extent
        && extent != before.extent
        && let Err(past) = refuse_past(extent, &draft.state, &house, draft.now)
    {
        flaws.add(past.field, past.detail);
    }
    let summary = edit.summary.over(before.summary.clone(), String::new);
    flaws.text("summary", &summary, 0, SUMMARY_MOST);
    let extends = edit.extends.over_option(before.extends().cloned());
    // Where nothing of it is changed, it may name a stay that has gone or moved away.
    let moves = edit.start.is_some() || edit.end.is_some();
    let is_new = |extends: &&BlockId| before.extends() != Some(*extends) || moves && draft.block(extends).is_some();
    if let Some(extends) = extends.as_ref().filter(is_new) {
        check_extends(draft, id, extends, extent.as_ref().ok().copied(), &house, &mut flaws);
    }
    let extent = flaws.with(extent).map_err(BlockError::Invalid)?;
    if extent != before.extent && !edit.force {
        refuse_what_is_taken(draft, &house, extent, id, extends.as_ref())?;
    }
    let mut after = Block {
        kind: edit.kind.map_or(before.kind, BlockKind::from),
        extent,
        summary: summary.trim().to_owned(),
        // Who moves it or says what it extends has been told.
        origin: Origin::Own { lost: before.lost().filter(|_| edit.extends.is_keep() && !moves).cloned(), extends },
        ..before.clone()
    };
    if after == before {
        return Ok(());
    }
    // What a block extends is on no link.
    if (after.kind, after.extent, &after.summary) != (before.kind, before.extent, &before.summary) {
        after.sequence += 1;
        after.changed_at = draft.now;
    }
    if let Some(block) = draft.block_mut(id) {
        *block = after;
    }
    draft.note(None, ActivityKind::BlockChanged { block: id.clone() });
    Ok(())
}

fn apply_deletion(draft: &mut Draft, reach: &Reach, id: &BlockId, expected: &Expected) -> Result<(), BlockError> {
    own_block(draft, reach, id, expected)?;
    remove_own(draft, &BTreeSet::from([id.clone()]));
    Ok(())
}

fn remove_own(draft: &mut Draft, gone: &BTreeSet<BlockId>) {
    draft.state.blocks.retain(|block| !gone.contains(&block.id));
    for block in gone {
        draft.note(None, ActivityKind::BlockDeleted { block: block.clone() });
    }
}

fn apply_prune(draft: &mut Draft, reach: &Reach) -> Result<Vec<BlockView>, BlockError> {
    if !reach.shows(&draft.state.property) {
        return Err(BlockError::NotFound);
    }
    let before = draft.state.clone();
    let (sources, house) = (before.sources(), before.house());
    let views = Views::of(&before, before.picture(&sources, &house));
    let own = before.blocks.iter().filter(|block| block.is_own()).map(|block| views.view(block));
    let removed: Vec<BlockView> = own.filter(|view| !view.covered_by.is_empty()).collect();
    remove_own(draft, &removed.iter().map(|view| view.block.id.clone()).collect());
    Ok(removed)
}
