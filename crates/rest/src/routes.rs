//! Routes, each made of a handler that says its own path and methods (`utoipa::path`).
//!
//! What the routes say of themselves is put together in tests alone, as the document that is kept beside the sources
//! (`openapi.rs`): a function in the cloud neither carries the parts nor joins them at every start.

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    response::IntoResponse,
    routing::{MethodRouter, Route},
};
use tower::{Layer, Service};
use utoipa_axum::PathItemExt;

use crate::api::Api;

/// Some routes, and in tests their part of the document.
#[derive(Default)]
pub(crate) struct Routes {
    pub(crate) router: Router<Api>,
    #[cfg(test)]
    pub(crate) document: utoipa_axum::router::OpenApiRouter<Api>,
}

impl Routes {
    /// Adds a handler where its own `utoipa::path` says.
    pub(crate) fn on<P, H, T>(mut self, handler: H) -> Self
    where
        P: utoipa::Path,
        H: Handler<T, Api>,
        T: 'static,
    {
        let on = |methods: MethodRouter<Api>, method: utoipa::openapi::HttpMethod| {
            methods.on(method.to_method_filter(), handler.clone())
        };
        let methods = P::methods().into_iter().fold(MethodRouter::new(), on);
        self.router = self.router.route(&P::path(), methods);
        self
    }

    #[cfg(test)]
    pub(crate) fn documented(mut self, said: utoipa_axum::router::UtoipaMethodRouter<Api>) -> Self {
        self.document = self.document.routes(said);
        self
    }

    /// Adds the routes of a room. They are not made by themselves and merged: that would put every route into a tree
    /// twice, at every start of a function.
    pub(crate) fn with(self, room: impl FnOnce(Self) -> Self) -> Self {
        room(self)
    }

    pub(crate) fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Error: Into<std::convert::Infallible>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }
}

/// The routes of these handlers beside others.
macro_rules! routes {
    ($others:expr; $($handler:ident),+ $(,)?) => {{
        let routes = utoipa_axum::paste! { $others$(.on::<[<__path_ $handler>], _, _>($handler))+ };
        #[cfg(test)]
        let routes = routes$(.documented(utoipa_axum::routes!($handler)))+;
        routes
    }};
}
pub(crate) use routes;
