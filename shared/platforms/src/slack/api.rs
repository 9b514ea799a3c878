//! Requests of the Web API: a method's URL, the token, and a body as JSON or as a form. Must not know what methods mean.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use sameroom_model::{Opened, Outcome};
use serde_json::Value;
use url::Url;

use super::settings::{CLIENT_SECRET, ENDPOINT, Settings, TOKEN};

/// A Web API and a token for it.
#[derive(Clone, Copy)]
pub(super) struct Api<'a> {
    endpoint: &'a str,
    token: &'a str,
}

impl<'a> Api<'a> {
    /// The Web API by an account's bot token.
    pub(super) fn of(account: &'a Opened) -> Result<Self, Outcome> {
        let token = account.secrets.get(TOKEN).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            Outcome::disconnected("This Slack account has no bot token: add it to the workspace again.")
        })?;
        Ok(Self { endpoint: &account.account.endpoint, token })
    }

    pub(super) fn new(endpoint: &'a str, token: &'a str) -> Self {
        Self { endpoint, token }
    }

    /// A call with a JSON body.
    pub(super) fn json(&self, method: &str, body: &Value) -> Result<Request<Bytes>, Outcome> {
        self.call(method, "application/json; charset=utf-8", body.to_string())
    }

    /// A call with a form, which every method takes.
    pub(super) fn form(&self, method: &str, fields: &[(&str, &str)]) -> Result<Request<Bytes>, Outcome> {
        self.call(method, FORM, form(fields))
    }

    fn call(&self, method: &str, kind: &'static str, body: String) -> Result<Request<Bytes>, Outcome> {
        let bearer = secret(&format!("Bearer {}", self.token))
            .ok_or_else(|| Outcome::disconnected("The bot token has characters that no token has: add it again."))?;
        let request = Request::post(method_url(self.endpoint, method)?)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, HeaderValue::from_static(kind));
        request.body(Bytes::from(body)).map_err(|_| uncallable())
    }
}

/// A call of `oauth.v2.access` as the app. `None`: its id or secret is not known, or unusable.
pub(super) fn oauth(account: &Opened, fields: &[(&str, &str)]) -> Option<Request<Bytes>> {
    let id = Settings::of(account).client_id?;
    let proof = STANDARD.encode(format!("{id}:{}", account.secrets.get(CLIENT_SECRET)?));
    Request::post(method_url(&account.account.endpoint, "oauth.v2.access").ok()?)
        .header(AUTHORIZATION, secret(&format!("Basic {proof}"))?)
        .header(CONTENT_TYPE, HeaderValue::from_static(FORM))
        .body(Bytes::from(form(fields)))
        .ok()
}

/// The endpoint as it is kept: with a slash at its end, so that methods can be put behind it; or a sentence.
pub(super) fn endpoint(typed: Option<&str>) -> Result<String, String> {
    let Some(typed) = typed else { return Ok(ENDPOINT.to_owned()) };
    let mut url = Url::parse(typed).map_err(|error| format!("The address of the Web API is not a URL: {error}."))?;
    if !matches!(url.scheme(), "https" | "http") || !url.username().is_empty() || url.password().is_some() {
        return Err("The address of the Web API begins with https:// and holds no login.".to_owned());
    }
    url.set_query(None);
    url.set_fragment(None);
    let mut text = url.as_str().trim_end_matches('/').to_owned();
    text.push('/');
    if text.parse::<http::Uri>().is_err() {
        return Err("The address of the Web API can't be called: write it in ASCII.".to_owned());
    }
    Ok(text)
}

/// A header value that no formatter shows.
pub(super) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn method_url(endpoint: &str, method: &str) -> Result<http::Uri, Outcome> {
    let slash = if endpoint.ends_with('/') { "" } else { "/" };
    format!("{endpoint}{slash}{method}").parse().map_err(|_| uncallable())
}

fn uncallable() -> Outcome {
    Outcome::disconnected("The address of Slack's Web API can't be called: add the account again.")
}
