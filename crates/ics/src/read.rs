//! Reading a feed: what it says within a horizon, and what could not be taken as it stands.

use std::{collections::HashMap, rc::Rc};

use calmesh_calendar::{BusyStatus, EventStatus, Extent, FeedReading, Lines, Nights, ReadWarning, Times};
use jiff::{
    SignedDuration, Span, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    lines::{Line, decode},
    moment::{Moment, parse_duration, parse_offset},
    outline::{Kind, Outline, Role},
    property::{self, Property},
    recur::{IcalRs, Recurrence, Rule},
    refusal::{Excess, Refusal},
    series,
    zones::{Clock, DefinedZone, Onset, named},
};

/// What a reading depends on beside the body.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// The property's zone: dates and floating times are local to it.
    pub zone: &'a TimeZone,
    /// Occurrences outside of it are read but not listed.
    pub horizon: Horizon,
    pub limits: Limits,
    /// DTEND of all-day events is the last night, not the departure day, as some sites write it.
    pub end_is_last_night: bool,
}

/// The time that is of interest, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Horizon {
    /// From 30 days back to 760 days ahead: feeds reach a year or two.
    #[must_use]
    pub fn around(now: Timestamp) -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self {
            from: now.checked_sub(days(30)).unwrap_or(Timestamp::MIN),
            until: now.checked_add(days(760)).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Sizes beyond which a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the body.
    pub bytes: usize,
    /// VEVENTs.
    pub events: usize,
    /// Listed occurrences of all events together.
    pub occurrences: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 * 1024 * 1024, events: 10_000, occurrences: 20_000 }
    }
}

/// Reads a body. Never panics, and what it costs is bounded by the limits whatever the body says.
///
/// # Errors
/// When the body is not believed as a whole; one event that can't be read is a warning of the reading.
pub fn read(body: &[u8], cx: &ReadContext<'_>) -> Result<FeedReading, Refusal> {
    if body.len() > cx.limits.bytes {
        return Err(Refusal::TooLarge { what: Excess::Bytes, limit: cx.limits.bytes as u64 });
    }
    let body = decode(body);
    let text = FeedText::of(&body, &cx.limits)?;
    let mut reading = FeedReading {
        name: text.name.clone(),
        prodid: text.prodid.clone(),
        events_in_text: text.events_in_text,
        warnings: text.warnings,
        ..FeedReading::default()
    };
    let drafts: Vec<Draft> = text.events.into_iter().map(Draft::of).collect();
    let events = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
    let whole_days = means_whole_days(&drafts);
    let mut zones = Zones::new(cx, text.zones, text.hints);
    let mut entries = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let lines = draft.lines;
        let uid = draft.uid();
        match Entry::of(draft, whole_days, cx, &mut zones, &mut reading.warnings) {
            Ok(entry) => entries.push(entry),
            Err(fault) => reading.warnings.push(fault.warning(lines, uid)),
        }
    }
    reading.recurs = entries.iter().any(Entry::recurs);
    let listed = series::list(&entries, cx, &mut zones, &mut reading.warnings)?;
    let unread = reading.warnings.iter().filter(|warning| warning.unread).count();
    reading.events_read = events.saturating_sub(u32::try_from(unread).unwrap_or(u32::MAX));
    reading.events = listed;
    if whole_days {
        reading.warnings.push(feed_warning(
            "Every event runs from midnight to midnight, so all are read as whole days.".to_owned(),
        ));
    }
    if reading.events_read != reading.events_in_text {
        let (read, all) = (reading.events_read, reading.events_in_text);
        reading.warnings.push(feed_warning(format!("Only {read} of {all} events could be read.")));
    }
    reading.warnings.sort_by_key(|warning| warning.line.unwrap_or(0));
    Ok(reading)
}

/// Refuses what [`read`] would refuse by its form alone: what is no calendar, is cut off, or is beyond the limits of
/// size. Reads no event, so it costs little more than a look at every line.
///
/// # Errors
/// When the body is not believed as a whole.
pub fn accept(body: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if body.len() > limits.bytes {
        return Err(Refusal::TooLarge { what: Excess::Bytes, limit: limits.bytes as u64 });
    }
    FeedText::of(&decode(body), limits).map(drop)
}

fn feed_warning(detail: String) -> ReadWarning {
    ReadWarning { line: None, uid: None, detail, unread: false }
}

/// Properties of all events and zones of a body together, of those that reading asks for; lines of a few bytes would otherwise
/// take many times their size.
const MAX_PROPERTIES: u64 = 300_000;

/// Octets of a UID beyond which it is none: every occurrence carries it.
const MAX_UID: usize = 1_000;
/// Characters of a summary and of a description that are kept: every occurrence carries them.
const MAX_SUMMARY: usize = 1_000;
const MAX_DESCRIPTION: usize = 4_000;
/// Dates added to one event, and dates taken away from it.
const MAX_MORE: usize = 5_000;
const MAX_EXCEPT: usize = 20_000;
/// VTIMEZONEs of a body that are looked at.
const MAX_ZONES: usize = 100;

/// What became of the lines of a body.
struct FeedText<'a> {
    name: Option<String>,
    prodid: Option<String>,
    /// X-WR-TIMEZONE of each calendar of the body.
    hints: Vec<Option<String>>,
    zones: Vec<ZoneText>,
    events: Vec<EventText<'a>>,
    events_in_text: u32,
    warnings: Vec<ReadWarning>,
}

/// The lines of one VEVENT that reading asks for, without those of components inside it.
struct EventText<'a> {
    lines: Lines,
    /// Which calendar of the body it stands in, from 0.
    calendar: usize,
    properties: Vec<Line<'a>>,
}

/// A VTIMEZONE.
#[derive(Default)]
struct ZoneText {
    tzid: Option<String>,
    /// The properties of each STANDARD and DAYLIGHT.
    observances: Vec<Vec<Property>>,
}

impl<'a> FeedText<'a> {
    fn of(body: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut outline = Outline::new(body);
        let mut text = Self {
            name: None,
            prodid: None,
            hints: Vec::new(),
            zones: Vec::new(),
            events: Vec::new(),
            events_in_text: 0,
            warnings: Vec::new(),
        };
        let mut event: Option<EventText<'a>> = None;
        let mut zone: Option<ZoneText> = None;
        let mut outside: Option<u32> = None;
        let mut strays = 0_u32;
        let mut first_stray = None;
        let mut properties = 0;
        while let Some((line, role)) = outline.next()? {
            match role {
                Role::Begin(Kind::Calendar) => text.hints.push(None),
                Role::Begin(Kind::Event) => {
                    if text.events.len() >= limits.events {
                        return Err(Refusal::TooLarge { what: Excess::Events, limit: limits.events as u64 });
                    }
                    event = Some(EventText {
                        lines: Lines { first: line.number, last: line.number },
                        calendar: text.hints.len().saturating_sub(1),
                        properties: Vec::new(),
                    });
                }
                Role::End { kind: Kind::Event, .. } => {
                    if let Some(mut event) = event.take() {
                        event.lines.last = line.number;
                        text.events.push(event);
                    }
                }
                // What stands inside an event defines nothing, or the order of events would matter.
                Role::Begin(Kind::Zone) if event.is_none() => zone = Some(ZoneText::default()),
                Role::Begin(Kind::Standard | Kind::Daylight) if event.is_none() => {
                    if let Some(zone) = &mut zone {
                        zone.observances.push(Vec::new());
                    }
                }
                // A calendar's end closes a zone that was left open.
                Role::End { kind: Kind::Zone | Kind::Calendar, .. } => {
                    text.zones.extend(zone.take().filter(|_| text.zones.len() < MAX_ZONES));
                }
                Role::Property if zone.is_some() && event.is_none() => {
                    properties += 1;
                    if let (Some(zone), Some(property)) = (&mut zone, property::of_frame(&line)) {
                        match (outline.inside(), zone.observances.last_mut()) {
                            (Some(Kind::Zone), _) if property.name == "TZID" => zone.tzid = Some(property.value),
                            (Some(Kind::Standard | Kind::Daylight), Some(observance)) => observance.push(property),
                            _ => {}
                        }
                    }
                }
                Role::Property => match outline.inside() {
                    Some(Kind::Event) if property::is_asked_for(&line.bytes) => {
                        properties += 1;
                        if let Some(event) = &mut event {
                            event.properties.push(line);
                        }
                    }
                    _ if event.is_some() => {}
                    Some(Kind::Calendar) => text.note_of_calendar(&line),
                    _ => {}
                },
                Role::Stray => {
                    strays = strays.saturating_add(1);
                    first_stray = first_stray.or(Some(line.number));
                }
                Role::Outside => outside = outside.or(Some(line.number)),
                Role::Begin(_) | Role::End { .. } => {}
            }
            if properties > MAX_PROPERTIES {
                return Err(Refusal::TooLarge { what: Excess::Properties, limit: MAX_PROPERTIES });
            }
        }
        text.events_in_text = outline.events_in_text();
        if let Some(line) = outside {
            let detail = "There is text outside of the calendar; it was passed over.".to_owned();
            text.warnings.push(ReadWarning { line: Some(line), uid: None, detail, unread: false });
        }
        if let Some(line) = first_stray {
            let detail =
                format!("{strays} lines are no part of any entry and were passed over, the first at line {line}.");
            text.warnings.push(ReadWarning { line: Some(line), uid: None, detail, unread: false });
        }
        Ok(text)
    }

    fn note_of_calendar(&mut self, line: &Line<'_>) {
        let Some(property) = property::of_frame(line) else { return };
        let value = Some(property.value).filter(|value| !value.is_empty());
        match property.name.as_str() {
            "X-WR-CALNAME" => self.name = self.name.take().or(value),
            "PRODID" => self.prodid = self.prodid.take().or(value),
            "X-WR-TIMEZONE" => {
                if let Some(hint) = self.hints.last_mut() {
                    *hint = hint.take().or(value);
                }
            }
            _ => {}
        }
    }
}

/// One VEVENT with its properties, before any date is placed in a zone.
struct Draft {
    lines: Lines,
    calendar: usize,
    properties: Vec<Property>,
}

impl Draft {
    fn of(text: EventText<'_>) -> Self {
        Self { lines: text.lines, calendar: text.calendar, properties: property::of_event(&text.properties) }
    }

    /// The first of that name; where a property stands twice, the rest is passed over.
    fn get(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    fn all<'d>(&'d self, name: &'d str) -> impl Iterator<Item = &'d Property> {
        self.properties.iter().filter(move |property| property.name == name)
    }

    fn uid(&self) -> Option<String> {
        let uid = self.get("UID").map(|property| property.value.trim())?;
        (!uid.is_empty() && uid.len() <= MAX_UID).then(|| uid.to_owned())
    }
}

/// Whether every event of a feed runs from midnight to midnight on its own clock: so some sites (natuurhuisje.nl)
/// write dates.
fn means_whole_days(drafts: &[Draft]) -> bool {
    let is_midnight = |draft: &Draft, name| {
        draft
            .get(name)
            .and_then(|property| Moment::parse(&property.value, property.parameters.date))
            .is_some_and(Moment::is_midnight)
    };
    !drafts.is_empty() && drafts.iter().all(|draft| is_midnight(draft, "DTSTART") && is_midnight(draft, "DTEND"))
}

/// Why an event is not read. Displays as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it has no start")]
    NoStart,
    #[error("its {0} is not a date that exists")]
    NoDate(&'static str),
    #[error("its DURATION is not one of RFC 5545")]
    NoDuration,
    #[error("it ends before it starts")]
    EndsBeforeStart,
    #[error("it has no length: it ends when it starts, so it blocks nothing")]
    NoLength,
    #[error("it lies beyond the years that can be reckoned with")]
    OutOfReach,
    #[error("{0}")]
    Rule(#[from] crate::recur::RuleRefusal),
    #[error("it has more than {0} occurrences")]
    TooManyInstances(usize),
}

impl Fault {
    pub(crate) fn warning(&self, lines: Lines, uid: Option<String>) -> ReadWarning {
        let detail = format!("The event at line {} was not read: {self}.", lines.first);
        ReadWarning { line: Some(lines.first), uid, detail, unread: true }
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
            Self::At { local, clock } => clock.instant(*local),
        }
    }

    /// The day that this means for an event that is given in days: a day, the date on its own clock, or for an
    /// instant the date at the property; `T000000Z` means the date as it is written.
    pub(crate) fn day(&self, property: &TimeZone) -> Date {
        match self {
            Self::Day(day) => *day,
            Self::At { local, clock } if clock.is_utc() && local.time() != Time::midnight() => {
                clock.instant(*local).map_or(local.date(), |instant| property.to_datetime(instant).date())
            }
            Self::At { local, .. } => local.date(),
        }
    }
}

/// How long an event lasts, from whatever start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// Nights, at least one.
    Nights(i64),
    /// By DTEND: exactly this long in every occurrence (RFC 5545 3.8.5.3), more than nothing.
    Exact(SignedDuration),
    /// By DURATION: days on the wall clock, then exact time.
    Nominal { days: i64, time: SignedDuration },
}

/// One VEVENT, understood.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) lines: Lines,
    pub(crate) uid: Option<String>,
    pub(crate) start: Point,
    pub(crate) length: Length,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) status: Option<EventStatus>,
    pub(crate) transparent: Option<bool>,
    pub(crate) busy_status: Option<BusyStatus>,
    pub(crate) sequence: u64,
    pub(crate) recurrence_id: Option<Point>,
    pub(crate) this_and_future: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) exception_rules: Vec<Rule>,
    /// With a length of its own where it was written as a PERIOD.
    pub(crate) more: Vec<(Point, Option<Length>)>,
    pub(crate) except: Vec<Point>,
}

impl Entry {
    pub(crate) fn recurs(&self) -> bool {
        !self.rules.is_empty() || !self.more.is_empty()
    }

    fn of(
        draft: Draft,
        whole_days: bool,
        cx: &ReadContext<'_>,
        zones: &mut Zones<'_>,
        warnings: &mut Vec<ReadWarning>,
    ) -> Result<Self, Fault> {
        let uid = draft.uid();
        let calendar = draft.calendar;
        let mut place = |property: &Property, text: &str, name: &'static str| -> Result<Point, Fault> {
            let moment = Moment::parse(text, property.parameters.date || whole_days).ok_or(Fault::NoDate(name))?;
            Ok(zones.place(moment, property, calendar, warnings))
        };
        let of = |place: &mut dyn FnMut(&Property, &str, &'static str) -> Result<Point, Fault>, name: &'static str| {
            draft.get(name).map(|property| place(property, &property.value, name)).transpose()
        };
        let recurrence_id = of(&mut place, "RECURRENCE-ID")?;
        let start = of(&mut place, "DTSTART")?.or_else(|| recurrence_id.clone()).ok_or(Fault::NoStart)?;
        let end = of(&mut place, "DTEND")?;
        let duration = match draft.get("DURATION") {
            Some(property) => Some(parse_duration(&property.value).ok_or(Fault::NoDuration)?),
            None => None,
        };
        let length = length(&start, end.as_ref(), duration, cx)?;
        let mut more = Vec::new();
        for property in draft.all("RDATE") {
            for value in property.value.split(',').map(str::trim).filter(|value| !value.is_empty()) {
                let (from, to) = value.split_once('/').map_or((value, None), |(from, to)| (from, Some(to)));
                let from = match (&start, place(property, from, "RDATE")?) {
                    (Point::Day(_), from) => Point::Day(from.day(cx.zone)),
                    (_, from) => from,
                };
                let own = match to {
                    None => None,
                    Some(to) => Some(match parse_duration(to) {
                        Some(span) => self::length(&from, None, Some(span), cx)?,
                        None => self::length(&from, Some(&place(property, to, "RDATE")?), None, cx)?,
                    }),
                };
                more.push((from, own));
                if more.len() > MAX_MORE {
                    return Err(Fault::TooManyInstances(MAX_MORE));
                }
            }
        }
        let mut except = Vec::new();
        let mut faults = Vec::new();
        for property in draft.all("EXDATE") {
            for value in property.value.split(',').map(str::trim).filter(|value| !value.is_empty()) {
                // Without an exception the event blocks more, which is seen and mended. One warning is enough.
                match place(property, value, "EXDATE") {
                    Ok(point) if except.len() < MAX_EXCEPT => except.push(point),
                    Ok(_) if faults.is_empty() => faults.push((property.line, "there are too many".to_owned())),
                    Err(fault) if faults.is_empty() => faults.push((property.line, fault.to_string())),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        let filled = |property: &&Property| !property.value.trim().is_empty();
        let rules =
            draft.all("RRULE").filter(filled).map(|property| Rule::parse(&property.value)).collect::<Result<_, _>>()?;
        let mut exception_rules = Vec::new();
        for property in draft.all("EXRULE").filter(filled) {
            match Rule::parse(&property.value) {
                Ok(rule) => exception_rules.push(rule),
                Err(refusal) => faults.push((property.line, refusal.to_string())),
            }
        }
        for (line, fault) in faults.into_iter().take(2) {
            let detail = format!("An exception of the event at line {} was passed over: {fault}.", draft.lines.first);
            warnings.push(ReadWarning { line: Some(line), uid: uid.clone(), detail, unread: false });
        }
        let word = |name: &str| draft.get(name).map(|property| property.value.trim().to_ascii_uppercase());
        let text = |name: &str, most: usize| {
            let text = draft.get(name).map(|property| property.value.trim()).unwrap_or_default();
            if text.len() <= most { text.to_owned() } else { text.chars().take(most).collect() }
        };
        Ok(Self {
            lines: draft.lines,
            start,
            length,
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
                let first = civil.date();
                Nights::new(first, first.checked_add(Span::new().try_days(nights).ok()?).ok()?).ok().map(Extent::Nights)
            }
            (Point::Day(_), _) => None,
            (Point::At { clock, .. }, Length::Exact(exact)) => {
                let start = clock.instant(civil)?;
                Times::new(start, start.checked_add(exact).ok()?).ok().map(Extent::Times)
            }
            (Point::At { clock, .. }, Length::Nominal { days, time }) => {
                let start = clock.instant(civil)?;
                let end =
                    clock.instant(civil.checked_add(Span::new().try_days(days).ok()?).ok()?)?.checked_add(time).ok()?;
                Times::new(start, end).ok().map(Extent::Times)
            }
        }
    }
}

/// How long an event lasts that starts and ends so.
fn length(start: &Point, end: Option<&Point>, duration: Option<Span>, cx: &ReadContext<'_>) -> Result<Length, Fault> {
    match (start, end, duration) {
        (Point::Day(first), Some(end), _) => {
            let mut last = end.day(cx.zone);
            // `T235959` on the last day means the whole of it.
            let runs_out = matches!(end, Point::At { local, .. } if local.hour() == 23 && local.minute() == 59);
            if runs_out || (cx.end_is_last_night && last >= *first) {
                last = last.tomorrow().map_err(|_| Fault::OutOfReach)?;
            }
            match i64::from((last - *first).get_days()) {
                days if days < 0 => Err(Fault::EndsBeforeStart),
                days => Ok(Length::Nights(days.max(1))),
            }
        }
        (Point::Day(_), None, Some(span)) => {
            let (days, time) = parts(span);
            let days = days + time.as_secs().div_euclid(86_400) + i64::from(time.as_secs().rem_euclid(86_400) > 0);
            if days < 0 { Err(Fault::EndsBeforeStart) } else { Ok(Length::Nights(days.max(1))) }
        }
        (Point::Day(_), None, None) => Ok(Length::Nights(1)),
        (Point::At { .. }, Some(end), _) => {
            let from = start.instant().ok_or(Fault::OutOfReach)?;
            let to = match end {
                // A departure day after a start with a time: its night is free.
                Point::Day(day) => cx.zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight())).compatible().ok(),
                end => end.instant(),
            };
            let exact = from.duration_until(to.ok_or(Fault::OutOfReach)?);
            match exact {
                exact if exact.is_zero() => Err(Fault::NoLength),
                exact if exact.is_negative() => Err(Fault::EndsBeforeStart),
                exact => Ok(Length::Exact(exact)),
            }
        }
        (Point::At { .. }, None, Some(span)) => {
            let (days, time) = parts(span);
            match days.saturating_mul(86_400).saturating_add(time.as_secs()) {
                0 => Err(Fault::NoLength),
                seconds if seconds < 0 => Err(Fault::EndsBeforeStart),
                _ => Ok(Length::Nominal { days, time }),
            }
        }
        (Point::At { .. }, None, None) => Err(Fault::NoLength),
    }
}

/// Whole days of a span without months and years, and the time beyond them.
fn parts(span: Span) -> (i64, SignedDuration) {
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let seconds = i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds();
    (days, SignedDuration::from_secs(seconds))
}

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
    fn new(cx: &ReadContext<'c>, defined: Vec<ZoneText>, hints: Vec<Option<String>>) -> Self {
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

    fn place(
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
                match property.name.as_str() {
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
