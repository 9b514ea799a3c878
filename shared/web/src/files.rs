//! `GET /files/{token}/{name}`: a file that only an account may read, handed on to whoever was given its address. It is
//! somebody else's content under our name, so a browser may save it and do nothing else with it (threat T24).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sameroom_engine::{FileError, problem};

use crate::{App, page};

/// What stands in a `filename*` as it is (RFC 8187, section 3.2.1).
const ATTR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) async fn serve(State(app): State<App>, Path((token, name)): Path<(String, String)>) -> Response {
    match app.engine.file(&token).await {
        Ok(Some((_, bytes))) => file(&name, bytes),
        Ok(None) => {
            let detail = "There is no such file, or its time is over. Ask whoever posted it for it.";
            page::document(problem(StatusCode::NOT_FOUND, "not-found", detail))
        }
        Err(FileError::Failed(why)) => {
            let detail = format!("The file can't be read where it is: {why}. Try again later.");
            page::document(problem(StatusCode::BAD_GATEWAY, "platform", &detail))
        }
        Err(FileError::Unavailable(e)) => {
            tracing::error!(error = %e, "a file could not be handed out");
            let detail = "The store of this Sameroom can't be used just now. Try again.";
            page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
        }
    }
}

/// The file, to be saved.
fn file(name: &str, bytes: Bytes) -> Response {
    let mut response = page::document(http::Response::new(bytes)).map(Body::new);
    let headers = response.headers_mut();
    // Whatever it says to be: a type that a browser would show could be made to run.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, disposition(name));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

/// To be saved under that name (RFC 6266).
fn disposition(name: &str) -> HeaderValue {
    let name = name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("file");
    let name = utf8_percent_encode(name, ATTR);
    HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}"))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_saved_and_never_shown() {
        let response = file("a\r\nb \"ü\".html", Bytes::from_static(b"<script>"));
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert_eq!(
            response.headers()["content-disposition"],
            "attachment; filename*=UTF-8''a%0D%0Ab%20%22%C3%BC%22.html"
        );
        assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; sandbox");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(disposition("../../etc/passwd"), "attachment; filename*=UTF-8''passwd");
    }
}
