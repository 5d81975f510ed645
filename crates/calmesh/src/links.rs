//! Private links on this machine: what CloudFront over S3 does in the cloud, on the same path.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use calmesh_app::{
    model::{LinkToken, SecretHash},
    ports::{Clock, ExportObject, ExportStore, LinkStore},
};
use calmesh_lambda_kit::OwnAgent;
use jiff::{Timestamp, fmt::rfc2822};

const CONTENT_TYPE: &str = "text/calendar; charset=utf-8";
const CACHE_CONTROL: &str = "max-age=60";
/// So many reads of one link wait to be recorded; more of them say nothing more.
const READS_AT_HAND: usize = 1_000;
/// A reader waits for so long until its read is recorded.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// What serving links needs.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) exports: Arc<dyn ExportStore>,
    pub(crate) reads: Arc<dyn LinkStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether what is not there may only be missing: after a loss of power, until all links were compared.
    pub(crate) unsure: Arc<AtomicBool>,
    /// The name of this deployment's own fetcher: what it reads is no read.
    pub(crate) own_agent: OwnAgent,
    pub(crate) at_hand: ReadsAtHand,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links")
    }
}

/// `GET` and `HEAD /f/{token}.ics`. Whatever else stands below `/f/` is 404 with nothing else said.
pub(crate) fn router(links: Links) -> Router {
    Router::new().route("/f/{*file}", get(serve)).with_state(links)
}

async fn serve(State(links): State<Links>, method: Method, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(token) = file.strip_suffix(".ics").and_then(LinkToken::parse) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let object = match links.exports.export(&token).await {
        Ok(Some(object)) => object,
        // A site forgets a link that is gone; one that can't be read now it asks for again.
        Ok(None) if links.unsure.load(Ordering::Relaxed) => return later(),
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(error = calmesh_lambda_kit::telemetry::chain(&error), "a private link could not be read");
            return later();
        }
    };
    let response = answer(&object, &headers);
    if method == Method::GET && !is_ours(&headers, &links.own_agent) {
        links.record(&token.hash()).await;
    }
    response
}

/// Reads of links that are not recorded yet. Of each link one record is written at a time: what is read meanwhile waits
/// for it, and is recorded together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadsAtHand(Arc<Mutex<HashMap<SecretHash, BTreeSet<Timestamp>>>>);

impl ReadsAtHand {
    fn lock(&self) -> MutexGuard<'_, HashMap<SecretHash, BTreeSet<Timestamp>>> {
        // Nothing that holds this lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers whether whoever comes with this read is to record it: nobody records of this link now.
    fn begin(&self, link: &SecretHash, at: Timestamp) -> bool {
        let mut at_hand = self.lock();
        match at_hand.get_mut(link) {
            None => {
                at_hand.insert(*link, BTreeSet::new());
                true
            }
            Some(waiting) => {
                // Whoever reads so often is known to read.
                if waiting.len() < READS_AT_HAND {
                    waiting.insert(at);
                }
                false
            }
        }
    }

    /// What came meanwhile; none ends the recording of this link.
    fn more(&self, link: &SecretHash) -> Option<BTreeSet<Timestamp>> {
        let mut at_hand = self.lock();
        let waiting = at_hand.get_mut(link).map(std::mem::take).filter(|waiting| !waiting.is_empty());
        if waiting.is_none() {
            at_hand.remove(link);
        }
        waiting
    }
}

impl Links {
    /// Records a read. The reader gets its calendar whether or not that can be done.
    async fn record(&self, link: &SecretHash) {
        let now = self.clock.now();
        if !self.at_hand.begin(link, now) {
            return;
        }
        let (links, link) = (self.clone(), *link);
        // Goes on when the reader goes away: others may have left their reads to it.
        let recording = tokio::spawn(async move {
            let mut times = BTreeSet::from([now]);
            loop {
                if let Err(error) = links.reads.record_reads(&link, &times).await {
                    tracing::warn!(error = calmesh_lambda_kit::telemetry::chain(&error), "reads were not recorded");
                }
                match links.at_hand.more(&link) {
                    Some(more) => times = more,
                    None => return,
                }
            }
        });
        // A reader that is alone is answered when its read is known.
        let _ = tokio::time::timeout(RECORDED_WITHIN, recording).await;
    }
}

fn later() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")]).into_response()
}

fn is_ours(headers: &HeaderMap, own: &OwnAgent) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    own.mark().is_some_and(|mark| agent.contains(mark))
}

/// 304 where the reader has these bytes already, else 200 with them.
fn answer(object: &ExportObject, asked: &HeaderMap) -> Response {
    let etag = quoted(&object.version.0);
    let unchanged = match asked.get(header::IF_NONE_MATCH) {
        // RFC 9110, 13.1.3: a date is not looked at beside a tag.
        Some(_) => asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, &etag)),
        None => asked.get(header::IF_MODIFIED_SINCE).is_some_and(|date| is_since(date, object.last_modified)),
    };
    let mut response = match unchanged {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(object.body.clone()).into_response(),
    };
    let headers = response.headers_mut();
    if !unchanged {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(date) = http_date(object.last_modified) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    response
}

/// S3 gives tags with their quotes, others without.
fn quoted(version: &str) -> String {
    format!("\"{}\"", version.trim_matches('"'))
}

/// RFC 9110, 13.1.2: a list of tags or `*`, compared weakly.
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Dates carry whole seconds.
fn is_since(date: &HeaderValue, last_modified: Timestamp) -> bool {
    let date = date.to_str().ok().and_then(|text| rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    date.is_some_and(|date| last_modified.as_second() <= date.as_second())
}

fn http_date(instant: Timestamp) -> Option<HeaderValue> {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).ok()?;
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use calmesh_app::{
        fakes::{FixedClock, MemoryObjects, MemoryStore},
        ports::ExportVersion,
    };
    use jiff::SignedDuration;

    use super::*;

    fn object() -> ExportObject {
        ExportObject {
            body: Bytes::from_static(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
            version: ExportVersion("\"abc\"".to_owned()),
            last_modified: "2026-12-04T10:00:00.7Z".parse().unwrap(),
        }
    }

    fn status(headers: &[(header::HeaderName, &str)]) -> StatusCode {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        answer(&object(), &headers.collect()).status()
    }

    #[test]
    fn what_our_own_fetcher_reads_is_no_read_and_what_another_deployments_reads_is_one() {
        let contact = "https://calmesh.example/".parse().unwrap();
        let own = OwnAgent::of_deployment(&contact, b"ours");
        let by = |agent: &OwnAgent| {
            [(header::USER_AGENT, HeaderValue::from_str(agent.as_str()).unwrap())].into_iter().collect::<HeaderMap>()
        };
        assert!(is_ours(&by(&own), &own));
        assert!(!is_ours(&by(&OwnAgent::of_deployment(&contact, b"a neighbour's")), &own));
        assert!(!is_ours(&by(&OwnAgent::of_nobody(&contact)), &own));
        assert!(!is_ours(&HeaderMap::new(), &own));
    }

    #[tokio::test]
    async fn a_storm_of_reads_of_one_link_is_one_record_at_a_time() {
        let now: Timestamp = "2026-12-04T10:00:00Z".parse().unwrap();
        let clock = Arc::new(FixedClock::at(now));
        clock.tick(SignedDuration::from_millis(1));
        let store = Arc::new(MemoryStore::new());
        let links = Links {
            exports: Arc::new(MemoryObjects::new(clock.clone())),
            reads: store.clone(),
            clock: clock.clone(),
            unsure: Arc::default(),
            own_agent: OwnAgent::of_nobody(&"https://calmesh.example/".parse().unwrap()),
            at_hand: ReadsAtHand::default(),
        };
        let (link, other) = (SecretHash::of("one"), SecretHash::of("other"));
        // On this one thread, all of them are there before the first record is written.
        let storm = (0..5_000).map(|nth| {
            let links = links.clone();
            let of = if nth == 4_999 { other } else { link };
            async move { links.record(&of).await }
        });
        futures::future::join_all(storm).await;
        assert_eq!(store.calls(), 3, "the first one, all that came meanwhile, and the other link's");
        assert!(links.at_hand.lock().is_empty(), "and nothing is left of it");
        links.record(&link).await;
        assert_eq!(store.calls(), 4, "a later one is recorded for itself");
    }

    #[test]
    fn a_calendar_is_served_with_its_tag_date_and_cache_header() {
        let response = answer(&object(), &HeaderMap::new());
        let header = |name: header::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(header::CONTENT_TYPE), "text/calendar; charset=utf-8");
        assert_eq!(header(header::ETAG), "\"abc\"");
        assert_eq!(header(header::LAST_MODIFIED), "Fri, 04 Dec 2026 10:00:00 GMT");
        assert_eq!(header(header::CACHE_CONTROL), "max-age=60");
    }

    #[test]
    fn a_reader_that_has_these_bytes_is_told_so() {
        assert_eq!(status(&[(header::IF_NONE_MATCH, "\"abc\"")]), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")]), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "*")]), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "\"old\"")]), StatusCode::OK);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "Fri, 04 Dec 2026 10:00:00 GMT")]), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "Fri, 04 Dec 2026 09:59:59 GMT")]), StatusCode::OK);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "yesterday")]), StatusCode::OK);
    }

    #[test]
    fn a_tag_beside_a_date_decides() {
        let asked = [(header::IF_NONE_MATCH, "\"old\""), (header::IF_MODIFIED_SINCE, "Fri, 04 Dec 2026 10:00:00 GMT")];
        assert_eq!(status(&asked), StatusCode::OK);
    }
}
