//! Slack's mrkdwn (<https://docs.slack.dev/messaging/formatting-message-text>). It must not know Slack's API: names of
//! people and rooms are what the text itself says.

use sameroom_model::{Block, Inline, Mention, MentionKind, Text};

use crate::inline::text_before;
use crate::neutral::ZERO_WIDTH_SPACE;
use crate::{Markup, degrade, emoji};

mod read;

pub use read::read;

/// Writes mrkdwn with mentions as plain `@label`. Exactly `&`, `<` and `>` are escaped; a zero-width space keeps other
/// characters from becoming markup.
pub fn write(text: &Text) -> String {
    write_as(text, &Markup::MRKDWN)
}

/// As [`write()`], but mentions of people and rooms are written as `<@key>` and `<#key>`, and reach them. Groups and
/// everybody never do.
pub fn write_with_mentions(text: &Text) -> String {
    write_as(text, &Markup::MRKDWN_MENTIONS)
}

fn write_as(text: &Text, markup: &Markup) -> String {
    let mut out = String::new();
    write_blocks(&degrade(text, markup).blocks, &mut out);
    out
}

fn write_blocks(blocks: &[Block], out: &mut String) {
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            let parted = matches!((&blocks[i - 1], block), (Block::Paragraph(_), Block::Paragraph(_)));
            out.push_str(if parted { "\n\n" } else { "\n" });
        }
        match block {
            Block::Paragraph(inlines) => {
                let mut writer = Writer { out: String::new(), open: Vec::new(), reopen: false, gap: false };
                writer.inlines(inlines);
                out.push_str(&writer.out);
            }
            Block::Quote(inner) => {
                let mut quoted = String::new();
                write_blocks(inner, &mut quoted);
                for (i, line) in quoted.split('\n').enumerate() {
                    out.push_str(if i > 0 { "\n" } else { "" });
                    out.push_str(if line.is_empty() { ">" } else { "> " });
                    out.push_str(line);
                }
            }
            Block::Code { text, .. } => {
                out.push_str("```\n");
                escape(&text.replace("```", "`\u{200b}`\u{200b}`"), out);
                out.push_str("\n```");
            }
            // Degraded text has no lists left.
            Block::List { .. } => {}
        }
    }
}

fn escape(text: &str, out: &mut String) {
    text.chars().for_each(|c| escape_char(c, out));
}

fn escape_char(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

struct Writer {
    out: String,
    /// Delimiters that are open: they hold for a line only.
    open: Vec<char>,
    /// Whether they are to be opened again on this line, behind its leading space.
    reopen: bool,
    /// Whether what follows must be kept apart (a custom emoji was written): see [`emoji::needs_gap_before`].
    gap: bool,
}

impl Writer {
    fn inlines(&mut self, inlines: &[Inline]) {
        for (i, inline) in inlines.iter().enumerate() {
            if !matches!(inline, Inline::Text(_) | Inline::Break) {
                self.open_again();
            }
            match inline {
                Inline::Text(text) => self.text(text),
                Inline::Strong(inner) => self.delimited('*', inner),
                Inline::Emphasis(inner) => self.delimited('_', inner),
                Inline::Struck(inner) => self.delimited('~', inner),
                Inline::Code(code) => {
                    self.out.push('`');
                    for c in code.chars() {
                        if c == '`' { self.literal(c) } else { escape_char(c, &mut self.out) }
                    }
                    self.out.push('`');
                    self.gap = false;
                }
                Inline::Link { url, label } => {
                    self.out.push('<');
                    escape(url, &mut self.out);
                    for inline in label {
                        if let Inline::Text(text) = inline {
                            self.out.push('|');
                            escape(&text.replace("```", "`\u{200b}`\u{200b}`"), &mut self.out);
                        }
                    }
                    self.out.push('>');
                    self.gap = false;
                }
                Inline::Mention(mention) => self.mention(mention),
                Inline::Emoji(emoji) => {
                    self.part(':');
                    if self.out.ends_with(':') || emoji::needs_gap_after(text_before(inlines, i)) {
                        self.out.push(ZERO_WIDTH_SPACE);
                    }
                    self.out.extend([":", &emoji.name, ":"]);
                    self.gap = true;
                }
                Inline::Break => {
                    self.out.extend(self.open.iter().rev());
                    self.out.push('\n');
                    self.reopen = true;
                    self.gap = false;
                }
            }
        }
    }

    fn open_again(&mut self) {
        if std::mem::take(&mut self.reopen) {
            self.out.extend(self.open.iter());
        }
    }

    /// Keeps a character that follows apart, where it would undo what is before it.
    fn part(&mut self, next: char) {
        if std::mem::take(&mut self.gap) && emoji::needs_gap_before(next) {
            self.out.push(ZERO_WIDTH_SPACE);
        }
    }

    fn delimited(&mut self, delimiter: char, inner: &[Inline]) {
        if self.out.ends_with(char::is_alphanumeric) {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.open.push(delimiter);
        self.out.push(delimiter);
        self.gap = false;
        self.inlines(inner);
        self.open.pop();
        self.out.push(delimiter);
        self.gap = true;
    }

    /// A character that would be a delimiter, between zero-width spaces that are its own. One behind an `@` is not: it
    /// keeps a mention dead, so there it takes another.
    fn literal(&mut self, c: char) {
        if self.out.ends_with('@') {
            self.out.push(ZERO_WIDTH_SPACE);
        }
        self.out.extend([ZERO_WIDTH_SPACE, c, ZERO_WIDTH_SPACE]);
    }

    fn mention(&mut self, mention: &Mention) {
        let (sigil, key) = match &mention.kind {
            MentionKind::User(key) => ('@', key.as_str()),
            MentionKind::Room(key) => ('#', key.as_str()),
            // Degraded text has no others left.
            MentionKind::Group(_) | MentionKind::Everyone => return,
        };
        if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            self.out.extend(['<', sigil]);
            self.out.push_str(key);
            self.out.push('>');
            self.gap = false;
        } else {
            self.text(&crate::neutralise(&format!("{sigil}{}", mention.label)));
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(first) = text.chars().next() {
            self.part(first);
        }
        let mut before: Option<char> = None;
        let text = emoji::protect(text);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if !c.is_whitespace() {
                self.open_again();
            }
            let next = chars.peek().copied();
            let inside = |is: fn(char) -> bool| before.is_some_and(is) && next.is_some_and(is);
            let literal = match c {
                '`' => true,
                '*' | '_' | '~' => !inside(char::is_alphanumeric) && !inside(char::is_whitespace),
                _ => false,
            };
            if literal {
                self.literal(c);
            } else {
                if c == '>' && (self.out.is_empty() || self.out.ends_with('\n')) {
                    self.out.push(ZERO_WIDTH_SPACE);
                }
                escape_char(c, &mut self.out);
            }
            before = Some(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_says() {
        let text = read(
            "hi <@U1|ann> <@U2> in <#C1|ops> <#C2|>: *b _i_* ~s~ `c &lt;` <https://x.example|docs> :wave: :blob_cat: <!date^1^{date}|yesterday> <!subteam^S1|@grp>\n&gt; q\n```let x = &amp;y;```\n<!here> <mailto:a@b.example|a@b.example>",
        );
        insta::assert_snapshot!(crate::markdown::write(&text).replace('\u{200b}', "·"), @r"
        hi @ann @U2 in #ops #C2: **b *i*** ~~s~~ `c <` [docs](<https://x.example>) 👋 :blob_cat: yesterday @grp

        > q

        ```
        let x = &y;
        ```

        @·here <mailto:a@b.example>
        ");
    }

    #[test]
    fn t10_nobody_is_called() {
        let text = Text::plain("<!channel> <@U1> @here *x* a*b*c snake_case `q` :wave:");
        insta::assert_snapshot!(write(&text).replace('\u{200b}', "·"), @"&lt;·!channel&gt; &lt;@U1&gt; @·here ·*·x·*· a*b*c snake_case ·`·q·`· :·wave:");
    }

    #[test]
    fn mentions_of_people_only_where_wanted() {
        let text = read("<@U1|ann> <#C1|ops> <!everyone>");
        assert_eq!(write(&text), "@ann #ops @\u{200b}everyone");
        assert_eq!(write_with_mentions(&text), "<@U1> <#C1> @\u{200b}everyone");
    }
}
