//! The feed doctor.

use axum::{extract::State, response::Response};
use bytes::Bytes;
use calmesh_app::{CheckError, CheckReport, CheckSource, limits::TEXT_MOST, model::FeedUrl};
use calmesh_calendar::ReadWarning;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answer,
    api::Api,
    body::{BODY_LIMIT, JsonBody, text},
    caller::Owner,
    problem::Problem,
    query::NoParams,
    routes::{Routes, routes},
    when::written_span,
    words::KindWord,
};

/// What a feed is, what it would block, and what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedCheck, example = json!({
    "usable": true, "provider": "airbnb", "name": null, "events": {"in_text": 1, "read": 1, "blocking": 1},
    "blocks": [{"start": "2026-12-04", "end": "2026-12-05", "kind": "reservation", "uid": "1418fb94e984-…@airbnb.com"}],
    "blocks_left_out": 0, "nights": ["2026-12-04"], "warnings": [], "warnings_left_out": 0, "problem": null
}))]
pub(crate) struct CheckJson {
    usable: bool,
    provider: String,
    /// The calendar's own name.
    #[schema(required)]
    name: Option<String>,
    events: EventCountsJson,
    /// What it would block, in order of time; the first 1,000.
    blocks: Vec<CheckedBlockJson>,
    /// How many more it would block.
    blocks_left_out: usize,
    /// The nights that it would take, from 30 days back to 760 days ahead.
    nights: Vec<String>,
    /// The first 100.
    warnings: Vec<WarningJson>,
    warnings_left_out: usize,
    #[schema(required)]
    problem: Option<FeedProblem>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventCounts)]
struct EventCountsJson {
    in_text: u32,
    read: u32,
    blocking: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckedBlock)]
struct CheckedBlockJson {
    /// A night, or a local date-time.
    start: String,
    end: String,
    kind: KindWord,
    #[schema(required)]
    uid: Option<String>,
}

/// Something in a feed that could not be taken as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedWarning)]
pub(crate) struct WarningJson {
    /// Line in the feed's text, from 1; null for the feed as a whole.
    #[schema(required)]
    line: Option<u32>,
    #[schema(required)]
    uid: Option<String>,
    detail: String,
}

impl From<ReadWarning> for WarningJson {
    fn from(warning: ReadWarning) -> Self {
        Self { line: warning.line, uid: warning.uid, detail: warning.detail }
    }
}

/// Why a feed can't be used.
#[derive(Debug, Serialize, ToSchema)]
struct FeedProblem {
    #[serde(rename = "type")]
    kind: &'static str,
    detail: String,
}

impl From<CheckReport> for CheckJson {
    fn from(report: CheckReport) -> Self {
        let blocks = report.blocks.into_iter().map(|block| {
            let (start, end) = written_span(block.span);
            CheckedBlockJson { start, end, kind: block.kind.into(), uid: block.uid }
        });
        Self {
            usable: report.usable,
            provider: report.provider.to_string(),
            name: report.name,
            events: EventCountsJson {
                in_text: report.events.in_text,
                read: report.events.read,
                blocking: report.events.blocking,
            },
            blocks: blocks.collect(),
            blocks_left_out: report.blocks_left_out,
            nights: report.nights.iter().map(ToString::to_string).collect(),
            warnings: report.warnings.into_iter().map(WarningJson::from).collect(),
            warnings_left_out: report.warnings_left_out,
            problem: report.problem.map(|problem| FeedProblem { kind: problem.kind, detail: problem.detail }),
        }
    }
}

/// A feed to be checked: its URL or its text.
#[derive(ToSchema)]
#[schema(as = FeedToCheck, example = json!({
    "url": "https://www.airbnb.com/calendar/ical/1.ics?s=…", "time_zone": "Europe/Madrid"
}))]
#[expect(dead_code, reason = "only its schema is used")]
struct FeedToCheckSchema {
    url: Option<String>,
    /// The text of a calendar, in place of `url`.
    ics: Option<String>,
    /// Where the nights are counted; the feed's own hint or UTC when left out.
    time_zone: Option<String>,
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Invalid(fields) => Self::invalid_fields(fields),
            CheckError::AddressRefused { detail } => {
                Self::invalid_field("/url", detail.clone()).saying(detail).slug("address-refused")
            }
            CheckError::TooMany(refused) => refused.into(),
            CheckError::Busy => Self::unavailable(&error),
            CheckError::Store(error) => error.into(),
        }
    }
}

/// Where feeds are checked, which a token that may only read can do too.
pub(crate) const CHECK: &str = "/v1/feeds/check";

/// Reads a feed's URL.
///
/// # Errors
/// What is no URL of a feed; never quotes it.
pub(crate) fn feed_url(value: &Value) -> Result<FeedUrl, String> {
    let text = value.as_str().ok_or("must be a text")?;
    text.parse::<FeedUrl>().map_err(|error| format!("is refused: {error}"))
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; check)
}

/// Fetches and reads a feed without storing anything, and says what it would block and what is wrong with it.
#[utoipa::path(post, path = CHECK, tag = "feeds", operation_id = "check_feed",
    request_body = FeedToCheckSchema,
    responses((status = 200, description = "What it is, usable or not.", body = CheckJson)))]
async fn check(
    owner: Owner,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    let (has_url, has_ics) = (fields.has("url"), fields.has("ics"));
    let url = fields.nullable("url", feed_url);
    let ics = fields.nullable("ics", text(BODY_LIMIT));
    let time_zone = fields.nullable("time_zone", text(TEXT_MOST));
    if url.is_some() && ics.is_some() {
        fields.flaw("ics", "must be left out where url is given");
    } else if !has_url && !has_ics {
        fields.flaw("url", "is required; or send the text of a calendar as ics");
    }
    let source = fields.finish(|| match (url, ics) {
        (Some(url), None) => Some(CheckSource::Url(url)),
        (None, Some(ics)) => Some(CheckSource::Ics(Bytes::from(ics))),
        _ => None,
    })?;
    let report = api.desk.check_feed(owner.reach(), source, time_zone.as_deref()).await?;
    Ok(answer::plain(CheckJson::from(report)))
}

#[cfg(test)]
mod tests;
