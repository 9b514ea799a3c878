//! Words, both ways: a message's blocks, mrkdwn and attachments become one tree, and a tree becomes mrkdwn. Emoji of
//! reactions, too. Must not know requests.

use sameroom_model::{Block, Inline, Mention, MentionKind, Text};
use sameroom_text::{emoji, mrkdwn, normalise, split};
use serde_json::Value;

use super::wire::{Msg, is_id};
use super::{LIMIT, blocks};

/// Emoji whose name in Slack (<https://github.com/iamcal/emoji-data>) is not the one that gemoji gives them.
const SLACK_NAMES: [(&str, &str); 12] = [
    ("🤗", "hugging_face"),
    ("🤔", "thinking_face"),
    ("🙄", "face_with_rolling_eyes"),
    ("🤖", "robot_face"),
    ("🤒", "face_with_thermometer"),
    ("🤘", "the_horns"),
    ("☹️", "white_frowning_face"),
    ("🥇", "first_place_medal"),
    ("🥈", "second_place_medal"),
    ("🥉", "third_place_medal"),
    ("🤮", "face_vomiting"),
    ("🤦", "face_palm"),
];

/// The words of a message: its `rich_text` where that is understood whole, else its `text`, else its other blocks, else
/// what its attachments fall back to.
pub(super) fn read(message: &Msg) -> Text {
    let said = message.text.as_deref().unwrap_or_default();
    let blocks = message.blocks.as_deref().unwrap_or_default();
    let mut found = blocks::rich(blocks).unwrap_or_default();
    if is_blank(&found) {
        found = mrkdwn::read(said).blocks;
    }
    if is_blank(&found) {
        found = blocks::plain(blocks);
    }
    if is_blank(&found) {
        found = message.attachments.iter().flatten().flat_map(attachment).collect();
    }
    let mut text = Text { blocks: found };
    mentions(&mut text.blocks, &|mention| {
        // What the reader shows for want of a name is a key, which says nothing to people.
        if key(&mention.kind) == Some(mention.label.as_str()) {
            mention.label.clear();
        }
    });
    normalise(&text)
}

/// The words cut to the limit, as mrkdwn. Mentions of people and rooms reach those meant. `own`: those of groups are of
/// this workspace, and do, too; else they are words.
pub(super) fn write(text: &Text, own: bool) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut text = text.clone();
    prepare(&mut text, own);
    split(&text, LIMIT.max, &|part| LIMIT.measure(&written(part, own)))
        .iter()
        .map(|part| written(part, own))
        .filter(|part| !part.trim().is_empty())
        .collect()
}

/// The name of a reaction's emoji, without colons. `None`: it has none.
pub(super) fn reaction_name(emoji: &str) -> Option<String> {
    if let Some(custom) = emoji.strip_prefix(':').and_then(|name| name.strip_suffix(':')) {
        let known = |c: char| c.is_alphanumeric() || "_+-':".contains(c);
        return (!custom.is_empty() && custom.len() <= 128 && custom.chars().all(known)).then(|| custom.to_owned());
    }
    if let Some(country) = flag(emoji) {
        return Some(format!("flag-{country}"));
    }
    let tone = |c: &char| ('\u{1f3fb}'..='\u{1f3ff}').contains(c);
    let base: String = emoji.chars().filter(|c| !tone(c)).collect();
    let name = name_of(&base).or_else(|| name_of(&format!("{base}\u{fe0f}")))?;
    Some(match emoji.chars().find(tone) {
        Some(tone) => format!("{name}::skin-tone-{}", u32::from(tone) - 0x1f3fb + 2),
        None => name.to_owned(),
    })
}

/// A reaction by its name: the Unicode form, or `:name:` for a custom one.
pub(super) fn reaction(name: &str) -> String {
    if let Some(country) = name.strip_prefix("flag-").filter(|country| country.len() == 2)
        && country.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        return country.bytes().filter_map(|byte| char::from_u32(0x1f1e6 + u32::from(byte - b'a'))).collect();
    }
    emoji::unicode(name).map_or_else(|| format!(":{name}:"), str::to_owned)
}

fn name_of(emoji: &str) -> Option<&'static str> {
    let own = SLACK_NAMES.iter().find(|(unicode, _)| *unicode == emoji).map(|(_, name)| *name);
    own.or_else(|| emoji::name(emoji))
}

/// The country of a flag, in lower case.
fn flag(emoji: &str) -> Option<String> {
    let letter = |c: char| {
        let index = u32::from(c).checked_sub(0x1f1e6).filter(|index| *index < 26)?;
        char::from_u32(u32::from('a') + index)
    };
    let letters: Option<String> = emoji.chars().map(letter).collect();
    letters.filter(|letters| letters.len() == 2)
}

fn is_blank(found: &[Block]) -> bool {
    found.iter().all(Block::is_empty)
}

/// What a classic attachment says, in short.
fn attachment(attachment: &Value) -> Vec<Block> {
    let part = |name: &str| attachment.get(name).and_then(Value::as_str).unwrap_or_default();
    let fallback = part("fallback");
    if !fallback.is_empty() && !fallback.starts_with("[no preview available]") {
        return mrkdwn::read(fallback).blocks;
    }
    let parts: Vec<_> =
        [part("pretext"), part("title"), part("text")].into_iter().filter(|part| !part.is_empty()).collect();
    if !parts.is_empty() {
        return mrkdwn::read(&parts.join("\n")).blocks;
    }
    blocks::plain(attachment.get("blocks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default())
}

fn key(kind: &MentionKind) -> Option<&str> {
    match kind {
        MentionKind::User(key) => Some(key.as_str()),
        MentionKind::Room(key) => Some(key.as_str()),
        MentionKind::Group(key) => Some(key),
        MentionKind::Everyone => None,
    }
}

/// Gives mentions without a name their key to show, and groups the form in which [`written`] finds them again.
fn prepare(text: &mut Text, own: bool) {
    mentions(&mut text.blocks, &|mention| {
        if mention.label.is_empty()
            && let Some(key) = key(&mention.kind)
        {
            mention.label = key.to_owned();
        }
        let replaced = match &mention.kind {
            MentionKind::Group(key) if own && is_id(key, &['S']) => MentionKind::User(key.as_str().into()),
            // A key that is nobody's here must not be written as one.
            MentionKind::User(key) if !is_id(key.as_str(), &['U', 'W']) => MentionKind::Group(key.as_str().to_owned()),
            _ => return,
        };
        mention.kind = replaced;
    });
}

fn written(text: &Text, own: bool) -> String {
    let words = mrkdwn::write_with_mentions(text);
    // No `<` of the text's own is left unescaped, so this can only be a group that [`prepare`] put there.
    if own { words.replace("<@S", "<!subteam^S") } else { words }
}

/// Changes every mention in a text.
pub(super) fn mentions(blocks: &mut [Block], change: &dyn Fn(&mut Mention)) {
    for block in blocks {
        match block {
            Block::Paragraph(inner) => in_inlines(inner, change),
            Block::Quote(inner) => mentions(inner, change),
            Block::List { items, .. } => items.iter_mut().for_each(|item| mentions(item, change)),
            Block::Code { .. } => {}
        }
    }
}

fn in_inlines(inlines: &mut [Inline], change: &dyn Fn(&mut Mention)) {
    for inline in inlines {
        match inline {
            Inline::Mention(mention) => change(mention),
            Inline::Strong(inner)
            | Inline::Emphasis(inner)
            | Inline::Struck(inner)
            | Inline::Link { label: inner, .. } => {
                in_inlines(inner, change);
            }
            Inline::Text(_) | Inline::Code(_) | Inline::Emoji(_) | Inline::Break => {}
        }
    }
}
