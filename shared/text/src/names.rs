//! Display names and excerpts, made safe to show on one line (threat T3: a name must not forge lines, hide itself or
//! turn the reading direction of what follows). It must not know who is named.

use sameroom_model::Text;
use unicode_segmentation::UnicodeSegmentation as _;

/// A display name made safe: no control characters, line breaks, bidirectional controls or zero-width characters;
/// white space collapsed to single spaces and trimmed; at most `max_graphemes` graphemes. It can come out empty.
pub fn clean(name: &str, max_graphemes: usize) -> String {
    // Most names are a few words of ASCII: nothing to take away, and each character a grapheme.
    let harmless = |pair: &[u8]| pair[0] != b' ' || pair[1] != b' ';
    let bytes = name.as_bytes();
    if bytes.len() <= max_graphemes
        && bytes.iter().all(|b| (b' '..=b'~').contains(b))
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
        && bytes.windows(2).all(harmless)
    {
        return name.to_owned();
    }
    let visible: String = name
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect();
    let collapsed = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    collapsed.graphemes(true).take(max_graphemes).collect::<String>().trim_end().to_owned()
}

/// One line that says what a text is about: its words, white space collapsed, at most `max_graphemes` graphemes, the
/// last of which is `…` where something was left out.
pub fn excerpt(text: &Text, max_graphemes: usize) -> String {
    let words = text.words();
    let line = clean(&words, max_graphemes.saturating_add(1));
    if line.graphemes(true).count() <= max_graphemes {
        return line;
    }
    let mut cut: String = line.graphemes(true).take(max_graphemes.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    if max_graphemes > 0 {
        cut.push('…');
    }
    cut
}

/// Zero-width characters, bidirectional controls, invisible operators, tags, the soft hyphen and line separators. The
/// zero-width joiner goes as well: in a name it can tell two equal-looking names apart.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_names_cannot_forge() {
        assert_eq!(clean("Al\r\nice\u{202e} \u{200b} Bob\0\u{7}", 80), "Al ice Bob");
        assert_eq!(clean("\u{200b}\u{2066}", 80), "");
        assert_eq!(clean("  Zoë\tÅngström  ", 5), "Zoë Å");
        assert_eq!(clean("👩🏽👍x", 2), "👩🏽👍");
        assert_eq!(clean("a b", 2), "a");
    }

    #[test]
    fn excerpts_fit() {
        let text = Text::plain("one two\nthree\u{202e}");
        assert_eq!(excerpt(&text, 80), "one two three");
        assert_eq!(excerpt(&text, 13), "one two three");
        assert_eq!(excerpt(&text, 9), "one two…");
        assert_eq!(excerpt(&text, 1), "…");
        assert_eq!(excerpt(&text, 0), "");
    }
}
