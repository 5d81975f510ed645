//! Feeds that break: no block is lost, the connection says what is wrong, and a good reading clears it.

use calmesh_tests::{
    bodies::{airbnb, booking_com},
    feed_server::{FeedServer, Response},
    program::{Program, stays_of},
};
use serde_json::json;

use crate::{CALMESH, Site, begin};

const STAYS: [&str; 2] = ["03-04/03-07", "04-01/04-10"];

fn feed() -> calmesh_tests::bodies::Airbnb {
    airbnb().reserved("03-04", "03-07", "HMTEST0001").reserved("04-01", "04-10", "HMTEST0002")
}

async fn two_sites() -> (Program, FeedServer, Site, Site) {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", feed());
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&b.link, &STAYS).await;
    (program, feeds, a, b)
}

/// Serves this, refreshes, and looks that the link kept its bytes and that the connection names the failure; then the
/// feed is well again and so is the connection.
async fn keeps_every_block(answer: Response, kind: &str) {
    let (program, feeds, a, b) = two_sites().await;
    let before = program.peek(&b.link).await.text;
    feeds.set("airbnb", answer);
    let outcome = program.refresh(&a.path("/refresh")).await;
    assert_eq!((&outcome[0]["outcome"], &outcome[0]["reason"]), (&json!("failed"), &json!(kind)));
    assert_eq!(program.peek(&b.link).await.text, before);
    let sick = program.connection(&a.id).await;
    assert_eq!((&sick["import"]["health"], &sick["import"]["failure"]["type"]), (&json!("degraded"), &json!(kind)));
    assert_eq!(sick["import"]["blocks"], json!(2));
    assert!(sick["import"]["failure"]["detail"].as_str().unwrap().len() > 10, "{sick}");

    feeds.set("airbnb", feed().reserved("06-01", "06-03", "HMTEST0009"));
    program.refresh(&a.path("/refresh")).await;
    let well = program.connection(&a.id).await;
    assert_eq!((&well["import"]["health"], &well["import"]["failure"]), (&json!("ok"), &json!(null)));
    assert_eq!(stays_of(&program.peek(&b.link).await.text).len(), 3);
}

#[tokio::test]
async fn a_login_page_frees_no_night() {
    keeps_every_block(Response::login_page(), "not_a_calendar").await;
}

#[tokio::test]
async fn an_empty_body_frees_no_night() {
    keeps_every_block(Response::empty(), "not_a_calendar").await;
}

#[tokio::test]
async fn a_feed_that_ends_early_frees_no_night() {
    keeps_every_block(Response::from(feed()).ending_after(300), "truncated").await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_frees_no_night() {
    keeps_every_block(Response::from(feed()).cut_after(300), "truncated").await;
}

#[tokio::test]
async fn a_server_error_frees_no_night() {
    keeps_every_block(Response::status(500), "server_error").await;
}

#[tokio::test]
async fn a_dead_link_frees_no_night() {
    keeps_every_block(Response::status(404), "link_gone").await;
}

#[tokio::test]
async fn a_refused_link_frees_no_night() {
    keeps_every_block(Response::status(403), "link_refused").await;
}

#[tokio::test]
async fn an_oversized_feed_frees_no_night() {
    let padding = "X-PADDING:0123456789012345678901234567890123456789\r\n".repeat(220_000);
    let body = feed().body(0).replace("END:VCALENDAR", &format!("{padding}END:VCALENDAR"));
    keeps_every_block(Response::from(body), "too_large").await;
}

#[tokio::test]
async fn a_redirect_loop_frees_no_night() {
    keeps_every_block(Response::redirect("airbnb.ics"), "link_refused").await;
}

#[tokio::test]
async fn a_host_that_asks_for_patience_is_left_alone_and_frees_no_night() {
    let (program, feeds, a, b) = two_sites().await;
    feeds.set("airbnb", Response::rate_limited(2));
    let outcome = program.refresh(&a.path("/refresh")).await;
    assert_eq!(outcome[0]["reason"], json!("rate_limited"));
    let asked = feeds.count("airbnb");
    program.refresh(&a.path("/refresh")).await;
    assert_eq!(feeds.count("airbnb"), asked, "Retry-After holds for the button too");
    assert_eq!(stays_of(&program.peek(&b.link).await.text), STAYS);
    assert_eq!(program.connection(&a.id).await["import"]["failure"]["type"], json!("rate_limited"));
    feeds.set("airbnb", feed());
    program
        .until("it is read again once the host's time is over", async || {
            program.refresh(&a.path("/refresh")).await;
            (program.connection(&a.id).await["import"]["health"] == "ok").then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_emptied_feed_is_a_mass_vanish_that_is_held_and_the_host_may_release() {
    let (program, feeds, a, b) = two_sites().await;
    feeds.set("airbnb", airbnb());
    for _ in 0..4 {
        program.refresh(&a.path("/refresh")).await;
        assert_eq!(stays_of(&program.peek(&b.link).await.text), STAYS);
    }
    let connection = program.connection(&a.id).await;
    assert_eq!((&connection["import"]["holds"], &connection["import"]["failure"]), (&json!(2), &json!(null)));
    let property = connection["property_id"].as_str().unwrap();
    let holds = program.get(&format!("/v1/properties/{property}/holds")).await.expect(200);
    let hold = holds["items"][0].clone();
    assert_eq!(hold["cause"], json!("mass_vanish"), "{holds}");
    let id = hold["id"].as_str().unwrap();
    program.post(&format!("/v1/holds/{id}/release?group=true"), json!({})).await.expect(200);
    program.until_link(&b.link, &[]).await;
}

#[tokio::test]
async fn a_slow_feed_is_waited_for_and_the_links_stand_meanwhile() {
    let program = Program::start(CALMESH, &["--sweep-every", "1s"]).await;
    let feeds = FeedServer::start().await;
    feeds.set("airbnb", feed());
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&b.link, &STAYS).await;
    let gate = feeds.hold("airbnb");
    let seen = feeds.count("airbnb");
    feeds.arrived("airbnb", seen + 1).await;
    assert_eq!(stays_of(&program.peek(&b.link).await.text), STAYS);
    feeds.set("airbnb", feed().reserved("06-01", "06-03", "HMTEST0009"));
    gate.open();
    program.until_link(&b.link, &[STAYS[0], STAYS[1], "06-01/06-03"]).await;
}
