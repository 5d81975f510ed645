//! Reading a request's body: its type, its size, its JSON, its fields. Every mistake is collected with its place.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    body::HttpBody,
    extract::{FromRequest, Request},
    http::header,
};
use bytes::{Bytes, BytesMut};
use calmesh_app::{Edit, limits::grouped};
use calmesh_calendar::span::InSpan;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    json::{self, DEPTH_MOST, Unread},
    problem::{FieldProblem, Kind, Problem, escaped},
};

/// The largest body that is read: 1 MiB.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;
pub(crate) fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, format!("A body has at most {} MiB. Send less at once.", BODY_LIMIT >> 20))
}

/// So much of a member's name is repeated.
const NAME_SHOWN: usize = 100;
/// So much of a body that is too large is still taken, so that a client that sends all of it before it reads
/// gets the answer instead of a broken connection.
const DRAIN_LIMIT: usize = 16 * 1024 * 1024;

/// The bytes of a body within the limit.
///
/// # Errors
/// 413, or 400 where the client broke off.
pub(crate) async fn read_bytes(body: axum::body::Body) -> Result<Bytes, Problem> {
    let mut body = body;
    let mut out = BytesMut::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Problem::new(Kind::NotJson, "The body ended early. Send the request again."));
        };
        if let Ok(data) = frame.into_data() {
            total = total.saturating_add(data.len());
            if total <= BODY_LIMIT {
                out.extend_from_slice(&data);
            } else if total > DRAIN_LIMIT {
                break;
            }
        }
    }
    if total > BODY_LIMIT {
        return Err(too_large());
    }
    Ok(out.freeze())
}

/// Takes a body and keeps nothing of it, so that who sends all of it first gets to read why it was refused.
pub(crate) async fn discard(mut body: axum::body::Body) {
    let mut total = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        total = total.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if total > DRAIN_LIMIT {
            return;
        }
    }
}

/// Room for the bodies that are in memory at the same time. A body has its room before it is read.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// What all bodies may take together: as many as 64 of the largest.
const ROOM: usize = 64 * BODY_LIMIT;
/// Room is counted in pieces of so many bytes.
const PIECE: usize = 1024;
/// How long a body waits for room.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / PIECE)))
    }

    /// The pieces that a request's body takes; as many as a body may have where its length was not announced.
    pub(crate) fn pieces(body: &axum::body::Body) -> u32 {
        let most = BODY_LIMIT as u64;
        let bytes = if body.is_end_stream() { 0 } else { body.size_hint().upper().unwrap_or(most).min(most) };
        u32::try_from(bytes.div_ceil(PIECE as u64)).unwrap_or(u32::MAX)
    }

    /// # Errors
    /// 503 where none came free in time.
    pub(crate) async fn take(&self, pieces: u32) -> Result<OwnedSemaphorePermit, Problem> {
        let room = tokio::time::timeout(ROOM_WITHIN, self.0.clone().acquire_many_owned(pieces)).await;
        room.ok().and_then(Result::ok).ok_or_else(|| {
            Problem::new(Kind::Unavailable, "").header(header::RETRY_AFTER, http::HeaderValue::from_static("5"))
        })
    }
}

/// A JSON body as an object whose fields are still to be read. Also takes `application/merge-patch+json`.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        let bytes = read_bytes(body).await?;
        require_json(kind.as_ref().map(|value| value.to_str().unwrap_or_default()))?;
        Ok(Self(Fields::of_bytes(&bytes)?))
    }
}

/// The same where the body may be left out, as for `pause`: then there are no fields.
#[derive(Debug)]
pub(crate) struct MaybeJsonBody(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for MaybeJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        let bytes = read_bytes(body).await?;
        if bytes.is_empty() {
            return Ok(Self(Fields::empty()));
        }
        require_json(kind.as_ref().map(|value| value.to_str().unwrap_or_default()))?;
        Ok(Self(Fields::of_bytes(&bytes)?))
    }
}

fn require_json(content_type: Option<&str>) -> Result<(), Problem> {
    let text = content_type.unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = matches!(essence, "application/json" | "application/merge-patch+json");
    let foreign = parts
        .filter_map(|parameter| parameter.strip_prefix("charset="))
        .any(|charset| !matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"));
    if json && !foreign {
        return Ok(());
    }
    let detail = "Send JSON in UTF-8 with the header Content-Type: application/json.";
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// The fields of one JSON object. Reading takes them out; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// Pointer of the object itself.
    at: String,
    errors: Vec<FieldProblem>,
}

impl Fields {
    #[must_use]
    pub(crate) fn empty() -> Self {
        Self { map: Map::new(), at: String::new(), errors: Vec::new() }
    }

    /// # Errors
    /// 400 for what is not JSON in UTF-8 or has a member twice, 422 for JSON that is no object.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        let value = json::read(bytes).map_err(|error| match error {
            Unread::NotJson { line, column } => {
                let place = format!("line {line}, column {column}");
                Problem::new(Kind::NotJson, format!("The body is not JSON in UTF-8; reading stopped at {place}."))
            }
            Unread::Empty => Problem::new(Kind::NotJson, "The body is empty. Send a JSON object, such as {}."),
            Unread::Unfinished => {
                let detail = "The body ends before its JSON does. Send the whole JSON object.";
                Problem::new(Kind::NotJson, detail)
            }
            Unread::TooDeep => Problem::new(
                Kind::NotJson,
                format!(
                    "The body is nested too deeply: at most {DEPTH_MOST} arrays and objects may lie in each other."
                ),
            ),
            Unread::Twice(name) => {
                let name: String = name.chars().take(NAME_SHOWN).collect();
                Problem::new(Kind::NotJson, format!("The member \"{name}\" is there more than once. Send it once."))
                    .slug("duplicate-member")
                    .with("member", name)
            }
        })?;
        match value {
            Value::Object(map) => Ok(Self { map, at: String::new(), errors: Vec::new() }),
            _ => Err(Problem::invalid_field("", "must be a JSON object")),
        }
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.at, escaped(name))
    }

    /// Notes what is wrong with a field.
    pub(crate) fn flaw(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = self.pointer(name);
        self.errors.push(FieldProblem::body(pointer, detail));
    }

    /// Takes out fields that answers show and nobody can set; each that is there is a mistake.
    pub(crate) fn read_only(&mut self, names: &[&str]) {
        for name in names {
            if self.map.remove(*name).is_some() {
                self.flaw(name, "is read-only; leave it out");
            }
        }
    }

    #[must_use]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    fn read<T>(&mut self, name: &str, value: &Value, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        match read(value) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.flaw(name, detail);
                None
            }
        }
    }

    /// A field that must be there. `None` only with a mistake noted.
    pub(crate) fn required<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => self.read(name, &value, read),
            None => {
                self.flaw(name, "is required");
                None
            }
        }
    }

    /// A field that may be left out but not be null.
    pub(crate) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let value = self.map.remove(name)?;
        self.read(name, &value, read)
    }

    /// A field that may be left out or be null, which is the same.
    pub(crate) fn nullable<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let value = self.map.remove(name).filter(|value| !value.is_null())?;
        self.read(name, &value, read)
    }

    /// A field of a merge patch (RFC 7396): left out keeps, null goes back to the default.
    pub(crate) fn edit<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Edit<T> {
        match self.map.remove(name) {
            None => Edit::Keep,
            Some(Value::Null) => Edit::Reset,
            Some(value) => self.read(name, &value, read).map_or(Edit::Keep, Edit::To),
        }
    }

    /// A nested object: left out is `Keep`, null is `Reset`. What is wrong or unknown inside is noted with its
    /// whole pointer.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields) -> T) -> Edit<T> {
        match self.map.remove(name) {
            None => Edit::Keep,
            Some(Value::Null) => Edit::Reset,
            Some(Value::Object(map)) => {
                let mut inner = Fields { map, at: self.pointer(name), errors: Vec::new() };
                let value = read(&mut inner);
                self.errors.extend(inner.into_errors());
                Edit::To(value)
            }
            Some(_) => {
                self.flaw(name, "must be an object");
                Edit::Keep
            }
        }
    }

    fn into_errors(mut self) -> Vec<FieldProblem> {
        let unknown: Vec<String> = self.map.keys().cloned().collect();
        for name in unknown {
            self.flaw(&name, "is not a field of this; check its spelling or leave it out");
        }
        self.errors
    }

    /// The end of reading: what was made, unless anything is wrong.
    ///
    /// # Errors
    /// 422 with every mistake at once.
    pub(crate) fn finish<T>(self, made: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        let errors = self.into_errors();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        // Every `None` has noted a mistake.
        made().ok_or_else(|| Problem::invalid_field("", "lacks a field"))
    }
}

/// Text of at most `most` characters; what else a text must be, the use case says.
pub(crate) fn text(most: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = value.as_str().ok_or("must be a text")?;
        if text.chars().count() > most {
            return Err(format!("must have at most {} characters", grouped(most)));
        }
        Ok(text.to_owned())
    }
}

/// # Errors
/// What is not true or false.
pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// A whole number; one that is larger than `largest` is as good as that. Which numbers fit, the use case says: it knows
/// the range.
///
/// # Errors
/// What is no whole number, or below zero.
pub(crate) fn whole<T>(largest: T) -> impl Fn(&Value) -> Result<T, String>
where
    T: TryFrom<u64> + Copy,
{
    move |value| match value {
        Value::Number(number) if number.is_u64() => {
            Ok(number.as_u64().and_then(|number| T::try_from(number).ok()).unwrap_or(largest))
        }
        _ => Err("must be a whole number, not below 0".to_owned()),
    }
}

/// One of these words.
pub(crate) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let known = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be one of: {}", names.join(", "))
        })
    }
}

/// An id such as `prp_…`.
///
/// # Errors
/// What has not the form of such an id.
pub(crate) fn id<T: std::str::FromStr<Err: Display>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or("must be an id")?;
    text.parse().map_err(|error| format!("is {error}"))
}

/// An instant, RFC 3339 with an offset.
///
/// # Errors
/// What is no instant, or lies outside the span that calendars are kept for.
pub(crate) fn instant(value: &Value) -> Result<Timestamp, String> {
    let at = value.as_str().and_then(|text| text.parse().ok()).filter(|at: &Timestamp| at.is_in_span());
    at.ok_or_else(|| "must be an instant such as 2026-12-04T10:00:00Z, between the years 1900 and 2200".to_owned())
}

/// A list of at most `most`, each read in the same way.
pub(crate) fn list<T>(
    most: usize,
    read: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<Vec<T>, String> {
    move |value| {
        let items = value.as_array().ok_or("must be a list")?;
        if items.len() > most {
            return Err(format!("must have at most {} entries", grouped(most)));
        }
        items
            .iter()
            .enumerate()
            .map(|(place, item)| read(item).map_err(|detail| format!("entry {place} {detail}")))
            .collect()
    }
}
