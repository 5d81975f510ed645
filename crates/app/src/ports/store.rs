//! The store: accounts, properties with all that is decided together, fetch states, refreshes, marks.
//!
//! A list is paged: `PageRequest::after` is what the last `Page::next` said, opaque to everybody but the adapter.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use calmesh_calendar::{
    AccountId, Block, BlockId, Conflict, ConflictId, ConnectionClaims, ConnectionId, LinkId, PropertyId, RefreshId,
    TokenId,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{
        Account, Activity, AnnouncedReading, Budget, ClosedHold, ConflictRecord, Connection, ExtraLink, Failure,
        FetchPlan, FetchState, HostPause, LatestRefresh, LinkOwner, LinkReads, LinkToken, Outcome, Property,
        PropertyState, ReadTimes, Refresh, RefreshOutcome, RefreshPage, RefreshPart, RefreshScope, Replaced,
        RetiringLink, SecretHash, Snapshot, Spender, Spent, SweepRecord, Token, Validators,
    },
    ports::{ParkedBody, SmallBody},
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first, or what was to be changed is gone. Load again and decide anew.
    #[error("what was read has been changed meanwhile")]
    Stale,
    /// What a create would make is there already.
    #[error("it exists already")]
    Exists,
    /// The store can't be reached or asks for less. Nothing may be assumed about the write.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored item can't be read. Never repaired in silence.
    #[error("a stored item can't be read: {what}")]
    Corrupt { what: String },
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts; none at the end.
    pub next: Option<String>,
}

/// Which page: at most `limit` items after the place that an earlier page named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    pub limit: u16,
    pub after: Option<String>,
}

/// Accounts and tokens.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Writes the account and its first token, if any, together.
    /// # Errors
    /// MUST be `Exists` when the account is there.
    async fn create_account(&self, account: &Account, first_token: Option<&Token>) -> Result<(), StoreError>;

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError>;

    /// All accounts, in order of id.
    async fn accounts(&self, page: PageRequest) -> Result<Page<Account>, StoreError>;

    /// MUST mark the account as `Account::erasure` says, or unmark it; the mark goes with the record.
    /// # Errors
    /// MUST be `Stale` when the stored version is not `account.version - 1`.
    async fn update_account(&self, account: &Account) -> Result<(), StoreError>;

    /// Removes every token and kept answer of an account. A second call does nothing.
    async fn purge_access(&self, id: &AccountId) -> Result<(), StoreError>;

    /// Removes the account's record and every token, extra link and idempotency record that is still there. Its
    /// properties were purged before. A second call does nothing.
    async fn purge_account(&self, id: &AccountId) -> Result<(), StoreError>;

    /// # Errors
    /// MUST be `Exists` when a token with this id or hash is there.
    async fn create_token(&self, token: &Token) -> Result<(), StoreError>;

    /// The token with this hash, also an expired one.
    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<Token>, StoreError>;

    /// In order of id.
    async fn tokens(&self, account: &AccountId, page: PageRequest) -> Result<Page<Token>, StoreError>;

    /// Answers whether there was one.
    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<bool, StoreError>;
}

/// Where something with an id of its own belongs: to the property that shares its `home_of`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub account: AccountId,
    pub property: PropertyId,
}

/// A connection of an account that reads a feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedReader {
    /// [`crate::model::FeedUrl::mark`].
    pub mark: SecretHash,
    pub connection: ConnectionId,
    pub property: PropertyId,
}

/// What a commit does to the fetch plan of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a commit holds a few of them for a moment")]
pub enum PlanChange {
    /// Put the plan. With `fresh`, what was known of its health (of another URL) goes, and with it a body that waits.
    /// `taken`: when the waiting body was read that this change takes in; it goes too.
    Put {
        plan: FetchPlan,
        fresh: bool,
        taken: Option<Timestamp>,
    },
    Remove(ConnectionId),
}

/// One change of a property's state: all of it is seen, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyCommit {
    /// The head as it shall be. Its revision is the expected one plus one, or 1 for a new property.
    pub property: Property,
    /// The state on which it was decided, so that a store need not read it again; one that is not given is read.
    pub base: Option<Arc<PropertyState>>,
    /// What this change replaced, to be kept; none for a new property.
    pub replaced: Option<Replaced>,
    /// An export's `last_changed_at` never goes back while its link stays: `settle` may have moved it meanwhile.
    pub put_connections: Vec<Connection>,
    pub remove_connections: Vec<ConnectionId>,
    pub put_blocks: Vec<Block>,
    pub remove_blocks: Vec<BlockId>,
    pub put_retiring: Vec<RetiringLink>,
    pub remove_retiring: Vec<LinkToken>,
    pub plans: Vec<PlanChange>,
    /// What these connections are taken from now.
    pub put_bodies: Vec<(ConnectionId, SmallBody)>,
    /// What these were taken from before. It is kept for as long as what was replaced is.
    pub superseded_bodies: Vec<(ConnectionId, Snapshot)>,
    /// Link tokens that now belong to this property's connections, or (None) to nobody.
    pub owners: Vec<(LinkToken, Option<LinkOwner>)>,
    /// Marks of feeds that these connections read from now on, and those that they read no more.
    pub put_feeds: Vec<(SecretHash, ConnectionId)>,
    pub remove_feeds: Vec<(SecretHash, ConnectionId)>,
    /// Each replaces what is kept of that connection's claims; those of other connections stay.
    pub put_claims: BTreeMap<ConnectionId, ConnectionClaims>,
    /// Connections whose claims are all plain by now.
    pub remove_claims: Vec<ConnectionId>,
    pub put_conflicts: Vec<Conflict>,
    pub remove_conflicts: Vec<ConflictId>,
    /// How the lists of conflicts show those that were put or closed.
    pub conflict_records: Vec<ConflictRecord>,
    pub closed_holds: Vec<ClosedHold>,
    pub activity: Vec<Activity>,
}

/// Properties with their connections, blocks and retiring links.
#[async_trait]
pub trait PropertyStore: Send + Sync {
    /// The property's record alone, also a deleted one.
    async fn property(&self, id: &PropertyId) -> Result<Option<Property>, StoreError>;

    /// Properties of an account that are not deleted, in order of creation.
    async fn properties(&self, account: &AccountId, page: PageRequest) -> Result<Page<Property>, StoreError>;

    /// How many there are that are not deleted; counts no further than to `most`. May be late by what is just made.
    async fn count_properties(&self, account: &AccountId, most: usize) -> Result<usize, StoreError>;

    /// Everything of one property, strongly consistent, by one query. Nothing of a commit that has not
    /// finished is seen.
    async fn load(&self, id: &PropertyId) -> Result<Option<PropertyState>, StoreError>;

    /// Applies a change as a whole, however large.
    /// # Errors
    /// MUST be `Stale` when the stored revision is not `commit.property.revision - 1`; then nothing was written. So it MUST
    /// be where a later reading waits than one that it takes in, unless the change is too large for one transaction: then
    /// the later body stays.
    /// MUST be `Exists` when revision 1 is committed and the property is there; else `Stale` when its account is
    /// not there or was deleted, so that nothing is made that an erasure under way would miss.
    async fn commit(&self, commit: &PropertyCommit) -> Result<(), StoreError>;

    /// A small body that a connection is taken from, or was within `PAST_KEPT`; strongly consistent.
    async fn kept_body(&self, connection: &ConnectionId, snapshot: &Snapshot)
    -> Result<Option<ParkedBody>, StoreError>;

    /// Removes all that is kept of a connection's small bodies. A second call does nothing.
    async fn forget_bodies(&self, connection: &ConnectionId) -> Result<(), StoreError>;

    /// Says that exports followed: clears the dirty mark, sets `wake_at` and when exports' bytes changed.
    /// Does not count as a change of state: the revision stays.
    /// # Errors
    /// MUST be `Stale` when the stored revision is not `rendered_revision`; the mark stays.
    async fn settle(
        &self,
        id: &PropertyId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        exports_changed: &[(ConnectionId, Timestamp)],
    ) -> Result<(), StoreError>;

    /// What changes made after an instant replaced, in no order. Kept for `PAST_KEPT`.
    async fn replaced_after(&self, id: &PropertyId, after: Timestamp) -> Result<Vec<Replaced>, StoreError>;

    /// Removes what is kept of a property's past: activity, ended holds, conflicts, what changes replaced. Its state
    /// stays. A second call does nothing.
    async fn forget_past(&self, id: &PropertyId) -> Result<(), StoreError>;

    /// Removes all that is stored of a property. A second call does nothing.
    async fn purge(&self, id: &PropertyId) -> Result<(), StoreError>;

    /// Where the thing with this id (`con_…`, `blk_…`, `hld_…`, `cfl_…`) belongs, told by the part of the id that it shares
    /// with its property. Whether it is there, that property's state says.
    async fn locate(&self, id: &str) -> Result<Option<Location>, StoreError>;

    /// The connections of an account that read these feeds, in order, at most `most` of each; strongly consistent.
    async fn feed_readers(
        &self,
        account: &AccountId,
        marks: &BTreeSet<SecretHash>,
        most: usize,
    ) -> Result<Vec<FeedReader>, StoreError>;

    /// Holds of a property that have ended in the last 90 days, newest first.
    async fn closed_holds(&self, id: &PropertyId, page: PageRequest) -> Result<Page<ClosedHold>, StoreError>;

    /// Conflicts of one property, or of all of an account: those that stand, and those that closed in the last 90
    /// days. By property, the newest first in each.
    async fn conflict_records(
        &self,
        account: &AccountId,
        property: Option<&PropertyId>,
        page: PageRequest,
    ) -> Result<Page<ConflictRecord>, StoreError>;
}

/// What happened to a property.
#[async_trait]
pub trait ActivityStore: Send + Sync {
    /// Newest first. Kept for 90 days.
    async fn activity(&self, property: &PropertyId, page: PageRequest) -> Result<Page<Activity>, StoreError>;

    /// Adds entries that belong to no commit (a failed fetch).
    async fn append_activity(&self, entries: &[Activity]) -> Result<(), StoreError>;
}

/// What was read of a feed and announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingBody {
    Small(SmallBody),
    /// It lies among the objects.
    Parked(Snapshot),
}

impl WaitingBody {
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Small(body) => &body.snapshot,
            Self::Parked(snapshot) => snapshot,
        }
    }
}

/// A feed that is read, and what waits of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFeed {
    pub state: FetchState,
    /// What `FetchHealth::announced` is of. None once it was taken in.
    pub body: Option<WaitingBody>,
}

/// What the fetcher reads and writes.
#[async_trait]
pub trait FetchStore: Send + Sync {
    /// The importing, active connections of a run of buckets (both ends included), in order of bucket and id.
    async fn plans(
        &self,
        first_bucket: u16,
        last_bucket: u16,
        page: PageRequest,
    ) -> Result<Page<FetchState>, StoreError>;

    /// The states of these connections; those without a plan are missing from the answer.
    async fn fetch_states(
        &self,
        connections: &[ConnectionId],
    ) -> Result<BTreeMap<ConnectionId, FetchState>, StoreError>;

    /// Writes a failure.
    /// # Errors
    /// MUST be `Stale` when there is no plan or it stands since another instant than `plan_since`.
    async fn record_failure(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        failure: &Failure,
    ) -> Result<(), StoreError>;

    /// Writes a good reading at `at` and clears the failure; an older reading than the recorded one changes nothing,
    /// unless that one is of a time after `now`, which only a wrong clock can have written.
    /// # Errors
    /// MUST be `Stale` when there is no plan or it stands since another instant than `plan_since`.
    async fn record_success(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down that a reading is announced, replacing what was announced before, and when the feed was last read well
    /// before it. What was read waits with the plan, and goes with it.
    /// # Errors
    /// MUST be `Stale` when there is no plan or it stands since another instant than `plan_since`.
    async fn record_announced(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        announced: &AnnouncedReading,
        waiting: &WaitingBody,
        last_success_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// `fetch_states`, each with what waits with its plan to be taken in.
    async fn waiting(&self, connections: &[ConnectionId]) -> Result<BTreeMap<ConnectionId, WaitingFeed>, StoreError>;

    /// Writes what a body that says the same as the applied one came with, at `at`. The next change of the property
    /// may put the plan with the applied body's own again.
    /// # Errors
    /// MUST be `Stale` when there is no plan or it stands since another instant than `plan_since`.
    async fn record_validators(
        &self,
        connection: &ConnectionId,
        plan_since: Timestamp,
        validators: &Validators,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Replaces the record of this run of buckets unless the stored one has a higher number. One that began more than
    /// `CLOCKS_DIFFER` after this one was written by a clock that was wrong, and is replaced whatever its number.
    async fn record_sweep(&self, record: &SweepRecord) -> Result<(), StoreError>;

    /// The records of runs that contain any of these buckets; several when the number of shards was changed. A
    /// long run may come back in pieces, each with those of its buckets' connections that were skipped.
    async fn sweeps(&self, buckets: &[u16]) -> Result<Vec<SweepRecord>, StoreError>;

    /// The last step of the schedule whose sweeps were announced, in seconds since 1970; none where none is known.
    async fn last_step(&self) -> Result<Option<i64>, StoreError>;

    /// Writes a step down in the place of the one before it, whichever is later.
    async fn record_step(&self, step: i64) -> Result<(), StoreError>;

    /// Pauses a host; a shorter pause does not replace a longer one.
    async fn pause_host(&self, pause: &HostPause) -> Result<(), StoreError>;

    /// Those pauses of these hosts that are in force at `now`, in order of host.
    async fn paused_hosts(&self, hosts: &BTreeSet<String>, now: Timestamp) -> Result<Vec<HostPause>, StoreError>;
}

/// Budgets that hold over all instances.
#[async_trait]
pub trait BudgetStore: Send + Sync {
    /// Takes one of a budget, for which the caller would wait for `patience`, by [`Budget::spend`].
    /// MUST never give more than the budget has, however many ask at the same time; may refuse where too many do.
    async fn spend(
        &self,
        spender: &Spender,
        budget: Budget,
        patience: SignedDuration,
        now: Timestamp,
    ) -> Result<Spent, StoreError>;
}

/// Something that must be done now though no feed changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Property {
        id: PropertyId,
    },
    Link {
        id: LinkId,
    },
    /// A deleted account of which something is left.
    Account {
        id: AccountId,
    },
    /// A manual refresh that may not be over.
    Refresh {
        id: RefreshId,
    },
}

/// Dirty marks and wake-up times, found without a scan.
#[async_trait]
pub trait MarkStore: Send + Sync {
    /// Marks whose `announce_at` or `wake_at` has come, the oldest first.
    async fn due(&self, now: Timestamp, limit: u16) -> Result<Vec<Mark>, StoreError>;

    /// Every dirty mark, due or not: what a start finishes first.
    async fn dirty(&self, limit: u16) -> Result<Vec<Mark>, StoreError>;

    /// Announced at `now`: counts it and moves `announce_at` and `wake_at` as `model::postponed` says, so that it
    /// is not due again for two minutes, and a dirty mark for twice as long each time. A mark that is gone
    /// meanwhile stays gone.
    async fn postpone(&self, mark: &Mark, now: Timestamp) -> Result<(), StoreError>;
}

/// Extra private links, owners of tokens, reads.
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// In order of creation, deleted ones included while their records are kept.
    async fn links(&self, account: &AccountId, page: PageRequest) -> Result<Page<ExtraLink>, StoreError>;

    async fn link(&self, id: &LinkId) -> Result<Option<ExtraLink>, StoreError>;

    /// How many there are, deleted ones included; counts no further than to `most`. May be late by what is just made.
    async fn count_links(&self, account: &AccountId, most: usize) -> Result<usize, StoreError>;

    /// Puts a link; also its token's owner.
    /// # Errors
    /// MUST be `Stale` when the stored revision is not `link.revision - 1` (revision 1: `Exists`).
    async fn put_link(&self, link: &ExtraLink) -> Result<(), StoreError>;

    /// The exports followed: clears the dirty mark and sets `wake_at`, as `settle` does.
    /// # Errors
    /// MUST be `Stale` when the stored revision is not `rendered_revision`.
    async fn settle_link(
        &self,
        id: &LinkId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        last_changed_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Answers whether there was one. Its token's owner goes too.
    async fn delete_link(&self, id: &LinkId) -> Result<bool, StoreError>;

    async fn owner(&self, token: &SecretHash) -> Result<Option<LinkOwner>, StoreError>;

    /// Reads by anybody but ourselves, in any order. One at an instant that is recorded already is the same read and
    /// is not counted again. Reads of a token that is nobody's are dropped; reads go with the owner.
    async fn record_reads(&self, token: &SecretHash, times: &BTreeSet<Timestamp>) -> Result<(), StoreError>;

    /// In the order asked.
    async fn reads(&self, tokens: &[SecretHash], now: Timestamp) -> Result<Vec<LinkReads>, StoreError>;

    /// In the order asked; strongly consistent.
    async fn read_times(&self, tokens: &[SecretHash]) -> Result<Vec<ReadTimes>, StoreError>;
}

/// Manual refreshes, kept for 7 days. What is written of one that is not there is dropped.
#[async_trait]
pub trait RefreshStore: Send + Sync {
    /// MUST mark the refresh as `Refresh::mark` says. What is pending is on its first page.
    /// # Errors
    /// MUST be `Exists` when the refresh is there.
    async fn create_refresh(&self, refresh: &Refresh, pending: &[ConnectionId]) -> Result<(), StoreError>;

    async fn refresh(&self, id: &RefreshId) -> Result<Option<Refresh>, StoreError>;

    /// The refresh that last claimed this scope of the account; it is there.
    async fn latest_refresh(
        &self,
        account: &AccountId,
        scope: &RefreshScope,
    ) -> Result<Option<LatestRefresh>, StoreError>;

    /// Makes a refresh that is there the latest of its scope.
    /// # Errors
    /// MUST be `Stale` when the latest is another one than `known`.
    async fn claim_latest(&self, refresh: &Refresh, known: Option<&RefreshId>) -> Result<(), StoreError>;

    /// Adds connections that are waited for to a page of a refresh that is there, which begins now unless it is there; one
    /// that has an outcome keeps it. Answers those that have no final outcome, in the order given.
    async fn add_pending(
        &self,
        refresh: &Refresh,
        page: &str,
        connections: &[ConnectionId],
        now: Timestamp,
    ) -> Result<Vec<ConnectionId>, StoreError>;

    /// It is over: takes the mark away. Of a refresh without a mark, or that is forgotten, nothing changes.
    async fn finish_refresh(&self, id: &RefreshId) -> Result<(), StoreError>;

    /// Every connection of the scope was added.
    async fn mark_spread(&self, id: &RefreshId) -> Result<(), StoreError>;

    /// Writes what became of connections of a page. MUST NOT replace a final outcome.
    async fn record_outcomes(&self, part: &RefreshPart, outcomes: &[(ConnectionId, Outcome)])
    -> Result<(), StoreError>;

    /// In order of page and connection id.
    async fn outcomes(&self, id: &RefreshId, page: PageRequest) -> Result<Page<RefreshOutcome>, StoreError>;

    /// The page that this property is on, where the refresh goes through the properties of its account.
    async fn page_with(&self, id: &RefreshId, property: &Property) -> Result<Option<RefreshPage>, StoreError>;

    /// Whether any outcome is still pending.
    async fn any_pending(&self, id: &RefreshId) -> Result<bool, StoreError>;
}

/// What `Idempotency-Key` meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyStart {
    /// It is now ours, for `IDEMPOTENCY_LEASE` unless finished. From `seed` follows all that the request draws at
    /// random: with `again` it ran before and came to no answer, and what it makes may be there.
    New { seed: [u8; 16], again: bool },
    /// The first request is still running.
    Running,
    /// The same request was answered: the sealed answer.
    Done(Vec<u8>),
    /// The key was used with another request.
    Mismatch,
}

/// A request that came to no end is taken for dead after this long, and a repetition runs. Should it live all the same,
/// both make the same things, so that a short time is safe.
pub const IDEMPOTENCY_LEASE: SignedDuration = SignedDuration::from_secs(5);

/// Kept answers, for 24 hours.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// `fingerprint` is of method, path and body. `seed` is kept if the request runs for the first time; a repetition
    /// within 24 hours MUST get the one that was kept.
    async fn start(
        &self,
        account: &AccountId,
        key: &str,
        fingerprint: &SecretHash,
        seed: [u8; 16],
        now: Timestamp,
    ) -> Result<IdempotencyStart, StoreError>;

    /// Keeps the answer. One that is too large to be kept (380 KB in DynamoDB) is dropped as by `abandon`.
    async fn finish(&self, account: &AccountId, key: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError>;

    /// The request did not come to an answer that is kept: it may run again at once, from its own seed.
    async fn abandon(&self, account: &AccountId, key: &str) -> Result<(), StoreError>;
}
