//! The picture of a network: which rooms are connected, and how. A viewer sees the names of rooms that are connected to
//! theirs, and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use sameroom_model::{Account, AccountId, OwnerId, Room, RoomRef, Tube, TubeId, TubeState};
use sameroom_platforms::by_name;
use serde::Serialize;

use crate::Engine;
use crate::keys;
use crate::page::read;
use crate::ports::Unavailable;

/// Rooms and the Tubes between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetworkMap {
    /// The rooms; a room's number is its place here.
    pub rooms: Vec<MapRoom>,
    /// The Tubes.
    pub tubes: Vec<MapTube>,
    /// Whether there are more rooms than are shown.
    pub more: bool,
}

/// A room on a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapRoom {
    /// Its number.
    pub n: usize,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// Its platform's name for people.
    pub platform: String,
    /// Whether it is the viewer's.
    pub mine: bool,
}

/// A Tube on a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapTube {
    /// The number of the room at one end.
    pub a: usize,
    /// The number of the room at the other.
    pub b: usize,
    /// Whether it carries messages.
    pub state: TubeState,
    /// Which way, sides' and rooms' options taken together.
    pub flow: Flow,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Both ways.
    Both,
    /// From a to b alone.
    AToB,
    /// From b to a alone.
    BToA,
    /// No way: options forbid both.
    Neither,
}

impl Engine {
    /// The network that a room is in, as everyone in the room may see it. `viewer`: whose rooms are marked as theirs.
    pub async fn room_map(&self, room: &RoomRef, viewer: Option<&OwnerId>) -> Result<NetworkMap, Unavailable> {
        let seeds = HashSet::from([room.clone()]);
        self.draw(VecDeque::from([room.clone()]), &seeds, viewer).await
    }

    /// All networks that an owner's rooms are in.
    pub async fn network_map(&self, owner: &OwnerId) -> Result<NetworkMap, Unavailable> {
        let mut queue = VecDeque::new();
        let mut mine = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = read(&*self.inner.store, &keys::owner(owner), keys::TUBE, after.as_deref(), 1000).await?;
            for (key, row) in &page.items {
                let Some(line) = self.owners_line(key, row).await? else { continue };
                for end in line.tube.ends.into_iter().filter(|end| end.owner == *owner) {
                    if mine.insert(end.room.clone()) {
                        queue.push_back(end.room);
                    }
                }
            }
            after = page.next;
            if after.is_none() || queue.len() > self.inner.config.rooms_max {
                return self.draw(queue, &mine, Some(owner)).await;
            }
        }
    }

    /// Walks from the rooms in the queue over open Tubes. Those of the rooms in `seeds` are shown paused and broken,
    /// too: who sees the room knows of them.
    async fn draw(
        &self,
        mut queue: VecDeque<RoomRef>,
        seeds: &HashSet<RoomRef>,
        viewer: Option<&OwnerId>,
    ) -> Result<NetworkMap, Unavailable> {
        let mut map = NetworkMap::default();
        let mut numbers: HashMap<RoomRef, usize> = HashMap::new();
        let mut known: Vec<Option<Room>> = Vec::new();
        let mut tubes: BTreeMap<TubeId, Tube> = BTreeMap::new();
        let mut accounts: HashMap<AccountId, Option<Account>> = HashMap::new();
        while let Some(at) = queue.pop_front() {
            if numbers.contains_key(&at) {
                continue;
            }
            if known.len() >= self.inner.config.rooms_max {
                map.more = true;
                break;
            }
            let view = self.view(&at).await?;
            for tube in view.tubes.clone() {
                if let Some((there, _)) = tube.across(&at)
                    && (tube.state == TubeState::Open || seeds.contains(&at))
                {
                    // What can only be seen over a Tube that is not open is not walked on from: see below.
                    if tube.state == TubeState::Open || seeds.contains(&there.room) {
                        queue.push_back(there.room.clone());
                    }
                    tubes.insert(tube.id.clone(), tube);
                }
            }
            numbers.insert(at.clone(), known.len());
            let room = view.room.as_ref().map(|kept| kept.value.clone());
            map.rooms.push(self.map_room(known.len(), &at, room.as_ref(), viewer, &mut accounts).await?);
            known.push(room);
        }
        for tube in tubes.values() {
            for end in &tube.ends {
                if numbers.contains_key(&end.room) {
                    continue;
                }
                if known.len() >= self.inner.config.rooms_max {
                    map.more = true;
                    continue;
                }
                // The far end of a Tube that carries nothing now: its name, and nothing behind it.
                let room = self.room(&end.room).await?;
                numbers.insert(end.room.clone(), known.len());
                map.rooms.push(self.map_room(known.len(), &end.room, room.as_ref(), viewer, &mut accounts).await?);
                known.push(room);
            }
            let [a, b] = &tube.ends;
            let (Some(n), Some(m)) = (numbers.get(&a.room), numbers.get(&b.room)) else { continue };
            let flow = flow(tube, [known[*n].as_ref(), known[*m].as_ref()]);
            map.tubes.push(MapTube { a: *n, b: *m, state: tube.state, flow });
        }
        Ok(map)
    }

    async fn map_room(
        &self,
        n: usize,
        at: &RoomRef,
        room: Option<&Room>,
        viewer: Option<&OwnerId>,
        accounts: &mut HashMap<AccountId, Option<Account>>,
    ) -> Result<MapRoom, Unavailable> {
        if !accounts.contains_key(&at.account) {
            accounts.insert(at.account.clone(), self.account(&at.account).await?);
        }
        let account = accounts.get(&at.account).and_then(Option::as_ref);
        let platform = account.and_then(|account| by_name(&account.platform));
        Ok(MapRoom {
            n,
            name: room.map_or_else(|| "(gone)".to_owned(), |room| room.name.clone()),
            site: room.map_or_else(String::new, |room| room.site.clone()),
            platform: platform.map_or_else(String::new, |platform| platform.about().title.to_owned()),
            mine: viewer.is_some() && account.map(|account| &account.owner) == viewer,
        })
    }
}

fn flow(tube: &Tube, rooms: [Option<&Room>; 2]) -> Flow {
    let lets = |at: usize, way: fn(sameroom_model::Direction) -> bool| {
        let options = rooms[at].map(|room| room.options).unwrap_or_default();
        way(tube.ends[at].direction) && way(options.direction)
    };
    let goes = |from: usize, to: usize| {
        lets(from, sameroom_model::Direction::lets_out) && lets(to, sameroom_model::Direction::lets_in)
    };
    match (goes(0, 1), goes(1, 0)) {
        (true, true) => Flow::Both,
        (true, false) => Flow::AToB,
        (false, true) => Flow::BToA,
        (false, false) => Flow::Neither,
    }
}
