//! Message events, by subtype (<https://docs.slack.dev/reference/events/message>): what was posted, edited or deleted,
//! and who came or went. Our own posts are dropped here. Must not know envelopes.

use sameroom_model::{
    Access, Attachment, Author, Block, Event, EventKind, Inline, MembershipChange, MentionKind, Message, Text,
    Timestamp,
};
use sameroom_text::names;
use serde_json::Value;

use super::inbound::{Heard, missing};
use super::wire::{self, File, Msg, is_ts};
use super::{people, text};
use crate::Rejected;

/// The type of the metadata of our own posts.
pub(super) const OURS: &str = "sameroom_relay";
/// What we are called everywhere.
const NAME: &str = "sameroom";
/// The longest name, in graphemes.
pub(super) const NAME_MAX: usize = 80;

/// What Slack itself says in a channel, or what comes as an event of its own.
const SYSTEM: [&str; 29] = [
    "assistant_app_thread",
    "bot_add",
    "bot_disable",
    "bot_enable",
    "bot_remove",
    "channel_archive",
    "channel_canvas_updated",
    "channel_convert_to_private",
    "channel_convert_to_public",
    "channel_name",
    "channel_posting_permissions",
    "channel_purpose",
    "channel_topic",
    "channel_unarchive",
    "document_mention",
    "ekm_access_denied",
    "file_comment",
    "file_mention",
    "group_archive",
    "group_name",
    "group_purpose",
    "group_topic",
    "group_unarchive",
    "huddle_thread",
    "message_replied",
    "pinned_item",
    "reminder_add",
    "tabbed_canvas_updated",
    "unpinned_item",
];

pub(super) fn event(heard: &Heard<'_>, message: &Msg) -> Result<Option<Event>, Rejected> {
    match message.subtype.as_deref() {
        Some("message_changed") => changed(heard, message),
        Some("message_deleted") => deleted(heard, message),
        Some("channel_join" | "group_join") => member(heard, message, MembershipChange::Joined),
        Some("channel_leave" | "group_leave") => member(heard, message, MembershipChange::Left(None)),
        Some(system) if SYSTEM.contains(&system) => Ok(None),
        _ if message.hidden == Some(true) => Ok(None),
        _ => posted(heard, message),
    }
}

fn posted(heard: &Heard<'_>, message: &Msg) -> Result<Option<Event>, Rejected> {
    if is_own(heard, message) {
        return Ok(None);
    }
    let read = read(heard, message)?;
    if read.body.is_empty() && read.attachments.is_empty() {
        return Ok(None);
    }
    let room = heard.room(message.channel.as_deref())?;
    let author = author(message).ok_or_else(|| missing("user"))?;
    Ok(Some(Event {
        id: heard.id(&room, read.key.as_str()),
        at: at(heard, read.key.as_str()),
        room,
        author: Some(author),
        kind: EventKind::Posted(read),
    }))
}

/// An edit, where its words changed or its author edited it. Previews of links and counters of threads come as changes,
/// too.
fn changed(heard: &Heard<'_>, event: &Msg) -> Result<Option<Event>, Rejected> {
    let message = event.message.as_deref().ok_or_else(|| missing("message"))?;
    if is_own(heard, message) {
        return Ok(None);
    }
    let room = heard.room(event.channel.as_deref().or(message.channel.as_deref()))?;
    if message.subtype.as_deref() == Some("tombstone") {
        return gone(heard, event, message.ts.as_deref()).map(Some);
    }
    let before = event.previous_message.as_deref();
    let edited = |message: &Msg| message.edited.as_ref().and_then(|edited| edited.ts.clone()).filter(|ts| is_ts(ts));
    let by_hand = edited(message).filter(|mark| before.and_then(edited).as_ref() != Some(mark));
    let read = read(heard, message)?;
    let anew = by_hand.is_some() || before.is_none_or(|before| words(heard, before) != read.body);
    if !anew || (read.body.is_empty() && read.attachments.is_empty()) {
        return Ok(None);
    }
    // A change of words that is no edit (a bot's) has the time of its event alone.
    let marks = [by_hand, event.ts.clone(), event.event_ts.clone()];
    let mark = marks.into_iter().flatten().find(|ts| is_ts(ts)).ok_or_else(|| missing("ts"))?;
    Ok(Some(Event {
        id: heard.id(&room, &format!("{}:edited:{mark}", read.key)),
        at: at(heard, &mark),
        room,
        author: author(message),
        kind: EventKind::Edited(read),
    }))
}

fn deleted(heard: &Heard<'_>, event: &Msg) -> Result<Option<Event>, Rejected> {
    if event.previous_message.as_deref().is_some_and(|message| is_own(heard, message)) {
        return Ok(None);
    }
    let told = event.deleted_ts.as_deref();
    gone(heard, event, told.or(event.previous_message.as_ref().and_then(|before| before.ts.as_deref()))).map(Some)
}

fn gone(heard: &Heard<'_>, event: &Msg, ts: Option<&str>) -> Result<Event, Rejected> {
    let ts = ts.filter(|ts| is_ts(ts)).ok_or_else(|| missing("deleted_ts"))?;
    let room = heard.room(event.channel.as_deref())?;
    let when = event.event_ts.as_deref().or(event.ts.as_deref()).unwrap_or(ts);
    Ok(Event {
        id: heard.id(&room, &format!("{ts}:deleted")),
        at: at(heard, when),
        room,
        // Slack does not say who deleted it.
        author: None,
        kind: EventKind::Deleted(ts.into()),
    })
}

fn member(heard: &Heard<'_>, message: &Msg, change: MembershipChange) -> Result<Option<Event>, Rejected> {
    if is_own(heard, message) {
        return Ok(None);
    }
    let ts = message.ts.as_deref().filter(|ts| is_ts(ts)).ok_or_else(|| missing("ts"))?;
    let room = heard.room(message.channel.as_deref())?;
    let author = author(message).ok_or_else(|| missing("user"))?;
    Ok(Some(Event {
        id: heard.id(&room, &format!("{ts}:member:{}", author.key)),
        at: at(heard, ts),
        room,
        author: Some(author),
        kind: EventKind::Membership(change),
    }))
}

/// Whether a message is one that we posted, or Slackbot's. Any sign is enough: with a name of its own our post has no
/// `user`, and it may come before we have the answer that tells its key.
fn is_own(heard: &Heard<'_>, message: &Msg) -> bool {
    let profile = message.bot_profile.as_ref();
    let apps = [message.app_id.as_deref(), profile.and_then(|profile| profile.app_id.as_deref())];
    message.bot_id.as_deref().is_some_and(|bot| heard.is_our_bot(bot))
        || apps.into_iter().flatten().any(|app| heard.is_our_app(app))
        || message.user.as_deref().is_some_and(|user| user == "USLACKBOT" || heard.is_our_user(user))
        || message.metadata.as_ref().is_some_and(|metadata| metadata.event_type.as_deref() == Some(OURS))
}

fn read(heard: &Heard<'_>, message: &Msg) -> Result<Message, Rejected> {
    let ts = message.ts.as_deref().filter(|ts| is_ts(ts)).ok_or_else(|| missing("ts"))?;
    let thread = message.thread_ts.as_deref().filter(|root| is_ts(root) && *root != ts);
    let mut body = words(heard, message);
    let mut attachments = Vec::new();
    for file in message.files.iter().flatten() {
        match attachment(file) {
            Some(attachment) => attachments.push(attachment),
            None if file.mode.as_deref() == Some("tombstone") => {}
            None => {
                body.blocks.push(Block::Paragraph(vec![Inline::Text("(a file that can't be read here)".to_owned())]));
            }
        }
    }
    Ok(Message {
        emote: message.subtype.as_deref() == Some("me_message"),
        attachments,
        reply_to: thread.map(Into::into),
        thread: thread.map(Into::into),
        ..Message::new(ts, if body.is_empty() { Text::default() } else { body })
    })
}

/// The words of a message. Our bot goes by our name, whatever it is called there: who mentions it speaks to us, and
/// nobody has to be asked who that is.
fn words(heard: &Heard<'_>, message: &Msg) -> Text {
    let mut body = text::read(message);
    text::mentions(&mut body.blocks, &|mention| {
        if matches!(&mention.kind, MentionKind::User(key) if heard.is_our_user(key.as_str())) {
            NAME.clone_into(&mut mention.label);
        }
    });
    body
}

/// A file, or a link to where it can be seen. `None`: there is nothing to point to.
fn attachment(file: &File) -> Option<Attachment> {
    let url =
        |url: &Option<String>| url.clone().filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let mode = file.mode.as_deref().unwrap_or_default();
    if mode == "tombstone" {
        return None;
    }
    let elsewhere = file.is_external == Some(true) || mode == "external";
    let bytes = url(&file.url_private_download).or_else(|| url(&file.url_private));
    let (url, access) = if elsewhere {
        (url(&file.external_url).or_else(|| url(&file.url_private)).or_else(|| url(&file.permalink))?, Access::Public)
    } else if mode == "hidden_by_limit" || file.access.as_deref() == Some("check_file_info") {
        (url(&file.permalink)?, Access::Public)
    } else {
        match bytes {
            Some(bytes) => (bytes, Access::Account),
            None => (url(&file.permalink)?, Access::Public),
        }
    };
    let called = [&file.name, &file.title].into_iter().flatten().map(|name| names::clean(name, 200));
    Some(Attachment {
        name: called.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "file".to_owned()),
        mime: file.mimetype.clone().filter(|mime| !mime.is_empty()),
        size: file.size.filter(|_| access == Access::Account),
        url,
        access,
        content: None,
    })
}

/// Who wrote it. The name is empty where the message does not tell it.
fn author(message: &Msg) -> Option<Author> {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let profile = message.bot_profile.as_ref();
    let bot = some(&message.bot_id);
    let key = some(&message.user).or_else(|| bot.clone())?;
    let mut author = Author { bot: bot.is_some(), ..Author::new(key, "") };
    if let Some(person) = message.user_profile.as_ref().filter(|_| bot.is_none()) {
        let known = people::profile(person);
        (author.name, author.username, author.avatar) = (known.name, known.username, known.avatar);
    }
    if bot.is_some() {
        let named = some(&message.username).or_else(|| profile.and_then(|profile| some(&profile.name)));
        author.name = names::clean(&named.unwrap_or_default(), NAME_MAX);
        let icons = message.icons.as_ref().or_else(|| profile.and_then(|profile| profile.icons.as_ref()));
        author.avatar = icons.and_then(picture);
    }
    Some(author)
}

/// A picture of a bot's icons.
pub(super) fn picture(icons: &Value) -> Option<String> {
    let sizes = ["image_72", "image_64", "image_48", "image_36"];
    let mut found = sizes.into_iter().filter_map(|size| icons.get(size)?.as_str());
    found.find(|url| url.starts_with("https://")).map(str::to_owned)
}

fn at(heard: &Heard<'_>, ts: &str) -> Timestamp {
    wire::at(ts).unwrap_or(heard.now())
}
