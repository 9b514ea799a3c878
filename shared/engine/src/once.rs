//! Requests that are to be done once, however often they are sent: by key and body, for a day, across restarts. Answers
//! are kept sealed, since some show a token that is shown once. It must not know what the requests are about.

use std::time::Duration;

use sameroom_model::{OwnerId, Sealed};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ports::{Commit, CommitError, Key, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// For how long an answer is kept.
const KEEP: Duration = Duration::from_hours(24);
/// For how long a request without an answer counts as running: longer than any takes. After that the process that ran
/// it is taken for dead.
const RUN: Duration = Duration::from_mins(2);

/// What became of a request that is to be done once.
#[derive(Debug)]
pub enum Once {
    /// It is new: do it, then give the ticket back.
    First(Ticket),
    /// It was done; this is how it was answered.
    Before(Answered),
    /// It is being done.
    Running,
    /// The key was used for another request.
    Different,
}

/// An answer, kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The headers to send again.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The right to do a request. To be given back by [`Engine::finish_once`] or [`Engine::forget_once`].
#[derive(Debug)]
#[must_use = "the request counts as running until it is given back"]
pub struct Ticket {
    key: Key,
    hash: String,
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The SHA-256 of the body.
    hash: String,
    /// `None`: it is running.
    answer: Option<Sealed>,
}

impl Engine {
    /// Whether a request is new. `asked`: what is asked for, the body aside.
    pub async fn begin_once(&self, owner: &OwnerId, asked: &str, key: &str, body: &[u8]) -> Result<Once, Unavailable> {
        let row = keys::once(owner, asked, key);
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(body));
        loop {
            if let Some(kept) = rows::load::<Kept>(&*self.inner.store, &row).await? {
                if kept.value.hash != hash {
                    return Ok(Once::Different);
                }
                let Some(sealed) = kept.value.answer else { return Ok(Once::Running) };
                let clear = self.inner.vault.open(&context(&row), &sealed).await?;
                let answered = serde_json::from_slice(&clear)
                    .map_err(|_| Unavailable::new("an answer that was kept can't be read"))?;
                return Ok(Once::Before(answered));
            }
            let running = Kept { hash: hash.clone(), answer: None };
            let expires = self.inner.clock.now().checked_add(RUN).ok();
            let writes = vec![rows::put(row.clone(), &running, expires, When::Absent)];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => {
                    let version = self.inner.store.get(&row).await?.map_or(1, |row| row.version);
                    return Ok(Once::First(Ticket { key: row, hash, version }));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Keeps the answer to a request. What can't be kept is only logged: the request is done.
    pub async fn finish_once(&self, ticket: Ticket, answered: &Answered) {
        let kept = async {
            let sealed = self.inner.vault.seal(&context(&ticket.key), &rows::encode(answered)).await?;
            let kept = Kept { hash: ticket.hash, answer: Some(sealed) };
            let expires = self.inner.clock.now().checked_add(KEEP).ok();
            let write = rows::put(ticket.key, &kept, expires, When::Version(ticket.version));
            self.settle_once(write).await
        };
        if let Err(e) = kept.await {
            tracing::warn!(error = %e, "the answer to a request could not be kept; sent again it may be done again");
        }
    }

    /// Forgets a request that did nothing, so that it can be sent again.
    pub async fn forget_once(&self, ticket: Ticket) {
        let write = Write::Delete { key: ticket.key, when: When::Version(ticket.version) };
        if let Err(e) = self.settle_once(write).await {
            tracing::warn!(error = %e, "a request that did nothing counts as running for a while");
        }
    }

    async fn settle_once(&self, write: Write) -> Result<(), Unavailable> {
        match self.inner.store.commit(Commit { writes: vec![write], ..Commit::default() }).await {
            // It took too long, and somebody else does it by now: that answer is kept.
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }
}

/// What a kept answer is bound to.
fn context(row: &Key) -> String {
    keys::join(&["once", &row.partition, &row.sort])
}
