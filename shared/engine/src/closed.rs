//! What holds a lane up until somebody mends it, and who is told: an account's fault is its owner's and is shown on the
//! account; a room's fault leaves the account well, and is said in the room that can't reach it.

use std::time::Duration;

use sameroom_model::{AccountState, Availability, Lane, RoomRef, Text};
use sameroom_platforms::Carrier;

use crate::changes::ChangeKind;
use crate::ports::{Commit, CommitError, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// For how long it is remembered that a room's platform told that the room is closed.
const REMEMBERED: Duration = Duration::from_hours(24);

/// Whose fault it is that nothing leaves a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody's: our own rules hold it back.
    Rules,
    /// The target room's.
    Room,
    /// The target's account's.
    Account,
}

impl Engine {
    /// Tells those whom it concerns that a lane is parked. It is not yet written in the lane's row.
    pub(crate) async fn parked(&self, lane: &Lane, fault: Fault, why: &str) -> Result<(), Unavailable> {
        let account = &lane.to.account;
        let Some(open) = self.open(account).await? else { return Ok(()) };
        // A held connection tells of its account and its rooms by itself.
        if open.platform.about().capabilities.carrier != Carrier::Http {
            return Ok(());
        }
        match fault {
            Fault::Rules => {}
            Fault::Room => self.room_is_closed(lane, why).await?,
            Fault::Account => {
                if self.set_state(account, AccountState::NeedsOwner(why.to_owned())).await? {
                    tracing::warn!(%account, why, "an account needs its owner; its lanes are parked");
                }
            }
        }
        Ok(())
    }

    /// Notes what a platform told of a room, which those connected with it are told, too.
    pub(crate) async fn note_availability(&self, room: &RoomRef, told: &Availability) -> Result<(), Unavailable> {
        let key = keys::room_closed(room);
        let write = match told {
            Availability::Closed(why) => {
                let expires = self.inner.clock.now().checked_add(REMEMBERED).ok();
                rows::put(key, why, expires, When::Always)
            }
            Availability::Open => Write::Delete { key, when: When::Always },
        };
        self.commit_always(Commit { writes: vec![write], ..Commit::default() }).await?;
        if *told == Availability::Open {
            self.room_is_mended(room);
        }
        Ok(())
    }

    /// Says in the room at a lane's beginning that the one at its end can't be reached, once: not where its platform told
    /// so before, nor while the lane is parked for the same reason.
    async fn room_is_closed(&self, lane: &Lane, why: &str) -> Result<(), Unavailable> {
        let told = self.lane_row(lane).await?.is_some_and(|kept| kept.value.parked.as_deref() == Some(why));
        if told {
            return Ok(());
        }
        // The key of a room may be what lets people in, so it is not logged.
        tracing::warn!(account = %lane.to.account, why, "a room can't be posted to; the lane to it is parked");
        if let Some(owner) = self.room_owner(&lane.to).await? {
            self.announce(&owner, ChangeKind::RoomChanged, keys::room_id(&lane.to));
        }
        // A notice that can't be posted in its room is not followed by one more.
        if lane.from == lane.to || self.inner.store.get(&keys::room_closed(&lane.to)).await?.is_some() {
            return Ok(());
        }
        let Some(room) = self.room(&lane.to).await? else { return Ok(()) };
        let words = Text::plain(&format!("{} on {} can't be reached: {why}", room.name, room.site));
        loop {
            let mut commit = Commit::default();
            self.notice(&lane.from, &words, &mut commit).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }
}
