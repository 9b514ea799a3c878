//! The nouns of Sameroom: what a room, a message, a Tube, an account, a delivery and an outcome are.
//!
//! This crate holds data and the small truths that follow from it. It must not know any platform, any store, any
//! clock or any socket; whoever needs verbs finds them in `sameroom-engine`.

mod account;
mod delivery;
mod event;
mod ids;
mod owner;
mod portal;
mod room;
mod text;
mod tube;

pub use account::{Account, AccountState, Identity, Opened, Place, Sealed, Secrets};
pub use delivery::{Action, Delivery, Job, Lane, Origin, Outcome, Quote, Sent};
pub use event::{Access, Attachment, Author, Availability, Event, EventKind, MembershipChange, Message, MessageRef};
pub use ids::{
    AccountId, DeliveryId, EventId, GuestId, KeyId, MessageKey, OwnerId, PortalId, RoomKey, TubeId, UserKey,
};
pub use owner::{ApiKey, Caller, Owner, Scope};
pub use portal::{Guest, GuestState, Portal, PortalOptions, PortalState};
pub use room::{AuthorStyle, Direction, EditStyle, ReplyStyle, Room, RoomOptions, RoomRef};
pub use text::{Block, Emoji, Inline, Mention, MentionKind, Text};
pub use tube::{MadeBy, Tube, TubeEnd, TubeState};

pub use jiff::{SignedDuration, Timestamp};
