//! Liveness and version, without a token.

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer,
    api::Api,
    query::NoParams,
    routes::{Routes, routes},
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "version": "0.1.0"}))]
pub(crate) struct Health {
    /// Always `ok`: whoever answers lives.
    status: &'static str,
    version: String,
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; show)
}

/// Whether the service lives, and its version.
#[utoipa::path(get, path = "/v1/health", tag = "service", operation_id = "get_health", security(),
    responses((status = 200, description = "It lives.", body = Health)))]
async fn show(_: NoParams, State(api): State<Api>) -> Response {
    answer::plain(Health { status: "ok", version: api.options.version.clone() })
}
