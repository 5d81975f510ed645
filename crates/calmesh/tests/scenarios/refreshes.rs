//! The button at its three levels, and sweeps over many connections.

use calmesh_tests::{
    bodies::booking_com,
    feed_server::FeedServer,
    program::{stays_of, text},
};
use futures::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::{Site, begin, swept};

#[tokio::test]
async fn a_refresh_of_a_connection_a_property_or_the_account_is_done_when_the_links_stand() {
    let (program, feeds) = begin().await;
    feeds.set("first", booking_com());
    feeds.set("second", booking_com());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "First", &feeds.url("first")).await;
    let b = Site::connect(&program, &flat, "Second", &feeds.url("second")).await;
    let mut feed = booking_com();
    let mut expected: Vec<String> = Vec::new();
    let paths = [a.path("/refresh"), format!("/v1/properties/{flat}/refresh"), "/v1/refresh".to_owned()];
    for (path, month) in paths.iter().zip(["03", "04", "05"]) {
        let (start, end) = (format!("{month}-10"), format!("{month}-12"));
        feed = feed.closed(&start, &end);
        feeds.set("first", feed.clone());
        expected.push(format!("{start}/{end}"));
        let outcomes = program.refresh(path).await;
        let changed: Vec<_> = outcomes.as_array().unwrap().iter().filter(|one| one["outcome"] == "changed").collect();
        assert_eq!(changed.len(), 1, "{outcomes}");
        assert_eq!((&changed[0]["connection_id"], &changed[0]["blocks_added"]), (&json!(a.id), &json!(1)));
        // Not awaited: done means that the link stands.
        assert_eq!(stays_of(&program.peek(&b.link).await.text), expected);
    }
}

#[tokio::test]
async fn a_slow_host_does_not_hold_up_the_others_in_a_sweep() {
    let (mut program, feeds) = begin().await;
    let slow = FeedServer::start().await;
    slow.set("slow", booking_com());
    // More of the slow host than are read at the same time of one host: some hang and some wait behind them.
    let (of_slow, of_others) = (4, 6);
    let flats: Vec<String> = stream::iter(0..3).then(|_| program.property()).collect().await;
    let sites = flats
        .iter()
        .enumerate()
        .flat_map(|(at, flat)| (0..of_slow + of_others).map(move |place| (format!("feed{at}-{place}"), flat, place)));
    let made: Vec<(usize, Site)> = stream::iter(sites)
        .map(|(name, flat, place)| {
            let (program, feeds, slow) = (&program, &feeds, &slow);
            async move {
                let url = if place < of_slow {
                    // Another host by name, one address each.
                    format!("{}?of={name}", slow.url("slow").replace("127.0.0.1", "localhost"))
                } else {
                    feeds.set(&name, booking_com());
                    feeds.url(&name)
                };
                (place, Site::connect(program, flat, &name, &url).await)
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    // The next sweep is that of the next start.
    assert!(program.stop().await);
    let gate = slow.hold("slow");
    for at in 0..flats.len() {
        feeds.set(&format!("feed{at}-{of_slow}"), booking_com().closed("03-10", "03-12"));
    }
    let asked = slow.count("slow");
    program.restart().await;
    slow.arrived("slow", asked + 1).await;
    // One of each property takes two nights; its neighbour's link shows them while the slow host hangs.
    for (_, site) in made.iter().filter(|(place, _)| *place == of_slow + 1) {
        program.until_link(&site.link, &["03-10/03-12"]).await;
    }
    drop(gate);
}

/// Another account, and its token.
async fn another_account(program: &calmesh_tests::program::Program) -> String {
    let operator = program.told("operator_key");
    let made = program.call_by(operator, Method::POST, "/v1/accounts", Some(&json!({ "name": "Other" }))).await;
    text(&made.expect(201), "/token")
}

/// A property of that account with one connection; the connection's path.
async fn connected(program: &calmesh_tests::program::Program, token: &str, url: &str) -> String {
    let post =
        async |path: &str, body: Value| program.call_by(token, Method::POST, path, Some(&body)).await.expect(201);
    let flat = text(&post("/v1/properties", json!({"name": "Flat", "time_zone": "Europe/Madrid"})).await, "/id");
    let made = post(&format!("/v1/properties/{flat}/connections"), json!({"name": "a", "import": {"url": url}})).await;
    format!("/v1/connections/{}", text(&made, "/id"))
}

#[tokio::test]
async fn refreshes_of_feeds_that_hang_hold_up_no_other_account_and_repeated_ones_are_one() {
    let (program, feeds) = begin().await;
    let slow = FeedServer::start().await;
    let mine = program.told("token").to_owned();
    let mut paths = Vec::new();
    for nth in 0..12 {
        let name = format!("slow{nth}");
        slow.set(&name, booking_com());
        paths.push(connected(&program, &mine, &slow.url(&name).replace("127.0.0.1", "localhost")).await);
    }
    feeds.set("other", booking_com());
    let other = another_account(&program).await;
    let theirs = connected(&program, &other, &feeds.url("other")).await;
    let gates: Vec<_> = (0..12).map(|nth| slow.hold(&format!("slow{nth}"))).collect();
    let before = slow.count("slow0");
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(text(&program.post(&format!("{}/refresh", paths[0]), json!({})).await.expect(202), "/id"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one that waits or runs answers for all");
    for path in &paths[1..] {
        program.post(&format!("{path}/refresh"), json!({})).await.expect(202);
    }
    slow.arrived("slow0", before + 1).await;
    let asked = program.call_by(&other, Method::POST, &format!("{theirs}/refresh"), None).await.expect(202);
    let asked = format!("/v1/refreshes/{}", text(&asked, "/id"));
    // Nobody opened a gate: the other account's refresh is done while all of these hang.
    let done = program
        .until("the other account's refresh is done", async || {
            let told = program.call_by(&other, Method::GET, &asked, None).await.expect(200);
            (told["status"] == "done").then_some(told)
        })
        .await;
    assert_eq!(done["connections"][0]["outcome"], "unchanged");
    let running = program.get(&format!("/v1/refreshes/{}", ids[0])).await.expect(200);
    assert_eq!(running["status"], "running");
    assert_eq!(slow.count("slow0"), before + 1, "forty are read once");
    drop(gates);
}

#[tokio::test]
async fn a_feed_that_was_just_read_well_is_not_fetched_again() {
    let feeds = FeedServer::start().await;
    let args = ["--sweep-every", "6h", "--read-again-after", "1h"];
    let program = swept(&args).await;
    feeds.set("a", booking_com());
    let path = connected(&program, program.told("token"), &feeds.url("a")).await;
    let read = feeds.count("a");
    for path in [format!("{path}/refresh"), "/v1/refresh".to_owned(), format!("{path}/refresh")] {
        let outcomes = program.refresh(&path).await;
        assert_eq!(outcomes[0]["outcome"], "unchanged", "{outcomes}");
    }
    assert_eq!(feeds.count("a"), read);
}
