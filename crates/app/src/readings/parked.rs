//! Bodies of feeds that belong to a connection: none stays behind when that goes.

use std::{slice, sync::Arc};

use calmesh_calendar::{AccountId, ConnectionId, PropertyId};

use crate::{
    model::PropertyState,
    ports::{FetchStore, PropertyStore, SnapshotStore},
    trouble::WorkError,
    wiring::Common,
};

/// Parked bodies, and whose they are. Held by who parks any.
#[derive(Clone)]
pub(crate) struct Bodies {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) fetches: Arc<dyn FetchStore>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}

impl Bodies {
    pub(crate) fn new(common: &Common, snapshots: &Arc<dyn SnapshotStore>) -> Self {
        Self { properties: common.properties.clone(), fetches: common.fetches.clone(), snapshots: snapshots.clone() }
    }
    /// Removes the bodies of a connection that is not there any more: whoever puts one does this afterwards, so that
    /// none stays behind a deletion that came in between.
    pub(crate) async fn forget_if_gone(
        &self,
        account: &AccountId,
        property: &PropertyId,
        connection: &ConnectionId,
    ) -> Result<(), WorkError> {
        // Most are there, which one small read tells.
        let states = self.fetches.fetch_states(slice::from_ref(connection)).await?;
        if states.contains_key(connection) {
            return Ok(());
        }
        let state = self.properties.load(property).await?;
        let imports = |state: &PropertyState| {
            state.connection(connection).is_some_and(|known| known.account == *account && known.import.is_some())
        };
        if !state.is_some_and(|state| imports(&state)) {
            self.snapshots.forget(account, connection).await?;
        }
        Ok(())
    }
}
