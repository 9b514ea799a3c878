//! The wire of the running program: requests by the HTTP client, deliveries to the held connections that are
//! registered.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_engine::ports::{NoAnswer, Wire};
use sameroom_model::{Account, AccountId, Delivery, Outcome, Sent};
use tokio::sync::oneshot;

use crate::download::download;
use crate::{Handle, HttpClient};

/// Reaches platforms.
#[derive(Clone, Debug)]
pub struct LiveWire {
    /// Sends requests for accounts that are trusted with the addresses they name.
    pub trusted: Arc<HttpClient>,
    /// Sends requests for all others, behind the address guard.
    pub guarded: Arc<HttpClient>,
    /// Which accounts are trusted.
    pub trusts: fn(&Account) -> bool,
    /// The held connections.
    pub sessions: Registry,
}

/// The held connections by account. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<HashMap<AccountId, Handle>>>);

impl Registry {
    /// Registers a connection, and returns the one that it replaces; that one still runs.
    pub fn insert(&self, account: AccountId, handle: Handle) -> Option<Handle> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(account, handle)
    }

    /// Takes a connection out; it still runs.
    pub fn remove(&self, account: &AccountId) -> Option<Handle> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(account)
    }

    /// The connection of an account.
    pub fn get(&self, account: &AccountId) -> Option<Handle> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    /// Takes all of them out, to stop them.
    pub fn drain(&self) -> Vec<(AccountId, Handle)> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}

#[async_trait]
impl Wire for LiveWire {
    async fn http(&self, account: &Account, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        let client = if (self.trusts)(account) { &self.trusted } else { &self.guarded };
        client.send(request).await
    }

    async fn download(
        &self,
        account: &Account,
        request: http::Request<Bytes>,
        max: u64,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        // An account is trusted with the addresses that it names itself, not with those that its site sends us on to.
        let first = if (self.trusts)(account) { &self.trusted } else { &self.guarded };
        download(first, &self.guarded, request, max).await
    }

    fn session(&self, account: &Account, delivery: Delivery) -> oneshot::Receiver<Outcome> {
        if let Some(handle) = self.sessions.get(&account.id) {
            return handle.deliver(delivery);
        }
        let (waiter, outcome) = oneshot::channel();
        let why = format!("{} is not connected yet", account.identity.name);
        let _ = waiter.send(Outcome::Retry { after: None, why, sent: Sent::Unreachable });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use sameroom_model::{Action, Identity, Lane, Origin, RoomRef, Text, Timestamp};

    use super::*;
    use crate::testing::loopback;

    #[tokio::test]
    async fn a_delivery_to_an_account_without_a_connection_comes_again() {
        let http = Arc::new(HttpClient::new(loopback(), Arc::default(), crate::Limits::default()));
        let sessions = Registry::default();
        let wire = LiveWire { trusted: http.clone(), guarded: http, trusts: |_| true, sessions };
        let room = RoomRef { account: "a".into(), key: "r".into() };
        let delivery = Delivery {
            id: "d".into(),
            lane: Lane { from: room.clone(), to: room },
            origin: Origin { event: "e".into(), key: None, at: Timestamp::UNIX_EPOCH },
            author: None,
            shown: String::new(),
            action: Action::Notice { body: Text::default() },
            copies: Vec::new(),
        };
        let account = Account {
            id: "a".into(),
            owner: "o".into(),
            platform: "toy".into(),
            endpoint: "toy://host".into(),
            identity: Identity { key: None, name: "bot@host".into() },
            settings: serde_json::Value::Null,
            secrets: sameroom_model::Sealed::default(),
            state: sameroom_model::AccountState::Ok,
            place: sameroom_model::Place::Alone,
            unknown: serde_json::Map::new(),
        };
        let why = "bot@host is not connected yet".into();
        assert_eq!(
            wire.session(&account, delivery).await.unwrap(),
            Outcome::Retry { after: None, why, sent: Sent::Unreachable }
        );
    }
}
