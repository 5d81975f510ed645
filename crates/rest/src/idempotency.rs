//! `Idempotency-Key`: a POST that is repeated with the same key is done once, and answered as it was then.
//!
//! Two things see to it. The answer is kept, sealed, for a day. And whatever a request draws at random follows from a
//! seed that is written down before it runs: one that a crash cut off makes the same ids, links and secrets when it is
//! repeated, and the use cases take what is there under such an id for what was to be made.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use calmesh_app::{
    model::SecretHash,
    ports::{IdempotencyStart, Randomness},
};
use calmesh_calendar::AccountId;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::{
    api::Api,
    body::read_bytes,
    caller::Caller,
    problem::{FieldProblem, Kind, Problem},
};

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is the kept one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(crate) const KEY_MOST: usize = 255;
/// Visible ASCII and blanks, not blanks alone; as the document says it.
#[cfg(test)]
pub(crate) const KEY_PATTERN: &str = "^[ -~]*[!-~][ -~]*$";
/// A body larger than that is not kept: a repetition is done anew, from the same seed. What POSTs make is far smaller.
pub(crate) const KEPT_MOST: usize = 64 * 1024;

tokio::task_local! {
    /// From what the request with a key that runs in this task draws.
    static DRAWS: Arc<Draws>;
}

/// What one request draws at random, one draw after the other.
struct Draws {
    key: [u8; 32],
    count: AtomicU64,
    again: bool,
}

/// The deployment's randomness, but for requests with a key, whose draws follow from their seed. Nobody can tell them
/// from others: what they follow from is keyed by the deployment's secret.
pub(crate) struct Repeatable(pub(crate) Arc<dyn Randomness>);

impl fmt::Debug for Repeatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeatable")
    }
}

impl Randomness for Repeatable {
    fn fill(&self, bytes: &mut [u8]) {
        let filled = DRAWS.try_with(|draws| {
            let draw = draws.count.fetch_add(1, Ordering::Relaxed);
            for (block, chunk) in bytes.chunks_mut(32).enumerate() {
                let block = keyed(&draws.key, &[&draw.to_be_bytes(), &block.to_be_bytes()]);
                chunk.iter_mut().zip(block).for_each(|(slot, byte)| *slot = byte);
            }
        });
        if filled.is_err() {
            self.0.fill(bytes);
        }
    }

    fn repeats(&self) -> bool {
        DRAWS.try_with(|draws| draws.again).unwrap_or_default()
    }
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(&part.len().to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// An answer as it is kept, before it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Runs a POST, once for each key.
pub(crate) async fn once(api: &Api, caller: &Caller, request: Request, next: Next) -> Response {
    let mut keys = request.headers().get_all(KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (None, _) => return next.run(request).await,
        // What changes nothing may as well be done again.
        (Some(key), None) if valid_key(key).is_some() && changes_nothing(&request) => return next.run(request).await,
        (Some(key), None) => valid_key(key),
        (Some(_), Some(_)) => None,
    };
    let Some(key) = key else {
        let detail = format!("must be one text of 1 to {KEY_MOST} visible ASCII characters");
        return Problem::invalid(vec![FieldProblem::header("Idempotency-Key", detail)]).into_response();
    };
    run(api.clone(), caller, key, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

/// The feed doctor and previews: their answers are as large as what they look at, and never kept.
fn changes_nothing(request: &Request) -> bool {
    let previews = request.uri().query().unwrap_or_default().split('&').any(|pair| pair == "preview=true");
    previews || request.uri().path() == crate::feeds::CHECK
}

fn valid_key(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let fits = (1..=KEY_MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (fits && !text.trim().is_empty()).then(|| text.to_owned())
}

async fn run(api: Api, caller: &Caller, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = read_bytes(body).await?;
    let account = account_of(caller);
    let fingerprint = fingerprint(caller, &parts, &bytes);
    let context = format!("idempotency/{account}/{key}");
    let store = &api.desk.idempotency;
    let draws = match store.start(&account, &key, &fingerprint, api.desk.randomness.id(), api.desk.clock.now()).await? {
        IdempotencyStart::New { seed, again } => {
            let of_request = fingerprint.to_hex();
            let parts: [&[u8]; 5] =
                [b"idempotency", &seed, account.as_str().as_bytes(), key.as_bytes(), of_request.as_bytes()];
            let key = keyed(&api.desk.cursor_key, &parts);
            Arc::new(Draws { key, count: AtomicU64::new(0), again })
        }
        IdempotencyStart::Running => {
            return Err(Problem::conflict(
                "A request with this Idempotency-Key is still running. Repeat it in a moment for its answer.",
            )
            .slug("still-running")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        IdempotencyStart::Mismatch => {
            let detail = "was used with another request; use a new key for this one";
            return Err(Problem::invalid(vec![FieldProblem::header("Idempotency-Key", detail)]));
        }
        IdempotencyStart::Done(sealed) => {
            let plain = api.desk.sealer.open(&context, &sealed).await.map_err(|error| Problem::internal(&error))?;
            return replay(&plain).ok_or_else(|| {
                tracing::error!("a kept answer can't be read");
                Problem::new(Kind::Internal, "")
            });
        }
    };
    // In a task of its own: a client that hangs up must not leave the work half done and the answer unkept.
    let request = Request::from_parts(parts, Body::from(bytes));
    let work = async move {
        let outcome = tokio::spawn(DRAWS.scope(draws, next.run(request)).in_current_span()).await;
        let (answer, kept) = match outcome {
            Ok(response) => keepable(response).await,
            Err(error) => (Problem::internal(&error).into_response(), None),
        };
        settle(&api, &account, &key, &context, kept).await;
        answer
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// What must be the same for a request to be a repetition: method, path, query, body, and what the caller sees,
/// so that a token for one property never gets the answer that was given to one for all.
fn fingerprint(caller: &Caller, parts: &Parts, body: &[u8]) -> SecretHash {
    let sees = match caller {
        Caller::Operator => "operator".to_owned(),
        Caller::Account(opened) => format!("{:?}", opened.reach.properties),
    };
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    SecretHash::of(&format!("{} {target}\n{sees}\n{:x?}", parts.method, Sha256::digest(body)))
}

/// Keeps the answer, or frees the key. A failure here only means that a repetition is done anew or told to wait.
async fn settle(api: &Api, account: &AccountId, key: &str, context: &str, kept: Option<Vec<u8>>) {
    let store = &api.desk.idempotency;
    let result = match kept {
        Some(plain) => match api.desk.sealer.seal(context, &plain).await {
            Ok(sealed) => store.finish(account, key, &sealed, api.desk.clock.now()).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an answer could not be sealed");
                store.abandon(account, key).await
            }
        },
        None => store.abandon(account, key).await,
    };
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "an answer could not be kept");
    }
}

/// The account under whose name the answer is kept; the operator has one that no account can have.
fn account_of(caller: &Caller) -> AccountId {
    match caller {
        Caller::Operator => AccountId::from_random([0; 16]),
        Caller::Account(opened) => opened.account.id.clone(),
    }
}

/// The answer, and what is kept of it: nothing of a refusal. It changed nothing, so nothing is done twice, and a feed
/// that can be read again or a night that is free again makes the same request a good one.
async fn keepable(response: Response) -> (Response, Option<Vec<u8>>) {
    let (parts, body) = response.into_parts();
    let Ok(collected) = body.collect().await else {
        return (Problem::new(Kind::Internal, "").into_response(), None);
    };
    let bytes = collected.to_bytes();
    let kept = if !parts.status.is_success() || bytes.len() > KEPT_MOST {
        None
    } else {
        let headers = [header::CONTENT_TYPE, header::LOCATION, header::ETAG, header::CACHE_CONTROL, header::ALLOW];
        let headers = headers
            .iter()
            .filter_map(|name| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned())))
            .collect();
        serde_json::to_vec(&Kept { status: parts.status.as_u16(), headers, body: STANDARD.encode(&bytes) }).ok()
    };
    (Response::from_parts(parts, Body::from(bytes)), kept)
}

fn replay(plain: &[u8]) -> Option<Response> {
    let kept: Kept = serde_json::from_slice(plain).ok()?;
    let mut response = Response::new(Body::from(STANDARD.decode(kept.body).ok()?));
    *response.status_mut() = StatusCode::from_u16(kept.status).ok()?;
    for (name, value) in kept.headers {
        response.headers_mut().insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use calmesh_app::{fakes::Moment, model::TokenSecret, ports::IdempotencyStart};
    use http::Method;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::fingerprint;
    use crate::{
        caller::Caller,
        scenes::*,
        testing::{Answer, TestApi},
    };

    async fn with_key(api: &TestApi, key: &str, name: &str) -> Answer {
        let asked = api.ask(Method::POST, "/v1/tokens").header("idempotency-key", key);
        asked.json(json!({"name": name})).send().await
    }

    async fn count(api: &TestApi) -> usize {
        api.get("/v1/tokens").await.json()["items"].as_array().unwrap().len()
    }

    #[tokio::test]
    async fn a_repeated_request_is_done_once_and_answered_the_same() {
        let api = TestApi::new().await;
        let first = with_key(&api, "k1", "a").await;
        let again = with_key(&api, "k1", "a").await;
        assert_eq!(first.status, 201);
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        for name in ["location", "content-type", "cache-control"] {
            assert_eq!(first.header(name), again.header(name));
        }
        assert_eq!(first.header("idempotency-replayed"), "");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(count(&api).await, 2);
        assert_ne!(with_key(&api, "k2", "a").await.body, first.body);
    }

    #[tokio::test]
    async fn a_key_with_another_body_path_or_query_is_422() {
        let api = TestApi::new().await;
        with_key(&api, "k", "a").await;
        assert_eq!(with_key(&api, "k", "b").await.pointers(), ["/Idempotency-Key"]);
        let other = api.ask(Method::POST, "/v1/links").header("idempotency-key", "k").json(json!({"name": "a"}));
        assert_eq!(other.send().await.pointers(), ["/Idempotency-Key"]);
    }

    #[tokio::test]
    async fn a_key_belongs_to_its_account() {
        let api = TestApi::new().await;
        let stranger = api.stranger().await;
        let mine = with_key(&api, "k", "a").await;
        let asked = api.ask(Method::POST, "/v1/tokens").by(&stranger).header("idempotency-key", "k");
        let theirs = asked.json(json!({"name": "a"})).send().await;
        assert_eq!(theirs.status, 201);
        assert_ne!(mine.body, theirs.body);
    }

    #[tokio::test]
    async fn a_narrower_token_never_gets_the_answer_of_a_wider_one() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let narrow = api.token_with(json!({"name": "n", "property_ids": [property.as_str()]})).await;
        with_key(&api, "k", "a").await;
        let asked = api.ask(Method::POST, "/v1/tokens").by(&narrow).header("idempotency-key", "k");
        assert_eq!(asked.json(json!({"name": "a"})).send().await.pointers(), ["/Idempotency-Key"]);
    }

    #[tokio::test]
    async fn neither_a_refusal_that_may_heal_nor_a_failure_is_kept() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let path = format!("/v1/properties/{flat}/connections");
        let connect = || {
            let body = json!({"name": "a", "import": {"url": url("a")}});
            api.ask(Method::POST, &path).header("idempotency-key", "c").json(body).send()
        };
        api.feeds.fail(&url("a"), calmesh_app::model::FailureKind::ServerError);
        connect().await.problem(422);
        api.feeds.serve(&url("a"), airbnb(&[]));
        assert_eq!(connect().await.status, 201, "the site is well again, and the same request is done");
        let block = || {
            let body = json!({"kind": "reservation", "start": "2027-08-06", "end": "2027-08-09"});
            api.ask(Method::POST, &format!("/v1/properties/{flat}/blocks"))
                .header("idempotency-key", "b")
                .json(body)
                .send()
        };
        let in_the_way = json!({"kind": "closure", "start": "2027-08-08", "end": "2027-08-10"});
        let made = api.post(&format!("/v1/properties/{flat}/blocks"), in_the_way).await;
        block().await.problem(409);
        api.delete(&format!("/v1/blocks/{}", made.json()["id"].as_str().unwrap())).await;
        assert_eq!(block().await.status, 201, "what was in the way is gone");
        with_key(&api, "k", "").await.problem(422);
        assert_eq!(with_key(&api, "k", "a").await.status, 201, "the key was not used up");
        // Token and account are read, the key is taken: the fourth call is the one that makes the token.
        api.store.fail_call(4, calmesh_app::fakes::Moment::Before);
        with_key(&api, "k2", "a").await.problem(503);
        assert_eq!(with_key(&api, "k2", "a").await.status, 201);
    }

    #[tokio::test]
    async fn a_request_that_still_runs_is_409() {
        let api = TestApi::new().await;
        let request = http::Request::post("/v1/tokens").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let secret = TokenSecret::parse(&api.token).unwrap();
        let caller = Caller::Account(Arc::new(api.app.desk.open_by_token(&secret).await.unwrap()));
        let fingerprint = fingerprint(&caller, &parts, br#"{"name":"a"}"#);
        let (account, now) = (&api.account.id, api.ports.common.clock.now());
        let started = api.ports.common.idempotency.start(account, "k", &fingerprint, [1; 16], now).await.unwrap();
        assert_eq!(started, IdempotencyStart::New { seed: [1; 16], again: false });
        let answer = with_key(&api, "k", "a").await;
        assert_eq!(answer.problem(409)["type"], "/problems/still-running");
        assert_eq!(with_key(&api, "k", "b").await.pointers(), ["/Idempotency-Key"]);
        // Whoever held it died: after seconds it runs again.
        api.clock.advance(SignedDuration::from_secs(10));
        assert_eq!(with_key(&api, "k", "a").await.status, 201);
    }

    #[tokio::test]
    async fn a_key_is_forgotten_after_a_day() {
        let api = TestApi::new().await;
        let first = with_key(&api, "k", "a").await;
        api.clock.advance(SignedDuration::from_hours(25));
        let later = with_key(&api, "k", "a").await;
        assert_eq!(later.status, 201);
        assert_ne!(first.body, later.body);
    }

    #[tokio::test]
    async fn a_key_that_is_no_key_is_refused() {
        let api = TestApi::new().await;
        for key in ["", " ", "ä", &"k".repeat(256)] {
            assert_eq!(with_key(&api, key, "a").await.pointers(), ["/Idempotency-Key"], "{key}");
        }
        assert_eq!(with_key(&api, &"k".repeat(255), "a").await.status, 201);
    }

    #[tokio::test]
    async fn the_operator_s_requests_can_be_repeated_too() {
        let api = TestApi::new().await;
        let ask = || {
            let asked = api.ask(Method::POST, "/v1/accounts").by(&api.operator_key).header("idempotency-key", "k");
            asked.json(json!({"name": "a"})).send()
        };
        assert_eq!(ask().await.body, ask().await.body);
    }

    /// Which the operator makes, and nobody else.
    const ACCOUNTS: &str = "/v1/accounts";

    /// Everything that a POST makes, as (path, body, how many of it there are before and after).
    async fn creating(api: &TestApi) -> Vec<(String, String, serde_json::Value)> {
        let flat = api.flat().await;
        let connection = api.connect(&flat, "known", airbnb(&[])).await;
        let connection = connection["id"].as_str().unwrap();
        api.feeds.serve(&url("new"), airbnb(&[STAY]));
        api.feeds.serve(&url("unseen"), airbnb(&[STAY]));
        vec![
            (
                "properties".to_owned(),
                "/v1/properties".to_owned(),
                json!({"name": "Flat", "time_zone": "Europe/Madrid"}),
            ),
            (
                "connections".to_owned(),
                format!("/v1/properties/{flat}/connections"),
                json!({"name": "New", "import": {"url": url("new")}}),
            ),
            (
                "unseen connections".to_owned(),
                format!("/v1/properties/{flat}/connections"),
                json!({"name": "New", "import": {"url": url("unseen")}, "skip_check": true}),
            ),
            (
                "blocks".to_owned(),
                format!("/v1/properties/{flat}/blocks"),
                json!({"kind": "reservation", "start": "2027-08-06", "end": "2027-08-09"}),
            ),
            ("links".to_owned(), "/v1/links".to_owned(), json!({"name": "All", "property_ids": "all"})),
            ("tokens".to_owned(), "/v1/tokens".to_owned(), json!({"name": "New"})),
            ("rotations".to_owned(), format!("/v1/connections/{connection}/rotate-link"), json!({})),
            ("refreshes".to_owned(), format!("/v1/properties/{flat}/refresh"), json!({})),
            ("account refreshes".to_owned(), "/v1/refresh".to_owned(), json!({})),
            ("accounts".to_owned(), ACCOUNTS.to_owned(), json!({"name": "Ana"})),
        ]
    }

    /// What there is of everything, by the store.
    fn inventory(api: &TestApi) -> Vec<usize> {
        api.store.inventory()
    }

    #[tokio::test]
    async fn a_request_that_a_crash_cut_off_anywhere_makes_one_thing_and_gives_one_answer() {
        let kinds = creating(&TestApi::new().await).await.len();
        for kind in 0..kinds {
            for moment in [Moment::Before, Moment::After] {
                for call in 1.. {
                    let (crashed, smooth) = (TestApi::new().await, TestApi::new().await);
                    let (what, path, body) = creating(&crashed).await.remove(kind);
                    let _ = creating(&smooth).await;
                    let send = async |api: &TestApi| {
                        let by = if path == ACCOUNTS { &api.operator_key } else { &api.token };
                        let asked = api.ask(Method::POST, &path).by(by).header("idempotency-key", "k");
                        asked.json(body.clone()).send().await
                    };
                    // A kill: this call and every later one of the request finds no store.
                    let before = crashed.store.calls();
                    crashed.store.die_at_call(before + call, moment);
                    let first = send(&crashed).await;
                    let cut = crashed.store.revive();
                    crashed.clock.advance(SignedDuration::from_secs(10));
                    let second = send(&crashed).await;
                    let third = send(&crashed).await;
                    let at =
                        format!("{what}, call {call}, {moment:?}: {} {} {}", first.status, second.text(), third.text());
                    assert!(second.status == 201 || second.status == 202 || second.status == 200, "{at}");
                    assert_eq!(second.body, third.body, "{at}");
                    if first.status < 300 {
                        assert_eq!(first.body, second.body, "{at}");
                    }
                    send(&smooth).await;
                    assert_eq!(inventory(&crashed), inventory(&smooth), "{at}");
                    if !cut {
                        break;
                    }
                    assert!(call < 200, "{at}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_changes_nothing_is_not_kept() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let connection = api.connect(&flat, "a", airbnb(&[])).await["id"].as_str().unwrap().to_owned();
        let check = ("/v1/feeds/check".to_owned(), json!({"ics": plain(&[])}));
        let preview = (format!("/v1/connections/{connection}/pause?preview=true"), json!({}));
        for (path, body) in [check, preview] {
            for _ in 0..2 {
                let asked = api.ask(Method::POST, &path).header("idempotency-key", "k").json(body.clone());
                let answer = asked.send().await;
                assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, ""), "{path}");
            }
        }
        assert_eq!(api.store.kept_answers(), 0);
    }

    #[tokio::test]
    async fn two_keys_and_two_accounts_draw_different_secrets() {
        let api = TestApi::new().await;
        let token = |answer: Answer| answer.json()["token"].as_str().unwrap().to_owned();
        let one = token(with_key(&api, "k1", "a").await);
        let two = token(with_key(&api, "k2", "a").await);
        let without = token(api.post("/v1/tokens", json!({"name": "a"})).await);
        assert!(one != two && two != without && one != without);
    }
}
