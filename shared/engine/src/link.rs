//! Rooms and Tubes: making and finding them.

use sameroom_model::{
    AccountId, Direction, GuestId, Lane, MadeBy, OwnerId, Room, RoomOptions, RoomRef, Text, Tube, TubeEnd, TubeId,
    TubeState,
};
use sameroom_platforms::{Joined, RoomDraft};

use crate::changes::ChangeKind;
use crate::leaves::EdgeChange;
use crate::owners::version;
use crate::ports::{Commit, CommitError, Key, Unavailable, When};
use crate::rooms::RoomsError;
use crate::tube_rows::{self, Label, Line};
use crate::{Engine, keys, rows};

/// Two rooms, connected, and whether that is new.
#[derive(Debug)]
pub struct Linked {
    /// The Tube.
    pub tube: Tube,
    /// `false`: it was there already.
    pub new: bool,
}

/// Why two rooms can't be connected.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A room to itself.
    #[error("both ends are the same room, {0}; give two different rooms")]
    SameRoom(String),
    /// A room that its account can't enter; a sentence.
    #[error("the room {0} can't be entered: {1}")]
    Closed(String, String),
    /// A room that nobody added.
    #[error("the room {0} is not known; add its account and the room first")]
    UnknownRoom(String),
    /// Two rooms that have a Tube already.
    #[error("{0} is connected with that room already; choose another room, or remove one of the two Tubes")]
    AlreadyConnected(String),
    /// More Portals than can move at once.
    #[error("more than {0} Portals lead to that room; move the side without its Portals, or revoke some")]
    TooManyPortals(usize),
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Engine {
    /// Adds a room to an account, or brings it up to date; its options stay.
    pub async fn add_room(&self, account: &AccountId, draft: &RoomDraft) -> Result<Room, Unavailable> {
        let at = RoomRef { account: account.clone(), key: draft.key.clone() };
        loop {
            let kept = rows::load::<Room>(&*self.inner.store, &keys::room(&at)).await?;
            let room = Room {
                at: at.clone(),
                name: draft.name.clone(),
                site: draft.site.clone(),
                options: kept.as_ref().map(|kept| kept.value.options).unwrap_or_default(),
                settings: draft.settings.clone(),
                listen: kept.as_ref().is_some_and(|kept| kept.value.listen),
                unknown: kept.as_ref().map(|kept| kept.value.unknown.clone()).unwrap_or_default(),
            };
            if self.save_room(&room, kept.as_ref().map(|kept| &kept.value), rows::unchanged(kept.as_ref())).await? {
                self.room_changed(kept.map(|kept| kept.value).as_ref(), &room).await?;
                return Ok(room);
            }
        }
    }

    /// Sets a room's options. `None`: there is no such room.
    pub async fn set_options(&self, at: &RoomRef, options: RoomOptions) -> Result<Option<Room>, Unavailable> {
        self.change_room(at, |room| room.options = options).await
    }

    /// Sets whether we are in a room although no Tube touches it. See [`Room::listen`]. `None`: there is no such room.
    pub async fn listen(&self, at: &RoomRef, listen: bool) -> Result<Option<Room>, Unavailable> {
        self.change_room(at, |room| room.listen = listen).await
    }

    /// One room.
    pub async fn room(&self, at: &RoomRef) -> Result<Option<Room>, Unavailable> {
        Ok(rows::load::<Room>(&*self.inner.store, &keys::room(at)).await?.map(|kept| kept.value))
    }

    /// All rooms of an account.
    pub async fn rooms(&self, account: &AccountId) -> Result<Vec<Room>, Unavailable> {
        let partition = keys::account(account).partition;
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.inner.store.query(&partition, keys::ROOM, after.as_deref(), 100).await?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = Some(last.clone());
            for (sort, row) in &page {
                let key = Key { partition: partition.clone(), sort: sort.clone() };
                let at: RoomRef = rows::decode(&key, row)?.value;
                found.extend(self.room(&at).await?);
            }
        }
    }

    /// The rooms that a held connection has to be in: those that a Tube touches, those that are still to be told that
    /// their last one is closed, and those that are listened to without one.
    pub async fn joined(&self, account: &AccountId) -> Result<Vec<Joined>, Unavailable> {
        let mut joined = Vec::new();
        for room in self.rooms(account).await? {
            let partition = keys::room_partition(&room.at);
            let notices = keys::lane(&Lane { from: room.at.clone(), to: room.at.clone() });
            if !room.listen
                && self.inner.store.query(&partition, keys::TUBE, None, 1).await?.is_empty()
                && self.inner.store.get(&notices).await?.is_none()
            {
                continue;
            }
            let seen = rows::load::<String>(&*self.inner.store, &keys::room_seen(&room.at)).await?;
            joined.push(Joined {
                key: room.at.key,
                name: room.name,
                settings: room.settings,
                seen: seen.map(|kept| kept.value),
            });
        }
        Ok(joined)
    }

    /// Keeps a held connection's mark of the last thing it saw in a room.
    pub async fn set_seen(&self, room: &RoomRef, mark: &str) -> Result<(), Unavailable> {
        let write = rows::put(keys::room_seen(room), &mark, None, When::Always);
        self.commit_always(Commit { writes: vec![write], ..Commit::default() }).await
    }

    /// Connects two rooms, each of its owner's, and says so in both. Connecting them again changes nothing.
    pub async fn connect(
        &self,
        owners: [&OwnerId; 2],
        rooms: [&RoomRef; 2],
        made_by: MadeBy,
    ) -> Result<Linked, LinkError> {
        let mut known = Vec::with_capacity(2);
        for (owner, at) in owners.into_iter().zip(rooms) {
            let room = self.owned_room(owner, at).await?;
            known.push(room.ok_or_else(|| LinkError::UnknownRoom(at.key.to_string()))?.value);
        }
        let (a, b) = (&known[0], &known[1]);
        if a.at == b.at {
            return Err(LinkError::SameRoom(a.name.clone()));
        }
        let mut entered = false;
        loop {
            if let Some(kept) = rows::load::<Tube>(&*self.inner.store, &keys::tube(&tube_id(&a.at, &b.at))).await? {
                return Ok(Linked { tube: kept.value, new: false });
            }
            if !entered {
                for room in &known {
                    match self.enter(&room.at).await {
                        Ok(()) => {}
                        Err(RoomsError::Unavailable(e)) => return Err(e.into()),
                        Err(e) => return Err(LinkError::Closed(room.name.clone(), e.to_string())),
                    }
                }
                entered = true;
            }
            let mut commit = Commit::default();
            let line = self.plan_tube(owners, [a, b], made_by.clone(), None, &mut commit).await?;
            let news = self.note(&mut commit, &tube_rows::news(&line.tube, ChangeKind::TubeMade)).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => {
                    self.changed();
                    self.wake(news);
                    return Ok(Linked { tube: line.tube, new: true });
                }
                // Somebody connected them in between, or a notice of one of the rooms was just delivered: look again.
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e.into()),
            }
        }
    }

    pub(crate) async fn rename_room(&self, at: &RoomRef, name: &str) -> Result<(), Unavailable> {
        self.change_room(at, |room| name.clone_into(&mut room.name)).await.map(drop)
    }

    async fn change_room(&self, at: &RoomRef, change: impl Fn(&mut Room)) -> Result<Option<Room>, Unavailable> {
        loop {
            let Some(mut kept) = rows::load::<Room>(&*self.inner.store, &keys::room(at)).await? else {
                return Ok(None);
            };
            let before = kept.value.clone();
            change(&mut kept.value);
            if self.save_room(&kept.value, Some(&before), When::Version(kept.version)).await? {
                self.room_changed(Some(&before), &kept.value).await?;
                return Ok(Some(kept.value));
            }
        }
    }

    /// What follows from a change of a room: its owner is told, and lists show its new name.
    pub(crate) async fn room_changed(&self, before: Option<&Room>, room: &Room) -> Result<(), Unavailable> {
        if before == Some(room) {
            return Ok(());
        }
        if before.is_some_and(|before| Label::of(before) != Label::of(room)) {
            self.relabel(room).await?;
        }
        if let Some(account) = self.account(&room.at.account).await? {
            self.announce(&account.owner, ChangeKind::RoomChanged, keys::room_id(&room.at));
        }
        Ok(())
    }

    /// Writes a room that was so before. `false`: something changed in between.
    pub(crate) async fn save_room(&self, room: &Room, before: Option<&Room>, when: When) -> Result<bool, Unavailable> {
        let writes = vec![
            rows::put(keys::room(&room.at), room, None, when),
            rows::put(keys::account_room(&room.at), &room.at, None, When::Always),
        ];
        let mut commit = Commit { writes, ..Commit::default() };
        if before.is_some_and(|before| before.options != room.options) {
            let options = Some(room.options);
            self.rewire(&room.at, EdgeChange { options, ..EdgeChange::default() }, &mut commit).await?;
        }
        match self.inner.store.commit(commit).await {
            Ok(_) => {
                self.changed();
                Ok(true)
            }
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Unavailable(e)) => Err(e),
        }
    }

    /// A room, if it is that owner's: its account is theirs.
    pub(crate) async fn owned_room(
        &self,
        owner: &OwnerId,
        at: &RoomRef,
    ) -> Result<Option<rows::Kept<Room>>, Unavailable> {
        match self.account(&at.account).await? {
            Some(account) if account.owner == *owner => rows::load(&*self.inner.store, &keys::room(at)).await,
            _ => Ok(None),
        }
    }

    /// Whose a room is: its account's owner's. `None`: there is no such room.
    pub async fn room_owner(&self, at: &RoomRef) -> Result<Option<OwnerId>, Unavailable> {
        if self.room(at).await?.is_none() {
            return Ok(None);
        }
        Ok(self.account(&at.account).await?.map(|account| account.owner))
    }

    /// Adds to a commit what makes a new Tube, the words in both rooms included; what its owners are told is left to
    /// the caller. The commit conflicts where the two rooms have one already.
    pub(crate) async fn plan_tube(
        &self,
        owners: [&OwnerId; 2],
        rooms: [&Room; 2],
        made_by: MadeBy,
        guest: Option<GuestId>,
        commit: &mut Commit,
    ) -> Result<Line, Unavailable> {
        let now = self.inner.clock.now();
        let end = |at: usize| TubeEnd {
            room: rooms[at].at.clone(),
            owner: owners[at].clone(),
            direction: Direction::Both,
            paused: false,
        };
        let tube = Tube {
            id: tube_id(&rooms[0].at, &rooms[1].at),
            ends: [end(0), end(1)],
            state: TubeState::Open,
            made_by,
            made_at: now,
            guest,
            version: version(now, 0),
            unknown: serde_json::Map::new(),
        };
        let line = Line { tube, labels: rooms.map(Label::of) };
        commit.writes.extend(line.put(When::Absent));
        for (here, there) in [(rooms[0], rooms[1]), (rooms[1], rooms[0])] {
            self.rewire(&here.at, EdgeChange { added: Some(&there.at), ..EdgeChange::default() }, commit).await?;
            let words = format!("This room is now connected to {} on {}.", there.name, there.site);
            self.notice(&here.at, &Text::plain(&words), commit).await?;
        }
        Ok(line)
    }
}

pub(crate) fn tube_id(a: &RoomRef, b: &RoomRef) -> TubeId {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    keys::digest(&[a.account.as_str(), a.key.as_str(), b.account.as_str(), b.key.as_str()]).into()
}
