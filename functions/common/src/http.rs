//! HTTP as Lambda brings it, by a function URL or an HTTP API, to the router that everybody else uses. A function can be
//! called in another way, by those alone whom AWS lets invoke it: such a call is no request, and is told apart here.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use ::http::uri::PathAndQuery;
use ::http::{StatusCode, Uri, header};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use lambda_http::request::RequestContext;
use lambda_http::{Error, Request, RequestExt as _, service_fn};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt as _;

/// Answers what was asked by invoking the function: the word, and the answer. `None`: there is no such word.
pub type Ask = fn(sameroom_engine::Engine, String) -> lambda_http::BoxFuture<'static, Result<Option<Value>, Error>>;

/// What is sent by invoking a function. A request by HTTP always comes in an envelope with other fields, so nobody can
/// make one that looks like this.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sameroom: String,
}

/// Serves a router until the process ends. `base` is set to the address of the first request, if it is not set yet;
/// `ask` answers those who invoke the function.
pub async fn serve(
    router: Router,
    base: Arc<OnceLock<String>>,
    engine: sameroom_engine::Engine,
    ask: Option<Ask>,
) -> anyhow::Result<()> {
    let served = lambda_http::run(service_fn(move |request: Request| {
        let (router, base, engine) = (router.clone(), base.clone(), engine.clone());
        async move {
            if matches!(request.request_context_ref(), Some(RequestContext::PassThrough)) {
                return invoked(request.body(), engine, ask).await;
            }
            Ok(requested(request, router, &base).await)
        }
    }));
    served.await.map_err(anyhow::Error::from_boxed)
}

/// Answers a request.
async fn requested(request: Request, router: Router, base: &OnceLock<String>) -> Response {
    let context = request.request_context_ref().and_then(|context| match context {
        RequestContext::ApiGatewayV2(context) => Some(context),
        _ => None,
    });
    let domain = context.and_then(|context| context.domain_name.clone());
    let peer = context.and_then(|context| context.http.source_ip.as_deref()?.parse::<IpAddr>().ok());
    if let Some(domain) = domain {
        // AWS says which of its names led here; the request's own Host could say anything.
        base.get_or_init(|| format!("https://{domain}"));
    }
    let (mut parts, body) = request.into_parts();
    // As it would come over a connection.
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = one_slash(path);
    }
    parts.extensions.clear();
    if let Some(peer) = peer {
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer, 0)));
    }
    let request = ::http::Request::from_parts(parts, Body::from(body.to_vec()));
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A path that begins with one slash. AWS gives addresses with a slash at their end, and people put `/hooks/…` after it.
fn one_slash(path: &PathAndQuery) -> Uri {
    let rest = path.as_str().trim_start_matches('/');
    if path.as_str().len() - rest.len() < 2 {
        return Uri::from(path.clone());
    }
    format!("/{rest}").parse().unwrap_or_else(|_| Uri::from(path.clone()))
}

/// Answers somebody who invoked the function.
async fn invoked(
    body: &lambda_http::Body,
    engine: sameroom_engine::Engine,
    ask: Option<Ask>,
) -> Result<Response, Error> {
    let Some(ask) = ask else {
        return Err("this function takes webhooks by HTTP, and nothing else: invoke ApiFunction".into());
    };
    let asked = serde_json::from_slice(body.as_ref());
    let answer = match asked {
        Ok(Asked { sameroom }) => ask(engine, sameroom).await?,
        Err(_) => None,
    };
    let answer = answer.ok_or(r#"this function answers HTTP requests, and one event: {"sameroom": "first-key"}"#)?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::OK, json, Bytes::from(answer.to_string())).into_response())
}

#[cfg(test)]
mod tests {
    use axum::extract::Request as Asking;
    use axum::routing::any;

    use super::*;

    /// What a function URL sends, of <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>.
    fn event(path: &str, query: &str, body: &str) -> Request {
        let event = serde_json::json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "cookies": ["a=1", "b=2"],
            "headers": {"host": "evil.example", "x-one": "1", "content-type": "application/json"},
            "requestContext": {
                "accountId": "anonymous", "apiId": "abc", "domainName": "abc.lambda-url.us-east-1.on.aws",
                "domainPrefix": "abc", "requestId": "r", "routeKey": "$default", "stage": "$default",
                "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1_583_348_638_390_u64,
                "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "x"}
            },
            "body": body, "isBase64Encoded": false
        });
        lambda_http::request::from_str(&event.to_string()).unwrap()
    }

    async fn told(request: Asking) -> String {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
        let (parts, body) = request.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let cookie = parts.headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        format!("{} {} {peer:?} {cookie} {}", parts.method, parts.uri, String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn a_request_comes_as_it_was_sent_and_tells_where_we_are() {
        let router = Router::new().fallback(any(told));
        let base = OnceLock::new();
        let response = requested(event("/api/v1/rooms/a%2Fb", "q=1%202", "{\"x\":\"é\"}"), router, &base).await;
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let told = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(told, "POST /api/v1/rooms/a%2Fb?q=1%202 Some(\"192.0.2.7\") a=1; b=2 {\"x\":\"é\"}");
        assert_eq!(base.get().unwrap(), "https://abc.lambda-url.us-east-1.on.aws", "not what its Host says");
    }

    #[tokio::test]
    async fn an_address_that_ends_in_a_slash_may_stand_before_a_path_that_begins_with_one() {
        let router = Router::new().route("/hooks/{platform}/{account}", any(told));
        for path in ["/hooks/a/b", "//hooks/a/b"] {
            let response = requested(event(path, "x=//1", ""), router.clone(), &OnceLock::new()).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
            assert!(String::from_utf8_lossy(&body).starts_with("POST /hooks/a/b?x=//1 "), "{body:?}");
        }
    }

    #[test]
    fn what_comes_by_http_is_never_taken_for_an_invocation() {
        for body in ["{\"sameroom\":\"first-key\"}", "{\"sameroom\":\"first-key\",\"version\":\"2.0\"}"] {
            let request = event("/", "", body);
            assert!(matches!(request.request_context_ref(), Some(RequestContext::ApiGatewayV2(_))));
        }
        assert!(serde_json::from_str::<Asked>("{\"sameroom\":\"first-key\",\"body\":\"\"}").is_err());
        assert_eq!(serde_json::from_str::<Asked>("{\"sameroom\":\"first-key\"}").unwrap().sameroom, "first-key");
    }
}
