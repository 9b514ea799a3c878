//! What remains of a text where constructs are not supported. It must not know any dialect: [`Markup`] says all.

use sameroom_model::{Block, Inline, MentionKind, Text};

use crate::inline::{self, Leaf, Run, Style};
use crate::normal::{code_text, push_block};
use crate::{Markup, link, neutral};

/// What remains of a text where only `markup` is supported, in normal form (see [`crate::normalise`]):
///
/// - a style is dropped, and its words stay;
/// - a link becomes `label (url)`, and so does one whose label claims to be another address;
/// - a mention becomes `@label`; groups and everybody always do, and mass mentions are made harmless everywhere;
/// - an emoji that has a Unicode form becomes that, and a custom one its `:name:`;
/// - quotes become lines with `> ` before them, lists lines with `- ` or their number, code its lines;
/// - where there is only one line, breaks become spaces.
pub fn degrade(text: &Text, markup: &Markup) -> Text {
    let mut blocks = reduce_all(&text.blocks, markup);
    if !markup.lines {
        blocks = one_line(&blocks, markup);
    }
    Text { blocks }
}

fn reduce_all(blocks: &[Block], markup: &Markup) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        for block in reduce(block, markup) {
            push_block(block, &mut out);
        }
    }
    out
}

fn reduce(block: &Block, markup: &Markup) -> Vec<Block> {
    match block {
        Block::Paragraph(inlines) => paragraphs(inline::runs(inlines), markup),
        Block::Quote(inner) if markup.quote => vec![Block::Quote(reduce_all(inner, markup))],
        Block::Quote(inner) => {
            let plain = Markup { list: false, code_block: false, ..*markup };
            prefixed(&reduce_all(inner, &plain), "> ", "> ", markup)
        }
        Block::List { start, items } if markup.list => {
            let items = items.iter().map(|item| reduce_all(item, markup)).collect();
            vec![Block::List { start: *start, items }]
        }
        Block::List { start, items } => list(*start, items, markup),
        Block::Code { language, text } if markup.code_block => {
            let language = language.clone().filter(|_| markup.code_language);
            vec![Block::Code { language, text: neutral::neutralise(&code_text(text)) }]
        }
        Block::Code { text, .. } => {
            let mut runs = Vec::new();
            inline::push_lines(&code_text(text), Style::NONE, &mut runs);
            paragraphs(runs, markup)
        }
    }
}

/// A list as lines. Blocks within it that stay blocks stand between them.
fn list(start: Option<u32>, items: &[Vec<Block>], markup: &Markup) -> Vec<Block> {
    let mut out = Vec::new();
    let mut lines: Vec<Run> = Vec::new();
    let mut number = start;
    for item in items {
        let blocks = reduce_all(item, markup);
        if blocks.is_empty() {
            continue;
        }
        let marker = number.map_or_else(|| "- ".to_owned(), |number| format!("{number}. "));
        number = number.map(|number| number.saturating_add(1));
        let mut first = true;
        for block in blocks {
            let prefix = if first { marker.clone() } else { " ".repeat(marker.len()) };
            if let Block::Paragraph(inlines) = block {
                if !lines.is_empty() {
                    lines.push(Run::new(Leaf::Break, Style::NONE));
                }
                lines.extend(prefix_lines(&inlines, &prefix, &" ".repeat(marker.len())));
            } else {
                if first {
                    if !lines.is_empty() {
                        lines.push(Run::new(Leaf::Break, Style::NONE));
                    }
                    lines.push(Run::text(marker.trim_end(), Style::NONE));
                }
                out.extend(paragraphs(std::mem::take(&mut lines), markup));
                out.push(block);
            }
            first = false;
        }
    }
    out.extend(paragraphs(lines, markup));
    out
}

fn prefixed(blocks: &[Block], first: &str, next: &str, markup: &Markup) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        match block {
            Block::Paragraph(inlines) => out.extend(paragraphs(prefix_lines(inlines, first, next), markup)),
            other => out.push(other.clone()),
        }
    }
    out
}

fn prefix_lines(inlines: &[Inline], first: &str, next: &str) -> Vec<Run> {
    let mut out = vec![Run::text(first, Style::NONE)];
    for run in inline::runs(inlines) {
        let ends = run.leaf == Leaf::Break;
        out.push(run);
        if ends {
            out.push(Run::text(next, Style::NONE));
        }
    }
    out
}

fn paragraphs(runs: Vec<Run>, markup: &Markup) -> Vec<Block> {
    let styled = runs.iter().any(|run| !run.style.is_none());
    let mut made = paragraphs_once(runs, markup);
    if styled {
        for _ in 0..inline::ROUNDS {
            let again = made.iter().flat_map(|inlines| paragraphs_once(inline::runs(inlines), markup)).collect();
            if again == made {
                break;
            }
            made = again;
        }
    }
    made.into_iter().map(Block::Paragraph).collect()
}

fn paragraphs_once(runs: Vec<Run>, markup: &Markup) -> Vec<Vec<Inline>> {
    let mut out = Vec::with_capacity(runs.len());
    for run in runs {
        reduce_run(run, markup, &mut out);
    }
    inline::paragraphs(out, true)
}

fn reduce_run(run: Run, markup: &Markup, out: &mut Vec<Run>) {
    let supported = Style::STRONG
        .when(markup.strong)
        .with(Style::EMPHASIS.when(markup.emphasis))
        .with(Style::STRUCK.when(markup.struck));
    let style = run.style.and(supported);
    match run.leaf {
        Leaf::Code(code) if !markup.code => out.push(Run::text(code.replace('\n', " "), style)),
        Leaf::Link { url, label } => reduce_link(&url, &label, style, markup, out),
        Leaf::Mention(mention) => {
            let one = matches!(mention.kind, MentionKind::User(_) | MentionKind::Room(_));
            if one && markup.mention {
                out.push(Run::new(Leaf::Mention(mention), style));
            } else {
                out.push(Run::text(inline::mention_text(&mention).replace('\n', " "), style));
            }
        }
        Leaf::Emoji(emoji) => {
            let custom = emoji.unicode.is_none() && crate::emoji::unicode(&emoji.name).is_none();
            if custom && markup.emoji {
                out.push(Run::new(Leaf::Emoji(emoji), style));
            } else {
                out.push(Run::text(inline::emoji_text(&emoji), style));
            }
        }
        leaf => out.push(Run::new(leaf, style)),
    }
}

fn reduce_link(url: &str, label: &str, style: Style, markup: &Markup, out: &mut Vec<Run>) {
    let url = link::sanitise(url);
    let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
    let own = label.is_empty() || label == url || label == link::shown(&url);
    let deceptive = !own && link::is_deceptive(&label, &url);
    if markup.link && !deceptive {
        out.push(Run::new(Leaf::Link { url, label }, style));
        return;
    }
    if !own {
        out.push(Run::text(format!("{label} ("), style));
    }
    if markup.link {
        out.push(Run::new(Leaf::Link { url, label: String::new() }, style));
    } else {
        out.push(Run::text(link::shown(&url), style));
    }
    if !own {
        out.push(Run::text(")", style));
    }
}

fn one_line(blocks: &[Block], markup: &Markup) -> Vec<Block> {
    let mut runs: Vec<Run> = Vec::new();
    let space = || Run::text(" ", Style::NONE);
    for block in blocks {
        if !runs.is_empty() {
            runs.push(space());
        }
        let Block::Paragraph(inlines) = block else {
            let words = Text { blocks: vec![block.clone()] }.words();
            runs.push(Run::text(words.replace('\n', " "), Style::NONE));
            continue;
        };
        runs.extend(inline::runs(inlines).into_iter().map(|run| if run.leaf == Leaf::Break { space() } else { run }));
    }
    paragraphs(runs, markup)
}
