//! What one private link shows: everything that is taken but what came from its own connection.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    Block, BlockId, BlockKind, ConnectionId, Extent, House, LeftOff, Origin, Picture, claims::Rules,
    occupancy::Turnovers, picture::Pieces, span::Later,
};

/// One event of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewEvent {
    /// The block, or the one that these turnover nights follow.
    pub block: BlockId,
    pub turnover: bool,
    /// The first night of a piece of a stay that is not shown whole, unless it is the one that the stay begins with.
    pub piece: Option<Date>,
    pub extent: Extent,
    /// The connection that it came from; none for the host's own and for turnover nights.
    pub source: Option<ConnectionId>,
    /// The host's own words; never an imported summary.
    pub own_summary: Option<String>,
    pub sequence: u32,
    /// When what it says last changed.
    pub changed_at: Timestamp,
}

/// For whom a view is.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// Leave out what came from this connection; none for an extra link.
    pub own: Option<&'a ConnectionId>,
    /// Exact times rather than whole nights.
    pub times: bool,
}

/// Departed blocks are shown for one more day, then left out.
pub const SHOWN_AFTER_DEPARTURE: SignedDuration = SignedDuration::from_hours(24);

/// The events of a link, in order of time, then id: one per stay, or one per piece of a stay of which some nights are
/// left out. `rules_changed_at` is when the property's zone, times of day or turnover last changed: what is computed
/// from them changed then too.
#[must_use]
pub fn view(picture: &Picture<'_>, viewer: Viewer<'_>, rules_changed_at: Timestamp, now: Timestamp) -> Vec<ViewEvent> {
    view_by(picture, viewer, rules_changed_at, now, Rules::default())
}

/// The same by some of the rules.
pub(crate) fn view_by(
    picture: &Picture<'_>,
    viewer: Viewer<'_>,
    rules_changed_at: Timestamp,
    now: Timestamp,
    rules: Rules,
) -> Vec<ViewEvent> {
    let house = picture.house;
    let turnovers = Turnovers::of(picture);
    let left_off = LeftOff::by(picture, viewer.own, now, rules);
    let is_shown = |block: &&Block| picture.counts(block) && !block.is_ours();
    let cut = picture.blocks.iter().filter(is_shown).filter(|block| !left_off.shows_whole(block));
    let mut pieces = Pieces::of(cut, house, |block, nights| left_off.shown(block, nights));
    let mut events = Vec::new();
    for block in picture.blocks.iter().filter(is_shown) {
        let is_viewers_own = block.connection().is_some_and(|connection| Some(connection) == viewer.own);
        if !is_viewers_own {
            let left = if left_off.shows_whole(block) { vec![block.extent] } else { pieces.take(block) };
            let whole = left.first() == Some(&block.extent);
            let begins = block.extent.times(house).start();
            for piece in left {
                let Some((extent, computed)) = shown(piece, house, viewer.times) else { continue };
                let later = piece.times(house).start() != begins;
                let mut changed_at = block.changed_at;
                if computed {
                    changed_at = changed_at.max(rules_changed_at);
                }
                if !whole {
                    changed_at = changed_at.max(left_off.cut_at(block));
                }
                events.push(ViewEvent {
                    block: block.id.clone(),
                    turnover: false,
                    piece: if later { piece.nights(house).map(crate::Nights::first) } else { None },
                    extent,
                    source: block.connection().cloned(),
                    own_summary: matches!(block.origin, Origin::Own { .. }).then(|| block.summary.clone()),
                    sequence: block.sequence,
                    changed_at,
                });
            }
        }
        // Turnover nights are the host's own: the stay's own site must not sell them either.
        if let Some(nights) = turnovers.after(block)
            && let Some((extent, _)) = shown(Extent::Nights(nights), house, viewer.times)
        {
            events.push(ViewEvent {
                block: block.id.clone(),
                turnover: true,
                piece: None,
                extent,
                source: None,
                own_summary: None,
                sequence: block.sequence,
                changed_at: block.changed_at.max(rules_changed_at),
            });
        }
    }
    events.retain(|event| event.extent.times(house).end().later(SHOWN_AFTER_DEPARTURE) > now);
    events.sort_by_cached_key(|event| (event.extent.times(house), event.block.clone(), event.turnover));
    without_repeated(events, picture)
}

/// A closure that lies within another event of its own feed adds no night, and may be what that site read from us: on a
/// link it would come back once more, and two sites would double each other's events without end.
fn without_repeated(events: Vec<ViewEvent>, picture: &Picture<'_>) -> Vec<ViewEvent> {
    let house = picture.house;
    let may_repeat: BTreeSet<&BlockId> = picture
        .blocks
        .iter()
        .filter(|block| block.kind == BlockKind::Closure && !picture.is_evident(block))
        .map(|block| &block.id)
        .collect();
    if may_repeat.is_empty() {
        return events;
    }
    let mut longest_first: Vec<usize> = (0..events.len()).collect();
    longest_first.sort_by_cached_key(|at| {
        let event = events.get(*at);
        let times = event.map(|event| event.extent.times(house));
        // Of equal ones that is shown which is a reservation, then the first by id, as they are sorted.
        let repeats = event.is_some_and(|event| may_repeat.contains(&event.block));
        (times.map(|times| (times.start(), Reverse(times.end()))), repeats, *at)
    });
    let mut reaches: BTreeMap<&ConnectionId, Timestamp> = BTreeMap::new();
    let mut repeated: BTreeSet<usize> = BTreeSet::new();
    for at in longest_first {
        let Some((event, source)) = events.get(at).and_then(|event| Some((event, event.source.as_ref()?))) else {
            continue;
        };
        let end = event.extent.times(house).end();
        let reach = reaches.entry(source).or_insert(Timestamp::MIN);
        if end <= *reach && may_repeat.contains(&event.block) {
            repeated.insert(at);
        }
        *reach = end.max(*reach);
    }
    let kept = events.into_iter().enumerate().filter(|(at, _)| !repeated.contains(at));
    kept.map(|(_, event)| event).collect()
}

/// The extent as a link of this format shows it, and whether the house's rules had a part in it; none for what takes
/// no night where only nights are shown.
fn shown(extent: Extent, house: &House, times: bool) -> Option<(Extent, bool)> {
    match (extent, times) {
        (Extent::Nights(_), false) => Some((extent, false)),
        (Extent::Times(_), true) => Some((extent, false)),
        (Extent::Times(_), false) => extent.nights(house).map(|nights| (Extent::Nights(nights), true)),
        (Extent::Nights(_), true) => Some((Extent::Times(extent.times(house)), true)),
    }
}

/// When the next exported block falls out of every link, after `now`.
#[must_use]
pub fn next_departure(blocks: &[Block], house: &House, now: Timestamp) -> Option<Timestamp> {
    // Turnover nights outlive their stay.
    let ends = blocks.iter().flat_map(|block| [block.extent.times(house).end(), house.turned_over_at(block.extent)]);
    let ends = ends.map(|end| end.later(SHOWN_AFTER_DEPARTURE));
    ends.filter(|end| *end > now).min()
}
