#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod address;
mod body;
mod failure;
mod resolver;
mod watch;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use calmesh_app::{
    model::{FeedUrl, Fetched, Validators},
    ports::{FeedRequest, FeedSource, FetchFailure, Hop},
};
use reqwest::{
    Client, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
    },
    redirect,
};
use url::Url;

pub use address::is_public;
pub use calmesh_https::Roots;
pub use resolver::{Lookup, SystemLookup};

use crate::{
    address::Rules,
    failure::{RedirectRefusal, Stopped, Trouble},
    resolver::AllowedOnly,
    watch::Watch,
};

const ACCEPTED: HeaderValue = HeaderValue::from_static("text/calendar, text/plain;q=0.8, */*;q=0.5");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A validator or content type longer than this many bytes is dropped: it is kept with every connection.
const LONGEST_KEPT_HEADER: usize = 512;

/// Shorter than servers commonly wait before they end an idle connection, so that we rarely write into a dead one.
const IDLE: Duration = Duration::from_secs(20);

/// A site that we let wait for longer than this has not failed when it then breaks off.
const FORGIVEN_AFTER: Duration = Duration::from_secs(1);

/// How feeds are fetched. Start from `HttpFeedsConfig::new`.
#[derive(Debug, Clone)]
pub struct HttpFeedsConfig {
    /// Sent as `User-Agent`; Airbnb answers 403 without one.
    pub user_agent: String,
    /// Read private addresses and any port too. For tests and closed networks; never for a service with tenants.
    pub private_feeds: bool,
    /// The largest body in bytes, on the wire and unzipped.
    pub max_bytes: usize,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// Listeners of the program itself that may be read though they are not public; by the literal address of a
    /// link that was given, never by redirect or name.
    pub extra_allowed: Vec<SocketAddr>,
    pub roots: Roots,
    pub lookup: Arc<dyn Lookup>,
}

impl HttpFeedsConfig {
    /// Public addresses alone, 10 MiB, five redirects, the platform's roots and resolver.
    #[must_use]
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            private_feeds: false,
            max_bytes: 10 * 1024 * 1024,
            max_redirects: 5,
            extra_allowed: Vec::new(),
            roots: Roots::default(),
            lookup: Arc::new(SystemLookup),
        }
    }
}

/// The fetcher could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpFeedsError {
    #[error("the user agent can't be a header's value; use printable ASCII")]
    UserAgent,
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// `FeedSource` over reqwest. Make one per process and share it: it keeps connections alive between fetches.
#[derive(Debug)]
pub struct HttpFeeds {
    max_bytes: usize,
    max_redirects: usize,
    rules: Arc<Rules>,
    clients: Clients,
}

impl HttpFeeds {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// When the user agent is no header value or TLS can't be set up.
    pub fn new(config: HttpFeedsConfig) -> Result<Self, HttpFeedsError> {
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| HttpFeedsError::UserAgent)?;
        let rules = Arc::new(Rules { private_feeds: config.private_feeds, extra_allowed: config.extra_allowed });
        let clients = Clients {
            user_agent,
            tls: calmesh_https::client_config(config.roots).map_err(HttpFeedsError::Tls)?,
            resolver: Arc::new(AllowedOnly { rules: Arc::clone(&rules), lookup: config.lookup }),
            made: Mutex::default(),
        };
        Ok(Self { max_bytes: config.max_bytes, max_redirects: config.max_redirects, rules, clients })
    }

    async fn follow(&self, request: &FeedRequest, watch: &Watch) -> Result<Fetched, Stopped> {
        let first = request.url.to_url().ok_or(Trouble::NotAUrl)?;
        self.rules.check(&first, true).map_err(Trouble::Address)?;
        let client = self.clients.with(request.connect_timeout).map_err(|error| {
            tracing::debug!(%error, "no HTTP client could be made");
            Trouble::NoAnswer
        })?;
        let validators = conditions(&request.validators);
        let mut url = first.clone();
        for _ in 0..=self.max_redirects {
            // A validator belongs to the site that gave it: another one's equal ETag would be a false 304.
            let same_host = url.host() == first.host();
            let conditions = if same_host { validators.clone() } else { HeaderMap::new() };
            let conditional = !conditions.is_empty();
            let mut headers = conditions;
            // Nor is the name that one site wants known to another.
            if let Some(name) = request.user_agent.filter(|_| same_host) {
                headers.insert(USER_AGENT, HeaderValue::from_static(name));
            }
            let response = get(&client, &url, headers, request.connect_timeout).await?;
            let answered_by = url.host_str().map(str::to_owned);
            let stopped = |trouble| Stopped { trouble, answered_by: answered_by.clone() };
            match response.status() {
                StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
                    let validators = if same_host { validators_of(&response) } else { Validators::default() };
                    let content_type = kept(&response, CONTENT_TYPE);
                    let read = body::read(response, self.max_bytes, request.room.clone(), watch).await;
                    return Ok(match read.map_err(stopped)? {
                        Some(bytes) => Fetched::Body { bytes, validators, content_type },
                        None => Fetched::NoRoom,
                    });
                }
                StatusCode::NOT_MODIFIED if conditional => return Ok(Fetched::NotModified),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    url = self.next_hop(&url, &response).map_err(|refusal| stopped(Trouble::Redirect(refusal)))?;
                    if let Some(gate) = &request.hops
                        && let Hop::HoldBack(wait) = watch.pausing(gate.hop(url.host_str().unwrap_or_default())).await
                    {
                        return Ok(Fetched::HeldBack { wait });
                    }
                }
                status => return Err(stopped(Trouble::of_status(status, response.headers()))),
            }
        }
        Err(Trouble::Redirect(RedirectRefusal::TooMany(self.max_redirects)).into())
    }

    fn next_hop(&self, from: &Url, response: &Response) -> Result<Url, RedirectRefusal> {
        let location = response.headers().get(LOCATION).ok_or(RedirectRefusal::Nowhere)?;
        let location = location.to_str().map_err(|_| RedirectRefusal::Nowhere)?;
        let to = from.join(location).map_err(|_| RedirectRefusal::Nowhere)?;
        self.rules.check(&to, false).map_err(RedirectRefusal::Address)?;
        if from.scheme() == "https" && to.scheme() == "http" && !self.rules.private_feeds {
            return Err(RedirectRefusal::Downgrade);
        }
        Ok(to)
    }
}

#[async_trait]
impl FeedSource for HttpFeeds {
    fn admit(&self, url: &FeedUrl) -> Result<(), FetchFailure> {
        let checked = url.to_url().ok_or(Trouble::NotAUrl);
        let checked = checked.and_then(|parsed| self.rules.check(&parsed, true).map_err(Trouble::Address));
        checked.map_err(|trouble| trouble.into_failure(&url.host(), None))
    }

    async fn fetch(&self, request: FeedRequest) -> Result<Fetched, FetchFailure> {
        let watch = Watch::new(request.total_timeout);
        let fetched = tokio::select! {
            biased;
            fetched = self.follow(&request, &watch) => fetched,
            () = watch.over() => Err(Trouble::TotalTimeout(request.total_timeout).into()),
        };
        match fetched {
            Err(Stopped { trouble: Trouble::Cut | Trouble::TotalTimeout(_), .. })
                if watch.waited() > FORGIVEN_AFTER =>
            {
                Ok(Fetched::NoRoom)
            }
            other => other.map_err(|stopped| stopped.trouble.into_failure(&request.url.host(), stopped.answered_by)),
        }
    }
}

/// One GET of one hop.
async fn get(client: &Client, url: &Url, headers: HeaderMap, connect_timeout: Duration) -> Result<Response, Trouble> {
    let mut tries = 0;
    loop {
        tries += 1;
        let sent = client.get(url.clone()).headers(headers.clone()).send().await;
        let error = match sent {
            Ok(response) => return Ok(response),
            // A library's error carries the URL, which is a secret.
            Err(error) => error.without_url(),
        };
        let trouble = Trouble::of_request(&error, connect_timeout);
        // The server may have ended a kept connection just as we wrote; a GET may be sent again.
        if trouble == Trouble::NoAnswer && tries == 1 {
            continue;
        }
        tracing::debug!(
            feed.host = url.host_str().unwrap_or_default(),
            error = &error as &(dyn std::error::Error + 'static),
            "a feed could not be requested"
        );
        return Err(trouble);
    }
}

/// `If-None-Match` and `If-Modified-Since`, as they were given with the last body.
fn conditions(validators: &Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let given = [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)];
    for (name, value) in given {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn validators_of(response: &Response) -> Validators {
    Validators { etag: kept(response, ETAG), last_modified: kept(response, LAST_MODIFIED) }
}

fn kept(response: &Response, name: HeaderName) -> Option<String> {
    let text = response.headers().get(name)?.to_str().ok()?;
    (!text.is_empty() && text.len() <= LONGEST_KEPT_HEADER).then(|| text.to_owned())
}

/// The clients, one for each time-out of connecting, since reqwest fixes that with the client. A process uses one
/// or two of them; TLS sessions are shared.
#[derive(Debug)]
struct Clients {
    user_agent: HeaderValue,
    tls: rustls::ClientConfig,
    resolver: Arc<AllowedOnly>,
    made: Mutex<Vec<(Duration, Client)>>,
}

impl Clients {
    fn with(&self, connect_timeout: Duration) -> Result<Client, HttpFeedsError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = made.iter().find(|(timeout, _)| *timeout == connect_timeout) {
            return Ok(client.clone());
        }
        let client = self.make(connect_timeout)?;
        made.push((connect_timeout, client.clone()));
        Ok(client)
    }

    fn make(&self, connect_timeout: Duration) -> Result<Client, HttpFeedsError> {
        let headers = [(ACCEPT, ACCEPTED), (ACCEPT_ENCODING, GZIP)].into_iter().collect();
        Client::builder()
            .user_agent(self.user_agent.clone())
            .default_headers(headers)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE)
            // Redirects are followed by `HttpFeeds::follow`, which looks at each address first.
            .redirect(redirect::Policy::none())
            // A proxy of the environment would connect for us to whatever it can reach.
            .no_proxy()
            // Unzipping is done by `body`, which counts on both sides.
            .no_gzip()
            .dns_resolver(Arc::clone(&self.resolver))
            .tls_backend_preconfigured(self.tls.clone())
            .build()
            .map_err(HttpFeedsError::Client)
    }
}

#[cfg(test)]
mod tests {
    use calmesh_app::model::FailureKind;

    use super::*;
    use crate::address::Refusal;

    fn next_hop(private_feeds: bool, from: &str, location: Option<&str>) -> Result<String, RedirectRefusal> {
        let feeds = HttpFeeds::new(HttpFeedsConfig {
            private_feeds,
            roots: Roots::Bundled,
            ..HttpFeedsConfig::new("Calmesh test")
        })
        .unwrap();
        let mut answer = http::Response::builder().status(302);
        if let Some(location) = location {
            answer = answer.header("location", location);
        }
        let response = Response::from(answer.body("").unwrap());
        feeds.next_hop(&Url::parse(from).unwrap(), &response).map(String::from)
    }

    #[test]
    fn a_redirect_is_read_against_where_it_was_given() {
        let from = "https://feeds.example/a/b.ics?k=1";
        assert_eq!(next_hop(false, from, Some("c.ics")).unwrap(), "https://feeds.example/a/c.ics");
        assert_eq!(next_hop(false, from, Some("//other.example/%2f")).unwrap(), "https://other.example/%2f");
        assert_eq!(
            next_hop(false, "http://feeds.example/", Some("https://feeds.example/")).unwrap(),
            "https://feeds.example/"
        );
    }

    #[test]
    fn a_redirect_from_https_to_http_is_refused() {
        let (from, to) = ("https://feeds.example/", Some("http://feeds.example/"));
        assert_eq!(next_hop(false, from, to), Err(RedirectRefusal::Downgrade));
        assert_eq!(next_hop(true, from, to).unwrap(), "http://feeds.example/");
    }

    #[test]
    fn a_redirect_to_what_may_not_be_read_is_refused() {
        let from = "http://feeds.example/";
        for (location, refusal) in [
            ("http://127.0.0.1/", Refusal::NotPublic),
            ("http://169.254.169.254/latest/", Refusal::NotPublic),
            ("//[::1]/", Refusal::NotPublic),
            ("http://2130706433/", Refusal::NotPublic),
            ("https://feeds.example:6379/", Refusal::Port),
            ("file:///etc/passwd", Refusal::Scheme),
            ("gopher://feeds.example/", Refusal::Scheme),
            ("data:text/calendar,BEGIN", Refusal::Scheme),
            ("https://u:p@feeds.example/", Refusal::UserInfo),
        ] {
            assert_eq!(next_hop(false, from, Some(location)), Err(RedirectRefusal::Address(refusal)), "{location}");
        }
        assert_eq!(next_hop(false, from, None), Err(RedirectRefusal::Nowhere));
        assert_eq!(next_hop(false, from, Some("http://[")), Err(RedirectRefusal::Nowhere));
    }

    #[test]
    fn a_link_is_admitted_or_refused_by_itself_before_anything_is_asked() {
        let feeds = |private_feeds| {
            let config = HttpFeedsConfig::new("Calmesh test");
            HttpFeeds::new(HttpFeedsConfig { private_feeds, roots: Roots::Bundled, ..config }).unwrap()
        };
        let (public, private) = (feeds(false), feeds(true));
        for link in ["http://10.0.0.1/a.ics", "http://[::1]/a.ics", "https://feeds.example:8443/a.ics"] {
            let url: FeedUrl = link.parse().unwrap();
            let refused = public.admit(&url).unwrap_err();
            assert_eq!(refused.kind, FailureKind::AddressRefused, "{link}");
            assert!(private.admit(&url).is_ok(), "{link}");
        }
        let named: FeedUrl = "https://ana:hunter2@feeds.example/a.ics".parse().unwrap();
        for feeds in [&public, &private] {
            let refused = feeds.admit(&named).unwrap_err();
            assert_eq!(refused.kind, FailureKind::AddressRefused);
            assert!(!refused.detail.contains("hunter2"));
            assert!(feeds.admit(&"https://feeds.example/a.ics".parse().unwrap()).is_ok());
        }
    }

    #[test]
    fn one_client_serves_all_requests_of_one_time_out() {
        let feeds = HttpFeeds::new(HttpFeedsConfig { roots: Roots::Bundled, ..HttpFeedsConfig::new("Calmesh test") });
        let clients = feeds.unwrap().clients;
        for seconds in [5, 10, 5, 10] {
            clients.with(Duration::from_secs(seconds)).unwrap();
        }
        assert_eq!(clients.made.lock().unwrap().len(), 2);
    }
}
