//! Messages under lease, by receipt. It must not know what is done to them.

use std::collections::{HashMap, HashSet};

use sameroom_engine::ports::{Leased, QueueName, Receipt, Unavailable};
use sameroom_model::Timestamp;
use tokio::time::Instant;

use super::again::Standing;
use super::envelope::Opened;

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// SQS's name for it.
    pub(crate) id: String,
    /// To settle this receive by.
    pub(crate) handle: String,
    /// How often it was received.
    pub(crate) received: u32,
    /// When it came, this time.
    pub(crate) came: Instant,
    pub(crate) sent_at_ms: i64,
    pub(crate) job: Opened,
    pub(crate) standing: Standing,
}

/// Who received a message, and so who deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Lambda, which deletes what the function does not report.
    Lambda,
    /// This process.
    Worker,
}

/// A message under lease.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) queue: QueueName,
    pub(crate) by: By,
    pub(crate) message: Message,
}

/// What is under lease, and what of Lambda's batches is done.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    last: u64,
    open: HashMap<u64, Lease>,
    /// Ids of Lambda's messages that are done, until Lambda is told of the others.
    done: HashSet<String>,
}

impl Leases {
    /// A new receipt.
    pub(crate) fn name(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes a lease.
    pub(crate) fn open(&mut self, receipt: u64, lease: Lease) {
        self.open.insert(receipt, lease);
    }

    /// The lease of a receipt, if it was not settled.
    pub(crate) fn get(&self, receipt: Receipt) -> Option<&Lease> {
        self.open.get(&receipt.0)
    }

    /// Ends a lease.
    pub(crate) fn close(&mut self, receipt: Receipt, done: bool) -> Option<Lease> {
        let lease = self.open.remove(&receipt.0)?;
        if done && lease.by == By::Lambda {
            self.done.insert(lease.message.id.clone());
        }
        Some(lease)
    }

    /// Checks that what is done is under lease, each once.
    pub(crate) fn check(&self, done: &[Receipt]) -> Result<(), Unavailable> {
        let mut seen = HashSet::new();
        if done.iter().all(|receipt| self.open.contains_key(&receipt.0) && seen.insert(receipt.0)) {
            return Ok(());
        }
        Err(Unavailable::new("a job is done that is not under lease, or was settled"))
    }

    /// Those of the messages that are not known to be done. All of them are forgotten.
    pub(crate) fn forget(&mut self, message_ids: &[String]) -> Vec<String> {
        self.open.retain(|_, lease| lease.by != By::Lambda || !message_ids.contains(&lease.message.id));
        message_ids.iter().filter(|id| !self.done.remove(*id)).cloned().collect()
    }

    /// The leases of those of Lambda's messages that are not settled.
    pub(crate) fn lambdas(&self, message_ids: &[String]) -> impl Iterator<Item = Receipt> {
        let theirs = self.open.iter().filter(|(_, lease)| lease.by == By::Lambda);
        theirs.filter(|(_, lease)| message_ids.contains(&lease.message.id)).map(|(receipt, _)| Receipt(*receipt))
    }

    /// Those of a queue's messages that this process received, with their receipts.
    pub(crate) fn mine(&self, queue: QueueName) -> impl Iterator<Item = (Receipt, &Message)> {
        let mine = self.open.iter().filter(move |(_, lease)| lease.queue == queue && lease.by == By::Worker);
        mine.map(|(receipt, lease)| (Receipt(*receipt), &lease.message))
    }
}

/// The job as the engine is given it.
pub(crate) fn leased(receipt: u64, message: &Message) -> Leased {
    Leased {
        receipt: Receipt(receipt),
        body: message.job.body.clone(),
        attempt: message.standing.attempts.saturating_add(1),
        maybe: message.standing.maybe,
        accepted: Timestamp::from_millisecond(message.sent_at_ms).unwrap_or_default(),
    }
}
