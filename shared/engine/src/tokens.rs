//! Tokens: 256 random bits and a checksum, in text. They are kept by their hash alone; looking one up by its hash tells
//! nothing by the time it takes, since nobody can steer a hash.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::Engine;
use crate::ports::Unavailable;

/// Random bytes of a token.
const BYTES: usize = 32;
/// The length of what they become in base64url, and of the checksum after it.
const RANDOM: usize = 43;
const CHECK: usize = 6;

impl Engine {
    /// A new token that begins with `prefix`.
    pub(crate) fn new_token(&self, prefix: &str) -> Result<SecretString, Unavailable> {
        let mut bytes = [0; BYTES];
        self.inner.vault.random(&mut bytes)?;
        let mut token = format!("{prefix}{}", data_encoding::BASE64URL_NOPAD.encode(&bytes));
        bytes.fill(0);
        let check = check(&token);
        token.push_str(&check);
        Ok(token.into())
    }
}

/// Whether a text has the form of a token, its checksum included: what is mistyped never gets as far as the store.
pub(crate) fn well_formed(prefix: &str, token: &str) -> bool {
    let Some(rest) = token.strip_prefix(prefix) else { return false };
    rest.len() == RANDOM + CHECK
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && token.ends_with(&check(&token[..token.len() - CHECK]))
}

/// What a token is kept by.
pub(crate) fn hash(token: &SecretString) -> String {
    crate::keys::secret_hash(token.expose_secret())
}

fn check(text: &str) -> String {
    let mut check = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(text.as_bytes())[..5]);
    check.truncate(CHECK);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_told_from_a_token() {
        let random = data_encoding::BASE64URL_NOPAD.encode(&[7; BYTES]);
        let token = format!("sr_{random}{}", check(&format!("sr_{random}")));
        assert!(well_formed("sr_", &token));
        assert!(!well_formed("sp_", &token));
        for at in 0..token.len() {
            let mut typo = token.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert!(!well_formed("sr_", std::str::from_utf8(&typo).unwrap()), "{at}");
            assert!(!well_formed("sr_", &token[..at]), "{at}");
        }
        assert!(!well_formed("sr_", "sr_ü"));
        assert!(!well_formed("sr_", &format!("sr_{}", "ü".repeat(24) + "x")));
    }
}
