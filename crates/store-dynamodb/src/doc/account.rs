//! Accounts and tokens as JSON.

use std::collections::BTreeSet;

use calmesh_app::model::{Account, Detail, Scope, SecretHash, Token};
use calmesh_calendar::{AccountId, PropertyId, TokenId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    settings::DetailDoc,
    values::{hash, properties_option, text, text_option},
};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Account")]
pub(super) struct AccountDoc {
    #[serde(with = "text")]
    id: AccountId,
    name: String,
    #[serde(with = "DetailDoc")]
    default_detail: Detail,
    default_label_prefix: String,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(with = "text_option")]
    deleted_at: Option<Timestamp>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    links_until: Option<Timestamp>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Scope", rename_all = "snake_case")]
pub(super) enum ScopeDoc {
    Full,
    Read,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Token")]
pub(super) struct TokenDoc {
    #[serde(with = "text")]
    id: TokenId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "hash")]
    hash: SecretHash,
    name: String,
    #[serde(with = "ScopeDoc")]
    scope: Scope,
    #[serde(with = "properties_option")]
    properties: Option<BTreeSet<PropertyId>>,
    #[serde(with = "text_option")]
    expires_at: Option<Timestamp>,
    #[serde(with = "text")]
    created_at: Timestamp,
}
