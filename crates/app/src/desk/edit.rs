//! What edits have in common: fields that stay, go back to their default or are set; expected versions; what is
//! wrong with a field; texts.

use std::{borrow::Cow, fmt};

use jiff::tz::TimeZone;

use crate::limits::grouped;

/// What an edit does to one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edit<T> {
    /// It was not mentioned.
    #[default]
    Keep,
    /// Back to the default.
    Reset,
    To(T),
}

impl<T> Edit<T> {
    #[must_use]
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value after the edit, where the default is worked out only if needed.
    pub(crate) fn over(&self, present: T, default: impl FnOnce() -> T) -> T
    where
        T: Clone,
    {
        match self {
            Self::Keep => present,
            Self::Reset => default(),
            Self::To(value) => value.clone(),
        }
    }

    /// The same for a field that is not set at all by default.
    pub(crate) fn over_option(&self, present: Option<T>) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Keep => present,
            Self::Reset => None,
            Self::To(value) => Some(value.clone()),
        }
    }
}

/// Which versions of a resource an edit is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    #[default]
    Any,
    /// One of these; none of them is there for a validator that was never ours.
    OneOf(Vec<u64>),
}

impl Expected {
    #[must_use]
    pub fn fits(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Its place in the words of the API, parts joined by `/`: `import/policy/hold/minutes`.
    pub field: Cow<'static, str>,
    /// A sentence that says what would be right. Quotes no secret.
    pub detail: String,
}

impl InvalidField {
    pub(crate) fn new(field: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}

/// Collects what is wrong, so that a client learns of everything at once.
#[derive(Debug, Default)]
pub(crate) struct Flaws(Vec<InvalidField>);

impl Flaws {
    pub(crate) fn add(&mut self, field: impl Into<Cow<'static, str>>, detail: impl Into<String>) {
        self.0.push(InvalidField::new(field, detail));
    }

    /// A name or a text that calendars and pages can show.
    pub(crate) fn text(&mut self, field: impl Into<Cow<'static, str>>, text: &str, least: usize, most: usize) {
        let length = text.chars().count();
        if text.chars().any(char::is_control) {
            self.add(field, "must hold no line breaks or other control characters");
        } else if length > most {
            self.add(field, format!("must have at most {} characters", grouped(most)));
        } else if least > 0 && text.trim().is_empty() {
            self.add(field, "must not be empty");
        }
    }

    /// The value, unless something is wrong with it or with anything else.
    pub(crate) fn with<T>(mut self, value: Result<T, Vec<InvalidField>>) -> Result<T, Vec<InvalidField>> {
        match value {
            Ok(value) => self.into_result().map(|()| value),
            Err(flaws) => {
                self.0.splice(..0, flaws);
                Err(self.0)
            }
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Vec<InvalidField>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The zone of this IANA name, in any case.
pub(crate) fn known_zone(name: &str) -> Option<TimeZone> {
    // A zone without a name is a fixed offset, which would be wrong half the year.
    let zone = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())?;
    let is_one = zone.iana_name().is_some_and(|name| !NO_ZONES.iter().any(|none| name.eq_ignore_ascii_case(none)));
    is_one.then_some(zone)
}

/// Names of the database of zones that are nobody's: not set, the machine's own, a rule for others.
const NO_ZONES: [&str; 4] = ["Factory", "localtime", "posixrules", "Etc/Unknown"];

pub(crate) const ZONE_WANTED: &str = "must be an IANA time zone such as Europe/Madrid";
