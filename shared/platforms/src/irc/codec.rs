//! The line grammar, on bytes: cutting a stream into lines, reading a line, and the one function that builds lines.
//! Every byte this platform writes comes out of [`line`]. It must not know what any command means.
//!
//! Grammar: RFC 1459 §2.3, RFC 2812 §2.3 and <https://ircv3.net/specs/extensions/message-tags>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most bytes of a line without its tags, CR and LF included (RFC 1459 §2.3).
pub(super) const LINE_MAX: usize = 512;

/// The most bytes of tag data that a client may send (message-tags, "Size limit").
const TAGS_MAX: usize = 4094;

/// The most bytes of a line that are kept: the largest tag section, and a body well over any server's `LINELEN`.
const KEPT_MAX: usize = 8191 + 16 * 1024;

/// The most parameters that are read of a line; RFC 1459 allows 15, `005` lines of some servers have a few more.
const PARAMS_MAX: usize = 64;

/// A line as it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Tags by key; the last of equal keys won.
    pub(super) tags: BTreeMap<String, String>,
    /// Who sent it; `None` where the line does not say.
    pub(super) source: Option<Source>,
    /// The command in upper case, or the numeric's three digits.
    pub(super) command: String,
    /// The parameters; no difference is made between middle and trailing, since servers make none.
    pub(super) params: Vec<String>,
    /// The last parameter before it was decoded.
    pub(super) last: Vec<u8>,
}

/// Who sent a line: `nick!user@host`, `nick`, or a server's name (which is then in `nick`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// Nick, or server name.
    pub(super) nick: String,
    /// User name, where it is told.
    pub(super) user: Option<String>,
    /// Host, where it is told.
    pub(super) host: Option<String>,
}

/// Why a line was not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsafe {
    /// CR, LF or NUL in a parameter, a tag or the command would end the line early.
    #[error("a line break or NUL in an IRC parameter")]
    Break,
    /// An empty parameter, a space or a leading colon would shift the parameters after it.
    #[error("an IRC parameter that is empty, has a space or begins with a colon")]
    Middle,
    /// The command or a tag's key has characters that neither has.
    #[error("not an IRC command or tag")]
    Word,
    /// Longer than any server reads.
    #[error("an IRC line that is too long")]
    Long,
}

/// Builds a line with its CRLF: the only way to make one.
///
/// `max` bounds the bytes without tags, CRLF included; [`LINE_MAX`] where the server said nothing else. The trailing
/// parameter may hold anything but CR, LF and NUL; the middle ones also no space and no leading colon.
pub(super) fn line(
    tags: &[(&str, &str)],
    command: &str,
    middles: &[&str],
    trailing: Option<&str>,
    max: usize,
) -> Result<Vec<u8>, Unsafe> {
    let mut out = String::new();
    for (i, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-./".contains(&b)) {
            return Err(Unsafe::Word);
        }
        if value.contains('\0') {
            return Err(Unsafe::Break);
        }
        out.push(if i == 0 { '@' } else { ';' });
        out.push_str(key);
        if !value.is_empty() {
            out.push('=');
            escape(value, &mut out);
        }
    }
    if !tags.is_empty() {
        if out.len() - 1 > TAGS_MAX {
            return Err(Unsafe::Long);
        }
        out.push(' ');
    }
    let body = out.len();
    if command.is_empty() || !command.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Unsafe::Word);
    }
    out.push_str(command);
    for middle in middles {
        if breaks(middle) {
            return Err(Unsafe::Break);
        }
        if middle.is_empty() || middle.starts_with(':') || middle.contains(' ') {
            return Err(Unsafe::Middle);
        }
        out.push(' ');
        out.push_str(middle);
    }
    if let Some(trailing) = trailing {
        if breaks(trailing) {
            return Err(Unsafe::Break);
        }
        out.push_str(" :");
        out.push_str(trailing);
    }
    out.push_str("\r\n");
    if out.len() - body > max {
        return Err(Unsafe::Long);
    }
    Ok(out.into_bytes())
}

fn breaks(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            ';' => out.push_str("\\:"),
            ' ' => out.push_str("\\s"),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => out.push(';'),
            Some('s') => out.push(' '),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            // An unknown escape drops the backslash; a lone one at the end is dropped.
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Reads one line, without its line break. `None`: there is no command in it.
pub(super) fn parse(bytes: &[u8]) -> Option<Line> {
    let mut rest = trim(bytes);
    let mut line = Line::default();
    if let Some(tagged) = rest.strip_prefix(b"@") {
        let (tags, after) = word(tagged);
        for tag in String::from_utf8_lossy(tags).split(';').filter(|tag| !tag.is_empty()) {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            line.tags.insert(key.to_owned(), unescape(value));
        }
        rest = after;
    }
    // The encoding is one for the whole line, so that a Latin nick and its Latin text are read alike.
    let decode = Decode::of(rest);
    if let Some(sourced) = rest.strip_prefix(b":") {
        let (source, after) = word(sourced);
        line.source = Some(Source::parse(&decode.text(source)));
        rest = after;
    }
    let (command, mut rest) = word(rest);
    if command.is_empty() || !command.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    line.command = String::from_utf8_lossy(command).to_ascii_uppercase();
    let mut last: &[u8] = b"";
    while !rest.is_empty() && line.params.len() < PARAMS_MAX {
        let (param, after) = match rest.strip_prefix(b":") {
            Some(trailing) => (trailing, &b""[..]),
            None => word(rest),
        };
        line.params.push(decode.text(param));
        last = param;
        rest = after;
    }
    line.last = last.to_vec();
    Some(line)
}

/// A word, and what follows the spaces after it.
fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
    let (word, rest) = bytes.split_at(end);
    (word, trim(rest))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| *b != b' ').unwrap_or(bytes.len());
    &bytes[start..]
}

/// How the bytes of a line are read: as UTF-8, and where they are none, as Windows-1252.
#[derive(Clone, Copy)]
enum Decode {
    Utf8,
    Windows1252,
}

impl Decode {
    fn of(line: &[u8]) -> Self {
        match std::str::from_utf8(line) {
            Ok(_) => Self::Utf8,
            // A server that cuts long lines cuts characters too: a line that only ends in half a character is UTF-8,
            // if it has a whole one before it.
            Err(e) if e.error_len().is_none() && !line[..e.valid_up_to()].is_ascii() => Self::Utf8,
            Err(_) => Self::Windows1252,
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        match (self, std::str::from_utf8(bytes)) {
            (_, Ok(text)) => text.to_owned(),
            (Self::Utf8, Err(e)) => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
            (Self::Windows1252, Err(_)) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }
}

impl Source {
    fn parse(text: &str) -> Self {
        let (before_host, host) = match text.split_once('@') {
            Some((before, host)) => (before, Some(host.to_owned())),
            None => (text, None),
        };
        let (nick, user) = match before_host.split_once('!') {
            Some((nick, user)) => (nick, Some(user.to_owned())),
            None => (before_host, None),
        };
        Self { nick: nick.to_owned(), user, host }
    }
}

impl Line {
    /// A parameter, or nothing.
    pub(super) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The last parameter, or nothing.
    pub(super) fn trailing(&self) -> &str {
        self.params.last().map_or("", String::as_str)
    }

    /// A tag's value; an empty value is none.
    pub(super) fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The nick (or server name) that sent it.
    pub(super) fn nick(&self) -> Option<&str> {
        self.source.as_ref().map(|source| source.nick.as_str()).filter(|nick| !nick.is_empty())
    }
}

/// Cuts a stream of bytes into lines, whatever the chunks. Bounded: of a line that never ends, the rest is dropped.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// The lines that are complete with these bytes, without their line breaks; empty ones left out.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut parts = bytes.split(|b| *b == b'\n').peekable();
        while let Some(part) = parts.next() {
            let space = KEPT_MAX.saturating_sub(self.held.len());
            self.held.extend_from_slice(&part[..part.len().min(space)]);
            if parts.peek().is_some() {
                let mut line = std::mem::take(&mut self.held);
                while line.last() == Some(&b'\r') {
                    line.pop();
                }
                if !line.is_empty() {
                    lines.push(line);
                }
            }
        }
        lines
    }
}

/// A line as a person may see it in a test's failure: its tags and parameters apart.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        if let Some(source) = &self.source {
            let _ = write!(out, ":{} ", source.nick);
        }
        let _ = write!(out, "{} {:?}", self.command, self.params);
        f.write_str(&out)
    }
}
