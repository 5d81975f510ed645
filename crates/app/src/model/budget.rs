//! How often something expensive may be asked for: a bucket of tokens that fills up again by itself.

use calmesh_calendar::AccountId;
use jiff::{SignedDuration, Timestamp};

/// So many at once, and so many a minute from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At least 1.
    pub burst: u32,
    /// At least 1.
    pub per_minute: u32,
}

/// Whose budget, of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spender {
    /// Texts that an account has checked.
    Texts(AccountId),
    /// Feeds that an account has checked.
    Checks(AccountId),
    /// Feeds that an account's new connections and new URLs are looked at by.
    NewFeeds(AccountId),
    /// Refreshes that an account asks for.
    Refreshes(AccountId),
    /// Requests of a host while a client waits, of all accounts together. A name or an address, without a port.
    Host(String),
}

/// What became of the wish to spend one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is spent, and the caller goes on after this long: nothing, or no more than its patience.
    After(SignedDuration),
    /// Nothing was spent. There would be one for an impatient caller after this long.
    Refused { retry_after: SignedDuration },
}

/// What a bucket that is full at an instant this far ahead says was written by a clock that was wrong.
const TOO_FAR_AHEAD: SignedDuration = SignedDuration::from_mins(1);

impl Budget {
    /// What happens to a bucket that is full again at `full_at` (none: it is full) when one is taken at `now` by
    /// somebody who would wait for `patience`; and when it is full again then, where it was taken.
    #[must_use]
    pub fn spend(
        self,
        full_at: Option<Timestamp>,
        patience: SignedDuration,
        now: Timestamp,
    ) -> (Spent, Option<Timestamp>) {
        let refill = SignedDuration::from_millis(60_000 / i64::from(self.per_minute.max(1)));
        let room = refill.saturating_mul(i32::try_from(self.burst.max(1)).unwrap_or(i32::MAX));
        let farthest = now.saturating_add(room.saturating_add(patience).saturating_add(TOO_FAR_AHEAD));
        let known = full_at.filter(|at| farthest.is_ok_and(|farthest| *at <= farthest));
        let Ok(next) = known.unwrap_or(now).max(now).checked_add(refill) else {
            return (Spent::After(SignedDuration::ZERO), None);
        };
        let wait = next.duration_since(now).saturating_sub(room);
        if wait > patience {
            return (Spent::Refused { retry_after: wait }, None);
        }
        (Spent::After(wait.max(SignedDuration::ZERO)), Some(next))
    }
}

impl Spender {
    /// A text that names it and nothing else.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Texts(account) => format!("texts#{account}"),
            Self::Checks(account) => format!("checks#{account}"),
            Self::NewFeeds(account) => format!("new-feeds#{account}"),
            Self::Refreshes(account) => format!("refreshes#{account}"),
            Self::Host(host) => format!("host#{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-12-04T10:00:00Z";

    fn at(seconds: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    /// Spends one at each of these seconds; whether it was given.
    fn spent(budget: Budget, times: impl IntoIterator<Item = i64>) -> Vec<bool> {
        let mut full_at = None;
        times
            .into_iter()
            .map(|second| {
                let (spent, next) = budget.spend(full_at, SignedDuration::ZERO, at(second));
                full_at = next.or(full_at);
                matches!(spent, Spent::After(_))
            })
            .collect()
    }

    #[test]
    fn so_many_come_at_once_and_then_as_many_as_a_minute_gives_back() {
        let budget = Budget { burst: 3, per_minute: 60 };
        assert_eq!(spent(budget, [0, 0, 0, 0, 0]), [true, true, true, false, false]);
        assert_eq!(spent(budget, [0, 0, 0, 1, 1, 2]), [true, true, true, true, false, true]);
        assert_eq!(spent(budget, [0, 0, 0, 100, 100, 100, 100]), [true, true, true, true, true, true, false]);
        for minutes in [1, 5, 60] {
            let given = spent(budget, (0..minutes * 60).flat_map(|second| [second; 20]));
            let given = i64::try_from(given.into_iter().filter(|given| *given).count()).unwrap();
            assert_eq!(given, 3 + minutes * 60 - 1, "over {minutes} minutes");
        }
    }

    #[test]
    fn who_is_patient_is_told_how_long_and_takes_its_turn() {
        let budget = Budget { burst: 1, per_minute: 60 };
        let patience = SignedDuration::from_secs(2);
        let mut full_at = None;
        let mut waits = Vec::new();
        for _ in 0..4 {
            let (spent, next) = budget.spend(full_at, patience, at(0));
            full_at = next.or(full_at);
            waits.push(spent);
        }
        let after = |seconds| Spent::After(SignedDuration::from_secs(seconds));
        let retry_after = SignedDuration::from_secs(3);
        assert_eq!(waits, [after(0), after(1), after(2), Spent::Refused { retry_after }]);
    }

    #[test]
    fn a_clock_that_was_ahead_by_days_locks_nobody_out() {
        let budget = Budget { burst: 2, per_minute: 60 };
        let (_, ahead) = budget.spend(None, SignedDuration::ZERO, at(5 * 86_400));
        let (spent, _) = budget.spend(ahead, SignedDuration::ZERO, at(0));
        assert_eq!(spent, Spent::After(SignedDuration::ZERO));
        assert_eq!(budget.spend(None, SignedDuration::ZERO, Timestamp::MAX).0, Spent::After(SignedDuration::ZERO));
        let (spent, _) = budget.spend(Some(Timestamp::MAX), SignedDuration::ZERO, Timestamp::MIN);
        assert_eq!(spent, Spent::After(SignedDuration::ZERO));
    }
}
