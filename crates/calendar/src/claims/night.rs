//! One night seen across all connections: who takes it, how surely, and which links carry it (rule 3).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};

use super::{Standing, weigh::Rules};
use crate::{Block, BlockId, ConnectionId, Nights, Origin, Picture, Sign, Source, occupancy::Turnovers};

/// How one connection's stays take one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Presence {
    /// Its latest good reading shows the night.
    pub(super) shown: bool,
    /// A stay that takes it is in a hold.
    pub(super) held: bool,
    /// It can't be an echo, by its text or by the kind of calendar.
    pub(super) evident: bool,
    /// At least one of its stays does not carry our tag.
    pub(super) foreign: bool,
    /// A reservation that has begun: never removed by absence.
    pub(super) under_way: bool,
    pub(super) first_seen_at: Timestamp,
}

/// One night.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Since when the host's own block or a turnover takes it.
    pub(super) host: Option<Timestamp>,
    /// By index of the connection among the picture's sources.
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    pub(super) presence: Option<Presence>,
    /// Of the claim, where there is one.
    pub(super) standing: Option<Standing>,
    pub(super) since: Option<Timestamp>,
    pub(super) asked: bool,
}

/// Every night from a date on that any block takes.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) sources: Vec<(&'a ConnectionId, &'a Source)>,
    pub(super) rows: BTreeMap<Date, Row>,
}

impl<'a> Table<'a> {
    pub(super) fn of(picture: &Picture<'a>, from: Date, now: Timestamp) -> Self {
        let sources: Vec<(&ConnectionId, &Source)> =
            picture.sources.iter().filter(|(_, source)| source.blocks).collect();
        let mut table = Self { sources, rows: BTreeMap::new() };
        let turnovers = Turnovers::of(picture);
        for block in picture.blocks {
            if let Some(nights) = turnovers.after(block).filter(|_| picture.counts(block)) {
                table.each(nights, from, |row| row.take_by_host(block.first_seen_at));
            }
            let Some(nights) = block.extent.nights(picture.house) else { continue };
            let Origin::Feed(origin) = &block.origin else {
                table.each(nights, from, |row| row.take_by_host(block.first_seen_at));
                continue;
            };
            let Some(at) = table.index(&origin.connection) else { continue };
            let held = origin.hold.is_some();
            let begun = block.extent.times(picture.house).start() <= now;
            let one = Presence {
                shown: !held,
                held,
                evident: picture.is_evident(block),
                foreign: origin.sign != Sign::Ours,
                under_way: begun && block.kind != crate::BlockKind::Closure,
                first_seen_at: block.first_seen_at,
            };
            table.each(nights, from, |row| {
                if let Some(cell) = row.cells.get_mut(at) {
                    cell.presence = Some(cell.presence.map_or(one, |known| known.with(one)));
                }
            });
        }
        table.fill(picture);
        table
    }

    fn fill(&mut self, picture: &Picture<'_>) {
        for (at, (id, _)) in self.sources.iter().enumerate() {
            let written = picture.claims.connections.get(*id);
            for (night, row) in &mut self.rows {
                let Some(cell) = row.cells.get_mut(at) else { continue };
                let Some(presence) = cell.presence else { continue };
                let claim = written.and_then(|written| written.claims.get(*night));
                cell.standing = Some(claim.map_or(Standing::Certain, |claim| claim.standing));
                cell.since = Some(claim.map_or(presence.first_seen_at, |claim| claim.since));
                cell.asked = written.and_then(|mine| mine.parts.get(*night)).is_some_and(|part| part.asked.is_some());
            }
        }
    }

    pub(super) fn index(&self, connection: &ConnectionId) -> Option<usize> {
        self.sources.iter().position(|(id, _)| *id == connection)
    }

    fn each(&mut self, nights: Nights, from: Date, mut change: impl FnMut(&mut Row)) {
        let Ok(nights) = Nights::new(nights.first().max(from), nights.end()) else { return };
        let width = self.sources.len();
        for night in nights.iter() {
            change(self.rows.entry(night).or_insert_with(|| Row { host: None, cells: vec![Cell::default(); width] }));
        }
    }
}

impl Row {
    fn take_by_host(&mut self, since: Timestamp) {
        self.host = Some(self.host.map_or(since, |known| known.min(since)));
    }
}

impl Presence {
    fn with(self, other: Self) -> Self {
        // What is still shown tells more than what is only held.
        let evident = match (self.shown, other.shown) {
            (true, false) => self.evident,
            (false, true) => other.evident,
            _ => self.evident || other.evident,
        };
        Self {
            shown: self.shown || other.shown,
            held: self.held || other.held,
            evident,
            foreign: self.foreign || other.foreign,
            under_way: self.under_way || other.under_way,
            first_seen_at: self.first_seen_at.min(other.first_seen_at),
        }
    }
}

/// Whether one source's link carries a night: another holds it or may hold it, and neither a question nor a loop of
/// witnesses is in the way.
pub(super) fn carries(row: &Row, at: usize, sources: &[(&ConnectionId, &Source)], rules: Rules) -> bool {
    if !sources.get(at).is_some_and(|(_, source)| source.has_link) {
        return false;
    }
    if row.host.is_some() {
        return true;
    }
    let mine = row.cells.get(at).copied().unwrap_or_default();
    if mine.asked {
        return false;
    }
    let blocking = |standing: Option<Standing>| standing.is_some_and(|standing| standing != Standing::Echo);
    let mut others = row.cells.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, cell)| cell);
    if !others.clone().any(|cell| blocking(cell.standing)) {
        return false;
    }
    let certain = |cell: &Cell| cell.standing == Some(Standing::Certain);
    let evident = |cell: &Cell| cell.presence.is_some_and(|presence| presence.evident);
    let shown = mine.presence.is_some_and(|presence| presence.shown);
    if !certain(&mine) || !shown || evident(&mine) {
        return true;
    }
    // 3b: the others' claims are all possible, and X has a certain one that is not evident.
    if !others.any(certain) {
        return !rules.witness_of_possible;
    }
    // 3c: several certain claims, none evident, and X's is the oldest.
    let all = || row.cells.iter().filter(|cell| certain(cell));
    if all().any(evident) {
        return true;
    }
    let oldest =
        row.cells.iter().enumerate().filter(|(_, cell)| certain(cell)).min_by_key(|(at, cell)| (cell.since, *at));
    !(rules.witness && oldest.is_some_and(|(oldest, _)| oldest == at))
}

/// What one link leaves out.
#[derive(Debug, Clone)]
pub struct LeftOff<'a> {
    picture: &'a Picture<'a>,
    /// Nights that others may take and that the link does not show.
    nights: BTreeSet<Date>,
    /// Nights that some stay of another connection, or the host, surely takes: what else may take them need not be shown.
    certain: BTreeSet<Date>,
    own: Option<&'a ConnectionId>,
}

impl<'a> LeftOff<'a> {
    /// For the link of this connection; none for an extra link, which leaves nothing out.
    #[must_use]
    pub fn of(picture: &'a Picture<'a>, own: Option<&'a ConnectionId>, now: Timestamp) -> Self {
        Self::by(picture, own, now, Rules::default())
    }

    pub(crate) fn by(picture: &'a Picture<'a>, own: Option<&'a ConnectionId>, now: Timestamp, rules: Rules) -> Self {
        let mut left = Self { picture, nights: BTreeSet::new(), certain: BTreeSet::new(), own };
        let table = Table::of(picture, picture.house.date(now), now);
        let at = own.and_then(|own| table.index(own));
        for (night, row) in &table.rows {
            let others = row.cells.iter().enumerate().filter(|(other, _)| Some(*other) != at);
            if others.clone().any(|(_, cell)| cell.standing == Some(Standing::Certain)) {
                left.certain.insert(*night);
            }
            let may_take = |cell: &Cell| cell.standing.is_some_and(|standing| standing != Standing::Echo);
            if let Some(at) = at
                && others.clone().any(|(_, cell)| may_take(cell))
                && !carries(row, at, &table.sources, rules)
            {
                left.nights.insert(*night);
            }
        }
        left
    }

    /// The nights from today on that others take, or may take, and that this link does not show.
    #[must_use]
    pub fn nights(&self) -> &BTreeSet<Date> {
        &self.nights
    }

    /// Whether the link shows a block of another connection, or of the host, on a night.
    #[must_use]
    pub fn shows(&self, block: &Block, night: Date) -> bool {
        if block.is_own() {
            return true;
        }
        match self.picture.standing(block, night) {
            Standing::Echo => false,
            Standing::Possible => !self.nights.contains(&night) && !self.certain.contains(&night),
            Standing::Certain => !self.nights.contains(&night),
        }
    }

    /// When it was last decided which nights of a block are left out.
    #[must_use]
    pub fn cut_at(&self, block: &Block) -> Timestamp {
        let Some(nights) = block.extent.nights(self.picture.house) else { return Timestamp::MIN };
        let touches = |run: &Nights| run.intersection(nights).is_some();
        let connections = &self.picture.claims.connections;
        let theirs = block.connection().and_then(|connection| connections.get(connection));
        let claims = theirs.into_iter().flat_map(|mine| mine.claims.iter()).filter(|(run, _)| touches(run));
        let ours = self.own.and_then(|own| connections.get(own));
        let link = ours.into_iter().flat_map(|mine| mine.link.iter()).filter(|(run, _)| touches(run));
        claims.map(|(_, claim)| claim.since).chain(link.map(|(_, link)| link.since)).max().unwrap_or(Timestamp::MIN)
    }
}

/// Which connections' links show a block on a night.
#[must_use]
pub fn carried_by(picture: &Picture<'_>, block: &BlockId, night: Date, now: Timestamp) -> Vec<ConnectionId> {
    let Some(block) = picture.blocks.iter().find(|known| known.id == *block).filter(|block| picture.counts(block))
    else {
        return Vec::new();
    };
    let linked = picture.sources.iter().filter(|(id, source)| source.has_link && block.connection() != Some(*id));
    linked
        .filter(|(id, _)| LeftOff::of(picture, Some(id), now).shows(block, night))
        .map(|(id, _)| (*id).clone())
        .collect()
}
