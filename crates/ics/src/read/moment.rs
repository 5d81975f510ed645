//! Dates, times and durations as feeds write them (RFC 5545 3.3.4 to 3.3.6), and as they shouldn't but do.
//!
//! Every part is checked against the calendar: the 13th month and the 30th of February are no dates.

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use crate::read::texts::trimmed;

/// Longer than any moment that is written in full.
const MAX_MOMENT: usize = 40;

/// A value of DTSTART and its like, not yet placed in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Day(Date),
    /// On the clock of the property's TZID, or floating.
    Local(DateTime),
    /// Written with `Z`, or with an offset, which RFC 5545 doesn't know but some write.
    Instant(Timestamp),
}

impl Moment {
    /// Reads `20261204`, `2026-12-04`, `20261204T150000`, `2026-12-04 15:00`, each time with `Z` or an offset or
    /// without. With `as_day`, midnight means the day (`VALUE=DATE:20261204T000000`).
    pub(crate) fn parse(text: &str, as_day: bool) -> Option<Self> {
        let (date, rest) = take_date(trimmed(text))?;
        let Some(time) = rest.strip_prefix(['T', 't', ' ']).map(str::trim_start) else {
            return rest.is_empty().then_some(Self::Day(date));
        };
        let (time, carry, zone) = take_time(time)?;
        let local = date.checked_add(i64::from(carry).days()).ok()?.to_datetime(time);
        let midnight = local.time() == Time::midnight();
        match zone {
            _ if as_day && midnight => Some(Self::Day(local.date())),
            None => Some(Self::Local(local)),
            Some(offset) => Some(Self::Instant(instant_of(offset, local))),
        }
    }

    /// Reads also what begins as a moment and goes on as something else (`20270110T100000Z;foo`,
    /// `20270110 (Sunday)`), or is quoted or escaped as a text is, and tells whether it was sound. A time that does not
    /// exist leaves its day.
    pub(crate) fn parse_leniently(text: &str, as_day: bool) -> Option<(Self, bool)> {
        let text = trimmed(text);
        if let Some(moment) = Self::parse(text, as_day) {
            return Some((moment, true));
        }
        let text = text.trim_start_matches(['"', '\'', '\\', ' ']);
        let longest = text.len().min(MAX_MOMENT);
        let beginnings = (8..=longest).rev().filter_map(|length| text.split_at_checked(length));
        // A date that goes on in digits is another number.
        let whole = beginnings.filter(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_digit()));
        whole.filter_map(|(beginning, _)| Self::parse(beginning, as_day)).next().map(|moment| (moment, false))
    }

    /// Whether this is a time that its own clock calls midnight.
    pub(crate) fn is_midnight(self) -> bool {
        match self {
            Self::Day(_) => false,
            Self::Local(local) => local.time() == Time::midnight(),
            Self::Instant(instant) => Offset::UTC.to_datetime(instant).time() == Time::midnight(),
        }
    }
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (head, rest) = text.split_at_checked(count)?;
    head.bytes().all(|byte| byte.is_ascii_digit()).then(|| head.parse().ok())?.map(|number| (number, rest))
}

fn take_date(text: &str) -> Option<(Date, &str)> {
    let (year, rest) = digits(text, 4)?;
    let (dashed, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let (month, rest) = digits(rest, 2)?;
    let rest = if dashed { rest.strip_prefix('-')? } else { rest };
    let (day, rest) = digits(rest, 2)?;
    let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some((date, rest))
}

/// A time of day, the days to add (24:00 is the next midnight), and the offset from UTC.
fn take_time(text: &str) -> Option<(Time, u8, Option<Offset>)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
    let (second, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2).unwrap_or((0, rest));
    let rest = match rest.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let zone = match rest.trim() {
        "" => None,
        "Z" | "z" => Some(Offset::UTC),
        offset => Some(parse_offset(offset)?),
    };
    let (hour, carry) = if (hour, minute, second) == (24, 0, 0) { (0, 1) } else { (hour, 0) };
    // A leap second is the last one of its minute (RFC 5545 3.3.12).
    let second = if second == 60 { 59 } else { second };
    let small = |number: i64| i8::try_from(number).ok();
    Some((Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?, carry, zone))
}

/// `+0100`, `-05:30`, `+013045` (RFC 5545 3.3.14).
pub(crate) fn parse_offset(text: &str) -> Option<Offset> {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
    let seconds = match rest.strip_prefix(':').unwrap_or(rest) {
        "" => 0,
        rest => digits(rest, 2).filter(|(_, rest)| rest.is_empty())?.0,
    };
    if minutes > 59 || seconds > 59 {
        return None;
    }
    Offset::from_seconds(i32::try_from(sign * (hours * 3600 + minutes * 60 + seconds)).ok()?).ok()
}

/// The instant of a local time on a fixed offset; at the edges of time the first or the last there is.
pub(crate) fn instant_of(offset: Offset, local: DateTime) -> Timestamp {
    offset.to_timestamp(local).unwrap_or(edge_of(local))
}

/// What stands for a local time that no instant can be told of: only the first and the last day have such.
pub(crate) fn edge_of(local: DateTime) -> Timestamp {
    if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX }
}

/// A DURATION: days follow the wall clock, the time beyond them does not (RFC 5545 3.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration {
    pub(crate) days: i64,
    pub(crate) time: SignedDuration,
}

impl Duration {
    /// Whole days of 24 hours, begun ones counted.
    pub(crate) fn days_begun(self) -> i64 {
        let seconds = self.time.as_secs();
        self.days + seconds.div_euclid(86_400) + i64::from(seconds.rem_euclid(86_400) > 0)
    }

    /// Where every day has 24 hours.
    pub(crate) fn seconds(self) -> i64 {
        self.days * 86_400 + self.time.as_secs()
    }
}

/// Further than the calendar reaches from end to end; what is longer is as long.
const MAX_DAYS: i64 = 8_000_000;

/// `P7D`, `P1W`, `PT26H`, `-P1D` (RFC 5545 3.3.6), and without its T (`P90M`: there are no months). Years are none.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut rest = rest.strip_prefix(['P', 'p'])?;
    let (mut days, mut seconds) = (0_i64, 0_i64);
    let mut any = false;
    while !rest.is_empty() {
        rest = rest.strip_prefix(['T', 't']).unwrap_or(rest);
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at_checked(length).filter(|_| length > 0)?;
        // More digits than a number has are a number too large.
        let number: i64 = digits.parse().unwrap_or(i64::MAX);
        let mut after = after.chars();
        let (sum, unit) = match after.next()?.to_ascii_uppercase() {
            'W' => (&mut days, 7),
            'D' => (&mut days, 1),
            'H' => (&mut seconds, 3600),
            'M' => (&mut seconds, 60),
            'S' => (&mut seconds, 1),
            _ => return None,
        };
        *sum = sum.saturating_add(number.saturating_mul(unit));
        rest = after.as_str();
        any = true;
    }
    let sign = if negative { -1 } else { 1 };
    let (days, seconds) = (sign * days.min(MAX_DAYS), sign * seconds.min(86_400 * MAX_DAYS));
    any.then_some(Duration { days, time: SignedDuration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_date_is_read_in_every_spelling_seen() {
        for text in ["20270110", "2027-01-10", " 20270110 "] {
            assert_eq!(Moment::parse(text, false), Some(Moment::Day(date(2027, 1, 10))), "{text}");
        }
        for text in ["20270110T000000", "20270110T000000Z", "2027-01-10T00:00:00"] {
            assert_eq!(Moment::parse(text, true), Some(Moment::Day(date(2027, 1, 10))), "{text}");
        }
        let local = Some(Moment::Local(date(2027, 1, 10).at(15, 30, 0, 0)));
        for text in ["20270110T153000", "20270110T1530", "2027-01-10 15:30", "2027-01-10T15:30:00.000"] {
            assert_eq!(Moment::parse(text, true), local, "{text}");
        }
        let instant = Some(Moment::Instant("2027-01-10T15:30:00Z".parse().unwrap()));
        for text in ["20270110T153000Z", "20270110T153000z", "20270110T163000+0100", "2027-01-10T16:30:00+01:00"] {
            assert_eq!(Moment::parse(text, false), instant, "{text}");
        }
    }

    #[test]
    fn an_impossible_date_is_none() {
        for text in [
            "20271332",
            "20270230",
            "20260229",
            "2027011",
            "202701100",
            "20270110T",
            "20270110T250000",
            "20270110T236000",
            "",
            "T000000",
            "２０２７０１１０",
            "20270110TZ",
            "2027-0110",
            "00000000",
            "-0010101",
        ] {
            assert_eq!(Moment::parse(text, false), None, "{text}");
        }
    }

    #[test]
    fn midnight_at_the_end_of_a_day_is_the_next_day() {
        assert_eq!(Moment::parse("20261231T240000", true), Some(Moment::Day(date(2027, 1, 1))));
    }

    #[test]
    fn what_is_glued_to_a_moment_does_not_lose_it() {
        let day = Moment::Day(date(2027, 1, 10));
        let instant = Moment::Instant("2027-01-10T10:00:00Z".parse().unwrap());
        for (text, moment) in [
            ("20270110 (Sunday)", day),
            ("20270110T250000", day),
            ("20270110TZ", day),
            ("20270110;foo", day),
            ("20270110T100000Z;foo", instant),
            ("20270110T100000Z\\n", instant),
            ("20270110T100000 (local)", Moment::Local(date(2027, 1, 10).at(10, 0, 0, 0))),
            ("20270110T100000+9900", Moment::Local(date(2027, 1, 10).at(10, 0, 0, 0))),
            ("20270110€", day),
        ] {
            assert_eq!(Moment::parse_leniently(text, false), Some((moment, false)), "{text}");
        }
        assert_eq!(Moment::parse_leniently("20270110", false), Some((day, true)));
        for text in ["", "202701100", "20271332", "soon 20270110", "2027011", "€€€€€€€€"] {
            assert_eq!(Moment::parse_leniently(text, false), None, "{text}");
        }
    }

    #[test]
    fn a_moment_at_the_edge_of_time_is_read() {
        assert_eq!(Moment::parse("99991231T235959Z", false), Some(Moment::Instant(Timestamp::MAX)));
        assert_eq!(Moment::parse("99991231T235959-2559", false), Some(Moment::Instant(Timestamp::MAX)));
        assert!(Moment::parse("00000101T000000+2559", false).is_some());
    }

    #[test]
    fn durations_are_read_as_rfc_5545_writes_them_and_as_they_are_meant() {
        let of = |days: i64, seconds: i64| Some(Duration { days, time: SignedDuration::from_secs(seconds) });
        for (text, duration) in [
            ("P2W", of(14, 0)),
            ("+P1DT2H3M4S", of(1, 7384)),
            ("-P1D", of(-1, 0)),
            ("P90M", of(0, 5400)),
            ("P1H", of(0, 3600)),
            ("PT3D", of(3, 0)),
            ("p1d", of(1, 0)),
            ("P99999999W", of(MAX_DAYS, 0)),
            ("-P99999999999999999999D", of(-MAX_DAYS, 0)),
            ("PT99999999999999999999S", of(0, 86_400 * MAX_DAYS)),
        ] {
            assert_eq!(parse_duration(text), duration, "{text}");
        }
        for text in ["", "P", "PT", "P1Y", "1D", "P1", "PD", "P-1D", "P1€", "soon"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
