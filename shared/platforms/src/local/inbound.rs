//! What the page of a room sends becomes an event.
//!
//! Nothing is signed: the room's token, in the path, is the authority, and the engine knows it or does not. Who may
//! change a message follows from keys alone: a message's key begins with its author's, and an author's key is the hash
//! of a secret that only that author's browser has.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use sameroom_model::{Author, Event, EventKind, Message, MessageKey, Opened, RoomRef, Text, Timestamp};
use sameroom_text::{markdown, names};
use sha2::{Digest, Sha256};
use unicode_segmentation::UnicodeSegmentation;

use super::LIMIT;
use super::onboarding::is_token;
use super::wire::{Deed, Kind, Reply};
use crate::{Rejected, Webhook};

/// The longest name, in graphemes.
const NAME: usize = 32;

/// The longest id made by a browser or key of a message, in bytes.
const ID: usize = 256;

pub(super) fn receive(account: &Opened, request: &Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
    let token = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
    if !is_token(token) {
        return Err(Rejected::Unauthorized);
    }
    let deed: Deed = serde_json::from_slice(request.body()).map_err(|error| {
        Rejected::Malformed(format!("The request does not fit at line {}, column {}.", error.line(), error.column()))
    })?;
    let author = author(&deed)?;
    let own = format!("{}.{}", author.key, digest(&[token, id("The id", &deed.id)?], 15));
    let (key, kind) = kind(&deed, &author, &own)?;
    let body = serde_json::to_vec(&Reply { author: author.key.as_str(), key: key.as_str() })
        .map_err(|error| Rejected::Malformed(error.to_string()))?;
    let mut reply = http::Response::new(Bytes::from(body));
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let room = RoomRef { account: account.account.id.clone(), key: token.into() };
    let event = Event { id: own.into(), room, at: now, author: Some(author), kind };
    Ok(Webhook { events: vec![event], ..Webhook::reply(reply) })
}

/// What is done, and the key of the message that it is done to. `own` names the deed, and what it posts.
fn kind(deed: &Deed, author: &Author, own: &str) -> Result<(MessageKey, EventKind), Rejected> {
    if deed.kind == Kind::Post {
        let (body, emote) = words(deed)?;
        let reply_to = deed.reply_to.as_deref().map(|key| id("The key of the message answered", key)).transpose()?;
        let reply_to = reply_to.map(MessageKey::from);
        let message = Message { emote, reply_to, ..Message::new(own, body) };
        return Ok((own.into(), EventKind::Posted(message)));
    }
    let key = id("The key of the message", deed.key.as_deref().unwrap_or_default())?;
    if deed.kind != Kind::React && key.split_once('.').is_none_or(|(owner, _)| owner != author.key.as_str()) {
        return Err(said("Only its author can change a message."));
    }
    let key = MessageKey::from(key);
    let kind = match deed.kind {
        Kind::Post | Kind::Edit => {
            let (body, emote) = words(deed)?;
            EventKind::Edited(Message { emote, ..Message::new(key.clone(), body) })
        }
        Kind::Delete => EventKind::Deleted(key.clone()),
        Kind::React => EventKind::Reacted { key: key.clone(), emoji: emoji(deed)?, on: deed.on },
    };
    Ok((key, kind))
}

fn author(deed: &Deed) -> Result<Author, Rejected> {
    if !(16..=128).contains(&deed.author.id.len()) {
        return Err(said("The author's id must have 16 to 128 characters."));
    }
    let name = names::clean(&deed.author.name, NAME + 1);
    // A grapheme can be of any length: marks upon marks.
    if !(1..=NAME).contains(&name.graphemes(true).count()) || name.len() > 16 * NAME {
        return Err(said("Choose a name of 1 to 32 characters."));
    }
    Ok(Author::new(digest(&["sameroom local author", &deed.author.id], 12), name))
}

/// The words of a message, and whether they are an emote.
fn words(deed: &Deed) -> Result<(Text, bool), Rejected> {
    let text = deed.text.as_deref().unwrap_or_default().trim();
    if LIMIT.measure(text) > LIMIT.max {
        return Err(said("That is too long: a message has at most 16,000 characters."));
    }
    let emote = text.strip_prefix("/me").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    let (text, emote) = (emote.map_or(text, str::trim_start), emote.is_some());
    let body = markdown::read(text);
    if body.is_empty() {
        return Err(said("Write something first."));
    }
    Ok((body, emote))
}

fn emoji(deed: &Deed) -> Result<String, Rejected> {
    let emoji = deed.emoji.as_deref().unwrap_or_default();
    if !(1..=64).contains(&emoji.len()) || emoji.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(said("Choose an emoji to react with."));
    }
    Ok(emoji.to_owned())
}

fn id<'a>(what: &str, text: &'a str) -> Result<&'a str, Rejected> {
    if text.is_empty() || text.len() > ID || text.chars().any(char::is_control) {
        return Err(said(&format!("{what} must have 1 to {ID} bytes and no control characters.")));
    }
    Ok(text)
}

/// The first bytes of a SHA-256 of some texts, in base64url. Each text is preceded by its length, so that no two lists
/// run into each other.
fn digest(texts: &[&str], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..bytes])
}

fn said(sentence: &str) -> Rejected {
    Rejected::Malformed(sentence.to_owned())
}
