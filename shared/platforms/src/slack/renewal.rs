//! Token rotation: a bot token that ends by itself is renewed by a refresh token, which is spent with it
//! (<https://docs.slack.dev/authentication/using-token-rotation>). Must not know when that is due.

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Opened, Outcome, Secrets, Timestamp};
use serde_json::Value;

use super::api;
use super::errors::{Reaction, judge};
use super::settings::{REFRESH_TOKEN, TOKEN};

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
    tokens(&answer).ok_or_else(|| {
        let name = &account.account.identity.name;
        Outcome::retry(format!("Slack renewed the token of {name}, and did not tell the new one"))
    })
}

/// The tokens in an answer of `oauth.v2.access`.
pub(super) fn tokens(answer: &Value) -> Option<Secrets> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut secrets = Secrets::default();
    secrets.set(TOKEN, text("access_token")?);
    if let Some(refresh) = text("refresh_token") {
        secrets.set(REFRESH_TOKEN, refresh);
    }
    Some(secrets)
}
