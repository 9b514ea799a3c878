//! Markdown read by pulldown-cmark.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use sameroom_model::{Block, Text};

use crate::MAX_DEPTH;
use crate::inline::{self, Leaf, Run, Style};
use crate::normal::push_block;

/// Reads Markdown. Newlines are kept as breaks, headings are strong paragraphs, images are links, raw HTML is literal
/// text, `:wave:` is an emoji, bare URLs are links. Definitions of references stay, as text at the end.
pub fn read(text: &str) -> Text {
    let parser = Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH);
    let mut definitions: Vec<(usize, String)> = parser
        .reference_definitions()
        .iter()
        .filter_map(|(_, definition)| Some((definition.span.start, text.get(definition.span.clone())?.to_owned())))
        .collect();
    definitions.sort();
    let mut reader = Reader::default();
    for event in parser {
        reader.event(event);
    }
    for (_, definition) in definitions {
        inline::push_lines(&definition, Style::NONE, &mut reader.runs);
        reader.flush();
    }
    reader.finish()
}

/// An open container.
enum Frame {
    Quote(Vec<Block>),
    List { start: Option<u32>, items: Vec<Vec<Block>> },
    Item(Vec<Block>),
}

#[derive(Default)]
struct Reader {
    root: Vec<Block>,
    stack: Vec<Frame>,
    /// How many containers are open beyond the deepest that is kept.
    beyond: usize,
    runs: Vec<Run>,
    /// Text that is not yet a run: the parser gives it in pieces.
    word: String,
    /// How often each style is open: strong, emphasis, struck.
    styles: [usize; 3],
    /// Links and images that are open, innermost last: URL, and the runs before it.
    links: Vec<(String, Vec<Run>)>,
    code: Option<(Option<String>, String)>,
}

impl Reader {
    fn finish(mut self) -> Text {
        self.flush();
        Text { blocks: self.root }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(code) => self.push(Leaf::Code(code.into_string())),
            Event::SoftBreak | Event::HardBreak => self.push(Leaf::Break),
            Event::Rule => {
                self.flush();
                self.text("---");
                self.flush();
            }
            // These need options that are off.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.text(&text),
            Event::TaskListMarker(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, code)) = &mut self.code {
            code.push_str(text);
            return;
        }
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                self.push(Leaf::Break);
            }
            self.word.push_str(line);
        }
    }

    fn push(&mut self, leaf: Leaf) {
        self.end_word();
        let style = self.style();
        self.runs.push(Run::new(leaf, style));
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let style = self.style();
        if self.links.is_empty() {
            inline::push_with_emoji(&word, style, &mut self.runs);
        } else {
            self.runs.push(Run::text(word, style));
        }
    }

    fn style(&self) -> Style {
        let [strong, emphasis, struck] = self.styles;
        Style::STRONG.when(strong > 0).with(Style::EMPHASIS.when(emphasis > 0)).with(Style::STRUCK.when(struck > 0))
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.restyle(0, true),
            Tag::Emphasis => self.restyle(1, true),
            Tag::Strikethrough => self.restyle(2, true),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.end_word();
                self.links.push((dest_url.into_string(), std::mem::take(&mut self.runs)));
            }
            Tag::Heading { .. } => {
                self.flush();
                self.restyle(0, true);
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().next().map(str::to_owned),
                    CodeBlockKind::Indented => None,
                };
                self.code = Some((language, String::new()));
            }
            Tag::BlockQuote(_) => self.open(Frame::Quote(Vec::new())),
            Tag::List(start) => {
                let start = start.map(|start| u32::try_from(start).unwrap_or(u32::MAX));
                self.open(Frame::List { start, items: Vec::new() });
            }
            Tag::Item => self.open(Frame::Item(Vec::new())),
            _ => self.flush(),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.restyle(0, false),
            TagEnd::Emphasis => self.restyle(1, false),
            TagEnd::Strikethrough => self.restyle(2, false),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Heading(_) => {
                self.flush();
                self.restyle(0, false);
            }
            TagEnd::CodeBlock => {
                if let Some((language, text)) = self.code.take() {
                    self.add(Block::Code { language, text });
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => self.close(),
            _ => self.flush(),
        }
    }

    fn restyle(&mut self, style: usize, open: bool) {
        self.end_word();
        let count = &mut self.styles[style];
        *count = if open { *count + 1 } else { count.saturating_sub(1) };
    }

    fn end_link(&mut self) {
        self.end_word();
        let Some((url, outer)) = self.links.pop() else { return };
        let inner = std::mem::replace(&mut self.runs, outer);
        let (label, style) = inline::label_of(&inner);
        let style = if label.is_empty() { self.style() } else { style };
        self.runs.push(Run::new(Leaf::Link { url, label }, style));
    }

    fn open(&mut self, frame: Frame) {
        self.flush();
        // A list and its items go together, so only an item may be the last.
        let full = self.stack.len() >= MAX_DEPTH && !matches!(frame, Frame::Item(_));
        if self.beyond > 0 || full {
            self.beyond += 1;
        } else {
            self.stack.push(frame);
        }
    }

    fn close(&mut self) {
        self.flush();
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        match self.stack.pop() {
            Some(Frame::Quote(blocks)) => self.add(Block::Quote(blocks)),
            Some(Frame::List { start, items }) => self.add(Block::List { start, items }),
            Some(Frame::Item(blocks)) => match self.stack.last_mut() {
                Some(Frame::List { items, .. }) => items.push(blocks),
                _ => blocks.into_iter().for_each(|block| self.add(block)),
            },
            None => {}
        }
    }

    fn add(&mut self, block: Block) {
        match self.stack.last_mut() {
            None => push_block(block, &mut self.root),
            Some(Frame::Quote(blocks) | Frame::Item(blocks)) => push_block(block, blocks),
            Some(Frame::List { items, .. }) => items.push(vec![block]),
        }
    }

    fn flush(&mut self) {
        self.end_word();
        for paragraph in inline::paragraphs(std::mem::take(&mut self.runs), false) {
            self.add(Block::Paragraph(paragraph));
        }
    }
}
