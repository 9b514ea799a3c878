//! A text cut into pieces that fit a platform's limit. It must not know dialects or units: the caller measures.

use std::rc::Rc;

use sameroom_model::{Block, Inline, Text};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::inline::{emoji_text, mention_text};

/// Cuts a text into pieces that measure at most `max` each, where `measure` says how long a text comes out (for
/// example the number of bytes of its written form). It is cut between blocks where that is not far from the limit,
/// else between lines, else between words, else between graphemes; never within a mention or link. White space at a
/// cut is dropped, and nothing else. What is cut goes on as what it was: styles, quotes, the count of a list, a code
/// block with its language.
///
/// Where one unit alone does not fit, it loses its markup; a link or mention becomes text; a grapheme is cut between
/// characters. A character that does not fit stands alone, which is the only way for a piece to be too long.
pub fn split(text: &Text, max: usize, measure: &dyn Fn(&Text) -> usize) -> Vec<Text> {
    if text.is_empty() {
        return Vec::new();
    }
    if measure(text) <= max {
        return vec![text.clone()];
    }
    let mut flat = Flat::default();
    flat.blocks(&text.blocks, &None);
    let mut atoms = flat.atoms;
    // Taken from the end, so that a unit can be replaced by its parts.
    atoms.reverse();
    let mut pieces = Vec::new();
    while !atoms.is_empty() {
        while atoms.last().is_some_and(Atom::is_droppable) {
            atoms.pop();
        }
        let fits = longest(&atoms, max, measure);
        if fits == 0 {
            if let Some(atom) = atoms.pop() {
                match smaller(atom) {
                    Ok(parts) => atoms.extend(parts.into_iter().rev()),
                    Err(atom) => pieces.push(build([&atom].into_iter())),
                }
            }
            continue;
        }
        let mut taken = border(&atoms, fits);
        let trimmed = |taken: usize| {
            let blank = atoms[atoms.len() - taken..].iter().take_while(|atom| atom.is_droppable()).count();
            build(atoms.iter().rev().take(taken - blank))
        };
        let mut piece = trimmed(taken);
        if measure(&piece) > max {
            // Less can measure more, where what was left out allowed other markup.
            taken = fits;
            piece = build(atoms.iter().rev().take(fits));
        }
        atoms.truncate(atoms.len() - taken);
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

/// A thing that an atom stands in, with what that stands in.
struct Frame {
    parent: Option<Rc<Frame>>,
    depth: usize,
    /// Tells apart neighbours of one kind.
    id: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Paragraph,
    Quote,
    List { ordered: bool },
    Item { number: u32 },
    CodeBlock { language: Option<String> },
    Strong,
    Emphasis,
    Struck,
    Code,
}

type Place = Option<Rc<Frame>>;

/// The smallest unit that is not cut.
struct Atom {
    place: Place,
    unit: Unit,
}

enum Unit {
    /// A grapheme, or less where that was too long.
    Text(String),
    /// A link, mention or emoji.
    Whole(Inline),
    Break,
}

impl Atom {
    /// Whether it says nothing at the border of a piece.
    fn is_droppable(&self) -> bool {
        match &self.unit {
            Unit::Break => true,
            // The indentation of code says something.
            Unit::Text(text) if in_code(&self.place) => text == "\n",
            Unit::Text(text) => text.chars().all(char::is_whitespace),
            Unit::Whole(_) => false,
        }
    }
}

fn in_code(place: &Place) -> bool {
    place.as_ref().is_some_and(|frame| matches!(frame.kind, Kind::CodeBlock { .. } | Kind::Code))
}

#[derive(Default)]
struct Flat {
    atoms: Vec<Atom>,
    ids: usize,
}

impl Flat {
    fn frame(&mut self, parent: &Place, kind: Kind) -> Rc<Frame> {
        self.ids += 1;
        let depth = parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        Rc::new(Frame { parent: parent.clone(), depth, id: self.ids, kind })
    }

    fn blocks(&mut self, blocks: &[Block], place: &Place) {
        for block in blocks {
            match block {
                Block::Paragraph(inlines) => {
                    let place = Some(self.frame(place, Kind::Paragraph));
                    self.inlines(inlines, &place);
                }
                Block::Quote(inner) => {
                    let place = Some(self.frame(place, Kind::Quote));
                    self.blocks(inner, &place);
                }
                Block::List { start, items } => {
                    let list = Some(self.frame(place, Kind::List { ordered: start.is_some() }));
                    for (item, number) in items.iter().zip(start.unwrap_or(1)..) {
                        let place = Some(self.frame(&list, Kind::Item { number }));
                        self.blocks(item, &place);
                    }
                }
                Block::Code { language, text } => {
                    let place = Some(self.frame(place, Kind::CodeBlock { language: language.clone() }));
                    self.text(text, &place);
                }
            }
        }
    }

    fn inlines(&mut self, inlines: &[Inline], place: &Place) {
        for inline in inlines {
            let (kind, inner) = match inline {
                Inline::Text(text) => {
                    self.text(text, place);
                    continue;
                }
                Inline::Code(text) => {
                    let place = Some(self.frame(place, Kind::Code));
                    self.text(text, &place);
                    continue;
                }
                Inline::Break => {
                    self.atoms.push(Atom { place: place.clone(), unit: Unit::Break });
                    continue;
                }
                Inline::Link { .. } | Inline::Mention(_) | Inline::Emoji(_) => {
                    self.atoms.push(Atom { place: place.clone(), unit: Unit::Whole(inline.clone()) });
                    continue;
                }
                Inline::Strong(inner) => (Kind::Strong, inner),
                Inline::Emphasis(inner) => (Kind::Emphasis, inner),
                Inline::Struck(inner) => (Kind::Struck, inner),
            };
            let place = Some(self.frame(place, kind));
            self.inlines(inner, &place);
        }
    }

    fn text(&mut self, text: &str, place: &Place) {
        self.atoms.extend(
            text.graphemes(true)
                .map(|grapheme| Atom { place: place.clone(), unit: Unit::Text(grapheme.replace("\r\n", "\n")) }),
        );
    }
}

/// How many of the next atoms (from the end) fit.
fn longest(atoms: &[Atom], max: usize, measure: &dyn Fn(&Text) -> usize) -> usize {
    let fits = |count: usize| measure(&build(atoms.iter().rev().take(count))) <= max;
    let mut low = 0;
    let mut high = 1;
    while high < atoms.len() && fits(high) {
        low = high;
        high *= 2;
    }
    let mut high = high.min(atoms.len()) + 1;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Where to cut within what fits: before an atom that begins a block, a line or a word.
fn border(atoms: &[Atom], fits: usize) -> usize {
    if fits >= atoms.len() {
        return fits;
    }
    let at = |index: usize| &atoms[atoms.len() - 1 - index];
    let (mut block, mut line, mut word) = (None, None, None);
    // The atom behind the last that fits is looked at too: it may be the space.
    for index in (1..=fits).rev() {
        let (before, here) = (at(index - 1), at(index));
        if block.is_none() && block_of(&before.place) != block_of(&here.place) {
            block = Some(index);
        }
        if line.is_none() && (is_newline(here) || is_newline(before)) {
            line = Some(index);
        }
        if word.is_none() && (is_space(here) || is_space(before)) {
            word = Some(index);
        }
        if block.is_some() || index * 4 < fits {
            break;
        }
    }
    block
        .filter(|index| index * 2 >= fits)
        .or_else(|| line.filter(|index| index * 2 >= fits))
        .or_else(|| word.filter(|index| index * 4 >= fits))
        .unwrap_or(fits)
}

fn is_newline(atom: &Atom) -> bool {
    matches!(&atom.unit, Unit::Break) || matches!(&atom.unit, Unit::Text(text) if text == "\n")
}

fn is_space(atom: &Atom) -> bool {
    matches!(&atom.unit, Unit::Text(text) if text.chars().all(char::is_whitespace))
}

/// The id of the paragraph or code block that an atom stands in.
fn block_of(place: &Place) -> usize {
    let mut frame = place.as_ref();
    while let Some(here) = frame {
        if matches!(here.kind, Kind::Paragraph | Kind::CodeBlock { .. }) {
            return here.id;
        }
        frame = here.parent.as_ref();
    }
    0
}

/// What an atom can be made of instead when it does not fit alone: first itself without markup, then its parts.
fn smaller(atom: Atom) -> Result<Vec<Atom>, Atom> {
    let bare = atom.place.as_ref().is_none_or(|frame| frame.depth == 1 && matches!(frame.kind, Kind::Paragraph));
    if !bare {
        let id = block_of(&atom.place);
        let place = Some(Rc::new(Frame { parent: None, depth: 1, id, kind: Kind::Paragraph }));
        return Ok(vec![Atom { place, unit: atom.unit }]);
    }
    let place = atom.place.clone();
    let text = |text: &str| Atom { place: place.clone(), unit: Unit::Text(text.to_owned()) };
    match &atom.unit {
        Unit::Whole(inline) => Ok(words(inline).graphemes(true).map(text).collect()),
        Unit::Text(grapheme) if grapheme.chars().nth(1).is_some() => {
            Ok(grapheme.chars().map(|c| text(c.encode_utf8(&mut [0; 4]))).collect())
        }
        _ => Err(atom),
    }
}

fn words(inline: &Inline) -> String {
    match inline {
        Inline::Mention(mention) => mention_text(mention),
        Inline::Emoji(emoji) => emoji_text(emoji),
        Inline::Link { url, label } if !label.is_empty() => {
            let label = Text { blocks: vec![Block::Paragraph(label.clone())] }.words();
            format!("{label} ({url})")
        }
        Inline::Link { url, .. } => url.clone(),
        // Only wholes come here.
        _ => String::new(),
    }
}

/// The tree of some atoms.
fn build<'a>(atoms: impl Iterator<Item = &'a Atom>) -> Text {
    let mut builder = Builder { root: Vec::new(), stack: Vec::new() };
    for atom in atoms {
        builder.go_to(&atom.place);
        builder.put(&atom.unit);
    }
    while !builder.stack.is_empty() {
        builder.close();
    }
    Text { blocks: builder.root }
}

struct Builder {
    root: Vec<Block>,
    stack: Vec<(Rc<Frame>, Parts)>,
}

/// What was collected in an open frame.
enum Parts {
    Blocks(Vec<Block>),
    Items { start: Option<u32>, items: Vec<Vec<Block>> },
    Inlines(Vec<Inline>),
    Text(String),
}

impl Builder {
    fn go_to(&mut self, place: &Place) {
        let mut path = Vec::new();
        let mut frame = place.as_ref();
        while let Some(here) = frame {
            if self.stack.get(here.depth - 1).is_some_and(|(open, _)| open.id == here.id) {
                break;
            }
            path.push(here.clone());
            frame = here.parent.as_ref();
        }
        let keep = frame.map_or(0, |frame| frame.depth);
        while self.stack.len() > keep {
            self.close();
        }
        for frame in path.into_iter().rev() {
            if let (Kind::Item { number }, Some((_, Parts::Items { start: Some(start), items }))) =
                (&frame.kind, self.stack.last_mut())
                && items.is_empty()
            {
                *start = *number;
            }
            let parts = match &frame.kind {
                Kind::Quote | Kind::Item { .. } => Parts::Blocks(Vec::new()),
                Kind::List { ordered } => Parts::Items { start: ordered.then_some(1), items: Vec::new() },
                Kind::Paragraph | Kind::Strong | Kind::Emphasis | Kind::Struck => Parts::Inlines(Vec::new()),
                Kind::CodeBlock { .. } | Kind::Code => Parts::Text(String::new()),
            };
            self.stack.push((frame, parts));
        }
    }

    fn put(&mut self, unit: &Unit) {
        match (self.stack.last_mut(), unit) {
            (Some((_, Parts::Text(text))), Unit::Text(more)) => text.push_str(more),
            (Some((_, Parts::Inlines(inlines))), Unit::Text(more)) => match inlines.last_mut() {
                Some(Inline::Text(text)) => text.push_str(more),
                _ => inlines.push(Inline::Text(more.clone())),
            },
            (Some((_, Parts::Inlines(inlines))), Unit::Whole(inline)) => inlines.push(inline.clone()),
            (Some((_, Parts::Inlines(inlines))), Unit::Break) => inlines.push(Inline::Break),
            // Atoms only come from paragraphs and code.
            _ => {}
        }
    }

    fn close(&mut self) {
        let Some((frame, parts)) = self.stack.pop() else { return };
        match (&frame.kind, parts) {
            (Kind::Strong, Parts::Inlines(inner)) => self.add_inline(Inline::Strong(inner)),
            (Kind::Emphasis, Parts::Inlines(inner)) => self.add_inline(Inline::Emphasis(inner)),
            (Kind::Struck, Parts::Inlines(inner)) => self.add_inline(Inline::Struck(inner)),
            (Kind::Code, Parts::Text(text)) => self.add_inline(Inline::Code(text)),
            (Kind::Paragraph, Parts::Inlines(inlines)) => self.add_block(Block::Paragraph(inlines)),
            (Kind::Quote, Parts::Blocks(blocks)) => self.add_block(Block::Quote(blocks)),
            (Kind::List { .. }, Parts::Items { start, items }) => self.add_block(Block::List { start, items }),
            (Kind::CodeBlock { language }, Parts::Text(text)) => {
                self.add_block(Block::Code { language: language.clone(), text });
            }
            (Kind::Item { .. }, Parts::Blocks(blocks)) => {
                if let Some((_, Parts::Items { items, .. })) = self.stack.last_mut() {
                    items.push(blocks);
                }
            }
            // Each kind has its own parts.
            _ => {}
        }
    }

    fn add_inline(&mut self, inline: Inline) {
        if let Some((_, Parts::Inlines(inlines))) = self.stack.last_mut() {
            inlines.push(inline);
        }
    }

    fn add_block(&mut self, block: Block) {
        match self.stack.last_mut() {
            Some((_, Parts::Blocks(blocks))) => blocks.push(block),
            _ => self.root.push(block),
        }
    }
}
