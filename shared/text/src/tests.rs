//! The laws of dialects, for any tree and any input.

use proptest::prelude::*;
use sameroom_model::{Block, Emoji, Inline, MentionKind, Text};

use crate::{Markup, arbitrary, degrade, html, irc, markdown, mrkdwn, neutralise, normalise, plain, split};

type Read = fn(&str) -> Text;
type Write = fn(&Text) -> String;

const DIALECTS: [(&str, Read, Write, Markup); 5] = [
    ("plain", plain::read, plain::write, Markup::PLAIN),
    ("irc", irc::read, irc::write, Markup::IRC),
    ("html", html::read, html::write, Markup::HTML),
    ("markdown", markdown::read, markdown::write, Markup::MARKDOWN),
    ("mrkdwn", mrkdwn::read, mrkdwn::write, Markup::MRKDWN),
];

fn law(dialect: usize, text: &Text) -> Result<(), TestCaseError> {
    let (name, read, write, markup) = DIALECTS[dialect];
    let written = write(text);
    prop_assert_eq!(read(&written), degrade(text, &markup), "{} wrote {:?}", name, written);
    Ok(())
}

fn law_with_mentions(text: &Text) -> Result<(), TestCaseError> {
    let mut wanted = degrade(text, &Markup::MRKDWN_MENTIONS);
    label_by_key(&mut wanted.blocks);
    let written = mrkdwn::write_with_mentions(text);
    prop_assert_eq!(mrkdwn::read(&written), wanted, "wrote {:?}", written);
    Ok(())
}

/// How many trees each law is tried with: few enough for the suite to be quick. `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn plain_law(text in arbitrary::text()) { law(0, &text)?; }
    #[test]
    fn irc_law(text in arbitrary::text()) { law(1, &text)?; }
    #[test]
    fn html_law(text in arbitrary::text()) { law(2, &text)?; }
    #[test]
    fn markdown_law(text in arbitrary::text()) { law(3, &text)?; }
    #[test]
    fn mrkdwn_law(text in arbitrary::text()) { law(4, &text)?; }

    #[test]
    fn mrkdwn_law_with_mentions(text in arbitrary::text()) { law_with_mentions(&text)?; }

    #[test]
    fn normal_form_is_its_own(text in arbitrary::text()) {
        let normal = normalise(&text);
        prop_assert_eq!(normalise(&normal), normal.clone());
        for (_, _, _, markup) in DIALECTS {
            let degraded = degrade(&text, &markup);
            prop_assert_eq!(degrade(&degraded, &markup), degraded.clone());
            prop_assert_eq!(normalise(&degraded), degraded);
        }
    }

    #[test]
    fn t9_literal_text_stays_literal(text in arbitrary::literal()) {
        for (dialect, (name, read, write, markup)) in DIALECTS.into_iter().enumerate() {
            law(dialect, &text)?;
            let back = read(&write(&text));
            prop_assert!(is_literal(&back), "{name}: {back:?}");
            let words = degrade(&text, &markup).words();
            prop_assert_eq!(back.words(), words);
        }
    }

    #[test]
    fn t10_no_mass_mention_leaves_alive(text in arbitrary::text()) {
        for (name, read, write, _) in DIALECTS {
            let written = write(&text);
            // Slack's `<!here>` is one only as it is written; its `<` and `!` may well be shown side by side.
            prop_assert!(!calls_all(&written) && !written.contains("<!"), "{name} wrote {written:?}");
            let shown = shown(&read(&written));
            prop_assert!(!calls_all(&shown), "{name} shows {shown:?}");
        }
        let once = neutralise(&text.words());
        prop_assert_eq!(neutralise(&once), once);
    }

    #[test]
    fn readers_take_anything(text in "\\PC*|[\\x00-\\x20*_~`<>&\\[\\]()!#:|/a-c\n-]{0,80}") {
        for (name, read, _, _) in DIALECTS {
            let tree = read(&text);
            prop_assert_eq!(&normalise(&tree), &tree, "{}", name);
        }
    }

    #[test]
    fn split_keeps_all(text in arbitrary::text(), max in 1..80_usize) {
        for (_, _, write, markup) in DIALECTS {
            let text = degrade(&text, &markup);
            let measure = |text: &Text| write(text).len();
            let pieces = split(&text, max, &measure);
            for piece in &pieces {
                prop_assert!(measure(piece) <= max || piece.words().chars().count() <= 1, "{max}: {piece:?}");
                prop_assert!(!piece.is_empty());
            }
            // A link that does not fit becomes text, which says more than the link did.
            let mut parts = dense(&pieces.iter().map(Text::words).collect::<String>()).chars().collect::<Vec<_>>().into_iter();
            let whole = dense(&text.words());
            prop_assert!(whole.chars().all(|c| parts.any(|part| part == c)), "{max}: {whole:?} {pieces:?}");
        }
    }

    #[test]
    fn irc_lines_keep_all(text in arbitrary::text(), max in 1..100_usize) {
        let lines = irc::lines(&text, max);
        for line in &lines {
            prop_assert!(!line.is_empty() && !line.contains(['\n', '\r', '\0']));
            prop_assert!(line.len() <= max || line.chars().count() == 1, "{max} {line:?}");
        }
        let whole = degrade(&text, &Markup::IRC).words();
        // Not read: what was cut out of the middle of a word can look like a URL, and would be made safe as one.
        let parts: String = lines.concat().chars().filter(|c| !c.is_control()).collect();
        if max >= 16 {
            prop_assert_eq!(dense(&whole), dense(&parts));
        }
    }
}

/// Whether there is a mass mention that some platform would act on. A mail address (`me@here.example`) is none.
fn calls_all(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut names = ["@here", "@everyone", "@channel"].iter().flat_map(|name| text.match_indices(name));
    names.any(|(at, name)| {
        let mut after = text[at + name.len()..].chars();
        let before = text[..at].chars().next_back();
        let local = before.is_some_and(|c| c.is_alphanumeric() || ".+-_".contains(c));
        match after.next() {
            Some('.') if local => !after.next().is_some_and(char::is_alphanumeric),
            Some(c) => !c.is_alphanumeric(),
            None => true,
        }
    })
}

/// What people see, with backticks around code: what stands in code is not read together with what is around it.
fn shown(text: &Text) -> String {
    fn tick(inlines: &mut [Inline]) {
        for inline in inlines {
            match inline {
                Inline::Code(code) => *inline = Inline::Text(format!("`{code}`")),
                Inline::Strong(inner) | Inline::Emphasis(inner) | Inline::Struck(inner) => tick(inner),
                _ => {}
            }
        }
    }
    let mut text = text.clone();
    each_paragraph(&mut text.blocks, &mut |inlines| tick(inlines));
    text.words()
}

fn each_paragraph(blocks: &mut [Block], act: &mut dyn FnMut(&mut [Inline])) {
    for block in blocks {
        match block {
            Block::Paragraph(inlines) => act(inlines),
            Block::Quote(inner) => each_paragraph(inner, act),
            Block::List { items, .. } => items.iter_mut().for_each(|item| each_paragraph(item, act)),
            Block::Code { .. } => {}
        }
    }
}

fn dense(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '\u{200b}').collect()
}

fn is_literal(text: &Text) -> bool {
    text.blocks.iter().all(|block| match block {
        Block::Paragraph(inlines) => inlines.iter().all(|inline| match inline {
            Inline::Text(_) => true,
            Inline::Link { label, .. } => label.is_empty(),
            _ => false,
        }),
        _ => false,
    })
}

fn label_by_key(blocks: &mut [Block]) {
    fn inlines(inner: &mut [Inline]) {
        for inline in inner {
            match inline {
                Inline::Strong(inner) | Inline::Emphasis(inner) | Inline::Struck(inner) => inlines(inner),
                Inline::Mention(mention) => {
                    mention.label = match &mention.kind {
                        MentionKind::User(key) => key.as_str().to_owned(),
                        MentionKind::Room(key) => key.as_str().to_owned(),
                        _ => continue,
                    }
                }
                _ => {}
            }
        }
    }
    each_paragraph(blocks, &mut |inner| inlines(inner));
}

/// Trees that broke a law once. Each is the least that did.
#[test]
fn laws_that_broke_once() {
    let t = |text: &str| Inline::Text(text.to_owned());
    let code = |text: &str| Inline::Code(text.to_owned());
    let emoji = |name: &str| Inline::Emoji(Emoji { name: name.to_owned(), unicode: None });
    let strong = |inner: Vec<Inline>| Inline::Strong(inner);
    let struck = |inner: Vec<Inline>| Inline::Struck(inner);
    let stories = [
        // Found by CI in mrkdwn: the zero-width space behind the literal `_` and that before the first backtick in the
        // code made the backtick between them, which opens the code, look literal.
        vec![strong(vec![struck(vec![t("0_"), code("```")])])],
        // The same at the other end of the code.
        vec![code("`"), t("_")],
        // An `@` kept dead has a zero-width space behind it that is no part of what comes next.
        vec![t("x@\u{200b}"), code("`x")],
        vec![code("@\u{200b}"), t("*")],
        vec![code("@`"), t("*")],
        vec![t("@*"), code("@``")],
        vec![strong(vec![t("a@\u{200b}")]), t(" b")],
        vec![strong(vec![t("a@\u{200b}")]), t("_x")],
        vec![t("@"), strong(vec![t("here_")])],
        // Beside a custom emoji, text became a URL that had it inside.
        vec![strong(vec![t("http://"), emoji("blob_cat"), t("@a")])],
        vec![emoji("https"), t("//a.example")],
        vec![t("x"), emoji("https"), t("//a.example")],
        vec![t("http://-"), emoji("blob_cat"), t("a.example")],
        // The zero-width space that keeps `:wave:` text let `:c:` before it be an emoji.
        vec![t(":c:wave:")],
        vec![t("x:b::a:c:wave::b:y :+1:x")],
        // Whether text is a short code hung on any colon behind it, even one of the next emoji.
        vec![t(":blob_cat::;"), emoji("blob_cat")],
        vec![t(":blob_cat::-"), emoji("blob_cat")],
        // The zero-width space between `@` and an emoji stayed with the `@`, as if it kept a mention dead.
        vec![t("http://@"), emoji("blob_cat")],
        // A URL hid another one before it.
        vec![t("https://x.example&http://a.example/b_c_?d=e&f")],
        // A zero-width space right behind a delimiter would keep it from being one.
        vec![
            Inline::Link { url: "https://a.example/".to_owned(), label: vec![strong(vec![t(":")])] },
            emoji("blob_cat"),
        ],
    ];
    for story in stories {
        let text = Text { blocks: vec![Block::Paragraph(story)] };
        for dialect in 0..DIALECTS.len() {
            law(dialect, &text).unwrap();
        }
        law_with_mentions(&text).unwrap();
        for (_, _, _, markup) in DIALECTS {
            let degraded = degrade(&text, &markup);
            assert_eq!(degrade(&degraded, &markup), degraded);
        }
    }
}

#[test]
fn adversarial_inputs_are_read_quickly() {
    const SIZE: usize = 64 * 1024;
    // Per dialect, what could make its reader look at the same text again and again.
    let plain = ["@*", "http://", "http://a.b/", "\n", "e\u{301}", ":a:", "\u{200b}", "@", "@\u{200b}"];
    let irc = ["\u{2}", "\u{3}1,", "\u{2}a\u{1d}", "http://\u{11}"];
    let html = [
        "<",
        "<a ",
        "&",
        "<b>a",
        "<div>",
        "<blockquote>",
        "<ul><li>",
        "</b>",
        "</ul>",
        "<a href=x>",
        "<pre>",
        "<!--",
        "<x a=1 ",
    ];
    let markdown = [
        "*", "_", "[", "]", "> ", ">", "`", "``a", "~", "<", "<a ", "![", "[a](", "*a ", "a**b", "- ", "1. ", "\\",
        ">\n", "  - a\n", "[a]: b\n", "**a _b_ ", "_a*", ":a",
    ];
    let mrkdwn = [
        "*", "_", "`", "`a", "```", "```\n", "<@U", "<@U|", "<", "&gt;", "&gt; ", "> a\n", "*a ", "*a _b_ ", "*a\n",
        "~_*a", ":a", "::a",
    ];
    let units: [&[&str]; 5] = [&plain, &irc, &html, &markdown, &mrkdwn];
    for ((name, read, write, _), units) in DIALECTS.into_iter().zip(units) {
        for unit in units {
            let text = unit.repeat(SIZE / unit.len());
            let started = std::time::Instant::now();
            write(&read(&text));
            let took = started.elapsed();
            // Unoptimised and on a busy machine; what takes quadratic time takes minutes.
            assert!(took.as_secs() < 8, "{name} took {took:?} for {unit:?}");
        }
    }
}

#[test]
fn deep_nesting_is_bounded() {
    const DEEP: usize = 100_000;
    for (name, read, write, _) in DIALECTS {
        for (open, close) in [
            ("<blockquote>", "</blockquote>"),
            ("<ul><li>", "</li></ul>"),
            ("<b><i>", "</i></b>"),
            (">", ""),
            ("&gt;", ""),
            ("- ", ""),
        ] {
            let text = format!("{}x{}", open.repeat(DEEP / open.len()), close.repeat(DEEP / open.len()));
            let tree = read(&text);
            write(&tree);
            assert!(depth(&tree.blocks) <= crate::MAX_DEPTH + 1, "{name} {open}");
        }
    }
}

fn depth(blocks: &[Block]) -> usize {
    let inner = |block: &Block| match block {
        Block::Quote(inner) => 1 + depth(inner),
        Block::List { items, .. } => 2 + items.iter().map(|item| depth(item)).max().unwrap_or(0),
        _ => 0,
    };
    blocks.iter().map(inner).max().unwrap_or(0)
}
