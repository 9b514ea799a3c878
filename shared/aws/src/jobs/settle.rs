//! Settles leases: what is done is deleted, what comes again is hidden until then, and what the engine said of it noted.
//! It must not know why.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use futures_util::future::try_join_all;
use sameroom_engine::ports::{Again, CommitError, QueueName, Receipt, Unavailable};

use super::again::Note;
use super::envelope;
use super::leases::{By, Lease, Message};
use super::{BATCH, Queues, seconds};

/// A message to come again.
struct Back {
    queue: QueueName,
    message: Message,
    after: Duration,
    note: Note,
}

impl Queues {
    /// Checks that what is done is under lease, each once.
    pub(crate) fn check(&self, done: &[Receipt]) -> Result<(), Unavailable> {
        self.state().leases.check(done)
    }

    /// The ids of the messages of those jobs, as one text: what makes the same things again if they come again.
    pub(crate) fn cause(&self, done: &[Receipt]) -> Option<String> {
        let state = self.state();
        let ids: Vec<&str> =
            done.iter().filter_map(|receipt| Some(state.leases.get(*receipt)?.message.id.as_str())).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// Settles leases. What is settled already is passed over.
    pub(crate) async fn settle(&self, done: &[Receipt], again: &[Again]) -> Result<(), Unavailable> {
        let _quiet = self.prolonging.read().await;
        let (deleted, back) = {
            let state = self.state();
            let lease = |receipt: Receipt| state.leases.get(receipt);
            let deleted: Vec<Lease> =
                done.iter().filter_map(|r| lease(*r)).filter(|l| l.by == By::Worker).cloned().collect();
            let fresh = again.iter().filter(|again| !done.contains(&again.receipt));
            let back: Vec<Back> = fresh.filter_map(|again| Some(self.back(lease(again.receipt)?, again))).collect();
            (deleted, back)
        };
        tokio::try_join!(self.delete(deleted), self.give_back(back))?;
        let mut behind = Vec::new();
        {
            let mut state = self.state();
            let mut close = |receipt: Receipt, again: Option<Duration>| {
                let Some(lease) = state.leases.close(receipt, again.is_none()) else { return };
                if lease.by == By::Worker
                    && let Some(inbox) = state.inboxes.get_mut(&lease.queue)
                    && let Some((after, rest)) = inbox.settle(&lease.message.job.group, receipt.0, again)
                {
                    behind.extend(rest.into_iter().map(|message| self.untouched(lease.queue, message, after)));
                }
            };
            for receipt in done {
                close(*receipt, None);
            }
            for again in again {
                close(again.receipt, Some(again.after));
            }
        }
        self.changed.notify_waiters();
        // They were not touched. If they can't be given back they come again by themselves, a little later.
        if let Err(e) = self.give_back(behind).await {
            tracing::warn!(error = %e, "jobs behind one that comes again could not be given back; they come later");
        }
        Ok(())
    }

    /// Of these messages of Lambda's, in order, those that are not done. All are forgotten.
    pub(crate) fn forget(&self, message_ids: &[String]) -> Vec<String> {
        self.state().leases.forget(message_ids)
    }

    /// Gives back messages that nobody touched.
    pub(super) async fn put_back(
        &self,
        queue: QueueName,
        messages: Vec<Message>,
        after: Duration,
    ) -> Result<(), Unavailable> {
        self.give_back(messages.into_iter().map(|message| self.untouched(queue, message, after)).collect()).await
    }

    fn back(&self, lease: &Lease, again: &Again) -> Back {
        let Lease { queue, message, .. } = lease;
        let standing = message.standing;
        let note = Note {
            attempts: standing.attempts.saturating_add(u32::from(again.counts)),
            maybe: standing.maybe || again.maybe,
            received: message.received,
            not_before: self.not_before(again.after),
        };
        Back { queue: *queue, message: message.clone(), after: again.after, note }
    }

    fn untouched(&self, queue: QueueName, message: Message, after: Duration) -> Back {
        let standing = message.standing;
        let not_before = self.not_before(after).max(standing.not_before);
        let note = Note { attempts: standing.attempts, maybe: standing.maybe, received: message.received, not_before };
        Back { queue, message, after, note }
    }

    fn not_before(&self, after: Duration) -> Option<i64> {
        (after > Duration::ZERO).then(|| envelope::later(self.clock.now(), after))
    }

    /// Notes first: whoever receives it next must find them.
    async fn give_back(&self, all: Vec<Back>) -> Result<(), Unavailable> {
        if all.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let notes = all.iter().filter(|back| !back.note.is_needless(&back.message.job));
        let notes = notes.map(|back| back.note.write(&back.message.id, now)).collect();
        self.rows.write(notes, true).await.map_err(|e| match e {
            CommitError::Conflict => Unavailable::new("a note without condition conflicted"),
            CommitError::Unavailable(e) => e,
        })?;
        let mut by_queue: BTreeMap<QueueName, Vec<(String, Duration)>> = BTreeMap::new();
        for Back { queue, message, after, .. } in all {
            by_queue.entry(queue).or_default().push((message.handle, after));
        }
        try_join_all(by_queue.into_iter().map(|(queue, all)| self.hide(queue, all))).await.map(drop)
    }

    /// Keeps messages from being received for a while, from now on. Those whose lease was lost are passed over.
    pub(super) async fn hide(&self, queue: QueueName, all: Vec<(String, Duration)>) -> Result<(), Unavailable> {
        let call = self.call("SQS ChangeMessageVisibilityBatch", queue);
        for chunk in all.chunks(BATCH) {
            let entries = chunk.iter().enumerate().map(|(place, (handle, after))| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(place.to_string());
                let entry = entry.receipt_handle(handle).visibility_timeout(seconds(*after)).build();
                entry.map_err(Unavailable::new)
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
            let changed = self.sqs.change_message_visibility_batch().queue_url(self.url(queue));
            let changed = changed.set_entries(Some(entries)).send().await.map_err(|e| call.failed(&e))?;
            told_of_lost("give back", &changed.failed);
        }
        Ok(())
    }

    async fn delete(&self, leases: Vec<Lease>) -> Result<(), Unavailable> {
        let mut by_queue: BTreeMap<QueueName, Vec<Lease>> = BTreeMap::new();
        for lease in leases {
            by_queue.entry(lease.queue).or_default().push(lease);
        }
        for (queue, leases) in by_queue {
            let call = self.call("SQS DeleteMessageBatch", queue);
            for chunk in leases.chunks(BATCH) {
                let entries = chunk.iter().enumerate().map(|(place, lease)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string());
                    entry.receipt_handle(&lease.message.handle).build().map_err(Unavailable::new)
                });
                let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
                let deleted = self.sqs.delete_message_batch().queue_url(self.url(queue));
                let deleted = deleted.set_entries(Some(entries)).send().await.map_err(|e| call.failed(&e))?;
                if let Some(failed) = deleted.failed.iter().find(|failed| !failed.sender_fault) {
                    return Err(Unavailable::new(format_args!(
                        "{} on {} left messages out ({})",
                        call.name, call.on, failed.code
                    )));
                }
                told_of_lost("delete", &deleted.failed);
            }
        }
        Ok(())
    }
}

/// A lease that was lost in the meantime settles nothing: its job comes again, flagged so.
fn told_of_lost(what: &str, failed: &[BatchResultErrorEntry]) {
    for failed in failed {
        tracing::warn!(code = failed.code, "SQS did not {what} a message; its lease was lost, and it comes again");
    }
}
