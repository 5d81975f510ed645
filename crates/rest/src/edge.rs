//! The outermost layer: a request id and a span around every request, a problem for every failure, panics
//! included. Logs name routes, never paths, queries, tokens or bodies.

use std::{fmt::Write as _, panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::Instrument;

use crate::{
    api::Api,
    problem::{Kind, Problem},
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn edge(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request_id(&api);
    // The route's pattern and not the path: a path may be anything that somebody typed.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = %route,
        account.id = tracing::field::Empty,
    );
    answered(request, next, id).instrument(span).await
}

async fn answered(request: Request, next: Next, id: String) -> Response {
    let began = Instant::now();
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            // Where it was is told by the program's hook for panics. Its text may quote what was being worked on.
            tracing::error!("a request panicked");
            Problem::new(Kind::Internal, "").into_response()
        }
    };
    let mut response = shaped(response, &id);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(http.status = response.status().as_u16(), duration_ms, "answered");
    response
}

fn request_id(api: &Api) -> String {
    api.desk.randomness.id().iter().fold(String::from("req_"), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Every failure as a problem. What went wrong on our side says nothing but a request id.
fn shaped(response: Response, id: &str) -> Response {
    let status = response.status();
    if status.is_server_error() {
        let kind = if status == StatusCode::SERVICE_UNAVAILABLE { Kind::Unavailable } else { Kind::Internal };
        let detail = match kind {
            Kind::Unavailable => "Nothing was lost. Try again in a moment; if it stays so, report the request id.",
            _ => "Try again in a moment; if it happens again, report the request id.",
        };
        let mut shaped = Problem::new(kind, detail).into_response_with(Some(id));
        if let Some(wait) = response.headers().get(header::RETRY_AFTER) {
            shaped.headers_mut().insert(header::RETRY_AFTER, wait.clone());
        }
        return shaped;
    }
    let problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !status.is_client_error() || problem {
        return response;
    }
    let kind = Kind::of_status(status);
    let allow = response.headers().get(header::ALLOW).cloned();
    let detail = match (kind, allow.as_ref().and_then(|allow| allow.to_str().ok())) {
        (Kind::MethodNotAllowed, Some(allow)) => format!("Use one of these methods here: {allow}."),
        (Kind::NotFound, _) => UNKNOWN_PATH.to_owned(),
        _ => "Look the request up in the document at /v1/docs.".to_owned(),
    };
    let mut shaped = Problem::new(kind, detail).into_response_with(None);
    if let Some(allow) = allow {
        shaped.headers_mut().insert(header::ALLOW, allow);
    }
    shaped
}

const UNKNOWN_PATH: &str = "There is nothing at this path; /v1/docs lists what there is.";

/// What no route matches.
pub(crate) async fn unknown_path() -> Problem {
    Problem::new(Kind::NotFound, UNKNOWN_PATH)
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing};
    use http::{Method, Request};
    use http_body_util::BodyExt;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        options::{RateLimit, RestOptions},
        testing::TestApi,
    };

    #[tokio::test]
    async fn a_path_that_nobody_knows_is_a_problem_with_or_without_a_token() {
        let api = TestApi::new().await;
        for path in ["/", "/v1", "/v1/nothing", "/v1/account/", "/v2/account", "/v1/%ff"] {
            api.get(path).await.problem(404);
            api.ask(Method::GET, path).by_nobody().send().await.problem(404);
        }
    }

    #[tokio::test]
    async fn a_method_that_is_not_known_says_which_are() {
        let api = TestApi::new().await;
        for (method, path, allowed) in [
            (Method::PUT, "/v1/account", ["GET", "PATCH", "DELETE"].as_slice()),
            (Method::POST, "/v1/account", &["GET", "PATCH", "DELETE"]),
            (Method::DELETE, "/v1/tokens", &["GET", "POST"]),
            (Method::GET, "/v1/tokens/tok_1", &["DELETE"]),
            (Method::OPTIONS, "/v1/links", &["GET", "POST"]),
            (Method::POST, "/v1/health", &["GET"]),
            (Method::DELETE, "/v1/openapi.json", &["GET"]),
        ] {
            let answer = api.ask(method.clone(), path).send().await;
            answer.problem(405);
            for word in allowed {
                assert!(answer.header("allow").contains(word), "{method} {path}: {}", answer.header("allow"));
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_json_is_400_and_what_is_another_type_415() {
        let api = TestApi::new().await;
        for (method, path) in
            [(Method::PATCH, "/v1/account"), (Method::POST, "/v1/tokens"), (Method::POST, "/v1/links")]
        {
            for body in [
                b"".as_slice(),
                b"{",
                b"{\"name\": \"x\"} trailing",
                b"{'name': 1}",
                b"{\"name\": \"\xff\"}",
                b"\xef\xbb\xbf{}",
                b"{\"name\": NaN}",
                b"{\"name\": \"\\ud800\"}",
            ] {
                api.ask(method.clone(), path).raw("application/json", body).send().await.problem(400);
            }
            let deep = "[".repeat(100_000);
            api.ask(method.clone(), path).raw("application/json", deep).send().await.problem(400);
            for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json"]
            {
                api.ask(method.clone(), path).raw(kind, "{\"name\": \"x\"}").send().await.problem(415);
            }
            api.ask(method.clone(), path).bytes("{\"name\": \"x\"}").send().await.problem(415);
        }
        for kind in ["application/json", "application/merge-patch+json", "Application/JSON; charset=UTF-8"] {
            let answer = api.ask(Method::PATCH, "/v1/account").raw(kind, "{\"name\": \"x\"}").send().await;
            assert_eq!(answer.status, 200, "{kind}");
        }
    }

    #[tokio::test]
    async fn a_member_that_is_there_twice_is_400_and_named() {
        let api = TestApi::new().await;
        for body in [r#"{"name": "a", "name": "b"}"#, r#"{"name": "a", "property_ids": [{"x": 1, "x": 1}]}"#] {
            let refused = api.ask(Method::POST, "/v1/links").raw("application/json", body).send().await.problem(400);
            assert_eq!(refused["type"], "/problems/duplicate-member");
            let member = if body.contains("\"x\"") { "x" } else { "name" };
            assert_eq!(refused["member"], member);
            assert!(refused["detail"].as_str().unwrap().contains(member));
        }
    }

    #[tokio::test]
    async fn a_body_over_one_mebibyte_is_413() {
        let api = TestApi::new().await;
        let body = json!({"name": "x".repeat(1024 * 1024)}).to_string();
        for (method, path) in
            [(Method::PATCH, "/v1/account"), (Method::POST, "/v1/tokens"), (Method::POST, "/v1/links")]
        {
            let asked = api.ask(method.clone(), path).raw("application/json", body.clone());
            asked.send().await.problem(413);
            let asked = api.ask(method, path).header("content-length", &body.len().to_string());
            asked.raw("application/json", body.clone()).send().await.problem(413);
        }
        let keyed = api.ask(Method::POST, "/v1/tokens").header("idempotency-key", "k").raw("application/json", body);
        keyed.send().await.problem(413);
        let fits = json!({"name": "x".repeat(1024 * 1024 - 100)});
        assert_eq!(api.patch("/v1/account", fits).await.pointers(), ["/name"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_sends_all_of_a_large_body_first_still_reads_the_413() {
        use std::io::{Read, Write};
        let api = TestApi::new().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = api.router.clone();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        for token in [api.token.clone(), "nonsense".to_owned()] {
            let expected = if token == "nonsense" { "401" } else { "413" };
            let answer = tokio::task::spawn_blocking(move || {
                let body = vec![b'x'; 6 * 1024 * 1024];
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let head = format!(
                    "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            let answer = answer.await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
            assert!(answer.contains("application/problem+json"));
        }
        server.abort();
    }

    #[tokio::test]
    async fn parameters_that_nobody_knows_are_refused_everywhere() {
        let api = TestApi::new().await;
        for path in ["/v1/account", "/v1/tokens", "/v1/links", "/v1/providers", "/v1/health"] {
            assert_eq!(api.get(&format!("{path}?colour=red")).await.pointers(), ["/colour"], "{path}");
        }
        let answer = api.ask(Method::POST, "/v1/links?x=1&y=2").json(json!({"name": "x"})).send().await;
        assert_eq!(answer.pointers(), ["/x", "/y"]);
    }

    #[tokio::test]
    async fn nobody_gets_in_without_a_good_token() {
        let api = TestApi::new().await;
        let other = calmesh_app::model::TokenSecret::from_random([8; 32]);
        let bearer = |text: &str| format!("Bearer {text}");
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            &bearer("nonsense"),
            &bearer("cm_nonsense"),
            &bearer("a.b.c"),
            &bearer(other.reveal()),
            &bearer(api.token.get(..api.token.len() - 1).unwrap()),
        ] {
            let answer = api.ask(Method::GET, "/v1/account").by_nobody().header("authorization", header).send().await;
            answer.problem(401);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{header}");
            assert!(!answer.text().contains("cm_nonsense"));
        }
        api.ask(Method::GET, "/v1/account").by_nobody().send().await.problem(401);
        let twice = api.ask(Method::GET, "/v1/account").header("authorization", "Bearer x").send().await;
        twice.problem(401);
        let lower = format!("bearer {}", api.token);
        let answer = api.ask(Method::GET, "/v1/account").by_nobody().header("authorization", &lower).send().await;
        assert_eq!(answer.status, 200);
    }

    #[tokio::test]
    async fn too_many_requests_of_one_account_are_told_to_wait_and_others_are_not() {
        let one = std::num::NonZeroU32::MIN;
        let rate = RateLimit { per_second: one, burst: one };
        let api = TestApi::with(RestOptions { rate, ..RestOptions::new("0") }).await;
        let stranger = api.stranger().await;
        assert_eq!(api.get("/v1/account").await.status, 200);
        let refused = api.get("/v1/account").await;
        refused.problem(429);
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&wait));
        assert_eq!(api.ask(Method::GET, "/v1/account").by(&stranger).send().await.status, 200);
    }

    #[tokio::test]
    async fn only_configured_origins_may_call_from_a_browser() {
        let api = TestApi::new().await;
        let plain = api.ask(Method::GET, "/v1/health").header("origin", "https://app.example").send().await;
        assert_eq!(plain.header("access-control-allow-origin"), "");
        let cors_origins = vec!["https://app.example".parse().unwrap()];
        let api = TestApi::with(RestOptions { cors_origins, ..RestOptions::new("0") }).await;
        let preflight = api
            .ask(Method::OPTIONS, "/v1/account")
            .by_nobody()
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,if-match")
            .send()
            .await;
        assert_eq!(preflight.status, 200);
        assert_eq!(preflight.header("access-control-allow-origin"), "https://app.example");
        assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
        let foreign = api.ask(Method::GET, "/v1/health").header("origin", "https://evil.example").send().await;
        assert_eq!(foreign.header("access-control-allow-origin"), "");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_503_and_says_nothing_of_itself() {
        let api = TestApi::new().await;
        api.store.fail_next(1);
        let answer = api.get("/v1/account").await;
        let problem = answer.problem(503);
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        assert_eq!(answer.header("retry-after"), "5");
        assert!(!answer.text().contains("store"));
        assert_eq!(api.get("/v1/account").await.status, 200);
    }

    #[tokio::test]
    async fn a_panic_is_500_with_a_request_id_and_nothing_else() {
        let api = TestApi::new().await;
        let inner = crate::api::Api::new(api.app.desk.clone(), RestOptions::new("0"));
        async fn broken() -> &'static str {
            panic!("a secret of the inside")
        }
        let router: Router =
            Router::new().route("/", routing::get(broken)).layer(middleware::from_fn_with_state(inner, edge));
        let response = router.oneshot(Request::get("/").body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500);
        let id = response.headers().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "/problems/internal");
        assert_eq!(problem["request_id"], id);
        assert!(!problem.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn every_kind_of_problem_has_a_slug_of_its_own() {
        let slugs: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(Kind::of_status(kind.status()), kind);
        }
    }

    #[tokio::test]
    async fn health_needs_no_token_and_head_answers_like_get() {
        let api = TestApi::new().await;
        let health = api.ask(Method::GET, "/v1/health").by_nobody().send().await;
        assert_eq!(health.json(), json!({"status": "ok", "version": "0.1.0-test"}));
        assert!(health.header("x-request-id").starts_with("req_"));
        let head = api.ask(Method::HEAD, "/v1/account").send().await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
}
