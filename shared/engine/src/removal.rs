//! Removing accounts and rooms, with all that goes with them: Tubes are closed first, so that the other side is told,
//! then Portals are revoked, then rows go. What was interrupted is finished by asking again.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_model::{Account, AccountId, Lane, OwnerId, Place, Portal, RoomRef};

use crate::changes::ChangeKind;
use crate::page::read;
use crate::ports::{Commit, CommitError, Key, Unavailable, When, Write};
use crate::tubes::TubeView;
use crate::{Engine, keys, rows};

/// How many rooms and rows are removed at a time.
const PAGE: usize = 100;
/// How long rooms are given to hear that their Tubes are closed, before the account that says so is gone.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// What goes with an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Tubes, as the owner sees them.
    pub tubes: Vec<TubeView>,
    /// Portals that are not revoked.
    pub portals: Vec<Portal>,
    /// How many rooms.
    pub rooms: usize,
    /// Of an app: how many installations the owner has of it, and how many others have. They stay, and work no more.
    pub installations: Option<(usize, usize)>,
}

impl Engine {
    /// What would go with an account. `None`: the owner has none of that id.
    pub async fn account_impact(&self, owner: &OwnerId, id: &AccountId) -> Result<Option<Impact>, Unavailable> {
        let Some(kept) = self.owned_account(owner, id).await? else { return Ok(None) };
        let mut tubes = BTreeMap::new();
        let mut impact = Impact::default();
        if kept.value.place == Place::App {
            impact.installations = Some(self.installations(owner, id).await?);
        }
        let mut after: Option<String> = None;
        loop {
            let (rooms, next) = self.rooms_of(id, after.as_deref()).await?;
            impact.rooms += rooms.len();
            for room in rooms {
                for tube in self.view(&room).await?.tubes.clone() {
                    tubes.insert(tube.id.clone(), tube);
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        for tube in tubes.into_values() {
            impact.tubes.push(self.line(tube).await?.view(owner));
        }
        let now = self.inner.clock.now();
        let portals = self.portals_where(owner, |portal| portal.room.account == *id).await?;
        impact.portals = portals.into_iter().map(|kept| kept.value.at(now)).collect();
        Ok(Some(impact))
    }

    /// How many installations of an app are an owner's, and how many others'.
    async fn installations(&self, owner: &OwnerId, app: &AccountId) -> Result<(usize, usize), Unavailable> {
        let partition = keys::account(app).partition;
        let (mut yours, mut others) = (0, 0);
        let mut after: Option<String> = None;
        loop {
            let page = read(&*self.inner.store, &partition, keys::INSTALLED, after.as_deref(), PAGE).await?;
            for (key, row) in &page.items {
                let id = rows::decode::<AccountId>(key, row)?.value;
                match self.account(&id).await? {
                    Some(account) if account.owner == *owner => yours += 1,
                    Some(_) => others += 1,
                    None => {}
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok((yours, others));
            }
        }
    }

    /// Removes an account and all that goes with it; both sides of each Tube are told first. Returns whether there was
    /// one.
    pub async fn remove_account(&self, owner: &OwnerId, id: &AccountId) -> Result<bool, Unavailable> {
        if self.owned_account(owner, id).await?.is_none() {
            return Ok(false);
        }
        for kept in self.portals_where(owner, |portal| portal.room.account == *id).await? {
            self.revoke_portal(owner, &kept.value.portal.id, false).await?;
        }
        loop {
            let (rooms, _) = self.rooms_of(id, None).await?;
            if rooms.is_empty() {
                break;
            }
            let mut told = Vec::new();
            for room in &rooms {
                if self.disable_room(room).await? > 0 {
                    told.push(room);
                }
            }
            self.hear_last_words(&told).await?;
            for room in &rooms {
                self.delete_room(room).await?;
            }
        }
        // What else is kept of it: listings, names of people, and whatever comes to be kept there.
        let partition = keys::account(id).partition;
        self.delete_rows(&partition, |sort| sort != keys::SELF).await?;
        loop {
            let Some(kept) = self.owned_account(owner, id).await? else { return Ok(true) };
            let writes = vec![
                Write::Delete { key: keys::account(id), when: When::Version(kept.version) },
                Write::Delete { key: keys::owner_account(owner, id), when: When::Always },
            ];
            let mut commit = Commit { writes, ..Commit::default() };
            if let Place::Installed { app, tenant } = &kept.value.place {
                commit.writes.push(Write::Delete { key: keys::installed(app, id), when: When::Always });
                let key = keys::tenant(app, tenant);
                let holder = rows::load::<AccountId>(&*self.inner.store, &key).await?;
                if let Some(holder) = holder.filter(|holder| holder.value == *id) {
                    commit.writes.push(Write::Delete { key, when: When::Version(holder.version) });
                }
            }
            let news = self.note(&mut commit, &[(owner, ChangeKind::AccountRemoved, id.to_string())]).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.forget(id);
                    self.changed();
                    self.wake(news);
                    return Ok(true);
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Removes a room, its Tubes and its Portals. Returns whether the owner had it.
    pub async fn remove_room(&self, owner: &OwnerId, room: &RoomRef) -> Result<bool, Unavailable> {
        if self.owned_room(owner, room).await?.is_none() {
            return Ok(false);
        }
        for kept in self.portals_of(owner, room).await? {
            self.revoke_portal(owner, &kept.value.portal.id, false).await?;
        }
        if self.disable_room(room).await? > 0 {
            self.hear_last_words(&[room]).await?;
        }
        self.delete_room(room).await?;
        self.announce(owner, ChangeKind::RoomRemoved, keys::room_id(room));
        self.changed();
        Ok(true)
    }

    async fn owned_account(&self, owner: &OwnerId, id: &AccountId) -> Result<Option<rows::Kept<Account>>, Unavailable> {
        let kept = rows::load::<Account>(&*self.inner.store, &keys::account(id)).await?;
        Ok(kept.filter(|kept| kept.value.owner == *owner))
    }

    /// A page of an account's rooms, by reference, and the way to the next.
    async fn rooms_of(
        &self,
        account: &AccountId,
        after: Option<&str>,
    ) -> Result<(Vec<RoomRef>, Option<String>), Unavailable> {
        let page = read(&*self.inner.store, &keys::account(account).partition, keys::ROOM, after, PAGE).await?;
        let rooms = page.items.iter().map(|(key, row)| rows::decode(key, row).map(|kept| kept.value));
        Ok((rooms.collect::<Result<_, _>>()?, page.next))
    }

    /// Waits, but not for long, until rooms have heard what they were last told.
    async fn hear_last_words(&self, rooms: &[&RoomRef]) -> Result<(), Unavailable> {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        for room in rooms {
            let lane = keys::lane(&Lane { from: (*room).clone(), to: (*room).clone() });
            while self.inner.store.get(&lane).await?.is_some() && tokio::time::Instant::now() < until {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Deletes the rows of a room that has no Tubes. Its lanes' rows stay until what waits in them is settled; the row
    /// by which it is found goes last, so that what was interrupted is found again.
    async fn delete_room(&self, room: &RoomRef) -> Result<(), Unavailable> {
        self.delete_rows(&keys::hosted_partition(room), |_| true).await?;
        let rows = [
            keys::room(room),
            keys::room_seen(room),
            keys::room_closed(room),
            keys::room_neighbours(room),
            keys::account_room(room),
        ];
        let writes = rows.into_iter().map(|key| Write::Delete { key, when: When::Always }).collect();
        self.commit_always(Commit { writes, ..Commit::default() }).await
    }

    /// Deletes those rows of a partition whose sort keys are wanted, a page at a time.
    async fn delete_rows(&self, partition: &str, wanted: impl Fn(&str) -> bool + Send) -> Result<(), Unavailable> {
        let mut after: Option<String> = None;
        loop {
            let page = self.inner.store.query(partition, "", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let gone = page.into_iter().map(|(sort, _)| sort).filter(|sort| wanted(sort));
            let key = |sort| Key { partition: partition.to_owned(), sort };
            let writes = gone.map(|sort| Write::Delete { key: key(sort), when: When::Always }).collect();
            self.commit_always(Commit { writes, ..Commit::default() }).await?;
        }
    }
}
