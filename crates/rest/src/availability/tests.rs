use serde_json::json;

use crate::{scenes::*, testing::TestApi};

#[tokio::test]
async fn every_night_of_the_range_is_told_and_taken_runs_are_intervals() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let first = api.block(&flat, "2026-12-04", "2026-12-05").await;
    let late = api.block(&flat, "2026-12-05T11:00", "2026-12-05T14:00").await;
    let answer = api.get(&format!("/v1/properties/{flat}/availability?from=2026-12-03&to=2026-12-06")).await.json();
    assert_eq!(
        answer,
        json!({
            "nights": [
                {"date": "2026-12-03", "available": true, "past": false, "blocks": []},
                {"date": "2026-12-04", "available": false, "past": false, "blocks": [first]},
                {"date": "2026-12-05", "available": true, "past": false, "blocks": []},
            ],
            "intervals": [{"start": "2026-12-04T15:00", "end": "2026-12-05T14:00", "blocks": [first, late]}],
            "intervals_left_out": 0,
        })
    );
}

#[tokio::test]
async fn a_wrong_range_is_named() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    for (query, pointers) in [
        ("", vec!["/from", "/to"]),
        ("?from=2026-12-01", vec!["/to"]),
        ("?from=2026-12-01&to=2026-12-01", vec!["/to"]),
        ("?from=2026-12-02&to=2026-12-01", vec!["/to"]),
        ("?from=2026-12-01&to=2029-01-01", vec!["/to"]),
        ("?from=yesterday&to=2026-12-01", vec!["/from"]),
        ("?from=2026-12-01&to=2026-12-03&limit=3", vec!["/limit"]),
    ] {
        let answer = api.get(&format!("/v1/properties/{flat}/availability{query}")).await;
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    let longest = format!("/v1/properties/{flat}/availability?from=2026-12-01&to=2028-12-30");
    assert_eq!(api.get(&longest).await.json()["nights"].as_array().unwrap().len(), 760);
}

#[tokio::test]
async fn a_late_check_out_may_be_sold_until_the_next_arrival() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.block(&flat, "2026-12-04", "2026-12-07").await;
    let next = api.block(&flat, "2026-12-07", "2026-12-09").await;
    let check = |start: &str, end: &str| {
        let path = format!("/v1/properties/{flat}/availability/check?start={start}&end={end}");
        let api = &api;
        async move { api.get(&path).await.json() }
    };
    assert_eq!(check("2026-12-07T11:00", "2026-12-07T15:00").await["available"], true);
    let answer = check("2026-12-07T11:00", "2026-12-07T15:01").await;
    assert_eq!((&answer["available"], &answer["blocked_by"]), (&json!(false), &json!([next])));
    assert_eq!(check("2026-12-09", "2026-12-10").await["available"], true);
    assert_eq!(check("2026-12-09", "2026-12-10").await["valid_as_of"], crate::testing::NOW);
    let wrong = format!("/v1/properties/{flat}/availability/check?start=2026-12-09&end=2026-12-09T12:00");
    assert_eq!(api.get(&wrong).await.pointers(), ["/end"]);
}

#[tokio::test]
async fn an_answer_is_valid_as_of_the_oldest_reading() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[])).await;
    api.clock.advance(jiff::SignedDuration::from_hours(1));
    api.connect(&flat, "b", airbnb(&[])).await;
    let path = format!("/v1/properties/{flat}/availability/check?start=2026-12-09&end=2026-12-10");
    assert_eq!(api.get(&path).await.json()["valid_as_of"], crate::testing::NOW);
    let body = json!({"name": "c", "import": {"url": url("c")}, "skip_check": true});
    api.post(&format!("/v1/properties/{flat}/connections"), body).await;
    assert_eq!(api.get(&path).await.json()["valid_as_of"], json!(null), "one was never read");
}
