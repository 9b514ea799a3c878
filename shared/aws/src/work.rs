//! What one Lambda invocation does with its batch. It must not know how Lambda is spoken to.

use std::time::Duration;

use sameroom_engine::Engine;
use sameroom_engine::ports::QueueName;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::jobs::Record;
use crate::store::AwsStore;

/// How long handing back what was not done in time may take.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Relays or delivers the records of one batch: groups at once, each in order. Returns the ids of the messages that must
/// come again, in order, to be reported as `batchItemFailures`. What is not settled at the deadline is among them; give
/// the function's own deadline less 2 s, so that the report gets through.
pub async fn work(
    engine: &Engine,
    store: &AwsStore,
    queue: QueueName,
    records: Vec<Record>,
    deadline: Instant,
) -> Vec<String> {
    let ids: Vec<String> = records.iter().map(|record| record.message_id.clone()).collect();
    let mut groups = JoinSet::new();
    let all = async {
        for batch in store.intake(queue, records).await {
            let engine = engine.clone();
            groups.spawn(async move {
                match queue {
                    QueueName::Events => engine.relay(batch).await,
                    QueueName::Outbox | QueueName::Held => engine.deliver(batch).await,
                }
            });
        }
        while let Some(done) = groups.join_next().await {
            if done.is_err() {
                tracing::error!("work on a group ended in a panic; its jobs come again");
            }
        }
    };
    if tokio::time::timeout_at(deadline, all).await.is_err() {
        tracing::warn!("the batch took too long; what is not settled comes again");
        // Nothing of it may go on once the function is frozen: its leases will be others'.
        groups.shutdown().await;
        // Else their rooms would wait until the queue takes them for lost, which is minutes.
        match tokio::time::timeout(LAST_CALL, store.hand_back(&ids)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, "they could not be handed back; they come again in minutes"),
            Err(_) => tracing::warn!("there was no time to hand them back; they come again in minutes"),
        }
    }
    let failed = store.unsettled(&ids);
    store.emf().flush_if_due();
    failed
}
