//! The picture of a network: which rooms are connected, and how. A viewer sees the names of rooms that are connected to
//! theirs, and nothing else.

use sameroom_model::{OwnerId, RoomRef, TubeState};
use serde::Serialize;

use crate::Engine;
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
        let _ = (room, viewer);
        Err(Unavailable::new("not built yet"))
    }

    /// All networks that an owner's rooms are in.
    pub async fn network_map(&self, owner: &OwnerId) -> Result<NetworkMap, Unavailable> {
        let _ = owner;
        Err(Unavailable::new("not built yet"))
    }
}
