//! What accounts and hosts of feeds have left to spend, over all instances.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;

use crate::{
    model::{Budget, Spender, Spent},
    ports::{BudgetStore, Clock, StoreError},
    traffic::{HOST, PATIENCE, TooMany},
};

pub(crate) const HOST_WORDS: &str = "requests are sent to the site of this feed";
pub(crate) const ROOM_WORDS: &str = "large calendars are read at the same time";

/// Why something is not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotNow {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is left to spend, by the store and the clock.
#[derive(Clone)]
pub(crate) struct Budgets {
    pub(crate) store: Arc<dyn BudgetStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Budgets {
    /// Spends one of a budget. `what` there is too much of where none is left.
    pub(crate) async fn spend(&self, spender: &Spender, budget: Budget, what: &'static str) -> Result<(), NotNow> {
        self.spend_patiently(spender, budget, SignedDuration::ZERO, what).await
    }

    /// As `spend`; waits for its turn where that comes soon.
    async fn spend_patiently(
        &self,
        spender: &Spender,
        budget: Budget,
        patience: SignedDuration,
        what: &'static str,
    ) -> Result<(), NotNow> {
        match self.store.spend(spender, budget, patience, self.clock.now()).await? {
            Spent::After(wait) => {
                tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
                Ok(())
            }
            Spent::Refused { retry_after } => Err(TooMany { what, retry_after }.into()),
        }
    }

    pub(crate) async fn turn_of_look_at(&self, host: &str) -> Result<(), NotNow> {
        self.spend_patiently(&Spender::Host(host.to_owned()), HOST, PATIENCE, HOST_WORDS).await
    }
}
