//! Token rotation: a bot token that ends by itself is renewed by a refresh token, which is spent with it
//! (<https://docs.slack.dev/authentication/using-token-rotation>). Must not know how long
//! before its end that is due.

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Opened, Outcome, Secrets, Timestamp};
use serde_json::Value;

use super::api;
use super::errors::{Reaction, judge};
use super::settings::{EXPIRES, REFRESH_TOKEN, TOKEN};

pub(super) fn expires(account: &Opened) -> Option<Timestamp> {
    // One that can't be renewed is used as long as it does.
    account.secrets.get(REFRESH_TOKEN).filter(|token| !token.is_empty())?;
    Timestamp::from_second(account.secrets.get(EXPIRES)?.parse().ok()?).ok()
}

pub(super) fn renew(account: &Opened) -> Option<Request<Bytes>> {
    let token = account.secrets.get(REFRESH_TOKEN).filter(|token| !token.is_empty())?;
    api::oauth(account, &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

pub(super) fn renewed(account: &Opened, response: &Response<Bytes>, now: Timestamp) -> Result<Secrets, Outcome> {
    let answer = judge(response, now).map_err(|fault| match fault.reaction {
        Reaction::Retry | Reaction::Doubt => fault.outcome(),
        _ => Outcome::disconnected(format!(
            "The token can't be renewed ({}): install the app in the workspace again.",
            if fault.error.is_empty() { "no reason given" } else { &fault.error }
        )),
    })?;
    let renewed = tokens(&answer, now).map(|mut secrets| {
        if secrets.get(EXPIRES).is_none() {
            // That of the tokens before must not stay.
            secrets.set(EXPIRES, "");
        }
        secrets
    });
    renewed.ok_or_else(|| {
        let name = &account.account.identity.name;
        Outcome::retry(format!("Slack renewed the token of {name}, and did not tell the new one"))
    })
}

/// The tokens in an answer of `oauth.v2.access` that came at that time, or later. With token rotation it tells in
/// `expires_in` for how many seconds they are good.
pub(super) fn tokens(answer: &Value, now: Timestamp) -> Option<Secrets> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut secrets = Secrets::default();
    secrets.set(TOKEN, text("access_token")?);
    if let Some(refresh) = text("refresh_token") {
        secrets.set(REFRESH_TOKEN, refresh);
    }
    if let Some(seconds) = answer.get("expires_in").and_then(Value::as_i64).filter(|seconds| *seconds > 0) {
        secrets.set(EXPIRES, now.as_second().saturating_add(seconds).to_string());
    }
    Some(secrets)
}
