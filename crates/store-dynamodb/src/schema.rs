//! The table's attributes and index, and every key that an item can have. Nobody else spells one.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{RefreshScope, SecretHash, Snapshot, Spender, bucket_of},
    ports::Mark,
};
use calmesh_calendar::{AccountId, ConflictId, ConnectionId, LinkId, PropertyId, RefreshId, TokenId, home_of};
use jiff::Timestamp;

/// Names of attributes. `doc` holds most of an item; the others are what conditions and indexes need.
pub(crate) mod attr {
    pub(crate) const PK: &str = "pk";
    pub(crate) const SK: &str = "sk";
    pub(crate) const DOC: &str = "doc";
    /// Of a head: the revision. Of another item of a property: the revision that wrote it.
    pub(crate) const REV: &str = "rev";
    /// Epoch seconds after which DynamoDB removes the item.
    pub(crate) const TTL: &str = "ttl";
    /// Of a page: how many pages its source or its change has.
    pub(crate) const OF: &str = "of";
    pub(crate) const MPK: &str = "mpk";
    pub(crate) const MSK: &str = "msk";
    pub(crate) const DIRTY_SINCE: &str = "dirty_since";
    pub(crate) const ATTEMPTS: &str = "attempts";
    pub(crate) const ANNOUNCE_AT: &str = "announce_at";
    pub(crate) const WAKE_AT: &str = "wake_at";
    /// Of a head: the attempt whose staged items are part of the state.
    pub(crate) const STAGED: &str = "staged";
    pub(crate) const STAGED_COUNT: &str = "staged_count";
    /// Of a head: what the transaction that wrote it put and removed in the partition.
    pub(crate) const WROTE: &str = "wrote";
    /// Of an extra link: the hash of its token.
    pub(crate) const LINK: &str = "link";
    pub(crate) const PLAN: &str = "plan";
    pub(crate) const PLAN_SINCE: &str = "plan_since";
    pub(crate) const FAILURE: &str = "failure";
    pub(crate) const SUCCESS_AT: &str = "success_at";
    /// Of a plan: the reading that was announced last, and the first one that was not taken in before it.
    pub(crate) const ANNOUNCED_SINCE: &str = "announced_since";
    pub(crate) const ANNOUNCED_READ_AT: &str = "announced_read_at";
    /// Of a plan: what was announced and waits to be taken in.
    pub(crate) const WAITING: &str = "waiting";
    /// Of a plan: what a later body that says the same came with, and when.
    pub(crate) const VALIDATORS: &str = "validators";
    pub(crate) const VALIDATORS_AT: &str = "validators_at";
    pub(crate) const LAST_READ_AT: &str = "last_read_at";
    /// Of a link's owner: the last hour of which some times of reads were dropped.
    pub(crate) const THINNED: &str = "thinned";
    pub(crate) const LAST_CHANGED_AT: &str = "last_changed_at";
    pub(crate) const NUMBER: &str = "number";
    pub(crate) const CHUNKS: &str = "chunks";
    pub(crate) const UNTIL: &str = "until";
    pub(crate) const STEP: &str = "step";
    /// Of a page of outcomes: a map by connection.
    pub(crate) const OUTCOMES: &str = "outcomes";
    /// Of a scope: the refresh that was asked for before the last one.
    pub(crate) const BEFORE: &str = "before";
    pub(crate) const REQUESTED_AT: &str = "requested_at";
    pub(crate) const SPREAD: &str = "spread";
    pub(crate) const FINGERPRINT: &str = "fingerprint";
    pub(crate) const STARTED_AT: &str = "started_at";
    /// Of a kept answer: from what its request drew, and until when it is taken to run.
    pub(crate) const SEED: &str = "seed";
    pub(crate) const LEASE_UNTIL: &str = "lease_until";
    pub(crate) const SEALED: &str = "sealed";
    pub(crate) const ACCOUNT: &str = "account";
    pub(crate) const PROPERTY: &str = "property";
    /// Of a scope: the refresh that was last asked for.
    pub(crate) const REFRESH: &str = "refresh";
}

/// The sparse index of marks.
pub(crate) const MARKS_INDEX: &str = "marks";
pub(crate) const MARK_PARTITIONS: u32 = 16;

/// Where an item is.
pub(crate) type Item = HashMap<String, AttributeValue>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// An item with nothing but this key.
    pub(crate) fn item(&self) -> Item {
        Item::from([
            (attr::PK.to_owned(), AttributeValue::S(self.pk.clone())),
            (attr::SK.to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

/// Heads sort before everything else in their partition, so that a query reads them first.
pub(crate) const HEAD: &str = "#HEAD";
pub(crate) const BLOCKS: &str = "BLK#";
pub(crate) const OWN_BLOCKS: &str = "own";
pub(crate) const CONNECTIONS: &str = "CON#";
pub(crate) const RETIRING: &str = "RET#";
pub(crate) const CLAIMS: &str = "CLM#";
pub(crate) const CONFLICTS: &str = "CFL#";
pub(crate) const STAGES: &str = "STG#";
pub(crate) const TOKENS: &str = "TOK#";
pub(crate) const PROPERTIES: &str = "PRP#";
pub(crate) const LINKS: &str = "LNK#";
pub(crate) const FEEDS: &str = "FED#";
pub(crate) const OUTCOMES: &str = "OUT#";

/// An instant as text that sorts as time does.
pub(crate) fn sortable(at: Timestamp) -> String {
    format!("{at:.9}")
}

pub(crate) fn property_partition(id: &PropertyId) -> String {
    format!("PRP#{id}")
}

/// Of which property this partition is.
pub(crate) fn property_of(partition: &str) -> Option<PropertyId> {
    partition.strip_prefix(PROPERTIES)?.parse().ok()
}

pub(crate) fn property_head(id: &PropertyId) -> Key {
    Key::new(property_partition(id), HEAD)
}

pub(crate) fn connection(property: &PropertyId, id: &ConnectionId) -> Key {
    Key::new(property_partition(property), format!("{CONNECTIONS}{id}"))
}

/// A page of a connection's stays, or of the host's own blocks.
pub(crate) fn blocks(property: &PropertyId, of: Option<&ConnectionId>, nth: usize) -> Key {
    let source = of.map_or(OWN_BLOCKS, ConnectionId::as_str);
    Key::new(property_partition(property), format!("{BLOCKS}{source}#{nth:04}"))
}

pub(crate) fn claims(property: &PropertyId, of: &ConnectionId) -> Key {
    Key::new(property_partition(property), format!("{CLAIMS}{of}"))
}

/// A page of a property's standing conflicts.
pub(crate) fn conflicts(property: &PropertyId, nth: usize) -> Key {
    Key::new(property_partition(property), format!("{CONFLICTS}{nth:04}"))
}

/// What the entries of a property's conflicts start with in the partition of its account.
pub(crate) fn conflict_entries(property: &PropertyId) -> String {
    format!("{CONFLICTS}{property}#")
}

pub(crate) fn conflict_entry(account: &AccountId, property: &PropertyId, opened_at: Timestamp, id: &ConflictId) -> Key {
    let sk = format!("{}{}#{id}", conflict_entries(property), sortable(opened_at));
    Key::new(account_partition(account), sk)
}

pub(crate) fn retiring(property: &PropertyId, token: SecretHash) -> Key {
    Key::new(property_partition(property), format!("{RETIRING}{}", token.to_hex()))
}

/// What all staged items of one attempt at a revision start with.
pub(crate) fn stages_of(revision: u64, attempt: &str) -> String {
    format!("{STAGES}{revision:020}#{attempt}#")
}

pub(crate) fn stage(property: &PropertyId, revision: u64, attempt: &str, nth: usize) -> Key {
    Key::new(property_partition(property), format!("{}{nth:05}", stages_of(revision, attempt)))
}

/// The revision that a staged item was for.
pub(crate) fn stage_revision(sk: &str) -> Option<u64> {
    sk.strip_prefix(STAGES)?.split('#').next()?.parse().ok()
}

/// Of a head: when the export of a connection last changed. It is true of the link that the connection has at the
/// head's revision: a change that gives it another one removes it.
pub(crate) fn exported(connection: &ConnectionId) -> String {
    format!("exported_{connection}")
}

pub(crate) fn closed_holds_partition(property: &PropertyId) -> String {
    format!("HLD#{property}")
}

pub(crate) fn history_partition(property: &PropertyId) -> String {
    format!("HIS#{property}")
}

/// A page of what happened at an instant. `unique` tells those who wrote at one instant apart and orders them: the
/// revision that a change made, or random digits.
pub(crate) fn past(partition: String, at: Timestamp, unique: &str, nth: usize) -> Key {
    Key::new(partition, format!("{}#{unique}#{nth:05}", sortable(at)))
}

/// Sorts after all that happened at this instant, and before all that did later.
pub(crate) fn past_after(at: Timestamp) -> String {
    format!("{}$", sortable(at))
}

/// Where a property is, and with it all whose ids begin as its own does.
pub(crate) fn location(id: &str) -> Key {
    Key::new(format!("LOC#{}", home_of(id).unwrap_or(id)), HEAD)
}

pub(crate) fn account_partition(id: &AccountId) -> String {
    format!("ACC#{id}")
}

pub(crate) fn account(id: &AccountId) -> Key {
    Key::new(account_partition(id), HEAD)
}

pub(crate) fn token(account: &AccountId, id: &TokenId) -> Key {
    Key::new(account_partition(account), format!("{TOKENS}{id}"))
}

pub(crate) fn token_hash(hash: &SecretHash) -> Key {
    Key::new(format!("TKH#{}", hash.to_hex()), HEAD)
}

pub(crate) fn property_entry(account: &AccountId, created_at: Timestamp, id: &PropertyId) -> Key {
    Key::new(account_partition(account), format!("{PROPERTIES}{}#{id}", sortable(created_at)))
}

/// What the entries of connections that read one feed start with in the partition of their account.
pub(crate) fn feed_entries(mark: SecretHash) -> String {
    format!("{FEEDS}{}#", mark.to_hex())
}

pub(crate) fn feed_entry(account: &AccountId, mark: SecretHash, connection: &ConnectionId) -> Key {
    Key::new(account_partition(account), format!("{}{connection}", feed_entries(mark)))
}

pub(crate) fn link_entry(account: &AccountId, created_at: Timestamp, id: &LinkId) -> Key {
    Key::new(account_partition(account), format!("{LINKS}{}#{id}", sortable(created_at)))
}

pub(crate) fn link(id: &LinkId) -> Key {
    Key::new(format!("LNK#{id}"), HEAD)
}

pub(crate) fn owner(token: &SecretHash) -> Key {
    Key::new(format!("OWN#{}", token.to_hex()), HEAD)
}

/// The operator's list of accounts is in partitions by the first character of an id's random part, so that
/// partition after partition gives the order of ids. Random bits begin with one of `0` to `7`.
pub(crate) const ACCOUNT_LISTS: [char; 9] = ['0', '1', '2', '3', '4', '5', '6', '7', '8'];

pub(crate) fn account_list(first: char) -> String {
    format!("ACL#{first}")
}

/// In which of the lists an account is.
pub(crate) fn account_list_of(id: &AccountId) -> char {
    let first = id.as_str().chars().nth(AccountId::PREFIX.len()).unwrap_or('8');
    if ACCOUNT_LISTS.contains(&first) { first } else { '8' }
}

pub(crate) fn account_entry(id: &AccountId) -> Key {
    Key::new(account_list(account_list_of(id)), id.as_str())
}

/// Sixty-four buckets share a partition.
pub(crate) const BUCKETS_PER_PARTITION: u16 = 64;

pub(crate) fn fetch_partition(bucket: u16) -> String {
    format!("FCH#{:02}", bucket / BUCKETS_PER_PARTITION)
}

/// What the plans of one bucket start with in their partition.
pub(crate) fn fetch_prefix(bucket: u16) -> String {
    format!("{:02}#", bucket % BUCKETS_PER_PARTITION)
}

pub(crate) fn fetch_plan(connection: &ConnectionId) -> Key {
    let bucket = bucket_of(connection);
    Key::new(fetch_partition(bucket), format!("{}{connection}", fetch_prefix(bucket)))
}

pub(crate) fn bodies_partition(connection: &ConnectionId) -> String {
    format!("BDY#{connection}")
}

/// A small body that a connection is taken from, or was.
pub(crate) fn body(connection: &ConnectionId, snapshot: &Snapshot) -> Key {
    Key::new(bodies_partition(connection), snapshot.0.as_str())
}

pub(crate) fn sweeps_partition(bucket: u16) -> String {
    format!("SWP#{:02}", bucket / BUCKETS_PER_PARTITION)
}

/// The record of a run of buckets, as far as it lies in one partition.
pub(crate) fn sweep(first: u16, last: u16) -> Key {
    Key::new(sweeps_partition(first), format!("RUN#{first:04}-{last:04}"))
}

pub(crate) const SWEEP_RUNS: &str = "RUN#";

/// Connections that a pass skipped and that have no room in its record.
pub(crate) fn sweep_skipped(first: u16, last: u16, number: i64, nth: usize) -> Key {
    Key::new(format!("SKP#{first:04}-{last:04}"), format!("{number}#{nth:05}"))
}

/// What the partition of a host's pause begins with.
pub(crate) const PAUSES: &str = "HST#";

pub(crate) fn pause(host: &str) -> Key {
    Key::new(format!("{PAUSES}{host}"), HEAD)
}

/// The step of the schedule whose sweeps were announced last.
pub(crate) fn last_step() -> Key {
    Key::new("SCH".to_owned(), HEAD)
}

pub(crate) fn refresh_partition(id: &RefreshId) -> String {
    format!("RFR#{id}")
}

pub(crate) fn refresh(id: &RefreshId) -> Key {
    Key::new(refresh_partition(id), HEAD)
}

/// Which refresh was last asked for of one scope.
pub(crate) fn latest_refresh(account: &AccountId, scope: &RefreshScope) -> Key {
    Key::new(format!("RFS#{account}"), scope.key())
}

/// The outcomes of a refresh on the page that begins after this place of the list of properties.
pub(crate) fn outcomes(id: &RefreshId, page: &str) -> Key {
    Key::new(refresh_partition(id), format!("{OUTCOMES}{page}"))
}

/// A budget that holds over all instances.
pub(crate) fn budget(spender: &Spender) -> Key {
    Key::new(format!("BDG#{}", spender.key()), HEAD)
}

pub(crate) fn answers_partition(account: &AccountId) -> String {
    format!("IDM#{account}")
}

/// A client's key may be of any form, so its hash stands for it.
pub(crate) fn answer(account: &AccountId, key: &str) -> Key {
    Key::new(answers_partition(account), SecretHash::of(key).to_hex())
}

/// The index partition of something that can be marked.
pub(crate) fn mark_partition(id: &str) -> String {
    let mixed = id.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    mark_partition_at(mixed % MARK_PARTITIONS)
}

pub(crate) fn mark_partition_at(nth: u32) -> String {
    format!("MARK#{nth}")
}

/// What a marked item is, read off its key.
pub(crate) fn mark_of(pk: &str) -> Option<Mark> {
    let (kind, id) = pk.split_once('#')?;
    match kind {
        "PRP" => Some(Mark::Property { id: id.parse().ok()? }),
        "LNK" => Some(Mark::Link { id: id.parse().ok()? }),
        "ACC" => Some(Mark::Account { id: id.parse().ok()? }),
        "RFR" => Some(Mark::Refresh { id: id.parse().ok()? }),
        _ => None,
    }
}
