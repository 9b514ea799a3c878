//! Randomness for what must not be guessed: states, tokens, ids that a stranger could try. Ids that have to be the same
//! at every attempt are derived instead, in [`crate::keys`].

use crate::ports::Unavailable;

/// 256 bits that nobody guesses, in 43 characters that need no escape in a URL.
pub(crate) fn token() -> Result<String, Unavailable> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Unavailable::new("the system gives no randomness"))?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

/// A short id with 100 random bits.
pub(crate) fn id() -> Result<String, Unavailable> {
    Ok(crate::keys::digest(&[&token()?]))
}
