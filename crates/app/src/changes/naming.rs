//! What an entry of the activity is about, by the names that its host knows: written with it, from the state that it
//! changed and the one that it left, so that it costs no read and tells of what was deleted.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
};

use calmesh_calendar::{Block, BlockId, BlockKind, ConnectionId, Extent, House};
use calmesh_profiles::Profile;
use jiff::civil::{Date, DateTime};

use crate::{
    changes::holds::vanished_together,
    limits::STAYS_TOLD,
    model::{Activity, ActivityKind, Connection, NamedStay, Names, PropertyState, Site, Span, StayPart, span_of},
};

/// Names what entries are about.
pub(crate) fn name_things(entries: &mut [Activity], before: &PropertyState, after: &PropertyState) {
    if entries.is_empty() {
        return;
    }
    let house = after.house();
    // As they are now, or as they were.
    let blocks: HashMap<&BlockId, &Block> =
        before.blocks.iter().chain(&after.blocks).map(|block| (&block.id, block)).collect();
    for entry in entries {
        let stays = match (&entry.kind, &entry.connection) {
            (ActivityKind::FeedChanged { .. }, Some(connection)) => changed_stays(connection, before, after, &house),
            (ActivityKind::MassVanished { .. }, Some(connection)) => vanished_stays(connection, after, &house),
            (kind, _) => {
                let named = blocks_of(kind).into_iter();
                named.filter_map(|(id, part)| stay(blocks.get(id)?, part, before, after, &house)).collect()
            }
        };
        entry.names = Names {
            property: Some(after.property.name.clone()),
            site: entry.connection.as_ref().and_then(|connection| site(connection, before, after)),
            stays,
        };
    }
}

/// The blocks that an entry names by id.
fn blocks_of(kind: &ActivityKind) -> Vec<(&BlockId, StayPart)> {
    use StayPart::{Gone, Itself};
    match kind {
        ActivityKind::HoldOpened { block, .. }
        | ActivityKind::HoldReleased { block, .. }
        | ActivityKind::HoldKept { block, .. }
        | ActivityKind::HoldConfirmed { block, .. }
        | ActivityKind::HoldReturned { block, .. }
        | ActivityKind::BlockCreated { block }
        | ActivityKind::BlockChanged { block }
        | ActivityKind::BlockDeleted { block } => vec![(block, Itself)],
        ActivityKind::ConflictOpened { blocks, .. } => blocks.iter().map(|block| (block, Itself)).collect(),
        ActivityKind::ConflictClosed { blocks, gone, .. } => {
            blocks.iter().map(|block| (block, if gone.contains(block) { Gone } else { Itself })).collect()
        }
        ActivityKind::ConflictResolved { gone, .. } => vec![(gone, Gone)],
        ActivityKind::ExtensionOrphaned { block, stay } => vec![(block, Itself), (stay, Gone)],
        ActivityKind::ExtensionLeft { block, stay } => vec![(block, Itself), (stay, StayPart::Changed)],
        ActivityKind::PropertyCreated
        | ActivityKind::PropertyChanged
        | ActivityKind::ConnectionCreated { .. }
        | ActivityKind::ConnectionChanged { .. }
        | ActivityKind::ConnectionDeleted { .. }
        | ActivityKind::ConnectionPaused { .. }
        | ActivityKind::ConnectionResumed { .. }
        | ActivityKind::LinkRotated { .. }
        | ActivityKind::FeedChanged { .. }
        | ActivityKind::FeedFailed { .. }
        | ActivityKind::FeedRecovered
        | ActivityKind::MassVanished { .. }
        | ActivityKind::ClaimsDecided { .. } => Vec::new(),
    }
}

fn site(id: &ConnectionId, before: &PropertyState, after: &PropertyState) -> Option<Site> {
    after.connection(id).or_else(|| before.connection(id)).map(Connection::site)
}

/// A block by whose it is and when; none for the block of a connection that nothing is known of.
pub(crate) fn named_stay(block: &Block, part: StayPart, state: &PropertyState, house: &House) -> Option<NamedStay> {
    stay(block, part, state, state, house)
}

/// None for the block of a connection that nothing is known of.
fn stay(
    block: &Block,
    part: StayPart,
    before: &PropertyState,
    after: &PropertyState,
    house: &House,
) -> Option<NamedStay> {
    let site = match block.connection() {
        Some(connection) => Some(site(connection, before, after)?),
        None => None,
    };
    Some(NamedStay { block: block.id.clone(), part, site, span: span_of(block.extent, house), before: None })
}

/// What a refresh brought, changed and took away, each in order of time.
fn changed_stays(
    connection: &ConnectionId,
    before: &PropertyState,
    after: &PropertyState,
    house: &House,
) -> Vec<NamedStay> {
    let of = |state: &'_ PropertyState| -> BTreeMap<BlockId, (BlockKind, Extent)> {
        let mine = state.blocks.iter().filter(|block| block.connection() == Some(connection));
        mine.map(|block| (block.id.clone(), (block.kind, block.extent))).collect()
    };
    let (known, now) = (of(before), of(after));
    let part = |block: &Block| match (known.get(&block.id), now.get(&block.id)) {
        (None, _) => Some(StayPart::New),
        (Some(_), None) => Some(StayPart::Gone),
        (Some(then), Some(now)) => (then != now).then_some(StayPart::Changed),
    };
    let gone = before.blocks.iter().filter(|block| !now.contains_key(&block.id));
    let mine = after.blocks.iter().chain(gone).filter(|block| block.connection() == Some(connection));
    let mut stays = first_of_each(mine.filter_map(|block| Some((part(block)?, block))).collect(), before, after, house);
    for stay in stays.iter_mut().filter(|stay| stay.part == StayPart::Changed) {
        let was = known.get(&stay.block).map(|(_, extent)| span_of(*extent, house));
        stay.before = was.filter(|was| *was != stay.span);
    }
    stays
}

/// What vanished together.
fn vanished_stays(connection: &ConnectionId, after: &PropertyState, house: &House) -> Vec<NamedStay> {
    let mine = after.blocks.iter().filter(|block| block.connection() == Some(connection));
    let vanished = mine.filter(|block| vanished_together(block).is_some());
    first_of_each(vanished.map(|block| (StayPart::Itself, block)).collect(), after, after, house)
}

fn first_of_each(
    mut blocks: Vec<(StayPart, &Block)>,
    before: &PropertyState,
    after: &PropertyState,
    house: &House,
) -> Vec<NamedStay> {
    blocks.sort_by_key(|(part, block)| (*part, block.extent.times(house).start(), &block.id));
    let mut told: BTreeMap<StayPart, usize> = BTreeMap::new();
    let mut has_room = |part: StayPart| {
        let told = told.entry(part).or_default();
        *told = told.saturating_add(1);
        *told <= STAYS_TOLD
    };
    let first = blocks.into_iter().filter(|(part, _)| has_room(*part));
    first.filter_map(|(part, block)| stay(block, part, before, after, house)).collect()
}

// ---- words ------------------------------------------------------------------------------------------------------

/// A connection in words: its name, and its provider's where that does not say it.
#[must_use]
pub fn site_in_words(site: &Site) -> String {
    let provider = (!site.provider.is_generic()).then(|| provider_in_words(site.provider.profile()));
    match provider {
        Some(provider) if !site.name.to_lowercase().contains(&provider.to_lowercase()) => {
            format!("{} ({provider})", site.name)
        }
        _ => site.name.clone(),
    }
}

/// A stay with whose it is: `Airbnb, whole flat, 4–7 Dec 2026`.
#[must_use]
pub fn stay_in_words(stay: &NamedStay) -> String {
    let of = stay.site.as_ref().map_or_else(|| "your own block".to_owned(), site_in_words);
    format!("{of}, {}", span_in_words(stay.span))
}

/// A provider by the name that hosts use: of `Google Calendar (link)` the first part.
pub(crate) fn provider_in_words(profile: &'static Profile) -> &'static str {
    profile.name.split_once(" (").map_or(profile.name.as_str(), |(name, _)| name)
}

/// `a`, `a and b`, `a, b and c`; none where there is none.
pub(crate) fn all_in_words<T: Borrow<str>>(all: &[T]) -> Option<String> {
    let (last, before) = all.split_last()?;
    let last = last.borrow();
    Some(if before.is_empty() { last.to_owned() } else { format!("{} and {last}", before.join(", ")) })
}

/// A span in words: `4–7 Dec 2026`, where the last day is the one of departure; `7 Dec 2026 11:00–14:00`.
#[must_use]
pub fn span_in_words(span: Span) -> String {
    match span {
        Span::Nights(first, end) => days_in_words(first, end),
        Span::Local(start, end) => {
            let (from, until) = (moment_in_words(start), clock(end));
            if start.date() == end.date() {
                format!("{from}–{until}")
            } else {
                format!("{from} – {}", moment_in_words(end))
            }
        }
    }
}

fn days_in_words(first: Date, end: Date) -> String {
    let (year, month) = (first.year() == end.year(), first.month() == end.month());
    match (year, month) {
        (true, true) => format!("{}–{}", first.day(), day(end)),
        (true, false) => format!("{} – {}", first.strftime("%-d %b"), day(end)),
        (false, _) => format!("{} – {}", day(first), day(end)),
    }
}

fn day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

fn clock(at: DateTime) -> String {
    at.strftime("%H:%M").to_string()
}

fn moment_in_words(at: DateTime) -> String {
    format!("{} {}", day(at.date()), clock(at))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn spans_are_told_as_a_host_says_them() {
        let nights = |a: Date, b: Date| span_in_words(Span::Nights(a, b));
        assert_eq!(nights(date(2026, 12, 4), date(2026, 12, 7)), "4–7 Dec 2026");
        assert_eq!(nights(date(2026, 11, 28), date(2026, 12, 2)), "28 Nov – 2 Dec 2026");
        assert_eq!(nights(date(2026, 12, 30), date(2027, 1, 2)), "30 Dec 2026 – 2 Jan 2027");
        assert_eq!(nights(date(2026, 12, 4), date(2027, 12, 4)), "4 Dec 2026 – 4 Dec 2027");
        let times = |a: DateTime, b: DateTime| span_in_words(Span::Local(a, b));
        let at = |day: i8, hour: i8| date(2026, 12, day).at(hour, 0, 0, 0);
        assert_eq!(times(at(7, 11), at(7, 14)), "7 Dec 2026 11:00–14:00");
        assert_eq!(times(at(7, 22), at(8, 2)), "7 Dec 2026 22:00 – 8 Dec 2026 02:00");
    }

    #[test]
    fn a_connection_whose_name_hides_its_provider_is_told_with_it() {
        let words =
            |name: &str, provider: &str| site_in_words(&Site { name: name.to_owned(), provider: provider.into() });
        assert_eq!(words("Airbnb, whole flat", "airbnb"), "Airbnb, whole flat");
        assert_eq!(words("AIRBNB", "airbnb"), "AIRBNB");
        assert_eq!(words("Whole flat", "vrbo"), "Whole flat (Vrbo)");
        assert_eq!(words("Family", "google_ical"), "Family (Google Calendar)");
        assert_eq!(words("My calendar", "generic"), "My calendar");
        assert_eq!(words("Old one", "no-longer-known"), "Old one");
    }
}
