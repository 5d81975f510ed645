//! A feed server on loopback: named feeds, each with a script that a test may change between two polls.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use calmesh_tests::{bodies::{airbnb, booking_com}, feed_server::{FeedServer, Response}};
//!
//! let server = FeedServer::start().await;
//! server.set("airbnb", airbnb().reserved("2026-12-04", "2026-12-07", "HMTEST0001"));
//! server.set("booking", Response::from(booking_com().closed("2026-12-10", "2026-12-12")).with_etag().gzip());
//! let url = server.url("airbnb"); // http://127.0.0.1:…/airbnb.ics
//! assert_eq!(server.count("airbnb"), 0);
//!
//! // The next poll meets an outage, and the one after it a login page that stays.
//! server.script("airbnb", [Response::rate_limited(120), Response::login_page()]);
//! # let _ = url;
//! # });
//! ```
//!
//! Nothing here sleeps: `hold` closes a gate in front of a feed, `arrived` waits for requests to stand before it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response as HttpResponse,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
        LOCATION, RETRY_AFTER,
    },
};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::watch};

use crate::bodies::{Airbnb, BookingCom, Generic, Vrbo};

/// The body as fetched for the nth time, from 0.
type BodyOfFetch = Arc<dyn Fn(u64) -> String + Send + Sync>;

/// What a feed answers. Made from a body (`"BEGIN:…".into()`, `airbnb().into()`) or by a function for a failure, and
/// changed by the methods.
#[derive(Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: BodyOfFetch,
    etag: bool,
    last_modified: Option<HeaderValue>,
    gzip: bool,
    cut_after: Option<usize>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Response {
    fn new(body: BodyOfFetch, content_type: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status: StatusCode::OK, headers, body, etag: false, last_modified: None, gzip: false, cut_after: None }
    }

    fn fixed(body: impl Into<String>, content_type: &'static str) -> Self {
        let body = body.into();
        Self::new(Arc::new(move |_| body.clone()), content_type)
    }

    /// A calendar whose text is another one at every fetch (numbered from 0).
    #[must_use]
    pub fn calendar_by_fetch(body: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        Self::new(Arc::new(body), "text/calendar; charset=utf-8")
    }

    /// A dull text with this status.
    #[must_use]
    #[track_caller]
    pub fn status(code: u16) -> Self {
        let mut response = Self::fixed("nothing to see here\n", "text/plain");
        response.status = StatusCode::from_u16(code).expect("a status");
        response
    }

    /// 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn rate_limited(seconds: u32) -> Self {
        Self::status(429).header("retry-after", &seconds.to_string())
    }

    /// 302 to this address.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header(LOCATION.as_str(), to)
    }

    /// 200 with a web page that asks to sign in.
    #[must_use]
    pub fn login_page() -> Self {
        Self::fixed(
            "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form action=\"/login\">\
             <input type=\"password\"></form></body></html>\n",
            "text/html; charset=utf-8",
        )
    }

    /// 200 with nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::fixed("", "text/calendar; charset=utf-8")
    }

    /// With another status, keeping the body: 206, 503 …
    #[must_use]
    #[track_caller]
    pub fn with_status(mut self, code: u16) -> Self {
        self.status = StatusCode::from_u16(code).expect("a status");
        self
    }

    /// With a strong ETag over the text; whoever sends it back gets 304.
    #[must_use]
    pub fn with_etag(mut self) -> Self {
        self.etag = true;
        self
    }

    /// With this `Last-Modified`; whoever sends it back gets 304, unless an ETag was sent, which then decides.
    #[must_use]
    #[track_caller]
    pub fn with_last_modified(mut self, date: &str) -> Self {
        self.last_modified = Some(date.parse().expect("a header value"));
        self
    }

    /// Zipped, whether or not the reader asked for it.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// The connection breaks after so many bytes of the body, whose whole length was announced.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// The text ends after so many bytes, and the length says so: only the missing `END:VCALENDAR` tells.
    #[must_use]
    pub fn ending_after(mut self, bytes: usize) -> Self {
        let whole = self.body;
        self.body = Arc::new(move |fetch| whole(fetch).chars().take(bytes).collect());
        self
    }

    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.insert(name, value.parse().expect("a header value"));
        self
    }

    /// With `Retry-After` as it stands: seconds, a date, or nonsense.
    #[must_use]
    #[track_caller]
    pub fn retry_after(self, value: &str) -> Self {
        self.header(RETRY_AFTER.as_str(), value)
    }

    fn answer(&self, fetch: u64, asked: &HeaderMap) -> HttpResponse {
        let text = (self.body)(fetch);
        let mut headers = self.headers.clone();
        let mut unchanged = false;
        if let Some(date) = &self.last_modified {
            unchanged = asked.get(IF_MODIFIED_SINCE) == Some(date);
            headers.insert(LAST_MODIFIED, date.clone());
        }
        if self.etag {
            let tag = format!("\"{}\"", hex::encode(Sha256::digest(text.as_bytes())));
            let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits");
            // RFC 9110, section 13.1.3: an ETag that was sent decides alone.
            if let Some(sent) = asked.get(IF_NONE_MATCH) {
                unchanged = *sent == tag;
            }
            headers.insert(ETAG, tag);
        }
        if unchanged && self.status == StatusCode::OK {
            return with(StatusCode::NOT_MODIFIED, headers, Body::empty());
        }
        let mut bytes = text.into_bytes();
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).expect("memory takes it");
            bytes = encoder.finish().expect("memory takes it");
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = match self.cut_after {
            None => Body::from(bytes),
            Some(cut) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                bytes.truncate(cut);
                let sent = stream::iter([Ok(Bytes::from(bytes))]);
                // A body that fails makes the server break the connection; waiting once lets it write before.
                let broken = stream::once(async {
                    tokio::task::yield_now().await;
                    Err(io::Error::other("cut"))
                });
                Body::from_stream(sent.chain(broken))
            }
        };
        with(self.status, headers, body)
    }
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> HttpResponse {
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

impl From<&str> for Response {
    fn from(calendar: &str) -> Self {
        Self::fixed(calendar, "text/calendar; charset=utf-8")
    }
}

impl From<String> for Response {
    fn from(calendar: String) -> Self {
        Self::fixed(calendar, "text/calendar; charset=utf-8")
    }
}

impl From<Airbnb> for Response {
    /// DTSTAMP moves with every fetch.
    fn from(feed: Airbnb) -> Self {
        Self::calendar_by_fetch(move |fetch| feed.body(fetch))
    }
}

impl From<BookingCom> for Response {
    fn from(feed: BookingCom) -> Self {
        feed.body().into()
    }
}

impl From<Vrbo> for Response {
    fn from(feed: Vrbo) -> Self {
        feed.body().into()
    }
}

impl From<Generic> for Response {
    fn from(feed: Generic) -> Self {
        feed.body().into()
    }
}

#[derive(Debug, Default)]
struct Feed {
    /// Answered one by one; the last one stays.
    answers: VecDeque<Response>,
    /// The headers of each request, in the order in which they came.
    requests: Vec<HeaderMap>,
    fetches: u64,
    not_modified: usize,
    held: bool,
}

/// The server. Clones are the same server; it ends with the runtime that started it.
#[derive(Debug, Clone)]
pub struct FeedServer {
    address: SocketAddr,
    feeds: Arc<Mutex<BTreeMap<String, Feed>>>,
    /// Counts everything that a waiter could wait for.
    moved: Arc<watch::Sender<u64>>,
}

impl FeedServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            feeds: Arc::default(),
            moved: Arc::new(watch::Sender::new(0)),
        };
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link to the feed of this name; 404 until it is set.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.ics", self.address)
    }

    /// From now on this feed answers so.
    pub fn set(&self, name: &str, response: impl Into<Response>) {
        self.script(name, [response]);
    }

    /// The next requests get these answers in turn; the last one stays.
    pub fn script<R: Into<Response>>(&self, name: &str, responses: impl IntoIterator<Item = R>) {
        self.feeds().entry(name.to_owned()).or_default().answers = responses.into_iter().map(Into::into).collect();
    }

    /// From now on this feed is unknown (404); its counts stay.
    pub fn remove(&self, name: &str) {
        self.script::<Response>(name, []);
    }

    /// Requests of this feed wait from now on, until the gate is opened or dropped. They are answered with what the
    /// feed answers then.
    #[must_use = "the gate opens when it is dropped"]
    pub fn hold(&self, name: &str) -> Gate {
        self.feeds().entry(name.to_owned()).or_default().held = true;
        Gate { server: self.clone(), name: name.to_owned() }
    }

    /// Returns when so many requests of this feed have come in all, answered or waiting.
    pub async fn arrived(&self, name: &str, count: usize) {
        let mut moved = self.moved.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = moved.wait_for(|_| self.count(name) >= count).await;
    }

    /// How many requests of this feed have come.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.feeds().get(name).map_or(0, |feed| feed.requests.len())
    }

    /// How many requests have come in all, also of unknown feeds.
    #[must_use]
    pub fn total(&self) -> usize {
        self.feeds().values().map(|feed| feed.requests.len()).sum()
    }

    /// How many requests of this feed were answered with 304.
    #[must_use]
    pub fn not_modified(&self, name: &str) -> usize {
        self.feeds().get(name).map_or(0, |feed| feed.not_modified)
    }

    /// The headers of the requests of this feed, in the order in which they came.
    #[must_use]
    pub fn requests(&self, name: &str) -> Vec<HeaderMap> {
        self.feeds().get(name).map(|feed| feed.requests.clone()).unwrap_or_default()
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<String, Feed>> {
        // A test that panicked elsewhere leaves the map whole.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn is_held(&self, name: &str) -> bool {
        self.feeds().get(name).is_some_and(|feed| feed.held)
    }

    fn answer(&self, name: &str, asked: &HeaderMap) -> HttpResponse {
        let mut feeds = self.feeds();
        let feed = feeds.entry(name.to_owned()).or_default();
        let scripted = if feed.answers.len() > 1 { feed.answers.pop_front() } else { feed.answers.front().cloned() };
        let fetch = feed.fetches;
        feed.fetches += 1;
        let answer = scripted.unwrap_or_else(|| Response::status(404)).answer(fetch, asked);
        if answer.status() == StatusCode::NOT_MODIFIED {
            feed.not_modified += 1;
        }
        answer
    }
}

/// A closed gate in front of a feed.
#[derive(Debug)]
pub struct Gate {
    server: FeedServer,
    name: String,
}

impl Gate {
    /// Lets the waiting requests go on.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(feed) = self.server.feeds().get_mut(&self.name) {
            feed.held = false;
        }
        self.server.tell();
    }
}

async fn serve(State(server): State<FeedServer>, request: Request) -> HttpResponse {
    let path = request.uri().path().trim_start_matches('/');
    let name = path.strip_suffix(".ics").unwrap_or(path).to_owned();
    let asked = request.headers().clone();
    let mut moved = server.moved.subscribe();
    server.feeds().entry(name.clone()).or_default().requests.push(asked.clone());
    server.tell();
    // The sender lives as long as `server`, so waiting can't fail.
    let _ = moved.wait_for(|_| !server.is_held(&name)).await;
    server.answer(&name, &asked)
}
