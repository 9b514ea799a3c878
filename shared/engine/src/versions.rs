//! Rooms and accounts with the versions of their rows, for callers who change what they have read and must not undo
//! somebody else's change: what they expect is judged by the commit that makes theirs.

use sameroom_model::{Account, AccountId, OwnerId, Room, RoomOptions, RoomRef};

use crate::page::{Changed, as_expected};
use crate::ports::{Commit, CommitError, Key, Unavailable, When};
use crate::{Engine, keys, rows};

impl Engine {
    /// A room of an owner's, and its version.
    pub async fn room_version(&self, owner: &OwnerId, at: &RoomRef) -> Result<Option<(Room, u64)>, Unavailable> {
        Ok(self.owned_room(owner, at).await?.map(|kept| (kept.value, kept.version)))
    }

    /// An account of an owner's, and its version. It grows also when the account's secrets or its state change.
    pub async fn account_version(
        &self,
        owner: &OwnerId,
        id: &AccountId,
    ) -> Result<Option<(Account, u64)>, Unavailable> {
        let kept = rows::load::<Account>(&*self.inner.store, &keys::account(id)).await?;
        Ok(kept.filter(|kept| kept.value.owner == *owner).map(|kept| (kept.value, kept.version)))
    }

    /// Changes a room's options, where it is as expected.
    pub async fn change_options(
        &self,
        owner: &OwnerId,
        at: &RoomRef,
        expected: Option<u64>,
        change: impl Fn(RoomOptions) -> RoomOptions,
    ) -> Result<Changed<(Room, u64)>, Unavailable> {
        loop {
            let Some(mut kept) = self.owned_room(owner, at).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, kept.version) {
                return Ok(Changed::Stale);
            }
            let before = kept.value.clone();
            kept.value.options = change(before.options);
            if kept.value == before {
                return Ok(Changed::Done((before, kept.version)));
            }
            if self.save_room(&kept.value, Some(&before), When::Version(kept.version)).await? {
                self.room_changed(Some(&before), &kept.value).await?;
                return Ok(Changed::Done((kept.value, kept.version + 1)));
            }
        }
    }

    /// Removes a room as [`Engine::remove_room`], where it is as expected. Of those who expect the same version one gets
    /// to remove it.
    pub async fn remove_room_as(
        &self,
        owner: &OwnerId,
        at: &RoomRef,
        expected: Option<u64>,
    ) -> Result<Changed<()>, Unavailable> {
        if let Some(expected) = expected {
            let Some(kept) = self.owned_room(owner, at).await? else { return Ok(Changed::Gone) };
            if !self.claim(keys::room(at), &kept, expected).await? {
                return Ok(Changed::Stale);
            }
        }
        Ok(if self.remove_room(owner, at).await? { Changed::Done(()) } else { Changed::Gone })
    }

    /// Removes an account as [`Engine::remove_account`], likewise.
    pub async fn remove_account_as(
        &self,
        owner: &OwnerId,
        id: &AccountId,
        expected: Option<u64>,
    ) -> Result<Changed<()>, Unavailable> {
        if let Some(expected) = expected {
            let key = keys::account(id);
            let kept = rows::load::<Account>(&*self.inner.store, &key).await?;
            let Some(kept) = kept.filter(|kept| kept.value.owner == *owner) else { return Ok(Changed::Gone) };
            if !self.claim(key, &kept, expected).await? {
                return Ok(Changed::Stale);
            }
            self.forget(id);
        }
        Ok(if self.remove_account(owner, id).await? { Changed::Done(()) } else { Changed::Gone })
    }

    /// Writes a row as it is where it has the version expected, so that nobody else finds that version again. What takes
    /// many commits begins so. `false`: it has another one.
    async fn claim<T: serde::Serialize + Sync>(
        &self,
        key: Key,
        kept: &rows::Kept<T>,
        expected: u64,
    ) -> Result<bool, Unavailable> {
        if kept.version != expected {
            return Ok(false);
        }
        let writes = vec![rows::put(key, &kept.value, None, When::Version(expected))];
        match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }
}
