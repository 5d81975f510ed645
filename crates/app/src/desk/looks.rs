//! Of what accounts and clients that wait may have only so much: budgets over all instances, and looks at feeds.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::{
    desk::Desk,
    model::{Budget, Spender},
    ports::{Hop, HopGate},
    traffic::{
        Look, TooMany,
        budgets::{Budgets, NotNow},
    },
};

impl Desk {
    /// Lets a client's wish to look at a feed pass, or says when to come again: so many at once, so many a minute for
    /// the account, and so many a second for the host over all accounts. The look lasts until it is dropped.
    pub(crate) async fn admit_look(
        &self,
        spender: &Spender,
        budget: Budget,
        host: Option<&str>,
    ) -> Result<Look, NotNow> {
        const AT_ONCE: &str = "feeds are looked at for this account at the same time";
        let look = self.traffic.look(spender);
        let look = look.ok_or(TooMany { what: AT_ONCE, retry_after: SignedDuration::from_secs(1) })?;
        self.budgets.spend(spender, budget, "feeds are looked at for this account").await?;
        if let Some(host) = host {
            self.budgets.turn_of_look_at(host).await?;
        }
        Ok(look)
    }

    /// Lets redirects that a client waits for pass.
    pub(crate) fn gate_of_looks(&self) -> Arc<dyn HopGate> {
        Arc::new(LookGate(self.budgets.clone()))
    }
}

struct LookGate(Budgets);

impl fmt::Debug for LookGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookGate")
    }
}

#[async_trait]
impl HopGate for LookGate {
    async fn hop(&self, host: &str) -> Hop {
        match self.0.turn_of_look_at(host).await {
            Ok(()) => Hop::Go,
            Err(NotNow::TooMany(TooMany { retry_after, .. })) => Hop::HoldBack(retry_after),
            Err(NotNow::Store(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a host's budget can't be read");
                Hop::HoldBack(SignedDuration::from_secs(5))
            }
        }
    }
}
