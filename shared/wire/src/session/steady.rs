//! Time for a session: the wall clock's at the start, then steady, so that it never goes back.

use std::sync::Arc;
use std::time::Duration;

use sameroom_engine::ports::Clock;
use sameroom_model::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The furthest that a timer is set; a session that sleeps longer is woken in between, which does no harm.
const FAR: Duration = Duration::from_hours(24);

/// A clock that never goes back.
pub(super) struct Steady {
    clock: Arc<dyn Clock>,
    base: Timestamp,
    since: Instant,
}

impl Steady {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { base: clock.now(), clock, since: Instant::now() }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX);
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Follows the wall clock where it has run ahead: steady clocks stand still while a machine sleeps.
    pub(super) fn catch_up(&mut self) {
        let wall = self.clock.now();
        if wall > self.now() {
            (self.base, self.since) = (wall, Instant::now());
        }
    }

    /// When a timer for that time has to fire: the same instant for the same time, as long as the clock runs on.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        let ahead = Duration::try_from(at.duration_since(self.base)).unwrap_or(Duration::ZERO);
        self.since + ahead.min(self.since.elapsed() + FAR)
    }
}
