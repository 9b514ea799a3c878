//! The normal form of a tree. It must not know any dialect: it is the form that all of them can say.

use sameroom_model::{Block, Text};

use crate::inline;

/// The largest number that a list may begin with: more digits are not a list in every dialect.
const START_MAX: u32 = 999_999;

/// The normal form of a text. Trees that mean the same have the same normal form, and it is its own:
///
/// - No block is empty. Adjacent quotes are one, and so are adjacent lists of one kind.
/// - An empty line parts paragraphs, so no paragraph has two breaks together or one at its edge; lines have no white
///   space at their end.
/// - Text has no control characters, no zero-width spaces (but those that [`crate::neutralise`] put in) and no
///   no-break spaces (they are plain spaces); adjacent texts are one, and adjacent codes of one style. A bare `http`
///   or `https` URL in it is a link.
/// - Links are `http`, `https` or `mailto`, without characters that would end them; others are text. A label is one
///   text, on one line; what markup covered all of it is outside of the link. A label that says the URL is none.
/// - Styles are not nested in themselves, the widest is outermost, they neither begin nor end with white space, and
///   within a word they change only where every dialect can mark it.
/// - A code block's text neither begins nor ends with a newline; a language has letters, digits and `_+#.-` only.
pub fn normalise(text: &Text) -> Text {
    Text { blocks: blocks(&text.blocks) }
}

fn blocks(blocks: &[Block]) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        match block {
            Block::Paragraph(inlines) => {
                for paragraph in inline::paragraphs(inline::runs(inlines), false) {
                    push_block(Block::Paragraph(paragraph), &mut out);
                }
            }
            Block::Quote(inner) => push_block(Block::Quote(self::blocks(inner)), &mut out),
            Block::List { start, items } => {
                let items = items.iter().map(|item| self::blocks(item)).collect();
                push_block(Block::List { start: *start, items }, &mut out);
            }
            Block::Code { language, text } => {
                push_block(Block::Code { language: language.clone(), text: text.clone() }, &mut out);
            }
        }
    }
    out
}

/// Adds a block whose parts are in normal form, and keeps the whole in it.
pub(crate) fn push_block(block: Block, out: &mut Vec<Block>) {
    match block {
        Block::Paragraph(inlines) if inlines.is_empty() => {}
        Block::Quote(inner) if inner.is_empty() => {}
        Block::Quote(inner) => {
            if let Some(Block::Quote(last)) = out.last_mut() {
                for block in inner {
                    push_block(block, last);
                }
            } else {
                out.push(Block::Quote(inner));
            }
        }
        Block::List { start, mut items } => {
            items.retain(|item| !item.is_empty());
            if items.is_empty() {
                return;
            }
            match out.last_mut() {
                Some(Block::List { start: last, items: before }) if last.is_some() == start.is_some() => {
                    before.append(&mut items);
                }
                _ => out.push(Block::List { start: start.map(|start| start.min(START_MAX)), items }),
            }
        }
        Block::Code { language, text } => {
            let text = code_text(&text);
            if !text.trim().is_empty() {
                out.push(Block::Code { language: language.and_then(|language| language_tag(&language)), text });
            }
        }
        block @ Block::Paragraph(_) => out.push(block),
    }
}

/// A code block's text: line ends are `\n`, other control characters but tabs are dropped.
pub(crate) fn code_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    crate::neutral::strip_zero_width(&text, false).trim_matches('\n').to_owned()
}

/// A language's tag, where it is one.
pub(crate) fn language_tag(language: &str) -> Option<String> {
    const TAG_MAX: usize = 32;
    let known = |c: char| c.is_ascii_alphanumeric() || "_+#.-".contains(c);
    (!language.is_empty() && language.len() <= TAG_MAX && language.chars().all(known)).then(|| language.to_owned())
}
