//! Deliveries that nobody took, and requests that were proven but not understood: kept for a while, listed with their
//! reasons, and replayed on demand. Nothing disappears silently (promise 4).

use bytes::Bytes;
use sameroom_model::{AccountId, Delivery, OwnerId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::link::LaneRow;
use crate::ports::{Commit, CommitError, Key, Tally, Unavailable, When, Write};
use crate::relay::{outbox, raise};
use crate::{Engine, keys, rows};

/// A delivery that nobody took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Names it in [`Engine::replay`].
    pub id: String,
    /// When it was given up.
    pub at: Timestamp,
    /// Why, in a sentence.
    pub why: String,
    /// The delivery.
    pub delivery: Delivery,
}

/// A request that was proven but not understood, whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Names it in [`Engine::replay_letter`].
    pub id: String,
    /// When it came.
    pub at: Timestamp,
    /// Why it was not understood.
    pub why: String,
    /// The account that it came for.
    pub account: AccountId,
    /// Its path below the account's.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body, in base64.
    pub body: String,
}

impl Engine {
    /// An owner's failed deliveries, oldest first, after the one named.
    pub async fn failed(&self, owner: &OwnerId, after: Option<&str>, limit: usize) -> Result<Vec<Failed>, Unavailable> {
        self.page(&keys::failed_partition(owner), after, limit).await
    }

    /// Puts a failed delivery into its lane's outbox again. `false`: there is none of that id.
    pub async fn replay(&self, owner: &OwnerId, id: &str) -> Result<bool, Unavailable> {
        let key = Key { partition: keys::failed_partition(owner), sort: id.to_owned() };
        loop {
            let Some(kept) = rows::load::<Failed>(&*self.inner.store, &key).await? else { return Ok(false) };
            let delivery = &kept.value.delivery;
            let lane = rows::load::<LaneRow>(&*self.inner.store, &keys::lane(&delivery.lane)).await?;
            let commit = Commit {
                writes: vec![
                    Write::Delete { key: key.clone(), when: When::Version(kept.version) },
                    raise(&delivery.lane, lane.as_ref(), |_| ()),
                ],
                sends: vec![outbox(delivery)],
                tally: vec![(Tally::Owed, 1)],
                ..Commit::default()
            };
            match self.inner.store.commit(commit).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// An owner's requests that were not understood, oldest first, after the one named.
    pub async fn letters(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Letter>, Unavailable> {
        self.page(&keys::letters_partition(owner), after, limit).await
    }

    /// Reads a kept request again, as of the time it came. `Ok(Err(_))`: it is still not understood, and stays.
    pub async fn replay_letter(&self, owner: &OwnerId, id: &str) -> Result<Result<bool, String>, Unavailable> {
        let key = Key { partition: keys::letters_partition(owner), sort: id.to_owned() };
        let Some(kept) = rows::load::<Letter>(&*self.inner.store, &key).await? else { return Ok(Ok(false)) };
        let letter = kept.value;
        let Some(request) = letter.request() else { return Ok(Err("its headers or body are damaged".to_owned())) };
        let Some(open) = self.open(&letter.account).await? else {
            return Ok(Err(format!("the account {} is gone", letter.account)));
        };
        match open.platform.receive(&open.opened, &request, letter.at) {
            Err(e) => Ok(Err(e.to_string())),
            Ok(webhook) => {
                let sends = webhook.events.iter().map(crate::ingest::job).collect();
                let writes = vec![Write::Delete { key, when: When::Always }];
                self.commit_always(Commit { writes, sends, ..Commit::default() }).await?;
                Ok(Ok(true))
            }
        }
    }

    /// The write that keeps a delivery that nobody took.
    pub(crate) async fn failure(&self, delivery: &Delivery, why: &str) -> Result<Write, Unavailable> {
        let account = self.account(&delivery.lane.to.account).await?;
        let owner = account.map_or_else(|| OwnerId::from("operator"), |account| account.owner);
        let at = self.inner.clock.now();
        let key = keys::failed(&owner, at, &delivery.id);
        tracing::warn!(delivery = %delivery.id, why, "a delivery failed for good; it can be replayed");
        let failed = Failed { id: key.sort.clone(), at, why: why.to_owned(), delivery: delivery.clone() };
        Ok(rows::put(key, &failed, at.checked_add(self.inner.config.keep_failed).ok(), When::Always))
    }

    /// The write that keeps a request that was not understood.
    pub(crate) fn letter(
        &self,
        owner: &OwnerId,
        account: &AccountId,
        request: &http::Request<Bytes>,
        why: &str,
    ) -> Write {
        let at = self.inner.clock.now();
        let body = data_encoding::BASE64.encode(request.body());
        let sort = keys::failed_sort(at, &keys::digest(&[account.as_str(), &body]));
        let letter = Letter {
            id: sort.clone(),
            at,
            why: why.to_owned(),
            account: account.clone(),
            path: request.uri().to_string(),
            headers: request
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
            body,
        };
        let key = Key { partition: keys::letters_partition(owner), sort };
        rows::put(key, &letter, at.checked_add(self.inner.config.keep_failed).ok(), When::Always)
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        partition: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<T>, Unavailable> {
        let page = self.inner.store.query(partition, "", after, limit).await?;
        page.into_iter()
            .map(|(sort, row)| {
                let key = Key { partition: partition.to_owned(), sort };
                rows::decode(&key, &row).map(|kept| kept.value)
            })
            .collect()
    }
}

impl Letter {
    fn request(&self) -> Option<http::Request<Bytes>> {
        let mut request = http::Request::builder().method("POST").uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = data_encoding::BASE64.decode(self.body.as_bytes()).ok()?;
        request.body(Bytes::from(body)).ok()
    }
}
