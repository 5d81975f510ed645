//! What happened to a property, for its host to read.

use calmesh_calendar::PropertyId;

use crate::{
    App, Reach,
    model::Activity,
    ports::{Page, PageRequest, StoreError},
};

impl App {
    /// What happened to a property in the last 90 days, newest first; none where the caller sees no such property.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_activity(
        &self,
        reach: &Reach,
        id: &PropertyId,
        page: PageRequest,
    ) -> Result<Option<Page<Activity>>, StoreError> {
        if !self.properties.property(id).await?.is_some_and(|property| reach.shows(&property)) {
            return Ok(None);
        }
        Ok(Some(self.activity.activity(id, page).await?))
    }
}
