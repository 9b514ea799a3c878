//! A paragraph as runs: leaves with a set of styles each. Readers make runs, and [`paragraphs`] makes of them the one
//! tree that says the same (the normal form of inlines). It must not know any dialect.

use std::borrow::Cow;

use sameroom_model::{Inline, Mention};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{emoji, link, neutral};

/// A set of styles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style(u8);

impl Style {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const STRONG: Self = Self(1);
    pub(crate) const EMPHASIS: Self = Self(2);
    pub(crate) const STRUCK: Self = Self(4);
    pub(crate) const EACH: [Self; 3] = [Self::STRONG, Self::EMPHASIS, Self::STRUCK];

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn when(self, on: bool) -> Self {
        if on { self } else { Self::NONE }
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What a run shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Text(String),
    Code(String),
    /// An empty label: the URL is its own.
    Link {
        url: String,
        label: String,
    },
    Mention(Mention),
    /// A custom emoji.
    Emoji(sameroom_model::Emoji),
    Break,
}

/// A leaf and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) leaf: Leaf,
    pub(crate) style: Style,
}

impl Run {
    pub(crate) fn new(leaf: Leaf, style: Style) -> Self {
        Self { leaf, style }
    }

    pub(crate) fn text(text: impl Into<String>, style: Style) -> Self {
        Self::new(Leaf::Text(text.into()), style)
    }
}

/// The runs of a tree.
pub(crate) fn runs(inlines: &[Inline]) -> Vec<Run> {
    let mut out = Vec::new();
    collect(inlines, Style::NONE, &mut out);
    out
}

/// Literal text, with each newline as a break.
pub(crate) fn push_lines(text: &str, style: Style, out: &mut Vec<Run>) {
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push(Run::new(Leaf::Break, style));
        }
        if !line.is_empty() {
            out.push(Run::text(line, style));
        }
    }
}

/// Text in which short codes of emoji mean emoji, but for those in URLs. A zero-width space ends a URL: writers put it
/// between what is not to be read together.
pub(crate) fn push_with_emoji(text: &str, style: Style, out: &mut Vec<Run>) {
    for piece in text.split_inclusive(neutral::ZERO_WIDTH_SPACE).flat_map(link::pieces) {
        match piece {
            link::Piece::Text(text) => push_emoji(text, style, out),
            link::Piece::Url(url) => out.push(Run::text(url, style)),
        }
    }
}

fn push_emoji(text: &str, style: Style, out: &mut Vec<Run>) {
    let mut done = 0;
    for found in emoji::find(text) {
        out.push(Run::text(&text[done..found.start], style));
        let unicode = found.unicode.map(str::to_owned);
        out.push(Run::new(Leaf::Emoji(sameroom_model::Emoji { name: found.name.to_owned(), unicode }), style));
        done = found.end;
    }
    out.push(Run::text(&text[done..], style));
}

/// The text right before an inline, where there is one.
pub(crate) fn text_before(inlines: &[Inline], at: usize) -> &str {
    match at.checked_sub(1).map(|before| &inlines[before]) {
        Some(Inline::Text(text)) => text,
        _ => "",
    }
}

/// How often paragraphs are made again until they stay the same.
pub(crate) const ROUNDS: usize = 4;

/// Makes paragraphs of runs: see [`crate::normalise`] for the form. With `neutral`, mass mentions are made harmless.
pub(crate) fn paragraphs(runs: Vec<Run>, neutral: bool) -> Vec<Vec<Inline>> {
    let styled = runs.iter().any(|run| !run.style.is_none());
    let mut made = paragraphs_once(runs, neutral);
    if styled {
        // Where a style went away, texts that it kept apart have met.
        for _ in 0..ROUNDS {
            let again = made.iter().flat_map(|inlines| paragraphs_once(self::runs(inlines), neutral)).collect();
            if again == made {
                break;
            }
            made = again;
        }
    }
    made
}

fn paragraphs_once(runs: Vec<Run>, neutral: bool) -> Vec<Vec<Inline>> {
    let mut runs = merge(strip(merge(clean(merge(runs)))));
    runs = linkify(runs, neutral);
    if neutral {
        neutralise(&mut runs);
    }
    lines(runs)
        .into_iter()
        .map(|runs| {
            if runs.iter().all(|run| run.style.is_none()) {
                let mut out = Vec::new();
                for run in runs {
                    push_leaf(run.leaf, &mut out);
                }
                return out;
            }
            build(&settle(cells(runs)), Style::NONE)
        })
        .collect()
}

fn collect(inlines: &[Inline], style: Style, out: &mut Vec<Run>) {
    for inline in inlines {
        match inline {
            Inline::Text(text) => out.push(Run::text(text, style)),
            Inline::Strong(inner) => collect(inner, style.with(Style::STRONG), out),
            Inline::Emphasis(inner) => collect(inner, style.with(Style::EMPHASIS), out),
            Inline::Struck(inner) => collect(inner, style.with(Style::STRUCK), out),
            Inline::Code(code) => out.push(Run::new(Leaf::Code(code.clone()), style)),
            Inline::Link { url, label } => {
                let mut inner = Vec::new();
                collect(label, Style::NONE, &mut inner);
                let (label, common) = label_of(&inner);
                out.push(Run::new(Leaf::Link { url: url.clone(), label }, style.with(common)));
            }
            Inline::Mention(mention) => out.push(Run::new(Leaf::Mention(mention.clone()), style)),
            Inline::Emoji(emoji) => out.push(Run::new(Leaf::Emoji(emoji.clone()), style)),
            Inline::Break => out.push(Run::new(Leaf::Break, style)),
        }
    }
}

/// The words of a label, and the styles that all of them share.
pub(crate) fn label_of(runs: &[Run]) -> (String, Style) {
    let mut label = String::new();
    let mut common: Option<Style> = None;
    for run in runs {
        let start = label.len();
        match &run.leaf {
            Leaf::Text(text) | Leaf::Code(text) => label.push_str(text),
            Leaf::Link { url, label: inner } => label.push_str(if inner.is_empty() { url } else { inner }),
            Leaf::Mention(mention) => label.push_str(&mention_text(mention)),
            Leaf::Emoji(emoji) => label.push_str(&emoji_text(emoji)),
            Leaf::Break => label.push(' '),
        }
        if !label[start..].trim().is_empty() {
            common = Some(common.map_or(run.style, |common| common.and(run.style)));
        }
    }
    (label, common.unwrap_or_default())
}

/// A mention where it can't be one. Everybody is meant only in the neutral form.
pub(crate) fn mention_text(mention: &Mention) -> String {
    use sameroom_model::MentionKind;
    let label = mention.label.trim_start_matches(['@', '#']);
    match mention.kind {
        MentionKind::Room(_) => format!("#{label}"),
        MentionKind::User(_) | MentionKind::Group(_) => format!("@{label}"),
        MentionKind::Everyone if label.is_empty() => "@\u{200b}everyone".to_owned(),
        MentionKind::Everyone => format!("@\u{200b}{label}"),
    }
}

/// An emoji where it can't be one.
pub(crate) fn emoji_text(emoji: &sameroom_model::Emoji) -> String {
    match emoji.unicode.as_deref().or_else(|| emoji::unicode(&emoji.name)) {
        Some(unicode) => unicode.to_owned(),
        None => format!(":{}:", emoji.name),
    }
}

/// Characters that no text needs are dropped, white space that would be lost elsewhere becomes a space, and leaves
/// that can't be what they say become text.
fn clean(runs: Vec<Run>) -> Vec<Run> {
    let mut out = Vec::with_capacity(runs.len());
    for Run { leaf, style } in runs {
        match leaf {
            Leaf::Text(text) => match characters(&text) {
                Cow::Borrowed(kept) if !kept.contains('\n') => out.push(Run::new(Leaf::Text(text), style)),
                changed => push_lines(&changed, style, &mut out),
            },
            Leaf::Code(code) => {
                let code = characters(&code).replace('\n', " ");
                let blank = code.chars().all(|c| c.is_whitespace() || c == neutral::ZERO_WIDTH_SPACE);
                let leaf = if blank { Leaf::Text(code) } else { Leaf::Code(code) };
                out.push(Run::new(leaf, style));
            }
            Leaf::Link { url, label } => {
                let url = link::sanitise(&url);
                let label = neutral::strip_zero_width(&characters(&label), false);
                let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
                let own = label == url || label == link::shown(&url);
                let label = if own { String::new() } else { label };
                if link::is_safe(&url) {
                    out.push(Run::new(Leaf::Link { url, label }, style));
                } else {
                    let shown = link::shown(&url);
                    let text = match (label.is_empty(), shown.is_empty()) {
                        (true, _) => shown.to_owned(),
                        (false, true) => label,
                        (false, false) => format!("{label} ({shown})"),
                    };
                    out.push(Run::text(text, style));
                }
            }
            Leaf::Mention(mention) => {
                let label = characters(&mention.label).split_whitespace().collect::<Vec<_>>().join(" ");
                out.push(Run::new(Leaf::Mention(Mention { label, ..mention }), style));
            }
            Leaf::Emoji(emoji) if emoji.unicode.is_none() && emoji::is_name(&emoji.name) => {
                out.push(Run::new(Leaf::Emoji(emoji), style));
            }
            Leaf::Emoji(emoji)
                if emoji.unicode.is_some() && emoji::unicode(&emoji.name) == emoji.unicode.as_deref() =>
            {
                out.push(Run::new(Leaf::Emoji(emoji), style));
            }
            Leaf::Emoji(emoji) => push_lines(&characters(&emoji_text(&emoji)), style, &mut out),
            Leaf::Break => out.push(Run::new(Leaf::Break, style)),
        }
    }
    out
}

fn characters(text: &str) -> Cow<'_, str> {
    let form = |c| match c {
        '\n' => Some('\n'),
        '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{feff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    // Most text is ASCII without control characters: that is told at a glance.
    let plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.bytes().all(plain) || text.chars().all(|c| form(c) == Some(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter_map(form).collect())
}

/// Adjacent texts, and adjacent codes, of one style become one; empty ones go.
fn merge(runs: Vec<Run>) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match (&run.leaf, out.last_mut()) {
            (Leaf::Text(text) | Leaf::Code(text), _) if text.is_empty() => {}
            (Leaf::Text(text), Some(Run { leaf: Leaf::Text(last), style })) if *style == run.style => {
                last.push_str(text);
            }
            (Leaf::Code(text), Some(Run { leaf: Leaf::Code(last), style })) if *style == run.style => {
                last.push_str(text);
            }
            _ => out.push(run),
        }
    }
    out
}

/// Drops zero-width spaces, except those that keep a mention dead: see [`neutralise`], which puts them there.
fn strip(mut runs: Vec<Run>) -> Vec<Run> {
    let mut name_follows = false;
    for run in runs.iter_mut().rev() {
        let is_text = matches!(run.leaf, Leaf::Text(_));
        match &mut run.leaf {
            Leaf::Text(text) | Leaf::Code(text) => {
                if text.contains(neutral::ZERO_WIDTH_SPACE) {
                    *text = neutral::strip_zero_width(text, is_text && name_follows);
                }
                if !text.is_empty() {
                    name_follows = neutral::starts_mass(text);
                }
            }
            Leaf::Link { label, .. } => name_follows = neutral::starts_mass(label),
            Leaf::Mention(_) | Leaf::Emoji(_) | Leaf::Break => name_follows = false,
        }
    }
    runs
}

fn linkify(runs: Vec<Run>, neutral: bool) -> Vec<Run> {
    let mut out = Vec::with_capacity(runs.len());
    for run in runs {
        let text = match &run.leaf {
            Leaf::Text(text) if link::may_hold(text) => text,
            _ => {
                out.push(run);
                continue;
            }
        };
        for piece in link::pieces(text) {
            match piece {
                link::Piece::Text(text) => out.push(Run::text(text, run.style)),
                link::Piece::Url(url) => match bare_link(url, neutral) {
                    Some(leaf) => out.push(Run::new(leaf, run.style)),
                    // Its end depends on what follows it: by itself, less of it is a link.
                    None => out.extend(link::pieces(url).into_iter().map(|piece| {
                        let (link::Piece::Text(text) | link::Piece::Url(text)) = piece;
                        let link = matches!(piece, link::Piece::Url(_)).then(|| bare_link(text, neutral)).flatten();
                        Run::new(link.unwrap_or_else(|| Leaf::Text(text.to_owned())), run.style)
                    })),
                },
            }
        }
    }
    merge(out)
}

/// A URL found in text as a link, if it would be found again as it is then written.
fn bare_link(found: &str, neutral: bool) -> Option<Leaf> {
    let url = link::sanitise(found);
    let url = if neutral { neutral::neutral_url(&url) } else { url };
    link::is_bare(&url).then_some(Leaf::Link { url, label: String::new() })
}

fn neutralise(runs: &mut [Run]) {
    let mut next_is_mass = false;
    for run in runs.iter_mut().rev() {
        match &mut run.leaf {
            Leaf::Text(text) => {
                // `@` and `**all**` are two runs to us and one mention to Zulip.
                let ends = next_is_mass && text.ends_with('@');
                next_is_mass = neutral::starts_mass(text);
                if text.contains(['@', '<']) {
                    *text = neutral::neutralise(text);
                }
                if ends {
                    text.push(neutral::ZERO_WIDTH_SPACE);
                }
            }
            Leaf::Code(code) => {
                next_is_mass = neutral::starts_mass(code);
                *code = neutral::neutralise(code);
            }
            Leaf::Link { url, label } => {
                next_is_mass = neutral::starts_mass(label);
                *label = neutral::neutralise(label);
                *url = neutral::neutral_url(url);
            }
            Leaf::Mention(_) | Leaf::Emoji(_) | Leaf::Break => next_is_mass = false,
        }
    }
}

/// Parts runs into paragraphs, at empty lines, and trims the ends of lines. What is at their start is kept.
fn lines(runs: Vec<Run>) -> Vec<Vec<Run>> {
    let mut paragraphs = Vec::new();
    let mut paragraph: Vec<Run> = Vec::new();
    let mut line: Vec<Run> = Vec::new();
    for run in runs.into_iter().map(Some).chain([None]) {
        match run {
            Some(run) if run.leaf != Leaf::Break => {
                line.push(run);
                continue;
            }
            _ => {}
        }
        while let Some(Run { leaf: Leaf::Text(text), .. }) = line.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            line.pop();
        }
        if line.is_empty() {
            if !paragraph.is_empty() {
                paragraphs.push(std::mem::take(&mut paragraph));
            }
        } else {
            if !paragraph.is_empty() {
                paragraph.push(Run::new(Leaf::Break, Style::NONE));
            }
            paragraph.append(&mut line);
        }
    }
    if !paragraph.is_empty() {
        paragraphs.push(paragraph);
    }
    paragraphs
}

/// What a delimiter beside a grapheme would see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// White space, or a border of the paragraph.
    Space,
    /// A letter or digit.
    Word,
    /// ASCII punctuation, or a leaf that begins and ends with it.
    Mark,
    /// Something that tables of punctuation disagree about.
    Other,
}

/// A grapheme, or a whole leaf.
struct Cell {
    leaf: Leaf,
    style: Style,
    first: Class,
    last: Class,
    /// Whether it is one of the characters that dialects make delimiters of.
    delimiter: bool,
}

fn cells(runs: Vec<Run>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for Run { leaf, style } in runs {
        match leaf {
            Leaf::Text(text) => {
                for grapheme in text.graphemes(true) {
                    match cells.last_mut() {
                        // What keeps a mention dead stays with its `@`.
                        Some(Cell { leaf: Leaf::Text(before), last, .. }) if grapheme == "\u{200b}" => {
                            before.push_str(grapheme);
                            *last = Class::Other;
                        }
                        _ => cells.push(text_cell(grapheme, style)),
                    }
                }
            }
            Leaf::Break => cells.push(Cell { leaf, style, first: Class::Space, last: Class::Space, delimiter: false }),
            leaf => cells.push(Cell { leaf, style, first: Class::Mark, last: Class::Mark, delimiter: false }),
        }
    }
    cells
}

fn text_cell(grapheme: &str, style: Style) -> Cell {
    Cell {
        first: class(grapheme.chars().next()),
        last: class(grapheme.chars().next_back()),
        delimiter: matches!(grapheme, "*" | "_" | "~" | "`"),
        leaf: Leaf::Text(grapheme.to_owned()),
        style,
    }
}

fn class(c: Option<char>) -> Class {
    match c {
        None => Class::Space,
        Some(c) if c.is_whitespace() => Class::Space,
        Some(c) if c.is_alphanumeric() => Class::Word,
        Some(c) if c.is_ascii_punctuation() => Class::Mark,
        Some(_) => Class::Other,
    }
}

impl Cell {
    fn is_space(&self) -> bool {
        self.first == Class::Space && self.last == Class::Space
    }
}

/// How often styles are settled before they are given up. Each pass only takes styles away.
const PASSES: usize = 8;

/// Moves the borders of styles to where every dialect can put a delimiter.
fn settle(mut cells: Vec<Cell>) -> Vec<Cell> {
    if cells.iter().all(|cell| cell.style.is_none()) {
        return cells;
    }
    for _ in 0..PASSES {
        style_spaces(&mut cells);
        let mut changed = level_words(&mut cells);
        changed |= check_borders(&mut cells, false);
        changed |= check_borders(&mut cells, true);
        if !changed {
            return cells;
        }
    }
    for cell in &mut cells {
        cell.style = Style::NONE;
    }
    cells
}

/// White space has the styles that both its neighbours have.
fn style_spaces(cells: &mut [Cell]) {
    let mut at = 0;
    let mut before = Style::NONE;
    while at < cells.len() {
        let end = cells[at..].iter().position(|cell| !cell.is_space()).map_or(cells.len(), |n| at + n);
        let after = cells.get(end).map_or(Style::NONE, |cell| cell.style);
        for cell in &mut cells[at..end] {
            cell.style = before.and(after);
        }
        at = end;
        if let Some(cell) = cells.get(at) {
            before = cell.style;
            at += 1;
        }
    }
}

/// Styles that change into one another within a word become what they share.
fn level_words(cells: &mut [Cell]) -> bool {
    let mut changed = false;
    let mut at = 0;
    while at < cells.len() {
        let styled = |cell: &Cell| !cell.is_space() && !cell.style.is_none();
        let end = cells[at..].iter().position(|cell| !styled(cell)).map_or(cells.len(), |n| at + n);
        if let Some(shared) = cells[at..end].iter().map(|cell| cell.style).reduce(Style::and) {
            for cell in &mut cells[at..end] {
                changed |= cell.style != shared;
                cell.style = shared;
            }
        }
        at = end + 1;
    }
    changed
}

/// A grapheme at the edge of a style leaves it where a delimiter beside it would not be seen as one. CommonMark's
/// rules of left- and right-flanking (<https://spec.commonmark.org/0.31.2/#left-flanking-delimiter-run>) are the
/// strictest of all dialects.
fn check_borders(cells: &mut [Cell], backwards: bool) -> bool {
    let mut changed = false;
    let mut outside = (Style::NONE, Class::Space);
    // The styles of the last word on this line. Where they cross, one of them ends and begins again, and mrkdwn's do
    // so with each line.
    let mut word_before = Style::NONE;
    for step in 0..cells.len() {
        let at = if backwards { cells.len() - 1 - step } else { step };
        let cell = &mut cells[at];
        let (near, far) = if backwards { (cell.last, cell.first) } else { (cell.first, cell.last) };
        let added = cell.style.without(outside.0);
        if !added.is_none() && !cell.is_space() {
            let one_mark = !cell.style.has(Style::STRUCK) || cell.style == Style::STRUCK;
            let seen = match (outside.1, near) {
                (Class::Space | Class::Mark, _) => true,
                (_, Class::Word) => one_mark,
                _ => false,
            };
            if cell.delimiter || !seen {
                cell.style = Style::NONE;
                changed = true;
            }
        } else if cell.delimiter && word_before != cell.style && !cell.style.is_none() {
            cell.style = Style::NONE;
            changed = true;
        }
        if cell.leaf == Leaf::Break {
            word_before = Style::NONE;
        } else if !cell.is_space() {
            word_before = cell.style;
        }
        outside = (cell.style, far);
    }
    changed
}

/// The tree of settled cells: the style that reaches furthest is outermost, and no style begins or ends with space.
fn build(cells: &[Cell], applied: Style) -> Vec<Inline> {
    let mut out: Vec<Inline> = Vec::new();
    let mut at = 0;
    while at < cells.len() {
        let cell = &cells[at];
        let open = cell.style.without(applied);
        let widest = Style::EACH
            .into_iter()
            .filter(|style| open.has(*style) && !cell.is_space())
            .map(|style| (style, cells[at..].iter().take_while(|cell| cell.style.has(style)).count()))
            .rev()
            .max_by_key(|(_, reach)| *reach);
        let Some((style, mut reach)) = widest else {
            push_leaf(cell.leaf.clone(), &mut out);
            at += 1;
            continue;
        };
        while reach > 1 && cells[at + reach - 1].is_space() {
            reach -= 1;
        }
        let inner = build(&cells[at..at + reach], applied.with(style));
        out.push(if style == Style::STRONG {
            Inline::Strong(inner)
        } else if style == Style::EMPHASIS {
            Inline::Emphasis(inner)
        } else {
            Inline::Struck(inner)
        });
        at += reach;
    }
    out
}

fn push_leaf(leaf: Leaf, out: &mut Vec<Inline>) {
    match (leaf, out.last_mut()) {
        (Leaf::Text(text), Some(Inline::Text(last))) => last.push_str(&text),
        (Leaf::Code(text), Some(Inline::Code(last))) => last.push_str(&text),
        (Leaf::Text(text), _) => out.push(Inline::Text(text)),
        (Leaf::Code(code), _) => out.push(Inline::Code(code)),
        (Leaf::Link { url, label }, _) => {
            let label = if label.is_empty() { Vec::new() } else { vec![Inline::Text(label)] };
            out.push(Inline::Link { url, label });
        }
        (Leaf::Mention(mention), _) => out.push(Inline::Mention(mention)),
        (Leaf::Emoji(emoji), _) => out.push(Inline::Emoji(emoji)),
        (Leaf::Break, _) => out.push(Inline::Break),
    }
}
