//! What keeps one account, one host or one slow feed from taking all there is. What holds over all instances is kept in
//! the store; what only one process can count is counted here.

pub(crate) mod budgets;
pub(crate) mod room;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use calmesh_calendar::AccountId;
use jiff::SignedDuration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    locks::lock,
    model::{Budget, Spender},
    ports::{BodyRoom, Hop, HopGate},
    traffic::room::Room,
};

/// Texts of calendars that an account may have checked. They cost time here, and nobody else is asked for anything.
pub const TEXTS: Budget = Budget { burst: 120, per_minute: 600 };
/// Checks of feeds that an account may ask for, each of which is fetched.
pub const CHECKS: Budget = Budget { burst: 30, per_minute: 60 };
/// New connections and new URLs of an account whose feeds are looked at. What is made with `skip_check` costs none.
pub const NEW_FEEDS: Budget = Budget { burst: 120, per_minute: 120 };
/// Refreshes that an account may ask for. One that is answered by another that runs costs none.
pub const REFRESHES: Budget = Budget { burst: 60, per_minute: 60 };
/// Requests of one host while clients wait, of all accounts together, redirects included.
pub const HOST: Budget = Budget { burst: 40, per_minute: 1200 };
/// A client waits for so long for its turn at a host.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// So many feeds are checked for one account at the same time by one process; and so many new ones looked at.
const LOOKS_AT_ONCE: usize = 8;
/// What sweeps and refreshes send to one host out of one process: so many at once, and then one after each pause.
const PACE_BURST: u32 = 100;
const PACE: Duration = Duration::from_millis(20);
/// Hosts that have been left alone for long enough are forgotten when there are more than this.
const HOSTS_KNOWN: usize = 10_000;

/// It is asked for too often. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many {what}")]
pub struct TooMany {
    /// In words, such as `feeds are looked at for this account`.
    pub what: &'static str,
    pub retry_after: SignedDuration,
}

/// Bodies that were kept and are read again: so many are held at the same time.
const KEPT_AT_ONCE: usize = 3;

/// What one process counts. Share one per process.
#[derive(Debug)]
pub struct Traffic {
    /// Memory of bodies that sweeps and refreshes read, and of those that clients wait for.
    reads: Arc<Room>,
    looks_room: Arc<Room>,
    kept: Semaphore,
    looks: Mutex<HashMap<Spender, usize>>,
    hosts: Mutex<HashMap<String, Instant>>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            reads: Arc::new(Room::new(room::READS, room::PATIENCE)),
            looks_room: Arc::new(Room::new(room::LOOKS, room::CLIENTS_PATIENCE)),
            kept: Semaphore::new(KEPT_AT_ONCE),
            looks: Mutex::default(),
            hosts: Mutex::default(),
        }
    }
}

/// One of the feeds that are looked at for an account right now.
#[derive(Debug)]
pub(crate) struct Look {
    traffic: Arc<Traffic>,
    spender: Spender,
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut looks = lock(&self.traffic.looks);
        if let Some(count) = looks.get_mut(&self.spender) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                looks.remove(&self.spender);
            }
        }
    }
}

impl Traffic {
    /// Room for a body that nobody waits for.
    pub(crate) fn room_to_read(&self, whose: &AccountId) -> Arc<dyn BodyRoom> {
        self.reads.for_one(whose)
    }

    /// Room for a body that a client waits for.
    pub(crate) fn room_to_look(&self, whose: &AccountId) -> Arc<dyn BodyRoom> {
        self.looks_room.for_one(whose)
    }

    /// The right to hold one kept body, for as long as it is held. Nothing else may be waited for meanwhile that
    /// somebody could hold who waits for this.
    pub(crate) async fn turn_with_kept(&self) -> Option<SemaphorePermit<'_>> {
        self.kept.acquire().await.ok()
    }

    /// None where as many are under way as there may be.
    pub(crate) fn look(self: &Arc<Self>, spender: &Spender) -> Option<Look> {
        let mut looks = lock(&self.looks);
        let count = looks.entry(spender.clone()).or_default();
        if *count >= LOOKS_AT_ONCE {
            return None;
        }
        *count += 1;
        Some(Look { traffic: Arc::clone(self), spender: spender.clone() })
    }

    /// Waits for this host's next turn among what this process reads by itself.
    pub(crate) async fn turn_at(&self, host: &str) {
        let turn = self.book(host, Instant::now());
        tokio::time::sleep_until(turn).await;
    }

    fn book(&self, host: &str, now: Instant) -> Instant {
        let mut hosts = lock(&self.hosts);
        if hosts.len() > HOSTS_KNOWN {
            hosts.retain(|_, full_at| *full_at > now);
        }
        let full_at = hosts.entry(host.to_owned()).or_insert(now);
        // An instant that can't be told is too far away for anybody to wait for.
        *full_at = (*full_at).max(now).checked_add(PACE).unwrap_or(now);
        full_at.checked_sub(PACE.saturating_mul(PACE_BURST)).map_or(now, |turn| turn.max(now))
    }
}

impl Traffic {
    /// Paces redirects of what nobody waits for.
    pub(crate) fn gate_of_reads(self: &Arc<Self>) -> Arc<dyn HopGate> {
        Arc::new(ReadGate(Arc::clone(self)))
    }
}

#[derive(Debug)]
struct ReadGate(Arc<Traffic>);

#[async_trait]
impl HopGate for ReadGate {
    async fn hop(&self, host: &str) -> Hop {
        self.0.turn_at(host).await;
        Hop::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_of_one_host_keeps_a_pace_and_other_hosts_do_not_wait() {
        let traffic = Traffic::default();
        let now = Instant::now();
        for _ in 0..PACE_BURST {
            assert_eq!(traffic.book("slow.example", now), now, "so many at once");
        }
        for nth in 1..=50 {
            assert_eq!(traffic.book("slow.example", now), now + PACE * nth);
        }
        assert_eq!(traffic.book("other.example", now), now, "another host has a pace of its own");
        let later = now + PACE * 500;
        assert_eq!(traffic.book("slow.example", later), later, "what was not used is there again");
    }

    #[test]
    fn hosts_that_were_read_long_ago_are_forgotten() {
        let traffic = Traffic::default();
        let now = Instant::now();
        for nth in 0..HOSTS_KNOWN + 2 {
            traffic.book(&format!("h{nth}.example"), now);
        }
        traffic.book("last.example", now + Duration::from_secs(60));
        assert_eq!(lock(&traffic.hosts).len(), 1);
    }

    #[test]
    fn an_account_has_so_many_looks_at_once_and_gets_them_back() {
        let traffic = Arc::new(Traffic::default());
        let [one, other] = [1, 2].map(|n| Spender::Checks(AccountId::from_random([n; 16])));
        let mut looks: Vec<_> = (0..LOOKS_AT_ONCE).map(|_| traffic.look(&one).unwrap()).collect();
        assert!(traffic.look(&one).is_none());
        assert!(traffic.look(&other).is_some());
        looks.pop();
        assert!(traffic.look(&one).is_some());
        drop(looks);
        assert!(lock(&traffic.looks).is_empty());
    }
}
