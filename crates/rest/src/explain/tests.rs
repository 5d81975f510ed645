use calmesh_app::ports::Clock;
use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    scenes::*,
    testing::{NOW, TestApi},
};

#[tokio::test]
async fn a_taken_night_is_explained_with_its_event_its_rules_and_the_links_that_carry_it() {
    let api = TestApi::new().await;
    let flat = api.flat_with(json!({"turnover_nights": 1})).await;
    let a = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let b = api.connect(&flat, "b", airbnb(&[])).await;
    let export = json!({"name": "out", "direction": "export"});
    let c = api.post(&format!("/v1/properties/{flat}/connections"), export).await.json();
    let path = format!("/v1/properties/{flat}/explain");
    let answer = api.get(&format!("{path}?night=2026-12-06")).await.json();
    assert_eq!((&answer["night"], &answer["available"]), (&json!("2026-12-06"), &json!(false)));
    assert_eq!(answer["as_of"], crate::testing::NOW);
    let [claim] = answer["claims"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&claim["source"]["connection_id"], &claim["state"]), (&a["id"], &json!("standing")));
    assert_eq!(claim["source"]["name"], a["name"]);
    assert_eq!(claim["event"], json!({"uid": "1418fb94e984-HMAAAAAAAA@airbnb.com", "lines": [4, 11]}));
    assert_eq!(claim["carried_by"], json!([b["id"], c["id"]]));
    assert!(claim["rules"].as_array().unwrap().contains(&json!("a reservation by its own text")), "{claim}");
    let after = api.get(&format!("{path}?night=2026-12-07")).await.json();
    assert_eq!((&after["available"], &after["claims"][0]["turnover"]), (&json!(false), &json!(true)));
    let mut carried: Vec<_> = after["claims"][0]["carried_by"].as_array().unwrap().clone();
    carried.sort_by_key(ToString::to_string);
    let mut all = vec![a["id"].clone(), b["id"].clone(), c["id"].clone()];
    all.sort_by_key(ToString::to_string);
    assert_eq!(carried, all, "turnover nights are on every link");
    let free = api.get(&format!("{path}?night=2026-12-08")).await.json();
    assert_eq!((&free["available"], &free["claims"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn extra_links_that_carry_a_night_are_named_to_who_sees_them() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let other = api.flat().await;
    let a = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let b = api.connect(&flat, "b", airbnb(&[])).await;
    let link = async |scope: serde_json::Value| {
        let made = api.post("/v1/links", json!({"name": "x", "property_ids": scope})).await.json();
        made["id"].clone()
    };
    // A second between them: links are told in order of creation.
    let all = link(json!("all")).await;
    api.clock.advance(jiff::SignedDuration::from_secs(1));
    let this = link(json!([flat])).await;
    link(json!([other])).await;
    let path = format!("/v1/properties/{flat}/explain?night=2026-12-06");
    let answer = api.get(&path).await.json();
    assert_eq!(answer["claims"][0]["carried_by"], json!([b["id"], all, this]));
    assert_eq!(answer["not_known"], json!([]));
    let some = api.token_with(json!({"name": "some", "property_ids": [flat]})).await;
    let answer = api.ask(Method::GET, &path).by(&some).send().await.json();
    assert_eq!(answer["claims"][0]["carried_by"], json!([b["id"], this]), "a link over all shows others too");
    assert_eq!(api.delete(&format!("/v1/links/{}", this.as_str().unwrap())).await.status, 204);
    assert_eq!(api.get(&path).await.json()["claims"][0]["carried_by"], json!([b["id"], all]));
    api.post(&format!("/v1/connections/{}/pause", a["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(api.get(&path).await.json()["claims"][0]["carried_by"], json!([]), "what does not count is on none");
}

#[tokio::test]
async fn a_night_is_explained_as_it_stood_at_a_past_instant() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let b = api.connect(&flat, "b", airbnb(&[])).await;
    let path = format!("/v1/properties/{flat}/explain?night=2026-12-06");
    let then = api.get(&path).await.json();
    api.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(api.delete(&format!("/v1/connections/{}", a["id"].as_str().unwrap())).await.status, 204);
    let now = api.get(&path).await.json();
    assert_eq!((&now["available"], &now["claims"]), (&json!(true), &json!([])));
    let past = api.get(&format!("{path}&as_of={NOW}")).await.json();
    assert_eq!((&past["as_of"], &past["available"]), (&json!(NOW), &json!(false)));
    assert_eq!(past["claims"][0]["carried_by"], json!([b["id"]]));
    // The feed went with its connection: what it said is known, where it said so is not.
    assert_eq!(past["not_known"], json!([a["id"]]));
    assert_eq!(past["claims"][0]["event"]["lines"], json!(null));
    for member in ["block_id", "kind", "state", "rules", "since", "turnover", "carried_by"] {
        assert_eq!(past["claims"][0][member], then["claims"][0][member], "{member}");
    }
}

#[tokio::test]
async fn an_instant_that_nothing_can_be_told_of_is_refused_with_a_sentence() {
    let api = TestApi::new().await;
    api.clock.advance(SignedDuration::from_hours(-24 * 40));
    let flat = api.flat().await;
    api.clock.advance(SignedDuration::from_hours(24 * 40));
    let path = format!("/v1/properties/{flat}/explain?night=2026-12-06");
    let later = api.clock.now() + SignedDuration::from_secs(1);
    for (as_of, why) in [
        (later.to_string(), "in the future"),
        ((later - SignedDuration::from_hours(24 * 31)).to_string(), "more than 30 days back"),
        ("2020-01-01T00:00:00Z".to_owned(), "before the property was made"),
        ("yesterday".to_owned(), "must be an instant"),
    ] {
        let answer = api.get(&format!("{path}&as_of={as_of}")).await;
        assert_eq!(answer.pointers(), ["/as_of"], "{as_of}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.text());
    }
    let kept = later - SignedDuration::from_hours(24 * 29);
    assert_eq!(api.get(&format!("{path}&as_of={kept}")).await.json()["available"], true);
}

#[tokio::test]
async fn a_wrong_night_is_named_and_another_accounts_property_is_not_there() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/explain");
    for query in ["", "?night=", "?night=yesterday", "?night=2026-12-04T11:00"] {
        assert_eq!(api.get(&format!("{path}{query}")).await.pointers(), ["/night"], "{query}");
    }
    let stranger = api.stranger().await;
    api.ask(Method::GET, &format!("{path}?night=2026-12-04")).by(&stranger).send().await.problem(404);
}
