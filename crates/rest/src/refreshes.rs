//! Manual refreshes: asked for, and what became of them.

use axum::{extract::State, response::Response};
use calmesh_app::{
    RefreshError, RefreshView,
    model::{Outcome, RefreshOutcome},
    ports::Page,
};
use calmesh_calendar::{ConnectionId, PropertyId, RefreshId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer,
    api::Api,
    body::MaybeJsonBody,
    caller::Owner,
    problem::Problem,
    query::{ListPage, ListParams, Listing, NoParams, PathId},
    routes::{Routes, routes},
};

/// A refresh that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "rfr_0k5w8v1x2y3z4a5b6c7d8e9f0g"}))]
struct Asked {
    /// Ask `GET /v1/refreshes/{id}` what became of it.
    id: String,
}

/// Where a refresh stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refresh, example = json!({
    "id": "rfr_0k5w8v1x2y3z4a5b6c7d8e9f0g", "status": "done",
    "connections": [{"connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "outcome": "changed", "reason": null,
        "blocks_added": 1, "blocks_removed": 0, "blocks_held": 0}],
    "next_cursor": null
}))]
struct RefreshJson {
    id: String,
    status: RefreshStatus,
    /// In order of id.
    connections: Vec<OutcomeJson>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// `done` only when blocks and exports stand.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RefreshStatus {
    Running,
    Done,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefreshOutcome)]
struct OutcomeJson {
    connection_id: String,
    outcome: OutcomeWord,
    /// Of a failure: its word, `gave_up` for one that took over 10 minutes, `paused` for a connection that was paused
    /// or deleted meanwhile.
    #[schema(required)]
    reason: Option<String>,
    blocks_added: u32,
    blocks_removed: u32,
    blocks_held: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeWord {
    Pending,
    Unchanged,
    Changed,
    /// Something is missing from the feed and waits to be believed; it still blocks.
    Held,
    Failed,
}

impl From<RefreshOutcome> for OutcomeJson {
    fn from(one: RefreshOutcome) -> Self {
        let (outcome, reason, blocks_added, blocks_removed, blocks_held) = match one.outcome {
            Outcome::Pending => (OutcomeWord::Pending, None, 0, 0, 0),
            Outcome::Unchanged { blocks_held: 0 } => (OutcomeWord::Unchanged, None, 0, 0, 0),
            Outcome::Unchanged { blocks_held } => (OutcomeWord::Held, None, 0, 0, blocks_held),
            Outcome::Changed { blocks_added, blocks_removed, blocks_held } => {
                (OutcomeWord::Changed, None, blocks_added, blocks_removed, blocks_held)
            }
            Outcome::Failed { reason } => (OutcomeWord::Failed, Some(reason), 0, 0, 0),
        };
        Self { connection_id: one.connection.to_string(), outcome, reason, blocks_added, blocks_removed, blocks_held }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::NotFound => Self::not_found("refresh, connection or property"),
            RefreshError::Limited => Self::wrong_key(
                "This token sees some properties only. Refresh these one by one, or use a token for the whole account.",
            ),
            RefreshError::Paused => {
                Self::conflict("The connection is paused. Resume it, which refreshes it at once.").slug("paused")
            }
            RefreshError::ExportOnly => Self::conflict(
                "The connection only exports and has no feed to read. Give it a URL and another direction first.",
            )
            .slug("export-only"),
            RefreshError::TooMany(refused) => refused.into(),
            RefreshError::Bus(error) => Self::unavailable(&error),
            RefreshError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; of_connection, of_property, of_account, show)
}

fn asked(id: &RefreshId) -> Response {
    answer::accepted(&format!("/v1/refreshes/{id}"), Asked { id: id.to_string() })
}

/// Refreshes one connection now.
#[utoipa::path(post, path = "/v1/connections/{id}/refresh", tag = "refreshes", operation_id = "refresh_connection",
    params(("id" = String, Path, description = "`con_…`")),
    responses((status = 202, description = "Under way.", body = Asked,
        headers(("Location" = String, description = "Where to ask what became of it.")))))]
async fn of_connection(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    _: NoParams,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    fields.finish(|| Some(()))?;
    Ok(asked(&api.desk.request_connection_refresh(owner.reach(), &id).await?))
}

/// Refreshes all active importing connections of a property now.
#[utoipa::path(post, path = "/v1/properties/{id}/refresh", tag = "refreshes", operation_id = "refresh_property",
    params(("id" = String, Path, description = "`prp_…`")),
    responses((status = 202, description = "Under way.", body = Asked,
        headers(("Location" = String, description = "Where to ask what became of it.")))))]
async fn of_property(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    _: NoParams,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    fields.finish(|| Some(()))?;
    Ok(asked(&api.desk.request_property_refresh(owner.reach(), &id).await?))
}

/// Refreshes all active importing connections of the account now.
#[utoipa::path(post, path = "/v1/refresh", tag = "refreshes", operation_id = "refresh_account",
    responses((status = 202, description = "Under way.", body = Asked,
        headers(("Location" = String, description = "Where to ask what became of it.")))))]
async fn of_account(
    owner: Owner,
    _: NoParams,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    fields.finish(|| Some(()))?;
    Ok(asked(&api.desk.request_account_refresh(owner.reach()).await?))
}

/// What became of a refresh. What takes over 10 minutes has failed with `gave_up`.
#[utoipa::path(get, path = "/v1/refreshes/{id}", tag = "refreshes", operation_id = "get_refresh",
    params(("id" = String, Path, description = "`rfr_…`"), ListParams),
    responses((status = 200, description = "Where it stands, and one page of its connections.", body = RefreshJson)))]
async fn show(
    owner: Owner,
    PathId(id): PathId<RefreshId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let RefreshView { id, done, outcomes, next } =
        api.desk.refresh_status(owner.reach(), &id, listing.page.clone()).await?;
    let ListPage { items, next_cursor } = listing.answer(Page { items: outcomes, next }, OutcomeJson::from);
    Ok(answer::plain(RefreshJson {
        id: id.to_string(),
        status: if done { RefreshStatus::Done } else { RefreshStatus::Running },
        connections: items,
        next_cursor,
    }))
}

#[cfg(test)]
mod tests;
