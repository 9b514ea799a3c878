//! What a room is connected with, whether or not messages get there: the walk finds where they go, this finds the rest.

use std::collections::{HashSet, VecDeque};

use sameroom_model::{Direction, Room, RoomRef, TubeId, TubeState};

use super::answers;
use crate::Engine;
use crate::ports::Unavailable;
use crate::walk::RoomView;

/// A room's surroundings.
pub(super) struct Around {
    /// Where messages of the room go, nearest first.
    pub(super) reached: Vec<Room>,
    /// Where they don't, and why not.
    pub(super) cut_off: Vec<(Room, &'static str)>,
    /// How many open Tubes run between the room and those reached.
    pub(super) tubes: usize,
}

impl Around {
    /// What is said of the rooms that messages don't get to.
    pub(super) fn silence(&self) -> Vec<String> {
        if self.cut_off.is_empty() {
            return Vec::new();
        }
        let rooms: Vec<String> =
            self.cut_off.iter().map(|(room, why)| format!("{} ({why})", answers::place_of(room))).collect();
        answers::listing("Connected, but nothing written here gets to", &rooms)
    }
}

impl Engine {
    pub(super) async fn around(&self, from: &RoomRef) -> Result<Around, Unavailable> {
        let view = self.view(from).await?;
        let reached = self.walk(from, &view).await?;
        let mut tubes: HashSet<TubeId> = HashSet::new();
        for view in std::iter::once(&view).chain(reached.iter().map(|(_, view)| view)) {
            tubes.extend(view.tubes.iter().filter(|tube| tube.state == TubeState::Open).map(|tube| tube.id.clone()));
        }
        let rooms: HashSet<&RoomRef> = reached.iter().map(|(room, _)| room).collect();
        let lets_out = view.options().direction.lets_out();
        let mut cut_off = Vec::new();
        for (room, state) in self.neighbourhood(from, &view).await? {
            if rooms.contains(&room.at) {
                continue;
            }
            let why = match state {
                _ if room.options.direction == Direction::NotIn => "nothing is let in there",
                _ if !lets_out => "nothing is let out of this room",
                TubeState::Paused => "its Tube is paused",
                TubeState::Broken => "its Tube is broken",
                TubeState::Open => "no way there is open",
            };
            cut_off.push((room, why));
        }
        let reached =
            reached.iter().filter_map(|(_, view)| view.room.as_ref().map(|kept| kept.value.clone())).collect();
        Ok(Around { reached, cut_off, tubes: tubes.len() })
    }

    /// Every room that open Tubes lead to, whichever way, and those at the other ends of the room's own Tubes, whatever
    /// their state: nobody here sees what lies behind those. Each with the state of the Tube that it was found by;
    /// nearest first, as many as a network may span.
    pub(crate) async fn neighbourhood(
        &self,
        from: &RoomRef,
        view: &RoomView,
    ) -> Result<Vec<(Room, TubeState)>, Unavailable> {
        let mut known: HashSet<RoomRef> = HashSet::from([from.clone()]);
        let mut found = Vec::new();
        let mut queue: VecDeque<(RoomRef, TubeState)> = ends(from, view, &mut known, |_| true).into();
        while let Some((at, state)) = queue.pop_front() {
            if found.len() >= self.inner.config.rooms_max {
                break;
            }
            let view = self.view(&at).await?;
            if state == TubeState::Open {
                queue.extend(ends(&at, &view, &mut known, |state| state == TubeState::Open));
            }
            found.extend(view.room.as_ref().map(|kept| (kept.value.clone(), state)));
        }
        Ok(found)
    }
}

/// The other ends of a room's Tubes that are not known yet, open ones first.
fn ends(
    at: &RoomRef,
    view: &RoomView,
    known: &mut HashSet<RoomRef>,
    wanted: fn(TubeState) -> bool,
) -> Vec<(RoomRef, TubeState)> {
    let mut tubes: Vec<_> = view.tubes.iter().filter(|tube| wanted(tube.state)).collect();
    tubes.sort_by_key(|tube| tube.state != TubeState::Open);
    let ends = tubes.into_iter().filter_map(|tube| tube.across(at).map(|(there, _)| (there.room.clone(), tube.state)));
    ends.filter(|(room, _)| known.insert(room.clone())).collect()
}
