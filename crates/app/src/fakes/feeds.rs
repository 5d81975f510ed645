//! `MemoryFeeds`: feeds that say what a test scripted, as an honest web server would.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    locks::lock,
    model::{FailureKind, FeedUrl, Fetched, Validators},
    ports::{BodyRoom, FeedRequest, FeedSource, FetchFailure, Hop},
};

/// What a scripted feed answers to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A whole body with an ETag over its bytes: 304 to whoever sends that ETag.
    Body(Bytes),
    /// A whole body without validators, as most OTAs serve it: never a 304.
    BodyWithoutValidators(Bytes),
    /// A body with these validators; 304 when the request carries one of them.
    BodyWith(Bytes, Validators),
    /// 304 to everybody, as a broken cache answers; the fetcher refuses it where no validators were sent.
    AlwaysNotModified,
    Fail(FetchFailure),
    /// Redirects to these hosts one after the other, and then this.
    Redirects(Vec<String>, Box<Answer>),
    /// Other bodies have all the room there is.
    NoRoom,
    /// The source breaks its promise, for tests of "one feed's panic fails one feed".
    Panic,
}

impl Answer {
    #[must_use]
    pub fn body(text: impl Into<String>) -> Self {
        Self::Body(Bytes::from(text.into()))
    }

    /// A failure of this kind with a dull sentence.
    #[must_use]
    pub fn failure(kind: FailureKind) -> Self {
        Self::Fail(FetchFailure { kind, detail: format!("scripted: {}", kind.as_str()), retry_after: None, host: None })
    }

    /// A 429 that asks for so many seconds.
    #[must_use]
    pub fn rate_limited(seconds: i64) -> Self {
        Self::Fail(FetchFailure {
            kind: FailureKind::RateLimited,
            detail: "scripted: rate_limited".to_owned(),
            retry_after: Some(SignedDuration::from_secs(seconds)),
            host: None,
        })
    }

    /// A 429 that asks for so many seconds, of the host that the URL redirects to.
    #[must_use]
    pub fn rate_limited_by(host: &str, seconds: i64) -> Self {
        match Self::rate_limited(seconds) {
            Self::Fail(failure) => Self::Fail(FetchFailure { host: Some(host.to_owned()), ..failure }),
            other => other,
        }
    }
}

#[derive(Debug, Default)]
struct Feed {
    /// Answered one by one; the last one stays.
    answers: VecDeque<Answer>,
    requests: Vec<FeedRequest>,
    held: bool,
}

/// A `FeedSource` over scripts. A URL that nobody scripted is answered as a dead link (404).
///
/// Share it by `Arc`; all methods take `&self`, so that a test may change a feed between two polls.
#[derive(Debug)]
pub struct MemoryFeeds {
    feeds: Mutex<BTreeMap<String, Feed>>,
    /// URLs that may not be read by themselves.
    refused: Mutex<BTreeSet<String>>,
    /// Counts everything that a waiter could wait for: arrivals and releases.
    moved: watch::Sender<u64>,
}

impl Default for MemoryFeeds {
    fn default() -> Self {
        Self { feeds: Mutex::default(), refused: Mutex::default(), moved: watch::Sender::new(0) }
    }
}

impl MemoryFeeds {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this URL answers with this body and an ETag of it.
    pub fn serve(&self, url: &str, body: impl Into<String>) {
        self.set(url, Answer::body(body));
    }

    /// From now on this URL fails so.
    pub fn fail(&self, url: &str, kind: FailureKind) {
        self.set(url, Answer::failure(kind));
    }

    /// From now on this URL may not be read at all.
    pub fn refuse(&self, url: &str) {
        lock(&self.refused).insert(url.to_owned());
        self.fail(url, FailureKind::AddressRefused);
    }

    /// From now on this URL answers so.
    pub fn set(&self, url: &str, answer: Answer) {
        self.script(url, [answer]);
    }

    /// The next requests get these answers in turn; the last one stays.
    pub fn script(&self, url: &str, answers: impl IntoIterator<Item = Answer>) {
        self.feeds().entry(url.to_owned()).or_default().answers = answers.into_iter().collect();
    }

    /// Requests of this URL wait from now on, until `release`.
    pub fn hold(&self, url: &str) {
        self.feeds().entry(url.to_owned()).or_default().held = true;
    }

    /// Lets the waiting requests of this URL go on.
    pub fn release(&self, url: &str) {
        self.feeds().entry(url.to_owned()).or_default().held = false;
        self.tell();
    }

    /// Returns when so many requests of this URL have come in all, whether answered or waiting.
    pub async fn arrived(&self, url: &str, count: usize) {
        let mut moved = self.moved.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = moved.wait_for(|_| self.count(url) >= count).await;
    }

    /// How often this URL was requested.
    #[must_use]
    pub fn count(&self, url: &str) -> usize {
        self.feeds().get(url).map_or(0, |feed| feed.requests.len())
    }

    /// How often anything was requested.
    #[must_use]
    pub fn total(&self) -> usize {
        self.feeds().values().map(|feed| feed.requests.len()).sum()
    }

    /// The requests of this URL in the order in which they came.
    #[must_use]
    pub fn requests(&self, url: &str) -> Vec<FeedRequest> {
        self.feeds().get(url).map(|feed| feed.requests.clone()).unwrap_or_default()
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<String, Feed>> {
        // A scripted panic never happens under the lock, and the map is whole after every statement.
        lock(&self.feeds)
    }

    fn tell(&self) {
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn is_held(&self, url: &str) -> bool {
        self.feeds().get(url).is_some_and(|feed| feed.held)
    }

    /// Taken when the request is let go, so that a test can change its mind while requests wait.
    fn take_answer(&self, url: &str) -> Option<Answer> {
        let mut feeds = self.feeds();
        let answers = &mut feeds.get_mut(url)?.answers;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

fn etag_of(body: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Sha256::digest(body)))
}

fn conditional(bytes: Bytes, validators: Validators, sent: &Validators) -> Fetched {
    let same = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
    // RFC 9110, section 13.1.3: an ETag that was sent decides alone.
    let unchanged = match sent.etag {
        Some(_) => same(&validators.etag, &sent.etag),
        None => same(&validators.last_modified, &sent.last_modified),
    };
    if unchanged {
        return Fetched::NotModified;
    }
    Fetched::Body { bytes, validators, content_type: Some("text/calendar; charset=utf-8".to_owned()) }
}

#[async_trait]
impl FeedSource for MemoryFeeds {
    fn admit(&self, url: &FeedUrl) -> Result<(), FetchFailure> {
        if lock(&self.refused).contains(url.as_str()) {
            let (kind, detail) = (FailureKind::AddressRefused, "scripted: address_refused".to_owned());
            return Err(FetchFailure { kind, detail, retry_after: None, host: None });
        }
        Ok(())
    }

    #[expect(clippy::panic, reason = "a scripted panic stands for a bug in whatever reads a feed")]
    async fn fetch(&self, request: FeedRequest) -> Result<Fetched, FetchFailure> {
        let url = request.url.as_str().to_owned();
        let sent = request.validators.clone();
        let own_host = request.url.host();
        let (hops, room) = (request.hops.clone(), request.room.clone());
        let mut moved = self.moved.subscribe();
        // What is remembered of a request holds no room.
        self.feeds().entry(url.clone()).or_default().requests.push(FeedRequest { room: None, ..request });
        self.tell();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = moved.wait_for(|_| !self.is_held(&url)).await;
        let mut answer = self.take_answer(&url);
        if let Some(Answer::Redirects(hosts, last)) = answer {
            for host in &hosts {
                let Some(gate) = &hops else { continue };
                if let Hop::HoldBack(wait) = gate.hop(host).await {
                    return Ok(Fetched::HeldBack { wait });
                }
                self.tell();
            }
            answer = Some(*last);
        }
        let fetched = match answer {
            None => Err(FetchFailure {
                kind: FailureKind::LinkGone,
                detail: "scripted: nobody serves this link".to_owned(),
                retry_after: None,
                host: Some(own_host),
            }),
            Some(Answer::Body(bytes)) => {
                let validators = Validators { etag: Some(etag_of(&bytes)), last_modified: None };
                Ok(conditional(bytes, validators, &sent))
            }
            Some(Answer::BodyWithoutValidators(bytes)) => Ok(conditional(bytes, Validators::default(), &sent)),
            Some(Answer::BodyWith(bytes, validators)) => Ok(conditional(bytes, validators, &sent)),
            Some(Answer::AlwaysNotModified) if sent == Validators::default() => {
                let detail = "scripted: a 304 that was not asked for".to_owned();
                Err(FetchFailure { kind: FailureKind::ServerError, detail, retry_after: None, host: Some(own_host) })
            }
            Some(Answer::AlwaysNotModified) => Ok(Fetched::NotModified),
            Some(Answer::NoRoom) => Ok(Fetched::NoRoom),
            Some(Answer::Fail(failure)) => {
                let answered = !matches!(failure.kind, FailureKind::Unreachable | FailureKind::TimedOut);
                let host = failure.host.clone().or_else(|| answered.then_some(own_host));
                Err(FetchFailure { host, ..failure })
            }
            // A redirect's end is no redirect.
            Some(Answer::Redirects(..)) => Ok(conditional(Bytes::new(), Validators::default(), &sent)),
            Some(Answer::Panic) => panic!("scripted"),
        }?;
        match (fetched, room) {
            (Fetched::Body { bytes, validators, content_type }, Some(room)) => match room.grow(bytes.len()).await {
                Some(_) => {
                    let bytes = Bytes::from_owner(Roomed { bytes, _room: room });
                    Ok(Fetched::Body { bytes, validators, content_type })
                }
                None => Ok(Fetched::NoRoom),
            },
            (fetched, _) => Ok(fetched),
        }
    }
}

/// Bytes that hold their room.
struct Roomed {
    bytes: Bytes,
    _room: Arc<dyn BodyRoom>,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const URL: &str = "https://feeds.example/a.ics";

    fn request(validators: Validators) -> FeedRequest {
        FeedRequest {
            url: URL.parse().unwrap(),
            validators,
            user_agent: None,
            connect_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(2),
            hops: None,
            room: None,
        }
    }

    #[tokio::test]
    async fn an_etag_that_comes_back_is_a_304_until_the_body_changes() {
        let feeds = MemoryFeeds::new();
        feeds.serve(URL, "one");
        let Ok(Fetched::Body { validators, .. }) = feeds.fetch(request(Validators::default())).await else { panic!() };
        assert_eq!(feeds.fetch(request(validators.clone())).await, Ok(Fetched::NotModified));
        feeds.serve(URL, "two");
        assert!(matches!(feeds.fetch(request(validators)).await, Ok(Fetched::Body { bytes, .. }) if bytes == "two"));
        assert_eq!(feeds.count(URL), 3);
    }

    #[tokio::test]
    async fn a_script_is_answered_in_turn_and_its_last_answer_stays() {
        let feeds = MemoryFeeds::new();
        feeds.script(URL, [Answer::rate_limited(90), Answer::failure(FailureKind::TimedOut)]);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(feeds.fetch(request(Validators::default())).await.unwrap_err().kind);
        }
        assert_eq!(kinds, [FailureKind::RateLimited, FailureKind::TimedOut, FailureKind::TimedOut]);
    }

    #[tokio::test]
    async fn a_held_feed_answers_what_stands_when_it_is_released() {
        let feeds = Arc::new(MemoryFeeds::new());
        feeds.serve(URL, "before");
        feeds.hold(URL);
        let waiting = tokio::spawn({
            let feeds = Arc::clone(&feeds);
            async move { feeds.fetch(request(Validators::default())).await }
        });
        feeds.arrived(URL, 1).await;
        feeds.serve(URL, "after");
        feeds.release(URL);
        assert!(matches!(waiting.await.unwrap(), Ok(Fetched::Body { bytes, .. }) if bytes == "after"));
    }

    #[tokio::test]
    async fn a_link_that_nobody_serves_is_gone() {
        let failure = MemoryFeeds::new().fetch(request(Validators::default())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::LinkGone);
    }
}
