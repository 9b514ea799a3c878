//! Portals as their owners manage them: making, showing again, changing, rotating, revoking. The token is kept by its
//! hash, and sealed so that its owner can be shown it again. How others use one is in `joining`.

use sameroom_model::{Guest, OwnerId, Portal, PortalId, PortalOptions, RoomRef};
use secrecy::SecretString;

use crate::Engine;
use crate::page::{Changed, Page};
use crate::ports::Unavailable;

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The Portal as it is now.
    pub portal: Portal,
    /// How many of its Tubes were closed with it.
    pub tubes: usize,
}

impl Engine {
    /// Makes a Portal for a room of an owner's. The token is 256 random bits in base64url with a checksum; it can be
    /// shown again. `None`: the owner has no such room.
    pub async fn add_portal(
        &self,
        owner: &OwnerId,
        room: &RoomRef,
        options: &PortalOptions,
    ) -> Result<Option<(Portal, SecretString)>, Unavailable> {
        let _ = (owner, room, options);
        Err(Unavailable::new("not built yet"))
    }

    /// A Portal of an owner.
    pub async fn portal(&self, owner: &OwnerId, id: &PortalId) -> Result<Option<Portal>, Unavailable> {
        let _ = (owner, id);
        Err(Unavailable::new("not built yet"))
    }

    /// An owner's Portals, in order of id. One query a page.
    pub async fn portals_page(
        &self,
        owner: &OwnerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Portal>, Unavailable> {
        let _ = (owner, after, limit);
        Err(Unavailable::new("not built yet"))
    }

    /// An owner's Portal for a room that anybody may use for good, made if there is none: what the command `portal`
    /// shows. `None`: the owner has no such room.
    pub async fn lasting_portal(
        &self,
        owner: &OwnerId,
        room: &RoomRef,
    ) -> Result<Option<(Portal, SecretString)>, Unavailable> {
        let _ = (owner, room);
        Err(Unavailable::new("not built yet"))
    }

    /// Sets how a Portal may be used. A revoked one stays revoked.
    pub async fn change_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        options: &PortalOptions,
        expected: Option<u64>,
    ) -> Result<Changed<Portal>, Unavailable> {
        let _ = (owner, id, options, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// A Portal's token again. `None`: the owner has no such Portal, or it is revoked.
    pub async fn show_portal_token(&self, owner: &OwnerId, id: &PortalId) -> Result<Option<SecretString>, Unavailable> {
        let _ = (owner, id);
        Err(Unavailable::new("not built yet"))
    }

    /// Gives a Portal a new token. The old one is dead at once; guests and Tubes stay. [`Changed::Gone`] for a revoked
    /// one, too.
    pub async fn rotate_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        expected: Option<u64>,
    ) -> Result<Changed<(Portal, SecretString)>, Unavailable> {
        let _ = (owner, id, expected);
        Err(Unavailable::new("not built yet"))
    }

    /// Revokes a Portal for good, alone or together with the Tubes made through it. Where that was interrupted, revoking
    /// it again closes the rest of the Tubes.
    pub async fn revoke_portal(
        &self,
        owner: &OwnerId,
        id: &PortalId,
        with_tubes: bool,
    ) -> Result<Option<Revoked>, Unavailable> {
        let _ = (owner, id, with_tubes);
        Err(Unavailable::new("not built yet"))
    }

    /// Who came through a Portal, in order of id. `None`: the owner has no such Portal.
    pub async fn guests(
        &self,
        owner: &OwnerId,
        portal: &PortalId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<Guest>>, Unavailable> {
        let _ = (owner, portal, after, limit);
        Err(Unavailable::new("not built yet"))
    }
}
