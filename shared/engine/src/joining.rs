//! Coming through a Portal: what somebody may see before they join, joining, and the owner's word about guests. A token
//! that opens nothing is answered alike whether it never was, is revoked, is over or is used up.

use std::time::Duration;

use sameroom_model::{
    Direction, Guest, GuestId, GuestState, MadeBy, OwnerId, PortalId, PortalState, Room, RoomRef, Timestamp, Tube,
};
use sameroom_platforms::by_name;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::changes::ChangeKind;
use crate::link::tube_id;
use crate::owners::version;
use crate::page::Changed;
use crate::portals::{Opens, PortalRow};
use crate::ports::{Commit, CommitError, Unavailable, When};
use crate::tube_rows::{self, Line};
use crate::tubes::TubeView;
use crate::{Engine, keys, rows, tokens};

/// How many guests may wait at one Portal.
const WAITING_MAX: u32 = 100;

/// What somebody may see of a Portal before they join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The Portal.
    pub portal: PortalId,
    /// The room's name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// Its platform's name for people.
    pub platform: String,
    /// Which way messages cross at that room.
    pub direction: Direction,
    /// How many rooms will read what is written in a room that joins; that one not counted.
    pub readers: usize,
    /// Whether the Portal's owner has to approve.
    pub approval: bool,
    /// Until when it can be used.
    pub expires: Option<Timestamp>,
    /// For how long it is kept which message is a copy of which: ids, never words.
    pub keeps: Duration,
}

/// What came of using a Portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Used {
    /// The rooms are connected; the Tube as the guest sees it. Connecting them again uses nothing.
    Connected(TubeView),
    /// The Portal's owner has to approve. Asking again asks once.
    Waiting(Guest),
}

/// Why a Portal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// It opens nothing: unknown, revoked, over or used up.
    #[error("this Portal is not valid any more; ask for a new one")]
    NotValid,
    /// The guest has no such room.
    #[error("the room {0} is not known; add its account and the room first")]
    UnknownRoom(String),
    /// The Portal leads to that very room.
    #[error("this Portal leads to {0} itself; use it from another room")]
    SameRoom(String),
    /// The Portal's owner said no.
    #[error("the owner of this Portal did not approve this room")]
    Refused,
    /// Too many guests wait.
    #[error("too many rooms wait for the owner of this Portal; try again later")]
    Crowded,
    /// For its owner: a guest can't be approved, since it was used as often as it may be.
    #[error("this Portal was used as often as it may be; allow more uses, then approve again")]
    UsedUp,
    /// For its owner: a guest can't be approved, since it is revoked, or one of the two rooms is gone.
    #[error("{0}")]
    CanNotJoin(String),
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A guest as kept: whose the room is, too, which the Portal's owner is not shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GuestRow {
    pub(crate) guest: Guest,
    pub(crate) owner: OwnerId,
    pub(crate) room: RoomRef,
}

impl GuestRow {
    /// The id of a change of the guest that a Tube was made for.
    pub(crate) fn news(tube: &Tube, guest: &GuestId) -> String {
        let MadeBy::Portal(portal) = &tube.made_by else { return guest.to_string() };
        change_id(portal, guest)
    }
}

/// A Portal that a token opens, and its room.
struct Opened {
    row: rows::Kept<PortalRow>,
    room: Room,
}

/// A guest at a Portal, both as they were read.
struct Visit<'a> {
    row: &'a rows::Kept<PortalRow>,
    host: &'a Room,
    known: Option<&'a rows::Kept<GuestRow>>,
    guest: GuestRow,
    room: &'a Room,
}

impl Engine {
    /// What a token's Portal leads to. `None`: the token opens nothing.
    pub async fn invitation(&self, token: &SecretString) -> Result<Option<Invitation>, Unavailable> {
        let Some(Opened { row, room }) = self.opened(token).await? else { return Ok(None) };
        let portal = row.value.at(self.inner.clock.now());
        if portal.state != PortalState::Open {
            return Ok(None);
        }
        let account = self.account(&room.at.account).await?;
        let platform = account.and_then(|account| by_name(&account.platform));
        let beyond = self.network(&room.at).await?.rooms.len();
        let direction = room.options.direction;
        Ok(Some(Invitation {
            portal: portal.id,
            readers: if direction.lets_in() { 1 + beyond } else { 0 },
            name: room.name,
            site: room.site,
            platform: platform.map_or_else(String::new, |platform| platform.about().title.to_owned()),
            direction,
            approval: portal.options.approval,
            expires: portal.options.expires,
            keeps: self.inner.config.keep_copies,
        }))
    }

    /// Connects a room of the guest's with the Portal's, or has the guest wait for its owner's word. The use is counted
    /// in the transaction that makes the Tube, so a Portal is never used more often than it may be. Whoever waits takes
    /// no use, or strangers could use a Portal up by asking; the owner's word takes it.
    pub async fn use_portal(&self, token: &SecretString, guest: &OwnerId, room: &RoomRef) -> Result<Used, PortalError> {
        loop {
            let Some(opened) = self.opened(token).await? else { return Err(PortalError::NotValid) };
            let portal = opened.row.value.at(self.inner.clock.now());
            // Whoever is connected already is told so, though the Portal may be used up: by them.
            if let Some(line) = self.between(&opened.room.at, room).await?
                && line.tube.ends.iter().any(|end| end.owner == *guest && end.room == *room)
            {
                return Ok(Used::Connected(line.view(guest)));
            }
            if portal.state != PortalState::Open {
                return Err(PortalError::NotValid);
            }
            let Some(mine) = self.owned_room(guest, room).await? else {
                return Err(PortalError::UnknownRoom(room.key.to_string()));
            };
            if portal.room == *room {
                return Err(PortalError::SameRoom(mine.value.name));
            }
            let id = guest_id(&portal.id, guest, room);
            let key = keys::guest(&portal.owner, &portal.id, &id);
            let known = rows::load::<GuestRow>(&*self.inner.store, &key).await?;
            let state = known.as_ref().map(|known| known.value.guest.state);
            let new = GuestRow { guest: self.arrives(id, &mine.value), owner: guest.clone(), room: room.clone() };
            let (row, host) = (&opened.row, &opened.room);
            let visit = Visit { row, host, known: known.as_ref(), guest: new, room: &mine.value };
            match state {
                Some(GuestState::Refused) => return Err(PortalError::Refused),
                Some(GuestState::Waiting) if portal.options.approval => {
                    let waits = visit.known.map_or(visit.guest.guest, |known| known.value.guest.clone());
                    return Ok(Used::Waiting(waits));
                }
                _ if portal.options.approval => {
                    if portal.waiting >= WAITING_MAX {
                        return Err(PortalError::Crowded);
                    }
                    if let Some(guest) = self.waits(visit).await? {
                        return Ok(Used::Waiting(guest));
                    }
                }
                _ => {
                    if let Some((line, _)) = self.joins(visit, ChangeKind::GuestCame).await? {
                        return Ok(Used::Connected(line.view(guest)));
                    }
                }
            }
        }
    }

    /// Approves or refuses a guest who waits; a refused one may be approved later, also when the Portal's time is over by
    /// then. [`Changed::Stale`]: the guest is connected already, and can't be refused; remove the Tube.
    pub async fn decide(
        &self,
        owner: &OwnerId,
        portal: &PortalId,
        guest: &GuestId,
        approve: bool,
    ) -> Result<Changed<Guest>, PortalError> {
        let key = keys::guest(owner, portal, guest);
        loop {
            let Some(row) = self.portal_row(owner, portal).await? else { return Ok(Changed::Gone) };
            let Some(known) = rows::load::<GuestRow>(&*self.inner.store, &key).await? else {
                return Ok(Changed::Gone);
            };
            match (known.value.guest.state, approve) {
                (GuestState::Approved, true) | (GuestState::Refused, false) => {
                    return Ok(Changed::Done(known.value.guest));
                }
                (GuestState::Approved, false) => return Ok(Changed::Stale),
                (GuestState::Waiting | GuestState::Removed, false) => {
                    if let Some(guest) = self.refuses(row, known).await? {
                        return Ok(Changed::Done(guest));
                    }
                }
                (GuestState::Removed, true) => {
                    let why = "the Tube to this room was removed; let its owner come through the Portal again";
                    return Err(PortalError::CanNotJoin(why.to_owned()));
                }
                (GuestState::Waiting | GuestState::Refused, true) => {
                    if let Some(guest) = self.approves(&row, &known).await? {
                        return Ok(Changed::Done(guest));
                    }
                }
            }
        }
    }

    /// The Portal that a token opens, over or used up though it may be. As much is read for a token that opens nothing.
    async fn opened(&self, token: &SecretString) -> Result<Option<Opened>, Unavailable> {
        let store = &*self.inner.store;
        let found = rows::load::<Opens>(store, &keys::portal_hash(&tokens::hash(token))).await?;
        let Opens { owner, portal } =
            found.map_or_else(|| Opens { owner: OwnerId::from("nobody"), portal: "none".into() }, |kept| kept.value);
        let row = self.portal_row(&owner, &portal).await?;
        let room = row.as_ref().map_or_else(|| RoomRef::new("none", "none"), |row| row.value.portal.room.clone());
        let room = self.owned_room(&owner, &room).await?;
        let revoked = |row: &rows::Kept<PortalRow>| row.value.portal.state == PortalState::Revoked;
        Ok(match (row, room) {
            (Some(row), Some(room)) if !revoked(&row) => Some(Opened { row, room: room.value }),
            _ => None,
        })
    }

    async fn between(&self, a: &RoomRef, b: &RoomRef) -> Result<Option<Line>, Unavailable> {
        match rows::load::<Tube>(&*self.inner.store, &keys::tube(&tube_id(a, b))).await? {
            Some(kept) => self.line(kept.value).await.map(Some),
            None => Ok(None),
        }
    }

    fn arrives(&self, id: GuestId, room: &Room) -> Guest {
        let (name, site) = (room.name.clone(), room.site.clone());
        Guest { id, name, site, at: self.inner.clock.now(), state: GuestState::Waiting, tube: None }
    }

    /// Has a guest wait. `None`: something changed in between.
    async fn waits(&self, visit: Visit<'_>) -> Result<Option<Guest>, Unavailable> {
        let mut commit = Commit::default();
        let mut row = visit.row.value.clone();
        row.portal.waiting += 1;
        let change = (ChangeKind::GuestCame, change_id(&row.portal.id, &visit.guest.guest.id));
        self.plan_guest(row, &visit, &mut commit);
        let news = self.note(&mut commit, &[(&visit.row.value.portal.owner, change.0, change.1)]).await?;
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.wake(news);
                Ok(Some(visit.guest.guest))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// Connects a guest's room, counts the use and notes the guest, in one transaction. `None`: something changed in
    /// between.
    async fn joins(&self, mut visit: Visit<'_>, kind: ChangeKind) -> Result<Option<(Line, Guest)>, Unavailable> {
        let mut commit = Commit::default();
        let mut row = visit.row.value.clone();
        let (owner, portal) = (row.portal.owner.clone(), row.portal.id.clone());
        let guest = visit.guest.guest.id.clone();
        let made_by = MadeBy::Portal(portal.clone());
        let (owners, rooms) = ([&owner, &visit.guest.owner], [visit.host, visit.room]);
        let line = self.plan_tube(owners, rooms, made_by, Some(guest.clone()), &mut commit).await?;
        row.portal.uses_made += 1;
        if visit.known.is_some_and(|known| known.value.guest.state == GuestState::Waiting) {
            row.portal.waiting = row.portal.waiting.saturating_sub(1);
        }
        (visit.guest.guest.state, visit.guest.guest.tube) = (GuestState::Approved, Some(line.tube.id.clone()));
        self.plan_guest(row, &visit, &mut commit);
        let mut changes = tube_rows::news(&line.tube, ChangeKind::TubeMade);
        changes.push((&owner, kind, change_id(&portal, &guest)));
        changes.push((&owner, ChangeKind::PortalChanged, portal.to_string()));
        let news = self.note(&mut commit, &changes).await?;
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.changed();
                self.wake(news);
                Ok(Some((line, visit.guest.guest)))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// Adds a Portal and a guest to a commit, both on the condition that they are as they were read.
    fn plan_guest(&self, mut row: PortalRow, visit: &Visit<'_>, commit: &mut Commit) {
        row.portal.version = version(self.inner.clock.now(), row.portal.version);
        let (owner, portal) = (&row.portal.owner, &row.portal.id);
        let key = keys::guest(owner, portal, &visit.guest.guest.id);
        commit.writes.push(rows::put(key, &visit.guest, None, rows::unchanged(visit.known)));
        let when = When::Version(visit.row.version);
        commit.writes.push(rows::put(keys::owner_portal(owner, portal), &row, None, when));
    }

    async fn refuses(
        &self,
        mut row: rows::Kept<PortalRow>,
        mut known: rows::Kept<GuestRow>,
    ) -> Result<Option<Guest>, Unavailable> {
        if known.value.guest.state == GuestState::Waiting {
            row.value.portal.waiting = row.value.portal.waiting.saturating_sub(1);
        }
        known.value.guest.state = GuestState::Refused;
        row.value.portal.version = version(self.inner.clock.now(), row.value.portal.version);
        let (owner, portal) = (&row.value.portal.owner, &row.value.portal.id);
        let id = &known.value.guest.id;
        let mut commit = Commit::default();
        let key = keys::guest(owner, portal, id);
        commit.writes.push(rows::put(key, &known.value, None, When::Version(known.version)));
        let key = keys::owner_portal(owner, portal);
        commit.writes.push(rows::put(key, &row.value, None, When::Version(row.version)));
        let news = self.note(&mut commit, &[(owner, ChangeKind::GuestChanged, change_id(portal, id))]).await?;
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.wake(news);
                Ok(Some(known.value.guest))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// Connects a guest with their owner's word. `None`: something changed in between.
    async fn approves(
        &self,
        row: &rows::Kept<PortalRow>,
        known: &rows::Kept<GuestRow>,
    ) -> Result<Option<Guest>, PortalError> {
        let can_not = |why: &str| Err(PortalError::CanNotJoin(why.to_owned()));
        let portal = row.value.at(self.inner.clock.now());
        match portal.state {
            PortalState::Revoked => return can_not("this Portal is revoked; make another one"),
            PortalState::Used => return Err(PortalError::UsedUp),
            PortalState::Open | PortalState::Expired => {}
        }
        let Some(host) = self.owned_room(&portal.owner, &portal.room).await? else {
            return can_not("the room that this Portal leads to is gone");
        };
        let Some(room) = self.owned_room(&known.value.owner, &known.value.room).await? else {
            return can_not("the guest's room is gone");
        };
        if host.value.at == room.value.at {
            return can_not("this Portal leads to the guest's own room now");
        }
        if let Some(line) = self.between(&host.value.at, &room.value.at).await? {
            let why = format!("{} is connected with {} already", line.labels[0].name, line.labels[1].name);
            return Err(PortalError::CanNotJoin(why));
        }
        let mut guest = known.value.clone();
        guest.guest.name.clone_from(&room.value.name);
        let visit = Visit { row, host: &host.value, known: Some(known), guest, room: &room.value };
        Ok(self.joins(visit, ChangeKind::GuestChanged).await?.map(|(_, guest)| guest))
    }
}

fn guest_id(portal: &PortalId, owner: &OwnerId, room: &RoomRef) -> GuestId {
    let parts = [portal.as_str(), owner.as_str(), room.account.as_str(), room.key.as_str()];
    format!("guest-{}", keys::digest(&parts)).into()
}

/// How a guest is named in changes.
fn change_id(portal: &PortalId, guest: &GuestId) -> String {
    keys::join(&[portal.as_str(), guest.as_str()])
}
