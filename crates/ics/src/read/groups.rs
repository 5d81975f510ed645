//! The events that share a UID: revisions of one, and the overrides of single occurrences.

use std::collections::{HashMap, hash_map};

use calmesh_calendar::EventStatus;
use jiff::civil::{DateTime, Time};

use crate::{
    read::{entry::Entry, place::Zones, point::Point},
    refusal::Refusal,
};

/// Units for looking at one override beside one master.
const WORK_OF_PAIR: u64 = 20;

/// What of two events for the same occurrence counts: the greater. Where a SEQUENCE can't be read nobody knows which is the
/// later one: what takes place counts then, and what is cancelled does not.
pub(crate) fn rank(entry: &Entry<'_>) -> (u64, bool) {
    let takes_place = entry.status != Some(EventStatus::Cancelled);
    (entry.sequence.unwrap_or(if takes_place { u64::MAX } else { 0 }), takes_place)
}

/// The events of one UID.
#[derive(Default)]
pub(crate) struct Group<'e> {
    /// Of the latest revision: the highest SEQUENCE counts, also where it calls off, and of equals all do
    /// (RFC 5545 3.8.7.4). Where one can't be read nobody knows which is the latest, so all count.
    masters: Vec<&'e Entry<'e>>,
    pub(crate) revision: Option<u64>,
    pub(crate) overrides: Vec<&'e Entry<'e>>,
    /// The greatest rank of the overrides of each occurrence.
    pub(crate) best: HashMap<String, (u64, bool)>,
}

impl<'e> Group<'e> {
    fn take(&mut self, entry: &'e Entry<'e>) {
        let side = if entry.recurrence_id.is_some() { &mut self.overrides } else { &mut self.masters };
        side.push(entry);
    }

    /// Leaves the latest revision, and ranks the overrides.
    fn settle(&mut self, zones: &mut Zones<'_>) -> Result<(), Refusal> {
        let revisions: Option<Vec<u64>> = self.masters.iter().map(|master| master.sequence).collect();
        self.revision = revisions.and_then(|revisions| revisions.into_iter().max());
        if let Some(revision) = self.revision {
            self.masters.retain(|master| master.sequence == Some(revision));
        }
        // Each override is looked at beside each master, and a hostile feed has thousands of both.
        let pairs = (self.masters.len() as u64).saturating_mul(self.overrides.len() as u64);
        zones.spend(pairs.saturating_mul(WORK_OF_PAIR))?;
        for entry in &self.overrides {
            let Some(id) = &entry.recurrence_id else { continue };
            let best = self.name_of_override(id);
            let best = self.best.entry(best).or_insert(rank(entry));
            *best = rank(entry).max(*best);
        }
        Ok(())
    }

    /// The name of the occurrence that an override is for. Several masters of one UID may name it differently; the
    /// least name is as good as any, and the same in every order of the text.
    pub(crate) fn name_of_override(&self, id: &Point) -> String {
        let of_masters = self.masters.iter().map(|master| name_in(master, civil_in(master, id))).min();
        of_masters.unwrap_or_else(|| name_of(id))
    }
}

/// The groups of a feed: an event that is no override and shares its UID with nothing needs none.
pub(crate) struct Groups<'e> {
    by_uid: HashMap<&'e str, Group<'e>>,
}

impl<'e> Groups<'e> {
    pub(crate) fn of(entries: &'e [Entry<'e>], zones: &mut Zones<'_>) -> Result<Self, Refusal> {
        let mut by_uid: HashMap<&str, Group<'_>> = HashMap::new();
        // Every UID so far, with its event as long as this needs no group.
        let mut alone = HashMap::with_capacity(entries.len());
        for entry in entries {
            let Some(uid) = entry.uid.as_deref() else { continue };
            let first = match alone.entry(uid) {
                hash_map::Entry::Vacant(place) if entry.recurrence_id.is_none() => {
                    place.insert(Some(entry));
                    continue;
                }
                hash_map::Entry::Vacant(place) => *place.insert(None),
                hash_map::Entry::Occupied(mut place) => place.get_mut().take(),
            };
            let group = by_uid.entry(uid).or_default();
            first.into_iter().chain([entry]).for_each(|entry| group.take(entry));
        }
        by_uid.values_mut().try_for_each(|group| group.settle(zones))?;
        Ok(Self { by_uid })
    }

    /// The group of an event, if it needs one.
    pub(crate) fn of_entry(&self, entry: &Entry<'_>) -> Option<&Group<'e>> {
        self.by_uid.get(entry.uid.as_deref()?)
    }
}

/// A point on the wall clock of a series: what a RECURRENCE-ID, an EXDATE or an RDATE names.
pub(crate) fn civil_in(master: &Entry<'_>, point: &Point) -> DateTime {
    match (&master.start, point) {
        (Point::Day(_), point) => point.day(&master.days).to_datetime(Time::midnight()),
        // A day names the occurrence of that day.
        (Point::At { local, .. }, Point::Day(day)) => day.to_datetime(local.time()),
        (Point::At { clock, .. }, point) => match point.instant() {
            Some(instant) => clock.local(instant),
            None => point.civil(),
        },
    }
}

/// One text for one occurrence, whatever it was written as: the day, or the instant in UTC.
fn name_of(point: &Point) -> String {
    match point {
        Point::Day(day) => day.to_string(),
        at => at.instant().map_or_else(|| at.civil().to_string(), |instant| instant.to_string()),
    }
}

pub(crate) fn name_in(master: &Entry<'_>, civil: DateTime) -> String {
    match &master.start {
        Point::Day(_) => name_of(&Point::Day(civil.date())),
        Point::At { clock, .. } => name_of(&Point::At { local: civil, clock: clock.clone() }),
    }
}
