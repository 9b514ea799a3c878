//! The outermost layer of the API: every request has an id, taken from `X-Request-Id` if it is sane, and every answer
//! names it, as do the traces and the problems. Addresses, bodies and headers are not logged.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::Instrument as _;

use super::problem::Problem;

/// The header's name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over.
const LEN_MAX: usize = 64;

/// Gives the request its id, and the answer what every answer has.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let id = taken(request.headers()).unwrap_or_else(fresh);
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let known = std::mem::take(response.headers_mut());
        let allow = known.get(header::ALLOW).cloned();
        response = problem.response(Some(&id));
        let kept = known.into_iter().filter_map(|(name, value)| Some((name?, value)));
        for (name, value) in kept.filter(|(name, _)| *name != header::CONTENT_LENGTH) {
            response.headers_mut().entry(name).or_insert(value);
        }
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    dress(response.headers_mut());
    tracing::debug!(parent: &span, status = response.status().as_u16(), "answered");
    response
}

/// The headers of every answer: it is for this caller alone, and nothing to be shown as a page.
fn dress(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

fn taken(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=LEN_MAX).contains(&id.len()) && id.bytes().all(sane)).then(|| id.to_owned())
}

/// An id that this process has not given yet, and another is most unlikely to. It need not be hard to guess.
fn fresh() -> String {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", SEED.hash_one(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_over_and_others_are_not() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            taken(&headers)
        };
        assert_eq!(of("deploy-7.1_x").as_deref(), Some("deploy-7.1_x"));
        for bad in ["", "a b", "a\"b", "ü", &"x".repeat(65)] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_ne!(fresh(), fresh());
    }
}
