//! The HTTP face of Sameroom as one router: webhooks, the pages of hosted rooms, health and metrics. The same router
//! serves in a Lambda and in one process; it must not know sockets, nor what a platform is.

mod body;
mod hooks;
pub mod map;
mod metrics;
mod page;
mod rooms;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http::StatusCode;
use sameroom_engine::{Engine, problem};

pub use rooms::LOCAL_ACCOUNT;

/// The longest body that is read, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// Lines that the first page of a newcomer shows: what to try next.
    pub(crate) hint: Option<Vec<String>>,
}

/// The router. `hint`: lines for the newcomer, shown while nothing is configured yet.
pub fn router(engine: Engine, hint: Option<Vec<String>>) -> Router {
    Router::new()
        .route("/", get(page::front))
        .route("/rooms/{tokens}", get(rooms::page))
        .route("/rooms/{token}/events", get(rooms::events))
        .route("/maps/{token}", get(map::chart))
        .route("/hooks/{platform}/{account}", post(hooks::receive))
        .route("/hooks/{platform}/{account}/{*rest}", post(hooks::receive))
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .with_state(App { engine, hint })
}

async fn nothing() -> axum::response::Response {
    page::document(problem(StatusCode::NOT_FOUND, "not-found", "There is nothing at this address."))
}

async fn wrong_method() -> axum::response::Response {
    let detail = "This address does not take this method. Webhooks are sent by POST, pages are read by GET.";
    page::document(problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail))
}
