//! SASL: the mechanisms we speak and how their payloads are cut into lines. It must not know when a login happens.
//! Source: <https://ircv3.net/specs/extensions/sasl-3.1>; PLAIN is RFC 4616, EXTERNAL RFC 4422 appendix A.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The most characters of one AUTHENTICATE line.
const CHUNK: usize = 400;

/// How we log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mechanism {
    /// By account and password.
    Plain,
    /// By the client certificate of the TLS connection.
    External,
}

impl Mechanism {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// Whether a server that offers `sasl=<value>` has it. A server of version 301 gives no value: it may.
    pub(super) fn offered(self, value: &str) -> bool {
        value.is_empty() || value.split(',').any(|name| name.eq_ignore_ascii_case(self.name()))
    }
}

/// The parameters of the AUTHENTICATE lines that carry PLAIN's answer.
pub(super) fn plain(account: &str, password: &str) -> Vec<String> {
    chunks(format!("\0{account}\0{password}").as_bytes())
}

/// The parameters of the AUTHENTICATE lines that carry EXTERNAL's answer: who we are is what the certificate says.
pub(super) fn external() -> Vec<String> {
    chunks(b"")
}

/// Base64 in pieces of 400 characters; when the last is full, or there is none, a `+` ends them.
fn chunks(payload: &[u8]) -> Vec<String> {
    let encoded = STANDARD.encode(payload);
    let mut chunks = Vec::new();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
        chunks.push(chunk.to_owned());
        rest = after;
    }
    if chunks.last().is_none_or(|last| last.len() == CHUNK) {
        chunks.push("+".to_owned());
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_account_and_password_with_an_empty_authorisation() {
        assert_eq!(plain("jilles", "sesame"), ["AGppbGxlcwBzZXNhbWU="]);
    }

    #[test]
    fn a_payload_of_exactly_400_characters_is_followed_by_a_plus() {
        // 300 bytes make 400 characters.
        let exact = plain("a", &"x".repeat(297));
        assert_eq!(exact.iter().map(String::len).collect::<Vec<_>>(), [400, 1]);
        let more = plain("a", &"x".repeat(298));
        assert_eq!(more.iter().map(String::len).collect::<Vec<_>>(), [400, 4]);
        assert_eq!(external(), ["+"]);
    }
}
