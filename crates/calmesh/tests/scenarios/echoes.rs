//! Sites that show again what they read from us, sites that sold the same night, and a master feed beside its sources.

use calmesh_tests::{
    bodies::{Generic, airbnb, generic, vrbo},
    dates::next_year,
    feed_server::FeedServer,
    program::{Program, stays_of, values_of},
};
use serde_json::{Value, json};

use crate::{Site, begin};

const THREE: [&str; 3] = ["03-04/03-06", "04-01/04-03", "05-01/05-03"];

fn origin() -> calmesh_tests::bodies::Airbnb {
    airbnb().reserved("03-04", "03-06", "HMTEST0001").reserved("04-01", "04-03", "HMTEST0002").reserved(
        "05-01",
        "05-03",
        "HMTEST0003",
    )
}

/// A site that shows everything that it reads from its link.
struct EchoingSite {
    site: Site,
    name: &'static str,
    /// Shows it under UIDs of its own, new ones each time.
    mints: bool,
    reads: u32,
}

impl EchoingSite {
    async fn connect(program: &Program, feeds: &FeedServer, flat: &str, name: &'static str, mints: bool) -> Self {
        feeds.set(name, generic());
        let site = Site::connect(program, flat, name, &feeds.url(name)).await;
        Self { site, name, mints, reads: 0 }
    }

    /// Reads its link, shows what stands there, and is read by us.
    async fn goes_round(&mut self, program: &Program, feeds: &FeedServer) {
        let read = program.read_link(&self.site.link).await.text;
        self.reads += 1;
        let mut feed: Generic = generic();
        for (stay, uid) in stays_of(&read).iter().zip(values_of(&read, "UID")) {
            let (start, end) = stay.split_once('/').unwrap();
            let own = format!("{start}-{}@{}", self.reads, self.name);
            feed = feed.event(start, end, if self.mints { &own } else { &uid }, "Blocked");
        }
        feeds.set(self.name, feed);
        program.refresh(&self.site.path("/refresh")).await;
    }
}

async fn taken(program: &Program, flat: &str) -> Vec<String> {
    let path = format!("/v1/properties/{flat}/availability?from={}&to={}", next_year("03-01"), next_year("06-01"));
    let answer = program.get(&path).await.expect(200);
    let nights = answer["nights"].as_array().unwrap();
    nights.iter().filter(|night| night["available"] == false).map(|night| night["date"].to_string()).collect()
}

async fn blocks(program: &Program, flat: &str, query: &str) -> Vec<Value> {
    let answer = program.get(&format!("/v1/properties/{flat}/blocks{query}")).await.expect(200);
    answer["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_site_that_repeats_our_own_uids_holds_nothing_when_the_origin_cancels() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", origin());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let mut b = EchoingSite::connect(&program, &feeds, &flat, "b", false).await;
    program.until_link(&b.site.link, &THREE).await;
    b.goes_round(&program, &feeds).await;
    assert_eq!(blocks(&program, &flat, "").await.len(), 3, "echoes are not listed");
    let all = blocks(&program, &flat, "?include=all").await;
    assert_eq!(all.iter().filter(|block| block["state"] == "echo").count(), 3, "{all:?}");
    assert_eq!(stays_of(&program.peek(&a.link).await.text), Vec::<String>::new(), "nor are they on any link");

    feeds.set("airbnb", origin().without("03-04"));
    program.refresh(&a.path("/refresh")).await;
    program.refresh(&a.path("/refresh")).await;
    assert_eq!(taken(&program, &flat).await.len(), 4);
    program.until_link(&b.site.link, &THREE[1..]).await;
}

#[tokio::test]
async fn a_phantom_that_two_sites_keep_alive_under_new_uids_is_asked_for_and_let_go() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", origin());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let mut b = EchoingSite::connect(&program, &feeds, &flat, "b", true).await;
    let mut c = EchoingSite::connect(&program, &feeds, &flat, "c", true).await;
    program.until_link(&b.site.link, &THREE).await;
    program.until_link(&c.site.link, &THREE).await;
    b.goes_round(&program, &feeds).await;
    c.goes_round(&program, &feeds).await;
    let why = format!("/v1/properties/{flat}/explain?night={}", next_year("03-04"));
    let night = program.get(&why).await.expect(200);
    let states: Vec<&Value> = night["claims"].as_array().unwrap().iter().map(|claim| &claim["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "possible_echo").count(), 2, "{night}");
    let first = night["claims"].as_array().unwrap().iter().find(|claim| claim["state"] == "standing").unwrap();
    assert_eq!((&first["source"]["connection_id"], &first["event"]["lines"][0]), (&json!(a.id), &json!(5)), "{night}");

    feeds.set("airbnb", origin().without("03-04"));
    program.refresh(&a.path("/refresh")).await;
    program.refresh(&a.path("/refresh")).await;
    let night = program.get(&why).await.expect(200);
    assert_eq!(night["available"], json!(false), "nothing is freed before it was asked for: {night}");
    let asked = night["claims"].as_array().unwrap().iter().filter(|claim| !claim["asked_since"].is_null()).count();
    assert_eq!(asked, 1, "one site at a time: {night}");

    let mut rounds = 0;
    while program.get(&why).await.expect(200)["available"] == false
        || blocks(&program, &flat, "?include=all").await.len() > 6
    {
        b.goes_round(&program, &feeds).await;
        c.goes_round(&program, &feeds).await;
        rounds += 1;
        assert!(rounds < 12, "{}", program.get(&why).await.text);
    }
    assert_eq!(taken(&program, &flat).await.len(), 4);
    for site in [&b, &c] {
        program.until_link(&site.site.link, &THREE[1..]).await;
    }
    let activity = program.get(&format!("/v1/properties/{flat}/activity?limit=200")).await.expect(200);
    for word in ["nights_judged", "nights_asked", "nights_clean"] {
        assert!(activity["items"].as_array().unwrap().iter().any(|entry| entry["type"] == word), "{word}");
    }
}

#[tokio::test]
async fn two_sites_that_sold_one_night_are_a_conflict_that_is_told_settled_and_closes() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001"));
    feeds.set("vrbo", vrbo());
    let flat = program.property().await;
    Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let v = Site::connect(&program, &flat, "Vrbo", &feeds.url("vrbo")).await;
    feeds.set("vrbo", vrbo().reserved("03-06", "03-09", "Ada").reserved("08-01", "08-09", "Eva"));
    program.refresh(&v.path("/refresh")).await;
    let listed = program.get(&format!("/v1/properties/{flat}/conflicts")).await.expect(200);
    let conflict = listed["items"][0].clone();
    assert_eq!((&conflict["status"], &conflict["nights"]), (&json!("open"), &json!([next_year("03-06")])), "{listed}");
    assert_eq!(conflict["arrives_at"], json!(next_year("03-04T14:00:00Z")));
    assert_eq!(program.get("/v1/conflicts").await.expect(200)["items"], listed["items"]);
    assert_eq!(taken(&program, &flat).await.len(), 5, "both block");
    let activity = program.get(&format!("/v1/properties/{flat}/activity")).await.expect(200);
    let told = activity["items"].as_array().unwrap().iter().filter(|entry| entry["type"] == "conflict_opened");
    assert_eq!(told.count(), 1, "{activity}");

    let gone = conflict["blocks"].as_array().unwrap().iter().find(|block| **block != conflict["first"]).unwrap();
    let path = format!("/v1/conflicts/{}/resolve", conflict["id"].as_str().unwrap());
    let settled = program.post(&path, json!({ "gone": gone })).await.expect(200);
    assert_eq!(&settled["gone"], gone);
    feeds.set("vrbo", vrbo().reserved("08-01", "08-09", "Eva"));
    program.refresh(&v.path("/refresh")).await;
    program.refresh(&v.path("/refresh")).await;
    let listed = program.get(&format!("/v1/properties/{flat}/conflicts")).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["status"], json!("closed"), "{listed}");
    assert_eq!(taken(&program, &flat).await.len(), 3);
}

#[tokio::test]
async fn two_feeds_full_of_the_same_nights_are_one_conflict_and_the_next_booking_is_taken_in() {
    let (program, feeds) = begin().await;
    let full = || {
        let codes = (0..400).map(|number| format!("HMTEST{number:04}"));
        codes.fold(airbnb(), |feed, code| feed.reserved("03-04", "03-14", &code))
    };
    let flat = program.property().await;
    feeds.set("one", full().reserved("06-01", "9999-12-31", "HMTESTEVER"));
    feeds.set("two", full().reserved("06-01", "9999-12-31", "HMTESTEVER"));
    let one = Site::connect(&program, &flat, "One", &feeds.url("one")).await;
    let two = Site::connect(&program, &flat, "Two", &feeds.url("two")).await;
    let listed = program.get(&format!("/v1/properties/{flat}/conflicts")).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let told: Vec<_> = items.iter().map(|it| (it["nights"][0].clone(), it["more"].clone())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.contains(&(json!(next_year("03-04")), json!(784)))
            && told.contains(&(json!(next_year("06-01")), json!(0)))
    );
    let bytes = listed.to_string().len();
    assert!(bytes < 40_000, "{bytes} bytes");

    feeds.set("two", full().reserved("06-01", "9999-12-31", "HMTESTEVER").reserved("05-01", "05-03", "HMNEW"));
    program.refresh(&two.path("/refresh")).await;
    let (from, to) = (next_year("05-01"), next_year("05-02"));
    let available = program.get(&format!("/v1/properties/{flat}/availability?from={from}&to={to}")).await;
    assert_eq!(available.expect(200)["nights"][0]["available"], json!(false));
    let shown = program.peek(&one.link).await.text;
    assert!(stays_of(&shown).contains(&"05-01/05-03".to_owned()));
}

#[tokio::test]
async fn a_master_feed_beside_its_sources_doubles_nothing_and_says_that_it_is_not_needed() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", origin());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let master = |without: Option<&str>| {
        let mut feed = generic();
        for (nth, stay) in THREE.iter().enumerate() {
            let (start, end) = stay.split_once('/').unwrap();
            if without != Some(start) {
                feed = feed.event(start, end, &format!("{nth}@manager"), "Booked");
            }
        }
        feed
    };
    feeds.set("manager", master(None));
    let policy = json!({ "aggregates": true, "hold": { "readings": 2, "minutes": 0 } });
    let body = json!({
        "name": "Manager", "direction": "import", "import": { "url": feeds.url("manager"), "policy": policy },
    });
    let made = program.post(&format!("/v1/properties/{flat}/connections"), body).await.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(program.get("/v1/conflicts").await.expect(200)["items"], json!([]));
    let all = blocks(&program, &flat, "").await;
    assert_eq!(all.iter().filter(|block| block["state"] == "mirrored").count(), 3, "{all:?}");
    let warnings = program.connection(id).await["import"]["warnings"].clone();
    assert!(warnings.to_string().contains("another connection"), "{warnings}");

    // Each goes when it goes; the night is free when the last witness is gone.
    feeds.set("airbnb", origin().without("03-04"));
    program.refresh(&a.path("/refresh")).await;
    program.refresh(&a.path("/refresh")).await;
    assert_eq!(taken(&program, &flat).await.len(), 6);
    feeds.set("manager", master(Some("03-04")));
    for _ in 0..2 {
        program.refresh(&format!("/v1/connections/{id}/refresh")).await;
    }
    assert_eq!(taken(&program, &flat).await.len(), 4);
}
