//! The real binary, invoked as EventBridge Scheduler invokes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use calmesh_tests::lambda_runtime::{FakeCloud, Outcome};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_calmesh-schedule");

#[tokio::test]
async fn a_tick_announces_the_shards_whose_minute_it_is() {
    let mut cloud = FakeCloud::start().await;
    // With a period of a minute, every shard is due in every tick.
    cloud.set("CALMESH_SWEEP_EVERY", "1m");
    cloud.set("CALMESH_SHARDS", "2");
    let _function = cloud.run(BINARY);
    let tick = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2026-12-01T10:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:scheduler:eu-west-1:123456789012:schedule/default/calmesh"],
        "detail": "{}",
    });
    assert!(matches!(cloud.invoke(tick).await, Outcome::Answered(_)));
    let events = cloud.taken_events();
    let runs: Vec<_> = events
        .iter()
        .map(|event| (event.detail_type.as_str(), &event.detail["first_bucket"], &event.detail["last_bucket"]))
        .collect();
    assert_eq!(runs, [("sweep.due", &json!(0), &json!(2047)), ("sweep.due", &json!(2048), &json!(4095))]);
}

#[tokio::test]
async fn a_tick_announces_again_what_has_waited_too_long() {
    let cloud = FakeCloud::start().await;
    let app = cloud.app();
    // Changed on a clock that is long past, and never published.
    let (property, _) = cloud.property_reading(&app, "https://www.airbnb.com/calendar/ical/1.ics?s=1").await;
    cloud.rename(&app, &property, "flat by the sea").await;
    let mut cloud = cloud;
    cloud.set("CALMESH_SHARDS", "1");
    let _function = cloud.run(BINARY);
    assert!(matches!(cloud.invoke(json!({})).await, Outcome::Answered(_)));
    let dirty: Vec<_> =
        cloud.taken_events().into_iter().filter(|event| event.detail_type == "property.dirty").collect();
    assert_eq!(dirty.len(), 1);
    assert_eq!(dirty[0].detail["property"], json!(property.as_str()));
}

#[tokio::test]
async fn a_function_that_is_not_configured_says_what_is_missing_and_ends() {
    let mut cloud = FakeCloud::start().await;
    cloud.unset("CALMESH_TABLE");
    let log = cloud.run_to_its_end(BINARY).await;
    assert!(log.contains("CALMESH_TABLE is not set"), "{log}");
}
