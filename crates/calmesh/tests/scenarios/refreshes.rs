//! The button at its three levels, and sweeps over many connections.

use calmesh_tests::{bodies::booking_com, feed_server::FeedServer, program::stays_of};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::{Site, begin};

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
        let (start, end) = (format!("2027-{month}-10"), format!("2027-{month}-12"));
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
        feeds.set(&format!("feed{at}-{of_slow}"), booking_com().closed("2027-03-10", "2027-03-12"));
    }
    let asked = slow.count("slow");
    program.restart().await;
    slow.arrived("slow", asked + 1).await;
    // One of each property takes two nights; its neighbour's link shows them while the slow host hangs.
    for (_, site) in made.iter().filter(|(place, _)| *place == of_slow + 1) {
        program.until_link(&site.link, &["2027-03-10/2027-03-12"]).await;
    }
    drop(gate);
}
