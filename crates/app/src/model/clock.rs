//! Stored instants and the present one: a clock may have been wrong when something was written.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp, Unit};

/// Clocks of machines that work together differ by less. What is dated later than that after the present was written
/// by a clock that was ahead, and orders nothing.
pub const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

/// Whether a stored instant lies in the future, where nothing can have happened.
#[must_use]
pub fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > CLOCKS_DIFFER
}

/// An instant at which something happened; none where a wrong clock wrote it.
#[must_use]
pub fn happened(at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    at.filter(|at| !is_ahead(*at, now))
}

/// Watches a clock that can be set beside one that only runs.
#[derive(Debug, Default)]
pub struct ClockWatch {
    seen: Option<(Timestamp, Duration)>,
}

/// How far a clock was set, beyond what passed; forward also where the machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    pub by: SignedDuration,
    pub to: Timestamp,
}

impl ClockWatch {
    /// Looks at both clocks again, and answers a jump since the last look. `ran` is for how long the other one runs.
    pub fn look(&mut self, now: Timestamp, ran: Duration) -> Option<Jump> {
        let (then, had_run) = self.seen.replace((now, ran))?;
        let passed = SignedDuration::try_from(ran.saturating_sub(had_run)).unwrap_or(SignedDuration::MAX);
        let by = now.duration_since(then).saturating_sub(passed);
        (by.unsigned_abs() > CLOCKS_DIFFER.unsigned_abs()).then_some(Jump { by, to: now })
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.by.abs();
        let by = by.round(Unit::Minute).unwrap_or(by);
        match self.by.is_negative() {
            true => write!(
                f,
                "the clock was set back by {by:#}, to {}: what was written meanwhile is dated ahead, and counts as never read",
                self.to
            ),
            false => write!(f, "the clock was set forward by {by:#}, to {}, or this machine slept", self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_jump_of_the_clock_is_told_once_and_in_both_directions() {
        let mut watch = ClockWatch::default();
        let ran = |seconds: u64| Duration::from_secs(seconds);
        assert_eq!(watch.look(at("2026-12-04T10:00:00Z"), ran(5)), None, "nothing to compare with");
        assert_eq!(watch.look(at("2026-12-04T11:00:00Z"), ran(3605)), None, "an hour passed");
        assert_eq!(watch.look(at("2026-12-04T11:05:00Z"), ran(3606)), None, "clocks are set a little");
        let back = watch.look(at("2026-12-04T08:05:01Z"), ran(3607)).unwrap();
        assert!(back.to_string().starts_with("the clock was set back by 3h, to 2026-12-04T08:05:01Z"), "{back}");
        assert_eq!(watch.look(at("2026-12-04T08:05:02Z"), ran(3608)), None, "told already");
        let forward = watch.look(at("2026-12-07T08:05:03Z"), ran(3609)).unwrap();
        let told = "the clock was set forward by 72h, to 2026-12-07T08:05:03Z, or this machine slept";
        assert_eq!(forward.to_string(), told);
    }

    #[test]
    fn the_ends_of_time_are_jumps_like_any_other() {
        let mut watch = ClockWatch::default();
        assert_eq!(watch.look(Timestamp::MIN, Duration::ZERO), None);
        assert!(watch.look(Timestamp::MAX, Duration::MAX).is_some());
        assert!(watch.look(Timestamp::MIN, Duration::MAX).is_some());
        assert_eq!(watch.look(Timestamp::MIN, Duration::ZERO), None, "the other clock never runs back");
    }
}
