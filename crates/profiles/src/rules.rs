//! Rules by which events of a provider's feed are told apart, and where codes of reservations stand in them.

use std::ops::RangeInclusive;

use calmesh_calendar::{Extent, FeedEvent};

use crate::matcher::{Shape, Words};

/// What an event is. All but the last are kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventClass {
    /// Somebody booked.
    Reservation,
    /// The nights are closed, or the feed does not say why they are taken (`Profile::tells_reservations_apart`).
    Closure,
    /// Asked for or optional, not yet booked.
    Tentative,
    /// Closed by a rule of the site, such as an advance notice or the edge of its booking window.
    RuleClosure,
    /// Says something about a stay that another event of the same feed carries; it blocks nothing.
    Ignored,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) class: EventClass,
    pub(crate) mark: bool,
    pub(crate) when: When,
}

/// Conditions that must all hold; one that lists several values holds when one of them does, and an empty one always.
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) summary_is: Words,
    pub(crate) summary_begins: Words,
    pub(crate) summary_has: Words,
    pub(crate) uid_begins: Vec<String>,
    pub(crate) uid_ends: Vec<String>,
    pub(crate) uid_shape: Vec<Shape>,
    /// STATUS or Outlook's busy status says tentative.
    pub(crate) tentative: bool,
    /// A code of the profile was found.
    pub(crate) has_code: bool,
    pub(crate) nights_at_most: Option<u32>,
}

/// Where a reservation code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodePlace {
    Summary,
    Description,
}

/// How a reservation code is found: a run of capital letters and digits between two texts.
#[derive(Debug, Clone)]
pub(crate) struct CodePattern {
    pub(crate) place: CodePlace,
    pub(crate) after: String,
    /// None: any character that is no letter or digit, or the end.
    pub(crate) before: Option<String>,
    pub(crate) begins: String,
    pub(crate) length: RangeInclusive<usize>,
}

/// The parts of an event that rules look at, made comparable once.
pub(crate) struct Seen<'a> {
    pub(crate) summary: String,
    pub(crate) uid: &'a str,
    pub(crate) tentative: bool,
    pub(crate) has_code: bool,
    pub(crate) nights: u32,
}

/// How many nights an event may cost: the nights of an all-day one, begun days of a timed one.
pub(crate) fn nights_touched(extent: Extent) -> u32 {
    const DAY: i64 = 24 * 60 * 60;
    match extent {
        Extent::Nights(nights) => nights.count(),
        Extent::Times(times) => {
            let seconds = times.end().as_second().saturating_sub(times.start().as_second());
            u32::try_from(seconds.saturating_add(DAY - 1) / DAY).unwrap_or(u32::MAX)
        }
    }
}

impl When {
    pub(crate) fn fits(&self, seen: &Seen<'_>) -> bool {
        (self.summary_is.is_empty() || self.summary_is.are(&seen.summary))
            && (self.summary_begins.is_empty() || self.summary_begins.begin(&seen.summary))
            && (self.summary_has.is_empty() || self.summary_has.stand_in(&seen.summary))
            && (self.uid_begins.is_empty() || self.uid_begins.iter().any(|part| seen.uid.starts_with(part.as_str())))
            && (self.uid_ends.is_empty() || self.uid_ends.iter().any(|part| seen.uid.ends_with(part.as_str())))
            && (self.uid_shape.is_empty() || self.uid_shape.iter().any(|shape| shape.fits(seen.uid)))
            && (!self.tentative || seen.tentative)
            && (!self.has_code || seen.has_code)
            && self.nights_at_most.is_none_or(|most| seen.nights <= most)
    }
}

impl CodePattern {
    pub(crate) fn find(&self, event: &FeedEvent) -> Option<String> {
        let text = match self.place {
            CodePlace::Summary => &event.summary,
            CodePlace::Description => &event.description,
        };
        text.match_indices(self.after.as_str()).find_map(|(at, found)| self.code_at(text.get(at + found.len()..)?))
    }

    fn code_at(&self, rest: &str) -> Option<String> {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (code, after) = rest.split_at(end);
        let closed = match &self.before {
            Some(text) => after.starts_with(text.as_str()),
            None => !after.starts_with(char::is_alphanumeric),
        };
        let own = code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        (closed && own && code.starts_with(self.begins.as_str()) && self.length.contains(&code.len()))
            .then(|| code.to_owned())
    }
}
