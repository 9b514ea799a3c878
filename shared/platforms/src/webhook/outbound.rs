//! A delivery becomes signed requests, and an answer an outcome. Nothing here is random: the same delivery makes the
//! same ids at every attempt.

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use sameroom_model::{
    Access, Action, Attachment, Author, Block, Delivery, Inline, MessageKey, Opened, Outcome, Quote, RoomRef, Sent,
    Text, Timestamp,
};
use sameroom_text::{markdown, plain, split};

use super::LIMIT;
use super::signature::{self, SECRETS};
use super::wire::{File, Kind, Payload, Person, Quoted, Reply, Source, Str, Words};
use crate::answers::retry_after;

pub(super) fn render(account: &Opened, delivery: &Delivery, now: Timestamp) -> Result<Vec<Request<Bytes>>, Outcome> {
    let key = account
        .secrets
        .get(SECRETS[0])
        .and_then(signature::key)
        .ok_or_else(|| Outcome::disconnected("The webhook has no usable secret: add it again with one."))?;
    let timestamp = now.as_second().to_string();
    payloads(delivery)?
        .into_iter()
        .enumerate()
        .map(|(part, mut payload)| {
            let id = webhook_id(delivery, part);
            payload.id = Some(Str::from(id.as_str()));
            payload.room = Some(Str::from(delivery.lane.to.key.as_str()));
            payload.at = Some(delivery.origin.at);
            payload.author = delivery.author.as_ref().map(|author| person(author, &delivery.shown));
            payload.origin = delivery.author.is_some().then(|| Source { room: opaque(&delivery.lane.from) });
            let body = serde_json::to_vec(&payload).map_err(|error| Outcome::refused(error.to_string()))?;
            request(&account.account.endpoint, &key, &id, &timestamp, body)
                .ok_or_else(|| Outcome::disconnected("The webhook's URL can't be called: add it again."))
        })
        .collect()
}

pub(super) fn settle(
    account: &Opened,
    delivery: &Delivery,
    part: usize,
    response: &Response<Bytes>,
    now: Timestamp,
) -> Outcome {
    let status = response.status();
    let why = |more: &str| format!("{} answered {status}{more}", account.account.identity.name);
    match status.as_u16() {
        200..=299 => Outcome::Done { keys: made(delivery, part, response.body()).into_iter().collect() },
        410 => Outcome::disconnected(why(": it takes no more; connect it again if that was a mistake")),
        408 | 409 | 425 | 429 | 500..=599 => {
            Outcome::Retry { after: retry_after(response.headers(), now), why: why(""), sent: Sent::No }
        }
        300..=399 => Outcome::refused(why(": redirects are not followed; connect the address that it leads to")),
        _ => Outcome::refused(why("")),
    }
}

/// The key of the message that a part made: the one that the receiver names, else the one that we sent. An answer that
/// was cut short, or is no JSON, is a yes all the same.
fn made(delivery: &Delivery, part: usize, body: &[u8]) -> Option<MessageKey> {
    match &delivery.action {
        Action::Post { .. } | Action::Notice { .. } => {}
        Action::Edit { .. } if part >= delivery.copies.len() => {}
        Action::Edit { .. } | Action::Delete | Action::React { .. } => return None,
    }
    let named = serde_json::from_slice::<Reply>(body).ok().and_then(|reply| reply.id);
    let fits = |id: &String| (1..=256).contains(&id.len()) && !id.chars().any(char::is_control);
    Some(named.filter(fits).unwrap_or_else(|| webhook_id(delivery, part)).into())
}

/// One payload a part, still without what all parts share.
fn payloads(delivery: &Delivery) -> Result<Vec<Payload<'_>>, Outcome> {
    match &delivery.action {
        Action::Post { body, emote, attachments, reply } => {
            Ok(posted(delivery, body, *emote, attachments, reply.as_ref()))
        }
        Action::Notice { body } => Ok(posted(delivery, body, false, &[], None)),
        Action::Edit { body, emote } => edited(delivery, body, *emote),
        Action::Delete => {
            known(delivery)?;
            Ok(delivery.copies.iter().map(|key| about(Kind::Deleted, key)).collect())
        }
        Action::React { emoji, on } => {
            let key = known(delivery)?;
            let mut payload = about(if *on { Kind::ReactionAdded } else { Kind::ReactionRemoved }, key);
            payload.reaction = Some(Str::from(emoji.as_str()));
            Ok(vec![payload])
        }
    }
}

fn posted<'a>(
    delivery: &'a Delivery,
    body: &Text,
    emote: bool,
    attachments: &'a [Attachment],
    reply: Option<&'a Quote>,
) -> Vec<Payload<'a>> {
    let mut parts = parts(body);
    if parts.is_empty() && !attachments.is_empty() {
        parts.push(Words { text: Some(Str::from("")), ..Words::default() });
    }
    // What is answered goes with the first words, files with the last.
    if let (Some(first), Some(reply)) = (parts.first_mut(), reply) {
        first.reply_to = reply.key.as_ref().map(|key| Str::from(key.as_str()));
        first.thread = reply.thread.as_ref().map(|key| Str::from(key.as_str()));
        let (author, excerpt) = (reply.author.as_deref(), reply.excerpt.as_deref());
        first.quote = (author.is_some() || excerpt.is_some()).then_some(Quoted { author, excerpt });
    }
    if let Some(last) = parts.last_mut() {
        last.attachments = attachments.iter().map(file).collect();
    }
    let named = parts.into_iter().enumerate().map(|(part, mut words)| {
        words.id = Some(Str::from(webhook_id(delivery, part)));
        words.emote = emote;
        Payload { message: Some(words), ..Payload::new(Kind::Posted) }
    });
    named.collect()
}

/// The earlier parts are edited, those that there are no words for any more deleted, and further ones posted.
fn edited<'a>(delivery: &'a Delivery, body: &Text, emote: bool) -> Result<Vec<Payload<'a>>, Outcome> {
    known(delivery)?;
    let mut parts = parts(body);
    if parts.is_empty() {
        parts.push(Words { text: Some(Str::from("")), ..Words::default() });
    }
    let gone = delivery.copies.get(parts.len()..).unwrap_or_default();
    let mut payloads: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(part, mut words)| {
            words.emote = emote;
            let copy = delivery.copies.get(part);
            let kind = if copy.is_some() { Kind::Edited } else { Kind::Posted };
            words.id = Some(copy.map_or_else(|| webhook_id(delivery, part).into(), |key| key.as_str().into()));
            Payload { message: Some(words), ..Payload::new(kind) }
        })
        .collect();
    payloads.extend(gone.iter().map(|key| about(Kind::Deleted, key)));
    Ok(payloads)
}

/// The words, cut to the limit. Markdown goes along only where there is markup.
fn parts<'a>(body: &Text) -> Vec<Words<'a>> {
    if body.is_empty() {
        return Vec::new();
    }
    // Escaping at most doubles the length, so what is plain and short needs no look at its Markdown.
    if !has_markup(body) {
        let plain = plain::write(body);
        if LIMIT.measure(&plain) * 2 <= LIMIT.max {
            return vec![Words { text: Some(Str::from(plain)), ..Words::default() }];
        }
    }
    let words = |text: &Text, markdown: String| Words {
        text: Some(Str::from(plain::write(text))),
        markdown: has_markup(text).then_some(Str::from(markdown)),
        ..Words::default()
    };
    let whole = markdown::write(body);
    if LIMIT.measure(&whole) <= LIMIT.max {
        return vec![words(body, whole)];
    }
    split(body, LIMIT.max, &|part| LIMIT.measure(&markdown::write(part)))
        .iter()
        .map(|part| words(part, markdown::write(part)))
        .collect()
}

/// Whether plain text says less than Markdown does.
fn has_markup(text: &Text) -> bool {
    let plain = |inline: &Inline| match inline {
        Inline::Text(_) | Inline::Break | Inline::Mention(_) | Inline::Emoji(_) => true,
        Inline::Link { label, .. } => label.is_empty(),
        Inline::Strong(_) | Inline::Emphasis(_) | Inline::Struck(_) | Inline::Code(_) => false,
    };
    let plain = |block: &Block| matches!(block, Block::Paragraph(inlines) if inlines.iter().all(plain));
    !text.blocks.iter().all(plain)
}

fn about(kind: Kind, key: &MessageKey) -> Payload<'_> {
    let message = Words { id: Some(Str::from(key.as_str())), ..Words::default() };
    Payload { message: Some(message), ..Payload::new(kind) }
}

fn known(delivery: &Delivery) -> Result<&MessageKey, Outcome> {
    delivery.copies.first().ok_or_else(|| Outcome::refused("the copy that this is about is not known"))
}

fn person<'a>(author: &'a Author, shown: &'a str) -> Person<'a> {
    let text = |text: &'a Option<String>| text.as_deref().map(Str::from);
    Person {
        id: Some(Str::from(author.key.as_str())),
        name: Str::from(if shown.is_empty() { author.name.as_str() } else { shown }),
        username: text(&author.username),
        team: text(&author.team),
        avatar: text(&author.avatar),
        bot: author.bot,
    }
}

fn file(attachment: &Attachment) -> File<'_> {
    File {
        name: Str::from(attachment.name.as_str()),
        url: (attachment.access == Access::Public).then_some(Str::from(attachment.url.as_str())),
        mime: attachment.mime.as_deref().map(Str::from),
        size: attachment.size,
    }
}

/// The id of one part's request, and of the message that it posts. The specification wants no full stop in it.
fn webhook_id(delivery: &Delivery, part: usize) -> String {
    let id = delivery.id.as_str();
    let fits = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let id = delivery.part_id(part);
    if fits { id } else { URL_SAFE_NO_PAD.encode(digest(&SHA256, id.as_bytes())) }
}

/// A name for a room that tells nothing of its key.
fn opaque(room: &RoomRef) -> String {
    let mut context = Context::new(&SHA256);
    context.update(room.account.as_str().as_bytes());
    context.update(&[0]);
    context.update(room.key.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..12])
}

fn request(endpoint: &str, key: &[u8], id: &str, timestamp: &str, body: Vec<u8>) -> Option<Request<Bytes>> {
    let signature = signature::sign(key, id, timestamp, &body)?;
    Request::builder()
        .method(Method::POST)
        .uri(endpoint)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(signature::ID, id)
        .header(signature::TIMESTAMP, timestamp)
        .header(signature::SIGNATURE, signature)
        .body(Bytes::from(body))
        .ok()
}
