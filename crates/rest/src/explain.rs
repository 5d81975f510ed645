//! Why a night is taken or free.

use axum::{extract::State, response::Response};
use calmesh_app::{CarriedBy, ClaimView, ExplainError, Explanation, NotKnown};
use calmesh_calendar::PropertyId;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{self, Instant},
    api::Api,
    blocks::Source,
    body::instant,
    caller::Owner,
    problem::{FieldProblem, Problem},
    query::{Params, PathId},
    routes::{Routes, routes},
    when::night,
    words::{KindWord, StateWord},
};

/// So many claims on one night are told at most.
pub(crate) const CLAIMS_MOST: usize = 200;
/// And so many links that show it.
pub(crate) const LINKS_NAMED: usize = 50;

/// All that is known of one night.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation, example = json!({
    "night": "2026-12-04", "available": false, "past": false, "as_of": "2026-11-01T09:30:00Z",
    "claims": [{
        "block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "kind": "reservation",
        "source": {"type": "connection", "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Airbnb, whole flat",
            "provider": "airbnb"},
        "state": "standing", "event": {"uid": "1418fb94e984-6a0c@airbnb.com", "lines": [12, 20]}, "turnover": false,
        "rules": ["reservation by its code", "a reservation by its own text"], "since": "2026-11-01T09:30:00Z",
        "asked_since": null, "carried_by": ["con_1k5w8v1x2y3z4a5b6c7d8e9f0g", "lnk_0k5w8v1x2y3z4a5b6c7d8e9f0g"]
    }],
    "claims_left_out": 0, "not_known": []
}))]
struct ExplanationJson {
    night: String,
    available: bool,
    /// The night was over at that instant, on the property's clock.
    past: bool,
    /// The instant that was asked about: now, if none was.
    as_of: Instant,
    /// The first 200.
    claims: Vec<ClaimJson>,
    /// How many more there are.
    claims_left_out: usize,
    /// What is not known any more of a past instant: a connection (`con_…`) whose feed of then is not kept, so that `lines`
    /// are null; an extra link (`lnk_…`) that was edited since, so that it may be missing in `carried_by`.
    not_known: Vec<String>,
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
    /// Whose private links show it on this night: connections (`con_…`), and extra links (`lnk_…`) of which your token sees
    /// every property; the first 50 of them.
    carried_by: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimEvent)]
struct EventJson {
    uid: String,
    /// Its first and last line in the feed as it was last read by then; null where it is not in there any more.
    #[schema(required)]
    lines: Option<[u32; 2]>,
}

impl From<ClaimView> for ClaimJson {
    fn from(view: ClaimView) -> Self {
        let ClaimView { claim, kind, source, lines, carried_by } = view;
        Self {
            block_id: claim.block.to_string(),
            kind: kind.into(),
            source: source.into(),
            state: claim.state.into(),
            event: claim.key.map(|key| EventJson { uid: key.uid, lines: lines.map(|lines| [lines.first, lines.last]) }),
            turnover: claim.turnover,
            rules: claim.rules,
            since: claim.since.into(),
            asked_since: claim.asked_since.map(Instant),
            carried_by: carried_by.iter().take(LINKS_NAMED).map(id_of).collect(),
        }
    }
}

fn id_of(link: &CarriedBy) -> String {
    match link {
        CarriedBy::Connection(id) => id.to_string(),
        CarriedBy::Link(id) => id.to_string(),
    }
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct NightParams {
    /// The night, `YYYY-MM-DD`.
    night: String,
    /// A past instant, RFC 3339, up to 30 days back: what was known then and what followed from it. Left out: now.
    as_of: Option<String>,
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NotFound => Self::not_found("property"),
            ExplainError::Future => {
                not_told("lies in the future; ask for an instant that is over, or leave it out for now")
            }
            ExplainError::TooLongAgo => {
                not_told("lies more than 30 days back, and what stood then is not kept any more")
            }
            ExplainError::BeforeItWasMade => {
                not_told("lies before the property was made; ask for an instant after its created_at")
            }
            ExplainError::NotKept => {
                not_told("lies before this service began to keep what changes replace; ask for a later instant")
            }
            ExplainError::Object(error) => Self::unavailable(&error),
            ExplainError::Store(error) => error.into(),
        }
    }
}

/// 422: nothing can be told of that instant.
fn not_told(why: &str) -> Problem {
    Problem::invalid(vec![FieldProblem::query("as_of", why)])
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; explain)
}

/// Why a night is taken or free: every claim, its source, the feed's event, the rules that decided, since when, and which
/// private links carry it; also as of a past instant.
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
    let as_of = params.optional("as_of", |text| instant(&text.into()));
    let night = params.finish(|| night)?;
    let Explanation { night, available, past, as_of, claims, not_known } =
        api.desk.explain_night(owner.reach(), &property, night, as_of).await?;
    let id_of_unknown = |unknown: &NotKnown| match unknown {
        NotKnown::Feed(id) => id.to_string(),
        NotKnown::Link(id) => id.to_string(),
    };
    Ok(answer::plain(ExplanationJson {
        night: night.to_string(),
        available,
        past,
        as_of: as_of.into(),
        claims_left_out: claims.len().saturating_sub(CLAIMS_MOST),
        claims: claims.into_iter().take(CLAIMS_MOST).map(ClaimJson::from).collect(),
        not_known: not_known.iter().map(id_of_unknown).collect(),
    }))
}

#[cfg(test)]
mod tests;
