//! Times put on their clocks: the zones of a feed, each resolved once, and the work that its rules may still ask for.

use std::{collections::HashMap, rc::Rc};

use calmesh_calendar::ReadWarning;
use jiff::{
    ToSpan,
    civil::{DateTime, Time},
    tz::{Offset, TimeZone},
};

use crate::{
    read::{
        context::{Horizon, ReadContext},
        feed_text::ZoneText,
        flaws::Flaws,
        moment::{Moment, parse_offset},
        name::Name,
        point::{Days, Point},
        property::Property,
        recur::{IcalRs, MAX_WORK, Recurrence, Rule},
        zones::{Clock, DefinedZone, Onset, guessed, of_database},
    },
    refusal::{Excess, Refusal},
};

/// Observances of one zone that are looked at, and changes of offset that one of their rules may make.
const MAX_OBSERVANCES: usize = 64;
const MAX_ONSETS: usize = 5_000;

/// Where one calendar of a body says that it is.
struct Home {
    /// Which of the hints of all calendars is its X-WR-TIMEZONE.
    hint: usize,
    /// Floating times belong here.
    floating: Clock,
    days: Rc<Days>,
}

/// What calendars of one X-WR-TIMEZONE, or of none, have in common.
#[derive(Default)]
struct Hint {
    text: Option<String>,
    /// The clocks of the names that were asked for.
    known: HashMap<String, Option<Clock>>,
}

/// The place of the hint of calendars that give none.
const NO_HINT: usize = 0;

/// The zones of a feed, each resolved once.
pub(crate) struct Zones<'c> {
    property: &'c TimeZone,
    /// Of each calendar of the body.
    homes: Vec<Home>,
    /// Each once, first none; what a zone's name means may depend on them.
    hints: Vec<Hint>,
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
            hints: vec![Hint::default()],
            defined,
            horizon: cx.horizon,
            work: MAX_WORK,
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
        let mut known: HashMap<Option<String>, usize> = HashMap::from([(None, NO_HINT)]);
        for text in hints {
            let hint = *known.entry(text).or_insert_with_key(|text| {
                zones.hints.push(Hint { text: text.clone(), known: HashMap::new() });
                zones.hints.len() - 1
            });
            let home = zones.home(hint, only.as_deref());
            zones.homes.push(home);
        }
        zones
    }

    /// The home of calendars of one hint; `only` is the zone that they define, if it is one.
    fn home(&mut self, hint: usize, only: Option<&str>) -> Home {
        let text = self.hints.get(hint).and_then(|hint| hint.text.clone());
        let hinted = text.as_deref().and_then(|text| self.resolve(text, NO_HINT));
        let named = hinted.clone().or_else(|| self.resolve(only?, hint));
        let at_property = || Clock::Zone(self.property.clone());
        let days = Rc::new(Days { named: named.is_some(), clock: named.unwrap_or_else(at_property) });
        Home { hint, floating: hinted.unwrap_or_else(at_property), days }
    }

    /// Takes work off what the feed has left.
    pub(crate) fn spend(&mut self, cost: u64) -> Result<(), Refusal> {
        self.work =
            self.work.checked_sub(cost).ok_or(Refusal::TooLarge { what: Excess::Recurrence, limit: MAX_WORK })?;
        Ok(())
    }

    /// The clock on which instants are days in one calendar of the body.
    pub(crate) fn days(&self, calendar: usize) -> Rc<Days> {
        let at_property = || Rc::new(Days { clock: Clock::Zone(self.property.clone()), named: false });
        self.homes.get(calendar).map_or_else(at_property, |home| home.days.clone())
    }

    /// Puts a moment on its clock: its own where it names one, else that of `beside`, the start of the same event.
    fn place(
        &mut self,
        moment: Moment,
        property: &Property<'_>,
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
        let home = self.homes.get(calendar);
        let at_property = || Clock::Zone(self.property.clone());
        let Some(tzid) = property.parameters.tzid.as_deref() else {
            let clock = match beside {
                Some(Point::At { clock, .. }) => clock.clone(),
                _ => home.map_or_else(at_property, |home| home.floating.clone()),
            };
            return Point::At { local, clock };
        };
        let hint = home.map_or(NO_HINT, |home| home.hint);
        if let Some(clock) = self.resolve(tzid, hint) {
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
    fn resolve(&mut self, tzid: &str, hint: usize) -> Option<Clock> {
        if let Some(known) = self.hints.get(hint).and_then(|hint| hint.known.get(tzid)) {
            return known.clone();
        }
        let clock = of_database(tzid).map(Clock::Zone).or_else(|| self.define(tzid));
        let hint = self.hints.get_mut(hint)?;
        let clock = clock.or_else(|| guessed(tzid, hint.text.as_deref()).map(Clock::Zone));
        hint.known.insert(tzid.to_owned(), clock.clone());
        clock
    }

    /// A zone by the feed's own VTIMEZONE, the first of that name.
    fn define(&mut self, tzid: &str) -> Option<Clock> {
        let text = self.defined.iter().find(|zone| zone.tzid.as_deref() == Some(tzid))?;
        let last = Clock::utc().local(self.horizon.until).checked_add(366.days()).ok()?;
        let mut initial = None;
        let mut onsets = Vec::new();
        for observance in text.observances.iter().take(MAX_OBSERVANCES) {
            let value = |name| observance.iter().find(|property| property.name == name).map(|said| said.value.as_ref());
            let to = value(Name::TzOffsetTo).and_then(parse_offset)?;
            let from = value(Name::TzOffsetFrom).and_then(parse_offset).unwrap_or(to);
            let Some(Moment::Local(start)) = value(Name::DtStart).and_then(|text| Moment::parse(text, false)) else {
                // An observance without a start always held; two such contradict each other.
                if initial.replace(to).is_some() {
                    return None;
                }
                continue;
            };
            onsets.push(Onset { local: start, from, to });
            for property in observance {
                let more = match property.name {
                    Name::RDate => dates_of(&property.value),
                    Name::RRule => recurrences_of(&property.value, start, from, last, &mut self.work)?,
                    _ => continue,
                };
                onsets.extend(more.into_iter().map(|local| Onset { local, from, to }));
            }
        }
        DefinedZone::new(initial, onsets).map(|zone| Clock::Defined(Rc::new(zone)))
    }
}

/// The local times of an RDATE.
fn dates_of(value: &str) -> Vec<DateTime> {
    let moments = value.split(',').map(|text| Moment::parse(text, false));
    moments.filter_map(|moment| if let Some(Moment::Local(local)) = moment { Some(local) } else { None }).collect()
}

/// The local times until `last` of a change of offset that repeats; none where they can't be worked out.
fn recurrences_of(
    value: &str,
    start: DateTime,
    offset: Offset,
    last: DateTime,
    work: &mut u64,
) -> Option<Vec<DateTime>> {
    let rule = Rule::parse(value).ok().filter(|rule| !rule.is_finer_than_days())?;
    let until = match rule.until {
        Some(Moment::Day(day)) => day.to_datetime(Time::MAX),
        Some(Moment::Local(local)) => local,
        Some(Moment::Instant(instant)) => offset.to_datetime(instant),
        None => last,
    };
    let until = until.min(last);
    *work = work.checked_sub(rule.cost(start, until).ok()?)?;
    let count = rule.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    Some(IcalRs.instances(&rule, start, until).take(count.min(MAX_ONSETS)).collect())
}

/// What placing the moments of one event needs, and what of it was passed over.
pub(crate) struct Placing<'p, 'c> {
    pub(crate) calendar: usize,
    pub(crate) whole_days: bool,
    pub(crate) cx: &'c ReadContext<'c>,
    pub(crate) days: Rc<Days>,
    pub(crate) zones: &'p mut Zones<'c>,
    pub(crate) warnings: &'p mut Vec<ReadWarning>,
    pub(crate) flaws: Flaws,
}

impl Placing<'_, '_> {
    fn place(&mut self, moment: Moment, property: &Property<'_>, beside: Option<&Point>) -> Point {
        self.zones.place(moment, property, self.calendar, beside, self.warnings)
    }

    /// A value that may go on as something else, and whether it does not.
    pub(crate) fn leniently(&mut self, property: &Property<'_>, beside: Option<&Point>) -> Option<(Point, bool)> {
        let as_day = property.parameters.date || self.whole_days;
        let (moment, sound) = Moment::parse_leniently(&property.value, as_day)?;
        Some((self.place(moment, property, beside), sound))
    }

    pub(crate) fn strictly(&mut self, text: &str, property: &Property<'_>, beside: Option<&Point>) -> Option<Point> {
        let moment = Moment::parse(text, property.parameters.date || self.whole_days)?;
        Some(self.place(moment, property, beside))
    }
}
