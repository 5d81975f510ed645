//! What is taken in a property, by all sources together: per night, per interval, and what may still be sold.
//!
//! Merging is a union: it does not depend on the order of the sources, and merging twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::{
    Block, BlockId, BlockKind, Extent, House, NightSet, Nights, Picture, Standing, Times, picture::Pieces, span::Days,
};

/// One taken extent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    pub extent: Extent,
    /// The block, or the one that these turnover nights follow.
    pub block: BlockId,
    /// Nights after a stay that the host keeps free to turn the home over.
    pub turnover: bool,
}

/// All that is taken, in order of time, then id.
#[must_use]
pub fn taken(picture: &Picture<'_>) -> Vec<Taken> {
    let turnovers = Turnovers::of(picture);
    let mut all: BTreeSet<Taken> = BTreeSet::new();
    let counts = |block: &&Block| picture.counts(block);
    let may_be_cut = |block: &&Block| picture.may_be_cut(block) && !block.is_ours();
    let cut = picture.blocks.iter().filter(counts).filter(may_be_cut);
    let mut pieces = Pieces::of(cut, picture.house, |block, nights| picture.believed(block, nights));
    for block in picture.blocks.iter().filter(counts) {
        let believed = match block.is_ours() {
            true => Vec::new(),
            false if picture.may_be_cut(block) => pieces.take(block),
            false => vec![block.extent],
        };
        all.extend(believed.into_iter().map(|extent| Taken { extent, block: block.id.clone(), turnover: false }));
        if let Some(nights) = turnovers.after(block) {
            all.insert(Taken { extent: Extent::Nights(nights), block: block.id.clone(), turnover: true });
        }
    }
    let mut all: Vec<Taken> = all.into_iter().collect();
    all.sort_by_cached_key(|taken| (taken.extent.times(picture.house), taken.block.clone(), taken.turnover));
    all
}

/// The nights after stays that the host keeps free to turn the home over, worked out once for all blocks.
#[derive(Debug, Default)]
pub struct Turnovers<'a>(BTreeMap<&'a BlockId, Nights>);

impl<'a> Turnovers<'a> {
    #[must_use]
    pub fn of(picture: &Picture<'a>) -> Self {
        let mut turnovers = Self::default();
        if picture.house.turnover_nights() == 0 {
            return turnovers;
        }
        let there: BTreeMap<&BlockId, &Block> = picture.blocks.iter().map(|block| (&block.id, block)).collect();
        let mut extensions: BTreeMap<&BlockId, Vec<&Block>> = BTreeMap::new();
        let mut parts: BTreeSet<&BlockId> = BTreeSet::new();
        for block in picture.blocks {
            let stay = block.extends().and_then(|stay| there.get(stay));
            if let Some(stay) = stay.filter(|stay| touches(stay, block, picture.house)) {
                extensions.entry(&stay.id).or_default().push(block);
                parts.insert(&block.id);
            }
        }
        let is_stay = |block: &&Block| is_stay(picture, block) && !parts.contains(&block.id);
        let mut stays: Vec<&Block> = picture.blocks.iter().filter(is_stay).collect();
        stays.sort_by_cached_key(|block| (block.extent.times(picture.house), &block.id));
        let hosts_own = picture.blocks.iter().filter(|block| block.is_own());
        let mut hosts: NightSet = hosts_own.filter_map(|block| block.extent.nights(picture.house)).collect();
        for stay in stays {
            let Some(alone) = without_turnover(picture, stay, &hosts) else { continue };
            let Some(nights) = nights_after(picture, stay, alone, &extensions) else { continue };
            if picture.counts(stay) {
                hosts.insert(nights);
            }
            turnovers.0.insert(&stay.id, nights);
        }
        turnovers
    }

    /// The turnover nights that follow a block, after whatever extends it.
    #[must_use]
    pub fn after(&self, block: &Block) -> Option<Nights> {
        self.0.get(&block.id).copied()
    }
}

/// Whether guests leave after this block, for all that is known.
fn is_stay(picture: &Picture<'_>, block: &Block) -> bool {
    match block.kind {
        BlockKind::Reservation => true,
        BlockKind::Closure => picture.source_of(block).is_some_and(|source| !source.tells_reservations_apart),
        BlockKind::Tentative | BlockKind::RuleClosure => false,
    }
}

/// Whether an extension is part of the stay that it extends: not where that moved away from it since.
fn touches(stay: &Block, extension: &Block, house: &House) -> bool {
    let end = stay.extent.nights(house).map_or_else(|| house.date(stay.extent.times(house).end()), Nights::end);
    house.date(extension.extent.times(house).start()) <= end
}

/// A stay up to its first echo, which is a turnover night that follows it already; none if a night before that may be an
/// echo, or if a closure then ends with a night that the host keeps free: following it with more would let it grow for
/// ever.
fn without_turnover(picture: &Picture<'_>, block: &Block, hosts: &NightSet) -> Option<Nights> {
    let nights = block.extent.nights(picture.house)?;
    let standings = picture.standings(block, nights);
    let echo = standings.iter().find(|(_, standing)| *standing == Standing::Echo);
    let stay = Nights::new(nights.first(), echo.map_or(nights.end(), |(run, _)| run.first())).ok()?;
    let ends_with_hosts = block.kind == BlockKind::Closure && hosts.contains(stay.end().previous_day());
    let before_echo = standings.iter().take_while(|(run, _)| run.first() < stay.end());
    let is_certain = before_echo.into_iter().all(|(_, standing)| *standing == Standing::Certain);
    (is_certain && !ends_with_hosts).then_some(stay)
}

fn nights_after(
    picture: &Picture<'_>,
    block: &Block,
    stay: Nights,
    extensions: &BTreeMap<&BlockId, Vec<&Block>>,
) -> Option<Nights> {
    let house = picture.house;
    let mut end = stay.end();
    let mut part_of_stay = BTreeSet::from([&block.id]);
    let mut open = vec![&block.id];
    while let Some(id) = open.pop() {
        for extension in extensions.get(id).into_iter().flatten() {
            if part_of_stay.insert(&extension.id) {
                end = extension.extent.nights(house).map_or(end, |nights| end.max(nights.end()));
                open.push(&extension.id);
            }
        }
    }
    house.turnover_after(end)
}

/// So many blocks are named as what takes one night, one run or one span: thousands may, and more names help nobody.
pub const NAMED_MOST: usize = 16;

/// Names a block once, unless enough are named.
fn name(blocks: &mut Vec<BlockId>, block: &BlockId) {
    if blocks.len() < NAMED_MOST && !blocks.contains(block) {
        blocks.push(block.clone());
    }
}

/// One night and what takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NightAvailability {
    pub date: Date,
    /// The first `NAMED_MOST`, in order of time, then id; empty for a free night.
    pub blocks: Vec<BlockId>,
}

/// A longest run of taken time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusyInterval {
    pub times: Times,
    pub blocks: Vec<BlockId>,
}

/// Nights and intervals between two dates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Availability {
    pub nights: Vec<NightAvailability>,
    pub intervals: Vec<BusyInterval>,
}

/// What is taken from the night of `from` to the night before `to`. Intervals are whole: one that reaches over
/// an edge is not cut.
#[must_use]
pub fn availability(taken: &[Taken], house: &House, from: Date, to: Date) -> Availability {
    let Ok(window) = Nights::new(from, to) else { return Availability::default() };
    let mut nights: BTreeMap<Date, Vec<BlockId>> = window.iter().map(|date| (date, Vec::new())).collect();
    for one in taken {
        let Some(common) = one.extent.nights(house).and_then(|nights| nights.intersection(window)) else { continue };
        for date in common.iter() {
            if let Some(blocks) = nights.get_mut(&date) {
                name(blocks, &one.block);
            }
        }
    }
    let start = house.instant(from.to_datetime(jiff::civil::Time::midnight()));
    let end = house.instant(to.to_datetime(jiff::civil::Time::midnight()));
    let mut spans: Vec<(Times, &BlockId)> = taken.iter().map(|one| (one.extent.times(house), &one.block)).collect();
    spans.sort();
    let mut intervals: Vec<BusyInterval> = Vec::new();
    for (times, block) in spans {
        match intervals.last_mut() {
            Some(last) if times.start() <= last.times.end() => {
                if let Ok(joined) = Times::new(last.times.start(), last.times.end().max(times.end())) {
                    last.times = joined;
                }
                name(&mut last.blocks, block);
            }
            _ => intervals.push(BusyInterval { times, blocks: vec![block.clone()] }),
        }
    }
    intervals.retain(|interval| interval.times.start() < end && start < interval.times.end());
    Availability {
        nights: nights.into_iter().map(|(date, blocks)| NightAvailability { date, blocks }).collect(),
        intervals,
    }
}

/// What stands in the way of selling this extent, by exact half-open times; nothing means that it may be sold.
#[must_use]
pub fn in_the_way(taken: &[Taken], extent: Extent, house: &House) -> Vec<BlockId> {
    let mut blocks: Vec<BlockId> = Vec::new();
    for one in taken.iter().filter(|one| one.extent.overlaps(extent, house)) {
        name(&mut blocks, &one.block);
    }
    blocks
}

/// Every taken night from `from` on.
#[must_use]
pub fn taken_nights(taken: &[Taken], house: &House, from: Date) -> BTreeSet<Date> {
    let nights = taken.iter().filter_map(|one| one.extent.nights(house));
    nights.flat_map(Nights::iter).filter(|date| *date >= from).collect()
}
