//! The program that holds connections: IRC, sockets of Slack, and whatever else has to be kept open. Several may run; one
//! leads, and the others wait to take over. It says how it fares on a port of this machine, which `--alive` asks.

mod alive;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use sameroom_engine::ports::QueueName;
use sameroom_functions::{Role, Started, start};
use sameroom_model::{AccountState, Owner};
use sameroom_wire::worker::{self, Standing};
use sameroom_wire::{News, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long after a leader's last word another takes over. A task on Fargate is told to stop 30 s before it is killed, and
/// then lets go at once; a term passes only after a crash.
const TERM: Duration = Duration::from_secs(15);
/// How often it is counted that this process leads.
const BEAT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => Box::pin(serve()).await,
        Some("--alive") => alive::ask().await,
        Some(other) => anyhow::bail!("'{other}' is unknown; --alive asks a worker of this machine how it fares"),
    }
}

async fn serve() -> anyhow::Result<()> {
    let started = start(Role::Worker).await?;
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be listened for")?;
    let (standing, stands) = watch::channel(Standing::Waiting);
    let (stop, stopping) = watch::channel(false);
    let answering = alive::answer(stands.clone()).await?;
    let counting = tokio::spawn(count(started.store.clone(), stands, stopping.clone()));
    let holder = holder()?;
    let mut work = std::pin::pin!(worker::run(supervisor(&started), &holder, TERM, standing, stopping));
    tokio::select! {
        () = work.as_mut() => {}
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("told to stop"),
    }
    let _ = stop.send(true);
    work.await;
    answering.abort();
    let _ = counting.await;
    started.store.close().await;
    Ok(())
}

fn supervisor(started: &Started) -> Supervisor {
    Supervisor {
        engine: started.engine.clone(),
        clock: started.clock.clone(),
        wire: started.wire.clone(),
        trusted: started.dialer.clone(),
        guarded: started.dialer.clone(),
        operator: Owner::OPERATOR.into(),
        news: Arc::new(tell),
    }
}

fn tell(news: &News<'_>) {
    match news {
        News::State { account, state: AccountState::Ok, .. } => tracing::info!(account, "connected"),
        News::State { account, state: AccountState::Trouble(why), new: true } => {
            tracing::warn!(account, why, "an account is in trouble");
        }
        News::State { account, state: AccountState::NeedsOwner(why), new: true } => {
            tracing::warn!(account, why, "an account can't be used");
        }
        News::State { .. } => {}
        News::Room { account, room, why } => tracing::warn!(account, %room, why, "a room can't be used"),
    }
}

/// This process, unlike any other.
fn holder() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(HEXLOWER.encode(&bytes))
}

/// Counts that this process leads, and that it had to let go: both are what alarms look at.
async fn count(
    store: Arc<sameroom_aws::AwsStore>,
    mut standing: watch::Receiver<Standing>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut beat = tokio::time::interval(BEAT);
    let mut led = false;
    loop {
        tokio::select! {
            _ = beat.tick() => {
                if matches!(*standing.borrow(), Standing::Leading(_)) {
                    store.emf().count("Leading", 1);
                }
            }
            changed = standing.changed() => {
                if changed.is_err() {
                    return;
                }
                let leads = matches!(*standing.borrow_and_update(), Standing::Leading(_));
                if led && !leads && !*stopping.borrow() {
                    store.emf().count("LeaseLost", 1);
                    // What was under way here is the next one's to make, and it should not wait for our leases to end.
                    if let Err(e) = store.release(QueueName::Held).await {
                        tracing::warn!(error = %e, "deliveries could not be given back; they come once their leases end");
                    }
                }
                led = leads;
            }
            _ = stopping.changed() => return,
        }
        store.emf().flush_if_due();
    }
}
