//! The real binary, invoked with batches as SQS hands them over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use calmesh_app::ports::{ExportStore, PropertyStore};
use calmesh_tests::lambda_runtime::{FakeCloud, envelope, failed_messages, sqs_batch};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_calmesh-merge");

#[tokio::test]
async fn a_poisoned_message_comes_again_alone_and_the_others_are_done() {
    let cloud = FakeCloud::start().await;
    let app = cloud.app();
    let (property, _) = cloud.property_reading(&app, "https://www.airbnb.com/calendar/ical/1.ics?s=1").await;
    let state = cloud.store.load(&property).await.unwrap().unwrap();
    let token = state.connections[0].export.as_ref().unwrap().token.clone();
    let _function = cloud.run(BINARY);
    let batch = sqs_batch(&[
        "{ not json".to_owned(),
        envelope("property.dirty", &json!({ "v": 1, "property": property.as_str() })),
        envelope("something.else", &json!({ "v": 1 })),
    ]);
    let outcome = cloud.invoke(batch.clone()).await;
    assert_eq!(failed_messages(&outcome), ["message-1", "message-3"]);
    let export = cloud.objects.export(&token).await.unwrap().expect("the export stands");
    assert!(export.body.starts_with(b"BEGIN:VCALENDAR\r\n"));
    let state = cloud.store.load(&property).await.unwrap().unwrap();
    assert_eq!(state.property.dirty, None);

    // Delivered again, it changes nothing.
    let outcome = cloud.invoke(batch).await;
    assert_eq!(failed_messages(&outcome), ["message-1", "message-3"]);
    assert_eq!(cloud.objects.export(&token).await.unwrap().unwrap().version, export.version);
}
