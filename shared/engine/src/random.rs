//! Randomness for what must not be guessed: states, tokens, ids that a stranger could try. Ids that have to be the same
//! at every attempt are derived instead, in [`crate::keys`].

use crate::ports::Unavailable;
use crate::{Engine, keys};

impl Engine {
    /// 256 bits that nobody guesses, in 43 characters that need no escape in a URL.
    pub(crate) fn random_token(&self) -> Result<String, Unavailable> {
        let mut bytes = [0; 32];
        self.inner.vault.random(&mut bytes)?;
        Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes))
    }

    /// The seed of a held connection: it feeds jitter there, and what nobody may guess.
    pub fn seed(&self) -> Result<u128, Unavailable> {
        let mut bytes = [0; 16];
        self.inner.vault.random(&mut bytes)?;
        Ok(u128::from_le_bytes(bytes))
    }

    /// A short id with 100 random bits, to name things by that people should not number.
    pub(crate) fn random_id(&self) -> Result<String, Unavailable> {
        Ok(keys::digest(&[&self.random_token()?]))
    }
}
