//! Deliveries as pieces that fit a line, and lines as text. It must not know connections: how a channel may be spoken
//! to now is given as a [`Voice`].

mod cut;

use sameroom_model::{Action, Attachment, Block, Delivery, Inline, MessageKey, Quote, Text};
use unicode_segmentation::UnicodeSegmentation as _;

pub(super) use self::cut::open_codes;
use self::cut::{chunks, cut};
use super::nicks::{Shape, nick_of};

/// The longest author's name that is put before a text, in bytes.
const LEAD_MAX: usize = 128;

/// The longest author's name, in graphemes.
const NAME_MAX: usize = 32;

/// The longest quote of what is replied to, in characters.
const EXCERPT_MAX: usize = 60;

/// The longest emoji of a reaction, in bytes.
const EMOJI_MAX: usize = 100;

/// How a channel may be spoken to now.
pub(super) struct Voice<'a> {
    /// The bytes that the text of one PRIVMSG may have.
    pub(super) room: usize,
    /// Whether the author speaks for themselves, over a connection of their own.
    pub(super) own: bool,
    /// How authors can be shown as nicks, where they can.
    pub(super) relay: Option<Relay<'a>>,
    /// Whether `+draft/reply` gets through.
    pub(super) reply: bool,
    /// Whether `TAGMSG` with `+draft/react` gets through.
    pub(super) react: bool,
    /// Whether there is `REDACT`.
    pub(super) redact: bool,
    /// The most bytes and lines of a multi-line message, where there are any.
    pub(super) multiline: Option<(usize, usize)>,
    /// Whether a nick is in the channel, and must not be highlighted.
    pub(super) present: &'a dyn Fn(&str) -> bool,
}

/// What RELAYMSG needs.
#[derive(Clone, Copy)]
pub(super) struct Relay<'a> {
    /// What relayed nicks look like.
    pub(super) nick: Shape<'a>,
    /// The bytes that the text of one may have, less those of its nick.
    pub(super) room: usize,
}

/// What is sent, confirmed and sent again as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it is.
    pub(super) kind: Kind,
    /// The msgid that it answers, reacts to or deletes.
    pub(super) about: Option<String>,
}

/// Kinds of pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One message.
    Say {
        /// What stands before the text and names its author.
        lead: String,
        /// The text, with formatting codes. More than one part: a multi-line message.
        parts: Vec<Part>,
        /// Who says it.
        by: By,
        /// Whether the nick does it rather than says it. Not by the bot, where the lead says so.
        action: bool,
    },
    /// A reaction.
    React {
        /// The emoji.
        emoji: String,
        /// Added or taken back.
        on: bool,
    },
    /// A deletion.
    Redact,
}

/// Who says a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The bot, which names the author before the text.
    Bot,
    /// The server, under this nick.
    Relayed(String),
    /// The author, over a connection of their own.
    Author,
}

/// A line of a multi-line message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its text.
    pub(super) text: String,
    /// Whether it continues the part before it without a line break.
    pub(super) concat: bool,
}

/// The pieces that make a delivery; none: there is nothing to send, and it is done.
pub(super) fn pieces(delivery: &Delivery, voice: &Voice<'_>) -> Vec<Piece> {
    match &delivery.action {
        Action::Post { body, emote, attachments, reply } => {
            let tag = reply.as_ref().and_then(|quote| quote.key.as_ref()).filter(|_| voice.reply).and_then(msgid);
            let quoted = reply.as_ref().filter(|_| tag.is_none()).and_then(quote);
            let body = assembled(quoted, body, attachments);
            say(&body, &delivery.shown, *emote, "", tag, voice)
        }
        Action::Edit { body, emote } => say(body, &delivery.shown, *emote, "(edited) ", None, voice),
        Action::Notice { body } => say(body, "", false, "", None, voice),
        Action::React { emoji, on } => {
            let emoji: String = printable(emoji).chars().take(EMOJI_MAX / 4).collect();
            match delivery.copies.first().and_then(msgid) {
                Some(about) if voice.react && !emoji.is_empty() => {
                    vec![Piece { kind: Kind::React { emoji, on: *on }, about: Some(about) }]
                }
                _ => Vec::new(),
            }
        }
        Action::Delete if voice.redact => delivery
            .copies
            .iter()
            .filter_map(msgid)
            .map(|about| Piece { kind: Kind::Redact, about: Some(about) })
            .collect(),
        Action::Delete => Vec::new(),
    }
}

/// Makes a piece fit: splits a text that no longer does, and leaves out what the connection can't do any more. Empty:
/// nothing is left to send.
pub(super) fn fit(piece: Piece, shown: &str, voice: &Voice<'_>) -> Vec<Piece> {
    let about = piece.about.filter(|_| match piece.kind {
        Kind::Say { .. } => voice.reply,
        Kind::React { .. } => voice.react,
        Kind::Redact => voice.redact,
    });
    match piece.kind {
        Kind::Say { lead, parts, by, action } => {
            let stands = match &by {
                By::Bot => true,
                By::Relayed(_) => voice.relay.is_some(),
                By::Author => voice.own,
            };
            let (by, lead) = if stands { (by, lead) } else { (By::Bot, lead_of(shown, action, voice) + &lead) };
            if parts.len() > 1 && !action && multiline_fits(&lead, &parts, voice) {
                return vec![Piece { kind: Kind::Say { lead, parts, by, action }, about }];
            }
            let action = action && by != By::Bot;
            let max = space(voice, &lead, &by, action);
            let mut about = about;
            let mut whole: Vec<String> = Vec::new();
            for part in parts {
                match whole.last_mut() {
                    Some(line) if part.concat => line.push_str(&part.text),
                    _ => whole.push(part.text),
                }
            }
            whole
                .iter()
                .flat_map(|text| cut(text, max))
                .map(|text| Piece {
                    kind: Kind::Say {
                        lead: lead.clone(),
                        parts: vec![Part { text, concat: false }],
                        by: by.clone(),
                        action,
                    },
                    about: about.take(),
                })
                .collect()
        }
        kind if about.is_some() => vec![Piece { kind, about }],
        _ => Vec::new(),
    }
}

fn say(body: &Text, shown: &str, emote: bool, note: &str, about: Option<String>, voice: &Voice<'_>) -> Vec<Piece> {
    if body.is_empty() {
        return Vec::new();
    }
    let by = match voice.relay.and_then(|relay| nick_of(shown, relay.nick)) {
        _ if voice.own => By::Author,
        Some(nick) => By::Relayed(nick),
        None => By::Bot,
    };
    let lead = if by == By::Bot { lead_of(shown, emote, voice) + note } else { note.to_owned() };
    let action = emote && by != By::Bot;
    let max = space(voice, &lead, &by, action);
    if !action && !matches!(by, By::Relayed(_)) && voice.multiline.is_some() {
        let whole = sameroom_text::irc::write(body);
        let many = whole.contains('\n') || whole.len() > max;
        if many && let Some(pieces) = batches(&whole, &lead, &by, about.as_deref(), voice) {
            return pieces;
        }
    }
    let mut about = about;
    sameroom_text::irc::lines(body, max)
        .into_iter()
        .flat_map(|line| cut(&line, max))
        .map(|text| Piece {
            kind: Kind::Say { lead: lead.clone(), parts: vec![Part { text, concat: false }], by: by.clone(), action },
            about: about.take(),
        })
        .collect()
}

/// Lines as multi-line messages, each within the server's limits. `None`: the limits leave no room.
fn batches(whole: &str, lead: &str, by: &By, about: Option<&str>, voice: &Voice<'_>) -> Option<Vec<Piece>> {
    let (bytes_max, lines_max) = voice.multiline?;
    if lines_max < 2 || bytes_max < voice.room {
        return None;
    }
    let mut groups: Vec<Vec<Part>> = Vec::new();
    let mut bytes = 0;
    for line in whole.split('\n') {
        // What follows the first part of a line is glued on: nothing may be left out between them.
        for (i, text) in chunks(line, voice.room.saturating_sub(lead.len()).max(1)).into_iter().enumerate() {
            let full = groups.last().is_none_or(|group| group.len() >= lines_max || bytes + text.len() + 1 > bytes_max);
            if full {
                groups.push(Vec::new());
                bytes = lead.len();
            }
            bytes += text.len() + 1;
            if let Some(group) = groups.last_mut() {
                group.push(Part { text, concat: i > 0 && !full });
            }
        }
    }
    // A message of blank lines alone is none, and blank lines at an end say nothing.
    for group in &mut groups {
        let words = |part: &Part| !part.text.trim().is_empty();
        group.truncate(group.iter().rposition(words).map_or(0, |last| last + 1));
        group.drain(..group.iter().position(words).unwrap_or(group.len()));
    }
    groups.retain(|group| !group.is_empty());
    let mut about = about.map(str::to_owned);
    Some(
        groups
            .into_iter()
            .map(|parts| Piece {
                kind: Kind::Say { lead: lead.to_owned(), parts, by: by.clone(), action: false },
                about: about.take(),
            })
            .collect(),
    )
}

fn multiline_fits(lead: &str, parts: &[Part], voice: &Voice<'_>) -> bool {
    voice.multiline.is_some_and(|(bytes_max, lines_max)| {
        let bytes = lead.len() + parts.iter().map(|part| part.text.len() + 1).sum::<usize>();
        parts.len() <= lines_max
            && bytes <= bytes_max
            && parts
                .iter()
                .enumerate()
                .all(|(i, part)| part.text.len() + if i == 0 { lead.len() } else { 0 } <= voice.room)
    })
}

/// The bytes that are left for the text.
fn space(voice: &Voice<'_>, lead: &str, by: &By, action: bool) -> usize {
    let room = match (by, voice.relay) {
        (By::Relayed(nick), Some(relay)) => relay.room.saturating_sub(nick.len()),
        _ => voice.room,
    };
    // `\x01ACTION ` and `\x01`.
    let wrap = if action { 9 } else { 0 };
    // A grapheme of one character fits at least, whatever the limits.
    room.saturating_sub(lead.len() + wrap).max(4)
}

/// What stands before a text: `<name> `, or `* name ` for what somebody does.
fn lead_of(shown: &str, emote: bool, voice: &Voice<'_>) -> String {
    let name = printable(&sameroom_text::names::clean(shown, NAME_MAX));
    let name = name.trim();
    if name.is_empty() {
        return String::new();
    }
    let max = LEAD_MAX.min(voice.room / 3);
    let mut kept = String::new();
    for (i, word) in name.split(' ').enumerate() {
        if i > 0 {
            kept.push(' ');
        }
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && !"[]\\`_^{|}-".contains(c));
        let mut graphemes = word.graphemes(true);
        if !bare.is_empty() && ((voice.present)(bare) || (voice.present)(word)) {
            // A zero-width space after the first character keeps clients from highlighting the person.
            let at = word.find(bare).unwrap_or(0);
            let first = bare.graphemes(true).next().map_or(0, str::len);
            kept.push_str(&word[..at + first]);
            kept.push('\u{200B}');
            graphemes = word[at + first..].graphemes(true);
        }
        graphemes.for_each(|g| kept.push_str(g));
    }
    let mut name = String::new();
    for grapheme in kept.graphemes(true) {
        if name.len() + grapheme.len() > max {
            break;
        }
        name.push_str(grapheme);
    }
    if emote { format!("* {name} ") } else { format!("<{name}> ") }
}

/// Body, what it answers before it, its files after it.
fn assembled(quoted: Option<String>, body: &Text, attachments: &[Attachment]) -> Text {
    let mut text = body.clone();
    if let Some(quoted) = quoted {
        match text.blocks.first_mut() {
            Some(Block::Paragraph(inlines)) => inlines.insert(0, Inline::Text(quoted)),
            _ => text.blocks.insert(0, Block::Paragraph(vec![Inline::Text(quoted)])),
        }
    }
    for file in attachments {
        let name = printable(&file.name);
        let url = printable(&file.url);
        let line = if name.is_empty() || name == url { url } else { format!("{name}: {url}") };
        text.blocks.push(Block::Paragraph(vec![Inline::Text(line)]));
    }
    text
}

/// `(re author: "excerpt") `, of what is known.
fn quote(quote: &Quote) -> Option<String> {
    let one_line = |text: &String| {
        let line = printable(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        if line.chars().count() > EXCERPT_MAX {
            let cut: String = line.graphemes(true).take(EXCERPT_MAX).collect();
            format!("{}…", cut.trim_end())
        } else {
            line
        }
    };
    let author = quote.author.as_ref().map(one_line).filter(|author| !author.is_empty());
    let excerpt = quote.excerpt.as_ref().map(one_line).filter(|excerpt| !excerpt.is_empty());
    match (author, excerpt) {
        (Some(author), Some(excerpt)) => Some(format!("(re {author}: \"{excerpt}\") ")),
        (Some(author), None) => Some(format!("(re {author}) ")),
        (None, Some(excerpt)) => Some(format!("(re \"{excerpt}\") ")),
        (None, None) => None,
    }
}

/// A key as msgid, unless it is one that [`made_key`] made.
fn msgid(key: &MessageKey) -> Option<String> {
    let text = key.as_str();
    let ours = text.split_once('-').is_some_and(|(ms, n)| {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        digits(ms) && digits(n)
    });
    (!ours && !text.is_empty() && text.len() <= 512 && !text.contains(['\0', ' '])).then(|| text.to_owned())
}

/// The key of a message that has no msgid.
pub(super) fn made_key(connected_ms: i64, line: u64) -> String {
    format!("{connected_ms}-{line}")
}

/// Without control characters: for names and other single lines.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The text of a wire line, without what could end it or make it a CTCP.
pub(super) fn safe(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0' | '\u{1}')).collect()
}

/// The codes that begin and end formatting.
const CODES: [char; 7] = ['\u{2}', '\u{f}', '\u{11}', '\u{16}', '\u{1d}', '\u{1e}', '\u{1f}'];

/// Whether a line has formatting.
pub(super) fn formatted(text: &str) -> bool {
    text.contains(CODES)
}

/// A line without its formatting.
pub(super) fn bare(text: &str) -> String {
    text.replace(CODES, "")
}

/// A text as it came in, with `\n` between the lines of a multi-line message.
pub(super) fn read(text: &str) -> Text {
    sameroom_text::irc::read(text)
}
