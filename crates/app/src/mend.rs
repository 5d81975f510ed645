//! What lies outside the store, compared with what it should be. A loss of power, a backup that was put back or a disk that
//! is failing may have parted the two; a start looks at everything once.

use std::{panic::AssertUnwindSafe, sync::Arc};

use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

use crate::{
    changes::{ChangeError, Changes, draft::Draft},
    model::{PropertyState, Snapshot},
    ports::{AccountStore, LinkStore, PageRequest, PropertyStore},
    publish::Publish,
    traffic::Traffic,
    trouble::WorkError,
    wiring::Common,
};

const PER_PAGE: u16 = 100;

/// How a look at everything went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Properties and extra links that are as they should be now.
    pub looked_at: usize,
    /// Those that could not be looked at; what is wrong with them stays until they change.
    pub failed: usize,
}

/// Compares and mends.
#[derive(Clone)]
pub struct Mend {
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) changes: Changes,
    pub(crate) publish: Publish,
}

impl Mend {
    #[must_use]
    pub fn new(common: &Common, publish: &Publish) -> Self {
        Self {
            accounts: common.accounts.clone(),
            properties: common.properties.clone(),
            links: common.links.clone(),
            traffic: common.traffic.clone(),
            changes: publish.changes.clone(),
            publish: publish.clone(),
        }
    }
}

impl Mend {
    /// Compares every private link with what it should serve and every connection's kept body with its record, and
    /// mends what differs, `at_once` properties at a time. What fails is told in the log and passed over.
    ///
    /// # Errors
    /// When the store can't say what there is.
    pub async fn mend_everything(&self, at_once: usize) -> Result<Mended, WorkError> {
        let mut mended = Mended::default();
        let mut after = None;
        loop {
            let page = self.accounts.accounts(PageRequest { limit: PER_PAGE, after }).await?;
            for account in &page.items {
                self.mend_account(&account.id, at_once, &mut mended).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(mended),
            }
        }
    }

    async fn mend_account(&self, account: &AccountId, at_once: usize, mended: &mut Mended) -> Result<(), WorkError> {
        let mut after = None;
        loop {
            let page = self.properties.properties(account, PageRequest { limit: PER_PAGE, after }).await?;
            let work = page.items.iter().map(|property| told(self.mend_property(&property.id)).boxed()).collect();
            mended.add(done(work, at_once).await);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let page = self.links.links(account, PageRequest { limit: PER_PAGE, after }).await?;
            let work = page.items.iter().map(|link| told(self.publish.publish_link(&link.id)).boxed()).collect();
            mended.add(done(work, at_once).await);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Makes the links of a property what they should be. A connection whose kept body is lost counts as never read, so
    /// that its feed is read whole and kept again.
    ///
    /// # Errors
    /// When the store or the objects can't be reached.
    pub async fn mend_property(&self, id: &PropertyId) -> Result<(), WorkError> {
        let Some(state) = self.properties.load(id).await? else { return Ok(()) };
        let lost = self.lost_bodies(&state).await?;
        if !lost.is_empty() {
            let forget = |draft: &mut Draft| {
                for (connection, snapshot) in &lost {
                    let import = draft.connection_mut(connection).and_then(|connection| connection.import.as_mut());
                    if let Some(import) = import
                        && import.applied.as_ref().is_some_and(|applied| applied.snapshot == *snapshot)
                    {
                        import.applied = None;
                    }
                }
                Ok::<_, WorkError>(())
            };
            match self.changes.commit_change(id, false, forget).await {
                Ok(_) | Err(ChangeError::NotFound) => {}
                Err(ChangeError::Refused(error)) => return Err(error),
                Err(ChangeError::Store(error)) => return Err(error.into()),
            }
            tracing::warn!(property.id = %id, feeds = lost.len(), "kept feeds were lost and are read anew");
            tracing::info!(target: "calmesh::metric", kept_bodies_lost = lost.len());
        }
        self.publish.publish_property(id).await
    }

    async fn lost_bodies(&self, state: &PropertyState) -> Result<Vec<(ConnectionId, Snapshot)>, WorkError> {
        let kept = self.publish.kept_at();
        let mut lost = Vec::new();
        for connection in state.connections.iter().filter(|connection| connection.is_read()) {
            let Some(applied) = connection.applied() else { continue };
            let _turn = self.traffic.turn_with_kept().await;
            if kept.body_of::<WorkError>(connection).await?.is_none() {
                lost.push((connection.id.clone(), applied.snapshot.clone()));
            }
        }
        Ok(lost)
    }
}

impl Mended {
    fn add(&mut self, done: Vec<bool>) {
        let good = done.iter().filter(|done| **done).count();
        self.looked_at += good;
        self.failed += done.len() - good;
    }
}

/// Does all of it, so much at a time.
async fn done(work: Vec<BoxFuture<'_, bool>>, at_once: usize) -> Vec<bool> {
    stream::iter(work).buffer_unordered(at_once.max(1)).collect().await
}

/// Whether it was done. One that fails, or panics, stops nobody else's.
async fn told(work: impl Future<Output = Result<(), WorkError>>) -> bool {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "what a link serves could not be compared");
            false
        }
        Err(_) => {
            tracing::error!("comparing what a link serves panicked");
            false
        }
    }
}
