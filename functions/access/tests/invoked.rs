//! The real binary, invoked with what S3 tells SQS of new logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write;

use calmesh_app::{
    model::{LinkReads, LinkToken},
    ports::{LinkStore, PropertyStore},
};
use calmesh_tests::lambda_runtime::{ACCESS_LOGS, FakeCloud, failed_messages, sqs_batch};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_calmesh-access");
const LOG: &str = "links/E2ABCDEFGH.2026-12-04-10.a1b2c3d4.gz";

fn told_of(name: &str) -> String {
    json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": ACCESS_LOGS }, "object": { "key": name } } }] })
        .to_string()
}

/// A log as CloudFront writes it: a read by somebody at each of these times.
fn log(token: &LinkToken, times: &[&str]) -> Vec<u8> {
    let mut text =
        "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status \
                    cs(Referer) cs(User-Agent) cs-uri-query\n"
            .to_owned();
    for time in times {
        text.push_str(&format!(
            "2026-12-04\t{time}\tMAD51\t1045\t192.0.2.10\tGET\td111.cloudfront.net\t/f/{}.ics\t200\t-\tAirbnb\t-\n",
            token.reveal()
        ));
    }
    text.push_str("not a line\n");
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(text.as_bytes()).unwrap();
    zipped.finish().unwrap()
}

#[tokio::test]
async fn a_log_is_recorded_once_and_does_not_stay() {
    let mut cloud = FakeCloud::start().await;
    // It is given nothing of what it does not use.
    for variable in
        ["CALMESH_EXPORTS_BUCKET", "CALMESH_SNAPSHOTS_BUCKET", "CALMESH_DEPLOYMENT_SECRET", "CALMESH_OPERATOR_KEY"]
    {
        cloud.unset(variable);
    }
    let app = cloud.app();
    let (property, _) = cloud.property_reading(&app, "https://www.airbnb.com/calendar/ical/1.ics?s=1").await;
    let state = cloud.store.load(&property).await.unwrap().unwrap();
    let token = state.connections[0].export.as_ref().unwrap().token.clone();
    let _function = cloud.run(BINARY);
    let reads = async || cloud.store.reads(&[token.hash()], "2026-12-04T11:00:00Z".parse().unwrap()).await.unwrap()[0];

    cloud.put_log(LOG, log(&token, &["10:00:01", "10:15:01", "10:15:01"])).await;
    let outcome = cloud.invoke(sqs_batch(&[told_of(LOG)])).await;
    assert!(failed_messages(&outcome).is_empty(), "{outcome:?}");
    let two = LinkReads { last_read_at: Some("2026-12-04T10:15:01Z".parse().unwrap()), reads_24h: 2 };
    assert_eq!(reads().await, two);
    assert!(cloud.logs().await.is_empty(), "the log named addresses of readers");

    // Told of again: it is gone. There again, as after a crash before it was removed: nothing is counted twice.
    assert!(failed_messages(&cloud.invoke(sqs_batch(&[told_of(LOG)])).await).is_empty());
    cloud.put_log(LOG, log(&token, &["10:00:01", "10:15:01"])).await;
    assert!(failed_messages(&cloud.invoke(sqs_batch(&[told_of(LOG)])).await).is_empty());
    assert_eq!(reads().await, two);

    // A log that arrives late is counted in its hour and takes nothing back.
    cloud.put_log("links/late.gz", log(&token, &["09:30:00"])).await;
    assert!(failed_messages(&cloud.invoke(sqs_batch(&[told_of("links/late.gz")])).await).is_empty());
    assert_eq!(reads().await, LinkReads { reads_24h: 3, ..two });
    assert!(cloud.taken_events().is_empty());
}

#[tokio::test]
async fn what_is_no_log_comes_again_alone() {
    let cloud = FakeCloud::start().await;
    let _function = cloud.run(BINARY);
    let nobodys = log(&LinkToken::from_random([9; 32]), &["10:00:01"]);
    cloud.put_log("links/cut.gz", nobodys[..nobodys.len() - 8].to_vec()).await;
    cloud.put_log("links/text.gz", b"no gzip".to_vec()).await;
    cloud.put_log("links/nobodys.gz", nobodys).await;
    let works = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": ACCESS_LOGS }).to_string();
    let outcome = cloud
        .invoke(sqs_batch(&[
            works,
            told_of("links/cut.gz"),
            "{ not json".to_owned(),
            told_of("links/text.gz"),
            told_of("links/nobodys.gz"),
            told_of("links/gone.gz"),
            told_of("links/x.gz").replace(ACCESS_LOGS, "calmesh-exports"),
        ]))
        .await;
    let mut failed = failed_messages(&outcome);
    failed.sort();
    assert_eq!(failed, ["message-2", "message-3", "message-4", "message-7"]);
    assert_eq!(
        cloud.logs().await,
        ["links/cut.gz", "links/text.gz"],
        "what could not be taken stays for who looks into it"
    );
}
