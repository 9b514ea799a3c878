//! The store on AWS: rows by DynamoDB, then queues by SQS, then leases. It must not know what is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use sameroom_engine::failpoint::failpoint;
use sameroom_engine::ports::{
    Batch, Census, Clock, Commit, CommitError, Committed, Key, QueueName, Row, Store, Tally, Unavailable,
};

use crate::jobs::{Queues, Record, send};
use crate::rows::Rows;
use crate::settings::Settings;
use crate::{Clients, Emf};

/// For how long SQS remembers a deduplication id
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html>).
const DEDUP_WINDOW: Duration = Duration::from_mins(5);

/// Rows in one DynamoDB table, queues in SQS.
///
/// The table has the string keys `p` (partition) and `s` (sort), and `x` as the attribute of its time to live. The queues
/// are FIFO queues of high throughput (`DeduplicationScope` `messageGroup`, `FifoThroughputLimit` `perMessageGroupId`).
///
/// What it can't do that other stores can:
/// - A commit is no transaction across rows and queues: rows are written, then jobs sent, then leases settled.
/// - Duplicates are collapsed for 5 minutes and within a group; they are not told, and count as accepted.
/// - Counts are this process's own, and what waits is SQS's estimate. CloudWatch adds the counts of all up.
/// - There is no lag: SQS buffers, and takes what comes.
/// - Delays are whole seconds, rounded up.
/// - Which group is leased next is SQS's to choose.
pub struct AwsStore {
    rows: Arc<Rows>,
    queues: Arc<Queues>,
    clock: Arc<dyn Clock>,
    counts: Mutex<BTreeMap<Tally, i64>>,
    emf: Emf,
}

impl AwsStore {
    /// A store on what the settings name. `role` names the program in metrics, such as `relay` or `worker`.
    pub fn new(clients: &Clients, settings: &Settings, clock: Arc<dyn Clock>, role: &str) -> Arc<Self> {
        let rows = Arc::new(Rows::new(clients, settings, clock.clone()));
        Arc::new(Self {
            queues: Queues::new(clients, settings, clock.clone(), rows.clone()),
            rows,
            counts: Mutex::default(),
            emf: Emf::new(role, clock.clone()),
            clock,
        })
    }

    /// Takes the records of a Lambda's batch under lease: jobs by group, in order. What came before its time is put back,
    /// and all later ones of its group with it.
    pub async fn intake(&self, queue: QueueName, records: Vec<Record>) -> Vec<Batch> {
        self.queues.intake(queue, records).await
    }

    /// Of these messages of Lambda's, in order, those that are not done: what the function reports as
    /// `batchItemFailures`. All of them are forgotten: their receipts settle nothing from here on.
    pub fn unsettled(&self, message_ids: &[String]) -> Vec<String> {
        self.queues.forget(message_ids)
    }

    /// Ends the leases of those of Lambda's messages that are not settled, as if their function had died: they come again
    /// at once, in doubt, and are still told of by [`AwsStore::unsettled`].
    pub async fn hand_back(&self, message_ids: &[String]) -> Result<(), Unavailable> {
        self.queues.hand_back(message_ids).await
    }

    /// Stops receiving, gives back what was received and not leased, and writes metrics; takes up to 25 s, since receives
    /// under way are waited for. What is leased can be settled as before.
    pub async fn close(&self) {
        self.queues.close().await;
        self.emf.flush();
    }

    /// Ends all leases of a queue that this process received from, as if it had died: their jobs come again at once, in
    /// doubt. For one that may not work on the queue any more, and has stopped doing so.
    pub async fn release(&self, queue: QueueName) -> Result<(), Unavailable> {
        self.queues.release(queue).await
    }

    /// The metrics that commits are counted in.
    pub fn emf(&self) -> &Emf {
        &self.emf
    }

    fn count(&self, tally: Vec<(Tally, i64)>, accepted: i64) {
        let accepted = (accepted > 0).then_some((Tally::Accepted, accepted));
        for (tally, count) in tally.into_iter().chain(accepted) {
            *self.counts().entry(tally).or_default() += count;
            self.emf.count(&format!("{tally:?}"), count);
        }
        self.emf.flush_if_due();
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Tally, i64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for AwsStore {
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        self.rows.get(key).await
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        self.rows.query(partition, prefix, after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let Commit { writes, sends, done, again, tally, loose } = commit;
        self.queues.check(&done)?;
        let accepted = sends.iter().filter(|job| job.queue == QueueName::Events).count() as i64;
        let outgoing = send::prepare(&sends, self.queues.cause(&done).as_deref(), self.clock.now())?;
        // Whoever settles a job or sends one does it all again if this is cut short.
        self.rows.write(writes, loose || !done.is_empty() || !outgoing.is_empty()).await?;
        failpoint("aws_written");
        let duplicates = vec![false; outgoing.len()];
        if !outgoing.is_empty() {
            self.queues.send(outgoing).await?;
            failpoint("aws_sent");
        }
        if !(done.is_empty() && again.is_empty()) {
            self.queues.settle(&done, &again).await?;
        }
        self.count(tally, accepted);
        Ok(Committed { duplicates })
    }

    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        self.queues.lease(queue, max).await
    }

    /// Always none: SQS buffers, and takes what comes.
    fn lag(&self, _queue: QueueName) -> Duration {
        Duration::ZERO
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        let waiting = QueueName::ALL.map(|queue| async move { Ok((queue, self.queues.waiting(queue).await?)) });
        let waiting = try_join_all(waiting).await?.into_iter().collect();
        Ok(Census { tally: self.counts().clone(), waiting })
    }

    /// Rows first, then queues.
    fn whole(&self) -> bool {
        false
    }

    /// What SQS does for FIFO queues, and no more can be had.
    fn dedup_window(&self) -> Duration {
        DEDUP_WINDOW
    }
}

impl Drop for AwsStore {
    fn drop(&mut self) {
        self.queues.end();
    }
}

impl fmt::Debug for AwsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsStore").field("rows", &self.rows).field("queues", &self.queues).finish_non_exhaustive()
    }
}
