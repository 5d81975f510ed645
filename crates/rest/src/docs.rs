//! The document, and a page to read and try it. The page is one file without a library or another server behind it:
//! a function in the cloud is loaded before it answers, and a documentation browser would be half of its size.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, header};
use utoipa::openapi::OpenApi;

use crate::{
    Api, openapi,
    problem::{Kind, Problem},
};

const PAGE: &str = include_str!("docs.html");
/// The page's own script and style, and nobody else's; it calls its own server alone and is shown in no frame.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
);

/// The two routes that are not in the document, because they show it.
pub(crate) fn routes(document: OpenApi) -> Router<Api> {
    let written = Arc::new(OnceLock::new());
    let document = Arc::new(document);
    Router::new()
        .route(openapi::DOCS, get(|| async { ([POLICY], Html(PAGE)) }))
        .route(openapi::PATH, get(|| async move { json(&document, &written) }))
}

/// Written down when it is asked for first, not at every start.
fn json(document: &OpenApi, written: &OnceLock<Option<String>>) -> Response {
    match written.get_or_init(|| document.to_json().ok()) {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response(),
        None => Problem::new(Kind::Internal, "The document can't be written.").into_response(),
    }
}
