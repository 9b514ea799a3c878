//! Plain text: words, lines and bare URLs. It must not know any markup.

use sameroom_model::{Block, Inline, Text};

use crate::inline::{self, Style};
use crate::{Markup, degrade};

/// Reads plain text: an empty line parts paragraphs, other line ends are breaks, bare URLs are links.
pub fn read(text: &str) -> Text {
    let mut runs = Vec::new();
    inline::push_lines(&text.replace("\r\n", "\n").replace('\r', "\n"), Style::NONE, &mut runs);
    Text { blocks: inline::paragraphs(runs, false).into_iter().map(Block::Paragraph).collect() }
}

/// Writes plain text: links as `label (url)`, lists as `- item` or `1. item`, quotes as `> line`, code as it is.
/// Paragraphs are parted by an empty line.
pub fn write(text: &Text) -> String {
    let mut out = String::new();
    for block in &degrade(text, &Markup::PLAIN).blocks {
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        if let Block::Paragraph(inlines) = block {
            for inline in inlines {
                write_inline(inline, &mut out);
            }
        }
    }
    out
}

fn write_inline(inline: &Inline, out: &mut String) {
    match inline {
        Inline::Text(text) => out.push_str(text),
        Inline::Link { url, .. } => out.push_str(url),
        Inline::Break => out.push('\n'),
        // Nothing else is left in degraded text.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_plain_form() {
        let text = crate::markdown::read(
            "# Hi\n\n**bold** [docs](https://x.example/d) <https://y.example>\n\n> quoted\n> lines\n\n1. one\n2. two\n   - deep\n\n```rs\nfn x() {\n    y\n}\n```\n@here",
        );
        insta::assert_snapshot!(write(&text).replace('\u{200b}', "·"), @r"
        Hi

        bold docs (https://x.example/d) https://y.example

        > quoted
        > lines

        1. one
        2. two
           - deep

        fn x() {
            y
        }

        @·here
        ");
    }
}
