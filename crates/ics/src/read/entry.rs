//! One VEVENT, understood: when it starts, how long it lasts, how it repeats, what it says.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use calmesh_calendar::{BusyStatus, EventStatus, Extent, Lines, ReadWarning};
use jiff::civil::DateTime;

use crate::read::{
    context::ReadContext,
    draft::Draft,
    feed_text::FeedText,
    flaws::{Fault, Flaws},
    length::{Length, length_of},
    moment::Moment,
    name::Name,
    place::{Placing, Zones},
    point::{Days, Point},
    recur::Rule,
    repetition::{Repetition, recurs},
    texts::Texts,
};

/// Characters of a summary and of a description that are kept: every occurrence carries them.
const MAX_SUMMARY: usize = 1_000;
const MAX_DESCRIPTION: usize = 4_000;

/// Whether every event of a feed runs from midnight to midnight on its own clock: so some sites (natuurhuisje.nl)
/// write dates.
pub(crate) fn means_whole_days(text: &FeedText<'_>) -> bool {
    let is_midnight = |draft: &Draft<'_>, name| {
        draft
            .get(name)
            .and_then(|property| Moment::parse(&property.value, property.parameters.date))
            .is_some_and(Moment::is_midnight)
    };
    let mut draft = Draft::default();
    let mut are_midnights = text.events.iter().map(|event| {
        draft.take(text, event);
        is_midnight(&draft, Name::DtStart) && is_midnight(&draft, Name::DtEnd)
    });
    !text.events.is_empty() && are_midnights.all(|is| is)
}

/// One VEVENT, understood.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) lines: Lines,
    pub(crate) uid: Option<Cow<'a, str>>,
    pub(crate) start: Point,
    /// None where it ends when it starts; only periods of its own have a length then.
    pub(crate) length: Option<Length>,
    /// On which clock its instants are days.
    pub(crate) days: Rc<Days>,
    pub(crate) summary: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) status: Option<EventStatus>,
    pub(crate) transparent: Option<bool>,
    pub(crate) busy_status: Option<BusyStatus>,
    /// 0 where none is told; none where it can't be read.
    pub(crate) sequence: Option<u64>,
    pub(crate) recurrence_id: Option<Point>,
    pub(crate) this_and_future: bool,
    /// Whether it says that it repeats, understood or not.
    pub(crate) recurs: bool,
    /// None where there is nothing to it.
    repetition: Option<Box<Repetition>>,
}

/// What understanding the events of one feed needs.
pub(crate) struct Reader<'z, 'c> {
    pub(crate) cx: &'c ReadContext<'c>,
    pub(crate) zones: &'z mut Zones<'c>,
    pub(crate) whole_days: bool,
    pub(crate) summaries: Texts,
    pub(crate) descriptions: Texts,
}

impl Reader<'_, '_> {
    /// Understands one event.
    pub(crate) fn entry<'a>(&mut self, draft: &Draft<'a>, warnings: &mut Vec<ReadWarning>) -> Result<Entry<'a>, Fault> {
        let uid = draft.uid();
        let days = self.zones.days(draft.calendar);
        let flaws = Flaws::default();
        let (calendar, whole_days) = (draft.calendar, self.whole_days);
        let mut placing = Placing { calendar, whole_days, cx: self.cx, days, zones: self.zones, warnings, flaws };

        let (start, recurrence_id) = starts(draft, &mut placing)?;
        // Outlook's word that this is a day, whatever clock its midnights were put on.
        let is_days = draft.word(Name::AllDayEvent).is_some_and(|word| word.eq_ignore_ascii_case("TRUE"));
        let start = if is_days { Point::Day(start.day(&placing.days)) } else { start };
        let length = length_of(draft, &start, &mut placing);
        let repetition = Repetition::of(draft, &start, &mut placing);
        let Placing { days, flaws, warnings, .. } = placing;
        flaws.tell(draft.lines, uid.as_deref(), warnings);

        Ok(Entry {
            lines: draft.lines,
            start,
            length,
            days,
            summary: text(draft, Name::Summary, MAX_SUMMARY, &mut self.summaries),
            description: text(draft, Name::Description, MAX_DESCRIPTION, &mut self.descriptions),
            status: word(draft, Name::Status, &STATUSES),
            transparent: word(draft, Name::Transp, &TRANSPARENCIES),
            busy_status: word(draft, Name::BusyStatus, &BUSY_STATUSES),
            sequence: draft.word(Name::Sequence).map_or(Some(0), revision),
            this_and_future: draft.get(Name::RecurrenceId).is_some_and(|property| property.parameters.this_and_future),
            recurrence_id,
            recurs: recurs(draft),
            repetition,
            uid,
        })
    }
}

impl Entry<'_> {
    /// The rules by which it repeats, each with its line.
    pub(crate) fn rules(&self) -> &[(u32, Rule)] {
        self.repetition.as_ref().map_or(&[], |repetition| &repetition.rules)
    }

    /// The rules of what is taken away, each with its line.
    pub(crate) fn exception_rules(&self) -> &[(u32, Rule)] {
        self.repetition.as_ref().map_or(&[], |repetition| &repetition.exception_rules)
    }

    /// Dates that are added.
    pub(crate) fn more(&self) -> &[(Point, Option<Length>)] {
        self.repetition.as_ref().map_or(&[], |repetition| &repetition.more)
    }

    /// Dates that are taken away.
    pub(crate) fn except(&self) -> &[Point] {
        self.repetition.as_ref().map_or(&[], |repetition| &repetition.except)
    }

    /// What the event covers when it starts at a time on its wall clock.
    pub(crate) fn extent_at(&self, civil: DateTime, length: Length) -> Option<Extent> {
        length.from(civil, &self.start)
    }
}

const STATUSES: [(&str, EventStatus); 4] = [
    ("CONFIRMED", EventStatus::Confirmed),
    ("TENTATIVE", EventStatus::Tentative),
    ("CANCELLED", EventStatus::Cancelled),
    ("CANCELED", EventStatus::Cancelled),
];

const TRANSPARENCIES: [(&str, bool); 2] = [("OPAQUE", false), ("TRANSPARENT", true)];

const BUSY_STATUSES: [(&str, BusyStatus); 5] = [
    ("BUSY", BusyStatus::Busy),
    ("FREE", BusyStatus::Free),
    ("TENTATIVE", BusyStatus::Tentative),
    ("OOF", BusyStatus::OutOfOffice),
    ("WORKINGELSEWHERE", BusyStatus::WorkingElsewhere),
];

/// The number of a revision; a number that is too large is as good as the largest.
fn revision(said: &str) -> Option<u64> {
    let is_number = !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| said.parse().unwrap_or(u64::MAX))
}

/// What a property of one word means; none where the word is not known.
fn word<T: Copy>(draft: &Draft<'_>, name: Name, words: &[(&str, T)]) -> Option<T> {
    let said = draft.word(name)?;
    words.iter().find(|(word, _)| word.eq_ignore_ascii_case(said)).map(|(_, meaning)| *meaning)
}

/// A text, cut to so many characters.
fn text(draft: &Draft<'_>, name: Name, most: usize, texts: &mut Texts) -> Arc<str> {
    let text = draft.word(name).unwrap_or_default();
    // Of so many bytes there are no more characters.
    let end = if text.len() > most { text.char_indices().nth(most) } else { None };
    texts.share(end.and_then(|(end, _)| text.get(..end)).unwrap_or(text))
}

/// When an event starts, and which occurrence of a series it is instead of.
fn starts(draft: &Draft<'_>, placing: &mut Placing<'_, '_>) -> Result<(Point, Option<Point>), Fault> {
    let id = draft.get(Name::RecurrenceId);
    let Some(property) = draft.get(Name::DtStart) else {
        // An override that says nothing of its start leaves it where it was.
        let at = id.map(|property| placing.leniently(property, None).ok_or(Fault::NoDate(Name::RecurrenceId)));
        let (start, _) = at.ok_or(Fault::NoStart)??;
        return Ok((start.clone(), Some(start)));
    };
    let (start, sound) = placing.leniently(property, None).ok_or(Fault::NoDate(Name::DtStart))?;
    if !sound {
        let what = "its DTSTART goes on after the date, and the rest was passed over";
        placing.flaws.note(property.line, true, what);
    }
    let Some(property) = id else { return Ok((start, None)) };
    let is_called_off = || {
        let head = draft.word(Name::Status).and_then(|status| status.get(..6));
        head.is_some_and(|head| head.eq_ignore_ascii_case("CANCEL"))
    };
    match placing.strictly(&property.value, property, Some(&start)) {
        Some(id) => Ok((start, Some(id))),
        // Which occurrence it changes is not known. What it says of itself stands, but for that nothing takes place.
        None if is_called_off() => Err(Fault::NoDate(Name::RecurrenceId)),
        None => {
            let what = "its RECURRENCE-ID can't be read, so it counts beside its series";
            placing.flaws.note(property.line, true, what);
            Ok((start.clone(), Some(start)))
        }
    }
}
