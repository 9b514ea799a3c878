//! Which message is a copy of which. Ids only, never words (promise 7), for as long as the configuration says; so that
//! edits, deletes, replies and reactions find the copies, an event that comes late a second time makes no second copy,
//! and a post of several parts that was cut short goes on where it stopped.

use sameroom_model::{Action, Delivery, MessageKey, MessageRef, RoomRef};
use serde::{Deserialize, Serialize};

use crate::ports::{Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// The copy of one message in one target room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copy {
    /// The keys of its parts, where the platform tells them.
    pub(crate) keys: Vec<MessageKey>,
    /// How many parts the target has taken.
    pub(crate) parts: usize,
    /// Whether that is all of them.
    pub(crate) whole: bool,
}

impl Engine {
    /// The copy that a delivery's post has made so far.
    pub(crate) async fn copy(&self, delivery: &Delivery) -> Result<Option<Copy>, Unavailable> {
        let Some(message) = &delivery.origin.key else { return Ok(None) };
        let key = keys::copy(&delivery.lane.from, message, &delivery.lane.to);
        Ok(rows::load::<Copy>(&*self.inner.store, &key).await?.map(|kept| kept.value))
    }

    /// The writes that note a copy, both ways. Posts make copies, and edits that no longer fit what was there add to
    /// them.
    pub(crate) fn note_copy(&self, delivery: &Delivery, copy: &Copy) -> Vec<Write> {
        let Some(message) = &delivery.origin.key else { return Vec::new() };
        let lane = &delivery.lane;
        let copy = match delivery.action {
            Action::Post { .. } => copy.clone(),
            Action::Edit { .. } if copy.keys.iter().any(|key| !delivery.copies.contains(key)) => {
                let mut keys = delivery.copies.clone();
                keys.extend(copy.keys.iter().filter(|key| !delivery.copies.contains(key)).cloned());
                Copy { parts: keys.len(), keys, whole: true }
            }
            _ => return Vec::new(),
        };
        let expires = self.inner.clock.now().checked_add(self.inner.config.keep_copies).ok();
        let mut writes = vec![rows::put(keys::copy(&lane.from, message, &lane.to), &copy, expires, When::Always)];
        let origin = MessageRef { room: lane.from.clone(), key: message.clone() };
        for key in &copy.keys {
            writes.push(rows::put(keys::origin(&lane.to, key), &origin, expires, When::Always));
        }
        writes
    }

    /// What a message is a copy of, if it is one.
    pub(crate) async fn origin_of(&self, room: &RoomRef, key: &MessageKey) -> Result<Option<MessageRef>, Unavailable> {
        let kept = rows::load::<MessageRef>(&*self.inner.store, &keys::origin(room, key)).await?;
        Ok(kept.map(|kept| kept.value))
    }

    /// The keys, in `target`, of a message of `room`, which may be written there or be a copy itself. `None`: there is
    /// none.
    pub(crate) async fn counterpart(
        &self,
        room: &RoomRef,
        key: &MessageKey,
        target: &RoomRef,
    ) -> Result<Option<Vec<MessageKey>>, Unavailable> {
        let origin = match self.origin_of(room, key).await? {
            Some(origin) => origin,
            None => MessageRef { room: room.clone(), key: key.clone() },
        };
        if origin.room == *target {
            return Ok(Some(vec![origin.key]));
        }
        let row = keys::copy(&origin.room, &origin.key, target);
        let kept = rows::load::<Copy>(&*self.inner.store, &row).await?;
        Ok(kept.filter(|kept| kept.value.parts > 0).map(|kept| kept.value.keys))
    }
}
