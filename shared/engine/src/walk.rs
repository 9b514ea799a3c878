//! Walking the network that rooms and Tubes form, the way messages go: breadth first, each room once. It must not know
//! what is done with the rooms that are reached, nor change any of them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::future::try_join_all;
use sameroom_model::{Lane, Room, RoomOptions, RoomRef, Tube, TubeState};

use crate::lane::LaneRow;
use crate::leaves::Leaf;
use crate::ports::{Key, Row, Unavailable};
use crate::{Engine, keys, rows};

/// How many rooms are read at once when a network is walked.
const AT_ONCE: usize = 16;

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
