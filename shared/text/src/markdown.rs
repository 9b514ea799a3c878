//! Markdown: CommonMark 0.31.2 with strikethrough, as chat platforms use it (a single newline is a line break, raw HTML
//! is literal). It must not know any platform: what one of them does beyond that is in its own text module.

use sameroom_model::{Block, Inline, Text};

use crate::inline::text_before;
use crate::{Markup, degrade, emoji, link};

mod read;

pub use read::read;

/// Writes Markdown: whatever the text does not mean as markup is escaped. A custom emoji is written as `:name:`.
pub fn write(text: &Text) -> String {
    let mut out = String::new();
    write_blocks(&degrade(text, &Markup::MARKDOWN).blocks, &mut out);
    out
}

fn write_blocks(blocks: &[Block], out: &mut String) {
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            out.push_str("\n\n");
        }
        write_block(block, out);
    }
}

fn write_block(block: &Block, out: &mut String) {
    match block {
        Block::Paragraph(inlines) => {
            let mut writer = Writer { out: String::new(), gap: false };
            writer.inlines(inlines, false);
            out.push_str(&writer.out);
        }
        Block::Quote(inner) => {
            let mut quoted = String::new();
            write_blocks(inner, &mut quoted);
            indent(&quoted, "> ", "> ", out);
        }
        Block::List { start, items } => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push('\n');
                }
                let marker = match start {
                    Some(start) => format!("{}. ", *start as usize + i),
                    None => "- ".to_owned(),
                };
                indent(&write_item(item), &marker, &" ".repeat(marker.len()), out);
            }
        }
        Block::Code { language, text } => {
            let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
            out.push_str(&fence);
            out.push_str(language.as_deref().unwrap_or_default());
            out.push('\n');
            out.push_str(text);
            out.push('\n');
            out.push_str(&fence);
        }
    }
}

fn write_item(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (i, block) in blocks.iter().enumerate() {
        // Bullets may follow a paragraph at once; numbers only where they begin with 1.
        let close = matches!(block, Block::List { start: None | Some(1), .. });
        if i > 0 {
            out.push_str(if close { "\n" } else { "\n\n" });
        }
        write_block(block, &mut out);
    }
    out
}

fn indent(text: &str, first: &str, next: &str, out: &mut String) {
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let prefix = if i == 0 { first } else { next };
        out.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
        out.push_str(line);
    }
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

struct Writer {
    out: String,
    /// Whether what follows must be kept apart (a custom emoji was written): see [`emoji::needs_gap_before`].
    gap: bool,
}

impl Writer {
    fn inlines(&mut self, inlines: &[Inline], nested: bool) {
        for (i, inline) in inlines.iter().enumerate() {
            match inline {
                Inline::Text(text) => {
                    let link_follows = matches!(inlines.get(i + 1), Some(Inline::Link { .. }));
                    self.text(text, link_follows);
                }
                Inline::Strong(inner) => self.delimited("**", inner),
                Inline::Emphasis(inner) => self.delimited("*", inner),
                Inline::Struck(inner) => self.delimited("~~", inner),
                Inline::Code(code) => self.code(code),
                Inline::Link { url, label } if label.is_empty() => {
                    let free = match inlines.get(i + 1) {
                        None => !nested,
                        Some(Inline::Break) => true,
                        Some(Inline::Text(text)) => text.starts_with(' '),
                        Some(_) => false,
                    };
                    self.bare(url, free);
                }
                Inline::Link { url, label } => {
                    self.out.push('[');
                    for inline in label {
                        if let Inline::Text(text) = inline {
                            escape(text, &mut self.out);
                        }
                    }
                    self.out.push_str("](<");
                    self.out.push_str(url);
                    self.out.push_str(">)");
                }
                Inline::Emoji(emoji) => {
                    if self.out.ends_with(':') || emoji::needs_gap_after(text_before(inlines, i)) {
                        self.out.push('\u{200b}');
                    }
                    self.out.extend([":", &emoji.name, ":"]);
                    self.gap = true;
                    continue;
                }
                Inline::Break => self.out.push('\n'),
                // Degraded text has no mentions left.
                Inline::Mention(_) => {}
            }
            self.gap = false;
        }
    }

    fn delimited(&mut self, delimiter: &str, inner: &[Inline]) {
        self.out.push_str(delimiter);
        self.inlines(inner, true);
        self.out.push_str(delimiter);
    }

    fn text(&mut self, text: &str, link_follows: bool) {
        if self.gap && text.starts_with(emoji::needs_gap_before) {
            self.out.push('\u{200b}');
        }
        escape(&emoji::protect(text), &mut self.out);
        if link_follows && text.ends_with('!') {
            // Not an image.
            self.out.insert(self.out.len() - 1, '\\');
        }
    }

    /// A URL by itself, where nothing in it or around it would be misread; else in angle brackets.
    fn bare(&mut self, url: &str, free: bool) {
        let apart = self.out.is_empty() || self.out.ends_with([' ', '\n', '(', '\u{a0}']);
        let tame = url.bytes().all(|b| b.is_ascii_alphanumeric() || b"/:.?=&%#+-@,;$'()".contains(&b));
        if free && apart && tame && link::is_bare(url) && !url.ends_with(')') {
            self.out.push_str(url);
        } else {
            self.out.push('<');
            self.out.push_str(url);
            self.out.push('>');
        }
    }

    fn code(&mut self, code: &str) {
        let fence = "`".repeat(shortest_absent_run(code));
        let pads = code.starts_with('`') || code.ends_with('`') || (code.starts_with(' ') && code.ends_with(' '));
        let pad = if pads { " " } else { "" };
        self.out.extend([&fence, pad, code, pad, &fence]);
    }
}

/// The length of a run of backticks that the code does not have.
fn shortest_absent_run(code: &str) -> usize {
    let mut lengths: Vec<usize> = code.split(|c| c != '`').map(str::len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    (1..=code.len() + 1).find(|length| lengths.binary_search(length).is_err()).unwrap_or(1)
}

/// Escapes what Markdown would read as markup at this place. White space that it would drop becomes no-break space.
fn escape(text: &str, out: &mut String) {
    let mut before: Option<char> = None;
    let mut number = out.is_empty() || out.ends_with('\n');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let line_start = out.is_empty() || out.ends_with('\n');
        let next = chars.peek().copied();
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let special = match c {
            '\\' | '`' | '*' | '~' | '[' | ']' | '<' => true,
            '_' => !(word(before) && word(next)),
            '&' => next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '#'),
            '>' | '#' | '-' | '+' | '=' => line_start,
            '.' | ')' => number && !line_start,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        number &= c.is_ascii_digit();
        out.push(if line_start && c == ' ' { '\u{a0}' } else { c });
        before = Some(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_is_escaped() {
        let text = Text::plain("# no *title*, snake_case _x_ 2 - 1 = 1; a & b &lt; <b> [l](u)\n1. one\n+ two (x) 3.5!");
        insta::assert_snapshot!(write(&text), @r"
        \# no \*title\*, snake_case \_x\_ 2 - 1 = 1; a & b \&lt; \<b> \[l\](u)
        1\. one
        \+ two (x) 3.5!
        ");
    }

    #[test]
    fn a_document_is_itself() {
        let source = "**b *i*** ~~s~~ `c` [x](<https://x.example/a_b>) https://y.example/z <https://y.example/_z>\nline two\n\n> q\n>\n> > r\n\n1. one\n2. two\n   - deep\n\n```rs\nfn x() {}\n```";
        assert_eq!(write(&read(source)), source);
    }
}
