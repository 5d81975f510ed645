//! What answers have in common: status, `Location`, `ETag`, instants; and the `If-Match` that comes back.

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use calmesh_app::Expected;
use http::{HeaderValue, StatusCode, header, request::Parts};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// An instant as answers show it: RFC 3339 in UTC, whole seconds, `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-12-04T10:00:00Z")]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ")))
    }
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// The validator of a version of what can be edited.
fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"v0\""))
}

/// 200 with one resource; `version` counts what of it can be edited.
pub(crate) fn single<T: Serialize>(version: u64, body: T) -> Response {
    ([(header::ETAG, etag(version))], no_store(), Json(body)).into_response()
}

/// 200 with something that has no version.
pub(crate) fn plain<T: Serialize>(body: T) -> Response {
    (no_store(), Json(body)).into_response()
}

/// 200 with what is JSON by now.
pub(crate) fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], no_store(), bytes).into_response()
}

/// 201 with where the new resource is.
pub(crate) fn created<T: Serialize>(location: &str, version: Option<u64>, body: T) -> Response {
    let mut response = (StatusCode::CREATED, no_store(), Json(body)).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(version) = version {
        response.headers_mut().insert(header::ETAG, etag(version));
    }
    response
}

/// 202 with something under way.
pub(crate) fn accepted<T: Serialize>(location: &str, body: T) -> Response {
    let mut response = created(location, None, body);
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// 204.
pub(crate) fn gone() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Answers hold links and tokens: no cache keeps them.
fn no_store() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

/// The versions that `If-Match` names (RFC 9110, section 13.1.1): compared strongly, so a weak validator and one
/// that was never ours fit nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct IfMatch(pub(crate) Expected);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let values: Vec<&str> =
            parts.headers.get_all(header::IF_MATCH).iter().map(|value| value.to_str().unwrap_or("\"\"")).collect();
        Ok(Self(expected(&values)))
    }
}

fn expected(values: &[&str]) -> Expected {
    let mut validators = values.iter().flat_map(|value| value.split(',')).map(str::trim).peekable();
    if validators.peek().is_none() {
        return Expected::Any;
    }
    let mut versions = Vec::new();
    for validator in validators {
        if validator == "*" {
            return Expected::Any;
        }
        let version = validator.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"'));
        versions.extend(version.and_then(|digits| digits.parse::<u64>().ok()));
    }
    Expected::OneOf(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_takes_a_star_a_list_and_no_weak_validator() {
        assert_eq!(expected(&[]), Expected::Any);
        assert_eq!(expected(&["*"]), Expected::Any);
        assert_eq!(expected(&["\"v3\", \"v4\"", "\"v7\""]), Expected::OneOf(vec![3, 4, 7]));
        assert_eq!(expected(&["W/\"v3\""]), Expected::OneOf(vec![]));
        assert_eq!(expected(&["v3"]), Expected::OneOf(vec![]));
        assert_eq!(expected(&[""]), Expected::OneOf(vec![]));
    }

    #[test]
    fn an_instant_is_written_in_whole_seconds() {
        let at: Timestamp = "2026-12-04T10:00:00.987654321Z".parse().unwrap();
        assert_eq!(serde_json::to_value(Instant(at)).unwrap(), "2026-12-04T10:00:00Z");
    }
}
