//! The feed server does what tests will believe of it, seen through the real fetcher.

use std::time::Duration;

use calmesh_app::{
    model::{FailureKind, Fetched, Validators},
    ports::{FeedRequest, FeedSource, FetchFailure},
};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, Roots};
use calmesh_tests::{
    bodies::{airbnb, booking_com, generic, vrbo},
    feed_server::{FeedServer, Response},
};
use jiff::SignedDuration;

async fn fetch(url: &str, validators: Validators) -> Result<Fetched, FetchFailure> {
    let config = HttpFeedsConfig { private_feeds: true, roots: Roots::Bundled, ..HttpFeedsConfig::new("Calmesh test") };
    let request = FeedRequest {
        user_agent: None,
        url: url.parse().unwrap(),
        validators,
        connect_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(20),
        hops: None,
        room: None,
    };
    HttpFeeds::new(config).unwrap().fetch(request).await
}

async fn read(url: &str) -> (String, Validators) {
    match fetch(url, Validators::default()).await {
        Ok(Fetched::Body { bytes, validators, .. }) => (String::from_utf8(bytes.to_vec()).unwrap(), validators),
        other => panic!("no body: {other:?}"),
    }
}

async fn fails(url: &str) -> FetchFailure {
    fetch(url, Validators::default()).await.unwrap_err()
}

#[tokio::test]
async fn an_airbnb_feed_has_other_bytes_at_every_fetch() {
    let server = FeedServer::start().await;
    let feed = airbnb().reserved("2026-12-04", "2026-12-07", "HMTEST0001").closed("2026-12-24", "2026-12-27");
    server.set("airbnb", feed.clone());
    let first = read(&server.url("airbnb")).await.0;
    let second = read(&server.url("airbnb")).await.0;
    assert_eq!((first.as_str(), second.as_str()), (feed.body(0).as_str(), feed.body(1).as_str()));
    assert_ne!(first, second);
    assert_eq!(server.count("airbnb"), 2);
}

#[tokio::test]
async fn a_feed_with_an_etag_answers_304_until_it_changes() {
    let server = FeedServer::start().await;
    let feed = booking_com().closed("2026-12-10", "2026-12-12");
    server.set("booking", Response::from(feed.clone()).with_etag().gzip());
    let (body, validators) = read(&server.url("booking")).await;
    assert_eq!(body, feed.body());
    assert_eq!(fetch(&server.url("booking"), validators.clone()).await, Ok(Fetched::NotModified));
    server.set("booking", Response::from(feed.reminted()).with_etag());
    assert!(matches!(fetch(&server.url("booking"), validators).await, Ok(Fetched::Body { .. })));
    assert_eq!((server.count("booking"), server.not_modified("booking")), (3, 1));
}

#[tokio::test]
async fn a_last_modified_that_comes_back_is_a_304() {
    let server = FeedServer::start().await;
    let feed = vrbo().reserved("2026-12-10", "2026-12-12", "Ada").blocked("2027-01-01", "2027-01-03");
    server.set("vrbo", Response::from(feed).with_last_modified("Sat, 21 Nov 2026 09:00:00 GMT"));
    let (_, validators) = read(&server.url("vrbo")).await;
    assert_eq!(fetch(&server.url("vrbo"), validators).await, Ok(Fetched::NotModified));
}

#[tokio::test]
async fn a_script_runs_through_its_failures_and_stays_at_its_end() {
    let server = FeedServer::start().await;
    let feed = generic().event("2026-12-10", "2026-12-12", "a@example", "Taken");
    server.script(
        "any",
        [
            Response::rate_limited(120),
            Response::status(500),
            Response::from(feed.clone()).cut_after(40),
            Response::from(feed.clone()).gzip().cut_after(40),
            Response::from(feed.clone()).with_status(206),
            Response::status(404),
            feed.clone().into(),
        ],
    );
    let url = server.url("any");
    let limited = fails(&url).await;
    assert_eq!((limited.kind, limited.retry_after), (FailureKind::RateLimited, Some(SignedDuration::from_secs(120))));
    for kind in [
        FailureKind::ServerError,
        FailureKind::Truncated,
        FailureKind::Truncated,
        FailureKind::Truncated,
        FailureKind::LinkGone,
    ] {
        assert_eq!(fails(&url).await.kind, kind);
    }
    for _ in 0..2 {
        assert_eq!(read(&url).await.0, feed.body());
    }
    assert_eq!(server.count("any"), 8);
}

#[tokio::test]
async fn pages_empty_bodies_and_short_texts_are_bodies_to_the_fetcher() {
    let server = FeedServer::start().await;
    let url = server.url("odd");
    server.set("odd", Response::login_page());
    assert!(read(&url).await.0.starts_with("<!DOCTYPE html>"));
    server.set("odd", Response::empty());
    assert_eq!(read(&url).await.0, "");
    server.set("odd", Response::from(airbnb()).ending_after(30));
    assert_eq!(read(&url).await.0.len(), 30);
}

#[tokio::test]
async fn a_redirect_leads_to_another_feed() {
    let server = FeedServer::start().await;
    server.set("old", Response::redirect(&server.url("new")));
    server.set("new", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n");
    assert!(read(&server.url("old")).await.0.starts_with("BEGIN"));
    assert_eq!(server.total(), 2);
}

#[tokio::test]
async fn a_gate_keeps_requests_until_it_is_opened() {
    let server = FeedServer::start().await;
    server.set("slow", "before");
    let gate = server.hold("slow");
    let url = server.url("slow");
    let waiting = tokio::spawn(async move { read(&url).await.0 });
    server.arrived("slow", 1).await;
    server.set("slow", "after");
    gate.open();
    assert_eq!(waiting.await.unwrap(), "after");
}

#[tokio::test]
async fn a_feed_that_nobody_set_is_gone() {
    let server = FeedServer::start().await;
    assert_eq!(fails(&server.url("nobody")).await.kind, FailureKind::LinkGone);
    server.set("somebody", airbnb());
    server.remove("somebody");
    assert_eq!(fails(&server.url("somebody")).await.kind, FailureKind::LinkGone);
    assert_eq!(server.total(), 2);
}
