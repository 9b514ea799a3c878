//! mrkdwn read: blocks by line, then tags in angle brackets, then delimiters.

use sameroom_model::{Block, Mention, MentionKind, Text};

use crate::MAX_DEPTH;
use crate::inline::{self, Leaf, Run, Style};
use crate::neutral::ZERO_WIDTH_SPACE;
use crate::normal::push_block;

/// Reads mrkdwn. `<@U1|name>`, `<#C1|name>`, `<!here>` and `<!subteam^S1|@name>` are mentions (without a name, the key
/// is shown), `<!date^…|text>` is its text, `<url|label>` a link, `:wave:` an emoji. A message is read as Slack sends
/// it, with `&`, `<` and `>` escaped.
pub fn read(text: &str) -> Text {
    let mut blocks = Vec::new();
    read_blocks(&text.replace("\r\n", "\n").replace('\r', "\n"), 0, &mut blocks);
    Text { blocks }
}

const FENCE: &str = "```";

fn read_blocks(text: &str, depth: usize, out: &mut Vec<Block>) {
    let mut runs = Vec::new();
    let mut rest = text;
    let mut last_fence = true;
    while !rest.is_empty() {
        if let Some(quoted) = quote_line(rest).filter(|_| depth < MAX_DEPTH) {
            flush(&mut runs, out);
            let mut inner = String::new();
            if quoted.starts_with(">>") || quoted.starts_with("&gt;&gt;") {
                // Three of them quote all that follows.
                let text = quote_line(quoted).and_then(quote_line).unwrap_or(quoted);
                inner.push_str(text.strip_prefix(' ').unwrap_or(text));
                rest = "";
            }
            while let Some(quoted) = quote_line(rest) {
                let (line, next) = quoted.split_once('\n').unwrap_or((quoted, ""));
                inner.push_str(line.strip_prefix(' ').unwrap_or(line));
                inner.push('\n');
                rest = next;
            }
            let mut blocks = Vec::new();
            read_blocks(inner.strip_suffix('\n').unwrap_or(&inner), depth + 1, &mut blocks);
            push_block(Block::Quote(blocks), out);
            continue;
        }
        let (line, next) = rest.split_once('\n').map_or((rest, ""), |(line, next)| (line, next));
        if let Some(start) = line.find(FENCE).filter(|_| last_fence) {
            let body = &rest[start + FENCE.len()..];
            if let Some(end) = body.find(FENCE) {
                read_line(&rest[..start], &mut runs);
                flush(&mut runs, out);
                push_block(Block::Code { language: None, text: code(&body[..end]) }, out);
                rest = &body[end + FENCE.len()..];
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                continue;
            }
            last_fence = false;
        }
        read_line(line, &mut runs);
        runs.push(Run::new(Leaf::Break, Style::NONE));
        rest = next;
    }
    flush(&mut runs, out);
}

fn flush(runs: &mut Vec<Run>, out: &mut Vec<Block>) {
    for paragraph in inline::paragraphs(std::mem::take(runs), false) {
        push_block(Block::Paragraph(paragraph), out);
    }
}

/// What follows the mark of a quote.
fn quote_line(text: &str) -> Option<&str> {
    text.strip_prefix('>').or_else(|| text.strip_prefix("&gt;"))
}

/// A piece of a line.
enum Token {
    Char(char),
    /// A character that would be a delimiter, with zero-width spaces around it: see [`escaped`].
    Literal(char),
    Leaf(Leaf),
    Code(String),
}

fn read_line(line: &str, runs: &mut Vec<Run>) {
    let tokens = tokens(line);
    let styles = styles(&tokens);
    let mut word = String::new();
    let mut word_style = Style::NONE;
    for (token, style) in tokens.into_iter().zip(styles) {
        // A delimiter that means a style has no style itself.
        let Some(style) = style else {
            inline::push_with_emoji(&std::mem::take(&mut word), word_style, runs);
            continue;
        };
        match token {
            Token::Char(c) | Token::Literal(c) => {
                word.push(c);
                word_style = style;
            }
            Token::Leaf(leaf) => {
                inline::push_with_emoji(&std::mem::take(&mut word), word_style, runs);
                runs.push(Run::new(leaf, style));
            }
            Token::Code(code) => {
                inline::push_with_emoji(&std::mem::take(&mut word), word_style, runs);
                runs.push(Run::new(Leaf::Code(code), style));
            }
        }
    }
    inline::push_with_emoji(&word, word_style, runs);
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line;
    let mut more_tags = true;
    let mut more_codes = true;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' if more_tags => match rest[1..].find('>') {
                Some(end) => {
                    let (token, length) = match tag(&rest[1..=end]) {
                        Some(leaf) => (Token::Leaf(leaf), end + 2),
                        None => (Token::Char('<'), 1),
                    };
                    tokens.push(token);
                    rest = &rest[length..];
                    continue;
                }
                None => more_tags = false,
            },
            ZERO_WIDTH_SPACE if !belongs_to_at(&tokens) => {
                if let Some((literal, length)) = escaped(rest) {
                    tokens.push(Token::Literal(literal));
                    rest = &rest[length..];
                    continue;
                }
            }
            '`' if more_codes => match code_end(rest) {
                Some(end) => {
                    let content = &rest[1..end];
                    if content.trim().is_empty() {
                        tokens.extend(rest[..=end].chars().map(Token::Char));
                    } else {
                        tokens.push(Token::Code(code(content)));
                    }
                    rest = &rest[end + 1..];
                    continue;
                }
                None => more_codes = false,
            },
            _ => {}
        }
        let (c, length) = character(rest).unwrap_or((c, c.len_utf8()));
        tokens.push(Token::Char(c));
        rest = &rest[length..];
    }
    tokens
}

/// Whether a zero-width space that comes next only keeps a mention dead.
fn belongs_to_at(before: &[Token]) -> bool {
    matches!(before.last(), Some(Token::Char('@')))
}

/// A would-be delimiter that stands between two zero-width spaces, which are its own, and the length of the three.
fn escaped(rest: &str) -> Option<(char, usize)> {
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(ZERO_WIDTH_SPACE), Some(c @ ('`' | '*' | '_' | '~')), Some(ZERO_WIDTH_SPACE)) => {
            Some((c, 2 * ZERO_WIDTH_SPACE.len_utf8() + 1))
        }
        _ => None,
    }
}

/// Where the backtick is that closes the code which this one opens.
fn code_end(rest: &str) -> Option<usize> {
    let mut at = 1;
    let mut before = None;
    while let Some(c) = rest[at..].chars().next() {
        let literal = if before == Some('@') { None } else { escaped(&rest[at..]) };
        match (literal, c) {
            (Some((_, length)), _) => {
                at += length;
                before = None;
                continue;
            }
            (None, '`') => return Some(at),
            (None, _) => at += c.len_utf8(),
        }
        before = Some(c);
    }
    None
}

/// The first character, with the three entities decoded, and its length in the source.
fn character(rest: &str) -> Option<(char, usize)> {
    for (entity, c) in [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&')] {
        if rest.starts_with(entity) {
            return Some((c, entity.len()));
        }
    }
    rest.chars().next().map(|c| (c, c.len_utf8()))
}

fn unescape(text: &str) -> String {
    // `&amp;` last, so that nothing is decoded twice.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Code as it was typed: Slack makes tags of URLs even there.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('>') else { break };
        let inner = &rest[1..end];
        out.push_str(inner.split_once('|').map_or(inner, |(_, label)| label));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    unescape(&out)
}

/// What stands between angle brackets.
fn tag(inner: &str) -> Option<Leaf> {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, unescape(label)),
        None => (inner, String::new()),
    };
    let shown = |otherwise: &str| if label.is_empty() { otherwise.to_owned() } else { label.clone() };
    let mention = |kind, label: String| Some(Leaf::Mention(Mention { kind, label }));
    match target.chars().next()? {
        '@' if target.len() > 1 => mention(MentionKind::User(target[1..].into()), shown(&target[1..])),
        '#' if target.len() > 1 => mention(MentionKind::Room(target[1..].into()), shown(&target[1..])),
        '!' => match target[1..].split('^').collect::<Vec<_>>().as_slice() {
            [name @ ("here" | "channel" | "everyone")] => mention(MentionKind::Everyone, (*name).to_owned()),
            ["subteam", key, ..] => {
                mention(MentionKind::Group((*key).to_owned()), shown(key).trim_start_matches('@').to_owned())
            }
            _ => Some(Leaf::Text(shown(&target[1..]))),
        },
        _ if target.contains(':') => Some(Leaf::Link { url: unescape(target), label }),
        _ => None,
    }
}

/// The style of each token; `None` where it is a delimiter that means one.
fn styles(tokens: &[Token]) -> Vec<Option<Style>> {
    const DELIMITERS: [(char, Style); 3] = [('*', Style::STRONG), ('_', Style::EMPHASIS), ('~', Style::STRUCK)];
    let mut pairs: Vec<(usize, usize, Style)> = Vec::new();
    let mut open: Vec<(usize, char)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Char(c) = token else { continue };
        let Some((_, style)) = DELIMITERS.into_iter().find(|(delimiter, _)| delimiter == c) else { continue };
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let after = tokens.get(at + 1);
        if touches(before, *c)
            && !is_word(after)
            && let Some(depth) = open.iter().rposition(|(_, delimiter)| delimiter == c)
            && open[depth].0 + 1 < at
        {
            pairs.push((open[depth].0, at, style));
            open.truncate(depth);
        } else if touches(after, *c) && !is_word(before) && !open.iter().any(|(_, delimiter)| delimiter == c) {
            open.push((at, *c));
        }
    }
    let mut changes = vec![Style::NONE; tokens.len() + 1];
    for (start, end, style) in &pairs {
        changes[*start] = changes[*start].with(*style);
        changes[*end] = changes[*end].with(*style);
    }
    let mut style = Style::NONE;
    let mut out = Vec::with_capacity(tokens.len());
    for change in &changes[..tokens.len()] {
        out.push(change.is_none().then_some(style));
        style = style.without(*change).with(change.without(style));
    }
    out
}

/// Whether a delimiter can hold on to its neighbour.
fn touches(token: Option<&Token>, delimiter: char) -> bool {
    match token {
        None => false,
        Some(Token::Char(c)) => !c.is_whitespace() && *c != delimiter,
        Some(Token::Literal(_) | Token::Leaf(_) | Token::Code(_)) => true,
    }
}

fn is_word(token: Option<&Token>) -> bool {
    matches!(token, Some(Token::Char(c)) if c.is_alphanumeric())
}
