use calmesh_app::{
    fakes::Answer,
    model::{FailureKind, Validators},
    ports::PropertyStore,
};
use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{scenes::*, testing::TestApi};

fn path(connection: &Value) -> String {
    format!("/v1/connections/{}", connection["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_new_connections_blocks_stand_when_it_is_answered() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect(&flat, "a", airbnb(&[STAY])).await;
    assert_eq!(connection["provider"], "airbnb", "found from the feed");
    assert_eq!((&connection["direction"], &connection["status"]), (&json!("bidirectional"), &json!("active")));
    let import = &connection["import"];
    assert_eq!(import["url"], "https://a.example/••••");
    assert_eq!((&import["blocks"], &import["holds"], &import["health"]), (&json!(1), &json!(0), &json!("ok")));
    assert_eq!(import["last_refreshed_at"], crate::testing::NOW);
    assert_eq!(import["last_attempt_at"], crate::testing::NOW);
    assert_eq!(import["last_changed_at"], crate::testing::NOW);
    assert_eq!(import["next_refresh_at"], "2026-11-21T10:15:00Z");
    assert_eq!(import["policy"]["hold"], json!({"readings": 2, "minutes": 30}));
    let export = &connection["export"];
    assert!(export["url"].as_str().unwrap().starts_with("https://links.example/f/"), "{export}");
    assert_eq!(
        (&export["detail"], &export["format"], &export["reads_24h"]),
        (&json!("busy"), &json!("nights"), &json!(0))
    );
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, ["2026-12-04", "2026-12-05", "2026-12-06"]);
    let read = api.get(&path(&connection)).await;
    assert_eq!(read.json(), connection);
    let list = api.get(&format!("/v1/properties/{flat}/connections")).await.json();
    assert_eq!(list, json!({"items": [connection], "next_cursor": null}));
}

#[tokio::test]
async fn the_feed_is_read_within_the_time_that_a_client_waits() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.connect(&flat, "a", airbnb(&[STAY])).await;
    let requests = api.feeds.requests(&url("a"));
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].connect_timeout.as_secs(), requests[0].total_timeout.as_secs()), (5, 20));
}

#[tokio::test]
async fn a_webcal_link_is_read_as_https() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.feeds.serve(&url("a"), airbnb(&[STAY]));
    let body = json!({"name": "a", "import": {"url": url("a").replace("https://", "webcal://")}});
    let made = api.post(&format!("/v1/properties/{flat}/connections"), body).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn what_is_not_a_calendar_is_refused_with_the_checks_words_unless_that_is_skipped() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/connections");
    let body = json!({"name": "a", "import": {"url": url("a")}});
    api.feeds.serve(&url("a"), "<!doctype html><html><body>Please log in</body></html>");
    let refused = api.post(&path, body.clone()).await.problem(422);
    assert_eq!(refused["type"], "/problems/feed-unusable");
    assert_eq!(refused["problem"]["type"], "not_a_calendar");
    assert_eq!(refused["errors"][0]["pointer"], "/import/url");
    assert!(!refused.to_string().contains("skip_check"), "a web page is never a calendar: {refused}");
    assert!(refused["detail"].as_str().unwrap().contains("BEGIN:VCALENDAR"), "{refused}");
    for kind in FailureKind::ALL {
        api.feeds.fail(&url("a"), kind);
        let refused = api.post(&path, body.clone()).await.problem(422);
        assert_eq!(refused["problem"]["type"], kind.as_str());
        let skipping_helps = refused["detail"].as_str().unwrap().contains("skip_check");
        assert_eq!(skipping_helps, kind.may_pass(), "{refused}");
    }
    assert_eq!(api.get(&path).await.json()["items"], json!([]), "nothing was made");

    api.feeds.fail(&url("a"), FailureKind::AddressRefused);
    let mut skipped = body;
    skipped["skip_check"] = json!(true);
    api.work().await;
    let requests = api.feeds.count(&url("a"));
    let made = api.post(&path, skipped).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["import"]["last_refreshed_at"], json!(null));
    assert_eq!(api.feeds.count(&url("a")), requests, "it was not asked");
    api.work().await;
    let connection = api.get(made.header("location")).await.json();
    assert_eq!(connection["import"]["health"], "degraded", "read soon after");
    assert_eq!(connection["import"]["failure"]["count"], 1);
    assert_eq!(connection["import"]["failure"]["type"], "address_refused");
}

#[tokio::test]
async fn an_address_that_is_never_read_is_refused_at_once_also_unseen() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/connections");
    api.feeds.refuse(&url("a"));
    let known = api.connect(&flat, "b", airbnb(&[])).await;
    for skip_check in [false, true] {
        let body = json!({"name": "a", "import": {"url": url("a")}, "skip_check": skip_check});
        let edit = json!({"import": {"url": url("a")}, "skip_check": skip_check});
        for refused in [api.post(&path, body).await, api.patch(&self::path(&known), edit).await] {
            assert_eq!(refused.pointers(), ["/import/url"]);
            assert_eq!(refused.json()["type"], "/problems/address-refused");
            assert!(!refused.text().contains("skip_check"), "it would help nothing");
        }
    }
    assert_eq!(api.feeds.count(&url("a")), 0, "it was not asked");
    assert_eq!(api.get(&path).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failure_is_told_in_the_words_of_its_moment() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/connections");
    for kind in FailureKind::ALL.into_iter().filter(|kind| *kind != FailureKind::AddressRefused) {
        api.feeds.fail(&url("a"), kind);
        let body = json!({"name": "a", "import": {"url": url("a")}});
        let now = if kind.may_pass() { " Try again in a moment." } else { "" };
        let help = match kind {
            FailureKind::NotACalendar => {
                format!(" {}", calmesh_profiles::generic().refusals.not_a_calendar.as_deref().unwrap())
            }
            _ => String::new(),
        };
        let said = format!("scripted: {}{help}{now}", kind.as_str());
        assert_eq!(api.post(&path, body.clone()).await.problem(422)["problem"]["detail"], said);
        let check = api.post("/v1/feeds/check", json!({"url": url("a")})).await.json();
        assert_eq!(check["problem"]["detail"], said);
        let mut stored = body;
        stored["skip_check"] = json!(true);
        let made = api.post(&path, stored).await.json();
        api.work().await;
        let later = if kind.may_pass() { " It is read again by itself." } else { "" };
        let failure = api.get(&self::path(&made)).await.json()["import"]["failure"].clone();
        assert_eq!(failure["detail"], format!("scripted: {}{help}{later}", kind.as_str()));
        api.delete(&self::path(&made)).await;
    }
    api.feeds.set(&url("a"), Answer::rate_limited(90));
    let check = api.post("/v1/feeds/check", json!({"url": url("a")})).await.json();
    assert_eq!(check["problem"]["detail"], "scripted: rate_limited Try again in 90 seconds.");
}

#[tokio::test]
async fn a_property_has_fifty_connections_at_most() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/connections");
    let body = |n: usize| json!({"name": format!("{n}"), "direction": "export"});
    for n in 0..50 {
        assert_eq!(api.post(&path, body(n)).await.status, 201);
    }
    let full = api.post(&path, body(50)).await.problem(409);
    assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(50)));
    let first = api.get(&path).await.json()["items"][0].clone();
    assert_eq!(api.delete(&self::path(&first)).await.status, 204);
    assert_eq!(api.post(&path, body(51)).await.status, 201);
}

#[tokio::test]
async fn every_wrong_field_of_a_connection_is_named() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let with = |import: Value| json!({"name": "a", "import": import});
    let policy = |policy: Value| json!({"name": "a", "import": {"url": url("a"), "policy": policy}});
    let wrong = [
        (json!({}), vec!["/name"]),
        (json!({"name": "a"}), vec!["/import/url"]),
        (with(json!(null)), vec!["/import/url"]),
        (with(json!([])), vec!["/import"]),
        (with(json!({"url": null})), vec!["/import/url"]),
        (with(json!({"url": "https://www.airbnb.com/••••"})), vec!["/import/url"]),
        (with(json!({"url": "ftp://a.example/feed.ics"})), vec!["/import/url"]),
        (with(json!({"url": "not a link"})), vec!["/import/url"]),
        (with(json!({"url": ""})), vec!["/import/url"]),
        (with(json!({"url": format!("https://a.example/{}", "a".repeat(2000))})), vec!["/import/url"]),
        (with(json!({"url": url("a"), "health": "ok"})), vec!["/import/health"]),
        (with(json!({"url": url("a"), "colour": 1})), vec!["/import/colour"]),
        (policy(json!({"blocks": "yes"})), vec!["/import/policy/blocks"]),
        (policy(json!({"hold": {"readings": 0}})), vec!["/import/policy/hold/readings"]),
        (policy(json!({"hold": {"minutes": 10081}})), vec!["/import/policy/hold/minutes"]),
        (policy(json!({"hold": {"minutes": -1}})), vec!["/import/policy/hold/minutes"]),
        (policy(json!({"hold": 3})), vec!["/import/policy/hold"]),
        (policy(json!({"mass_vanish": {"nights_percent": 101}})), vec!["/import/policy/mass_vanish/nights_percent"]),
        (policy(json!({"mass_vanish": {"stays": 0, "days": 1}})), vec!["/import/policy/mass_vanish/days"]),
        (policy(json!({"echo": {"probe": 1}})), vec!["/import/policy/echo/probe"]),
        (policy(json!({"required_word": ""})), vec!["/import/policy/required_word"]),
        (json!({"name": "a", "import": {"url": url("a")}, "provider": "couchsurfing"}), vec!["/provider"]),
        (json!({"name": "a", "import": {"url": url("a")}, "provider": "google_calendar"}), vec!["/provider"]),
        (json!({"name": "a", "import": {"url": url("a")}, "direction": "both"}), vec!["/direction"]),
        (json!({"name": "a", "import": {"url": url("a")}, "status": "off"}), vec!["/status"]),
        (json!({"name": "a", "import": {"url": url("a")}, "export": {"detail": "all"}}), vec!["/export/detail"]),
        (
            json!({"name": "a", "import": {"url": url("a")}, "export": {"url": "https://x.example"}}),
            vec!["/export/url"],
        ),
        (json!({"name": "a", "import": {"url": url("a")}, "direction": "export"}), vec!["/import"]),
        (json!({"name": "a", "import": {"url": url("a")}, "direction": "import", "export": {}}), vec!["/export"]),
        (json!({"name": "a", "import": {"url": url("a")}, "skip_check": 1}), vec!["/skip_check"]),
        (json!({"name": "a", "import": {"url": url("a")}, "id": "con_x"}), vec!["/id"]),
        (json!({"name": " ", "import": {"url": url("a")}}), vec!["/name"]),
    ];
    for (body, pointers) in wrong {
        let answer = api.post(&format!("/v1/properties/{flat}/connections"), body.clone()).await;
        assert_eq!(answer.pointers(), pointers, "{body}");
        assert!(!answer.text().contains("secret"), "no URL is repeated");
    }
    assert_eq!(api.feeds.total(), 0, "no site was asked");
}

#[tokio::test]
async fn a_refused_provider_is_refused_by_its_url_its_words_or_its_name() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let path = format!("/v1/properties/{flat}/connections");
    let by_url =
        json!({"name": "b", "provider": "generic", "import": {"url": "https://ical.booking.com/v1/export?t=1"}});
    let refused = api.post(&path, by_url).await.problem(422);
    assert_eq!((&refused["type"], &refused["provider"]), (&json!("/problems/provider-refused"), &json!("booking_com")));
    assert_eq!(api.feeds.total(), 0);
    assert_eq!(refused["errors"][0]["pointer"], "/import/url");
    assert!(
        refused["detail"].as_str().unwrap().contains("the manager of this service allows Booking.com by"),
        "{refused}"
    );
    let by_name = json!({"name": "b", "provider": "booking_com", "direction": "export"});
    let refused = api.post(&path, by_name).await.problem(422);
    assert_eq!(refused["type"], "/problems/provider-refused");
    assert_eq!(refused["errors"][0]["pointer"], "/provider");
    let export = api.post(&path, json!({"name": "e", "direction": "export"})).await.json();
    let refused = api.patch(&self::path(&export), json!({"provider": "booking_com"})).await;
    assert_eq!(refused.pointers(), ["/provider"]);
    let words = plain(&[]).replace("-//somebody//EN", "-//admin.booking.com\\, b.v.//NONSGML v1.0//EN");
    api.feeds.serve(&url("b"), words);
    let by_words = json!({"name": "b", "import": {"url": url("b")}});
    assert_eq!(api.post(&path, by_words).await.problem(422)["type"], "/problems/provider-refused");
}

#[tokio::test]
async fn a_url_of_the_property_is_409_with_the_id_of_who_has_it() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let first = api.connect(&flat, "a", airbnb(&[STAY])).await;
    let path = format!("/v1/properties/{flat}/connections");
    for same in [url("a"), url("a").replace("https", "webcal"), url("a").replace("a.example", "A.Example")] {
        let clash = api.post(&path, json!({"name": "again", "import": {"url": same}})).await.problem(409);
        assert_eq!(clash["connection_id"], first["id"]);
    }
    // Another property may have it: two rooms of one house.
    let other = api.flat().await;
    api.connect(&other, "a", airbnb(&[STAY])).await;
    let second = api.connect(&flat, "b", airbnb(&[])).await;
    let clash = api.patch(&self::path(&second), json!({"import": {"url": url("a")}})).await.problem(409);
    assert_eq!(clash["connection_id"], first["id"]);
}

#[tokio::test]
async fn the_accounts_own_link_is_refused_also_in_disguise() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let connection = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.work().await;
    let link = connection["export"]["url"].as_str().unwrap().to_owned();
    let token = link.rsplit('/').next().unwrap();
    let escaped: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let disguises = [
        link.clone(),
        link.replace("https://", "webcal://"),
        link.replace("links.example", "LINKS.example:443"),
        link.replace(token, &escaped),
        format!("{link}?x=1#y"),
    ];
    let path = format!("/v1/properties/{}/connections", api.flat().await);
    for own in disguises {
        let refused = api.post(&path, json!({"name": "own", "import": {"url": own}})).await.problem(422);
        assert_eq!(refused["type"], "/problems/own-link", "{own}");
        assert!(!refused.to_string().contains(token));
    }
    let changed = api.patch(&self::path(&connection), json!({"import": {"url": link.clone()}})).await.problem(422);
    assert_eq!(changed["type"], "/problems/own-link");
    // Rotated away, it is still the account's own.
    api.post(&format!("{}/rotate-link", self::path(&connection)), json!({})).await;
    let refused = api.post(&path, json!({"name": "own", "import": {"url": link.clone()}})).await.problem(422);
    assert_eq!(refused["type"], "/problems/own-link");
    // To somebody else it is a calendar like any other.
    api.feeds.serve(&link, plain(&[]));
    let stranger = api.stranger().await;
    let flat = json!({"name": "Flat", "time_zone": "UTC"});
    let made = api.ask(Method::POST, "/v1/properties").by(&stranger).json(flat).send().await.json();
    let path = format!("/v1/properties/{}/connections", made["id"].as_str().unwrap());
    let body = json!({"name": "theirs", "import": {"url": link}});
    assert_eq!(api.ask(Method::POST, &path).by(&stranger).json(body).send().await.status, 201);
}

#[tokio::test]
async fn a_connection_made_paused_blocks_from_its_resumption_on() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect_with(&flat, "a", airbnb(&[STAY]), json!({"status": "paused"})).await;
    assert_eq!(made["status"], "paused");
    assert_eq!(made["import"]["next_refresh_at"], json!(null));
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
    api.work().await;
    // What was read well a moment ago would not be fetched again.
    api.clock.advance(SignedDuration::from_secs(2));
    let resumed = api.post(&format!("{}/resume", path(&made)), json!({})).await;
    assert_eq!((resumed.status, &resumed.json()["status"]), (200, &json!("active")));
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3);
    let requests = api.feeds.count(&url("a"));
    api.work().await;
    assert_eq!(api.feeds.count(&url("a")), requests + 1, "resuming refreshes at once");
}

#[tokio::test]
async fn pausing_opens_what_its_preview_says_and_its_link_serves_an_empty_calendar() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = api.connect(&flat, "a", airbnb(&[STAY, ("HMBBBBBBBB", "2026-11-10", "2026-11-12")])).await;
    let b = api.connect(&flat, "b", airbnb(&[("HMCCCCCCCC", "2026-12-06", "2026-12-08")])).await;
    api.work().await;
    let (a, b_path, b) = (path(&a), path(&b), b["export"]["url"].as_str().unwrap().to_owned());
    let path_id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let before = api.get(&a).await;
    let preview = api.post(&format!("{a}/pause?preview=true"), json!({})).await;
    assert_eq!(
        preview.json(),
        json!({
            "opens": ["2026-12-04", "2026-12-05"],
            "opens_at_site": {path_id(&a): ["2026-12-07"], path_id(&b_path): ["2026-12-04", "2026-12-05"]}
        }),
        "the 6th is b's too, the past is past; what a site holds itself does not open there"
    );
    assert_eq!(api.get(&a).await.body, before.body, "a preview changes nothing");
    let paused = api.ask(Method::POST, &format!("{a}/pause")).send().await;
    assert_eq!((paused.status, &paused.json()["status"]), (200, &json!("paused")));
    api.work().await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, ["2026-12-06", "2026-12-07"]);
    let link = paused.json()["export"]["url"].as_str().unwrap().to_owned();
    assert_eq!(api.served(&link).await.unwrap(), Vec::<String>::new());
    assert_eq!(api.served(&b).await.unwrap(), Vec::<String>::new());
    assert_eq!(api.post(&format!("{a}/pause"), json!({})).await.header("etag"), paused.header("etag"), "twice is once");
    api.post(&format!("{a}/resume"), json!({})).await;
    api.work().await;
    assert_eq!(api.served(&link).await.unwrap(), ["20261206-20261208"]);
}

#[tokio::test]
async fn pausing_and_resuming_do_not_move_back_when_it_was_read_last() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    api.work().await;
    api.clock.advance(SignedDuration::from_mins(15));
    api.app.tick.announce_shards(api.ports.common.clock.now(), SignedDuration::from_mins(15)).await.unwrap();
    api.work().await;
    let swept = "2026-11-21T10:15:00Z";
    for step in [json!({"status": "paused"}), json!({"status": "active"}), json!({"status": "paused"})] {
        let edited = api.patch(&a, step).await.json();
        assert_eq!(edited["import"]["last_refreshed_at"], swept);
        let by_verb = api.post(&format!("{a}/resume"), json!({})).await.json();
        assert_eq!(by_verb["import"]["last_refreshed_at"], swept);
        assert_eq!(api.post(&format!("{a}/pause"), json!({})).await.json()["import"]["last_refreshed_at"], swept);
    }
    // A resumed connection is read on, and a stay that is still shown stands.
    api.post(&format!("{a}/resume"), json!({})).await;
    api.work().await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3);
    assert_eq!(api.get(&a).await.json()["import"]["holds"], 0);
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_can_not_have_ended_before() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    for until in ["2026-11-21T10:00:00Z", "2020-01-01T00:00:00Z"] {
        assert_eq!(api.post(&format!("{a}/pause"), json!({"until": until})).await.pointers(), ["/until"]);
        assert_eq!(api.post(&format!("{a}/pause?preview=true"), json!({"until": until})).await.pointers(), ["/until"]);
    }
    for wrong in [json!({"until": "tomorrow"}), json!({"until": "2026-12-04"}), json!({"until": 3})] {
        assert_eq!(api.post(&format!("{a}/pause"), wrong).await.pointers(), ["/until"]);
    }
    let paused = api.post(&format!("{a}/pause"), json!({"until": "2026-11-22T10:00:00Z"})).await.json();
    assert_eq!(paused["paused_until"], "2026-11-22T10:00:00Z");
    api.work().await;
    api.clock.advance(SignedDuration::from_hours(24));
    api.app.tick.announce_marks(api.ports.common.clock.now()).await.unwrap();
    api.work().await;
    assert_eq!(api.get(&a).await.json()["status"], "active");
}

#[tokio::test]
async fn a_rotated_link_is_kept_up_to_date_for_a_week_and_a_revoked_one_is_empty_at_once() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[])).await;
    api.block(&flat, "2026-12-20", "2026-12-22").await;
    api.work().await;
    let a = path(&made);
    let first = made["export"]["url"].as_str().unwrap().to_owned();
    let rotated = api.ask(Method::POST, &format!("{a}/rotate-link")).send().await;
    assert_eq!(rotated.status, 200);
    let second = rotated.json()["export"]["url"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    api.block(&flat, "2026-12-23", "2026-12-24").await;
    api.work().await;
    assert_eq!(api.served(&first).await, api.served(&second).await);
    assert_eq!(api.served(&first).await.unwrap().len(), 2);
    let revoked = api.ask(Method::POST, &format!("{a}/rotate-link?revoke=now")).send().await.json();
    api.work().await;
    assert_eq!(api.served(&second).await.unwrap(), Vec::<String>::new());
    assert_eq!(api.served(revoked["export"]["url"].as_str().unwrap()).await.unwrap().len(), 2);
    api.ask(Method::POST, &format!("{a}/rotate-link?revoke=soon")).send().await.problem(422);
    api.clock.advance(SignedDuration::from_hours(24 * 7));
    api.app.publish.publish_property(&flat.parse().unwrap()).await.unwrap();
    assert_eq!(api.served(&first).await, None);
    assert_eq!(api.served(&second).await, None);
}

#[tokio::test]
async fn a_new_link_is_never_refused_and_the_oldest_of_many_goes_first_which_is_told() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[])).await;
    api.block(&flat, "2026-12-20", "2026-12-22").await;
    api.work().await;
    let rotate = format!("{}/rotate-link", path(&made));
    let mut urls = vec![made["export"]["url"].as_str().unwrap().to_owned()];
    let mut notices = Vec::new();
    for _ in 0..7 {
        api.clock.advance(SignedDuration::from_secs(1));
        let answer = api.ask(Method::POST, &rotate).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let export = answer.json()["export"].clone();
        urls.push(export["url"].as_str().unwrap().to_owned());
        notices.push(export["notice"].is_string());
    }
    api.work().await;
    assert_eq!(notices, [false, false, false, false, false, true, true]);
    for (nth, url) in urls.iter().enumerate() {
        let expected = if nth < 2 { 0 } else { 1 };
        assert_eq!(api.served(url).await.unwrap().len(), expected, "link {nth} of {}", urls.len());
    }
}

#[tokio::test]
async fn however_often_links_are_rotated_revoked_and_deleted_their_number_is_bounded() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let known = api.connect(&flat, "a", airbnb(&[])).await;
    for _ in 0..60 {
        let made =
            api.post(&format!("/v1/properties/{flat}/connections"), json!({"name": "b", "direction": "export"})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        api.ask(Method::POST, &format!("{}/rotate-link", path(&made.json()))).send().await;
        api.delete(&path(&made.json())).await;
        api.ask(Method::POST, &format!("{}/rotate-link?revoke=now", path(&known))).send().await;
        api.clock.advance(SignedDuration::from_secs(1));
        api.work().await;
    }
    let state = api.store.load(&flat.parse().unwrap()).await.unwrap().unwrap();
    assert!(state.retiring.len() <= 105, "{}", state.retiring.len());
    assert!(api.objects.exports().len() <= 107, "{}", api.objects.exports().len());
}

#[tokio::test]
async fn deleting_says_what_it_opens_then_empties_the_link_and_frees_the_nights() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.block(&flat, "2026-12-20", "2026-12-22").await;
    api.work().await;
    let a = path(&made);
    let preview = api.delete(&format!("{a}?preview=true")).await.json();
    assert_eq!(preview["opens"], json!(["2026-12-04", "2026-12-05", "2026-12-06"]));
    assert_eq!(api.get(&a).await.status, 200);
    let etag = api.get(&a).await.header("etag").to_owned();
    api.ask(Method::DELETE, &a).header("if-match", "\"v99\"").send().await.problem(412);
    assert_eq!(api.ask(Method::DELETE, &a).header("if-match", &etag).send().await.status, 204);
    api.work().await;
    api.get(&a).await.problem(404);
    api.delete(&a).await.problem(404);
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
    assert_eq!(api.served(made["export"]["url"].as_str().unwrap()).await.unwrap(), Vec::<String>::new());
    let id = made["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(api.objects.bodies_of(&api.account.id, &id) + api.store.bodies_of(&id), 0, "no body is kept");
}

#[tokio::test]
async fn turning_export_off_empties_the_link_and_on_again_fills_the_same_one_and_says_so() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.block(&flat, "2026-12-20", "2026-12-22").await;
    let (a, old) = (path(&made), made["export"]["url"].as_str().unwrap().to_owned());
    let import_only = api.patch(&a, json!({"direction": "import"})).await.json();
    assert_eq!(import_only["export"], json!(null));
    api.work().await;
    assert_eq!(api.served(&old).await.unwrap(), Vec::<String>::new());
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3, "its stays go on blocking");
    api.ask(Method::POST, &format!("{a}/rotate-link")).send().await.problem(409);
    let both = api.patch(&a, json!({"direction": "bidirectional", "export": {"detail": "label"}})).await.json();
    api.work().await;
    assert_eq!(both["export"]["url"], old);
    assert!(both["export"]["note"].as_str().unwrap().contains("the link that the connection had before"), "{both}");
    assert_eq!(both["export"]["detail"], "label");
    assert_eq!(api.served(&old).await.unwrap(), ["20261220-20261222"]);
    assert_eq!(api.get(&a).await.json()["export"].get("note"), None);
}

#[tokio::test]
async fn turning_to_export_only_ends_the_imported_blocks() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    let preview = api.patch(&format!("{a}?preview=true"), json!({"direction": "export"})).await.json();
    assert_eq!(preview["opens"].as_array().unwrap().len(), 3);
    let export_only = api.patch(&a, json!({"direction": "export", "import": null})).await.json();
    assert_eq!(export_only["import"], json!(null));
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
    api.post(&format!("{a}/refresh"), json!({})).await.problem(409);
    assert_eq!(api.patch(&a, json!({"direction": "import"})).await.pointers(), ["/import/url"]);
    let back = api.patch(&a, json!({"direction": "import", "import": {"url": url("a")}})).await;
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3);
}

#[tokio::test]
async fn a_side_that_the_direction_needs_can_not_be_dropped() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    for (body, pointers) in [
        (json!({"import": null}), vec!["/import"]),
        (json!({"export": null}), vec!["/export"]),
        (json!({"direction": "export", "import": {"url": url("b")}}), vec!["/import"]),
        (json!({"direction": "import", "export": {"detail": "full"}}), vec!["/export"]),
        (json!({"import": {"url": "https://a.example/••••"}}), vec!["/import/url"]),
        (json!({"name": null}), vec!["/name"]),
        (json!({"provider": "nobody"}), vec!["/provider"]),
        (json!({"import": {"policy": {"hold": {"readings": 0}}}}), vec!["/import/policy/hold/readings"]),
    ] {
        assert_eq!(api.patch(&a, body.clone()).await.pointers(), pointers, "{body}");
    }
}

#[tokio::test]
async fn a_change_of_policy_acts_on_what_was_read_last_at_once() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let feed = plain(&[("Reserved", "2026-12-04", "2026-12-06"), ("Closed", "2026-12-10", "2026-12-12")]);
    let a = path(&api.connect(&flat, "a", feed).await);
    let requests = api.feeds.count(&url("a"));
    let body = json!({"import": {"policy": {"required_word": "reserved"}}});
    let preview = api.patch(&format!("{a}?preview=true"), body.clone()).await.json();
    assert_eq!(preview["opens"], json!(["2026-12-10", "2026-12-11"]));
    let etag = api.get(&a).await.header("etag").to_owned();
    let edited = api.patch(&a, body).await;
    assert_ne!(edited.header("etag"), etag);
    assert_eq!(edited.json()["import"]["policy"]["required_word"], "reserved");
    assert_eq!(edited.json()["import"]["holds"], 0, "what the host drops is not held");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, ["2026-12-04", "2026-12-05"]);
    api.patch(&a, json!({"import": {"policy": {"required_word": null}}})).await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 4);
    let shown = api.patch(&a, json!({"import": {"policy": {"blocks": false}}})).await.json();
    assert_eq!(shown["import"]["blocks"], 2, "shown to the host");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
    let blocks = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    assert_eq!((&blocks["items"][0]["state"], &blocks["items"][1]["state"]), (&json!("shown"), &json!("shown")));
    let why = api.get(&format!("/v1/properties/{flat}/explain?night=2026-12-10")).await.json();
    assert_eq!(why["claims"][0]["state"], "shown");
    let rules = why["claims"][0]["rules"].to_string();
    assert!(rules.contains("its connection is set to block nothing"), "{rules}");
    let reset = api.patch(&a, json!({"import": {"policy": null}})).await.json();
    assert_eq!(reset["import"]["policy"]["blocks"], true);
    assert_eq!(api.feeds.count(&url("a")), requests, "no site was asked");
}

#[tokio::test]
async fn a_policy_edited_between_a_resumption_and_the_next_reading_counts() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", plain(&[("Closed", "2026-12-10", "2026-12-12")])).await);
    api.clock.advance(SignedDuration::from_mins(1));
    api.post(&format!("{a}/pause"), json!({})).await;
    api.post(&format!("{a}/resume"), json!({})).await;
    api.patch(&a, json!({"import": {"policy": {"required_word": "reserved"}}})).await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_kept_feed_that_is_lost_is_read_anew() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", plain(&[("Closed", "2026-12-10", "2026-12-12")])).await;
    let id = made["id"].as_str().unwrap().parse().unwrap();
    api.ports.common.properties.forget_bodies(&id).await.unwrap();
    let edited = api.patch(&path(&made), json!({"import": {"policy": {"required_word": "reserved"}}})).await;
    assert_eq!(edited.status, 200);
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 2, "nothing goes unread");
    api.clock.advance(SignedDuration::from_mins(1));
    api.post(&format!("{}/refresh", path(&made)), json!({})).await;
    api.work().await;
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_new_url_is_checked_like_a_new_connection_and_its_stays_stand_at_once() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    api.clock.advance(SignedDuration::from_mins(1));
    api.feeds.serve(&url("new"), "nonsense");
    let body = json!({"import": {"url": url("new")}});
    api.patch(&a, body.clone()).await.problem(422);
    assert_eq!(api.get(&a).await.json()["import"]["url"], "https://a.example/••••");
    api.feeds.serve(&url("new"), airbnb(&[STAY, ("HMBBBBBBBB", "2026-12-10", "2026-12-12")]));
    let preview = api.patch(&format!("{a}?preview=true"), body.clone()).await.json();
    assert_eq!(preview["opens"], json!([]));
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3, "a preview changes nothing");
    let stay = api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"][0]["id"].clone();
    let edited = api.patch(&a, body.clone()).await.json();
    assert_eq!(
        (&edited["import"]["url"], &edited["import"]["blocks"]),
        (&json!("https://new.example/••••"), &json!(2))
    );
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 5);
    let blocks = api.get(&format!("/v1/properties/{flat}/blocks")).await.json();
    assert_eq!(blocks["items"][0]["id"], stay, "the same stay keeps its id");
    let requests = api.feeds.total();
    assert_eq!(api.patch(&a, body).await.status, 200);
    assert_eq!(api.feeds.total(), requests, "the same URL again is no change");
}

#[tokio::test]
async fn stays_that_a_new_url_does_not_show_are_held() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    api.clock.advance(SignedDuration::from_mins(1));
    api.feeds.serve(&url("new"), airbnb(&[]));
    let edited = api.patch(&a, json!({"import": {"url": url("new")}})).await.json();
    assert_eq!(edited["import"]["holds"], 1);
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3);
}

#[tokio::test]
async fn a_new_url_is_never_asked_with_the_validators_of_the_old_one() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    api.clock.advance(SignedDuration::from_mins(1));
    api.feeds.fail(&url("new"), FailureKind::Unreachable);
    let edited = api.patch(&a, json!({"import": {"url": url("new")}, "skip_check": true})).await;
    assert_eq!(edited.status, 200, "{}", edited.text());
    api.work().await;
    assert_eq!(api.feeds.requests(&url("new")).last().unwrap().validators, Validators::default());
    let connection = api.get(&a).await.json();
    assert_eq!(connection["import"]["health"], "degraded");
    assert_eq!(api.taken(&flat, "2026-12-01", "2026-12-15").await.len(), 3, "a failure frees nothing");
}

#[tokio::test]
async fn a_site_that_says_unchanged_though_nothing_was_read_is_no_calendar() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.feeds.set(&url("a"), Answer::BodyWith("x".into(), Validators::default()));
    let body = json!({"name": "a", "import": {"url": url("a")}});
    api.post(&format!("/v1/properties/{flat}/connections"), body).await.problem(422);
}

#[tokio::test]
async fn telemetry_moves_without_the_etag() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    api.work().await;
    let a = path(&made);
    let before = api.get(&a).await;
    api.clock.advance(SignedDuration::from_mins(15));
    let now = api.ports.common.clock.now();
    api.app.tick.announce_shards(now, SignedDuration::from_mins(15)).await.unwrap();
    api.work().await;
    let swept = api.get(&a).await;
    assert_eq!(swept.json()["import"]["last_refreshed_at"], "2026-11-21T10:15:00Z", "known from the sweep's record");
    assert_eq!(swept.json()["import"]["last_changed_at"], crate::testing::NOW);
    let token = calmesh_app::model::LinkToken::parse(
        made["export"]["url"].as_str().unwrap().rsplit('/').next().unwrap().trim_end_matches(".ics"),
    );
    api.ports.common.links.record_reads(&token.unwrap().hash(), &[now].into()).await.unwrap();
    api.feeds.fail(&url("a"), FailureKind::LinkGone);
    api.clock.advance(SignedDuration::from_mins(15));
    let now = api.ports.common.clock.now();
    api.app.tick.announce_shards(now, SignedDuration::from_mins(15)).await.unwrap();
    api.work().await;
    let failed = api.get(&a).await;
    let connection = failed.json();
    assert_eq!(connection["import"]["health"], "degraded");
    assert_eq!(connection["import"]["failure"]["type"], "link_gone");
    assert_eq!(connection["import"]["last_attempt_at"], "2026-11-21T10:30:00Z");
    assert_eq!(
        (&connection["export"]["last_read_at"], &connection["export"]["reads_24h"]),
        (&json!("2026-11-21T10:15:00Z"), &json!(1))
    );
    assert_eq!(failed.header("etag"), before.header("etag"));
}

#[tokio::test]
async fn a_stale_edit_is_412_before_any_site_is_asked() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    let etag = api.get(&a).await.header("etag").to_owned();
    api.patch(&a, json!({"name": "renamed"})).await;
    let requests = api.feeds.total();
    let body = json!({"import": {"url": url("new")}});
    api.ask(Method::PATCH, &a).header("if-match", &etag).json(body).send().await.problem(412);
    assert_eq!(api.feeds.total(), requests);
    assert_eq!(api.get(&a).await.json()["name"], "renamed");
}

#[tokio::test]
async fn two_edits_at_the_same_time_both_count() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    let (one, two) = tokio::join!(
        api.patch(&a, json!({"name": "renamed"})),
        api.patch(&a, json!({"export": {"detail": "full", "format": "times"}})),
    );
    assert_eq!((one.status, two.status), (200, 200));
    let connection = api.get(&a).await.json();
    assert_eq!((&connection["name"], &connection["export"]["detail"]), (&json!("renamed"), &json!("full")));
}

#[tokio::test]
async fn a_repeated_creation_with_the_same_key_is_done_once() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    api.feeds.serve(&url("a"), airbnb(&[STAY]));
    let body = json!({"name": "a", "import": {"url": url("a")}});
    let path = format!("/v1/properties/{flat}/connections");
    let ask = || api.ask(Method::POST, &path).header("idempotency-key", "k1").json(body.clone()).send();
    let (first, second) = (ask().await, ask().await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(api.get(&path).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn connections_of_a_property_cost_few_store_calls() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    for name in ["a", "b", "c", "d", "e"] {
        api.connect(&flat, name, airbnb(&[])).await;
        api.clock.advance(SignedDuration::from_secs(1));
    }
    let path = format!("/v1/properties/{flat}/connections?limit=3");
    let before = api.store.calls();
    let page = api.get(&path).await.json();
    // Token and account of the caller, the property, fetch states, sweeps, the latest refresh of everything, reads, and who
    // else reads these feeds.
    assert!(api.store.calls() - before <= 8, "{} calls", api.store.calls() - before);
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let next = format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = api.get(&next).await.json();
    let names: Vec<&str> =
        rest["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["d", "e"]);
    assert_eq!(rest["next_cursor"], json!(null));
}

#[tokio::test]
async fn no_answer_and_no_activity_shows_a_feeds_url() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", airbnb(&[STAY])).await;
    assert!(!made.to_string().contains("secret"));
    assert!(!api.get(&format!("/v1/properties/{flat}/connections")).await.text().contains("secret"));
    assert!(!api.activity(&flat).await.join("\n").contains("secret"));
}

#[tokio::test]
async fn another_accounts_connection_is_not_there() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    let stranger = api.stranger().await;
    for (method, path) in [
        (Method::GET, a.clone()),
        (Method::DELETE, a.clone()),
        (Method::POST, format!("{a}/pause")),
        (Method::POST, format!("{a}/pause?preview=true")),
        (Method::POST, format!("{a}/resume")),
        (Method::POST, format!("{a}/refresh")),
        (Method::POST, format!("{a}/rotate-link")),
    ] {
        api.ask(method, &path).by(&stranger).send().await.problem(404);
    }
    api.ask(Method::PATCH, &a).by(&stranger).json(json!({"name": "x"})).send().await.problem(404);
    let reader = api.token_with(json!({"name": "r", "scope": "read"})).await;
    assert_eq!(api.ask(Method::GET, &a).by(&reader).send().await.status, 200);
    api.ask(Method::POST, &format!("{a}/pause")).by(&reader).send().await.problem(403);
}

#[tokio::test]
async fn a_corrected_url_opens_what_its_preview_says_and_of_an_empty_calendar_what_is_held() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let a = path(&api.connect(&flat, "a", airbnb(&[STAY, ("HMBBBBBBBB", "2026-12-20", "2026-12-22")])).await);
    let b = api.connect(&flat, "b", airbnb(&[])).await;
    api.work().await;
    api.clock.advance(SignedDuration::from_mins(1));
    api.feeds.serve(&url("right"), airbnb(&[]));
    let edit = json!({"import": {"url": url("right")}});
    let said = api.patch(&format!("{a}?preview=true"), edit.clone()).await.json();
    let wrong = ["2026-12-04", "2026-12-05", "2026-12-06", "2026-12-20", "2026-12-21"];
    assert_eq!(said, json!({"opens": [], "held": wrong, "opens_at_site": {}}));
    api.feeds.serve(&url("right"), airbnb(&[("HMCCCCCCCC", "2026-12-06", "2026-12-08")]));
    let said = api.patch(&format!("{a}?preview=true"), edit.clone()).await.json();
    let opens: Vec<_> = wrong.into_iter().filter(|night| *night != "2026-12-06").collect();
    let other = b["id"].as_str().unwrap();
    assert_eq!(said, json!({"opens": opens, "opens_at_site": {other: opens}}));
    assert_eq!(api.patch(&a, edit).await.status, 200);
    assert_eq!(api.taken(&flat, "2026-12-01", "2027-01-01").await, ["2026-12-06", "2026-12-07"]);
}

#[tokio::test]
async fn the_same_link_in_two_properties_is_a_warning_on_both() {
    let api = TestApi::new().await;
    let (flat, attic) = (api.flat().await, api.flat_with(json!({"name": "Attic"})).await);
    let one = path(&api.connect(&flat, "a", airbnb(&[STAY])).await);
    let other = api.connect(&attic, "a", airbnb(&[STAY])).await;
    assert!(other["import"]["warnings"][0]["detail"].as_str().unwrap().contains("“Flat”"), "{other}");
    let listed = api.get(&format!("/v1/properties/{flat}/connections")).await.json();
    let warning = &listed["items"][0]["import"]["warnings"][0];
    assert!(warning["detail"].as_str().unwrap().contains("“Attic”"), "{listed}");
    assert_eq!((&warning["line"], &warning["uid"]), (&json!(null), &json!(null)));
    assert_eq!(api.delete(&path(&other)).await.status, 204);
    assert_eq!(api.get(&one).await.json()["import"]["warnings"], json!([]));
}

#[tokio::test]
async fn a_url_that_another_connection_reads_is_refused_with_that_ones_name() {
    let api = TestApi::new().await;
    let flat = api.flat().await;
    let first = api.connect_with(&flat, "whole", airbnb(&[STAY]), json!({"name": "Whole flat"})).await;
    let body = json!({"name": "again", "import": {"url": url("whole")}});
    let refused = api.post(&format!("/v1/properties/{flat}/connections"), body).await.problem(409);
    assert_eq!((&refused["type"], &refused["connection_id"]), (&json!("/problems/url-taken"), &first["id"]));
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("The connection \"Whole flat (Airbnb)\" (con_"), "{detail}");
}
