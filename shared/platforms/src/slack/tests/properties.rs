//! Laws over any input: nothing panics, blocks mean what they say, nothing of a foreign text becomes markup of Slack's.

use proptest::prelude::*;
use sameroom_model::{Block, Inline, Text};
use sameroom_text::{Markup, arbitrary, degrade, mrkdwn, normalise};

use super::super::text::{read, write};
use super::super::wire::Msg;
use super::*;

/// Values such as Block Kit's, and such as are not.
fn odd() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "type",
        "text",
        "elements",
        "rich_text",
        "rich_text_section",
        "rich_text_list",
        "rich_text_quote",
        "section",
        "context",
        "mrkdwn",
        "user",
        "user_id",
        "emoji",
        "name",
        "unicode",
        "1f44d",
        "style",
        "bold",
        "code",
        "indent",
        "offset",
        "ordered",
        "date",
        "timestamp",
        "link",
        "url",
        "blocks",
        "fallback",
        "<@U1|x> *b*",
        "\u{0}",
    ]);
    let leaf = prop_oneof![
        6 => words.clone().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// The `rich_text` of a tree, where it can say it.
fn rich_text(text: &Text) -> Option<Value> {
    let blocks: Option<Vec<_>> = text.blocks.iter().map(block).collect();
    Some(json!([{ "type": "rich_text", "elements": blocks? }]))
}

fn block(block: &Block) -> Option<Value> {
    Some(match block {
        Block::Paragraph(inlines) => json!({ "type": "rich_text_section", "elements": elements(inlines)? }),
        Block::Quote(blocks) => match blocks.as_slice() {
            [Block::Paragraph(inlines)] => json!({ "type": "rich_text_quote", "elements": elements(inlines)? }),
            _ => return None,
        },
        Block::Code { language, text } => {
            json!({ "type": "rich_text_preformatted", "language": language, "elements": [{ "type": "text", "text": text }] })
        }
        Block::List { .. } => return None,
    })
}

fn elements(inlines: &[Inline]) -> Option<Vec<Value>> {
    inlines.iter().map(|inline| element(inline, &mut json!({}))).collect()
}

fn element(inline: &Inline, style: &mut Value) -> Option<Value> {
    let inner = |inner: &[Inline], name: &str, style: &mut Value| match inner {
        [one] => {
            style[name] = true.into();
            element(one, style)
        }
        _ => None,
    };
    Some(match inline {
        Inline::Text(text) => json!({ "type": "text", "text": text, "style": style }),
        Inline::Break => json!({ "type": "text", "text": "\n", "style": style }),
        Inline::Code(code) => {
            style["code"] = true.into();
            json!({ "type": "text", "text": code, "style": style })
        }
        Inline::Link { url, label } => match label.as_slice() {
            [] => json!({ "type": "link", "url": url, "style": style }),
            [Inline::Text(label)] => json!({ "type": "link", "url": url, "text": label, "style": style }),
            _ => return None,
        },
        Inline::Strong(inlines) => inner(inlines, "bold", style)?,
        Inline::Emphasis(inlines) => inner(inlines, "italic", style)?,
        Inline::Struck(inlines) => inner(inlines, "strike", style)?,
        Inline::Mention(_) | Inline::Emoji(_) => return None,
    })
}

proptest! {
    #[test]
    fn any_blocks_are_read(blocks in prop::collection::vec(odd(), 0..4), text in "\\PC{0,20}") {
        let event = json!({ "type": "message", "channel": "C1", "user": "U1", "ts": "1700000000.000100",
            "text": text, "blocks": blocks, "attachments": blocks });
        prop_assert!(hears(&account(), &event).is_ok());
    }

    #[test]
    fn any_event_is_read_or_kept(event in odd(), kind in prop::sample::select(vec!["message", "reaction_added", "user_change", "channel_rename", "tokens_revoked"])) {
        let mut event = event;
        if event.is_object() {
            event["type"] = kind.into();
        }
        match hears(&account(), &event) {
            Ok(_) | Err(Rejected::Undecodable(_)) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn rich_text_means_what_it_says(text in arbitrary::text()) {
        let text = normalise(&text);
        if let Some(blocks) = rich_text(&text) {
            let message: Msg = serde_json::from_value(json!({ "text": "fallback", "blocks": blocks })).unwrap();
            if !text.is_empty() {
                prop_assert_eq!(read(&message), text);
            }
        }
    }

    #[test]
    fn what_is_written_reads_as_what_slack_can_say(text in arbitrary::text()) {
        let parts = write(&text, false);
        // Mentions of groups are words, and labels that nobody told are keys: of people and of rooms.
        let told = !format!("{text:?}").contains("label: \"\"");
        if let [written] = parts.as_slice() && !written.contains('@') && !written.contains("<#") && told {
            prop_assert_eq!(mrkdwn::read(written), degrade(&text, &Markup::MRKDWN));
        }
    }

    #[test]
    fn foreign_text_opens_no_tag(text in arbitrary::literal()) {
        for own in [true, false] {
            for part in write(&text, own) {
                for tag in part.split('<').skip(1) {
                    prop_assert!(tag.starts_with("http") || tag.starts_with("mailto:"), "{}", part);
                }
            }
        }
    }
}
