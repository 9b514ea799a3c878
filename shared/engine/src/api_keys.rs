//! API keys: making, proving, revoking. The token is shown once and kept as a hash alone. Proving is cached for half a
//! minute, so a key that another process revoked is refused after that at the latest; in this one, at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sameroom_model::{ApiKey, Caller, KeyId, OwnerId, Scope, Timestamp};
use sameroom_text::names;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::page::{Page, read};
use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::{Engine, keys, rows, tokens};

/// What tokens of API keys begin with, so that scanners know them.
pub const KEY_PREFIX: &str = "sr_";

/// How long a proof is used without looking again.
const FRESH_MS: i64 = 30_000;
/// How often it is noted that a key is used.
const NOTE_MS: i64 = 60_000;
/// How many proofs are remembered.
const PROOFS_MAX: usize = 4096;
/// The longest name, in graphemes.
const NAME_MAX: usize = 80;
/// How much of a token is shown later.
const HINT: usize = 8;

/// Proofs by the token's hash.
#[derive(Default)]
pub(crate) struct Proofs {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    proofs: HashMap<String, Proof>,
    revocations: u64,
}

#[derive(Clone)]
struct Proof {
    caller: Caller,
    read_at: Timestamp,
    expires: Option<Timestamp>,
    used: Option<Timestamp>,
}

/// Whose a key is: the row that its hash leads to.
#[derive(Debug, Serialize, Deserialize)]
struct Whose {
    owner: OwnerId,
    id: KeyId,
}

impl Engine {
    /// Makes a key for an owner. The token is told here and never again. `None`: there is no such owner.
    pub async fn add_key(
        &self,
        owner: &OwnerId,
        name: &str,
        scopes: &BTreeSet<Scope>,
        expires: Option<Timestamp>,
    ) -> Result<Option<(ApiKey, SecretString)>, Unavailable> {
        if self.owner(owner).await?.is_none() {
            return Ok(None);
        }
        loop {
            let token = self.new_token(KEY_PREFIX)?;
            let hash = tokens::hash(&token);
            let key = ApiKey {
                id: key_id(&hash),
                owner: owner.clone(),
                name: names::clean(name, NAME_MAX),
                scopes: scopes.clone(),
                made_at: self.inner.clock.now(),
                expires,
                last_used: None,
                revoked: None,
                hint: token.expose_secret()[..HINT].to_owned(),
            };
            let whose = Whose { owner: owner.clone(), id: key.id.clone() };
            let mut commit = Commit::default();
            commit.writes.push(rows::put(keys::owner_key(owner, &key.id), &key, None, When::Absent));
            commit.writes.push(rows::put(keys::key_hash(&hash), &whose, None, When::Absent));
            let news = self.note(&mut commit, &[(owner, ChangeKind::KeyMade, key.id.to_string())]).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.wake(news);
                    return Ok(Some((key, token)));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Who calls with that token. `None`: nobody; whether it is mistyped, unknown, revoked or over is not told.
    pub async fn authenticate(&self, token: &SecretString) -> Result<Option<Caller>, Unavailable> {
        if !tokens::well_formed(KEY_PREFIX, token.expose_secret()) {
            return Ok(None);
        }
        let (hash, now) = (tokens::hash(token), self.inner.clock.now());
        let proof = match self.inner.proofs.get(&hash, now) {
            Some(proof) => proof,
            None => match self.prove(&hash, now).await? {
                Some(proof) => proof,
                None => return Ok(None),
            },
        };
        if proof.expires.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        if proof.used.is_none_or(|used| now.as_millisecond() - used.as_millisecond() >= NOTE_MS) {
            self.inner.proofs.used(&hash, now);
            let (engine, caller) = (self.clone(), proof.caller.clone());
            // Behind the request: nobody waits for it, and nothing is lost with it but a minute.
            tokio::spawn(async move { engine.note_use(&caller, now).await });
        }
        Ok(Some(proof.caller))
    }

    /// An owner's keys, revoked ones too, in order of id.
    pub async fn keys(&self, owner: &OwnerId, after: Option<&str>, limit: usize) -> Result<Page<ApiKey>, Unavailable> {
        let page = read(&*self.inner.store, &keys::owner(owner), keys::KEY, after, limit).await?;
        let items = page.items.iter().map(|(key, row)| rows::decode(key, row).map(|kept| kept.value));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
    }

    /// One key of an owner.
    pub async fn key(&self, owner: &OwnerId, id: &KeyId) -> Result<Option<ApiKey>, Unavailable> {
        let kept = rows::load::<ApiKey>(&*self.inner.store, &keys::owner_key(owner, id)).await?;
        Ok(kept.map(|kept| kept.value))
    }

    /// Revokes a key, for good. `None`: the owner has none of that id.
    pub async fn revoke_key(&self, owner: &OwnerId, id: &KeyId) -> Result<Option<ApiKey>, Unavailable> {
        let row = keys::owner_key(owner, id);
        loop {
            let Some(mut kept) = rows::load::<ApiKey>(&*self.inner.store, &row).await? else { return Ok(None) };
            if kept.value.revoked.is_some() {
                self.inner.proofs.forget(id);
                return Ok(Some(kept.value));
            }
            kept.value.revoked = Some(self.inner.clock.now());
            let mut commit = Commit::default();
            commit.writes.push(rows::put(row.clone(), &kept.value, None, When::Version(kept.version)));
            let news = self.note(&mut commit, &[(owner, ChangeKind::KeyRevoked, id.to_string())]).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.inner.proofs.forget(id);
                    self.wake(news);
                    return Ok(Some(kept.value));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    async fn prove(&self, hash: &str, now: Timestamp) -> Result<Option<Proof>, Unavailable> {
        let store = &*self.inner.store;
        let revocations = self.inner.proofs.revocations();
        let Some(whose) = rows::load::<Whose>(store, &keys::key_hash(hash)).await? else { return Ok(None) };
        let Whose { owner, id } = whose.value;
        let Some(key) = self.key(&owner, &id).await? else { return Ok(None) };
        if key.revoked.is_some() {
            return Ok(None);
        }
        let caller = Caller { owner, key: id, scopes: Scope::closure(&key.scopes) };
        let proof = Proof { caller, read_at: now, expires: key.expires, used: key.last_used };
        self.inner.proofs.keep(hash, proof.clone(), revocations);
        Ok(Some(proof))
    }

    async fn note_use(&self, caller: &Caller, now: Timestamp) {
        let row = keys::owner_key(&caller.owner, &caller.key);
        let Ok(Some(mut kept)) = rows::load::<ApiKey>(&*self.inner.store, &row).await else { return };
        kept.value.last_used = Some(now);
        let writes = vec![rows::put(row, &kept.value, None, When::Version(kept.version))];
        // Somebody may just have revoked it: then that stands, and not this.
        let _ = self.inner.store.commit(Commit { writes, ..Commit::default() }).await;
    }
}

impl Proofs {
    fn get(&self, hash: &str, now: Timestamp) -> Option<Proof> {
        let proof = self.lock().proofs.get(hash).cloned()?;
        let age = now.as_millisecond() - proof.read_at.as_millisecond();
        (0..FRESH_MS).contains(&age).then_some(proof)
    }

    /// Keeps a proof, unless a key was revoked since it was read: then it may be of that one.
    fn keep(&self, hash: &str, proof: Proof, revocations: u64) {
        let mut known = self.lock();
        if known.revocations != revocations {
            return;
        }
        if known.proofs.len() >= PROOFS_MAX && !known.proofs.contains_key(hash) {
            known.proofs.clear();
        }
        known.proofs.insert(hash.to_owned(), proof);
    }

    /// Notes that a use is being written down.
    fn used(&self, hash: &str, now: Timestamp) {
        if let Some(proof) = self.lock().proofs.get_mut(hash) {
            proof.used = Some(now);
        }
    }

    /// Drops what is known of a key that was revoked.
    fn forget(&self, id: &KeyId) {
        let mut known = self.lock();
        known.revocations += 1;
        known.proofs.retain(|_, proof| proof.caller.key != *id);
    }

    fn revocations(&self) -> u64 {
        self.lock().revocations
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_id(hash: &str) -> KeyId {
    format!("key-{}", keys::digest(&["api key", hash])).into()
}
