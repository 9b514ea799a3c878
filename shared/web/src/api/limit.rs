//! How often a key may ask: a token bucket each, in this process's memory. Who has no valid key is counted by address, so
//! that guessing and broken clients cost little; a valid key is never held back by what others at its address do.
//!
//! Headers: `RateLimit-Policy` and `RateLimit` of the IETF's draft,
//! <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use sameroom_model::{KeyId, Timestamp};

/// How often, as a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests a minute, in the long run.
    pub per_minute: u32,
    /// How many at once.
    pub burst: u32,
}

/// How often the API may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// By each key.
    pub key: Rate,
    /// By each address, without a valid key.
    pub address: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { key: Rate { per_minute: 600, burst: 100 }, address: Rate { per_minute: 60, burst: 30 } }
    }
}

/// How many buckets are kept of each sort. Full ones are dropped first: they say nothing.
const BUCKETS_MAX: usize = 10_000;

/// Counts who asks how often.
#[derive(Debug)]
pub(crate) struct Limiter {
    keys: Buckets<KeyId>,
    addresses: Buckets<Option<IpAddr>>,
}

/// What a bucket says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it may pass.
    pub(crate) passes: bool,
    /// How many more may pass at once.
    remaining: u32,
    /// In how many seconds one more may.
    pub(crate) wait: u64,
    rate: Rate,
}

#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    filled: Mutex<HashMap<K, Bucket>>,
}

/// Tokens in thousandths, as of a time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    milli: u64,
    at: Timestamp,
}

impl Limiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self { keys: Buckets::new(limits.key), addresses: Buckets::new(limits.address) }
    }

    /// A request by a key.
    pub(crate) fn by_key(&self, key: &KeyId, now: Timestamp) -> Verdict {
        self.keys.take(key.clone(), now)
    }

    /// A request without a valid key, from an address; `None`: it is not known.
    pub(crate) fn by_address(&self, address: Option<IpAddr>, now: Timestamp) -> Verdict {
        self.addresses.take(address, now)
    }
}

impl Verdict {
    /// Says it in headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Rate { per_minute, .. } = self.rate;
        // The window is a minute; what is let through at once is part of it.
        let policy = format!("\"key\";q={per_minute};w=60");
        let limit = format!("\"key\";r={};t={}", self.remaining, self.wait.max(1));
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, filled: Mutex::new(HashMap::new()) }
    }

    fn take(&self, key: K, now: Timestamp) -> Verdict {
        let full = u64::from(self.rate.burst.max(1)) * 1000;
        // Thousandths a millisecond is tokens a second.
        let per_minute = u64::from(self.rate.per_minute.max(1));
        let refilled = |bucket: &Bucket| {
            let passed = (now.as_millisecond() - bucket.at.as_millisecond()).max(0) as u64;
            bucket.milli.saturating_add(passed.saturating_mul(per_minute) / 60).min(full)
        };
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if filled.len() >= BUCKETS_MAX && !filled.contains_key(&key) {
            filled.retain(|_, bucket| refilled(bucket) < full);
            if filled.len() >= BUCKETS_MAX {
                filled.clear();
            }
        }
        let bucket = filled.entry(key).or_insert(Bucket { milli: full, at: now });
        let milli = refilled(bucket);
        let passes = milli >= 1000;
        let left = if passes { milli - 1000 } else { milli };
        *bucket = Bucket { milli: left, at: now };
        let missing = 1000_u64.saturating_sub(left);
        Verdict {
            passes,
            remaining: (left / 1000) as u32,
            wait: (missing * 60).div_ceil(per_minute * 1000),
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_a_steady_rate() {
        let buckets = Buckets::new(Rate { per_minute: 60, burst: 3 });
        let mut now = Timestamp::UNIX_EPOCH;
        let verdicts: Vec<Verdict> = (0..4).map(|_| buckets.take("a", now)).collect();
        assert_eq!(verdicts.iter().map(|v| v.passes).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!((verdicts[0].remaining, verdicts[3].wait), (2, 1));
        assert!(buckets.take("b", now).passes, "others are not held back");
        now = now.checked_add(Duration::from_secs(1)).unwrap();
        assert!(buckets.take("a", now).passes);
        assert!(!buckets.take("a", now).passes);
        now = now.checked_add(Duration::from_hours(1)).unwrap();
        assert_eq!(buckets.take("a", now).remaining, 2, "no more than the burst is saved up");
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let buckets = Buckets::new(Rate { per_minute: 60, burst: 1 });
        let later = Timestamp::from_second(1000).unwrap();
        assert!(buckets.take("a", later).passes);
        assert!(!buckets.take("a", Timestamp::UNIX_EPOCH).passes);
    }

    #[test]
    fn headers_follow_the_draft() {
        let verdict = Buckets::new(Rate { per_minute: 600, burst: 100 }).take("a", Timestamp::UNIX_EPOCH);
        let mut headers = HeaderMap::new();
        verdict.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"key\";q=600;w=60");
        assert_eq!(headers["ratelimit"], "\"key\";r=99;t=1");
    }
}
