//! Removing accounts and rooms, with all that goes with them: Tubes are closed first, so that the other side is told,
//! then Portals are revoked, then rows go. What was interrupted is finished by asking again.

use sameroom_model::{AccountId, OwnerId, Portal, RoomRef};

use crate::Engine;
use crate::ports::Unavailable;
use crate::tubes::TubeView;

/// What goes with an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Tubes, as the owner sees them.
    pub tubes: Vec<TubeView>,
    /// Portals that are not revoked.
    pub portals: Vec<Portal>,
    /// How many rooms.
    pub rooms: usize,
}

impl Engine {
    /// What would go with an account. `None`: the owner has none of that id.
    pub async fn account_impact(&self, owner: &OwnerId, id: &AccountId) -> Result<Option<Impact>, Unavailable> {
        let _ = (owner, id);
        Err(Unavailable::new("not built yet"))
    }

    /// Removes an account and all that goes with it. Returns whether there was one.
    pub async fn remove_account(&self, owner: &OwnerId, id: &AccountId) -> Result<bool, Unavailable> {
        let _ = (owner, id);
        Err(Unavailable::new("not built yet"))
    }

    /// Removes a room, its Tubes and its Portals. Returns whether the owner had it.
    pub async fn remove_room(&self, owner: &OwnerId, room: &RoomRef) -> Result<bool, Unavailable> {
        let _ = (owner, room);
        Err(Unavailable::new("not built yet"))
    }
}
