//! Private links on this machine: what CloudFront over S3 does in the cloud, on the same path.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use calmesh_app::{
    model::LinkToken,
    ports::{Clock, ExportObject, ExportStore, ObjectError},
};
use calmesh_exports_s3::ObjectKey;
use calmesh_lambda_kit::OwnAgent;
use jiff::{Timestamp, fmt::rfc2822};

use crate::{
    kept::{Kept, Served},
    reads::Reads,
    unsure::Unsure,
};

const CONTENT_TYPE: &str = "text/calendar; charset=utf-8";
const CACHE_CONTROL: &str = "max-age=60";
/// A reader waits for so long until its read is noted.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

/// What serving links needs.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) exports: Arc<dyn ExportStore>,
    pub(crate) kept: Kept,
    pub(crate) reads: Reads,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether what is not there may only be missing.
    pub(crate) unsure: Unsure,
    /// The name of this deployment's own fetcher: what it reads is no read.
    pub(crate) own_agent: OwnAgent,
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
    let served = match links.find(&token).await {
        Ok(Some(served)) => served,
        // A site forgets a link that is gone; one that can't be read now it asks for again.
        Ok(None) if links.unsure.is_unsure() => return later(),
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(error = calmesh_lambda_kit::telemetry::chain(&error), "a private link could not be read");
            return later();
        }
    };
    let response = answer(&served, &headers);
    if method == Method::GET && !is_ours(&headers, &links.own_agent) {
        links.note(&token).await;
    }
    response
}

impl Links {
    async fn find(&self, token: &LinkToken) -> Result<Option<Arc<Served>>, ObjectError> {
        let name = ObjectKey::Export { token: token.clone() }.path();
        if let Some(served) = self.kept.find(&name) {
            return Ok(Some(served));
        }
        let changes = self.kept.changes();
        let Some(object) = self.exports.export(token).await? else { return Ok(None) };
        let served = Arc::new(Served::from(object));
        self.kept.keep(&name, &served, changes);
        Ok(Some(served))
    }

    /// Notes a read. The reader gets its calendar whether or not that can be done, and when it is done.
    async fn note(&self, token: &LinkToken) {
        let link = token.hash();
        let noted = tokio::time::timeout(NOTED_WITHIN, self.reads.note(&link, self.clock.now())).await;
        match noted {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a read was not noted"),
            Err(_) => tracing::warn!("a read is noted later than it is answered: the disk is slow"),
        }
    }
}

impl From<ExportObject> for Served {
    fn from(object: ExportObject) -> Self {
        let ExportObject { body, version, last_modified } = object;
        Self { body, etag: quoted(&version.0), last_modified, date: http_date(last_modified) }
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
fn answer(object: &Served, asked: &HeaderMap) -> Response {
    let etag = &object.etag;
    let unchanged = match asked.get(header::IF_NONE_MATCH) {
        // RFC 9110, 13.1.3: a date is not looked at beside a tag.
        Some(_) => asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, etag)),
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
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(date) = &object.date {
        headers.insert(header::LAST_MODIFIED, date.clone());
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
        fakes::{Fault, FixedClock, MemoryObjects, MemoryStore},
        ports::ExportVersion,
    };
    use tower::ServiceExt;

    use super::*;

    fn object() -> Served {
        let object = ExportObject {
            body: Bytes::from_static(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
            version: ExportVersion("\"abc\"".to_owned()),
            last_modified: "2026-12-04T10:00:00.7Z".parse().unwrap(),
        };
        object.into()
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

    /// A link with an export, and who serves it.
    async fn a_link() -> (tempfile::TempDir, Arc<MemoryObjects>, Links, LinkToken) {
        let clock = Arc::new(FixedClock::at("2026-12-04T10:00:00Z".parse().unwrap()));
        let objects = Arc::new(MemoryObjects::new(clock.clone()));
        let token = LinkToken::from_random([3; 32]);
        objects.put_export(&token, Bytes::from_static(b"first"), None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let links = Links {
            exports: objects.clone(),
            kept: Kept::default(),
            reads: Reads::open(&folder.path().join("reads.log"), Arc::new(MemoryStore::new())).unwrap(),
            clock,
            unsure: Unsure::default(),
            own_agent: OwnAgent::of_nobody(&"https://calmesh.example/".parse().unwrap()),
        };
        (folder, objects, links, token)
    }

    async fn get(links: &Links, token: &LinkToken) -> (StatusCode, Bytes) {
        let request = axum::http::Request::get(format!("/f/{}.ics", token.reveal())).body(Body::empty()).unwrap();
        let response = router(links.clone()).oneshot(request).await.unwrap();
        (response.status(), axum::body::to_bytes(response.into_body(), 1000).await.unwrap())
    }

    #[tokio::test]
    async fn a_link_is_read_from_its_store_once_until_it_changes() {
        let (_folder, objects, links, token) = a_link().await;
        let calls = objects.calls();
        for _ in 0..3 {
            assert_eq!(get(&links, &token).await, (StatusCode::OK, Bytes::from_static(b"first")));
        }
        assert_eq!(objects.calls(), calls + 1);
        let version = objects.export(&token).await.unwrap().unwrap().version;
        objects.put_export(&token, Bytes::from_static(b"second"), Some(&version)).await.unwrap();
        links.kept.changed(&ObjectKey::Export { token: token.clone() }.path());
        assert_eq!(get(&links, &token).await, (StatusCode::OK, Bytes::from_static(b"second")));
        objects.delete_export(&token).await.unwrap();
        links.kept.changed(&ObjectKey::Export { token: token.clone() }.path());
        for _ in 0..2 {
            assert_eq!(get(&links, &token).await.0, StatusCode::NOT_FOUND);
        }
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_not_kept() {
        let (_folder, objects, links, token) = a_link().await;
        objects.fail_next(Fault::Before);
        assert_eq!(get(&links, &token).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&links, &token).await.0, StatusCode::OK);
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
