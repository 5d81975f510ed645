//! Times put on their clocks: the zones of a feed, each resolved once, and the work that its rules may still ask for.

use std::{collections::HashMap, rc::Rc};

use calmesh_calendar::ReadWarning;
use jiff::{ToSpan, civil::Time, tz::TimeZone};

use crate::{
    entry::Point,
    feed_text::ZoneText,
    moment::{Moment, parse_offset},
    property::Property,
    read::{Horizon, ReadContext},
    recur::{IcalRs, Recurrence, Rule},
    refusal::{Excess, Refusal},
    series,
    zones::{Clock, DefinedZone, Onset, guessed, of_database},
};

/// Where one calendar of a body says that it is.
struct Home {
    /// X-WR-TIMEZONE as it stands.
    hint: Option<String>,
    /// Floating times belong here.
    floating: Clock,
    days: Days,
}

/// On which clock an instant is a day of an all-day event.
#[derive(Debug, Clone)]
pub(crate) struct Days {
    pub(crate) clock: Clock,
    /// The calendar names it; else it is the property's, and may be another than that of whoever wrote the feed.
    pub(crate) named: bool,
}

/// The zones of a feed, each resolved once.
pub(crate) struct Zones<'c> {
    property: &'c TimeZone,
    /// Of each calendar of the body.
    homes: Vec<Home>,
    /// By name, and the calendar's hint.
    known: HashMap<(String, Option<String>), Option<Clock>>,
    defined: Vec<ZoneText>,
    horizon: Horizon,
    /// Work that the rules of the feed may still ask for.
    work: u64,
    complained: bool,
}

impl<'c> Zones<'c> {
    pub(crate) fn new(cx: &ReadContext<'c>, defined: Vec<ZoneText>, hints: Vec<Option<String>>) -> Self {
        let mut zones = Self {
            property: cx.zone,
            homes: Vec::new(),
            known: HashMap::new(),
            defined,
            horizon: cx.horizon,
            work: series::MAX_WORK,
            complained: false,
        };
        // A calendar that defines one zone is written there.
        let mut names: Vec<&str> = zones.defined.iter().filter_map(|zone| zone.tzid.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let only = match names.as_slice() {
            [only] => Some((*only).to_owned()),
            _ => None,
        };
        for hint in hints {
            let hinted = hint.as_deref().and_then(|hint| zones.resolve(hint, None));
            let named = hinted.clone().or_else(|| zones.resolve(only.as_deref()?, hint.as_deref()));
            let at_property = || Clock::Zone(cx.zone.clone());
            let days = Days { named: named.is_some(), clock: named.unwrap_or_else(at_property) };
            zones.homes.push(Home { hint, floating: hinted.unwrap_or_else(at_property), days });
        }
        zones
    }

    /// Takes work off what the feed has left.
    pub(crate) fn spend(&mut self, cost: u64) -> Result<(), Refusal> {
        self.work = self
            .work
            .checked_sub(cost)
            .ok_or(Refusal::TooLarge { what: Excess::Recurrence, limit: series::MAX_WORK })?;
        Ok(())
    }

    /// The clock on which instants are days in one calendar of the body.
    pub(crate) fn days(&self, calendar: usize) -> Days {
        let at_property = || Days { clock: Clock::Zone(self.property.clone()), named: false };
        self.homes.get(calendar).map_or_else(at_property, |home| home.days.clone())
    }

    /// Puts a moment on its clock: its own where it names one, else that of `beside`, the start of the same event.
    pub(crate) fn place(
        &mut self,
        moment: Moment,
        property: &Property,
        calendar: usize,
        beside: Option<&Point>,
        warnings: &mut Vec<ReadWarning>,
    ) -> Point {
        let local = match moment {
            Moment::Day(day) => return Point::Day(day),
            // A `Z` beside a TZID wins: the text says an instant.
            Moment::Instant(instant) => {
                let clock = Clock::utc();
                return Point::At { local: clock.local(instant), clock };
            }
            Moment::Local(local) => local,
        };
        let Some(tzid) = property.parameters.tzid.as_deref() else {
            let clock = match beside {
                Some(Point::At { clock, .. }) => clock.clone(),
                _ => match self.homes.get(calendar) {
                    Some(home) => home.floating.clone(),
                    None => Clock::Zone(self.property.clone()),
                },
            };
            return Point::At { local, clock };
        };
        let hint = self.homes.get(calendar).and_then(|home| home.hint.clone());
        if let Some(clock) = self.resolve(tzid, hint.as_deref()) {
            return Point::At { local, clock };
        }
        if !std::mem::replace(&mut self.complained, true) {
            let detail = "A time zone of this calendar is not known; its times are read in the property's zone.";
            let (line, detail) = (Some(property.line), detail.to_owned());
            warnings.push(ReadWarning { line, uid: None, detail, unread: false });
        }
        Point::At { local, clock: Clock::Zone(self.property.clone()) }
    }

    /// A name of the database is what it is; else the feed's own definition counts before any guess at the name.
    fn resolve(&mut self, tzid: &str, hint: Option<&str>) -> Option<Clock> {
        let key = (tzid.to_owned(), hint.map(str::to_owned));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let known = of_database(tzid).map(Clock::Zone);
        let clock = known.or_else(|| self.define(tzid)).or_else(|| guessed(tzid, hint).map(Clock::Zone));
        self.known.insert(key, clock.clone());
        clock
    }

    /// A zone by the feed's own VTIMEZONE, the first of that name.
    fn define(&mut self, tzid: &str) -> Option<Clock> {
        let text = self.defined.iter().find(|zone| zone.tzid.as_deref() == Some(tzid))?;
        let last = Clock::utc().local(self.horizon.until).checked_add(366.days()).ok()?;
        let mut initial = None;
        let mut onsets = Vec::new();
        for observance in text.observances.iter().take(64) {
            let value = |name: &str| observance.iter().find(|property| property.name == name).map(|p| p.value.as_str());
            let to = value("TZOFFSETTO").and_then(parse_offset)?;
            let from = value("TZOFFSETFROM").and_then(parse_offset).unwrap_or(to);
            let Some(Moment::Local(start)) = value("DTSTART").and_then(|text| Moment::parse(text, false)) else {
                // An observance without a start always held; two such contradict each other.
                if initial.replace(to).is_some() {
                    return None;
                }
                continue;
            };
            onsets.push(Onset { local: start, from, to });
            for property in observance {
                match property.name {
                    "RDATE" => {
                        onsets.extend(property.value.split(',').filter_map(|text| match Moment::parse(text, false) {
                            Some(Moment::Local(local)) => Some(Onset { local, from, to }),
                            _ => None,
                        }))
                    }
                    "RRULE" => {
                        let rule = Rule::parse(&property.value).ok().filter(|rule| !rule.is_finer_than_days())?;
                        let until = match rule.until {
                            Some(Moment::Day(day)) => day.to_datetime(Time::MAX),
                            Some(Moment::Local(local)) => local,
                            Some(Moment::Instant(instant)) => from.to_datetime(instant),
                            None => last,
                        };
                        let until = until.min(last);
                        let cost = rule.cost(start, until).ok()?;
                        self.work = self.work.checked_sub(cost)?;
                        let count = rule.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
                        let instances = IcalRs.instances(&rule, start, until).take(count.min(5_000));
                        onsets.extend(instances.map(|local| Onset { local, from, to }));
                    }
                    _ => {}
                }
            }
        }
        DefinedZone::new(initial, onsets).map(|zone| Clock::Defined(Rc::new(zone)))
    }
}
