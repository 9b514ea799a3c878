//! Named points at which a debug build can be made to die, so that the crash suite can show what survives. In a release
//! build there are none.

/// Aborts the process at the n-th hit of the point that `SAMEROOM_FAILPOINT=name:n` names. Does nothing in a release
/// build.
#[cfg(debug_assertions)]
pub fn failpoint(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    let armed = ARMED.get_or_init(|| {
        let spec = std::env::var("SAMEROOM_FAILPOINT").ok()?;
        let (name, n) = spec.split_once(':')?;
        Some((name.to_owned(), n.parse().ok()?))
    });
    if let Some((armed, n)) = armed
        && armed == name
        && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *n
    {
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[allow(clippy::inline_always, reason = "it must leave no trace in a release build")]
pub fn failpoint(_name: &str) {}
