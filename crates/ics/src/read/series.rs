//! Series: the occurrences of repeating events within the horizon, with their exceptions and overrides.
//!
//! Nothing here depends on the order of events in the text, nor on their stamps: a feed that says the same in another
//! order reads the same.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{EventStatus, ReadWarning};
use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use crate::{
    read::{
        context::ReadContext,
        entry::Entry,
        flaws::{Fault, Flaws},
        groups::{Group, Groups, civil_in, name_in, rank},
        length::Length,
        listing::{Listed, Listing},
        moment::Moment,
        place::Zones,
        point::Point,
        recur::{IcalRs, Recurrence, Rule},
    },
    refusal::Refusal,
};

/// Starts that one event may have within the horizon.
const MAX_INSTANCES: usize = 5_000;
/// Units for one occurrence, beside those of its rule.
const WORK_OF_INSTANCE: u64 = 4;

/// Every occurrence of every entry that the horizon touches: entries in the order of the text, series in order of time.
/// Gives also how many of the entries were not read after all.
///
/// # Errors
/// When the feed has too many occurrences, or asks for too much work.
pub(crate) fn list(
    entries: &[Entry<'_>],
    cx: &ReadContext<'_>,
    zones: &mut Zones<'_>,
    warnings: &mut Vec<ReadWarning>,
) -> Result<Listed, Refusal> {
    let groups = Groups::of(entries, zones)?;
    let mut listed = Listing::new(cx, entries.len());
    let mut unread = 0_u32;
    for entry in entries {
        let group = groups.of_entry(entry);
        let mut flaws = Flaws::default();
        let told = match (&entry.recurrence_id, group) {
            (Some(id), Some(group)) => list_override(entry, id, group, &mut listed, &mut flaws),
            (None, Some(group)) if group.revision > entry.sequence => {
                flaws.note(entry.lines.first, false, "a later revision of it is in the calendar, and counts instead");
                Ok(())
            }
            _ => Series { entry, group, cx }.list_into(&mut listed, zones, &mut flaws),
        };
        flaws.tell(entry.lines, entry.uid.as_deref(), warnings);
        match told {
            Ok(()) => {}
            Err(Trouble::Fault(fault)) => {
                unread = unread.saturating_add(1);
                warnings.push(fault.warning(entry.lines, entry.uid.as_deref()));
            }
            Err(Trouble::Refusal(refusal)) => return Err(refusal),
        }
    }
    Ok(Listed { unread, ..listed.listed })
}

/// An override stands for itself, unless another says otherwise of the same occurrence: a later SEQUENCE wins
/// (RFC 5545 3.8.7.4); among equals what takes place wins over what is cancelled, and else both stand.
fn list_override(
    entry: &Entry<'_>,
    id: &Point,
    group: &Group<'_>,
    listed: &mut Listing<'_>,
    flaws: &mut Flaws,
) -> Result<(), Trouble> {
    let occurrence = group.name_of_override(id);
    if group.best.get(&occurrence).is_some_and(|best| *best > rank(entry)) {
        return Ok(());
    }
    let length = entry.length.or_else(|| one_night(entry)).ok_or(Fault::NoLength)?;
    match entry.extent_at(entry.start.civil(), length) {
        Some(extent) => Ok(listed.push(entry, Some(occurrence), extent, flaws)?),
        None => Ok(()),
    }
}

/// What takes no time and is called off takes a night, so that it is listed, and is seen to be called off.
fn one_night(entry: &Entry<'_>) -> Option<Length> {
    (entry.status == Some(EventStatus::Cancelled)).then_some(Length::Nights(1))
}

enum Trouble {
    Fault(Fault),
    Refusal(Refusal),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// One event, maybe repeating, with the overrides of its UID.
struct Series<'a> {
    entry: &'a Entry<'a>,
    /// None without UID.
    group: Option<&'a Group<'a>>,
    cx: &'a ReadContext<'a>,
}

/// The changes of all that follows among the overrides of a series; of those of one point the greatest wins.
fn changes_of<'a>(moved: &[(DateTime, &'a Entry<'a>)]) -> Changes<'a> {
    let place = |entry: &Entry<'_>| {
        let civil = entry.start.civil();
        let extent = entry.length.and_then(|length| entry.extent_at(civil, length));
        (rank(entry), civil, extent, entry.summary.clone())
    };
    let mut changes = Changes::new();
    for (civil, other) in moved.iter().filter(|(_, other)| other.this_and_future) {
        let best = changes.entry(*civil).or_insert(other);
        if place(other) > place(best) {
            *best = other;
        }
    }
    changes
}

/// The occurrences of a series by their starts, each with its own length if it has one.
type Instances = BTreeMap<DateTime, Option<Length>>;

/// Of two lengths of one start the longer counts; none is that of the series.
fn add(instances: &mut Instances, entry: &Entry<'_>, civil: DateTime, length: Option<Length>) {
    let seconds = |length: Option<Length>| length.or(entry.length).map_or(0, Length::seconds);
    let known = instances.entry(civil).or_insert(length);
    if seconds(length) > seconds(*known) {
        *known = length;
    }
}

/// For each point from which all that follows is changed, the change that wins.
type Changes<'a> = BTreeMap<DateTime, &'a Entry<'a>>;

impl<'a> Series<'a> {
    fn list_into(&self, listed: &mut Listing<'_>, zones: &mut Zones<'_>, flaws: &mut Flaws) -> Result<(), Trouble> {
        let entry = self.entry;
        let own_length = entry.length.or_else(|| one_night(entry));
        if own_length.is_none() && entry.more().iter().all(|(_, length)| length.is_none()) {
            return Err(Fault::NoLength.into());
        }
        let overrides = self.group.map(|group| group.overrides.as_slice()).unwrap_or_default();
        if !entry.recurs && overrides.is_empty() {
            let civil = entry.start.civil();
            return match own_length.and_then(|length| entry.extent_at(civil, length)) {
                Some(extent) => Ok(listed.push(entry, None, extent, flaws)?),
                None => Ok(()),
            };
        }
        let moved: Vec<(DateTime, &Entry<'_>)> = overrides
            .iter()
            .filter_map(|other| other.recurrence_id.as_ref().map(|id| (civil_in(entry, id), *other)))
            .collect();
        let overridden: BTreeSet<DateTime> = moved.iter().map(|(civil, _)| *civil).collect();
        let changes = changes_of(&moved);
        for (civil, length) in self.instances(&changes, zones, flaws)? {
            if overridden.contains(&civil) {
                continue;
            }
            let change = changes.range(..=civil).next_back();
            let (said, at, length) = match change {
                None => (entry, civil, length.or(own_length)),
                Some((from, change)) => {
                    let shift = *from - civil;
                    let Ok(at) = change.start.civil().checked_sub(shift) else { continue };
                    (*change, at, change.length.or_else(|| one_night(change)))
                }
            };
            // What has no length, or lies at the edge of what can be reckoned with, is outside of the horizon.
            if let Some(extent) = length.and_then(|length| said.extent_at(at, length)) {
                let occurrence = entry.recurs.then(|| name_in(entry, civil));
                listed.push(said, occurrence, extent, flaws)?;
            }
        }
        Ok(())
    }

    /// Starts on the event's wall clock that may matter within the horizon.
    fn instances(&self, changes: &Changes<'_>, zones: &mut Zones<'_>, flaws: &mut Flaws) -> Result<Instances, Refusal> {
        let entry = self.entry;
        let start = entry.start.civil();
        let window = self.window(changes);
        let mut except: BTreeSet<DateTime> = entry.except().iter().map(|point| civil_in(entry, point)).collect();
        let days: BTreeSet<Date> = entry
            .except()
            .iter()
            .filter_map(|point| if let Point::Day(day) = point { Some(*day) } else { None })
            .collect();
        for (line, rule) in entry.exception_rules() {
            self.expand(*line, rule, window, zones, flaws, |civil| {
                except.insert(civil);
                true
            })?;
        }
        let stands = |civil: &DateTime| !except.contains(civil) && !days.contains(&civil.date());

        let mut instances = Instances::new();
        // DTSTART counts, whether or not the rule generates it (RFC 5545 3.8.5.3).
        if stands(&start) {
            instances.insert(start, None);
        }
        for (line, rule) in entry.rules() {
            let mut run = None;
            let mut room = true;
            self.expand(*line, rule, window, zones, flaws, |civil| {
                if stands(&civil) {
                    self.add_start(&mut instances, &mut run, rule, civil);
                    room = instances.len() < MAX_INSTANCES;
                }
                room
            })?;
            if let Some(run) = run {
                self.add_run(&mut instances, run);
            }
            if !room {
                let what = format!("it repeats more than {MAX_INSTANCES} times, and the later ones were passed over");
                flaws.note(*line, true, what);
            }
        }
        for (point, length) in entry.more() {
            let civil = civil_in(entry, point);
            if stands(&civil) {
                add(&mut instances, entry, civil, *length);
            }
        }
        zones.spend(WORK_OF_INSTANCE.saturating_mul(instances.len() as u64))?;
        Ok(instances)
    }

    /// Adds what a rule generates. The starts of one day are one stretch of time: nights are what counts.
    fn add_start(
        &self,
        instances: &mut Instances,
        run: &mut Option<(DateTime, DateTime)>,
        rule: &Rule,
        civil: DateTime,
    ) {
        match run {
            Some((first, last)) if rule.is_finer_than_days() && first.date() == civil.date() => *last = civil,
            _ => {
                if let Some(run) = run.replace((civil, civil)) {
                    self.add_run(instances, run);
                }
            }
        }
    }

    /// Adds starts of one day, from the first to the last of them.
    fn add_run(&self, instances: &mut Instances, (first, last): (DateTime, DateTime)) {
        let length = match self.entry.start {
            Point::At { .. } if first < last => self.entry.length.map(|length| length.and(first.duration_until(last))),
            _ => None,
        };
        let first = match self.entry.start {
            Point::Day(_) => first.date().to_datetime(Time::midnight()),
            Point::At { .. } => first,
        };
        add(instances, self.entry, first, length);
    }

    /// The stretch of the wall clock in which a start matters: the horizon, and before it the event's length, and
    /// around it what the changes move.
    fn window(&self, changes: &Changes<'_>) -> (DateTime, DateTime) {
        let longest = changes
            .values()
            .filter_map(|change| change.length)
            .chain(self.entry.length)
            .chain(self.entry.more().iter().filter_map(|(_, length)| *length))
            .map(|length| length.seconds() / 86_400 + 1)
            .max()
            .unwrap_or(1);
        let moved = changes.iter().map(|(from, change)| days_apart(from.date(), change.start.civil().date())).max();
        let moved = moved.unwrap_or(0);
        let horizon = self.cx.horizon;
        let back = longest.saturating_add(moved).saturating_add(2).min(4_000_000);
        let ahead = moved.saturating_add(2).min(4_000_000);
        // Before the year 0 there is no iCalendar.
        let floor = Date::constant(0, 1, 1).to_datetime(Time::midnight());
        let utc = |instant: Timestamp| Offset::UTC.to_datetime(instant);
        let first = utc(horizon.from).checked_sub(back.days()).unwrap_or(floor).max(floor);
        let last = utc(horizon.until).checked_add(ahead.days()).unwrap_or(DateTime::MAX);
        (first, last)
    }

    /// Calls `take` with the starts that a rule generates within a window, until it has enough. A rule that asks for
    /// too much is passed over.
    fn expand(
        &self,
        line: u32,
        rule: &Rule,
        (first, last): (DateTime, DateTime),
        zones: &mut Zones<'_>,
        flaws: &mut Flaws,
        mut take: impl FnMut(DateTime) -> bool,
    ) -> Result<(), Refusal> {
        let start = self.entry.start.civil();
        let until = self.until(rule).unwrap_or(DateTime::MAX);
        let mut left = rule.count.filter(|_| rule.may_run_out(start, last));
        // Where both say when it ends, the later one counts: of two that contradict each other the one that blocks.
        let both = left.is_some() && rule.until.is_some();
        let last = if both { last } else { until.min(last) };
        if last < start {
            return Ok(());
        }
        let near = if left.is_some() { start } else { rule.start_near(start, first.date()) };
        match rule.cost(near, last) {
            Ok(cost) => zones.spend(cost)?,
            Err(refusal) => {
                flaws.note(line, true, format!("its repetition was passed over: {refusal}"));
                return Ok(());
            }
        }
        for (place, civil) in IcalRs.instances(rule, near, last).enumerate() {
            if let Some(left) = &mut left {
                // DTSTART is the first of the count (RFC 5545 3.3.10) even where the rule doesn't generate it.
                if place == 0 && civil != start {
                    *left = left.saturating_sub(1);
                }
                if *left == 0 && !(both && civil <= until) {
                    break;
                }
                *left = left.saturating_sub(1);
            }
            if civil >= first && !take(civil) {
                break;
            }
        }
        Ok(())
    }

    /// UNTIL on the event's wall clock: a day means until its end.
    fn until(&self, rule: &Rule) -> Option<DateTime> {
        let end_of = |day: Date| day.to_datetime(Time::constant(23, 59, 59, 0));
        Some(match (rule.until?, &self.entry.start) {
            (Moment::Day(day), _) => end_of(day),
            (Moment::Local(local), Point::Day(_)) => end_of(local.date()),
            (Moment::Local(local), Point::At { .. }) => local,
            (Moment::Instant(instant), Point::At { clock, .. }) => clock.local(instant),
            (Moment::Instant(instant), Point::Day(_)) => end_of(self.last_day(instant)),
        })
    }

    /// The last day of an all-day series that ends at an instant: by the clock that the calendar names. Where it names
    /// none, or one on which this is no edge of a day, by the reading that blocks more.
    fn last_day(&self, instant: Timestamp) -> Date {
        let written = Offset::UTC.to_datetime(instant);
        let days = &self.entry.days;
        let there = days.clock.local(instant);
        if written.time() == Time::midnight() {
            return written.date();
        }
        if days.named && !days.clock.is_utc() {
            return there.date();
        }
        // A whole minute is a midnight somewhere; from 10:00 on it is that of the next day, east of Greenwich.
        let is_midnight = written.second() == 0;
        let written = written.date();
        let east = if is_midnight && Offset::UTC.to_datetime(instant).hour() >= 10 {
            written.tomorrow().unwrap_or(written)
        } else {
            written
        };
        east.max(there.date())
    }
}

fn days_apart(a: Date, b: Date) -> i64 {
    let span: Span = a - b;
    i64::from(span.get_days()).abs()
}
