//! SASL: the mechanisms we speak and how their payloads are cut into lines and put together again. It must not know when
//! a login happens.
//! Source: <https://ircv3.net/specs/extensions/sasl-3.1>; PLAIN is RFC 4616, EXTERNAL RFC 4422 appendix A.

pub(super) mod scram;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The most characters of one AUTHENTICATE line.
const CHUNK: usize = 400;
/// The most characters of a payload that is taken in: no mechanism of ours needs as many.
const PAYLOAD_MAX: usize = 8 * CHUNK;

/// How we log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mechanism {
    /// By the client certificate of the TLS connection.
    #[serde(rename = "external")]
    External,
    /// By account and password, the password untold, and the server proven too.
    #[serde(rename = "scram-sha-256")]
    Scram,
    /// By account and password, told to the server.
    #[serde(rename = "plain")]
    Plain,
}

impl Mechanism {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Scram => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }

    /// Whether a server that offers `sasl=<value>` has it. A server of version 301 gives no value: it may.
    pub(super) fn offered(self, value: &str) -> bool {
        value.is_empty() || self.among(value)
    }

    /// Whether a list of names, parted by commas, has it.
    pub(super) fn among(self, list: &str) -> bool {
        list.split(',').any(|name| name.trim().eq_ignore_ascii_case(self.name()))
    }
}

/// PLAIN's answer.
pub(super) fn plain(account: &str, password: &str) -> String {
    format!("\0{account}\0{password}")
}

/// The parameters of the AUTHENTICATE lines that carry a payload: base64 in pieces of 400 characters; when the last is
/// full, or there is none, a `+` ends them.
pub(super) fn chunks(payload: &[u8]) -> Vec<String> {
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

/// A payload of the server, put together from its lines.
#[derive(Default)]
pub(super) struct Gathered(String);

impl Gathered {
    /// Takes in the parameter of one line; the payload, once it is whole. The error: it is none, or too long.
    pub(super) fn add(&mut self, chunk: &str) -> Result<Option<Vec<u8>>, ()> {
        if chunk != "+" {
            self.0.push_str(chunk);
        }
        if chunk.len() > CHUNK || self.0.len() > PAYLOAD_MAX {
            return Err(());
        }
        if chunk.len() == CHUNK {
            return Ok(None);
        }
        STANDARD.decode(std::mem::take(&mut self.0)).map(Some).map_err(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_account_and_password_with_an_empty_authorisation() {
        assert_eq!(chunks(plain("jilles", "sesame").as_bytes()), ["AGppbGxlcwBzZXNhbWU="]);
    }

    #[test]
    fn a_payload_of_exactly_400_characters_is_followed_by_a_plus() {
        // 300 bytes make 400 characters.
        for (bytes, lengths) in [(0, vec![1]), (299, vec![400, 1]), (300, vec![400, 1]), (301, vec![400, 4])] {
            let lines = chunks(&vec![b'x'; bytes]);
            assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), lengths, "{bytes}");
            let mut gathered = Gathered::default();
            let (last, rest) = lines.split_last().unwrap();
            assert!(rest.iter().all(|line| gathered.add(line) == Ok(None)));
            assert_eq!(gathered.add(last), Ok(Some(vec![b'x'; bytes])), "and back");
        }
    }

    #[test]
    fn payloads_that_are_none() {
        assert_eq!(Gathered::default().add("!"), Err(()));
        assert_eq!(Gathered::default().add(&"x".repeat(401)), Err(()));
        let mut endless = Gathered::default();
        assert!((0..100).any(|_| endless.add(&"A".repeat(400)).is_err()));
    }

    #[test]
    fn offers_are_read_by_name() {
        assert!(Mechanism::Plain.offered("EXTERNAL,plain"));
        assert!(Mechanism::Scram.offered("SCRAM-SHA-512,SCRAM-SHA-256"));
        assert!(!Mechanism::Scram.offered("SCRAM-SHA-512,SCRAM-SHA-256-PLUS,PLAIN"));
        assert!(Mechanism::Scram.offered(""), "a server of version 301 does not say");
    }
}
