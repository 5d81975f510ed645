use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{scenes::*, testing::TestApi};

const STAYS: &[(&str, &str, &str)] = &[
    ("HMAAAAAAAA", "2026-12-04", "2026-12-07"),
    ("HMBBBBBBBB", "2026-12-10", "2026-12-12"),
    ("HMCCCCCCCC", "2027-01-01", "2027-02-01"),
];

/// A property whose feed has lost these many of its first stays, and its holds.
async fn with_holds(api: &TestApi, lost: usize) -> (String, Vec<Value>) {
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(STAYS)).await;
    api.feeds.serve(&url("a"), airbnb(&STAYS[lost..]));
    api.clock.advance(SignedDuration::from_mins(1));
    api.post(&format!("/v1/connections/{}/refresh", made["id"].as_str().unwrap()), json!({})).await;
    api.work().await;
    let holds = api.get(&format!("/v1/properties/{flat}/holds")).await.json()["items"].as_array().unwrap().clone();
    (flat, holds)
}

fn path(hold: &Value) -> String {
    format!("/v1/holds/{}", hold["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_missed_stay_is_held_and_listed_with_its_nights() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 1).await;
    let [hold] = holds.as_slice() else { panic!("{holds:?}") };
    assert_eq!((&hold["status"], &hold["cause"], &hold["group"]), (&json!("open"), &json!("absent"), &json!(null)));
    let told = ["name", "provider", "start", "end"].map(|field| hold[field].as_str().unwrap());
    assert_eq!(told, ["a", "airbnb", "2026-12-04", "2026-12-07"]);
    assert_eq!(hold["nights"], json!(["2026-12-04", "2026-12-05", "2026-12-06"]));
    assert_eq!((&hold["opened_at"], &hold["readings"]), (&json!("2026-11-21T10:01:00Z"), &json!(1)));
    assert_eq!(hold["earliest_release_at"], "2026-11-21T10:31:00Z");
    let block = api.get(&format!("/v1/blocks/{}", hold["block_id"].as_str().unwrap())).await.json();
    assert_eq!(block["state"], "held");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-08").await.len(), 3, "it still blocks");
}

#[tokio::test]
async fn a_released_hold_frees_its_nights_at_once_and_ends() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 1).await;
    let released = api.ask(Method::POST, &format!("{}/release", path(&holds[0]))).send().await;
    assert_eq!((released.status, &released.json()["status"]), (200, &json!("released")));
    assert_eq!(released.json()["nights"].as_array().unwrap().len(), 3);
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-08").await, Vec::<String>::new());
    let listed = api.get(&format!("/v1/properties/{flat}/holds")).await.json();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["status"]), (&holds[0]["id"], &json!("released")));
    let told = |hold: &Value| ["name", "provider", "start", "end"].map(|field| hold[field].clone());
    assert_eq!(told(&listed["items"][0]), ["a", "airbnb", "2026-12-04", "2026-12-07"].map(Value::from), "as it was");
    for verb in ["release", "keep"] {
        let again = api.post(&format!("{}/{verb}", path(&holds[0])), json!({})).await;
        assert_eq!(again.problem(409)["hold_status"], "released");
    }
}

#[tokio::test]
async fn a_kept_hold_blocks_though_every_reading_misses_it() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 1).await;
    let kept = api.post(&format!("{}/keep", path(&holds[0])), json!({})).await;
    assert_eq!((kept.status, &kept.json()["status"]), (200, &json!("kept")));
    assert_eq!(api.post(&format!("{}/keep", path(&holds[0])), json!({})).await.status, 200, "twice is once");
    for _ in 0..5 {
        api.clock.advance(SignedDuration::from_hours(1));
        api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
        api.work().await;
    }
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-08").await.len(), 3);
    let released = api.post(&format!("{}/release", path(&holds[0])), json!({})).await.json();
    assert_eq!(released["status"], "released");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-08").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_vanished_together_is_released_or_kept_together() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 3).await;
    assert_eq!(holds.len(), 3);
    assert!(holds.iter().all(|hold| hold["cause"] == "mass_vanish" && hold["group"] == holds[0]["group"]), "{holds:?}");
    let kept = api.post(&format!("{}/keep?group=true", path(&holds[1])), json!({})).await.json();
    assert_eq!(kept["id"], holds[1]["id"]);
    let listed = api.get(&format!("/v1/properties/{flat}/holds")).await.json();
    assert!(listed["items"].as_array().unwrap().iter().all(|hold| hold["status"] == "kept"));
    api.post(&format!("{}/release", path(&holds[0])), json!({})).await;
    assert_eq!(api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"].as_array().unwrap().len(), 2);
    api.post(&format!("{}/release?group=true", path(&holds[1])), json!({})).await;
    assert_eq!(api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_the_host_kept_is_not_released_with_the_others() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 3).await;
    api.post(&format!("{}/keep", path(&holds[0])), json!({})).await;
    api.post(&format!("{}/release?group=true", path(&holds[1])), json!({})).await;
    let left = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["id"], holds[0]["block_id"]);
}

#[tokio::test]
async fn holds_are_paged_the_open_ones_first() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 3).await;
    api.post(&format!("{}/release", path(&holds[0])), json!({})).await;
    let mut seen = Vec::new();
    let mut path = format!("/v1/properties/{flat}/holds?limit=1");
    loop {
        let page = api.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|hold| hold["status"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/properties/{flat}/holds?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["open", "open", "released"]);
}

#[tokio::test]
async fn deleting_its_connection_ends_a_hold() {
    let api = TestApi::new().await;
    let (flat, holds) = with_holds(&api, 1).await;
    api.delete(&format!("/v1/connections/{}", holds[0]["connection_id"].as_str().unwrap())).await;
    let listed = api.get(&format!("/v1/properties/{flat}/holds")).await.json();
    assert_eq!(listed["items"][0]["status"], "released");
    let told = api.activity(&flat).await;
    assert!(told.iter().any(|entry| entry.starts_with("ConnectionDeleted")), "{told:?}");
    assert!(!told.iter().any(|entry| entry.starts_with("HoldReleased")), "nobody said so of the stay: {told:?}");
}

#[tokio::test]
async fn an_unknown_or_foreign_hold_is_not_there() {
    let api = TestApi::new().await;
    let (_, holds) = with_holds(&api, 1).await;
    api.post("/v1/holds/hld_00000000000000000000000000/release", json!({})).await.problem(404);
    api.post("/v1/holds/nonsense/keep", json!({})).await.problem(404);
    let stranger = api.stranger().await;
    api.ask(Method::POST, &format!("{}/release", path(&holds[0]))).by(&stranger).send().await.problem(404);
    api.post(&format!("{}/keep?group=maybe", path(&holds[0])), json!({})).await.problem(422);
}

#[tokio::test]
async fn a_mass_vanish_is_told_once_with_what_the_host_can_do() {
    let api = TestApi::new().await;
    let stays = [
        ("HMAAAAAAAA", "2026-12-04", "2026-12-07"),
        ("HMBBBBBBBB", "2026-12-10", "2026-12-12"),
        ("HMCCCCCCCC", "2027-01-01", "2027-01-03"),
        ("HMDDDDDDDD", "2027-01-10", "2027-01-12"),
    ];
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&stays)).await;
    let reading = async |lost: usize| {
        api.feeds.serve(&url("a"), airbnb(&stays[lost..]));
        api.clock.advance(SignedDuration::from_mins(1));
        api.post(&format!("/v1/connections/{}/refresh", made["id"].as_str().unwrap()), json!({})).await;
        api.work().await;
    };
    reading(2).await;
    let told = api.get(&format!("/v1/properties/{flat}/activity?limit=200")).await.json();
    let about: Vec<&Value> =
        told["items"].as_array().unwrap().iter().filter(|one| one["hold_id"].is_string()).collect();
    let [vanish] = about.as_slice() else { panic!("{about:?}") };
    assert_eq!(
        (&vanish["type"], &vanish["blocks_held"], &vanish["nights"]),
        (&json!("mass_vanish"), &json!(2), &json!(5))
    );
    assert_eq!(vanish["first_nights"], json!(["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-10", "2026-12-11"]));
    let (hold, detail) = (vanish["hold_id"].as_str().unwrap(), vanish["detail"].as_str().unwrap());
    assert!(
        detail.contains("2 stays with 5 nights (4–7 Dec 2026, 10–12 Dec 2026) went from the feed together"),
        "{detail}"
    );
    for word in ["release", "keep"] {
        assert!(detail.contains(&format!("/v1/holds/{hold}/{word}?group=true")), "{detail}");
    }
    // The next reading, which misses the same stays, says nothing new; one that misses more does.
    for (lost, entries) in [(2, 1), (3, 2)] {
        reading(lost).await;
        let told = api.activity(&flat).await;
        assert_eq!(told.iter().filter(|kind| kind.starts_with("MassVanished")).count(), entries, "{told:?}");
    }
    assert_eq!(api.post(&format!("/v1/holds/{hold}/release?group=true"), json!({})).await.status, 200);
    assert_eq!(api.taken(&flat, "2026-12-01", "2027-02-01").await, ["2027-01-10", "2027-01-11"]);
}
