//! The gate before every route: who calls, whether they may, how often, and whether it was asked before. What each route
//! needs is read from the OpenAPI document that is made of the routes themselves ([`Policy`]), so what is documented and
//! what is enforced can't differ. A route that declares nothing is for no key but an admin's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use sameroom_model::{Caller, Scope};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::problem::{Kind, Problem};
use super::{PREFIX, SECURITY, once};
use crate::{App, body};

/// What each route needs. It is read when it is first asked for.
#[derive(Debug)]
pub(crate) struct Policy {
    document: &'static str,
    declared: Vec<(Method, String)>,
    needs: OnceLock<HashMap<String, Vec<(Method, Needs)>>>,
}

/// As much of the document as says what routes need.
#[derive(Default, Deserialize)]
struct Described {
    paths: HashMap<String, HashMap<String, Operation>>,
}

/// What is said of one route.
#[derive(Deserialize)]
struct Operation {
    /// One of these is enough; one that is empty lets anybody pass.
    security: Option<Vec<HashMap<String, Vec<String>>>>,
    #[serde(rename = "requestBody")]
    body: Option<IgnoredAny>,
}

/// What one route needs.
#[derive(Clone, Copy, Debug)]
struct Needs {
    /// `None`: anybody may.
    scope: Option<Scope>,
    body: bool,
}

/// Who calls, for handlers. There is one on every route that needs a scope.
#[derive(Clone, Debug)]
pub(crate) struct By(pub(crate) Caller);

/// The key that they called with, for what goes on after the answer has begun. `None`: they are known without one.
#[derive(Clone, Debug)]
pub(crate) struct Token(pub(crate) Option<SecretString>);

/// A caller who needs no key: whoever serves the router has seen who they are. See [`crate::known`].
#[derive(Clone, Debug)]
pub(crate) struct Known(pub(crate) Caller);

impl Policy {
    /// What a document says of routes that there are, by methods and paths.
    pub(crate) fn new(document: &'static str, declared: Vec<(Method, String)>) -> Self {
        Self { document, declared, needs: OnceLock::new() }
    }

    fn needs(&self, method: &Method, route: &str) -> Option<Needs> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let route = self.needs.get_or_init(|| self.read()).get(route.strip_prefix(PREFIX)?)?;
        route.iter().find_map(|(one, needs)| (one == method).then_some(*needs))
    }

    fn read(&self) -> HashMap<String, Vec<(Method, Needs)>> {
        let Described { paths } = serde_json::from_str(self.document).unwrap_or_default();
        let mut needs: HashMap<String, Vec<_>> = HashMap::new();
        for (method, path) in &self.declared {
            let said = paths.get(path).and_then(|path| path.get(&method.as_str().to_ascii_lowercase()));
            needs.entry(path.clone()).or_default().push((method.clone(), Needs::of(said)));
        }
        needs
    }
}

impl Needs {
    fn of(operation: Option<&Operation>) -> Self {
        Self { scope: scope(operation), body: operation.is_none_or(|operation| operation.body.is_some()) }
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthorized(false))
    }
}

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthorized(false))
    }
}

/// Lets a request through, or says why not.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let needs = route.as_deref().and_then(|route| app.api.policy.needs(request.method(), route));
    let (Some(route), Some(needs)) = (route, needs) else {
        // No such address, or none that takes this method: the router says which.
        return next.run(request).await;
    };
    match pass(&app, request, next, &route, needs).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn pass(app: &App, mut request: Request, next: Next, route: &str, needs: Needs) -> Result<Response, Problem> {
    let now = app.engine.clock().now();
    let Some(scope) = needs.scope else { return Ok(next.run(checked(request, needs).await?).await) };
    let told = match request.extensions().get::<Known>() {
        Some(Known(caller)) => Ok((caller.clone(), None)),
        None => caller(app, request.headers()).await?.map(|(caller, token)| (caller, Some(token))),
    };
    let caller = match told {
        Ok((caller, token)) => {
            request.extensions_mut().insert(Token(token));
            caller
        }
        Err(problem) => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
            let verdict = app.api.limiter.by_address(peer, now);
            return Err(if verdict.passes { problem } else { too_many(verdict.wait) });
        }
    };
    let verdict = app.api.limiter.by_key(&caller.key, now);
    let answered = async {
        if !verdict.passes {
            return Err(too_many(verdict.wait));
        }
        if !caller.may(scope) {
            return Err(missing(scope));
        }
        let mut request = checked(request, needs).await?;
        request.extensions_mut().insert(By(caller.clone()));
        match *request.method() {
            Method::POST => once::run(app, &caller, route, request, next).await,
            _ => Ok(next.run(request).await),
        }
    };
    let mut response = answered.await.unwrap_or_else(IntoResponse::into_response);
    verdict.write(response.headers_mut());
    Ok(response)
}

/// A route that takes no body is not sent one in earnest.
async fn checked(request: Request, needs: Needs) -> Result<Request, Problem> {
    if needs.body {
        return Ok(request);
    }
    let (parts, incoming) = request.into_parts();
    let bytes = body::read(incoming).await?;
    if bytes.is_empty() || bytes.trim_ascii() == b"{}" {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    Err(Problem::new(Kind::Malformed, "This takes no body. Send it without one."))
}

/// Who calls; or what to answer who has no valid key.
async fn caller(app: &App, headers: &HeaderMap) -> Result<Result<(Caller, SecretString), Problem>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Err(unauthorized(false))) };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(token.trim()))
    });
    let Some(token) = token else { return Ok(Err(unauthorized(false))) };
    let caller = app.engine.authenticate(&token).await?;
    Ok(caller.map(|caller| (caller, token)).ok_or_else(|| unauthorized(true)))
}

/// The same words for a key that never was, is revoked, is over or is mistyped.
fn unauthorized(given: bool) -> Problem {
    let detail =
        "This needs a valid API key: send it as `Authorization: Bearer sr_...`. `sameroom keys add` makes one.";
    let error = if given { ", error=\"invalid_token\"" } else { "" };
    Problem::new(Kind::Unauthorized, detail).challenge(format!("Bearer realm=\"sameroom\"{error}"))
}

pub(crate) fn missing(scope: Scope) -> Problem {
    let name = scope.as_str();
    let detail = format!("Your key lacks the scope `{name}`. Use a key that has it, or have one made.");
    Problem::new(Kind::Scope, detail)
        .challenge(format!("Bearer realm=\"sameroom\", error=\"insufficient_scope\", scope=\"{name}\""))
}

fn too_many(wait: u64) -> Problem {
    let detail =
        format!("That was too many requests. Come again in {wait} s; the RateLimit headers say how it stands.");
    Problem::new(Kind::TooMany, detail).retry_after(wait.max(1))
}

/// The scope that an operation declares: none where its security is declared to be none, and an admin's where nothing is
/// declared.
fn scope(operation: Option<&Operation>) -> Option<Scope> {
    let Some(security) = operation.and_then(|operation| operation.security.as_ref()) else { return Some(Scope::Admin) };
    if security.iter().all(HashMap::is_empty) {
        return None;
    }
    let named = security.iter().find_map(|one| one.get(SECURITY)?.first());
    Some(Scope::ALL.into_iter().find(|scope| Some(scope.as_str()) == named.map(String::as_str)).unwrap_or(Scope::Admin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_describes_is_for_an_admin() {
        let described = r#"{"paths": {
            "/a": {"get": {"security": [{}]}, "post": {"security": [{"key": ["tubes"]}], "requestBody": {}}},
            "/b": {"get": {"security": [{"key": ["unheard_of"]}]}, "put": {}}
        }}"#;
        let declared = [("GET", "/a"), ("POST", "/a"), ("DELETE", "/a"), ("GET", "/b"), ("PUT", "/b"), ("GET", "/c")];
        let declared = declared.map(|(method, path)| (method.parse().unwrap(), path.to_owned()));
        let policy = Policy::new(described, declared.to_vec());
        let scope = |method: &Method, path: &str| policy.needs(method, &format!("/api/v1{path}")).unwrap().scope;
        assert_eq!(
            declared.map(|(method, path)| scope(&method, &path)),
            [None, Some(Scope::Tubes), Some(Scope::Admin), Some(Scope::Admin), Some(Scope::Admin), Some(Scope::Admin),]
        );
        assert!(policy.needs(&Method::POST, "/api/v1/a").unwrap().body);
        assert!(!policy.needs(&Method::HEAD, "/api/v1/a").unwrap().body, "HEAD is as GET");
        assert!(policy.needs(&Method::PUT, "/api/v1/a").is_none(), "there is no such route: the router says so");
        let unreadable = Policy::new("", vec![(Method::GET, "/a".to_owned())]);
        assert_eq!(unreadable.needs(&Method::GET, "/api/v1/a").unwrap().scope, Some(Scope::Admin));
    }
}
