//! Late check-outs, extra nights, the question whether one may be sold, and the two formats of a link.

use calmesh_tests::{
    bodies::{airbnb, booking_com},
    program::{stays_of, text},
};
use serde_json::json;

use crate::{Site, begin};

#[tokio::test]
async fn a_late_check_out_and_an_extra_night_are_sold_only_where_nobody_is_in_the_way() {
    let (program, feeds) = begin().await;
    feeds.set(
        "airbnb",
        airbnb().reserved("2027-03-04", "2027-03-07", "HMTEST0001").reserved("2027-03-08", "2027-03-10", "HMTEST0002"),
    );
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    Site::connect(&program, &flat, "Airbnb", &feeds.url("airbnb")).await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let body = json!({ "name": "Exact", "direction": "export", "export": { "format": "times" } });
    let exact = program.post(&format!("/v1/properties/{flat}/connections"), body).await.expect(201);
    let exact = text(&exact, "/export/url");
    program.until_link(&b.link, &["2027-03-04/2027-03-07", "2027-03-08/2027-03-10"]).await;

    let sale = |start: &str, end: &str| format!("/v1/properties/{flat}/availability/check?start={start}&end={end}");
    let may = async |start: &str, end: &str| program.get(&sale(start, end)).await.expect(200)["available"] == true;
    assert!(may("2027-03-07T11:00", "2027-03-07T14:00").await);
    assert!(may("2027-03-07", "2027-03-08").await);
    assert!(!may("2027-03-07", "2027-03-09").await);

    let blocks = program.get(&format!("/v1/properties/{flat}/blocks")).await.expect(200);
    let stay = text(&blocks, "/items/0/id");
    let blocks = format!("/v1/properties/{flat}/blocks");
    // Until two costs no night; the link of nights does not change, the link of times does.
    let nights = ["2027-03-04/2027-03-07", "2027-03-08/2027-03-10"];
    let late = json!({
        "kind": "reservation", "start": "2027-03-07T11:00", "end": "2027-03-07T14:00", "extends": stay,
    });
    program.post(&blocks, late).await.expect(201);
    program
        .until("the link of times shows the hours", async || {
            // Two in the afternoon in Madrid, in UTC.
            stays_of(&program.peek(&exact).await.text)
                .contains(&"20270307T100000Z/20270307T130000Z".to_owned())
                .then_some(())
        })
        .await;
    assert_eq!(stays_of(&program.peek(&b.link).await.text), nights);
    assert!(!may("2027-03-07T11:00", "2027-03-07T12:00").await);

    // An extra night between the two.
    let extra = json!({ "kind": "reservation", "start": "2027-03-07", "end": "2027-03-08" });
    program.post(&blocks, extra).await.expect(201);
    assert!(!may("2027-03-07", "2027-03-08").await);
    let clash = json!({ "kind": "reservation", "start": "2027-03-09", "end": "2027-03-11" });
    let refused = program.post(&blocks, clash).await;
    assert_eq!(refused.expect(409)["blocked_by"].as_array().unwrap().len(), 1, "{}", refused.text);
    program.until_link(&b.link, &[nights[0], "2027-03-07/2027-03-08", nights[1]]).await;
}
