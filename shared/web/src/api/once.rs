//! `Idempotency-Key` (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>): a POST sent again
//! with the same key and body is done once, and answered as the first time. What is kept, and that it is sealed, is the
//! engine's. Only what was done is kept: a request that was refused changed nothing, and is judged anew.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use sameroom_engine::{Answered, Once};
use sameroom_model::Caller;

use super::problem::{Kind, Problem};
use crate::{App, body, page};

/// The header's name.
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is the first one's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
pub(crate) const LEN_MAX: usize = 255;
/// Headers that are kept with an answer.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// Runs a POST, or answers as it was answered.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    route: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    // What the path names is part of what is asked.
    let asked = format!("{route}\n{}", request.uri().path());
    let (parts, incoming) = request.into_parts();
    let bytes = body::read(incoming).await?;
    match app.engine.begin_once(&caller.owner, &asked, &key, &bytes).await? {
        Once::Before(answered) => Ok(again(answered)),
        Once::Running => {
            let detail = "The first request with this Idempotency-Key has not been answered yet. Send this again.";
            Err(Problem::new(Kind::Running, detail).retry_after(1))
        }
        Once::Different => {
            let detail = "This Idempotency-Key was used with another body. Use a new key for a new request.";
            Err(Problem::new(Kind::KeyReused, detail))
        }
        Once::First(ticket) => {
            let engine = app.engine.clone();
            let request = Request::from_parts(parts, Body::from(bytes));
            // On its own: if the client goes away in between, it is done and kept all the same.
            let done = tokio::spawn(async move {
                let (parts, body) = next.run(request).await.into_parts();
                let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
                    engine.forget_once(ticket).await;
                    return None;
                };
                if parts.status.is_success() {
                    let answered = keep(parts.status, &parts.headers, &body);
                    engine.finish_once(ticket, &answered).await;
                } else {
                    engine.forget_once(ticket).await;
                }
                Some(Response::from_parts(parts, Body::from(body)))
            });
            done.await
                .ok()
                .flatten()
                .ok_or_else(|| Problem::new(Kind::Unavailable, "The request broke off. Send it again.").retry_after(1))
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let plain = |text: &&str| text.len() <= LEN_MAX && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    // A string of RFC 9651 has quotes round it, and is the same key without.
    let key = value.to_str().ok().filter(plain).map(|key| key.trim_matches([' ', '"'])).filter(|key| !key.is_empty());
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            let detail = format!("An Idempotency-Key has 1 to {LEN_MAX} ASCII characters; a random UUID does well.");
            Err(Problem::parameter("Idempotency-Key", detail))
        }
    }
}

fn keep(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answered {
    let text = |name: &HeaderName| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned()));
    Answered {
        status: status.as_u16(),
        headers: KEPT.iter().filter_map(text).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

fn again(answered: Answered) -> Response {
    let mut response = page::plain(answered.body);
    *response.status_mut() = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answered.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
