//! The Standard Webhooks signature, both ways: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//! Must not know what bodies mean.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::HeaderMap;
use sameroom_model::{Secrets, Timestamp};
use subtle::ConstantTimeEq;

use crate::Rejected;

/// Names the message; the same for every retry.
pub(super) const ID: &str = "webhook-id";
/// When it was sent, in seconds since 1970.
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
/// One signature or several, parted by spaces.
pub(super) const SIGNATURE: &str = "webhook-signature";
/// How far the timestamp may be from now, in seconds, either way.
pub(super) const WINDOW: i64 = 300;

/// The secrets that may sign, by name: the present one and, while secrets are being changed, the next.
pub(super) const SECRETS: [&str; 2] = ["secret", "secret_next"];

/// Base64 of 32 bytes.
const DIGEST: usize = 44;

/// The bytes that a secret stands for: base64 after `whsec_`, else the text itself. `None`: there is no key in it.
pub(super) fn key(secret: &str) -> Option<Cow<'_, [u8]>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => Cow::Owned(LENIENT.decode(encoded).ok()?),
        None => Cow::Borrowed(secret.as_bytes()),
    };
    (!bytes.is_empty()).then_some(bytes)
}

/// The value of the signature header.
pub(super) fn sign(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let digest = digest(key, id, timestamp, body)?;
    Some(format!("v1,{}", str::from_utf8(&digest).ok()?))
}

/// Checks a request's headers against its raw body, and gives its id. Every way to fail says the same.
pub(super) fn verify<'a>(
    secrets: &Secrets,
    headers: &'a HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<&'a str, Rejected> {
    proven(secrets, headers, body, now).ok_or(Rejected::Unauthorized)
}

fn proven<'a>(secrets: &Secrets, headers: &'a HeaderMap, body: &[u8], now: Timestamp) -> Option<&'a str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (id, timestamp, signatures) = (header(ID)?, header(TIMESTAMP)?, header(SIGNATURE)?);
    if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sent: i64 = timestamp.parse().ok()?;
    if now.as_second().checked_sub(sent)?.checked_abs()? > WINDOW {
        return None;
    }
    SECRETS
        .into_iter()
        .filter_map(|name| secrets.get(name))
        .filter_map(key)
        .any(|key| {
            digest(&key, id, timestamp, body).is_some_and(|ours| {
                // Schemes that we don't know are passed over, as the specification asks.
                signatures
                    .split(' ')
                    .filter_map(|signature| signature.strip_prefix("v1,"))
                    .any(|theirs| bool::from(ours.as_slice().ct_eq(theirs.as_bytes())))
            })
        })
        .then_some(id)
}

fn digest(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Option<[u8; DIGEST]> {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut encoded = [0; DIGEST];
    let written = STANDARD.encode_slice(mac.sign(), &mut encoded).ok()?;
    (written == DIGEST).then_some(encoded)
}
