//! Memory that bodies share. A body takes a place of its size and a larger one as it grows, and waits where none is free.
//!
//! Places are taken in the order of their sizes alone, and whoever has the largest waits for nobody: no two bodies wait
//! for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use async_trait::async_trait;
use calmesh_calendar::AccountId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{locks::lock, ports::BodyRoom};

/// What sweeps and refreshes read: 62 MiB in all.
pub(crate) const READS: &[(usize, usize)] = &[(16 << 10, 512), (256 << 10, 64), (1 << 20, 8), (10 << 20, 3)];
/// What is looked at while a client waits, which no sweep takes room from: 30 MiB in all.
pub(crate) const LOOKS: &[(usize, usize)] = &[(16 << 10, 128), (256 << 10, 16), (1 << 20, 4), (10 << 20, 2)];
/// A body that nobody waits for waits so long for a larger place, and one that a client waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
pub(crate) const CLIENTS_PATIENCE: Duration = Duration::from_secs(3);
/// Accounts that have nothing here are forgotten when there are more than this.
const ACCOUNTS_KNOWN: usize = 1_000;

/// Places of a few sizes, the smallest first.
#[derive(Debug)]
pub(crate) struct Room {
    sizes: Vec<Size>,
    patience: Duration,
}

#[derive(Debug)]
struct Size {
    bytes: usize,
    places: Arc<Semaphore>,
    /// Of these, so many of one account: whoever reads slowly leaves some to the others.
    of_one: usize,
    own: Mutex<HashMap<AccountId, Weak<Semaphore>>>,
}

/// A place, and how many bytes it has.
#[derive(Debug)]
struct Held {
    bytes: usize,
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

/// The room of one body.
#[derive(Debug)]
struct OneRoom {
    room: Arc<Room>,
    whose: AccountId,
    held: Mutex<Option<Held>>,
}

impl Room {
    /// `sizes`: bytes of a place, and how many there are.
    pub(crate) fn new(sizes: &[(usize, usize)], patience: Duration) -> Self {
        let size = |(bytes, places): &(usize, usize)| Size {
            bytes: *bytes,
            places: Arc::new(Semaphore::new(*places)),
            of_one: (places.saturating_mul(3) / 4).max(1),
            own: Mutex::default(),
        };
        Self { sizes: sizes.iter().map(size).collect(), patience }
    }

    /// Room for one body of this account's. Nothing is taken yet.
    pub(crate) fn for_one(self: &Arc<Self>, whose: &AccountId) -> Arc<dyn BodyRoom> {
        Arc::new(OneRoom { room: Arc::clone(self), whose: whose.clone(), held: Mutex::default() })
    }
}

impl Size {
    fn own(&self, whose: &AccountId) -> Arc<Semaphore> {
        let mut own = lock(&self.own);
        if let Some(known) = own.get(whose).and_then(Weak::upgrade) {
            return known;
        }
        if own.len() > ACCOUNTS_KNOWN {
            own.retain(|_, known| known.strong_count() > 0);
        }
        let new = Arc::new(Semaphore::new(self.of_one));
        own.insert(whose.clone(), Arc::downgrade(&new));
        new
    }

    async fn place(&self, whose: &AccountId) -> Option<Held> {
        let _own = self.own(whose).acquire_owned().await.ok()?;
        let _place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Held { bytes: self.bytes, _place, _own })
    }
}

#[async_trait]
impl BodyRoom for OneRoom {
    async fn grow(&self, to: usize) -> Option<usize> {
        if let Some(held) = lock(&self.held).as_ref().filter(|held| held.bytes >= to) {
            return Some(held.bytes);
        }
        let sizes = &self.room.sizes;
        // Nothing is larger than the largest: whoever reads the body bounds it.
        let size = sizes.iter().find(|size| size.bytes >= to).or(sizes.last())?;
        let larger = timeout(self.room.patience, size.place(&self.whose)).await.ok()??;
        let bytes = larger.bytes.max(to);
        // The smaller one is free again.
        *lock(&self.held) = Some(larger);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId::from_random([n; 16])
    }

    fn free(room: &Room) -> Vec<usize> {
        room.sizes.iter().map(|size| size.places.available_permits()).collect()
    }

    #[tokio::test]
    async fn a_body_has_one_place_of_its_size_and_gives_it_back() {
        let room = Arc::new(Room::new(&[(10, 8), (100, 4), (1000, 2)], PATIENCE));
        let one = room.for_one(&account(1));
        assert_eq!(free(&room), [8, 4, 2], "nothing is taken before it has bytes");
        assert_eq!(one.grow(7).await, Some(10));
        assert_eq!(one.grow(10).await, Some(10));
        assert_eq!(free(&room), [7, 4, 2]);
        assert_eq!(one.grow(11).await, Some(100));
        assert_eq!(free(&room), [8, 3, 2]);
        let other = room.for_one(&account(2));
        assert_eq!(other.grow(500).await, Some(1000), "straight to its size");
        assert_eq!(free(&room), [8, 3, 1]);
        drop((one, other));
        assert_eq!(free(&room), [8, 4, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_its_turn_and_not_for_ever() {
        let room = Arc::new(Room::new(&[(10, 1)], PATIENCE));
        let (one, other) = (room.for_one(&account(1)), room.for_one(&account(2)));
        assert_eq!(one.grow(1).await, Some(10));
        assert_eq!(other.grow(1).await, None);
        let waiting = tokio::spawn(async move { other.grow(1).await });
        tokio::task::yield_now().await;
        drop(one);
        assert_eq!(waiting.await.unwrap(), Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_whose_bodies_hang_leaves_room_to_the_others() {
        let room = Arc::new(Room::new(&[(10, 4), (100, 3)], PATIENCE));
        let slow: Vec<_> = (0..9).map(|_| room.for_one(&account(1))).collect();
        let got = stream::iter(&slow).map(|one| one.grow(100)).buffer_unordered(9).collect::<Vec<_>>().await;
        assert_eq!(got.iter().flatten().count(), 2, "two of three");
        assert_eq!(room.for_one(&account(2)).grow(100).await, Some(100));
    }

    #[tokio::test]
    async fn bodies_that_all_grow_at_once_all_end() {
        let room = Arc::new(Room::new(READS, PATIENCE));
        let grown = (0..200u8).map(|n| {
            let one = room.for_one(&account(n % 7));
            tokio::spawn(async move {
                let mut bytes = 1;
                while bytes <= 10 << 20 {
                    assert!(one.grow(bytes).await.is_some_and(|may| may >= bytes));
                    bytes *= 2;
                    tokio::task::yield_now().await;
                }
            })
        });
        for one in grown.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        assert_eq!(free(&room), READS.iter().map(|(_, places)| *places).collect::<Vec<_>>());
        let all: usize = READS.iter().map(|(bytes, places)| bytes * places).sum();
        assert!(all <= 64 << 20, "{all}");
    }
}
