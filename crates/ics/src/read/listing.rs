//! The occurrences that a reading lists: those that the horizon touches, cut to the years around it.

use calmesh_calendar::{EventKey, Extent, FeedEvent, Nights, Times};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time},
    tz::TimeZone,
};

use crate::{
    read::{
        context::{Horizon, ReadContext},
        entry::Entry,
        flaws::Flaws,
        zones::Clock,
    },
    refusal::{Excess, Refusal},
};

/// The years that anything is reckoned with.
const FIRST_YEAR: i16 = 1900;
const LAST_YEAR: i16 = 2199;

/// What lies within the horizon, where the next beyond it begins, and how many entries were not read after all.
pub(crate) struct Listed {
    pub(crate) events: Vec<FeedEvent>,
    pub(crate) beyond: Option<Timestamp>,
    pub(crate) unread: u32,
}

/// The time that extents are cut to: the years that the horizon touches and those beside them, so that an extent stays
/// as it is while the horizon moves on from day to day. No instant outside of it leaves this crate.
#[derive(Debug, Clone)]
struct Reach {
    days: Nights,
    times: Times,
    /// When it grows: the horizon's end is in the next year.
    until: Timestamp,
}

impl Reach {
    fn of(horizon: Horizon, zone: &TimeZone) -> Self {
        let year = |instant| zone.to_datetime(instant).year();
        let first = (year(horizon.from).saturating_sub(1)).clamp(FIRST_YEAR, LAST_YEAR);
        let end = (year(horizon.until).saturating_add(2)).clamp(first.saturating_add(1), LAST_YEAR.saturating_add(1));
        let next = end.saturating_sub(1);
        let day = |year: i16| Date::new(year, 1, 1).unwrap_or(Date::constant(FIRST_YEAR, 1, 1));
        let instant = |day: Date| Clock::Zone(zone.clone()).instant(day.to_datetime(Time::midnight()));
        let days = Nights::new(day(first), day(end));
        let times = Times::new(instant(day(first)), instant(day(end)));
        match (days, times) {
            (Ok(days), Ok(times)) => Self { days, times, until: instant(day(next)) },
            _ => unreachable!("a year is before the next"),
        }
    }
}

/// The occurrences so far.
pub(crate) struct Listing<'a> {
    pub(crate) listed: Listed,
    cx: &'a ReadContext<'a>,
    /// The day of the horizon's beginning at the property.
    today: Date,
    /// Days before it begin before the horizon's end, whatever the clocks do about it.
    near_end: Date,
    reach: Reach,
    /// Octets that the occurrences carry.
    bytes: usize,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(cx: &'a ReadContext<'a>, entries: usize) -> Self {
        let day = |instant| cx.zone.to_datetime(instant).date();
        let listed = Listed { events: Vec::with_capacity(entries), beyond: None, unread: 0 };
        let near_end = day(cx.horizon.until).saturating_sub(2.days());
        let reach = Reach::of(cx.horizon, cx.zone);
        Self { listed, cx, today: day(cx.horizon.from), near_end, reach, bytes: 0 }
    }

    /// Notes that the same body says more from then on.
    fn says_more_from(&mut self, from: Timestamp) {
        self.listed.beyond = Some(self.listed.beyond.map_or(from, |known| known.min(from)));
    }

    /// Whether an occurrence ended before the horizon.
    fn is_over(&self, extent: Extent) -> bool {
        match extent {
            Extent::Times(times) => times.end() <= self.cx.horizon.from,
            Extent::Nights(nights) => nights.end() <= self.today,
        }
    }

    /// When an occurrence starts, if that is after the horizon.
    fn start_beyond(&self, extent: Extent) -> Option<Timestamp> {
        let start = match extent {
            Extent::Times(times) => times.start(),
            Extent::Nights(nights) if nights.first() < self.near_end => return None,
            Extent::Nights(nights) => {
                Clock::Zone(self.cx.zone.clone()).instant(nights.first().to_datetime(Time::midnight()))
            }
        };
        (self.cx.horizon.until <= start).then_some(start)
    }

    /// An extent within reach, and whether it goes on beyond.
    fn cut(&self, extent: Extent) -> (Option<Extent>, bool) {
        let Reach { days, times: reach, .. } = self.reach;
        match extent {
            Extent::Times(times) => (times.intersection(reach).map(Extent::Times), times.end() > reach.end()),
            Extent::Nights(nights) => (nights.intersection(days).map(Extent::Nights), nights.end() > days.end()),
        }
    }

    /// Adds an occurrence of an entry, one of a series by its name, unless it lies outside of the horizon.
    pub(crate) fn push(
        &mut self,
        entry: &Entry<'_>,
        occurrence: Option<String>,
        extent: Extent,
        flaws: &mut Flaws,
    ) -> Result<(), Refusal> {
        if self.is_over(extent) {
            return Ok(());
        }
        if let Some(start) = self.start_beyond(extent) {
            self.says_more_from(start);
            return Ok(());
        }
        let (Some(extent), goes_on) = self.cut(extent) else { return Ok(()) };
        if goes_on {
            let end = self.reach.days.end();
            flaws.note(entry.lines.first, false, format!("it ends far ahead, and is counted until {end}"));
            self.says_more_from(self.reach.until);
        }
        let limits = self.cx.limits;
        if self.listed.events.len() >= limits.occurrences {
            return Err(Refusal::TooLarge { what: Excess::Occurrences, limit: limits.occurrences as u64 });
        }
        let key = entry.uid.as_deref().map(|uid| EventKey { uid: uid.to_owned(), occurrence });
        // The texts are shared, but whoever keeps an occurrence keeps its name and its summary.
        let named = key.as_ref().map_or(0, |key| key.uid.len() + key.occurrence.as_ref().map_or(0, String::len));
        self.bytes = self.bytes.saturating_add(named + entry.summary.len());
        if self.bytes > limits.listed_bytes {
            return Err(Refusal::TooLarge { what: Excess::Listed, limit: limits.listed_bytes as u64 });
        }
        self.listed.events.push(FeedEvent {
            key,
            extent,
            summary: entry.summary.clone(),
            description: entry.description.clone(),
            status: entry.status,
            transparent: entry.transparent,
            busy_status: entry.busy_status,
            lines: entry.lines,
        });
        Ok(())
    }
}
