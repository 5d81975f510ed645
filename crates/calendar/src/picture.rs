//! All that is known of one property at one moment, and what every judgement about it starts from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, civil::Date};

use crate::{
    Block, Claims, ConnectionId, EchoPolicy, Extent, FeedOrigin, House, NightSet, Nights, Origin, Sign, Standing,
    Times, span::Days,
};

/// What one connection that reads a feed is to its property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Whether its stays block: off while they are only shown.
    pub blocks: bool,
    /// Off: a closure may be a reservation, and is followed by turnover nights as one is.
    pub tells_reservations_apart: bool,
    /// Its feed can't hold what was read from us.
    pub never_echoes: bool,
    /// It repeats stays of other connections.
    pub aggregates: bool,
    /// Whether it has a private link of its own that serves something.
    pub has_link: bool,
    /// How often that site reads its link; none where unknown.
    pub reads_link_every: Option<SignedDuration>,
    pub echo: EchoPolicy,
}

impl Default for Source {
    /// A site that blocks, tells reservations apart, and reads its link.
    fn default() -> Self {
        Self {
            blocks: true,
            tells_reservations_apart: true,
            never_echoes: false,
            aggregates: false,
            has_link: true,
            reads_link_every: None,
            echo: EchoPolicy::default(),
        }
    }
}

impl Source {
    /// A site that reads its link reads it this often: a day where nobody knows.
    pub(crate) fn cadence(&self) -> SignedDuration {
        self.reads_link_every.unwrap_or(SignedDuration::from_hours(24))
    }
}

/// What is known of a property. `sources` holds the connections that are active and read a feed; the stays of any other
/// count for nothing.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    pub blocks: &'a [Block],
    pub sources: &'a BTreeMap<ConnectionId, Source>,
    pub claims: &'a Claims,
    pub house: &'a House,
}

impl Picture<'_> {
    /// Where a stay comes from; none for the host's own, and for one whose connection is paused or gone.
    #[must_use]
    pub fn source_of(&self, block: &Block) -> Option<&Source> {
        self.sources.get(block.connection()?)
    }

    /// Whether a block takes anything: the host's own always, a stay if its source counts.
    #[must_use]
    pub fn counts(&self, block: &Block) -> bool {
        block.connection().is_none_or(|connection| self.sources.get(connection).is_some_and(|source| source.blocks))
    }

    /// How sure a stay's claim on one of its nights is; the host's own are certain, and what carries our tag is an echo
    /// whatever else its site claims of the night.
    #[must_use]
    pub fn standing(&self, block: &Block, night: Date) -> Standing {
        if block.is_ours() {
            return Standing::Echo;
        }
        let claim = block.connection().and_then(|connection| self.claims.claim(connection, night));
        claim.map_or(Standing::Certain, |claim| claim.standing)
    }

    /// Whether a claim of this stay can't be an echo: by its text, or by the kind of calendar.
    #[must_use]
    pub fn is_evident(&self, block: &Block) -> bool {
        match &block.origin {
            Origin::Own { .. } => true,
            Origin::Feed(FeedOrigin { connection, sign, .. }) => {
                *sign == Sign::Reservation || self.sources.get(connection).is_some_and(|source| source.never_echoes)
            }
        }
    }

    /// The surest that a stay is on any of its nights.
    pub(crate) fn surest(&self, block: &Block, nights: Nights) -> Standing {
        if block.is_ours() {
            return Standing::Echo;
        }
        let written = block.connection().and_then(|connection| self.claims.connections.get(connection));
        let (mut surest, mut from) = (Standing::Echo, nights.first());
        for (run, claim) in written.map(|mine| mine.claims.touching(nights)).unwrap_or_default() {
            surest = surest.max(if from < run.first() { Standing::Certain } else { claim.standing });
            from = run.end();
            if surest == Standing::Certain {
                return surest;
            }
        }
        if from < nights.end() { Standing::Certain } else { surest }
    }

    /// Whether a stay is certain on each of its nights.
    #[must_use]
    pub fn is_certain(&self, block: &Block) -> bool {
        let written = block.connection().and_then(|connection| self.claims.connections.get(connection));
        let nights = block.extent.nights(self.house);
        let claims = written.zip(nights).map(|(mine, nights)| mine.claims.touching(nights)).unwrap_or_default();
        !block.is_ours() && claims.iter().all(|(_, claim)| claim.standing == Standing::Certain)
    }

    /// Whether claims of a block's connection are written down, so that not all of its nights may count.
    pub(crate) fn may_be_cut(&self, block: &Block) -> bool {
        let written = block.connection().and_then(|connection| self.claims.connections.get(connection));
        written.is_some_and(|mine| !mine.claims.is_empty())
    }

    /// Of some nights of a block those that are not only echoes.
    pub(crate) fn believed(&self, block: &Block, nights: Nights) -> Vec<Nights> {
        let standings = self.standings(block, nights).into_iter();
        standings.filter(|(_, standing)| *standing != Standing::Echo).map(|(run, _)| run).collect()
    }

    /// How sure a stay's claims on some of its nights are, in runs.
    pub(crate) fn standings(&self, block: &Block, nights: Nights) -> Vec<(Nights, Standing)> {
        if block.is_ours() {
            return vec![(nights, Standing::Echo)];
        }
        let written = block.connection().and_then(|connection| self.claims.connections.get(connection));
        let claims = written.map(|mine| mine.claims.touching(nights)).unwrap_or_default();
        let (mut all, mut from): (Vec<(Nights, Standing)>, _) = (Vec::new(), nights.first());
        let mut add = |first: Date, end: Date, standing| {
            // Claims that differ in their reasons alone are as sure as each other.
            let same = all.last().filter(|(last, before)| *before == standing && last.end() == first);
            let begins = same.map_or(first, |(last, _)| last.first());
            let Ok(run) = Nights::new(begins, end) else { return };
            if begins != first {
                all.pop();
            }
            all.push((run, standing));
        };
        for (run, claim) in claims {
            let (first, end) = (run.first().max(nights.first()), run.end().min(nights.end()));
            add(from, first, Standing::Certain);
            add(first, end, claim.standing);
            from = end;
        }
        add(from, nights.end(), Standing::Certain);
        all
    }
}

/// What is left of stays of which not all nights count. How much that is, is the same for all stays of one connection on
/// one night, so a whole run that several of them would keep as a piece is kept once: a thousand stays over a thousand gaps
/// make no million pieces. What is left at the ends of a stay is a piece of its own each time: who reads a link may tell
/// a stay of its own by where it begins and ends.
pub(crate) struct Pieces<'a> {
    house: &'a House,
    kept: BTreeMap<&'a ConnectionId, NightSet>,
    done: BTreeMap<&'a ConnectionId, NightSet>,
}

impl<'a> Pieces<'a> {
    /// Of these stays of feeds; `keep` tells which of some nights of one are kept.
    pub(crate) fn of(
        blocks: impl IntoIterator<Item = &'a Block>,
        house: &'a House,
        keep: impl Fn(&Block, Nights) -> Vec<Nights>,
    ) -> Self {
        let mut reach: BTreeMap<&ConnectionId, (&Block, Nights)> = BTreeMap::new();
        for block in blocks {
            let Some((connection, nights)) = block.connection().zip(block.extent.nights(house)) else { continue };
            let (_, all) = reach.entry(connection).or_insert((block, nights));
            if let Ok(joined) = Nights::new(all.first().min(nights.first()), all.end().max(nights.end())) {
                *all = joined;
            }
        }
        let kept = reach.into_iter().map(|(of, (block, nights))| (of, keep(block, nights).into_iter().collect()));
        Self { house, kept: kept.collect(), done: BTreeMap::new() }
    }

    /// What of a block is left; all of it as it is, where every night is or where it takes none.
    pub(crate) fn take(&mut self, block: &'a Block) -> Vec<Extent> {
        let Some((connection, nights)) = block.connection().zip(block.extent.nights(self.house)) else {
            return vec![block.extent];
        };
        let Some(kept) = self.kept.get(connection).filter(|kept| !kept.holds(nights)) else {
            return vec![block.extent];
        };
        // What is kept at its ends may be a part of a run that others keep more of, and is its own.
        let at_end = |night: Date| kept.run_of(night).and_then(|run| run.intersection(nights));
        let (first, last) = (at_end(nights.first()), at_end(nights.end().previous_day()));
        let between = Nights::new(
            first.map_or(nights.first(), |first| first.end()),
            last.map_or(nights.end(), |last| last.first()),
        );
        let done = self.done.entry(connection).or_default();
        let new = between.iter().flat_map(|between| done.missing_of(*between)).flat_map(|run| kept.common_with(run));
        let pieces: Vec<Nights> = first.into_iter().chain(new).chain(last).collect();
        between.iter().for_each(|between| done.insert(*between));
        parts(block.extent, nights, pieces, self.house)
    }
}

/// The nights that others than each source surely take, worked out once for all blocks.
#[derive(Debug, Default)]
pub struct Certain<'a>(BTreeMap<Option<&'a ConnectionId>, NightSet>);

impl<'a> Certain<'a> {
    #[must_use]
    pub fn of(picture: &Picture<'a>) -> Self {
        let mut taken: BTreeMap<Option<&ConnectionId>, (&Block, NightSet)> = BTreeMap::new();
        for block in picture.blocks.iter().filter(|block| picture.counts(block) && !block.is_ours()) {
            let nights = block.extent.nights(picture.house).into_iter();
            let (_, mine) = taken.entry(block.connection()).or_insert_with(|| (block, NightSet::default()));
            nights.for_each(|nights| mine.insert(nights));
        }
        let certain = |(block, nights): (&Block, NightSet)| -> NightSet {
            let standings = nights.runs().flat_map(|run| picture.standings(block, run));
            standings.filter(|(_, standing)| *standing == Standing::Certain).map(|(run, _)| run).collect()
        };
        let all: BTreeMap<Option<&ConnectionId>, NightSet> =
            taken.into_iter().map(|(source, taken)| (source, certain(taken))).collect();
        let of_others = |source: &Option<&ConnectionId>| {
            all.iter().filter(|(other, _)| *other != source).flat_map(|(_, nights)| nights.runs()).collect()
        };
        let sources = picture.sources.keys().map(Some).chain([None]);
        Self(sources.map(|source| (source, of_others(&source))).collect())
    }

    /// Whether others than a block's own source surely take all of these nights.
    #[must_use]
    pub fn beside(&self, block: &Block, nights: Nights) -> bool {
        self.0.get(&block.connection()).is_some_and(|of_others| of_others.holds(nights))
    }
}

/// Runs of the nights of an extent that are kept, in order, at exact times at its own ends.
pub(crate) fn parts(extent: Extent, all: Nights, kept: impl IntoIterator<Item = Nights>, house: &House) -> Vec<Extent> {
    let kept: NightSet = kept.into_iter().collect();
    kept.runs().filter_map(|run| part(extent, all, run, house)).collect()
}

fn part(extent: Extent, all: Nights, run: Nights, house: &House) -> Option<Extent> {
    if run == all {
        return Some(extent);
    }
    match extent {
        Extent::Nights(_) => Some(Extent::Nights(run)),
        Extent::Times(times) => {
            let within = house.times_of(run);
            let start = if run.first() == all.first() { times.start() } else { within.start() };
            let end = if run.end() == all.end() { times.end() } else { within.end() };
            Times::new(start, end).ok().map(Extent::Times)
        }
    }
}
