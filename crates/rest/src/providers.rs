//! What is known of each provider: how to find the link there, how often it reads, what it refuses.

use axum::{extract::State, response::Response};
use calmesh_app::ports::Page;
use calmesh_profiles::{Profile, Via};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer,
    api::Api,
    caller::Owner,
    problem::Problem,
    query::{ListPage, ListParams, Listing},
    routes::{Routes, routes},
};

/// A provider's profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provider, example = json!({
    "id": "airbnb", "name": "Airbnb", "via": "ical",
    "help": "Open Calendar, then Availability, \"Connect calendars\".",
    "export_help": "In the same dialogue, step 2.",
    "cadence": {"min_interval_minutes": null, "reads_export_every_minutes": 240},
    "directions": {"import": true, "export": true},
    "limits": ["A listing takes about five imported calendars (reported)."], "max_imports": 5, "aggregates": false,
    "refused": false
}))]
pub(crate) struct ProviderView {
    id: &'static str,
    name: &'static str,
    via: ViaWord,
    /// Where the host finds the link of this provider's calendar.
    help: &'static str,
    /// Where the host pastes the private link of a connection.
    export_help: &'static str,
    cadence: CadenceView,
    directions: DirectionsView,
    /// Delays, limits, and what is not confirmed.
    limits: &'static [String],
    /// How many calendars one listing takes there; null where unknown.
    #[schema(required)]
    max_imports: Option<u32>,
    /// Its feed repeats stays of other sites, as a channel manager's master feed does.
    aggregates: bool,
    /// This deployment takes no iCalendar link of it.
    refused: bool,
}

/// How a connection with a provider is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ViaWord {
    Ical,
    Account,
}

/// How often each side reads the other, in minutes; null where unknown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CadenceView {
    /// Minutes that lie between two of our readings at least.
    #[schema(required)]
    min_interval_minutes: Option<u32>,
    /// How often it reads our link: the slowest that was reported.
    #[schema(required)]
    reads_export_every_minutes: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DirectionsView {
    import: bool,
    export: bool,
}

impl ProviderView {
    fn of(profile: &'static Profile, api: &Api) -> Self {
        Self {
            id: profile.id.as_str(),
            name: &profile.name,
            via: match profile.via {
                Via::Ical => ViaWord::Ical,
                Via::Account => ViaWord::Account,
            },
            help: &profile.help,
            export_help: &profile.export_help,
            cadence: CadenceView {
                min_interval_minutes: profile.cadence.map(|cadence| cadence.min_interval_minutes),
                reads_export_every_minutes: profile.reads_export_every_minutes,
            },
            directions: DirectionsView { import: profile.directions.import, export: profile.directions.export },
            limits: &profile.limits,
            max_imports: profile.max_imports,
            aggregates: profile.policy.aggregates,
            refused: api.desk.settings.refused_providers.contains(&profile.id),
        }
    }
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list)
}

/// The providers that are known, the big sites first.
#[utoipa::path(get, path = "/v1/providers", tag = "service", operation_id = "list_providers", params(ListParams),
    responses((status = 200, description = "One page; `generic` is the last.", body = ListPage<ProviderView>)))]
async fn list(_: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let all = calmesh_profiles::all();
    let start = listing.page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or_default();
    let end = usize::from(listing.page.limit).saturating_add(start).min(all.len());
    let items: Vec<&Profile> = all.get(start..end).unwrap_or_default().iter().collect();
    let page = Page { items, next: (end < all.len()).then(|| end.to_string()) };
    Ok(answer::plain(listing.answer(page, |profile| ProviderView::of(profile, &api))))
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;

    #[tokio::test]
    async fn every_profile_is_listed_and_says_whether_it_is_refused_here() {
        let api = TestApi::new().await;
        let list = api.get("/v1/providers").await.json();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), calmesh_profiles::all().len());
        assert_eq!(items[0]["id"], "airbnb");
        assert_eq!(items[0]["refused"], false);
        assert_eq!(items[1]["id"], "booking_com");
        assert_eq!(items[1]["refused"], true);
        assert_eq!(items.last().unwrap()["id"], "generic");
        let page = api.get("/v1/providers?limit=20").await.json();
        let next = page["next_cursor"].as_str().unwrap();
        let rest = api.get(&format!("/v1/providers?limit=20&cursor={next}")).await.json();
        assert_eq!(rest["items"].as_array().unwrap().len(), items.len() - 20);
    }
}
