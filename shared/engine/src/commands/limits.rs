//! How often something may be done in a minute: counters in rows that are forgotten by themselves, so that every process
//! counts the same.

use std::time::Duration;

use crate::ports::{Commit, CommitError, Unavailable};
use crate::{Engine, keys, rows};

/// How long a counter is kept: its minute, and some for clocks that differ.
const KEEP: Duration = Duration::from_mins(3);

/// Something that is counted: what it is, whose, and how many are allowed in a minute.
pub(super) struct Limit<'a> {
    pub(super) what: &'static str,
    pub(super) of: Vec<&'a str>,
    pub(super) max: u32,
}

impl Engine {
    /// Counts one more of each; `false`, and nothing is counted, where one of them is at its limit. Counted before it is
    /// done, so that those who try at once don't get more tries.
    pub(super) async fn within(&self, limits: &[Limit<'_>]) -> Result<bool, Unavailable> {
        loop {
            let now = self.inner.clock.now();
            let expires = now.checked_add(KEEP).ok();
            let mut commit = Commit::default();
            for limit in limits {
                let key = keys::limit(limit.what, &limit.of, now.as_second().div_euclid(60));
                let kept = rows::load::<u32>(&*self.inner.store, &key).await?;
                let count = kept.as_ref().map_or(0, |kept| kept.value);
                if count >= limit.max {
                    return Ok(false);
                }
                commit.writes.push(rows::put(key, &(count + 1), expires, rows::unchanged(kept.as_ref())));
            }
            match self.inner.store.commit(commit).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }
}
