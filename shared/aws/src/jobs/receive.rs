//! Takes messages under lease: those of a Lambda's batch, and those that a worker receives by itself, in a loop for each
//! queue that waits for messages, and prolongs the leases of those that take long. What comes before its time is put back.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName as Attribute;
use futures_util::future::join_all;
use sameroom_engine::ports::{Again, Batch, QueueName, Receipt, Unavailable};
use tokio::sync::watch;
use tokio::time::Instant;

use super::again::{self, Note, Standing};
use super::inbox::Inbox;
use super::leases::{By, Lease, Message, leased};
use super::{BATCH, Phase, Queues, Record, State, envelope, seconds};
use crate::chance;
use crate::clients::timeouts;

/// How long a receive waits for messages: as long as SQS lets it.
const POLL: Duration = Duration::from_secs(20);
/// How long an answer to it may take besides.
const SLACK: Duration = Duration::from_secs(5);
/// After so long leases are not prolonged any more: whoever has them has forgotten them.
const HELD_MAX: Duration = Duration::from_mins(15);
/// After so long what is ready is given back, if nobody waits for any.
const GRACE: Duration = Duration::from_secs(2);
/// No more is received while so many groups are ready.
const READY_MAX: usize = 8;
/// How long to wait when nothing can be received.
const PAUSE: Duration = Duration::from_secs(1);
/// What comes so little before its time is as good as due: SQS counts in seconds.
const EARLY: i64 = 250;

impl Queues {
    /// Takes the records of a Lambda's batch under lease: by group, in order.
    pub(crate) async fn intake(&self, queue: QueueName, records: Vec<Record>) -> Vec<Batch> {
        let messages = self.judge(queue, records).await;
        let mut state = self.state();
        let mut batches: Vec<Batch> = Vec::new();
        for message in messages {
            let receipt = state.leases.name();
            let job = leased(receipt, &message);
            match batches.iter_mut().find(|batch| batch.group == message.job.group) {
                Some(batch) => batch.jobs.push(job),
                None => batches.push(Batch { group: message.job.group.clone(), jobs: vec![job] }),
            }
            state.leases.open(receipt, Lease { queue, by: By::Lambda, message });
        }
        batches
    }

    /// See [`Store::lease`](sameroom_engine::ports::Store::lease). The first call starts receiving.
    pub(crate) async fn lease(self: &Arc<Self>, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        self.start(queue);
        let _waiting = Waiting::new(self, queue);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(batch) = self.try_lease(queue, max) {
                // There is room for more now.
                self.changed.notify_waiters();
                return batch;
            }
            changed.await;
        }
    }

    /// Ends all loops at once.
    pub(crate) fn end(&self) {
        self.phase.send_replace(Phase::Gone);
    }

    /// Stops receiving, and gives back what was received and is not under lease. Waits for receives that are under way,
    /// since SQS would give them messages that come now, and hide those from everybody else.
    pub(crate) async fn close(&self) {
        self.phase.send_modify(|phase| *phase = Phase::Closing.max(*phase));
        self.changed.notify_waiters();
        let receiving = std::mem::take(&mut self.state().receiving);
        if tokio::time::timeout(POLL + SLACK, join_all(receiving)).await.is_err() {
            tracing::warn!("a receive did not end; what it gets comes again in a minute");
        }
        let queues: Vec<QueueName> = self.state().inboxes.keys().copied().collect();
        for queue in queues {
            self.put_back_ready(queue).await;
        }
    }

    /// Ends all leases of a queue, as if this process had died: their jobs come again, in doubt.
    pub(crate) async fn release(&self, queue: QueueName) -> Result<(), Unavailable> {
        let again: Vec<Again> = self.state().leases.mine(queue).map(|(receipt, _)| lost(receipt)).collect();
        self.put_back_ready(queue).await;
        self.settle(&[], &again).await
    }

    /// Likewise the leases of those of Lambda's messages that are not settled.
    pub(crate) async fn hand_back(&self, message_ids: &[String]) -> Result<(), Unavailable> {
        let again: Vec<Again> = self.state().leases.lambdas(message_ids).map(lost).collect();
        self.settle(&[], &again).await
    }

    /// Gives back what is ready and nobody waits for.
    async fn put_back_ready(&self, queue: QueueName) {
        let _quiet = self.prolonging.read().await;
        let ready = self.state().inboxes.get_mut(&queue).map(Inbox::take_ready).unwrap_or_default();
        if let Err(e) = self.put_back(queue, ready, Duration::ZERO).await {
            tracing::warn!(error = %e, "messages could not be given back; they come again in a minute");
        }
    }

    fn try_lease(&self, queue: QueueName, max: usize) -> Option<Result<Batch, Unavailable>> {
        let mut state = self.state();
        let State { leases, inboxes, trouble, .. } = &mut *state;
        let found = inboxes.get_mut(&queue).and_then(|inbox| inbox.lease(max, || leases.name()));
        if let Some((group, messages)) = found {
            let jobs = messages.iter().map(|(receipt, message)| leased(*receipt, message)).collect();
            for (receipt, message) in messages {
                leases.open(receipt, Lease { queue, by: By::Worker, message });
            }
            return Some(Ok(Batch { group, jobs }));
        }
        trouble.remove(&queue).map(Err)
    }

    fn start(self: &Arc<Self>, queue: QueueName) {
        let mut state = self.state();
        if state.inboxes.contains_key(&queue) {
            return;
        }
        state.inboxes.entry(queue).or_default();
        let (receiver, prolonger) = (Arc::downgrade(self), Arc::downgrade(self));
        let receiving = until_gone(self.phase.subscribe(), async move { receive_all(&receiver, queue).await });
        state.receiving.push(tokio::spawn(receiving));
        tokio::spawn(until_gone(self.phase.subscribe(), async move { prolong_all(&prolonger, queue).await }));
    }

    /// How many wait for jobs of a queue, and how many groups are ready for them.
    fn demand(&self, queue: QueueName) -> (usize, usize) {
        let state = self.state();
        (state.waiting.get(&queue).copied().unwrap_or(0), state.inboxes.get(&queue).map_or(0, Inbox::ready))
    }

    fn put(&self, queue: QueueName, received: Result<Vec<Message>, Unavailable>) {
        let mut state = self.state();
        match received {
            Ok(messages) => state.inboxes.entry(queue).or_default().put(messages),
            Err(e) => drop(state.trouble.insert(queue, e)),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// How each stands. Those that came before their time are put back, and those behind them in their group.
    async fn judge(&self, queue: QueueName, records: Vec<Record>) -> Vec<Message> {
        let messages = join_all(records.into_iter().map(|record| self.message(record))).await;
        let now = self.clock.now().as_millisecond();
        let mut due = Vec::new();
        // By group: how long they wait, and which.
        let mut early: BTreeMap<String, (i64, Vec<Message>)> = BTreeMap::new();
        for message in messages {
            let wait = message.standing.not_before.map_or(0, |at| at - now);
            match early.get_mut(&message.job.group) {
                Some((_, behind)) => behind.push(message),
                None if wait > EARLY => drop(early.insert(message.job.group.clone(), (wait, vec![message]))),
                None => due.push(message),
            }
        }
        for (wait, messages) in early.into_values() {
            let wait = Duration::from_millis(wait.max(0) as u64);
            if let Err(e) = self.put_back(queue, messages, wait).await {
                tracing::warn!(error = %e, "jobs that came early could not be put back; they come again by themselves");
            }
        }
        due
    }

    async fn message(&self, record: Record) -> Message {
        let Record { message_id: id, receipt_handle: handle, group, body, receive_count: received, sent_at_ms } =
            record;
        let job = envelope::open(body, &group);
        let note = if received > 1 { self.note(&id).await } else { None };
        let standing = Standing::of(&job, received, note);
        Message { id, handle, received, came: Instant::now(), sent_at_ms, job, standing }
    }

    /// What was noted of a message. Where that can't be told it is as if nothing was: too careful does no harm.
    async fn note(&self, message_id: &str) -> Option<Note> {
        let row = self.rows.get(&again::key(message_id)).await;
        match row.and_then(|row| row.map(|row| Note::read(&row.body)).transpose()) {
            Ok(note) => note,
            Err(e) => {
                tracing::warn!(error = %e, "what was noted of a job can't be read");
                None
            }
        }
    }
}

/// Somebody who waits for jobs of a queue, until dropped.
struct Waiting<'a> {
    queues: &'a Queues,
    queue: QueueName,
}

impl<'a> Waiting<'a> {
    fn new(queues: &'a Queues, queue: QueueName) -> Self {
        *queues.state().waiting.entry(queue).or_default() += 1;
        queues.changed.notify_waiters();
        Self { queues, queue }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.queues.state().waiting.get_mut(&self.queue) {
            *waiting -= 1;
        }
    }
}

async fn until_gone(mut phase: watch::Receiver<Phase>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = phase.wait_for(|phase| *phase == Phase::Gone) => {}
    }
}

/// Receives until no more is to be received.
async fn receive_all(queues: &Weak<Queues>, queue: QueueName) {
    loop {
        let Some(mine) = queues.upgrade() else { return };
        let mut changed = std::pin::pin!(mine.changed.notified());
        changed.as_mut().enable();
        if *mine.phase.borrow() != Phase::Receiving {
            return;
        }
        match mine.demand(queue) {
            (0, 0) | (1.., READY_MAX..) => {
                changed.await;
                continue;
            }
            (0, _) => {
                // Nobody has come for it while others might.
                if tokio::time::timeout(GRACE, changed).await.is_err() && mine.demand(queue).0 == 0 {
                    mine.put_back_ready(queue).await;
                }
                continue;
            }
            _ => {}
        }
        let received = match receive(&mine, queue).await {
            Ok(records) => Ok(mine.judge(queue, records).await),
            Err(e) => Err(e),
        };
        let failed = received.is_err();
        mine.put(queue, received);
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One receive. Asked again by the client because an answer was lost, SQS gives the same messages.
async fn receive(queues: &Queues, queue: QueueName) -> Result<Vec<Record>, Unavailable> {
    let call = queues.call("SQS ReceiveMessage", queue);
    let asked = queues
        .sqs
        .receive_message()
        .queue_url(queues.url(queue))
        .max_number_of_messages(BATCH as i32)
        .wait_time_seconds(POLL.as_secs() as i32)
        .visibility_timeout(seconds(queues.lease))
        .message_system_attribute_names(Attribute::All)
        .receive_request_attempt_id(chance::token()?);
    let patience = aws_sdk_sqs::config::Config::builder().timeout_config(timeouts(POLL + SLACK, (POLL + SLACK) * 2));
    let received = asked.customize().config_override(patience).send().await.map_err(|e| call.failed(&e))?;
    let records = received.messages.unwrap_or_default().into_iter().map(|message| {
        let attribute = |name| message.attributes.as_ref().and_then(|all| all.get(&name)).cloned().unwrap_or_default();
        Record {
            receive_count: attribute(Attribute::ApproximateReceiveCount).parse().unwrap_or(1),
            sent_at_ms: attribute(Attribute::SentTimestamp).parse().unwrap_or_default(),
            group: attribute(Attribute::MessageGroupId),
            message_id: message.message_id.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
        }
    });
    Ok(records.collect())
}

/// Prolongs leases until the queues are gone.
async fn prolong_all(queues: &Weak<Queues>, queue: QueueName) {
    loop {
        let Some(pause) = queues.upgrade().map(|mine| mine.lease / 3) else { return };
        tokio::time::sleep(pause).await;
        let Some(mine) = queues.upgrade() else { return };
        let _alone = mine.prolonging.write().await;
        let handles: Vec<(String, Duration)> = {
            let state = mine.state();
            let waiting = state.inboxes.get(&queue).into_iter().flat_map(Inbox::messages);
            let leased = state.leases.mine(queue).map(|(_, message)| message);
            let young = waiting.chain(leased).filter(|message| message.came.elapsed() < HELD_MAX);
            young.map(|message| (message.handle.clone(), mine.lease)).collect()
        };
        if let Err(e) = mine.hide(queue, handles).await {
            tracing::warn!(error = %e, "leases could not be prolonged");
        }
    }
}

/// What becomes of a job whose worker died.
fn lost(receipt: Receipt) -> Again {
    Again { receipt, after: Duration::ZERO, counts: true, maybe: true }
}
