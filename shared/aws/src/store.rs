//! The store on AWS.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sameroom_engine::ports::{
    Batch, Census, Clock, Commit, CommitError, Committed, Key, QueueName, Row, Store, Unavailable,
};

use crate::jobs::Record;
use crate::settings::Settings;
use crate::{Clients, Emf};

/// For how long SQS remembers a deduplication id
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html>).
const DEDUP_WINDOW: Duration = Duration::from_mins(5);

/// Rows in one DynamoDB table, queues in SQS.
#[derive(Debug)]
pub struct AwsStore {
    emf: Emf,
}

impl AwsStore {
    /// A store on what the settings name. `role` names the program in metrics, such as `relay` or `worker`.
    pub fn new(_clients: &Clients, _settings: &Settings, clock: Arc<dyn Clock>, role: &str) -> Arc<Self> {
        Arc::new(Self { emf: Emf::new(role, clock) })
    }

    /// Takes records of a Lambda's batch under lease: jobs by group, in order. What came before its time is put back,
    /// and all later ones of its group with it.
    pub async fn intake(&self, _queue: QueueName, _records: Vec<Record>) -> Vec<Batch> {
        Vec::new()
    }

    /// Of these messages, in order, those that are not done: what the function reports as `batchItemFailures`. They
    /// are forgotten, and their receipts settle nothing from here on.
    pub fn unsettled(&self, message_ids: &[String]) -> Vec<String> {
        message_ids.to_vec()
    }

    /// Ends the loops that receive messages, and gives back those that were received and not leased.
    pub async fn close(&self) {}

    /// The metrics that commits are counted in.
    pub fn emf(&self) -> &Emf {
        &self.emf
    }
}

#[async_trait]
impl Store for AwsStore {
    async fn get(&self, _key: &Key) -> Result<Option<Row>, Unavailable> {
        Err(Unavailable::new("not built yet"))
    }

    async fn query(
        &self,
        _partition: &str,
        _prefix: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        Err(Unavailable::new("not built yet"))
    }

    async fn commit(&self, _commit: Commit) -> Result<Committed, CommitError> {
        Err(Unavailable::new("not built yet").into())
    }

    async fn lease(&self, _queue: QueueName, _max: usize) -> Result<Batch, Unavailable> {
        Err(Unavailable::new("not built yet"))
    }

    /// Always none: SQS buffers, and takes what comes.
    fn lag(&self, _queue: QueueName) -> Duration {
        Duration::ZERO
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        Ok(Census::default())
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
