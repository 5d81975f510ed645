//! One property with a few sites: feeds are read, sites read their links, the host does things, and time passes only
//! when it is told to. What stories are told with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::build::*;
use crate::{
    claims::{Rules, weigh_by, weigh_every_night},
    conflict::conflicts_of_all,
    span::Later,
    view::view_by,
    *,
};

#[derive(Debug)]
pub(super) struct Home {
    pub(super) now: Timestamp,
    pub(super) house: House,
    pub(super) blocks: Vec<Block>,
    pub(super) claims: Claims,
    pub(super) sources: BTreeMap<ConnectionId, Source>,
    pub(super) links: BTreeMap<ConnectionId, LinkFacts>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) mass_vanish: MassVanishPolicy,
    pub(super) rules: Rules,
    ids: u32,
}

impl Home {
    /// Every read of these sites' links is recorded.
    pub(super) fn of(sites: &[u8]) -> Self {
        let complete = LinkFacts { recorded_since: Some(noon("2026-01-01")), complete: true, ..LinkFacts::default() };
        Self {
            now: noon("2026-11-20"),
            house: house(),
            blocks: Vec::new(),
            claims: Claims::default(),
            sources: sites.iter().map(|of| (connection(*of), Source::default())).collect(),
            links: sites.iter().map(|of| (connection(*of), complete.clone())).collect(),
            conflicts: Vec::new(),
            mass_vanish: MassVanishPolicy::default(),
            rules: Rules::default(),
            ids: 100,
        }
    }

    pub(super) fn later(&mut self, minutes: i64) -> &mut Self {
        self.now = self.now.later(SignedDuration::from_mins(minutes));
        self
    }

    /// This site is connected now; nobody has seen its link.
    pub(super) fn connect(&mut self, of: u8) -> &mut Self {
        self.change(None, |home| {
            let (since, recorded_since) = (Some(home.now), Some(home.now));
            let facts = LinkFacts { since, recorded_since, complete: true, ..LinkFacts::default() };
            home.links.insert(connection(of), facts);
            home.sources.insert(connection(of), Source::default());
        })
    }

    /// This site reads its link now.
    pub(super) fn reads_link(&mut self, of: u8) -> &mut Self {
        let now = self.now;
        self.links.get_mut(&connection(of)).unwrap().reads.push(now);
        self
    }

    /// We read this site's feed.
    pub(super) fn feed(&mut self, of: u8, sightings: Vec<Sighting>) -> &mut Self {
        let (id, now) = (connection(of), self.now);
        self.change(Some(of), |home| {
            let (mine, others) = std::mem::take(&mut home.blocks)
                .into_iter()
                .partition::<Vec<_>, _>(|block| block.connection() == Some(&id));
            let expected = home.claims.expected_to_go(&id);
            let judging = Judging {
                connection: &id,
                house: &home.house,
                hold: HoldPolicy::default(),
                mass_vanish: home.mass_vanish,
                expected_to_go: &expected,
                replaced: false,
            };
            let reading = Reading { sightings, unread: BTreeSet::new(), read_at: now, now, repeated: false };
            let ids = &mut home.ids;
            home.blocks = others;
            home.blocks.extend(reconcile(mine, &reading, &judging, &mut || fresh(ids)).blocks);
        })
    }

    /// Nothing but that time has passed.
    pub(super) fn wake(&mut self) -> &mut Self {
        self.change(None, |_| {})
    }

    /// A block of the host's own, perhaps one that extends a stay.
    pub(super) fn add_own(&mut self, extent: Extent, extends: Option<BlockId>) -> &mut Self {
        self.change(None, |home| {
            let id = BlockId::from_random(fresh(&mut home.ids));
            let (first_seen_at, changed_at) = (home.now, home.now);
            let origin = Origin::Own { extends, lost: None };
            home.blocks.push(Block { id, origin, first_seen_at, changed_at, ..own(0, extent) });
        })
    }

    /// What changes here is weighed, and the links follow a second later.
    pub(super) fn change(&mut self, read: Option<u8>, change: impl FnOnce(&mut Self)) -> &mut Self {
        let (blocks, sources, claims) = (self.blocks.clone(), self.sources.clone(), self.claims.clone());
        change(self);
        let read = read.map(connection);
        let change = Change {
            before: Picture { blocks: &blocks, sources: &sources, claims: &claims, house: &self.house },
            after: Picture { blocks: &self.blocks, sources: &self.sources, claims: &self.claims, house: &self.house },
            links: &self.links,
            read: read.as_ref().map(|id| (id, self.now)),
            replaced: None,
            now: self.now,
        };
        let (mut again, ids) = (self.ids, &mut self.ids);
        let weighed = weigh_by(&change, &mut || fresh(ids), self.rules);
        let everywhere = weigh_every_night(&change, &mut || fresh(&mut again), self.rules);
        assert_eq!(weighed, everywhere, "on nights that are not looked at nothing changes");
        self.claims = weighed.claims;
        if let Some(blocks) = weighed.blocks {
            self.blocks = blocks;
        }
        let (mut again, ids) = (self.ids, &mut self.ids);
        let picture =
            Picture { blocks: &self.blocks, sources: &self.sources, claims: &self.claims, house: &self.house };
        let found = conflicts(&self.conflicts, &picture, self.now, &mut || fresh(ids));
        let of_all = conflicts_of_all(&self.conflicts, &picture, self.now, &mut || fresh(&mut again));
        assert_eq!(found, of_all, "a stay that is alone on its nights clashes with nobody");
        self.conflicts = found.standing;
        for facts in self.links.values_mut() {
            facts.last_put_at = Some(self.now.later(SignedDuration::from_secs(1)));
        }
        self
    }

    pub(super) fn picture(&self) -> Picture<'_> {
        Picture { blocks: &self.blocks, sources: &self.sources, claims: &self.claims, house: &self.house }
    }

    /// Nights that a site's link shows; a connection that does not count has an empty one.
    pub(super) fn link(&self, of: u8) -> Vec<Date> {
        let id = connection(of);
        if !self.sources.contains_key(&id) {
            return Vec::new();
        }
        let viewer = Viewer { own: Some(&id), times: false };
        let events = view_by(&self.picture(), viewer, self.now, self.now, self.rules);
        sorted(events.iter().filter_map(|event| event.extent.nights(&self.house)).flat_map(Nights::iter))
    }

    pub(super) fn taken(&self) -> Vec<Date> {
        taken_nights(&taken(&self.picture()), &self.house, day("2026-01-01")).into_iter().collect()
    }

    pub(super) fn explained(&self, night: Date) -> Vec<ExplainedClaim> {
        explain(&self.picture(), night, self.now)
    }
}

fn fresh(ids: &mut u32) -> [u8; 16] {
    *ids += 1;
    u128::from(*ids).to_be_bytes()
}

pub(super) fn sorted(nights: impl Iterator<Item = Date>) -> Vec<Date> {
    nights.collect::<BTreeSet<Date>>().into_iter().collect()
}
