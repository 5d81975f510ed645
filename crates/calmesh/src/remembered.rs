//! What this process has just put, remembered: nobody else writes to the objects of a data folder.
//!
//! - Of a link, which bytes lie behind it: a change compares, and reads nothing of the disk.
//! - Of a feed, the body: merge takes in what was parked a moment ago.
//!
//! When all objects are lost, all of it is forgotten.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_app::{
    model::{LinkToken, Snapshot},
    ports::{ExportObject, ExportStore, ExportVersion, ExportWriteError, ObjectError, ParkedBody, SnapshotStore},
};
use calmesh_calendar::{AccountId, ConnectionId};

use crate::{bounded::Bounded, unsure::Unsure};

/// So many links are known. Another one's are asked for.
const MOST_LINKS: usize = 20_000;
/// Bodies are remembered while they are not larger than this together.
const MOST_BYTES: usize = 4 << 20;
/// A larger one waits on the disk.
const LARGEST_BODY: usize = 256 << 10;
/// What a body takes beside its bytes: its names, twice, and its validators.
const BESIDE_BODY: usize = 800;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Exports of which the version is remembered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Versions {
    exports: Arc<dyn ExportStore>,
    losses: Unsure,
    known: Arc<Mutex<HashMap<LinkToken, Known>>>,
}

/// What is known of one link.
#[derive(Debug, Default)]
struct Known {
    /// None while somebody looks at it or writes.
    version: Option<ExportVersion>,
    /// After how many losses of all objects.
    after: u64,
    /// How many do so.
    busy: usize,
    /// Whether several did so at the same time: then nobody knows who was last.
    in_doubt: bool,
}

/// One who looks at a link or writes it.
struct Visit {
    versions: Versions,
    token: LinkToken,
    /// After how many losses of all objects he came.
    after: u64,
    /// What he found or left there.
    left: Option<ExportVersion>,
}

impl Visit {
    fn leaves(&mut self, version: Option<ExportVersion>) {
        self.left = version;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut links = lock(&self.versions.known);
        let Some(known) = links.get_mut(&self.token) else { return };
        known.busy = known.busy.saturating_sub(1);
        if known.busy > 0 {
            return;
        }
        let stands = !known.in_doubt && self.after == self.versions.losses.now();
        known.version = self.left.take().filter(|_| stands);
        known.after = self.after;
        known.in_doubt = false;
        if known.version.is_none() {
            links.remove(&self.token);
        }
    }
}

impl Versions {
    pub(crate) fn of(exports: Arc<dyn ExportStore>, losses: Unsure) -> Self {
        Self { exports, losses, known: Arc::default() }
    }

    fn visit(&self, token: &LinkToken) -> Visit {
        let after = self.losses.now();
        let mut links = lock(&self.known);
        if links.len() >= MOST_LINKS {
            links.retain(|_, known| known.busy > 0);
        }
        let known = links.entry(token.clone()).or_default();
        known.version = None;
        known.busy = known.busy.saturating_add(1);
        known.in_doubt |= known.busy > 1;
        Visit { versions: self.clone(), token: token.clone(), after, left: None }
    }
}

/// Writes to their end, though nobody waits for it any more: whoever looks meanwhile must not take what he finds for what
/// stands.
async fn to_its_end<T: Send + 'static, E: From<ObjectError> + Send + 'static>(
    write: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    let ended = |stopped: tokio::task::JoinError| {
        E::from(ObjectError { what: "the write stopped".to_owned(), source: Some(stopped.into()) })
    };
    tokio::spawn(write).await.unwrap_or_else(|stopped| Err(ended(stopped)))
}

#[async_trait]
impl ExportStore for Versions {
    async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError> {
        self.exports.export(token).await
    }

    async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError> {
        let losses = self.losses.now();
        let known =
            lock(&self.known).get(token).filter(|known| known.after == losses).and_then(|known| known.version.clone());
        if known.is_some() {
            return Ok(known);
        }
        let mut visit = self.visit(token);
        let found = self.exports.export_version(token).await?;
        visit.leaves(found.clone());
        Ok(found)
    }

    fn version_of(&self, body: &[u8]) -> ExportVersion {
        self.exports.version_of(body)
    }

    async fn put_export(
        &self,
        token: &LinkToken,
        body: Bytes,
        expected: Option<&ExportVersion>,
    ) -> Result<ExportVersion, ExportWriteError> {
        let (mut visit, expected) = (self.visit(token), expected.cloned());
        to_its_end(async move {
            let version = visit.versions.exports.put_export(&visit.token, body, expected.as_ref()).await?;
            visit.leaves(Some(version.clone()));
            Ok(version)
        })
        .await
    }

    async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError> {
        let visit = self.visit(token);
        to_its_end(async move { visit.versions.exports.delete_export(&visit.token).await }).await
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Versions")
    }
}

/// Whose body, and which.
type Name = (AccountId, ConnectionId, Snapshot);

/// Bodies of which those that were parked last are remembered until they are read.
pub(crate) struct Bodies {
    snapshots: Arc<dyn SnapshotStore>,
    losses: Unsure,
    recent: Mutex<Recent>,
}

struct Recent {
    bodies: Bounded<Name, ParkedBody>,
    /// After how many losses of all objects.
    after: u64,
}

impl Recent {
    fn after(losses: u64) -> Self {
        Self { bodies: Bounded::of_at_most(MOST_BYTES, size), after: losses }
    }
}

fn size(body: &ParkedBody) -> usize {
    body.body.len().saturating_add(BESIDE_BODY)
}

impl Bodies {
    pub(crate) fn of(snapshots: Arc<dyn SnapshotStore>, losses: Unsure) -> Self {
        let recent = Mutex::new(Recent::after(losses.now()));
        Self { snapshots, losses, recent }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        let mut recent = lock(&self.recent);
        let after = self.losses.now();
        if recent.after != after {
            *recent = Recent::after(after);
        }
        recent
    }
}

#[async_trait]
impl SnapshotStore for Bodies {
    async fn park(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
        body: &ParkedBody,
    ) -> Result<(), ObjectError> {
        let after = self.losses.now();
        self.snapshots.park(account, connection, snapshot, body).await?;
        if body.body.len() <= LARGEST_BODY && after == self.losses.now() {
            // Bytes of its own: those that came keep a place of the memory for bodies that are read.
            let kept = ParkedBody { body: Bytes::copy_from_slice(&body.body), validators: body.validators.clone() };
            self.recent().bodies.put((account.clone(), connection.clone(), snapshot.clone()), kept);
        }
        Ok(())
    }

    async fn parked(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, ObjectError> {
        let name = (account.clone(), connection.clone(), snapshot.clone());
        if let Some(recent) = self.recent().bodies.take(&name) {
            return Ok(Some(recent));
        }
        self.snapshots.parked(account, connection, snapshot).await
    }

    async fn supersede(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<(), ObjectError> {
        self.recent().bodies.take(&(account.clone(), connection.clone(), snapshot.clone()));
        self.snapshots.supersede(account, connection, snapshot).await
    }

    async fn forget(&self, account: &AccountId, connection: &ConnectionId) -> Result<(), ObjectError> {
        let of_connection = |(of, one, _): &Name| of == account && one == connection;
        self.recent().bodies.forget(of_connection);
        let done = self.snapshots.forget(account, connection).await;
        // One that was parked meanwhile may have gone with the rest.
        self.recent().bodies.forget(of_connection);
        done
    }
}

impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bodies")
    }
}

#[cfg(test)]
mod tests {
    use calmesh_app::{
        contract,
        fakes::{Fault, FixedClock, MemoryObjects},
        model::Validators,
    };
    use jiff::Timestamp;

    use super::*;

    fn objects() -> Arc<MemoryObjects> {
        Arc::new(MemoryObjects::new(Arc::new(FixedClock::at(Timestamp::UNIX_EPOCH))))
    }

    fn token(n: u8) -> LinkToken {
        LinkToken::from_random([n; 32])
    }

    fn body(bytes: usize) -> ParkedBody {
        ParkedBody { body: Bytes::from(vec![b'x'; bytes]), validators: Validators::default() }
    }

    #[tokio::test]
    async fn what_is_remembered_keeps_the_promises_of_what_is_behind_it() {
        contract::objects::export_store(&Versions::of(objects(), Unsure::default())).await;
        contract::objects::snapshot_store(&Bodies::of(objects(), Unsure::default())).await;
    }

    #[tokio::test]
    async fn a_link_that_was_put_is_compared_without_a_look() {
        let inner = objects();
        let versions = Versions::of(inner.clone(), Unsure::default());
        let version = versions.put_export(&token(1), Bytes::from_static(b"one"), None).await.unwrap();
        let calls = inner.calls();
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), Some(version));
        assert_eq!(inner.calls(), calls);
        versions.delete_export(&token(1)).await.unwrap();
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), None, "what was deleted is looked for");
    }

    #[tokio::test]
    async fn once_all_objects_are_lost_nothing_is_remembered() {
        let (inner, losses) = (objects(), Unsure::default());
        let versions = Versions::of(inner.clone(), losses.clone());
        let bodies = Bodies::of(inner.clone(), losses.clone());
        versions.put_export(&token(1), Bytes::from_static(b"one"), None).await.unwrap();
        let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([2; 16]));
        let snapshot = Snapshot("5e".repeat(32));
        bodies.park(&account, &connection, &snapshot, &body(10)).await.unwrap();
        // Somebody who came before it must not leave what he found then.
        let mut visit = versions.visit(&token(2));
        losses.of_all();
        inner.delete_export(&token(1)).await.unwrap();
        inner.forget(&account, &connection).await.unwrap();
        visit.leaves(Some(ExportVersion("\"old\"".to_owned())));
        drop(visit);
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), None);
        assert_eq!(versions.export_version(&token(2)).await.unwrap(), None);
        assert!(bodies.parked(&account, &connection, &snapshot).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn of_a_put_that_failed_nothing_is_remembered_whether_it_was_done_or_not() {
        for fault in [Fault::Before, Fault::After] {
            let inner = objects();
            let versions = Versions::of(inner.clone(), Unsure::default());
            let first = versions.put_export(&token(1), Bytes::from_static(b"one"), None).await.unwrap();
            inner.fail_next(fault);
            versions.put_export(&token(1), Bytes::from_static(b"two"), Some(&first)).await.unwrap_err();
            let truth = inner.export_version(&token(1)).await.unwrap();
            assert_eq!(versions.export_version(&token(1)).await.unwrap(), truth, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn of_two_who_write_at_the_same_time_nobody_is_taken_for_the_last() {
        let inner = objects();
        let versions = Versions::of(inner.clone(), Unsure::default());
        let (slow, quick) = (versions.visit(&token(1)), versions.visit(&token(1)));
        for mut visit in [quick, slow] {
            visit.leaves(Some(versions.version_of(b"either")));
        }
        assert!(lock(&versions.known).is_empty(), "neither");
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), None, "so the objects are asked");
        let mut alone = versions.visit(&token(1));
        alone.leaves(Some(versions.version_of(b"one")));
        drop(alone);
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), Some(versions.version_of(b"one")));
    }

    #[tokio::test]
    async fn a_put_that_nobody_waits_for_any_more_is_still_one() {
        let versions = Versions::of(objects(), Unsure::default());
        let link = token(1);
        {
            let put = versions.put_export(&link, Bytes::from_static(b"one"), None);
            futures::pin_mut!(put);
            assert!(futures::poll!(&mut put).is_pending());
        }
        assert_eq!(lock(&versions.known)[&link].busy, 1, "it is under way");
        while lock(&versions.known).get(&link).is_none_or(|known| known.version.is_none()) {
            tokio::task::yield_now().await;
        }
        let stands = versions.export(&token(1)).await.unwrap().unwrap().version;
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), Some(stands));
    }

    #[tokio::test]
    async fn no_more_links_and_bytes_are_remembered_than_may_be() {
        let versions = Versions::of(objects(), Unsure::default());
        for nth in 0..MOST_LINKS + 10 {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&nth.to_le_bytes());
            let token = LinkToken::from_random(random);
            versions.visit(&token).leaves(Some(ExportVersion(String::new())));
        }
        assert!(lock(&versions.known).len() <= MOST_LINKS);
        let bodies = Bodies::of(objects(), Unsure::default());
        let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([1; 16]));
        for nth in 0..200 {
            bodies.park(&account, &connection, &Snapshot(nth.to_string()), &body(LARGEST_BODY)).await.unwrap();
            assert!(lock(&bodies.recent).bodies.bytes <= MOST_BYTES);
        }
        for nth in 0..10_000 {
            let name = Snapshot(nth.to_string());
            bodies.park(&account, &connection, &name, &body(1)).await.unwrap();
            assert_eq!(bodies.parked(&account, &connection, &name).await.unwrap(), Some(body(1)));
        }
        let recent = lock(&bodies.recent);
        assert!(recent.bodies.order.len() < 100);
        assert_eq!(recent.bodies.bytes, recent.bodies.values.values().map(size).sum::<usize>());
    }

    #[tokio::test]
    async fn a_body_is_remembered_until_it_is_read_and_no_longer() {
        let inner = objects();
        let bodies = Bodies::of(inner.clone(), Unsure::default());
        let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([1; 16]));
        let name = Snapshot("a".to_owned());
        bodies.park(&account, &connection, &name, &body(10)).await.unwrap();
        let calls = inner.calls();
        assert!(bodies.parked(&account, &connection, &name).await.unwrap().is_some());
        assert_eq!(inner.calls(), calls, "no look");
        assert!(bodies.parked(&account, &connection, &name).await.unwrap().is_some(), "and then from the disk");
        assert!(inner.calls() > calls);
        bodies.park(&account, &connection, &name, &body(10)).await.unwrap();
        bodies.forget(&account, &connection).await.unwrap();
        assert_eq!(bodies.parked(&account, &connection, &name).await.unwrap(), None, "what is forgotten is gone");
    }
}
