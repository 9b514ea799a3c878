//! The OpenAPI document (3.1) as it is served, and the routes that it describes. It is made of the routes themselves, by the
//! tests, and checked in: what is served is that file, so that no program makes it anew at each start.

use axum::Router;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::{HeaderValue, Method, header};
use utoipa::openapi::path::HttpMethod;

use crate::{App, page};

/// The document, as docs/openapi.json. The test beside `document` fails where it is not what the routes say.
pub(super) const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// Routes: what answers them, and which they are.
#[derive(Default)]
pub(crate) struct Routes {
    /// What answers.
    pub router: Router<App>,
    /// Methods and paths, below [`super::PREFIX`].
    pub declared: Vec<(Method, String)>,
    /// What the handlers say of themselves.
    #[cfg(test)]
    pub document: utoipa::openapi::OpenApi,
}

/// The routes of some handlers, where and how their `#[utoipa::path]` says.
macro_rules! routes {
    ($($handler:ident),+ $(,)?) => {{
        let routes = $crate::api::openapi::Routes::default();
        ::pastey::paste! { $(let routes = routes.with::<[<__path_ $handler>], _, _>(&$handler);)+ }
        #[cfg(test)]
        let routes = routes.described(
            ::utoipa_axum::router::OpenApiRouter::new()$(.routes(::utoipa_axum::routes!($handler)))+,
        );
        routes
    }};
}
pub(super) use routes;

impl Routes {
    /// These, and a handler, where and how its description says.
    pub(crate) fn with<P: utoipa::Path, H: Handler<T, App>, T: 'static>(mut self, handler: &H) -> Self {
        let path = P::path();
        for method in P::methods() {
            let (filter, method) = method_of(&method);
            self.router = self.router.route(&path, on(filter, handler.clone()));
            self.declared.push((method, path.clone()));
        }
        self
    }

    /// These and those.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.declared.extend(other.declared);
        #[cfg(test)]
        self.document.merge(other.document);
        self
    }

    /// With what handlers say of themselves.
    #[cfg(test)]
    pub(crate) fn described(mut self, router: utoipa_axum::router::OpenApiRouter<App>) -> Self {
        self.document.merge(router.into_openapi());
        self
    }
}

fn method_of(method: &HttpMethod) -> (MethodFilter, Method) {
    match method {
        HttpMethod::Get => (MethodFilter::GET, Method::GET),
        HttpMethod::Post => (MethodFilter::POST, Method::POST),
        HttpMethod::Put => (MethodFilter::PUT, Method::PUT),
        HttpMethod::Delete => (MethodFilter::DELETE, Method::DELETE),
        HttpMethod::Options => (MethodFilter::OPTIONS, Method::OPTIONS),
        HttpMethod::Head => (MethodFilter::HEAD, Method::HEAD),
        HttpMethod::Patch => (MethodFilter::PATCH, Method::PATCH),
        HttpMethod::Trace => (MethodFilter::TRACE, Method::TRACE),
    }
}

/// `GET /api/v1/openapi.json`.
pub(super) async fn serve() -> Response {
    let mut response = page::plain(DOCUMENT);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
