//! Jobs as messages of SQS FIFO queues: how they are sent ([`send`]), received ([`receive`]) and settled ([`settle`]).
//! It must not know what a job is about.

mod again;
mod envelope;
mod inbox;
mod leases;
mod receive;
pub(crate) mod send;
mod settle;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use sameroom_engine::ports::{Clock, QueueName, Unavailable};
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinHandle;

use crate::rows::Rows;
use crate::trouble::Call;
use crate::{Clients, Settings};
use inbox::Inbox;
use leases::Leases;

/// How long a worker's lease is, unless the settings say otherwise.
const LEASE: Duration = Duration::from_mins(1);
/// A call takes at most so many messages.
const BATCH: usize = 10;
/// The longest that a message is kept from being received: SQS takes 12 hours, counted from when it was received.
const HIDDEN_MAX: Duration = Duration::from_hours(11);

/// A message as SQS gives it: to a Lambda function by its event, to a worker by a receive.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// SQS's name for it: the same each time it comes.
    pub message_id: String,
    /// To settle this receive by.
    pub receipt_handle: String,
    /// The attribute `MessageGroupId`.
    pub group: String,
    /// Its body.
    pub body: String,
    /// The attribute `ApproximateReceiveCount`: how often it has come, this time included.
    pub receive_count: u32,
    /// The attribute `SentTimestamp`: milliseconds since 1970.
    pub sent_at_ms: i64,
}

impl fmt::Debug for Record {
    /// Without its body: people's words are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message_id, receive_count, .. } = self;
        f.debug_struct("Record")
            .field("message_id", message_id)
            .field("receive_count", receive_count)
            .finish_non_exhaustive()
    }
}

/// The queues, and what of them is under lease here.
pub(crate) struct Queues {
    sqs: Client,
    rows: Arc<Rows>,
    clock: Arc<dyn Clock>,
    urls: BTreeMap<QueueName, String>,
    state: Mutex<State>,
    /// Messages came, or room was made for more.
    changed: Notify,
    /// Held while leases are prolonged, so that none is that was just given back.
    prolonging: RwLock<()>,
    phase: watch::Sender<Phase>,
    /// How long what a worker received stays hidden from others, each time it is prolonged.
    lease: Duration,
}

/// Whether messages are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Receiving,
    /// No more, but for those of the receives that are under way, which are given back.
    Closing,
    /// The store is gone.
    Gone,
}

#[derive(Default)]
struct State {
    leases: Leases,
    inboxes: BTreeMap<QueueName, Inbox>,
    /// Why nothing could be received, until somebody is told.
    trouble: BTreeMap<QueueName, Unavailable>,
    /// The loops that receive.
    receiving: Vec<JoinHandle<()>>,
    /// How many wait for jobs. Nothing is received for nobody.
    waiting: BTreeMap<QueueName, usize>,
}

impl Queues {
    pub(crate) fn new(clients: &Clients, settings: &Settings, clock: Arc<dyn Clock>, rows: Arc<Rows>) -> Arc<Self> {
        let Settings { events, outbox, held, .. } = settings;
        let urls = [(QueueName::Events, events), (QueueName::Outbox, outbox), (QueueName::Held, held)];
        Arc::new(Self {
            sqs: clients.sqs.clone(),
            rows,
            clock,
            urls: urls.map(|(name, url)| (name, url.clone())).into(),
            state: Mutex::default(),
            changed: Notify::new(),
            prolonging: RwLock::new(()),
            phase: watch::Sender::new(Phase::Receiving),
            lease: settings.lease.unwrap_or(LEASE),
        })
    }

    /// About how many jobs wait on a queue, leased ones included.
    pub(crate) async fn waiting(&self, queue: QueueName) -> Result<u64, Unavailable> {
        let call = self.call("SQS GetQueueAttributes", queue);
        let names = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::ApproximateNumberOfMessagesDelayed,
        ];
        let asked = self.sqs.get_queue_attributes().queue_url(self.url(queue));
        let asked = asked.set_attribute_names(Some(names.to_vec())).send().await;
        let told = asked.map_err(|e| call.failed(&e))?.attributes.unwrap_or_default();
        Ok(names.iter().filter_map(|name| told.get(name)?.parse::<u64>().ok()).sum())
    }

    fn url(&self, queue: QueueName) -> &str {
        self.urls.get(&queue).map_or("", String::as_str)
    }

    fn call(&self, name: &'static str, queue: QueueName) -> Call<'_> {
        Call { name, on: self.url(queue) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// A time as SQS takes it: whole seconds, not less than was asked for, and no more than it can do.
fn seconds(wait: Duration) -> i32 {
    wait.min(HIDDEN_MAX).as_millis().div_ceil(1000) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_whole_seconds_and_not_too_short() {
        let waits = [0, 1, 1000, 1001, 86_400_000].map(|wait| seconds(Duration::from_millis(wait)));
        assert_eq!(waits, [0, 1, 1, 2, 39_600]);
    }

    #[test]
    fn a_record_is_shown_without_its_body() {
        let record = Record {
            message_id: "m".into(),
            receipt_handle: "secret".into(),
            group: "g".into(),
            body: "words".into(),
            receive_count: 1,
            sent_at_ms: 0,
        };
        assert_eq!(format!("{record:?}"), "Record { message_id: \"m\", receive_count: 1, .. }");
    }
}
