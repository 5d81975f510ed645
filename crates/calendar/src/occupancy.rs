//! What is taken in a property, by all sources together: per night, per interval, and what may still be sold.
//!
//! Merging is a union: it does not depend on the order of the sources, and merging twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::{Block, BlockId, BlockKind, Extent, House, Nights, Picture, Standing, Times};

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
    for block in picture.blocks.iter().filter(|block| picture.counts(block)) {
        let believed = picture.believed(block).into_iter();
        all.extend(believed.map(|extent| Taken { extent, block: block.id.clone(), turnover: false }));
        if let Some(nights) = turnovers.after(block) {
            all.insert(Taken { extent: Extent::Nights(nights), block: block.id.clone(), turnover: true });
        }
    }
    let mut all: Vec<Taken> = all.into_iter().collect();
    all.sort_by_cached_key(|taken| (taken.extent.times(picture.house), taken.block.clone(), taken.turnover));
    all
}

/// Which blocks extend which, looked up once for all.
#[derive(Debug)]
pub struct Turnovers<'a> {
    picture: &'a Picture<'a>,
    there: BTreeSet<&'a BlockId>,
    extensions: BTreeMap<&'a BlockId, Vec<&'a Block>>,
}

impl<'a> Turnovers<'a> {
    #[must_use]
    pub fn of(picture: &'a Picture<'a>) -> Self {
        if picture.house.turnover_nights() == 0 {
            return Self { picture, there: BTreeSet::new(), extensions: BTreeMap::new() };
        }
        let mut extensions: BTreeMap<&BlockId, Vec<&Block>> = BTreeMap::new();
        for block in picture.blocks {
            if let Some(stay) = block.extends() {
                extensions.entry(stay).or_default().push(block);
            }
        }
        Self { picture, there: picture.blocks.iter().map(|block| &block.id).collect(), extensions }
    }

    /// The turnover nights that follow a block, after whatever extends it.
    #[must_use]
    pub fn after(&self, block: &Block) -> Option<Nights> {
        let (house, sources) = (self.picture.house, self.picture.sources);
        let number = house.turnover_nights();
        if number == 0 {
            return None;
        }
        let is_stay = match block.kind {
            BlockKind::Reservation => true,
            BlockKind::Closure => block
                .connection()
                .and_then(|connection| sources.get(connection))
                .is_some_and(|source| !source.tells_reservations_apart),
            BlockKind::Tentative | BlockKind::RuleClosure => false,
        };
        // An extension is part of the stay that it extends, as long as that is there.
        if !is_stay || block.extends().is_some_and(|stay| self.there.contains(stay)) {
            return None;
        }
        let mut end = block.extent.nights(house).map(Nights::end);
        // What may be an echo may hold turnover nights already; following it with more would let it grow for ever.
        let last = end.and_then(|end| end.yesterday().ok());
        if last.is_some_and(|last| self.picture.standing(block, last) != Standing::Certain) {
            return None;
        }
        let mut part_of_stay = BTreeSet::from([&block.id]);
        let mut open = vec![&block.id];
        while let Some(id) = open.pop() {
            for extension in self.extensions.get(id).into_iter().flatten() {
                if part_of_stay.insert(&extension.id) {
                    end = end.max(extension.extent.nights(house).map(Nights::end));
                    open.push(&extension.id);
                }
            }
        }
        let first = end?;
        let last = first.checked_add(jiff::Span::new().days(i64::from(number))).ok()?;
        Nights::new(first, last).ok()
    }
}

/// One night and what takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NightAvailability {
    pub date: Date,
    /// In order of time, then id; empty for a free night.
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
            if let Some(blocks) = nights.get_mut(&date)
                && !blocks.contains(&one.block)
            {
                blocks.push(one.block.clone());
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
                if !last.blocks.contains(block) {
                    last.blocks.push(block.clone());
                }
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
        if !blocks.contains(&one.block) {
            blocks.push(one.block.clone());
        }
    }
    blocks
}

/// Every taken night from `from` on.
#[must_use]
pub fn taken_nights(taken: &[Taken], house: &House, from: Date) -> BTreeSet<Date> {
    let nights = taken.iter().filter_map(|one| one.extent.nights(house));
    nights.flat_map(Nights::iter).filter(|date| *date >= from).collect()
}
