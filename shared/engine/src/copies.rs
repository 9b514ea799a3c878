//! Which message is a copy of which. Ids only, never words (promise 7), for as long as the configuration says; so that
//! edits, deletes, replies and reactions find the copies, an event that comes late a second time makes no second copy,
//! and a post of several parts that was cut short goes on where it stopped.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use sameroom_model::{Action, Delivery, Lane, MessageKey, MessageRef, RoomRef, Timestamp};
use sameroom_platforms::Echo;
use serde::{Deserialize, Serialize};

use crate::ports::{Commit, Unavailable, When, Write};
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

/// What is noted of a message that we posted, under its key; and under the id of the delivery that posted it, with the
/// copy. Where the platform takes the ids that we propose these are one row, and a message costs one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    of: MessageRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy: Option<Copy>,
}

/// The rooms that are known to give ids of their own to what we post there, and when that was written down.
#[derive(Default)]
pub(crate) struct ForeignIds(Mutex<HashMap<RoomRef, Timestamp>>);

impl ForeignIds {
    /// How many are remembered.
    const MAX: usize = 4096;

    fn since(&self, room: &RoomRef) -> Option<Timestamp> {
        self.0.lock().ok()?.get(room).copied()
    }

    fn learn(&self, room: &RoomRef, now: Timestamp) {
        let Ok(mut rooms) = self.0.lock() else { return };
        if rooms.len() >= Self::MAX {
            rooms.clear();
        }
        rooms.insert(room.clone(), now);
    }
}

impl Engine {
    /// The copy that a delivery's post has made so far.
    pub(crate) async fn copy(&self, delivery: &Delivery) -> Result<Option<Copy>, Unavailable> {
        let Some(message) = &delivery.origin.key else { return Ok(None) };
        self.copy_of(&delivery.lane, message).await
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
        let post = keys::post_id(lane, message);
        let of = MessageRef { room: lane.from.clone(), key: message.clone() };
        let mut writes = Vec::with_capacity(1);
        for key in copy.keys.iter().filter(|key| key.as_str() != post.as_str()) {
            let noted = Noted { of: of.clone(), copy: None };
            writes.push(rows::put(keys::copy(&lane.to, key.as_str()), &noted, expires, When::Always));
        }
        let noted = Noted { of, copy: Some(copy) };
        writes.push(rows::put(keys::copy(&lane.to, post.as_str()), &noted, expires, When::Always));
        writes
    }

    /// A target took a delivery, and made these copies: it is well, and what it says comes back to us may carry keys
    /// that we did not propose. That is written down before the copy is noted, for longer than copies are.
    pub(crate) async fn accepted(&self, delivery: &Delivery, copy: &Copy) -> Result<(), Unavailable> {
        let room = &delivery.lane.to;
        self.well(&room.account).await;
        if copy.keys.iter().all(keys::is_proposed) {
            return Ok(());
        }
        let (now, keep) = (self.inner.clock.now(), self.inner.config.keep_copies);
        let fresh = |since: Timestamp| Duration::try_from(now.duration_since(since)).is_ok_and(|age| age < keep);
        if self.inner.foreign_ids.since(room).is_some_and(fresh) {
            return Ok(());
        }
        if let Some(open) = self.open(&room.account).await?
            && open.platform.about().capabilities.echo == Echo::ByKey
        {
            let writes = vec![rows::put(keys::room_ids(room), &(), now.checked_add(keep * 2).ok(), When::Always)];
            self.commit_always(Commit { writes, ..Commit::default() }).await?;
        }
        self.inner.foreign_ids.learn(room, now);
        Ok(())
    }

    /// What a message is a copy of, if it is one.
    pub(crate) async fn origin_of(&self, room: &RoomRef, key: &MessageKey) -> Result<Option<MessageRef>, Unavailable> {
        let kept = rows::load::<Noted>(&*self.inner.store, &keys::copy(room, key.as_str())).await?;
        Ok(kept.map(|kept| kept.value.of))
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
        let lane = Lane { from: origin.room, to: target.clone() };
        let copy = self.copy_of(&lane, &origin.key).await?;
        Ok(copy.filter(|copy| copy.parts > 0).map(|copy| copy.keys))
    }

    async fn copy_of(&self, lane: &Lane, message: &MessageKey) -> Result<Option<Copy>, Unavailable> {
        let key = keys::copy(&lane.to, keys::post_id(lane, message).as_str());
        Ok(rows::load::<Noted>(&*self.inner.store, &key).await?.and_then(|kept| kept.value.copy))
    }
}
