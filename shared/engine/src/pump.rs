//! Leases batches from the queues and works on them, many groups at once, until it is told to stop. What a Lambda's
//! event source does on AWS, this does in one process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::Engine;
use crate::lane::MARKS_MAX;
use crate::ports::QueueName;

/// How long to wait when the store can't lease.
const PAUSE: Duration = Duration::from_secs(1);

/// The loops at work.
#[derive(Debug)]
pub struct Pump {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl Pump {
    /// Starts them on all queues.
    pub fn start(engine: &Engine) -> Self {
        Self::on(engine, &QueueName::ALL)
    }

    /// Starts them on these queues.
    pub fn on(engine: &Engine, queues: &[QueueName]) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut loops = JoinSet::new();
        for &queue in queues {
            loops.spawn(run(engine.clone(), queue, stopping.clone()));
        }
        Self { stop, loops }
    }

    /// Stops leasing, and waits until what is under way is finished, or for as long as is given; what is not finished
    /// by then is dropped, and comes again after the next start.
    pub async fn stop(mut self, patience: Duration) {
        let _ = self.stop.send(true);
        let all = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("some deliveries were still under way; they come again after the next start");
        }
    }
}

async fn run(engine: Engine, queue: QueueName, mut stopping: watch::Receiver<bool>) {
    let config = engine.config();
    // What may come a second time must still be remembered then.
    let batch = if engine.store().whole() { config.batch } else { config.batch.min(MARKS_MAX) };
    let permits = Arc::new(Semaphore::new(config.concurrency));
    let mut work = JoinSet::new();
    while !*stopping.borrow() {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            _ = stopping.changed() => break,
        };
        let leased = tokio::select! {
            leased = engine.store().lease(queue, batch) => leased,
            _ = stopping.changed() => break,
        };
        while work.try_join_next().is_some() {}
        match leased {
            Ok(batch) => {
                let engine = engine.clone();
                work.spawn(async move {
                    match queue {
                        QueueName::Events => engine.relay(batch).await,
                        QueueName::Outbox | QueueName::Held => engine.deliver(batch).await,
                    }
                    drop(permit);
                });
            }
            Err(e) => {
                tracing::error!(error = %e, "no work can be leased");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    while work.join_next().await.is_some() {}
}
