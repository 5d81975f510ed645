//! Conflicts: one night claimed by two stays that both stand.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};

use crate::{Block, BlockId, BlockKind, ConflictId, Nights, Picture, Standing, mirror::is_mirror_of};

/// Two stays that can't both be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub id: ConflictId,
    /// In order of id.
    pub blocks: [BlockId; 2],
    /// Which of them was seen first.
    pub first: BlockId,
    /// Nights that both claim; none where only hours of a day clash, as a late check-out and an arrival do.
    pub nights: Vec<Date>,
    /// When the first of the two guests arrives: the deadline for the host.
    pub arrives_at: Timestamp,
    pub opened_at: Timestamp,
    /// The host said which of the two no longer stands. It is kept, so that it does not open again, as long as both
    /// are shown.
    pub gone: Option<BlockId>,
}

/// All conflicts of a property.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conflicts {
    /// Open ones and ones that the host settled; the next arrival first.
    pub standing: Vec<Conflict>,
    /// Of these, which are new.
    pub opened: Vec<ConflictId>,
    /// Which closed by themselves, because one of their stays ended or is no longer certain.
    pub closed: Vec<Conflict>,
}

/// The conflicts that stand now. `known` are those of before; `ids` yields fresh random ids.
#[must_use]
pub fn conflicts(
    known: &[Conflict],
    picture: &Picture<'_>,
    now: Timestamp,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Conflicts {
    let mut before: BTreeMap<&[BlockId; 2], &Conflict> = known.iter().map(|known| (&known.blocks, known)).collect();
    let mut out = Conflicts::default();
    for (one, other, nights) in clashes(picture, now) {
        let blocks = if one.id < other.id { [&one.id, &other.id] } else { [&other.id, &one.id] }.map(Clone::clone);
        let known = before.remove(&blocks);
        // What is only held may be gone already: it keeps a conflict open, and opens none.
        if known.is_none() && (one.hold().is_some() || other.hold().is_some()) {
            continue;
        }
        let first = if (one.first_seen_at, &one.id) <= (other.first_seen_at, &other.id) { one } else { other };
        let id = known.map_or_else(|| ConflictId::from_random(ids()), |known| known.id.clone());
        if known.is_none() {
            out.opened.push(id.clone());
        }
        out.standing.push(Conflict {
            id,
            blocks,
            first: first.id.clone(),
            nights,
            arrives_at: start(one, picture).min(start(other, picture)),
            opened_at: known.map_or(now, |known| known.opened_at),
            gone: known.and_then(|known| known.gone.clone()),
        });
    }
    out.closed = before.into_values().cloned().collect();
    out.standing.sort_by(|a, b| (a.arrives_at, &a.id).cmp(&(b.arrives_at, &b.id)));
    out
}

fn start(block: &Block, picture: &Picture<'_>) -> Timestamp {
    block.extent.times(picture.house).start()
}

/// Pairs of stays of different sources that both surely claim the same time, with the nights.
fn clashes<'a>(picture: &Picture<'a>, now: Timestamp) -> Vec<(&'a Block, &'a Block, Vec<Date>)> {
    let house = picture.house;
    let mut stays: Vec<&Block> = picture.blocks.iter().filter(|block| may_clash(picture, block, now)).collect();
    stays.sort_by_cached_key(|block| block.extent.times(house));
    let mut found = Vec::new();
    for (at, one) in stays.iter().enumerate() {
        let end = one.extent.times(house).end();
        let nights_end = one.extent.nights(house).map(Nights::end);
        for other in stays.iter().skip(at + 1) {
            let begins = other.extent.nights(house).map(Nights::first);
            let far = other.extent.times(house).start() >= end && (nights_end.is_none() || begins >= nights_end);
            if far {
                break;
            }
            if one.connection() == other.connection() || is_mirror_of(picture, one, other) || extends(one, other) {
                continue;
            }
            let common = one.extent.nights(house).zip(other.extent.nights(house)).and_then(|(a, b)| a.intersection(b));
            match common {
                Some(common) => {
                    let certain = |night: &Date| {
                        let sure = |block| picture.standing(block, *night) == Standing::Certain;
                        sure(one) && sure(other)
                    };
                    let nights: Vec<Date> = common.iter().filter(certain).collect();
                    if !nights.is_empty() {
                        found.push((*one, *other, nights));
                    }
                }
                None if one.extent.overlaps(other.extent, house) => found.push((*one, *other, Vec::new())),
                None => {}
            }
        }
    }
    found
}

/// Whether a block is a stay of somebody, for all that is known, and still to come or under way.
fn may_clash(picture: &Picture<'_>, block: &Block, now: Timestamp) -> bool {
    let is_stay = match block.kind {
        BlockKind::Reservation | BlockKind::Tentative => true,
        BlockKind::Closure => picture.source_of(block).is_some_and(|source| !source.tells_reservations_apart),
        BlockKind::RuleClosure => false,
    };
    is_stay && !block.is_ours() && picture.counts(block) && block.extent.times(picture.house).end() > now
}

fn extends(one: &Block, other: &Block) -> bool {
    one.extends() == Some(&other.id) || other.extends() == Some(&one.id)
}
