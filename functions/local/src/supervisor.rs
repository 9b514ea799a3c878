//! Holds the connections of accounts whose platform needs one, whoever owns them: starts a session for every such
//! account, tells it which rooms to be in, starts it again should it fail, and takes in what it hears.
//!
//! Where deliveries go by the connection it is held while there are rooms in Tubes. Where they go by requests, and the
//! connection brings what webhooks would, it is held always, and once for an app and all its installations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_engine::Engine;
use sameroom_engine::ports::Unavailable;
use sameroom_model::{
    Account, AccountId, AccountState, Availability, Event, EventKind, Identity, Place, RoomKey, RoomRef,
};
use sameroom_platforms::{Carrier, Joined, by_name};
use sameroom_wire::{Ended, Handle, Sink, spawn};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::output;
use crate::runtime::{Runtime, operator};

/// How long to wait before a session that failed is started again.
const RESTART: Duration = Duration::from_secs(5);

/// Keeps sessions running until told to stop, then stops them.
pub(crate) async fn run(runtime: Arc<Runtime>, quiet: bool, mut stopping: watch::Receiver<bool>) {
    let mut changes = runtime.engine.changes();
    let mut held = Held::default();
    while !*stopping.borrow() {
        changes.borrow_and_update();
        held.watched.retain(|_, (watch, _)| !watch.is_finished());
        if let Err(e) = refresh(&runtime, quiet, &mut held).await {
            tracing::error!(error = %e, "which connections to hold can't be read");
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = held.ending.gone.notified() => {}
            // A session that ended is started again at the next look.
            () = tokio::time::sleep(RESTART) => {}
            _ = stopping.changed() => {}
        }
    }
    let stops: Vec<_> =
        runtime.sessions.drain().into_iter().map(|(_, handle)| async move { handle.stop().await }).collect();
    for stop in stops.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        let _ = stop.await;
    }
}

/// The sessions that were started.
#[derive(Default)]
struct Held {
    /// Who looks after each, and the account as it was then.
    watched: BTreeMap<AccountId, (JoinHandle<()>, Account)>,
    ending: Arc<Ending>,
}

/// The sessions that were told to end. An account is connected again only once its old session is gone.
#[derive(Default)]
struct Ending {
    accounts: Mutex<BTreeSet<AccountId>>,
    gone: Notify,
}

impl Held {
    /// Whether the account is another one by now than the session knows.
    fn outdated(&self, account: &Account) -> bool {
        let same = |known: &Account| known.settings == account.settings && known.secrets == account.secrets;
        self.watched.get(&account.id).is_some_and(|(_, known)| !same(known))
    }
}

impl Ending {
    fn accounts(&self) -> MutexGuard<'_, BTreeSet<AccountId>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn refresh(runtime: &Arc<Runtime>, quiet: bool, held: &mut Held) -> Result<(), Unavailable> {
    let accounts = holders(runtime).await?;
    let gone: Vec<_> = held.watched.keys().filter(|id| !accounts.contains_key(*id)).cloned().collect();
    for id in gone {
        end(runtime, held, id);
    }
    for (id, (account, carrier)) in accounts {
        // One account's trouble is not the others'.
        if let Err(e) = hold(runtime, quiet, held, account, carrier).await {
            tracing::error!(account = %id, error = %e, "an account's connection can't be looked after now");
        }
    }
    Ok(())
}

/// Sees that an account's session runs, and as it should.
async fn hold(
    runtime: &Arc<Runtime>,
    quiet: bool,
    held: &mut Held,
    account: Account,
    carrier: Carrier,
) -> Result<(), Unavailable> {
    let rooms = runtime.engine.joined(&account.id).await?;
    let wanted = carrier != Carrier::Session || !rooms.is_empty();
    match runtime.sessions.get(&account.id) {
        Some(_) if !wanted || held.outdated(&account) => end(runtime, held, account.id),
        Some(handle) => handle.rooms(rooms),
        None if !wanted || held.ending.accounts().contains(&account.id) => {}
        None => start(runtime, quiet, held, account, rooms).await?,
    }
    Ok(())
}

/// The accounts that may hold a connection, with the way their deliveries go.
async fn holders(runtime: &Runtime) -> Result<BTreeMap<AccountId, (Account, Carrier)>, Unavailable> {
    let carrier = |account: &Account| Some(by_name(&account.platform)?.about().capabilities.carrier);
    let mut found = BTreeMap::new();
    // What an older version added is not listed as held; its sessions were all of this kind.
    for account in runtime.engine.accounts(&operator()).await? {
        if carrier(&account) == Some(Carrier::Session) {
            found.insert(account.id.clone(), (account, Carrier::Session));
        }
    }
    for account in runtime.engine.held_accounts().await? {
        let installed = matches!(account.place, Place::Installed { .. });
        match carrier(&account) {
            // The app's connection brings what happens in all its installations.
            Some(Carrier::Http) if installed => {}
            Some(carrier) => {
                found.insert(account.id.clone(), (account, carrier));
            }
            None => {}
        }
    }
    Ok(found)
}

async fn start(
    runtime: &Arc<Runtime>,
    quiet: bool,
    held: &mut Held,
    account: Account,
    rooms: Vec<Joined>,
) -> Result<(), Unavailable> {
    let Some(opened) = runtime.engine.open_account(&account.id).await? else { return Ok(()) };
    let session = by_name(&account.platform).and_then(|platform| platform.session(&opened, seed()));
    let Some(session) = session else { return Ok(()) };
    let name = format!("{} on {}", account.identity.name, account.endpoint);
    let sink = Arc::new(Ear { engine: runtime.engine.clone(), account: account.id.clone(), name, quiet });
    let (dialer, client) = (runtime.dialer(&account), runtime.client(&account));
    let handle = spawn(session, sink, dialer, client, runtime.clock.clone());
    handle.rooms(rooms);
    runtime.sessions.insert(account.id.clone(), handle.clone());
    let watch = tokio::spawn(outlive(runtime.clone(), account.id.clone(), handle));
    held.watched.insert(account.id, (watch, opened.account));
    Ok(())
}

/// Tells an account's session to end.
fn end(runtime: &Runtime, held: &mut Held, id: AccountId) {
    held.watched.remove(&id);
    let Some(handle) = runtime.sessions.remove(&id) else { return };
    held.ending.accounts().insert(id.clone());
    let ending = held.ending.clone();
    tokio::spawn(async move {
        handle.stop().await;
        ending.accounts().remove(&id);
        ending.gone.notify_one();
    });
}

/// Takes a session that failed out of the registry, so that it is started again.
async fn outlive(runtime: Arc<Runtime>, account: AccountId, handle: Handle) {
    if handle.ended().await == Ended::Panicked {
        tracing::error!(%account, "a session failed; it is started again");
        runtime.sessions.remove(&account);
    }
}

/// What spreads reconnects and picks nicks; nothing secret hangs on it.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Should there be no randomness, the same spread every time will do.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Takes in what a session hears.
struct Ear {
    engine: Engine,
    account: AccountId,
    name: String,
    quiet: bool,
}

#[async_trait]
impl Sink for Ear {
    async fn events(&self, events: &[Event]) -> Result<(), Unavailable> {
        self.engine.ingest(events).await
    }

    async fn told(&self, body: &Bytes) -> Result<(), Unavailable> {
        self.engine.told(&self.account, body).await
    }

    async fn state(&self, state: &AccountState) -> Result<(), Unavailable> {
        let news = self.engine.set_state(&self.account, state.clone()).await?;
        self.say(state, news);
        Ok(())
    }

    async fn identity(&self, identity: &Identity) -> Result<(), Unavailable> {
        self.engine.set_identity(&self.account, identity.clone()).await.map(drop)
    }

    async fn room(&self, key: &RoomKey, availability: &Availability) -> Result<(), Unavailable> {
        let room = RoomRef { account: self.account.clone(), key: key.clone() };
        if let Availability::Closed(why) = availability {
            tracing::warn!(room = %room.key, account = %self.name, why, "a room can't be used");
            if !self.quiet {
                tell!("{} {}: {why}", output::mark_told(false, "✗"), room.key);
            }
        }
        let at = self.engine.clock().now();
        let event = Event {
            id: format!("availability-{}-{}", room.key, at.as_microsecond()).into(),
            room,
            at,
            author: None,
            kind: EventKind::Availability(availability.clone()),
        };
        self.engine.ingest(&[event]).await
    }

    async fn seen(&self, key: &RoomKey, mark: &str) -> Result<(), Unavailable> {
        let room = RoomRef { account: self.account.clone(), key: key.clone() };
        self.engine.set_seen(&room, mark).await
    }
}

impl Ear {
    fn say(&self, state: &AccountState, news: bool) {
        if self.quiet {
            // Programs read it from the log.
            match state {
                AccountState::Ok => tracing::info!(account = %self.name, "connected"),
                AccountState::Trouble(why) | AccountState::NeedsOwner(why) if news => {
                    tracing::warn!(account = %self.name, why, "an account can't be used");
                }
                AccountState::Trouble(_) | AccountState::NeedsOwner(_) => {}
            }
            return;
        }
        match state {
            AccountState::Ok => tell!("{} connected: {}", output::mark_told(true, "✓"), self.name),
            AccountState::Trouble(why) if news => tell!("{} {}: {why}", output::mark_told(false, "…"), self.name),
            AccountState::NeedsOwner(why) if news => tell!("{} {}: {why}", output::mark_told(false, "✗"), self.name),
            AccountState::Trouble(_) | AccountState::NeedsOwner(_) => {}
        }
    }
}
