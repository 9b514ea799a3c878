//! The HTTP face of Sameroom as one router: webhooks, the JSON API, the pages of hosted rooms, files
//! handed out, health and metrics. The same router
//! serves in a Lambda and in one process; it must not know sockets, nor what a platform is.

mod api;
mod body;
mod files;
mod hooks;
pub mod map;
mod metrics;
mod page;
mod rooms;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http::StatusCode;
use sameroom_engine::{Engine, problem};
use sameroom_model::Caller;

pub use api::{RETURN, Rate, RateLimits};
pub use rooms::LOCAL_ACCOUNT;

/// The longest body that is read, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// Lines that the first page of a newcomer shows: what to try next.
    pub(crate) hint: Option<Vec<String>>,
    /// Where it is reached, if the engine was not told.
    pub(crate) base: Option<String>,
    /// What the API holds.
    pub(crate) api: Arc<api::Api>,
}

impl App {
    /// Where this Sameroom is reached from outside, without a slash at its end; empty where it was not told.
    pub(crate) fn public_url(&self) -> &str {
        let base = self.engine.config().public_url.as_deref().or(self.base.as_deref());
        base.unwrap_or_default().trim_end_matches('/')
    }
}

/// What can be said about the router.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines for the newcomer, shown while nothing is configured yet.
    pub hint: Option<Vec<String>>,
    /// The URL that people reach it by, where the engine's configuration has no public one: Portals' URLs begin with it.
    pub base: Option<String>,
    /// How often the API may be asked.
    pub limits: RateLimits,
}

/// The router. `hint`: lines for the newcomer, shown while nothing is configured yet.
pub fn router(engine: Engine, hint: Option<Vec<String>>) -> Router {
    router_with(engine, Options { hint, ..Options::default() })
}

/// The router.
///
/// The API's limits by address need [`axum::extract::ConnectInfo`] of a [`std::net::SocketAddr`] in each request; without
/// it all addresses are taken for one.
pub fn router_with(engine: Engine, options: Options) -> Router {
    let Options { hint, base, limits } = options;
    let (routes, api) = api::parts(limits);
    let app = App { engine, hint, base, api: Arc::new(api) };
    Router::new()
        .route("/", get(page::front))
        .route("/rooms/{tokens}", get(rooms::page))
        .route("/rooms/{token}/events", get(rooms::events))
        .route("/maps/{token}", get(map::chart))
        .route("/hooks/{platform}/{account}", post(hooks::receive))
        .route("/hooks/{platform}/{account}/{*rest}", post(hooks::receive))
        .route("/files/{token}/{name}", get(files::serve))
        .route(RETURN, get(api::returned))
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .nest(api::PREFIX, api::layered(routes, app.clone()))
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// The router for a caller who needs no key, because whoever serves it has seen who they are: by a socket that nobody
/// else can open. Whatever keys they send are not looked at.
pub fn known(router: Router, caller: Caller) -> Router {
    router.layer(axum::Extension(api::Known(caller)))
}

async fn nothing() -> axum::response::Response {
    page::document(problem(StatusCode::NOT_FOUND, "not-found", "There is nothing at this address."))
}

async fn wrong_method() -> axum::response::Response {
    let detail = "This address does not take this method. Webhooks are sent by POST, pages are read by GET.";
    page::document(problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail))
}
