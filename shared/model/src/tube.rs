//! Tubes: two rooms, connected.

use serde::{Deserialize, Serialize};

use crate::{Direction, GuestId, OwnerId, PortalId, RoomRef, Timestamp, TubeId};

/// A connection of two rooms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tube {
    /// Ours; derived from its two rooms, so that the same two have at most one.
    pub id: TubeId,
    /// The two rooms.
    pub ends: [TubeEnd; 2],
    /// Whether it carries messages.
    pub state: TubeState,
    /// How it came to be.
    pub made_by: MadeBy,
    /// When.
    pub made_at: Timestamp,
    /// Which guest of the Portal it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestId>,
    /// Grows with every change: microseconds since 1970 of the last one, or one more than before. So a Tube that was
    /// removed and made again is not taken for the old one.
    #[serde(default)]
    pub version: u64,
    /// Fields of a newer version, kept through a rewrite.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// One side of a Tube.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TubeEnd {
    /// The room.
    pub room: RoomRef,
    /// Whose side it is. Each may pause or remove the Tube, and sees nothing else of the other.
    pub owner: OwnerId,
    /// Which way messages cross on this side.
    #[serde(default)]
    pub direction: Direction,
    /// Whether this side's owner has paused the Tube. The other side's owner can't resume it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Whether a Tube carries messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TubeState {
    /// It does.
    #[default]
    Open,
    /// An owner of it has paused it.
    Paused,
    /// It stopped by itself: a loop was suspected, or a room is gone.
    Broken,
}

/// How a Tube came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// The operator, by configuration or command line.
    Operator,
    /// Through a Portal.
    Portal(PortalId),
    /// By a command in a room.
    Command,
}

impl Tube {
    /// The end that is not `room`, and the end that is; `None` when the Tube does not touch it.
    pub fn across(&self, room: &RoomRef) -> Option<(&TubeEnd, &TubeEnd)> {
        let [a, b] = &self.ends;
        if a.room == *room {
            Some((b, a))
        } else if b.room == *room {
            Some((a, b))
        } else {
            None
        }
    }
}
