//! Three sites of one home: each link blocks what the others took, through moves, cancellations and new UIDs.

use calmesh_tests::{
    bodies::{Airbnb, airbnb, booking_com, vrbo},
    dates::next_year,
    feed_server::FeedServer,
    program::{Program, stays_of, values_of},
};
use serde_json::json;

use crate::{Site, begin};

#[tokio::test]
async fn each_link_blocks_what_the_others_took_and_never_its_own() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001"));
    feeds.set("booking", booking_com().closed("03-10", "03-12"));
    feeds.set("vrbo", vrbo().reserved("03-20", "03-25", "Ada").blocked("04-01", "04-03"));
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let v = Site::connect(&program, &flat, "Vrbo", &feeds.url("vrbo")).await;
    for (site, provider) in [(&a, "airbnb"), (&b, "booking_com"), (&v, "vrbo")] {
        assert_eq!(program.connection(&site.id).await["provider"], json!(provider));
    }
    program.until_link(&a.link, &["03-10/03-12", "03-20/03-25", "04-01/04-03"]).await;
    program.until_link(&b.link, &["03-04/03-07", "03-20/03-25", "04-01/04-03"]).await;
    program.until_link(&v.link, &["03-04/03-07", "03-10/03-12"]).await;

    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001").reserved("05-01", "05-04", "HMTEST0002"));
    program.refresh(&format!("/v1/properties/{flat}/refresh")).await;
    assert_eq!(stays_of(&program.peek(&v.link).await.text), ["03-04/03-07", "03-10/03-12", "05-01/05-04"]);
    assert_eq!(stays_of(&program.peek(&a.link).await.text), ["03-10/03-12", "03-20/03-25", "04-01/04-03"]);
}

#[tokio::test]
async fn a_date_moved_under_the_same_uid_moves_at_once_and_keeps_the_uid_that_we_export() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001"));
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&b.link, &["03-04/03-07"]).await;
    let before = values_of(&program.peek(&b.link).await.text, "UID");
    feeds.set("airbnb", airbnb().reserved("03-05", "03-09", "HMTEST0001"));
    program.refresh(&a.path("/refresh")).await;
    let after = program.peek(&b.link).await.text;
    assert_eq!(stays_of(&after), ["03-05/03-09"]);
    assert_eq!(values_of(&after, "UID"), before);
    assert_eq!(values_of(&after, "SEQUENCE"), ["1"]);
}

const THREE: [&str; 3] = ["03-04/03-07", "04-01/04-10", "05-01/05-10"];

/// Airbnb with three stays, the first a small part of its nights, and Booking.com, whose link shows them.
async fn three_stays() -> (Program, FeedServer, Airbnb, String, Site, Site) {
    let (program, feeds) = begin().await;
    let feed = airbnb().reserved("03-04", "03-07", "HMTEST0001").reserved("04-01", "04-10", "HMTEST0002").reserved(
        "05-01",
        "05-10",
        "HMTEST0003",
    );
    feeds.set("airbnb", feed.clone());
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&b.link, &THREE).await;
    (program, feeds, feed, flat, a, b)
}

#[tokio::test]
async fn a_stay_that_is_missing_once_is_held_and_freed_when_it_is_missing_again() {
    let (program, feeds, feed, flat, a, b) = three_stays().await;

    feeds.set("airbnb", feed.without("03-04"));
    let first = program.refresh(&a.path("/refresh")).await;
    assert_eq!(first[0]["blocks_held"], json!(1), "{first}");
    assert_eq!(stays_of(&program.peek(&b.link).await.text), THREE);
    let holds = program.get(&format!("/v1/properties/{flat}/holds")).await.expect(200);
    assert_eq!(holds["items"][0]["nights"], json!(["03-04", "03-05", "03-06"].map(next_year)), "{holds}");

    program.refresh(&a.path("/refresh")).await;
    assert_eq!(stays_of(&program.peek(&b.link).await.text), THREE[1..]);
}

#[tokio::test]
async fn a_stay_that_comes_back_before_the_second_reading_was_never_off_the_links() {
    let (program, feeds, feed, _, a, b) = three_stays().await;
    let before = program.peek(&b.link).await.text;
    for body in [feed.clone().without("03-04"), feed.clone(), feed.clone().without("03-04"), feed] {
        feeds.set("airbnb", body);
        program.refresh(&a.path("/refresh")).await;
        assert_eq!(program.peek(&b.link).await.text, before);
    }
}

#[tokio::test]
async fn uids_that_booking_com_mints_anew_change_no_byte_of_a_link() {
    let (program, feeds) = begin().await;
    let feed = booking_com().closed("03-10", "03-12").closed("03-12", "03-15");
    feeds.set("booking", feed.clone());
    feeds.set("vrbo", vrbo());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let v = Site::connect(&program, &flat, "Vrbo", &feeds.url("vrbo")).await;
    program.until_link(&v.link, &["03-10/03-12", "03-12/03-15"]).await;
    let before = program.peek(&v.link).await.text;
    let mut feed = feed;
    for _ in 0..3 {
        feed = feed.reminted();
        feeds.set("booking", feed.clone());
        program.refresh(&b.path("/refresh")).await;
        assert_eq!(program.peek(&v.link).await.text, before);
    }
}

#[tokio::test]
async fn a_moving_dtstamp_changes_no_byte_and_is_no_change_but_a_good_reading() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001"));
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&b.link, &["03-04/03-07"]).await;
    let (bytes, before) = (program.peek(&b.link).await, program.connection(&a.id).await);
    let outcome = program.refresh(&a.path("/refresh")).await;
    assert_eq!(outcome[0]["outcome"], json!("unchanged"));
    let same = program.peek(&b.link).await;
    assert_eq!((same.text, same.headers.get("etag")), (bytes.text, bytes.headers.get("etag")));
    program
        .until("the refresh is told, to the second", async || {
            program.refresh(&a.path("/refresh")).await;
            let read_at = program.connection(&a.id).await["import"]["last_refreshed_at"].clone();
            (read_at.as_str() > before["import"]["last_refreshed_at"].as_str()).then_some(())
        })
        .await;
    let after = program.connection(&a.id).await;
    assert_eq!(after["import"]["last_changed_at"], before["import"]["last_changed_at"]);
}
