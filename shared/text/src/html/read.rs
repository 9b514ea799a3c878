//! HTML read by html5ever's tokenizer with a small tree of our own. The full tree construction of browsers is left
//! out: it walks its stack for most tags, so that deep nesting costs quadratic time.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use sameroom_model::{Block, Text};

use crate::inline::{self, Leaf, Run, Style};
use crate::normal::push_block;
use crate::{MAX_DEPTH, link};

/// Reads HTML. Unknown tags are looked through; scripts, styles and Matrix's reply fallbacks are dropped; headings are
/// strong paragraphs; links of other schemes than `http`, `https` and `mailto` are their labels; images are their
/// alternative texts.
pub fn read(text: &str) -> Text {
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(text));
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    // Only a script that must run would stop it early, and the sink never asks for that.
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

#[derive(Default)]
struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => reader.text(&text),
            Token::TagToken(tag) => match tag.kind {
                TagKind::StartTag => return reader.open(&tag),
                TagKind::EndTag => reader.close(&tag.name),
            },
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// An open container.
enum Frame {
    Quote(Vec<Block>),
    List { start: Option<u32>, items: Vec<Vec<Block>> },
    Item(Vec<Block>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quote,
    List,
    Item,
}

impl Frame {
    fn kind(&self) -> Kind {
        match self {
            Self::Quote(_) => Kind::Quote,
            Self::List { .. } => Kind::List,
            Self::Item(_) => Kind::Item,
        }
    }
}

#[derive(Default)]
struct Reader {
    root: Vec<Block>,
    stack: Vec<Frame>,
    /// Containers that were open already when the stack was full, by kind.
    beyond: [usize; 3],
    runs: Vec<Run>,
    /// White space that was read and not yet shown.
    space: bool,
    /// How often each style is open: strong, emphasis, struck.
    styles: [usize; 3],
    headings: usize,
    code: usize,
    link: Option<OpenLink>,
    pre: Option<Preformatted>,
    /// Tag and depth of what is being dropped.
    dropped: Option<(String, usize)>,
}

struct OpenLink {
    url: String,
    outer: Vec<Run>,
}

#[derive(Default)]
struct Preformatted {
    depth: usize,
    language: Option<String>,
    text: String,
}

impl Reader {
    fn finish(mut self) -> Text {
        self.close_pre();
        self.flush();
        while !self.stack.is_empty() {
            self.pop();
        }
        Text { blocks: self.root }
    }

    fn text(&mut self, text: &str) {
        if self.dropped.is_some() {
            return;
        }
        if let Some(pre) = &mut self.pre {
            pre.text.push_str(text);
            return;
        }
        if self.code > 0 {
            self.show_space();
            let code = text.replace("\r\n", " ").replace(['\n', '\r'], " ");
            let run = Run::new(Leaf::Code(code), self.style());
            self.runs.push(run);
            return;
        }
        let mut word = String::new();
        for c in text.chars() {
            if c.is_ascii_whitespace() {
                self.space = true;
                continue;
            }
            if self.space {
                self.space = false;
                if !word.is_empty() || !self.at_start() {
                    word.push(' ');
                }
            }
            word.push(c);
        }
        if !word.is_empty() {
            let run = Run::text(word, self.style());
            self.runs.push(run);
        }
    }

    fn show_space(&mut self) {
        if std::mem::take(&mut self.space) && !self.at_start() {
            let run = Run::text(" ", self.style());
            self.runs.push(run);
        }
    }

    /// Whether nothing is on this line yet, so that white space does not count.
    fn at_start(&self) -> bool {
        let last = match &self.link {
            Some(link) => self.runs.last().or(link.outer.last()),
            None => self.runs.last(),
        };
        last.is_none_or(|run| run.leaf == Leaf::Break)
    }

    fn style(&self) -> Style {
        let [strong, emphasis, struck] = self.styles;
        Style::STRONG
            .when(strong > 0 || self.headings > 0)
            .with(Style::EMPHASIS.when(emphasis > 0))
            .with(Style::STRUCK.when(struck > 0))
    }

    fn open(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        if let Some((dropped, depth)) = &mut self.dropped {
            *depth += usize::from(dropped == name);
            return TokenSinkResult::Continue;
        }
        match name {
            "script" | "style" | "title" | "template" | "mx-reply" => {
                self.dropped = Some((name.to_owned(), 1));
                return match name {
                    "script" => TokenSinkResult::RawData(RawKind::ScriptData),
                    "style" => TokenSinkResult::RawData(RawKind::Rawtext),
                    "title" => TokenSinkResult::RawData(RawKind::Rcdata),
                    _ => TokenSinkResult::Continue,
                };
            }
            _ => {}
        }
        if let Some(pre) = &mut self.pre {
            match name {
                "pre" => pre.depth += 1,
                "br" => pre.text.push('\n'),
                "code" if pre.language.is_none() => pre.language = language(tag),
                _ => {}
            }
            return TokenSinkResult::Continue;
        }
        self.open_shown(name, tag);
        TokenSinkResult::Continue
    }

    fn open_shown(&mut self, name: &str, tag: &Tag) {
        match name {
            "b" | "strong" => self.styles[0] += 1,
            "i" | "em" | "u" | "ins" | "cite" => self.styles[1] += 1,
            "s" | "del" | "strike" => self.styles[2] += 1,
            "code" | "tt" | "kbd" | "samp" => {
                self.show_space();
                self.code += 1;
            }
            "a" => {
                self.close_link();
                self.show_space();
                let url = attribute(tag, "href").unwrap_or_default();
                self.link = Some(OpenLink { url, outer: std::mem::take(&mut self.runs) });
            }
            "br" => self.line_break(),
            "img" => {
                let alt = attribute(tag, "alt").or_else(|| attribute(tag, "title")).unwrap_or_default();
                self.text(&alt);
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                self.headings += 1;
            }
            "hr" => {
                self.flush();
                self.text("---");
                self.flush();
            }
            "pre" => {
                self.flush();
                self.pre = Some(Preformatted { depth: 1, language: language(tag), text: String::new() });
            }
            "blockquote" => self.push(Frame::Quote(Vec::new())),
            "ul" | "menu" => self.push(Frame::List { start: None, items: Vec::new() }),
            "ol" => {
                let start = attribute(tag, "start").and_then(|start| start.trim().parse().ok()).unwrap_or(1);
                self.push(Frame::List { start: Some(start), items: Vec::new() });
            }
            "li" => self.open_item(),
            "td" | "th" => self.space = true,
            "tr" | "dt" | "dd" => self.line_break(),
            _ if is_block(name) => self.flush(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if let Some((dropped, depth)) = &mut self.dropped {
            if dropped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.dropped = None;
                }
            }
            return;
        }
        if let Some(pre) = &mut self.pre {
            if name == "pre" {
                pre.depth -= 1;
                if pre.depth == 0 {
                    self.close_pre();
                }
            }
            return;
        }
        match name {
            "b" | "strong" => less(&mut self.styles[0]),
            "i" | "em" | "u" | "ins" | "cite" => less(&mut self.styles[1]),
            "s" | "del" | "strike" => less(&mut self.styles[2]),
            "code" | "tt" | "kbd" | "samp" => less(&mut self.code),
            "a" => self.close_link(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush();
                less(&mut self.headings);
            }
            "blockquote" => self.close_frame(Kind::Quote),
            "ul" | "ol" | "menu" => self.close_frame(Kind::List),
            "li" => self.close_frame(Kind::Item),
            _ if is_block(name) => self.flush(),
            _ => {}
        }
    }

    fn line_break(&mut self) {
        self.space = false;
        self.runs.push(Run::new(Leaf::Break, Style::NONE));
    }

    fn open_item(&mut self) {
        if matches!(self.stack.last(), Some(Frame::Item(_))) && self.beyond[Kind::List as usize] == 0 {
            self.close_frame(Kind::Item);
        }
        if !matches!(self.stack.last(), Some(Frame::List { .. })) && self.stack.len() < MAX_DEPTH {
            self.push(Frame::List { start: None, items: Vec::new() });
        }
        self.push(Frame::Item(Vec::new()));
    }

    fn push(&mut self, frame: Frame) {
        self.flush();
        // An item needs its list, so the last place is kept for it.
        let full = self.stack.len() >= MAX_DEPTH + usize::from(frame.kind() == Kind::Item);
        if full || self.beyond != [0; 3] {
            self.beyond[frame.kind() as usize] += 1;
        } else {
            self.stack.push(frame);
        }
    }

    /// Closes the innermost container of a kind, and what is open in it.
    fn close_frame(&mut self, kind: Kind) {
        self.flush();
        if self.beyond[kind as usize] > 0 {
            self.beyond[kind as usize] -= 1;
            return;
        }
        // An item ends only within its own list.
        let within = |frame: &&Frame| kind != Kind::Item || frame.kind() != Kind::List;
        if self.stack.iter().rev().take_while(within).any(|frame| frame.kind() == kind) {
            self.beyond = [0; 3];
            while self.stack.last().is_some_and(|frame| frame.kind() != kind) {
                self.pop();
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
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
            Some(Frame::List { items, .. }) => {
                // Stray words between items are an item of their own.
                let mut item = Vec::new();
                push_block(block, &mut item);
                items.push(item);
            }
        }
    }

    fn flush(&mut self) {
        self.close_link();
        self.space = false;
        for paragraph in inline::paragraphs(std::mem::take(&mut self.runs), false) {
            self.add(Block::Paragraph(paragraph));
        }
    }

    fn close_link(&mut self) {
        let Some(OpenLink { url, outer }) = self.link.take() else { return };
        let inner = std::mem::replace(&mut self.runs, outer);
        let url = link::sanitise(&url);
        let (label, style) = inline::label_of(&inner);
        if !link::is_safe(&url) {
            self.runs.extend(inner);
        } else if !label.trim().is_empty() {
            self.runs.push(Run::new(Leaf::Link { url, label }, style));
        }
    }

    fn close_pre(&mut self) {
        if let Some(Preformatted { language, text, .. }) = self.pre.take() {
            self.add(Block::Code { language, text });
        }
    }
}

fn less(count: &mut usize) {
    *count = count.saturating_sub(1);
}

fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 22] = [
        "p",
        "div",
        "section",
        "article",
        "header",
        "footer",
        "main",
        "aside",
        "nav",
        "address",
        "figure",
        "figcaption",
        "table",
        "tbody",
        "thead",
        "dl",
        "details",
        "summary",
        "form",
        "fieldset",
        "body",
        "center",
    ];
    BLOCKS.contains(&name)
}

fn attribute(tag: &Tag, name: &str) -> Option<String> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| attribute.value.to_string())
}

fn language(tag: &Tag) -> Option<String> {
    let class = attribute(tag, "class")?;
    class.split_ascii_whitespace().find_map(|class| class.strip_prefix("language-")).map(str::to_owned)
}
