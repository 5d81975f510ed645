//! One VEVENT, understood: when it starts, how long it lasts, how it repeats, what it says.

use std::sync::Arc;

use calmesh_calendar::{BusyStatus, EventStatus, Extent, Lines, Nights, ReadWarning, Times};
use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, DateTime, Time},
};

use crate::{
    draft::Draft,
    moment::{Duration, Moment, parse_duration},
    place::{Days, Zones},
    property::Property,
    read::ReadContext,
    recur::{PassedOver, Rule},
    zones::Clock,
};

/// Characters of a summary and of a description that are kept: every occurrence carries them.
const MAX_SUMMARY: usize = 1_000;
const MAX_DESCRIPTION: usize = 4_000;
/// Rules of one event, of each name.
const MAX_RULES: usize = 20;
/// Dates added to one event, and dates taken away from it.
const MAX_MORE: usize = 5_000;
const MAX_EXCEPT: usize = 20_000;

/// Whether every event of a feed runs from midnight to midnight on its own clock: so some sites (natuurhuisje.nl)
/// write dates.
pub(crate) fn means_whole_days(drafts: &[Draft]) -> bool {
    let is_midnight = |draft: &Draft, name| {
        draft
            .get(name)
            .and_then(|property| Moment::parse(&property.value, property.parameters.date))
            .is_some_and(Moment::is_midnight)
    };
    !drafts.is_empty() && drafts.iter().all(|draft| is_midnight(draft, "DTSTART") && is_midnight(draft, "DTEND"))
}

/// Why an event is not read at all. Displays as the end of a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(clippy::enum_variant_names, reason = "each names what an event lacks")]
pub(crate) enum Fault {
    #[error("it has no start")]
    NoStart,
    #[error("its {0} is not a date that exists")]
    NoDate(&'static str),
    #[error("it has no length: it ends when it starts, so it blocks nothing")]
    NoLength,
}

impl Fault {
    pub(crate) fn warning(&self, lines: Lines, uid: Option<&str>) -> ReadWarning {
        let detail = format!("The event at line {} was not read: {self}.", lines.first);
        ReadWarning { line: Some(lines.first), uid: uid.map(str::to_owned), detail, unread: true }
    }
}

/// What of an event was passed over, while the rest of it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Where it stands.
    pub(crate) line: u32,
    /// The end of a sentence about the event.
    pub(crate) what: String,
    /// Read rightly, the event might block more.
    pub(crate) may_lose: bool,
}

impl Flaw {
    fn warning(self, lines: Lines, uid: Option<&str>) -> ReadWarning {
        let detail = format!("The event at line {} was read in part: {}.", lines.first, self.what);
        ReadWarning { line: Some(self.line), uid: uid.map(str::to_owned), detail, unread: self.may_lose }
    }
}

/// Flaws of one event that are told of.
const MAX_FLAWS: usize = 5;

/// The flaws of one event, each kind once.
#[derive(Debug, Default)]
pub(crate) struct Flaws(Vec<Flaw>);

impl Flaws {
    pub(crate) fn note(&mut self, line: u32, may_lose: bool, what: impl Into<String>) {
        let what = what.into();
        let room = self.0.len() < MAX_FLAWS;
        match self.0.iter_mut().find(|flaw| flaw.what == what) {
            Some(known) => known.may_lose |= may_lose,
            None if room => self.0.push(Flaw { line, what, may_lose }),
            // That something may be lost is never left out.
            None => self.0.iter_mut().take(1).for_each(|first| first.may_lose |= may_lose),
        }
    }

    pub(crate) fn tell(self, lines: Lines, uid: Option<&str>, warnings: &mut Vec<ReadWarning>) {
        warnings.extend(self.0.into_iter().map(|flaw| flaw.warning(lines, uid)));
    }
}

/// A start, an end, or another point of an event, on its clock.
#[derive(Debug, Clone)]
pub(crate) enum Point {
    Day(Date),
    At { local: DateTime, clock: Clock },
}

impl Point {
    /// On the wall clock; a day begins at midnight.
    pub(crate) fn civil(&self) -> DateTime {
        match self {
            Self::Day(day) => day.to_datetime(Time::midnight()),
            Self::At { local, .. } => *local,
        }
    }

    pub(crate) fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Day(_) => None,
            Self::At { local, clock } => Some(clock.instant(*local)),
        }
    }

    /// The day that this means for an event that is given in days: a day, the date on its own clock, or for an
    /// instant the date where days are reckoned; `T000000Z` means the date as it is written.
    pub(crate) fn day(&self, days: &Days) -> Date {
        match self {
            Self::Day(day) => *day,
            Self::At { local, clock } if clock.is_utc() && local.time() != Time::midnight() => {
                days.clock.local(clock.instant(*local)).date()
            }
            Self::At { local, .. } => local.date(),
        }
    }

    /// Whether the day that this means depends on a clock that nobody named.
    fn day_is_open(&self, days: &Days) -> bool {
        match self {
            Self::At { local, clock } if clock.is_utc() && local.time() != Time::midnight() && !days.named => {
                days.clock.local(clock.instant(*local)).time() != Time::midnight()
            }
            _ => false,
        }
    }

    /// The day before whose end this is, where it is the last minute of one (`T235959`), on its own clock or where
    /// days are reckoned.
    fn last_minute_of(&self, days: &Days) -> Option<Date> {
        let Self::At { local, clock } = self else { return None };
        let there = || days.clock.local(clock.instant(*local));
        let is_last = |local: &DateTime| local.hour() == 23 && local.minute() == 59;
        Some(*local).filter(is_last).or_else(|| Some(there()).filter(is_last)).map(DateTime::date)
    }
}

/// How long an event lasts, from whatever start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Nights, at least one.
    Nights(i64),
    /// By DTEND: exactly this long in every occurrence (RFC 5545 3.8.5.3), more than nothing.
    Exact(SignedDuration),
    /// By DURATION: days on the wall clock, then exact time.
    Nominal(Duration),
}

impl Length {
    /// About how many seconds; only for what is longer and what is shorter.
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Nights(nights) => nights.saturating_mul(86_400),
            Self::Exact(exact) => exact.as_secs(),
            Self::Nominal(duration) => duration.seconds(),
        }
    }

    /// As long, and this much longer.
    pub(crate) fn and(self, more: SignedDuration) -> Self {
        match self {
            Self::Nights(nights) => Self::Nights(nights),
            Self::Exact(exact) => Self::Exact(exact.saturating_add(more)),
            Self::Nominal(duration) => Self::Nominal(Duration { time: duration.time.saturating_add(more), ..duration }),
        }
    }
}

/// One VEVENT, understood.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) lines: Lines,
    pub(crate) uid: Option<String>,
    pub(crate) start: Point,
    /// None where it ends when it starts; only periods of its own have a length then.
    pub(crate) length: Option<Length>,
    /// On which clock its instants are days.
    pub(crate) days: Days,
    pub(crate) summary: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) status: Option<EventStatus>,
    pub(crate) transparent: Option<bool>,
    pub(crate) busy_status: Option<BusyStatus>,
    pub(crate) sequence: u64,
    pub(crate) recurrence_id: Option<Point>,
    pub(crate) this_and_future: bool,
    /// Whether it says that it repeats, understood or not.
    pub(crate) recurs: bool,
    /// Each with its line.
    pub(crate) rules: Vec<(u32, Rule)>,
    pub(crate) exception_rules: Vec<(u32, Rule)>,
    /// With a length of its own where it was written as a PERIOD.
    pub(crate) more: Vec<(Point, Option<Length>)>,
    pub(crate) except: Vec<Point>,
}

/// What placing the moments of one event needs.
struct Placing<'p, 'z, 'c> {
    calendar: usize,
    whole_days: bool,
    zones: &'z mut Zones<'c>,
    warnings: &'p mut Vec<ReadWarning>,
}

impl Placing<'_, '_, '_> {
    fn place(&mut self, moment: Moment, property: &Property, beside: Option<&Point>) -> Point {
        self.zones.place(moment, property, self.calendar, beside, self.warnings)
    }

    /// A value that may go on as something else, and whether it does not.
    fn leniently(&mut self, property: &Property, beside: Option<&Point>) -> Option<(Point, bool)> {
        let as_day = property.parameters.date || self.whole_days;
        let (moment, sound) = Moment::parse_leniently(&property.value, as_day)?;
        Some((self.place(moment, property, beside), sound))
    }

    fn strictly(&mut self, text: &str, property: &Property, beside: Option<&Point>) -> Option<Point> {
        let moment = Moment::parse(text, property.parameters.date || self.whole_days)?;
        Some(self.place(moment, property, beside))
    }
}

/// The values of a list of moments.
fn values(property: &Property) -> impl Iterator<Item = &str> {
    property.value.split(',').map(str::trim).filter(|value| !value.is_empty())
}

impl Entry {
    pub(crate) fn of(
        draft: &Draft,
        whole_days: bool,
        cx: &ReadContext<'_>,
        zones: &mut Zones<'_>,
        warnings: &mut Vec<ReadWarning>,
    ) -> Result<Self, Fault> {
        let uid = draft.uid();
        let days = zones.days(draft.calendar);
        let mut flaws = Flaws::default();
        let mut placing = Placing { calendar: draft.calendar, whole_days, zones, warnings };
        let word = |name: &str| draft.get(name).map(|property| property.value.trim().to_ascii_uppercase());

        let (start, recurrence_id) = starts(draft, &mut placing, &mut flaws)?;
        // Outlook's word that this is a day, whatever clock its midnights were put on.
        let is_days = word("X-MICROSOFT-CDO-ALLDAYEVENT").as_deref() == Some("TRUE");
        let start = if is_days { Point::Day(start.day(&days)) } else { start };
        let length = length_of(draft, &start, &days, cx, &mut placing, &mut flaws);
        let more = more_dates(draft, &start, &days, cx, &mut placing, &mut flaws);
        let except = except_dates(draft, &start, &days, &mut placing, &mut flaws);
        let filled = |property: &&Property| !property.value.trim().is_empty();
        let rules = rules_of(draft.all("RRULE").filter(filled), true, &mut flaws);
        let exception_rules = rules_of(draft.all("EXRULE").filter(filled), false, &mut flaws);
        flaws.tell(draft.lines, uid.as_deref(), warnings);

        let text = |name: &str, most: usize| -> Arc<str> {
            let text = draft.get(name).map(|property| property.value.trim()).unwrap_or_default();
            if text.len() <= most { text.into() } else { text.chars().take(most).collect::<String>().into() }
        };
        Ok(Self {
            lines: draft.lines,
            start,
            length,
            days,
            summary: text("SUMMARY", MAX_SUMMARY),
            description: text("DESCRIPTION", MAX_DESCRIPTION),
            status: match word("STATUS").as_deref() {
                Some("CONFIRMED") => Some(EventStatus::Confirmed),
                Some("TENTATIVE") => Some(EventStatus::Tentative),
                Some("CANCELLED" | "CANCELED") => Some(EventStatus::Cancelled),
                _ => None,
            },
            transparent: match word("TRANSP").as_deref() {
                Some("TRANSPARENT") => Some(true),
                Some("OPAQUE") => Some(false),
                _ => None,
            },
            busy_status: match word("X-MICROSOFT-CDO-BUSYSTATUS").as_deref() {
                Some("FREE") => Some(BusyStatus::Free),
                Some("TENTATIVE") => Some(BusyStatus::Tentative),
                Some("BUSY") => Some(BusyStatus::Busy),
                Some("OOF") => Some(BusyStatus::OutOfOffice),
                Some("WORKINGELSEWHERE") => Some(BusyStatus::WorkingElsewhere),
                _ => None,
            },
            sequence: word("SEQUENCE").and_then(|number| number.parse().ok()).unwrap_or(0),
            this_and_future: draft.get("RECURRENCE-ID").is_some_and(|property| property.parameters.this_and_future),
            recurrence_id,
            recurs: draft.all("RRULE").chain(draft.all("RDATE")).any(|property| filled(&property)),
            rules,
            exception_rules,
            more,
            except,
            uid,
        })
    }

    /// What the event covers when it starts at a time on its wall clock.
    pub(crate) fn extent_at(&self, civil: DateTime, length: Length) -> Option<Extent> {
        match (&self.start, length) {
            (_, Length::Nights(nights)) => {
                Nights::new(civil.date(), days_later(civil, nights).date()).ok().map(Extent::Nights)
            }
            (Point::Day(_), _) => None,
            (Point::At { clock, .. }, Length::Exact(exact)) => {
                let start = clock.instant(civil);
                Times::new(start, later(start, exact)).ok().map(Extent::Times)
            }
            (Point::At { clock, .. }, Length::Nominal(Duration { days, time })) => {
                let start = clock.instant(civil);
                Times::new(start, later(clock.instant(days_later(civil, days)), time)).ok().map(Extent::Times)
            }
        }
    }
}

/// Days later on the wall clock, or the last there is.
fn days_later(civil: DateTime, days: i64) -> DateTime {
    let later = Span::new().try_days(days).ok().and_then(|span| civil.checked_add(span).ok());
    later.unwrap_or(if days < 0 { DateTime::MIN } else { DateTime::MAX })
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// When an event starts, and which occurrence of a series it is instead of.
fn starts(
    draft: &Draft,
    placing: &mut Placing<'_, '_, '_>,
    flaws: &mut Flaws,
) -> Result<(Point, Option<Point>), Fault> {
    let id = draft.get("RECURRENCE-ID");
    let Some(property) = draft.get("DTSTART") else {
        // An override that says nothing of its start leaves it where it was.
        let at = id.map(|property| placing.leniently(property, None).ok_or(Fault::NoDate("RECURRENCE-ID")));
        let (start, _) = at.ok_or(Fault::NoStart)??;
        return Ok((start.clone(), Some(start)));
    };
    let (start, sound) = placing.leniently(property, None).ok_or(Fault::NoDate("DTSTART"))?;
    if !sound {
        flaws.note(property.line, true, "its DTSTART goes on after the date, and the rest was passed over");
    }
    let Some(property) = id else { return Ok((start, None)) };
    match placing.strictly(&property.value, property, Some(&start)) {
        Some(id) => Ok((start, Some(id))),
        // Which occurrence it changes is not known. What it says of itself stands, but for that nothing takes place.
        None if draft
            .get("STATUS")
            .is_some_and(|status| status.value.trim().to_ascii_uppercase().starts_with("CANCEL")) =>
        {
            Err(Fault::NoDate("RECURRENCE-ID"))
        }
        None => {
            flaws.note(property.line, true, "its RECURRENCE-ID can't be read, so it counts beside its series");
            Ok((start.clone(), Some(start)))
        }
    }
}

/// How long an event lasts by what it says of its end; none where it ends when it starts. Where an end is stated and
/// can't be believed, the night of the start.
fn length_of(
    draft: &Draft,
    start: &Point,
    days: &Days,
    cx: &ReadContext<'_>,
    placing: &mut Placing<'_, '_, '_>,
    flaws: &mut Flaws,
) -> Option<Length> {
    const NIGHT: &str = "so only the night of its start is blocked";
    let end = draft.get("DTEND").map(|property| (property, placing.leniently(property, Some(start))));
    let duration = draft.get("DURATION").map(|property| (property, parse_duration(&property.value)));
    if let Some((property, Some((_, false)))) = &end {
        flaws.note(property.line, true, "its DTEND goes on after the date, and the rest was passed over");
    }
    let (property, stated) = match (&end, &duration) {
        (Some((property, Some((end, _)))), _) => (*property, End::At(end)),
        (end, Some((property, Some(duration)))) => {
            if let Some((property, None)) = end {
                flaws.note(property.line, true, "its DTEND can't be read, so its DURATION counts");
            }
            (*property, End::After(*duration))
        }
        (Some((property, None)), _) | (None, Some((property, None))) => {
            let name = &property.name;
            flaws.note(property.line, true, format!("its {name} can't be read, {NIGHT}"));
            return Some(night_of(start, cx));
        }
        (None, None) => return length(start, None, days, cx).unwrap_or_default(),
    };
    if let (Some(_), Some((property, None))) = (&end, &duration) {
        flaws.note(property.line, false, "its DURATION can't be read, so its DTEND counts");
    }
    length(start, Some(stated), days, cx).unwrap_or_else(|EndsBeforeStart| {
        flaws.note(property.line, true, format!("its {} is before its start, {NIGHT}", property.name));
        Some(night_of(start, cx))
    })
}

/// The night of a start: that of its date at the property, and the one before where that is not over yet.
fn night_of(start: &Point, cx: &ReadContext<'_>) -> Length {
    const MORNING: Time = Time::constant(10, 0, 0, 0);
    let Some(instant) = start.instant() else { return Length::Nights(1) };
    let next = days_later(cx.zone.to_datetime(instant), 1).date();
    let morning = Clock::Zone(cx.zone.clone()).instant(next.to_datetime(MORNING));
    Length::Exact(instant.duration_until(morning).max(SignedDuration::from_hours(1)))
}

/// Dates that are added to a series.
fn more_dates(
    draft: &Draft,
    start: &Point,
    days: &Days,
    cx: &ReadContext<'_>,
    placing: &mut Placing<'_, '_, '_>,
    flaws: &mut Flaws,
) -> Vec<(Point, Option<Length>)> {
    let mut more = Vec::new();
    for property in draft.all("RDATE") {
        for value in values(property) {
            if more.len() >= MAX_MORE {
                flaws.note(property.line, true, format!("it has more than {MAX_MORE} dates by RDATE"));
                return more;
            }
            let (from, to) = value.split_once('/').map_or((value, None), |(from, to)| (from, Some(to)));
            let Some(from) = placing.strictly(from, property, Some(start)) else {
                flaws.note(property.line, true, "a date of its RDATE can't be read, and was passed over");
                continue;
            };
            let from = match start {
                Point::Day(_) => Point::Day(from.day(days)),
                Point::At { .. } => from,
            };
            let own = to.map(|to| {
                let end = match parse_duration(to) {
                    Some(duration) => length(&from, Some(End::After(duration)), days, cx),
                    None => match placing.strictly(to, property, Some(&from)) {
                        Some(to) => length(&from, Some(End::At(&to)), days, cx),
                        None => Err(EndsBeforeStart),
                    },
                };
                // A period that ends when it starts says no more than a date does.
                end.unwrap_or_else(|EndsBeforeStart| {
                    flaws.note(property.line, true, "the end of a period of its RDATE can't be read");
                    Some(night_of(&from, cx))
                })
            });
            more.push((from, own.flatten()));
        }
    }
    more
}

/// Dates that are taken from a series. One that can't be read, or whose day is open, leaves the night blocked, which
/// is seen and mended.
fn except_dates(
    draft: &Draft,
    start: &Point,
    days: &Days,
    placing: &mut Placing<'_, '_, '_>,
    flaws: &mut Flaws,
) -> Vec<Point> {
    let mut except = Vec::new();
    for property in draft.all("EXDATE") {
        for value in values(property) {
            match placing.strictly(value, property, Some(start)) {
                _ if except.len() >= MAX_EXCEPT => {
                    flaws.note(property.line, false, "it has too many exceptions by EXDATE");
                    return except;
                }
                Some(point) if matches!(start, Point::Day(_)) && point.day_is_open(days) => {
                    flaws.note(property.line, false, "of its EXDATE it is not certain which day is meant");
                }
                Some(point) => except.push(point),
                None => flaws.note(property.line, false, "an exception by EXDATE can't be read, and was passed over"),
            }
        }
    }
    except
}

/// The rules of a name, as far as they are understood; `adds` is whether they add occurrences.
fn rules_of<'d>(properties: impl Iterator<Item = &'d Property>, adds: bool, flaws: &mut Flaws) -> Vec<(u32, Rule)> {
    let mut rules = Vec::new();
    for property in properties {
        let (line, name) = (property.line, &property.name);
        match Rule::parse(&property.value) {
            // An exception that is not understood as a whole takes nothing away.
            Ok(rule) if !adds && (rule.passed_over != PassedOver::Nothing || rule.is_finer_than_days()) => {
                flaws.note(line, false, format!("a part of its {name} is not understood, so it takes nothing away"));
            }
            Ok(rule) => {
                if rule.passed_over != PassedOver::Nothing {
                    let may_lose = rule.passed_over == PassedOver::Parts;
                    flaws.note(line, may_lose, format!("a part of its {name} is not understood, and was passed over"));
                }
                if rules.len() < MAX_RULES {
                    rules.push((line, rule));
                } else {
                    flaws.note(line, adds, format!("it has more than {MAX_RULES} of {name}"));
                }
            }
            Err(refusal) => flaws.note(line, adds, format!("its {name} was passed over: {refusal}")),
        }
    }
    rules
}

/// An end, as it is stated.
#[derive(Clone, Copy)]
enum End<'p> {
    At(&'p Point),
    After(Duration),
}

/// What is stated can't be meant.
struct EndsBeforeStart;

/// How long an event lasts that starts and ends so; none where it ends when it starts.
fn length(
    start: &Point,
    end: Option<End<'_>>,
    days: &Days,
    cx: &ReadContext<'_>,
) -> Result<Option<Length>, EndsBeforeStart> {
    let nights = |nights: i64| if nights < 0 { Err(EndsBeforeStart) } else { Ok(Some(Length::Nights(nights.max(1)))) };
    match (start, end) {
        (Point::Day(_), None) => nights(1),
        (Point::Day(first), Some(End::At(end))) => {
            // `T235959` on the last day means the whole of it.
            let whole = end.last_minute_of(days);
            let mut last = whole.unwrap_or_else(|| end.day(days));
            if whole.is_some() || (cx.end_is_last_night && last >= *first) {
                last = last.tomorrow().unwrap_or(last);
            }
            nights(i64::from((last - *first).get_days()))
        }
        (Point::Day(_), Some(End::After(duration))) => nights(duration.days_begun()),
        (Point::At { .. }, None) => Ok(None),
        (Point::At { local, clock }, Some(End::At(end))) => {
            let from = clock.instant(*local);
            let to = match end {
                // A departure day after a start with a time: its night is free.
                Point::Day(day) if clock.is_utc() => {
                    Clock::Zone(cx.zone.clone()).instant(day.to_datetime(Time::midnight()))
                }
                Point::Day(day) => clock.instant(day.to_datetime(Time::midnight())),
                Point::At { local, clock } => clock.instant(*local),
            };
            match from.duration_until(to) {
                // A day on which the start lies already is no end of it.
                exact if exact.is_negative() || (exact.is_zero() && matches!(end, Point::Day(_))) => {
                    Err(EndsBeforeStart)
                }
                exact => Ok(Some(Length::Exact(exact)).filter(|_| !exact.is_zero())),
            }
        }
        (Point::At { .. }, Some(End::After(duration))) => match duration.seconds() {
            0 => Ok(None),
            seconds if seconds < 0 => Err(EndsBeforeStart),
            _ => Ok(Some(Length::Nominal(duration))),
        },
    }
}
