//! What holds over the embedded object store.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use bytes::Bytes;
use calmesh_app::{
    contract,
    model::{LinkToken, Snapshot, Validators},
    ports::{ExportStore, ExportWriteError, ParkedBody, SnapshotStore},
};
use calmesh_calendar::{AccountId, ConnectionId};
use calmesh_exports_s3::{Buckets, ObjectKey, S3Objects};
use calmesh_https::{Roots, aws_http_client};

use crate::{
    rows::{Expiry, Tells},
    s3::EmbeddedS3,
};

struct Store {
    objects: S3Objects,
    client: Client,
    embedded: EmbeddedS3,
}

impl Store {
    fn at(root: &Path) -> Self {
        Self::with(root, Vec::new())
    }

    fn with(root: &Path, expiries: Vec<Expiry>) -> Self {
        let file = root.join("objects.db");
        let (embedded, _) = EmbeddedS3::open(&file, &["exports", "snapshots"], expiries, Tells::default()).unwrap();
        let client = embedded.client();
        Self { objects: S3Objects::new(client.clone(), buckets()), client, embedded }
    }
}

pub(crate) fn buckets() -> Buckets {
    Buckets { exports: "exports".to_owned(), snapshots: "snapshots".to_owned() }
}

pub(crate) fn client(address: SocketAddr, secret: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("calmesh", secret, None, None, "tests"))
        .endpoint_url(format!("http://{address}"))
        .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
        .force_path_style(true)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .build();
    Client::from_conf(config)
}

pub(crate) fn token() -> LinkToken {
    LinkToken::from_random([0x5a; 32])
}

/// Another hand on the file.
fn rows(root: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(root.join("objects.db")).unwrap()
}

#[tokio::test]
async fn exports_keep_their_promises() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    contract::objects::export_store(&store.objects).await;
}

#[tokio::test]
async fn snapshots_keep_their_promises() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    contract::objects::snapshot_store(&store.objects).await;
}

#[tokio::test]
async fn an_export_is_stored_as_it_is_served() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let version = store.objects.put_export(&token(), Bytes::from_static(b"BEGIN:VCALENDAR"), None).await.unwrap();
    let key = ObjectKey::Export { token: token() };
    let head = store.client.head_object().bucket("exports").key(key.path()).send().await.unwrap();
    assert_eq!(head.content_type(), Some("text/calendar; charset=utf-8"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    assert_eq!(head.content_length(), Some(15));
    assert_eq!(head.e_tag(), Some(version.0.as_str()));
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let version = store.objects.put_export(&token(), Bytes::from_static(b"one"), None).await.unwrap();

    let store = Store::at(root.path());
    let export = store.objects.export(&token()).await.unwrap().unwrap();
    assert_eq!((export.body.as_ref(), &export.version), (b"one".as_slice(), &version));
    store.objects.put_export(&token(), Bytes::from_static(b"two"), Some(&version)).await.unwrap();
}

#[tokio::test]
async fn an_export_that_is_not_whole_counts_as_absent_and_an_old_version_does_not_replace_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let old = store.objects.put_export(&token(), Bytes::from_static(b"one"), None).await.unwrap();
    for damage in ["UPDATE pieces SET bytes = x''", "UPDATE objects SET sum = sum + 1", "DELETE FROM pieces"] {
        rows(root.path()).execute(damage, []).unwrap();
        assert!(store.objects.export(&token()).await.unwrap().is_none());
        let refused = store.objects.put_export(&token(), Bytes::from_static(b"late"), Some(&old)).await;
        assert!(matches!(refused, Err(ExportWriteError::Stale)));
        let made = store.objects.put_export(&token(), Bytes::from_static(b"one"), None).await.unwrap();
        assert_eq!(made, old);
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_export_stays_in_the_file() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    store.objects.put_export(&token(), Bytes::from_static(b"one"), None).await.unwrap();
    store.objects.delete_export(&token()).await.unwrap();
    for table in ["objects", "pieces"] {
        let count = rows(root.path()).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        assert_eq!(count, Ok(0), "{table}");
    }
}

#[tokio::test]
async fn superseded_snapshots_expire_and_the_current_one_does_not() {
    let root = tempfile::tempdir().unwrap();
    let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([2; 16]));
    let (old, new) = (Snapshot("01".repeat(32)), Snapshot("02".repeat(32)));
    let store = Store::at(root.path());
    let body = ParkedBody { body: Bytes::from_static(b"x"), validators: Validators::default() };
    for snapshot in [&old, &new] {
        store.objects.park(&account, &connection, snapshot, &body).await.unwrap();
    }
    store.objects.supersede(&account, &connection, &old).await.unwrap();

    let expiry = Expiry {
        bucket: "snapshots".to_owned(),
        prefix: ObjectKey::SUPERSEDED_PREFIX.to_owned(),
        after: Duration::from_secs(30 * 86_400),
    };
    let store = Store::with(root.path(), vec![expiry]);
    let key = ObjectKey::SupersededSnapshot {
        account: account.clone(),
        connection: connection.clone(),
        snapshot: old.clone(),
    };
    let head = store.client.head_object().bucket("snapshots").key(key.path()).send().await.unwrap();
    let written = SystemTime::try_from(*head.last_modified().unwrap()).unwrap();
    for days in [0, 29] {
        store.embedded.sweep_expired(written + Duration::from_secs(days * 86_400)).await;
        assert!(store.objects.parked(&account, &connection, &old).await.unwrap().is_some(), "after {days} days");
    }
    store.embedded.sweep_expired(written + Duration::from_secs(31 * 86_400)).await;
    assert!(store.objects.parked(&account, &connection, &old).await.unwrap().is_none());
    assert!(store.objects.parked(&account, &connection, &new).await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_bucket_is_an_error_and_not_a_missing_export() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let elsewhere = Buckets { exports: "nowhere".to_owned(), snapshots: "nowhere".to_owned() };
    let objects = S3Objects::new(store.client.clone(), elsewhere);
    assert!(objects.export(&token()).await.is_err());
    let refused = objects.put_export(&token(), Bytes::new(), None).await;
    assert!(matches!(refused, Err(ExportWriteError::Object(_))));
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_embedded_store_logs_no_key() {
    let lines = Lines::default();
    let writer = lines.clone();
    // The client's own lines are another matter: its level is the program's to choose.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("s3s=trace,it=trace,heard=trace")
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::trace!(target: "heard", "the test listens");

    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    store.objects.put_export(&token(), Bytes::from_static(b"one"), None).await.unwrap();
    store.objects.export(&token()).await.unwrap();
    store.objects.delete_export(&token()).await.unwrap();

    let heard = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(heard.contains("the test listens"));
    assert!(!heard.contains(token().reveal()), "{heard}");
}

#[tokio::test]
async fn the_page_of_unknown_links_is_put_once_and_stays() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    store.objects.keep_not_found_page().await.unwrap();
    let head = || store.client.head_object().bucket("exports").key("not-found.txt").send();
    let first = head().await.unwrap();
    assert_eq!((first.content_type(), first.cache_control()), (Some("text/plain; charset=utf-8"), Some("no-store")));
    store.objects.keep_not_found_page().await.unwrap();
    assert_eq!(head().await.unwrap().last_modified(), first.last_modified());
}
