//! Us: what the service does around `calendar`, in memory.

use std::{collections::BTreeMap, rc::Rc};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::site::{DAY, Feed, HOUR, Imported, Mask, Minute, Site, mask};
use crate::{
    claims::{Rules, weigh_by},
    view::view_by,
    *,
};

/// How claims are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Rules(Rules),
    /// The same, blind to our own tag.
    Untagged,
    /// The simple rule for comparison: whatever shows a night that its link carries, or carried within a day, is
    /// dropped as an echo; nothing is ever asked.
    DropLookalikes,
    /// The rules, but a night that a site holds is forgotten on every link: what has to be found out.
    Forgetful,
    /// The rules without holds: what has to be found out too.
    WithoutHolds,
    /// The rules, where a mass vanish is believed as soon as one missing stay.
    WithoutMassVanish,
}

impl Method {
    pub(super) fn policy(self) -> Policy {
        let hold = HoldPolicy { readings: 1, minutes: 0 };
        let mass_vanish = MassVanishPolicy { readings: 2, hours: 0, ..MassVanishPolicy::default() };
        match self {
            Self::WithoutHolds => Policy { hold, ..Policy::default() },
            Self::WithoutMassVanish => Policy { mass_vanish, ..Policy::default() },
            _ => Policy::default(),
        }
    }
}

/// One connection's private link.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) events: Rc<Vec<Imported>>,
    pub(super) nights: Mask,
    /// What it served until it was last put.
    before: Rc<Vec<Imported>>,
    pub(super) made_at: Minute,
    pub(super) is_missing: bool,
    pub(super) put_at: Option<Minute>,
    /// Reads, each with when we learn of it.
    pub(super) reads: Vec<(Minute, Minute)>,
    /// When each night was last carried, for the simple rule.
    carried: BTreeMap<i64, Minute>,
}

pub(super) struct Service {
    pub(super) house: House,
    pub(super) ids: Vec<ConnectionId>,
    pub(super) blocks: Vec<Block>,
    pub(super) claims: Claims,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) links: Vec<Link>,
    pub(super) paused: Vec<bool>,
    sources: Vec<Source>,
    is_read: Vec<bool>,
    is_served: Vec<bool>,
    by_times: Vec<bool>,
    pub(super) applied: Vec<Option<u64>>,
    /// Nights of which a site's claim was found to be an echo, and that its feed shows no more.
    pub(super) let_go: Vec<Mask>,
    /// Nights of real stays that the latest good reading of each feed shows.
    pub(super) read: Vec<Mask>,
    pub(super) dirty: bool,
    pub(super) wake_at: Option<Minute>,
    complete_record: bool,
    method: Method,
    policy: Policy,
    fresh: u64,
    pub(super) decisions: Vec<Decision>,
    pub(super) puts: u64,
    pub(super) opened_conflicts: Vec<Conflict>,
}

pub(super) fn at(minute: Minute) -> Timestamp {
    /// The first night begins, 2027-01-01T00:00:00Z.
    const BEGIN: i64 = 1_798_761_600;
    Timestamp::constant(BEGIN + minute * 60, 0)
}

fn minute_of(at_: Timestamp) -> Minute {
    at_.duration_since(at(0)).as_mins()
}

fn first_night() -> Date {
    jiff::civil::date(2027, 1, 1)
}

pub(super) fn date(night: i64) -> Date {
    first_night().checked_add(jiff::Span::new().days(night)).unwrap()
}

pub(super) fn night_of(date: Date) -> i64 {
    i64::from(date.since((jiff::Unit::Day, first_night())).unwrap().get_days())
}

pub(super) fn nights(first: i64, end: i64) -> Nights {
    Nights::new(date(first), date(end)).unwrap()
}

impl Service {
    pub(super) fn new(sites: &[Site], turnover: u8, complete_record: bool, method: Method) -> Self {
        let policy = method.policy();
        let time = |hour| jiff::civil::time(hour, 0, 0, 0);
        let read = |site: &Site| site.habits.has_feed;
        let source = |site: &Site| {
            let habits = &site.habits;
            let every = habits.reads_every.filter(|_| habits.cadence_is_known);
            Source {
                tells_reservations_apart: habits.tells_apart,
                aggregates: habits.mirrors.is_some(),
                has_link: habits.has_link && !habits.two_connections,
                reads_link_every: every.map(SignedDuration::from_mins),
                echo: policy.echo,
                ..Source::default()
            }
        };
        Self {
            house: House::new(TimeZone::UTC, time(15), time(11), turnover).unwrap(),
            ids: (1..=sites.len() as u8).map(|number| ConnectionId::from_random([number; 16])).collect(),
            blocks: Vec::new(),
            claims: Claims::default(),
            conflicts: Vec::new(),
            links: vec![Link::default(); sites.len()],
            paused: vec![false; sites.len()],
            sources: sites.iter().map(source).collect(),
            is_read: sites.iter().map(read).collect(),
            is_served: sites.iter().map(|site| site.habits.has_link).collect(),
            by_times: sites.iter().map(|site| site.habits.late).collect(),
            applied: vec![None; sites.len()],
            let_go: vec![0; sites.len()],
            read: vec![0; sites.len()],
            dirty: false,
            wake_at: None,
            complete_record,
            method,
            policy,
            fresh: 0,
            decisions: Vec::new(),
            puts: 0,
            opened_conflicts: Vec::new(),
        }
    }

    pub(super) fn sources(&self) -> BTreeMap<ConnectionId, Source> {
        let active = (0..self.ids.len()).filter(|of| self.is_read[*of] && !self.paused[*of]);
        active.map(|of| (self.ids[of].clone(), self.sources[of])).collect()
    }

    pub(super) fn rules(&self) -> Rules {
        match self.method {
            Method::Rules(rules) => rules,
            Method::DropLookalikes => {
                Rules { inquiries: false, witness: false, witness_of_possible: false, ..Rules::default() }
            }
            _ => Rules::default(),
        }
    }

    fn fresh(fresh: &mut u64) -> [u8; 16] {
        *fresh += 1;
        // Spread as real ones are, so that they differ in their first letters.
        (u128::from(*fresh).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes()
    }

    /// Whether a reading of this feed has to be taken in.
    pub(super) fn wants(&self, of: usize, version: u64) -> bool {
        let id = &self.ids[of];
        let holds = |block: &Block| block.hold().is_some_and(|hold| !hold.kept) && block.connection() == Some(id);
        self.applied[of] != Some(version) || self.claims.waits_for_readings(id) || self.blocks.iter().any(holds)
    }

    /// Takes a good reading in; answers whether anything changed.
    pub(super) fn take(&mut self, of: usize, feed: &Feed, now: Minute, repeated: bool) -> bool {
        let sightings = feed.sightings.iter().map(|(shown, first, end)| Sighting {
            key: shown.uid.clone().map(|uid| EventKey { uid, occurrence: None }),
            code: shown.code.clone(),
            extent: if shown.late {
                Extent::Times(Times::new(at(first * DAY + 16 * HOUR), at(end * DAY + 18 * HOUR)).unwrap())
            } else {
                Extent::Nights(nights(*first, *end))
            },
            summary: "".into(),
            rule: String::new(),
            sign: if shown.sign == Sign::Ours && self.method == Method::Untagged { Sign::None } else { shown.sign },
            verdict: Verdict::Blocks(shown.kind),
        });
        let reading = Reading {
            sightings: sightings.collect(),
            unread: Default::default(),
            read_at: at(now),
            now: at(now),
            repeated,
        };
        self.applied[of] = Some(feed.version);
        let shown = feed.sightings.iter().map(|(_, first, end)| mask(*first, *end));
        self.let_go[of] &= !shown.fold(0, |all, nights| all | nights);
        self.read[of] = feed.own;
        let before = self.blocks.clone();
        let id = self.ids[of].clone();
        let (mine, others): (Vec<Block>, Vec<Block>) =
            std::mem::take(&mut self.blocks).into_iter().partition(|block| block.connection() == Some(&id));
        let expected = self.claims.expected_to_go(&id);
        let judging = Judging {
            connection: &id,
            house: &self.house,
            hold: self.policy.hold,
            mass_vanish: self.policy.mass_vanish,
            expected_to_go: &expected,
            replaced: false,
        };
        // Stays long departed are forgotten.
        let house = &self.house;
        let mine = mine
            .into_iter()
            .filter(|block| block.extent.times(house).end() + SignedDuration::from_hours(24 * 35) > at(now));
        let mine = mine.collect();
        let fresh = &mut self.fresh;
        let result = reconcile(mine, &reading, &judging, &mut || Self::fresh(fresh));
        self.blocks = others;
        self.blocks.extend(result.blocks);
        self.blocks.sort_by(|a, b| a.id.cmp(&b.id));
        let sources = self.sources();
        self.weigh(&before, &sources, None, (!repeated).then_some(of), now)
    }

    /// The host blocks time here, perhaps as a part of a stay; answers which nights that takes.
    pub(super) fn add_own(&mut self, extent: Extent, extends: Option<BlockId>, now: Minute) -> (BlockId, Mask) {
        let (before, sources) = (self.blocks.clone(), self.sources());
        let id = BlockId::from_random(Self::fresh(&mut self.fresh));
        self.blocks.push(Block {
            id: id.clone(),
            origin: Origin::Own { extends, lost: None },
            kind: BlockKind::Reservation,
            extent,
            summary: "".into(),
            sequence: 0,
            first_seen_at: at(now),
            changed_at: at(now),
        });
        self.blocks.sort_by(|a, b| a.id.cmp(&b.id));
        self.weigh(&before, &sources, None, None, now);
        let taken = extent.nights(&self.house);
        (id, taken.map_or(0, |taken| mask(night_of(taken.first()), night_of(taken.end()))))
    }

    pub(super) fn remove_own(&mut self, id: &BlockId, now: Minute) {
        let (before, sources) = (self.blocks.clone(), self.sources());
        self.blocks.retain(|block| block.id != *id);
        self.weigh(&before, &sources, None, None, now);
    }

    /// The host says of a conflict that this stay no longer stands.
    pub(super) fn said_gone(&mut self, id: &BlockId, now: Minute) {
        let (before, sources) = (self.blocks.clone(), self.sources());
        let known = self.claims.clone();
        let picture = Picture { blocks: &before, sources: &sources, claims: &known, house: &self.house };
        for conflict in self.conflicts.iter_mut().filter(|conflict| conflict.blocks.contains(id)) {
            *conflict = conflict.with_gone(&picture, id);
        }
        if let Some(block) = before.iter().find(|block| block.id == *id) {
            self.claims = known.said_gone(&picture, block, at(now));
        }
        self.weigh(&before, &sources, Some(known), None, now);
    }

    /// Does what its time has come for.
    pub(super) fn wake(&mut self, now: Minute) -> bool {
        let before = self.blocks.clone();
        let sources = self.sources();
        self.weigh(&before, &sources, None, None, now)
    }

    /// Pauses or resumes a connection.
    pub(super) fn pause(&mut self, of: usize, paused: bool, now: Minute) {
        let (before, sources) = (self.blocks.clone(), self.sources());
        self.paused[of] = paused;
        self.applied[of] = None;
        self.dirty = true;
        self.weigh(&before, &sources, None, None, now);
    }

    /// This connection is not made yet: nothing is known of it, and it has no link.
    pub(super) fn disconnect(&mut self, of: usize) {
        self.paused[of] = true;
        self.links[of].is_missing = true;
    }

    pub(super) fn connect(&mut self, of: usize, now: Minute) {
        (self.links[of].is_missing, self.links[of].made_at) = (false, now);
        self.pause(of, false, now);
    }

    fn facts(&self, now: Minute) -> BTreeMap<ConnectionId, LinkFacts> {
        let facts = |link: &Link| {
            let known = link.reads.iter().filter(|(_, learned)| *learned <= now);
            // The newest read is always known.
            let window = known.clone().map(|(read, _)| *read).max().unwrap_or(now) - 10 * DAY;
            let known = known.filter(|(read, _)| *read >= window);
            LinkFacts {
                showed_all: false,
                since: Some(at(link.made_at)),
                last_put_at: link.put_at.map(at),
                reads: known.map(|(read, _)| at(*read)).collect(),
                recorded_since: Some(at(link.made_at)),
                complete: self.complete_record,
            }
        };
        self.ids.iter().cloned().zip(self.links.iter().map(facts)).collect()
    }

    fn weigh(
        &mut self,
        before: &[Block],
        sources_before: &BTreeMap<ConnectionId, Source>,
        claims_before: Option<Claims>,
        read: Option<usize>,
        now: Minute,
    ) -> bool {
        let sources = self.sources();
        let known = self.claims.clone();
        let claims_before = claims_before.unwrap_or_else(|| known.clone());
        let facts = self.facts(now);
        let mut changed = before != self.blocks || claims_before != known;
        match self.method {
            Method::DropLookalikes => {
                if let Some(of) = read {
                    changed |= self.drop_lookalikes(of, now);
                }
            }
            _ => {
                let rules = self.rules();
                let change = Change {
                    before: Picture {
                        blocks: before,
                        sources: sources_before,
                        claims: &claims_before,
                        house: &self.house,
                    },
                    after: Picture { blocks: &self.blocks, sources: &sources, claims: &known, house: &self.house },
                    links: &facts,
                    read: read.map(|of| (&self.ids[of], at(now))),
                    replaced: None,
                    now: at(now),
                };
                let fresh = &mut self.fresh;
                let weighed = weigh_by(&change, &mut || Self::fresh(fresh), rules);
                changed |= weighed.blocks.is_some() || weighed.claims != known;
                if let Some(blocks) = weighed.blocks {
                    self.blocks = blocks;
                }
                self.claims = weighed.claims;
                self.wake_at = weighed.wake_at.map(minute_of);
                for decision in &weighed.decisions {
                    let of = self.ids.iter().position(|id| *id == decision.connection);
                    if let (Some(of), Finding::EchoEnded | Finding::Clean) = (of, decision.finding) {
                        self.let_go[of] |= mask(night_of(decision.nights.first()), night_of(decision.nights.end()));
                    }
                }
                self.decisions = weighed.decisions;
            }
        }
        let picture = Picture { blocks: &self.blocks, sources: &sources, claims: &self.claims, house: &self.house };
        let fresh = &mut self.fresh;
        let found = conflicts(&self.conflicts, &picture, at(now), &mut || Self::fresh(fresh));
        let is_new = |conflict: &&Conflict| found.opened.contains(&conflict.id);
        self.opened_conflicts = found.standing.iter().filter(is_new).cloned().collect();
        self.conflicts = found.standing;
        self.dirty |= changed;
        changed
    }

    /// The simple rule, with a day of grace.
    fn drop_lookalikes(&mut self, of: usize, now: Minute) -> bool {
        let id = self.ids[of].clone();
        let mut echoes: Mask = 0;
        for block in self.blocks.iter().filter(|block| block.connection() == Some(&id)) {
            let Origin::Feed(FeedOrigin { sign, hold: None, .. }) = &block.origin else { continue };
            let Some(nights) = block.extent.nights(&self.house).filter(|_| *sign != Sign::Reservation) else {
                continue;
            };
            for night in nights.iter().map(night_of).filter(|night| (0..128).contains(night)) {
                let link = &self.links[of];
                let carried = link.nights >> night & 1 == 1;
                let lately = link.carried.get(&night).is_some_and(|until| now - until <= DAY);
                if carried || lately {
                    echoes |= 1 << night;
                }
            }
        }
        let claim = Claim { standing: Standing::Echo, rule: ClaimRule::MayBeOurs, since: at(0) };
        let runs = super::site::runs(echoes).into_iter().map(|(first, end)| (nights(first, end), claim));
        let claims = Runs::of(runs);
        let mine = self.claims.connections.entry(id).or_default();
        let changed = mine.claims != claims;
        mine.claims = claims;
        changed
    }

    /// Puts the links that differ.
    pub(super) fn publish(&mut self, now: Minute) -> Vec<usize> {
        let sources = self.sources();
        let rules = self.rules();
        let mut put = Vec::new();
        for of in 0..self.links.len() {
            let id = &self.ids[of];
            let picture = Picture { blocks: &self.blocks, sources: &sources, claims: &self.claims, house: &self.house };
            let knows_its_own = self.is_read[of] && self.sources[of].has_link;
            let viewer = Viewer { own: knows_its_own.then_some(id), times: self.by_times[of] };
            let active = !self.paused[of] && self.is_served[of];
            let events = if active { view_by(&picture, viewer, at(0), at(now), rules) } else { Vec::new() };
            assert!(
                !knows_its_own || events.iter().all(|event| event.source.as_ref() != Some(id)),
                "a link shows its own connection's stay"
            );
            let events: Vec<Imported> = events
                .into_iter()
                .filter_map(|event| {
                    let nights = event.extent.nights(&self.house)?;
                    let turnover = if event.turnover { "-turnover" } else { "" };
                    let piece = event.piece.map(|piece| piece.to_string()).unwrap_or_default();
                    Some(Imported {
                        uid: format!("{}{piece}{turnover}", event.block),
                        first: night_of(nights.first()),
                        end: night_of(nights.end()),
                        tagged: true,
                    })
                })
                .collect();
            let events = if self.method == Method::Forgetful { without_last_night(events) } else { events };
            let link = &mut self.links[of];
            if *link.events != events {
                for night in 0..128 {
                    if link.nights >> night & 1 == 1 {
                        link.carried.insert(night, now);
                    }
                }
                link.nights = events.iter().fold(0, |all, event| all | mask(event.first, event.end));
                link.before = std::mem::replace(&mut link.events, Rc::new(events));
                link.put_at = Some(now);
                self.puts += 1;
                put.push(of);
            }
        }
        self.dirty = false;
        put
    }

    /// What a reader of a link gets, perhaps from a cache that is a minute old.
    pub(super) fn serve(&self, of: usize, now: Minute, cached: bool) -> Rc<Vec<Imported>> {
        let link = &self.links[of];
        let fresh = link.put_at.is_some_and(|put_at| cached && put_at >= now - 1);
        Rc::clone(if fresh { &link.before } else { &link.events })
    }

    pub(super) fn connection_of(&self, block: &BlockId) -> Option<usize> {
        let known = self.blocks.iter().find(|known| known.id == *block)?;
        self.ids.iter().position(|id| Some(id) == known.connection())
    }

    /// Stays of feeds that are still to come, and when they depart.
    pub(super) fn late_stays(&self, today: i64) -> Vec<(BlockId, i64)> {
        let nights = |block: &Block| block.extent.nights(&self.house).map(|nights| night_of(nights.end()));
        let stays = self.blocks.iter().filter(|block| !block.is_own() && block.kind == BlockKind::Reservation);
        let ends = stays.filter_map(|block| Some((block.id.clone(), nights(block)?)));
        ends.filter(|(_, end)| *end > today + 1).collect()
    }

    /// The connection and the nights of a stay.
    pub(super) fn nights_of_block(&self, id: &BlockId) -> Option<(usize, Mask)> {
        let block = self.blocks.iter().find(|block| block.id == *id)?;
        let of = self.ids.iter().position(|known| Some(known) == block.connection())?;
        let nights = block.extent.nights(&self.house)?;
        Some((of, mask(night_of(nights.first()), night_of(nights.end()))))
    }

    /// What a connection claims of a night, if anything.
    pub(super) fn standing(&self, of: usize, night: i64) -> Option<Standing> {
        let id = &self.ids[of];
        let date = date(night);
        let takes = |block: &&Block| {
            block.connection() == Some(id) && block.extent.nights(&self.house).is_some_and(|all| all.contains(date))
        };
        self.blocks.iter().find(takes)?;
        Some(self.claims.claim(id, date).map_or(Standing::Certain, |claim| claim.standing))
    }

    /// Nights that its link may carry as soon as it is put.
    pub(super) fn claimed_by_others(&self, of: usize) -> Mask {
        let turnover = i64::from(self.house.turnover_nights());
        let claimed = self.blocks.iter().filter_map(|block| {
            let nights = block.extent.nights(&self.house)?;
            let (first, end) = (night_of(nights.first()), night_of(nights.end()));
            let is_own = block.connection() == Some(&self.ids[of]);
            Some(mask(if is_own { end } else { first }, end + turnover))
        });
        claimed.fold(0, |all, nights| all | nights)
    }

    /// Nights ahead that a connection surely claims.
    pub(super) fn surely_held(&self, of: usize) -> Mask {
        let mine = self.blocks.iter().filter(|block| block.connection() == Some(&self.ids[of]));
        let nights = mine.filter_map(|block| block.extent.nights(&self.house)).flat_map(Nights::iter).map(night_of);
        let certain = nights.filter(|night| self.standing(of, *night) == Some(Standing::Certain));
        certain.fold(0, |all, night| all | mask(night, night + 1))
    }

    /// Whether its latest good reading shows a night by an event without our tag.
    pub(super) fn shows(&self, of: usize, night: i64) -> bool {
        let mine =
            self.blocks.iter().filter(|block| block.connection() == Some(&self.ids[of]) && block.hold().is_none());
        mine.filter(|block| !block.is_ours())
            .any(|block| block.extent.nights(&self.house).is_some_and(|nights| nights.contains(date(night))))
    }

    /// Whether its claim on a night is certain though it never stood when it was asked.
    pub(super) fn is_certain_unasked(&self, of: usize, night: i64) -> bool {
        let claim = self.claims.claim(&self.ids[of], date(night));
        claim.is_none_or(|claim| claim.standing == Standing::Certain && claim.rule == ClaimRule::NotFromUs)
    }

    /// Whether what a site shows of a night is a reservation by its own text.
    pub(super) fn shows_reservation(&self, of: usize, night: i64) -> bool {
        let mine =
            self.blocks.iter().filter(|block| block.connection() == Some(&self.ids[of]) && block.hold().is_none());
        mine.filter(|block| matches!(&block.origin, Origin::Feed(origin) if origin.sign == Sign::Reservation))
            .any(|block| block.extent.nights(&self.house).is_some_and(|nights| nights.contains(date(night))))
    }

    pub(super) fn is_asked(&self, of: usize, night: i64) -> bool {
        self.claims.asked(&self.ids[of], date(night)).is_some()
    }

    /// All nights that we take for taken.
    pub(super) fn taken(&self) -> Mask {
        let sources = self.sources();
        let picture = Picture { blocks: &self.blocks, sources: &sources, claims: &self.claims, house: &self.house };
        let extents = taken(&picture).into_iter().filter_map(|taken| taken.extent.nights(&self.house));
        extents.fold(0, |all, nights| all | mask(night_of(nights.first()), night_of(nights.end())))
    }
}

/// What a link would be that leaves out the last night of its first event.
fn without_last_night(mut events: Vec<Imported>) -> Vec<Imported> {
    if let Some(first) = events.first_mut() {
        first.end -= 1;
    }
    events.retain(|event| event.end > event.first);
    events
}
