//! What is taken in a property, night by night, and whether a span may be sold.

use axum::{extract::State, response::Response};
use calmesh_app::AvailabilityError;
use calmesh_calendar::PropertyId;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{self, Instant},
    api::Api,
    blocks::texts,
    caller::Owner,
    problem::{FieldProblem, Problem},
    query::{Params, PathId},
    routes::{Routes, routes},
    when::{night, when, written_local},
};

/// So many intervals are listed at most.
pub(crate) const INTERVALS_MOST: usize = 2_000;

/// Nights and taken intervals between two dates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Availability, example = json!({
    "nights": [{"date": "2026-12-04", "available": false, "past": false, "blocks": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g"]}],
    "intervals": [{"start": "2026-12-04T15:00", "end": "2026-12-05T11:00", "blocks": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g"]}],
    "intervals_left_out": 0
}))]
struct AvailabilityJson {
    /// Every night from `from` to the one before `to`.
    nights: Vec<NightJson>,
    /// The taken intervals that reach into this time, whole, as local date-times; the first 2,000.
    intervals: Vec<IntervalJson>,
    /// How many more there are; the nights tell of them too. Ask for a shorter time.
    intervals_left_out: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NightAvailability)]
struct NightJson {
    date: String,
    /// Whether nothing takes it; one that is past is sold no more all the same.
    available: bool,
    /// It is before today, on the property's clock.
    past: bool,
    /// What takes it; the first 16.
    blocks: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TakenInterval)]
struct IntervalJson {
    /// Local date-time.
    start: String,
    /// Local date-time; not included.
    end: String,
    /// The first 16 that are taken in it.
    blocks: Vec<String>,
}

/// Whether a span may be sold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SaleCheck, example = json!({
    "available": false, "blocked_by": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g"], "valid_as_of": "2026-11-01T09:30:00Z"
}))]
struct SaleJson {
    available: bool,
    /// In order of time; the first 16.
    blocked_by: Vec<String>,
    /// Every calendar that is read was seen then or later; null while one of them was never read.
    #[schema(required)]
    valid_as_of: Option<Instant>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct RangeParams {
    /// The first night, `YYYY-MM-DD`.
    #[param(format = Date)]
    from: String,
    /// The night after the last one, at most 760 days after `from`.
    #[param(format = Date)]
    to: String,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct SpanParams {
    /// A night, or a local date-time.
    start: String,
    /// In the form of `start`; not included.
    end: String,
}

impl From<AvailabilityError> for Problem {
    fn from(error: AvailabilityError) -> Self {
        match error {
            AvailabilityError::NotFound => Self::not_found("property"),
            AvailabilityError::Invalid(fields) => {
                Self::invalid(fields.into_iter().map(|flaw| FieldProblem::query(&flaw.field, flaw.detail)).collect())
            }
            AvailabilityError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; show, check)
}

/// What is taken from one date to another.
#[utoipa::path(get, path = "/v1/properties/{id}/availability", tag = "availability", operation_id = "get_availability",
    params(("id" = String, Path, description = "`prp_…`"), RangeParams),
    responses((status = 200, description = "Every night, and the taken intervals.", body = AvailabilityJson)))]
async fn show(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    mut params: Params,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let from = params.required("from", night);
    let to = params.required("to", night);
    let (from, to) = params.finish(|| Some((from?, to?)))?;
    let found = api.desk.availability(owner.reach(), &property, from, to).await?;
    let nights = found.nights.iter().map(|night| NightJson {
        date: night.date.to_string(),
        available: night.blocks.is_empty(),
        past: night.date < found.today,
        blocks: texts(&night.blocks),
    });
    let intervals_left_out = found.intervals.len().saturating_sub(INTERVALS_MOST);
    let intervals = found.intervals.iter().take(INTERVALS_MOST).map(|interval| IntervalJson {
        start: written_local(interval.start),
        end: written_local(interval.end),
        blocks: texts(&interval.blocks),
    });
    Ok(answer::plain(AvailabilityJson { nights: nights.collect(), intervals: intervals.collect(), intervals_left_out }))
}

/// Whether this extra night or late check-out may be sold.
#[utoipa::path(get, path = "/v1/properties/{id}/availability/check", tag = "availability",
    operation_id = "check_availability", params(("id" = String, Path, description = "`prp_…`"), SpanParams),
    responses((status = 200, description = "Whether it may be sold, and what is in the way.", body = SaleJson)))]
async fn check(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    mut params: Params,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let start = params.required("start", when);
    let end = params.required("end", when);
    let (start, end) = params.finish(|| Some((start?, end?)))?;
    let found = api.desk.check_sale(owner.reach(), &property, start, end).await?;
    Ok(answer::plain(SaleJson {
        available: found.blocked_by.is_empty(),
        blocked_by: texts(&found.blocked_by),
        valid_as_of: found.valid_as_of.map(Instant),
    }))
}

#[cfg(test)]
mod tests;
