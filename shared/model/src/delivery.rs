//! What is owed to a target room, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Attachment, Author, DeliveryId, Event, EventId, MessageKey, RoomRef, Text, Timestamp};

/// The way from one origin room to one target room. Order holds within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Where messages are written. For notices, which nobody wrote, the target itself.
    pub from: RoomRef,
    /// Where their copies go.
    pub to: RoomRef,
}

/// One thing to do in one target room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Derived from lane, origin and action: the same for every attempt, by every worker.
    pub id: DeliveryId,
    /// From where to where.
    pub lane: Lane,
    /// The event that it stems from.
    pub origin: Origin,
    /// Whose words they are; `None` for a notice of our own.
    pub author: Option<Author>,
    /// The author's name as the target room's options want it shown. Empty for a notice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// What to do.
    pub action: Action,
    /// The keys of the earlier copy that the action changes or reacts to, in order of its parts. Filled in just
    /// before the delivery is rendered; empty where the copy is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<MessageKey>,
}

impl Delivery {
    /// The id to propose for the message that one part makes, where the platform lets us: the engine finds a message's
    /// copy by it without a note of its own.
    pub fn part_id(&self, part: usize) -> String {
        if part == 0 { self.id.to_string() } else { format!("{}-{part}", self.id) }
    }
}

/// Where a delivery stems from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The event.
    pub event: EventId,
    /// The message that it is about, where there is one.
    pub key: Option<MessageKey>,
    /// When it happened.
    pub at: Timestamp,
}

/// What to do in the target room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Post a message.
    Post {
        /// Its words.
        body: Text,
        /// What the author does rather than says.
        #[serde(default)]
        emote: bool,
        /// Its files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Quote>,
    },
    /// Change the copy to read so.
    Edit {
        /// Its words now.
        body: Text,
        /// Whether it is an emote.
        #[serde(default)]
        emote: bool,
    },
    /// Delete the copy.
    Delete,
    /// React to the copy, or take the reaction back.
    React {
        /// The Unicode form, or a custom one's `:name:`.
        emoji: String,
        /// `true`: add. `false`: take back.
        on: bool,
    },
    /// Say something of our own: a Tube opened, somebody joined.
    Notice {
        /// The words.
        body: Text,
    },
}

/// What a reply answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// The answered message in the origin room.
    pub origin: Option<MessageKey>,
    /// The root of its thread in the origin room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<MessageKey>,
    /// The answered message in the target room. Filled in just before the delivery is rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<MessageKey>,
    /// The root of its thread in the target room. Filled in likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<MessageKey>,
    /// Who wrote it, where that is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its first words, where they are still in memory; they are never kept at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// What became of an attempt. The engine's whole failure policy is one `match` on these five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The platform took it; the keys of the copy's parts, where the platform tells them.
    Done {
        /// In order of parts.
        keys: Vec<MessageKey>,
    },
    /// Not now.
    Retry {
        /// How long the target asked us to wait, where it did.
        after: Option<Duration>,
        /// A sentence, without message text or secrets.
        why: String,
        /// Whether the target may have taken it all the same.
        sent: Sent,
    },
    /// Not this one, ever.
    Refused {
        /// A sentence, without message text or secrets.
        why: String,
    },
    /// Nothing in this room, until somebody mends it; the account is well.
    RoomClosed {
        /// A sentence that says what to mend.
        why: String,
    },
    /// Nothing in any room of the account, until its owner mends it.
    Disconnected {
        /// A sentence that says what to mend.
        why: String,
    },
}

/// Whether a failed attempt may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The target answered that it did not take it, or never got it.
    No,
    /// The connection broke after the request was sent: trying again may make a duplicate, which is counted.
    Maybe,
    /// Nobody answered at all: the target is out of reach.
    Unreachable,
}

impl Outcome {
    /// Done, with no key to keep.
    pub fn done() -> Self {
        Self::Done { keys: Vec::new() }
    }

    /// Not now; the target answered so.
    pub fn retry(why: impl Into<String>) -> Self {
        Self::Retry { after: None, why: why.into(), sent: Sent::No }
    }

    /// Not this one, ever.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }

    /// Nothing in this room, until somebody mends it.
    pub fn room_closed(why: impl Into<String>) -> Self {
        Self::RoomClosed { why: why.into() }
    }

    /// Nothing in any room of the account, until its owner mends it.
    pub fn disconnected(why: impl Into<String>) -> Self {
        Self::Disconnected { why: why.into() }
    }
}

/// The only thing that crosses a queue. Versioned; a reader skips fields that it doesn't know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The shape's version: 1.
    pub v: u32,
    /// The event to relay, on the queue of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// The delivery to make, on the queue of lane outboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

impl Job {
    /// The version that this code writes.
    pub const VERSION: u32 = 1;

    /// A job that relays an event.
    pub fn event(event: Event) -> Self {
        Self { v: Self::VERSION, event: Some(event), delivery: None }
    }

    /// A job that makes a delivery.
    pub fn delivery(delivery: Delivery) -> Self {
        Self { v: Self::VERSION, event: None, delivery: Some(delivery) }
    }
}
