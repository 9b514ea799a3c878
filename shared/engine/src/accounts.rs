//! Accounts: adding, opening, listing, and how they fare. Opened accounts are cached, since opening one costs a call to
//! the vault; every change through this engine drops the cached one, and others' changes are seen within a minute.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use sameroom_model::{Account, AccountId, AccountState, Identity, Opened, OwnerId, Place, Sealed, Secrets, Timestamp};
use sameroom_platforms::{Draft, Platform};

use crate::changes::ChangeKind;
use crate::ports::{Commit, CommitError, Key, Unavailable, When, Write};
use crate::{Engine, keys, platform, rows, tenants};

/// How long an opened account is used without looking again.
pub(crate) const FRESH_MS: i64 = 60_000;

/// Opened accounts by id, with the time they were read.
#[derive(Default)]
pub(crate) struct Accounts {
    opened: RwLock<HashMap<AccountId, (Timestamp, Arc<Open>)>>,
}

/// An opened account and its platform.
pub(crate) struct Open {
    pub(crate) platform: &'static dyn Platform,
    pub(crate) opened: Opened,
}

/// The id of an account: derived, so that adding the same twice changes one and makes none.
pub fn account_id(platform: &str, endpoint: &str, identity: &str) -> AccountId {
    format!("{platform}-{}", keys::digest(&[platform, endpoint, identity])).into()
}

impl Engine {
    /// Adds an account, or brings an existing one up to date: settings are replaced, secrets that are given are
    /// replaced, others kept.
    pub async fn add_account(&self, owner: &OwnerId, draft: &Draft) -> Result<Account, Unavailable> {
        // A place has one installation, whatever it is called by now.
        if let Some((_, Some(known))) = self.holder(&draft.place).await?
            && known.owner == *owner
        {
            return self.add_account_as(known.id, owner, draft).await;
        }
        let id = account_id(draft.platform, &draft.endpoint, &draft.identity.name);
        let known = self.account(&id).await?;
        if known.as_ref().is_none_or(|known| known.owner != *owner)
            && let Some((id, draft)) = self.alike(owner, draft).await?
        {
            return self.add_account_as(id, owner, &draft).await;
        }
        let theirs = known.is_some_and(|known| known.owner != *owner);
        // Somebody else has the same account of their own: this is another one, with its own secrets (promise 6).
        let id = if theirs { format!("{id}-{}", &keys::digest(&[owner.as_str()])[..8]).into() } else { id };
        self.add_account_as(id, owner, draft).await
    }

    /// Likewise under an id of the caller's. An account of another owner is left as it is.
    pub async fn add_account_as(&self, id: AccountId, owner: &OwnerId, draft: &Draft) -> Result<Account, Unavailable> {
        loop {
            let kept = rows::load::<Account>(&*self.inner.store, &keys::account(&id)).await?;
            if kept.as_ref().is_some_and(|kept| kept.value.owner != *owner) {
                return Err(Unavailable::new(format!("the account {id} is another owner's")));
            }
            let mut secrets = match &kept {
                Some(kept) => self.unseal(&kept.value).await?,
                None => Secrets::default(),
            };
            draft.secrets.expose().for_each(|(name, value)| secrets.set(name, value));
            let known = kept.as_ref().map(|kept| &kept.value);
            let mut account = Account {
                id: id.clone(),
                owner: owner.clone(),
                platform: draft.platform.to_owned(),
                endpoint: draft.endpoint.clone(),
                identity: Identity {
                    key: draft.identity.key.clone().or_else(|| known.and_then(|known| known.identity.key.clone())),
                    name: draft.identity.name.clone(),
                },
                settings: draft.settings.clone(),
                secrets: Sealed::default(),
                state: AccountState::Ok,
                place: draft.place.clone(),
                unknown: known.map(|known| known.unknown.clone()).unwrap_or_default(),
            };
            account.secrets = self.seal(&account, &secrets).await?;
            let mut writes = vec![
                rows::put(keys::account(&id), &account, None, rows::unchanged(kept.as_ref())),
                rows::put(keys::owner_account(&account.owner, &id), &(), None, When::Always),
            ];
            if holds(&account, secrets) {
                writes.push(rows::put(keys::held(&id), &id, None, When::Always));
            } else if kept.is_some() {
                writes.push(Write::Delete { key: keys::held(&id), when: When::Always });
            }
            if let Some(why) = self.taken(owner, &account.place).await? {
                return Err(Unavailable::new(why));
            }
            let holder = self.holder(&account.place).await?.map(|(kept, _)| kept);
            writes.extend(Self::settle_in(&id, &account.place, holder.as_ref()));
            let commit = Commit { writes, ..Commit::default() };
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.forget(&id);
                    self.changed();
                    self.account_is_mended(&id);
                    self.announce(owner, ChangeKind::AccountChanged, id.as_str());
                    return Ok(account);
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// An owner's accounts.
    pub async fn accounts(&self, owner: &OwnerId) -> Result<Vec<Account>, Unavailable> {
        let store = &*self.inner.store;
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.query(&keys::owner(owner), keys::ACCOUNT, after.as_deref(), 100).await?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = Some(last.clone());
            for (sort, _) in &page {
                let id = AccountId::from(sort.trim_start_matches(keys::ACCOUNT));
                found.extend(rows::load::<Account>(store, &keys::account(&id)).await?.map(|kept| kept.value));
            }
        }
    }

    /// The accounts of all owners that hold a connection, or would if they had rooms, in order of their ids.
    pub async fn held_accounts(&self) -> Result<Vec<Account>, Unavailable> {
        let store = &*self.inner.store;
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.query(keys::HELD, "", after.as_deref(), 100).await?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = Some(last.clone());
            for (sort, row) in &page {
                let key = Key { partition: keys::HELD.to_owned(), sort: sort.clone() };
                let id = rows::decode::<AccountId>(&key, row)?.value;
                found.extend(self.account(&id).await?);
            }
        }
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Unavailable> {
        Ok(rows::load::<Account>(&*self.inner.store, &keys::account(id)).await?.map(|kept| kept.value))
    }

    /// Notes how an account fares. Returns whether that is news.
    pub async fn set_state(&self, id: &AccountId, state: AccountState) -> Result<bool, Unavailable> {
        let news = self.change_account(id, |account| {
            let news = account.state != state;
            account.state = state.clone();
            news
        });
        let news = news.await?;
        if news && state == AccountState::Ok {
            self.account_is_mended(id);
        }
        Ok(news)
    }

    /// Notes who we are on an account's site.
    pub async fn set_identity(&self, id: &AccountId, identity: Identity) -> Result<bool, Unavailable> {
        self.change_account(id, |account| {
            // The name is part of what the account is; a nick that the server gave for now is not.
            let news = account.identity.key != identity.key;
            account.identity.key.clone_from(&identity.key);
            news
        })
        .await
    }

    /// Opens an account for a held connection.
    pub async fn open_account(&self, id: &AccountId) -> Result<Option<Opened>, Unavailable> {
        Ok(self.open(id).await?.map(|open| open.opened.clone()))
    }

    /// An opened account, from the cache where it is fresh. `None`: there is no such account, or no such platform.
    pub(crate) async fn open(&self, id: &AccountId) -> Result<Option<Arc<Open>>, Unavailable> {
        let now = self.inner.clock.now();
        if let Ok(cache) = self.inner.accounts.opened.read()
            && let Some((read_at, open)) = cache.get(id)
            && now.as_millisecond() - read_at.as_millisecond() < FRESH_MS
        {
            return Ok(Some(open.clone()));
        }
        let Some(kept) = rows::load::<Account>(&*self.inner.store, &keys::account(id)).await? else { return Ok(None) };
        let Some(platform) = platform(&kept.value.platform) else { return Ok(None) };
        let secrets = self.unseal(&kept.value).await?;
        let mut opened = Opened { account: kept.value, secrets };
        if let Place::Installed { app, .. } = &opened.account.place
            && let Some(app) = rows::load::<Account>(&*self.inner.store, &keys::account(app)).await?
        {
            let secrets = self.unseal(&app.value).await?;
            opened = tenants::share(&Opened { account: app.value, secrets }, opened);
        }
        let open = Arc::new(Open { platform, opened });
        if let Ok(mut cache) = self.inner.accounts.opened.write() {
            cache.insert(id.clone(), (now, open.clone()));
        }
        Ok(Some(open))
    }

    async fn change_account(&self, id: &AccountId, change: impl Fn(&mut Account) -> bool) -> Result<bool, Unavailable> {
        loop {
            let key = keys::account(id);
            let Some(mut kept) = rows::load::<Account>(&*self.inner.store, &key).await? else { return Ok(false) };
            if !change(&mut kept.value) {
                return Ok(false);
            }
            let writes: Vec<Write> = vec![rows::put(key, &kept.value, None, When::Version(kept.version))];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => {
                    self.forget(id);
                    self.announce(&kept.value.owner, ChangeKind::AccountChanged, id.as_str());
                    return Ok(true);
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Drops an account from the cache, and its installations, which share what it has.
    pub(crate) fn forget(&self, id: &AccountId) {
        if let Ok(mut cache) = self.inner.accounts.opened.write() {
            cache.remove(id);
            cache.retain(
                |_, (_, open)| !matches!(&open.opened.account.place, Place::Installed { app, .. } if app == id),
            );
        }
        self.forget_tenants(id);
    }

    /// Changes an account and its secrets in one commit. `Ok(None)`: it is gone. Nothing is written where the change
    /// refuses.
    pub(crate) async fn change_secrets<E>(
        &self,
        id: &AccountId,
        change: impl Fn(&mut Account, &mut Secrets) -> Result<(), E>,
    ) -> Result<Option<Result<Account, E>>, Unavailable> {
        loop {
            let key = keys::account(id);
            let Some(mut kept) = rows::load::<Account>(&*self.inner.store, &key).await? else { return Ok(None) };
            let mut secrets = self.unseal(&kept.value).await?;
            if let Err(e) = change(&mut kept.value, &mut secrets) {
                return Ok(Some(Err(e)));
            }
            kept.value.secrets = self.seal(&kept.value, &secrets).await?;
            let writes = vec![rows::put(key, &kept.value, None, When::Version(kept.version))];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => {
                    self.forget(id);
                    self.changed();
                    self.account_is_mended(id);
                    return Ok(Some(Ok(kept.value)));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    async fn seal(&self, account: &Account, secrets: &Secrets) -> Result<Sealed, Unavailable> {
        if secrets.is_empty() {
            return Ok(Sealed::default());
        }
        let pairs: Vec<(&str, &str)> = secrets.expose().collect();
        self.inner.vault.seal(&context(account), &rows::encode(&pairs)).await
    }

    async fn unseal(&self, account: &Account) -> Result<Secrets, Unavailable> {
        if account.secrets.0.is_empty() {
            return Ok(Secrets::default());
        }
        let clear = self.inner.vault.open(&context(account), &account.secrets).await?;
        let pairs: Vec<(String, String)> = serde_json::from_slice(&clear).map_err(|_| {
            Unavailable::new(format!("the secrets of account {} can't be read; add the account again", account.id))
        })?;
        Ok(pairs.into_iter().collect())
    }
}

/// Whether the account's platform holds a connection for it.
fn holds(account: &Account, secrets: Secrets) -> bool {
    let opened = Opened { account: account.clone(), secrets };
    platform(&account.platform).is_some_and(|platform| platform.session(&opened, 0).is_some())
}

/// What the sealed secrets of an account are bound to.
fn context(account: &Account) -> String {
    keys::join(&["account", account.owner.as_str(), account.id.as_str()])
}
