//! What a session draws from its seed: repeatable jitter, and nonces that nobody can guess. It must not know what they
//! are for.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sameroom_model::SignedDuration;

/// What comes of a seed.
pub(super) struct Random {
    /// The state of splitmix64. Who sees enough of our pauses knows it; the seed it does not tell.
    jitter: u64,
    key: hmac::Key,
    nonces: u64,
}

impl Random {
    pub(super) fn new(seed: u128) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_le_bytes());
        let mut jitter = [0; 8];
        jitter.copy_from_slice(&hmac::sign(&key, b"jitter").as_ref()[..8]);
        Self { jitter: u64::from_le_bytes(jitter), key, nonces: 0 }
    }

    /// Any number. Not for secrets.
    pub(super) fn next(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high` milliseconds.
    pub(super) fn millis(&mut self, low: i64, high: i64) -> SignedDuration {
        let span = high.saturating_sub(low).max(0) as u64 + 1;
        SignedDuration::from_millis(low + (self.next() % span) as i64)
    }

    /// 32 characters, without a comma, that are never drawn again and that only the seed tells.
    pub(super) fn nonce(&mut self) -> String {
        self.nonces += 1;
        let drawn = hmac::sign(&self.key, format!("nonce {}", self.nonces).as_bytes());
        STANDARD.encode(&drawn.as_ref()[..24])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_by_draw_and_by_all_of_the_seed() {
        let mut one = Random::new(7);
        let mut other = Random::new(7 | 1 << 127);
        let drawn = [one.nonce(), one.nonce(), other.nonce(), other.nonce()];
        assert!(drawn.iter().all(|nonce| nonce.len() == 32 && !nonce.contains(',')), "{drawn:?}");
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_ne!(one.next(), other.next());
    }
}
