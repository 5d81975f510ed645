//! When what is read: which runs of buckets a step of the timer announces, and which of its sweeps read a connection.
//! All of it follows from the time and from ids.

use calmesh_calendar::ConnectionId;
use jiff::SignedDuration;

use crate::model::{FetchState, Provider, bucket_of};

/// The fixed number of buckets.
pub const BUCKETS: u16 = 4096;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// When a shard is due in the period of this number, in seconds since 1970.
pub(crate) fn due_at(shard: i64, number: i64, period: i64, shards: u16) -> i64 {
    number.saturating_mul(period).saturating_add(shard.saturating_mul(period) / i64::from(shards))
}

/// The shards that are due in these seconds, the last one left out, and the number of the period of each. Periods that
/// are no multiple of a step lie across its ends, so each period that the seconds touch is looked at.
pub(crate) fn due_shards(from: i64, until: i64, period: i64, shards: u16) -> Vec<(u16, i64)> {
    let numbers = from.div_euclid(period)..=(until - 1).div_euclid(period);
    let all = numbers.flat_map(|number| (0..shards).map(move |shard| (shard, number)));
    all.filter(|(shard, number)| (from..until).contains(&due_at(i64::from(*shard), *number, period, shards))).collect()
}

/// From which second on a step announces: its own first, or that of the steps before it that were missed, but no shard
/// twice. A last step that is not before this one was made by a clock that was wrong, or is this one again.
pub(crate) fn first_second_to_announce(last_step: Option<i64>, step: i64, tick: i64, period: i64) -> i64 {
    let missed = last_step.filter(|last| *last < step).map_or(step, |last| last + tick);
    missed.max(step + tick - period)
}

/// Whether a provider's pace lets this sweep read the connection: where it allows less than every sweep, each of its
/// connections has turns of its own, spread by bucket. Known to whoever asks when it was last read, too.
#[must_use]
pub fn is_turn_of(connection: &ConnectionId, provider: &Provider, number: i64, period: SignedDuration) -> bool {
    let every = sweeps_between_reads(provider, period);
    (number + i64::from(bucket_of(connection))).rem_euclid(every) == 0
}

/// Whether this sweep is the one of its day in which a connection is read without validators, and anew if an older reader
/// understood its body: after an upgrade all of them come to it within a day, and no sweep has more than its share. A
/// failing one is asked so seldom that every time is its turn; after a failure, a 304 may be all that the site has to say.
pub(crate) fn is_turn_to_read_anew(state: &FetchState, number: i64, period: SignedDuration) -> bool {
    let FetchState { plan, health } = state;
    if health.failure.is_some() {
        return true;
    }
    let every = sweeps_between_reads(&plan.provider, period);
    let turns_a_day = (DAY.as_secs() / period.as_secs().max(1) / every).max(1);
    let turn = number.saturating_add(i64::from(bucket_of(&plan.connection))).div_euclid(every);
    turn.rem_euclid(turns_a_day) == 0
}

/// Every so many sweeps one reads a connection of this provider; at least 1.
#[must_use]
pub fn sweeps_between_reads(provider: &Provider, period: SignedDuration) -> i64 {
    let pace = provider.profile().cadence.as_ref().map_or(0, |cadence| i64::from(cadence.min_interval_minutes) * 60);
    let period = period.as_secs().max(1);
    // Rounded up: never more often than the provider allows.
    ((pace + period - 1) / period).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TICK: i64 = 60;
    /// A second that is no multiple of anything here.
    const START: i64 = 1_796_378_460;

    /// What is announced by these steps, one after the other.
    fn announced(steps: impl IntoIterator<Item = i64>, period: i64, shards: u16) -> Vec<(u16, i64)> {
        let mut last = None;
        let mut all = Vec::new();
        for step in steps {
            let from = first_second_to_announce(last, step, TICK, period);
            all.extend(due_shards(from, step + TICK, period, shards));
            last = Some(step);
        }
        all
    }

    /// All that is due in these seconds, by the dullest way of looking.
    fn due(from: i64, until: i64, period: i64, shards: u16) -> Vec<(u16, i64)> {
        let numbers = from / period - 1..=until / period + 1;
        let mut all: Vec<(i64, u16, i64)> = numbers
            .flat_map(|number| {
                (0..shards).map(move |shard| (due_at(i64::from(shard), number, period, shards), shard, number))
            })
            .filter(|(at, ..)| (from..until).contains(at))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, shard, number)| (shard, number)).collect()
    }

    fn sorted(mut all: Vec<(u16, i64)>) -> Vec<(u16, i64)> {
        all.sort_unstable();
        all
    }

    #[test]
    fn every_shard_is_announced_exactly_once_a_period_for_every_period() {
        for period in (60..=240).chain([299, 300, 600, 899, 900, 901, 3600, 5400, 86_400]) {
            for shards in [1, 2, 64] {
                let minutes = 4 * period / TICK + 7;
                let found = announced((0..minutes).map(|minute| START + minute * TICK), period, shards);
                let expected = due(START, START + minutes * TICK, period, shards);
                assert_eq!(sorted(found), sorted(expected), "{period} s, {shards} shards");
            }
        }
    }

    #[test]
    fn minutes_that_were_missed_are_made_up_for_and_nothing_comes_twice() {
        for period in [90, 150, 600, 900] {
            for gap in [2, 3, 5, 9] {
                let mut steps = (0..60).filter(|minute| minute % gap == 0).map(|minute| START + minute * TICK);
                let found = announced(steps.clone(), period, 64);
                let end = steps.next_back().unwrap() + TICK;
                let wanted = sorted(due(START, end, period, 64));
                let found = sorted(found);
                assert!(found.windows(2).all(|two| two[0] != two[1]), "{period} s, every {gap}th minute: none twice");
                assert!(found.iter().all(|one| wanted.contains(one)));
                // What was missed for longer than a period is not read twice over.
                if gap * TICK <= period {
                    assert_eq!(found, wanted, "{period} s, every {gap}th minute");
                } else {
                    let shards: BTreeSet<u16> = found.iter().map(|(shard, _)| *shard).collect();
                    assert_eq!(shards.len(), 64, "every shard has its turn");
                }
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_no_step_announce_more_than_every_shard_once() {
        let day = 86_400;
        let steps = [START, START + 400 * day, START + 60, START + 120, START - 400 * day, START + 180];
        let mut last = None;
        for step in steps {
            let from = first_second_to_announce(last, step, TICK, 900);
            let found = due_shards(from, step + TICK, 900, 64);
            assert!((1..=64).contains(&found.len()), "{found:?}");
            let shards: BTreeSet<u16> = found.iter().map(|(shard, _)| *shard).collect();
            assert_eq!(shards.len(), found.len(), "none twice");
            let own = due_shards(step, step + TICK, 900, 64);
            assert!(own.iter().all(|one| found.contains(one)), "the step's own are there");
            last = Some(step);
        }
    }
}
