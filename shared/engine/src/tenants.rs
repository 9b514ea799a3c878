//! Apps with many installations: whose installation a request to an app is about, and what an installation shares with
//! its app. It must not know how a platform calls its tenants.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sameroom_model::{Account, AccountId, AccountState, Event, Opened, OwnerId, Place, Secrets, Timestamp};
use sameroom_platforms::{Profile, Subject, Webhook};
use serde_json::Value;

use crate::accounts::{FRESH_MS, Open};
use crate::ports::{Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// How many installations are remembered; beyond that all are looked up anew.
const KNOWN_MAX: usize = 10_000;

/// Which installation a tenant is, for as long as an opened account is used without looking again.
#[derive(Default)]
pub(crate) struct Tenants {
    known: RwLock<HashMap<(AccountId, String), (Timestamp, AccountId)>>,
    unrouted: AtomicU64,
}

/// What a request told, with the account that it is about.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// `None`: nobody's; there is nothing else then.
    pub(crate) account: Option<AccountId>,
    pub(crate) events: Vec<Event>,
    pub(crate) state: Option<AccountState>,
    pub(crate) learned: Vec<(Subject, Profile)>,
}

impl Engine {
    /// How many requests to apps were about no installation since this engine began, and were left out.
    pub fn unrouted(&self) -> u64 {
        self.inner.tenants.unrouted.load(Ordering::Relaxed)
    }

    /// Finds the account that a request is about, and makes what it told that one's.
    pub(crate) async fn route(&self, open: &Open, webhook: Webhook) -> Result<Heard, Unavailable> {
        let account = &open.opened.account;
        let mut heard = Heard {
            account: Some(account.id.clone()),
            events: webhook.events,
            state: webhook.state,
            learned: webhook.learned,
        };
        if account.place != Place::App {
            return Ok(heard);
        }
        let Some(tenant) = webhook.tenant else {
            // About the app itself: it has no rooms, so nothing can have happened in one.
            heard.events.clear();
            return Ok(heard);
        };
        let Some(installation) = self.installation(&account.id, &tenant).await? else {
            self.inner.tenants.unrouted.fetch_add(1, Ordering::Relaxed);
            tracing::info!(app = %account.id, tenant, "a request is about no installation of ours; it is left out");
            return Ok(Heard::default());
        };
        for event in &mut heard.events {
            event.room.account = installation.clone();
        }
        heard.account = Some(installation);
        Ok(heard)
    }

    /// The installation of an app at a tenant.
    pub(crate) async fn installation(&self, app: &AccountId, tenant: &str) -> Result<Option<AccountId>, Unavailable> {
        let now = self.inner.clock.now();
        let name = (app.clone(), tenant.to_owned());
        if let Ok(known) = self.inner.tenants.known.read()
            && let Some((read_at, id)) = known.get(&name)
            && now.as_millisecond() - read_at.as_millisecond() < FRESH_MS
        {
            return Ok(Some(id.clone()));
        }
        let Some(kept) = rows::load::<AccountId>(&*self.inner.store, &keys::tenant(app, tenant)).await? else {
            return Ok(None);
        };
        let id = kept.value;
        if self.open(&id).await?.is_none() {
            return Ok(None);
        }
        if let Ok(mut known) = self.inner.tenants.known.write() {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(name, (now, id.clone()));
        }
        Ok(Some(id))
    }

    /// Why an owner can't have an installation there: another one has it. Each tenant is one owner's, so that nobody
    /// reads another's rooms by installing the same app again.
    pub(crate) async fn taken(&self, owner: &OwnerId, place: &Place) -> Result<Option<String>, Unavailable> {
        let Some((_, holder)) = self.holder(place).await? else { return Ok(None) };
        Ok(holder.filter(|holder| holder.owner != *owner).map(|holder| {
            format!("{} is connected already, by another owner; only they can change that", holder.identity.name)
        }))
    }

    /// The row that says whose a place is, and the account that it names.
    pub(crate) async fn holder(
        &self,
        place: &Place,
    ) -> Result<Option<(rows::Kept<AccountId>, Option<Account>)>, Unavailable> {
        let Place::Installed { app, tenant } = place else { return Ok(None) };
        let row = rows::load::<AccountId>(&*self.inner.store, &keys::tenant(app, tenant)).await?;
        let Some(kept) = row else { return Ok(None) };
        let account = self.account(&kept.value).await?;
        Ok(Some((kept, account)))
    }

    /// The writes that make an account the installation at its place.
    pub(crate) fn settle_in(id: &AccountId, place: &Place, kept: Option<&rows::Kept<AccountId>>) -> Vec<Write> {
        let Place::Installed { app, tenant } = place else { return Vec::new() };
        let when = kept.map_or(When::Absent, |kept| When::Version(kept.version));
        let index = rows::put(keys::installed(app, id), id, None, When::Always);
        vec![rows::put(keys::tenant(app, tenant), id, None, when), index]
    }

    pub(crate) fn forget_tenants(&self, id: &AccountId) {
        if let Ok(mut known) = self.inner.tenants.known.write() {
            known.retain(|(app, _), (_, installation)| app != id && installation != id);
        }
    }
}

/// An installation, with what it shares of its app: secrets and settings that it has none of its own of.
pub(crate) fn share(app: &Opened, own: Opened) -> Opened {
    let Opened { mut account, secrets } = own;
    let mut shared: Secrets = app.secrets.expose().collect();
    secrets.expose().for_each(|(name, value)| shared.set(name, value));
    match (&app.account.settings, &mut account.settings) {
        (Value::Object(apps), Value::Object(own)) => {
            for (name, value) in apps {
                own.entry(name).or_insert_with(|| value.clone());
            }
        }
        (apps, own @ Value::Null) => own.clone_from(apps),
        _ => {}
    }
    Opened { account, secrets: shared }
}
