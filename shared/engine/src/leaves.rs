//! Rooms that one Tube leads to, and no other: most rooms. What a message needs to know of such a room is kept in the
//! room at the Tube's other end, so that the walk does not read the room itself: nothing lies behind it. Everything that
//! changes a room's Tubes or its options says so here, in the commit that makes the change. It must not know why.
//!
//! A row that says that a room is a leaf must never be wrong, or somebody would miss messages, or get them against their
//! will. So it is derived from one other row alone, which every such commit writes under its version; what it does not
//! say is read from the room.

use sameroom_model::{RoomOptions, RoomRef};
use serde::{Deserialize, Serialize};

use crate::ports::{Commit, Unavailable, When, Write};
use crate::{Engine, keys, rows};

/// Rooms with more Tubes than this are not counted any more: they are read, as they would be anyway.
const COUNTED_MAX: usize = 8;

/// What becomes of a room's surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EdgeChange<'a> {
    /// A Tube to this room is no more.
    pub(crate) removed: Option<&'a RoomRef>,
    /// There is a Tube to this room now.
    pub(crate) added: Option<&'a RoomRef>,
    /// The room's options are these now.
    pub(crate) options: Option<RoomOptions>,
}

/// A room's surroundings: what leaf rows are derived from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Neighbours {
    options: RoomOptions,
    /// The rooms that its Tubes lead to. `None`: there are, or were, too many to count.
    rooms: Option<Vec<RoomRef>>,
}

/// A leaf, as it is kept in the room next to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    pub(crate) room: RoomRef,
    pub(crate) options: RoomOptions,
}

impl Engine {
    /// Adds to a commit what follows from a change around a room. The commit conflicts where something else changed
    /// there in between.
    pub(crate) async fn rewire(
        &self,
        room: &RoomRef,
        change: EdgeChange<'_>,
        commit: &mut Commit,
    ) -> Result<(), Unavailable> {
        let key = keys::room_neighbours(room);
        let kept = rows::load::<Neighbours>(&*self.inner.store, &key).await?;
        let before = match &kept {
            Some(kept) => kept.value.clone(),
            // The first Tube, or one that an earlier version made.
            None => self.neighbours_of(room).await?,
        };
        let after = before.after(change);
        if kept.is_some() && before == after {
            return Ok(());
        }
        let (was, is) = (before.leaf(), after.leaf());
        if let Some(next) = was.filter(|was| is != Some(*was)) {
            commit.writes.push(Write::Delete { key: keys::room_leaf(next, room), when: When::Always });
        }
        if let Some(next) = is {
            let leaf = Leaf { room: room.clone(), options: after.options };
            commit.writes.push(rows::put(keys::room_leaf(next, room), &leaf, None, When::Always));
        }
        commit.writes.push(rows::put(key, &after, None, rows::unchanged(kept.as_ref())));
        Ok(())
    }

    async fn neighbours_of(&self, room: &RoomRef) -> Result<Neighbours, Unavailable> {
        let view = self.view(room).await?;
        let rooms = view.tubes.iter().filter_map(|tube| tube.across(room)).map(|(there, _)| there.room.clone());
        Ok(Neighbours { options: view.options(), rooms: Some(rooms.collect()) })
    }
}

impl Neighbours {
    fn after(&self, change: EdgeChange<'_>) -> Self {
        let mut after = self.clone();
        after.options = change.options.unwrap_or(after.options);
        if let Some(rooms) = &mut after.rooms {
            rooms.retain(|room| Some(room) != change.removed && Some(room) != change.added);
            rooms.extend(change.added.cloned());
        }
        after.rooms = after.rooms.filter(|rooms| rooms.len() <= COUNTED_MAX);
        after
    }

    /// The one room that its one Tube leads to.
    fn leaf(&self) -> Option<&RoomRef> {
        match self.rooms.as_deref() {
            Some([next]) => Some(next),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(room: &RoomRef) -> EdgeChange<'_> {
        EdgeChange { added: Some(room), ..EdgeChange::default() }
    }

    fn removed(room: &RoomRef) -> EdgeChange<'_> {
        EdgeChange { removed: Some(room), ..EdgeChange::default() }
    }

    #[test]
    fn a_room_is_a_leaf_with_one_tube_alone() {
        let (a, b) = (RoomRef::new("x", "a"), RoomRef::new("x", "b"));
        let none = Neighbours { rooms: Some(Vec::new()), ..Neighbours::default() };
        let one = none.after(added(&a));
        assert_eq!((none.leaf(), one.leaf()), (None, Some(&a)));
        // The same Tube again is still one.
        assert_eq!(one.after(added(&a)), one);
        let two = one.after(added(&b));
        assert_eq!(
            (two.leaf(), two.after(removed(&a)).leaf(), two.after(removed(&a)).after(removed(&b))),
            (None, Some(&b), none)
        );
        let moved = one.after(EdgeChange { removed: Some(&a), added: Some(&b), options: None });
        assert_eq!(moved.leaf(), Some(&b));
    }

    #[test]
    fn a_room_that_had_many_tubes_is_none() {
        let rooms: Vec<_> = (0..=COUNTED_MAX).map(|n| RoomRef::new("x", n.to_string())).collect();
        let none = Neighbours { rooms: Some(Vec::new()), ..Neighbours::default() };
        let many = rooms.iter().fold(none, |now, room| now.after(added(room)));
        assert_eq!(many.rooms, None);
        let left = rooms[1..].iter().fold(many, |now, room| now.after(removed(room)));
        assert_eq!(left.leaf(), None);
    }
}
