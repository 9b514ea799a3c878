//! One Tube between two webhook rooms, and a sender that posts a hundred messages a second into it, in order, each with
//! the same id until it is taken. It must not know what happens to the binary meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sameroom_tests::hook::{Hook, Sender};
use sameroom_tests::process::{Sameroom, Setup, port};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A hundred a second.
const EVERY: Duration = Duration::from_millis(10);

/// The Tube: what is posted as `in` comes out at the hook.
pub(crate) struct Rig {
    pub(crate) hook: Hook,
    pub(crate) setup: Setup,
    folder: Option<TempDir>,
}

impl Rig {
    /// With its data in a folder of its own.
    pub(crate) async fn new() -> Self {
        let data = TempDir::new().expect("a folder can be made");
        let mut rig = Self::at(data.path()).await;
        rig.folder = Some(data);
        rig
    }

    /// With its data in that folder.
    pub(crate) async fn at(data: &std::path::Path) -> Self {
        let hook = Hook::start().await;
        let mut setup = Setup::new(data, &[hook.room("source", "in"), hook.room("sink", "out")]);
        // The sender has to find it again after every death.
        setup.port = port();
        Self { hook, setup, folder: None }
    }

    /// The sender's end.
    pub(crate) fn sender(sameroom: &Sameroom) -> Sender {
        Sender::new(sameroom.url(), &sameroom.account("in"), "in")
    }
}

/// What a stream has done.
pub(crate) struct Streamed {
    /// How many messages were taken.
    pub(crate) messages: usize,
    /// How often one had to be sent again.
    pub(crate) retries: u32,
    /// How long the slowest took to be taken.
    pub(crate) slowest: Duration,
    /// For how long it went.
    pub(crate) lasted: Duration,
}

/// Messages on their way in.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Streamed>,
}

impl Stream {
    /// Begins to send: message n says `n`.
    pub(crate) fn begin(sender: Sender) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(sender, stop.clone()));
        Self { stop, task }
    }

    /// Ends it, once the last message is taken.
    pub(crate) async fn end(self) -> Streamed {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the sender goes on")
    }
}

async fn run(sender: Sender, stop: Arc<AtomicBool>) -> Streamed {
    let began = Instant::now();
    let mut clock = interval(EVERY);
    // What was missed while nobody answered is made up for.
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut done = Streamed { messages: 0, retries: 0, slowest: Duration::ZERO, lasted: Duration::ZERO };
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        let n = done.messages + 1;
        let asked = Instant::now();
        done.retries += sender.insist(&format!("evt-{n}"), "Load", &n.to_string()).await - 1;
        done.slowest = done.slowest.max(asked.elapsed());
        done.messages = n;
    }
    done.lasted = began.elapsed();
    done
}
