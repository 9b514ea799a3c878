//! What crosses, as it happens, for whoever watches: from where, to where, what kind, what became of it and how long it
//! took. Words only for an owner who asked for them. Nothing is kept, and nothing is made while nobody watches; it tells
//! of this process alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sameroom_model::{AccountId, Action, Delivery, Outcome, OwnerId, RoomRef, Text, Timestamp};
use sameroom_text::names::{clean, excerpt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::Engine;
use crate::attempt::Verdict;

/// How many wait for a slow watcher; the oldest are dropped after that.
const WAITING_MAX: usize = 1024;
/// The longest words that are told, in graphemes.
const WORDS_MAX: usize = 400;
/// The longest name that is told, in graphemes.
const NAME_MAX: usize = 80;

/// One attempt at one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// When it was settled.
    pub at: Timestamp,
    /// The room that it came from; for a notice, the room that it goes to.
    pub from: RoomRef,
    /// The room that it goes to.
    pub to: RoomRef,
    /// What it was to do.
    pub kind: Crossed,
    /// What became of it.
    pub landing: Landing,
    /// How long it took since the event was accepted that it is made of.
    pub took: Duration,
    /// What it says; only for a watcher who asked for words, and only where the owner of the room that it came from
    /// asked, or it was delivered to a room of the owner who asked.
    pub words: Option<Words>,
}

/// What a delivery says, on one line: no control or invisible characters, at most 400 graphemes. Its formatter shows
/// nothing, so that it is not logged by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// Who says it, as the target is told; empty for a notice.
    pub author: String,
    /// The words; for a reaction its emoji.
    pub text: String,
    /// Those who may read them.
    readers: Vec<OwnerId>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words(..)")
    }
}

/// What a delivery was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// To post a message.
    Message,
    /// To change one.
    Edit,
    /// To delete one.
    Deletion,
    /// To react to one.
    Reaction,
    /// To say something of Sameroom's own.
    Notice,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The target took it.
    Delivered,
    /// There was nothing to do there.
    LeftOut,
    /// It waits and is tried again; a sentence says why.
    Waits(String),
    /// It failed for good; a sentence says why.
    Failed(String),
}

/// Those who watch.
pub(crate) struct Watchers {
    sender: broadcast::Sender<Crossing>,
    /// How many watchers of each owner asked for words.
    readers: Arc<Mutex<HashMap<OwnerId, usize>>>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { sender: broadcast::channel(WAITING_MAX).0, readers: Arc::default() }
    }
}

/// Watches what crosses. See [`Engine::crossings`].
#[derive(Debug)]
pub struct Watching {
    receiver: broadcast::Receiver<Crossing>,
    reader: Option<Reader>,
}

/// Somebody who asked for words, until they go.
#[derive(Debug)]
struct Reader {
    owner: OwnerId,
    all: Arc<Mutex<HashMap<OwnerId, usize>>>,
}

impl Watching {
    /// The next crossing; what a slow watcher misses is left out. `None`: there will be none.
    pub async fn next(&mut self) -> Option<Crossing> {
        loop {
            match self.receiver.recv().await {
                Ok(mut crossing) => {
                    let reader = self.reader.as_ref().map(|reader| &reader.owner);
                    crossing.words = crossing.words.filter(|words| words.readers.iter().any(|may| Some(may) == reader));
                    return Some(crossing);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Reader {
    fn new(owner: OwnerId, all: &Arc<Mutex<HashMap<OwnerId, usize>>>) -> Self {
        *all.lock().unwrap_or_else(PoisonError::into_inner).entry(owner.clone()).or_default() += 1;
        Self { owner, all: all.clone() }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.owner) {
            *count -= 1;
        }
        all.retain(|_, count| *count > 0);
    }
}

impl Engine {
    /// Watches what crosses, everybody's, from now on; with words where `reader` may read them, if there is one. Whether
    /// a crossing is told to an owner at all is for the caller to see to.
    pub fn crossings(&self, reader: Option<OwnerId>) -> Watching {
        let watchers = &self.inner.watchers;
        Watching {
            receiver: watchers.sender.subscribe(),
            reader: reader.map(|owner| Reader::new(owner, &watchers.readers)),
        }
    }

    /// Tells of an attempt.
    pub(crate) async fn crossed(&self, delivery: &Delivery, accepted: Timestamp, verdict: &Verdict) {
        if self.inner.watchers.sender.receiver_count() == 0 {
            return;
        }
        let landing = match verdict {
            Verdict::Done(_) | Verdict::Failed(Outcome::Done { .. }) => Landing::Delivered,
            Verdict::Already | Verdict::Nothing => Landing::LeftOut,
            Verdict::Parked(why)
            | Verdict::Failed(
                Outcome::Retry { why, .. } | Outcome::RoomClosed { why } | Outcome::Disconnected { why },
            ) => Landing::Waits(why.clone()),
            Verdict::Failed(Outcome::Refused { why }) => Landing::Failed(why.clone()),
        };
        self.tell_crossing(delivery, accepted, landing).await;
    }

    /// Tells of a delivery that was given up after it waited.
    pub(crate) async fn gave_up(&self, delivery: &Delivery, accepted: Timestamp, why: &str) {
        if self.inner.watchers.sender.receiver_count() > 0 {
            self.tell_crossing(delivery, accepted, Landing::Failed(why.to_owned())).await;
        }
    }

    async fn tell_crossing(&self, delivery: &Delivery, accepted: Timestamp, landing: Landing) {
        let at = self.inner.clock.now();
        let kind = match delivery.action {
            Action::Post { .. } => Crossed::Message,
            Action::Edit { .. } => Crossed::Edit,
            Action::Delete => Crossed::Deletion,
            Action::React { .. } => Crossed::Reaction,
            Action::Notice { .. } => Crossed::Notice,
        };
        let (from, to) = (delivery.lane.from.clone(), delivery.lane.to.clone());
        let took = at.duration_since(accepted).try_into().unwrap_or_default();
        let words = self.words(delivery, &landing).await;
        // An error says that the last watcher just went.
        let _ = self.inner.watchers.sender.send(Crossing { at, from, to, kind, landing, took, words });
    }

    /// What a delivery says, if somebody asked who may read it.
    async fn words(&self, delivery: &Delivery, landing: &Landing) -> Option<Words> {
        let asked: Vec<OwnerId> = {
            let readers = self.inner.watchers.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.keys().cloned().collect()
        };
        if asked.is_empty() {
            return None;
        }
        let text = said(&delivery.action)?;
        let mut may: Vec<OwnerId> = self.owner_of(&delivery.lane.from.account).await.into_iter().collect();
        // What did not arrive is not for those at the other side: the Tube may have been closed meanwhile.
        if *landing == Landing::Delivered {
            may.extend(self.owner_of(&delivery.lane.to.account).await);
        }
        let readers: Vec<OwnerId> = asked.into_iter().filter(|owner| may.contains(owner)).collect();
        let author = clean(&delivery.shown, NAME_MAX);
        (!readers.is_empty()).then_some(Words { author, text, readers })
    }

    async fn owner_of(&self, account: &AccountId) -> Option<OwnerId> {
        Some(self.open(account).await.ok()??.opened.account.owner.clone())
    }
}

/// What an action says, as one line; `None` where it says nothing.
fn said(action: &Action) -> Option<String> {
    let text = match action {
        Action::Post { body, attachments, .. } => {
            let mut text = excerpt(body, WORDS_MAX);
            for file in attachments {
                let gap = if text.is_empty() { "" } else { " " };
                let _ = write!(text, "{gap}[{}]", clean(&file.name, NAME_MAX));
            }
            text
        }
        Action::Edit { body, .. } | Action::Notice { body } => excerpt(body, WORDS_MAX),
        Action::React { emoji, .. } => excerpt(&Text::plain(emoji), WORDS_MAX),
        Action::Delete => return None,
    };
    (!text.is_empty()).then_some(text)
}
