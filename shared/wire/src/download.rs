//! Downloads a file: a request whose answer may be long, and which may be sent on to other sites. What the file is, and
//! whose, is not known here.
//!
//! Redirects are followed for GET and HEAD, three at most. Each goes through the guard anew; those to another origin go
//! by the client for sites that nobody vouches for, with none of the headers that may prove who we are, and none leads
//! from https to http.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use sameroom_engine::ports::NoAnswer;
use url::Url;

use crate::HttpClient;

/// How many redirects are followed.
const REDIRECTS: usize = 3;

/// The headers that go along to another origin.
const HARMLESS: [header::HeaderName; 4] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::RANGE, header::USER_AGENT];

/// Downloads from the request's site by `first`, and from others that it leads to by `others`. Answers that are no
/// redirect are returned whatever their status.
pub(crate) async fn download(
    first: &HttpClient,
    others: &HttpClient,
    request: http::Request<Bytes>,
    max: u64,
) -> Result<http::Response<Bytes>, NoAnswer> {
    let bounds = first.for_download(max).await?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return first.exchange(request, bounds).await;
    }
    let (mut client, mut request) = (first, request);
    for _ in 0..=REDIRECTS {
        let (method, mut headers) = (request.method().clone(), request.headers().clone());
        let url = Url::parse(&request.uri().to_string()).ok();
        let answer = client.exchange(request, bounds).await?;
        let Some(from) = url.filter(|_| redirects(answer.status())) else { return Ok(answer) };
        let site = from.host_str().unwrap_or_default();
        let unusable = || NoAnswer::Broken(format!("{site}: it sends us on to what is no usable URL"));
        let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok()).ok_or_else(unusable)?;
        if (from.scheme(), to.scheme()) == ("https", "http") {
            return Err(NoAnswer::Forbidden(format!("{site}: it sends us on from https to http")));
        }
        headers.remove(header::HOST);
        if from.origin() != to.origin() {
            client = others;
            headers = harmless(&headers);
        }
        let next = http::Request::builder().method(method).uri(to.as_str()).body(Bytes::new());
        request = next.map_err(|_| unusable())?;
        *request.headers_mut() = headers;
    }
    let site = request.uri().host().unwrap_or_default();
    Err(NoAnswer::Broken(format!("{site}: we are sent on more than {REDIRECTS} times")))
}

/// Whether the answer's place is elsewhere (RFC 9110, section 15.4).
fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    HARMLESS.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

#[cfg(test)]
mod tests;
