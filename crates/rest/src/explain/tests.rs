use http::Method;
use serde_json::json;

use crate::{scenes::*, testing::TestApi};

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
