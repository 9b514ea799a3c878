//! Slack's text, as Slack itself reads it: how posted text is stored, and the `rich_text` blocks that the composer makes
//! of it. Written from the reference and from nothing of ours, so that it can prove ours.
//! Source: <https://docs.slack.dev/messaging/formatting-message-text>.

use serde_json::{Map, Value, json};

/// Posted text as it is kept: stray `&`, `<` and `>` are escaped, bare web addresses become links.
pub(super) fn stored(text: &str) -> String {
    kept(text, true)
}

/// Likewise, as `parse` wants it: with `none` addresses stay what they are.
/// <https://docs.slack.dev/reference/methods/chat.postMessage>, "Formatting messages".
pub(super) fn parsed(text: &str, parse: &str) -> String {
    kept(text, parse != "none")
}

fn kept(text: &str, links: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before = out.chars().next_back();
        let taken = if first == '`' {
            let fence = if rest.starts_with("```") { "```" } else { "`" };
            let end = rest[fence.len()..].find(fence).map_or(fence.len(), |at| at + 2 * fence.len());
            out.push_str(&escape(&rest[..end]));
            end
        } else if let Some(end) = tag(rest) {
            out.push_str(&rest[..end]);
            end
        } else if let Some(end) = web(rest).filter(|_| links && before.is_none_or(|c| !c.is_alphanumeric())) {
            out.push_str(&format!("<{}>", escape(&rest[..end])));
            end
        } else {
            let end = entity(rest).unwrap_or(first.len_utf8());
            out.push_str(&escape(&rest[..end]));
            end
        };
        rest = &rest[taken..];
    }
    out
}

/// The blocks of a stored text.
pub(super) fn blocks(text: &str) -> Value {
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("```") {
        let Some(close) = rest[open + 3..].find("```").filter(|close| *close > 0) else { break };
        lines(&rest[..open], &mut elements);
        let inside = &rest[open + 3..open + 3 + close];
        let inside = inside.strip_prefix('\n').unwrap_or(inside);
        let inside = inside.strip_suffix('\n').unwrap_or(inside);
        let text = json!({ "type": "text", "text": unescape(inside) });
        elements.push(json!({ "type": "rich_text_preformatted", "elements": [text], "border": 0 }));
        rest = &rest[open + 3 + close + 3..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    lines(rest, &mut elements);
    json!([{ "type": "rich_text", "block_id": "b1", "elements": elements }])
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Line {
    Plain,
    Quote,
    Item { ordered: bool, indent: usize },
}

fn lines(text: &str, elements: &mut Vec<Value>) {
    if text.is_empty() {
        return;
    }
    let mut run: Vec<&str> = Vec::new();
    let mut kind = Line::Plain;
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let (this, words) = line_of(line);
        if this != kind {
            close(kind, &run, elements);
            run.clear();
            kind = this;
        }
        run.push(words);
    }
    close(kind, &run, elements);
}

fn line_of(line: &str) -> (Line, &str) {
    if let Some(words) = line.strip_prefix("&gt;") {
        return (Line::Quote, words.strip_prefix(' ').unwrap_or(words));
    }
    let words = line.trim_start_matches(' ');
    let indent = (line.len() - words.len()) / 4;
    for bullet in ["• ", "◦ ", "▪︎ "] {
        if let Some(words) = words.strip_prefix(bullet) {
            return (Line::Item { ordered: false, indent }, words);
        }
    }
    if let Some((number, words)) = words.split_once(". ")
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return (Line::Item { ordered: true, indent }, words);
    }
    (Line::Plain, line)
}

fn close(kind: Line, run: &[&str], elements: &mut Vec<Value>) {
    if run.is_empty() {
        return;
    }
    let container = match kind {
        Line::Plain => json!({ "type": "rich_text_section", "elements": inline(&run.join("\n")) }),
        Line::Quote => json!({ "type": "rich_text_quote", "elements": inline(&run.join("\n")) }),
        Line::Item { ordered, indent } => {
            let items = run.iter().map(|item| json!({ "type": "rich_text_section", "elements": inline(item) }));
            let style = if ordered { "ordered" } else { "bullet" };
            let items: Vec<Value> = items.collect();
            json!({ "type": "rich_text_list", "style": style, "indent": indent, "border": 0, "elements": items })
        }
    };
    elements.push(container);
}

fn inline(text: &str) -> Vec<Value> {
    let mut out = Vec::new();
    styled(text, &Map::new(), &mut out);
    out
}

fn styled(text: &str, style: &Map<String, Value>, out: &mut Vec<Value>) {
    let mut plain = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(first) = rest.chars().next() {
        let mut end = first.len_utf8();
        let mark = match first {
            '*' => Some("bold"),
            '_' => Some("italic"),
            '~' => Some("strike"),
            '`' => Some("code"),
            _ => None,
        };
        if let Some(name) = mark
            && let Some(close) = closing(rest, first, before)
        {
            flush(&mut plain, style, out);
            let mut inner = style.clone();
            inner.insert(name.into(), json!(true));
            if name == "code" {
                push(json!({ "type": "text", "text": unescape(&rest[1..close]) }), &inner, out);
            } else {
                styled(&rest[1..close], &inner, out);
            }
            end = close + 1;
        } else if let Some(length) = tag(rest) {
            flush(&mut plain, style, out);
            push(tagged(&rest[1..length - 1]), style, out);
            end = length;
        } else if let Some((emoji, length)) = emoji(rest).filter(|_| before.is_none_or(|c| !c.is_alphanumeric())) {
            flush(&mut plain, style, out);
            push(emoji, style, out);
            end = length;
        } else {
            plain.push(first);
        }
        before = rest[..end].chars().next_back();
        rest = &rest[end..];
    }
    flush(&mut plain, style, out);
}

/// Where a mark that opens here closes: both stand at the edge of words.
fn closing(rest: &str, mark: char, before: Option<char>) -> Option<usize> {
    if before.is_some_and(char::is_alphanumeric) || rest[1..].chars().next().is_none_or(char::is_whitespace) {
        return None;
    }
    let fits = |at: &usize| {
        let (inside, after) = (&rest[1..*at], &rest[at + 1..]);
        let edge = mark == '`' || !inside.ends_with(char::is_whitespace);
        !inside.is_empty() && !inside.contains('\n') && edge && !after.starts_with(char::is_alphanumeric)
    };
    rest.char_indices().skip(1).filter(|(_, c)| *c == mark).map(|(at, _)| at).find(fits)
}

fn flush(plain: &mut String, style: &Map<String, Value>, out: &mut Vec<Value>) {
    if !plain.is_empty() {
        push(json!({ "type": "text", "text": unescape(plain) }), style, out);
        plain.clear();
    }
}

fn push(mut element: Value, style: &Map<String, Value>, out: &mut Vec<Value>) {
    if !style.is_empty() {
        element["style"] = style.clone().into();
    }
    out.push(element);
}

/// The element of what stands between `<` and `>`.
fn tagged(inside: &str) -> Value {
    let (target, label) = inside.split_once('|').map_or((inside, None), |(target, label)| (target, Some(label)));
    if let Some(id) = target.strip_prefix('@') {
        return json!({ "type": "user", "user_id": id });
    }
    if let Some(id) = target.strip_prefix('#') {
        return json!({ "type": "channel", "channel_id": id });
    }
    if let Some(id) = target.strip_prefix("!subteam^") {
        return json!({ "type": "usergroup", "usergroup_id": id });
    }
    if let Some(date) = target.strip_prefix("!date^") {
        let mut parts = date.splitn(3, '^');
        let at: i64 = parts.next().and_then(|at| at.parse().ok()).unwrap_or_default();
        let format = parts.next().unwrap_or_default();
        let mut date = json!({ "type": "date", "timestamp": at, "format": format });
        if let Some(url) = parts.next() {
            date["url"] = json!(url);
        }
        if let Some(label) = label {
            date["fallback"] = json!(unescape(label));
        }
        return date;
    }
    if let Some(range) = target.strip_prefix('!') {
        return json!({ "type": "broadcast", "range": range });
    }
    let mut link = json!({ "type": "link", "url": unescape(target) });
    if let Some(label) = label {
        link["text"] = json!(unescape(label));
    }
    link
}

/// The length of a tag that this begins with.
fn tag(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('<')?;
    let end = inside.find(['>', '<', '\n'])?;
    let inside = inside[..end].to_owned() + if text[1 + end..].starts_with('>') { "" } else { "\n" };
    let target = inside.split('|').next().unwrap_or_default();
    let id = |rest: &str| rest.len() > 1 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let known = match target.chars().next()? {
        '@' | '#' => id(&target[1..]),
        '!' => {
            let word = &target[1..];
            matches!(word, "here" | "channel" | "everyone") || word.starts_with("subteam^") || word.starts_with("date^")
        }
        _ => target.contains("://") || target.starts_with("mailto:") || target.starts_with("tel:"),
    };
    (known && !inside.ends_with('\n')).then_some(end + 2)
}

/// The length of a web address that this begins with.
fn web(text: &str) -> Option<usize> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let end = text.find(|c: char| c.is_whitespace() || "<>|`\"".contains(c)).unwrap_or(text.len());
    let end = text[..end].trim_end_matches(['.', ',', '!', '?', ':', ';', ')', '\'', '*', '_', '~']).len();
    (end > scheme.len()).then_some(end)
}

/// The length of an escaped character that this begins with.
fn entity(text: &str) -> Option<usize> {
    ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| text.starts_with(entity)).map(str::len)
}

fn emoji(text: &str) -> Option<(Value, usize)> {
    let name_of = |text: &str| {
        let rest = text.strip_prefix(':')?;
        let end = rest.find(':')?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_+-'".contains(c);
        (end > 0 && rest[..end].chars().all(fits)).then(|| rest[..end].to_owned())
    };
    let name = name_of(text)?;
    let mut length = name.len() + 2;
    let standard = emojis::get_by_shortcode(&name);
    if standard.is_none() && !name.contains(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    let mut shown = json!({ "type": "emoji", "name": name });
    if let Some(standard) = standard {
        let mut code: Vec<String> = standard.as_str().chars().map(|c| format!("{:x}", c as u32)).collect();
        let tone = name_of(&text[length..]).and_then(|next| next.strip_prefix("skin-tone-")?.parse::<u32>().ok());
        if let Some(tone) = tone.filter(|tone| (2..=6).contains(tone)) {
            code.push(format!("{:x}", 0x1f3f9 + tone));
            shown["skin_tone"] = json!(tone);
            length += ":skin-tone-2:".len();
        }
        shown["unicode"] = json!(code.join("-"));
    }
    Some((shown, length))
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = entity(rest).unwrap_or(first.len_utf8());
        match first {
            '&' if length == 1 => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_stored_with_strays_escaped_and_addresses_linked() {
        for (posted, kept) in [
            ("a & b &amp; c < d > e", "a &amp; b &amp; c &lt; d &gt; e"),
            ("see https://x.org/a?b=1&c=2.", "see <https://x.org/a?b=1&amp;c=2>."),
            ("<https://x.org|x> <@U1A> <#C1A|ops> <!here>", "<https://x.org|x> <@U1A> <#C1A|ops> <!here>"),
            ("<script> &lt;!channel&gt; <!nobody>", "&lt;script&gt; &lt;!channel&gt; &lt;!nobody&gt;"),
            ("`https://x.org <b>`", "`https://x.org &lt;b&gt;`"),
        ] {
            assert_eq!(stored(posted), kept);
        }
        assert_eq!(parsed("a & https://x.org", "none"), "a &amp; https://x.org");
    }

    #[test]
    fn the_composer_makes_blocks_of_text() {
        let text = "Ship *it _now_* <@U1A> &amp; :wave::skin-tone-3: 2*3*4 <https://x.org|x>\n&gt; so\n• one\n• two\n```a < b```";
        let shown = &blocks(text)[0]["elements"];
        let section = json!([
            { "type": "text", "text": "Ship " },
            { "type": "text", "text": "it ", "style": { "bold": true } },
            { "type": "text", "text": "now", "style": { "bold": true, "italic": true } },
            { "type": "text", "text": " " },
            { "type": "user", "user_id": "U1A" },
            { "type": "text", "text": " & " },
            { "type": "emoji", "name": "wave", "unicode": "1f44b-1f3fc", "skin_tone": 3 },
            { "type": "text", "text": " 2*3*4 " },
            { "type": "link", "url": "https://x.org", "text": "x" },
        ]);
        assert_eq!(shown[0], json!({ "type": "rich_text_section", "elements": section }));
        assert_eq!(shown[1]["type"], "rich_text_quote");
        assert_eq!(shown[2]["elements"].as_array().unwrap().len(), 2);
        assert_eq!(shown[3]["elements"][0]["text"], "a < b");
    }
}
