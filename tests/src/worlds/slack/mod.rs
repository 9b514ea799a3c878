//! A world of Slack: a stateful model of Slack behind real HTTP and WebSockets on loopback. It has apps, workspaces,
//! people, channels, threads, reactions, files and tokens; a Web API that is as strict as Slack's, or stricter; events
//! pushed as Slack pushes them, signed and retried, over HTTP or Socket Mode; moods; and a ledger of all that came and
//! went. It knows no engine and no town: an example runs it as a program, and programs that we did not write check it
//! (`tests/run slack-world`). Written from Slack's documentation, which each file names.
//!
//! Stricter than Slack, so that no carelessness stays unseen: form-only methods refuse JSON (Slack leaves it unread),
//! channels are named by id, `thread_ts` is a parent's, an upload has the announced length. What Slack merely puts up
//! with is in [`Call::odd`]. As Slack does, and easily overlooked: `username` is ignored without its scope.
//!
//! Not modelled: Enterprise Grid, slash commands, interactivity, views, incoming webhooks, group direct messages, Unicode
//! emoji turned into names, rate limits by themselves (see [`Mood::Busy`]).

mod call;
mod deeds;
mod events;
mod files;
mod glue;
mod hearing;
mod knobs;
mod ledger;
mod methods;
mod model;
mod moods;
mod mrkdwn;
mod people;
mod server;
mod setting;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use glue::Ear;
pub use ledger::{Call, Push};
pub use model::Consent;
pub use moods::{Mood, Order};
pub use people::{Said, Upload};
pub use setting::{AppKeys, Installed};
pub use socket::Disconnect;

use self::events::{Delivery, Pushes};
use self::ledger::Ledger;
use self::model::{Id, State};
use self::moods::Moods;
use super::{stir, until};

/// A world of Slack, seen from one of its workspaces and one of its apps. What is done by name is done there.
#[derive(Clone)]
pub struct Slack {
    shared: Arc<Shared>,
    team: Id,
    app: Id,
}

pub(super) struct Shared {
    state: Mutex<State>,
    stirred: watch::Sender<u64>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    client: reqwest::Client,
    /// Microseconds since 1970.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    ahead: AtomicI64,
    /// The first workspace: people of it sit at the page of OAuth.
    home: Id,
    serving: Mutex<Vec<JoinHandle<()>>>,
}

impl Slack {
    /// A world on the system's clock: the workspace Acme with the channel `general`, and the app Sameroom, which is not
    /// installed yet.
    pub async fn open() -> Self {
        Self::at(|| {
            use sameroom_engine::ports::Clock as _;
            sameroom_embedded::SystemClock.now().as_microsecond()
        })
        .await
    }

    /// Likewise, on another clock: microseconds since 1970.
    pub async fn at(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (deliveries, to_deliver) = mpsc::unbounded_channel();
        let mut state = State {
            base: format!("http://{address}"),
            apps: BTreeMap::new(),
            teams: BTreeMap::new(),
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            files: BTreeMap::new(),
            groups: BTreeMap::new(),
            installs: Vec::new(),
            tokens: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            codes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            uploads: BTreeMap::new(),
            consents: VecDeque::new(),
            outbox: Vec::new(),
            pushes: Pushes::default(),
            moods: Moods::default(),
            ledger: Ledger::default(),
            now: clock(),
            last: 0,
            serial: 0,
        };
        let team = state.new_team("Acme", "acme");
        let app = state.new_app("Sameroom");
        state.new_channel(&team, "general", model::Kind::Public);
        let redirects = reqwest::redirect::Policy::limited(2);
        let client = reqwest::Client::builder().redirect(redirects).build().expect("a client can be made");
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            stirred: watch::Sender::new(0),
            deliveries,
            client,
            clock: Box::new(clock),
            ahead: AtomicI64::new(0),
            home: team.clone(),
            serving: Mutex::default(),
        });
        let delivering = tokio::spawn(events::work(Arc::downgrade(&shared), to_deliver));
        let weak = Arc::downgrade(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(shared) = weak.upgrade() else { return };
                tokio::spawn(server::connection(shared, stream));
            }
        });
        shared.serving.lock().unwrap().extend([delivering, accepting]);
        Self { shared, team, app }
    }

    /// The world's clock goes forward: codes and rotating tokens grow old.
    pub fn pass(&self, time: Duration) {
        self.shared.ahead.fetch_add(time.as_micros() as i64, Ordering::Relaxed);
        self.shared.with(|_| ());
    }
}

impl Shared {
    /// Microseconds since 1970, by the world's clock.
    fn now(&self) -> i64 {
        (self.clock)() + self.ahead.load(Ordering::Relaxed)
    }

    /// Does something with the model; then events that came of it set out, and whoever waits looks again.
    fn with<T>(&self, deed: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        state.now = self.now();
        let done = deed(&mut state);
        for delivery in std::mem::take(&mut state.outbox) {
            if state.pushes.holding {
                state.pushes.held.push(delivery);
                continue;
            }
            let times = 1 + u64::from(state.pushes.duplicates > 0);
            state.pushes.duplicates = state.pushes.duplicates.saturating_sub(1);
            state.pushes.sent += times;
            (0..times).for_each(|_| self.deliveries.send(delivery.clone()).unwrap_or_default());
        }
        drop(state);
        stir(&self.stirred);
        done
    }

    /// Looks into the model, without stirring anybody.
    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap())
    }

    /// Waits, for as long as it takes, until `look` gives something.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.stirred.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look(&mut self.state.lock().unwrap()) {
                return found;
            }
            let _ = changes.changed().await;
        }
    }

    /// Waits until `look` gives something; fails with `tell` when that takes too long.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>, tell: impl FnOnce(&State) -> String) -> T {
        until(&self.stirred, || look(&mut self.state.lock().unwrap()), || self.look(tell)).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.serving.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}
