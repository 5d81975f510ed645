use calmesh_calendar::{Block, BlockId};
use http::Method;
use serde_json::json;

use crate::{
    scenes::*,
    testing::{NOW, TestApi},
};

#[tokio::test]
async fn an_own_block_takes_its_nights_at_once_and_shows_its_source() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let body = json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-06", "summary": "Painter"});
    let made = api.post(&format!("/v1/properties/{flat}/blocks"), body).await;
    assert_eq!(made.status, 201);
    let block = made.json();
    assert_eq!(block["source"], json!({"type": "own"}));
    assert_eq!((&block["state"], &block["extends"], &block["label"]), (&json!("standing"), &json!(null), &json!(null)));
    assert_eq!(api.get(made.header("location")).await.json(), block);
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-10").await, ["2026-12-04", "2026-12-05"]);
}

#[tokio::test]
async fn every_wrong_field_of_a_block_is_named() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let wrong = [
        (json!({}), vec!["/kind", "/start", "/end"]),
        (json!({"kind": "rule_closure", "start": "2026-12-04", "end": "2026-12-06"}), vec!["/kind"]),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-04"}), vec!["/end"]),
        (json!({"kind": "closure", "start": "2026-12-06", "end": "2026-12-04"}), vec!["/end"]),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05T11:00"}), vec!["/end"]),
        (json!({"kind": "closure", "start": "2026-12-04T11:00Z", "end": "2026-12-05T11:00"}), vec!["/start"]),
        (json!({"kind": "closure", "start": "2026-02-30", "end": "2026-03-05"}), vec!["/start"]),
        (json!({"kind": "closure", "start": 20261204, "end": "2026-12-05"}), vec!["/start"]),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "9999-12-05"}), vec!["/end"]),
        (json!({"kind": "closure", "start": "0001-12-04", "end": "2026-12-05"}), vec!["/start"]),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "summary": "a\u{7}"}), vec!["/summary"]),
        (
            json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "summary": "a".repeat(501)}),
            vec!["/summary"],
        ),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "extends": "prp_x"}), vec!["/extends"]),
        (
            json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "extends": "blk_00000000000000000000000000"}),
            vec!["/extends"],
        ),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "force": "yes"}), vec!["/force"]),
        (json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-05", "state": "held"}), vec!["/state"]),
    ];
    for (body, pointers) in wrong {
        let answer = api.post(&format!("/v1/properties/{flat}/blocks"), body.clone()).await;
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
}

#[tokio::test]
async fn a_block_in_the_way_is_409_with_its_id_unless_forced() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let first = api.block(&flat, "2026-12-04", "2026-12-07").await;
    let path = format!("/v1/properties/{flat}/blocks");
    let body = json!({"kind": "reservation", "start": "2026-12-06", "end": "2026-12-09"});
    assert_eq!(api.post(&path, body.clone()).await.problem(409)["blocked_by"], json!([first]));
    // A departure does not meet the arrival of the same day.
    let after = json!({"kind": "reservation", "start": "2026-12-07", "end": "2026-12-09"});
    assert_eq!(api.post(&path, after).await.status, 201);
    let mut forced = body;
    forced["force"] = json!(true);
    assert_eq!(api.post(&path, forced).await.status, 201);
}

#[tokio::test]
async fn what_is_in_the_way_is_told_by_names_and_dates() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect_with(&flat, "whole", airbnb(&[STAY]), json!({"name": "Whole flat"})).await;
    for (start, end) in [("2026-12-08", "2026-12-09"), ("2026-12-10", "2026-12-12"), ("2026-12-12", "2026-12-14")] {
        api.block(&flat, start, end).await;
    }
    let path = format!("/v1/properties/{flat}/blocks");
    let body = |end: &str| json!({"kind": "reservation", "start": "2026-12-06", "end": end});
    let one = api.post(&path, body("2026-12-07")).await.problem(409);
    let detail = one["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("Something is taken in this time already: Whole flat (Airbnb), 4–7 Dec 2026. Choose"),
        "{detail}"
    );
    let four = api.post(&path, body("2026-12-20")).await.problem(409);
    let told =
        "Whole flat (Airbnb), 4–7 Dec 2026; your own block, 8–9 Dec 2026; your own block, 10–12 Dec 2026; and 1 more.";
    assert!(four["detail"].as_str().unwrap().contains(told), "{four}");
    assert_eq!(four["blocked_by"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn times_are_compared_exactly_and_half_open() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let stay = api.block(&flat, "2026-12-04", "2026-12-07").await;
    let path = format!("/v1/properties/{flat}/blocks");
    let late = |start: &str, end: &str| json!({"kind": "reservation", "start": start, "end": end});
    // The stay runs until check-out at 11:00.
    assert_eq!(api.post(&path, late("2026-12-07T11:00", "2026-12-07T14:00:00")).await.status, 201);
    let clash = api.post(&path, late("2026-12-07T10:59", "2026-12-07T11:00")).await;
    assert_eq!(clash.problem(409)["blocked_by"], json!([stay]));
}

#[tokio::test]
async fn the_stay_that_is_extended_and_its_turnover_nights_are_not_in_the_way() {
    let api = TestApi::new().await;
    let flat = api.flat_with(json!({"turnover_nights": 1})).await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let stay = api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"][0]["id"].clone();
    let path = format!("/v1/properties/{flat}/blocks");
    let night = json!({"kind": "reservation", "start": "2026-12-07", "end": "2026-12-08"});
    assert_eq!(api.post(&path, night.clone()).await.problem(409)["blocked_by"], json!([stay]), "its turnover night");
    let mut extension = night;
    extension["extends"] = stay;
    let made = api.post(&path, extension).await.json();
    assert_eq!(api.taken(&flat, "2026-12-06", "2026-12-15").await, ["2026-12-06", "2026-12-07", "2026-12-08"]);
    // An extension of the extension is part of the same stay.
    let second = json!({"kind": "reservation", "start": "2026-12-08", "end": "2026-12-09", "extends": made["id"]});
    assert_eq!(api.post(&path, second).await.status, 201);
}

#[tokio::test]
async fn an_extension_stays_and_is_told_with_names_dates_and_how_to_remove_it_when_its_stay_goes() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect_with(&flat, "whole", airbnb(&[STAY]), json!({"name": "Whole flat"})).await;
    let path = format!("/v1/properties/{flat}/blocks");
    let stay = api.get(&path).await.json()["items"][0]["id"].clone();
    let body = json!({"kind": "reservation", "start": "2026-12-07T11:00", "end": "2026-12-07T14:00", "extends": stay});
    let extension = api.post(&path, body).await.json();
    assert_eq!(extension["notice"], json!(null));
    let id = extension["id"].as_str().unwrap();
    api.delete(&format!("/v1/connections/{}", connection["id"].as_str().unwrap())).await;
    let left = api.get(&path).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!((&left["items"][0]["id"], &left["items"][0]["extends"]), (&extension["id"], &json!(null)));
    let remove = format!("remove it with DELETE /v1/blocks/{id}.");
    let notice = left["items"][0]["notice"].as_str().unwrap();
    assert!(
        notice.starts_with("The stay that this block extends has gone: Whole flat (Airbnb), 4–7 Dec 2026.")
            && notice.ends_with(&remove)
    );
    let told = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
    let told: Vec<&serde_json::Value> =
        told["items"].as_array().unwrap().iter().filter(|entry| entry["type"] == "extension_orphaned").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let detail = told[0]["detail"].as_str().unwrap();
    let expected =
        "The stay that your block 7 Dec 2026 11:00–14:00 extends has gone: Whole flat (Airbnb), 4–7 Dec 2026.";
    assert!(detail.starts_with(expected) && detail.ends_with(&remove), "{detail}");
    // Once the host has said something of it, nothing more is to be told.
    let edited = api.patch(&format!("/v1/blocks/{id}"), json!({"extends": null})).await.json();
    assert_eq!(edited["notice"], json!(null));
}

#[tokio::test]
async fn an_extension_is_told_of_when_its_stay_moves_away() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "Airbnb", airbnb(&[STAY])).await;
    let path = format!("/v1/properties/{flat}/blocks");
    let stay = api.get(&path).await.json()["items"][0]["id"].clone();
    // At its check-in side too.
    let early = json!({"kind": "reservation", "start": "2026-12-03", "end": "2026-12-04", "extends": stay});
    let late = json!({"kind": "reservation", "start": "2026-12-07T11:00", "end": "2026-12-07T14:00", "extends": stay});
    let (early, late) = (api.post(&path, early).await.json(), api.post(&path, late).await.json());
    api.feeds.serve(&url("Airbnb"), airbnb(&[(STAY.0, "2026-12-05", "2026-12-07")]));
    api.clock.advance(jiff::SignedDuration::from_mins(20));
    assert_eq!(api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await.status, 202);
    api.work().await;
    let told = api.activity(&flat).await;
    assert_eq!(told.iter().filter(|entry| entry.starts_with("ExtensionLeft")).count(), 1, "{told:?}");
    let of = async |block: &serde_json::Value| {
        api.get(&format!("/v1/blocks/{}", block["id"].as_str().unwrap())).await.json()["notice"].clone()
    };
    let notice = of(&early).await;
    let expected = "The stay that this block extends was moved away from it: Airbnb, 5–7 Dec 2026.";
    assert!(notice.as_str().unwrap().starts_with(expected), "{notice}");
    assert_eq!(of(&late).await, json!(null));
}

#[tokio::test]
async fn an_extension_names_a_stay_that_can_be_extended() {
    let api = TestApi::new().await;
    let (flat, other) = (api.flat().await, api.flat().await);
    let path = format!("/v1/properties/{flat}/blocks");
    let first = api.block(&flat, "2026-12-04", "2026-12-07").await;
    let elsewhere = api.block(&other, "2026-12-04", "2026-12-07").await;
    let night =
        |extends: &str| json!({"kind": "reservation", "start": "2026-12-07", "end": "2026-12-08", "extends": extends});
    assert_eq!(api.post(&path, night(&elsewhere)).await.pointers(), ["/extends"]);
    let second = api.post(&path, night(&first)).await.json()["id"].as_str().unwrap().to_owned();
    let circle = api.patch(&format!("/v1/blocks/{first}"), json!({"extends": second})).await;
    assert_eq!(circle.pointers(), ["/extends"], "a circle");
    assert_eq!(api.patch(&format!("/v1/blocks/{first}"), json!({"extends": first})).await.pointers(), ["/extends"]);
}

#[tokio::test]
async fn what_is_over_is_not_blocked_and_the_present_day_is() {
    let api = TestApi::new().await;
    // In Auckland it is the 22nd already.
    let flat = api.flat_with(json!({"time_zone": "Pacific/Auckland"})).await;
    let today = NOW.parse::<jiff::Timestamp>().unwrap().in_tz("Pacific/Auckland").unwrap().date();
    let day = |days: i64| today.checked_add(jiff::Span::new().days(days)).unwrap().to_string();
    let path = format!("/v1/properties/{flat}/blocks");
    let body = |start: &str, end: &str| json!({"kind": "closure", "start": start, "end": end, "force": true});
    let hours = |days: i64, time: &str| format!("{}T{time}", day(days));
    for (start, end) in [(day(-3), day(-1)), (hours(-2, "10:00"), hours(-1, "23:59"))] {
        let refused = api.post(&path, body(&start, &end)).await;
        assert_eq!(refused.pointers(), ["/end"], "{start} to {end}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(detail, format!("end is in the past: today is {today} in Pacific/Auckland."));
        let asked = api.get(&format!("/v1/properties/{flat}/availability/check?start={start}&end={end}")).await;
        assert_eq!(asked.pointers(), ["/end"], "nor may it be sold");
    }
    for (start, end) in
        [(day(-3), day(0)), (day(-3), day(9)), (hours(-1, "10:00"), hours(0, "00:01")), (day(0), day(1))]
    {
        let made = api.post(&path, body(&start, &end)).await;
        assert_eq!(made.status, 201, "{start} to {end}: {}", made.text());
        let block = format!("/v1/blocks/{}", made.json()["id"].as_str().unwrap());
        // It can be said what it was, and not moved to where nothing is blocked any more.
        assert_eq!(api.patch(&block, json!({"summary": "Painter"})).await.status, 200);
        let earlier = json!({"start": day(-9), "end": day(-5), "force": true});
        assert_eq!(api.patch(&block, earlier).await.pointers(), ["/end"]);
    }
    let nights = api.get(&format!("/v1/properties/{flat}/availability?from={}&to={}", day(-2), day(2))).await.json();
    let past: Vec<bool> = nights["nights"].as_array().unwrap().iter().map(|night| night["past"] == true).collect();
    assert_eq!(past, [true, true, false, false]);
    for (days, past) in [(-1, true), (0, false)] {
        let why = api.get(&format!("/v1/properties/{flat}/explain?night={}", day(days))).await.json();
        assert_eq!(why["past"], past);
    }
}

#[tokio::test]
async fn an_edit_moves_a_block_and_its_etag() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/blocks/{}", api.block(&flat, "2026-12-04", "2026-12-07").await);
    let etag = api.get(&path).await.header("etag").to_owned();
    let edited =
        api.ask(Method::PATCH, &path).header("if-match", &etag).json(json!({"end": "2026-12-05"})).send().await;
    assert_eq!(edited.status, 200, "{}", edited.text());
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, ["2026-12-04"]);
    let stale = api.ask(Method::PATCH, &path).header("if-match", &etag).json(json!({"end": "2026-12-06"})).send().await;
    stale.problem(412);
    api.ask(Method::DELETE, &path).header("if-match", &etag).send().await.problem(412);
    assert_eq!(api.patch(&path, json!({"start": "2026-12-04T16:00"})).await.pointers(), ["/end"], "both in one form");
    assert_eq!(api.patch(&path, json!({"start": "2026-12-04T16:00", "end": "2026-12-04T18:00"})).await.status, 200);
    assert_eq!(api.patch(&path, json!({"start": null})).await.pointers(), ["/start"]);
    assert_eq!(api.patch(&path, json!({"extends": path.rsplit('/').next().unwrap()})).await.pointers(), ["/extends"]);
}

#[tokio::test]
async fn an_edit_into_what_is_taken_is_409_unless_forced_and_a_new_text_is_not() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let first = api.block(&flat, "2026-12-04", "2026-12-07").await;
    let path = format!("/v1/blocks/{}", api.block(&flat, "2026-12-06", "2026-12-10").await);
    assert_eq!(api.patch(&path, json!({"summary": "Both"})).await.status, 200);
    assert_eq!(api.patch(&path, json!({"end": "2026-12-09"})).await.problem(409)["blocked_by"], json!([first]));
    assert_eq!(api.patch(&path, json!({"end": "2026-12-09", "force": true})).await.status, 200);
}

#[tokio::test]
async fn an_imported_block_is_not_the_hosts_to_change() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let block = api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"][0].clone();
    assert_eq!(block["source"]["type"], "connection");
    assert_eq!(block["source"]["provider"], "airbnb");
    assert_eq!(block["label"], "EX-a");
    assert_eq!((&block["kind"], &block["summary"]), (&json!("reservation"), &json!("Reserved")));
    let path = format!("/v1/blocks/{}", block["id"].as_str().unwrap());
    api.patch(&path, json!({"end": "2026-12-05"})).await.problem(409);
    api.delete(&path).await.problem(409);
}

#[tokio::test]
async fn stays_of_a_paused_connection_are_listed_on_demand_only() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.post(&format!("/v1/connections/{}/pause", connection["id"].as_str().unwrap()), json!({})).await;
    let path = format!("/v1/properties/{flat}/blocks");
    assert_eq!(api.get(&path).await.json()["items"], json!([]));
    assert_eq!(api.get(&format!("{path}?include=all")).await.json()["items"][0]["state"], "paused");
    api.get(&format!("{path}?include=some")).await.problem(422);
}

#[tokio::test]
async fn blocks_are_paged_in_order_of_time() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    for start in ["2027-03-01", "2026-12-01", "2027-01-01", "2027-02-01", "2026-11-25"] {
        let end: jiff::civil::Date = start.parse().unwrap();
        api.block(&flat, start, &end.tomorrow().unwrap().to_string()).await;
    }
    let mut seen = Vec::new();
    let mut path = format!("/v1/properties/{flat}/blocks?limit=2");
    loop {
        let page = api.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["start"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/properties/{flat}/blocks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["2026-11-25", "2026-12-01", "2027-01-01", "2027-02-01", "2027-03-01"]);
}

#[tokio::test]
async fn pruning_removes_own_blocks_that_a_reservation_covers_and_a_preview_removes_none() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let covered = api.block(&flat, "2026-12-04", "2026-12-06").await;
    let beyond = api.block(&flat, "2026-12-06", "2026-12-08").await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let stay = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    let of = |id: &str| {
        stay["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap()["covered_by"].clone()
    };
    assert_eq!(of(&covered).as_array().unwrap().len(), 1);
    assert_eq!(of(&beyond), json!([]));
    let path = format!("/v1/properties/{flat}/blocks/prune");
    let preview = api.post(&format!("{path}?preview=true"), json!({})).await.json();
    assert_eq!(preview, json!({"removed": [covered], "opens": [], "opens_at_site": {}}));
    assert_eq!(api.get(&format!("/v1/blocks/{covered}")).await.status, 200);
    assert_eq!(api.ask(Method::POST, &path).send().await.json(), preview);
    api.get(&format!("/v1/blocks/{covered}")).await.problem(404);
    assert_eq!(api.get(&format!("/v1/blocks/{beyond}")).await.status, 200);
}

#[tokio::test]
async fn pruning_spares_a_block_that_may_only_have_come_back_from_our_own_link() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect(&flat, "a", plain(&[])).await;
    api.clock.advance(jiff::SignedDuration::from_mins(1));
    let own = api.block(&flat, "2026-12-04", "2026-12-06").await;
    // The site shows what it read from our link as a closure of its own.
    api.feeds.serve(&url("a"), plain(&[("Not available", "2026-12-04", "2026-12-06")]));
    api.clock.advance(jiff::SignedDuration::from_mins(1));
    api.post(&format!("/v1/connections/{}/refresh", connection["id"].as_str().unwrap()), json!({})).await;
    api.work().await;
    assert_eq!(api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"].as_array().unwrap().len(), 2);
    let pruned = api.post(&format!("/v1/properties/{flat}/blocks/prune"), json!({})).await.json();
    assert_eq!(pruned["removed"], json!([]));
    assert_eq!(api.get(&format!("/v1/blocks/{own}")).await.status, 200);
}

#[tokio::test]
async fn a_block_without_a_summary_says_null() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/blocks");
    let span = json!({"kind": "closure", "start": "2026-12-04", "end": "2026-12-06", "force": true});
    for summary in [None, Some(json!(null)), Some(json!("")), Some(json!("  "))] {
        let mut body = span.clone();
        if let Some(summary) = &summary {
            body["summary"] = summary.clone();
        }
        let made = api.post(&path, body).await;
        assert_eq!((made.status, &made.json()["summary"]), (201, &json!(null)), "{summary:?}");
        assert_eq!(api.get(made.header("location")).await.json()["summary"], json!(null));
    }
    let path = format!("/v1/blocks/{}", api.block(&flat, "2027-01-04", "2027-01-05").await);
    assert_eq!(api.patch(&path, json!({"summary": "x"})).await.json()["summary"], "x");
    assert_eq!(api.patch(&path, json!({"summary": null})).await.json()["summary"], json!(null));
}

#[tokio::test]
async fn a_property_has_five_thousand_blocks_of_its_own_at_most() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let id = flat.parse().unwrap();
    let template = api.block(&flat, "2026-12-04", "2026-12-05").await;
    let filled = api.app.changes.change_property(&id, |draft| {
        let like = draft.block(&template.parse().unwrap()).unwrap().clone();
        let more = (1..calmesh_app::OWN_BLOCKS.most as u128)
            .map(|n| Block { id: BlockId::from_random(n.to_be_bytes()), ..like.clone() });
        draft.state.blocks.extend(more);
        Ok::<_, std::convert::Infallible>(())
    });
    filled.await.unwrap();
    let body = json!({"kind": "closure", "start": "2027-12-04", "end": "2027-12-06"});
    let full = api.post(&format!("/v1/properties/{flat}/blocks"), body).await.problem(409);
    assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(5000)));
}

#[tokio::test]
async fn an_extension_touches_its_stay_and_anything_else_is_refused() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let stay = api.block(&flat, "2026-12-04", "2026-12-07").await;
    let path = format!("/v1/properties/{flat}/blocks");
    let extend = |start: &str, end: &str| {
        let body = json!({"kind": "reservation", "start": start, "end": end, "extends": stay, "force": true});
        api.post(&path, body)
    };
    for (start, end) in [
        ("2026-12-08", "2026-12-09"),
        ("2026-12-02", "2026-12-03"),
        ("2027-12-07", "2027-12-08"),
        ("2026-12-07T12:00", "2026-12-07T14:00"),
    ] {
        assert_eq!(extend(start, end).await.pointers(), ["/extends"], "{start}");
    }
    for (start, end) in [
        ("2026-12-07", "2026-12-08"),
        ("2026-12-03", "2026-12-04"),
        ("2026-12-07T11:00", "2026-12-07T14:00"),
        ("2026-12-06T20:00", "2026-12-07T14:00"),
    ] {
        assert_eq!(extend(start, end).await.status, 201, "{start}");
    }
    let last = extend("2026-12-07", "2026-12-08").await.json();
    let moved = json!({"start": "2026-12-20", "end": "2026-12-21"});
    assert_eq!(
        api.patch(&format!("/v1/blocks/{}", last["id"].as_str().unwrap()), moved).await.pointers(),
        ["/extends"]
    );
}
