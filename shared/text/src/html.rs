//! HTML as chat clients and browsers write it (Matrix's subset:
//! <https://spec.matrix.org/v1.11/client-server-api/#mroommessage-msgtypes>). It must not know any platform: pills
//! and the like are links here.

use sameroom_model::{Block, Inline, Text};

use crate::{Markup, degrade};

mod read;

pub use read::read;

/// Writes HTML, everything escaped. Only `http`, `https` and `mailto` links are written.
pub fn write(text: &Text) -> String {
    let mut out = String::new();
    write_blocks(&degrade(text, &Markup::HTML).blocks, &mut out);
    out
}

fn write_blocks(blocks: &[Block], out: &mut String) {
    for block in blocks {
        match block {
            Block::Paragraph(inlines) => {
                out.push_str("<p>");
                write_inlines(inlines, out);
                out.push_str("</p>");
            }
            Block::Quote(inner) => {
                out.push_str("<blockquote>");
                write_blocks(inner, out);
                out.push_str("</blockquote>");
            }
            Block::List { start, items } => write_list(*start, items, out),
            Block::Code { language, text } => {
                match language {
                    Some(language) => {
                        out.push_str("<pre><code class=\"language-");
                        escape(language, out);
                        out.push_str("\">");
                    }
                    None => out.push_str("<pre><code>"),
                }
                escape(text, out);
                out.push_str("</code></pre>");
            }
        }
    }
}

fn write_list(start: Option<u32>, items: &[Vec<Block>], out: &mut String) {
    match start {
        None => out.push_str("<ul>"),
        Some(1) => out.push_str("<ol>"),
        Some(start) => out.extend(["<ol start=\"", &start.to_string(), "\">"]),
    }
    for item in items {
        out.push_str("<li>");
        match item.as_slice() {
            // Clients put space around a paragraph in an item.
            [Block::Paragraph(inlines), rest @ ..] if !matches!(rest.first(), Some(Block::Paragraph(_))) => {
                write_inlines(inlines, out);
                write_blocks(rest, out);
            }
            blocks => write_blocks(blocks, out),
        }
        out.push_str("</li>");
    }
    out.push_str(if start.is_some() { "</ol>" } else { "</ul>" });
}

fn write_inlines(inlines: &[Inline], out: &mut String) {
    for inline in inlines {
        match inline {
            Inline::Text(text) => escape_spaced(text, out),
            Inline::Strong(inner) => write_tag("strong", inner, out),
            Inline::Emphasis(inner) => write_tag("em", inner, out),
            Inline::Struck(inner) => write_tag("del", inner, out),
            Inline::Code(code) => {
                out.push_str("<code>");
                escape(code, out);
                out.push_str("</code>");
            }
            Inline::Link { url, label } => {
                out.push_str("<a href=\"");
                escape(url, out);
                out.push_str("\">");
                if label.is_empty() {
                    escape(url, out);
                } else {
                    write_inlines(label, out);
                }
                out.push_str("</a>");
            }
            Inline::Break => out.push_str("<br>"),
            // Degraded text has no mentions or emoji left.
            Inline::Mention(_) | Inline::Emoji(_) => {}
        }
    }
}

fn write_tag(tag: &str, inner: &[Inline], out: &mut String) {
    out.extend(["<", tag, ">"]);
    write_inlines(inner, out);
    out.extend(["</", tag, ">"]);
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// Spaces that HTML would collapse are written as no-break spaces.
fn escape_spaced(text: &str, out: &mut String) {
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            let collapses = [" ", "<p>", "<li>", "<br>"].iter().any(|before| out.ends_with(before));
            out.push_str(if collapses { "&nbsp;" } else { " " });
        }
        escape(word, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_tag() {
        let text = crate::markdown::read(
            "**b** *i* ~~s~~ `c<` [x](https://x.example/?a&b)\n two\n\n> q\n\n3. one\n\n   - two\n\n```rs\na < b\n```",
        );
        insta::assert_snapshot!(write(&text), @r#"<p><strong>b</strong> <em>i</em> <del>s</del> <code>c&lt;</code> <a href="https://x.example/?a&amp;b">x</a><br>two</p><blockquote><p>q</p></blockquote><ol start="3"><li>one<ul><li>two</li></ul></li></ol><pre><code class="language-rs">a &lt; b</code></pre>"#);
    }

    #[test]
    fn t9_nothing_foreign_is_markup() {
        let text = Text::plain("<script>alert(1)</script> <a href='x'>&amp;  y");
        insta::assert_snapshot!(write(&text), @"<p>&lt;script&gt;alert(1)&lt;/script&gt; &lt;a href=&#39;x&#39;&gt;&amp;amp; &nbsp;y</p>");
        let text = read("<a href='javascript:alert(1)'>x</a>");
        assert_eq!(write(&text), "<p>x</p>");
    }
}
