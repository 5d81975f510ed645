//! What a reader of a private link sees when its connection is paused, resumed, rotated, revoked and deleted.

use calmesh_tests::{
    bodies::{airbnb, booking_com},
    dates::next_year,
    feed_server::FeedServer,
    program::{Program, stays_of, text},
};
use serde_json::json;

use crate::{Site, begin};

const A_STAY: &str = "03-04/03-07";
const B_STAY: &str = "03-10/03-12";

async fn two_sites() -> (Program, FeedServer, Site, Site) {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001"));
    feeds.set("booking", booking_com().closed("03-10", "03-12"));
    let flat = program.property().await;
    let a = Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    program.until_link(&a.link, &[B_STAY]).await;
    program.until_link(&b.link, &[A_STAY]).await;
    (program, feeds, a, b)
}

#[tokio::test]
async fn pausing_empties_both_directions_and_resuming_fills_them_again() {
    let (program, _feeds, a, b) = two_sites().await;
    let before = program.peek(&b.link).await.text;
    let preview = program.post(&a.path("/pause?preview=true"), json!({})).await.expect(200);
    assert_eq!(preview["opens"], json!(["03-04", "03-05", "03-06"].map(next_year)));
    assert_eq!(program.peek(&b.link).await.text, before);
    assert_eq!(program.connection(&a.id).await["status"], json!("active"));

    assert_eq!(program.post(&a.path("/pause"), json!({})).await.expect(200)["status"], json!("paused"));
    program.until_link(&b.link, &[]).await;
    program.until_link(&a.link, &[]).await;
    let empty = program.peek(&a.link).await;
    assert_eq!(empty.status, 200);
    assert!(empty.text.starts_with("BEGIN:VCALENDAR\r\n") && empty.text.ends_with("END:VCALENDAR\r\n"));

    assert_eq!(program.post(&a.path("/resume"), json!({})).await.expect(200)["status"], json!("active"));
    program.until_link(&b.link, &[A_STAY]).await;
    program.until_link(&a.link, &[B_STAY]).await;
}

#[tokio::test]
async fn deleting_empties_the_link_and_frees_what_it_brought() {
    let (program, _feeds, a, b) = two_sites().await;
    let before = program.peek(&b.link).await.text;
    let preview = program.delete(&a.path("?preview=true")).await.expect(200);
    assert_eq!(preview["opens"], json!(["03-04", "03-05", "03-06"].map(next_year)));
    assert_eq!(program.peek(&b.link).await.text, before);
    program.delete(&a.path("")).await.expect(204);
    program.get(&a.path("")).await.expect(404);
    program.until_link(&b.link, &[]).await;
    program.until_link(&a.link, &[]).await;
    assert_eq!(program.peek(&a.link).await.status, 200);
}

#[tokio::test]
async fn a_rotated_link_is_kept_up_to_date_and_a_revoked_one_is_emptied() {
    let (program, feeds, a, b) = two_sites().await;
    let rotated = program.post(&b.path("/rotate-link"), json!({})).await.expect(200);
    let second = text(&rotated, "/export/url");
    assert_ne!(second, b.link);
    program.until_link(&second, &[A_STAY]).await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-08", "HMTEST0001"));
    program.refresh(&a.path("/refresh")).await;
    for link in [&b.link, &second] {
        assert_eq!(stays_of(&program.peek(link).await.text), ["03-04/03-08"]);
    }
    let third = program.post(&b.path("/rotate-link?revoke=now"), json!({})).await.expect(200);
    program.until_link(&text(&third, "/export/url"), &["03-04/03-08"]).await;
    program.until_link(&second, &[]).await;
    assert_eq!(program.peek(&second).await.status, 200);
}

#[tokio::test]
async fn a_link_that_nobody_made_is_404_with_nothing_said() {
    let (program, _feeds) = begin().await;
    let answer = program.read_link(&format!("/f/{}.ics", "A".repeat(43))).await;
    assert_eq!((answer.status, answer.text.as_str()), (404, ""));
}

#[tokio::test]
async fn a_read_is_counted_and_an_unchanged_link_is_304() {
    let (program, _feeds, _a, b) = two_sites().await;
    assert_eq!(program.connection(&b.id).await["export"]["reads_24h"], json!(0));
    assert_eq!(program.read_link(&b.link).await.headers["cache-control"], "max-age=60");
    program
        .until("the read is counted", async || {
            (program.connection(&b.id).await["export"]["reads_24h"] == 1).then_some(())
        })
        .await;
}
