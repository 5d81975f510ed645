//! What of a body was passed over, told once a kind: how often, and where first. Never what it says.

use calmesh_calendar::ReadWarning;

use crate::read::name::Name;

/// Kinds of what is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// Lines that are no property, inside of a component.
    Stray,
    /// Text outside of every calendar.
    Outside,
    /// Properties whose names, or whose parameters, are too long or too many.
    Overlong,
    /// Components closed by the end of what they stand in.
    Unclosed,
    /// Properties of events outside of every event.
    Misplaced,
    /// Events inside of other entries; these are read.
    Inside,
    /// Properties that one event has too often.
    Repeated,
    /// Slips of the pen: this was meant.
    Nearly(Name),
    /// Hours that a VAVAILABILITY leaves.
    Availability,
    /// Events that say several things, beyond those that are told one by one; these are read.
    Doubtful,
    /// VTIMEZONEs beyond those that are looked at.
    Zones,
    /// Entries of other kinds in a body without events.
    OtherEntries,
}

impl Skip {
    fn told(self, count: u32, first: u32) -> String {
        let what = match self {
            Self::Stray => format!("{count} lines are no part of any entry and were passed over"),
            Self::Outside => return "There is text outside of the calendar; it was passed over.".to_owned(),
            Self::Overlong => {
                format!(
                    "{count} properties have names or parameters that are too long or too many, and were not read in full"
                )
            }
            Self::Unclosed => format!(
                "{count} parts of entries have no end of their own, so what may be of the entry was read as such"
            ),
            Self::Misplaced => {
                format!("{count} properties of events stand outside of every event and were passed over")
            }
            Self::Inside => format!("{count} events stand inside of other entries; they were read"),
            Self::Repeated => format!("{count} lines repeat a property of their event too often and were passed over"),
            Self::Nearly(meant) => {
                format!("{count} properties have names one letter from {} and were passed over", meant.text())
            }
            Self::Availability => {
                format!(
                    "{count} calendars of working hours (VAVAILABILITY) can't be read as nights and were passed over"
                )
            }
            Self::Doubtful => format!("{count} events can be read in several ways"),
            Self::Zones => format!("{count} time zones are too many and were passed over"),
            Self::OtherEntries if count == 1 => {
                "There are no events, and 1 entry of another kind was passed over".to_owned()
            }
            Self::OtherEntries => format!("There are no events, and {count} entries of other kinds were passed over"),
        };
        format!("{what}, the first at line {first}.")
    }
}

/// How often each kind was passed over, and where first.
#[derive(Debug, Default)]
pub(crate) struct Skipped(Vec<(Skip, u32, u32)>);

impl Skipped {
    pub(crate) fn note(&mut self, skip: Skip, line: u32) {
        self.note_many(skip, 1, line);
    }

    pub(crate) fn note_many(&mut self, skip: Skip, count: u32, first: u32) {
        match self.0.iter_mut().find(|(known, ..)| *known == skip) {
            Some((_, known, _)) => *known = known.saturating_add(count),
            None => self.0.push((skip, count, first)),
        }
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = ReadWarning> {
        self.0.iter().map(|(skip, count, first)| ReadWarning {
            line: Some(*first),
            uid: None,
            detail: skip.told(*count, *first),
            unread: false,
        })
    }
}
