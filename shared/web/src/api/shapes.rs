//! What several parts of the API show: rooms' ids, options, states. These are the API's own shapes: they stay as they are
//! when the engine's change, and hold nothing that the caller must not see.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sameroom_engine::keys;
use sameroom_model as model;
use sameroom_model::{AccountId, OwnerId, RoomRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::App;

/// The longest room id that is looked at.
const ROOM_ID_MAX: usize = 2048;

/// An enum of the model, with the same names in JSON, and a schema.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub(crate) enum $name {$(
            $(#[$variant_doc])*
            #[serde(rename = $text)]
            $variant,
        )*}

        impl From<model::$name> for $name {
            fn from(value: model::$name) -> Self {
                match value {$(model::$name::$variant => Self::$variant),*}
            }
        }

        impl From<$name> for model::$name {
            fn from(value: $name) -> Self {
                match value {$($name::$variant => Self::$variant),*}
            }
        }
    };
}

mirror! {
    /// Which way messages cross: `both`; `not-out`: what is written here stays here; `not-in`: what is written elsewhere
    /// does not come here.
    Direction { Both = "both", NotOut = "not-out", NotIn = "not-in" }
}
mirror! {
    /// How authors from elsewhere are shown: display name, user name, or both.
    AuthorStyle { Name = "name", Username = "username", Both = "both" }
}
mirror! {
    /// What an edit becomes where the platform can't edit.
    EditStyle { Correction = "correction", Ignore = "ignore" }
}
mirror! {
    /// What a reply becomes where the platform has no replies.
    ReplyStyle { Quote = "quote", Plain = "plain" }
}
mirror! {
    /// Whether a Tube carries messages: `broken` is one that stopped by itself; resume it to try again.
    TubeState { Open = "open", Paused = "paused", Broken = "broken" }
}
mirror! {
    /// Whether a Portal can be used.
    PortalState { Open = "open", Revoked = "revoked", Expired = "expired", Used = "used" }
}
mirror! {
    /// What became of a guest: `removed` is one whose Tube was removed since.
    GuestState { Waiting = "waiting", Approved = "approved", Refused = "refused", Removed = "removed" }
}
mirror! {
    /// What a key may be used for. `read`: to see what its owner has. `portals`: also to make, change and revoke Portals,
    /// and to decide about guests. `tubes`: also to make, change and remove Tubes, and to set rooms' options. `admin`:
    /// everything.
    Scope { Read = "read", Portals = "portals", Tubes = "tubes", Admin = "admin" }
}

/// A room's posting options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RoomOptions {
    /// How authors from elsewhere are shown here.
    author: AuthorStyle,
    /// Whether the author's team or network is shown.
    team: bool,
    /// Whether joins, leaves, topic changes and renames from elsewhere are shown here.
    system: bool,
    /// Which way messages cross, for every Tube of the room.
    direction: Direction,
    /// What an edit from elsewhere becomes where the platform can't edit.
    edits: EditStyle,
    /// What a reply from elsewhere becomes where the platform has no replies.
    replies: ReplyStyle,
}

/// Changes of a room's posting options; what is left out stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomOptionsChange {
    /// How authors from elsewhere are shown here.
    #[serde(default)]
    author: Option<AuthorStyle>,
    /// Whether the author's team or network is shown.
    #[serde(default)]
    team: Option<bool>,
    /// Whether joins, leaves, topic changes and renames from elsewhere are shown here.
    #[serde(default)]
    system: Option<bool>,
    /// Which way messages cross, for every Tube of the room.
    #[serde(default)]
    direction: Option<Direction>,
    /// What an edit from elsewhere becomes where the platform can't edit.
    #[serde(default)]
    edits: Option<EditStyle>,
    /// What a reply from elsewhere becomes where the platform has no replies.
    #[serde(default)]
    replies: Option<ReplyStyle>,
}

/// A room that may be somebody else's: its name and where it is, and nothing more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    /// Its name.
    #[schema(example = "#rust")]
    pub(crate) name: String,
    /// Where it is.
    #[schema(example = "irc.libera.chat")]
    pub(crate) site: String,
}

impl From<model::RoomOptions> for RoomOptions {
    fn from(options: model::RoomOptions) -> Self {
        Self {
            author: options.author.into(),
            team: options.team,
            system: options.system,
            direction: options.direction.into(),
            edits: options.edits.into(),
            replies: options.replies.into(),
        }
    }
}

impl RoomOptionsChange {
    /// The options with the changes made.
    pub(crate) fn apply(self, to: model::RoomOptions) -> model::RoomOptions {
        model::RoomOptions {
            author: self.author.map_or(to.author, Into::into),
            team: self.team.unwrap_or(to.team),
            system: self.system.unwrap_or(to.system),
            direction: self.direction.map_or(to.direction, Into::into),
            edits: self.edits.map_or(to.edits, Into::into),
            replies: self.replies.map_or(to.replies, Into::into),
        }
    }
}

/// A room's id in the API: account and key in one opaque word that fits into a path.
pub(crate) fn room_id(at: &RoomRef) -> String {
    room_id_of(&keys::join(&[at.account.as_str(), at.key.as_str()]))
}

/// Likewise, from the two joined by [`keys::join`].
pub(crate) fn room_id_of(joined: &str) -> String {
    URL_SAFE_NO_PAD.encode(joined)
}

/// The room that an id names; `None`: it is no such id.
pub(crate) fn room_ref(id: &str) -> Option<RoomRef> {
    if id.len() > ROOM_ID_MAX {
        return None;
    }
    let joined = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let (account, key) = joined.split_once('/')?;
    let part = |part: &str| part.replace("%2F", "/").replace("%25", "%");
    let at = RoomRef::new(part(account), part(key));
    // One room has one id.
    (keys::join(&[at.account.as_str(), at.key.as_str()]) == joined).then_some(at)
}

/// A room of an owner's; `None`: they have none of that id.
pub(crate) async fn owned_room(app: &App, owner: &OwnerId, id: &str) -> Result<Option<model::Room>, Problem> {
    let Some(at) = room_ref(id) else { return Ok(None) };
    if owned_account(app, owner, &at.account).await?.is_none() {
        return Ok(None);
    }
    Ok(app.engine.room(&at).await?)
}

/// A room that a body names, of the caller's.
pub(crate) async fn named_room(app: &App, owner: &OwnerId, id: &str, pointer: &str) -> Result<model::Room, Problem> {
    let missing =
        || Problem::field(pointer, "You have no room of that id. GET /rooms lists yours, POST /rooms adds one.");
    owned_room(app, owner, id).await?.ok_or_else(missing)
}

/// An account of an owner's; `None`: they have none of that id.
pub(crate) async fn owned_account(
    app: &App,
    owner: &OwnerId,
    id: &AccountId,
) -> Result<Option<model::Account>, Problem> {
    Ok(app.engine.account(id).await?.filter(|account| account.owner == *owner))
}

/// A room's name and where it is, or words for one that is gone.
pub(crate) async fn place(app: &App, at: &RoomRef) -> Result<Place, Problem> {
    let room = app.engine.room(at).await?;
    Ok(match room {
        Some(room) => Place { name: room.name, site: room.site },
        None => Place { name: "(a room that is gone)".to_owned(), site: String::new() },
    })
}

/// Reads a field that can be left out, or be `null`.
#[allow(clippy::option_option, reason = "left out, `null`, or a value: three things")]
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_id_goes_round_and_fits_into_a_path() {
        for (account, key) in [("irc-abc", "#rust"), ("a/b", "c%2Fd"), ("x", ""), ("ü", "🙂/%")] {
            let at = RoomRef::new(account, key);
            let id = room_id(&at);
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
            assert_eq!(room_ref(&id), Some(at));
        }
    }

    #[test]
    fn what_is_no_id_names_no_room() {
        for id in ["", "%", "x", &URL_SAFE_NO_PAD.encode("no-slash"), &URL_SAFE_NO_PAD.encode("a/%2f/b")] {
            assert_eq!(room_ref(id), None, "{id}");
        }
        assert_eq!(room_ref(&"x".repeat(4000)), None);
    }
}
