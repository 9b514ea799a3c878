//! Slack's signature, version 0: `v0=` and hex of HMAC-SHA256 over `v0:timestamp:body`.
//! Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>. Must not know what bodies mean.

use aws_lc_rs::hmac;
use http::HeaderMap;
use sameroom_model::{Secrets, Timestamp};
use subtle::ConstantTimeEq;

use super::settings::SIGNING_SECRET;
use crate::Rejected;

/// When it was sent, in seconds since 1970.
pub(super) const TIMESTAMP: &str = "x-slack-request-timestamp";
/// The signature.
pub(super) const SIGNATURE: &str = "x-slack-signature";
/// How far the timestamp may be from now, in seconds, either way.
pub(super) const WINDOW: i64 = 300;

/// Checks a request's headers against its raw body. Every way to fail says the same.
pub(super) fn verify(secrets: &Secrets, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Rejected> {
    if proven(secrets, headers, body, now) == Some(true) { Ok(()) } else { Err(Rejected::Unauthorized) }
}

/// The value of the signature header. `None`: the secret can't be a key.
pub(super) fn sign(secret: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    let mut signature = "v0=".to_owned();
    for byte in mac.sign().as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            signature.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    Some(signature)
}

fn proven(secrets: &Secrets, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<bool> {
    let timestamp = headers.get(TIMESTAMP)?.to_str().ok()?;
    if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sent: i64 = timestamp.parse().ok()?;
    if now.as_second().checked_sub(sent)?.checked_abs()? > WINDOW {
        return None;
    }
    let ours = sign(secrets.get(SIGNING_SECRET)?, timestamp, body)?;
    Some(ours.as_bytes().ct_eq(headers.get(SIGNATURE)?.as_bytes()).into())
}
