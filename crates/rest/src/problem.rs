//! What a client is told when something is refused or fails: problem details (RFC 9457), one named kind each.

use axum::response::{IntoResponse, Response};
use calmesh_app::{Full, InvalidField, TooMany, counted, ports::StoreError};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Every kind of problem has an address of its own under this path, relative to the API's origin.
pub(crate) const TYPES: &str = "/problems/";

/// One field, query parameter or header that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"pointer": "/check_in", "detail": "must be a time of day, HH:MM"}))]
pub(crate) struct FieldProblem {
    /// JSON Pointer (RFC 6901) into the body; for a parameter or header a slash and its name.
    pub(crate) pointer: String,
    /// What would be right.
    pub(crate) detail: String,
    /// Where it is, if not in the body.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// Where something is that is not in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    Query,
    Header,
}

impl FieldProblem {
    pub(crate) fn body(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), place: None }
    }

    pub(crate) fn query(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("/{}", escaped(name)), detail: detail.into(), place: Some(Place::Query) }
    }

    pub(crate) fn header(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("/{}", escaped(name)), detail: detail.into(), place: Some(Place::Header) }
    }
}

/// One reference token of a JSON Pointer (RFC 6901, section 3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The kinds of problems: the last part of `type`, the title and the status. A slug never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NotJson,
    Unauthorized,
    WrongKey,
    NotFound,
    MethodNotAllowed,
    Conflict,
    Stale,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    RateLimited,
    Internal,
    Unavailable,
}

impl Kind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 13] = [
        Self::NotJson,
        Self::Unauthorized,
        Self::WrongKey,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::Stale,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::NotJson => ("not-json", "The body is not JSON", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("unauthorized", "A valid token is needed", StatusCode::UNAUTHORIZED),
            Self::WrongKey => ("wrong-key", "This kind of key does not open this", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "There is nothing here", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "This method is not known here", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::Conflict => ("conflict", "This clashes with what is there", StatusCode::CONFLICT),
            Self::Stale => ("stale", "It was changed meanwhile", StatusCode::PRECONDITION_FAILED),
            Self::TooLarge => ("too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "The body is of another type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Invalid => ("invalid", "Something in the request is not valid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::RateLimited => ("rate-limited", "Too many requests", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", "Something went wrong on our side", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", "The service can't answer now", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    #[must_use]
    pub(crate) fn slug(self) -> &'static str {
        self.parts().0
    }

    #[must_use]
    pub(crate) fn title(self) -> &'static str {
        self.parts().1
    }

    #[must_use]
    pub(crate) fn status(self) -> StatusCode {
        self.parts().2
    }

    /// The kind for an answer that something below made without a body of ours.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::NotJson,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::WrongKey,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PRECONDITION_FAILED => Self::Stale,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_server_error() => Self::Internal,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid,
            _ => Self::NotFound,
        }
    }
}

/// A refusal or failure, on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    /// Set where it has one of its own, such as a refused provider among the invalid.
    slug: Option<&'static str>,
    detail: String,
    errors: Vec<FieldProblem>,
    /// Further members, such as `blocked_by`.
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    #[must_use]
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, slug: None, detail: detail.into(), errors: Vec::new(), members: Map::new(), headers: Vec::new() }
    }

    /// Status 429: `what` there is too much of, such as `requests are sent by this account`, and after how many seconds
    /// one more is taken.
    #[must_use]
    pub(crate) fn rate_limited(what: &str, seconds: u64) -> Self {
        let wait = counted(i64::try_from(seconds).unwrap_or(i64::MAX), "second");
        let detail = format!("Too many {what}. Wait {wait}, then go on more slowly.");
        Self::new(Kind::RateLimited, detail).header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 404, also for what belongs to somebody else.
    #[must_use]
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}; look for its id in the list."))
    }

    /// 403: another key, a wider one, is needed.
    #[must_use]
    pub(crate) fn wrong_key(detail: impl Into<String>) -> Self {
        Self::new(Kind::WrongKey, detail)
    }

    /// 409.
    #[must_use]
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// 412.
    #[must_use]
    pub(crate) fn stale() -> Self {
        let detail =
            "It is not the version that If-Match names. Read it again and repeat the change on what it is now.";
        Self::new(Kind::Stale, detail)
    }

    /// 422 with what is wrong in each place.
    #[must_use]
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => format!("The body {}.", one.detail),
            [one] => format!("{} {}.", one.pointer.trim_start_matches('/'), one.detail),
            several => format!("{} fields are not valid; see errors.", several.len()),
        };
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    /// 422 for one field of the body, `pointer` such as `/import/url`.
    #[must_use]
    pub(crate) fn invalid_field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::body(pointer, detail)])
    }

    /// 422 with the fields that a use case refused.
    #[must_use]
    pub(crate) fn invalid_fields(fields: Vec<InvalidField>) -> Self {
        Self::invalid(
            fields.into_iter().map(|flaw| FieldProblem::body(format!("/{}", flaw.field), flaw.detail)).collect(),
        )
    }

    /// 500; the cause goes to the log, the client learns a request id only.
    #[must_use]
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(Kind::Internal, "")
    }

    /// Other words for what to do.
    #[must_use]
    pub(crate) fn saying(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// 503; the cause goes to the log.
    #[must_use]
    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a part of the service is not available");
        Self::new(Kind::Unavailable, "").header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// A stable slug of its own instead of the kind's.
    #[must_use]
    pub(crate) fn slug(mut self, slug: &'static str) -> Self {
        self.slug = Some(slug);
        self
    }

    /// A further member of the problem, such as `blocked_by`.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body; `request_id` is there for what went wrong on our side.
    pub(crate) fn to_json(&self, request_id: Option<&str>) -> Value {
        let mut body = Map::new();
        let slug = self.slug.unwrap_or(self.kind.slug());
        body.insert("type".to_owned(), format!("{TYPES}{slug}").into());
        body.insert("title".to_owned(), self.kind.title().into());
        body.insert("status".to_owned(), self.kind.status().as_u16().into());
        body.insert("detail".to_owned(), self.detail.clone().into());
        if !self.errors.is_empty() {
            body.insert("errors".to_owned(), serde_json::to_value(&self.errors).unwrap_or_default());
        }
        if let Some(id) = request_id {
            body.insert("request_id".to_owned(), id.into());
        }
        body.extend(self.members.clone());
        Value::Object(body)
    }

    pub(crate) fn into_response_with(self, request_id: Option<&str>) -> Response {
        let body = self.to_json(request_id).to_string();
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (self.kind.status(), [(header::CONTENT_TYPE, json)], body).into_response();
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_response_with(None)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale | StoreError::Exists => {
                Self::conflict("Somebody else changed this at the same time. Send the request again.")
            }
            StoreError::Unavailable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store is not available");
                Self::new(Kind::Unavailable, "").header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
            StoreError::Corrupt { .. } => Self::internal(&error),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(TooMany { what, retry_after }: TooMany) -> Self {
        // Whole seconds, and never so few that it is too early.
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or_default();
        Self::rate_limited(what, millis.max(1).div_ceil(1000))
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let Full(limit) = full;
        let detail = format!("There are too many already: {limit}. Delete what is not needed any more.");
        Self::conflict(detail).slug("limit-reached").with("limit", limit.most)
    }
}

/// The shape of a problem in the document.
#[cfg(test)]
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/problems/invalid", "title": "Something in the request is not valid", "status": 422,
    "detail": "check_in must be a time of day, HH:MM.",
    "errors": [{"pointer": "/check_in", "detail": "must be a time of day, HH:MM"}]
}))]
pub(crate) struct ProblemSchema {
    /// A stable address that names the kind of problem, relative to the API's origin.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// What to do about it.
    detail: String,
    /// The places that are not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldProblem>>,
    /// Name it when you report a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}
