//! What use cases need of the world. Narrow traits that promise behaviour; the same contract tests run on the
//! in-memory fakes and on the real adapters.

mod bus;
mod feeds;
mod pages;
mod read_logs;
mod store;
mod world;

pub use bus::{BusError, Event, EventBus, ReadFeed};
pub use feeds::{BodyRoom, FeedRequest, FeedSource, FetchFailure, Hop, HopGate};
pub use read_logs::{LoggedReads, ReadLogError, ReadLogs};
pub use store::{
    AccountStore, ActivityStore, BudgetStore, FeedReader, FetchStore, IDEMPOTENCY_LEASE, IdempotencyStart,
    IdempotencyStore, LinkStore, Location, Mark, MarkStore, Page, PageRequest, PlanChange, PropertyCommit,
    PropertyStore, RefreshStore, StoreError, WaitingBody, WaitingFeed,
};
pub use world::{
    Clock, ExportObject, ExportStore, ExportVersion, ExportWriteError, IdentityError, IdentityVerifier, ObjectError,
    ParkedBody, Randomness, SealError, Sealer, SmallBody, SnapshotStore, Subject,
};
