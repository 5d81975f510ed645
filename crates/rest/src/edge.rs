//! The outermost layer: a request id and a span around every request, a problem for every failure, panics
//! included. Logs name routes, never paths, queries, tokens or bodies.

use std::{fmt::Write as _, panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::Instrument;

use crate::{
    Api,
    problem::{Kind, Problem},
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn edge(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request_id(&api);
    // The route's pattern and not the path: a path may be anything that somebody typed.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = %route,
        account.id = tracing::field::Empty,
    );
    answered(request, next, id).instrument(span).await
}

async fn answered(request: Request, next: Next, id: String) -> Response {
    let began = Instant::now();
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(panic = what.unwrap_or("of another type"), "a request panicked");
            Problem::new(Kind::Internal, "").into_response()
        }
    };
    let mut response = shaped(response, &id);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(http.status = response.status().as_u16(), duration_ms, "answered");
    response
}

fn request_id(api: &Api) -> String {
    api.app.randomness.id().iter().fold(String::from("req_"), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Every failure as a problem. What went wrong on our side says nothing but a request id.
fn shaped(response: Response, id: &str) -> Response {
    let status = response.status();
    if status.is_server_error() {
        let kind = if status == StatusCode::SERVICE_UNAVAILABLE { Kind::Unavailable } else { Kind::Internal };
        let detail = match kind {
            Kind::Unavailable => "Nothing was lost. Try again in a moment; if it stays so, report the request id.",
            _ => "Try again in a moment; if it happens again, report the request id.",
        };
        let mut shaped = Problem::new(kind, detail).into_response_with(Some(id));
        if let Some(wait) = response.headers().get(header::RETRY_AFTER) {
            shaped.headers_mut().insert(header::RETRY_AFTER, wait.clone());
        }
        return shaped;
    }
    let problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !status.is_client_error() || problem {
        return response;
    }
    let kind = Kind::of_status(status);
    let allow = response.headers().get(header::ALLOW).cloned();
    let detail = match (kind, allow.as_ref().and_then(|allow| allow.to_str().ok())) {
        (Kind::MethodNotAllowed, Some(allow)) => format!("Use one of these methods here: {allow}."),
        (Kind::NotFound, _) => UNKNOWN_PATH.to_owned(),
        _ => "Look the request up in the document at /v1/docs.".to_owned(),
    };
    let mut shaped = Problem::new(kind, detail).into_response_with(None);
    if let Some(allow) = allow {
        shaped.headers_mut().insert(header::ALLOW, allow);
    }
    shaped
}

const UNKNOWN_PATH: &str = "There is nothing at this path; /v1/docs lists what there is.";

/// What no route matches.
pub(crate) async fn unknown_path() -> Problem {
    Problem::new(Kind::NotFound, UNKNOWN_PATH)
}
