//! Why a night is taken or free.

use axum::{extract::State, response::Response};
use calmesh_app::{BlockSource, ClaimView, ExplainError, Explanation};
use calmesh_calendar::PropertyId;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    answer::{self, Instant},
    blocks::Source,
    caller::Owner,
    problem::Problem,
    query::{Params, PathId},
    routes::{Routes, routes},
    when::night,
    words::{KindWord, StateWord},
};

/// All that is known of one night.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation, example = json!({
    "night": "2026-12-04", "available": false, "as_of": "2026-11-01T09:30:00Z",
    "claims": [{
        "block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "kind": "reservation",
        "source": {"type": "connection", "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "provider": "airbnb"},
        "state": "standing", "event": {"uid": "1418fb94e984-6a0c@airbnb.com", "lines": [12, 20]}, "turnover": false,
        "rules": ["reservation by its code", "a reservation by its own text"], "since": "2026-11-01T09:30:00Z",
        "asked_since": null, "carried_by": ["con_1k5w8v1x2y3z4a5b6c7d8e9f0g"]
    }]
}))]
struct ExplanationJson {
    night: String,
    available: bool,
    as_of: Instant,
    claims: Vec<ClaimJson>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Claim)]
struct ClaimJson {
    block_id: String,
    kind: KindWord,
    source: Source,
    /// What the claim is on this night.
    state: StateWord,
    /// The feed's event; null for your own blocks, and where the feed gives no UID.
    #[schema(required)]
    event: Option<EventJson>,
    /// The nights that follow a stay, kept free to turn the home over.
    turnover: bool,
    /// What decided, in the order in which it did.
    rules: Vec<String>,
    /// Since when the last of these rules holds.
    since: Instant,
    /// Since when its site is asked: the night is left out of its link to see whether the claim stands by itself.
    #[schema(required)]
    asked_since: Option<Instant>,
    /// The connections whose private links show it on this night. Extra links show all that is taken.
    carried_by: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimEvent)]
struct EventJson {
    uid: String,
    /// Its first and last line in the feed as it was last read; null where it is not in there any more.
    #[schema(required)]
    lines: Option<[u32; 2]>,
}

impl From<ClaimView> for ClaimJson {
    fn from(view: ClaimView) -> Self {
        let ClaimView { claim, kind, source, lines } = view;
        Self {
            block_id: claim.block.to_string(),
            kind: kind.into(),
            source: match source {
                BlockSource::Own => Source::Own,
                BlockSource::Connection { connection, provider } => {
                    Source::Connection { connection_id: connection.to_string(), provider }
                }
            },
            state: claim.state.into(),
            event: claim.key.map(|key| EventJson { uid: key.uid, lines: lines.map(|lines| [lines.first, lines.last]) }),
            turnover: claim.turnover,
            rules: claim.rules,
            since: claim.since.into(),
            asked_since: claim.asked_since.map(Instant),
            carried_by: claim.carried_by.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct NightParams {
    /// The night, `YYYY-MM-DD`.
    night: String,
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NotFound => Self::not_found("property"),
            ExplainError::Object(error) => Self::unavailable(&error),
            ExplainError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn routes() -> Routes {
    routes!(explain)
}

/// Why a night is taken or free: every claim, its source, the feed's event, the rules that decided, since when, and which
/// private links carry it.
#[utoipa::path(get, path = "/v1/properties/{id}/explain", tag = "availability", operation_id = "explain_night",
    params(("id" = String, Path, description = "`prp_…`"), NightParams),
    responses((status = 200, description = "Every claim on the night.", body = ExplanationJson)))]
async fn explain(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    mut params: Params,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let night = params.required("night", night);
    let night = params.finish(|| night)?;
    let Explanation { night, available, as_of, claims } =
        api.app.explain_night(owner.reach(), &property, night).await?;
    Ok(answer::plain(ExplanationJson {
        night: night.to_string(),
        available,
        as_of: as_of.into(),
        claims: claims.into_iter().map(ClaimJson::from).collect(),
    }))
}

#[cfg(test)]
mod tests;
