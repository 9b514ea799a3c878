//! Generators of trees, for property tests here and in other crates (feature `arbitrary`). They make trees that no
//! reader would: nested, empty, unmerged, full of delimiters. Tests normalise or degrade before they compare.

use proptest::collection::vec;
use proptest::prelude::*;
use sameroom_model::{Block, Emoji, Inline, Mention, MentionKind, Text};

/// Any text.
pub fn text() -> BoxedStrategy<Text> {
    vec(block(), 0..5).prop_map(|blocks| Text { blocks }).boxed()
}

/// A text that is one paragraph of literal characters on one line.
pub fn literal() -> BoxedStrategy<Text> {
    words().prop_map(|words| Text { blocks: vec![Block::Paragraph(vec![Inline::Text(words)])] }).boxed()
}

/// Any inlines.
pub fn inlines() -> BoxedStrategy<Vec<Inline>> {
    vec(inline(), 0..6).boxed()
}

/// Characters that dialects give a meaning to, and words in several scripts, without newlines.
pub fn words() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,6}",
        3 => Just(" ".to_owned()),
        3 => "[*_~`<>&@#!|:\\\\\\[\\](){}.+=\"'/$%^;,?-]{1,3}",
        1 => prop::sample::select(vec![
            "@here", "@Everyone", "@channel,", "<!here>", "<@U1>", "&amp;", "&#60;", ":wave:", ":blob_cat:", "1. ", "- ", "> ",
            "# ", "```", "~~~", "---", "http://a.example/b_c_?d=e&f", "https://x.example", "www.x.example", "a@b.example",
            "é", "日本", "“”", "👋🏽", "👩‍👩‍👧", "e\u{301}", "\u{200b}", "\u{a0}", "\u{3000}", "\u{202e}", "  ", "\t", "\u{7}", "\u{0}", "std::fmt::Debug",
            "<b>", "</p>", "<!--", "[a]: b", "![x](y)", "==", "<http://q.example>", "::", "\u{3}04,05", "\u{2}",
        ]).prop_map(str::to_owned),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat()).boxed()
}

fn block() -> BoxedStrategy<Block> {
    let leaf = prop_oneof![
        5 => inlines().prop_map(Block::Paragraph),
        1 => (language(), code()).prop_map(|(language, text)| Block::Code { language, text }),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Block::Quote),
            (prop::option::of(prop_oneof![Just(1_u32), 0..2000_u32]), vec(vec(inner, 0..3), 0..4))
                .prop_map(|(start, items)| Block::List { start, items }),
        ]
    })
    .boxed()
}

fn language() -> BoxedStrategy<Option<String>> {
    prop::option::of(prop_oneof![Just("rust".to_owned()), Just("c++".to_owned()), words()]).boxed()
}

fn code() -> BoxedStrategy<String> {
    let line = prop_oneof![words(), words().prop_map(|words| format!("    {words}")), Just(String::new())];
    vec(line, 0..4).prop_map(|lines| lines.join("\n")).boxed()
}

fn inline() -> BoxedStrategy<Inline> {
    let leaf = prop_oneof![
        6 => words().prop_map(Inline::Text),
        1 => words().prop_map(Inline::Code),
        1 => mention().prop_map(Inline::Mention),
        1 => emoji().prop_map(Inline::Emoji),
        1 => Just(Inline::Break),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Inline::Strong),
            vec(inner.clone(), 0..4).prop_map(Inline::Emphasis),
            vec(inner.clone(), 0..4).prop_map(Inline::Struck),
            (url(), vec(inner, 0..3)).prop_map(|(url, label)| Inline::Link { url, label }),
        ]
    })
    .boxed()
}

fn url() -> BoxedStrategy<String> {
    let known = prop::sample::select(vec![
        "https://a.example/",
        "http://b.example/x_y_z?q=1&amp;r=*s*#t",
        "mailto:a@b.example",
        "javascript:alert(1)",
        "https://c.example/(d)",
        "https://c.example/@here",
        "HTTP://D.EXAMPLE",
        "/relative",
        "https://é.example/日本",
        "http://",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => words().prop_map(|words| format!("https://w.example/{words}"))]
        .boxed()
}

fn mention() -> BoxedStrategy<Mention> {
    let kind = prop_oneof![
        "[A-Z0-9]{1,9}".prop_map(|key| MentionKind::User(key.into())),
        "[A-Z0-9]{1,9}".prop_map(|key| MentionKind::Room(key.into())),
        Just(MentionKind::Group("S1".to_owned())),
        Just(MentionKind::Everyone),
    ];
    (kind, prop_oneof!["[a-z]{1,8}", Just("here".to_owned()), words()])
        .prop_map(|(kind, label)| Mention { kind, label })
        .boxed()
}

fn emoji() -> BoxedStrategy<Emoji> {
    prop_oneof![
        Just(Emoji { name: "wave".to_owned(), unicode: Some("👋".to_owned()) }),
        Just(Emoji { name: "blob_cat".to_owned(), unicode: None }),
        Just(Emoji { name: "+1".to_owned(), unicode: None }),
        words().prop_map(|name| Emoji { name, unicode: None }),
    ]
    .boxed()
}
