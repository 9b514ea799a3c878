//! Rooms that live in Sameroom itself: their bounded history, and who follows along. To the rest of the engine they are
//! rooms of an ordinary platform; here is where that platform's messages are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use sameroom_model::{
    Action, Attachment, Author, Delivery, Event, EventKind, MessageKey, Outcome, Quote, RoomRef, Text, Timestamp,
    UserKey,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::ports::{Commit, CommitError, Key, NewJob, Unavailable, When, Write};
use crate::{Engine, ingest, keys, rows};

/// How many changes a follower may be behind before it has to read the history again.
const BEHIND_MAX: usize = 256;

/// A message as it stands in a hosted room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the room, from 0.
    pub seq: u64,
    /// Its key.
    pub key: MessageKey,
    /// When it came.
    pub at: Timestamp,
    /// Who wrote it; `None` for a notice.
    pub author: Option<Author>,
    /// The author's name as it is shown here.
    pub shown: String,
    /// The words.
    pub body: Text,
    /// What the author does rather than says.
    pub emote: bool,
    /// The files.
    pub attachments: Vec<Attachment>,
    /// What it answers.
    pub reply: Option<Quote>,
    /// Whether it was edited.
    pub edited: bool,
    /// Whether it was deleted; its words are gone then.
    pub deleted: bool,
    /// Who reacted how.
    pub reactions: BTreeMap<String, BTreeSet<String>>,
}

/// Why a change to a hosted room is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("There is no such room. Ask for its link again.")]
    NoRoom,
    #[error("There is no such message; it may be too old.")]
    NoMessage,
    #[error("Only its author can change a message.")]
    NotYours,
}

/// Those who follow rooms.
#[derive(Default)]
pub(crate) struct Followers {
    rooms: Mutex<HashMap<RoomRef, broadcast::Sender<Entry>>>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Head {
    next: u64,
    first: u64,
}

enum Change<'a> {
    Post(Box<Entry>),
    Edit { key: &'a MessageKey, by: Option<&'a UserKey>, body: &'a Text, emote: bool },
    Delete { key: &'a MessageKey, by: Option<&'a UserKey> },
    React { key: &'a MessageKey, by: String, emoji: &'a str, on: bool },
}

impl Engine {
    /// A hosted room's messages, oldest first: at most as many and as old as the configuration says.
    pub async fn history(&self, room: &RoomRef) -> Result<Vec<Entry>, Unavailable> {
        let partition = keys::hosted_partition(room);
        let limit = self.inner.config.history_max as usize + 1;
        let page = self.inner.store.query(&partition, keys::ENTRY, None, limit).await?;
        page.into_iter()
            .map(|(sort, row)| {
                let key = Key { partition: partition.clone(), sort };
                rows::decode::<Entry>(&key, &row).map(|kept| kept.value)
            })
            .collect()
    }

    /// Follows a hosted room: each entry as it comes, and again whenever it changes.
    pub fn follow(&self, room: &RoomRef) -> broadcast::Receiver<Entry> {
        let Ok(mut rooms) = self.inner.followers.rooms.lock() else { return broadcast::channel(1).1 };
        rooms.retain(|_, sender| sender.receiver_count() > 0);
        rooms.entry(room.clone()).or_insert_with(|| broadcast::channel(BEHIND_MAX).0).subscribe()
    }

    /// Makes a delivery in a hosted room. Made twice it has one effect: the copy's key is the delivery's id.
    pub(crate) async fn host(&self, delivery: &Delivery) -> Result<Outcome, Unavailable> {
        let room = &delivery.lane.to;
        let first = delivery.copies.first();
        let change = match (&delivery.action, first) {
            (Action::Post { body, emote, attachments, reply }, _) => Change::Post(Box::new(Entry {
                author: delivery.author.clone(),
                shown: delivery.shown.clone(),
                emote: *emote,
                attachments: attachments.clone(),
                reply: reply.clone(),
                ..self.entry(delivery.id.as_str().into(), body.clone())
            })),
            (Action::Notice { body }, _) => {
                Change::Post(Box::new(self.entry(delivery.id.as_str().into(), body.clone())))
            }
            (Action::Edit { body, emote }, Some(key)) => Change::Edit { key, by: None, body, emote: *emote },
            (Action::Delete, Some(key)) => Change::Delete { key, by: None },
            (Action::React { emoji, on }, Some(key)) => {
                let lane = &delivery.lane.from;
                let by = delivery.author.as_ref().map_or("", |author| author.key.as_str());
                Change::React { key, by: keys::join(&[lane.account.as_str(), by]), emoji, on: *on }
            }
            _ => return Ok(Outcome::done()),
        };
        Ok(match self.change(room, &change, &[]).await? {
            Ok(Some(entry)) => Outcome::Done { keys: vec![entry.key] },
            // The message is gone by now: nothing is left to do.
            Ok(None) | Err(Refusal::NoMessage) => Outcome::done(),
            Err(refusal) => Outcome::refused(refusal.to_string()),
        })
    }

    /// Takes what somebody wrote in a hosted room into its history, and the event to be relayed, in one transaction.
    pub(crate) async fn host_event(&self, event: &Event) -> Result<Result<(), Refusal>, Unavailable> {
        let Some(room) = self.room(&event.room).await? else { return Ok(Err(Refusal::NoRoom)) };
        let by = event.author.as_ref().map(|author| &author.key);
        let change = match &event.kind {
            EventKind::Posted(message) => Change::Post(Box::new(Entry {
                author: event.author.clone(),
                shown: event
                    .author
                    .as_ref()
                    .map(|author| crate::show::author(author, room.options, None))
                    .unwrap_or_default(),
                emote: message.emote,
                attachments: message.attachments.clone(),
                reply: message.reply_to.clone().map(quote),
                ..self.entry(message.key.clone(), message.body.clone())
            })),
            EventKind::Edited(message) => {
                Change::Edit { key: &message.key, by, body: &message.body, emote: message.emote }
            }
            EventKind::Deleted(key) => Change::Delete { key, by },
            EventKind::Reacted { key, emoji, on } => {
                Change::React { key, by: by.map(ToString::to_string).unwrap_or_default(), emoji, on: *on }
            }
            EventKind::Renamed(_) | EventKind::Membership(_) | EventKind::Availability(_) => return Ok(Ok(())),
        };
        Ok(self.change(&event.room, &change, &[ingest::job(event)]).await?.map(drop))
    }

    fn entry(&self, key: MessageKey, body: Text) -> Entry {
        Entry {
            seq: 0,
            key,
            at: self.inner.clock.now(),
            author: None,
            shown: String::new(),
            body,
            emote: false,
            attachments: Vec::new(),
            reply: None,
            edited: false,
            deleted: false,
            reactions: BTreeMap::new(),
        }
    }

    /// Makes a change and sends jobs with it. `Ok(None)`: it was made before.
    async fn change(
        &self,
        room: &RoomRef,
        change: &Change<'_>,
        sends: &[NewJob],
    ) -> Result<Result<Option<Entry>, Refusal>, Unavailable> {
        loop {
            let planned = match change {
                Change::Post(entry) => self.plan_post(room, entry).await?,
                Change::Edit { key, .. } | Change::Delete { key, .. } | Change::React { key, .. } => {
                    self.plan_change(room, key, change).await?
                }
            };
            let (entry, writes) = match planned {
                Ok(Some(planned)) => planned,
                Ok(None) => return Ok(Ok(None)),
                Err(refusal) => return Ok(Err(refusal)),
            };
            let commit = Commit { writes, sends: sends.to_vec(), ..Commit::default() };
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.tell(room, &entry);
                    return Ok(Ok(Some(entry)));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    async fn plan_post(&self, room: &RoomRef, entry: &Entry) -> Result<Planned, Unavailable> {
        let store = &*self.inner.store;
        if rows::load::<u64>(store, &keys::hosted_key(room, &entry.key)).await?.is_some() {
            return Ok(Ok(None));
        }
        let kept = rows::load::<Head>(store, &keys::hosted(room)).await?;
        let mut head = kept.as_ref().map(|kept| kept.value).unwrap_or_default();
        let entry = Entry { seq: head.next, ..entry.clone() };
        let expires = entry.at.checked_add(self.inner.config.history_keep).ok();
        head.next += 1;
        let mut writes = vec![
            rows::put(keys::hosted_entry(room, entry.seq), &entry, expires, When::Absent),
            rows::put(keys::hosted_key(room, &entry.key), &entry.seq, expires, When::Always),
        ];
        if head.next - head.first > self.inner.config.history_max {
            let oldest = keys::hosted_entry(room, head.first);
            if let Some(oldest) = rows::load::<Entry>(store, &oldest).await? {
                writes.push(Write::Delete { key: keys::hosted_key(room, &oldest.value.key), when: When::Always });
            }
            writes.push(Write::Delete { key: oldest, when: When::Always });
            head.first += 1;
        }
        writes.push(rows::put(keys::hosted(room), &head, None, rows::unchanged(kept.as_ref())));
        Ok(Ok(Some((entry, writes))))
    }

    async fn plan_change(&self, room: &RoomRef, key: &MessageKey, change: &Change<'_>) -> Result<Planned, Unavailable> {
        let store = &*self.inner.store;
        let Some(seq) = rows::load::<u64>(store, &keys::hosted_key(room, key)).await? else {
            return Ok(Err(Refusal::NoMessage));
        };
        let row = keys::hosted_entry(room, seq.value);
        let Some(kept) = rows::load::<Entry>(store, &row).await? else { return Ok(Err(Refusal::NoMessage)) };
        let mut entry = kept.value;
        let author = entry.author.as_ref().map(|author| author.key.clone());
        let may = |by: Option<&UserKey>| by.is_none() || by == author.as_ref();
        match change {
            Change::Post(_) => return Ok(Ok(None)),
            Change::Edit { by, .. } | Change::Delete { by, .. } if !may(*by) => return Ok(Err(Refusal::NotYours)),
            Change::Edit { .. } if entry.deleted => return Ok(Err(Refusal::NoMessage)),
            Change::Edit { body, emote, .. } => {
                entry.body = (*body).clone();
                (entry.emote, entry.edited) = (*emote, true);
            }
            Change::Delete { .. } => {
                (entry.body, entry.deleted) = (Text::default(), true);
                entry.attachments.clear();
                entry.reactions.clear();
            }
            Change::React { by, emoji, on, .. } => {
                let who = entry.reactions.entry((*emoji).to_owned()).or_default();
                if *on {
                    who.insert(by.clone());
                } else {
                    who.remove(by);
                }
                entry.reactions.retain(|_, who| !who.is_empty());
            }
        }
        let expires = entry.at.checked_add(self.inner.config.history_keep).ok();
        let writes = vec![rows::put(row, &entry, expires, When::Version(kept.version))];
        Ok(Ok(Some((entry, writes))))
    }

    fn tell(&self, room: &RoomRef, entry: &Entry) {
        if let Ok(rooms) = self.inner.followers.rooms.lock()
            && let Some(sender) = rooms.get(room)
        {
            // Nobody listening is no failure.
            let _ = sender.send(entry.clone());
        }
    }
}

/// A reply within the room.
fn quote(answered: MessageKey) -> Quote {
    Quote { origin: Some(answered.clone()), key: Some(answered), ..Quote::default() }
}

type Planned = Result<Option<(Entry, Vec<Write>)>, Refusal>;
