//! What happened to a property: what refreshes changed, failures, pauses, rotations, holds, the host's own changes.

use axum::{extract::State, response::Response};
use calmesh_app::{
    counted,
    model::{Activity, ActivityKind},
};
use calmesh_calendar::{Finding, HoldId, Nights, PropertyId, Standing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Api,
    answer::{self, Instant},
    blocks::texts,
    caller::Owner,
    problem::Problem,
    query::{ListPage, ListParams, Listing, PathId},
    routes::{Routes, routes},
};

/// An entry shows so many nights at most.
const NIGHTS_SHOWN: usize = 400;

/// One thing that happened. Fields that its type does not have are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity, example = json!({
    "at": "2026-11-21T10:00:00Z", "type": "feed_changed", "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g",
    "detail": "A refresh brought 2 new blocks, changed 0, removed 1; 0 removals wait.",
    "blocks_added": 2, "blocks_changed": 0, "blocks_removed": 1, "blocks_held": 0
}))]
pub(crate) struct ActivityView {
    at: Instant,
    /// What kind of thing it was, such as `feed_changed`, `feed_failed`, `hold_opened`. More may be added.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The connection that it is about; null where it is about none.
    #[schema(required)]
    connection_id: Option<String>,
    /// The same in a sentence.
    detail: String,
    /// The connection's name as it was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<String>,
    /// A failure's word, such as `link_gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_added: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_changed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_removed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_held: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict_id: Option<String>,
    /// The two stays of a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_ids: Option<Vec<String>>,
    /// When the first of the two guests arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrives_at: Option<Instant>,
    /// How many nights it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    nights: Option<u32>,
    /// The first 400 of these nights, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_nights: Option<Vec<String>>,
}

impl ActivityView {
    fn of(activity: Activity) -> Self {
        let Activity { at, connection, kind, .. } = activity;
        let blank = || Self {
            at: at.into(),
            kind: "",
            connection_id: connection.as_ref().map(ToString::to_string),
            detail: String::new(),
            name: None,
            block_id: None,
            hold_id: None,
            reason: None,
            blocks_added: None,
            blocks_changed: None,
            blocks_removed: None,
            blocks_held: None,
            conflict_id: None,
            block_ids: None,
            arrives_at: None,
            nights: None,
            first_nights: None,
        };
        let about = |kind, detail: &str| Self { kind, detail: detail.to_owned(), ..blank() };
        let named = |kind, what: &str, name: String| Self {
            kind,
            detail: format!("The connection \"{name}\" was {what}."),
            name: Some(name),
            ..blank()
        };
        let hold = |kind, detail: &str, hold: calmesh_calendar::HoldId, block: calmesh_calendar::BlockId| Self {
            kind,
            detail: detail.to_owned(),
            hold_id: Some(hold.to_string()),
            block_id: Some(block.to_string()),
            ..blank()
        };
        let own = |kind, what: &str, block: calmesh_calendar::BlockId| Self {
            kind,
            detail: format!("A block of yours was {what}."),
            block_id: Some(block.to_string()),
            ..blank()
        };
        match kind {
            ActivityKind::PropertyCreated => about("property_created", "The property was made."),
            ActivityKind::PropertyChanged => about("property_changed", "The property's settings were changed."),
            ActivityKind::ConnectionCreated { name } => named("connection_created", "made", name),
            ActivityKind::ConnectionChanged { name } => named("connection_changed", "changed", name),
            ActivityKind::ConnectionDeleted { name } => named("connection_deleted", "deleted", name),
            ActivityKind::ConnectionPaused { name } => named("connection_paused", "paused", name),
            ActivityKind::ConnectionResumed { name } => named("connection_resumed", "resumed", name),
            ActivityKind::LinkRotated { name } => named("link_rotated", "given a new private link", name),
            ActivityKind::FeedChanged { added, changed, removed, held } => Self {
                kind: "feed_changed",
                detail: format!(
                    "A refresh brought {}, changed {changed}, removed {removed}; {} {}.",
                    counted(added, "new block"),
                    counted(held, "removal"),
                    if held == 1 { "waits" } else { "wait" },
                ),
                blocks_added: Some(added),
                blocks_changed: Some(changed),
                blocks_removed: Some(removed),
                blocks_held: Some(held),
                ..blank()
            },
            ActivityKind::FeedFailed { failure, detail } => {
                Self { kind: "feed_failed", detail, reason: Some(failure.as_str()), ..blank() }
            }
            ActivityKind::FeedRecovered => about("feed_recovered", "The feed can be read again."),
            ActivityKind::HoldOpened { hold: id, block } => hold(
                "hold_opened",
                "A stay is missing from its feed; it still blocks until that is believed.",
                id,
                block,
            ),
            ActivityKind::MassVanished { hold, stays, nights, first_nights } => Self {
                kind: "mass_vanish",
                detail: mass_vanish(&hold, stays, nights),
                hold_id: Some(hold.to_string()),
                blocks_held: Some(stays),
                nights: Some(nights),
                first_nights: Some(first_nights.iter().map(ToString::to_string).collect()),
                ..blank()
            },
            ActivityKind::HoldReleased { hold: id, block } => {
                hold("hold_released", "You said that a missing stay is really gone.", id, block)
            }
            ActivityKind::HoldKept { hold: id, block } => {
                hold("hold_kept", "You said that a missing stay still stands.", id, block)
            }
            ActivityKind::HoldConfirmed { hold: id, block } => {
                hold("hold_confirmed", "A stay was missing for long enough; its nights are free.", id, block)
            }
            ActivityKind::HoldReturned { hold: id, block } => {
                hold("hold_returned", "A missing stay is in its feed again.", id, block)
            }
            ActivityKind::ClaimsDecided { finding, nights } => {
                let (kind, detail) = told(finding);
                let nights: Vec<String> =
                    nights.into_iter().flat_map(Nights::iter).map(|night| night.to_string()).collect();
                Self {
                    kind,
                    detail,
                    nights: Some(u32::try_from(nights.len()).unwrap_or(u32::MAX)),
                    first_nights: Some(nights.into_iter().take(NIGHTS_SHOWN).collect()),
                    ..blank()
                }
            }
            ActivityKind::ConflictOpened { conflict, blocks, first, arrives_at, nights } => Self {
                kind: "conflict_opened",
                detail: format!(
                    "Two stays claim the same time. {first} was seen first. Cancel one on its site before the first guest \
                     arrives; if one is gone already, say so with POST /v1/conflicts/{conflict}/resolve."
                ),
                conflict_id: Some(conflict.to_string()),
                block_ids: Some(texts(&blocks)),
                arrives_at: Some(arrives_at.into()),
                first_nights: Some(nights.iter().map(ToString::to_string).collect()),
                ..blank()
            },
            ActivityKind::ConflictResolved { conflict, gone } => Self {
                kind: "conflict_resolved",
                detail: "You said which stay of a conflict is gone.".to_owned(),
                conflict_id: Some(conflict.to_string()),
                block_id: Some(gone.to_string()),
                ..blank()
            },
            ActivityKind::ConflictClosed { conflict, blocks } => Self {
                kind: "conflict_closed",
                detail: "A conflict is over: the two stays do not claim the same time any more.".to_owned(),
                conflict_id: Some(conflict.to_string()),
                block_ids: Some(texts(&blocks)),
                ..blank()
            },
            ActivityKind::BlockCreated { block } => own("block_created", "made", block),
            ActivityKind::BlockChanged { block } => own("block_changed", "changed", block),
            ActivityKind::BlockDeleted { block } => own("block_deleted", "deleted", block),
            ActivityKind::ExtensionOrphaned { block, stay } => Self {
                kind: "extension_orphaned",
                detail: format!("The stay {stay} that a block of yours extends has gone; the block stays."),
                block_id: Some(block.to_string()),
                ..blank()
            },
        }
    }
}

/// The word for a finding, and a sentence.
fn told(finding: Finding) -> (&'static str, String) {
    let (kind, detail) = match finding {
        Finding::Judged(standing, rule) => {
            let what = match standing {
                Standing::Echo => "These nights are what this site read from us, and do not block",
                Standing::Possible => "These nights may be what this site read from us; they block until it was asked",
                Standing::Certain => "This site holds these nights by itself",
            };
            return ("nights_judged", format!("{what}: {}.", rule.as_str()));
        }
        Finding::Asked => (
            "nights_asked",
            "These nights are left out of this site's private link for a while, to see whether it holds them by itself.",
        ),
        Finding::Clean => ("nights_clean", "Asked, this site shows these nights no more: it only repeated them."),
        Finding::EchoEnded => ("echo_ended", "This site no longer repeats these nights."),
        Finding::TakenBack => {
            ("nights_not_asked", "This site's feed can't be read, so these nights are on its link again for now.")
        }
        Finding::SeemsNotToRead => {
            ("link_not_read", "This site seems not to read its private link. Check that the link is still set there.")
        }
    };
    (kind, detail.to_owned())
}

/// What vanished together, and what the host can do about it.
fn mass_vanish(hold: &HoldId, stays: u32, nights: u32) -> String {
    let (stays, nights) = (counted(stays, "stay"), counted(nights, "night"));
    format!(
        "{stays} with {nights} went from the feed together, which is more often a fault there than cancellations: all \
         still block for now. If all are really gone, release them with POST /v1/holds/{hold}/release?group=true; if \
         they stand, keep them with POST /v1/holds/{hold}/keep?group=true."
    )
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list)
}

/// What happened to a property in the last 90 days, newest first.
#[utoipa::path(get, path = "/v1/properties/{id}/activity", tag = "properties", operation_id = "list_activity",
    params(("id" = String, Path, description = "The property, `prp_…`."), ListParams),
    responses((status = 200, description = "One page.", body = ListPage<ActivityView>)))]
async fn list(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let page = api.app.list_activity(owner.reach(), &id, listing.page.clone()).await?;
    let page = page.ok_or_else(|| Problem::not_found("property"))?;
    Ok(answer::plain(listing.answer(page, ActivityView::of)))
}

#[cfg(test)]
mod tests {
    use calmesh_app::model::{Activity, ActivityKind, FailureKind};
    use calmesh_calendar::{BlockId, ConnectionId, HoldId};
    use http::Method;
    use serde_json::json;

    use crate::testing::{NOW, TestApi};

    #[tokio::test]
    async fn what_happened_is_told_newest_first_and_page_by_page() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let connection = ConnectionId::from_random([1; 16]);
        let (hold, block) = (HoldId::from_random([2; 16]), BlockId::from_random([3; 16]));
        let kinds = [
            ActivityKind::ConnectionCreated { name: "Airbnb".to_owned() },
            ActivityKind::FeedChanged { added: 2, changed: 0, removed: 1, held: 3 },
            ActivityKind::FeedFailed { failure: FailureKind::LinkGone, detail: "Create the link anew.".to_owned() },
            ActivityKind::HoldOpened { hold: hold.clone(), block: block.clone() },
        ];
        for (second, kind) in kinds.into_iter().enumerate() {
            let at =
                NOW.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second.try_into().unwrap());
            let entry = Activity { property: property.clone(), at, connection: Some(connection.clone()), kind };
            api.app.activity.append_activity(&[entry]).await.unwrap();
        }
        let path = format!("/v1/properties/{property}/activity");
        let page = api.get(&format!("{path}?limit=3")).await.json();
        assert_eq!(page["items"][0]["type"], "hold_opened");
        assert_eq!(page["items"][0]["hold_id"], hold.as_str());
        assert_eq!(page["items"][0]["block_id"], block.as_str());
        assert_eq!(page["items"][1]["reason"], "link_gone");
        assert_eq!(page["items"][2]["blocks_removed"], 1);
        assert_eq!(page["items"][2]["connection_id"], connection.as_str());
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = api.get(&format!("{path}?limit=3&cursor={cursor}")).await.json();
        assert_eq!(
            rest["items"],
            json!([{
                "at": NOW, "type": "connection_created", "connection_id": connection.as_str(), "name": "Airbnb",
                "detail": "The connection \"Airbnb\" was made."
            }])
        );
    }

    #[tokio::test]
    async fn the_activity_of_a_property_that_the_caller_does_not_see_is_not_there() {
        let api = TestApi::new().await;
        let (seen, hidden) = (api.property(&api.account.id).await, api.property(&api.account.id).await);
        let narrow = api.token_with(json!({"name": "n", "property_ids": [seen.as_str()]})).await;
        let stranger = api.stranger().await;
        let path = format!("/v1/properties/{hidden}/activity");
        assert_eq!(api.get(&path).await.status, 200);
        api.ask(Method::GET, &path).by(&narrow).send().await.problem(404);
        api.ask(Method::GET, &path).by(&stranger).send().await.problem(404);
        api.get("/v1/properties/nonsense/activity").await.problem(404);
        assert_eq!(api.get(&format!("{path}?since=1")).await.pointers(), ["/since"]);
    }
}
