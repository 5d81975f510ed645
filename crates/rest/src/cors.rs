//! Which web pages may call, as browsers ask (CORS).

use std::time::Duration;

use http::{Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{edge, idempotency, options::RestOptions};

/// What browsers are told; none where no page of another origin may call.
pub(crate) fn cors(options: &RestOptions) -> Option<CorsLayer> {
    if options.cors_origins.is_empty() {
        return None;
    }
    let origins = if options.cors_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(options.cors_origins.iter().cloned())
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            idempotency::KEY,
        ])
        .expose_headers([
            header::ALLOW,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            edge::REQUEST_ID,
            idempotency::REPLAYED,
        ])
        .max_age(Duration::from_secs(3600));
    Some(layer)
}
