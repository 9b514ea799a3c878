//! The JSON of a webhook, the same in both directions. Its shape is documented in README.md beside this file, and the
//! examples there are run as tests.

use std::borrow::Cow;

use sameroom_model::Timestamp;
use serde::{Deserialize, Serialize};

/// One event.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// The room's key; the room `main` where it is left out.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<Str<'a>>,
    /// The event's id; the `webhook-id` header where it is left out.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Timestamp>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<Person<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Words<'a>>,
    /// The emoji of a reaction.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) reaction: Option<Str<'a>>,
    /// The new name of a room or a member.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Str<'a>>,
    /// Who removed a member.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<Str<'a>>,
    /// The words left by who went or was removed, or why a room is closed.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<Str<'a>>,
    /// Where a relayed event comes from. Written, never read.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Source>,
}

impl Payload<'_> {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            room: None,
            id: None,
            at: None,
            author: None,
            message: None,
            reaction: None,
            name: None,
            by: None,
            why: None,
            origin: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "message.posted")]
    Posted,
    #[serde(rename = "message.edited")]
    Edited,
    #[serde(rename = "message.deleted")]
    Deleted,
    #[serde(rename = "reaction.added")]
    ReactionAdded,
    #[serde(rename = "reaction.removed")]
    ReactionRemoved,
    #[serde(rename = "room.renamed")]
    RoomRenamed,
    #[serde(rename = "room.closed")]
    RoomClosed,
    #[serde(rename = "room.opened")]
    RoomOpened,
    #[serde(rename = "member.joined")]
    MemberJoined,
    #[serde(rename = "member.left")]
    MemberLeft,
    #[serde(rename = "member.removed")]
    MemberRemoved,
    #[serde(rename = "member.renamed")]
    MemberRenamed,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Person<'a> {
    /// The name where it is left out.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Str<'a>>,
    #[serde(borrow)]
    pub(super) name: Str<'a>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<Str<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) team: Option<Str<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) avatar: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) bot: bool,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Words<'a> {
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Str<'a>>,
    /// Plain text.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Str<'a>>,
    /// The same words as Markdown, where they carry markup. Read in preference to `text`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) markdown: Option<Str<'a>>,
    /// The same words as HTML. Read where there is no `markdown`; never written.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) html: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) emote: bool,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<File<'a>>,
    /// The message that it answers.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) reply_to: Option<Str<'a>>,
    /// The root of the thread that it belongs to.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<Str<'a>>,
    /// What it answers, to be shown where `reply_to` is not known. Written, never read.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) quote: Option<Quoted<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) name: Str<'a>,
    /// Left out where only the account that received the file can read it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Str<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(super) mime: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Quoted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) excerpt: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Source {
    /// Names the origin room: the same for all of its messages, and of no other use. Never the room's own key, which
    /// may be all that it takes to enter it.
    pub(super) room: String,
}

/// The answer to one of our requests, as far as it is read.
#[derive(Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) id: Option<String>,
}

/// A string, borrowed from the body where it has no escapes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Str<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl std::ops::Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}
