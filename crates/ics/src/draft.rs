//! One entry's properties, and which counts where a property says several things.
//!
//! Of two statements that contradict each other the one that blocks counts: what can be read beats what can't, what
//! takes place beats what is cancelled, the longer stay beats the shorter.

use std::{cmp::Reverse, fmt::Write};

use calmesh_calendar::{Lines, ReadWarning};
use jiff::{
    civil::{DateTime, Time},
    tz::Offset,
};

use crate::{
    feed_text::{EventText, Said},
    moment::{Moment, parse_duration},
    property::{self, BusyType, Parameters, Property},
};

/// Octets of a UID beyond which it is none: every occurrence carries it.
const MAX_UID: usize = 1_000;

/// Properties that have one value, and whose values contradict each other where there are several. The first of
/// several texts counts without a word.
const SINGLE: [&str; 10] = [
    "UID",
    "RECURRENCE-ID",
    "DTSTART",
    "DTEND",
    "DURATION",
    "STATUS",
    "TRANSP",
    "SEQUENCE",
    "X-MICROSOFT-CDO-BUSYSTATUS",
    "X-MICROSOFT-CDO-ALLDAYEVENT",
];

/// Properties that may free a night, so that a line that looks like text is never taken for one.
const FREEING: [&str; 7] =
    ["STATUS", "TRANSP", "SEQUENCE", "EXDATE", "EXRULE", "RECURRENCE-ID", "X-MICROSOFT-CDO-BUSYSTATUS"];

/// One entry with its properties, before any date is placed in a zone.
pub(crate) struct Draft {
    pub(crate) lines: Lines,
    /// Which calendar of the body it stands in, from 0.
    pub(crate) calendar: usize,
    properties: Vec<Property>,
}

impl Draft {
    pub(crate) fn of(text: EventText<'_>) -> Self {
        let properties = match text.said {
            Said::Event { properties, shouts } => property::of_event(&properties, shouts),
            Said::Busy(period) => of_period(&period),
        };
        Self { lines: text.lines, calendar: text.calendar, properties }
    }

    /// The property of that name that counts.
    pub(crate) fn get(&self, name: &str) -> Option<&Property> {
        let mut all = self.properties.iter().filter(|property| property.name == name && !is_only_text(property));
        let first = all.next()?;
        // The first of equals.
        Some(all.fold(first, |best, other| if weight(other) > weight(best) { other } else { best }))
    }

    /// All properties of that name, in the order of the text.
    pub(crate) fn all<'d>(&'d self, name: &'d str) -> impl Iterator<Item = &'d Property> {
        self.properties.iter().filter(move |property| property.name == name && !is_only_text(property))
    }

    pub(crate) fn uid(&self) -> Option<String> {
        let uid = self.get("UID").map(|property| property.value.trim())?;
        is_uid(uid).then(|| uid.to_owned())
    }

    /// The line of a property with too many parameters.
    pub(crate) fn excess(&self) -> Option<u32> {
        self.properties.iter().find(|property| property.parameters.excess).map(|property| property.line)
    }

    /// Whether [`Self::doubts`] may have something to say; it seldom has.
    pub(crate) fn may_be_doubtful(&self) -> bool {
        let mut seen = [false; SINGLE.len()];
        self.properties.iter().any(|property| {
            let place = SINGLE.iter().position(|name| *name == property.name);
            let again = place.and_then(|place| seen.get_mut(place)).is_some_and(|seen| std::mem::replace(seen, true));
            again || is_only_text(property)
        })
    }

    /// What of this entry was not taken at its word: contradictions, each with its line and the name of its property,
    /// and lines that look like text. One warning an entry.
    pub(crate) fn doubts(&self) -> Option<ReadWarning> {
        let mut detail = String::new();
        let mut line = None;
        for name in SINGLE {
            let mut of_name = self.properties.iter().filter(|property| property.name == name);
            let Some(first) = of_name.next() else { continue };
            let said = |property: &Property| property.value.trim().to_ascii_uppercase();
            let Some(other) = of_name.find(|other| said(other) != said(first)) else { continue };
            let Some(counts) = self.get(name) else { continue };
            let passed = if counts.line == first.line { other } else { first };
            line = line.or(Some(passed.line));
            _ = write!(
                detail,
                " It says several things as {name}: line {} counts, line {} does not.",
                counts.line, passed.line
            );
        }
        for property in self.properties.iter().filter(|property| is_only_text(property)) {
            if self.get(property.name).is_none() {
                line = line.or(Some(property.line));
                _ = write!(
                    detail,
                    " Line {} looks like a line of a text, and was not read as its {}.",
                    property.line, property.name
                );
                break;
            }
        }
        let line = line?;
        let detail = format!("The event at line {} can be read in several ways.{detail}", self.lines.first);
        Some(ReadWarning { line: Some(line), uid: self.uid(), detail, unread: false })
    }
}

/// Whether a property is none, but a line of a text that was broken: it looks like one, and could only free a night or
/// say nothing.
fn is_only_text(property: &Property) -> bool {
    property.prose && (FREEING.contains(&property.name) || !weight(property).0)
}

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_UID
}

/// How much a value counts beside others of its name: whether it can be read, whether it is no piece of a text, and
/// then how much it blocks.
fn weight(property: &Property) -> (bool, bool, Blocking) {
    let value = property.value.trim();
    let word = |words: &[(&str, i64)]| {
        let rank = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, rank)| *rank);
        rank.map(Blocking::Rank)
    };
    let moment = || Moment::parse(value, property.parameters.date).map(civil);
    let blocking = match property.name {
        "DTSTART" => moment().map(|at| Blocking::Early(Reverse(at))),
        "DTEND" => moment().map(Blocking::Late),
        "RECURRENCE-ID" => moment().map(|_| Blocking::Rank(0)),
        "DURATION" => parse_duration(value).map(|duration| Blocking::Rank(duration.seconds())),
        "STATUS" => word(&[("CONFIRMED", 2), ("TENTATIVE", 1), ("CANCELLED", 0), ("CANCELED", 0)]),
        "TRANSP" => word(&[("OPAQUE", 1), ("TRANSPARENT", 0)]),
        "X-MICROSOFT-CDO-BUSYSTATUS" => {
            word(&[("BUSY", 4), ("OOF", 3), ("TENTATIVE", 2), ("WORKINGELSEWHERE", 1), ("FREE", 0)])
        }
        // Whole days are longer.
        "X-MICROSOFT-CDO-ALLDAYEVENT" => word(&[("TRUE", 1), ("FALSE", 0)]),
        "SEQUENCE" => value.parse::<u32>().ok().map(|number| Blocking::Rank(i64::from(number))),
        // A sentence is seldom a name.
        "UID" => is_uid(value).then(|| Blocking::Rank(i64::from(!value.contains(char::is_whitespace)))),
        _ => (!value.is_empty()).then_some(Blocking::Rank(0)),
    };
    (blocking.is_some(), !property.prose, blocking.unwrap_or(Blocking::Rank(0)))
}

/// The greater blocks more. Only values of one property are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blocking {
    Rank(i64),
    Early(Reverse<DateTime>),
    Late(DateTime),
}

/// Near enough to compare two values of one event.
fn civil(moment: Moment) -> DateTime {
    match moment {
        Moment::Day(day) => day.to_datetime(Time::midnight()),
        Moment::Local(local) => local,
        Moment::Instant(instant) => Offset::UTC.to_datetime(instant),
    }
}

/// A busy time as an event would say it. It has no UID: a period is known by its times alone, since those who write it
/// join what touches, and renew the UID of the whole at every answer (RFC 5545 3.6.4).
fn of_period(period: &Property) -> Vec<Property> {
    let part = |name, value: &str| Property {
        line: period.line,
        name,
        value: value.trim().to_owned(),
        parameters: Parameters { date: false, ..period.parameters.clone() },
        prose: false,
    };
    let (start, end) = period.value.split_once('/').unwrap_or((&period.value, ""));
    let is_length = end.trim_start().trim_start_matches(['+', '-']).starts_with(['P', 'p']);
    let tentative = period.parameters.busy == BusyType::Tentative;
    vec![
        part("DTSTART", start),
        part(if is_length { "DURATION" } else { "DTEND" }, end),
        part("STATUS", if tentative { "TENTATIVE" } else { "CONFIRMED" }),
        part("X-MICROSOFT-CDO-BUSYSTATUS", if tentative { "TENTATIVE" } else { "BUSY" }),
    ]
}
