//! Fakes of the smaller ports: objects, the bus, the clock, randomness and sealing.
//!
//! They keep the promises of the ports and break down when told to, once each time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_calendar::{AccountId, ConnectionId};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::{
    fakes::Interruption,
    locks::lock,
    model::{LinkToken, Snapshot},
    ports::{
        BusError, Clock, Event, EventBus, ExportObject, ExportStore, ExportVersion, ExportWriteError, ObjectError,
        ParkedBody, Randomness, SealError, Sealer, SnapshotStore,
    },
};

/// A test that panicked with the lock in its hands says more than a poisoned lock does.
/// How the next call of a fake breaks down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and nothing was done.
    Before,
    /// What was asked for is done, and then the call fails.
    After,
}

type SnapshotKey = (AccountId, ConnectionId, String);

#[derive(Default)]
struct Objects {
    exports: BTreeMap<LinkToken, ExportObject>,
    current: BTreeMap<SnapshotKey, ParkedBody>,
    superseded: BTreeMap<SnapshotKey, ParkedBody>,
    /// How many calls there were, what comes before one of them, and which of them fail.
    calls: u64,
    interruption: Option<(u64, Interruption)>,
    faults: BTreeMap<u64, Fault>,
    poisoned: Option<LinkToken>,
    poisoned_bodies: Option<ConnectionId>,
    exports_put: usize,
    bodies_parked: usize,
}

/// `ExportStore` and `SnapshotStore` in memory. Nothing expires. An export's version is a digest of its bytes,
/// as with S3: the same bytes are the same version.
pub struct MemoryObjects {
    clock: Arc<dyn Clock>,
    objects: Mutex<Objects>,
}

impl fmt::Debug for MemoryObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = lock(&self.objects);
        f.debug_struct("MemoryObjects")
            .field("exports", &objects.exports.len())
            .field("current", &objects.current.len())
            .field("superseded", &objects.superseded.len())
            .finish_non_exhaustive()
    }
}

impl MemoryObjects {
    /// Empty; objects carry the time of this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, objects: Mutex::default() }
    }

    /// The next call, whichever it is, fails like this.
    pub fn fail_next(&self, fault: Fault) {
        self.fail_call(1, fault);
    }

    /// The `nth` call from now (1 is the next) fails like this.
    pub fn fail_call(&self, nth: u64, fault: Fault) {
        let mut objects = lock(&self.objects);
        let at = objects.calls + nth;
        objects.faults.insert(at, fault);
    }

    /// Does this before the `nth` call from now (1 is the next). Whoever is interrupted waits for it.
    pub fn interrupt(&self, nth: u64, by: Interruption) {
        let mut objects = lock(&self.objects);
        objects.interruption = Some((objects.calls + nth, by));
    }

    /// Forgets an interruption that has not come; answers whether there was one.
    pub fn leave_alone(&self) -> bool {
        lock(&self.objects).interruption.take().is_some()
    }

    /// How many bodies there are of a connection, those that expire included.
    #[must_use]
    pub fn bodies_of(&self, account: &AccountId, connection: &ConnectionId) -> usize {
        let objects = lock(&self.objects);
        let of = |(a, c, _): &&SnapshotKey| a == account && c == connection;
        objects.current.keys().chain(objects.superseded.keys()).filter(of).count()
    }

    /// How many of them do not expire.
    #[must_use]
    pub fn bodies_that_stay(&self, account: &AccountId, connection: &ConnectionId) -> usize {
        let objects = lock(&self.objects);
        objects.current.keys().filter(|(a, c, _)| a == account && c == connection).count()
    }

    /// How many calls there were, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.objects).calls
    }

    /// Forgets every failure that has not happened yet; answers whether there was one.
    pub fn heal(&self) -> bool {
        !std::mem::take(&mut lock(&self.objects).faults).is_empty()
    }

    /// Whoever reads or puts this export panics from now on; nobody does with none.
    pub fn poison(&self, token: Option<LinkToken>) {
        lock(&self.objects).poisoned = token;
    }

    /// Whoever reads a body of this connection panics from now on; nobody does with none.
    pub fn poison_bodies(&self, connection: Option<ConnectionId>) {
        lock(&self.objects).poisoned_bodies = connection;
    }

    /// How many puts of an export went through.
    #[must_use]
    pub fn exports_put(&self) -> usize {
        lock(&self.objects).exports_put
    }

    /// How many bodies were parked, the same one twice included.
    #[must_use]
    pub fn bodies_parked(&self) -> usize {
        lock(&self.objects).bodies_parked
    }

    /// Every export as it stands.
    #[must_use]
    pub fn exports(&self) -> BTreeMap<LinkToken, Bytes> {
        lock(&self.objects).exports.iter().map(|(token, object)| (token.clone(), object.body.clone())).collect()
    }

    /// The snapshots of a connection that do not expire, in order of their digest.
    #[must_use]
    pub fn current_snapshots(&self, account: &AccountId, connection: &ConnectionId) -> Vec<Snapshot> {
        let objects = lock(&self.objects);
        let of_connection = objects.current.keys().filter(|(a, c, _)| a == account && c == connection);
        of_connection.map(|(_, _, digest)| Snapshot(digest.clone())).collect()
    }

    /// As when a folder is lost with everything in it.
    pub fn lose_everything(&self) {
        *lock(&self.objects) = Objects::default();
    }

    /// As after the 30 days that superseded snapshots have.
    pub fn expire_superseded(&self) {
        lock(&self.objects).superseded.clear();
    }

    /// Runs `work` on the objects, with the fault that was ordered.
    fn call<T, E: From<ObjectError>>(&self, work: impl FnOnce(&mut Objects) -> Result<T, E>) -> Result<T, E> {
        let interruption = {
            let mut objects = lock(&self.objects);
            let next = objects.calls + 1;
            objects.interruption.take_if(|(nth, _)| *nth == next)
        };
        if let Some((_, interruption)) = interruption {
            interruption();
        }
        let mut objects = lock(&self.objects);
        objects.calls += 1;
        let nth = objects.calls;
        match objects.faults.remove(&nth) {
            None => work(&mut objects),
            Some(Fault::Before) => Err(broken("before anything was done").into()),
            Some(Fault::After) => {
                // A refusal is an answer; a broken call has none.
                let _lost = work(&mut objects);
                Err(broken("after it was done").into())
            }
        }
    }
}

fn broken(when: &str) -> ObjectError {
    ObjectError { what: format!("told to break down {when}"), source: None }
}

fn version_of(body: &[u8]) -> ExportVersion {
    ExportVersion(format!("\"{}\"", hex::encode(Sha256::digest(body))))
}

fn snapshot_key(account: &AccountId, connection: &ConnectionId, snapshot: &Snapshot) -> SnapshotKey {
    (account.clone(), connection.clone(), snapshot.0.clone())
}

#[async_trait]
impl ExportStore for MemoryObjects {
    async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError> {
        self.call(|objects| {
            assert!(objects.poisoned.as_ref() != Some(token), "this export is poisoned");
            Ok(objects.exports.get(token).cloned())
        })
    }

    async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError> {
        self.call(|objects| {
            assert!(objects.poisoned.as_ref() != Some(token), "this export is poisoned");
            Ok(objects.exports.get(token).map(|object| object.version.clone()))
        })
    }

    fn version_of(&self, body: &[u8]) -> ExportVersion {
        version_of(body)
    }

    async fn put_export(
        &self,
        token: &LinkToken,
        body: Bytes,
        expected: Option<&ExportVersion>,
    ) -> Result<ExportVersion, ExportWriteError> {
        let last_modified = self.clock.now();
        self.call(|objects| {
            if objects.exports.get(token).map(|object| &object.version) != expected {
                return Err(ExportWriteError::Stale);
            }
            let version = version_of(&body);
            let object = ExportObject { body, version: version.clone(), last_modified };
            objects.exports.insert(token.clone(), object);
            objects.exports_put += 1;
            Ok(version)
        })
    }

    async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError> {
        self.call(|objects| {
            objects.exports.remove(token);
            Ok(())
        })
    }
}

#[async_trait]
impl SnapshotStore for MemoryObjects {
    async fn park(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
        body: &ParkedBody,
    ) -> Result<(), ObjectError> {
        self.call(|objects| {
            // A store has bytes of its own: what came keeps nobody's room.
            let kept = ParkedBody { body: Bytes::copy_from_slice(&body.body), validators: body.validators.clone() };
            objects.current.insert(snapshot_key(account, connection, snapshot), kept);
            objects.bodies_parked += 1;
            Ok(())
        })
    }

    async fn parked(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, ObjectError> {
        let key = snapshot_key(account, connection, snapshot);
        self.call(|objects| {
            assert!(objects.poisoned_bodies.as_ref() != Some(connection), "this body is poisoned");
            Ok(objects.current.get(&key).or_else(|| objects.superseded.get(&key)).cloned())
        })
    }

    async fn supersede(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<(), ObjectError> {
        let key = snapshot_key(account, connection, snapshot);
        self.call(|objects| {
            if let Some(body) = objects.current.remove(&key) {
                objects.superseded.insert(key, body);
            }
            Ok(())
        })
    }

    async fn forget(&self, account: &AccountId, connection: &ConnectionId) -> Result<(), ObjectError> {
        self.call(|objects| {
            objects.current.retain(|(a, c, _), _| a != account || c != connection);
            objects.superseded.retain(|(a, c, _), _| a != account || c != connection);
            Ok(())
        })
    }
}

#[derive(Debug, Default)]
struct Published {
    events: Vec<Event>,
    /// The next call takes only so many.
    limit: Option<usize>,
}

/// An `EventBus` that keeps what was published and delivers nothing by itself.
#[derive(Debug, Default)]
pub struct MemoryBus {
    published: Mutex<Published>,
}

impl MemoryBus {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next call takes this many of its events, the first ones, and fails; 0 takes none. A call with no more
    /// events than that fails too, as one whose answer was lost.
    pub fn fail_next_after(&self, taken: usize) {
        lock(&self.published).limit = Some(taken);
    }

    /// What was taken so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        lock(&self.published).events.clone()
    }

    /// What was taken since the last call, in order: what a consumer would be given.
    #[must_use]
    pub fn drain(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.published).events)
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let mut published = lock(&self.published);
        let Some(limit) = published.limit.take() else {
            published.events.extend_from_slice(events);
            return Ok(());
        };
        published.events.extend(events.iter().take(limit).cloned());
        Err(BusError { failed: events.len().saturating_sub(limit), total: events.len(), source: None })
    }
}

/// A `Clock` that stands still until it is moved, or moves a little whenever it is asked.
#[derive(Debug)]
pub struct FixedClock {
    now: Mutex<Timestamp>,
    step: Mutex<SignedDuration>,
}

impl FixedClock {
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), step: Mutex::default() }
    }

    /// From now on time passes, so much with each question, as it does between a decision and what follows from it.
    pub fn tick(&self, step: SignedDuration) {
        *lock(&self.step) = step;
    }

    pub fn set(&self, now: Timestamp) {
        *lock(&self.now) = now;
    }

    /// Moves the clock on (or back); stays where it is at the ends of time.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = lock(&self.now);
        if let Ok(later) = now.checked_add(by) {
            *now = later;
        }
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        let now = *lock(&self.now);
        self.advance(*lock(&self.step));
        now
    }
}

/// `Randomness` that is the same for the same seed: SHA-256 over seed and counter.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    drawn: Mutex<u64>,
}

impl SeededRandomness {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: Mutex::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        let mut drawn = lock(&self.drawn);
        for chunk in bytes.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(drawn.to_be_bytes()).finalize();
            for (byte, random) in chunk.iter_mut().zip(block) {
                *byte = random;
            }
            *drawn = drawn.wrapping_add(1);
        }
    }
}

/// A fake `Sealer` that hides nothing: the plain bytes stand in what it seals, behind a digest over them and the
/// context. For tests alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct PlainSealer;

const PLAIN_MARK: &[u8] = b"not sealed at all:";
const DIGEST_LENGTH: usize = 32;

fn plain_digest(context: &str, plain: &[u8]) -> [u8; DIGEST_LENGTH] {
    Sha256::new().chain_update(Sha256::digest(context.as_bytes())).chain_update(plain).finalize().into()
}

#[async_trait]
impl Sealer for PlainSealer {
    async fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok([PLAIN_MARK, &plain_digest(context, plain), plain].concat())
    }

    async fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let opened = sealed
            .strip_prefix(PLAIN_MARK)
            .and_then(|rest| rest.split_at_checked(DIGEST_LENGTH))
            .filter(|(digest, plain)| *digest == plain_digest(context, plain));
        match opened {
            Some((_, plain)) => Ok(plain.to_vec()),
            None => Err(SealError { what: "not sealed by us for this context".to_owned(), source: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    fn clock() -> Arc<FixedClock> {
        Arc::new(FixedClock::at("2026-06-01T10:00:00Z".parse().unwrap()))
    }

    fn token(n: u8) -> LinkToken {
        LinkToken::from_random([n; 32])
    }

    #[tokio::test]
    async fn the_memory_objects_keep_the_promises_of_the_export_store() {
        contract::objects::export_store(&MemoryObjects::new(clock())).await;
    }

    #[tokio::test]
    async fn the_memory_objects_keep_the_promises_of_the_snapshot_store() {
        contract::objects::snapshot_store(&MemoryObjects::new(clock())).await;
    }

    #[tokio::test]
    async fn the_plain_sealer_keeps_the_promises_of_a_sealer() {
        contract::objects::sealer(&PlainSealer).await;
    }

    #[tokio::test]
    async fn a_put_that_breaks_before_is_not_done_and_one_that_breaks_after_is() {
        let objects = MemoryObjects::new(clock());
        objects.fail_next(Fault::Before);
        assert!(objects.put_export(&token(1), Bytes::from_static(b"a"), None).await.is_err());
        assert_eq!(objects.export(&token(1)).await.unwrap(), None);

        objects.fail_next(Fault::After);
        assert!(objects.put_export(&token(1), Bytes::from_static(b"a"), None).await.is_err());
        assert_eq!(objects.export(&token(1)).await.unwrap().unwrap().body, "a");
        assert_eq!(objects.exports_put(), 1);
    }

    #[tokio::test]
    async fn an_export_carries_the_time_of_the_clock() {
        let clock = clock();
        let objects = MemoryObjects::new(clock.clone());
        clock.advance(SignedDuration::from_mins(5));
        objects.put_export(&token(1), Bytes::from_static(b"a"), None).await.unwrap();
        let export = objects.export(&token(1)).await.unwrap().unwrap();
        assert_eq!(export.last_modified, "2026-06-01T10:05:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn a_bus_that_fails_in_part_has_taken_the_first_events() {
        let bus = MemoryBus::new();
        let event = |n| Event::PropertyDirty { property: calmesh_calendar::PropertyId::from_random([n; 16]) };
        bus.fail_next_after(1);
        let error = bus.publish(&[event(1), event(2), event(3)]).await.unwrap_err();
        assert_eq!((error.failed, error.total), (2, 3));
        assert_eq!(bus.drain(), [event(1)]);
        bus.publish(&[event(2)]).await.unwrap();
        assert_eq!(bus.events(), [event(2)]);
    }

    #[test]
    fn seeded_randomness_repeats_for_its_seed_and_never_within_it() {
        let (a, b) = (SeededRandomness::new(7), SeededRandomness::new(7));
        let first = a.secret();
        assert_eq!(first, b.secret());
        assert_ne!(first, a.secret());
        assert_ne!(first, SeededRandomness::new(8).secret());
        let mut long = [0; 70];
        a.fill(&mut long);
        assert_ne!(long[..32], long[32..64]);
    }
}
