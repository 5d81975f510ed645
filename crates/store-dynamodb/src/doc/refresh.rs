//! Refreshes as JSON.

use calmesh_app::model::{Outcome, Refresh, RefreshScope};
use calmesh_calendar::{AccountId, ConnectionId, PropertyId, RefreshId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::values::text;

/// Whether it was spread is an attribute, not part of the document.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Refresh")]
pub(super) struct RefreshDoc {
    #[serde(with = "text")]
    id: RefreshId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "RefreshScopeDoc")]
    scope: RefreshScope,
    #[serde(with = "text")]
    requested_at: Timestamp,
    #[serde(skip)]
    spread: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefreshScope", rename_all = "snake_case")]
pub(super) enum RefreshScopeDoc {
    Connection {
        #[serde(with = "text")]
        property: PropertyId,
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Property(#[serde(with = "text")] PropertyId),
    Account,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", rename_all = "snake_case")]
pub(super) enum OutcomeDoc {
    Pending,
    Unchanged { blocks_held: u32 },
    Changed { blocks_added: u32, blocks_removed: u32, blocks_held: u32 },
    Failed { reason: String },
}
