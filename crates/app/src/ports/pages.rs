//! Lists that a store gives by pages, read to their end.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, PropertyId};

use crate::{
    model::{ExtraLink, LinkScope},
    ports::{LinkStore, PageRequest, PropertyStore, StoreError},
};

impl dyn PropertyStore {
    /// Every property of an account that is not deleted.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn property_ids(&self, account: &AccountId) -> Result<BTreeSet<PropertyId>, StoreError> {
        let (mut ids, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.properties(account, PageRequest { limit: 100, after }).await?;
            ids.extend(page.items.into_iter().map(|property| property.id));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(ids),
            }
        }
    }

    /// The properties that a link covers.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn properties_of_link(&self, link: &ExtraLink) -> Result<BTreeSet<PropertyId>, StoreError> {
        match &link.scope {
            LinkScope::Properties(properties) => Ok(properties.clone()),
            LinkScope::All => self.property_ids(&link.account).await,
        }
    }
}

impl dyn LinkStore {
    /// Every extra link of an account, deleted ones while their records are kept.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn links_of_account(&self, account: &AccountId) -> Result<Vec<ExtraLink>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.links(account, PageRequest { limit: 200, after }).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}
