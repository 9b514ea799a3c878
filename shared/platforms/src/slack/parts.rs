//! What a delivery becomes in Slack: parts in order, the same at every attempt. Must not know requests.

use sameroom_model::{Access, Action, Attachment, Block, Delivery, Inline, Opened, Outcome, Quote, Text};
use sameroom_text::names;

use super::FILE_MAX;
use super::text::{self, reaction_name};
use super::wire::is_ts;

/// One part of a delivery.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    /// A message.
    Say(String),
    /// A file, by its place among the attachments.
    File(&'a Attachment, &'a bytes::Bytes),
    /// New words for a message.
    Update(&'a str, String),
    /// A message to delete.
    Delete(&'a str),
    /// A reaction to add, or to take back.
    React(&'a str, String, bool),
}

/// The parts of a delivery.
pub(super) fn parts<'a>(account: &Opened, delivery: &'a Delivery) -> Result<Vec<Part<'a>>, Outcome> {
    // Mentions of people and rooms are this account's by now. A group's key is of the workspace that it was read from.
    let own = delivery.lane.from.account == account.account.id;
    match &delivery.action {
        Action::Post { body, emote, attachments, reply } => {
            let (files, links): (Vec<_>, Vec<_>) = attachments.iter().partition(|file| content(file).is_some());
            let body = posted(body, *emote, &links, reply.as_ref());
            let mut parts: Vec<_> = text::write(&body, own).into_iter().map(Part::Say).collect();
            parts.extend(files.into_iter().filter_map(|file| Some(Part::File(file, content(file)?))));
            Ok(parts)
        }
        Action::Notice { body } => Ok(text::write(body, own).into_iter().map(Part::Say).collect()),
        Action::Edit { body, emote } => edited(delivery, body, *emote, own),
        Action::Delete => {
            known(delivery)?;
            Ok(delivery.copies.iter().map(|key| Part::Delete(key.as_str())).collect())
        }
        Action::React { emoji, on } => {
            let name = reaction_name(emoji).ok_or_else(|| Outcome::refused("Slack has no such emoji"))?;
            Ok(vec![Part::React(known(delivery)?, name, *on)])
        }
    }
}

/// The root of the thread that a message answers in, where there is one here.
pub(super) fn thread(delivery: &Delivery) -> Option<&str> {
    let Action::Post { reply: Some(quote), .. } = &delivery.action else { return None };
    // Of an answered message without a known root it can only be hoped that it is one itself.
    let key = quote.thread.as_ref().or(quote.key.as_ref())?;
    Some(key.as_str()).filter(|key| is_ts(key))
}

/// The earlier parts are edited, those that there are no words for any more deleted, and further ones posted.
fn edited<'a>(delivery: &'a Delivery, body: &Text, emote: bool, own: bool) -> Result<Vec<Part<'a>>, Outcome> {
    known(delivery)?;
    let mut words = text::write(&emoted(body, emote), own);
    if words.is_empty() {
        // Slack takes no message without words, and the message itself is not gone.
        words.push("…".to_owned());
    }
    let surplus = delivery.copies.get(words.len()..).unwrap_or_default();
    let mut parts = Vec::new();
    for (at, words) in words.into_iter().enumerate() {
        parts.push(match delivery.copies.get(at) {
            Some(key) => Part::Update(key.as_str(), words),
            None => Part::Say(words),
        });
    }
    parts.extend(surplus.iter().map(|key| Part::Delete(key.as_str())));
    Ok(parts)
}

/// The words of a post, with what it answers where that can't be shown natively, and links to files.
fn posted(body: &Text, emote: bool, links: &[&Attachment], reply: Option<&Quote>) -> Text {
    let mut text = emoted(body, emote);
    if let Some(quote) = reply.filter(|quote| quote.key.is_none() && quote.thread.is_none())
        && let Some(quoted) = quoted(quote)
    {
        text.blocks.insert(0, quoted);
    }
    for file in links {
        let name = Inline::Text(names::clean(&file.name, 200));
        text.blocks.push(Block::Paragraph(match file.access {
            Access::Public => vec![Inline::Link { url: file.url.clone(), label: vec![name] }],
            // Its address is of no use to anybody here.
            Access::Account => vec![name, Inline::Text(" (a file that can't be read here)".to_owned())],
        }));
    }
    text
}

fn quoted(quote: &Quote) -> Option<Block> {
    let author = quote.author.as_deref().filter(|author| !author.is_empty());
    let mut inlines: Vec<_> =
        author.map(|author| Inline::Strong(vec![Inline::Text(format!("{author}:"))])).into_iter().collect();
    if let Some(excerpt) = quote.excerpt.as_deref().filter(|excerpt| !excerpt.is_empty()) {
        inlines.push(Inline::Text(format!(" {excerpt}")));
    }
    (!inlines.is_empty()).then(|| Block::Quote(vec![Block::Paragraph(inlines)]))
}

/// Slack shows what somebody does in italics; `chat.meMessage` can't name the author.
fn emoted(body: &Text, emote: bool) -> Text {
    let italic = |block: &Block| match block {
        Block::Paragraph(inlines) => Block::Paragraph(vec![Inline::Emphasis(inlines.clone())]),
        other => other.clone(),
    };
    if emote { Text { blocks: body.blocks.iter().map(italic).collect() } } else { body.clone() }
}

/// A file's bytes, where they are to be sent.
fn content(file: &Attachment) -> Option<&bytes::Bytes> {
    file.content.as_ref().filter(|content| !content.is_empty() && content.len() as u64 <= FILE_MAX)
}

fn known(delivery: &Delivery) -> Result<&str, Outcome> {
    let key = delivery.copies.first().map(sameroom_model::MessageKey::as_str);
    key.ok_or_else(|| Outcome::refused("the copy that this is about is not known"))
}
