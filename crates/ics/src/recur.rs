//! Recurrence rules (RFC 5545 3.3.10) behind a trait, and the guard that every rule passes before any engine sees it.
//!
//! Expansion is civil: on the wall clock of DTSTART. What a rule may cost is known before it is expanded, so that no
//! rule can take more than its share; nothing here looks at a clock.

use ical::recur::{IcalRecurDateTime, IcalRecurFreq, IcalRecurRule, expand::IcalRecurExpand};
use jiff::{
    ToSpan,
    civil::{Date, DateTime},
};

use crate::moment::Moment;

/// Why a rule is not expanded. Displays as the end of a sentence about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleRefusal {
    #[error("its repetition rule is not one of RFC 5545")]
    Malformed,
    #[error("it repeats more often than daily")]
    TooFrequent,
    #[error("its repetition rule is too long")]
    TooLong,
    #[error("its repetition rule has a part that is not understood")]
    UnknownPart,
    #[error("it repeats too often, or since too long ago, to be worked out")]
    TooMuchWork,
}

const MAX_BYTES: usize = 500;
const MAX_INTERVAL: u32 = 1000;
const MAX_LIST: usize = 62;
/// How far back from the last possible one a start is looked for that has the day of the month.
const MAX_STEPS_BACK: usize = 50;

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
}

impl Rule {
    /// # Errors
    /// When the guard does not let the rule pass.
    pub(crate) fn parse(text: &str) -> Result<Self, RuleRefusal> {
        let text = text.trim();
        if !text.is_ascii() {
            return Err(RuleRefusal::Malformed);
        }
        if text.len() > MAX_BYTES {
            return Err(RuleRefusal::TooLong);
        }
        let mut until = None;
        let mut items = 0;
        let mut kept = String::with_capacity(text.len());
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(RuleRefusal::Malformed)?;
            let name = name.trim().to_ascii_uppercase();
            match name.as_str() {
                "UNTIL" => {
                    until = Some(Moment::parse(value, false).ok_or(RuleRefusal::Malformed)?);
                    continue;
                }
                "FREQ" | "COUNT" | "INTERVAL" | "WKST" => {}
                "BYDAY" | "BYMONTHDAY" | "BYYEARDAY" | "BYWEEKNO" | "BYMONTH" | "BYSETPOS" => {
                    let length = value.split(',').count();
                    if length > MAX_LIST {
                        return Err(RuleRefusal::TooLong);
                    }
                    items += length as u64;
                }
                // One value each only says when on its day the event is.
                "BYHOUR" | "BYMINUTE" | "BYSECOND" if value.contains(',') => return Err(RuleRefusal::TooFrequent),
                "BYHOUR" | "BYMINUTE" | "BYSECOND" => {}
                "RSCALE" if value.trim().eq_ignore_ascii_case("GREGORIAN") => continue,
                "SKIP" if value.trim().eq_ignore_ascii_case("OMIT") => continue,
                _ => return Err(RuleRefusal::UnknownPart),
            }
            kept.push_str(&name);
            kept.push('=');
            kept.push_str(value.trim());
            kept.push(';');
        }
        let mut parsed = IcalRecurRule::parse(&kept).map_err(|_| RuleRefusal::Malformed)?;
        let count = parsed.count.take();
        let ordinals = parsed.by_day.iter().any(|day| day.ordinal.is_some());
        match parsed.freq {
            IcalRecurFreq::Secondly | IcalRecurFreq::Minutely | IcalRecurFreq::Hourly => {
                return Err(RuleRefusal::TooFrequent);
            }
            IcalRecurFreq::Daily | IcalRecurFreq::Weekly if ordinals => return Err(RuleRefusal::Malformed),
            _ => {}
        }
        if parsed.interval > MAX_INTERVAL {
            return Err(RuleRefusal::Malformed);
        }
        Ok(Self { parsed, until, count, items })
    }

    /// The last start at or before `day` from which the rule goes on exactly as it does from `start`: a rule without
    /// COUNT need not be walked through from its beginning. What a rule takes from its start is the time, the weekday
    /// (WEEKLY), the day of the month (MONTHLY) and the month (YEARLY), and those must stay.
    pub(crate) fn start_near(&self, start: DateTime, day: Date) -> DateTime {
        let interval = i64::from(self.parsed.interval);
        let days = days_between(start.date(), day);
        if self.count.is_some() || days <= 0 {
            return start;
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
    pub(crate) fn cost(&self, start: DateTime, last: DateTime) -> u64 {
        let days = u64::try_from(days_between(start.date(), last.date())).unwrap_or(0);
        (days / u64::from(self.parsed.interval.max(1)) + 366) * (1 + self.items)
    }
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
        IcalRecurExpand::new(parsed, to_engine(start)).map_while(from_engine).take_while(move |at| *at <= last)
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
    use std::{env, fs, path::PathBuf};

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
    fn a_rule_that_could_run_away_is_refused() {
        for (rule, refusal) in [
            ("FREQ=SECONDLY", RuleRefusal::TooFrequent),
            ("FREQ=HOURLY;COUNT=2", RuleRefusal::TooFrequent),
            ("FREQ=DAILY;BYHOUR=1,2", RuleRefusal::TooFrequent),
            ("FREQ=DAILY;BYDAY=€", RuleRefusal::Malformed),
            ("FREQ=DAILY;BYDAY=1MO", RuleRefusal::Malformed),
            ("FREQ=DAILY;INTERVAL=0", RuleRefusal::Malformed),
            ("FREQ=DAILY;INTERVAL=1001", RuleRefusal::Malformed),
            ("FREQ=DAILY;UNTIL=20270230", RuleRefusal::Malformed),
            ("INTERVAL=2", RuleRefusal::Malformed),
            ("FREQ=DAILY;BYEASTER=1", RuleRefusal::UnknownPart),
            ("RSCALE=HEBREW;FREQ=YEARLY", RuleRefusal::UnknownPart),
        ] {
            assert_eq!(Rule::parse(rule).err(), Some(refusal), "{rule}");
        }
        let many = format!("FREQ=YEARLY;BYYEARDAY={}", vec!["1"; 63].join(","));
        assert_eq!(Rule::parse(&many).err(), Some(RuleRefusal::TooLong));
        let long = format!("FREQ=YEARLY;BYYEARDAY={}", vec!["100"; 200].join(","));
        assert_eq!(Rule::parse(&long).err(), Some(RuleRefusal::TooLong));
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
        let counted = Rule::parse("FREQ=DAILY;COUNT=3").unwrap();
        assert_eq!(counted.start_near(start, day), start);
    }

    /// The oracle lives beside the project and is never copied into it.
    fn oracle() -> Option<String> {
        const NAME: &str = "recurrence-consensus.tsv";
        let told = env::var_os("CALMESH_SHARED").map(PathBuf::from).map(|shared| shared.join("data").join(NAME));
        let above = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("shared").join("data").join(NAME))
            .find(|file| file.is_file());
        fs::read_to_string(told.or(above)?).ok()
    }

    #[test]
    fn rules_are_expanded_as_dateutil_and_libical_agree_to() {
        let Some(oracle) = oracle() else {
            println!("the recurrence oracle is absent: set CALMESH_SHARED to the folder that holds data/");
            return;
        };
        let civil = |text: &str| match Moment::parse(text, false) {
            Some(Moment::Day(day)) => day.at(0, 0, 0, 0),
            Some(Moment::Local(local)) => local,
            other => panic!("{text} is {other:?}"),
        };
        let (mut agreed, mut guarded, mut wrong) = (0, 0, Vec::new());
        for case in oracle.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut fields = case.split('\t');
            let (start, rule, expected) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap_or(""));
            if Rule::parse(rule).is_err() {
                guarded += 1;
                continue;
            }
            let expected: Vec<_> = expected.split(',').filter(|text| !text.is_empty()).map(civil).collect();
            if first(rule, civil(start), 12) == expected { agreed += 1 } else { wrong.push(case) }
        }
        println!("{agreed} cases agree, {guarded} are beyond the guard");
        assert_eq!(wrong, Vec::<&str>::new());
        assert!(agreed > 1_500, "only {agreed} cases pass the guard");
    }
}
