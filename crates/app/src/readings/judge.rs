//! A feed's events, judged by the provider's profile and the connection's policy.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{
    BlockKind, BusyStatus, ConnectionId, EventStatus, Extent, FeedEvent, FeedReading, House, Policy, ReadWarning,
    Sighting, Sign, Source, Taken, Verdict, taken,
};
use calmesh_profiles::{EventClass, Profile};
use jiff::SignedDuration;

use crate::{
    model::{Connection, PropertyState},
    words::counted,
};

/// What each event of a reading says of the time that it covers.
#[must_use]
pub fn judge_feed(reading: &FeedReading, profile: &Profile, policy: &Policy) -> Vec<Sighting> {
    reading.events.iter().map(|event| judge_event(event, profile, policy)).collect()
}

fn judge_event(event: &FeedEvent, profile: &Profile, policy: &Policy) -> Sighting {
    let classified = profile.classify(event);
    let kind = match classified.class {
        EventClass::Reservation => Some(BlockKind::Reservation),
        EventClass::Closure => Some(BlockKind::Closure),
        EventClass::Tentative => Some(BlockKind::Tentative),
        EventClass::RuleClosure => Some(BlockKind::RuleClosure),
        EventClass::Ignored => None,
    };
    let verdict = match kind {
        _ if event.status == Some(EventStatus::Cancelled) => Verdict::Cancelled,
        Some(kind) if !misses_required_word(event, policy) && !is_free(event, policy) && may_block(kind, policy) => {
            Verdict::Blocks(kind)
        }
        _ => Verdict::Dropped,
    };
    Sighting {
        key: event.key.clone(),
        code: classified.code,
        extent: event.extent,
        summary: event.summary.clone(),
        rule: classified.rule.to_string(),
        sign: if classified.reservation_mark { Sign::Reservation } else { Sign::None },
        verdict,
    }
}

fn misses_required_word(event: &FeedEvent, policy: &Policy) -> bool {
    policy.required_word.as_deref().is_some_and(|word| !says(&event.summary, word))
}

/// Whether a text has a word, or a phrase, in any case: "Reserved - Ana" says `reserved`, "Unreserved" does not.
pub(crate) fn says(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.trim().to_lowercase());
    let goes_on = |beside: Option<char>, edge: Option<char>| {
        beside.is_some_and(char::is_alphanumeric) && edge.is_some_and(char::is_alphanumeric)
    };
    text.match_indices(word.as_str()).any(|(at, _)| {
        let (before, rest) = text.split_at_checked(at).unwrap_or((&text, ""));
        let after = rest.get(word.len()..).unwrap_or_default();
        !goes_on(before.chars().next_back(), word.chars().next())
            && !goes_on(after.chars().next(), word.chars().next_back())
    })
}

fn is_free(event: &FeedEvent, policy: &Policy) -> bool {
    policy.busy_only && (event.transparent == Some(true) || event.busy_status == Some(BusyStatus::Free))
}

fn may_block(kind: BlockKind, policy: &Policy) -> bool {
    match kind {
        BlockKind::Reservation | BlockKind::Closure => true,
        BlockKind::Tentative => policy.tentative_blocks,
        BlockKind::RuleClosure => policy.rule_closures_block,
    }
}

/// The reading's own warnings, and one where `busy_only` dropped all-day events: in Google's calendars these are
/// "free" unless the host says otherwise, and nobody expects them to be.
#[must_use]
pub fn warnings_of(reading: &FeedReading, policy: &Policy) -> Vec<ReadWarning> {
    let dropped = reading
        .events
        .iter()
        .filter(|event| matches!(event.extent, Extent::Nights(_)) && is_free(event, policy))
        .count();
    let mut warnings = reading.warnings.clone();
    if dropped > 0 {
        let (are, they, them) = if dropped == 1 { ("is", "it", "it") } else { ("are", "they", "them") };
        let detail = format!(
            "{} {are} marked as free and {} not block. If {they} should, show {them} as busy in that calendar, or \
             turn busy_only off for this connection.",
            counted(dropped, "all-day event"),
            if dropped == 1 { "does" } else { "do" },
        );
        warnings.insert(0, ReadWarning { line: None, uid: None, detail, unread: false });
    }
    if reading.events_in_text == 0 && warnings.is_empty() {
        let detail = NO_EVENTS.to_owned();
        warnings.push(ReadWarning { line: None, uid: None, detail, unread: false });
    }
    warnings
}

/// What is said of a calendar without a single event, of which nothing else is to be said.
const NO_EVENTS: &str = "The calendar has no events. That is right for a new listing; where something is booked or closed, \
    look whether this is that listing's link.";

/// UIDs of events that could not be read.
#[must_use]
pub fn unread_uids(reading: &FeedReading) -> BTreeSet<String> {
    let unread = reading.warnings.iter().filter(|warning| warning.unread);
    unread.filter_map(|warning| warning.uid.clone()).collect()
}

impl PropertyState {
    /// What each connection that is active and reads a feed is to this property.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<ConnectionId, Source> {
        let reading = self.connections.iter().filter(|connection| connection.is_read());
        reading.map(|connection| (connection.id.clone(), source_of(connection))).collect()
    }

    /// The rules of the property's days. Stores refuse a property that has none; should one be decided on that way, it
    /// is told, and an ordinary house is taken.
    #[must_use]
    pub fn house(&self) -> House {
        self.property.house().unwrap_or_else(|error| {
            tracing::error!(property.id = %self.property.id, error = &error as &dyn std::error::Error, "a property without days");
            House::ordinary()
        })
    }

    /// All that is taken, by all sources together.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        let (sources, house) = (self.sources(), self.house());
        taken(&self.picture(&sources, &house))
    }
}

fn source_of(connection: &Connection) -> Source {
    let (profile, policy) = (connection.profile(), connection.policy());
    let minutes = |minutes: u32| SignedDuration::from_mins(i64::from(minutes));
    Source {
        blocks: policy.blocks,
        tells_reservations_apart: profile.tells_reservations_apart,
        never_echoes: profile.never_echoes,
        aggregates: policy.aggregates,
        has_link: connection.serves(),
        reads_link_every: profile.reads_export_every_minutes.map(minutes),
        echo: policy.echo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::body::read_body;

    #[test]
    fn a_required_word_is_a_word_and_not_a_part_of_one() {
        for (text, word) in [
            ("Reserved", "reserved"),
            ("RESERVED - Ana", "Reserved"),
            ("(reserved)", "reserved"),
            ("not reserved, reserved", "reserved"),
            ("Unreserved; then Reserved", "reserved"),
            ("Réservée – Ana", "réservée"),
            ("Booked — ☂ today", "Booked — ☂"),
            ("Booking.com: CLOSED", "closed"),
            ("a reserved", " reserved "),
            ("预订 Ana", "预订"),
        ] {
            assert!(says(text, word), "{text} says {word}");
        }
        for (text, word) in [
            ("Unreserved", "reserved"),
            ("reservedness", "reserved"),
            ("preserved jam", "served"),
            ("", "reserved"),
            ("Réservée", "réserv"),
            ("ÉReserved", "reserved"),
        ] {
            assert!(!says(text, word), "{text} does not say {word}");
        }
    }

    #[test]
    fn a_warning_of_free_days_speaks_of_one_or_of_several() {
        let day = "BEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:20261204\r\n\
                   TRANSP:TRANSPARENT\r\nEND:VEVENT\r\n";
        let (generic, house) = (calmesh_profiles::generic(), House::ordinary());
        let policy = Policy { busy_only: true, ..generic.policy.clone() };
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        for (days, begins) in [
            (day.to_owned(), "1 all-day event is marked as free and does not block. If it should, show it"),
            (
                day.repeat(2).replacen("UID:u", "UID:v", 1),
                "2 all-day events are marked as free and do not block. If they",
            ),
        ] {
            let body = format!("BEGIN:VCALENDAR\r\nPRODID:x\r\nVERSION:2.0\r\n{days}END:VCALENDAR\r\n");
            let reading = read_body(body.as_bytes(), &house, generic, now).unwrap();
            let warning = warnings_of(&reading, &policy).remove(0).detail;
            assert!(warning.starts_with(begins), "{warning}");
        }
    }
}
