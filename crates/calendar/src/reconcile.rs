//! What a new reading of one feed means for the stays that are known from it: who is who, what is new, what moved,
//! and what is missed but not yet believed to be gone. The rules are SAFETY.md's.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    Block, BlockId, BlockKind, ConnectionId, EventKey, Extent, FeedOrigin, Hold, HoldCause, HoldEnd, HoldId,
    HoldPolicy, House, MassVanishPolicy, NightSet, Nights, Origin, Sign, Times,
    span::{Later, days_between},
};

/// One event of a reading, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub key: Option<EventKey>,
    /// The provider's own reservation code.
    pub code: Option<String>,
    pub extent: Extent,
    pub summary: Arc<str>,
    /// The rule that decided.
    pub rule: String,
    /// What its text tells of where it comes from.
    pub sign: Sign,
    pub verdict: Verdict,
}

/// What a sighting says of the time that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Blocks(BlockKind),
    /// It is there, and by the connection's policy it does not block.
    Dropped,
    /// `STATUS:CANCELLED`.
    Cancelled,
}

/// A good reading of one connection's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub sightings: Vec<Sighting>,
    /// UIDs of events that could not be read, or in part: what was known of their stays is kept beside what is read.
    pub unread: BTreeSet<String>,
    /// When the body was read: the clock of holds.
    pub read_at: Timestamp,
    /// The present instant, by which a stay has begun or departed; later than `read_at` where a body is judged anew.
    pub now: Timestamp,
    /// The body that was taken in last, judged anew after the host changed a setting: not one more reading that
    /// a hold could count.
    pub repeated: bool,
}

/// By what a reading is judged.
#[derive(Debug)]
pub struct Judging<'a> {
    pub connection: &'a ConnectionId,
    pub house: &'a House,
    pub hold: HoldPolicy,
    pub mass_vanish: MassVanishPolicy,
    /// Nights whose absence is no news (`Claims::expected_to_go`): they do not count towards a mass vanish.
    pub expected_to_go: &'a NightSet,
    /// The host gave another URL, and nothing that its calendar shows was taken in yet: the known stays are those of the
    /// one before.
    pub replaced: bool,
}

/// What the first reading of a URL that the host changed turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// The same calendar at another address, since it shows most of what was known: the usual rules apply.
    Same,
    /// Another calendar: what only the one before showed goes, and who is who is known by code or UID alone.
    Other,
}

/// A hold that came to its end in this reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedHold {
    /// As it was while it was held.
    pub block: Block,
    pub hold: Hold,
    pub end: HoldEnd,
}

/// What a reading brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// The connection's stays as they now are, in order of id.
    pub blocks: Vec<Block>,
    pub opened_holds: Vec<(HoldId, BlockId)>,
    /// The group of a mass vanish that began, or grew, with this reading: told once for all of its holds.
    pub mass_vanish: Option<HoldId>,
    pub ended_holds: Vec<EndedHold>,
    pub added: u32,
    /// Whose dates or kind changed.
    pub changed: u32,
    /// Of these, edges of a rule that is known to move with the days.
    pub rolled: u32,
    pub removed: u32,
    /// In a hold after this reading.
    pub held: u32,
    /// There where the host gave another URL and its calendar shows anything; an empty one proves nothing.
    pub successor: Option<Successor>,
}

/// How an event and a stay were found to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// By reservation code or UID: what it says counts at once.
    Strong,
    /// By dates alone: nights that it gives up are held.
    Weak,
}

/// Takes a reading in. `known` are the stays of this connection alone; `ids` yields fresh random ids.
///
/// The result does not depend on the order of `known` or of the sightings, but for the ids of new stays.
#[must_use]
pub fn reconcile(
    mut known: Vec<Block>,
    reading: &Reading,
    by: &Judging<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Reconciled {
    known.sort_by(|a, b| a.id.cmp(&b.id));
    let mut sightings: Vec<&Sighting> = reading.sightings.iter().collect();
    sightings.sort_by(|a, b| (a.extent, &a.key, &a.code, &a.summary).cmp(&(b.extent, &b.key, &b.code, &b.summary)));
    let mut pairs = pair(&known, &sightings, by.house, reading.now);

    let now = reading.now;
    let mut out = Reconciled::default();
    if by.replaced && sightings.iter().any(|sighting| sighting.extent.times(by.house).end() > now) {
        let successor = successor(&known, &sightings, &pairs, by.house, now);
        if successor == Successor::Other {
            pairs.iter_mut().for_each(|pair| *pair = pair.filter(|(_, how)| *how == Match::Strong));
        }
        out.successor = Some(successor);
    }
    let mut missing = Vec::new();
    let future_before = future_nights(known.iter(), by, now);

    let mut remains = Vec::new();
    let mut seen = vec![false; sightings.len()];
    for (block, pair) in known.into_iter().zip(pairs) {
        match pair.and_then(|(at, how)| sightings.get(at).map(|sighting| (at, *sighting, how))) {
            Some((at, sighting, how)) => {
                if let Some(slot) = seen.get_mut(at) {
                    *slot = true;
                }
                let in_part = sighting.key.as_ref().is_some_and(|key| reading.unread.contains(&key.uid));
                let (sighting, how) = match in_part.then(|| together(block.extent, sighting.extent, by.house)) {
                    None => (Cow::Borrowed(sighting), how),
                    Some(Some(extent)) => (Cow::Owned(Sighting { extent, ..sighting.clone() }), how),
                    // It is read to be elsewhere, which is not certain: what it gives up is held.
                    Some(None) => (Cow::Borrowed(sighting), Match::Weak),
                };
                take_sighting(block, &sighting, how, now, by, &mut remains, &mut out);
            }
            None if out.successor == Some(Successor::Other) && !is_unread(&block, reading) => {
                out.removed += 1;
                if let Some(hold) = block.hold().cloned() {
                    out.ended_holds.push(EndedHold { block, hold, end: HoldEnd::Released });
                }
            }
            None => missing.push(block),
        }
    }
    for (sighting, _) in sightings.iter().zip(seen).filter(|(_, seen)| !seen) {
        if let Verdict::Blocks(kind) = sighting.verdict {
            out.added += 1;
            out.blocks.push(newcomer(sighting, kind, by.connection, now, ids()));
        }
    }
    let shown = shown_nights(&out.blocks, by.house);
    for (block, part) in remains {
        for part in still_open(&block, part, &shown) {
            remain(&block, part, now, by, ids, &mut out);
        }
    }
    missing.retain(|block| {
        let covered = still_open(block, block.extent, &shown).is_empty();
        if covered {
            // Other events take all of its nights: a closure that was merged into another.
            out.removed += 1;
            if let Some(hold) = block.hold().cloned() {
                out.ended_holds.push(EndedHold { block: block.clone(), hold, end: HoldEnd::Confirmed });
            }
        }
        !covered
    });
    absent(missing, future_before, &shown, reading, by, ids, &mut out);
    out.held = count(out.blocks.iter().filter(|block| block.hold().is_some()).count());
    out.blocks.sort_by(|a, b| a.id.cmp(&b.id));
    out
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn origin(block: &Block) -> Option<&FeedOrigin> {
    match &block.origin {
        Origin::Feed(origin) => Some(origin),
        Origin::Own { .. } => None,
    }
}

/// Whether the feed has it, though it can't be read.
fn is_unread(block: &Block, reading: &Reading) -> bool {
    origin(block).and_then(|origin| origin.key.as_ref()).is_some_and(|key| reading.unread.contains(&key.uid))
}

fn newcomer(sighting: &Sighting, kind: BlockKind, connection: &ConnectionId, now: Timestamp, id: [u8; 16]) -> Block {
    Block {
        id: BlockId::from_random(id),
        origin: Origin::Feed(FeedOrigin {
            connection: connection.clone(),
            key: sighting.key.clone(),
            code: sighting.code.clone(),
            rule: sighting.rule.clone(),
            sign: sighting.sign,
            hold: None,
        }),
        kind,
        extent: sighting.extent,
        summary: sighting.summary.to_string(),
        sequence: 0,
        first_seen_at: now,
        changed_at: now,
    }
}

// ---- who is who -------------------------------------------------------------------------------------------------

/// For each known stay the sighting that it is, if any; each sighting at most once.
fn pair(known: &[Block], sightings: &[&Sighting], house: &House, now: Timestamp) -> Vec<Option<(usize, Match)>> {
    let stays: Vec<(&Block, Times)> = known.iter().map(|block| (block, block.extent.times(house))).collect();
    let events: Vec<(&Sighting, Times)> = sightings.iter().map(|event| (*event, event.extent.times(house))).collect();
    let mut pairing = Pairing { pairs: vec![None; stays.len()], free: vec![true; events.len()], stays, events };

    // 1. The provider's own reservation code.
    pairing.join_equal(Match::Strong, |block| origin(block)?.code.clone(), |sighting| sighting.code.clone());
    // 2. The UID.
    pairing.join_equal(Match::Strong, |block| origin(block)?.key.clone(), |sighting| sighting.key.clone());
    // 3. The same interval and kind.
    pairing.join_equal(
        Match::Weak,
        |block| Some((block.extent, block.kind)),
        |sighting| match sighting.verdict {
            Verdict::Blocks(kind) => Some((sighting.extent, kind)),
            Verdict::Dropped | Verdict::Cancelled => None,
        },
    );
    // An event without UID and code that was dropped or cancelled is known by its interval alone.
    pairing.join_equal(
        Match::Weak,
        |block| {
            let nameless = origin(block).is_some_and(|origin| origin.key.is_none() && origin.code.is_none());
            (nameless && block.hold().is_none()).then_some(block.extent)
        },
        |sighting| {
            let dropped = !matches!(sighting.verdict, Verdict::Blocks(_));
            (dropped && sighting.key.is_none() && sighting.code.is_none()).then_some(sighting.extent)
        },
    );
    // 4. The same departure and an overlap.
    pairing.join_same_departure();
    // 5. The largest overlap of at least half of the shorter one.
    pairing.join_overlapping();
    // The edge of a site's rule moves by a day every day, under a new UID each time: it is one closure that moves.
    pairing.join_rolled(house, now);
    pairing.pairs
}

/// Whether a calendar at a new address is the one that was known: it shows most of what was, under the same names or on
/// the same dates. The edges of a site's rules are alike in all of its calendars, and what carries our tag is ours.
fn successor(
    known: &[Block],
    sightings: &[&Sighting],
    pairs: &[Option<(usize, Match)>],
    house: &House,
    now: Timestamp,
) -> Successor {
    let today = house.date(now);
    // Many sites drop a stay under way: that one is missing tells nothing.
    let tells = |block: &Block, is_paired: bool| {
        let is_under_way = block.extent.times(house).start() <= now;
        let is_piece = block.hold().is_some() && origin(block).is_some_and(|it| it.key.is_none() && it.code.is_none());
        let is_edge = block.kind == BlockKind::RuleClosure || edge(block.extent, block.kind, today).is_some();
        !is_piece && !is_edge && !block.is_ours() && (is_paired || !is_under_way)
    };
    let (mut all, mut same) = (0_usize, 0_usize);
    for (block, pair) in known.iter().zip(pairs).filter(|(block, pair)| tells(block, pair.is_some())) {
        let is_same = |(at, how): (usize, Match)| {
            how == Match::Strong || sightings.get(at).is_some_and(|sighting| sighting.extent == block.extent)
        };
        all += 1;
        same += usize::from(pair.is_some_and(is_same));
    }
    if same * 2 > all { Successor::Same } else { Successor::Other }
}

/// Nights that may be the edge of a rule, seen from a day: an advance notice of a few days, or the end of what may be
/// booked.
fn edge(extent: Extent, kind: BlockKind, today: Date) -> Option<Nights> {
    let Extent::Nights(nights) = extent else { return None };
    let ahead = days_between(today, nights.first());
    let is_closure = matches!(kind, BlockKind::Closure | BlockKind::RuleClosure);
    (is_closure && (ahead <= NOTICE_AT_MOST || ahead >= WINDOW_AT_LEAST)).then_some(nights)
}

/// The edge of a site's rule, moved with the days.
#[derive(Debug, Clone, Copy)]
struct Rolled {
    /// What it covers from now on. An advance notice that has tonight keeps it, whatever day it is for its site.
    nights: Nights,
    /// Whether the nights that it gives up go at once.
    at_once: bool,
}

/// Whether a closure moved with the days since it was last seen to change. One that did so before may do it a day early
/// or late: its site's day, or our reading of it, does not begin with the property's.
fn rolled(block: &Block, kind: BlockKind, extent: Extent, now: Timestamp, house: &House) -> Option<Rolled> {
    let (Extent::Nights(old), Extent::Nights(new)) = (block.extent, extent) else { return None };
    let (seen, today) = (house.date(block.changed_at), house.date(now));
    edge(block.extent, block.kind, seen)?;
    edge(extent, kind, today)?;
    let known = block.kind == BlockKind::RuleClosure;
    let days = days_between(seen, today);
    let with_the_days = |moved: i64| moved > 0 && (moved - days).abs() <= i64::from(known);
    let (start, end) = (days_between(old.first(), new.first()), days_between(old.end(), new.end()));
    if days_between(today, new.first()) >= WINDOW_AT_LEAST {
        let moves = with_the_days(start) && (end == start || end == 0);
        return moves.then_some(Rolled { nights: new, at_once: known });
    }
    let first = if old.contains(today) { old.first().max(today).min(new.first()) } else { new.first() };
    let is_gap = first < new.first() && old.end() < new.first();
    // Tonight may be left of the last time, so that it covers a night more than its site says; the same reading once more
    // leaves it.
    let moves = (with_the_days(end) || (known && end == 0)) && start > 0 && (start - end).abs() <= 1 && !is_gap;
    let lets_go = old.first().max(today) < first.min(old.end());
    let nights = Nights::new(first, new.end()).ok().filter(|_| moves)?;
    Some(Rolled { nights, at_once: known || !lets_go })
}

/// A site's advance notice begins at most so many days ahead, and its booking window ends at least so many ahead.
const NOTICE_AT_MOST: i64 = 2;
const WINDOW_AT_LEAST: i64 = 60;

/// Up to so many pairs of one name are all compared.
const FEW_PAIRS: usize = 10_000;
/// How many overlapping events a stay is compared with, the largest overlaps first.
const NEAREST: usize = 16;
/// How many events that begin before a stay, and how many that begin later, are looked at: the nearest first.
const LOOKED_AT: usize = 256;

/// How good a pair is (best first), its stay, its event.
type Candidate = (Reverse<(bool, i64)>, usize, usize);

struct Pairing<'a> {
    stays: Vec<(&'a Block, Times)>,
    events: Vec<(&'a Sighting, Times)>,
    pairs: Vec<Option<(usize, Match)>>,
    free: Vec<bool>,
}

impl Pairing<'_> {
    /// Joins what has an equal key; where several have, equal extents first, then the largest overlap.
    fn join_equal<K: Ord>(
        &mut self,
        how: Match,
        of_stay: impl Fn(&Block) -> Option<K>,
        of_event: impl Fn(&Sighting) -> Option<K>,
    ) {
        let mut by_key: BTreeMap<K, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (at, (sighting, _)) in self.open_events() {
            if let Some(key) = of_event(sighting) {
                by_key.entry(key).or_default().1.push(at);
            }
        }
        for (stay, (block, _)) in self.open_stays() {
            if let Some((stays, _)) = of_stay(block).and_then(|key| by_key.get_mut(&key)) {
                stays.push(stay);
            }
        }
        let mut found = Vec::new();
        for (stays, events) in by_key.into_values() {
            let few = stays.len().saturating_mul(events.len()) <= FEW_PAIRS;
            for (nth, stay) in stays.iter().enumerate() {
                // Where a hostile feed gives one name to thousands, both sides are taken in their order.
                let near = if few { events.as_slice() } else { events.get(nth..=nth).unwrap_or_default() };
                found.extend(near.iter().filter_map(|at| self.candidate(*stay, *at, how)));
            }
        }
        self.settle(found, how);
    }

    fn candidate(&self, stay: usize, at: usize, how: Match) -> Option<Candidate> {
        let ((block, times), (sighting, event)) = (self.stays.get(stay)?, self.events.get(at)?);
        if are_two(block, sighting) && (how == Match::Strong || tags_differ(block, sighting)) {
            return None;
        }
        let same = block.extent == sighting.extent;
        Some((Reverse((same, overlap_seconds(*times, *event))), stay, at))
    }

    /// Joins blocking events with stays of the same departure, the largest overlap first.
    fn join_same_departure(&mut self) {
        let mut by_end: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
        for (at, (event, times)) in self.open_events() {
            if matches!(event.verdict, Verdict::Blocks(_)) {
                by_end.entry(times.end()).or_default().push(at);
            }
        }
        for events in by_end.values_mut() {
            events.sort_by_key(|at| (self.events.get(*at).map(|(_, times)| times.start()), *at));
        }
        let mut found = Vec::new();
        for (stay, (block, times)) in self.open_stays() {
            // What begins first overlaps most.
            let near = by_end.get(&times.end()).into_iter().flatten().filter(|at| {
                self.events.get(**at).is_some_and(|(event, other)| !are_two(block, event) && times.overlaps(*other))
            });
            found.extend(near.take(NEAREST).filter_map(|at| {
                let (_, event) = self.events.get(*at)?;
                Some((Reverse((false, overlap_seconds(*times, *event))), stay, *at))
            }));
        }
        self.settle(found, Match::Weak);
    }

    /// Joins blocking events with stays that they overlap by at least half of the shorter one, the largest overlap first.
    fn join_overlapping(&mut self) {
        let mut events: Vec<(Times, usize)> = self
            .open_events()
            .filter(|(_, (sighting, _))| matches!(sighting.verdict, Verdict::Blocks(_)))
            .map(|(at, (_, times))| (*times, at))
            .collect();
        events.sort_unstable();
        // Up to each event, the latest end: where that lies before a stay, none of them overlaps it.
        let mut latest = Vec::with_capacity(events.len());
        for (times, _) in &events {
            latest.push(latest.last().map_or(times.end(), |known: &Timestamp| times.end().max(*known)));
        }
        let mut found = Vec::new();
        for (stay, (block, times)) in self.open_stays() {
            let middle = events.partition_point(|(event, _)| event.start() < times.start());
            let (earlier, later) = events.split_at(middle);
            let reached = latest.iter().take(middle).rev().take_while(|end| **end > times.start());
            let before = earlier.iter().rev().zip(reached).map(|(event, _)| event);
            let after = later.iter().take_while(|(event, _)| event.start() < times.end());
            let mut near = Vec::new();
            for (event, at) in before.take(LOOKED_AT).chain(after.take(LOOKED_AT)) {
                let overlap = overlap_seconds(*times, *event);
                let fits = self.events.get(*at).is_some_and(|(sighting, _)| {
                    !are_two(block, sighting) && is_half_of_shorter((block.extent, *times), (sighting.extent, *event))
                });
                if overlap > 0 && fits {
                    near.push((Reverse((false, overlap)), stay, *at));
                }
            }
            // Only the best ones, so that thousands that all overlap do not make millions of pairs.
            near.sort_unstable();
            found.extend(near.into_iter().take(NEAREST));
        }
        self.settle(found, Match::Weak);
    }

    /// Joins edges that moved with the days, where few are left.
    fn join_rolled(&mut self, house: &House, now: Timestamp) {
        let today = house.date(now);
        let stays: Vec<usize> = self
            .open_stays()
            .filter(|(_, (block, _))| edge(block.extent, block.kind, house.date(block.changed_at)).is_some())
            .map(|(stay, _)| stay)
            .collect();
        let events: Vec<(usize, BlockKind)> = self
            .open_events()
            .filter_map(|(at, (sighting, _))| match sighting.verdict {
                Verdict::Blocks(kind) => edge(sighting.extent, kind, today).map(|_| (at, kind)),
                Verdict::Dropped | Verdict::Cancelled => None,
            })
            .collect();
        if stays.len().saturating_mul(events.len()) > FEW_PAIRS {
            return;
        }
        let mut found = Vec::new();
        for stay in stays {
            for (at, kind) in &events {
                let Some(((block, _), (sighting, _))) = self.stays.get(stay).zip(self.events.get(*at)) else {
                    continue;
                };
                if rolled(block, *kind, sighting.extent, now, house).is_some() {
                    found.extend(self.candidate(stay, *at, Match::Weak));
                }
            }
        }
        self.settle(found, Match::Weak);
    }

    fn open_stays(&self) -> impl Iterator<Item = (usize, &(&Block, Times))> {
        self.stays.iter().enumerate().filter(|(stay, _)| self.pairs.get(*stay) == Some(&None))
    }

    fn open_events(&self) -> impl Iterator<Item = (usize, &(&Sighting, Times))> {
        self.events.iter().enumerate().filter(|(at, _)| self.free.get(*at) == Some(&true))
    }

    /// Best first; equal ones in order of stay and event, which are sorted.
    fn settle(&mut self, mut found: Vec<Candidate>, how: Match) {
        found.sort_unstable();
        for (_, stay, at) in found {
            if let (Some(slot @ None), Some(open @ true)) = (self.pairs.get_mut(stay), self.free.get_mut(at)) {
                *slot = Some((at, how));
                *open = false;
            }
        }
    }
}

/// Two reservation codes are two reservations, whatever else looks alike; and what carries our tag is another thing
/// than what does not.
fn are_two(block: &Block, sighting: &Sighting) -> bool {
    let code = origin(block).and_then(|origin| origin.code.as_ref());
    matches!((code, &sighting.code), (Some(a), Some(b)) if a != b) || tags_differ(block, sighting)
}

/// Whether two extents share at least half of the shorter one: in nights where both are nights, which have no hours.
fn is_half_of_shorter((stay, times): (Extent, Times), (event, event_times): (Extent, Times)) -> bool {
    let (overlap, shorter) = match (stay, event) {
        (Extent::Nights(stay), Extent::Nights(event)) => {
            let common = stay.intersection(event).map_or(0, Nights::count);
            (i64::from(common), i64::from(stay.count().min(event.count())))
        }
        _ => (overlap_seconds(times, event_times), seconds(times).min(seconds(event_times))),
    };
    overlap.saturating_mul(2) >= shorter
}

fn tags_differ(block: &Block, sighting: &Sighting) -> bool {
    block.is_ours() != (sighting.sign == Sign::Ours)
}

fn seconds(times: Times) -> i64 {
    times.end().as_second() - times.start().as_second()
}

fn overlap_seconds(a: Times, b: Times) -> i64 {
    a.intersection(b).map_or(0, seconds)
}

// ---- a stay that is still shown ---------------------------------------------------------------------------------

fn take_sighting(
    block: Block,
    sighting: &Sighting,
    how: Match,
    now: Timestamp,
    by: &Judging<'_>,
    remains: &mut Vec<(Block, Extent)>,
    out: &mut Reconciled,
) {
    let held = block.hold().cloned();
    let Verdict::Blocks(kind) = sighting.verdict else {
        // Cancelled, or dropped by the host's own policy: seen to be no block, so it goes at once.
        out.removed += 1;
        if let Some(hold) = held {
            out.ended_holds.push(EndedHold { block, hold, end: HoldEnd::Confirmed });
        }
        return;
    };
    let rolled = rolled(&block, kind, sighting.extent, now, by.house);
    let extent = match rolled {
        Some(rolled) => Extent::Nights(rolled.nights),
        None => keep_true_arrival(block.extent, sighting.extent, now, by.house),
    };
    if let Some(hold) = held {
        out.ended_holds.push(EndedHold { block: block.clone(), hold, end: HoldEnd::Returned });
    }
    if how == Match::Weak && !rolled.is_some_and(|rolled| rolled.at_once) {
        remains.extend(given_up(block.extent, extent, by.house).into_iter().map(|part| (block.clone(), part)));
    }
    let moved = block.extent != extent;
    let was_rule = block.kind == BlockKind::RuleClosure && !moved;
    let kind = match kind {
        BlockKind::Closure if was_rule || rolled.is_some() => BlockKind::RuleClosure,
        kind => kind,
    };
    if moved || block.kind != kind {
        out.changed += 1;
        out.rolled += u32::from(rolled.is_some() && block.kind == kind);
    }
    out.blocks.push(Block {
        id: block.id,
        origin: Origin::Feed(FeedOrigin {
            connection: by.connection.clone(),
            key: sighting.key.clone(),
            code: sighting.code.clone(),
            rule: sighting.rule.clone(),
            sign: sighting.sign,
            hold: None,
        }),
        kind,
        extent,
        summary: sighting.summary.to_string(),
        sequence: if moved { block.sequence + 1 } else { block.sequence },
        first_seen_at: block.first_seen_at,
        changed_at: if moved { now } else { block.changed_at },
    });
}

/// What a stay covers of which a reading tells only a part: that, and what was known. None where the two don't touch.
fn together(known: Extent, shown: Extent, house: &House) -> Option<Extent> {
    let (old, new) = (known.times(house), shown.times(house));
    if !known.overlaps(shown, house) {
        return None;
    }
    if old.start() <= new.start() && new.end() <= old.end() {
        return Some(known);
    }
    match (known, shown) {
        (Extent::Nights(old), Extent::Nights(new)) => {
            Nights::new(old.first().min(new.first()), old.end().max(new.end())).ok().map(Extent::Nights)
        }
        _ => Times::new(old.start().min(new.start()), old.end().max(new.end())).ok().map(Extent::Times),
    }
}

/// A stay under way keeps its true arrival though the feed clamps it to about today.
fn keep_true_arrival(known: Extent, shown: Extent, now: Timestamp, house: &House) -> Extent {
    let (old, new) = (known.times(house), shown.times(house));
    let begun = old.start() <= now;
    let clamped = new.start() > old.start() && new.start() <= now.later(SignedDuration::from_hours(24));
    if !begun || !clamped {
        return shown;
    }
    match (known, shown) {
        (Extent::Nights(old), Extent::Nights(new)) => Nights::new(old.first(), new.end()).map_or(shown, Extent::Nights),
        _ => Times::new(old.start(), new.end()).map_or(shown, Extent::Times),
    }
}

/// What the old extent had that the new one has no more.
fn given_up(old: Extent, new: Extent, house: &House) -> Vec<Extent> {
    if let (Extent::Nights(old), Extent::Nights(new)) = (old, new) {
        let before = Nights::new(old.first(), new.first().min(old.end()));
        let after = Nights::new(new.end().max(old.first()), old.end());
        return before.into_iter().chain(after).map(Extent::Nights).collect();
    }
    let (old, new) = (old.times(house), new.times(house));
    let before = Times::new(old.start(), new.start().min(old.end()));
    let after = Times::new(new.end().max(old.start()), old.end());
    before.into_iter().chain(after).map(Extent::Times).collect()
}

/// Every night that the reading shows.
fn shown_nights(shown: &[Block], house: &House) -> NightSet {
    let shown = shown.iter().filter(|block| block.hold().is_none() && !block.is_ours());
    shown.filter_map(|block| block.extent.nights(house)).collect()
}

/// What is left of the nights of a closure where other events that are shown take the rest; closures are split and
/// merged at will. A reservation is a guest, and followed for itself.
fn still_open(block: &Block, part: Extent, shown: &NightSet) -> Vec<Extent> {
    match part {
        Extent::Nights(nights) if block.kind == BlockKind::Closure && !block.is_ours() => {
            shown.missing_of(nights).into_iter().map(Extent::Nights).collect()
        }
        _ => vec![part],
    }
}

/// Nights that a match by dates alone gave up stay taken as a held block of their own.
fn remain(
    block: &Block,
    part: Extent,
    now: Timestamp,
    by: &Judging<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
    out: &mut Reconciled,
) {
    let times = part.times(by.house);
    if times.end() <= now {
        // They are over; nothing is freed by letting them go.
        return;
    }
    let id = BlockId::from_random(ids());
    // What has begun is never removed by absence.
    let hold = Hold { kept: times.start() <= now, ..open_hold(now, by, ids) };
    if complete(&hold, now, by) {
        return;
    }
    out.opened_holds.push((hold.id.clone(), id.clone()));
    out.blocks.push(Block {
        id,
        origin: Origin::Feed(FeedOrigin {
            connection: by.connection.clone(),
            key: None,
            code: None,
            rule: "given up by a change of dates without a UID to prove it".to_owned(),
            sign: origin(block).map_or(Sign::None, |origin| origin.sign),
            hold: Some(hold),
        }),
        kind: block.kind,
        extent: part,
        summary: block.summary.clone(),
        sequence: 0,
        first_seen_at: block.first_seen_at,
        changed_at: now,
    });
}

// ---- a stay that is missed --------------------------------------------------------------------------------------

fn open_hold(now: Timestamp, by: &Judging<'_>, ids: &mut dyn FnMut() -> [u8; 16]) -> Hold {
    Hold {
        id: HoldId::from_random(ids()),
        cause: HoldCause::Absent,
        group: None,
        opened_at: now,
        readings: 1,
        earliest_release_at: now.later(SignedDuration::from_mins(i64::from(by.hold.minutes))),
        kept: false,
    }
}

/// Whether readings and time bear the removal out.
fn complete(hold: &Hold, now: Timestamp, by: &Judging<'_>) -> bool {
    let readings = match hold.cause {
        HoldCause::Absent => by.hold.readings,
        HoldCause::MassVanish => by.mass_vanish.readings,
    };
    !hold.kept && hold.readings >= readings && now >= hold.earliest_release_at
}

/// A stay that has begun is never removed by absence: it blocks until the feed shows it again or it departs, and no
/// further reading is waited for. A closure of which only nights in question are left, beside what other events show, is
/// held all the same, so that it is known that its site shows it no more.
fn missed_under_way(
    mut block: Block,
    shown: &NightSet,
    reading: &Reading,
    by: &Judging<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
    out: &mut Reconciled,
) -> Block {
    let today = by.house.date(reading.now);
    let nights = block.extent.nights(by.house);
    let ahead = nights.and_then(|nights| Nights::new(nights.first().max(today), nights.end()).ok());
    let left = ahead.map(|ahead| shown.missing_of(ahead)).unwrap_or_default();
    let opens = block.kind == BlockKind::Closure
        && block.hold().is_none()
        && !reading.repeated
        && !left.is_empty()
        && left.into_iter().all(|run| by.expected_to_go.missing_of(run).is_empty());
    if let Origin::Feed(origin) = &mut block.origin {
        if opens {
            let hold = open_hold(reading.now, by, ids);
            out.opened_holds.push((hold.id.clone(), block.id.clone()));
            origin.hold = Some(hold);
        }
        if let Some(hold) = &mut origin.hold {
            hold.kept = true;
        }
    }
    block
}

/// Stays that have not begun, and their nights in all.
#[derive(Debug, Clone, Copy, Default)]
struct Future {
    stays: u32,
    nights: u32,
}

fn future_nights<'a>(blocks: impl Iterator<Item = &'a Block>, by: &Judging<'_>, now: Timestamp) -> Future {
    let ahead = blocks.filter(|block| block.extent.times(by.house).start() > now);
    ahead.fold(Future::default(), |sum, block| {
        let Some(nights) = block.extent.nights(by.house) else { return Future { stays: sum.stays + 1, ..sum } };
        match by.expected_to_go.missing_of(nights).into_iter().map(Nights::count).sum() {
            0 => sum,
            left => Future { stays: sum.stays + 1, nights: sum.nights.saturating_add(left) },
        }
    })
}

fn absent(
    missing: Vec<Block>,
    before: Future,
    shown: &NightSet,
    reading: &Reading,
    by: &Judging<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
    out: &mut Reconciled,
) {
    let (now, read_at) = (reading.now, reading.read_at);
    let mut waiting = Vec::new();
    for block in missing {
        let times = block.extent.times(by.house);
        if by.house.turned_over_at(block.extent) <= now {
            // It departed, and the home is turned over; nothing is freed by letting it go.
            out.removed += 1;
            if let Some(hold) = block.hold().cloned() {
                out.ended_holds.push(EndedHold { block, hold, end: HoldEnd::Confirmed });
            }
        } else if times.start() <= now {
            let block = missed_under_way(block, shown, reading, by, ids, out);
            out.blocks.push(block);
        } else if is_unread(&block, reading) {
            out.blocks.push(block);
        } else {
            waiting.push(block);
        }
    }

    let vanished = future_nights(waiting.iter(), by, now);
    let mass = vanished.stays > 0
        && (vanished.stays == before.stays
            || (vanished.stays >= by.mass_vanish.stays
                && u64::from(vanished.nights) * 100
                    >= u64::from(by.mass_vanish.nights_percent) * u64::from(before.nights)));
    let known_group = waiting.iter().find_map(|block| block.hold().and_then(|hold| hold.group.clone()));
    let group = mass.then(|| known_group.unwrap_or_else(|| HoldId::from_random(ids())));

    for mut block in waiting {
        let opened = block.hold().is_none();
        let mut hold = match block.hold() {
            Some(_) if reading.repeated => {
                out.blocks.push(block);
                continue;
            }
            Some(hold) => Hold { readings: hold.readings.saturating_add(1), ..hold.clone() },
            None => open_hold(read_at, by, ids),
        };
        if let Some(group) = &group
            && hold.cause == HoldCause::Absent
            && !hold.kept
        {
            out.mass_vanish = Some(group.clone());
            hold.cause = HoldCause::MassVanish;
            hold.group = Some(group.clone());
            hold.earliest_release_at =
                hold.opened_at.later(SignedDuration::from_hours(i64::from(by.mass_vanish.hours)));
        }
        if complete(&hold, read_at, by) {
            out.removed += 1;
            if !opened {
                out.ended_holds.push(EndedHold { block, hold, end: HoldEnd::Confirmed });
            }
            continue;
        }
        if opened {
            out.opened_holds.push((hold.id.clone(), block.id.clone()));
        }
        if hold.kept {
            // The host's word stands; counting on would only cost writes.
            out.blocks.push(block);
            continue;
        }
        if let Origin::Feed(origin) = &mut block.origin {
            origin.hold = Some(hold);
        }
        out.blocks.push(block);
    }
}
