//! Conflicts: time claimed by stays of different sources that all stand.
//!
//! One sweep over time finds the runs on which stays clash, so that two feeds full of the same nights make one conflict
//! with a count, and not a pair for each two of their stays.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{Timestamp, civil::Time};

use crate::{
    Block, BlockId, BlockKind, ConflictId, ConnectionId, Extent, Nights, Picture, Standing, Times, claims::FARTHEST,
    mirror::Mirrors, span::Days,
};

/// So many stays of one conflict are named; of the others it is known how many they are.
pub const CLAIMANTS_NAMED: usize = 16;

/// Stays that can't all be. It lasts for as long as two of them go on clashing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub id: ConflictId,
    /// The stays that clash, in order of id: what the host said to be gone, what was named before, the next arrivals.
    /// What was said to be gone stays as long as there is room, also when it claims nothing here any more.
    pub blocks: Vec<BlockId>,
    /// How many more clash, and are not named.
    pub more: u32,
    /// Which of all was seen first; it is named.
    pub first: BlockId,
    /// The nights that at least two of them claim; none where only hours of a day clash, as a late check-out and an
    /// arrival do.
    pub nights: Option<Nights>,
    /// When the first of the guests arrives: the deadline for the host.
    pub arrives_at: Timestamp,
    pub opened_at: Timestamp,
    /// The host said of these that they no longer stand. They are kept, so that the conflict does not open again, and
    /// tells to its end what was said.
    pub gone: BTreeSet<BlockId>,
    /// What the host did not say to be gone does not clash among itself.
    pub settled: bool,
}

/// All conflicts of a property.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conflicts {
    /// Open ones and ones that the host settled; the next arrival first.
    pub standing: Vec<Conflict>,
    /// Of these, which are new.
    pub opened: Vec<ConflictId>,
    /// Which closed by themselves, because no two of their stays clash any more.
    pub closed: Vec<Conflict>,
}

impl Conflict {
    /// The same after the host said that a stay of it is gone.
    #[must_use]
    pub fn with_gone(&self, picture: &Picture<'_>, gone: &BlockId) -> Self {
        let mut after = self.clone();
        after.gone.insert(gone.clone());
        let left: Vec<&Block> = picture
            .blocks
            .iter()
            .filter(|block| after.blocks.contains(&block.id) && !after.gone.contains(&block.id))
            .collect();
        after.settled = after.more == 0 && !any_two(&left, may_clash_with);
        after
    }
}

/// The conflicts that stand now. `known` are those of before; `ids` yields fresh random ids.
#[must_use]
pub fn conflicts(
    known: &[Conflict],
    picture: &Picture<'_>,
    now: Timestamp,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Conflicts {
    conflicts_among(known, picture, now, ids, beside_another)
}

/// The same of all stays, also of those that are alone on their nights.
#[cfg(test)]
pub(crate) fn conflicts_of_all(
    known: &[Conflict],
    picture: &Picture<'_>,
    now: Timestamp,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Conflicts {
    conflicts_among(known, picture, now, ids, |all| all)
}

fn conflicts_among(
    known: &[Conflict],
    picture: &Picture<'_>,
    now: Timestamp,
    ids: &mut dyn FnMut() -> [u8; 16],
    may_clash: fn(Vec<&Block>) -> Vec<&Block>,
) -> Conflicts {
    let stays = Stays::of(picture, known, now, may_clash);
    let mut runs = Sweep::of(picture, &stays).runs();
    let horizon = picture.house.instant(picture.house.date(now).days_later(FARTHEST).to_datetime(Time::midnight()));
    runs.retain(|run| run.times.end() > now && run.times.start() < horizon);
    let same = same_as(&runs, known, &stays);

    let mut out = Conflicts::default();
    let mut goes_on = BTreeSet::new();
    for (at, run) in runs.iter().enumerate() {
        let (before, is_it) = same.get(&at).map_or((None, false), |(before, is_it)| (known.get(*before), *is_it));
        // What is only held may be gone already: it keeps a conflict open, and opens none.
        if before.is_none() && !run.of_shown {
            continue;
        }
        let mut blocks: BTreeSet<&BlockId> = run.named.iter().filter_map(|at| stays.id(*at)).collect();
        let said = |block: &&Block| before.is_some_and(|before| before.gone.contains(&block.id));
        let here = run.named.iter().filter_map(|at| stays.all.get(*at)).map(|stay| stay.block);
        let here = here.filter(said).filter(|block| !insists_on(picture, block));
        let mut gone: BTreeSet<&BlockId> = here.map(|block| &block.id).collect();
        let more = run.count.saturating_sub(run.named.len());
        let left: Vec<&Block> = run
            .named
            .iter()
            .filter_map(|at| stays.all.get(*at))
            .map(|stay| stay.block)
            .filter(|block| !gone.contains(&block.id))
            .collect();
        let settled = more == 0 && !any_two(&left, may_clash_with);
        // One that was settled and is no more, because another stay claims it too, is told anew.
        let before = before.filter(|before| is_it && (settled || !before.settled));
        let id = before.map_or_else(|| ConflictId::from_random(ids()), |before| before.id.clone());
        match before {
            Some(before) => {
                goes_on.insert(&before.id);
                let room = CLAIMANTS_NAMED.saturating_sub(blocks.len());
                let left_it: Vec<&BlockId> =
                    before.gone.iter().filter(|gone| !blocks.contains(gone)).take(room).collect();
                blocks.extend(&left_it);
                gone.extend(left_it);
            }
            None if settled => {}
            None => out.opened.push(id.clone()),
        }
        out.standing.push(Conflict {
            id,
            blocks: blocks.into_iter().cloned().collect(),
            more: u32::try_from(more).unwrap_or(u32::MAX),
            first: run.first.clone(),
            nights: picture.house.nights_of(run.times),
            arrives_at: run.arrives_at,
            opened_at: before.map_or(now, |before| before.opened_at),
            gone: gone.into_iter().cloned().collect(),
            settled,
        });
    }
    out.closed = known.iter().filter(|known| !goes_on.contains(&known.id)).cloned().collect();
    out.closed.sort_by(|a, b| a.id.cmp(&b.id));
    out.standing.sort_by(|a, b| (a.arrives_at, &a.id).cmp(&(b.arrives_at, &b.id)));
    out
}

/// For each run the known conflict that it is about, and whether it is that one itself or a piece of it. Two stays of
/// it have to be left that clash; most common nights, then most such pairs count.
fn same_as(runs: &[Run<'_>], known: &[Conflict], stays: &Stays<'_>) -> BTreeMap<usize, (usize, bool)> {
    let mut named_in: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, conflict) in known.iter().enumerate() {
        for stay in conflict.blocks.iter().filter_map(|block| stays.place(block)) {
            named_in.entry(stay).or_default().push(number);
        }
    }
    let mut common: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (at, run) in runs.iter().enumerate() {
        let mut left: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for stay in &run.named {
            for number in named_in.get(stay).into_iter().flatten() {
                left.entry(*number).or_default().insert(*stay);
            }
        }
        for (number, named) in left {
            let pairs = stays.clashing_pairs(&named);
            if pairs > 0 {
                common.insert((at, number), pairs);
            }
        }
    }
    let shared = |at: usize, number: usize| {
        let times = runs.get(at).map(|run| run.times)?;
        let nights = stays.house.nights_of(times)?;
        Some(nights.intersection(known.get(number)?.nights?)?.count())
    };
    let mut ranked: Vec<_> =
        common.into_iter().map(|((at, number), pairs)| (Reverse((shared(at, number), pairs)), at, number)).collect();
    ranked.sort_unstable();
    let (mut same, mut used) = (BTreeMap::new(), BTreeSet::new());
    for (_, at, number) in &ranked {
        if !same.contains_key(at) && used.insert(*number) {
            same.insert(*at, (*number, true));
        }
    }
    for (_, at, number) in ranked {
        same.entry(at).or_insert((number, false));
    }
    same
}

/// Whether the site of a stay that was said to be gone holds it nevertheless: the host's word made its nights uncertain,
/// and only its site makes them certain again. Where they were evident, or there are hours alone, the word changed nothing.
fn insists_on(picture: &Picture<'_>, block: &Block) -> bool {
    !picture.is_evident(block) && block.extent.nights(picture.house).is_some()
}

/// Whether two blocks are such that they can't both be at the same time.
fn may_clash_with(one: &Block, other: &Block) -> bool {
    let extends = one.extends() == Some(&other.id) || other.extends() == Some(&one.id);
    one.connection() != other.connection() && !extends
}

fn any_two<T: Copy>(all: &[T], mut both: impl FnMut(T, T) -> bool) -> bool {
    all.iter().enumerate().any(|(at, one)| all.iter().skip(at + 1).any(|other| both(*one, *other)))
}

/// Whether a block is a stay of somebody, for all that is known.
fn is_stay(picture: &Picture<'_>, block: &Block) -> bool {
    let is_stay = match block.kind {
        BlockKind::Reservation | BlockKind::Tentative => true,
        BlockKind::Closure => picture.source_of(block).is_some_and(|source| !source.tells_reservations_apart),
        BlockKind::RuleClosure => false,
    };
    is_stay && !block.is_ours() && picture.counts(block)
}

/// Those that may share time with one of another source, for all that their days tell: no other can clash, or repeat what
/// does. Most stays of a property are alone on their nights, and are done with here.
fn beside_another(blocks: Vec<&Block>) -> Vec<&Block> {
    let mut all: Vec<(i64, i64, &Block)> = blocks
        .into_iter()
        .map(|block| {
            let (first, end) = block.extent.days_about();
            (first, end, block)
        })
        .collect();
    all.sort_by_key(|(first, end, _)| (*first, *end));
    let mut is_beside = vec![false; all.len()];
    // The source with the latest end so far, and the latest end of any other source.
    let (mut latest, mut of_others): (Option<(i64, Option<&ConnectionId>)>, i64) = (None, i64::MIN);
    for ((first, end, block), is_beside) in all.iter().zip(&mut is_beside) {
        let source = block.connection();
        match latest {
            Some((until, of)) if of != source => {
                *is_beside = until > *first;
                if *end >= until {
                    (latest, of_others) = (Some((*end, source)), until);
                } else {
                    of_others = of_others.max(*end);
                }
            }
            Some((until, _)) => {
                *is_beside = of_others > *first;
                latest = Some((until.max(*end), source));
            }
            None => latest = Some((*end, source)),
        }
    }
    // The next that begins and is of another source.
    let mut next: Option<(i64, Option<&ConnectionId>)> = None;
    let mut of_another: Option<i64> = None;
    for ((first, end, block), is_beside) in all.iter().zip(&mut is_beside).rev() {
        let source = block.connection();
        if let Some((begins, of)) = next
            && of != source
        {
            of_another = Some(begins);
        }
        *is_beside |= of_another.is_some_and(|begins| begins < *end);
        next = Some((*first, source));
    }
    all.into_iter().zip(is_beside).filter(|(_, is_beside)| *is_beside).map(|((_, _, block), _)| block).collect()
}

// ---- who may clash ----------------------------------------------------------------------------------------------

struct Stay<'a> {
    block: &'a Block,
    /// When it really begins.
    arrives_at: Timestamp,
    /// From check-in on its first night, or earlier, to check-out, or later: two stays share a night or hours of a day
    /// just when these overlap.
    claims: Times,
    nights: Option<Nights>,
    /// The place of the stay of a feed that this own block extends.
    extends: Option<usize>,
    /// Connections whose stay this one only repeats, and of these those that show it.
    origins: Vec<&'a ConnectionId>,
    shown_origins: Vec<&'a ConnectionId>,
    /// By what the named ones are chosen: said to be gone, named before, the next arrival.
    rank: Rank,
}

type Rank = (bool, bool, usize);

/// In order of arrival, then id.
struct Stays<'a> {
    house: &'a crate::House,
    all: Vec<Stay<'a>>,
    places: BTreeMap<&'a BlockId, usize>,
}

impl<'a> Stays<'a> {
    fn of(
        picture: &Picture<'a>,
        known: &[Conflict],
        now: Timestamp,
        may_clash: fn(Vec<&Block>) -> Vec<&Block>,
    ) -> Self {
        let house = picture.house;
        let named: BTreeSet<&BlockId> = known.iter().flat_map(|known| &known.blocks).collect();
        let gone: BTreeSet<&BlockId> = known.iter().flat_map(|known| &known.gone).collect();
        let takes_part =
            |block: &&Block| is_stay(picture, block) && (block.hold().is_none() || named.contains(&block.id));
        let mut blocks = may_clash(picture.blocks.iter().filter(takes_part).collect());
        // Still to come or under way.
        blocks.retain(|block| block.extent.times(house).end() > now);
        let mirrors = Mirrors::among(picture, blocks.iter().copied());
        let shown = Mirrors::among(picture, blocks.iter().copied().filter(|block| block.hold().is_none()));
        let mut all: Vec<Stay<'_>> = blocks
            .into_iter()
            .map(|block| {
                let (times, nights) = (block.extent.times(house), block.extent.nights(house));
                let whole = match block.extent {
                    Extent::Nights(_) => times,
                    Extent::Times(_) => nights.map_or(times, |nights| house.times_of(nights)),
                };
                let (start, end) = (times.start().min(whole.start()), times.end().max(whole.end()));
                Stay {
                    block,
                    arrives_at: times.start(),
                    claims: Times::new(start, end).unwrap_or(times),
                    nights,
                    extends: None,
                    origins: mirrors.origins(block),
                    shown_origins: shown.origins(block),
                    rank: (!gone.contains(&block.id), !named.contains(&block.id), 0),
                }
            })
            .collect();
        all.sort_by(|a, b| (a.arrives_at, &a.block.id).cmp(&(b.arrives_at, &b.block.id)));
        let places: BTreeMap<&BlockId, usize> = all.iter().enumerate().map(|(at, stay)| (&stay.block.id, at)).collect();
        let is_own: BTreeSet<usize> =
            all.iter().enumerate().filter(|(_, stay)| stay.block.is_own()).map(|(at, _)| at).collect();
        for (at, stay) in all.iter_mut().enumerate() {
            stay.rank.2 = at;
            let extended = stay.block.extends().and_then(|id| places.get(id)).copied();
            stay.extends = extended.filter(|at| !is_own.contains(at));
        }
        Self { house, all, places }
    }

    fn place(&self, block: &BlockId) -> Option<usize> {
        self.places.get(block).copied()
    }

    fn id(&self, at: usize) -> Option<&'a BlockId> {
        self.all.get(at).map(|stay| &stay.block.id)
    }

    /// How many two of these can't both be.
    fn clashing_pairs(&self, named: &BTreeSet<usize>) -> usize {
        let mut pairs = 0;
        for one in named {
            for other in named.range(one + 1..) {
                let both = self.all.get(*one).zip(self.all.get(*other));
                pairs += usize::from(both.is_some_and(|(a, b)| may_clash_with(a.block, b.block)));
            }
        }
        pairs
    }
}

// ---- the sweep --------------------------------------------------------------------------------------------------

/// Stays that claim the same time.
#[derive(Default)]
struct Crowd<'a> {
    members: BTreeSet<usize>,
    /// How many there are of each source; none is the host.
    sources: BTreeMap<Option<&'a ConnectionId>, usize>,
    /// By the stay of a feed: how many own blocks that extend it are here.
    extensions: BTreeMap<usize, usize>,
    /// Pairs of a stay and its extension that are both here.
    linked: usize,
}

fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn take<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl<'a> Crowd<'a> {
    /// How many here are its extensions, or the stay that it extends.
    fn links(&self, at: usize, stay: &Stay<'a>) -> usize {
        let extended = stay.extends.is_some_and(|extended| self.members.contains(&extended));
        self.extensions.get(&at).copied().unwrap_or(0) + usize::from(extended)
    }

    /// Whether it was not here before.
    fn enter(&mut self, at: usize, stay: &Stay<'a>) -> bool {
        if !self.members.insert(at) {
            return false;
        }
        self.linked += self.links(at, stay);
        add(&mut self.sources, stay.block.connection());
        if let Some(extended) = stay.extends {
            add(&mut self.extensions, extended);
        }
        true
    }

    /// Whether it was here.
    fn leave(&mut self, at: usize, stay: &Stay<'a>) -> bool {
        if !self.members.remove(&at) {
            return false;
        }
        self.linked = self.linked.saturating_sub(self.links(at, stay));
        take(&mut self.sources, stay.block.connection());
        if let Some(extended) = stay.extends {
            take(&mut self.extensions, extended);
        }
        true
    }

    /// How many of the host's own and of the feed's are here, where all are of these two sources.
    fn host_and_one_feed(&self) -> Option<(usize, usize)> {
        let own = *self.sources.get(&None)?;
        (self.sources.len() == 2).then(|| (own, self.members.len().saturating_sub(own)))
    }

    fn clashes(&self) -> bool {
        match self.host_and_one_feed() {
            Some((own, feed)) => own.saturating_mul(feed) > self.linked,
            None => self.sources.len() > 1,
        }
    }

    /// Those who clash with nobody here though others do: a stay that all own blocks here extend, or own blocks beside
    /// no other stay than the one that they extend.
    fn spared(&self, stays: &Stays<'a>) -> BTreeSet<usize> {
        let Some((own, feed)) = self.host_and_one_feed().filter(|_| self.linked > 0) else { return BTreeSet::new() };
        if feed == 1 {
            let extends = |at: &&usize| {
                let extended = stays.all.get(**at).and_then(|stay| stay.extends);
                extended.is_some_and(|extended| self.members.contains(&extended))
            };
            return self.members.iter().filter(extends).copied().collect();
        }
        let by_all = self.extensions.iter().filter(|(at, count)| **count == own && self.members.contains(at));
        by_all.map(|(at, _)| *at).collect()
    }
}

/// A longest time during which two stays go on clashing.
struct Run<'a> {
    times: Times,
    named: BTreeSet<usize>,
    count: usize,
    first: &'a BlockId,
    arrives_at: Timestamp,
    /// At some time two clash that their feeds show.
    of_shown: bool,
}

/// One that has not ended yet.
struct Open<'a> {
    number: usize,
    from: Timestamp,
    count: usize,
    ranked: BTreeSet<Rank>,
    arrives_at: Timestamp,
    seen: Seen<'a>,
    of_shown: bool,
    /// They are here, and have not clashed with anybody yet.
    spared: BTreeSet<usize>,
}

/// When it was first seen, id, place.
type Seen<'a> = (Timestamp, &'a BlockId, usize);

#[derive(Default)]
struct Events<'a> {
    ends: Vec<usize>,
    begins: Vec<usize>,
    /// From now on this connection's claims are certain, or no more.
    turns: Vec<(&'a ConnectionId, bool)>,
}

struct Sweep<'a, 's> {
    picture: &'s Picture<'a>,
    stays: &'s Stays<'a>,
    events: BTreeMap<Timestamp, Events<'a>>,
    /// Stays whose time it is, by source; and those that may repeat another's.
    present: BTreeMap<Option<&'a ConnectionId>, BTreeSet<usize>>,
    repeating: BTreeSet<usize>,
    /// Connections whose claims are not certain now.
    doubtful: BTreeSet<&'a ConnectionId>,
    /// Of the present ones, who is certain and repeats nobody; and of these whom its feed shows.
    all: Crowd<'a>,
    shown: Crowd<'a>,
    ranked: BTreeSet<Rank>,
    seen: BTreeSet<Seen<'a>>,
    open: Option<Open<'a>>,
    /// In which run a stay was last, if it left before that run ended.
    left: BTreeMap<usize, usize>,
    runs: Vec<Run<'a>>,
    started: usize,
}

impl<'a, 's> Sweep<'a, 's> {
    fn of(picture: &'s Picture<'a>, stays: &'s Stays<'a>) -> Self {
        let mut events: BTreeMap<Timestamp, Events<'a>> = BTreeMap::new();
        for (at, stay) in stays.all.iter().enumerate() {
            events.entry(stay.claims.start()).or_default().begins.push(at);
            events.entry(stay.claims.end()).or_default().ends.push(at);
        }
        let house = picture.house;
        for (connection, mine) in &picture.claims.connections {
            for (nights, _) in mine.claims.iter().filter(|(_, claim)| claim.standing != Standing::Certain) {
                // Runs come in order: one that follows at once turns it back.
                let turns = [(nights.first(), false), (nights.end(), true)];
                for (night, certain) in turns {
                    let at = house.instant(night.to_datetime(house.check_in()));
                    events.entry(at).or_default().turns.push((connection, certain));
                }
            }
        }
        Self {
            picture,
            stays,
            events,
            present: BTreeMap::new(),
            repeating: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            all: Crowd::default(),
            shown: Crowd::default(),
            ranked: BTreeSet::new(),
            seen: BTreeSet::new(),
            open: None,
            left: BTreeMap::new(),
            runs: Vec::new(),
            started: 0,
        }
    }

    fn runs(mut self) -> Vec<Run<'a>> {
        for (at, events) in std::mem::take(&mut self.events) {
            self.step(at, events);
        }
        self.runs
    }

    fn step(&mut self, at: Timestamp, events: Events<'a>) {
        for stay in events.ends {
            self.leave(stay, (true, true));
            self.be_present(stay, false);
        }
        let mut turned = BTreeSet::new();
        for (connection, certain) in events.turns {
            let changed = if certain { self.doubtful.remove(connection) } else { self.doubtful.insert(connection) };
            if changed {
                turned.extend(self.present.get(&Some(connection)).into_iter().flatten().copied());
                turned.extend(self.repeating.iter().copied());
            }
        }
        for stay in &turned {
            let (of_all, of_shown) = self.takes_part(*stay, |connection| !self.doubtful.contains(connection));
            self.leave(*stay, (!of_all, !of_shown));
        }
        if self.open.is_some() && !self.all.clashes() {
            self.close(at);
        }
        let mut entered = Vec::new();
        for stay in turned {
            let part = self.takes_part(stay, |connection| !self.doubtful.contains(connection));
            self.enter(stay, part, &mut entered);
        }
        for stay in events.begins {
            self.be_present(stay, true);
            // Hours before its first night count as that night does.
            let first = self.stays.all.get(stay).and_then(|stay| stay.nights).map(Nights::first);
            let claims = self.picture.claims;
            let claim = |connection: &ConnectionId| first.and_then(|night| claims.claim(connection, night));
            let part = self.takes_part(stay, |connection| {
                claim(connection).is_none_or(|claim| claim.standing == Standing::Certain)
            });
            self.enter(stay, part, &mut entered);
        }
        if self.all.clashes() {
            self.go_on(at, &entered);
        }
    }

    fn be_present(&mut self, at: usize, present: bool) {
        let Some(stay) = self.stays.all.get(at) else { return };
        let of_source = self.present.entry(stay.block.connection()).or_default();
        if present {
            of_source.insert(at);
        } else {
            of_source.remove(&at);
            self.repeating.remove(&at);
        }
        if present && !stay.origins.is_empty() {
            self.repeating.insert(at);
        }
    }

    /// Whether a stay that is present is certain and repeats nobody, and whether that is so among those that are shown.
    fn takes_part(&self, at: usize, is_certain: impl Fn(&ConnectionId) -> bool) -> (bool, bool) {
        let Some(stay) = self.stays.all.get(at) else { return (false, false) };
        let certain = stay.block.connection().is_none_or(&is_certain);
        let repeats = |origins: &[&ConnectionId]| origins.iter().any(|origin| is_certain(origin));
        let shown = stay.block.hold().is_none();
        (certain && !repeats(&stay.origins), certain && shown && !repeats(&stay.shown_origins))
    }

    fn leave(&mut self, at: usize, (all, shown): (bool, bool)) {
        let Some(stay) = self.stays.all.get(at) else { return };
        if shown {
            self.shown.leave(at, stay);
        }
        if all && self.all.leave(at, stay) {
            self.ranked.remove(&stay.rank);
            self.seen.remove(&seen(at, stay));
            if let Some(open) = &mut self.open
                && !open.spared.remove(&at)
            {
                self.left.insert(at, open.number);
            }
        }
    }

    fn enter(&mut self, at: usize, (all, shown): (bool, bool), entered: &mut Vec<usize>) {
        let Some(stay) = self.stays.all.get(at) else { return };
        if shown {
            self.shown.enter(at, stay);
        }
        if all && self.all.enter(at, stay) {
            self.ranked.insert(stay.rank);
            self.seen.insert(seen(at, stay));
            entered.push(at);
        }
    }

    /// Begins a run, or lets one grow.
    fn go_on(&mut self, now: Timestamp, entered: &[usize]) {
        let spared = self.all.spared(self.stays);
        let of_shown = self.shown.clashes();
        match &mut self.open {
            Some(open) => {
                let anew = |at: &usize| self.left.get(at) != Some(&open.number);
                let mut joined: BTreeSet<usize> = entered.iter().copied().filter(anew).collect();
                joined.append(&mut open.spared);
                for at in joined {
                    if spared.contains(&at) {
                        open.spared.insert(at);
                    } else if let Some(stay) = self.stays.all.get(at) {
                        open.join(at, stay);
                    }
                }
                open.of_shown |= of_shown;
            }
            None => {
                let clashes = |at: &usize| !spared.contains(at);
                let ranked = self.ranked.iter().filter(|rank| clashes(&rank.2)).take(CLAIMANTS_NAMED).copied();
                let arrives = self.all.members.iter().find(|at| clashes(at)).and_then(|at| self.stays.all.get(*at));
                let seen = self.seen.iter().find(|(_, _, at)| clashes(at));
                let (Some(arrives), Some(seen)) = (arrives, seen) else { return };
                self.started += 1;
                self.open = Some(Open {
                    number: self.started,
                    from: now,
                    count: self.all.members.len().saturating_sub(spared.len()),
                    ranked: ranked.collect(),
                    arrives_at: arrives.arrives_at,
                    seen: *seen,
                    of_shown,
                    spared,
                });
            }
        }
    }

    fn close(&mut self, now: Timestamp) {
        let Some(open) = self.open.take() else { return };
        let Ok(times) = Times::new(open.from, now) else { return };
        let (_, first, first_at) = open.seen;
        let mut named: BTreeSet<usize> = open.ranked.iter().map(|rank| rank.2).collect();
        if !named.contains(&first_at) {
            if let Some(last) = open.ranked.last() {
                named.remove(&last.2);
            }
            named.insert(first_at);
        }
        let Open { count, arrives_at, of_shown, .. } = open;
        self.runs.push(Run { times, named, count, first, arrives_at, of_shown });
    }
}

fn seen<'a>(at: usize, stay: &Stay<'a>) -> Seen<'a> {
    (stay.block.first_seen_at, &stay.block.id, at)
}

impl<'a> Open<'a> {
    fn join(&mut self, at: usize, stay: &Stay<'a>) {
        self.count += 1;
        self.ranked.insert(stay.rank);
        if self.ranked.len() > CLAIMANTS_NAMED {
            self.ranked.pop_last();
        }
        self.arrives_at = self.arrives_at.min(stay.arrives_at);
        self.seen = self.seen.min(seen(at, stay));
    }
}
