//! The one tree that carries markup. Every dialect is read into it once and written from it once; nothing else in the
//! project may carry markup. It must not know any dialect: readers and writers live in `sameroom-text`.

use serde::{Deserialize, Serialize};

use crate::{RoomKey, UserKey};

/// A message's words: a sequence of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text {
    /// The blocks, in reading order.
    pub blocks: Vec<Block>,
}

/// A block of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Inlines that belong together; lines within it are parted by [`Inline::Break`].
    Paragraph(Vec<Inline>),
    /// What somebody else said.
    Quote(Vec<Block>),
    /// A list; `start` is the number of its first item when it is ordered.
    List {
        /// `Some(n)`: ordered, counted from n. `None`: bullets.
        start: Option<u32>,
        /// Each item is a sequence of blocks.
        items: Vec<Vec<Block>>,
    },
    /// Preformatted lines, kept verbatim. No trailing newline.
    Code {
        /// The language's tag, where one was given.
        language: Option<String>,
        /// The lines, parted by `\n`.
        text: String,
    },
}

/// A run of text within a paragraph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// Literal characters, without newlines. Never markup.
    Text(String),
    /// Bold.
    Strong(Vec<Inline>),
    /// Italic (an underline of a platform that has one is read as this).
    Emphasis(Vec<Inline>),
    /// Struck through.
    Struck(Vec<Inline>),
    /// Monospace, verbatim.
    Code(String),
    /// A link. An empty label means that the URL is its own label.
    Link {
        /// Absolute URL.
        url: String,
        /// What is shown in its place.
        label: Vec<Inline>,
    },
    /// Somebody or something spoken to.
    Mention(Mention),
    /// An emoji that was given by name, or that has no Unicode form.
    Emoji(Emoji),
    /// A line break within the paragraph.
    Break,
}

/// A mention, and what to show where it can't be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Who is meant.
    pub kind: MentionKind,
    /// The name to show, without sigil.
    pub label: String,
}

/// Who a mention means, in the terms of the platform that it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MentionKind {
    /// A person or bot.
    User(UserKey),
    /// A room.
    Room(RoomKey),
    /// A group of people (a Slack user group, a role).
    Group(String),
    /// Everybody in the room (`@channel`, `@here`, `@all`). Never crosses as a mention.
    Everyone,
}

/// An emoji by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emoji {
    /// Its short code without colons, for example `wave`.
    pub name: String,
    /// Its Unicode form; `None` for a custom one.
    pub unicode: Option<String>,
}

impl Text {
    /// One paragraph of literal text; newlines become breaks.
    pub fn plain(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let mut inlines = Vec::new();
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                inlines.push(Inline::Break);
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            if !line.is_empty() {
                inlines.push(Inline::Text(line.to_owned()));
            }
        }
        Self { blocks: vec![Block::Paragraph(inlines)] }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.blocks.iter().all(Block::is_empty)
    }

    /// The words alone, without markup: for looking at, never for sending. Blocks are parted by a newline.
    pub fn words(&self) -> String {
        let mut out = String::new();
        words_of_blocks(&self.blocks, &mut out);
        out
    }
}

impl Block {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Paragraph(inlines) => inlines.iter().all(Inline::is_empty),
            Self::Quote(blocks) => blocks.iter().all(Block::is_empty),
            Self::List { items, .. } => items.iter().flatten().all(Block::is_empty),
            Self::Code { text, .. } => text.is_empty(),
        }
    }
}

impl Inline {
    /// Whether there is nothing to show. A break shows nothing by itself.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Code(text) => text.is_empty(),
            Self::Strong(inner) | Self::Emphasis(inner) | Self::Struck(inner) => inner.iter().all(Inline::is_empty),
            Self::Link { url, label } => url.is_empty() && label.iter().all(Inline::is_empty),
            Self::Mention(_) | Self::Emoji(_) => false,
            Self::Break => true,
        }
    }
}

fn words_of_blocks(blocks: &[Block], out: &mut String) {
    for block in blocks {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        match block {
            Block::Paragraph(inlines) => words_of_inlines(inlines, out),
            Block::Quote(inner) => words_of_blocks(inner, out),
            Block::List { items, .. } => items.iter().for_each(|item| words_of_blocks(item, out)),
            Block::Code { text, .. } => out.push_str(text),
        }
    }
}

fn words_of_inlines(inlines: &[Inline], out: &mut String) {
    for inline in inlines {
        match inline {
            Inline::Text(text) | Inline::Code(text) => out.push_str(text),
            Inline::Strong(inner) | Inline::Emphasis(inner) | Inline::Struck(inner) => words_of_inlines(inner, out),
            Inline::Link { url, label } if label.is_empty() => out.push_str(url),
            Inline::Link { label, .. } => words_of_inlines(label, out),
            Inline::Mention(mention) => out.push_str(&mention.label),
            Inline::Emoji(emoji) => match &emoji.unicode {
                Some(unicode) => out.push_str(unicode),
                None => {
                    out.push(':');
                    out.push_str(&emoji.name);
                    out.push(':');
                }
            },
            Inline::Break => out.push('\n'),
        }
    }
}
