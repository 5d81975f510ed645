//! No answer is larger than a client, or the gateway before a function, takes: of a property that is as full as anybody
//! would make it, everything that can be asked is asked. A function may answer 6 MB.

use std::fmt::Write;

use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{scenes::*, testing::TestApi};

const MOST: usize = 1_000_000;

const CONNECTIONS: usize = 12;
const STAYS: usize = 8;

/// Stays of up to two years over one another, with a property in each that can't be read.
fn crowded(connection: usize, stays: usize) -> String {
    let mut text = String::from("BEGIN:VCALENDAR\r\nPRODID:-//somebody//EN\r\nVERSION:2.0\r\n");
    for at in 0..stays {
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:202612{:02}\r\nDTEND;VALUE=DATE:20281{:03}\r\n\
             DURATION:{}\r\nSUMMARY:{}\r\nUID:{}-{connection}-{at}\r\nEND:VEVENT\r\n",
            1 + at,
            201 + at,
            "P".repeat(900),
            "🏡".repeat(400),
            "u".repeat(200),
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

async fn full() -> (TestApi, Vec<(&'static str, String)>) {
    let api = TestApi::new().await;
    let long = |things: &str| format!("{things}{}", "🏡".repeat(190));
    let flat = api.flat_with(json!({"name": long("Flat")})).await;
    let mut connection = String::new();
    for at in 0..CONNECTIONS {
        let name = format!("c{at}");
        let made = api.connect_with(&flat, &name, crowded(at, STAYS), json!({"name": long(&name)})).await;
        connection = made["id"].as_str().unwrap().to_owned();
        api.clock.advance(SignedDuration::from_mins(1));
    }
    let mut own = String::new();
    for at in 0..5 {
        let body = json!({
            "kind": "reservation", "start": "2026-12-01", "end": format!("2028-12-{:02}", 1 + at), "force": true,
            "summary": "🏡".repeat(500),
        });
        let made = api.post(&format!("/v1/properties/{flat}/blocks"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        own = made.json()["id"].as_str().unwrap().to_owned();
    }
    let mut link = String::new();
    for at in 0..5 {
        let body = json!({"name": long(&format!("l{at}")), "property_ids": "all"});
        let made = api.post("/v1/links", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        link = made.json()["id"].as_str().unwrap().to_owned();
    }
    api.work().await;
    for at in 0..CONNECTIONS {
        api.feeds.serve(&url(&format!("c{at}")), crowded(at, 1));
    }
    api.clock.advance(SignedDuration::from_mins(10));
    let refresh = api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await.json();
    api.work().await;
    let first_of = |list: Value| list["items"][0]["id"].as_str().unwrap().to_owned();
    let hold = first_of(api.get(&format!("/v1/properties/{flat}/holds")).await.json());
    let conflict = first_of(api.get(&format!("/v1/properties/{flat}/conflicts")).await.json());
    let ids = vec![
        ("properties", flat),
        ("connections", connection),
        ("blocks", own),
        ("links", link),
        ("holds", hold),
        ("conflicts", conflict),
        ("refreshes", refresh["id"].as_str().unwrap().to_owned()),
    ];
    (api, ids)
}

/// What one operation of the document is asked: its largest page, its longest time, its preview.
fn question(method: &str, path: &str, parameters: &[&str], ids: &[(&str, String)]) -> Option<String> {
    let room = path.split('/').nth(2).unwrap_or_default();
    let id = ids.iter().find(|(things, _)| *things == room).map(|(_, id)| id.as_str());
    let mut asked = path.replace("{id}", id.unwrap_or_default());
    let mut query = Vec::new();
    for parameter in parameters {
        query.push(match *parameter {
            "limit" => "limit=200",
            "from" => "from=2026-12-01",
            "to" => "to=2028-12-30",
            "start" => "start=2026-12-01",
            "end" => "end=2028-12-30",
            "night" => "night=2026-12-24",
            "preview" => "preview=true",
            "group" => "group=true",
            "include" => "include=all",
            _ => continue,
        });
    }
    if !query.is_empty() {
        write!(asked, "?{}", query.join("&")).unwrap();
    }
    // What changes something and has no preview answers the one thing that it changed.
    (method == "get" || query.contains(&"preview=true")).then_some(asked)
}

#[tokio::test]
async fn no_answer_of_a_property_that_is_full_is_larger_than_a_megabyte() {
    let (api, ids) = full().await;
    let document = api.get("/v1/openapi.json").await.json();
    let mut largest = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names: Vec<&str> = parameters.iter().filter_map(|one| one["name"].as_str()).collect();
            let Some(asked) = question(method, path, &names, &ids) else { continue };
            let request = api.ask(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &asked);
            let answer = match (method.as_str(), path.as_str()) {
                ("patch", "/v1/properties/{id}") => request.json(json!({"time_zone": "Pacific/Auckland"})),
                ("patch", "/v1/connections/{id}") => request.json(json!({"direction": "import"})),
                ("patch", "/v1/blocks/{id}") => request.json(json!({"end": "2026-12-02"})),
                ("patch", "/v1/links/{id}") => request.json(json!({"detail": "busy"})),
                ("patch", "/v1/account") => request.json(json!({"label_prefix": "X"})),
                ("post", "/v1/conflicts/{id}/resolve") => request.json(json!({"gone": ids[2].1})),
                ("get" | "delete", _) => request,
                _ => request.json(json!({})),
            };
            let answer = answer.send().await;
            largest.push((answer.body.len(), answer.status, format!("{method} {asked}")));
        }
    }
    largest.sort_by(|a, b| b.cmp(a));
    for (size, status, asked) in &largest {
        println!("{size:>9} {status} {asked}");
    }
    assert!(largest[0].0 <= MOST, "{largest:#?}");
}
