//! The real binary, invoked with batches as SQS hands them over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use axum::{Router, routing::get};
use calmesh_tests::lambda_runtime::{FakeCloud, envelope, failed_messages, sqs_batch};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_calmesh-fetch");
const FEED: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\n\
    BEGIN:VEVENT\r\nDTSTAMP:20261121T100000Z\r\nDTSTART;VALUE=DATE:20271204\r\nDTEND;VALUE=DATE:20271207\r\n\
    SUMMARY:Reserved\r\nUID:a@airbnb.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[tokio::test]
async fn a_shard_that_is_due_is_read_and_what_changed_is_announced() {
    let cloud = FakeCloud::start().await;
    let app = cloud.app();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let feed = format!("http://{}/feed.ics", listener.local_addr().unwrap());
    let router = Router::new().route("/feed.ics", get(|| async { ([("content-type", "text/calendar")], FEED) }));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (property, connection) = cloud.property_reading(&app, &feed).await;
    let _function = cloud.run(BINARY);
    let batch = sqs_batch(&[
        envelope("sweep.due", &json!({ "v": 1, "first_bucket": 0, "last_bucket": 4095, "number": 0 })),
        envelope("sweep.due", &json!({ "v": 99 })),
    ]);
    let outcome = cloud.invoke(batch).await;
    assert_eq!(failed_messages(&outcome), ["message-2"]);
    let read: Vec<_> = cloud.taken_events().into_iter().filter(|event| event.detail_type == "feeds.read").collect();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].detail["property"], json!(property.as_str()));
    assert_eq!(read[0].detail["readings"][0]["connection"], json!(connection.as_str()));
    assert!(!read[0].detail.to_string().contains("127.0.0.1"), "ids travel, never contents");
}
