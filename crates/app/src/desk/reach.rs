//! What a caller may see: one account, or some properties of it. What is beyond answers as if it were not there.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, PropertyId};

use crate::{
    desk::Desk,
    model::{Property, PropertyState, Token},
    ports::StoreError,
};

/// An account as one caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    pub account: AccountId,
    /// None: every property of the account.
    pub properties: Option<BTreeSet<PropertyId>>,
}

impl Reach {
    /// All of an account.
    #[must_use]
    pub fn whole(account: AccountId) -> Self {
        Self { account, properties: None }
    }

    #[must_use]
    pub fn of_token(token: &Token) -> Self {
        Self { account: token.account.clone(), properties: token.properties.clone() }
    }

    #[must_use]
    pub fn sees(&self, account: &AccountId, property: &PropertyId) -> bool {
        self.account == *account && self.properties.as_ref().is_none_or(|some| some.contains(property))
    }

    /// Whether this is a property that the caller may see and that was not deleted.
    #[must_use]
    pub(crate) fn shows(&self, property: &Property) -> bool {
        property.deleted_at.is_none() && self.sees(&property.account, &property.id)
    }
}

impl Desk {
    /// Everything of a property that the caller may see.
    pub(crate) async fn state_within(
        &self,
        reach: &Reach,
        id: &PropertyId,
    ) -> Result<Option<PropertyState>, StoreError> {
        Ok(self.properties.load(id).await?.filter(|state| reach.shows(&state.property)))
    }

    /// The state of a property that a list of many things only names things by; none where the property is gone, and none
    /// where it can't be read, which stops its own answers and not the list.
    pub(crate) async fn state_to_name_by(&self, id: &PropertyId) -> Result<Option<PropertyState>, StoreError> {
        match self.properties.load(id).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(error = &error as &dyn std::error::Error, property.id = %id, "a list can't name what is in a property");
                Ok(None)
            }
            loaded => loaded,
        }
    }

    /// The property that holds, or held, the thing with this id, if the caller may see that.
    pub(crate) async fn property_of(&self, reach: &Reach, id: &str) -> Result<Option<PropertyId>, StoreError> {
        let location = self.properties.locate(id).await?;
        Ok(location.filter(|at| reach.sees(&at.account, &at.property)).map(|at| at.property))
    }
}
