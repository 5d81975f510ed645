//! How often a call is made before it is given up: calls are tried again in one place, whatever the client was told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use calmesh_app::{
    model::SecretHash,
    ports::{AccountStore, StoreError},
};
use calmesh_https::{Roots, aws_http_client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::DynamoStore;

/// A store whose DynamoDB answers every call with this status and body, and how many calls there were.
async fn answering(status: &'static str, body: &'static str) -> (DynamoStore, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 8192];
            let _ = stream.read(&mut request).await;
            let head = "Content-Type: application/x-amz-json-1.0\r\nConnection: close";
            let answer = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("calmesh", "secret", None, None, "tests"))
        // As the functions configure all clients.
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1)))
        .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
        .endpoint_url(format!("http://{address}"))
        .build();
    (DynamoStore::new(Client::from_conf(config), "table"), calls)
}

#[tokio::test]
async fn a_call_is_made_eight_times_at_most_however_the_client_is_configured() {
    let throttled = r#"{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slower"}"#;
    let broken = r#"{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "trouble"}"#;
    let refused = r#"{"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": "no"}"#;
    for (status, body, most) in [
        ("400 Bad Request", throttled, 8),
        ("500 Oops", broken, 4),
        ("503 Busy", "", 4),
        ("400 Bad Request", refused, 1),
    ] {
        let (store, calls) = answering(status, body).await;
        let failed = store.token_by_hash(&SecretHash::of("x")).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{status}");
        assert_eq!(calls.load(Ordering::SeqCst), most, "{status} {body}");
    }
}

#[tokio::test]
async fn a_damaged_store_is_no_passing_trouble_and_is_asked_once() {
    let (store, calls) = answering("400 Bad Request", r#"{"__type": "StoreDamaged", "message": "malformed"}"#).await;
    let failed = store.token_by_hash(&SecretHash::of("x")).await;
    assert!(matches!(failed, Err(StoreError::Corrupt { .. })), "{failed:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
