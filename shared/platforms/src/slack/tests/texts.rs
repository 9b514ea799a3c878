//! Words: blocks, fallbacks, mentions, emoji.

use sameroom_model::{Block, Inline, Mention, MentionKind, Text};
use sameroom_text::markdown;

use super::super::text::{reaction, reaction_name, read, write};
use super::super::wire::Msg;
use super::*;

/// A message's words as Markdown.
fn words(message: Value) -> String {
    let message: Msg = serde_json::from_value(message).unwrap();
    markdown::write(&read(&message)).replace('\u{200b}', "·")
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at its callers")]
fn rich(elements: Value) -> Value {
    json!({ "text": "fallback", "blocks": [{ "type": "rich_text", "elements": elements }] })
}

#[test]
fn rich_text_is_read_exactly() {
    let section = json!([{ "type": "rich_text_section", "elements": [
        { "type": "text", "text": "*not bold* & <x>, " },
        { "type": "text", "text": "both", "style": { "bold": true, "italic": true } },
        { "type": "text", "text": " " },
        { "type": "link", "url": "https://example.org/a", "text": "there", "style": { "bold": true } },
    ] }]);
    insta::assert_snapshot!(words(rich(section)), @r"\*not bold\* & \<x>, ***both* [there](<https://example.org/a>)**");
    let lists = json!([
        { "type": "rich_text_list", "style": "bullet", "indent": 0, "elements": [
            { "type": "rich_text_section", "elements": [{ "type": "text", "text": "a" }] } ] },
        { "type": "rich_text_list", "style": "ordered", "indent": 1, "offset": 2, "elements": [
            { "type": "rich_text_section", "elements": [{ "type": "text", "text": "b" }] } ] },
        { "type": "rich_text_list", "style": "bullet", "indent": 0, "elements": [
            { "type": "rich_text_section", "elements": [{ "type": "text", "text": "c" }] } ] },
    ]);
    insta::assert_snapshot!(words(rich(lists)), @r"
    - a

      3. b
    - c
    ");
}

#[test]
fn what_is_new_in_rich_text_falls_back_to_the_text() {
    let odd = rich(json!([{ "type": "rich_text_section", "elements": [{ "type": "hologram" }] }]));
    assert_eq!(words(odd), "fallback");
    let only = json!({ "blocks": [{ "type": "rich_text", "elements": [
        { "type": "rich_text_section", "elements": [{ "type": "text", "text": "kept" }] },
        { "type": "rich_text_hologram" },
    ] }] });
    assert_eq!(words(only), "kept");
}

#[test]
fn without_text_the_blocks_and_then_the_attachments_speak() {
    let blocks = json!([
        { "type": "header", "text": { "type": "plain_text", "text": "Build" } },
        { "type": "section", "text": { "type": "mrkdwn", "text": "*7* of <https://ci.example|CI>" },
          "fields": [{ "type": "plain_text", "text": "ok" }] },
        { "type": "divider" },
        { "type": "context", "elements": [{ "type": "image", "alt_text": "a cat", "image_url": "https://c.example" }] },
    ]);
    insta::assert_snapshot!(words(json!({ "text": "", "blocks": blocks })), @r"
    **Build**

    **7** of [CI](<https://ci.example>)

    ok

    a cat
    ");
    assert_eq!(words(json!({ "text": "said", "blocks": blocks })), "said");
    let attachments = json!([{ "fallback": "[no preview available]", "pretext": "New:", "text": "x &amp; y" }]);
    assert_eq!(words(json!({ "attachments": attachments })), "New:\nx & y");
    assert_eq!(words(json!({ "attachments": [{ "fallback": "in *short*", "text": "long" }] })), "in **short**");
}

#[test]
fn mentions_have_a_name_only_where_the_text_tells_one() {
    let labels = |text: &str| {
        let message: Msg = serde_json::from_value(json!({ "text": text })).unwrap();
        let read = read(&message);
        let Some(Block::Paragraph(inlines)) = read.blocks.into_iter().next() else { panic!() };
        let label = |inline| if let Inline::Mention(mention) = inline { Some(mention.label) } else { None };
        inlines.into_iter().filter_map(label).collect::<Vec<_>>()
    };
    assert_eq!(labels("<@U1> <@U2|bob> <#C1> <#C1|ops> <!subteam^S1> <!here>"), ["", "bob", "", "ops", "", "here"]);
}

fn mentioning(kind: MentionKind, label: &str) -> Text {
    let mention = Inline::Mention(Mention { kind, label: label.to_owned() });
    Text { blocks: vec![Block::Paragraph(vec![Inline::Text("hi ".to_owned()), mention])] }
}

#[test]
fn mentions_of_groups_reach_only_those_of_this_workspace() {
    let ann = mentioning(MentionKind::User("U1".into()), "ann");
    assert_eq!((write(&ann, true), write(&ann, false)), (vec!["hi <@U1>".to_owned()], vec!["hi <@U1>".to_owned()]));
    let ops = mentioning(MentionKind::Room("C1".into()), "ops");
    assert_eq!((write(&ops, true), write(&ops, false)), (vec!["hi <#C1>".to_owned()], vec!["hi <#C1>".to_owned()]));
    let group = mentioning(MentionKind::Group("S1".to_owned()), "team");
    assert_eq!(
        (write(&group, true), write(&group, false)),
        (vec!["hi <!subteam^S1>".to_owned()], vec!["hi @team".to_owned()])
    );
    // A key that is none of a person's here, and a mention that nobody could name.
    let odd = mentioning(MentionKind::User("SOMEBODY".into()), "x");
    assert_eq!((write(&odd, true), write(&odd, false)), (vec!["hi @x".to_owned()], vec!["hi @x".to_owned()]));
    assert_eq!(write(&mentioning(MentionKind::Group("S1".to_owned()), ""), false), ["hi @S1"]);
}

#[test]
fn t10_nobody_is_called() {
    for own in [true, false] {
        let everyone = mentioning(MentionKind::Everyone, "channel");
        assert_eq!(write(&everyone, own), ["hi @\u{200b}channel"]);
        for alive in ["<!channel>", "<!subteam^S1>", "<@U1>", "<@S1>", "<!here|x>"] {
            let written = write(&Text::plain(alive), own).concat();
            assert!(!written.contains('<') && !written.contains('>'), "{written}");
        }
    }
}

#[test]
fn reactions_have_slacks_names() {
    for (name, unicode) in [
        ("+1", "👍"),
        ("thinking_face", "🤔"),
        ("thumbsup::skin-tone-3", "👍🏼"),
        ("flag-nl", "🇳🇱"),
        ("hugging_face", "🤗"),
        ("blob_cat", ":blob_cat:"),
    ] {
        assert_eq!(reaction(name), unicode);
        let back = reaction_name(unicode).unwrap();
        assert_eq!(reaction(&back), unicode, "{name} came back as {back}");
    }
    assert_eq!(reaction_name("👍").as_deref(), Some("+1"));
    assert_eq!(reaction_name("👍🏼").as_deref(), Some("+1::skin-tone-3"));
    assert_eq!(reaction_name("❤").as_deref(), Some("heart"));
    for none in ["", "x", "::", ":a b:", "🇳"] {
        assert_eq!(reaction_name(none), None, "{none}");
    }
}
