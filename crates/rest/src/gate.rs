//! The gate that every guarded route is behind: who calls, how often, may he write.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, Uri, header};

use crate::{
    api::Api,
    body::{BODY_LIMIT, Room, too_large},
    caller::{Caller, identify},
    conditional::Known,
    feeds, idempotency,
    problem::Problem,
};

/// What every guarded route is behind.
pub(crate) async fn gate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match admit(&api, request.method(), request.uri(), request.headers()).await {
        Ok(caller) => {
            tracing::Span::current().record("account.id", caller.name());
            request.extensions_mut().insert(caller.clone());
            // Only now, when it is known who sends it, and until the answer is there.
            let _room = match api.room.take(Room::pieces(request.body())).await {
                Ok(room) => room,
                Err(problem) => return problem.into_response(),
            };
            if request.method() == Method::POST {
                idempotency::once(&api, &caller, request, next).await
            } else {
                let known = Known::of(request.method(), request.headers());
                known.spare(next.run(request).await)
            }
        }
        Err(problem) => {
            // The body is taken all the same, so that the client gets to read the answer.
            crate::body::discard(request.into_body()).await;
            problem.into_response()
        }
    }
}

async fn admit(api: &Api, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Problem> {
    let caller = identify(api, headers).await?;
    if let Err(seconds) = api.limiter.admit(&caller.name()) {
        return Err(Problem::rate_limited("requests are sent by this account", seconds));
    }
    if !changes_nothing(method, uri) && !caller.may_write() {
        return Err(Problem::wrong_key("This token may only read. Use one with the scope full."));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_LIMIT) {
        return Err(too_large());
    }
    Ok(caller)
}

/// Whether a request changes nothing whatever its method: the check of a feed stores nothing, and what has a preview
/// only tells. `preview` counts wherever it stands, since who does not have it refuses it.
fn changes_nothing(method: &Method, uri: &Uri) -> bool {
    let previews = || {
        let query = uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "preview" && value == "true")
    };
    method.is_safe() || (*method == Method::POST && uri.path() == feeds::CHECK) || previews()
}
