//! The records that use cases read and write. Domain types are in `calendar`; wire forms are at each border.

mod account;
mod activity;
mod budget;
mod clock;
mod connection;
mod fetch;
mod link;
mod past;
mod policy;
mod property;
mod provider;
mod refresh;
mod secret;
mod span;

pub use account::{Account, Scope, Token};
pub use activity::{Activity, ActivityKind, NamedStay, Names, Site, StayPart};
pub use budget::{Budget, Spender, Spent};
pub use clock::{CLOCKS_DIFFER, ClockWatch, Jump, happened, is_ahead};
pub use connection::{Applied, Connection, Detail, Direction, ExportSide, Format, ImportSide, Status};
pub use fetch::{
    AnnouncedReading, Failure, FailureKind, FetchHealth, FetchPlan, FetchState, Fetched, Health, HostPause, Snapshot,
    SweepRecord, Validators, bucket_of, spread_of,
};
pub(crate) use fetch::{NOT_IN_LINKS, NOT_TAKEN_IN, READ_AGAIN, TRIED_AGAIN};
pub use link::{
    ExtraLink, LinkOwner, LinkReads, LinkScope, RETIRES_AFTER, ReadTimes, RetiringLink, RetiringServes, StoppedExport,
};
pub use past::{PAST_KEPT, Replaced};
pub(crate) use past::{without_secrets, without_words};
pub use policy::PolicyOverrides;
pub use property::{ClosedHold, ConflictRecord, Dirty, Property, PropertyHouseError, PropertyState, postponed};
pub use provider::{Provider, ProviderId};
pub(crate) use refresh::found_unchanged;
pub use refresh::{LatestRefresh, Outcome, Refresh, RefreshOutcome, RefreshPage, RefreshPart, RefreshScope};
pub use secret::{FeedUrl, FeedUrlError, LinkToken, SecretHash, TokenSecret};
pub use span::Span;
pub(crate) use span::span_of;
