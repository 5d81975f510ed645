//! Whether a site can have read a night from its link (rule 1d).

use jiff::{SignedDuration, Timestamp};

use super::LinkNight;
use crate::{Source, span::Later};

/// A read so shortly after a link was put may still have brought what it served before.
pub(super) const SERVED_AFTER: SignedDuration = SignedDuration::from_mins(2);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What is recorded of one connection's private link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkFacts {
    /// Since when there has been a link: before that nobody can have read it. None where that is not known.
    pub since: Option<Timestamp>,
    /// When the rendered link was last put.
    pub last_put_at: Option<Timestamp>,
    /// Reads by anybody but ourselves, oldest first: at least the last two days, or two cadences of that site.
    pub reads: Vec<Timestamp>,
    /// Since when reads are recorded.
    pub recorded_since: Option<Timestamp>,
    /// Every read since then is there: true for the local record, never for CloudFront's logs.
    pub complete: bool,
    /// Until this change its connection exported alone, and its link showed all that is taken.
    pub showed_all: bool,
}

impl LinkFacts {
    /// The first recorded read at or after an instant.
    pub(super) fn first_from(&self, from: Timestamp) -> Option<Timestamp> {
        self.reads.get(self.reads.partition_point(|read| *read < from)).copied()
    }

    /// The last recorded read at or before an instant.
    pub(super) fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        let count = self.reads.partition_point(|read| *read <= until);
        self.reads.get(count.checked_sub(1)?).copied()
    }

    /// From when on a link that would have carried a night since some instant can have been read: what was on the calendar
    /// before there was a link was first read with that.
    pub(super) fn readable_from(&self, carried_since: Timestamp) -> Timestamp {
        self.since.map_or(carried_since, |since| since.max(carried_since))
    }

    /// Whether nobody has read the link since an instant, by a record that speaks for all of that time.
    pub(super) fn unread_since(&self, from: Timestamp, at: Timestamp) -> bool {
        self.covers(from) && self.first_from(from).is_none_or(|read| read > at)
    }

    /// Whether the record speaks for the whole time from an instant on.
    fn covers(&self, from: Timestamp) -> bool {
        self.complete && self.recorded_since.is_some_and(|since| since <= from)
    }
}

/// For so long a site may go on showing what it read: a day or two cadences, the longer.
pub(super) fn window(source: &Source) -> SignedDuration {
    source.cadence().saturating_mul(2).max(DAY)
}

/// Rule 1d: no read of the link with the night, or the latest read was without it and the last one with it is long ago.
///
/// `carried_since` is set while the link carries the night; `known` is what the link did with it lately.
pub(super) fn can_not_have_read(
    carried_since: Option<Timestamp>,
    known: Option<&LinkNight>,
    facts: &LinkFacts,
    source: &Source,
    at: Timestamp,
) -> bool {
    if let Some(since) = carried_since {
        let first = known.map_or(since, |known| known.first.min(since));
        return facts.unread_since(facts.readable_from(first), at);
    }
    // It never carried the night, or so long ago that nobody remembers.
    let Some(known) = known.filter(|known| !known.carries) else { return true };
    let (window, first) = (window(source), facts.readable_from(known.first));
    if !facts.covers(first) {
        return at.duration_since(known.since) > window;
    }
    // Until the link without the night is known to be there, it may still be read with it.
    let with_until = known.put_at.map_or(at, |put_at| put_at.later(SERVED_AFTER));
    let last_with = facts.last_until(with_until.min(at)).filter(|read| *read >= first);
    let Some(last_with) = last_with else { return true };
    let latest = facts.last_until(at);
    latest.is_some_and(|latest| latest > with_until) && at.duration_since(last_with) > window
}
