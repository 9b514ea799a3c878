//! Portals: a URL for one room, by which others connect rooms of their own to it.

use serde::{Deserialize, Serialize};

use crate::{GuestId, OwnerId, PortalId, RoomRef, Timestamp, TubeId};

/// A Portal as its owner sees it. Its token is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portal {
    /// Ours.
    pub id: PortalId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The room that it leads to.
    pub room: RoomRef,
    /// That room's name, as of the Portal's last change.
    pub name: String,
    /// Where that room is.
    pub site: String,
    /// Whether it can be used.
    pub state: PortalState,
    /// How it may be used.
    pub options: PortalOptions,
    /// How many Tubes were made through it.
    pub uses_made: u32,
    /// How many guests wait for its owner's word.
    pub waiting: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
}

/// Whether a Portal can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortalState {
    /// It can.
    #[default]
    Open,
    /// Its owner has revoked it, for good.
    Revoked,
    /// Its time is over.
    Expired,
    /// It was used as often as it may be.
    Used,
}

/// How a Portal may be used. The default is for anybody, as often as they like, until it is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortalOptions {
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How many Tubes may be made through it. A guest who waits takes none; one who is approved does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Whether its owner has to approve each guest.
    pub approval: bool,
    /// What its owner calls it. Not shown to guests.
    pub label: String,
}

/// Somebody who came through a Portal with a room, as the Portal's owner sees them: nothing but the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Ours. The same room through the same Portal is the same guest.
    pub id: GuestId,
    /// The room's name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// When they came.
    pub at: Timestamp,
    /// What became of them.
    pub state: GuestState,
    /// The Tube that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tube: Option<TubeId>,
}

/// What became of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestState {
    /// The Portal's owner has not decided.
    Waiting,
    /// The rooms were connected.
    Approved,
    /// The Portal's owner said no.
    Refused,
    /// The Tube was removed since.
    Removed,
}
