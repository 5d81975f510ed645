//! Conflicts: the same time claimed by stays that all stand.

use std::collections::BTreeSet;

use axum::{extract::State, response::Response};
use calmesh_app::{BlockSource, ConflictError, ConflictStay, ConflictView};
use calmesh_calendar::{BlockId, ConflictId, PropertyId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, Instant},
    api::Api,
    blocks::texts,
    body::{JsonBody, id},
    caller::Owner,
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    when::written_span,
    words::{ConflictWord, KindWord},
};

/// Stays that can't all be. It lasts for as long as two of them go on clashing from one night to the next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conflict, example = json!({
    "id": "cfl_0k5w8v1x2y3z4a5b6c7d8e9f0g", "property_id": "prp_0k5w8v1x2y3z4a5b6c7d8e9f0g",
    "property_name": "Harbour flat", "status": "open",
    "blocks": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "blk_1k5w8v1x2y3z4a5b6c7d8e9f0g"], "more": 0,
    "stays": [
        {"block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Airbnb, whole flat", "provider": "airbnb",
            "kind": "reservation", "start": "2026-12-04", "end": "2026-12-07", "gone": false},
        {"block_id": "blk_1k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Booking", "provider": "booking",
            "kind": "closure", "start": "2026-12-06", "end": "2026-12-09", "gone": false}
    ],
    "nights": ["2026-12-06"], "more_nights": 0,
    "first": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "gone": null, "arrives_at": "2026-12-04T14:00:00Z",
    "opened_at": "2026-11-01T09:30:00Z", "closed_at": null
}))]
struct ConflictJson {
    id: String,
    property_id: String,
    /// Null where the property is gone.
    #[schema(required)]
    property_name: Option<String>,
    status: ConflictWord,
    /// The stays that clash: two, and up to 16 where more do; what you said to be gone among them.
    blocks: Vec<String>,
    /// How many more clash, and are not named.
    more: u32,
    /// The same stays by their names, as they are now.
    stays: Vec<ConflictStayJson>,
    /// The nights that at least two of them claim; none where only hours of a day clash, as a late check-out and an
    /// arrival do; the first 100.
    nights: Vec<String>,
    /// How many nights it has beside these.
    more_nights: u32,
    /// Which of all was seen first.
    first: String,
    /// Which no longer stands, by your word; the first of several, `stays` marks all of them.
    #[schema(required)]
    gone: Option<String>,
    /// When the first of the guests arrives: the deadline.
    arrives_at: Instant,
    opened_at: Instant,
    #[schema(required)]
    closed_at: Option<Instant>,
}

/// A stay of a conflict. What you said to be gone stays listed. What is null beside a `gone` or ended stay is not known any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictStay)]
struct ConflictStayJson {
    block_id: String,
    /// The connection's name; null for a block of your own.
    #[schema(required)]
    name: Option<String>,
    /// The connection's provider; null for a block of your own.
    #[schema(required)]
    provider: Option<String>,
    /// Null where the stay is not known any more.
    #[schema(required)]
    kind: Option<KindWord>,
    /// A night, or a local date-time; null where the stay is not known any more.
    #[schema(required)]
    start: Option<String>,
    /// As `start`; not included.
    #[schema(required)]
    end: Option<String>,
    /// It no longer stands, by your word.
    gone: bool,
}

impl ConflictStayJson {
    fn of(stay: ConflictStay, gone: &BTreeSet<BlockId>) -> Self {
        let ConflictStay { block, known } = stay;
        let (gone, block_id) = (gone.contains(&block), block.to_string());
        let Some(known) = known else {
            return Self { block_id, name: None, provider: None, kind: None, start: None, end: None, gone };
        };
        let (start, end) = written_span(known.span);
        let provider = match known.source {
            BlockSource::Own => None,
            BlockSource::Connection { provider, .. } => provider.map(|provider| provider.to_string()),
        };
        let kind = Some(known.kind.into());
        Self { block_id, name: known.site, provider, kind, start: Some(start), end: Some(end), gone }
    }
}

impl From<ConflictView> for ConflictJson {
    fn from(view: ConflictView) -> Self {
        let ConflictView { property, property_name, conflict, status, closed_at, nights, stays } = view;
        Self {
            id: conflict.id.to_string(),
            property_id: property.to_string(),
            property_name,
            status: status.into(),
            blocks: texts(&conflict.blocks),
            more: conflict.more,
            stays: stays.into_iter().map(|stay| ConflictStayJson::of(stay, &conflict.gone)).collect(),
            nights: nights.nights.iter().map(ToString::to_string).collect(),
            more_nights: nights.more,
            first: conflict.first.to_string(),
            gone: conflict.gone.first().map(ToString::to_string),
            arrives_at: conflict.arrives_at.into(),
            opened_at: conflict.opened_at.into(),
            closed_at: closed_at.map(Instant),
        }
    }
}

/// Which of the stays is gone.
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
            ConflictError::Closed { by_host: true } => Self::conflict(
                "This conflict has closed already: you said which of its stays is gone, and what is left of it does not clash. \
                 Nothing is left to decide.",
            )
            .slug("conflict-closed"),
            ConflictError::Closed { by_host: false } => Self::conflict(
                "This conflict has closed already: its stays ended, moved, or turned out to repeat one another. Nothing is \
                 left to decide.",
            )
            .slug("conflict-closed"),
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
    let page = api.desk.list_conflicts(owner.reach(), &property, listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, ConflictJson::from)))
}

/// The conflicts of all properties, those of one property together. A page may hold fewer than its limit.
#[utoipa::path(get, path = "/v1/conflicts", tag = "conflicts", operation_id = "list_all_conflicts",
    params(ListParams), responses((status = 200, description = "One page.", body = ListPage<ConflictJson>)))]
async fn list_all(owner: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let page = api.desk.list_all_conflicts(owner.reach(), listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, ConflictJson::from)))
}

/// Says which of the named stays is gone; of more than two, one at a time, until no two are left that clash. Where it may
/// have been an echo of ours, its site is asked; a reservation of that site's own goes when its feed lets it go. With `preview`, says which nights that would open at once.
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
        return Ok(Opens::answer(&api.desk.preview_resolution(owner.reach(), &conflict, &gone).await?));
    }
    let view = api.desk.resolve_conflict(owner.reach(), &conflict, &gone).await?;
    Ok(answer::plain(ConflictJson::from(view)))
}

#[cfg(test)]
mod tests;
