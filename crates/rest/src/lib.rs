#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![doc = include_str!("../README.md")]

mod accounts;
mod activity;
mod answer;
mod availability;
mod blocks;
mod body;
mod caller;
mod conditional;
mod connections;
mod cursor;
mod edge;
mod feeds;
mod health;
mod holds;
mod idempotency;
mod json;
mod links;
mod openapi;
mod options;
mod problem;
mod properties;
mod providers;
mod query;
mod refreshes;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod testing;
mod tokens;
mod when;
mod words;

use std::sync::Arc;

use axum::{Router, middleware};
use calmesh_app::App;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use caller::Limiter;
pub use options::{RateLimit, RestOptions};

/// What every handler may reach.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) app: App,
    pub(crate) options: Arc<RestOptions>,
    pub(crate) limiter: Arc<Limiter>,
}

/// The whole API as one service.
pub fn router(app: App, options: RestOptions) -> Router {
    let limiter = Arc::new(Limiter::new(options.rate));
    let cors = options.cors();
    let api = Api { app, options: Arc::new(options), limiter };
    let (routes, document) = routes(&api);
    let docs = SwaggerUi::new(openapi::DOCS).url(openapi::PATH, document);
    let mut router = routes
        .merge(docs)
        .fallback(edge::unknown_path)
        .layer(middleware::from_fn_with_state(api.clone(), edge::edge))
        .with_state(api);
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    router
}

/// All routes and the document that they make.
fn routes(api: &Api) -> (Router<Api>, utoipa::openapi::OpenApi) {
    let guarded = OpenApiRouter::new()
        .merge(accounts::routes())
        .merge(properties::routes())
        .merge(connections::routes())
        .merge(blocks::routes())
        .merge(availability::routes())
        .merge(holds::routes())
        .merge(refreshes::routes())
        .merge(feeds::routes())
        .merge(tokens::routes())
        .merge(links::routes())
        .merge(providers::routes())
        .merge(activity::routes())
        .layer(middleware::from_fn_with_state(api.clone(), caller::gate));
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .merge(guarded)
        .merge(health::routes())
        .split_for_parts();
    openapi::complete(&mut document, &api.options.version);
    (router, document)
}
