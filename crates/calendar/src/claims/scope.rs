//! Which nights are looked at: of most of them nothing can have changed, and nothing is written down.

use jiff::civil::Date;

use super::{Change, Runs};
use crate::{
    Block, House, Nights, Picture,
    span::{Days, days_between},
};

/// Nights so far ahead are nobody's question: what is taken there is taken.
pub(crate) const FARTHEST: i64 = 1_100;

/// Some nights, by their days from the first, in order.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) from: Date,
    days: Vec<usize>,
    nights: Vec<Nights>,
}

impl Scope {
    /// Every night from a date on, to the last one that a block takes or that something is written down of.
    pub(super) fn of_all(from: Date, pictures: &[&Picture<'_>]) -> Self {
        let mut end = 0;
        for picture in pictures {
            let (today, turnover) = (day_of(from), i64::from(picture.house.turnover_nights()));
            let ends = picture.blocks.iter().map(|block| block.extent.days_about().1 - today + turnover);
            let written = picture.claims.connections.values().flat_map(|mine| {
                [mine.claims.last_night(), mine.link.last_night(), mine.parts.last_night()].into_iter().flatten()
            });
            end = ends.chain(written.map(|end| days_between(from, end))).fold(end, i64::max);
        }
        Self::of_days(from, 0..index(end))
    }

    fn of_days(from: Date, all: impl Iterator<Item = usize>) -> Self {
        let mut scope = Self { from, days: Vec::new(), nights: Vec::new() };
        let mut next = (0, from);
        for day in all {
            let date = if day == next.0 { next.1 } else { from.days_later(i64::try_from(day).unwrap_or(FARTHEST)) };
            // None lies beyond the fixed span of time.
            let Some(one) = Nights::one(date) else { break };
            scope.days.push(day);
            scope.nights.push(one);
            next = (day + 1, one.end());
        }
        scope
    }

    /// The nights on which a change may lead to anything: those of stays that came, went or changed, and those of which
    /// something is written down. On every other night each site shows what it showed, and each link carries what it
    /// carried.
    pub(super) fn of_change(change: &Change<'_>, from: Date) -> Self {
        let (before, after) = (&change.before, &change.after);
        if !each_night_tells_of_itself(change) {
            return Self::of_all(from, &[before, after]);
        }
        let mut marks = Marks::new(from);
        for block in changed(before.blocks, after.blocks) {
            marks.mark(block.extent.nights(after.house));
        }
        // What else lay on one of ours may have been cut away since: then only our tag is left.
        for block in after.blocks.iter().filter(|block| block.is_ours()) {
            marks.mark(block.extent.nights(after.house));
        }
        for mine in before.claims.connections.values().chain(after.claims.connections.values()) {
            marks.mark_runs(&mine.claims);
            marks.mark_runs(&mine.parts);
            marks.mark_runs(&mine.link);
        }
        Self::of_days(from, marks.days())
    }

    /// Where these nights stand among those that are looked at.
    pub(super) fn places(&self, nights: Nights) -> std::ops::Range<usize> {
        let place = |date: Date| {
            let day = index(days_between(self.from, date));
            self.days.partition_point(|known| *known < day)
        };
        place(nights.first())..place(nights.end())
    }

    pub(super) fn len(&self) -> usize {
        self.days.len()
    }

    /// Each by itself, in order.
    pub(super) fn nights(&self) -> impl Iterator<Item = Nights> + '_ {
        self.nights.iter().copied()
    }
}

fn day_of(date: Date) -> i64 {
    days_between(jiff::civil::date(1970, 1, 1), date)
}

/// Nights so far ahead are nobody's question, and what is past is none any more.
fn index(days: i64) -> usize {
    usize::try_from(days.clamp(0, FARTHEST)).unwrap_or(0)
}

/// Whether what happens on a night depends on that night alone: not where sites come, go or change, where turnover nights
/// follow what is certain, and where a master feed repeats whole stays.
fn each_night_tells_of_itself(change: &Change<'_>) -> bool {
    let (before, after) = (&change.before, &change.after);
    let aggregates = after.sources.values().any(|source| source.aggregates);
    before.sources == after.sources
        && same_days(before.house, after.house)
        && change.replaced.is_none()
        && after.house.turnover_nights() == 0
        && !aggregates
}

fn same_days(before: &House, after: &House) -> bool {
    std::ptr::eq(before, after) || before == after
}

/// Blocks that are not alike before and after, as they were and as they are.
pub(super) fn changed<'a>(before: &'a [Block], after: &'a [Block]) -> Vec<&'a Block> {
    let (mut old, mut new): (Vec<&Block>, Vec<&Block>) = (before.iter().collect(), after.iter().collect());
    // Lists in order, as they come, are sorted in one pass.
    old.sort_by(|a, b| a.id.cmp(&b.id));
    new.sort_by(|a, b| a.id.cmp(&b.id));
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    let mut changed = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (Some(was), Some(is)) if was.id == is.id => {
                if was != is {
                    changed.extend([*was, *is]);
                }
                old.next();
                new.next();
            }
            (Some(was), is) if is.is_none_or(|is| was.id < is.id) => changed.extend(old.next()),
            (_, Some(_)) => changed.extend(new.next()),
            (_, None) => return changed,
        }
    }
}

struct Marks {
    from: Date,
    marked: Vec<bool>,
}

impl Marks {
    fn new(from: Date) -> Self {
        Self { from, marked: vec![false; index(FARTHEST)] }
    }

    fn mark(&mut self, nights: Option<Nights>) {
        let Some(nights) = nights else { return };
        let days = index(days_between(self.from, nights.first()))..index(days_between(self.from, nights.end()));
        if let Some(marked) = self.marked.get_mut(days) {
            marked.fill(true);
        }
    }

    fn mark_runs<T: PartialEq + Copy>(&mut self, runs: &Runs<T>) {
        runs.iter().for_each(|(nights, _)| self.mark(Some(*nights)));
    }

    fn days(&self) -> impl Iterator<Item = usize> + '_ {
        self.marked.iter().enumerate().filter(|(_, marked)| **marked).map(|(day, _)| day)
    }
}
