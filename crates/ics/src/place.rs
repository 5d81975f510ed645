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
    zones::{Clock, DefinedZone, Onset, named},
};

/// The zones of a feed, each resolved once.
pub(crate) struct Zones<'c> {
    property: &'c TimeZone,
    /// Where the floating times of each calendar of the body belong.
    floating: Vec<Clock>,
    known: HashMap<String, Option<Clock>>,
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
            floating: Vec::new(),
            known: HashMap::new(),
            defined,
            horizon: cx.horizon,
            work: series::MAX_WORK,
            complained: false,
        };
        for hint in hints {
            let clock = hint.and_then(|hint| zones.resolve(&hint)).unwrap_or_else(|| Clock::Zone(cx.zone.clone()));
            zones.floating.push(clock);
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

    pub(crate) fn place(
        &mut self,
        moment: Moment,
        property: &Property,
        calendar: usize,
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
        let floating = || self.floating.get(calendar).cloned().unwrap_or_else(|| Clock::Zone(self.property.clone()));
        let Some(tzid) = property.parameters.tzid.as_deref() else {
            return Point::At { local, clock: floating() };
        };
        if let Some(clock) = self.resolve(tzid) {
            return Point::At { local, clock };
        }
        if !std::mem::replace(&mut self.complained, true) {
            let detail = "A time zone of this calendar is not known; its times are read in the property's zone.";
            let (line, detail) = (Some(property.line), detail.to_owned());
            warnings.push(ReadWarning { line, uid: None, detail, unread: false });
        }
        Point::At { local, clock: Clock::Zone(self.property.clone()) }
    }

    fn resolve(&mut self, tzid: &str) -> Option<Clock> {
        if let Some(known) = self.known.get(tzid) {
            return known.clone();
        }
        let clock = named(tzid).map(Clock::Zone).or_else(|| self.define(tzid));
        self.known.insert(tzid.to_owned(), clock.clone());
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
                        let rule = Rule::parse(&property.value).ok()?;
                        let until = match rule.until {
                            Some(Moment::Day(day)) => day.to_datetime(Time::MAX),
                            Some(Moment::Local(local)) => local,
                            Some(Moment::Instant(instant)) => from.to_datetime(instant),
                            None => last,
                        };
                        let until = until.min(last);
                        let cost = rule.cost(start, until);
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
