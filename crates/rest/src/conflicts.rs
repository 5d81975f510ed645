//! Conflicts: the same time claimed by two stays that both stand.

use axum::{extract::State, response::Response};
use calmesh_app::{ConflictError, ConflictView};
use calmesh_calendar::{BlockId, ConflictId, PropertyId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Api,
    answer::{self, Instant},
    blocks::texts,
    body::{JsonBody, id},
    caller::Owner,
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    words::ConflictWord,
};

/// Two stays that can't both be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conflict, example = json!({
    "id": "cfl_0k5w8v1x2y3z4a5b6c7d8e9f0g", "property_id": "prp_0k5w8v1x2y3z4a5b6c7d8e9f0g", "status": "open",
    "blocks": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "blk_1k5w8v1x2y3z4a5b6c7d8e9f0g"], "nights": ["2026-12-04"],
    "first": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "gone": null, "arrives_at": "2026-12-04T14:00:00Z",
    "opened_at": "2026-11-01T09:30:00Z", "closed_at": null
}))]
struct ConflictJson {
    id: String,
    property_id: String,
    status: ConflictWord,
    /// The two stays.
    blocks: Vec<String>,
    /// The nights that both claim; none where only hours of a day clash, as a late check-out and an arrival do.
    nights: Vec<String>,
    /// Which of the two was seen first.
    first: String,
    /// Which of the two no longer stands, by your word.
    #[schema(required)]
    gone: Option<String>,
    /// When the first of the two guests arrives: the deadline.
    arrives_at: Instant,
    opened_at: Instant,
    #[schema(required)]
    closed_at: Option<Instant>,
}

impl From<ConflictView> for ConflictJson {
    fn from(view: ConflictView) -> Self {
        let ConflictView { property, conflict, status, closed_at } = view;
        Self {
            id: conflict.id.to_string(),
            property_id: property.to_string(),
            status: status.into(),
            blocks: texts(&conflict.blocks),
            nights: conflict.nights.iter().map(ToString::to_string).collect(),
            first: conflict.first.to_string(),
            gone: conflict.gone.map(|gone| gone.to_string()),
            arrives_at: conflict.arrives_at.into(),
            opened_at: conflict.opened_at.into(),
            closed_at: closed_at.map(Instant),
        }
    }
}

/// Which of the two stays is gone.
#[derive(ToSchema)]
#[schema(as = ConflictResolution, example = json!({"gone": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g"}))]
#[expect(dead_code, reason = "only its schema is used")]
struct ResolutionSchema {
    gone: String,
}

impl From<ConflictError> for Problem {
    fn from(error: ConflictError) -> Self {
        match error {
            ConflictError::NotFound => Self::not_found("conflict or property"),
            ConflictError::Closed => Self::conflict(
                "This conflict has closed already: one of its stays ended or moved. Nothing is left to decide.",
            )
            .sort("conflict-closed"),
            ConflictError::Invalid(fields) => Self::invalid_fields(fields),
            ConflictError::Store(error) => error.into(),
        }
    }
}

or_opens!(ConflictOrOpens, ConflictJson);

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, list_all, resolve)
}

/// The conflicts of a property: those that stand, and those that closed in the last 90 days; the newest first.
#[utoipa::path(get, path = "/v1/properties/{id}/conflicts", tag = "conflicts", operation_id = "list_conflicts",
    params(("id" = String, Path, description = "`prp_…`"), ListParams),
    responses((status = 200, description = "One page.", body = ListPage<ConflictJson>)))]
async fn list(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let page = api.app.list_conflicts(owner.reach(), &property, listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, ConflictJson::from)))
}

/// The conflicts of all properties, those of one property together. A page may hold fewer than its limit.
#[utoipa::path(get, path = "/v1/conflicts", tag = "conflicts", operation_id = "list_all_conflicts",
    params(ListParams), responses((status = 200, description = "One page.", body = ListPage<ConflictJson>)))]
async fn list_all(owner: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let page = api.app.list_all_conflicts(owner.reach(), listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, ConflictJson::from)))
}

/// Says which of the two stays is gone. Where it may have been an echo of ours, its site is asked; a reservation of that
/// site's own goes when its feed lets it go. With `preview`, says which nights that would open at once.
#[utoipa::path(post, path = "/v1/conflicts/{id}/resolve", tag = "conflicts", operation_id = "resolve_conflict",
    params(("id" = String, Path, description = "`cfl_…`"), PreviewParams), request_body = ResolutionSchema,
    responses((status = 200, description = "The conflict, settled; or what a preview says.", body = ConflictOrOpens)))]
async fn resolve(
    owner: Owner,
    PathId(conflict): PathId<ConflictId>,
    Preview(preview): Preview,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    let gone = fields.required("gone", id::<BlockId>);
    let gone = fields.finish(|| gone)?;
    if preview {
        return Ok(Opens::answer(&api.app.preview_resolution(owner.reach(), &conflict, &gone).await?));
    }
    let view = api.app.resolve_conflict(owner.reach(), &conflict, &gone).await?;
    Ok(answer::plain(ConflictJson::from(view)))
}

#[cfg(test)]
mod tests;
