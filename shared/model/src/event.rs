//! What happened in a room, as a platform's reader tells it.

use serde::{Deserialize, Serialize};

use crate::{EventId, MessageKey, RoomRef, Text, Timestamp, UserKey};

/// One thing that happened in one room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The same for every retry of the same event.
    pub id: EventId,
    /// Where.
    pub room: RoomRef,
    /// When, by the platform's clock. Order is by arrival, never by this.
    pub at: Timestamp,
    /// By whom. `None` where the platform does not say (a deletion, often).
    pub author: Option<Author>,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A message was posted.
    Posted(Message),
    /// A message was edited; this is how it reads now.
    Edited(Message),
    /// A message was deleted.
    Deleted(MessageKey),
    /// A reaction was added to, or taken back from, a message.
    Reacted {
        /// The message.
        key: MessageKey,
        /// The reaction: its Unicode form, or a custom one's `:name:`.
        emoji: String,
        /// `true`: added. `false`: taken back.
        on: bool,
    },
    /// The room has a new name.
    Renamed(String),
    /// Somebody came, went or was renamed.
    Membership(MembershipChange),
    /// The room can't be used any more, or can be used again.
    Availability(Availability),
}

/// What became of somebody in a room. The event's author is who it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipChange {
    /// Came in.
    Joined,
    /// Went, with the words they left, if any.
    Left(Option<String>),
    /// Was made to go, with who did it and why.
    Removed {
        /// The name of who did it.
        by: String,
        /// The reason given.
        why: Option<String>,
    },
    /// Goes by another name now.
    Renamed(String),
}

/// Whether a room can be read and posted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It can.
    Open,
    /// It can't: archived, deleted, or we were removed; with a sentence that says so.
    Closed(String),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The platform's key of it.
    pub key: MessageKey,
    /// Its words.
    pub body: Text,
    /// What the author does rather than says (`/me`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub emote: bool,
    /// Its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that it answers, in the same room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageKey>,
    /// The root of the thread that it belongs to, in the same room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<MessageKey>,
}

impl Message {
    /// A plain message.
    pub fn new(key: impl Into<MessageKey>, body: Text) -> Self {
        Self { key: key.into(), body, emote: false, attachments: Vec::new(), reply_to: None, thread: None }
    }
}

/// A message of one room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageRef {
    /// The room.
    pub room: RoomRef,
    /// The platform's key of the message.
    pub key: MessageKey,
}

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The platform's key of them.
    pub key: UserKey,
    /// The name shown to people.
    pub name: String,
    /// The user name, where it differs from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Their team, workspace or network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// A picture's public https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Whether the platform says that it is a bot.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bot: bool,
}

impl Author {
    /// Somebody of whom only key and name are known.
    pub fn new(key: impl Into<UserKey>, name: impl Into<String>) -> Self {
        Self { key: key.into(), name: name.into(), username: None, team: None, avatar: None, bot: false }
    }
}

/// A file that came with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its file name.
    pub name: String,
    /// Its media type, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Its size in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where its bytes are.
    pub url: String,
    /// Who may read them there.
    #[serde(default)]
    pub access: Access,
    /// Its bytes, where the target takes files. Filled in just before the delivery is rendered, and never kept.
    #[serde(skip)]
    pub content: Option<bytes::Bytes>,
}

/// Who may read an attachment at its URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anybody who has the URL.
    #[default]
    Public,
    /// Only the account that received the message, with its secret.
    Account,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}
