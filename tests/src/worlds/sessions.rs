//! Holds a town's connections, as the program's supervisor does, in small: a session for every account that needs one,
//! told of its rooms whenever something changed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_embedded::SystemClock;
use sameroom_engine::Engine;
use sameroom_engine::ports::{Clock, Unavailable};
use sameroom_model::{AccountId, AccountState, Availability, Event, EventKind, Identity, Place, RoomKey, RoomRef};
use sameroom_platforms::{Carrier, by_name};
use sameroom_wire::{Dialer, HttpClient, Registry, Sink, spawn};

/// Runs until it is aborted. Sessions live on the system's clock whatever the town's is: their pacing and time-outs are
/// those of a real connection.
pub(super) async fn run(engine: Engine, registry: Registry, dialer: Arc<Dialer>, client: Arc<HttpClient>) {
    let mut changes = engine.changes();
    loop {
        changes.borrow_and_update();
        for account in engine.held_accounts().await.unwrap_or_default() {
            let platform = by_name(&account.platform).expect("a platform of ours");
            let carrier = platform.about().capabilities.carrier;
            if carrier == Carrier::Http && matches!(account.place, Place::Installed { .. }) {
                continue;
            }
            let rooms = engine.joined(&account.id).await.unwrap_or_default();
            if let Some(handle) = registry.get(&account.id) {
                handle.rooms(rooms);
            } else if carrier != Carrier::Session || !rooms.is_empty() {
                let opened = engine.open_account(&account.id).await.unwrap().expect("it was just listed");
                let session = platform.session(&opened, 7).expect("its platform holds one");
                let ear = Arc::new(Ear { engine: engine.clone(), account: account.id.clone() });
                let handle = spawn(session, ear, dialer.clone(), client.clone(), Arc::new(SystemClock));
                handle.rooms(rooms);
                registry.insert(account.id, handle);
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

struct Ear {
    engine: Engine,
    account: AccountId,
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
        self.engine.set_state(&self.account, state.clone()).await.map(drop)
    }

    async fn identity(&self, identity: &Identity) -> Result<(), Unavailable> {
        self.engine.set_identity(&self.account, identity.clone()).await.map(drop)
    }

    async fn room(&self, key: &RoomKey, availability: &Availability) -> Result<(), Unavailable> {
        let room = RoomRef { account: self.account.clone(), key: key.clone() };
        let at = SystemClock.now();
        let id = format!("availability-{key}-{}", at.as_microsecond()).into();
        let kind = EventKind::Availability(availability.clone());
        self.engine.ingest(&[Event { id, room, at, author: None, kind }]).await
    }

    async fn seen(&self, key: &RoomKey, mark: &str) -> Result<(), Unavailable> {
        let room = RoomRef { account: self.account.clone(), key: key.clone() };
        self.engine.set_seen(&room, mark).await
    }
}
