//! Dates, times and durations as feeds write them (RFC 5545 3.3.4 to 3.3.6), and as they shouldn't but do.
//!
//! Every part is checked against the calendar: the 13th month and the 30th of February are no dates.

use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

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
        let text = text.trim();
        let (date, rest) = take_date(text)?;
        let Some(time) = rest.strip_prefix(['T', 't', ' ']).map(str::trim_start) else {
            return rest.is_empty().then_some(Self::Day(date));
        };
        let (time, carry, zone) = take_time(time)?;
        let local = date.checked_add(i64::from(carry).days()).ok()?.to_datetime(time);
        let midnight = local.time() == Time::midnight();
        match zone {
            _ if as_day && midnight => Some(Self::Day(local.date())),
            None => Some(Self::Local(local)),
            Some(offset) => offset.to_timestamp(local).ok().map(Self::Instant),
        }
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

/// `P7D`, `P1W`, `PT26H`, `-P1D` (RFC 5545 3.3.6). Months and years, which it lacks, are no duration.
pub(crate) fn parse_duration(text: &str) -> Option<Span> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.strip_prefix(['P', 'p'])?;
    let (days, times) = rest.split_once(['T', 't']).unwrap_or((rest, ""));
    let mut span = Span::new();
    let mut any = false;
    for (part, units) in [(days, "WD"), (times, "HMS")] {
        let mut part = part;
        while !part.is_empty() {
            let length = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = digits(part, length).filter(|_| length > 0)?;
            let unit = rest.chars().next()?.to_ascii_uppercase();
            if !units.contains(unit) {
                return None;
            }
            span = match unit {
                'W' => span.try_weeks(number),
                'D' => span.try_days(number),
                'H' => span.try_hours(number),
                'M' => span.try_minutes(number),
                _ => span.try_seconds(number),
            }
            .ok()?;
            any = true;
            part = rest.get(1..)?;
        }
    }
    any.then(|| if negative { span.negate() } else { span })
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
    fn durations_are_read_as_rfc_5545_writes_them() {
        assert_eq!(parse_duration("P2W").map(|span| span.fieldwise()), Some(2.weeks().fieldwise()));
        assert_eq!(
            parse_duration("+P1DT2H3M4S").map(|span| span.fieldwise()),
            Some(1.day().hours(2).minutes(3).seconds(4).fieldwise())
        );
        assert_eq!(parse_duration("-P1D").map(|span| span.fieldwise()), Some((-1).days().fieldwise()));
        for text in ["", "P", "PT", "P1M", "P1Y", "1D", "P1", "PD", "P-1D", "P99999999999999999999D", "P1H"] {
            assert_eq!(parse_duration(text).map(|span| span.fieldwise()), None, "{text}");
        }
    }
}
