//! Builders with dull defaults: a house in Madrid, December 2026, one feed.

use std::collections::BTreeMap;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, time},
    tz::TimeZone,
};

use crate::*;

pub(super) fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub(super) fn nights(first: &str, end: &str) -> Extent {
    Extent::Nights(Nights::new(day(first), day(end)).unwrap())
}

pub(super) fn house() -> House {
    house_with_turnover(0)
}

pub(super) fn house_with_turnover(nights: u8) -> House {
    let zone = TimeZone::get("Europe/Madrid").unwrap();
    House::new(zone, time(15, 0, 0, 0), time(11, 0, 0, 0), nights).unwrap()
}

pub(super) fn times(start: &str, end: &str) -> Extent {
    let house = house();
    let local = |text: &str| house.instant(text.parse::<DateTime>().unwrap());
    Extent::Times(Times::new(local(start), local(end)).unwrap())
}

pub(super) fn noon(date: &str) -> Timestamp {
    house().instant(day(date).at(12, 0, 0, 0))
}

pub(super) fn connection(number: u8) -> ConnectionId {
    ConnectionId::from_random([number; 16])
}

/// By the policies that nobody changed.
pub(super) fn judging<'a>(connection: &'a ConnectionId, house: &'a House) -> Judging<'a> {
    Judging {
        connection,
        house,
        hold: HoldPolicy::default(),
        mass_vanish: MassVanishPolicy::default(),
        expected_to_go: const { &NightSet::EMPTY },
        replaced: false,
    }
}

pub(super) fn sighting(uid: &str, extent: Extent) -> Sighting {
    Sighting {
        key: (!uid.is_empty()).then(|| EventKey { uid: uid.to_owned(), occurrence: None }),
        code: None,
        extent,
        summary: "Reserved".into(),
        rule: "test".to_owned(),
        sign: Sign::None,
        verdict: Verdict::Blocks(BlockKind::Reservation),
    }
}

pub(super) fn own(number: u8, extent: Extent) -> Block {
    Block {
        id: BlockId::from_random([number; 16]),
        origin: Origin::Own { extends: None, lost: None },
        kind: BlockKind::Reservation,
        extent,
        summary: "Aunt".to_owned(),
        sequence: 0,
        first_seen_at: noon("2026-11-01"),
        changed_at: noon("2026-11-01"),
    }
}

pub(super) fn stay(number: u8, of: u8, extent: Extent) -> Block {
    Block {
        origin: Origin::Feed(FeedOrigin {
            connection: connection(of),
            key: Some(EventKey { uid: format!("uid-{number}"), occurrence: None }),
            code: None,
            rule: "test".to_owned(),
            sign: Sign::None,
            hold: None,
        }),
        summary: "Reserved".into(),
        ..own(number, extent)
    }
}

/// One feed's stays, read again and again.
pub(super) struct World {
    pub(super) house: House,
    pub(super) blocks: Vec<Block>,
    pub(super) now: Timestamp,
    pub(super) last: Reconciled,
    ids: u8,
}

impl World {
    pub(super) fn at(now: Timestamp) -> Self {
        Self { house: house(), blocks: Vec::new(), now, last: Reconciled::default(), ids: 0 }
    }

    pub(super) fn after(&mut self, pause: SignedDuration) -> &mut Self {
        self.now += pause;
        self
    }

    pub(super) fn read(&mut self, sightings: Vec<Sighting>) -> &mut Self {
        self.read_with(sightings, &[])
    }

    pub(super) fn read_with(&mut self, sightings: Vec<Sighting>, unread: &[&str]) -> &mut Self {
        let reading = Reading {
            sightings,
            unread: unread.iter().map(|uid| (*uid).to_owned()).collect(),
            read_at: self.now,
            now: self.now,
            repeated: false,
        };
        self.take(&reading)
    }

    pub(super) fn take(&mut self, reading: &Reading) -> &mut Self {
        let connection = connection(1);
        let judging = judging(&connection, &self.house);
        let ids = &mut self.ids;
        let mut fresh = || {
            *ids += 1;
            [*ids; 16]
        };
        self.last = reconcile(std::mem::take(&mut self.blocks), reading, &judging, &mut fresh);
        self.blocks = self.last.blocks.clone();
        self
    }

    /// Nights that this feed's stays take, from the arrival of the first on.
    pub(super) fn taken(&self) -> Vec<String> {
        let mut nights: Vec<Date> =
            self.blocks.iter().filter_map(|block| block.extent.nights(&self.house)).flat_map(Nights::iter).collect();
        nights.sort_unstable();
        nights.dedup();
        nights.iter().map(Date::to_string).collect()
    }

    pub(super) fn only(&self) -> &Block {
        assert_eq!(self.blocks.len(), 1, "{:#?}", self.blocks);
        &self.blocks[0]
    }
}

pub(super) const MINUTES_31: SignedDuration = SignedDuration::from_mins(31);

/// What is known of some blocks: every connection of `sources` counts, nothing is in question.
pub(super) fn seen<'a>(
    blocks: &'a [Block],
    sources: &'a BTreeMap<ConnectionId, Source>,
    claims: &'a Claims,
    house: &'a House,
) -> Picture<'a> {
    Picture { blocks, sources, claims, house }
}
