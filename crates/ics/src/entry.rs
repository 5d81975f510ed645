//! One VEVENT, understood: when it starts, how long it lasts, how it repeats, what it says.

use calmesh_calendar::{BusyStatus, EventStatus, Extent, Lines, Nights, ReadWarning, Times};
use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    draft::Draft,
    moment::{Moment, parse_duration},
    place::Zones,
    property::Property,
    read::ReadContext,
    recur::Rule,
    zones::Clock,
};

/// Characters of a summary and of a description that are kept: every occurrence carries them.
const MAX_SUMMARY: usize = 1_000;
const MAX_DESCRIPTION: usize = 4_000;
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

    pub(crate) fn of(
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
