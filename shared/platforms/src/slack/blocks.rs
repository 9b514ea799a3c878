//! Block Kit read: `rich_text` exactly, the other blocks by their words. Text within blocks is not escaped, except in
//! `mrkdwn` text objects. Source: <https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>.
//! Must not know messages.

use sameroom_model::{Block, Emoji, Inline, Mention, MentionKind, Text, Timestamp};
use sameroom_text::{emoji, mrkdwn};
use serde_json::Value;

/// How deep a list's indentation goes.
const INDENT_MAX: u64 = 16;

/// The blocks of a `rich_text` block's message. `None`: there is no such block, or one holds something that we don't
/// know, so that the message's `text` says more.
pub(super) fn rich(blocks: &[Value]) -> Option<Vec<Block>> {
    if !blocks.iter().any(|block| kind(block) == "rich_text") {
        return None;
    }
    let mut out = Vec::new();
    for block in blocks {
        if kind(block) == "rich_text" {
            rich_text(list(block, "elements"), &mut out)?;
        } else {
            out.extend(words(block));
        }
    }
    Some(out)
}

/// The words of any blocks.
pub(super) fn plain(blocks: &[Value]) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        if kind(block) == "rich_text" {
            let mut known = Vec::new();
            // What is not known of it is left out.
            for element in list(block, "elements") {
                let _ = rich_text(std::slice::from_ref(element), &mut known);
            }
            out.extend(known);
        } else {
            out.extend(words(block));
        }
    }
    out
}

fn kind(value: &Value) -> &str {
    string(value, "type")
}

fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A block that is no `rich_text`.
fn words(block: &Value) -> Vec<Block> {
    match kind(block) {
        "section" => {
            let fields = list(block, "fields").iter();
            block.get("text").into_iter().chain(fields).flat_map(text_object).collect()
        }
        "header" => {
            let text = block.get("text").map(text_object).unwrap_or_default();
            text.into_iter()
                .map(|block| match block {
                    Block::Paragraph(inlines) => Block::Paragraph(vec![Inline::Strong(inlines)]),
                    other => other,
                })
                .collect()
        }
        "context" => {
            let images = |element: &Value| {
                if kind(element) == "image" { paragraph(string(element, "alt_text")) } else { text_object(element) }
            };
            list(block, "elements").iter().flat_map(images).collect()
        }
        "image" => {
            let title = block.get("title").map(|title| string(title, "text")).filter(|title| !title.is_empty());
            let alt = title.unwrap_or(string(block, "alt_text"));
            link(string(block, "image_url"), alt)
        }
        "video" => {
            let title = block.get("title").map(|title| string(title, "text")).unwrap_or_default();
            link(string(block, "title_url"), title)
        }
        "markdown" => sameroom_text::markdown::read(string(block, "text")).blocks,
        _ => Vec::new(),
    }
}

fn text_object(text: &Value) -> Vec<Block> {
    match kind(text) {
        "mrkdwn" => mrkdwn::read(string(text, "text")).blocks,
        _ => paragraph(string(text, "text")),
    }
}

fn paragraph(text: &str) -> Vec<Block> {
    Text::plain(text).blocks
}

fn link(url: &str, label: &str) -> Vec<Block> {
    if url.is_empty() {
        return paragraph(label);
    }
    let label = if label.is_empty() { Vec::new() } else { vec![Inline::Text(label.replace(['\r', '\n'], " "))] };
    vec![Block::Paragraph(vec![Inline::Link { url: url.to_owned(), label }])]
}

fn rich_text(elements: &[Value], out: &mut Vec<Block>) -> Option<()> {
    for element in elements {
        match kind(element) {
            "rich_text_section" => out.push(Block::Paragraph(inlines(list(element, "elements"))?)),
            "rich_text_quote" => {
                out.push(Block::Quote(vec![Block::Paragraph(inlines(list(element, "elements"))?)]));
            }
            "rich_text_preformatted" => {
                let text: String = list(element, "elements").iter().map(verbatim).collect();
                let language = element.get("language").and_then(Value::as_str).map(str::to_owned);
                out.push(Block::Code { language, text });
            }
            "rich_text_list" => {
                let items = list(element, "elements").iter();
                let items: Option<Vec<_>> =
                    items.map(|item| Some(vec![Block::Paragraph(inlines(list(item, "elements"))?)])).collect();
                let number = |name| element.get(name).and_then(Value::as_u64).unwrap_or_default();
                let start = u32::try_from(number("offset")).unwrap_or_default().saturating_add(1);
                let start = (string(element, "style") == "ordered").then_some(start);
                nest(out, start, items?, number("indent").min(INDENT_MAX));
            }
            _ => return None,
        }
    }
    Some(())
}

/// Puts a list's items where their indentation says: within the last item of the list before.
fn nest(out: &mut Vec<Block>, start: Option<u32>, items: Vec<Vec<Block>>, indent: u64) {
    if let (1.., Some(Block::List { items: above, .. })) = (indent, out.last_mut())
        && let Some(last) = above.last_mut()
    {
        return nest(last, start, items, indent - 1);
    }
    if let Some(Block::List { start: before, items: same }) = out.last_mut()
        && before.is_some() == start.is_some()
    {
        same.extend(items);
        return;
    }
    out.push(Block::List { start, items });
}

/// The characters of an element in preformatted text.
fn verbatim(element: &Value) -> &str {
    match kind(element) {
        "link" if string(element, "text").is_empty() => string(element, "url"),
        _ => string(element, "text"),
    }
}

fn inlines(elements: &[Value]) -> Option<Vec<Inline>> {
    let mut out = Vec::new();
    for element in elements {
        let mut made = Vec::new();
        inline(element, &mut made)?;
        let style = element.get("style");
        let is = |name| style.and_then(|style| style.get(name)).and_then(Value::as_bool) == Some(true);
        if is("code") {
            made = made.into_iter().map(as_code).collect();
        }
        for (name, wrap) in
            [("strike", Inline::Struck as fn(_) -> _), ("italic", Inline::Emphasis), ("bold", Inline::Strong)]
        {
            if is(name) {
                made = vec![wrap(made)];
            }
        }
        out.extend(made);
    }
    Some(out)
}

fn inline(element: &Value, out: &mut Vec<Inline>) -> Option<()> {
    let mention = |kind| Inline::Mention(Mention { kind, label: String::new() });
    let key = |name| Some(string(element, name)).filter(|key| !key.is_empty());
    match kind(element) {
        "text" => lines(string(element, "text"), out),
        "link" => {
            let label = string(element, "text").replace(['\r', '\n'], " ");
            let label = if label.is_empty() { Vec::new() } else { vec![Inline::Text(label)] };
            out.push(Inline::Link { url: key("url")?.to_owned(), label });
        }
        "user" => out.push(mention(MentionKind::User(key("user_id")?.into()))),
        "channel" => out.push(mention(MentionKind::Room(key("channel_id")?.into()))),
        "usergroup" => out.push(mention(MentionKind::Group(key("usergroup_id")?.to_owned()))),
        "broadcast" => {
            let label = key("range")?.to_owned();
            out.push(Inline::Mention(Mention { kind: MentionKind::Everyone, label }));
        }
        "emoji" => out.push(named(element, key("name")?)),
        "date" => lines(&date(element), out),
        "color" => lines(string(element, "value"), out),
        // A workspace's name is not told.
        "team" => lines(string(element, "team_id"), out),
        _ => return None,
    }
    Some(())
}

fn lines(text: &str, out: &mut Vec<Inline>) {
    for block in Text::plain(text).blocks {
        if let Block::Paragraph(inlines) = block {
            out.extend(inlines);
        }
    }
}

/// Text with the style of code. What is no text keeps to what it is.
fn as_code(inline: Inline) -> Inline {
    match inline {
        Inline::Text(text) => Inline::Code(text),
        Inline::Link { url, label } => {
            let words = Text { blocks: vec![Block::Paragraph(label)] }.words();
            Inline::Code(if words.is_empty() { url } else { words })
        }
        other => other,
    }
}

/// An emoji by its name, or by the code points that Slack tells (`1f44d-1f3fc`).
fn named(element: &Value, name: &str) -> Inline {
    let tone = element.get("skin_tone").and_then(Value::as_u64);
    let whole = match tone {
        Some(tone) if !name.contains("::") => format!("{name}::skin-tone-{tone}"),
        _ => name.to_owned(),
    };
    let told = || {
        let points =
            string(element, "unicode").split('-').map(|hex| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32));
        points.collect::<Option<String>>().filter(|told| !told.chars().any(char::is_control))
    };
    let unicode = emoji::unicode(&whole).map(str::to_owned).or_else(told);
    Inline::Emoji(Emoji { name: whole, unicode })
}

fn date(element: &Value) -> String {
    let fallback = string(element, "fallback");
    if !fallback.is_empty() {
        return fallback.to_owned();
    }
    let seconds = element.get("timestamp").and_then(Value::as_i64);
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(|at| at.to_string()).unwrap_or_default()
}
