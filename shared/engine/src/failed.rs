//! Deliveries that nobody took, and requests that were proven but not understood: kept for a while, listed with their
//! reasons, and replayed on demand. Nothing disappears silently (promise 4).

use std::time::Duration;

use bytes::Bytes;
use sameroom_model::{AccountId, Delivery, Job, OwnerId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::ports::{Commit, CommitError, Key, NewJob, QueueName, Tally, Unavailable, When, Write};
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

/// A request that was proven but not understood, or a job that could not be read, whole.
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
    /// For a job: the queue that it was on, and its group there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<(QueueName, String)>,
    /// Whether a held connection was told it, so that it bears no signature.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
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
            let mut job = self.outbox(delivery).await?;
            // It may have been there a moment ago: this is another job.
            job.dedup = job.dedup.map(|_| keys::digest(&[id, &kept.version.to_string()]));
            let mut commit = Commit { tally: vec![(Tally::Owed, 1)], ..Commit::default() };
            self.put(&delivery.lane, job, &mut commit, |_| ()).await?;
            let gone = Write::Delete { key: key.clone(), when: When::Version(kept.version) };
            match self.commit_replay(commit, gone).await {
                Ok(()) => return Ok(true),
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
        if let Some((queue, group)) = &letter.job {
            return self.replay_job(key, kept.version, &letter, *queue, group).await;
        }
        let Some(request) = letter.request() else { return Ok(Err("its headers or body are damaged".to_owned())) };
        let Some(open) = self.open(&letter.account).await? else {
            return Ok(Err(format!("the account {} is gone", letter.account)));
        };
        let read = if letter.told {
            open.platform.overhear(&open.opened, request.body(), letter.at)
        } else {
            open.platform.receive(&open.opened, &request, letter.at)
        };
        match read {
            Err(e) => Ok(Err(e.to_string())),
            Ok(webhook) => {
                let heard = self.route(&open, webhook).await?;
                let sends = heard.events.iter().map(crate::ingest::job).collect();
                let gone = Write::Delete { key, when: When::Always };
                match self.commit_replay(Commit { sends, ..Commit::default() }, gone).await {
                    Ok(()) => Ok(Ok(true)),
                    Err(CommitError::Conflict) => Err(Unavailable::new("a commit without condition conflicted")),
                    Err(CommitError::Unavailable(e)) => Err(e),
                }
            }
        }
    }

    async fn replay_job(
        &self,
        key: Key,
        version: u64,
        letter: &Letter,
        queue: QueueName,
        group: &str,
    ) -> Result<Result<bool, String>, Unavailable> {
        let body = data_encoding::BASE64.decode(letter.body.as_bytes()).unwrap_or_default();
        if serde_json::from_slice::<Job>(&body).ok().is_none_or(|job| job.v != Job::VERSION) {
            return Ok(Err(letter.why.clone()));
        }
        let job = NewJob {
            queue,
            group: group.to_owned(),
            dedup: (!self.inner.store.whole()).then(|| keys::digest(&[&key.sort, &version.to_string()])),
            body,
            attempts: 0,
            maybe: true,
            delay: Duration::ZERO,
        };
        loop {
            let mut commit = Commit::default();
            if queue != QueueName::Events {
                commit.tally.push((Tally::Owed, 1));
            }
            match keys::lane_of(group) {
                Some(lane) if queue != QueueName::Events => self.put(&lane, job.clone(), &mut commit, |_| ()).await?,
                _ => commit.sends.push(job.clone()),
            }
            let gone = Write::Delete { key: key.clone(), when: When::Version(version) };
            match self.commit_replay(commit, gone).await {
                Ok(()) => return Ok(Ok(true)),
                Err(CommitError::Conflict) if self.inner.store.get(&key).await?.is_none() => return Ok(Ok(false)),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// The write that keeps a job that can't be read or worked on. It is its account's owner's.
    pub(crate) async fn job_letter(
        &self,
        queue: QueueName,
        group: &str,
        body: &[u8],
        why: &str,
    ) -> Result<Write, Unavailable> {
        let account = match queue {
            QueueName::Events => keys::room_of(group).map(|room| room.account),
            QueueName::Outbox | QueueName::Held => keys::lane_of(group).map(|lane| lane.to.account),
        };
        let known = match &account {
            Some(account) => self.account(account).await?,
            None => None,
        };
        let owner = known.map_or_else(|| OwnerId::from("operator"), |account| account.owner);
        let body = data_encoding::BASE64.encode(body);
        Ok(self.keep(
            &owner,
            Letter {
                id: String::new(),
                at: self.inner.clock.now(),
                why: why.to_owned(),
                account: account.unwrap_or_else(|| AccountId::from("")),
                path: String::new(),
                headers: Vec::new(),
                body,
                job: Some((queue, group.to_owned())),
                told: false,
            },
        ))
    }

    fn keep(&self, owner: &OwnerId, mut letter: Letter) -> Write {
        let group = letter.job.as_ref().map_or("", |(_, group)| group);
        letter.id = keys::failed_sort(letter.at, &keys::digest(&[letter.account.as_str(), &letter.body, group]));
        let key = Key { partition: keys::letters_partition(owner), sort: letter.id.clone() };
        rows::put(key, &letter, letter.at.checked_add(self.inner.config.keep_failed).ok(), When::Always)
    }

    /// The write that keeps a delivery that nobody took.
    pub(crate) async fn failure(&self, delivery: &Delivery, why: &str) -> Result<Write, Unavailable> {
        let account = self.account(&delivery.lane.to.account).await?;
        let owner = account.map_or_else(|| OwnerId::from("operator"), |account| account.owner);
        let at = self.inner.clock.now();
        // What may be done twice must be listed once: there a delivery has its place from its origin on.
        let place = if self.inner.store.whole() { at } else { delivery.origin.at };
        let key = keys::failed(&owner, place, &delivery.id);
        tracing::warn!(delivery = %delivery.id, why, "a delivery failed for good; it can be replayed");
        let failed = Failed { id: key.sort.clone(), at, why: why.to_owned(), delivery: delivery.clone() };
        self.announce(&owner, ChangeKind::DeliveryFailed, failed.id.as_str());
        Ok(rows::put(key, &failed, at.checked_add(self.inner.config.keep_failed).ok(), When::Always))
    }

    /// The write that keeps a request that was not understood.
    pub(crate) fn letter(
        &self,
        owner: &OwnerId,
        account: &AccountId,
        request: &http::Request<Bytes>,
        told: bool,
        why: &str,
    ) -> Write {
        self.keep(
            owner,
            Letter {
                id: String::new(),
                at: self.inner.clock.now(),
                why: why.to_owned(),
                account: account.clone(),
                path: request.uri().to_string(),
                headers: request
                    .headers()
                    .iter()
                    .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                    .collect(),
                body: data_encoding::BASE64.encode(request.body()),
                job: None,
                told,
            },
        )
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
