//! Reading a feed over HTTP.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::model::{FailureKind, FeedUrl, Fetched, Validators};

/// What a gate says of a request that a redirect leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    Go,
    /// That host is asked often enough already; there may be a turn for us after this long.
    HoldBack(SignedDuration),
}

/// Asked before each request of a fetch but its first, which whoever fetches has decided itself. May take its time.
#[async_trait]
pub trait HopGate: fmt::Debug + Send + Sync {
    /// `host`: a name or an address, without a port.
    async fn hop(&self, host: &str) -> Hop;
}

/// Room for the bytes of one body, out of what all bodies of a process share. Whoever holds the bytes holds the room;
/// dropping it gives all of it back.
#[async_trait]
pub trait BodyRoom: fmt::Debug + Send + Sync {
    /// Waits until the body may have so many bytes, and answers how many it may have then; none where others had all
    /// there is for too long.
    async fn grow(&self, to: usize) -> Option<usize>;
}

/// One GET of a feed.
#[derive(Debug, Clone)]
pub struct FeedRequest {
    pub url: FeedUrl,
    /// What the body that is known came with; without them the whole feed is asked for, and a 304 is a failure.
    pub validators: Validators,
    /// What the URL's own host wants to be read by, where its profile says so; else the fetcher's own name.
    pub user_agent: Option<&'static str>,
    /// 5 s inside the API, 10 s in a worker.
    pub connect_timeout: std::time::Duration,
    /// 20 s inside the API, 30 s in a worker.
    pub total_timeout: std::time::Duration,
    /// What lets redirects pass; none: they all do.
    pub hops: Option<Arc<dyn HopGate>>,
    /// What the body grows into; none: it may have what it wants.
    pub room: Option<Arc<dyn BodyRoom>>,
}

/// Why there is no body. `detail` is a sentence for the host with advice; it holds no URL beyond the host name, and
/// does not say whether the feed is read again, which only the one who asked knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct FetchFailure {
    pub kind: FailureKind,
    pub detail: String,
    /// What a 429 or 503 asked for.
    pub retry_after: Option<SignedDuration>,
    /// The host whose answer it was, which after a redirect is not the URL's; none where nobody answered, or where
    /// the body was refused only after the fetch. Never shown and never logged.
    pub host: Option<String>,
}

/// Fetches feeds. Public addresses only, whatever the DNS answer, redirect or spelling, unless the deployment
/// allows private feeds.
#[async_trait]
pub trait FeedSource: Send + Sync {
    /// Whether a feed of this URL may be read at all, decided by the URL alone: its scheme, user name, port, and an
    /// address that is written out in it. What a name leads to is decided at each fetch.
    ///
    /// # Errors
    /// MUST be the failure that `fetch` gives for the same URL, `AddressRefused` for an address.
    fn admit(&self, url: &FeedUrl) -> Result<(), FetchFailure>;

    /// What is waited for of `hops` and `room` MUST NOT count as the site's time, and a body's bytes MUST hold its room.
    ///
    /// # Errors
    /// By SAFETY.md's table; never with a panic, whatever the other side sends.
    async fn fetch(&self, request: FeedRequest) -> Result<Fetched, FetchFailure>;
}
