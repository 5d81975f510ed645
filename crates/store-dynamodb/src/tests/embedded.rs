//! A DynamoDB in this process with a table of its own, and a line to it that can be cut at any call.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef},
        retry::RetryConfig,
    },
    error::BoxError,
};
use calmesh_https::{Roots, aws_http_client};

use crate::{DynamoStore, create_table_if_missing, table::Item};

/// Where the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The last call is not sent.
    Before,
    /// The last call is done, only its answer is lost.
    After,
}

/// Counts calls, and cuts the line after some.
#[derive(Debug, Clone)]
pub(super) struct Line {
    calls: Arc<AtomicU64>,
    /// Calls that may still begin, and that may still be answered.
    begin: Arc<AtomicI64>,
    answer: Arc<AtomicI64>,
}

#[derive(Debug)]
struct IsCut;

impl fmt::Display for IsCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line is cut")
    }
}

impl std::error::Error for IsCut {}

impl Line {
    fn new() -> Self {
        let whole = || Arc::new(AtomicI64::new(i64::MAX));
        Self { calls: Arc::default(), begin: whole(), answer: whole() }
    }

    /// So many more calls go well; then everything fails until the line is mended.
    pub(super) fn cut_after(&self, calls: i64, cut: Cut) {
        let begin = match cut {
            Cut::Before => calls,
            Cut::After => calls + 1,
        };
        self.begin.store(begin, Ordering::SeqCst);
        self.answer.store(calls, Ordering::SeqCst);
    }

    pub(super) fn mend(&self) {
        self.begin.store(i64::MAX, Ordering::SeqCst);
        self.answer.store(i64::MAX, Ordering::SeqCst);
    }

    /// Whether a call failed since it was last cut.
    pub(super) fn is_cut(&self) -> bool {
        self.begin.load(Ordering::SeqCst) < 0
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Intercept for Line {
    fn name(&self) -> &'static str {
        "Line"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.begin.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(IsCut.into()) }
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.answer.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(IsCut.into()) }
    }
}

/// An embedded DynamoDB with an empty table. It lives as long as the test's runtime.
pub(super) async fn embedded() -> (DynamoStore, Line) {
    let (store, _, line) = embedded_client_and_line().await;
    (store, line)
}

/// The same, with a client beside the store, to see what lies in the table.
pub(super) async fn embedded_and_client() -> (DynamoStore, Client) {
    let (store, client, _) = embedded_client_and_line().await;
    (store, client)
}

pub(super) async fn embedded_client_and_line() -> (DynamoStore, Client, Line) {
    let (client, line) = client_of(&served().await);
    create_table_if_missing(&client, "calmesh").await.unwrap();
    (DynamoStore::new(client.clone(), "calmesh"), client, line)
}

/// Every item of such a table.
pub(super) async fn all_items(client: &Client) -> Vec<Item> {
    let mut items = Vec::new();
    let mut pages = client.scan().table_name("calmesh").into_paginator().send();
    while let Some(page) = pages.next().await {
        items.extend(page.unwrap().items.unwrap_or_default());
    }
    items
}

/// Two stores over one table, as two instances of a function have them: nothing is shared but what is stored.
pub(super) async fn two_instances() -> (DynamoStore, DynamoStore) {
    let endpoint = served().await;
    let ((one, _), (other, _)) = (client_of(&endpoint), client_of(&endpoint));
    create_table_if_missing(&one, "calmesh").await.unwrap();
    (DynamoStore::new(one, "calmesh"), DynamoStore::new(other, "calmesh"))
}

async fn served() -> String {
    let database = dynoxide::Database::memory().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    format!("http://{address}")
}

fn client_of(endpoint: &str) -> (Client, Line) {
    let line = Line::new();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
        .credentials_provider(Credentials::new("none", "none", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .interceptor(line.clone())
        .build();
    (Client::from_conf(config), line)
}
