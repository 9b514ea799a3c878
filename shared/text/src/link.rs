//! Which links are links: schemes that may be written, URLs made safe to write, and bare URLs found in text. It must
//! not know any dialect.

use linkify::{LinkFinder, LinkKind};

/// A piece of text, or a URL that was found in it.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Url(&'a str),
}

/// Whether there may be a bare URL in a text.
pub(crate) fn may_hold(text: &str) -> bool {
    text.contains("://")
}

/// Parts a text into words and bare `http` and `https` URLs.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    if !may_hold(text) {
        return vec![Piece::Text(text)];
    }
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut pieces = Vec::new();
    // What is left beside a URL is looked at again: it may hold one that the other's presence hid. Last is next.
    let mut left = vec![Piece::Text(text)];
    while let Some(piece) = left.pop() {
        let text = match piece {
            Piece::Text(text) if may_hold(text) => text,
            _ => {
                pieces.push(piece);
                continue;
            }
        };
        let mut parts = Vec::new();
        let mut done = 0;
        for link in finder.links(text).filter(|link| is_web(link.as_str())) {
            if link.start() > done {
                parts.push(Piece::Text(&text[done..link.start()]));
            }
            parts.push(Piece::Url(link.as_str()));
            done = link.end();
        }
        if done == 0 {
            pieces.push(Piece::Text(text));
            continue;
        }
        if done < text.len() {
            parts.push(Piece::Text(&text[done..]));
        }
        left.extend(parts.into_iter().rev());
    }
    pieces
}

/// Whether the whole text is one bare URL, as [`pieces`] finds it.
pub(crate) fn is_bare(url: &str) -> bool {
    matches!(pieces(url).as_slice(), [Piece::Url(found)] if found.len() == url.len())
}

/// Whether a URL may be written as a link: `http`, `https` and `mailto` only. Others can run code or start programs.
pub(crate) fn is_safe(url: &str) -> bool {
    is_web(url) || scheme_rest(url, "mailto:").is_some_and(|rest| !rest.is_empty())
}

/// The URL as it can stand in every dialect: what would end it or mean something to a parser is percent-encoded.
pub(crate) fn sanitise(url: &str) -> String {
    // What would end it, or mean something, whatever stands around it.
    const LOUD: &str = "<>\"`|\\^{}";
    let url = url.trim();
    if url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';' && !LOUD.as_bytes().contains(&byte)) {
        return url.to_owned();
    }
    let mut out = String::with_capacity(url.len());
    let mut entity = false;
    for c in url.chars() {
        let invisible =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        // `&name;` would be read as a character by dialects that have entities.
        let ends_entity = c == ';' && entity;
        entity = c == '&' || (entity && (c.is_ascii_alphanumeric() || c == '#'));
        if c.is_whitespace() || c.is_control() || invisible || ends_entity || LOUD.contains(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push('%');
                out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0').to_ascii_uppercase());
                out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0').to_ascii_uppercase());
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// What is shown of a URL: itself, without `mailto:`.
pub(crate) fn shown(url: &str) -> &str {
    scheme_rest(url, "mailto:").unwrap_or(url)
}

/// Whether a label claims to be another address than the one behind it (threat T9).
pub(crate) fn is_deceptive(label: &str, url: &str) -> bool {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
    let real = host(url);
    finder.links(label).any(|link| {
        let claim = link.as_str();
        let whole = claim.len() == label.len();
        let says = claim.contains("://") || claim.starts_with("www.") || (whole && !is_file_name(claim));
        says && host(claim).trim_start_matches("www.") != real.trim_start_matches("www.")
    })
}

/// Whether it looks like a file, although its ending is a top-level domain too.
fn is_file_name(text: &str) -> bool {
    const ENDINGS: [&str; 12] = ["md", "rs", "py", "sh", "pl", "zip", "mov", "ai", "ps", "cc", "so", "js"];
    !text.contains('/') && text.rsplit_once('.').is_some_and(|(_, end)| ENDINGS.contains(&end))
}

fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().to_lowercase()
}

fn is_web(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| scheme_rest(url, scheme).is_some_and(|rest| !rest.is_empty()))
}

fn scheme_rest<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let head = url.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t9_labels_that_lie() {
        for (label, url) in [
            ("https://bank.example", "https://evil.example"),
            ("www.bank.example", "https://evil.example"),
            ("bank.com", "https://evil.com/"),
            ("see https://bank.com/x", "https://bank.com.evil.com/x"),
        ] {
            assert!(is_deceptive(label, url), "{label}");
        }
        for (label, url) in [
            ("bank.com", "https://www.bank.com/login"),
            ("README.md", "https://git.example/README.md"),
            ("the docs", "https://docs.example"),
            ("https://a.example/x", "https://a.example/y"),
        ] {
            assert!(!is_deceptive(label, url), "{label}");
        }
    }

    #[test]
    fn urls_are_made_safe() {
        assert!(!is_safe("javascript:alert(1)") && !is_safe("data:x") && !is_safe("/x") && !is_safe("http://"));
        assert!(is_safe("HTTPS://x.example") && is_safe("mailto:a@b.example"));
        assert_eq!(sanitise("https://x.example/a?b=1&c=2#d"), "https://x.example/a?b=1&c=2#d");
        assert_eq!(sanitise(" http://x/a b<c>|\"\n&amp; "), "http://x/a%20b%3Cc%3E%7C%22%0A&amp%3B");
    }
}
