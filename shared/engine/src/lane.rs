//! How many deliveries wait in a lane's outbox, and putting them there. A lane that has any is not posted to directly, so
//! the count must be right: one too few, and a later message overtakes; one too many, and the lane is never idle again.
//! Where a commit does not span rows and queues ([`Store::whole`](crate::ports::Store::whole)) it may be done a second
//! time after a crash; there the row remembers what it counted last, and counts nothing twice.

use std::collections::VecDeque;
use std::time::Duration;

use sameroom_model::{Delivery, Job, Lane, Timestamp};
use sameroom_platforms::Carrier;
use serde::{Deserialize, Serialize};

use crate::ports::{Commit, CommitError, NewJob, QueueName, Tally, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// How many marks a row remembers of each kind. Jobs of a lane are put and settled in order, so what is done a second
/// time is of the last batch; batches are no longer than this.
pub(crate) const MARKS_MAX: usize = 16;
/// How long an idle lane's marks are kept: longer than a job may be under lease.
const IDLE_KEPT: Duration = Duration::from_hours(24);

/// The row of a lane that is not idle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LaneRow {
    /// How many deliveries wait in its outbox.
    pub(crate) pending: u64,
    /// Why nothing leaves it, when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parked: Option<String>,
    /// Whether it stays so until somebody resumes it, rather than being tried again by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    /// What was put last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    put: VecDeque<String>,
    /// What left last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    left: VecDeque<String>,
}

impl LaneRow {
    /// Whether nothing waits: the row is there for its marks alone.
    pub(crate) fn idle(&self) -> bool {
        self.pending == 0
    }
}

impl Engine {
    /// The row of a lane. One that is idle may have none.
    pub(crate) async fn lane_row(&self, lane: &Lane) -> Result<Option<rows::Kept<LaneRow>>, Unavailable> {
        rows::load(&*self.inner.store, &keys::lane(lane)).await
    }

    /// The job that makes a delivery by its lane's outbox. Made twice it is one, where a commit may be done twice.
    pub(crate) async fn outbox(&self, delivery: &Delivery) -> Result<NewJob, Unavailable> {
        let queue = if self.inner.config.apart && self.goes_by_connection(&delivery.lane).await? {
            QueueName::Held
        } else {
            QueueName::Outbox
        };
        Ok(NewJob {
            queue,
            group: keys::lane_group(&delivery.lane),
            dedup: (!self.inner.store.whole()).then(|| delivery.id.to_string()),
            body: rows::encode(&Job::delivery(delivery.clone())),
            attempts: 0,
            maybe: false,
            delay: Duration::ZERO,
        })
    }

    /// Whether what goes along a lane goes by a held connection.
    pub(crate) async fn goes_by_connection(&self, lane: &Lane) -> Result<bool, Unavailable> {
        let open = self.open(&lane.to.account).await?;
        Ok(open.is_some_and(|open| open.platform.about().capabilities.carrier == Carrier::Session))
    }

    /// Adds to a commit what puts a delivery into its lane's outbox, and counts it as owed. One commit names a lane once.
    pub(crate) async fn enqueue(&self, delivery: &Delivery, commit: &mut Commit) -> Result<(), Unavailable> {
        let job = self.outbox(delivery).await?;
        self.put(&delivery.lane, job, commit, |_| ()).await?;
        commit.tally.push((Tally::Owed, 1));
        Ok(())
    }

    /// Commits what sends jobs again that were kept, and deletes what kept them. Where that can't be one transaction they
    /// are sent first: cut short, they come twice rather than not at all.
    pub(crate) async fn commit_replay(&self, mut commit: Commit, kept: Write) -> Result<(), CommitError> {
        let after = if self.inner.store.whole() {
            commit.writes.push(kept);
            None
        } else {
            Some(Commit { writes: vec![kept], ..Commit::default() })
        };
        self.inner.store.commit(commit).await?;
        if let Some(after) = after {
            self.inner.store.commit(after).await?;
        }
        Ok(())
    }

    /// Adds to a commit what puts a job into a lane's outbox. One commit names a lane once. `change`: what else changes
    /// in the lane's row.
    pub(crate) async fn put(
        &self,
        lane: &Lane,
        job: NewJob,
        commit: &mut Commit,
        change: impl FnOnce(&mut LaneRow),
    ) -> Result<(), Unavailable> {
        let kept = self.lane_row(lane).await?;
        let when = rows::unchanged(kept.as_ref());
        let mut row = kept.map(|kept| kept.value).unwrap_or_default();
        if job.dedup.as_deref().is_none_or(|mark| marked(&mut row.put, mark)) {
            row.pending += 1;
        }
        change(&mut row);
        commit.writes.push(rows::put(keys::lane(lane), &row, None, when));
        commit.sends.push(job);
        Ok(())
    }

    /// The write that counts one less waiting in a lane, if it was not counted before. `job`: tells jobs of a lane apart;
    /// `expired`: it left because it was too old, so what holds the lane up still does.
    pub(crate) fn leave(&self, lane: &Lane, kept: rows::Kept<LaneRow>, job: &str, expired: bool) -> Option<Write> {
        let (key, when) = (keys::lane(lane), When::Version(kept.version));
        let whole = self.inner.store.whole();
        let mut left = kept.value.left.clone();
        if !whole && !marked(&mut left, job) {
            return None;
        }
        let mut row = kept.value;
        row.pending = row.pending.saturating_sub(1);
        row.left = left;
        if !expired || row.pending == 0 {
            // Something was delivered, so nothing holds the lane up any more.
            (row.parked, row.held) = (None, false);
        }
        Some(match (row.pending, whole) {
            (0, true) => Write::Delete { key, when },
            (0, false) => rows::put(key, &row, self.inner.clock.now().checked_add(IDLE_KEPT).ok(), when),
            _ => rows::put(key, &row, None, when),
        })
    }
}

/// What tells the jobs of a lane apart, however often they come: the same delivery may be put there again by a replay.
pub(crate) fn mark(what: &str, accepted: Timestamp) -> String {
    format!("{what}@{}", accepted.as_millisecond())
}

/// Likewise for a job that can't be read: several may have been put there in one instant.
pub(crate) fn unread(body: &[u8], accepted: Timestamp) -> String {
    mark(&keys::digest(&[&String::from_utf8_lossy(body)]), accepted)
}

/// Remembers a mark. Says whether it is new.
fn marked(marks: &mut VecDeque<String>, mark: &str) -> bool {
    if marks.iter().any(|known| known == mark) {
        return false;
    }
    if marks.len() >= MARKS_MAX {
        marks.pop_front();
    }
    marks.push_back(mark.to_owned());
    true
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use sameroom_model::Timestamp;

    use super::{MARKS_MAX, mark, marked, unread};

    #[test]
    fn jobs_of_one_instant_are_told_apart_and_one_that_comes_again_is_not() {
        let at = Timestamp::UNIX_EPOCH;
        assert_ne!(unread(b"one", at), unread(b"two", at));
        assert_eq!(unread(b"one", at), unread(b"one", at));
        assert_ne!(mark("d", at), mark("d", at + std::time::Duration::from_millis(1)));
    }

    #[test]
    fn a_whole_batch_is_remembered_and_what_was_before_it_is_let_go() {
        let mut marks = VecDeque::new();
        for n in 0..=MARKS_MAX {
            assert!(marked(&mut marks, &n.to_string()), "{n} is new");
        }
        assert!((1..=MARKS_MAX).all(|n| !marked(&mut marks, &n.to_string())));
        assert!(marked(&mut marks, "0"), "it was let go");
        assert_eq!(marks.len(), MARKS_MAX);
    }
}
