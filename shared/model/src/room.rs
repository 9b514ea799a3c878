//! Rooms and how they like to be spoken to.

use serde::{Deserialize, Serialize};

use crate::{AccountId, RoomKey};

/// A room as the engine passes it around: which account sees it, and what the platform calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomRef {
    /// The account through which it is read and posted to.
    pub account: AccountId,
    /// The platform's own key.
    pub key: RoomKey,
}

impl RoomRef {
    /// A reference from its parts.
    pub fn new(account: impl Into<AccountId>, key: impl Into<RoomKey>) -> Self {
        Self { account: account.into(), key: key.into() }
    }
}

/// What is known of a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// Which room.
    #[serde(rename = "ref")]
    pub at: RoomRef,
    /// The name shown to people, for example `#rust`.
    pub name: String,
    /// Where it is, shown to people next to its name, for example `irc.libera.chat`.
    pub site: String,
    /// How people there like things.
    #[serde(default)]
    pub options: RoomOptions,
    /// What the platform alone understands (an IRC channel's key, as a sealed secret's name, and the like).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
    /// Whether we are in the room although no Tube touches it, so that people there can give commands. Where platforms
    /// tell of every room by themselves it makes no difference.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listen: bool,
    /// Fields of a newer version, kept through a rewrite.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// A room's posting options. Missing fields are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomOptions {
    /// How authors from elsewhere are shown here.
    pub author: AuthorStyle,
    /// Whether the author's team or network is shown.
    pub team: bool,
    /// Whether joins, leaves, topic changes and renames from elsewhere are shown here.
    pub system: bool,
    /// Whether messages go both ways, or one.
    pub direction: Direction,
    /// What an edit from elsewhere becomes where the platform can't edit.
    pub edits: EditStyle,
    /// What a reply from elsewhere becomes where the platform has no replies.
    pub replies: ReplyStyle,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self {
            author: AuthorStyle::Name,
            team: false,
            system: false,
            direction: Direction::Both,
            edits: EditStyle::Correction,
            replies: ReplyStyle::Quote,
        }
    }
}

/// How an author is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorStyle {
    /// The display name.
    #[default]
    Name,
    /// The user name, where there is one.
    Username,
    /// `Display Name (username)`.
    Both,
}

/// Which way messages cross at one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// In and out.
    #[default]
    Both,
    /// Messages written here stay here.
    NotOut,
    /// Messages written elsewhere don't come here.
    NotIn,
}

impl Direction {
    /// Whether messages written in this room may leave it.
    pub fn lets_out(self) -> bool {
        self != Self::NotOut
    }

    /// Whether messages written elsewhere may come here.
    pub fn lets_in(self) -> bool {
        self != Self::NotIn
    }
}

/// What an edit becomes where it can't be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditStyle {
    /// A short correction line.
    #[default]
    Correction,
    /// Nothing.
    Ignore,
}

/// What a reply becomes where it can't be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyStyle {
    /// A short quote of what is replied to, before the reply.
    #[default]
    Quote,
    /// The reply alone.
    Plain,
}
