//! Reading a feed: what it says within a horizon, and what could not be taken as it stands.

use calmesh_calendar::{FeedReading, ReadWarning};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    draft::Draft,
    entry::{Entry, means_whole_days},
    feed_text::FeedText,
    lines::decode,
    place::Zones,
    refusal::{Excess, Refusal},
    series,
    skipped::Skip,
};

/// What a reading depends on beside the body.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// The property's zone: dates and floating times are local to it.
    pub zone: &'a TimeZone,
    /// Occurrences outside of it are read but not listed.
    pub horizon: Horizon,
    pub limits: Limits,
    /// DTEND of all-day events is the last night, not the departure day, as some sites write it.
    pub end_is_last_night: bool,
}

/// The time that is of interest, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Horizon {
    /// From 30 days back to 775 days ahead: feeds reach a year or two, hosts ask for 760 days, and the horizon of a feed
    /// that does not change is moved on once a week.
    #[must_use]
    pub fn around(now: Timestamp) -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self {
            from: now.checked_sub(days(30)).unwrap_or(Timestamp::MIN),
            until: now.checked_add(days(775)).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Sizes beyond which a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the body.
    pub bytes: usize,
    /// VEVENTs.
    pub events: usize,
    /// Listed occurrences of all events together.
    pub occurrences: usize,
    /// Of the names and summaries of these, one by one.
    pub listed_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 * 1024 * 1024, events: 10_000, occurrences: 20_000, listed_bytes: 16 * 1024 * 1024 }
    }
}

/// Events that can be read in several ways, of which the host is told one by one.
const MAX_DOUBTS: usize = 100;

/// Reads a body. Never panics, and what it costs is bounded by the limits whatever the body says.
///
/// # Errors
/// When the body is not believed as a whole; one event that can't be read is a warning of the reading.
pub fn read(body: &[u8], cx: &ReadContext<'_>) -> Result<FeedReading, Refusal> {
    if body.len() > cx.limits.bytes {
        return Err(Refusal::TooLarge { what: Excess::Bytes, limit: cx.limits.bytes as u64 });
    }
    let body = decode(body);
    let mut text = FeedText::of(&body, &cx.limits)?;
    let mut reading = FeedReading {
        name: text.name.take(),
        prodid: text.prodid.take(),
        events_in_text: text.events_in_text,
        ..FeedReading::default()
    };
    let drafts: Vec<Draft> = text.events.into_iter().map(Draft::of).collect();
    let events = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
    let whole_days = means_whole_days(&drafts);
    for draft in &drafts {
        if let Some(line) = draft.excess() {
            text.skipped.note(Skip::Overlong, line);
        }
    }
    let doubtful = || drafts.iter().filter(|draft| draft.may_be_doubtful());
    if doubtful().nth(MAX_DOUBTS).is_none() {
        reading.warnings.extend(doubtful().filter_map(Draft::doubts));
    } else {
        doubtful().for_each(|draft| text.skipped.note(Skip::Doubtful, draft.lines.first));
    }
    reading.warnings.extend(text.skipped.warnings());
    let mut zones = Zones::new(cx, text.zones, text.hints);
    let mut entries = Vec::with_capacity(drafts.len());
    let mut unread = 0_u32;
    for draft in drafts {
        match Entry::of(&draft, whole_days, cx, &mut zones, &mut reading.warnings) {
            Ok(entry) => entries.push(entry),
            Err(fault) => {
                unread = unread.saturating_add(1);
                reading.warnings.push(fault.warning(draft.lines, draft.uid().as_deref()));
            }
        }
    }
    let listed = series::list(&entries, cx, &mut zones, &mut reading.warnings)?;
    reading.events_read = events.saturating_sub(unread.saturating_add(listed.unread));
    let recurs = entries.iter().any(|entry| entry.recurs);
    reading.more_from = if recurs { Some(cx.horizon.until) } else { listed.beyond };
    reading.events = listed.events;
    if whole_days {
        reading.warnings.push(feed_warning(
            "Every event runs from midnight to midnight, so all are read as whole days.".to_owned(),
        ));
    }
    if reading.events_read != reading.events_in_text {
        let (read, all) = (reading.events_read, reading.events_in_text);
        reading.warnings.push(feed_warning(format!("Only {read} of {all} events could be read.")));
    }
    reading.warnings.sort_by_key(|warning| warning.line.unwrap_or(0));
    Ok(reading)
}

/// Refuses what [`read`] would refuse by its form alone: what is no calendar, is cut off, or is beyond the limits of
/// size. Reads no event, so it costs little more than a look at every line.
///
/// # Errors
/// When the body is not believed as a whole.
pub fn accept(body: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if body.len() > limits.bytes {
        return Err(Refusal::TooLarge { what: Excess::Bytes, limit: limits.bytes as u64 });
    }
    FeedText::of(&decode(body), limits).map(drop)
}

fn feed_warning(detail: String) -> ReadWarning {
    ReadWarning { line: None, uid: None, detail, unread: false }
}
