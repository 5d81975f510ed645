//! All that is known of one property at one moment, and what every judgement about it starts from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, civil::Date};

use crate::{
    Block, Claims, ConnectionId, EchoPolicy, Extent, FeedOrigin, House, Nights, Origin, Sign, Standing, Times,
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

    /// What a block takes: all of it, but for the nights that it only echoes.
    #[must_use]
    pub fn believed(&self, block: &Block) -> Vec<Extent> {
        if block.is_ours() {
            return Vec::new();
        }
        let written = block.connection().and_then(|connection| self.claims.connections.get(connection));
        if written.is_none_or(|mine| mine.claims.is_empty()) {
            return vec![block.extent];
        }
        self.parts(block, |night| self.standing(block, night) != Standing::Echo)
    }

    /// Runs of the nights of a block that are kept; all of it as it is, where every night is. What takes no night is
    /// kept.
    pub(crate) fn parts(&self, block: &Block, keep: impl Fn(Date) -> bool) -> Vec<Extent> {
        parts(block.extent, self.house, keep)
    }
}

/// Runs of the nights of an extent that are kept, at exact times at its own ends.
pub(crate) fn parts(extent: Extent, house: &House, keep: impl Fn(Date) -> bool) -> Vec<Extent> {
    let Some(all) = extent.nights(house) else { return vec![extent] };
    let mut runs: Vec<Nights> = Vec::new();
    for night in all.iter().filter(|night| keep(*night)) {
        let Some(one) = Nights::one(night) else { continue };
        match runs.last_mut() {
            Some(last) if last.end() == night => {
                if let Ok(joined) = Nights::new(last.first(), one.end()) {
                    *last = joined;
                }
            }
            _ => runs.push(one),
        }
    }
    runs.into_iter().filter_map(|run| part(extent, all, run, house)).collect()
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
