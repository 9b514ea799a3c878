//! The token bucket of one connection. It queues nothing and drops nothing: it only says when a line may go.

use sameroom_model::{SignedDuration, Timestamp};

use super::super::settings::Flood;

/// Tokens, each worth a line.
#[derive(Debug)]
pub(super) struct Bucket {
    flood: Flood,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(flood: Flood, now: Timestamp) -> Self {
        let flood = Flood { burst: flood.burst.max(1), per_second: flood.per_second.clamp(0.0, 1e6) };
        Self { flood, tokens: f64::from(flood.burst), at: now }
    }

    /// Whether lines go as fast as the server reads.
    pub(super) fn unlimited(&self) -> bool {
        self.flood.per_second <= 0.0
    }

    /// Whether a line may go now.
    pub(super) fn ready(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        // Floating point must not make the moment that `ready_at` named come a nanosecond too early.
        self.has_token()
    }

    /// Takes tokens; several lines that go together may leave a debt.
    pub(super) fn take(&mut self, lines: usize) {
        if !self.unlimited() {
            self.tokens -= lines as f64;
        }
    }

    /// Whether there was a token when last looked.
    pub(super) fn has_token(&self) -> bool {
        self.unlimited() || self.tokens >= 1.0 - 1e-6
    }

    /// When a line may go, if not now.
    pub(super) fn ready_at(&self) -> Timestamp {
        if self.has_token() {
            return self.at;
        }
        let millis = ((1.0 - self.tokens) / self.flood.per_second * 1000.0).ceil();
        super::later(self.at, SignedDuration::from_millis(millis as i64))
    }

    fn refill(&mut self, now: Timestamp) {
        if self.unlimited() {
            self.at = now;
            return;
        }
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + passed * self.flood.per_second).min(f64::from(self.flood.burst));
        self.at = now;
    }
}
