//! The document, and a page to read and try it. The page is one file without a library or another server behind it:
//! a function in the cloud is loaded before it answers, and a documentation browser would be half of its size.

use axum::{Router, response::Html, routing::get};
use http::{HeaderName, HeaderValue, header};

use crate::api::Api;

const PAGE: &str = include_str!("docs.html");
/// The page's own script and style, and nobody else's; it calls its own server alone and is shown in no frame.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
);

/// What the routes say of themselves, put together by a test (`openapi.rs`).
const DOCUMENT: &str = include_str!("../openapi.json");
/// Where the document is served.
pub(crate) const PATH: &str = "/v1/openapi.json";
/// Where the page to read and try it is served.
pub(crate) const PAGE_PATH: &str = "/v1/docs";

/// The two routes that are not in the document, because they show it.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route(PAGE_PATH, get(|| async { ([POLICY], Html(PAGE)) }))
        .route(PATH, get(|| async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT) }))
}
