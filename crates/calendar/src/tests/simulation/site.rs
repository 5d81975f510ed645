//! A booking site: its own stays, what it imported from its link, and the feed that it shows.

use std::rc::Rc;

use super::rng::Rng;
use crate::*;

/// Minutes since the world began.
pub(super) type Minute = i64;
pub(super) const HOUR: Minute = 60;
pub(super) const DAY: Minute = 24 * HOUR;

/// Nights as bits: bit 0 is the first night of the world.
pub(super) type Mask = u128;

pub(super) fn mask(first: i64, end: i64) -> Mask {
    (first.max(0)..end.min(128)).fold(0, |mask, night| mask | 1 << night)
}

/// What a site does with what it imported, in its own feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    None,
    /// Our UIDs and dates.
    Verbatim,
    /// The same dates under its own UID.
    Reminted,
    /// One event for everything that touches, its own closures included.
    Merged,
    /// One event a night.
    Split,
    /// A night too long.
    Rounded,
}

/// How a site names its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uids {
    Stable,
    /// The UID follows the dates.
    ByRange,
    /// New ones whenever the feed is built.
    Fresh,
    None,
}

#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// How often it reads its link; none for a site that never does.
    pub(super) reads_every: Option<Minute>,
    /// Whether the profile knows that.
    pub(super) cadence_is_known: bool,
    /// From a read of the link until its calendar follows.
    pub(super) import_lag: Minute,
    /// Its feed is built anew this often.
    pub(super) feed_every: Minute,
    /// How many nights ahead the feed shows.
    pub(super) horizon: i64,
    pub(super) echo: Echo,
    pub(super) uids: Uids,
    /// Its own reservations are known by their text, with a code.
    pub(super) marks: bool,
    pub(super) tells_apart: bool,
    /// A running stay is shown from today on.
    pub(super) clamps: bool,
    /// Repeats the stays of this other site, which it gets behind our back.
    pub(super) mirrors: Option<usize>,
    /// Has guests of its own beside those that it repeats.
    pub(super) sells: bool,
    /// Whether it has a link of ours.
    pub(super) has_link: bool,
    /// Whether we read its feed: off for a connection that only exports.
    pub(super) has_feed: bool,
    /// Its link and its feed are two connections here, so that we do not know them for one site.
    pub(super) two_connections: bool,
    /// Reads this other site's feed too, past us.
    pub(super) linked_to: Option<usize>,
    /// Keeps for ever what it once read.
    pub(super) never_lets_go: bool,
    /// Some of its guests leave in the evening, and its events have times of day.
    pub(super) late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) id: u64,
    pub(super) first: i64,
    pub(super) end: i64,
    pub(super) booked: bool,
    /// Leaves in the evening of its last day, and so costs the night after.
    pub(super) late: bool,
    /// Is another site's.
    pub(super) mirrored: bool,
}

impl Stay {
    /// Its last night is the one before.
    pub(super) fn taken_until(&self) -> i64 {
        self.end + i64::from(self.late)
    }

    pub(super) fn mask(&self) -> Mask {
        mask(self.first, self.taken_until())
    }
}

/// One event of our link as a site keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Imported {
    pub(super) uid: String,
    pub(super) first: i64,
    pub(super) end: i64,
    /// Carries our tag.
    pub(super) tagged: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    pub(super) version: u64,
    pub(super) sightings: Vec<(Shown, i64, i64)>,
    /// Nights of the site's own stays that it shows.
    pub(super) own: Mask,
}

/// An event before it is put into the house's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) uid: Option<String>,
    pub(super) code: Option<String>,
    pub(super) sign: Sign,
    pub(super) kind: BlockKind,
    /// From the afternoon until the evening of its last day.
    pub(super) late: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) habits: Habits,
    pub(super) stays: Vec<Stay>,
    pub(super) imported: Rc<Vec<Imported>>,
    /// What it reads of the site that it is linked to.
    pub(super) linked: Rc<Vec<Imported>>,
    pub(super) feed: Rc<Feed>,
    pub(super) built_on: i64,
    builds: u64,
}

impl Site {
    pub(super) fn new(habits: Habits) -> Self {
        Self {
            habits,
            stays: Vec::new(),
            imported: Rc::default(),
            linked: Rc::default(),
            feed: Rc::default(),
            built_on: -1,
            builds: 0,
        }
    }

    /// What it shows as its own.
    pub(super) fn own(&self) -> Mask {
        self.stays.iter().fold(0, |all, stay| all | stay.mask())
    }

    /// What nobody but this site holds.
    pub(super) fn held(&self) -> Mask {
        self.stays.iter().filter(|stay| !stay.mirrored).fold(0, |all, stay| all | stay.mask())
    }

    /// Takes over what the site that it repeats holds now.
    pub(super) fn mirror(&mut self, origin: Vec<Stay>) {
        self.stays.retain(|stay| !stay.mirrored);
        self.stays.extend(origin.into_iter().map(|stay| Stay { mirrored: true, ..stay }));
        self.stays.sort_by_key(|stay| stay.id);
    }

    /// Nights that it keeps closed because of its link, as it understands it.
    pub(super) fn closed(&self) -> Mask {
        let longer = i64::from(self.habits.echo == Echo::Rounded);
        self.all_imported().fold(0, |all, event| all | mask(event.first, event.end + longer))
    }

    fn all_imported(&self) -> impl Iterator<Item = &Imported> {
        self.imported.iter().chain(self.linked.iter())
    }

    /// What it takes in when it reads its link.
    pub(super) fn import(&mut self, events: Rc<Vec<Imported>>, today: i64) {
        let mut kept = Vec::new();
        if self.habits.never_lets_go {
            let is_there = |old: &Imported| events.iter().any(|event| event.uid == old.uid);
            kept.extend(self.imported.iter().filter(|old| old.end > today && !is_there(old)).cloned());
        }
        self.imported = if kept.is_empty() { events } else { Rc::new([kept, events.to_vec()].concat()) };
    }

    /// What another site reads of its feed.
    pub(super) fn shown(&self) -> Vec<Imported> {
        let event = |(shown, first, end): &(Shown, i64, i64)| Imported {
            uid: shown.uid.clone().unwrap_or_else(|| format!("unnamed-{first}-{end}")),
            first: *first,
            end: *end + i64::from(shown.late),
            tagged: shown.sign == Sign::Ours,
        };
        let mut events: Vec<Imported> = self.feed.sightings.iter().map(event).collect();
        events.dedup();
        events
    }

    /// What a guest can't book there.
    pub(super) fn taken(&self) -> Mask {
        self.own() | self.closed()
    }

    /// Builds the feed anew; answers whether it says something else.
    pub(super) fn build(&mut self, today: i64, rng: &mut Rng) -> bool {
        self.built_on = today;
        let mut events: Vec<(Shown, i64, i64)> = Vec::new();
        let mut own = 0;
        let reach = today + self.habits.horizon;
        let mut merged: Mask = 0;
        for stay in &self.stays {
            let first = if self.habits.clamps { stay.first.max(today) } else { stay.first };
            if stay.taken_until() <= today || stay.first >= reach || first >= stay.end {
                continue;
            }
            own |= mask(first, stay.taken_until());
            if !stay.booked && self.habits.echo == Echo::Merged {
                merged |= mask(first, stay.end);
                continue;
            }
            let kind = if stay.booked && self.habits.tells_apart { BlockKind::Reservation } else { BlockKind::Closure };
            let is_known = stay.booked && self.habits.marks;
            let shown = Shown {
                uid: self.uid(&format!("own-{}", stay.id), first, stay.end),
                code: is_known.then(|| format!("HM{}", stay.id)),
                sign: if is_known { Sign::Reservation } else { Sign::None },
                kind,
                late: stay.late,
            };
            events.push((shown, first, stay.end));
        }
        let closure =
            |uid: Option<String>, sign: Sign| Shown { uid, code: None, sign, kind: BlockKind::Closure, late: false };
        for event in self.all_imported() {
            if event.end <= today || event.first >= reach {
                continue;
            }
            let first = if self.habits.clamps { event.first.max(today) } else { event.first };
            let range = format!("in-{first}");
            match self.habits.echo {
                Echo::None => {}
                Echo::Verbatim => {
                    let sign = if event.tagged { Sign::Ours } else { Sign::None };
                    events.push((closure(Some(event.uid.clone()), sign), first, event.end));
                }
                Echo::Reminted => {
                    events.push((closure(self.uid(&range, first, event.end), Sign::None), first, event.end));
                }
                Echo::Merged => merged |= mask(first, event.end),
                Echo::Split => {
                    for night in first..event.end {
                        events.push((
                            closure(self.uid(&format!("in-{night}"), night, night + 1), Sign::None),
                            night,
                            night + 1,
                        ));
                    }
                }
                Echo::Rounded => {
                    let end = event.end + 1;
                    events.push((closure(self.uid(&range, first, end), Sign::None), first, end));
                }
            }
        }
        for (first, end) in runs(merged & !mask(0, today.max(0))) {
            events.push((closure(self.uid(&format!("merged-{first}"), first, end), Sign::None), first, end));
        }
        events.sort_by_key(|(shown, first, end)| (*first, *end, shown.uid.clone()));
        events.dedup();
        if self.habits.uids == Uids::Fresh && !events.is_empty() {
            let same = |(a, b): (&(Shown, i64, i64), &(Shown, i64, i64))| (a.1, a.2, a.0.kind) == (b.1, b.2, b.0.kind);
            if events.len() == self.feed.sightings.len()
                && events.iter().zip(&self.feed.sightings).all(same)
                && !rng.percent(3)
            {
                return false;
            }
        }
        if events == self.feed.sightings && own == self.feed.own {
            return false;
        }
        self.builds += 1;
        self.feed = Rc::new(Feed { version: self.builds, sightings: events, own });
        true
    }

    fn uid(&self, name: &str, first: i64, end: i64) -> Option<String> {
        match self.habits.uids {
            Uids::Stable => Some(format!("{name}@site")),
            Uids::ByRange => Some(format!("{first}-{end}-{}@site", name.starts_with("own"))),
            Uids::Fresh => Some(format!("{name}-{}@site", self.builds)),
            Uids::None => None,
        }
    }
}

/// Longest runs of set bits.
pub(super) fn runs(mask: Mask) -> Vec<(i64, i64)> {
    let mut out: Vec<(i64, i64)> = Vec::new();
    for night in 0..128 {
        if mask >> night & 1 == 1 {
            match out.last_mut() {
                Some((_, end)) if *end == night => *end = night + 1,
                _ => out.push((night, night + 1)),
            }
        }
    }
    out
}
