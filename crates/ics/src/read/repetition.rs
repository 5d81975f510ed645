//! How an event repeats: its rules, the dates that it adds and those that it takes away.

use crate::read::{
    draft::Draft,
    flaws::Flaws,
    length::{EndsBeforeStart, Length, length_of_period, night_of},
    name::Name,
    place::Placing,
    point::Point,
    property::Property,
    recur::{PassedOver, Rule},
};

/// Rules of one event, of each name.
const MAX_RULES: usize = 20;
/// Dates added to one event, and dates taken away from it.
const MAX_MORE: usize = 5_000;
const MAX_EXCEPT: usize = 20_000;

/// How an event repeats, as far as it is understood.
#[derive(Debug, Clone)]
pub(crate) struct Repetition {
    /// Each with its line.
    pub(crate) rules: Vec<(u32, Rule)>,
    pub(crate) exception_rules: Vec<(u32, Rule)>,
    /// With a length of its own where it was written as a PERIOD.
    pub(crate) more: Vec<(Point, Option<Length>)>,
    pub(crate) except: Vec<Point>,
}

impl Repetition {
    /// None where an event says nothing of it.
    pub(crate) fn of(draft: &Draft<'_>, start: &Point, placing: &mut Placing<'_, '_>) -> Option<Box<Self>> {
        if ![Name::RRule, Name::RDate, Name::ExRule, Name::ExDate].into_iter().any(|name| draft.has(name)) {
            return None;
        }
        let more = more_dates(draft, start, placing);
        let except = except_dates(draft, start, placing);
        let rules = rules_of(draft, Name::RRule, &mut placing.flaws);
        let exception_rules = rules_of(draft, Name::ExRule, &mut placing.flaws);
        Some(Box::new(Self { rules, exception_rules, more, except }))
    }
}

/// Whether an event says that it repeats, understood or not.
pub(crate) fn recurs(draft: &Draft<'_>) -> bool {
    draft.all(Name::RRule).chain(draft.all(Name::RDate)).any(is_filled)
}

fn is_filled(property: &Property<'_>) -> bool {
    !property.value.is_empty()
}

/// The values of a list of moments.
fn values<'p>(property: &'p Property<'_>) -> impl Iterator<Item = &'p str> {
    property.value.split(',').map(str::trim).filter(|value| !value.is_empty())
}

/// Dates that are added to a series.
fn more_dates(draft: &Draft<'_>, start: &Point, placing: &mut Placing<'_, '_>) -> Vec<(Point, Option<Length>)> {
    let mut more = Vec::new();
    for property in draft.all(Name::RDate) {
        for value in values(property) {
            if more.len() >= MAX_MORE {
                placing.flaws.note(property.line, true, format!("it has more than {MAX_MORE} dates by RDATE"));
                return more;
            }
            let (from, to) = value.split_once('/').map_or((value, None), |(from, to)| (from, Some(to)));
            let Some(from) = placing.strictly(from, property, Some(start)) else {
                let what = "a date of its RDATE can't be read, and was passed over";
                placing.flaws.note(property.line, true, what);
                continue;
            };
            let from = match start {
                Point::Day(_) => Point::Day(from.day(&placing.days)),
                Point::At { .. } => from,
            };
            let own = to.and_then(|to| period(&from, to, property, placing));
            more.push((from, own));
        }
    }
    more
}

/// How long a PERIOD lasts that begins so; none where it says no more than a date does.
fn period(from: &Point, to: &str, property: &Property<'_>, placing: &mut Placing<'_, '_>) -> Option<Length> {
    let (days, cx) = (placing.days.clone(), placing.cx);
    let length = length_of_period(from, to, |to| placing.strictly(to, property, Some(from)), &days, cx);
    length.unwrap_or_else(|EndsBeforeStart| {
        placing.flaws.note(property.line, true, "the end of a period of its RDATE can't be read");
        Some(night_of(from, cx))
    })
}

/// Dates that are taken from a series. One that can't be read, or whose day is open, leaves the night blocked, which
/// is seen and mended.
fn except_dates(draft: &Draft<'_>, start: &Point, placing: &mut Placing<'_, '_>) -> Vec<Point> {
    let mut except = Vec::new();
    for property in draft.all(Name::ExDate) {
        for value in values(property) {
            match placing.strictly(value, property, Some(start)) {
                _ if except.len() >= MAX_EXCEPT => {
                    placing.flaws.note(property.line, false, "it has too many exceptions by EXDATE");
                    return except;
                }
                Some(point) if matches!(start, Point::Day(_)) && point.day_is_open(&placing.days) => {
                    let what = "of its EXDATE it is not certain which day is meant";
                    placing.flaws.note(property.line, false, what);
                }
                Some(point) => except.push(point),
                None => {
                    let what = "an exception by EXDATE can't be read, and was passed over";
                    placing.flaws.note(property.line, false, what);
                }
            }
        }
    }
    except
}

/// The rules of a name, as far as they are understood: RRULE adds occurrences, EXRULE takes them away.
fn rules_of(draft: &Draft<'_>, name: Name, flaws: &mut Flaws) -> Vec<(u32, Rule)> {
    let adds = name == Name::RRule;
    let text = name.text();
    let mut rules = Vec::new();
    for property in draft.all(name).filter(|property| is_filled(property)) {
        let line = property.line;
        match Rule::parse(&property.value) {
            // An exception that is not understood as a whole takes nothing away.
            Ok(rule) if !adds && (rule.passed_over != PassedOver::Nothing || rule.is_finer_than_days()) => {
                flaws.note(line, false, format!("a part of its {text} is not understood, so it takes nothing away"));
            }
            Ok(rule) => {
                if rule.passed_over != PassedOver::Nothing {
                    let may_lose = rule.passed_over == PassedOver::Parts;
                    flaws.note(line, may_lose, format!("a part of its {text} is not understood, and was passed over"));
                }
                if rules.len() < MAX_RULES {
                    rules.push((line, rule));
                } else {
                    flaws.note(line, adds, format!("it has more than {MAX_RULES} of {text}"));
                }
            }
            Err(refusal) => flaws.note(line, adds, format!("its {text} was passed over: {refusal}")),
        }
    }
    rules
}
