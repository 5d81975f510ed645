//! Why an event is not read, or not in full, as its host is told.

use calmesh_calendar::{Lines, ReadWarning};

use crate::read::name::Name;

/// Why an event is not read at all. Displays as the end of a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(clippy::enum_variant_names, reason = "each names what an event lacks")]
pub(crate) enum Fault {
    #[error("it has no start")]
    NoStart,
    #[error("its {} is not a date that exists", .0.text())]
    NoDate(Name),
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
