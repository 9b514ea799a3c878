//! An owner's accounts and added rooms by the page, in the order of their keys in the store, so that a page costs what it
//! shows however many there are.

use sameroom_model::{Account, AccountId, OwnerId, Room, RoomRef};

use crate::page::{Page, read};
use crate::ports::Unavailable;
use crate::{Engine, keys, rows};

/// How many rows are read at once, at most.
const CHUNK: usize = 100;

impl Engine {
    /// An owner's accounts, in order of id. A page may have fewer than its limit although there are more.
    pub async fn accounts_page(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, Unavailable> {
        let page = read(&*self.inner.store, &keys::owner(owner), keys::ACCOUNT, after, limit).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for (key, _) in &page.items {
            let id = AccountId::from(&key.sort[keys::ACCOUNT.len()..]);
            items.extend(self.account(&id).await?.filter(|account| account.owner == *owner));
        }
        Ok(Page { items, next: page.next })
    }

    /// An owner's rooms after one, of one account or of all, at most `limit`: by account in order of id, and by key within
    /// it.
    pub async fn rooms_after(
        &self,
        owner: &OwnerId,
        account: Option<&AccountId>,
        after: Option<&RoomRef>,
        limit: usize,
    ) -> Result<Vec<Room>, Unavailable> {
        let mut found = Vec::new();
        if let Some(id) = account {
            let after = after.filter(|after| after.account == *id);
            self.rooms_within(id, after, limit, &mut found).await?;
            return Ok(found);
        }
        let mut last: Option<String> = None;
        if let Some(after) = after {
            // A cursor comes from a caller, and may name anybody's room.
            if self.account(&after.account).await?.is_some_and(|account| account.owner == *owner) {
                self.rooms_within(&after.account, Some(after), limit, &mut found).await?;
            }
            last = Some(after.account.to_string());
        }
        while found.len() < limit {
            let page = self.accounts_page(owner, last.as_deref(), CHUNK).await?;
            for account in &page.items {
                self.rooms_within(&account.id, None, limit, &mut found).await?;
                if found.len() >= limit {
                    break;
                }
            }
            last = page.next;
            if last.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Adds an account's rooms until there are `limit`.
    async fn rooms_within(
        &self,
        account: &AccountId,
        after: Option<&RoomRef>,
        limit: usize,
        found: &mut Vec<Room>,
    ) -> Result<(), Unavailable> {
        let partition = keys::account(account).partition;
        let mut last = after.map(|after| keys::account_room(after).sort[keys::ROOM.len()..].to_owned());
        while found.len() < limit {
            let wanted = (limit - found.len()).min(CHUNK);
            let page = read(&*self.inner.store, &partition, keys::ROOM, last.as_deref(), wanted).await?;
            for (key, row) in &page.items {
                let at = rows::decode::<RoomRef>(key, row)?.value;
                found.extend(self.room(&at).await?);
            }
            last = page.next;
            if last.is_none() {
                break;
            }
        }
        Ok(())
    }
}
