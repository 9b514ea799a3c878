//! What changes for an owner, told as it happens and kept for a day, so that a client that comes again misses nothing.
//! It must not be on the way of messages: only what people manage is told here, and never words.
//!
//! A change is written in the commit that makes it ([`Engine::note`]), with a number that grows by one per owner; where
//! many may change at once (deliveries, accounts, rooms) it is written just after ([`Engine::announce`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sameroom_model::{OwnerId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::ports::{Commit, CommitError, Key, Unavailable, When};
use crate::{Engine, keys, rows};

/// For how long changes can be asked for.
const KEEP: Duration = Duration::from_hours(24);
/// How many changes may wait to be written for one owner; more are dropped, as the things themselves can be listed.
const PENDING_MAX: usize = 1000;
/// How many are written in one commit.
const BATCH: usize = 50;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Counts an owner's changes, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: ChangeKind,
    /// To what: its id. For a room `account/key`, both escaped as in [`crate::keys::join`]; for a guest `portal/guest`.
    pub id: String,
    /// Whose it is.
    pub owner: OwnerId,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ChangeKind {$(
            $(#[$doc])*
            #[serde(rename = $text)]
            $name,
        )*}

        impl ChangeKind {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name, for example `tube.made`.
            pub fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text),*}
            }
        }
    };
}

kinds! {
    /// A Tube was made.
    TubeMade = "tube.made",
    /// A Tube was paused, resumed, broken, or a side of it changed.
    TubeChanged = "tube.changed",
    /// A Tube was removed.
    TubeRemoved = "tube.removed",
    /// A Portal was made.
    PortalMade = "portal.made",
    /// A Portal's options or token changed, or it was used.
    PortalChanged = "portal.changed",
    /// A Portal was revoked.
    PortalRevoked = "portal.revoked",
    /// Somebody came through a Portal, and waits or is connected.
    GuestCame = "guest.came",
    /// A guest was approved or refused, or their Tube removed.
    GuestChanged = "guest.changed",
    /// An account was added, or how it fares changed.
    AccountChanged = "account.changed",
    /// An account was removed.
    AccountRemoved = "account.removed",
    /// A room was added, renamed, or its options changed.
    RoomChanged = "room.changed",
    /// A room was removed.
    RoomRemoved = "room.removed",
    /// An API key was made.
    KeyMade = "key.made",
    /// An API key was revoked.
    KeyRevoked = "key.revoked",
    /// The owner's own name or address changed.
    OwnerChanged = "owner.changed",
    /// A delivery failed for good.
    DeliveryFailed = "delivery.failed",
}

/// Changes after a given one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// Ask for those after this one next.
    pub next: u64,
    /// Whether some that came before these are no longer kept (or never were): read everything anew.
    pub missed: bool,
}

/// Follows an owner's changes. See [`Engine::watch`].
#[derive(Debug)]
pub struct Following {
    engine: Engine,
    owner: OwnerId,
    seen: u64,
    news: watch::Receiver<u64>,
}

/// Those who follow, and what is still to be written.
#[derive(Default)]
pub(crate) struct Changes {
    followed: Mutex<HashMap<OwnerId, watch::Sender<u64>>>,
    pending: Mutex<HashMap<OwnerId, VecDeque<(ChangeKind, String)>>>,
}

/// Whom to wake once a commit is made.
#[derive(Debug, Default)]
#[must_use = "followers are woken by it"]
pub(crate) struct News(Vec<(OwnerId, u64)>);

/// The number of an owner's last change.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Head {
    last: u64,
}

impl Engine {
    /// An owner's changes after the one numbered, oldest first, at most `limit`.
    pub async fn changes_since(&self, owner: &OwnerId, after: u64, limit: usize) -> Result<Since, Unavailable> {
        let store = &*self.inner.store;
        let last = self.last_change(owner).await?;
        if after > last {
            return Ok(Since { changes: Vec::new(), next: last, missed: true });
        }
        let partition = keys::changes_partition(owner);
        let page = store.query(&partition, keys::SEQ, Some(&keys::change_sort(after)), limit.max(1)).await?;
        let mut since = Since { next: after, ..Since::default() };
        for (sort, row) in page {
            let key = Key { partition: partition.clone(), sort };
            since.changes.push(rows::decode::<Change>(&key, &row)?.value);
        }
        match (since.changes.first(), since.changes.last()) {
            (Some(first), Some(newest)) => (since.missed, since.next) = (first.seq > after + 1, newest.seq),
            _ => (since.missed, since.next) = (after < last, last),
        }
        Ok(since)
    }

    /// Follows an owner's changes after the one numbered; `None`: from now on.
    pub async fn watch(&self, owner: &OwnerId, after: Option<u64>) -> Result<Following, Unavailable> {
        let news = self.followers_of(owner);
        let seen = match after {
            Some(after) => after,
            None => self.last_change(owner).await?,
        };
        Ok(Following { engine: self.clone(), owner: owner.clone(), seen, news })
    }

    /// The number of an owner's last change; 0: there was none.
    pub async fn last_change(&self, owner: &OwnerId) -> Result<u64, Unavailable> {
        let kept = rows::load::<Head>(&*self.inner.store, &keys::changes_head(owner)).await?;
        Ok(kept.map_or(0, |kept| kept.value.last))
    }

    /// Adds changes to the commit that makes them: all of them in one call. The commit then conflicts with another
    /// change of the same owner, so it must be one that is tried again.
    pub(crate) async fn note(
        &self,
        commit: &mut Commit,
        changes: &[(&OwnerId, ChangeKind, String)],
    ) -> Result<News, Unavailable> {
        let at = self.inner.clock.now();
        let expires = at.checked_add(KEEP).ok();
        let mut news = News::default();
        let mut told = HashSet::new();
        for (owner, ..) in changes {
            if !told.insert(*owner) {
                continue;
            }
            let head = keys::changes_head(owner);
            let kept = rows::load::<Head>(&*self.inner.store, &head).await?;
            let mut seq = kept.as_ref().map_or(0, |kept| kept.value.last);
            let mut said = HashSet::new();
            for (_, kind, id) in changes.iter().filter(|(whose, ..)| whose == owner) {
                // A Tube whose two sides are theirs changes once.
                if !said.insert((kind, id)) {
                    continue;
                }
                seq += 1;
                let change = Change { seq, at, kind: *kind, id: id.clone(), owner: (*owner).clone() };
                commit.writes.push(rows::put(keys::change(owner, seq), &change, expires, When::Always));
            }
            commit.writes.push(rows::put(head, &Head { last: seq }, None, rows::unchanged(kept.as_ref())));
            news.0.push(((*owner).clone(), seq));
        }
        Ok(news)
    }

    /// Wakes those who follow, once what they wait for is committed.
    pub(crate) fn wake(&self, news: News) {
        let mut followed = self.inner.told.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for (owner, seq) in news.0 {
            if let Some(sender) = followed.get(&owner) {
                if sender.receiver_count() == 0 {
                    followed.remove(&owner);
                } else {
                    sender.send_modify(|last| *last = seq.max(*last));
                }
            }
        }
    }

    /// Tells of a change that is made already. Many at once are written together, a little later; should the process
    /// end in between they are not told.
    pub(crate) fn announce(&self, owner: &OwnerId, kind: ChangeKind, id: impl Into<String>) {
        let change = (kind, id.into());
        let mut pending = self.inner.told.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = pending.get_mut(owner) {
            if waiting.len() < PENDING_MAX && waiting.back() != Some(&change) {
                waiting.push_back(change);
            }
            return;
        }
        pending.insert(owner.clone(), VecDeque::from([change]));
        drop(pending);
        let (engine, owner) = (self.clone(), owner.clone());
        tokio::spawn(async move { engine.write_pending(&owner).await });
    }

    /// Writes what waits for an owner, until nothing does.
    async fn write_pending(&self, owner: &OwnerId) {
        loop {
            let batch: Vec<_> = {
                let mut pending = self.inner.told.pending.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(waiting) = pending.get_mut(owner) else { return };
                if waiting.is_empty() {
                    pending.remove(owner);
                    return;
                }
                let count = waiting.len().min(BATCH);
                waiting.drain(..count).collect()
            };
            if let Err(why) = self.write_changes(owner, &batch).await {
                tracing::warn!(%owner, %why, "what changed can't be told");
            }
        }
    }

    async fn write_changes(&self, owner: &OwnerId, batch: &[(ChangeKind, String)]) -> Result<(), Unavailable> {
        let changes: Vec<_> = batch.iter().map(|(kind, id)| (owner, *kind, id.clone())).collect();
        loop {
            let mut commit = Commit::default();
            let news = self.note(&mut commit, &changes).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.wake(news);
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    fn followers_of(&self, owner: &OwnerId) -> watch::Receiver<u64> {
        let mut followed = self.inner.told.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|_, sender| sender.receiver_count() > 0);
        followed.entry(owner.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

impl Following {
    /// The number of the last change that was told, or from which on it began.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Waits until something changed, and tells what: at least one change, or that some were missed.
    pub async fn next(&mut self) -> Result<Since, Unavailable> {
        loop {
            self.news.mark_unchanged();
            let since = self.engine.changes_since(&self.owner, self.seen, BATCH).await?;
            self.seen = since.next;
            if since.missed || !since.changes.is_empty() {
                return Ok(since);
            }
            // The sender goes only when nobody follows, and we do; time out all the same, for other processes' sake.
            let _ = tokio::time::timeout(self.engine.inner.config.look_again, self.news.changed()).await;
        }
    }
}
