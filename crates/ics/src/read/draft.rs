//! One entry's properties, and which counts where a property says several things.
//!
//! Of two statements that contradict each other the one that blocks counts: what can be read beats what can't, what
//! takes place beats what is cancelled, the longer stay beats the shorter.

use std::{borrow::Cow, cmp::Reverse, fmt::Write};

use calmesh_calendar::{Lines, ReadWarning};
use jiff::{
    civil::{DateTime, Time},
    tz::Offset,
};

use crate::read::{
    feed_text::{EventText, FeedText, Said},
    moment::{Moment, parse_duration},
    name::Name,
    property::{BusyType, Parameters, Property},
};

/// Octets of a UID beyond which it is none: every occurrence carries it.
const MAX_UID: usize = 1_000;

/// Properties that have one value, and whose values contradict each other where there are several. The first of
/// several texts counts without a word.
const SINGLE: [Name; 10] = [
    Name::Uid,
    Name::RecurrenceId,
    Name::DtStart,
    Name::DtEnd,
    Name::Duration,
    Name::Status,
    Name::Transp,
    Name::Sequence,
    Name::BusyStatus,
    Name::AllDayEvent,
];

/// Properties that may free a night, so that a line that looks like text is never taken for one.
const FREEING: [Name; 7] =
    [Name::Status, Name::Transp, Name::Sequence, Name::ExDate, Name::ExRule, Name::RecurrenceId, Name::BusyStatus];

/// One entry with its properties, before any date is placed in a zone.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) lines: Lines,
    /// Which calendar of the body it stands in, from 0.
    pub(crate) calendar: usize,
    properties: Vec<Property<'a>>,
    /// How often it has a property of each name.
    counts: [u16; Name::COUNT],
    /// Some property may be a line of a text.
    has_prose: bool,
}

impl<'a> Draft<'a> {
    /// Takes the next event, in the room of the one before.
    pub(crate) fn take(&mut self, text: &'a FeedText<'_>, event: &EventText) {
        self.lines = event.lines;
        self.calendar = event.calendar;
        self.properties.clear();
        match text.said(event) {
            Said::Event { asked, shouts } => {
                self.properties.extend(asked.iter().map(|asked| Property::of_event(asked.name, &asked.line, shouts)));
            }
            Said::Busy { line, period } => self.properties.extend(of_period(line, period)),
        }
        self.counts = [0; Name::COUNT];
        for property in &self.properties {
            if let Some(count) = self.counts.get_mut(property.name as usize) {
                *count = count.saturating_add(1);
            }
        }
        self.has_prose = self.properties.iter().any(|property| property.prose);
    }

    /// How many properties of that name there are.
    fn count(&self, name: Name) -> u16 {
        self.counts.get(name as usize).copied().unwrap_or(0)
    }

    /// Whether there is any property of that name.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.count(name) > 0
    }

    /// The property of that name that counts.
    pub(crate) fn get(&self, name: Name) -> Option<&Property<'a>> {
        if !self.has(name) {
            return None;
        }
        let mut all = self.all(name);
        let first = all.next()?;
        // The first of equals.
        Some(all.fold(first, |best, other| if weight(other) > weight(best) { other } else { best }))
    }

    /// All properties of that name, in the order of the text.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &Property<'a>> {
        let properties = if self.has(name) { self.properties.as_slice() } else { &[] };
        properties.iter().filter(move |property| property.name == name && !is_only_text(property))
    }

    /// The value of a property of one word.
    pub(crate) fn word(&self, name: Name) -> Option<&str> {
        self.get(name).map(|property| property.value.as_ref())
    }

    pub(crate) fn uid(&self) -> Option<Cow<'a, str>> {
        let uid = self.get(Name::Uid)?.value.clone();
        is_uid(&uid).then_some(uid)
    }

    /// The line of a property with too many parameters.
    pub(crate) fn excess(&self) -> Option<u32> {
        self.properties.iter().find(|property| property.parameters.excess).map(|property| property.line)
    }

    /// Whether [`Self::doubts`] may have something to say; it seldom has.
    pub(crate) fn may_be_doubtful(&self) -> bool {
        SINGLE.into_iter().any(|name| self.count(name) > 1)
            || self.has_prose && self.properties.iter().any(is_only_text)
    }

    /// What of this entry was not taken at its word: contradictions, each with its line and the name of its property,
    /// and lines that look like text. One warning an entry.
    pub(crate) fn doubts(&self) -> Option<ReadWarning> {
        let mut detail = String::new();
        let mut line = None;
        for (passed, counts) in SINGLE.into_iter().filter_map(|name| self.contradiction(name)) {
            line = line.or(Some(passed.line));
            let (name, counts) = (counts.name.text(), counts.line);
            _ = write!(
                detail,
                " It says several things as {name}: line {counts} counts, line {} does not.",
                passed.line
            );
        }
        if let Some(property) = self.passed_over() {
            line = line.or(Some(property.line));
            let (name, at) = (property.name.text(), property.line);
            _ = write!(detail, " Line {at} looks like a line of a text, and was not read as its {name}.");
        }
        let line = line?;
        let detail = format!("The event at line {} can be read in several ways.{detail}", self.lines.first);
        let uid = self.uid().map(Cow::into_owned);
        Some(ReadWarning { line: Some(line), uid, detail, unread: false })
    }

    /// The first property that looks like text, of which the entry has no other.
    fn passed_over(&self) -> Option<&Property<'a>> {
        let mut are_said = [false; Name::COUNT];
        for property in self.properties.iter().filter(|property| !is_only_text(property)) {
            if let Some(is_said) = are_said.get_mut(property.name as usize) {
                *is_said = true;
            }
        }
        self.properties.iter().find(|property| are_said.get(property.name as usize) == Some(&false))
    }

    /// Of several properties of a name that say different things one that does not count, and the one that does.
    fn contradiction(&self, name: Name) -> Option<(&Property<'a>, &Property<'a>)> {
        let mut of_name = self.properties.iter().filter(|property| property.name == name);
        let first = of_name.next()?;
        let other = of_name.find(|other| !other.value.eq_ignore_ascii_case(&first.value))?;
        let counts = self.get(name)?;
        Some((if counts.line == first.line { other } else { first }, counts))
    }
}

/// Whether a property is none, but a line of a text that was broken: it looks like one, and could only free a night or
/// say nothing.
fn is_only_text(property: &Property<'_>) -> bool {
    property.prose && (FREEING.contains(&property.name) || !weight(property).0)
}

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_UID
}

/// How much a value counts beside others of its name: whether it can be read, whether it is no piece of a text, and
/// then how much it blocks.
fn weight(property: &Property<'_>) -> (bool, bool, Blocking) {
    let value = property.value.as_ref();
    let word = |words: &[(&str, i64)]| {
        let rank = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, rank)| *rank);
        rank.map(Blocking::Rank)
    };
    let moment = || Moment::parse(value, property.parameters.date).map(civil);
    let blocking = match property.name {
        Name::DtStart => moment().map(|at| Blocking::Early(Reverse(at))),
        Name::DtEnd => moment().map(Blocking::Late),
        Name::RecurrenceId => moment().map(|_| Blocking::Rank(0)),
        Name::Duration => parse_duration(value).map(|duration| Blocking::Rank(duration.seconds())),
        Name::Status => word(&[("CONFIRMED", 2), ("TENTATIVE", 1), ("CANCELLED", 0), ("CANCELED", 0)]),
        Name::Transp => word(&[("OPAQUE", 1), ("TRANSPARENT", 0)]),
        Name::BusyStatus => word(&[("BUSY", 4), ("OOF", 3), ("TENTATIVE", 2), ("WORKINGELSEWHERE", 1), ("FREE", 0)]),
        // Whole days are longer.
        Name::AllDayEvent => word(&[("TRUE", 1), ("FALSE", 0)]),
        Name::Sequence => value.parse::<u32>().ok().map(|number| Blocking::Rank(i64::from(number))),
        // A sentence is seldom a name.
        Name::Uid => is_uid(value).then(|| Blocking::Rank(i64::from(!value.contains(char::is_whitespace)))),
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
fn of_period<'a>(line: &'a Property<'_>, period: &'a str) -> [Property<'a>; 4] {
    let part = |name, value: &'a str| Property {
        line: line.line,
        name,
        prose: false,
        parameters: Parameters {
            date: false,
            tzid: line.parameters.tzid.as_deref().map(Cow::Borrowed),
            this_and_future: line.parameters.this_and_future,
            busy: line.parameters.busy,
            excess: line.parameters.excess,
        },
        value: Cow::Borrowed(value.trim()),
    };
    let (start, end) = period.split_once('/').unwrap_or((period, ""));
    let is_length = end.trim_start().trim_start_matches(['+', '-']).starts_with(['P', 'p']);
    let tentative = line.parameters.busy == BusyType::Tentative;
    [
        part(Name::DtStart, start),
        part(if is_length { Name::Duration } else { Name::DtEnd }, end),
        part(Name::Status, if tentative { "TENTATIVE" } else { "CONFIRMED" }),
        part(Name::BusyStatus, if tentative { "TENTATIVE" } else { "BUSY" }),
    ]
}
