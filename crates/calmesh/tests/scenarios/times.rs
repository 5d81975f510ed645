//! Late check-outs, extra nights, the question whether one may be sold, and the two formats of a link.

use calmesh_tests::{
    bodies::{airbnb, booking_com},
    dates::next_year,
    program::{stays_of, text},
};
use serde_json::json;

use crate::{Site, begin};

#[tokio::test]
async fn a_late_check_out_and_an_extra_night_are_sold_only_where_nobody_is_in_the_way() {
    let (program, feeds) = begin().await;
    feeds.set("airbnb", airbnb().reserved("03-04", "03-07", "HMTEST0001").reserved("03-08", "03-10", "HMTEST0002"));
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let body = json!({ "name": "Exact", "direction": "export", "export": { "format": "times" } });
    let exact = program.post(&format!("/v1/properties/{flat}/connections"), body).await.expect(201);
    let exact = text(&exact, "/export/url");
    program.until_link(&b.link, &["03-04/03-07", "03-08/03-10"]).await;

    let sale = |start: &str, end: &str| {
        let (start, end) = (next_year(start), next_year(end));
        format!("/v1/properties/{flat}/availability/check?start={start}&end={end}")
    };
    let may = async |start: &str, end: &str| program.get(&sale(start, end)).await.expect(200)["available"] == true;
    assert!(may("03-07T11:00", "03-07T14:00").await);
    assert!(may("03-07", "03-08").await);
    assert!(!may("03-07", "03-09").await);

    let blocks = program.get(&format!("/v1/properties/{flat}/blocks")).await.expect(200);
    let stay = text(&blocks, "/items/0/id");
    let blocks = format!("/v1/properties/{flat}/blocks");
    // Until two costs no night; the link of nights does not change, the link of times does.
    let nights = ["03-04/03-07", "03-08/03-10"];
    let late = json!({
        "kind": "reservation", "start": next_year("03-07T11:00"), "end": next_year("03-07T14:00"), "extends": stay,
    });
    program.post(&blocks, late).await.expect(201);
    program
        .until("the link of times shows the hours", async || {
            // Two in the afternoon in Madrid, in UTC.
            stays_of(&program.peek(&exact).await.text)
                .contains(
                    &["03-07T10:00:00Z", "03-07T13:00:00Z"].map(|at| next_year(at).replace(['-', ':'], "")).join("/"),
                )
                .then_some(())
        })
        .await;
    assert_eq!(stays_of(&program.peek(&b.link).await.text), nights);
    assert!(!may("03-07T11:00", "03-07T12:00").await);

    // An extra night between the two.
    let extra = json!({ "kind": "reservation", "start": next_year("03-07"), "end": next_year("03-08") });
    program.post(&blocks, extra).await.expect(201);
    assert!(!may("03-07", "03-08").await);
    let clash = json!({ "kind": "reservation", "start": next_year("03-09"), "end": next_year("03-11") });
    let refused = program.post(&blocks, clash).await;
    assert_eq!(refused.expect(409)["blocked_by"].as_array().unwrap().len(), 1, "{}", refused.text);
    program.until_link(&b.link, &[nights[0], "03-07/03-08", nights[1]]).await;
}
