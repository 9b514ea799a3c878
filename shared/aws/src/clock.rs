//! The system's clock, for programs that run on AWS: the one place in this crate that reads it.

use sameroom_engine::ports::Clock;
use sameroom_model::Timestamp;

/// Tells the system's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
