//! What every store promises, as one list of checks, and the words that the checks are written in. It must not know
//! any adapter: each gives a [`Subject`], and [`store_contract!`](crate::store_contract) makes tests of the list.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sameroom_engine::ports::{
    Again, Batch, Commit, CommitError, Key, Leased, NewJob, QueueName, Receipt, Row, Store, Tally, When, Write,
};
use sameroom_model::Timestamp;
use tokio::time::timeout;

/// How long a check waits for what must come, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A fresh, empty store, and its time.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// Its type.
    type Store: Store;

    /// The store.
    fn store(&self) -> Arc<Self::Store>;

    /// The time it goes by.
    fn now(&self) -> Timestamp;

    /// Lets time pass.
    async fn pass(&self, time: Duration);

    /// The shortest delay that the store tells from none.
    fn tick(&self) -> Duration {
        Duration::from_millis(150)
    }

    /// How long it is looked whether there is nothing to lease.
    fn glance(&self) -> Duration {
        Duration::from_millis(60)
    }

    /// How many jobs are a long backlog.
    fn many(&self) -> usize {
        10_000
    }

    /// What the store can't do, by the nature of what it stands on.
    fn lacks(&self) -> Lacks {
        Lacks::default()
    }
}

/// What a store can't do. Its documentation says why.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lacks {
    /// It is not told which jobs were duplicates, and counts them as accepted.
    pub told_duplicates: bool,
    /// The same dedup id in two groups is two jobs.
    pub dedup_across_groups: bool,
    /// It has no lag.
    pub lag: bool,
    /// Which group is leased next is not its own to choose, so that a long backlog may have more than every second turn.
    pub turns: bool,
}

/// Makes a module of tests: every check of the contract, against subjects made by an async function.
#[macro_export]
macro_rules! store_contract {
    ($name:ident, $make:path) => {
        mod $name {
            $crate::store_contract!(@rows $make =>
                a_row_is_written_read_and_deleted, versions_tell_writes_apart, conditions_hold_or_nothing_happens,
                a_failed_condition_undoes_sends_and_tallies, expired_rows_are_absent,
                a_query_goes_by_prefix_in_order_of_bytes, a_query_starts_after_and_stops_at_its_limit,
                a_query_leaves_expired_rows_out, odd_keys_stay_apart, one_of_many_writers_wins);
            $crate::store_contract!(@queues $make =>
                jobs_come_whole, a_group_is_first_in_first_out, a_group_has_one_lease, other_groups_flow,
                a_group_is_free_when_all_of_a_batch_is_settled, what_comes_again_keeps_its_order,
                again_waits_and_its_group_with_it, attempts_count_if_told_and_maybe_stays, queues_are_apart,
                a_dedup_id_is_one_job, a_duplicate_within_a_commit_is_one_job, a_conflict_does_not_burn_a_dedup_id,
                a_delay_holds_its_group_back, a_waiting_lease_wakes, a_conflict_settles_nothing, groups_take_turns,
                lag_is_the_wait_of_what_could_run, the_census_keeps_the_law, a_long_backlog_keeps_its_order,
                producers_and_consumers_lose_nothing);
        }
    };
    (@$part:ident $make:path => $($check:ident),+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            use super::*;
            $crate::contract::$part::$check($make().await).await;
        }
    )+};
}

/// Likewise, for a store that keeps [`Store::hurry`], which none must.
#[macro_export]
macro_rules! store_hurries {
    ($name:ident, $make:path) => {
        mod $name {
            $crate::store_contract!(@queues $make => what_is_hurried_comes_at_once);
        }
    };
}

/// What checks say to a store.
#[async_trait]
pub(super) trait Talk: Subject {
    async fn commits(&self, commit: Commit) -> Vec<bool> {
        self.store().commit(commit).await.unwrap().duplicates
    }

    async fn conflicts(&self, commit: Commit) {
        let result = self.store().commit(commit).await;
        assert!(matches!(result, Err(CommitError::Conflict)), "{result:?}");
    }

    async fn writes(&self, write: Write) {
        self.commits(Commit { writes: vec![write], ..Commit::default() }).await;
    }

    async fn row(&self, sort: &str) -> Option<Row> {
        self.store().get(&key(sort)).await.unwrap()
    }

    /// The row's text, or nothing.
    async fn text(&self, sort: &str) -> String {
        self.row(sort).await.map_or_else(String::new, |row| String::from_utf8(row.body).unwrap())
    }

    async fn sorts(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let rows = self.store().query("p", prefix, after, limit).await.unwrap();
        rows.into_iter().map(|(sort, _)| sort).collect()
    }

    /// Sends, and sees that these are told to be duplicates, in order; where it can be told.
    async fn sends_told(&self, jobs: impl IntoIterator<Item = NewJob> + Send, duplicates: &[bool]) {
        let told = self.sends(jobs).await;
        if self.lacks().told_duplicates {
            assert_eq!(told, vec![false; duplicates.len()]);
        } else {
            assert_eq!(told, duplicates);
        }
    }

    async fn sends(&self, jobs: impl IntoIterator<Item = NewJob> + Send) -> Vec<bool> {
        let sends = jobs.into_iter().collect();
        self.commits(Commit { sends, ..Commit::default() }).await
    }

    /// Leases from the events, within patience.
    async fn leases(&self, max: usize) -> Batch {
        timeout(PATIENCE, self.store().lease(QueueName::Events, max)).await.expect("nothing to lease").unwrap()
    }

    /// Says that there is nothing to lease, without letting time pass.
    async fn has_nothing(&self) {
        let batch = timeout(self.glance(), self.store().lease(QueueName::Events, 10)).await;
        assert!(batch.is_err(), "{batch:?}");
    }

    async fn is_done(&self, jobs: impl IntoIterator<Item = Leased> + Send) {
        let done = jobs.into_iter().map(|job| job.receipt).collect();
        self.commits(Commit { done, ..Commit::default() }).await;
    }

    async fn comes_again(&self, jobs: impl IntoIterator<Item = Leased> + Send, after: Duration) {
        let again = jobs.into_iter().map(|job| again(job.receipt, after)).collect();
        self.commits(Commit { again, ..Commit::default() }).await;
    }

    /// Leases and settles until so many jobs have come. Their texts in order.
    async fn drains(&self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let batch = self.leases(10).await;
            texts.extend(batch.jobs.iter().map(text));
            self.is_done(batch.jobs).await;
        }
        texts
    }
}

impl<S: Subject> Talk for S {}

pub(super) fn key(sort: &str) -> Key {
    Key { partition: "p".into(), sort: sort.into() }
}

pub(super) fn put(sort: &str, body: &str, when: When) -> Write {
    Write::Put { key: key(sort), body: body.into(), expires: None, when }
}

pub(super) fn delete(sort: &str, when: When) -> Write {
    Write::Delete { key: key(sort), when }
}

#[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike, as they are")]
/// An event with that text.
pub(super) fn job(group: &str, body: impl std::fmt::Display) -> NewJob {
    NewJob {
        queue: QueueName::Events,
        group: group.into(),
        dedup: None,
        body: body.to_string().into_bytes(),
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    }
}

/// The same with a dedup id.
pub(super) fn once(group: &str, body: &str, id: &str) -> NewJob {
    NewJob { dedup: Some(id.into()), ..job(group, body) }
}

pub(super) fn again(receipt: Receipt, after: Duration) -> Again {
    Again { receipt, after, counts: true, maybe: false }
}

pub(super) fn text(job: &Leased) -> String {
    String::from_utf8(job.body.to_vec()).unwrap()
}

pub(super) fn texts(batch: &Batch) -> Vec<String> {
    batch.jobs.iter().map(text).collect()
}

pub(super) async fn count(subject: &impl Subject, tally: Tally) -> i64 {
    subject.store().census().await.unwrap().count(tally)
}
