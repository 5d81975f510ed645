//! The one way in for every event, whoever delivers it: timer, button or push. A second run changes nothing.

use crate::{
    App, EraseError,
    ports::Event,
    trouble::{WorkError, guarded},
};

impl App {
    /// Works on one event. It may come twice, late, or out of order.
    ///
    /// # Errors
    /// When a part of the world failed, or the work panicked, which is this event's alone; nothing that was acknowledged
    /// is lost, and the event may come again.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        guarded(self.work_on(event)).await
    }

    async fn work_on(&self, event: &Event) -> Result<(), WorkError> {
        match event {
            Event::SweepDue { first_bucket, last_bucket, number } => {
                self.sweep(*first_bucket, *last_bucket, *number).await
            }
            Event::RefreshRequested { refresh, after, rest, .. } => {
                self.refresh_requested(refresh, after.as_deref(), *rest).await
            }
            Event::FeedsRead { account, property, readings, refresh } => {
                self.feeds_read(account, property, readings, refresh.as_ref()).await
            }
            Event::PropertyDirty { property } => self.publish_property(property).await,
            Event::LinkDirty { link } => self.publish_link(link).await,
            Event::AccountDeleted { account } => match self.erase_account(account).await {
                // Nobody asked for it, or it was taken back: an event is no reason to delete.
                Ok(()) | Err(EraseError::NotDeleted) => Ok(()),
                Err(EraseError::Work(error)) => Err(error),
                Err(EraseError::Object(error)) => Err(error.into()),
                Err(EraseError::Store(error)) => Err(error.into()),
            },
            Event::PropertyChanged { .. } | Event::ConflictOpened { .. } => Ok(()),
        }
    }
}
