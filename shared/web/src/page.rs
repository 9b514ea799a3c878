//! Pages and the headers that go with them. Pages carry no script or style but their own, named by hash (threat T24),
//! and tell nobody where a link was followed from (threat T20).

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

const ROOM: &str = include_str!("pages/room.html");
const FRONT: &str = include_str!("pages/front.html");

/// Where a room's page gets its first state.
const BOOT: &str = "<!--BOOT-->";

static ROOM_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(ROOM));
static FRONT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(FRONT));

/// The front page: what this is, and that rooms are reached by their links.
pub(crate) async fn front() -> Response {
    html(FRONT.to_owned(), StatusCode::OK, &FRONT_POLICY)
}

/// A page of rooms, with its first state.
pub(crate) fn rooms(boot: &serde_json::Value) -> Response {
    // In a script element only `<` can end it; JSON can say it otherwise.
    let boot = boot.to_string().replace('<', "\\u003c");
    let script = format!("<script type=\"application/json\" id=\"boot\">{boot}</script>");
    html(ROOM.replacen(BOOT, &script, 1), StatusCode::OK, &ROOM_POLICY)
}

/// A page that was made whole by its maker, who escaped all that is not its own.
pub(crate) fn filled(page: &str) -> Response {
    html(page.to_owned(), StatusCode::OK, &policy(page))
}

/// A drawing by itself.
pub(crate) fn drawing(svg: String) -> Response {
    let policy = policy(&svg);
    let mut response = html(svg, StatusCode::OK, &policy);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    response
}

/// An answer of the engine, as it is, with the headers that every answer has.
pub(crate) fn document(response: http::Response<Bytes>) -> Response {
    let mut response = response.map(Body::from);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page of a few words, for people whose browser ended up here.
pub(crate) fn words(status: StatusCode, words: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Sameroom</title><p>{}</p></html>\n",
        escaped(words)
    );
    html(page, status, &HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"))
}

/// An answer with that body, and the headers that every answer has.
pub(crate) fn plain(body: impl Into<Bytes>) -> Response {
    document(http::Response::new(body.into()))
}

fn html(page: String, status: StatusCode, policy: &HeaderValue) -> Response {
    let mut response = document(http::Response::new(Bytes::from(page)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The policy that lets a page run its own inline script and style, and nothing else.
fn policy(page: &str) -> HeaderValue {
    let scripts = hashes(page, "<script>", "</script>");
    let styles = hashes(page, "<style>", "</style>");
    let policy = format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

fn hashes(page: &str, open: &str, close: &str) -> String {
    let found: Vec<String> = page
        .split(open)
        .skip(1)
        .filter_map(|rest| rest.split_once(close))
        .map(|(inner, _)| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inner.as_bytes()))))
        .collect();
    if found.is_empty() { "'none'".to_owned() } else { found.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t24_the_policy_names_every_inline_script_and_style_and_no_other() {
        for page in [ROOM, FRONT] {
            let policy = policy(page).to_str().expect("ascii").to_owned();
            assert!(policy.starts_with("default-src 'none'; "));
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(page.matches("<style>").count(), page.matches("<style").count(), "a style has attributes");
            assert!(!page.contains(" onclick=") && !page.contains(" style="), "an inline handler or style");
        }
        assert!(policy(ROOM).to_str().expect("ascii").contains("script-src 'sha256-"));
    }

    #[test]
    fn t9_a_rooms_name_cannot_leave_its_script_element() {
        let boot = serde_json::json!({"rooms": [{"name": "</script><script>alert(1)</script>"}]});
        let response = rooms(&boot);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(ROOM.contains(BOOT));
        assert!(!boot.to_string().replace('<', "\\u003c").contains("</script>"));
    }
}
