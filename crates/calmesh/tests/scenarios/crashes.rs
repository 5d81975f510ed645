//! Killed in the middle of work: what was acknowledged stands after the next start.

use calmesh_tests::{
    bodies::booking_com,
    program::{stays_of, text},
};
use serde_json::json;

use crate::{Site, begin};

#[tokio::test]
async fn a_block_that_was_acknowledged_reaches_the_links_though_the_program_is_killed_at_once() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let mut expected: Vec<String> = Vec::new();
    for month in 1..=5 {
        for day in [3, 10] {
            let (start, end) = (format!("2027-0{month}-{day:02}"), format!("2027-0{month}-{:02}", day + 2));
            let body = json!({ "kind": "closure", "start": start, "end": end });
            program.post(&format!("/v1/properties/{flat}/blocks"), body).await.expect(201);
            expected.push(format!("{start}/{end}"));
        }
        program.kill();
        program.restart().await;
        // What was acknowledged is finished before anybody is served.
        assert_eq!(stays_of(&program.peek(&b.link).await.text), expected);
    }
    assert!(program.stop().await);
}

#[tokio::test]
async fn a_refresh_that_was_running_at_the_kill_comes_to_its_end_after_the_start() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com().closed("2027-03-10", "2027-03-12"));
    feeds.set("other", booking_com());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let o = Site::connect(&program, &flat, "Another", &feeds.url("other")).await;
    program.until_link(&o.link, &["2027-03-10/2027-03-12"]).await;
    let gate = feeds.hold("booking");
    let seen = feeds.count("booking");
    let refresh = text(&program.post(&b.path("/refresh"), json!({})).await.expect(202), "/id");
    feeds.arrived("booking", seen + 1).await;
    program.kill();
    feeds.set("booking", booking_com().closed("2027-03-10", "2027-03-12").closed("2027-04-10", "2027-04-12"));
    gate.open();
    program.restart().await;
    let outcomes = program.refreshed(&refresh).await;
    assert_eq!(outcomes[0]["outcome"], "changed", "the refresh that was accepted, not another one: {outcomes}");
    assert_eq!(stays_of(&program.peek(&o.link).await.text), ["2027-03-10/2027-03-12", "2027-04-10/2027-04-12"]);
}
