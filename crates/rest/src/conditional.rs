//! `If-None-Match`: who has the version that stands is told so and gets no body (RFC 9110, section 13.1.2).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// The validators of a request that only reads.
#[derive(Debug, Default)]
pub(crate) struct Known(Vec<HeaderValue>);

impl Known {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        Self(if reads { headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect() } else { Vec::new() })
    }

    /// 304 in place of a resource whose version the caller has.
    pub(crate) fn spare(&self, response: Response) -> Response {
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        if response.status() != StatusCode::OK || !etag.is_some_and(|etag| self.names(etag)) {
            return response;
        }
        let (mut parts, _) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        (parts.status, parts.headers, Body::empty()).into_response()
    }

    /// Compared weakly, since only what is read is spared.
    fn names(&self, etag: &str) -> bool {
        let all = self.0.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        all.map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::testing::TestApi;

    #[tokio::test]
    async fn who_has_the_version_that_stands_gets_no_body() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let (connection, block) = (
            api.connect(&flat, "a", crate::scenes::plain(&[])).await,
            api.block(&flat, "2026-12-04", "2026-12-05").await,
        );
        let link = api.post("/v1/links", json!({"name": "l", "property_ids": "all"})).await.json();
        for path in [
            "/v1/account".to_owned(),
            format!("/v1/properties/{flat}"),
            format!("/v1/connections/{}", connection["id"].as_str().unwrap()),
            format!("/v1/blocks/{block}"),
            format!("/v1/links/{}", link["id"].as_str().unwrap()),
        ] {
            let etag = api.get(&path).await.header("etag").to_owned();
            let ask = |method: Method, known: &str| api.ask(method, &path).header("if-none-match", known).send();
            for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
                let answer = ask(Method::GET, &known).await;
                assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {known}");
                assert_eq!(answer.header("etag"), etag);
                assert_eq!(answer.header("content-type"), "");
            }
            assert_eq!(ask(Method::HEAD, &etag).await.status, 304, "{path}");
            for other in ["\"v0\"", "v1", ""] {
                assert_eq!(ask(Method::GET, other).await.status, 200, "{path} {other}");
            }
            assert_eq!(
                api.ask(Method::PATCH, &path).header("if-none-match", &etag).json(json!({})).send().await.status,
                200
            );
        }
        // A list has no version.
        assert_eq!(api.ask(Method::GET, "/v1/properties").header("if-none-match", "*").send().await.status, 200);
    }

    #[tokio::test]
    async fn an_edit_makes_the_known_version_old() {
        let api = TestApi::new().await;
        let path = format!("/v1/properties/{}", api.flat().await);
        let etag = api.get(&path).await.header("etag").to_owned();
        api.patch(&path, json!({"name": "Renamed"})).await;
        let answer = api.ask(Method::GET, &path).header("if-none-match", &etag).send().await;
        assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("Renamed")));
    }
}
