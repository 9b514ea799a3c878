//! A signed request becomes an event. Must not send anything.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use sameroom_model::{
    Access, Attachment, Author, Availability, Event, EventKind, MembershipChange, Message, MessageKey, Opened, RoomRef,
    Text, Timestamp,
};
use sameroom_text::{html, markdown, names, plain};
use serde_json::error::Category;

use super::signature;
use super::wire::{File, Kind, Payload, Person, Str, Words};
use crate::{Rejected, Webhook};

/// The room of events that name none.
pub(super) const DEFAULT_ROOM: &str = "main";

/// The longest id, name or emoji, in bytes: ids become keys of the store.
const SHORT: usize = 256;

pub(super) fn receive(account: &Opened, request: &http::Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
    let webhook_id = signature::verify(&account.secrets, request.headers(), request.body(), now)?;
    let payload: Payload<'_> = serde_json::from_slice(request.body()).map_err(|error| unfit(&error))?;
    let event = event(account, webhook_id, &payload, now)?;
    let body = serde_json::json!({ "id": event.id }).to_string();
    let mut reply = http::Response::new(Bytes::from(body));
    *reply.status_mut() = http::StatusCode::ACCEPTED;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(Webhook { events: vec![event], ..Webhook::reply(reply) })
}

fn event(account: &Opened, webhook_id: &str, payload: &Payload<'_>, now: Timestamp) -> Result<Event, Rejected> {
    let id = short("id", payload.id.as_deref().unwrap_or(webhook_id))?;
    let room = short("room", payload.room.as_deref().unwrap_or(DEFAULT_ROOM))?;
    let author = payload.author.as_ref().map(author).transpose()?;
    let who = || need("author", author.as_ref()).map(|_| ());
    let key = || match &payload.message {
        Some(Words { id: Some(id), .. }) => short("message.id", id).map(MessageKey::from),
        _ => Err(missing("message.id")),
    };
    let name = || short("name", need("name", payload.name.as_deref())?).map(str::to_owned);
    let why = || payload.why.as_deref().map(str::to_owned);
    let kind = match payload.kind {
        Kind::Posted => {
            who()?;
            EventKind::Posted(message(need("message", payload.message.as_ref())?, Some(id))?)
        }
        Kind::Edited => EventKind::Edited(message(need("message", payload.message.as_ref())?, None)?),
        Kind::Deleted => EventKind::Deleted(key()?),
        Kind::ReactionAdded | Kind::ReactionRemoved => {
            who()?;
            let emoji = short("reaction", need("reaction", payload.reaction.as_deref())?)?.to_owned();
            EventKind::Reacted { key: key()?, emoji, on: payload.kind == Kind::ReactionAdded }
        }
        Kind::RoomRenamed => EventKind::Renamed(name()?),
        Kind::RoomClosed => {
            EventKind::Availability(Availability::Closed(why().unwrap_or_else(|| "The room was closed.".to_owned())))
        }
        Kind::RoomOpened => EventKind::Availability(Availability::Open),
        Kind::MemberJoined => {
            who()?;
            EventKind::Membership(MembershipChange::Joined)
        }
        Kind::MemberLeft => {
            who()?;
            EventKind::Membership(MembershipChange::Left(why()))
        }
        Kind::MemberRemoved => {
            who()?;
            let by = short("by", need("by", payload.by.as_deref())?)?.to_owned();
            EventKind::Membership(MembershipChange::Removed { by, why: why() })
        }
        Kind::MemberRenamed => {
            who()?;
            EventKind::Membership(MembershipChange::Renamed(name()?))
        }
    };
    let room = RoomRef { account: account.account.id.clone(), key: room.into() };
    Ok(Event { id: id.into(), room, at: payload.at.unwrap_or(now), author, kind })
}

fn author(person: &Person<'_>) -> Result<Author, Rejected> {
    let name = names::clean(&person.name, SHORT);
    short("author.name", &name)?;
    let key = short("author.id", person.id.as_deref().unwrap_or(&name))?;
    let owned = |text: &Option<Str<'_>>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Author {
        key: key.into(),
        name,
        username: owned(&person.username),
        team: owned(&person.team),
        avatar: owned(&person.avatar).filter(|url| url.starts_with("https://")),
        bot: person.bot,
    })
}

/// A message; a new one that has no id is named after its event.
fn message(words: &Words<'_>, default_key: Option<&str>) -> Result<Message, Rejected> {
    let key = words.id.as_deref().or(default_key).ok_or_else(|| missing("message.id"))?;
    let body = match (&words.markdown, &words.html, &words.text) {
        (Some(text), _, _) => markdown::read(text),
        (None, Some(text), _) => html::read(text),
        (None, None, Some(text)) => plain::read(text),
        (None, None, None) if words.attachments.is_empty() => {
            return Err(missing("message.text, message.markdown or message.html"));
        }
        (None, None, None) => Text::default(),
    };
    let key_of =
        |field, key: &Option<Str<'_>>| key.as_deref().map(|key| short(field, key).map(MessageKey::from)).transpose();
    Ok(Message {
        key: short("message.id", key)?.into(),
        body,
        emote: words.emote,
        attachments: words.attachments.iter().map(attachment).collect::<Result<_, _>>()?,
        reply_to: key_of("message.reply_to", &words.reply_to)?,
        thread: key_of("message.thread", &words.thread)?,
    })
}

fn attachment(file: &File<'_>) -> Result<Attachment, Rejected> {
    let url = need("url of an attachment", file.url.as_deref())?;
    if !(url.starts_with("https://") || url.starts_with("http://")) || url::Url::parse(url).is_err() {
        return Err(Rejected::Malformed("The url of an attachment must be a whole http or https URL.".to_owned()));
    }
    Ok(Attachment {
        name: short("name of an attachment", &file.name)?.to_owned(),
        mime: file.mime.as_deref().map(str::to_owned),
        size: file.size,
        url: url.to_owned(),
        access: Access::Public,
        content: None,
    })
}

fn need<T>(field: &str, value: Option<T>) -> Result<T, Rejected> {
    value.ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Rejected {
    Rejected::Malformed(format!("The {field} is missing."))
}

fn short<'a>(field: &str, value: &'a str) -> Result<&'a str, Rejected> {
    if value.is_empty() || value.len() > SHORT || value.chars().any(char::is_control) {
        return Err(Rejected::Malformed(format!(
            "The {field} must have 1 to {SHORT} bytes of UTF-8 and no control characters."
        )));
    }
    Ok(value)
}

/// Says where the JSON does not fit. What serde says of values is left out: it quotes them, and they may be somebody's
/// words.
fn unfit(error: &serde_json::Error) -> Rejected {
    let place = format!("at line {}, column {}", error.line(), error.column());
    let said = error.to_string();
    Rejected::Malformed(match error.classify() {
        Category::Data if said.starts_with("missing field") || said.starts_with("unknown variant") => {
            format!("The JSON does not fit: {said}.")
        }
        Category::Data => format!("The JSON does not fit {place}: a value there is not of the documented kind."),
        Category::Io | Category::Syntax | Category::Eof => format!("The body is not JSON {place}."),
    })
}
