use serde_json::json;

use crate::{scenes::*, testing::TestApi};

#[tokio::test]
async fn a_property_is_made_with_dull_defaults_and_read_back() {
    let api = TestApi::new().await;
    let made = api.post("/v1/properties", json!({"name": "Casa Azul", "time_zone": "Europe/Madrid"})).await;
    assert_eq!(made.status, 201);
    let property = made.json();
    assert_eq!(property["check_in"], "15:00");
    assert_eq!(property["check_out"], "11:00");
    assert_eq!(property["turnover_nights"], 0);
    assert_eq!(property["label_prefix"], "EX-");
    let location = made.header("location").to_owned();
    assert_eq!(location, format!("/v1/properties/{}", property["id"].as_str().unwrap()));
    let read = api.get(&location).await;
    assert_eq!((read.json(), read.header("etag")), (property, made.header("etag")));
}

#[tokio::test]
async fn every_wrong_field_of_a_property_is_named() {
    let api = TestApi::new().await;
    let wrong = [
        (json!({}), vec!["/name", "/time_zone"]),
        (json!({"name": "", "time_zone": "UTC"}), vec!["/name"]),
        (json!({"name": "a\nb", "time_zone": "UTC"}), vec!["/name"]),
        (json!({"name": "a".repeat(201), "time_zone": "UTC"}), vec!["/name"]),
        (json!({"name": null, "time_zone": "UTC"}), vec!["/name"]),
        (json!({"name": "Flat", "time_zone": "Mars/Olympus"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "+02:00"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "Etc/Unknown"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "Local"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "Factory"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "factory"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "localtime"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "posixrules"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "right/Europe/Madrid"}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": ""}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": 1}), vec!["/time_zone"]),
        (json!({"name": "Flat", "time_zone": "UTC", "check_in": "25:00"}), vec!["/check_in"]),
        (json!({"name": "Flat", "time_zone": "UTC", "check_in": "10:00"}), vec!["/check_out"]),
        (json!({"name": "Flat", "time_zone": "UTC", "check_out": "15:01"}), vec!["/check_out"]),
        (json!({"name": "Flat", "time_zone": "UTC", "turnover_nights": -1}), vec!["/turnover_nights"]),
        (json!({"name": "Flat", "time_zone": "UTC", "turnover_nights": 1.5}), vec!["/turnover_nights"]),
        (json!({"name": "Flat", "time_zone": "UTC", "turnover_nights": 31}), vec!["/turnover_nights"]),
        (json!({"name": "Flat", "time_zone": "UTC", "label_prefix": "x".repeat(41)}), vec!["/label_prefix"]),
        (json!({"name": "Flat", "time_zone": "UTC", "id": "prp_x"}), vec!["/id"]),
        (json!({"name": "Flat", "time_zone": "UTC", "colour": "blue"}), vec!["/colour"]),
    ];
    for (body, pointers) in wrong {
        assert_eq!(api.post("/v1/properties", body.clone()).await.pointers(), pointers, "{body}");
    }
}

#[tokio::test]
async fn a_zone_is_kept_as_the_database_writes_it() {
    let api = TestApi::new().await;
    let made = api.post("/v1/properties", json!({"name": "Flat", "time_zone": "europe/madrid"})).await;
    assert_eq!(made.json()["time_zone"], "Europe/Madrid");
}

#[tokio::test]
async fn an_edit_keeps_what_it_does_not_mention_and_null_goes_back_to_the_default() {
    let api = TestApi::new().await;
    let flat = api.flat_with(json!({"check_out": "09:00", "turnover_nights": 2, "label_prefix": "X "})).await;
    let path = format!("/v1/properties/{flat}");
    let etag = api.get(&path).await.header("etag").to_owned();
    let edited = api.patch(&path, json!({"name": "Casa", "turnover_nights": null, "label_prefix": null})).await;
    let property = edited.json();
    assert_eq!((&property["name"], &property["check_out"]), (&json!("Casa"), &json!("09:00")));
    assert_eq!((&property["turnover_nights"], &property["label_prefix"]), (&json!(0), &json!("EX-")));
    assert_ne!(edited.header("etag"), etag);
    let same = api.patch(&path, json!({"name": "Casa"})).await;
    assert_eq!(same.header("etag"), edited.header("etag"), "nothing was edited");
}

#[tokio::test]
async fn a_stale_edit_or_deletion_is_412() {
    let api = TestApi::new().await;
    let path = format!("/v1/properties/{}", api.flat().await);
    let etag = api.get(&path).await.header("etag").to_owned();
    api.patch(&path, json!({"name": "Casa"})).await;
    let ask = |method| api.ask(method, &path).header("if-match", &etag);
    ask(http::Method::PATCH).json(json!({"name": "House"})).send().await.problem(412);
    ask(http::Method::DELETE).send().await.problem(412);
    assert_eq!(api.get(&path).await.json()["name"], "Casa");
}

#[tokio::test]
async fn another_accounts_property_is_not_there() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let stranger = api.stranger().await;
    for path in ["", "/connections", "/blocks", "/holds", "/availability?from=2026-12-01&to=2026-12-02"] {
        let path = format!("/v1/properties/{flat}{path}");
        api.ask(http::Method::GET, &path).by(&stranger).send().await.problem(404);
    }
    let path = format!("/v1/properties/{flat}");
    api.ask(http::Method::DELETE, &path).by(&stranger).send().await.problem(404);
    api.ask(http::Method::PATCH, &path).by(&stranger).json(json!({"name": "Mine"})).send().await.problem(404);
    api.get("/v1/properties/prp_nonsense").await.problem(404);
}

#[tokio::test]
async fn a_token_for_one_property_sees_no_other_and_makes_none() {
    let api = TestApi::new().await;
    let (mine, other) = (api.flat().await, api.flat().await);
    let token = api.token_with(json!({"name": "cleaner", "scope": "full", "property_ids": [mine]})).await;
    let get = |path: String| api.ask(http::Method::GET, &path).by(&token).send();
    let list = get("/v1/properties".to_owned()).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["id"], json!(mine));
    get(format!("/v1/properties/{other}")).await.problem(404);
    let new = json!({"name": "Flat", "time_zone": "UTC"});
    api.ask(http::Method::POST, "/v1/properties").by(&token).json(new).send().await.problem(403);
    api.ask(http::Method::POST, "/v1/refresh").by(&token).send().await.problem(403);
}

#[tokio::test]
async fn properties_are_paged_in_order_of_creation() {
    let api = TestApi::new().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(api.flat().await);
        api.clock.advance(jiff::SignedDuration::from_secs(1));
    }
    let mut seen = Vec::new();
    let mut path = "/v1/properties?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/properties?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_deleted_property_is_gone_and_its_links_serve_an_empty_calendar_for_a_week() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let block = api.block(&flat, "2027-01-01", "2027-01-03").await;
    api.work().await;
    let link = connection["export"]["url"].as_str().unwrap();
    assert_eq!(api.served(link).await.unwrap(), ["20270101-20270103"]);

    let path = format!("/v1/properties/{flat}");
    let preview = api.delete(&format!("{path}?preview=true")).await.json();
    assert_eq!(preview["opens"], json!(["2026-12-04", "2026-12-05", "2026-12-06", "2027-01-01", "2027-01-02"]));
    assert_eq!(api.get(&path).await.status, 200, "a preview changes nothing");

    assert_eq!(api.delete(&path).await.status, 204);
    api.work().await;
    api.get(&path).await.problem(404);
    api.get(&format!("/v1/connections/{}", connection["id"].as_str().unwrap())).await.problem(404);
    api.get(&format!("/v1/blocks/{block}")).await.problem(404);
    api.delete(&path).await.problem(404);
    assert_eq!(api.get("/v1/properties").await.json()["items"], json!([]));
    assert_eq!(api.served(link).await.unwrap(), Vec::<String>::new(), "empty, and not 404");
    api.clock.advance(jiff::SignedDuration::from_hours(24 * 7));
    api.app.publish.publish_property(&flat.parse().unwrap()).await.unwrap();
    assert_eq!(api.served(link).await, None);
}

#[tokio::test]
async fn a_preview_of_an_edit_says_what_fewer_turnover_nights_would_open() {
    let api = TestApi::new().await;
    let flat = api.flat_with(json!({"turnover_nights": 2})).await;
    let a = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let path = format!("/v1/properties/{flat}");
    let before = api.get(&path).await;
    let preview = api.patch(&format!("{path}?preview=true"), json!({"turnover_nights": 1})).await;
    assert_eq!(
        preview.json(),
        json!({"opens": ["2026-12-08"], "opens_at_site": {a["id"].as_str().unwrap(): ["2026-12-08"]}})
    );
    assert_eq!(api.get(&path).await.body, before.body);
    api.patch(&path, json!({"turnover_nights": 1})).await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 4);
}

#[tokio::test]
async fn a_corrected_zone_keeps_the_clock_of_own_blocks_and_reads_floating_times_anew() {
    let api = TestApi::new().await;
    let flat = api.flat_with(json!({"time_zone": "Asia/Tokyo"})).await;
    let floating = "BEGIN:VCALENDAR\r\nPRODID:-//x//EN\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\
                    \r\nSUMMARY:Reserved\r\nDTSTART:20261204T160000\r\nDTEND:20261205T100000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    api.connect(&flat, "a", floating.to_owned()).await;
    let own = api.block(&flat, "2026-12-10T11:00", "2026-12-10T14:00").await;
    api.patch(&format!("/v1/properties/{flat}"), json!({"time_zone": "Europe/Madrid"})).await;
    let own = api.get(&format!("/v1/blocks/{own}")).await.json();
    assert_eq!((&own["start"], &own["end"]), (&json!("2026-12-10T11:00"), &json!("2026-12-10T14:00")));
    let blocks = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    assert_eq!(blocks["items"][0]["start"], "2026-12-04T16:00");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, ["2026-12-04"]);
}

#[tokio::test]
async fn an_account_has_ten_thousand_properties_at_most() {
    let api = TestApi::new().await;
    for _ in 0..calmesh_app::PROPERTIES.most {
        api.property(&api.account.id).await;
    }
    let full = api.post("/v1/properties", json!({"name": "One more", "time_zone": "UTC"})).await.problem(409);
    assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(10_000)));
}

#[tokio::test]
async fn zones_are_known_by_their_older_names_too() {
    let api = TestApi::new().await;
    for zone in ["Europe/Kyiv", "Europe/Kiev", "Asia/Calcutta", "Asia/Kolkata", "US/Eastern", "Asia/Saigon", "GB"] {
        let made = api.post("/v1/properties", json!({"name": "Flat", "time_zone": zone})).await;
        assert_eq!((made.status, &made.json()["time_zone"]), (201, &json!(zone)), "{zone}");
        let path = format!("/v1/properties/{}", made.json()["id"].as_str().unwrap());
        let edited = api.patch(&path, json!({"time_zone": "Europe/Kiev"})).await;
        assert_eq!(edited.status, 200, "{zone}");
        assert_eq!(api.get(&format!("{path}/availability?from=2026-12-01&to=2026-12-03")).await.status, 200);
    }
}
