//! Portals as their owners manage them: making, showing again, changing, rotating, revoking. The token is kept by its
//! hash, and sealed so that its owner can be shown it again. How others use one is in `joining`.

use sameroom_model::{
    Guest, GuestState, OwnerId, Portal, PortalId, PortalOptions, PortalState, RoomRef, Sealed, Timestamp,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::joining::GuestRow;
use crate::owners::version;
use crate::page::{Changed, Page, as_expected, read};
use crate::ports::{Commit, CommitError, Unavailable, When, Write};
use crate::{Engine, keys, rows, tokens};

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The Portal as it is now.
    pub portal: Portal,
    /// How many of its Tubes were closed with it.
    pub tubes: usize,
}

/// A Portal as it is kept, under its owner. Of the states only `Open` and `Revoked` are kept; the others follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PortalRow {
    pub(crate) portal: Portal,
    /// The token's hash, by which its other row is found.
    pub(crate) hash: String,
    /// The token, sealed for this owner and Portal.
    pub(crate) token: Sealed,
}

/// What a token opens: the row that its hash leads to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opens {
    pub(crate) owner: OwnerId,
    pub(crate) portal: PortalId,
}

impl PortalRow {
    /// The Portal as it is at a time.
    pub(crate) fn at(&self, now: Timestamp) -> Portal {
        let mut portal = self.portal.clone();
        let options = &portal.options;
        portal.state = match portal.state {
            PortalState::Revoked => PortalState::Revoked,
            _ if options.uses.is_some_and(|uses| portal.uses_made >= uses) => PortalState::Used,
            _ if options.expires.is_some_and(|end| end <= now) => PortalState::Expired,
            _ => PortalState::Open,
        };
        portal
    }
}

impl Engine {
    /// Makes a Portal for a room of an owner's. The token is 256 random bits in base64url with a checksum; it can be
    /// shown again. `None`: the owner has no such room.
    pub async fn add_portal(
        &self,
        owner: &OwnerId,
        room: &RoomRef,
        options: &PortalOptions,
    ) -> Result<Option<(Portal, SecretString)>, Unavailable> {
        let Some(room) = self.owned_room(owner, room).await? else { return Ok(None) };
        loop {
            let now = self.inner.clock.now();
            let portal = Portal {
                id: format!("portal-{}", self.random_id()?).into(),
                owner: owner.clone(),
                room: room.value.at.clone(),
                name: room.value.name.clone(),
                site: room.value.site.clone(),
                state: PortalState::Open,
                options: options.clone(),
                uses_made: 0,
                waiting: 0,
                made_at: now,
                version: version(now, 0),
            };
            let mut commit = Commit::default();
            let (row, token) = self.tokened(portal, &mut commit).await?;
            commit.writes.push(rows::put(keys::owner_portal(owner, &row.portal.id), &row, None, When::Absent));
            let news = self.note(&mut commit, &[(owner, ChangeKind::PortalMade, row.portal.id.to_string())]).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.wake(news);
                    return Ok(Some((row.at(now), token)));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// An owner's Portal for a room that anybody may use for good, made if there is none: what the command `portal`
    /// shows. `None`: the owner has no such room.
    pub async fn lasting_portal(
        &self,
        owner: &OwnerId,
        room: &RoomRef,
    ) -> Result<Option<(Portal, SecretString)>, Unavailable> {
        if self.owned_room(owner, room).await?.is_none() {
            return Ok(None);
        }
        let lasting = |portal: &Portal| {
            let label = portal.options.label.clone();
            portal.options == PortalOptions { label, ..PortalOptions::default() }
        };
        let portals = self.portals_of(owner, room).await?;
        if let Some(kept) = portals.into_iter().find(|kept| lasting(&kept.value.portal)) {
            let token = self.unseal_token(&kept.value).await?;
            return Ok(Some((kept.value.at(self.inner.clock.now()), token)));
        }
        self.add_portal(owner, room, &PortalOptions::default()).await
    }

    /// A Portal of an owner.
    pub async fn portal(&self, owner: &OwnerId, id: &PortalId) -> Result<Option<Portal>, Unavailable> {
        let kept = self.portal_row(owner, id).await?;
        Ok(kept.map(|kept| kept.value.at(self.inner.clock.now())))
    }

    /// An owner's Portals, in order of id. One query a page.
    pub async fn portals_page(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Portal>, Unavailable> {
        let now = self.inner.clock.now();
        Ok(self.portal_rows(owner, after, limit).await?.map(|kept| kept.value.at(now)))
    }

    /// Sets how a Portal may be used. A revoked one stays revoked.
    pub async fn change_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        options: &PortalOptions,
        expected: Option<u64>,
    ) -> Result<Changed<Portal>, Unavailable> {
        loop {
            let Some(mut kept) = self.portal_row(owner, id).await? else { return Ok(Changed::Gone) };
            if !as_expected(expected, kept.value.portal.version) {
                return Ok(Changed::Stale);
            }
            if kept.value.portal.options != *options {
                kept.value.portal.options = options.clone();
                let change = (owner, ChangeKind::PortalChanged, id.to_string());
                if !self.save_portal(&mut kept, Commit::default(), change).await? {
                    continue;
                }
            }
            return Ok(Changed::Done(kept.value.at(self.inner.clock.now())));
        }
    }

    /// A Portal's token again. `None`: the owner has no such Portal, or it is revoked.
    pub async fn show_portal_token(&self, owner: &OwnerId, id: &PortalId) -> Result<Option<SecretString>, Unavailable> {
        match self.portal_row(owner, id).await? {
            Some(kept) if kept.value.portal.state != PortalState::Revoked => {
                self.unseal_token(&kept.value).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Gives a Portal a new token. The old one is dead at once; guests and Tubes stay. [`Changed::Gone`] for a revoked
    /// one, too.
    pub async fn rotate_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        expected: Option<u64>,
    ) -> Result<Changed<(Portal, SecretString)>, Unavailable> {
        loop {
            let Some(kept) = self.portal_row(owner, id).await? else { return Ok(Changed::Gone) };
            if kept.value.portal.state == PortalState::Revoked {
                return Ok(Changed::Gone);
            }
            if !as_expected(expected, kept.value.portal.version) {
                return Ok(Changed::Stale);
            }
            let mut commit = Commit::default();
            commit.writes.push(Write::Delete { key: keys::portal_hash(&kept.value.hash), when: When::Always });
            let (row, token) = self.tokened(kept.value.portal, &mut commit).await?;
            let mut new = rows::Kept { value: row, version: kept.version };
            let change = (owner, ChangeKind::PortalChanged, id.to_string());
            if self.save_portal(&mut new, commit, change).await? {
                return Ok(Changed::Done((new.value.at(self.inner.clock.now()), token)));
            }
        }
    }

    /// Revokes a Portal for good, alone or together with the Tubes made through it. Where that was interrupted, revoking
    /// it again closes the rest of the Tubes.
    pub async fn revoke_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        with_tubes: bool,
    ) -> Result<Option<Revoked>, Unavailable> {
        let portal = loop {
            let Some(mut kept) = self.portal_row(owner, id).await? else { return Ok(None) };
            if kept.value.portal.state == PortalState::Revoked {
                break kept.value.portal;
            }
            kept.value.portal.state = PortalState::Revoked;
            let mut commit = Commit::default();
            commit.writes.push(Write::Delete { key: keys::portal_hash(&kept.value.hash), when: When::Always });
            if self.save_portal(&mut kept, commit, (owner, ChangeKind::PortalRevoked, id.to_string())).await? {
                break kept.value.portal;
            }
        };
        // Nobody can come through any more, so these are all the Tubes there will be.
        let tubes = if with_tubes { self.close_tubes_through(owner, id).await? } else { 0 };
        Ok(Some(Revoked { portal, tubes }))
    }

    /// Who came through a Portal, in order of id. `None`: the owner has no such Portal.
    pub async fn guests(
        &self,
        owner: &OwnerId,
        portal: &PortalId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<Guest>>, Unavailable> {
        if self.portal_row(owner, portal).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.guest_rows(owner, portal, after, limit).await?.map(|row| row.guest)))
    }

    pub(crate) async fn portal_row(
        &self,
        owner: &OwnerId,
        id: &PortalId,
    ) -> Result<Option<rows::Kept<PortalRow>>, Unavailable> {
        rows::load(&*self.inner.store, &keys::owner_portal(owner, id)).await
    }

    /// An owner's Portals that lead to a room and are not revoked.
    pub(crate) async fn portals_of(
        &self,
        owner: &OwnerId,
        room: &RoomRef,
    ) -> Result<Vec<rows::Kept<PortalRow>>, Unavailable> {
        self.portals_where(owner, |portal| portal.room == *room).await
    }

    /// Those of an owner's Portals that are wanted and not revoked.
    pub(crate) async fn portals_where(
        &self,
        owner: &OwnerId,
        wanted: impl Fn(&Portal) -> bool + Send,
    ) -> Result<Vec<rows::Kept<PortalRow>>, Unavailable> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.portal_rows(owner, after.as_deref(), 1000).await?;
            let wanted = |row: &PortalRow| wanted(&row.portal) && row.portal.state != PortalState::Revoked;
            found.extend(page.items.into_iter().filter(|kept| wanted(&kept.value)));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Writes a Portal back as part of a commit. `false`: it, or something else in the commit, was changed in between.
    async fn save_portal(
        &self,
        kept: &mut rows::Kept<PortalRow>,
        mut commit: Commit,
        change: (&OwnerId, ChangeKind, String),
    ) -> Result<bool, Unavailable> {
        let portal = &mut kept.value.portal;
        portal.version = version(self.inner.clock.now(), portal.version);
        let key = keys::owner_portal(&portal.owner, &portal.id);
        commit.writes.push(rows::put(key, &kept.value, None, When::Version(kept.version)));
        let news = self.note(&mut commit, &[change]).await?;
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.wake(news);
                Ok(true)
            }
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// Gives a Portal a token, and adds to the commit the row that the token is found by.
    async fn tokened(&self, portal: Portal, commit: &mut Commit) -> Result<(PortalRow, SecretString), Unavailable> {
        let token = self.new_token("")?;
        let hash = tokens::hash(&token);
        let opens = Opens { owner: portal.owner.clone(), portal: portal.id.clone() };
        commit.writes.push(rows::put(keys::portal_hash(&hash), &opens, None, When::Absent));
        let sealed = self.inner.vault.seal(&context(&portal), token.expose_secret().as_bytes()).await?;
        Ok((PortalRow { portal, hash, token: sealed }, token))
    }

    async fn unseal_token(&self, row: &PortalRow) -> Result<SecretString, Unavailable> {
        let clear = self.inner.vault.open(&context(&row.portal), &row.token).await?;
        let id = &row.portal.id;
        let text = String::from_utf8(clear)
            .map_err(|_| Unavailable::new(format!("the token of the Portal {id} can't be read; rotate it")))?;
        Ok(text.into())
    }

    async fn portal_rows(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<rows::Kept<PortalRow>>, Unavailable> {
        let page = read(&*self.inner.store, &keys::owner(owner), keys::PORTAL, after, limit).await?;
        let items = page.items.iter().map(|(key, row)| rows::decode(key, row));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
    }

    async fn guest_rows(
        &self,
        owner: &OwnerId,
        portal: &PortalId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<GuestRow>, Unavailable> {
        let partition = keys::guests_partition(owner, portal);
        let page = read(&*self.inner.store, &partition, keys::GUEST, after, limit).await?;
        let items = page.items.iter().map(|(key, row)| rows::decode(key, row).map(|kept| kept.value));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
    }

    async fn close_tubes_through(&self, owner: &OwnerId, id: &PortalId) -> Result<usize, Unavailable> {
        let mut closed = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.guest_rows(owner, id, after.as_deref(), 100).await?;
            for row in page.items.iter().filter(|row| row.guest.state == GuestState::Approved) {
                if let Some(tube) = &row.guest.tube {
                    closed += usize::from(self.remove_tube(owner, tube).await?);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(closed);
            }
        }
    }
}

/// What a sealed token is bound to.
fn context(portal: &Portal) -> String {
    keys::join(&["portal", portal.owner.as_str(), portal.id.as_str()])
}
