//! Rooms and Tubes: making, finding, removing, and walking the network that they form.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::future::try_join_all;
use sameroom_model::{
    AccountId, Direction, GuestId, Lane, MadeBy, OwnerId, Room, RoomOptions, RoomRef, Text, Tube, TubeEnd, TubeId,
    TubeState,
};
use sameroom_platforms::{Joined, RoomDraft};

use crate::changes::ChangeKind;
use crate::lane::LaneRow;
use crate::leaves::{Leaf, Turn};
use crate::owners::version;
use crate::ports::{Commit, CommitError, Key, Row, Unavailable, When};
use crate::rooms::RoomsError;
use crate::tube_rows::{self, Label, Line};
use crate::{Engine, keys, rows};

/// How many rooms are read at once when a network is walked.
const AT_ONCE: usize = 16;

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

/// A room and all that can be reached from it.
#[derive(Debug, Default)]
pub struct Network {
    /// The rooms reached, the first one left out, each once, nearest first.
    pub rooms: Vec<Room>,
}

/// Whether messages may go along a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They may.
    Open,
    /// Not now: a Tube on the way is paused or broken.
    Paused,
    /// No more: there is no way, or the room lets nothing in.
    Gone,
}

/// All that is kept under a room, read at once.
#[derive(Debug, Default)]
pub(crate) struct RoomView {
    pub(crate) room: Option<rows::Kept<Room>>,
    pub(crate) tubes: Vec<Tube>,
    pub(crate) lanes: BTreeMap<String, rows::Kept<LaneRow>>,
    /// Whether what we post there gets ids that are not ours.
    pub(crate) foreign_ids: bool,
    /// The rooms next to it that have no other Tube, and their options.
    pub(crate) leaves: HashMap<RoomRef, RoomOptions>,
}

impl RoomView {
    pub(crate) fn lane(&self, lane: &Lane) -> Option<&rows::Kept<LaneRow>> {
        self.lanes.get(&keys::lane(lane).sort)
    }

    pub(crate) fn options(&self) -> RoomOptions {
        self.room.as_ref().map(|kept| kept.value.options).unwrap_or_default()
    }
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

    /// Everything that can be reached from a room over open Tubes.
    pub async fn network(&self, room: &RoomRef) -> Result<Network, Unavailable> {
        let view = self.view(room).await?;
        let reached = self.walk(room, &view).await?;
        Ok(Network {
            rooms: reached.iter().filter_map(|(_, view)| view.room.as_ref().map(|kept| kept.value.clone())).collect(),
        })
    }

    /// Reads all that is kept under a room.
    pub(crate) async fn view(&self, room: &RoomRef) -> Result<Arc<RoomView>, Unavailable> {
        const PAGE: usize = 1000;
        let partition = keys::room_partition(room);
        let mut rows = self.inner.store.query(&partition, "", None, PAGE).await?;
        let mut more = rows.len() == PAGE;
        while more && let Some((last, _)) = rows.last() {
            let page = self.inner.store.query(&partition, "", Some(last), PAGE).await?;
            more = page.len() == PAGE;
            rows.extend(page);
        }
        if let Some(known) = self.inner.views.get(&partition, &rows) {
            return Ok(known);
        }
        let mut view = RoomView::default();
        for (sort, row) in &rows {
            view.take(&partition, sort, row)?;
        }
        let view = Arc::new(view);
        self.inner.views.put(partition, rows, &view);
        Ok(view)
    }

    /// Walks the network from a room: breadth first, each room once, over open Tubes, the way messages may go.
    pub(crate) async fn walk(
        &self,
        from: &RoomRef,
        view: &RoomView,
    ) -> Result<Vec<(RoomRef, Arc<RoomView>)>, Unavailable> {
        let found = self.search(from, view, Look::Whole, |state| state == TubeState::Open).await?;
        Ok(found.into_iter().filter_map(|(room, found)| Some((room, found.view()?))).collect())
    }

    /// Likewise; gives no more than what a message has to know of the rooms.
    pub(crate) async fn reach(
        &self,
        from: &RoomRef,
        view: &RoomView,
    ) -> Result<Vec<(RoomRef, RoomOptions)>, Unavailable> {
        let found = self.search(from, view, Look::Options, |state| state == TubeState::Open).await?;
        Ok(found.into_iter().map(|(room, found)| (room, found.options())).collect())
    }

    /// Whether messages may go along a lane as things stand: Tubes may have been removed or paused since they were
    /// accepted (fault F61).
    pub(crate) async fn way(&self, lane: &Lane) -> Result<Way, Unavailable> {
        if lane.from == lane.to {
            return Ok(Way::Open);
        }
        let view = self.view(&lane.from).await?;
        let leads = |found: &[(RoomRef, Found)]| found.last().is_some_and(|(room, _)| *room == lane.to);
        let look = Look::Until(&lane.to);
        if leads(&self.search(&lane.from, &view, look, |state| state == TubeState::Open).await?) {
            return Ok(Way::Open);
        }
        let paused = leads(&self.search(&lane.from, &view, look, |_| true).await?);
        Ok(if paused { Way::Paused } else { Way::Gone })
    }

    /// Walks over the Tubes whose state `open` takes.
    async fn search(
        &self,
        from: &RoomRef,
        view: &RoomView,
        look: Look<'_>,
        open: fn(TubeState) -> bool,
    ) -> Result<Vec<(RoomRef, Found)>, Unavailable> {
        let mut visited: HashSet<RoomRef> = HashSet::from([from.clone()]);
        let mut reached: Vec<(RoomRef, Found)> = Vec::new();
        // What is known without having been read, and what was read ahead.
        let mut known: HashMap<RoomRef, Found> = HashMap::new();
        let mut queue: VecDeque<RoomRef> = VecDeque::new();
        look.on(from, view, open, &mut visited, &mut queue, &mut known);
        while let Some(at) = look.next(&mut queue) {
            if reached.len() >= self.inner.config.rooms_max {
                tracing::warn!(account = %from.account, "the network has more rooms than are reached at most");
                break;
            }
            let found = match known.remove(&at) {
                Some(found) => found,
                None if queue.is_empty() || look.wants(&at) => Found::Read(self.view(&at).await?),
                None => {
                    // What lies as far away as the next is read at once, where reading takes time.
                    let first = queue.iter().take(AT_ONCE - 1).filter(|room| !known.contains_key(room));
                    let rooms: Vec<RoomRef> = std::iter::once(&at).chain(first).cloned().collect();
                    let views = try_join_all(rooms.iter().map(|room| self.view(room))).await?;
                    known.extend(rooms.into_iter().zip(views.into_iter().map(Found::Read)));
                    match known.remove(&at) {
                        Some(found) => found,
                        None => continue,
                    }
                }
            };
            if found.options().direction.lets_in() {
                if let Found::Read(view) = &found {
                    look.on(&at, view, open, &mut visited, &mut queue, &mut known);
                }
                let last = look.wants(&at);
                reached.push((at, found));
                if last {
                    break;
                }
            }
        }
        Ok(reached)
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
            self.turn(&room.at, Turn { options, ..Turn::default() }, &mut commit).await?;
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
            self.turn(&here.at, Turn { come: Some(&there.at), ..Turn::default() }, commit).await?;
            let words = format!("This room is now connected to {} on {}.", there.name, there.site);
            self.notice(&here.at, &Text::plain(&words), commit).await?;
        }
        Ok(line)
    }
}

impl RoomView {
    fn take(&mut self, partition: &str, sort: &str, row: &Row) -> Result<(), Unavailable> {
        let key = Key { partition: partition.to_owned(), sort: sort.to_owned() };
        if key.sort == keys::SELF {
            self.room = Some(rows::decode(&key, row)?);
        } else if key.sort == keys::FOREIGN_IDS {
            self.foreign_ids = true;
        } else if key.sort.starts_with(keys::LEAF) {
            let leaf = rows::decode::<Leaf>(&key, row)?.value;
            self.leaves.insert(leaf.room, leaf.options);
        } else if key.sort.starts_with(keys::TUBE) {
            self.tubes.push(rows::decode::<Tube>(&key, row)?.value);
        } else if key.sort.starts_with(keys::LANE) {
            let lane: rows::Kept<LaneRow> = rows::decode(&key, row)?;
            if !lane.value.idle() {
                self.lanes.insert(key.sort, lane);
            }
        }
        Ok(())
    }
}

/// What a walk is for.
#[derive(Clone, Copy)]
enum Look<'a> {
    /// All that is known of the rooms.
    Whole,
    /// No more than their options: a leaf's need not be read.
    Options,
    /// Whether this room is reached.
    Until(&'a RoomRef),
}

/// A room that a walk came to.
enum Found {
    /// It was read.
    Read(Arc<RoomView>),
    /// A leaf.
    Leaf(RoomOptions),
}

impl Found {
    fn options(&self) -> RoomOptions {
        match self {
            Self::Read(view) => view.options(),
            Self::Leaf(options) => *options,
        }
    }

    fn view(self) -> Option<Arc<RoomView>> {
        match self {
            Self::Read(view) => Some(view),
            Self::Leaf(_) => None,
        }
    }
}

impl Look<'_> {
    fn wants(self, room: &RoomRef) -> bool {
        matches!(self, Self::Until(wanted) if wanted == room)
    }

    /// The room to look at next: the one that is sought, if it is near.
    fn next(self, queue: &mut VecDeque<RoomRef>) -> Option<RoomRef> {
        match queue.iter().position(|room| self.wants(room)) {
            Some(near) => queue.remove(near),
            None => queue.pop_front(),
        }
    }

    /// Goes on from a room.
    fn on(
        self,
        at: &RoomRef,
        view: &RoomView,
        open: fn(TubeState) -> bool,
        visited: &mut HashSet<RoomRef>,
        queue: &mut VecDeque<RoomRef>,
        known: &mut HashMap<RoomRef, Found>,
    ) {
        for room in neighbours(at, view, open, visited) {
            if let Some(options) = view.leaves.get(&room)
                && !matches!(self, Self::Whole)
            {
                known.insert(room.clone(), Found::Leaf(*options));
            }
            queue.push_back(room);
        }
    }
}

fn neighbours(
    at: &RoomRef,
    view: &RoomView,
    open: fn(TubeState) -> bool,
    visited: &mut HashSet<RoomRef>,
) -> Vec<RoomRef> {
    if !view.options().direction.lets_out() {
        return Vec::new();
    }
    let ends = view.tubes.iter().filter(|tube| open(tube.state)).filter_map(|tube| tube.across(at));
    ends.filter(|(there, here)| here.direction.lets_out() && there.direction.lets_in())
        .map(|(there, _)| there.room.clone())
        .filter(|room| visited.insert(room.clone()))
        .collect()
}

pub(crate) fn tube_id(a: &RoomRef, b: &RoomRef) -> TubeId {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    keys::digest(&[a.account.as_str(), a.key.as_str(), b.account.as_str(), b.key.as_str()]).into()
}
