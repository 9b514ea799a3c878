//! What an event becomes in a target room: a pure function of the event, what the target's platform can do and what the
//! target room's options want. Nothing else decides what crosses.

use sameroom_model::{
    Action, Author, Availability, EditStyle, Event, EventKind, MembershipChange, Message, Quote, ReplyStyle, Room,
    RoomOptions, Text,
};
use sameroom_platforms::{Capabilities, Support};

/// Words that begin so stay in their room.
const HUSH: &str = "^^^";

/// Whether an event stays in its room whatever Tubes there are.
pub(crate) fn hushed(event: &Event) -> bool {
    match &event.kind {
        EventKind::Posted(message) | EventKind::Edited(message) => message.body.words().trim_start().starts_with(HUSH),
        _ => false,
    }
}

/// What the event becomes, or `None` when it is left out there.
pub(crate) fn action(
    event: &Event,
    origin: Option<&Room>,
    capabilities: &Capabilities,
    options: RoomOptions,
) -> Option<Action> {
    match &event.kind {
        EventKind::Posted(message) => Some(Action::Post {
            body: message.body.clone(),
            emote: message.emote,
            attachments: message.attachments.clone(),
            reply: quote(message, capabilities.reply, options.replies),
        }),
        EventKind::Edited(message) => {
            let wanted = options.edits == EditStyle::Correction;
            does(capabilities.edit, wanted).then(|| Action::Edit { body: message.body.clone(), emote: message.emote })
        }
        EventKind::Deleted(_) => does(capabilities.delete, true).then_some(Action::Delete),
        EventKind::Reacted { emoji, on, .. } => {
            does(capabilities.react, true).then(|| Action::React { emoji: emoji.clone(), on: *on })
        }
        EventKind::Renamed(name) => {
            let old = origin.map_or("A connected room", |room| room.name.as_str());
            options.system.then(|| notice(&format!("{old} is now called {name}.")))
        }
        EventKind::Membership(change) => {
            options.system.then(|| notice(&membership(event.author.as_ref(), change, origin)))
        }
        EventKind::Availability(Availability::Open) => {
            Some(notice(&format!("{} can be reached again.", place(origin))))
        }
        EventKind::Availability(Availability::Closed(why)) => {
            Some(notice(&format!("{} can't be reached: {why}", place(origin))))
        }
    }
}

/// Whether a reply there quotes the words that it answers.
pub(crate) fn quotes(capabilities: &Capabilities, options: RoomOptions) -> bool {
    matches!(capabilities.reply, Support::Line | Support::Sometimes) && options.replies == ReplyStyle::Quote
}

fn does(support: Support, line_wanted: bool) -> bool {
    match support {
        Support::Native | Support::Sometimes => true,
        Support::Line => line_wanted,
        Support::Never => false,
    }
}

fn quote(message: &Message, support: Support, style: ReplyStyle) -> Option<Quote> {
    let origin = message.reply_to.clone().or_else(|| message.thread.clone())?;
    does(support, style == ReplyStyle::Quote).then(|| Quote {
        origin: Some(origin),
        root: message.thread.clone(),
        ..Quote::default()
    })
}

fn notice(words: &str) -> Action {
    Action::Notice { body: Text::plain(words) }
}

fn place(origin: Option<&Room>) -> String {
    origin.map_or_else(|| "A connected room".to_owned(), |room| format!("{} on {}", room.name, room.site))
}

fn membership(author: Option<&Author>, change: &MembershipChange, origin: Option<&Room>) -> String {
    let who = author.map_or("Somebody", |author| author.name.as_str());
    let place = place(origin);
    match change {
        MembershipChange::Joined => format!("{who} joined {place}."),
        MembershipChange::Left(None) => format!("{who} left {place}."),
        MembershipChange::Left(Some(words)) => format!("{who} left {place} ({words})."),
        MembershipChange::Removed { by, why: None } => format!("{who} was removed from {place} by {by}."),
        MembershipChange::Removed { by, why: Some(why) } => {
            format!("{who} was removed from {place} by {by} ({why}).")
        }
        MembershipChange::Renamed(name) => format!("{who} is now called {name} in {place}."),
    }
}
