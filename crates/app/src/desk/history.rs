//! What happened to a property, for its host to read.

use calmesh_calendar::PropertyId;

use crate::{
    desk::{Desk, reach::Reach},
    model::{Activity, Connection},
    ports::{Page, PageRequest, StoreError},
};

impl Desk {
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
        let Some(property) = self.properties.property(id).await?.filter(|property| reach.shows(property)) else {
            return Ok(None);
        };
        let mut page = self.activity.activity(id, page).await?;
        // What an earlier version wrote has no names: it is told by the present ones, which one read for all brings.
        let is_nameless = |entry: &Activity| entry.connection.is_some() && entry.names.site.is_none();
        let state = match page.items.iter().any(is_nameless) {
            true => self.state_to_name_by(id).await?,
            false => None,
        };
        for entry in &mut page.items {
            entry.names.property.get_or_insert_with(|| property.name.clone());
            if is_nameless(entry) {
                let known = entry.connection.as_ref().zip(state.as_ref()).and_then(|(id, state)| state.connection(id));
                entry.names.site = known.map(Connection::site);
            }
        }
        Ok(Some(page))
    }
}
