use calmesh_app::model::FailureKind;
use serde_json::json;

use crate::{scenes::*, testing::TestApi};

#[tokio::test]
async fn a_check_says_what_a_feed_is_and_would_block_and_stores_nothing() {
    let api = TestApi::new().await;
    api.feeds.serve(&url("a"), airbnb(&[STAY]));
    let answer = api.post("/v1/feeds/check", json!({"url": url("a"), "time_zone": "Europe/Madrid"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "usable": true, "provider": "airbnb", "name": null,
            "events": {"in_text": 1, "read": 1, "blocking": 1},
            "blocks": [{"start": "2026-12-04", "end": "2026-12-07", "kind": "reservation",
                "uid": "1418fb94e984-HMAAAAAAAA@airbnb.com"}],
            "nights": ["2026-12-04", "2026-12-05", "2026-12-06"],
            "warnings": [], "problem": null,
        })
    );
    assert_eq!(api.objects.bodies_parked(), 0);
    assert!(api.bus.events().is_empty());
}

#[tokio::test]
async fn the_text_of_a_calendar_is_checked_too() {
    let api = TestApi::new().await;
    let text = plain(&[("Reserved", "2026-12-04", "2026-12-05"), ("Closed", "2026-12-05", "2026-12-06")]);
    let answer = api.post("/v1/feeds/check", json!({"ics": text})).await.json();
    assert_eq!((&answer["usable"], &answer["provider"]), (&json!(true), &json!("generic")));
    assert_eq!(answer["nights"], json!(["2026-12-04", "2026-12-05"]));
    assert_eq!(answer["blocks"][1]["kind"], "closure");
}

#[tokio::test]
async fn times_are_shown_on_the_clock_of_the_zone_the_feeds_own_or_utc() {
    let api = TestApi::new().await;
    let event = "BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Reserved\r\nDTSTART:20261204T150000Z\r\n\
                 DTEND:20261205T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let head = "BEGIN:VCALENDAR\r\nPRODID:-//x//EN\r\nVERSION:2.0\r\n";
    let start = |answer: serde_json::Value| answer["blocks"][0]["start"].as_str().unwrap().to_owned();
    let bare = json!({"ics": format!("{head}{event}")});
    assert_eq!(start(api.post("/v1/feeds/check", bare).await.json()), "2026-12-04T15:00");
    let hinted = format!("{head}X-WR-TIMEZONE:Europe/Madrid\r\n{event}");
    assert_eq!(start(api.post("/v1/feeds/check", json!({"ics": hinted})).await.json()), "2026-12-04T16:00");
    let asked = json!({"ics": hinted, "time_zone": "Asia/Tokyo"});
    assert_eq!(start(api.post("/v1/feeds/check", asked).await.json()), "2026-12-05T00:00");
}

#[tokio::test]
async fn what_can_not_be_used_is_an_answer_and_not_an_error() {
    let api = TestApi::new().await;
    for kind in FailureKind::ALL.into_iter().filter(|kind| *kind != FailureKind::AddressRefused) {
        api.feeds.fail(&url("a"), kind);
        let answer = api.post("/v1/feeds/check", json!({"url": url("a")})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (&answer.json()["usable"], &answer.json()["problem"]["type"]),
            (&json!(false), &json!(kind.as_str()))
        );
    }
    for (text, kind) in [
        ("<html>log in</html>", "not_a_calendar"),
        ("", "not_a_calendar"),
        ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\n", "truncated"),
    ] {
        let answer = api.post("/v1/feeds/check", json!({"ics": text})).await.json();
        assert_eq!((&answer["usable"], &answer["problem"]["type"]), (&json!(false), &json!(kind)), "{text}");
        assert!(!answer["problem"]["detail"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refused_address_is_422() {
    let api = TestApi::new().await;
    api.feeds.fail(&url("a"), FailureKind::AddressRefused);
    let refused = api.post("/v1/feeds/check", json!({"url": url("a")})).await;
    assert_eq!(refused.pointers(), ["/url"]);
}

#[tokio::test]
async fn a_provider_that_is_refused_here_is_readable_but_not_usable() {
    let api = TestApi::new().await;
    let text = plain(&[]).replace("-//somebody//EN", "-//admin.booking.com\\, b.v.//NONSGML v1.0//EN");
    let answer = api.post("/v1/feeds/check", json!({"ics": text})).await.json();
    assert_eq!((&answer["usable"], &answer["problem"]["type"]), (&json!(false), &json!("provider_refused")));
}

#[tokio::test]
async fn every_wrong_field_of_a_check_is_named() {
    let api = TestApi::new().await;
    for (body, pointers) in [
        (json!({}), vec!["/url"]),
        (json!({"url": url("a"), "ics": "x"}), vec!["/ics"]),
        (json!({"url": "file:///etc/passwd"}), vec!["/url"]),
        (json!({"url": 3}), vec!["/url"]),
        (json!({"ics": 3}), vec!["/ics"]),
        (json!({"ics": "x", "time_zone": "Nowhere"}), vec!["/time_zone"]),
        (json!({"ics": "x", "zone": "UTC"}), vec!["/zone"]),
    ] {
        assert_eq!(api.post("/v1/feeds/check", body.clone()).await.pointers(), pointers, "{body}");
    }
}
