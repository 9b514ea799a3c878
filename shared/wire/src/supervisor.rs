//! Holds the connections of accounts whose platform needs one, whoever owns them: starts a session for every such
//! account, tells it which rooms to be in, starts it again should it fail, and takes in what it hears. It must not know
//! any platform by name, nor who reads what it has to tell.
//!
//! Where deliveries go by the connection it is held while there are rooms in Tubes. Where they go by requests, and the
//! connection brings what webhooks would, it is held always, and once for an app and all its installations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_engine::Engine;
use sameroom_engine::ports::{Clock, Unavailable};
use sameroom_model::{
    Account, AccountId, AccountState, Availability, Event, EventKind, Identity, OwnerId, Place, RoomKey, RoomRef,
};
use sameroom_platforms::{Carrier, Joined, by_name};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::{Dialer, Ended, Handle, LiveWire, Sink, spawn};

/// How long to wait before a session that failed is started again.
const RESTART: Duration = Duration::from_secs(5);

/// What holds connections. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    /// Where it goes what sessions hear.
    pub engine: Engine,
    /// The clock of the sessions.
    pub clock: Arc<dyn Clock>,
    /// The requests of sessions, and their registry.
    pub wire: LiveWire,
    /// Opens connections of accounts that are trusted with the addresses they name.
    pub trusted: Arc<Dialer>,
    /// Opens all others, behind the address guard.
    pub guarded: Arc<Dialer>,
    /// Whose accounts older versions did not list as held.
    pub operator: OwnerId,
    /// Is told how accounts fare.
    pub news: Arc<dyn Fn(&News<'_>) + Send + Sync>,
}

/// How an account fares.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It is as said; `new`: it was not before.
    State {
        /// Its name and endpoint, for people.
        account: &'a str,
        /// How it is.
        state: &'a AccountState,
        /// Whether that is another than before.
        new: bool,
    },
    /// One of its rooms can't be used.
    Room {
        /// The account's name and endpoint, for people.
        account: &'a str,
        /// Which room.
        room: &'a RoomKey,
        /// A sentence.
        why: &'a str,
    },
}

impl Supervisor {
    /// Keeps sessions running until told to stop, then stops them.
    pub async fn run(&self, mut stopping: watch::Receiver<bool>) {
        let mut changes = self.engine.changes();
        let mut held = Held::default();
        while !*stopping.borrow() {
            changes.borrow_and_update();
            held.watched.retain(|_, (watch, _)| !watch.is_finished());
            if let Err(e) = self.refresh(&mut held).await {
                tracing::error!(error = %e, "which connections to hold can't be read");
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = held.ending.gone.notified() => {}
                // A session that ended is started again at the next look.
                () = tokio::time::sleep(RESTART) => {}
                told = stopping.changed() => {
                    if told.is_err() {
                        // Nobody can tell us any more: whoever started us is gone.
                        break;
                    }
                }
            }
        }
        let stops: Vec<_> =
            self.wire.sessions.drain().into_iter().map(|(_, handle)| async move { handle.stop().await }).collect();
        for stop in stops.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
            let _ = stop.await;
        }
    }

    /// Cuts all connections this instant: somebody else may hold them now.
    pub fn cut(&self) {
        for (_, handle) in self.wire.sessions.drain() {
            handle.cut();
        }
    }

    async fn refresh(&self, held: &mut Held) -> Result<(), Unavailable> {
        let accounts = self.holders().await?;
        let gone: Vec<_> = held.watched.keys().filter(|id| !accounts.contains_key(*id)).cloned().collect();
        for id in gone {
            self.end(held, id);
        }
        for (id, (account, carrier)) in accounts {
            // One account's trouble is not the others'.
            if let Err(e) = self.hold(held, account, carrier).await {
                tracing::error!(account = %id, error = %e, "an account's connection can't be looked after now");
            }
        }
        Ok(())
    }

    /// Sees that an account's session runs, and as it should.
    async fn hold(&self, held: &mut Held, account: Account, carrier: Carrier) -> Result<(), Unavailable> {
        let rooms = self.engine.joined(&account.id).await?;
        let wanted = carrier != Carrier::Session || !rooms.is_empty();
        match self.wire.sessions.get(&account.id) {
            Some(_) if !wanted || held.outdated(&account) => self.end(held, account.id),
            Some(handle) => handle.rooms(rooms),
            None if !wanted || held.ending.accounts().contains(&account.id) => {}
            None => self.start(held, account, rooms).await?,
        }
        Ok(())
    }

    /// The accounts that may hold a connection, with the way their deliveries go.
    async fn holders(&self) -> Result<BTreeMap<AccountId, (Account, Carrier)>, Unavailable> {
        let carrier = |account: &Account| Some(by_name(&account.platform)?.about().capabilities.carrier);
        let mut found = BTreeMap::new();
        // What an older version added is not listed as held; its sessions were all of this kind.
        for account in self.engine.accounts(&self.operator).await? {
            if carrier(&account) == Some(Carrier::Session) {
                found.insert(account.id.clone(), (account, Carrier::Session));
            }
        }
        for account in self.engine.held_accounts().await? {
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

    async fn start(&self, held: &mut Held, account: Account, rooms: Vec<Joined>) -> Result<(), Unavailable> {
        let Some(opened) = self.engine.open_account(&account.id).await? else { return Ok(()) };
        let seed = self.engine.seed()?;
        let session = by_name(&account.platform).and_then(|platform| platform.session(&opened, seed));
        let Some(session) = session else { return Ok(()) };
        let name = format!("{} on {}", account.identity.name, account.endpoint);
        let (engine, news) = (self.engine.clone(), self.news.clone());
        let sink = Arc::new(Ear { engine, account: account.id.clone(), name, news });
        let trusted = (self.wire.trusts)(&account);
        let dialer = if trusted { &self.trusted } else { &self.guarded };
        let client = if trusted { &self.wire.trusted } else { &self.wire.guarded };
        let handle = spawn(session, sink, dialer.clone(), client.clone(), self.clock.clone());
        handle.rooms(rooms);
        self.wire.sessions.insert(account.id.clone(), handle.clone());
        let watch = tokio::spawn(outlive(self.wire.clone(), account.id.clone(), handle));
        held.watched.insert(account.id, (watch, opened.account));
        Ok(())
    }

    /// Tells an account's session to end.
    fn end(&self, held: &mut Held, id: AccountId) {
        held.watched.remove(&id);
        let Some(handle) = self.wire.sessions.remove(&id) else { return };
        held.ending.accounts().insert(id.clone());
        let ending = held.ending.clone();
        tokio::spawn(async move {
            handle.stop().await;
            ending.accounts().remove(&id);
            ending.gone.notify_one();
        });
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
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

/// Takes a session that failed out of the registry, so that it is started again.
async fn outlive(wire: LiveWire, account: AccountId, handle: Handle) {
    if handle.ended().await == Ended::Panicked {
        tracing::error!(%account, "a session failed; it is started again");
        wire.sessions.remove(&account);
    }
}

/// Takes in what a session hears.
struct Ear {
    engine: Engine,
    account: AccountId,
    name: String,
    news: Arc<dyn Fn(&News<'_>) + Send + Sync>,
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
        let new = self.engine.set_state(&self.account, state.clone()).await?;
        (self.news)(&News::State { account: &self.name, state, new });
        Ok(())
    }

    async fn identity(&self, identity: &Identity) -> Result<(), Unavailable> {
        self.engine.set_identity(&self.account, identity.clone()).await.map(drop)
    }

    async fn room(&self, key: &RoomKey, availability: &Availability) -> Result<(), Unavailable> {
        let room = RoomRef { account: self.account.clone(), key: key.clone() };
        if let Availability::Closed(why) = availability {
            tracing::warn!(room = %room.key, account = %self.name, why, "a room can't be used");
            (self.news)(&News::Room { account: &self.name, room: &room.key, why });
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
