//! One night seen across all connections: who takes it, how surely, and which links carry it (rule 3).

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};

use super::{Claim, Standing, rules::Rules, scope::Scope};
use crate::{
    Block, BlockId, BlockKind, ConnectionId, House, NightSet, Nights, Origin, Picture, Source, occupancy::Turnovers,
};

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
    /// By index: the connections whose stays it only repeats, all of its own being theirs too.
    pub(super) repeats: u64,
    pub(super) first_seen_at: Timestamp,
    /// When the newest of its stays was first seen: by this the oldest claim is found, so that an echo which lies on a
    /// stay of its own site makes that site no older, or its link would swing.
    pub(super) newest_at: Timestamp,
}

/// One night.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Since when the host's own block or a turnover takes it.
    pub(super) host: Option<Timestamp>,
    /// By index of the connection among the picture's sources.
    pub(super) cells: &'a [Cell],
}

impl Row<'_> {
    /// Whether somebody holds the night, or may.
    pub(super) fn is_held(&self) -> bool {
        self.host.is_some() || self.cells.iter().any(Cell::may_hold)
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    pub(super) presence: Option<Presence>,
    /// Of the claim, where there is one.
    pub(super) standing: Option<Standing>,
    pub(super) since: Option<Timestamp>,
    /// When its stays came to lie on the night, where that is later than they were first seen.
    pub(super) came_at: Option<Timestamp>,
    pub(super) asked: bool,
}

impl Cell {
    fn may_hold(&self) -> bool {
        self.standing.is_some_and(|standing| standing != Standing::Echo)
    }

    /// What is written down of the claim here.
    fn write(&mut self, claim: &Claim) {
        let Some(presence) = self.presence else { return };
        self.standing = Some(if presence.foreign { claim.standing } else { Standing::Echo });
        self.since = Some(claim.since);
        self.came_at = claim.came_at();
    }

    /// Since when others' links can carry the night for its stays; none where they do not.
    pub(super) fn carried_since(&self) -> Option<Timestamp> {
        let presence = self.presence.filter(|_| self.may_hold())?;
        Some(self.came_at.unwrap_or(presence.first_seen_at))
    }
}

/// The nights that are looked at.
#[derive(Debug)]
pub(super) struct Table<'a, 's> {
    pub(super) sources: Vec<(&'a ConnectionId, &'a Source)>,
    scope: &'s Scope,
    hosts: Vec<Option<Timestamp>>,
    /// Night by night, connection by connection.
    cells: Vec<Cell>,
}

impl<'a, 's> Table<'a, 's> {
    pub(super) fn of(picture: &Picture<'a>, scope: &'s Scope, now: Timestamp) -> Self {
        let sources: Vec<(&ConnectionId, &Source)> =
            picture.sources.iter().filter(|(_, source)| source.blocks).collect();
        let (hosts, cells) = (vec![None; scope.len()], vec![Cell::default(); scope.len() * sources.len()]);
        let mut table = Self { sources, scope, hosts, cells };
        let turnovers = Turnovers::of(picture);
        let repeated = table.repeated(picture);
        for block in picture.blocks {
            if let Some(nights) = turnovers.after(block).filter(|_| picture.counts(block)) {
                table.take_by_host(nights, block.first_seen_at);
            }
            let Some(nights) = block.extent.nights(picture.house) else { continue };
            let places = scope.places(nights);
            if places.is_empty() {
                continue;
            }
            let Origin::Feed(origin) = &block.origin else {
                table.take_by_host(nights, block.first_seen_at);
                continue;
            };
            let Some(at) = table.index(&origin.connection) else { continue };
            let held = origin.hold.is_some();
            let one = Presence {
                shown: !held,
                held,
                evident: picture.is_evident(block),
                foreign: !block.is_ours(),
                under_way: block.kind != BlockKind::Closure && has_begun(block, picture.house, now),
                repeats: table.repeated_by(picture, block, at, &repeated),
                first_seen_at: block.first_seen_at,
                newest_at: block.first_seen_at,
            };
            let width = table.sources.len();
            for place in places {
                if let Some(cell) = table.cells.get_mut(place * width + at) {
                    cell.presence = Some(cell.presence.map_or(one, |known| known.with(one)));
                }
            }
        }
        table.fill(picture);
        table
    }

    /// What stays take is certain, but where something else is written down.
    fn fill(&mut self, picture: &Picture<'_>) {
        let width = self.sources.len();
        for cell in &mut self.cells {
            let Some(presence) = cell.presence else { continue };
            cell.standing = Some(if presence.foreign { Standing::Certain } else { Standing::Echo });
            cell.since = Some(presence.newest_at);
        }
        for (at, (id, _)) in self.sources.iter().enumerate() {
            let Some(written) = picture.claims.connections.get(*id) else { continue };
            for (nights, claim) in written.claims.iter() {
                for place in self.scope.places(*nights) {
                    let cell = self.cells.get_mut(place * width + at);
                    cell.into_iter().for_each(|cell| cell.write(claim));
                }
            }
            for (nights, part) in written.parts.iter().filter(|(_, part)| part.asked.is_some()) {
                for place in self.scope.places(*nights) {
                    let cell = self.cells.get_mut(place * width + at).filter(|cell| cell.presence.is_some());
                    cell.into_iter().for_each(|cell| cell.asked = part.asked.is_some());
                }
            }
        }
    }

    /// For the nights of each stay the connections that have such a one, by their indexes. What lies on another event of
    /// its own feed may be an echo, and is nobody's stay unless its text says so.
    fn repeated(&self, picture: &Picture<'_>) -> BTreeMap<Nights, u64> {
        let mut all = BTreeMap::new();
        if !self.sources.iter().any(|(_, source)| source.aggregates) {
            return all;
        }
        let mut by_source: BTreeMap<usize, Vec<(Nights, &Block)>> = BTreeMap::new();
        for block in picture.blocks.iter().filter(|block| !block.is_ours()) {
            let at = block.connection().and_then(|connection| self.index(connection)).filter(|at| *at < 64);
            if let Some((at, nights)) = at.zip(block.extent.nights(picture.house)) {
                by_source.entry(at).or_default().push((nights, block));
            }
        }
        for (at, stays) in by_source {
            let shown = picture.blocks.iter().filter(|block| self.is_shown_by(at, block));
            let mut shown: Vec<Nights> = shown.filter_map(|block| block.extent.nights(picture.house)).collect();
            shown.sort_unstable();
            let mut ends: Vec<_> = shown.iter().map(|nights| nights.end()).collect();
            ends.sort_unstable();
            for (nights, block) in stays {
                // Those that begin before its end, without those that end before its start.
                let overlapping = shown.partition_point(|one| one.first() < nights.end())
                    - ends.partition_point(|end| *end <= nights.first());
                let alone = overlapping <= usize::from(block.hold().is_none());
                if alone || picture.is_evident(block) {
                    *all.entry(nights).or_default() |= 1 << at;
                }
            }
        }
        all
    }

    fn is_shown_by(&self, at: usize, block: &Block) -> bool {
        let connection = self.sources.get(at).map(|(id, _)| *id);
        block.connection() == connection && block.hold().is_none()
    }

    /// The connections with a stay that this one repeats.
    fn repeated_by(&self, picture: &Picture<'_>, block: &Block, at: usize, repeated: &BTreeMap<Nights, u64>) -> u64 {
        if block.is_ours() || !picture.source_of(block).is_some_and(|source| source.aggregates) {
            return 0;
        }
        let found = block.extent.nights(picture.house).and_then(|nights| repeated.get(&nights)).copied().unwrap_or(0);
        let own = if at < 64 { 1 << at } else { 0 };
        found & !own
    }

    pub(super) fn index(&self, connection: &ConnectionId) -> Option<usize> {
        self.sources.iter().position(|(id, _)| *id == connection)
    }

    /// The night at a place among those that are looked at.
    pub(super) fn row(&self, place: usize) -> Option<Row<'_>> {
        let width = self.sources.len();
        let cells = self.cells.get(place * width..(place + 1) * width)?;
        Some(Row { host: *self.hosts.get(place)?, cells })
    }

    fn take_by_host(&mut self, nights: Nights, since: Timestamp) {
        if let Some(hosts) = self.hosts.get_mut(self.scope.places(nights)) {
            hosts.iter_mut().for_each(|host| *host = Some(host.map_or(since, |known| known.min(since))));
        }
    }
}

/// Whether a stay is under way, or over.
fn has_begun(block: &Block, house: &House, now: Timestamp) -> bool {
    let (first, _) = block.extent.days_about();
    let may_have = first <= now.as_second().div_euclid(24 * 60 * 60) + 1;
    may_have && block.extent.times(house).start() <= now
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
            repeats: self.repeats & other.repeats,
            first_seen_at: self.first_seen_at.min(other.first_seen_at),
            newest_at: self.newest_at.max(other.newest_at),
        }
    }
}

/// Whether one source's link carries a night: another holds it or may hold it, and neither a question nor a loop of
/// witnesses is in the way.
pub(super) fn carries(row: Row<'_>, at: usize, sources: &[(&ConnectionId, &Source)], rules: Rules) -> bool {
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
    let certain = |cell: &Cell| cell.standing == Some(Standing::Certain);
    let holds = certain(&mine) && mine.presence.is_some_and(|presence| presence.shown);
    // What only repeats a stay that X surely holds is X's own stay.
    let repeats = |cell: &Cell| holds && cell.presence.is_some_and(|one| at < 64 && one.repeats >> at & 1 == 1);
    let others = row.cells.iter().enumerate().filter(|(other, cell)| *other != at && !repeats(cell));
    let mut others = others.map(|(_, cell)| cell);
    if !others.clone().any(|cell| cell.may_hold()) {
        return false;
    }
    let evident = |cell: &Cell| cell.presence.is_some_and(|presence| presence.evident);
    if !holds {
        return true;
    }
    // 3b: the others' claims are all possible, and X has a certain one.
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
    nights: NightSet,
    /// Nights that some stay of another connection, or the host, surely takes: what else may take them need not be shown.
    certain: NightSet,
    own: Option<&'a ConnectionId>,
    today: Date,
}

impl<'a> LeftOff<'a> {
    /// For the link of this connection; none for an extra link, which leaves nothing out.
    #[must_use]
    pub fn of(picture: &'a Picture<'a>, own: Option<&'a ConnectionId>, now: Timestamp) -> Self {
        Self::by(picture, own, now, Rules::default())
    }

    /// For the link of every connection that has one.
    #[must_use]
    pub fn of_all(picture: &'a Picture<'a>, now: Timestamp) -> Vec<(&'a ConnectionId, Self)> {
        let scope = Scope::of_all(picture.house.date(now), &[picture]);
        let table = Table::of(picture, &scope, now);
        let linked = picture.sources.iter().filter(|(_, source)| source.has_link);
        linked.map(|(id, _)| (id, Self::in_table(&table, picture, Some(id), Rules::default()))).collect()
    }

    pub(crate) fn by(picture: &'a Picture<'a>, own: Option<&'a ConnectionId>, now: Timestamp, rules: Rules) -> Self {
        let scope = Scope::of_all(picture.house.date(now), &[picture]);
        Self::in_table(&Table::of(picture, &scope, now), picture, own, rules)
    }

    fn in_table(table: &Table<'a, '_>, picture: &'a Picture<'a>, own: Option<&'a ConnectionId>, rules: Rules) -> Self {
        let from = table.scope.from;
        let mut left = Self { picture, nights: NightSet::default(), certain: NightSet::default(), own, today: from };
        let at = own.and_then(|own| table.index(own));
        for (place, one) in table.scope.nights().enumerate() {
            let Some(row) = table.row(place) else { continue };
            let others = row.cells.iter().enumerate().filter(|(other, _)| Some(*other) != at);
            if others.clone().any(|(_, cell)| cell.standing == Some(Standing::Certain)) {
                left.certain.insert(one);
            }
            if let Some(at) = at
                && others.clone().any(|(_, cell)| cell.may_hold())
                && !carries(row, at, &table.sources, rules)
            {
                left.nights.insert(one);
            }
        }
        left
    }

    /// Whether the link shows every night of a block of another connection, or of the host, for all that a first look
    /// tells.
    pub(crate) fn shows_whole(&self, block: &Block) -> bool {
        let written = block.connection().and_then(|connection| self.picture.claims.connections.get(connection));
        block.is_own() || (self.nights.is_empty() && written.is_none_or(|mine| mine.claims.is_empty()))
    }

    /// Whether the link shows a block of another connection, or of the host, on a night.
    #[must_use]
    pub fn shows(&self, block: &Block, night: Date) -> bool {
        if block.is_own() {
            return true;
        }
        match self.picture.standing(block, night) {
            Standing::Echo => false,
            Standing::Possible => night >= self.today && !self.nights.contains(night) && !self.certain.contains(night),
            Standing::Certain => !self.nights.contains(night),
        }
    }

    /// The same for all of its nights.
    pub(crate) fn shown(&self, block: &Block, nights: Nights) -> Vec<Nights> {
        if block.is_own() {
            return vec![nights];
        }
        let mut shown = Vec::new();
        for (run, standing) in self.picture.standings(block, nights) {
            match standing {
                Standing::Echo => {}
                Standing::Possible => {
                    let ahead = Nights::new(run.first().max(self.today), run.end());
                    let here = ahead.into_iter().flat_map(|run| self.nights.missing_of(run));
                    shown.extend(here.flat_map(|run| self.certain.missing_of(run)));
                }
                Standing::Certain => shown.extend(self.nights.missing_of(run)),
            }
        }
        shown
    }

    /// When it was last decided which nights of a block are left out.
    #[must_use]
    pub fn cut_at(&self, block: &Block) -> Timestamp {
        let Some(nights) = block.extent.nights(self.picture.house) else { return Timestamp::MIN };
        let connections = &self.picture.claims.connections;
        let theirs = block.connection().and_then(|connection| connections.get(connection));
        let claims = theirs.into_iter().flat_map(|mine| mine.claims.touching(nights));
        let ours = self.own.and_then(|own| connections.get(own));
        let link = ours.into_iter().flat_map(|mine| mine.link.touching(nights));
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
    let others = LeftOff::of_all(picture, now).into_iter().filter(|(id, _)| block.connection() != Some(*id));
    others.filter(|(_, left_off)| left_off.shows(block, night)).map(|(id, _)| id.clone()).collect()
}
