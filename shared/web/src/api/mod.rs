//! The JSON API under `/api/v1`. Routes are in [`routes`]; around them, from the outside in: request ids and headers
//! ([`request_id`]), then the gate ([`gate`]): who calls, whether they may, how often, and whether it was asked before.
//! The document that describes it all is made of the routes themselves, by the tests ([`openapi`]).

#[cfg(test)]
mod document;
mod etag;
mod gate;
mod json;
mod limit;
mod once;
mod openapi;
mod paging;
mod problem;
mod request_id;
mod routes;
mod shapes;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;

pub(crate) use gate::Known;
pub use limit::{Rate, RateLimits};
pub use routes::onboardings::RETURN;
pub(crate) use routes::onboardings::returned;

use crate::App;
use gate::Policy;
use limit::Limiter;
use openapi::Routes;
use problem::{Kind, Problem};

/// What the paths of the API begin with.
pub(crate) const PREFIX: &str = "/api/v1";
/// The name of the security scheme in the document.
const SECURITY: &str = "key";

/// What the API holds beside the engine.
#[derive(Debug)]
pub(crate) struct Api {
    policy: Policy,
    limiter: Limiter,
}

/// The API's routes, and what they hold.
pub(crate) fn parts(limits: RateLimits) -> (Router<App>, Api) {
    let Routes { router, declared, .. } = routes::all();
    let api = Api { policy: Policy::new(openapi::DOCUMENT, declared), limiter: Limiter::new(limits) };
    (router, api)
}

/// The API's routes with all that is around them, to be put below [`PREFIX`].
pub(crate) fn layered(router: Router<App>, app: App) -> Router<App> {
    router
        .route("/openapi.json", get(openapi::serve))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app, gate::layer))
        .layer(middleware::from_fn(request_id::layer))
}

async fn nothing() -> Response {
    let detail = "There is nothing at this address. /api/v1/openapi.json describes those that there are.";
    Problem::new(Kind::NotFound, detail).into_response()
}

async fn wrong_method() -> Response {
    let detail = "This address does not take this method. The header Allow names those that it takes.";
    Problem::new(Kind::MethodNotAllowed, detail).into_response()
}

/// The `Location` of something that was made.
fn location(path: &str) -> HeaderValue {
    HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static(PREFIX))
}
