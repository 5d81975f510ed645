use calmesh_app::{model::FailureKind, ports::Event};
use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use crate::{scenes::*, testing::TestApi};

#[tokio::test]
async fn a_refresh_runs_and_is_done_when_blocks_and_exports_stand() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let other = api.connect(&flat, "b", airbnb(&[])).await;
    api.work().await;
    api.clock.advance(SignedDuration::from_mins(1));
    api.feeds.serve(&url("a"), airbnb(&[STAY, ("HMBBBBBBBB", "2026-12-10", "2026-12-12")]));
    let id = made["id"].as_str().unwrap();
    let asked = api.ask(Method::POST, &format!("/v1/connections/{id}/refresh")).send().await;
    assert_eq!(asked.status, 202);
    let path = asked.header("location").to_owned();
    assert_eq!(path, format!("/v1/refreshes/{}", asked.json()["id"].as_str().unwrap()));
    let running = api.get(&path).await.json();
    assert_eq!((&running["status"], &running["connections"][0]["outcome"]), (&json!("running"), &json!("pending")));
    api.work().await;
    let done = api.get(&path).await.json();
    assert_eq!(done["status"], "done");
    assert_eq!(
        done["connections"],
        json!([{"connection_id": id, "outcome": "changed", "reason": null, "blocks_added": 1, "blocks_removed": 0, "blocks_held": 0}])
    );
    assert_eq!(api.served(other["export"]["url"].as_str().unwrap()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unchanged_refresh_moves_when_it_was_read_last() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.work().await;
    api.clock.advance(SignedDuration::from_mins(1));
    let asked = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await.json();
    api.work().await;
    let done = api.get(&format!("/v1/refreshes/{}", asked["id"].as_str().unwrap())).await.json();
    assert_eq!(done["connections"][0]["outcome"], "unchanged");
    let connection = api.get(&format!("/v1/connections/{}", made["id"].as_str().unwrap())).await.json();
    assert_eq!(connection["import"]["last_refreshed_at"], "2026-11-21T10:01:00Z");
    assert_eq!(connection["import"]["last_changed_at"], crate::testing::NOW);
}

#[tokio::test]
async fn a_refresh_that_finds_a_feed_emptied_is_held_and_so_is_the_next() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.work().await;
    api.feeds.serve(&url("a"), airbnb(&[]));
    for _ in 0..2 {
        api.clock.advance(SignedDuration::from_mins(1));
        let asked = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await.json();
        api.work().await;
        let done = api.get(&format!("/v1/refreshes/{}", asked["id"].as_str().unwrap())).await.json();
        let one = &done["connections"][0];
        assert_eq!((&one["outcome"], &one["blocks_held"]), (&json!("held"), &json!(1)), "{done}");
    }
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3);
}

#[tokio::test]
async fn a_failed_refresh_says_why() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    // What was read well a moment ago would not be fetched again.
    api.clock.advance(SignedDuration::from_secs(2));
    api.feeds.fail(&url("a"), FailureKind::LinkGone);
    let asked = api.post(&format!("/v1/connections/{}/refresh", made["id"].as_str().unwrap()), json!({})).await.json();
    api.work().await;
    let done = api.get(&format!("/v1/refreshes/{}", asked["id"].as_str().unwrap())).await.json();
    assert_eq!(
        (&done["connections"][0]["outcome"], &done["connections"][0]["reason"]),
        (&json!("failed"), &json!("link_gone"))
    );
}

#[tokio::test]
async fn refreshing_what_is_paused_or_exports_only_is_409() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let path = format!("/v1/connections/{}", made["id"].as_str().unwrap());
    api.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!(api.post(&format!("{path}/refresh"), json!({})).await.problem(409)["type"], "/problems/paused");
    let body = json!({"name": "out", "direction": "export"});
    let out = api.post(&format!("/v1/properties/{flat}/connections"), body).await.json();
    let refused = api.post(&format!("/v1/connections/{}/refresh", out["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(refused.problem(409)["type"], "/problems/export-only");
    // A property with nothing to read is done at once.
    let asked = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
    assert_eq!(asked.status, 202);
    let done = api.get(asked.header("location")).await.json();
    assert_eq!((&done["status"], &done["connections"]), (&json!("done"), &json!([])));
}

#[tokio::test]
async fn an_account_is_refreshed_by_one_event() {
    let api = TestApi::new().await;
    for name in ["a", "b", "c"] {
        let flat = api.flat().await;
        api.connect(&flat, name, airbnb(&[STAY])).await;
    }
    api.work().await;
    let asked = api.post("/v1/refresh", json!({})).await;
    assert_eq!(asked.status, 202);
    let events = api.bus.events();
    assert!(matches!(events.as_slice(), [Event::RefreshRequested { after: None, .. }]), "{events:?}");
    let path = asked.header("location").to_owned();
    assert_eq!(api.get(&path).await.json()["status"], "running");
    api.work().await;
    let first = api.get(&format!("{path}?limit=2")).await.json();
    assert_eq!((&first["status"], first["connections"].as_array().unwrap().len()), (&json!("done"), 2));
    let next = format!("{path}?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(api.get(&next).await.json()["connections"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_takes_over_ten_minutes_was_given_up() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let asked = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
    let path = asked.header("location").to_owned();
    api.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(api.get(&path).await.json()["status"], "running");
    api.clock.advance(SignedDuration::from_secs(1));
    let late = api.get(&path).await.json();
    assert_eq!(late["status"], "done");
    assert_eq!(
        (&late["connections"][0]["outcome"], &late["connections"][0]["reason"]),
        (&json!("failed"), &json!("gave_up"))
    );
}

#[tokio::test]
async fn a_refresh_that_can_not_be_announced_is_not_accepted() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.bus.fail_next_after(0);
    let refused = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
    refused.problem(503);
}

#[tokio::test]
async fn another_accounts_refresh_is_not_there() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let asked = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
    let stranger = api.stranger().await;
    api.ask(Method::GET, asked.header("location")).by(&stranger).send().await.problem(404);
    api.get("/v1/refreshes/rfr_nonsense").await.problem(404);
}
