//! What the engine stands on: a store of rows and queues, a wire, a vault and a clock. Adapters implement these and
//! hold no logic of their own; all logic is written once, in the engine, on top of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_model::{Account, Delivery, Outcome, Sealed, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Rows and queues.
///
/// Rows: reads see every commit that was answered before them. Queues: jobs of a group are leased in the order they
/// were accepted, one lease a group at a time; the same dedup id within the window is one job.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The row of that key, unless it has expired.
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable>;

    /// The rows of a partition whose sort keys begin with `prefix` and come after `after`, in order of sort key, at
    /// most `limit`; expired ones left out.
    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable>;

    /// Does all of it or nothing, durably. A store that can't span rows and queues in one transaction does writes,
    /// then sends, then settles leases: a crash in between leads to a second attempt, never to a loss.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError>;

    /// Leases up to `max` jobs of one group, and waits until there are some. The group stays blocked until every job
    /// of the batch was settled by a commit.
    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable>;

    /// Makes the jobs ready now that wait for their time, of the groups of which `which` says so: what they wait for is
    /// mended. Those of a group that is leased are not held back once they are returned. Best effort: a store that can't
    /// (a queue whose delays stand once they are set) does nothing, and they come when their time has come.
    fn hurry(&self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync)) {
        let _ = (queue, which);
    }

    /// How long the oldest job has waited that could run and has not been leased.
    fn lag(&self, queue: QueueName) -> Duration;

    /// What was counted, and what waits, at one instant.
    async fn census(&self) -> Result<Census, Unavailable>;

    /// Whether a commit spans rows and queues: all of it happens, or nothing. Where it does not, what is written is
    /// written so that doing it a second time changes nothing.
    fn whole(&self) -> bool {
        true
    }

    /// For how long a dedup id collapses what bears it too.
    fn dedup_window(&self) -> Duration;
}

/// Names a row. The engine's key functions keep parts from running into each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Rows of a partition can be queried together.
    pub partition: String,
    /// Orders rows within the partition, by bytes.
    pub sort: String,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its body.
    pub body: Vec<u8>,
    /// Another one after every write of that key, and never one that it had before while it was there.
    pub version: u64,
}

/// A transaction.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Rows to write.
    pub writes: Vec<Write>,
    /// Jobs to send.
    pub sends: Vec<NewJob>,
    /// Jobs that are done.
    pub done: Vec<Receipt>,
    /// Jobs to come again.
    pub again: Vec<Again>,
    /// What to count.
    pub tally: Vec<(Tally, i64)>,
    /// Whether its writes need not happen together: whoever asks for it asks again if it is cut short. Only a store for
    /// which that is cheaper makes a difference.
    pub loose: bool,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes a row.
    Put {
        /// Which.
        key: Key,
        /// Its body.
        body: Vec<u8>,
        /// When it may be forgotten.
        expires: Option<Timestamp>,
        /// On what condition.
        when: When,
    },
    /// Deletes a row, if it is there.
    Delete {
        /// Which.
        key: Key,
        /// On what condition.
        when: When,
    },
}

/// A condition. If one fails, nothing of the commit happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// None.
    Always,
    /// The row is not there (or has expired).
    Absent,
    /// The row is there with that version.
    Version(u64),
}

/// The queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueName {
    /// Events to relay; group = origin room.
    Events,
    /// Deliveries to make; group = lane.
    Outbox,
    /// Likewise where another process holds the connection that they go by. See [`Config::apart`](crate::Config::apart).
    Held,
}

impl QueueName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Outbox, Self::Held];
}

/// A job to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Where to.
    pub queue: QueueName,
    /// Its group.
    pub group: String,
    /// The same job sent twice with this id is one; `None`: never collapsed.
    pub dedup: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
    /// How many attempts were made already.
    pub attempts: u32,
    /// Whether one of them may have had its effect.
    pub maybe: bool,
    /// How long to wait before the first lease. The group waits with it.
    pub delay: Duration,
}

/// A job under lease. Settled by giving its receipt to a commit.
#[derive(Debug)]
pub struct Leased {
    /// To settle it by.
    pub receipt: Receipt,
    /// Its body.
    pub body: Bytes,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether an earlier attempt may have had its effect: the process died with the job leased, or said so.
    pub maybe: bool,
    /// When it was accepted.
    pub accepted: Timestamp,
}

/// Jobs of one group, in order.
#[derive(Debug)]
pub struct Batch {
    /// The group.
    pub group: String,
    /// At least one.
    pub jobs: Vec<Leased>,
}

/// Proof of a lease. A job is settled once: that it comes again is ignored where it was settled already, and that it is
/// done is refused. After a commit that failed its jobs are still leased, and whoever holds the receipts settles them by
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// A job that comes again.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Which.
    pub receipt: Receipt,
    /// After how long. The group waits with it.
    pub after: Duration,
    /// Whether this attempt counts; those returned only because an earlier one of the group failed don't.
    pub counts: bool,
    /// Whether this attempt may have had its effect.
    pub maybe: bool,
}

/// What a commit did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// For each job sent, in order: whether it was a duplicate, and so not sent. A store that is not told says `false`.
    pub duplicates: Vec<bool>,
}

/// Why a commit did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition failed: somebody was there first. Read again.
    #[error("the row was changed by somebody else")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Our infrastructure failed: try again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unavailable {
    /// A sentence for the operator.
    pub why: String,
    /// Whether there is no room left to write.
    pub full: bool,
}

impl Unavailable {
    /// A failure with its sentence.
    pub fn new(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), full: false }
    }
}

/// What is counted, in the same transaction as what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tally {
    /// Events accepted: jobs sent to [`QueueName::Events`], duplicates left out. Stores count it by themselves.
    Accepted,
    /// Events for which every copy owed was delivered, refused or put into its lane's outbox.
    Relayed,
    /// Events that owe no copy: hushed, an echo, no open Tube, a kind that nobody wants; and those that can't be
    /// relayed, which are kept as letters.
    Filtered,
    /// Copies owed by relayed events, replays and notices.
    Owed,
    /// Copies that the target took.
    Delivered,
    /// Copies that nobody will take: refused, or out of attempts. Listed and replayable.
    Dead,
    /// Copies given up because they grew too old.
    Expired,
    /// Copies that the room's options or the platform's abilities leave out.
    LeftOut,
    /// Second attempts after a first that may have had its effect.
    Ambiguous,
}

/// What was counted, and what waits, at one instant. The law: `accepted = relayed + filtered + events waiting`, and
/// `owed = delivered + dead + expired + left out + deliveries waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// The counts.
    pub tally: BTreeMap<Tally, i64>,
    /// Jobs on each queue, leased ones included.
    pub waiting: BTreeMap<QueueName, u64>,
}

impl Census {
    /// A count.
    pub fn count(&self, tally: Tally) -> i64 {
        self.tally.get(&tally).copied().unwrap_or_default()
    }

    /// How many jobs wait on a queue.
    pub fn waiting(&self, queue: QueueName) -> i64 {
        self.waiting.get(&queue).copied().unwrap_or_default() as i64
    }

    /// Whether nothing was lost and nothing made twice. See [`Census`].
    pub fn conserves(&self) -> bool {
        self.count(Tally::Accepted)
            == self.count(Tally::Relayed) + self.count(Tally::Filtered) + self.waiting(QueueName::Events)
            && self.count(Tally::Owed)
                == self.count(Tally::Delivered)
                    + self.count(Tally::Dead)
                    + self.count(Tally::Expired)
                    + self.count(Tally::LeftOut)
                    + self.waiting(QueueName::Outbox)
                    + self.waiting(QueueName::Held)
    }
}

/// Sends to platforms.
#[async_trait]
pub trait Wire: Send + Sync + 'static {
    /// Sends one HTTP request for an account and reads the whole answer, within the adapter's limits of time and size.
    async fn http(&self, account: &Account, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer>;

    /// Likewise for a file: reads an answer of up to `max` bytes, and takes its time for it. Redirects are followed, a
    /// few, each within the adapter's rules; nothing that proves who we are goes to another site.
    async fn download(
        &self,
        account: &Account,
        request: http::Request<Bytes>,
        max: u64,
    ) -> Result<http::Response<Bytes>, NoAnswer>;

    /// Hands a delivery to its account's held connection. The outcome comes when there is one; a receiver that ends
    /// without an outcome means that the connection's holder ended, and the delivery may or may not have had its
    /// effect. Deliveries handed over one after the other are made in that order.
    fn session(&self, account: &Account, delivery: Delivery) -> oneshot::Receiver<Outcome>;
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there: no name, no connection. Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// It was sent, or may have been, and the answer did not come whole.
    #[error("{0}")]
    Broken(String),
    /// Our own rules forbid that address.
    #[error("{0}")]
    Forbidden(String),
}

/// Seals secrets at rest, and gives the randomness that new ones are made of.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Seals bytes; `context` (owner and record) is bound in, so that a sealed value is of no use elsewhere.
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, Unavailable>;

    /// Opens what was sealed in the same context.
    async fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable>;

    /// Fills the bytes with randomness that tokens can be made of.
    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable>;
}

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}
