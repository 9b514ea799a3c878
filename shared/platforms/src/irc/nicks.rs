//! Nicks that stand for people of elsewhere: what is left of a name that IRC takes, and a tail that tells them from
//! nicks of people who are there. It must not know how they are used.

use unicode_normalization::UnicodeNormalization as _;

/// The longest name that is looked at, in graphemes.
const NAME_MAX: usize = 32;

/// What a nick may look like.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    /// The character before the suffix, which no name keeps.
    pub(super) sign: char,
    /// What follows it.
    pub(super) suffix: &'a str,
    /// The most bytes of the whole nick.
    pub(super) max: usize,
    /// Whether letters of all scripts are taken, or those of RFC 2812 §2.3.1 alone.
    pub(super) unicode: bool,
}

/// The nick of somebody who is shown so elsewhere. `None`: nothing of the name can be in a nick.
pub(super) fn nick_of(shown: &str, shape: Shape<'_>) -> Option<String> {
    let name = sameroom_text::names::clean(shown, NAME_MAX);
    let name = if shape.unicode { name } else { latin(&name) };
    let plain = |c: char| {
        let letter = if shape.unicode { c.is_alphanumeric() } else { c.is_ascii_alphanumeric() };
        c != shape.sign && (letter || "[]\\`_^{|}-".contains(c))
    };
    let mut kept = String::new();
    for c in name.chars() {
        match c {
            c if plain(c) => kept.push(c),
            _ if kept.ends_with('-') => {}
            _ => kept.push('-'),
        }
    }
    let kept = kept.trim_matches('-');
    if !kept.chars().any(char::is_alphanumeric) {
        return None;
    }
    let tail = format!("{}{}", shape.sign, shape.suffix);
    let max = shape.max.saturating_sub(tail.len());
    let mut nick = String::new();
    if kept.starts_with(|c: char| c.is_numeric()) {
        nick.push('_');
    }
    for c in kept.chars() {
        if nick.len() + c.len_utf8() > max {
            break;
        }
        nick.push(c);
    }
    nick.truncate(nick.trim_end_matches('-').len());
    // Who is left with one letter is known by none.
    (nick.chars().filter(|c| c.is_alphanumeric()).count() >= 2 || nick.len() == kept.len()).then(|| nick + &tail)
}

/// A name with its Latin letters as ASCII has them.
fn latin(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.nfd() {
        match c {
            // What NFD parts from its letter: accents.
            '\u{300}'..='\u{36f}' => {}
            'ß' => plain.push_str("ss"),
            'æ' => plain.push_str("ae"),
            'Æ' => plain.push_str("Ae"),
            'œ' => plain.push_str("oe"),
            'Œ' => plain.push_str("Oe"),
            'þ' => plain.push_str("th"),
            'Þ' => plain.push_str("Th"),
            'ø' => plain.push('o'),
            'Ø' => plain.push('O'),
            'ł' => plain.push('l'),
            'Ł' => plain.push('L'),
            'đ' | 'ð' => plain.push('d'),
            'Đ' | 'Ð' => plain.push('D'),
            'ı' => plain.push('i'),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_nicks_that_servers_take() {
        let ascii = |name: &str| nick_of(name, Shape { sign: '|', suffix: "sr", max: 16, unicode: false });
        let cases = [
            ("ann", Some("ann|sr")),
            ("Ann Smith (Acme)", Some("Ann-Smith-Acm|sr")),
            ("Zoë Ångström", Some("Zoe-Angstrom|sr")),
            ("Søren Æbelø", Some("Soren-Aebelo|sr")),
            ("2fast", Some("_2fast|sr")),
            ("| @ann |", Some("ann|sr")),
            ("a|b", Some("a-b|sr")),
            ("-- x --", Some("x|sr")),
            ("李 Ming", Some("Ming|sr")),
            ("Анна", None),
            ("🦀🦀", None),
            ("", None),
            ("\r\n", None),
        ];
        for (name, nick) in cases {
            assert_eq!(ascii(name).as_deref(), nick, "{name:?}");
            assert!(nick.is_none_or(super::super::settings::valid_nick), "{nick:?}");
        }
        let any = |name: &str| nick_of(name, Shape { sign: '/', suffix: "sr", max: 12, unicode: true });
        assert_eq!(any("Анна").as_deref(), Some("Анна/sr"));
        assert_eq!(any("Анна-Мария").as_deref(), Some("Анна/sr"), "cut between characters");
    }

    #[test]
    fn a_server_with_short_nicks_gets_short_ones_or_none() {
        let nick = |max: usize| nick_of("annabel", Shape { sign: '|', suffix: "sr", max, unicode: false });
        assert_eq!(nick(9).as_deref(), Some("annabe|sr"));
        assert_eq!(nick(5).as_deref(), Some("an|sr"));
        assert_eq!(nick(4), None);
        assert_eq!(nick(0), None);
    }
}
