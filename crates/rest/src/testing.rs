//! The test kit: the whole router over in-memory fakes, one account ready, requests in one line.

use std::sync::Arc;

use axum::{Router, body::Body};
use calmesh_app::{
    App, NewAccount, Ports,
    contract::{a_property, an_account, nothing_but},
    fakes::{FakeDeployment, FixedClock, MemoryBus, MemoryFeeds, MemoryObjects, MemoryStore},
    model::{Account, Property},
    ports::Event,
};
use calmesh_calendar::{AccountId, PropertyId};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use crate::{options::RestOptions, router};

/// The present in every test, until the clock is moved.
pub(crate) const NOW: &str = "2026-11-21T10:00:00Z";

/// The API over fakes, with an account whose token every request carries unless it says otherwise.
pub(crate) struct TestApi {
    pub(crate) router: Router,
    pub(crate) app: App,
    pub(crate) ports: Ports,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) feeds: Arc<MemoryFeeds>,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) account: Account,
    pub(crate) token: String,
    pub(crate) operator_key: String,
}

impl TestApi {
    pub(crate) async fn new() -> Self {
        Self::with(RestOptions::new("0.1.0-test")).await
    }

    pub(crate) async fn with(options: RestOptions) -> Self {
        let links_base = "https://links.example".parse().unwrap();
        let FakeDeployment { app, ports, store, objects, bus, feeds, clock, operator_key } =
            FakeDeployment::new(NOW.parse().unwrap(), 1, links_base, &["booking_com"]);
        let new = NewAccount { name: "Casas del Sol".to_owned(), detail: None, label_prefix: None };
        let (account, token) = app.desk.create_account(new).await.unwrap();
        Self {
            router: router(app.desk.clone(), options),
            app,
            ports,
            store,
            objects,
            bus,
            feeds,
            clock,
            account,
            token: token.reveal().to_owned(),
            operator_key: operator_key.reveal().to_owned(),
        }
    }

    /// A second account's token.
    pub(crate) async fn stranger(&self) -> String {
        let new = NewAccount { name: "Somebody else".to_owned(), detail: None, label_prefix: None };
        self.app.desk.create_account(new).await.unwrap().1.reveal().to_owned()
    }

    /// A token of this account, with the fields of `POST /v1/tokens`.
    pub(crate) async fn token_with(&self, fields: Value) -> String {
        let answer = self.post("/v1/tokens", fields).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// A property, written past the API; its account is made if there is none.
    pub(crate) async fn property(&self, account: &AccountId) -> PropertyId {
        if self.ports.common.accounts.account(account).await.unwrap().is_none() {
            let owner = Account { id: account.clone(), ..an_account(0) };
            self.ports.common.accounts.create_account(&owner, None).await.unwrap();
        }
        let now: Timestamp = NOW.parse().unwrap();
        let id = PropertyId::from_random(self.ports.common.randomness.id());
        let property = Property {
            id: id.clone(),
            account: account.clone(),
            name: "Flat".to_owned(),
            created_at: now,
            rules_changed_at: now,
            revised_at: Some(now),
            reading: Vec::new(),
            dirty: None,
            ..a_property(0, 0)
        };
        let commit = nothing_but(&property);
        self.ports.common.properties.commit(&commit).await.unwrap();
        id
    }

    pub(crate) fn drain(&self) -> Vec<Event> {
        self.bus.drain()
    }

    /// A request that carries the account's token.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        Ask {
            router: self.router.clone(),
            request: Request::builder().method(method).uri(path),
            token: Some(self.token.clone()),
            body: Vec::new(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path).send().await
    }
}

/// A request in the making.
pub(crate) struct Ask {
    router: Router,
    request: http::request::Builder,
    token: Option<String>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn by(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn by_nobody(mut self) -> Self {
        self.token = None;
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub(crate) fn raw(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.request = self.request.header("content-type", content_type);
        self.body = body.into();
        self
    }

    pub(crate) fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(mut self) -> Answer {
        if let Some(token) = &self.token {
            self.request = self.request.header("authorization", format!("Bearer {token}"));
        }
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = self.router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that this is a whole problem of this status, and answers it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"), "{problem}");
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        if status == 422 {
            let errors = problem["errors"].as_array().expect("a 422 names the places");
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error["detail"].as_str().unwrap().is_empty());
                assert!(error["pointer"].is_string());
            }
        }
        assert_eq!(StatusCode::from_u16(status).unwrap().as_u16(), status);
        problem
    }

    /// The pointers of a 422, in order.
    #[track_caller]
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}
