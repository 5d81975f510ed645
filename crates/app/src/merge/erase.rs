//! Accounts whose deletion began, erased: what is known goes at once, empty links stay for a week, then all is gone.

use std::{collections::BTreeSet, sync::Arc};

use calmesh_calendar::{AccountId, ConnectionId, LinkId, PropertyId, span::Later};

use crate::{
    changes::{EDIT_ATTEMPTS, difference::difference, draft::History, ending::end_property},
    merge::Merge,
    model::{Account, Dirty, PropertyState, RETIRES_AFTER},
    ports::{ObjectError, PropertyCommit, StoreError},
    trouble::WorkError,
};

/// Why an account was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Nobody asked for it.
    #[error("the account is not marked as deleted")]
    NotDeleted,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An empty link could not be put.
    #[error(transparent)]
    Work(#[from] WorkError),
}

impl Merge {
    /// Erases an account whose deletion was announced. Where nobody asked for it, or it was taken back, an event is no reason
    /// to delete.
    pub(crate) async fn erase_if_it_goes(&self, id: &AccountId) -> Result<(), WorkError> {
        match self.erase_account(id).await {
            Ok(()) | Err(EraseError::NotDeleted) => Ok(()),
            Err(EraseError::Work(error)) => Err(error),
            Err(EraseError::Object(error)) => Err(error.into()),
            Err(EraseError::Store(error)) => Err(error.into()),
        }
    }

    /// Erases an account whose deletion began. At once go all blocks, connections, bodies of feeds, tokens, kept answers and
    /// the past; its private links stay for a week and are empty, so that every site lets go of what it read from them.
    /// Then they go, and the account with them. Each step may be repeated, so a run that died is finished by the next one.
    ///
    /// # Errors
    /// `NotDeleted` for one that stands; otherwise what failed, to be tried again.
    pub async fn erase_account(&self, id: &AccountId) -> Result<(), EraseError> {
        let Some(account) = self.accounts.account(id).await? else {
            return Ok(());
        };
        if account.deleted_at.is_none() {
            return Err(EraseError::NotDeleted);
        }
        match account.links_until {
            None => self.empty_account(account).await,
            Some(until) if until > self.clock.now() => Ok(()),
            Some(_) => self.end_account(id).await,
        }
    }

    /// Leaves an account with empty links alone; one that has none goes at once.
    async fn empty_account(&self, account: Account) -> Result<(), EraseError> {
        let id = account.id.clone();
        self.accounts.purge_access(&id).await?;
        let mut has_links = false;
        for property in self.properties.property_ids(&id).await? {
            self.empty_property(&property).await?;
            has_links |= self.properties.property(&property).await?.is_some();
        }
        let links = self.links.links_of_account(&id).await?;
        for link in &links {
            self.empty_link(&link.id).await?;
        }
        if !has_links && links.is_empty() {
            return self.end_account(&id).await;
        }
        let until = self.clock.now().later(RETIRES_AFTER);
        let emptied = Account { links_until: Some(until), version: account.version + 1, ..account };
        Ok(self.accounts.update_account(&emptied).await?)
    }

    /// The end of a deleted account's links and of its record. Its properties' links end by themselves at the same time.
    async fn end_account(&self, id: &AccountId) -> Result<(), EraseError> {
        for link in self.links.links_of_account(id).await? {
            self.publish.bury_link(&link).await?;
        }
        Ok(self.accounts.purge_account(id).await?)
    }

    /// Leaves a property with empty links alone. Unlike a deletion by its host this keeps nothing of the past.
    async fn empty_property(&self, id: &PropertyId) -> Result<(), EraseError> {
        for _ in 0..EDIT_ATTEMPTS {
            let Some(before) = self.properties.load(id).await?.map(Arc::new) else { return Ok(()) };
            let feeds: BTreeSet<ConnectionId> = before.connections.iter().map(|known| known.id.clone()).collect();
            self.forget_snapshots(&before.property.account, &feeds).await?;
            self.properties.forget_past(id).await?;
            let now = self.clock.now();
            let mut draft = self.changes.draft(PropertyState::clone(&before), now);
            end_property(&mut draft);
            let mut after =
                PropertyState { claims: calmesh_calendar::Claims::default(), conflicts: Vec::new(), ..draft.state };
            after.property.revision = before.property.revision + 1;
            after.property.revised_at = before.property.revised_at.max(Some(now));
            after.property.dirty = Some(Dirty::new(now));
            let commit = PropertyCommit { replaced: None, ..difference(Some(&before), &after, History::default()) };
            match self.properties.commit(&commit).await {
                Ok(()) => {
                    // A body that was fetched meanwhile goes too.
                    self.forget_snapshots(&before.property.account, &feeds).await?;
                    return Ok(self.publish.publish_property(id).await?);
                }
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Stale.into())
    }

    async fn forget_snapshots(
        &self,
        account: &AccountId,
        connections: &BTreeSet<ConnectionId>,
    ) -> Result<(), EraseError> {
        for connection in connections {
            self.properties.forget_bodies(connection).await?;
            self.snapshots.forget(account, connection).await?;
        }
        Ok(())
    }

    async fn empty_link(&self, id: &LinkId) -> Result<(), EraseError> {
        for _ in 0..EDIT_ATTEMPTS {
            let Some(link) = self.links.link(id).await?.filter(|link| link.deleted_at.is_none()) else { break };
            match self.links.put_link(&link.deleted(self.clock.now())).await {
                Ok(()) => break,
                // Somebody edited it at the same time.
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.publish.publish_link(id).await?)
    }
}
