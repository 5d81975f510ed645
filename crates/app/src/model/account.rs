//! Accounts and their tokens.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, PropertyId, TokenId};
use jiff::Timestamp;

use super::{Detail, Dirty, SecretHash};

/// A tenant: one host or company. Everything belongs to exactly one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    /// What new links show when nothing else is said.
    pub default_detail: Detail,
    /// The label prefix of new properties and links.
    pub default_label_prefix: String,
    pub created_at: Timestamp,
    /// Set when its deletion began: no token of it opens anything any more.
    pub deleted_at: Option<Timestamp>,
    /// Of a deleted one: all that was known is erased, and its links are empty until then, so that their readers let go.
    pub links_until: Option<Timestamp>,
    /// Counts changes; optimistic concurrency and ETag.
    pub version: u64,
}

impl Account {
    /// The mark of a deletion that began: its erasure is announced again until nothing of the account is left. While only
    /// empty links are, it waits for their end.
    #[must_use]
    pub fn erasure(&self) -> Option<Dirty> {
        let mark = Dirty::new(self.deleted_at?);
        Some(Dirty { announce_at: self.links_until.unwrap_or(mark.announce_at), ..mark })
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Full,
    Read,
}

/// One API token of an account; the secret is only known by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub hash: SecretHash,
    pub name: String,
    pub scope: Scope,
    /// None: all properties of the account.
    pub properties: Option<BTreeSet<PropertyId>>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}
