//! The HTTP face of Sameroom as one router: webhooks, the JSON API, the pages of hosted rooms, files handed out, health
//! and metrics. The same router serves in a Lambda and in one process; it must not know sockets, nor what a platform is.

mod api;
mod body;
mod files;
mod hooks;
pub mod map;
mod metrics;
mod page;
mod portal;
mod rooms;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::{get, post};
use http::StatusCode;
use sameroom_engine::{Engine, problem};
use sameroom_model::Caller;

pub use api::{RETURN, Rate, RateLimits};
pub use rooms::{LOCAL_ACCOUNT, local_draft};

/// The longest body that is read, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// Lines that the first page of a newcomer shows: what to try next.
    pub(crate) hint: Option<Vec<String>>,
    /// Where it is reached, if the engine was not told.
    base: Arc<OnceLock<String>>,
    /// After how long streams end.
    pub(crate) stream_for: Option<Duration>,
    /// What the API holds.
    pub(crate) api: Arc<api::Api>,
}

impl FromRef<App> for Engine {
    fn from_ref(app: &App) -> Self {
        app.engine.clone()
    }
}

impl App {
    /// Where this Sameroom is reached from outside, without a slash at its end; empty where it was not told.
    pub(crate) fn public_url(&self) -> &str {
        let base = self.engine.config().public_url.as_deref().or_else(|| self.base.get().map(String::as_str));
        base.unwrap_or_default().trim_end_matches('/')
    }
}

/// What can be said about the router.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines for the newcomer, shown while nothing is configured yet.
    pub hint: Option<Vec<String>>,
    /// The URL that people reach it by, where the engine's configuration has no public one: Portals' URLs begin with it.
    /// It may be set later, by whoever serves the router: before it is, URLs are only a path.
    pub base: Arc<OnceLock<String>>,
    /// How often the API may be asked.
    pub limits: RateLimits,
    /// For a server that hands on an answer only once it is whole, as a Lambda does: after how long a stream of events
    /// ends that has nothing to tell. One that has something ends with it, and the client comes again. `None`: streams go
    /// on.
    pub stream_for: Option<Duration>,
    /// Whether counts are told elsewhere than at `/metrics`, and whether the store is well than at `/readyz`.
    pub watched_elsewhere: bool,
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
    let Options { hint, base, limits, stream_for, watched_elsewhere } = options;
    let (routes, api) = api::parts(limits);
    let app = App { engine, hint, base, stream_for, api: Arc::new(api) };
    let watching = if watched_elsewhere {
        Router::new()
    } else {
        Router::new().route("/readyz", get(metrics::readyz)).route("/metrics", get(metrics::metrics))
    };
    hooks()
        .merge(watching)
        .route("/", get(page::front))
        .route("/rooms/{tokens}", get(rooms::page))
        .route("/rooms/{token}/events", get(rooms::events))
        .route("/maps/{token}", get(map::chart))
        .route("/portals/{token}", get(portal::show))
        .route("/p/{token}", get(portal::show))
        .route("/files/{token}/{name}", get(files::serve))
        .route(RETURN, get(api::returned))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .nest(api::PREFIX, api::layered(routes, app.clone()))
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// A router for webhooks alone.
pub fn hooks_router(engine: Engine) -> Router {
    hooks()
        .fallback(only_hooks)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .with_state(engine)
}

/// The routes that platforms call, and the one that says that this process answers.
fn hooks<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Engine: FromRef<S>,
{
    Router::new()
        .route("/hooks/{platform}/{account}", post(hooks::receive))
        .route("/hooks/{platform}/{account}/{*rest}", post(hooks::receive))
        .route("/healthz", get(metrics::healthz))
}

/// The router for a caller who needs no key, because whoever serves it has seen who they are: by a socket that nobody
/// else can open. Whatever keys they send are not looked at.
pub fn known(router: Router, caller: Caller) -> Router {
    router.layer(axum::Extension(api::Known(caller)))
}

async fn nothing() -> axum::response::Response {
    page::document(problem(StatusCode::NOT_FOUND, "not-found", "There is nothing at this address."))
}

async fn only_hooks() -> axum::response::Response {
    let detail = "This address takes webhooks alone, under /hooks/PLATFORM/ACCOUNT. The API and the pages have another one; \
                  on AWS it is the stack's output Url.";
    page::document(problem(StatusCode::NOT_FOUND, "not-found", detail))
}

async fn wrong_method() -> axum::response::Response {
    let detail = "This address does not take this method. Webhooks are sent by POST, pages are read by GET.";
    page::document(problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail))
}
