//! Text of one IRC message with mIRC's formatting codes (<https://modern.ircdocs.horse/formatting>). It must not know
//! the protocol's lines: only what stands in the last parameter of a message.

use sameroom_model::{Block, Inline, Text};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::inline::{self, Leaf, Run, Style};
use crate::{Markup, degrade};

const BOLD: char = '\u{2}';
const COLOUR: char = '\u{3}';
const HEX_COLOUR: char = '\u{4}';
const RESET: char = '\u{f}';
const MONO: char = '\u{11}';
const ITALIC: char = '\u{1d}';
const STRIKE: char = '\u{1e}';
const UNDERLINE: char = '\u{1f}';

/// Reads the text of a message. Bold, italic, underline (as emphasis), strike and monospace become markup; colours,
/// reverse video and other control characters are dropped. Bare URLs are links.
pub fn read(text: &str) -> Text {
    let mut runs = Vec::new();
    let mut state = State::default();
    let mut word = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if !c.is_control() {
            word.push(c);
            continue;
        }
        state.flush(&mut word, &mut runs);
        match c {
            '\n' => {
                runs.push(Run::new(Leaf::Break, Style::NONE));
                state = State::default();
            }
            '\t' => word.push(' '),
            BOLD => state.bold ^= true,
            ITALIC => state.italic ^= true,
            UNDERLINE => state.underline ^= true,
            STRIKE => state.strike ^= true,
            MONO => state.mono ^= true,
            RESET => state = State::default(),
            COLOUR => rest = skip_colour(rest, 1, 2, u8::is_ascii_digit),
            HEX_COLOUR => rest = skip_colour(rest, 6, 6, u8::is_ascii_hexdigit),
            // Reverse video says nothing, and neither does the rest.
            _ => {}
        }
    }
    state.flush(&mut word, &mut runs);
    Text { blocks: inline::paragraphs(runs, false).into_iter().map(Block::Paragraph).collect() }
}

/// Writes a text as lines parted by `\n`: formatting is closed at each line's end and opened again on the next, and
/// there is no other control character but formatting codes. An empty line parts paragraphs.
pub fn write(text: &Text) -> String {
    let mut out = String::new();
    for (i, line) in styled_lines(text).into_iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let mut open = Codes::default();
        for (text, codes) in line {
            open.change_to(codes, &mut out);
            out.push_str(&text);
        }
        open.change_to(Codes::default(), &mut out);
    }
    out
}

/// Writes a text as lines of at most `max_bytes` bytes of UTF-8 each, none of them empty. Longer ones are cut at white
/// space (which is dropped) where there is some past 60 % of the limit, else between graphemes; a grapheme that is
/// longer than the limit is cut between characters. Formatting that is open at a cut goes on in the next line. With
/// a limit below 16 there is no room for formatting, and below 4 a single character can be longer than the limit.
pub fn lines(text: &Text, max_bytes: usize) -> Vec<String> {
    const FORMATTED_MIN: usize = 16;
    let mut out = Vec::new();
    for line in styled_lines(text) {
        let mut cells: Vec<(&str, Codes)> = Vec::new();
        for (text, codes) in &line {
            let codes = if max_bytes < FORMATTED_MIN { Codes::default() } else { *codes };
            for grapheme in text.graphemes(true) {
                if grapheme.len() + codes.overhead() <= max_bytes {
                    cells.push((grapheme, codes));
                } else {
                    let ends = grapheme.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
                    cells.extend(ends.map(|(from, to)| (&grapheme[from..to], codes)));
                }
            }
        }
        cut(&cells, max_bytes, &mut out);
    }
    out
}

fn cut(mut cells: &[(&str, Codes)], max_bytes: usize, out: &mut Vec<String>) {
    while !cells.is_empty() {
        let mut piece = String::new();
        let mut open = Codes::default();
        let mut space = None;
        let mut fits = 0;
        for (grapheme, codes) in cells {
            let mut next = String::new();
            let mut state = open;
            state.change_to(*codes, &mut next);
            if fits > 0 && piece.len() + next.len() + grapheme.len() + state.closing() > max_bytes {
                break;
            }
            if is_space(grapheme) && piece.len() * 10 >= max_bytes * 6 {
                space = Some(fits);
            }
            piece.push_str(&next);
            piece.push_str(grapheme);
            open = state;
            fits += 1;
        }
        let (end, next) = match space {
            _ if fits == cells.len() => (fits, fits),
            // White space may stand right behind the limit.
            _ if cells.get(fits).is_some_and(|(grapheme, _)| is_space(grapheme)) => (fits, fits + 1),
            Some(space) => (space, space + 1),
            None => (fits, fits),
        };
        let line = render(&cells[..end]);
        if cells[..end].iter().any(|(grapheme, _)| !is_space(grapheme)) {
            out.push(line);
        }
        cells = &cells[next..];
    }
}

fn is_space(grapheme: &str) -> bool {
    grapheme.chars().all(char::is_whitespace)
}

fn render(cells: &[(&str, Codes)]) -> String {
    let mut out = String::new();
    let mut open = Codes::default();
    for (grapheme, codes) in cells {
        open.change_to(*codes, &mut out);
        out.push_str(grapheme);
    }
    open.change_to(Codes::default(), &mut out);
    out
}

/// The formatting that is on, as a reader keeps it.
#[derive(Clone, Copy, Default)]
struct State {
    bold: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    mono: bool,
}

impl State {
    fn flush(self, word: &mut String, runs: &mut Vec<Run>) {
        if word.is_empty() {
            return;
        }
        let style = Style::STRONG
            .when(self.bold)
            .with(Style::EMPHASIS.when(self.italic || self.underline))
            .with(Style::STRUCK.when(self.strike));
        let text = std::mem::take(word);
        runs.push(Run::new(if self.mono { Leaf::Code(text) } else { Leaf::Text(text) }, style));
    }
}

/// Drops the digits of a colour code: foreground, and background behind a comma.
fn skip_colour(text: &str, min: usize, max: usize, digit: fn(&u8) -> bool) -> &str {
    let count = |text: &str| text.bytes().take(max).take_while(digit).count();
    let front = count(text);
    if front < min {
        return text;
    }
    let text = &text[front..];
    match text.strip_prefix(',') {
        Some(back) if count(back) >= min => &back[count(back)..],
        _ => text,
    }
}

/// The codes that are on while a piece is written.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Codes {
    style: Style,
    mono: bool,
}

impl Codes {
    fn each(self) -> [(bool, char); 4] {
        [
            (self.style.has(Style::STRONG), BOLD),
            (self.style.has(Style::EMPHASIS), ITALIC),
            (self.style.has(Style::STRUCK), STRIKE),
            (self.mono, MONO),
        ]
    }

    /// Toggles what differs.
    fn change_to(&mut self, next: Self, out: &mut String) {
        for ((was, code), (is, _)) in self.each().into_iter().zip(next.each()) {
            if was != is {
                out.push(code);
            }
        }
        *self = next;
    }

    /// Bytes that closing takes; opening takes as many.
    fn closing(self) -> usize {
        self.each().iter().filter(|(on, _)| *on).count()
    }

    fn overhead(self) -> usize {
        2 * self.closing()
    }
}

/// The degraded text as lines of pieces with their codes. An empty line parts paragraphs.
fn styled_lines(text: &Text) -> Vec<Vec<(String, Codes)>> {
    let mut lines = Vec::new();
    for block in &degrade(text, &Markup::IRC).blocks {
        let Block::Paragraph(inlines) = block else { continue };
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        let mut line = Vec::new();
        collect(inlines, Style::NONE, &mut line, &mut lines);
        lines.push(line);
    }
    lines
}

type Line = Vec<(String, Codes)>;

fn collect(inlines: &[Inline], style: Style, line: &mut Line, lines: &mut Vec<Line>) {
    for inline in inlines {
        match inline {
            Inline::Text(text) => line.push((text.clone(), Codes { style, mono: false })),
            Inline::Code(code) => line.push((code.clone(), Codes { style, mono: true })),
            Inline::Link { url, .. } => line.push((url.clone(), Codes { style, mono: false })),
            Inline::Strong(inner) => collect(inner, style.with(Style::STRONG), line, lines),
            Inline::Emphasis(inner) => collect(inner, style.with(Style::EMPHASIS), line, lines),
            Inline::Struck(inner) => collect(inner, style.with(Style::STRUCK), line, lines),
            Inline::Break => lines.push(std::mem::take(line)),
            // Degraded text has no mentions or emoji left.
            Inline::Mention(_) | Inline::Emoji(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_markup() {
        let text = read(
            "\u{2}b\u{2} \u{1d}i\u{f} \u{1f}u\u{1f} \u{1e}s\u{1e} \u{11}m\u{11} \u{3}04,12red\u{3} \u{4}ff0000x\u{16}\u{7}",
        );
        assert_eq!(crate::markdown::write(&text), "**b** *i u* ~~s~~ `m` red x");
    }

    #[test]
    fn formatting_is_opened_again_on_each_line() {
        let text = crate::markdown::read("**one\ntwo `c`**\n\nthree");
        assert_eq!(write(&text), "\u{2}one\u{2}\n\u{2}two \u{11}c\u{2}\u{11}\n\nthree");
        assert_eq!(lines(&text, 400), ["\u{2}one\u{2}", "\u{2}two \u{11}c\u{2}\u{11}", "three"]);
    }

    #[test]
    fn f39_long_lines_are_cut_at_words() {
        let text = crate::markdown::read("**aaaa bbbb cccc dddd eeee**");
        assert_eq!(lines(&text, 16), ["\u{2}aaaa bbbb cccc\u{2}", "\u{2}dddd eeee\u{2}"]);
        let text = Text::plain("日本語日本語日本語");
        assert_eq!(lines(&text, 10), ["日本語", "日本語", "日本語"]);
    }

    #[test]
    fn t6_no_line_is_forged() {
        let text = Text { blocks: vec![Block::Paragraph(vec![Inline::Text("a\r\nQUIT\0\u{1}x".into())])] };
        assert_eq!(lines(&text, 400), ["a", "QUITx"]);
    }
}
