//! Series: the occurrences of repeating events within the horizon, with their exceptions and overrides.
//!
//! Nothing here depends on the order of events in the text, nor on their stamps: a feed that says the same in another
//! order reads the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use calmesh_calendar::{EventKey, EventStatus, Extent, FeedEvent, ReadWarning};
use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
};

use crate::{
    entry::{Entry, Fault, Length, Point},
    moment::Moment,
    place::Zones,
    read::ReadContext,
    recur::{IcalRs, Recurrence, Rule, RuleRefusal},
    refusal::{Excess, Refusal},
};

/// Starts that one event may have within the horizon.
const MAX_INSTANCES: usize = 5_000;
/// Units of [`Rule::cost`] that one rule may take: a daily rule since 1604 takes 160,000.
const MAX_WORK_OF_RULE: u64 = 5_000_000;
/// Units that all rules of a feed may take together.
pub(crate) const MAX_WORK: u64 = 50_000_000;
/// Units for looking at one override beside one master.
const WORK_OF_PAIR: u64 = 20;

/// Every occurrence of every entry that the horizon touches: entries in the order of the text, series in order of time.
///
/// # Errors
/// When the feed has too many occurrences, or asks for too much work.
pub(crate) fn list(
    entries: &[Entry],
    cx: &ReadContext<'_>,
    zones: &mut Zones<'_>,
    warnings: &mut Vec<ReadWarning>,
) -> Result<Listed, Refusal> {
    let groups = Groups::of(entries, cx, zones)?;
    let mut listed = Listing { listed: Listed { events: Vec::with_capacity(entries.len()), beyond: None }, cx };
    for entry in entries {
        let group = entry.uid.as_deref().and_then(|uid| groups.by_uid.get(uid));
        let told = match (&entry.uid, &entry.recurrence_id, group) {
            (Some(uid), Some(id), Some(group)) => list_override(entry, uid, id, group, &mut listed),
            _ => Series { entry, group, cx }.list_into(&mut listed, zones),
        };
        match told {
            Ok(()) => {}
            Err(Trouble::Fault(fault)) => warnings.push(fault.warning(entry.lines, entry.uid.clone())),
            Err(Trouble::Refusal(refusal)) => return Err(refusal),
        }
    }
    Ok(listed.listed)
}

/// What lies within the horizon, and where the next beyond it begins.
pub(crate) struct Listed {
    pub(crate) events: Vec<FeedEvent>,
    pub(crate) beyond: Option<Timestamp>,
}

/// An override stands for itself, unless another says otherwise of the same occurrence: a later SEQUENCE wins
/// (RFC 5545 3.8.7.4); among equals what takes place wins over what is cancelled, and else both stand.
fn list_override(
    entry: &Entry,
    uid: &str,
    id: &Point,
    group: &Group<'_>,
    listed: &mut Listing<'_>,
) -> Result<(), Trouble> {
    let occurrence = group.name_of_override(id, listed.cx);
    if group.best.get(&occurrence).is_some_and(|best| *best > rank(entry)) {
        return Ok(());
    }
    let extent = entry.extent_at(entry.start.civil(), entry.length).ok_or(Fault::OutOfReach)?;
    let key = EventKey { uid: uid.to_owned(), occurrence: Some(occurrence) };
    Ok(listed.push(entry, Some(key), extent, entry.status)?)
}

/// What of two events for the same occurrence counts: the greater.
fn rank(entry: &Entry) -> (u64, bool) {
    (entry.sequence, entry.status != Some(EventStatus::Cancelled))
}

/// The events of one UID.
#[derive(Default)]
struct Group<'e> {
    masters: Vec<&'e Entry>,
    overrides: Vec<&'e Entry>,
    /// The greatest rank of the overrides of each occurrence.
    best: HashMap<String, (u64, bool)>,
}

impl Group<'_> {
    /// The name of the occurrence that an override is for. Several masters of one UID may name it differently; the
    /// least name is as good as any, and the same in every order of the text.
    fn name_of_override(&self, id: &Point, cx: &ReadContext<'_>) -> String {
        let of_masters = self.masters.iter().map(|master| name_in(master, civil_in(master, id, cx))).min();
        of_masters.unwrap_or_else(|| name_of(id))
    }
}

struct Groups<'e> {
    by_uid: HashMap<&'e str, Group<'e>>,
}

impl<'e> Groups<'e> {
    fn of(entries: &'e [Entry], cx: &ReadContext<'_>, zones: &mut Zones<'_>) -> Result<Self, Refusal> {
        let mut by_uid: HashMap<&str, Group<'_>> = HashMap::new();
        for entry in entries {
            if let Some(uid) = entry.uid.as_deref() {
                let group = by_uid.entry(uid).or_default();
                let side = if entry.recurrence_id.is_some() { &mut group.overrides } else { &mut group.masters };
                side.push(entry);
            }
        }
        for group in by_uid.values_mut() {
            // Each override is looked at beside each master, and a hostile feed has thousands of both.
            let pairs = (group.masters.len() as u64).saturating_mul(group.overrides.len() as u64);
            zones.spend(pairs.saturating_mul(WORK_OF_PAIR))?;
            for entry in &group.overrides {
                let Some(id) = &entry.recurrence_id else { continue };
                let best = group.best.entry(group.name_of_override(id, cx)).or_insert(rank(entry));
                *best = rank(entry).max(*best);
            }
        }
        Ok(Self { by_uid })
    }
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

/// The occurrences so far.
struct Listing<'a> {
    listed: Listed,
    cx: &'a ReadContext<'a>,
}

impl Listing<'_> {
    /// Adds an occurrence, unless it lies outside of the horizon.
    fn push(
        &mut self,
        entry: &Entry,
        key: Option<EventKey>,
        extent: Extent,
        status: Option<EventStatus>,
    ) -> Result<(), Refusal> {
        let horizon = self.cx.horizon;
        let midnight = |day: Date| self.cx.zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight())).compatible();
        let (start, is_over) = match extent {
            Extent::Times(times) => (times.start(), times.end() <= horizon.from),
            Extent::Nights(nights) => {
                let over = nights.end() <= self.cx.zone.to_datetime(horizon.from).date();
                (midnight(nights.first()).unwrap_or(Timestamp::MAX), over)
            }
        };
        if is_over {
            return Ok(());
        }
        if horizon.until <= start {
            let beyond = &mut self.listed.beyond;
            *beyond = Some(beyond.map_or(start, |known| known.min(start)));
            return Ok(());
        }
        let limit = self.cx.limits.occurrences;
        if self.listed.events.len() >= limit {
            return Err(Refusal::TooLarge { what: Excess::Occurrences, limit: limit as u64 });
        }
        self.listed.events.push(FeedEvent {
            key,
            extent,
            summary: entry.summary.clone(),
            description: entry.description.clone(),
            status,
            transparent: entry.transparent,
            busy_status: entry.busy_status,
            lines: entry.lines,
        });
        Ok(())
    }
}

/// A point on the wall clock of a series: what a RECURRENCE-ID, an EXDATE or an RDATE names.
fn civil_in(master: &Entry, point: &Point, cx: &ReadContext<'_>) -> DateTime {
    match (&master.start, point) {
        (Point::Day(_), point) => point.day(cx.zone).to_datetime(Time::midnight()),
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

fn name_in(master: &Entry, civil: DateTime) -> String {
    match &master.start {
        Point::Day(_) => name_of(&Point::Day(civil.date())),
        Point::At { clock, .. } => name_of(&Point::At { local: civil, clock: clock.clone() }),
    }
}

/// One event, maybe repeating, with the overrides of its UID.
struct Series<'a> {
    entry: &'a Entry,
    /// None without UID.
    group: Option<&'a Group<'a>>,
    cx: &'a ReadContext<'a>,
}

impl Series<'_> {
    fn list_into(&self, listed: &mut Listing<'_>, zones: &mut Zones<'_>) -> Result<(), Trouble> {
        let entry = self.entry;
        let key = |civil: DateTime| {
            let occurrence = entry.recurs().then(|| name_in(entry, civil));
            entry.uid.clone().map(|uid| EventKey { uid, occurrence })
        };
        let overrides = self.group.map(|group| group.overrides.as_slice()).unwrap_or_default();
        if !entry.recurs() && overrides.is_empty() {
            let civil = entry.start.civil();
            let extent = entry.extent_at(civil, entry.length).ok_or(Fault::OutOfReach)?;
            return Ok(listed.push(entry, key(civil), extent, entry.status)?);
        }
        let moved: Vec<(DateTime, &Entry)> = overrides
            .iter()
            .filter_map(|other| other.recurrence_id.as_ref().map(|id| (civil_in(entry, id, self.cx), *other)))
            .collect();
        let overridden: BTreeSet<DateTime> = moved.iter().map(|(civil, _)| *civil).collect();
        // For each point from which all that follows is changed, the change that wins.
        let mut from_then_on: BTreeMap<DateTime, &Entry> = BTreeMap::new();
        for (civil, other) in moved.iter().filter(|(_, other)| other.this_and_future) {
            let place = |entry: &Entry| {
                let civil = entry.start.civil();
                (rank(entry), civil, entry.extent_at(civil, entry.length), entry.summary.clone())
            };
            let best = from_then_on.entry(*civil).or_insert(other);
            if place(other) > place(best) {
                *best = other;
            }
        }
        for (civil, length) in self.instances(&from_then_on, zones)? {
            if overridden.contains(&civil) {
                continue;
            }
            let change = from_then_on.range(..=civil).next_back();
            let (said, at, length) = match change {
                None => (entry, civil, length.unwrap_or(entry.length)),
                Some((from, change)) => {
                    let shift = *from - civil;
                    let Ok(at) = change.start.civil().checked_sub(shift) else { continue };
                    (*change, at, change.length)
                }
            };
            // What lies at the edge of what can be reckoned with lies outside of the horizon.
            if let Some(extent) = said.extent_at(at, length) {
                listed.push(said, key(civil), extent, said.status)?;
            }
        }
        Ok(())
    }

    /// Starts on the event's wall clock that may matter within the horizon, each with its own length if it has one.
    fn instances(
        &self,
        changes: &BTreeMap<DateTime, &Entry>,
        zones: &mut Zones<'_>,
    ) -> Result<BTreeMap<DateTime, Option<Length>>, Trouble> {
        let entry = self.entry;
        let start = entry.start.civil();
        let (first, last) = self.window(changes)?;
        let mut instances = BTreeMap::new();
        // DTSTART counts, whether or not the rule generates it (RFC 5545 3.8.5.3).
        instances.insert(start, None);
        for rule in &entry.rules {
            self.expand(rule, first, last, zones, |civil| {
                instances.insert(civil, None);
                instances.len() <= MAX_INSTANCES
            })?;
        }
        for (point, length) in &entry.more {
            instances.insert(civil_in(entry, point, self.cx), *length);
        }
        for rule in &entry.exception_rules {
            self.expand(rule, first, last, zones, |civil| {
                instances.remove(&civil);
                true
            })?;
        }
        let mut days = BTreeSet::new();
        for point in &entry.except {
            instances.remove(&civil_in(entry, point, self.cx));
            if let Point::Day(day) = point {
                days.insert(*day);
            }
        }
        if !days.is_empty() {
            instances.retain(|civil, _| !days.contains(&civil.date()));
        }
        if instances.len() > MAX_INSTANCES {
            return Err(Fault::TooManyInstances(MAX_INSTANCES).into());
        }
        Ok(instances)
    }

    /// The stretch of the wall clock in which a start matters: the horizon, and before it the event's length, and
    /// around it what the changes move.
    fn window(&self, changes: &BTreeMap<DateTime, &Entry>) -> Result<(DateTime, DateTime), Fault> {
        let utc = |instant| jiff::tz::Offset::UTC.to_datetime(instant);
        let days_of = |length: &Length| match length {
            Length::Nights(nights) => *nights,
            Length::Exact(exact) => exact.as_secs() / 86_400 + 1,
            Length::Nominal { days, time } => days.saturating_add(time.as_secs() / 86_400 + 1),
        };
        let longest = changes
            .values()
            .map(|change| &change.length)
            .chain([&self.entry.length])
            .chain(self.entry.more.iter().filter_map(|(_, length)| length.as_ref()))
            .map(days_of)
            .max()
            .unwrap_or(1);
        let moved = changes.iter().map(|(from, change)| days_apart(from.date(), change.start.civil().date())).max();
        let moved = moved.unwrap_or(0);
        let horizon = self.cx.horizon;
        let back = (longest.saturating_add(moved).saturating_add(2)).min(4_000_000);
        let ahead = moved.saturating_add(2).min(4_000_000);
        // Before the year 0 there is no iCalendar.
        let floor = Date::constant(0, 1, 1).to_datetime(Time::midnight());
        let first = utc(horizon.from).checked_sub(back.days()).unwrap_or(floor).max(floor);
        let last = utc(horizon.until).checked_add(ahead.days()).map_err(|_| Fault::OutOfReach)?;
        Ok((first, last))
    }

    /// Calls `take` with the starts that a rule generates between two points, until it has enough.
    fn expand(
        &self,
        rule: &Rule,
        first: DateTime,
        last: DateTime,
        zones: &mut Zones<'_>,
        mut take: impl FnMut(DateTime) -> bool,
    ) -> Result<(), Trouble> {
        let start = self.entry.start.civil();
        let last = self.until(rule).map_or(last, |until| until.min(last));
        if last < start {
            return Ok(());
        }
        let near = rule.start_near(start, first.date());
        let cost = rule.cost(near, last);
        if cost > MAX_WORK_OF_RULE {
            return Err(Fault::Rule(RuleRefusal::TooMuchWork).into());
        }
        zones.spend(cost)?;
        let mut left = rule.count;
        for (place, civil) in IcalRs.instances(rule, near, last).enumerate() {
            if let Some(left) = &mut left {
                // DTSTART is the first of the count (RFC 5545 3.3.10) even where the rule doesn't generate it.
                if place == 0 && civil != start {
                    *left = left.saturating_sub(1);
                }
                if *left == 0 {
                    break;
                }
                *left -= 1;
            }
            if civil >= first && !take(civil) {
                return Err(Fault::TooManyInstances(MAX_INSTANCES).into());
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
            (Moment::Instant(instant), Point::Day(_)) => {
                let clock = crate::zones::Clock::utc();
                end_of(Point::At { local: clock.local(instant), clock }.day(self.cx.zone))
            }
        })
    }
}

fn days_apart(a: Date, b: Date) -> i64 {
    let span: Span = a - b;
    i64::from(span.get_days()).abs()
}
