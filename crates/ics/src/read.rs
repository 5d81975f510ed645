//! Reading a feed: what it says within a horizon, and what could not be taken as it stands.
//!
//! Each room takes what the one before it made: `feed_text` sorts the lines of a body, `draft` takes the properties of one
//! event, `entry` understands them, `series` lists what takes place.

pub(crate) mod context;
mod draft;
mod entry;
mod feed_text;
mod flaws;
mod groups;
mod length;
mod listing;
mod moment;
mod name;
mod place;
mod point;
mod property;
mod recur;
mod repetition;
mod series;
mod skipped;
mod texts;
mod zones;

use std::mem;

use calmesh_calendar::{FeedReading, ReadWarning};

use crate::{
    lines::decode,
    refusal::{Excess, Refusal},
};
use context::{Limits, ReadContext};
use draft::Draft;
use entry::{Reader, means_whole_days};
use feed_text::FeedText;
use place::Zones;
use skipped::{Skip, Skipped};
use texts::Texts;

/// Events that can be read in several ways, of which the host is told one by one.
const MAX_DOUBTS: usize = 100;

/// Reads a body. Never panics, and what it costs is bounded by the limits whatever the body says.
///
/// # Errors
/// When the body is not believed as a whole; one event that can't be read is a warning of the reading.
pub fn read(body: &[u8], cx: &ReadContext<'_>) -> Result<FeedReading, Refusal> {
    within(&cx.limits, body)?;
    let body = decode(body);
    let mut text = FeedText::of(&body, &cx.limits)?;
    let mut reading = FeedReading {
        name: text.name.take(),
        prodid: text.prodid.take(),
        events_in_text: text.events_in_text,
        ..FeedReading::default()
    };
    let mut skipped = mem::take(&mut text.skipped);
    let mut zones = Zones::new(cx, mem::take(&mut text.zones), mem::take(&mut text.hints));
    let whole_days = means_whole_days(&text);
    let (summaries, descriptions) = (Texts::default(), Texts::default());
    let mut reader = Reader { cx, zones: &mut zones, whole_days, summaries, descriptions };
    let mut doubts = Doubts::default();
    let mut flaws = Vec::new();
    let mut entries = Vec::with_capacity(text.events.len());
    let mut unread = 0_u32;
    let mut draft = Draft::default();
    for event in &text.events {
        draft.take(&text, event);
        if let Some(line) = draft.excess() {
            skipped.note(Skip::Overlong, line);
        }
        doubts.note(&draft);
        match reader.entry(&draft, &mut flaws) {
            Ok(entry) => entries.push(entry),
            Err(fault) => {
                unread = unread.saturating_add(1);
                flaws.push(fault.warning(draft.lines, draft.uid().as_deref()));
            }
        }
    }
    reading.warnings = doubts.told(&mut skipped);
    reading.warnings.extend(skipped.warnings());
    reading.warnings.append(&mut flaws);
    let listed = series::list(&entries, cx, &mut zones, &mut reading.warnings)?;
    let events = u32::try_from(text.events.len()).unwrap_or(u32::MAX);
    reading.events_read = events.saturating_sub(unread.saturating_add(listed.unread));
    let recurs = entries.iter().any(|entry| entry.recurs);
    reading.more_from = if recurs { Some(cx.horizon.until) } else { listed.beyond };
    reading.events = listed.events;
    tell_of_all(&mut reading, whole_days);
    reading.warnings.sort_by_key(|warning| warning.line.unwrap_or(0));
    Ok(reading)
}

/// Refuses what [`read`] would refuse by its form alone: what is no calendar, is cut off, or is beyond the limits of
/// size. Reads no event, so it costs little more than a look at every line.
///
/// # Errors
/// When the body is not believed as a whole.
pub fn accept(body: &[u8], limits: &Limits) -> Result<(), Refusal> {
    within(limits, body)?;
    FeedText::of(&decode(body), limits).map(drop)
}

fn within(limits: &Limits, body: &[u8]) -> Result<(), Refusal> {
    if body.len() > limits.bytes {
        return Err(Refusal::TooLarge { what: Excess::Bytes, limit: limits.bytes as u64 });
    }
    Ok(())
}

/// The events that can be read in several ways.
#[derive(Default)]
struct Doubts {
    /// Of the first of them, what they say.
    told: Vec<ReadWarning>,
    events: u32,
    first: Option<u32>,
}

impl Doubts {
    fn note(&mut self, draft: &Draft<'_>) {
        if draft.may_be_doubtful() {
            if self.has_room() {
                self.told.extend(draft.doubts());
            }
            self.events = self.events.saturating_add(1);
            self.first = self.first.or(Some(draft.lines.first));
        }
    }

    fn has_room(&self) -> bool {
        usize::try_from(self.events).is_ok_and(|events| events < MAX_DOUBTS)
    }

    /// One by one, unless they are too many.
    fn told(self, skipped: &mut Skipped) -> Vec<ReadWarning> {
        match self.first {
            Some(first) if usize::try_from(self.events).is_ok_and(|events| events > MAX_DOUBTS) => {
                skipped.note_many(Skip::Doubtful, self.events, first);
                Vec::new()
            }
            _ => self.told,
        }
    }
}

/// Tells what is so of the body as a whole.
fn tell_of_all(reading: &mut FeedReading, whole_days: bool) {
    let mut tell = |detail| reading.warnings.push(ReadWarning { line: None, uid: None, detail, unread: false });
    if whole_days {
        tell("Every event runs from midnight to midnight, so all are read as whole days.".to_owned());
    }
    let (read, all) = (reading.events_read, reading.events_in_text);
    if read != all {
        tell(format!("Only {read} of {all} events could be read."));
    }
}
