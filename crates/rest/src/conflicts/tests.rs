use http::Method;
use serde_json::{Value, json};

use crate::{scenes::*, testing::TestApi};

/// Two sites that sold one night; the property and its conflict.
async fn a_clash(api: &TestApi) -> (String, Value) {
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.clock.advance(jiff::SignedDuration::from_mins(1));
    api.connect(&flat, "b", airbnb(&[("HMBBBBBBBB", "2026-12-06", "2026-12-09")])).await;
    api.work().await;
    let listed = api.get(&format!("/v1/properties/{flat}/conflicts")).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    (flat, listed["items"][0].clone())
}

#[tokio::test]
async fn a_conflict_tells_both_stays_which_came_first_and_the_deadline() {
    let api = TestApi::new().await;
    let (flat, conflict) = a_clash(&api).await;
    let blocks = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    let first = blocks["items"].as_array().unwrap().iter().find(|block| block["start"] == "2026-12-04").unwrap();
    assert_eq!((&conflict["status"], &conflict["property_id"]), (&json!("open"), &json!(flat)));
    assert_eq!((&conflict["first"], &conflict["nights"]), (&first["id"], &json!(["2026-12-06"])));
    assert_eq!(conflict["arrives_at"], "2026-12-04T14:00:00Z");
    assert_eq!((&conflict["gone"], &conflict["closed_at"]), (&json!(null), &json!(null)));
    let all = api.get("/v1/conflicts").await.json();
    assert_eq!(all["items"], json!([conflict]));
    let activity = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
    let told = activity["items"].as_array().unwrap().iter().find(|entry| entry["type"] == "conflict_opened");
    assert_eq!(told.unwrap()["conflict_id"], conflict["id"]);
}

#[tokio::test]
async fn a_conflict_is_read_by_names_and_dates() {
    let api = TestApi::new().await;
    let (_, conflict) = a_clash(&api).await;
    assert_eq!(
        (&conflict["property_name"], &conflict["more"], &conflict["more_nights"]),
        (&json!("Flat"), &json!(0), &json!(0))
    );
    let mut stays = conflict["stays"].as_array().unwrap().clone();
    let ids: Vec<&Value> = stays.iter().map(|stay| &stay["block_id"]).collect();
    assert_eq!(ids, conflict["blocks"].as_array().unwrap().iter().collect::<Vec<_>>());
    stays.sort_by_key(|stay| stay["start"].to_string());
    let expected = [("a", "2026-12-04", "2026-12-07"), ("b", "2026-12-06", "2026-12-09")];
    for (stay, (name, start, end)) in stays.iter().zip(expected) {
        let id = &stay["block_id"];
        let told = json!({"block_id": id, "name": name, "provider": "airbnb", "kind": "reservation", "start": start, "end": end, "gone": false});
        assert_eq!(*stay, told);
    }
}

#[tokio::test]
async fn the_host_says_which_stay_is_gone() {
    let api = TestApi::new().await;
    let (flat, conflict) = a_clash(&api).await;
    let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
    assert_eq!(api.post(&path, json!({})).await.pointers(), ["/gone"]);
    let other = api.block(&flat, "2027-01-01", "2027-01-02").await;
    assert_eq!(api.post(&path, json!({"gone": other})).await.pointers(), ["/gone"]);
    let answer = api.post(&path, json!({"gone": conflict["blocks"][1]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A reservation by its own text is no echo: it goes when its feed lets it go.
    assert_eq!((&answer.json()["status"], &answer.json()["gone"]), (&json!("resolved"), &conflict["blocks"][1]));
    api.feeds.serve(&url("b"), airbnb(&[("HMBBBBBBBB", "2026-12-07", "2026-12-09")]));
    api.clock.advance(jiff::SignedDuration::from_mins(1));
    api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
    api.work().await;
    let closed = api.get(&format!("/v1/properties/{flat}/conflicts")).await.json();
    assert_eq!(
        (&closed["items"][0]["status"], &closed["items"][0]["closed_at"]),
        (&json!("closed"), &json!("2026-11-21T10:02:00Z"))
    );
    let again = api.post(&path, json!({"gone": conflict["blocks"][0]})).await;
    assert_eq!(again.problem(409)["type"], "/problems/conflict-closed");
    let marked = closed["items"][0]["stays"].as_array().unwrap().iter().filter(|stay| stay["gone"] == true);
    assert_eq!(marked.count(), 1, "{closed}");
}

#[tokio::test]
async fn a_conflict_with_a_block_of_the_hosts_own_ends_when_the_host_deletes_it() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let own = api.block(&flat, "2026-12-05", "2026-12-06").await;
    let conflict = api.get("/v1/conflicts").await.json()["items"][0].clone();
    let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
    assert_eq!(api.post(&path, json!({"gone": own})).await.pointers(), ["/gone"]);
    api.delete(&format!("/v1/blocks/{own}")).await;
    assert_eq!(api.get("/v1/conflicts").await.json()["items"][0]["status"], "closed");
}

#[tokio::test]
async fn conflicts_are_seen_by_their_account_and_by_tokens_for_their_property_alone() {
    let api = TestApi::new().await;
    let (flat, conflict) = a_clash(&api).await;
    let elsewhere = api.flat().await;
    let narrow = api.token_with(json!({"name": "n", "property_ids": [elsewhere]})).await;
    let stranger = api.stranger().await;
    for token in [&narrow, &stranger] {
        let all = api.ask(Method::GET, "/v1/conflicts").by(token).send().await.json();
        assert_eq!(all["items"], json!([]));
        api.ask(Method::GET, &format!("/v1/properties/{flat}/conflicts")).by(token).send().await.problem(404);
        let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
        let body = json!({"gone": conflict["blocks"][0]});
        api.ask(Method::POST, &path).by(token).json(body).send().await.problem(404);
    }
}

/// Two sites that sold one night, and one whose stays may be echoes; the property and its conflict.
async fn a_clash_of_three(api: &TestApi) -> (String, Value) {
    let flat = api.flat().await;
    api.connect(&flat, "a", plain(&[("Blocked", "2026-12-04", "2026-12-07")])).await;
    let far = ("HMDDDDDDDD", "2027-05-05", "2027-05-20");
    api.connect(&flat, "b", airbnb(&[("HMBBBBBBBB", "2026-12-05", "2026-12-08"), far])).await;
    api.connect(&flat, "c", airbnb(&[("HMCCCCCCCC", "2026-12-06", "2026-12-09")])).await;
    api.work().await;
    let listed = api.get(&format!("/v1/properties/{flat}/conflicts")).await.json();
    assert_eq!(listed["items"][0]["stays"].as_array().unwrap().len(), 3, "{listed}");
    (flat, listed["items"][0].clone())
}

/// The stay of this site in a conflict.
fn of_site<'a>(conflict: &'a Value, name: &str) -> &'a Value {
    conflict["stays"].as_array().unwrap().iter().find(|stay| stay["name"] == name).unwrap()
}

#[tokio::test]
async fn what_you_said_to_be_gone_stays_listed_to_the_end_of_its_conflict() {
    let api = TestApi::new().await;
    let (flat, conflict) = a_clash_of_three(&api).await;
    let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
    let (a, b) = (of_site(&conflict, "a")["block_id"].clone(), of_site(&conflict, "b")["block_id"].clone());
    let once = api.post(&path, json!({"gone": a})).await.json();
    assert_eq!((&once["status"], &once["gone"], &once["id"]), (&json!("open"), &a, &conflict["id"]), "{once}");
    let marks = |told: &Value| ["a", "b", "c"].map(|name| of_site(told, name)["gone"] == true);
    assert_eq!((marks(&once), once["blocks"].as_array().unwrap().len()), ([true, false, false], 3), "{once}");
    assert_eq!(of_site(&once, "a")["start"], "2026-12-04");
    let twice = api.post(&path, json!({"gone": b})).await.json();
    assert_eq!((&twice["status"], marks(&twice)), (&json!("resolved"), [true, true, false]), "{twice}");
    api.feeds.serve(&url("b"), airbnb(&[("HMDDDDDDDD", "2027-05-05", "2027-05-20")]));
    for _ in 0..2 {
        api.clock.advance(jiff::SignedDuration::from_mins(40));
        api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
        api.work().await;
    }
    let closed = api.get(&format!("/v1/properties/{flat}/conflicts")).await.json()["items"][0].clone();
    assert_eq!(closed["status"], "closed", "{closed}");
    let gone = closed["stays"].as_array().unwrap().iter().filter(|stay| stay["gone"] == true);
    let mut gone: Vec<&Value> = gone.map(|stay| &stay["block_id"]).collect();
    gone.sort_by_key(|id| **id != a);
    assert_eq!(gone, [&a, &b], "{closed}");
}

#[tokio::test]
async fn a_conflict_that_your_word_closed_says_so_and_takes_the_same_word_again() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", plain(&[("Blocked", "2026-12-04", "2026-12-07")])).await;
    api.connect(&flat, "b", airbnb(&[("HMBBBBBBBB", "2026-12-05", "2026-12-08")])).await;
    api.work().await;
    let conflict = api.get("/v1/conflicts").await.json()["items"][0].clone();
    let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
    let (a, b) = (of_site(&conflict, "a")["block_id"].clone(), of_site(&conflict, "b")["block_id"].clone());
    let closed = api.post(&path, json!({"gone": a})).await.json();
    assert_eq!((&closed["status"], &closed["gone"]), (&json!("closed"), &a), "{closed}");
    let again = api.post(&path, json!({"gone": a})).await;
    assert_eq!((again.status, again.json()), (200, closed));
    let preview = api.post(&format!("{path}?preview=true"), json!({"gone": a})).await;
    assert_eq!((preview.status, &preview.json()["opens"]), (200, &json!([])));
    let other = api.post(&path, json!({"gone": b})).await.problem(409);
    let detail = other["detail"].as_str().unwrap();
    assert!(detail.contains("you said which of its stays is gone"), "{detail}");
    let page = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
    let told = page["items"].as_array().unwrap().iter().find(|entry| entry["type"] == "conflict_closed").unwrap();
    assert_eq!(
        told["detail"],
        "A conflict is over: you said that a, 4–7 Dec 2026 is gone, and what is left (b (Airbnb), 5–8 Dec 2026) does not \
         clash."
    );
}
