//! Recurrence rules (RFC 5545 3.3.10) behind a trait, and the guard that every rule passes before any engine sees it.
//!
//! Expansion is civil: on the wall clock of DTSTART. What a rule may cost is known before it is expanded, so that no
//! rule can take more than its share; nothing here looks at a clock.

use ical::recur::{IcalRecurDateTime, IcalRecurFreq, IcalRecurRule, expand::IcalRecurExpand};
use jiff::{
    SignedDuration, ToSpan,
    civil::{Date, DateTime},
};

use crate::read::moment::Moment;

/// Why a rule is not expanded. Displays as the end of a sentence about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleRefusal {
    #[error("its repetition rule says not how often")]
    NoFrequency,
    #[error("its repetition rule is of a calendar that is not known")]
    OtherCalendar,
    #[error("the positions in its repetition rule can't be read")]
    NoPosition,
    #[error("its repetition rule is too long")]
    TooLong,
    #[error("it repeats too often, or since too long ago, to be worked out")]
    TooMuchWork,
}

/// What of a rule was passed over. What is left is expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassedOver {
    Nothing,
    /// What could only take occurrences away.
    Exceptions,
    /// What might have said something else.
    Parts,
}

const MAX_BYTES: usize = 4_000;
/// Values of one BY list: a day of the year each.
const MAX_LIST: usize = 366;
/// Times of one day.
const MAX_TIMES: usize = 100;
/// How far back from the last possible one a start is looked for that has the day of the month.
const MAX_STEPS_BACK: usize = 50;
/// Units of [`Rule::cost`] that one rule may take: a daily rule since 1604 takes 160,000.
const MAX_COST: u64 = 5_000_000;
/// Units of [`Rule::cost`] that all rules of a feed may take together: about a second.
pub(crate) const MAX_WORK: u64 = 50_000_000;
/// Steps that a rule below a day may take: every hour of two years, twice.
const MAX_STEPS: u64 = 50_000;
/// An interval beyond which no rule is entered late; steps of that length could leave the calendar.
const MAX_INTERVAL_ENTERED_LATE: u32 = 1_000;

/// A rule that passed the guard.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    parsed: IcalRecurRule,
    /// UNTIL as it stands; only the event knows its clock.
    pub(crate) until: Option<Moment>,
    /// COUNT.
    pub(crate) count: Option<u32>,
    /// Values in its BY lists: what one day costs to look at.
    items: u64,
    /// Times that it has on one day; of a rule below a day, none.
    times: u64,
    pub(crate) passed_over: PassedOver,
}

/// The parts of a rule as it is rewritten for the engine.
struct Parts {
    rewritten: String,
    until: Option<Moment>,
    count: Option<u32>,
    items: u64,
    /// Times of one day, so far.
    times: usize,
    passed_over: PassedOver,
}

impl Parts {
    fn lose(&mut self, what: PassedOver) {
        if self.passed_over != PassedOver::Parts {
            self.passed_over = what;
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        self.rewritten.push_str(name);
        self.rewritten.push('=');
        self.rewritten.push_str(value);
        self.rewritten.push(';');
    }

    /// The values of a list that can be read, each once; without any the part is passed over as a whole.
    fn push_list(&mut self, name: &str, values: &str, read: impl Fn(&str) -> Option<String>) -> usize {
        let values = values.split(',').map(str::trim).filter(|value| !value.is_empty());
        let mut known = Vec::new();
        for value in values {
            match read(value) {
                Some(value) if known.contains(&value) => {}
                Some(value) if known.len() < MAX_LIST => known.push(value),
                _ => self.lose(PassedOver::Parts),
            }
        }
        if known.is_empty() {
            self.lose(PassedOver::Parts);
        } else {
            self.items += known.len() as u64;
            self.push(name, &known.join(","));
        }
        known.len()
    }

    /// What a rule says, each name once: of two the first counts.
    fn said<'t>(&mut self, text: &'t str) -> Vec<(&'t str, &'t str)> {
        let mut said: Vec<(&str, &str)> = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, _)) if said.iter().any(|(known, _)| *known == name.trim()) => self.lose(PassedOver::Parts),
                Some((name, value)) => said.push((name.trim(), value.trim())),
                None => self.lose(PassedOver::Parts),
            }
        }
        said
    }

    /// Takes one part, as far as it can be read; `counted` is whether weekdays of this rule are counted.
    fn take(&mut self, name: &str, value: &str, counted: bool) -> Result<(), RuleRefusal> {
        match name {
            "FREQ" => self.push(name, value),
            "UNTIL" => {
                let until = Moment::parse_leniently(value, false);
                self.until = until.map(|(moment, _)| moment);
                if !until.is_some_and(|(_, sound)| sound) {
                    self.lose(PassedOver::Parts);
                }
            }
            "COUNT" => match read_number(value) {
                Some(number) => self.count = Some(number),
                None => self.lose(PassedOver::Parts),
            },
            "INTERVAL" => match read_number(value) {
                Some(number) => self.push(name, &number.to_string()),
                // Every one blocks more than every so many.
                None => self.lose(PassedOver::Parts),
            },
            "WKST" => match weekday(value, false) {
                Some(day) if day.len() == value.len() => self.push(name, &day),
                _ => self.lose(PassedOver::Parts),
            },
            "BYDAY" => _ = self.push_list(name, value, |value| weekday(value, counted)),
            "BYMONTHDAY" => _ = self.push_list(name, value, |value| number(value, 1, 31, true)),
            "BYYEARDAY" => _ = self.push_list(name, value, |value| number(value, 1, 366, true)),
            "BYWEEKNO" => _ = self.push_list(name, value, |value| number(value, 1, 53, true)),
            "BYMONTH" => _ = self.push_list(name, value, |value| number(value, 1, 12, false)),
            // Without its positions a rule may be every day, which would be too much.
            "BYSETPOS" => {
                if self.push_list(name, value, |value| number(value, 1, 366, true)) == 0 {
                    return Err(RuleRefusal::NoPosition);
                }
            }
            "BYHOUR" => self.take_times(name, value, 23),
            "BYMINUTE" | "BYSECOND" => self.take_times(name, value, 59),
            "RSCALE" if value == "GREGORIAN" => self.push(name, value),
            "RSCALE" => return Err(RuleRefusal::OtherCalendar),
            "SKIP" if ["OMIT", "FORWARD", "BACKWARD"].contains(&value) => self.push(name, value),
            // It takes away, and stands where no reader looks for it.
            "EXDATE" => self.lose(PassedOver::Exceptions),
            _ => self.lose(PassedOver::Parts),
        }
        Ok(())
    }

    /// Takes the hours, minutes or seconds of a day.
    fn take_times(&mut self, name: &str, value: &str, most: i32) {
        let count = value.split(',').count().min(MAX_LIST);
        if self.times * count > MAX_TIMES {
            self.lose(PassedOver::Parts);
        } else {
            self.times *= self.push_list(name, value, |value| number(value, 0, most, false)).max(1);
        }
    }
}

/// A whole number of a list, from `least` to `most`, or counted from the end.
fn number(value: &str, least: i32, most: i32, signed: bool) -> Option<String> {
    let number: i32 = value.parse().ok()?;
    let size = if signed { number.checked_abs()? } else { number };
    (least <= size && size <= most).then(|| number.to_string())
}

/// `MO`, `1MO`, `-1MO`; days and weeks have no first Monday, and mean every one.
fn weekday(value: &str, counted: bool) -> Option<String> {
    let (ordinal, day) = value.split_at_checked(value.len().checked_sub(2)?)?;
    if !["MO", "TU", "WE", "TH", "FR", "SA", "SU"].contains(&day) {
        return None;
    }
    match ordinal {
        "" => Some(day.to_owned()),
        ordinal => match number(ordinal, 1, 53, true) {
            Some(ordinal) if counted => Some(format!("{ordinal}{day}")),
            Some(_) => Some(day.to_owned()),
            None => None,
        },
    }
}

impl Rule {
    /// Reads as much of a rule as can be read. What is left out leaves more blocked rather than less where it only takes
    /// away, and is told of in `passed_over`.
    ///
    /// # Errors
    /// When nothing is left that could be expanded: the start of the event counts alone.
    pub(crate) fn parse(text: &str) -> Result<Self, RuleRefusal> {
        if text.len() > MAX_BYTES {
            return Err(RuleRefusal::TooLong);
        }
        let text: String = text.trim().to_ascii_uppercase().chars().filter(|c| *c != '"').collect();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text);
        let passed_over = PassedOver::Nothing;
        let mut parts = Parts { rewritten: String::new(), until: None, count: None, items: 0, times: 1, passed_over };
        let said = parts.said(text);
        let freq = said.iter().find(|(name, _)| *name == "FREQ").and_then(|(_, freq)| freq.parse().ok());
        let freq: IcalRecurFreq = freq.ok_or(RuleRefusal::NoFrequency)?;
        let counted = matches!(freq, IcalRecurFreq::Monthly | IcalRecurFreq::Yearly);
        for (name, value) in said {
            parts.take(name, value, counted)?;
        }
        let Parts { rewritten, until, count, items, times, passed_over } = parts;
        let parsed = IcalRecurRule::parse(&rewritten).map_err(|_| RuleRefusal::NoFrequency)?;
        let times = if seconds_of(freq).is_some() { 0 } else { times as u64 };
        Ok(Self { parsed, until, count, items, times, passed_over })
    }

    /// Whether it may have several starts on one day.
    pub(crate) fn is_finer_than_days(&self) -> bool {
        self.times != 1
    }

    /// Whether COUNT may end it before `last`; one that can't need not be counted.
    pub(crate) fn may_run_out(&self, start: DateTime, last: DateTime) -> bool {
        let days = u64::try_from(days_between(start.date(), last.date())).unwrap_or(0) + 2;
        let a_day = if self.times == 0 { 86_400 } else { self.times };
        self.count.is_some_and(|count| u64::from(count) <= days * a_day + 1)
    }

    /// The last start at or before `day` from which the rule goes on exactly as it does from `start`: a rule that is not
    /// counted need not be walked through from its beginning. What a rule takes from its start is the time, the weekday
    /// (WEEKLY), the day of the month (MONTHLY) and the month (YEARLY), and those must stay.
    pub(crate) fn start_near(&self, start: DateTime, day: Date) -> DateTime {
        let days = days_between(start.date(), day);
        if days <= 0 || self.parsed.interval > MAX_INTERVAL_ENTERED_LATE {
            return start;
        }
        let interval = i64::from(self.parsed.interval);
        if let Some(seconds) = seconds_of(self.parsed.freq) {
            let step = seconds * interval;
            let ahead = SignedDuration::from_secs((days - 1) * 86_400 / step * step);
            return start.checked_add(ahead).unwrap_or(start);
        }
        // No month is longer than 31 days, so that the steps never lead beyond `day`.
        let (steps, unit) = match self.parsed.freq {
            IcalRecurFreq::Daily => (days / interval, interval.days()),
            IcalRecurFreq::Weekly => (days / (7 * interval), (7 * interval).days()),
            IcalRecurFreq::Monthly => (days / (31 * interval), interval.months()),
            // The weekday of the start may say which day of a week is meant.
            IcalRecurFreq::Yearly if self.parsed.by_week_no.is_empty() => (days / (366 * interval), interval.years()),
            _ => return start,
        };
        // From the 31st there is not a start in every month, from 29 February not in every year.
        (0..=steps)
            .rev()
            .take(MAX_STEPS_BACK)
            .filter_map(|steps| start.checked_add(unit.checked_mul(steps).ok()?).ok())
            .find(|near| near.day() == start.day() || self.counts_in_days())
            .unwrap_or(start)
    }

    fn counts_in_days(&self) -> bool {
        matches!(self.parsed.freq, IcalRecurFreq::Daily | IcalRecurFreq::Weekly)
    }

    /// What it costs to expand from `start` to `last`: days looked at, times what there is to compare each with.
    ///
    /// # Errors
    /// When it is more than one rule may ask for.
    pub(crate) fn cost(&self, start: DateTime, last: DateTime) -> Result<u64, RuleRefusal> {
        let days = u64::try_from(days_between(start.date(), last.date())).unwrap_or(0);
        let interval = u64::from(self.parsed.interval.max(1));
        let steps = match seconds_of(self.parsed.freq) {
            Some(seconds) => (days + 1) * 86_400 / (seconds.unsigned_abs() * interval),
            None => 0,
        };
        let cost = (days / interval + steps + 366) * (1 + self.items) * self.times.max(1);
        if steps > MAX_STEPS || cost > MAX_COST { Err(RuleRefusal::TooMuchWork) } else { Ok(cost) }
    }
}

/// Seconds of the step of a rule below a day.
fn seconds_of(freq: IcalRecurFreq) -> Option<i64> {
    match freq {
        IcalRecurFreq::Secondly => Some(1),
        IcalRecurFreq::Minutely => Some(60),
        IcalRecurFreq::Hourly => Some(3600),
        _ => None,
    }
}

/// COUNT or INTERVAL: 0 is none, and what is too large is as large as can be.
fn read_number(value: &str) -> Option<u32> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().unwrap_or(u32::MAX);
    (is_number && number > 0).then_some(number)
}

fn days_between(from: Date, to: Date) -> i64 {
    from.until((jiff::Unit::Day, to)).map_or(0, |span| i64::from(span.get_days()))
}

/// Expands rules in civil time.
pub(crate) trait Recurrence {
    /// The starts that a rule generates, in order, none before `start` and none after `last`. COUNT and UNTIL are
    /// the caller's, and so is a start that its rule does not generate.
    fn instances(&self, rule: &Rule, start: DateTime, last: DateTime) -> impl Iterator<Item = DateTime> + use<Self>;
}

/// The engine of `ical-rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IcalRs;

impl Recurrence for IcalRs {
    fn instances(&self, rule: &Rule, start: DateTime, last: DateTime) -> impl Iterator<Item = DateTime> + use<> {
        let mut parsed = rule.parsed.clone();
        parsed.until = Some(to_engine(last));
        let mut before = None;
        IcalRecurExpand::new(parsed, to_engine(start))
            .map_while(from_engine)
            .take_while(move |at| *at <= last)
            // A day that SKIP moves may fall on one that the next month has by itself.
            .filter(move |at| before.replace(*at) != Some(*at))
    }
}

fn to_engine(at: DateTime) -> IcalRecurDateTime {
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    IcalRecurDateTime {
        year: i32::from(at.year()),
        month: small(at.month()),
        day: small(at.day()),
        hour: small(at.hour()),
        minute: small(at.minute()),
        second: small(at.second()),
    }
}

fn from_engine(at: IcalRecurDateTime) -> Option<DateTime> {
    let small = |number: u8| i8::try_from(number).ok();
    let second = small(at.second)?.min(59);
    let year = i16::try_from(at.year).ok()?;
    DateTime::new(year, small(at.month)?, small(at.day)?, small(at.hour)?, small(at.minute)?, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn first(rule: &str, start: DateTime, count: usize) -> Vec<DateTime> {
        let rule = Rule::parse(rule).unwrap();
        let count = count.min(rule.count.map_or(count, |count| usize::try_from(count).unwrap()));
        let last = match rule.until {
            Some(Moment::Day(day)) => day.at(23, 59, 59, 0),
            Some(Moment::Local(local)) => local,
            Some(Moment::Instant(instant)) => jiff::tz::Offset::UTC.to_datetime(instant),
            None => date(9999, 12, 31).at(0, 0, 0, 0),
        };
        IcalRs.instances(&rule, start, last).take(count).collect()
    }

    #[test]
    fn a_rule_of_which_nothing_is_understood_is_refused() {
        for (rule, refusal) in [
            ("INTERVAL=2", RuleRefusal::NoFrequency),
            ("FREQ=FORTNIGHTLY", RuleRefusal::NoFrequency),
            ("nonsense", RuleRefusal::NoFrequency),
            ("€", RuleRefusal::NoFrequency),
            ("RSCALE=HEBREW;FREQ=YEARLY", RuleRefusal::OtherCalendar),
            ("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=400", RuleRefusal::NoPosition),
        ] {
            assert_eq!(Rule::parse(rule).err(), Some(refusal), "{rule}");
        }
        let long = format!("FREQ=YEARLY;BYYEARDAY={}", vec!["100"; 2_000].join(","));
        assert_eq!(Rule::parse(&long).err(), Some(RuleRefusal::TooLong));
    }

    #[test]
    fn a_part_that_is_not_understood_is_passed_over_and_told_of() {
        for (rule, plain) in [
            ("FREQ=DAILY;BYEASTER=1", "FREQ=DAILY"),
            ("FREQ=DAILY;INTERVAL=0", "FREQ=DAILY"),
            ("FREQ=DAILY;INTERVAL=two", "FREQ=DAILY"),
            ("FREQ=DAILY;COUNT=0", "FREQ=DAILY"),
            ("FREQ=DAILY;UNTIL=20270230", "FREQ=DAILY"),
            ("FREQ=DAILY;UNTIL=20270220;COUNT", "FREQ=DAILY;UNTIL=20270220"),
            ("FREQ=DAILY;UNTIL=20270220 (Saturday)", "FREQ=DAILY;UNTIL=20270220"),
            ("FREQ=DAILY;BYDAY=€", "FREQ=DAILY"),
            ("FREQ=WEEKLY;BYDAY=MO,XX,TU", "FREQ=WEEKLY;BYDAY=MO,TU"),
            ("FREQ=WEEKLY;WKST=XX", "FREQ=WEEKLY"),
            ("FREQ=MONTHLY;BYMONTHDAY=32,0,1", "FREQ=MONTHLY;BYMONTHDAY=1"),
            ("FREQ=MONTHLY;BYMONTHDAY=99999999999", "FREQ=MONTHLY"),
            ("FREQ=MONTHLY;SKIP=SIDEWAYS", "FREQ=MONTHLY"),
            ("FREQ=DAILY;FREQ=WEEKLY", "FREQ=DAILY"),
        ] {
            let (rule, plain) = (Rule::parse(rule).expect(rule), Rule::parse(plain).unwrap());
            assert_eq!(rule.passed_over, PassedOver::Parts, "{rule:?}");
            assert_eq!((rule.parsed, rule.until, rule.count), (plain.parsed, plain.until, plain.count));
        }
        let exceptions = Rule::parse("FREQ=WEEKLY;BYDAY=SU;EXDATE=20270411").unwrap();
        assert_eq!(exceptions.passed_over, PassedOver::Exceptions);
    }

    #[test]
    fn a_rule_is_understood_however_it_is_written() {
        for (rule, plain) in [
            ("RRULE:FREQ=DAILY", "FREQ=DAILY"),
            ("freq=weekly;byday=mo", "FREQ=WEEKLY;BYDAY=MO"),
            ("FREQ=WEEKLY;BYDAY=\"MO,TU\"", "FREQ=WEEKLY;BYDAY=MO,TU"),
            ("FREQ=WEEKLY; BYDAY=MO, TU ;;", "FREQ=WEEKLY;BYDAY=MO,TU"),
            // Weeks and days have no first Monday.
            ("FREQ=WEEKLY;BYDAY=1MO", "FREQ=WEEKLY;BYDAY=MO"),
            ("FREQ=DAILY;BYDAY=-1MO", "FREQ=DAILY;BYDAY=MO"),
            ("FREQ=YEARLY;BYMONTH=06", "FREQ=YEARLY;BYMONTH=6"),
            ("FREQ=DAILY;COUNT=99999999999", "FREQ=DAILY;COUNT=4294967295"),
            ("FREQ=DAILY;INTERVAL=99999999999", "FREQ=DAILY;INTERVAL=4294967295"),
        ] {
            let (rule, plain) = (Rule::parse(rule).expect(rule), Rule::parse(plain).unwrap());
            assert_eq!(rule.passed_over, PassedOver::Nothing, "{rule:?}");
            assert_eq!((rule.parsed, rule.until, rule.count), (plain.parsed, plain.until, plain.count));
        }
    }

    #[test]
    fn what_a_rule_may_cost_is_bounded_whatever_it_says() {
        let (start, last) = (date(1970, 1, 1).at(0, 0, 0, 0), date(2029, 1, 1).at(0, 0, 0, 0));
        for rule in ["FREQ=SECONDLY", "FREQ=MINUTELY;COUNT=4", "FREQ=HOURLY;INTERVAL=2"] {
            assert_eq!(Rule::parse(rule).unwrap().cost(start, last), Err(RuleRefusal::TooMuchWork), "{rule}");
        }
        let times = (0..60).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        let rule = Rule::parse(&format!("FREQ=YEARLY;BYMINUTE={times};BYSECOND={times}")).unwrap();
        assert_eq!((rule.times, rule.passed_over), (60, PassedOver::Parts));
        for interval in [1_u32, 1000, 1001, 7_304_485, u32::MAX] {
            for freq in ["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"] {
                let rule = Rule::parse(&format!("FREQ={freq};INTERVAL={interval}")).unwrap();
                let near = rule.start_near(start, last.date());
                assert!(IcalRs.instances(&rule, near, last).take(100_000).all(|at| at <= last), "{rule:?}");
            }
        }
    }

    #[test]
    fn a_day_that_a_month_lacks_is_moved_as_rfc_7529_wants() {
        let days = |rule: &str, start: Date, count: usize| -> Vec<String> {
            first(rule, start.at(0, 0, 0, 0), count).iter().map(|at| at.date().to_string()).collect()
        };
        let end = date(2027, 1, 31);
        assert_eq!(
            days("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=BACKWARD", end, 4),
            ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]
        );
        assert_eq!(
            days("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=FORWARD", end, 4),
            ["2027-01-31", "2027-03-01", "2027-03-31", "2027-05-01"]
        );
        assert_eq!(days("RSCALE=gregorian;FREQ=MONTHLY;SKIP=OMIT", end, 2), ["2027-01-31", "2027-03-31"]);
        let leap = date(2028, 2, 29);
        assert_eq!(days("RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=BACKWARD", leap, 2), ["2028-02-29", "2029-02-28"]);
        assert_eq!(days("RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=FORWARD", leap, 2), ["2028-02-29", "2029-03-01"]);
        // The first of March is one day, though two months mean it.
        assert_eq!(
            days("FREQ=MONTHLY;BYMONTHDAY=1,30;SKIP=FORWARD", date(2027, 2, 1), 4),
            ["2027-02-01", "2027-03-01", "2027-03-30", "2027-04-01"]
        );
    }

    #[test]
    fn a_rule_may_be_entered_late_without_losing_its_step() {
        let start = date(2001, 2, 3).at(9, 0, 0, 0);
        let day = date(2026, 12, 30);
        let last = date(2027, 6, 1).at(0, 0, 0, 0);
        for rule in [
            "FREQ=DAILY",
            "FREQ=DAILY;INTERVAL=7;BYMONTH=1,3",
            "FREQ=WEEKLY;INTERVAL=3;BYDAY=TU,SU;WKST=SU",
            "FREQ=WEEKLY;INTERVAL=2",
            "FREQ=MONTHLY",
            "FREQ=MONTHLY;INTERVAL=5",
            "FREQ=MONTHLY;BYDAY=-1SU;BYMONTH=1,2,6",
            "FREQ=YEARLY",
            "FREQ=YEARLY;INTERVAL=2",
            "FREQ=YEARLY;BYMONTH=3,4",
            "FREQ=YEARLY;BYWEEKNO=5,6",
            "FREQ=YEARLY;BYDAY=20MO,-1TU",
            "FREQ=YEARLY;BYYEARDAY=1,-1,200;BYSETPOS=-1",
        ] {
            let rule = Rule::parse(rule).unwrap();
            for start in [
                start,
                date(1604, 2, 29).at(9, 0, 0, 0),
                date(2000, 1, 31).at(9, 0, 0, 0),
                date(2019, 12, 30).at(9, 0, 0, 0),
            ] {
                let near = rule.start_near(start, day);
                assert!(near >= start && near <= day.at(9, 0, 0, 0), "{rule:?}");
                let all: Vec<_> = IcalRs.instances(&rule, start, last).filter(|at| at.date() >= day).collect();
                let late: Vec<_> = IcalRs.instances(&rule, near, last).filter(|at| at.date() >= day).collect();
                assert_eq!(all, late, "{rule:?} from {start}");
            }
        }
        let birthday = Rule::parse("FREQ=YEARLY").unwrap();
        assert!(birthday.start_near(date(1604, 2, 29).at(0, 0, 0, 0), day) > date(2015, 1, 1).at(0, 0, 0, 0));
        let runs_out = |rule: &str| Rule::parse(rule).unwrap().may_run_out(start, last);
        assert!(runs_out("FREQ=DAILY;COUNT=9000") && !runs_out("FREQ=DAILY;COUNT=90000") && !runs_out("FREQ=DAILY"));
    }

    #[test]
    fn rules_are_expanded_as_two_others_agree_to() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/recurrence/agreed.tsv");
        let oracle = std::fs::read_to_string(file).expect("the oracle is part of the repository");
        let civil = |text: &str| match Moment::parse(text, false) {
            Some(Moment::Local(local)) => local,
            other => panic!("{text} is {other:?}"),
        };
        let (mut agreed, mut wrong) = (0, Vec::new());
        for case in oracle.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut fields = case.split('\t');
            let (start, rule, expected) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap_or(""));
            let expected: Vec<_> = expected.split(',').filter(|text| !text.is_empty()).map(civil).collect();
            let listed: Vec<_> = first(rule, civil(start), 8).into_iter().filter(|at| at.year() < 2200).collect();
            if listed == expected { agreed += 1 } else { wrong.push(case) }
        }
        assert_eq!(wrong, Vec::<&str>::new());
        assert!(agreed > 3_000, "only {agreed} cases");
    }
}
