//! What was held back goes on as soon as what held it is mended, rather than when it is looked at again: lanes to an
//! account that is well again, to a room that is open again, over a Tube that is resumed. Best effort, since not every
//! store can; see [`crate::ports::Store::hurry`].

use std::collections::HashSet;

use sameroom_model::{AccountId, Lane, RoomRef, Tube};

use crate::ports::{QueueName, Unavailable};
use crate::{Engine, keys};

impl Engine {
    /// An account is well again, or has new secrets.
    pub(crate) fn account_is_mended(&self, account: &AccountId) {
        self.hurry(|lane| lane.to.account == *account);
    }

    /// A room can be posted to again.
    pub(crate) fn room_is_mended(&self, room: &RoomRef) {
        self.hurry(|lane| lane.to == *room);
    }

    /// A lane is no longer held.
    pub(crate) fn lane_is_mended(&self, mended: &Lane) {
        self.hurry(|lane| lane == mended);
    }

    /// A Tube carries messages again, and so may every lane among the rooms around it.
    pub(crate) async fn tube_is_mended(&self, tube: &Tube) -> Result<(), Unavailable> {
        let [from, _] = &tube.ends;
        let view = self.view(&from.room).await?;
        let around = self.neighbourhood(&from.room, &view).await?;
        let rooms: HashSet<RoomRef> = around.into_iter().map(|(room, _)| room.at).chain([from.room.clone()]).collect();
        self.hurry(|lane| rooms.contains(&lane.from) && rooms.contains(&lane.to));
        Ok(())
    }

    fn hurry(&self, which: impl Fn(&Lane) -> bool + Sync) {
        let named = |group: &str| keys::lane_of(group).is_some_and(|lane| which(&lane));
        for queue in [QueueName::Outbox, QueueName::Held] {
            self.inner.store.hurry(queue, &named);
        }
    }
}
