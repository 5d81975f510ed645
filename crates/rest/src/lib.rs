#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![doc = include_str!("../README.md")]

mod accounts;
mod activity;
mod answer;
mod api;
mod availability;
mod blocks;
mod body;
mod caller;
mod conditional;
mod conflicts;
mod connections;
mod cors;
mod cursor;
mod docs;
mod edge;
mod explain;
mod feeds;
mod gate;
mod health;
mod holds;
mod idempotency;
mod json;
mod limiter;
#[cfg(test)]
mod limits;
mod links;
#[cfg(test)]
mod openapi;
mod options;
mod policy;
mod problem;
mod properties;
mod providers;
mod query;
mod refreshes;
mod routes;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod testing;
mod tokens;
mod when;
mod words;

use std::sync::Arc;

use axum::{Router, middleware};
use calmesh_app::Desk;

use crate::{api::Api, body::Room, limiter::Limiter, routes::Routes};
pub use options::{RateLimit, RestOptions};

impl Api {
    pub(crate) fn new(desk: Desk, options: RestOptions) -> Self {
        let limiter = Arc::new(Limiter::new(options.rate));
        let randomness = Arc::new(idempotency::Repeatable(Arc::clone(&desk.randomness)));
        Self { desk: Arc::new(desk.drawing_from(randomness)), options: Arc::new(options), limiter, room: Room::new() }
    }
}

/// The whole API as one service.
pub fn router(desk: Desk, options: RestOptions) -> Router {
    let cors = cors::cors(&options);
    let api = Api::new(desk, options);
    let mut router = routes(&api)
        .router
        .merge(docs::routes())
        .fallback(edge::unknown_path)
        .layer(middleware::from_fn_with_state(api.clone(), edge::edge))
        .with_state(api);
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    router
}

/// All routes but those that show the document.
fn routes(api: &Api) -> Routes {
    Routes::default()
        .with(accounts::routes)
        .with(properties::routes)
        .with(connections::routes)
        .with(blocks::routes)
        .with(availability::routes)
        .with(explain::routes)
        .with(holds::routes)
        .with(conflicts::routes)
        .with(refreshes::routes)
        .with(feeds::routes)
        .with(tokens::routes)
        .with(links::routes)
        .with(providers::routes)
        .with(activity::routes)
        .layer(middleware::from_fn_with_state(api.clone(), gate::gate))
        .with(health::routes)
}
