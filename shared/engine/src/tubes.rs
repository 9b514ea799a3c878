//! Tubes as their owners manage them: listing, pausing, one-way by side, moving a side to another room, closing. A Tube
//! has up to two owners; each sees of the other's side the room's name and where it is, and nothing else (promise 6).

use sameroom_model::{Direction, OwnerId, PortalId, RoomRef, Timestamp, TubeId, TubeState};

use crate::Engine;
use crate::link::LinkError;
use crate::page::{Changed, Page};
use crate::ports::Unavailable;

/// A Tube as one of its owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TubeView {
    /// Its id.
    pub id: TubeId,
    /// Whether it carries messages.
    pub state: TubeState,
    /// The two sides. Where one of them is the other owner's, the viewer's is first.
    pub sides: [Side; 2],
    /// How it came to be.
    pub made_by: Made,
    /// When.
    pub made_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
}

/// A side of a Tube, as one of the Tube's owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The room's name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// What only its owner sees; `None`: it is the other owner's.
    pub own: Option<OwnSide>,
}

/// What only a side's owner sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSide {
    /// The room.
    pub room: RoomRef,
    /// Which way messages cross on this side.
    pub direction: Direction,
    /// Whether they paused the Tube. It is paused as long as either owner wants it so.
    pub paused: bool,
}

/// How a Tube came to be, as one of its owners sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// By the management interfaces.
    Operator,
    /// Through a Portal; its id where the viewer is its owner.
    Portal(Option<PortalId>),
    /// By a command in a room.
    Command,
}

/// What to move. See [`Engine::move_side`].
#[derive(Clone, Debug)]
pub struct Move<'a> {
    /// The room that the viewer's side is at now.
    pub from: &'a RoomRef,
    /// The room of the viewer's that it moves to.
    pub to: &'a RoomRef,
    /// Whether the viewer's Portals for `from` lead to `to` from now on.
    pub portals: bool,
}

impl Engine {
    /// A Tube of an owner.
    pub async fn tube(&self, owner: &OwnerId, id: &TubeId) -> Result<Option<TubeView>, Unavailable> {
        let _ = (owner, id);
        Err(Unavailable::new("not built yet"))
    }

    /// An owner's Tubes, in order of id. One query a page.
    pub async fn tubes_page(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<TubeView>, Unavailable> {
        let _ = (owner, after, limit);
        Err(Unavailable::new("not built yet"))
    }

    /// Pauses a Tube for an owner, and says so in both rooms.
    pub async fn pause_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        let _ = (owner, id, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// Takes back an owner's pause, and mends a Tube that broke. If the other owner has paused it, too, it stays
    /// paused.
    pub async fn resume_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        let _ = (owner, id, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// Closes a Tube, and says so in both rooms.
    pub async fn close_tube(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        expected: Option<u64>,
    ) -> Result<Changed<()>, Unavailable> {
        let _ = (owner, id, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// Closes every Tube of a room, whoever made them, and says so on both sides: what anyone in a room may ask for.
    /// Returns how many there were.
    pub async fn disable_room(&self, room: &RoomRef) -> Result<usize, Unavailable> {
        let _ = room;
        Err(Unavailable::new("not built yet"))
    }

    /// Sets which way messages cross on an owner's own side. A room that is not theirs, or not an end of that Tube, is
    /// [`Changed::Gone`].
    pub async fn set_side(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        room: &RoomRef,
        direction: Direction,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, Unavailable> {
        let _ = (owner, id, room, direction, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// Moves an owner's side of a Tube to another room of theirs, in one transaction: the side's direction and pauses,
    /// the room's options and, if wanted, its Portals come with it, and it is said in all three rooms. The Tube has
    /// another id then, since that is derived from its rooms.
    pub async fn move_side(
        &self,
        owner: &OwnerId,
        id: &TubeId,
        what: &Move<'_>,
        expected: Option<u64>,
    ) -> Result<Changed<TubeView>, LinkError> {
        let _ = (owner, id, what, expected);
        Err(Unavailable::new("not built yet").into())
    }
}
