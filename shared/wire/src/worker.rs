//! Holding connections where several processes could: one leads, holds all of them and makes the deliveries that go by
//! them; the others wait to take over. Whoever can't say any more that it leads cuts its connections before anybody else
//! may open them.

use std::time::Duration;

use sameroom_engine::ports::QueueName;
use sameroom_engine::{Lead, Pump};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::supervisor::Supervisor;

/// The role that is led in.
const ROLE: &str = "worker";
/// How long what is under way may take to finish after we were told to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// How this process fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another one leads, or the store can't be asked.
    Waiting,
    /// This one leads, under that epoch.
    Leading(u64),
}

/// Holds connections while leading, until told to stop. `holder` names this process, uniquely; `term`: how long after a
/// leader's last word another takes over. `standing` is told how it fares.
pub async fn run(
    supervisor: Supervisor,
    holder: &str,
    term: Duration,
    standing: watch::Sender<Standing>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut candidate = supervisor.engine.candidate(ROLE, holder, term);
    while !*stopping.borrow() {
        match candidate.stand().await {
            Ok(Some(lead)) => {
                tracing::info!(epoch = lead.epoch(), holder, "this process leads now and holds the connections");
                standing.send_replace(Standing::Leading(lead.epoch()));
                serve(&supervisor, lead, term, &mut stopping).await;
                standing.send_replace(Standing::Waiting);
                candidate = supervisor.engine.candidate(ROLE, holder, term);
                continue;
            }
            Ok(None) => {}
            Err(e) => tracing::error!(error = %e, "who leads can't be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(term / 3) => {}
            told = stopping.changed() => {
                if told.is_err() {
                    return;
                }
            }
        }
    }
}

/// Holds connections as long as we lead.
async fn serve(supervisor: &Supervisor, mut lead: Lead, term: Duration, stopping: &mut watch::Receiver<bool>) {
    let (stop, told) = watch::channel(false);
    let work = Work {
        pump: Pump::on(&supervisor.engine, &[QueueName::Held]),
        sessions: tokio::spawn({
            let supervisor = supervisor.clone();
            async move { supervisor.run(told).await }
        }),
    };
    // Twice as often as words are due, so that the end of the term is not missed by long.
    let mut beat = tokio::time::interval(term / 6);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since = 0;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            _ = stopping.changed() => {
                let mut finish = std::pin::pin!(work.finish(&stop));
                // We lead until the last connection is closed.
                while tokio::time::timeout(term / 3, finish.as_mut()).await.is_err() {
                    if !matches!(tokio::time::timeout(term / 6, lead.keep()).await, Ok(Ok(true))) {
                        supervisor.cut();
                    }
                }
                if let Err(e) = lead.leave().await {
                    tracing::warn!(error = %e, "the lead could not be given up; the next one waits a term");
                }
                return;
            }
        }
        since += 1;
        if since >= 2 {
            // A word that takes long is as good as none.
            match tokio::time::timeout(term / 6, lead.keep()).await {
                Ok(Ok(true)) => since = 0,
                Ok(Ok(false)) => {
                    tracing::error!(epoch = lead.epoch(), "another process leads; all connections are cut");
                    return work.cut(supervisor).await;
                }
                Ok(Err(e)) => tracing::error!(error = %e, "that we lead could not be said"),
                Err(_) => tracing::error!("that we lead could not be said in time"),
            }
        }
        if lead.lapses() {
            tracing::error!(epoch = lead.epoch(), "our term is nearly over; all connections are cut");
            return work.cut(supervisor).await;
        }
    }
}

struct Work {
    pump: Pump,
    sessions: JoinHandle<()>,
}

impl Work {
    /// Ends in order: what is under way first, then the connections.
    async fn finish(self, stop: &watch::Sender<bool>) {
        self.pump.stop(PATIENCE).await;
        let _ = stop.send(true);
        if tokio::time::timeout(PATIENCE, self.sessions).await.is_err() {
            tracing::warn!("not all connections were closed in order");
        }
    }

    /// Ends at once.
    async fn cut(self, supervisor: &Supervisor) {
        self.sessions.abort();
        let _ = self.sessions.await;
        supervisor.cut();
        self.pump.stop(Duration::ZERO).await;
    }
}
