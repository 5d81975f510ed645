//! Holds: removals that were seen but not yet believed.

use axum::{extract::State, response::Response};
use calmesh_app::{HoldError, HoldView};
use calmesh_calendar::{HoldId, PropertyId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{self, Instant},
    api::Api,
    body::MaybeJsonBody,
    caller::Owner,
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, Params, PathId, PreviewParams},
    routes::{Routes, routes},
    when::written_span,
    words::{CauseWord, HoldWord},
};

/// A removal that was seen but not yet believed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold, example = json!({
    "id": "hld_0k5w8v1x2y3z4a5b6c7d8e9f0g", "block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g",
    "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Airbnb, whole flat", "provider": "airbnb",
    "start": "2026-12-04", "end": "2026-12-05", "status": "open", "cause": "absent", "group": null,
    "nights": ["2026-12-04"], "more_nights": 0, "opened_at": "2026-11-01T09:30:00Z", "readings": 1,
    "earliest_release_at": "2026-11-01T10:00:00Z"
}))]
struct HoldJson {
    id: String,
    block_id: String,
    connection_id: String,
    /// The connection's name; null where it is gone.
    #[schema(required)]
    name: Option<String>,
    /// The connection's provider; null where it is gone.
    #[schema(required)]
    provider: Option<String>,
    /// When the stay is, or was as the hold ended: a night, or a local date-time; null where it is not known any more.
    #[schema(required)]
    start: Option<String>,
    /// As `start`; not included.
    #[schema(required)]
    end: Option<String>,
    status: HoldWord,
    cause: CauseWord,
    /// What vanished together shares one.
    #[schema(required)]
    group: Option<String>,
    /// The nights that it keeps, or kept, taken; the first 100.
    nights: Vec<String>,
    /// How many nights it has beside these.
    more_nights: u32,
    opened_at: Instant,
    /// Good readings in a row without it.
    readings: u32,
    /// When it may be believed, if every reading goes on missing it.
    earliest_release_at: Instant,
}

impl From<HoldView> for HoldJson {
    fn from(view: HoldView) -> Self {
        let (name, provider) = view.site.map(|site| (site.name, site.provider.to_string())).unzip();
        let (start, end) = view.span.map(written_span).unzip();
        Self {
            name,
            provider,
            start,
            end,
            id: view.hold.id.to_string(),
            block_id: view.block.to_string(),
            connection_id: view.connection.to_string(),
            status: view.status.into(),
            cause: view.hold.cause.into(),
            group: view.hold.group.map(|group| group.to_string()),
            nights: view.nights.nights.iter().map(ToString::to_string).collect(),
            more_nights: view.nights.more,
            opened_at: view.hold.opened_at.into(),
            readings: view.hold.readings,
            earliest_release_at: view.hold.earliest_release_at.into(),
        }
    }
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct GroupParams {
    /// `true`: all that vanished together with it.
    #[param(default = false)]
    group: Option<bool>,
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::NotFound => Self::not_found("hold or property"),
            HoldError::Ended(status) => Self::conflict(
                "This hold has ended already: what it held is gone, or its feed shows it again. Nothing is left to decide.",
            )
            .slug("hold-ended")
            .with("hold_status", serde_json::to_value(HoldWord::from(status)).unwrap_or_default()),
            HoldError::Store(error) => error.into(),
        }
    }
}

or_opens!(HoldOrOpens, HoldJson);

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, release, keep)
}

/// The holds of a property: open and kept ones, then those that ended in the last 90 days.
#[utoipa::path(get, path = "/v1/properties/{id}/holds", tag = "holds", operation_id = "list_holds",
    params(("id" = String, Path, description = "`prp_…`"), ListParams),
    responses((status = 200, description = "One page.", body = ListPage<HoldJson>)))]
async fn list(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let page = api.desk.list_holds(owner.reach(), &property, listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, HoldJson::from)))
}

/// It is really gone: its nights are free at once. With `preview`, says which nights that would open.
#[utoipa::path(post, path = "/v1/holds/{id}/release", tag = "holds", operation_id = "release_hold",
    params(("id" = String, Path, description = "`hld_…`"), PreviewParams, GroupParams),
    responses((status = 200, description = "The hold, released; or what a preview says.", body = HoldOrOpens)))]
async fn release(
    owner: Owner,
    PathId(id): PathId<HoldId>,
    mut params: Params,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    let (group, preview) = (params.flag("group"), params.flag("preview"));
    params.finish(|| Some(()))?;
    fields.finish(|| Some(()))?;
    if preview {
        return Ok(Opens::answer(&api.desk.preview_release(owner.reach(), &id, group).await?));
    }
    let view = api.desk.release_hold(owner.reach(), &id, group).await?;
    Ok(answer::plain(HoldJson::from(view)))
}

/// It stands: it blocks until the feed shows it again, it is released or it departs.
#[utoipa::path(post, path = "/v1/holds/{id}/keep", tag = "holds", operation_id = "keep_hold",
    params(("id" = String, Path, description = "`hld_…`"), GroupParams),
    responses((status = 200, description = "The hold, kept.", body = HoldJson)))]
async fn keep(
    owner: Owner,
    PathId(id): PathId<HoldId>,
    mut params: Params,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    let group = params.flag("group");
    params.finish(|| Some(()))?;
    fields.finish(|| Some(()))?;
    let view = api.desk.keep_hold(owner.reach(), &id, group).await?;
    Ok(answer::plain(HoldJson::from(view)))
}

#[cfg(test)]
mod tests;
