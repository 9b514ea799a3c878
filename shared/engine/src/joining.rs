//! Coming through a Portal: what somebody may see before they join, joining, and the owner's word about guests. A token
//! that opens nothing is answered alike whether it never was, is revoked, is over or is used up.

use std::time::Duration;

use sameroom_model::{Direction, Guest, GuestId, OwnerId, PortalId, RoomRef, Timestamp};
use secrecy::SecretString;

use crate::Engine;
use crate::page::Changed;
use crate::ports::Unavailable;
use crate::tubes::TubeView;

/// What tokens of Portals begin with: nothing, since they are seen in URLs only.
pub const PORTAL_PREFIX: &str = "";

/// What somebody may see of a Portal before they join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The Portal.
    pub portal: PortalId,
    /// The room's name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// Its platform's name for people.
    pub platform: String,
    /// Which way messages cross at that room.
    pub direction: Direction,
    /// How many rooms will read what is written in a room that joins; that one not counted.
    pub readers: usize,
    /// Whether the Portal's owner has to approve.
    pub approval: bool,
    /// Until when it can be used.
    pub expires: Option<Timestamp>,
    /// For how long it is kept which message is a copy of which: ids, never words.
    pub keeps: Duration,
}

/// What came of using a Portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Used {
    /// The rooms are connected; the Tube as the guest sees it. Connecting them again uses nothing.
    Connected(TubeView),
    /// The Portal's owner has to approve. Asking again asks once.
    Waiting(Guest),
}

/// Why a Portal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// It opens nothing: unknown, revoked, over or used up.
    #[error("this Portal is not valid any more; ask for a new one")]
    NotValid,
    /// The guest has no such room.
    #[error("the room {0} is not known; add its account and the room first")]
    UnknownRoom(String),
    /// The Portal leads to that very room.
    #[error("this Portal leads to {0} itself; use it from another room")]
    SameRoom(String),
    /// The Portal's owner said no.
    #[error("the owner of this Portal did not approve this room")]
    Refused,
    /// Too many guests wait.
    #[error("too many rooms wait for the owner of this Portal; try again later")]
    Crowded,
    /// For its owner: a guest can't be approved, since it was used as often as it may be.
    #[error("this Portal was used as often as it may be; allow more uses, then approve again")]
    UsedUp,
    /// For its owner: a guest can't be approved, since it is revoked, or one of the two rooms is gone.
    #[error("{0}")]
    CanNotJoin(String),
    /// The store failed.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Engine {
    /// What a token's Portal leads to. `None`: the token opens nothing.
    pub async fn invitation(&self, token: &SecretString) -> Result<Option<Invitation>, Unavailable> {
        let _ = token;
        Err(Unavailable::new("not built yet"))
    }

    /// Connects a room of the guest's with the Portal's, or has the guest wait for its owner's word. The use is counted
    /// in the transaction that makes the Tube, so a Portal is never used more often than it may be.
    pub async fn use_portal(&self, token: &SecretString, guest: &OwnerId, room: &RoomRef) -> Result<Used, PortalError> {
        let _ = (token, guest, room);
        Err(Unavailable::new("not built yet").into())
    }

    /// Approves or refuses a guest who waits; a refused one may be approved later. [`Changed::Stale`]: the guest is
    /// connected already, and can't be refused; remove the Tube.
    pub async fn decide(
        &self,
        owner: &OwnerId,
        portal: &PortalId,
        guest: &GuestId,
        approve: bool,
    ) -> Result<Changed<Guest>, PortalError> {
        let _ = (owner, portal, guest, approve);
        Err(Unavailable::new("not built yet").into())
    }
}
