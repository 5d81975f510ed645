//! `Idempotency-Key`: a POST that is repeated with the same key is done once, and answered as it was then.

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use calmesh_app::{model::SecretHash, ports::IdempotencyStart};
use calmesh_calendar::AccountId;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::{
    Api,
    body::read_bytes,
    caller::Caller,
    problem::{FieldProblem, Kind, Problem},
};

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is the kept one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_MOST: usize = 255;
/// A body larger than that is not kept (an item of the store has 400 KB at most).
const KEPT_MOST: usize = 256 * 1024;

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
        (Some(key), None) => valid_key(key),
        (Some(_), Some(_)) => None,
    };
    let Some(key) = key else {
        let detail = format!("must be one text of 1 to {KEY_MOST} visible ASCII characters");
        return Problem::invalid(vec![FieldProblem::header("Idempotency-Key", detail)]).into_response();
    };
    run(api.clone(), caller, key, request, next).await.unwrap_or_else(IntoResponse::into_response)
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
    // What a caller sees is part of the request: a token for one property never gets the answer that was given
    // to one for all.
    let sees = match caller {
        Caller::Operator => "operator".to_owned(),
        Caller::Account(opened) => format!("{:?}", opened.reach.properties),
    };
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let digest = format!("{} {target}\n{sees}\n{:x?}", parts.method, Sha256::digest(&bytes));
    let fingerprint = SecretHash::of(&digest);
    let context = format!("idempotency/{account}/{key}");
    match api.app.idempotency.start(&account, &key, &fingerprint, api.app.clock.now()).await? {
        IdempotencyStart::New => {}
        IdempotencyStart::Running => {
            return Err(Problem::conflict(
                "A request with this Idempotency-Key is still running. Repeat it in a moment for its answer.",
            )
            .sort("still-running")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        IdempotencyStart::Mismatch => {
            let detail = "was used with another request; use a new key for this one";
            return Err(Problem::invalid(vec![FieldProblem::header("Idempotency-Key", detail)]));
        }
        IdempotencyStart::Done(sealed) => {
            let plain = api.app.sealer.open(&context, &sealed).await.map_err(|error| Problem::internal(&error))?;
            return replay(&plain).ok_or_else(|| {
                tracing::error!("a kept answer can't be read");
                Problem::new(Kind::Internal, "")
            });
        }
    }
    // In a task of its own: a client that hangs up must not leave the work half done and the answer unkept.
    let request = Request::from_parts(parts, Body::from(bytes));
    let work = async move {
        let outcome = tokio::spawn(next.run(request).in_current_span()).await;
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

/// Keeps the answer, or frees the key. A failure here only means that a repetition is done anew or told to wait.
async fn settle(api: &Api, account: &AccountId, key: &str, context: &str, kept: Option<Vec<u8>>) {
    let store = &api.app.idempotency;
    let result = match kept {
        Some(plain) => match api.app.sealer.seal(context, &plain).await {
            Ok(sealed) => store.finish(account, key, &sealed, api.app.clock.now()).await,
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

/// The answer, and what is kept of it: nothing of a 5xx or 429.
async fn keepable(response: Response) -> (Response, Option<Vec<u8>>) {
    let (parts, body) = response.into_parts();
    let Ok(collected) = body.collect().await else {
        return (Problem::new(Kind::Internal, "").into_response(), None);
    };
    let bytes = collected.to_bytes();
    let transient = parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS;
    let kept = if transient || bytes.len() > KEPT_MOST {
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
