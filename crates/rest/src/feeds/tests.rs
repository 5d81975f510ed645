use calmesh_app::{
    HOST,
    fakes::Answer,
    model::{FailureKind, Spender, Spent},
    ports::Clock,
};
use http::Method;
use jiff::SignedDuration;
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
            "blocks_left_out": 0, "nights": ["2026-12-04", "2026-12-05", "2026-12-06"],
            "warnings": [], "warnings_left_out": 0, "problem": null,
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
async fn a_calendar_without_events_is_usable_and_said_to_be_one() {
    let api = TestApi::new().await;
    let empty = plain(&[]);
    let answer = api.post("/v1/feeds/check", json!({"ics": empty})).await.json();
    assert_eq!((&answer["usable"], &answer["nights"]), (&json!(true), &json!([])));
    let told = answer["warnings"][0]["detail"].as_str().unwrap().to_owned();
    assert!(told.starts_with("The calendar has no events. That is right for a new listing;"), "{told}");
    let flat = api.flat().await;
    let made = api.connect(&flat, "a", empty).await;
    assert_eq!(made["import"]["warnings"][0]["detail"], told);
}

#[tokio::test]
async fn several_busy_times_of_one_line_are_counted_each() {
    let api = TestApi::new().await;
    let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VFREEBUSY\r\nUID:fb@x\r\n\
        FREEBUSY;FBTYPE=BUSY:20270601T130000Z/20270604T090000Z\r\n\
        FREEBUSY;FBTYPE=FREE:20270610T000000Z/20270611T000000Z\r\n\
        FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20270615T130000Z/PT20H,20270620T130000Z/PT20H\r\n\
        END:VFREEBUSY\r\nEND:VCALENDAR\r\n";
    let answer = api.post("/v1/feeds/check", json!({"ics": text})).await.json();
    assert_eq!(answer["events"], json!({"in_text": 3, "read": 3, "blocking": 3}));
    assert_eq!(answer["blocks"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_zone_that_is_nobodys_is_refused_for_a_check_too() {
    let api = TestApi::new().await;
    let body = json!({"ics": plain(&[]), "time_zone": "Factory"});
    assert_eq!(api.post("/v1/feeds/check", body).await.pointers(), ["/time_zone"]);
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

#[tokio::test]
async fn checks_of_one_account_have_a_small_budget_and_those_of_another_their_own() {
    let api = TestApi::new().await;
    let stranger = api.stranger().await;
    let text = plain(&[("Reserved", "2026-12-04", "2026-12-05")]);
    api.feeds.serve(&url("a"), &text);
    let (fetched, read) = (json!({"url": url("a")}), json!({"ics": text}));
    for (body, other_body, budget, next) in
        [(&fetched, &read, calmesh_app::CHECKS, 1000), (&read, &fetched, calmesh_app::TEXTS, 100)]
    {
        for _ in 0..budget.burst {
            assert_eq!(api.post("/v1/feeds/check", body.clone()).await.status, 200);
        }
        let refused = api.post("/v1/feeds/check", body.clone()).await;
        let problem = refused.problem(429);
        assert_eq!(problem["type"], "/problems/rate-limited");
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(detail, "Too many feeds are looked at for this account. Wait 1 second, then go on more slowly.");
        assert_eq!(refused.header("retry-after"), "1");
        let other = api.ask(Method::POST, "/v1/feeds/check").by(&stranger).json(body.clone()).send().await;
        assert_eq!(other.status, 200, "another account has its own");
        if budget == calmesh_app::CHECKS {
            assert_eq!(api.post("/v1/feeds/check", other_body.clone()).await.status, 200, "so have texts");
        }
        api.clock.advance(SignedDuration::from_millis(next));
        assert_eq!(api.post("/v1/feeds/check", body.clone()).await.status, 200);
        api.post("/v1/feeds/check", body.clone()).await.problem(429);
    }
}

#[tokio::test]
async fn one_host_is_asked_so_often_by_all_accounts_together_redirects_included() {
    let api = TestApi::new().await;
    let (crowded, free) = (Spender::Host("target.example".to_owned()), "free.example".to_owned());
    let (now, patience) = (api.clock.now(), SignedDuration::from_secs(3));
    // What others asked of this host a moment ago.
    let mut asked = 0;
    while let Spent::After(_) = api.ports.common.budgets.spend(&crowded, HOST, patience, now).await.unwrap() {
        asked += 1;
    }
    assert_eq!(asked, 100, "forty at once, and as many as come within a client's patience");
    let stranger = api.stranger().await;
    for token in [&api.token, &stranger] {
        let check = |link: String| api.ask(Method::POST, "/v1/feeds/check").by(token).json(json!({"url": link})).send();
        let direct = check("https://target.example/a.ics".to_owned()).await;
        let refused = direct.problem(429);
        assert!(refused["detail"].as_str().unwrap().contains("site of this feed"), "{refused}");
        assert_eq!(direct.header("retry-after"), "4");
        let end = || Box::new(Answer::body(airbnb(&[STAY])));
        api.feeds.set(&url("a"), Answer::Redirects(vec![free.clone(), "target.example".to_owned()], end()));
        check(url("a")).await.problem(429);
        api.feeds.set(&url("b"), Answer::Redirects(vec![free.clone(); 5], end()));
        assert_eq!(check(url("b")).await.status, 200, "another host is asked");
    }
    api.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(api.post("/v1/feeds/check", json!({"url": url("a")})).await.status, 200);
}

#[tokio::test]
async fn new_connections_whose_feeds_are_looked_at_have_a_budget_and_unlooked_ones_cost_none() {
    let api = TestApi::new().await;
    let budget = calmesh_app::NEW_FEEDS;
    let mut made = 0;
    let mut refused = None;
    for nth in 0..5 {
        let flat = api.flat().await;
        for site in 0..40 {
            let link = url(&format!("n{nth}x{site}"));
            api.feeds.serve(&link, airbnb(&[STAY]));
            let body = json!({"name": format!("s{site}"), "import": {"url": link}});
            let answer = api.post(&format!("/v1/properties/{flat}/connections"), body).await;
            if answer.status == 201 {
                made += 1;
            } else {
                answer.problem(429);
                refused = Some((flat.clone(), link));
            }
        }
    }
    assert_eq!(made, budget.burst);
    let (flat, link) = refused.unwrap();
    let body = json!({"name": "later", "import": {"url": link}, "skip_check": true});
    assert_eq!(api.post(&format!("/v1/properties/{flat}/connections"), body).await.status, 201);
}

#[tokio::test]
async fn so_many_feeds_are_looked_at_for_one_account_at_the_same_time() {
    let api = TestApi::new().await;
    let stranger = api.stranger().await;
    let mut waiting = Vec::new();
    for nth in 0..8 {
        let link = url(&format!("slow{nth}"));
        api.feeds.serve(&link, airbnb(&[STAY]));
        api.feeds.hold(&link);
        let asked = api.ask(Method::POST, "/v1/feeds/check").json(json!({"url": link})).send();
        waiting.push(tokio::spawn(asked));
        api.feeds.arrived(&link, 1).await;
    }
    let quick = url("quick");
    api.feeds.serve(&quick, airbnb(&[STAY]));
    let refused = api.post("/v1/feeds/check", json!({"url": quick})).await;
    assert!(refused.problem(429)["detail"].as_str().unwrap().contains("at the same time"));
    let other = api.ask(Method::POST, "/v1/feeds/check").by(&stranger).json(json!({"url": quick})).send().await;
    assert_eq!(other.status, 200, "another account does not wait");
    for nth in 0..8 {
        api.feeds.release(&url(&format!("slow{nth}")));
    }
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(api.post("/v1/feeds/check", json!({"url": quick})).await.status, 200);
}

/// What a check may answer, whatever the text says.
const CHECK_MOST: usize = 1024 * 1024;

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nPRODID:-//x//EN\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n")
}

#[tokio::test]
async fn an_event_that_lasts_for_ever_takes_the_nights_of_the_horizon_in_the_answer() {
    let api = TestApi::new().await;
    for (start, end) in [("00010101", "99991231"), ("19000101", "21991231"), ("20260101", "20991231")] {
        let text = calendar(&format!(
            "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:{start}\r\nDTEND;VALUE=DATE:{end}\r\nEND:VEVENT\r\n"
        ));
        let answer = api.post("/v1/feeds/check", json!({"ics": text})).await;
        assert_eq!(answer.status, 200);
        let nights = answer.json()["nights"].as_array().unwrap().len();
        assert!(nights <= 790, "{start} to {end}: {nights}");
        assert!(answer.body.len() < 20_000, "{start} to {end}: {}", answer.body.len());
    }
}

#[tokio::test]
async fn the_answer_of_a_check_is_bounded_whatever_the_text_says() {
    let api = TestApi::new().await;
    let long = "x".repeat(2_000);
    let many: String = (0..3_000)
        .map(|n| {
            format!(
                "BEGIN:VEVENT\r\nUID:{n}-{}\r\nDTSTART;VALUE=DATE:2027{:02}{:02}\r\nEND:VEVENT\r\n",
                &long[..150],
                n % 12 + 1,
                n % 28 + 1
            )
        })
        .collect();
    let wrong: String = (0..3_000)
        .map(|n| format!("BEGIN:VEVENT\r\nUID:{n}-{}\r\nDTSTART:never\r\nEND:VEVENT\r\n", &long[..150]))
        .collect();
    let named = format!("X-WR-CALNAME:{long}{long}\r\n");
    for text in [calendar(&many), calendar(&wrong), calendar(&named)] {
        let answer = api.post("/v1/feeds/check", json!({"ics": text})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body.len() < CHECK_MOST, "{}", answer.body.len());
    }
    let answer = api.post("/v1/feeds/check", json!({"ics": calendar(&many)})).await.json();
    assert_eq!(answer["blocks"].as_array().unwrap().len(), 1_000);
    assert_eq!(answer["blocks_left_out"], 2_000, "what is left out is told");
    assert_eq!(answer["events"]["blocking"], 3_000);
}
