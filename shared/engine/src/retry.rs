//! When to try again: a pure function of schedule, attempt, age and what the target said.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use sameroom_model::Sent;

use crate::Config;

/// What the target asked for is honoured within these bounds (faults F16, F17).
const AFTER_MIN: Duration = Duration::from_secs(1);
const AFTER_MAX: Duration = Duration::from_hours(1);

/// How long to wait after the given failed attempt (from 1), or `None` when the delivery has grown too old.
///
/// Waits are spread by up to a fifth, always the same for the same id and attempt, so that lanes that failed together
/// don't come back together. A wait that the target asked for is never cut short.
pub(crate) fn wait(
    config: &Config,
    id: &str,
    attempt: u32,
    age: Duration,
    after: Option<Duration>,
    sent: Sent,
) -> Option<Duration> {
    if age >= config.keep {
        return None;
    }
    let schedule = if sent == Sent::Unreachable { &config.unreachable } else { &config.retry };
    let index = (attempt.max(1) as usize - 1).min(schedule.len().saturating_sub(1));
    let planned = schedule.get(index).copied().unwrap_or(AFTER_MIN);
    let base = match after {
        Some(after) => after.clamp(AFTER_MIN, AFTER_MAX).max(planned.min(AFTER_MIN)),
        None => planned,
    };
    Some(base + base.mul_f64(spread(id, attempt)))
}

/// Between 0 and 0.2.
fn spread(id: &str, attempt: u32) -> f64 {
    let mut context = Context::new(&SHA256);
    context.update(id.as_bytes());
    context.update(&attempt.to_be_bytes());
    let hash = context.finish();
    let hash = hash.as_ref();
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX) / 5.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_s(attempt: u32, after: Option<u64>, sent: Sent) -> f64 {
        let after = after.map(Duration::from_secs);
        wait(&Config::default(), "d", attempt, Duration::ZERO, after, sent).unwrap_or_default().as_secs_f64()
    }

    #[test]
    fn f19_the_schedule_is_followed_and_its_last_wait_repeats() {
        for (attempt, seconds) in [(1, 1.0), (2, 5.0), (3, 30.0), (4, 300.0), (5, 1800.0), (6, 3600.0), (40, 3600.0)] {
            let wait = wait_s(attempt, None, Sent::No);
            assert!(wait >= seconds && wait <= seconds * 1.2, "{attempt}: {wait}");
        }
    }

    #[test]
    fn f16_retry_after_is_honoured_and_never_cut_short() {
        let wait = wait_s(1, Some(30), Sent::No);
        assert!((30.0..=36.0).contains(&wait), "{wait}");
    }

    #[test]
    fn f17_absurd_waits_are_clamped() {
        assert!(wait_s(1, Some(0), Sent::No) >= 1.0);
        assert!(wait_s(1, Some(1_000_000_000), Sent::No) <= 3600.0 * 1.2);
    }

    #[test]
    fn a_target_out_of_reach_is_asked_again_soon_during_the_first_minute() {
        let mut waited = 0.0;
        for attempt in 1..=10 {
            let wait = wait_s(attempt, None, Sent::Unreachable);
            assert!(wait <= 6.0);
            waited += wait;
        }
        assert!(waited > 25.0);
    }

    #[test]
    fn a_delivery_older_than_the_limit_is_given_up() {
        let config = Config::default();
        assert_eq!(wait(&config, "d", 9, config.keep, None, Sent::No), None);
    }
}
