//! Which bytes this process has put behind a link, remembered: nobody else writes to the objects of a data folder. A change
//! compares, and reads nothing of the disk. When all objects are lost, all of it is forgotten.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_app::{
    model::LinkToken,
    ports::{ExportObject, ExportStore, ExportVersion, ExportWriteError, ObjectError},
};

use crate::unsure::Unsure;

/// So many links are known. Another one's are asked for.
const MOST_LINKS: usize = 20_000;

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

#[cfg(test)]
mod tests {
    use calmesh_app::{
        contract,
        fakes::{Fault, FixedClock, MemoryObjects},
    };
    use jiff::Timestamp;

    use super::*;

    fn objects() -> Arc<MemoryObjects> {
        Arc::new(MemoryObjects::new(Arc::new(FixedClock::at(Timestamp::UNIX_EPOCH))))
    }

    fn token(n: u8) -> LinkToken {
        LinkToken::from_random([n; 32])
    }

    #[tokio::test]
    async fn what_is_remembered_keeps_the_promises_of_what_is_behind_it() {
        contract::objects::export_store(&Versions::of(objects(), Unsure::default())).await;
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
        versions.put_export(&token(1), Bytes::from_static(b"one"), None).await.unwrap();
        // Somebody who came before it must not leave what he found then.
        let mut visit = versions.visit(&token(2));
        losses.of_all();
        inner.delete_export(&token(1)).await.unwrap();
        visit.leaves(Some(ExportVersion("\"old\"".to_owned())));
        drop(visit);
        assert_eq!(versions.export_version(&token(1)).await.unwrap(), None);
        assert_eq!(versions.export_version(&token(2)).await.unwrap(), None);
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
    async fn no_more_links_are_remembered_than_may_be() {
        let versions = Versions::of(objects(), Unsure::default());
        for nth in 0..MOST_LINKS + 10 {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&nth.to_le_bytes());
            let token = LinkToken::from_random(random);
            versions.visit(&token).leaves(Some(ExportVersion(String::new())));
        }
        assert!(lock(&versions.known).len() <= MOST_LINKS);
    }
}
