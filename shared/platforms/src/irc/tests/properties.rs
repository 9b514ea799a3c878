//! Laws that hold for any input: nothing panics, nothing forges a line, nothing is longer than the server reads.

use proptest::prelude::*;
use proptest::sample::select;
use sameroom_model::{Action, Attachment, Block, Inline, Quote, Text};

use super::super::codec::{self, LINE_MAX, parse};
use super::world::{Setup, World, plain};

/// Text that likes to be dangerous.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -~]{0,40}".prop_map(String::from),
        2 => any::<String>(),
        1 => Just("\r\nQUIT :x".to_owned()),
        1 => Just("\0\u{1}ACTION x\u{1}\n".to_owned()),
        1 => Just("\u{2}\u{3}04,05\u{1d}\u{f}".to_owned()),
        1 => Just("🏳️‍🌈".repeat(30)),
        1 => Just("x".repeat(600)),
        1 => Just(format!("e{}", "\u{301}".repeat(400))),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn action() -> impl Strategy<Value = Action> {
    let quote = (prop::option::of(nasty()), prop::option::of(nasty()), prop::option::of(nasty()))
        .prop_map(|(key, author, excerpt)| Quote { key: key.map(Into::into), author, excerpt, ..Quote::default() });
    let file = (nasty(), nasty()).prop_map(|(name, url)| Attachment {
        name,
        url,
        mime: None,
        size: None,
        access: sameroom_model::Access::Public,
        content: None,
    });
    let body = (nasty(), nasty())
        .prop_map(|(a, b)| Text {
            blocks: vec![
                Block::Paragraph(vec![Inline::Text(a.clone()), Inline::Strong(vec![Inline::Text(b.clone())])]),
                Block::Code { language: None, text: b },
                Block::Paragraph(vec![Inline::Link { url: a, label: vec![] }]),
            ],
        })
        .boxed();
    let post = (body.clone(), any::<bool>(), prop::collection::vec(file, 0..2), prop::option::of(quote))
        .prop_map(|(body, emote, attachments, reply)| Action::Post { body, emote, attachments, reply });
    prop_oneof![
        4 => post,
        1 => (body.clone(), any::<bool>()).prop_map(|(body, emote)| Action::Edit { body, emote }),
        1 => body.prop_map(|body| Action::Notice { body }),
        1 => Just(Action::Delete),
        1 => (nasty(), any::<bool>()).prop_map(|(emoji, on)| Action::React { emoji, on }),
    ]
}

const VERBS: &[&str] = &["PRIVMSG", "RELAYMSG", "TAGMSG", "REDACT", "BATCH", "PING"];

/// Checks everything that was sent; the world checked that each line has one CRLF, at its end.
fn check(irc: &World, relay: bool) {
    for line in &irc.sent {
        let read = parse(line.as_bytes()).expect("a line");
        assert!(VERBS.contains(&read.command.as_str()), "{line:?}");
        let body = line.strip_prefix('@').and_then(|line| line.split_once(' ')).map_or(line.as_str(), |(_, body)| body);
        assert!(body.len() + 2 <= LINE_MAX, "{} bytes: {line:?}", body.len() + 2);
        if !matches!(read.command.as_str(), "PING" | "BATCH") {
            assert_eq!(read.param(0), "#c", "{line:?}");
        }
        if read.command == "PRIVMSG" {
            assert_eq!(read.params.len(), 2);
            assert!(!read.trailing().starts_with('\u{1}'), "{line:?}");
            assert!(":bot!~bot@host.test ".len() + body.len() + 2 <= LINE_MAX, "as relayed: {line:?}");
        }
        if read.command == "RELAYMSG" {
            assert!(relay && read.params.len() == 3);
            let relayed = format!(":{}!~bot@host.test PRIVMSG #c :{}\r\n", read.param(1), read.param(2));
            assert!(relayed.len() <= LINE_MAX, "as relayed: {line:?}");
        }
    }
}

const TAGS: &[&str] = &[
    "",
    "@label=s1 ",
    "@label=s2;batch=a ",
    "@batch=a ",
    "@batch=b;msgid=m1 ",
    "@batch=b;draft/multiline-concat ",
    "@msgid=m2;time=2026-11-22T10:00:00Z ",
    "@time=never;account=x;+draft/reply=m1;+draft/react=x ",
];
const SOURCES: &[&str] = &["", ":bot ", ":bot!~bot@host.test ", ":ann!a@h ", ":irc.test ", ":! "];
const COMMANDS: &[&str] = &[
    "PRIVMSG",
    "NOTICE",
    "TAGMSG",
    "REDACT",
    "BATCH",
    "CAP",
    "JOIN",
    "PART",
    "KICK",
    "QUIT",
    "NICK",
    "MODE",
    "INVITE",
    "KILL",
    "ACCOUNT",
    "CHGHOST",
    "ACK",
    "FAIL",
    "PONG",
    "AUTHENTICATE",
    "001",
    "005",
    "353",
    "396",
    "401",
    "403",
    "404",
    "407",
    "408",
    "417",
    "421",
    "422",
    "432",
    "433",
    "437",
    "439",
    "442",
    "470",
    "471",
    "473",
    "474",
    "475",
    "477",
    "480",
    "713",
    "731",
    "900",
    "903",
    "904",
];
const PARAMS: &[&str] = &[
    "#c",
    "#d",
    "@#c",
    "bot",
    "ann",
    "+a",
    "-a",
    "+b",
    "-b",
    "+k",
    "draft/multiline",
    "chathistory",
    "netsplit",
    "LS",
    "ACK",
    "NEW",
    "DEL",
    "*",
    "CASEMAPPING=rfc1459",
    "CHANTYPES=",
    "LINELEN=1",
    "PREFIX=(",
    "sr1",
    ":sr2",
    "CHATHISTORY",
    "RELAYMSG",
    ":hello there",
    ":",
    ":\u{1}ACTION x",
    ":<ann> one",
    "é\u{301}",
];

proptest! {
    #[test]
    fn t6_whatever_is_delivered_every_line_is_one_that_we_meant(
        who in nasty(), action in action(), copy in nasty(), caps in 0usize..4,
    ) {
        let caps = [
            "",
            "message-tags batch echo-message labeled-response draft/message-redaction",
            "message-tags batch echo-message labeled-response draft/relaymsg=/",
            "message-tags batch draft/multiline=max-bytes=4096,max-lines=5",
        ][caps];
        let mut irc = Setup { settings: serde_json::json!({ "flood": { "burst": 1000, "per_second": 100.0 } }), ..Setup::default() }
            .joined(caps, "CASEMAPPING=ascii");
        irc.does_to("#c", &who, action, &[&copy]);
        check(&irc, caps.contains("relaymsg"));
        prop_assert!(!irc.sent.is_empty() || irc.settled.len() == 1);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0usize..600) {
        let mut irc = plain();
        irc.says("ann", "hi");
        let cut = cut.min(bytes.len());
        irc.server_bytes(&bytes[..cut]);
        irc.server_bytes(&bytes[cut..]);
        irc.server_bytes(b"\r\n");
        irc.passes(1);
    }

    #[test]
    fn arbitrary_lines_never_panic(
        lines in prop::collection::vec(
            (select(TAGS), select(SOURCES), select(COMMANDS), prop::collection::vec(select(PARAMS), 0..5)),
            0..40,
        ),
    ) {
        let mut irc = Setup::fast().joined(
            "message-tags server-time batch echo-message labeled-response draft/chathistory draft/multiline=max-bytes=999 draft/relaymsg=/",
            "CASEMAPPING=ascii KNOCK",
        );
        for (n, (tags, source, command, params)) in lines.into_iter().enumerate() {
            if n % 7 == 0 {
                irc.says("ann", "one\ntwo");
            }
            irc.server(&format!("{tags}{source}{command} {}", params.join(" ")));
        }
        irc.passes(30);
    }

    #[test]
    fn what_the_builder_builds_the_parser_reads(
        key in "[a-z+][a-z/.-]{0,8}", value in any::<String>(), middle in "[!-9;-~][!-~]{0,10}", trailing in any::<String>(),
    ) {
        match codec::line(&[(&key, &value)], "PRIVMSG", &[&middle], Some(&trailing), LINE_MAX) {
            Ok(bytes) => {
                prop_assert_eq!(bytes.split(|b| *b == b'\n').count(), 2);
                let read = parse(bytes.strip_suffix(b"\r\n").unwrap()).unwrap();
                prop_assert_eq!(read.tags.get(&key), Some(&value));
                prop_assert_eq!(read.params, [middle, trailing]);
            }
            Err(_) => prop_assert!(value.contains('\0') || trailing.contains(['\r', '\n', '\0']) || trailing.len() > 400),
        }
    }
}
