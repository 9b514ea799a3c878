//! Lines cut to fit. It must not know what they say: only bytes, graphemes and formatting codes.

use unicode_segmentation::UnicodeSegmentation as _;

/// Cuts a formatted line into pieces of at most `max` bytes, at spaces where they are near, else between graphemes,
/// and only where one grapheme is larger than that, between characters. Codes that are open at a cut are opened again.
pub(super) fn cut(text: &str, max: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.to_owned();
    while rest.len() > max {
        let (head, tail) = split_at(&rest, max, true);
        let open = open_codes(head);
        // Codes that would leave no room for text are left closed.
        let tail = tail.trim_start_matches(' ');
        let next = if open.len() * 2 < max && !tail.is_empty() { open + tail } else { tail.to_owned() };
        if next.len() >= rest.len() {
            break;
        }
        pieces.push(head.to_owned());
        rest = next;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Cuts a line into pieces that make it when put together again.
pub(super) fn chunks(text: &str, max: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > max {
        let (head, tail) = split_at(rest, max, false);
        pieces.push(head.to_owned());
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}

/// The longest head of at most `max` bytes, at least one character, and the rest.
fn split_at(text: &str, max: usize, at_spaces: bool) -> (&str, &str) {
    let mut end = 0;
    let mut space = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        if at + grapheme.len() > max {
            break;
        }
        end = at + grapheme.len();
        if grapheme == " " {
            space = at;
        }
    }
    // A word is kept whole where that wastes at most 40 % of the line.
    if at_spaces && space * 10 >= max * 6 && !text[end..].starts_with(' ') {
        end = space;
    }
    if end == 0 {
        end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= max).last().unwrap_or(0);
    }
    if end == 0 {
        end = text.chars().next().map_or(0, char::len_utf8);
    }
    text.split_at(end)
}

/// The toggling codes that are open at the end of a text.
pub(in super::super) fn open_codes(text: &str) -> String {
    let mut open: Vec<char> = Vec::new();
    for c in text.chars() {
        match c {
            '\u{f}' => open.clear(),
            '\u{2}' | '\u{1d}' | '\u{1f}' | '\u{1e}' | '\u{11}' | '\u{16}' => match open.iter().position(|o| *o == c) {
                Some(at) => {
                    open.remove(at);
                }
                None => open.push(c),
            },
            _ => {}
        }
    }
    open.into_iter().collect()
}
