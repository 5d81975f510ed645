//! What a change would open, without making it: the same pure decision, on a copy, and the difference between what
//! stood before and what would stand after it. It is told of both sides: nights that nobody takes any more, and nights
//! that one site may sell again because its private link no longer says that they are taken.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{Block, ConnectionId, Extent, House, LinkId, Nights, Standing, Viewer, view};
use jiff::{Timestamp, ToSpan, civil::Date};

use crate::{
    changes::{draft::Draft, weighing::KnownReads},
    desk::{Desk, reach::Reach},
    limits::DAYS_AHEAD,
    model::{ExtraLink, Format, LinkToken, PropertyState, RetiringServes},
    ports::StoreError,
    publish::served::stays_on_link,
};

/// Nights that a change opens, from today on in the property's zone and no further than feeds are read: 760 days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Openings {
    /// They are taken now, and nobody would take them any more.
    pub opens: BTreeSet<Date>,
    /// They would stay taken only until it is believed that they are gone: no calendar would show them any more.
    pub held: BTreeSet<Date>,
    /// They would go from a link that this connection's site reads, and the site itself is not known to hold them.
    pub at_sites: BTreeMap<ConnectionId, BTreeSet<Date>>,
    /// They would go from this extra link. A caller is told of those that it may see.
    pub at_links: BTreeMap<LinkId, BTreeSet<Date>>,
}

impl Openings {
    pub(crate) fn add(&mut self, other: Self) {
        self.opens.extend(other.opens);
        self.held.extend(other.held);
        for (site, nights) in other.at_sites {
            self.at_sites.entry(site).or_default().extend(nights);
        }
        for (link, nights) in other.at_links {
            self.at_links.entry(link).or_default().extend(nights);
        }
    }
}

impl Desk {
    /// What this decision would open.
    pub(crate) async fn openings_of<T, E: From<StoreError>>(
        &self,
        reach: &Reach,
        before: &PropertyState,
        decide: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<Openings, E> {
        Ok(self.tried(reach, before, decide).await?.1)
    }

    /// The same, with what the decision answered.
    pub(crate) async fn tried<T, E: From<StoreError>>(
        &self,
        reach: &Reach,
        before: &PropertyState,
        decide: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<(T, Openings), E> {
        let links = self.links_within(reach).await?;
        self.tried_with(&links, before, decide).await
    }

    /// The same, where the account's extra links are known.
    pub(crate) async fn tried_with<T, E: From<StoreError>>(
        &self,
        links: &[ExtraLink],
        before: &PropertyState,
        decide: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<(T, Openings), E> {
        let mut draft = self.changes.draft(before.clone(), self.clock.now());
        let value = decide(&mut draft)?;
        self.changes.weigh(before, &mut draft, &mut KnownReads::for_decisions(1)).await?;
        Ok((value, openings(links, before, &draft.state, draft.now)))
    }

    /// The nights from today on that an extra link shows.
    pub(crate) async fn nights_on_link(&self, link: &ExtraLink) -> Result<BTreeSet<Date>, StoreError> {
        let now = self.clock.now();
        let mut nights = BTreeSet::new();
        for id in &self.properties.properties_of_link(link).await? {
            let Some(state) = self.properties.load(id).await? else { continue };
            if state.property.deleted_at.is_none() && state.property.account == link.account {
                nights.extend(nights_of_all(&state, link.format, now));
            }
        }
        Ok(nights)
    }
}

/// The nights from today on that an extra link of this format shows of a property.
pub(crate) fn nights_of_all(state: &PropertyState, format: Format, now: Timestamp) -> BTreeSet<Date> {
    let (sources, house) = (state.sources(), state.house());
    let Some(window) = window(house.date(now)) else { return BTreeSet::new() };
    let viewer = Viewer { own: None, times: format == Format::Times };
    let events = view(&state.picture(&sources, &house), viewer, state.property.rules_changed_at, now);
    nights_of(events.into_iter().map(|event| event.extent), &house, window)
}

/// The nights that go from the extra links over a property.
fn openings_at_links(
    links: &[ExtraLink],
    before: &PropertyState,
    after: &PropertyState,
    now: Timestamp,
) -> BTreeMap<LinkId, BTreeSet<Date>> {
    let mut gone_by_format: BTreeMap<Format, BTreeSet<Date>> = BTreeMap::new();
    let property = &before.property;
    let is_over_it =
        |link: &&ExtraLink| link.deleted_at.is_none() && link.account == property.account && link.shows(&property.id);
    let opened = links.iter().filter(is_over_it).map(|link| {
        let gone = gone_by_format.entry(link.format).or_insert_with(|| {
            let still = nights_of_all(after, link.format, now);
            nights_of_all(before, link.format, now).difference(&still).copied().collect()
        });
        (link.id.clone(), gone.clone())
    });
    opened.filter(|(_, nights)| !nights.is_empty()).collect()
}

/// What is open after a change that was not before, also on these extra links of the account.
pub(crate) fn openings(links: &[ExtraLink], before: &PropertyState, after: &PropertyState, now: Timestamp) -> Openings {
    let (old, new) = (before.house(), after.house());
    // Where the zone changes, the later of both days: what is over in one of them can't be sold.
    let Some(window) = window(old.date(now).max(new.date(now))) else { return Openings::default() };
    let taken = |state: &PropertyState, house: &House| {
        nights_of(state.taken().into_iter().map(|taken| taken.extent), house, window)
    };
    let held = held_nights(after, &new, window).difference(&held_nights(before, &old, window)).copied().collect();
    let opens = taken(before, &old).difference(&taken(after, &new)).copied().collect();
    let still = nights_by_link(after, &new, window, now);
    let mut at_sites: BTreeMap<ConnectionId, BTreeSet<Date>> = BTreeMap::new();
    for (token, (site, nights)) in nights_by_link(before, &old, window, now) {
        let none = BTreeSet::new();
        let still = still.get(token).map_or(&none, |(_, nights)| nights);
        let gone = nights.difference(still).copied();
        at_sites.entry(site.clone()).or_default().extend(gone);
    }
    for (site, nights) in &mut at_sites {
        if !nights.is_empty() {
            // What its feed says of it after the change counts, or said last where it would not be read any more.
            let is_read = after.connection(site).is_some_and(crate::model::Connection::is_read);
            let held = held_by_itself(if is_read { after } else { before }, site, window);
            nights.retain(|night| !held.contains(night));
        }
    }
    at_sites.retain(|_, nights| !nights.is_empty());
    Openings { opens, held, at_sites, at_links: openings_at_links(links, before, after, now) }
}

/// Nights that are taken by held stays alone, of which readings or the host may still say that they are gone.
fn held_nights(state: &PropertyState, house: &House, window: Nights) -> BTreeSet<Date> {
    let (held, standing): (Vec<&Block>, Vec<&Block>) = state.blocks.iter().partition(|block| block.hold().is_some());
    let waiting = held.into_iter().filter(|block| block.hold().is_some_and(|hold| !hold.kept));
    let extents = |blocks: Vec<&Block>| nights_of(blocks.iter().map(|block| block.extent), house, window);
    extents(waiting.collect()).difference(&extents(standing)).copied().collect()
}

/// Every link of a property that a site may still read, the one before a rotation included: whose site it is, and the
/// nights that it shows.
fn nights_by_link<'a>(
    state: &'a PropertyState,
    house: &House,
    window: Nights,
    now: Timestamp,
) -> BTreeMap<&'a LinkToken, (&'a ConnectionId, BTreeSet<Date>)> {
    let sources = state.sources();
    let picture = state.picture(&sources, house);
    let mut shown = BTreeMap::new();
    for connection in &state.connections {
        let Some(export) = &connection.export else { continue };
        let events = stays_on_link(state, &picture, connection, now);
        let nights = nights_of(events.into_iter().map(|event| event.extent), house, window);
        let earlier = state
            .retiring
            .iter()
            .filter(|link| matches!(&link.serves, RetiringServes::Current { connection: of } if *of == connection.id));
        for token in earlier.map(|link| &link.token).chain([&export.token]) {
            shown.insert(token, (&connection.id, nights.clone()));
        }
    }
    shown
}

/// The nights that a site is known to hold by itself: its feed shows them, and not because it read them from us.
fn held_by_itself(state: &PropertyState, site: &ConnectionId, window: Nights) -> BTreeSet<Date> {
    let (sources, house) = (state.sources(), state.house());
    let picture = state.picture(&sources, &house);
    let mut held = BTreeSet::new();
    for block in state.blocks.iter().filter(|block| block.connection() == Some(site) && block.hold().is_none()) {
        let nights = nights_of([block.extent], &house, window).into_iter();
        held.extend(nights.filter(|night| picture.standing(block, *night) == Standing::Certain));
    }
    held
}

/// From this day on as far as feeds are read.
fn window(from: Date) -> Option<Nights> {
    Nights::new(from, from.checked_add(DAYS_AHEAD.days()).ok()?).ok()
}

fn nights_of(extents: impl IntoIterator<Item = Extent>, house: &House, window: Nights) -> BTreeSet<Date> {
    let nights = extents.into_iter().filter_map(|extent| extent.nights(house)?.intersection(window));
    nights.flat_map(Nights::iter).collect()
}
