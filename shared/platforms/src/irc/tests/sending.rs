//! How deliveries look on the wire: authors, splits, files, replies, edits, reactions; and how fast they go.

use sameroom_model::{Access, Action, Attachment, Outcome, Quote, Text};

use super::world::{Setup, World, plain, post};

const ALL: &str = "message-tags server-time batch echo-message labeled-response draft/message-redaction";

fn labelled() -> World {
    Setup::fast().joined(ALL, "CASEMAPPING=ascii")
}

/// Without its label, which counts up.
fn unlabelled(line: &str) -> String {
    let (tags, rest) = line.strip_prefix('@').and_then(|line| line.split_once(' ')).unwrap_or(("", line));
    let tags: Vec<&str> = tags.split(';').filter(|tag| !tag.is_empty() && !tag.starts_with("label=")).collect();
    if tags.is_empty() { rest.to_owned() } else { format!("@{} {rest}", tags.join(";")) }
}

fn next(irc: &mut World) -> String {
    unlabelled(&irc.sent.pop_front().expect("a line"))
}

#[test]
fn authors_emotes_notices_and_edits() {
    let mut irc = plain();
    irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<ann> hi");
    irc.pong();
    irc.does("#c", "ann", Action::Post { body: Text::plain("waves"), emote: true, attachments: vec![], reply: None });
    irc.client("PRIVMSG #c :* ann waves");
    irc.pong();
    irc.does("#c", "ann", Action::Edit { body: Text::plain("hello"), emote: false });
    irc.client("PRIVMSG #c :<ann> (edited) hello");
    irc.pong();
    irc.does("#c", "", Action::Notice { body: Text::plain("A Tube opened.") });
    irc.client("PRIVMSG #c :A Tube opened.");
    irc.pong();
}

#[test]
fn what_the_server_can_not_do_is_done() {
    let mut irc = plain();
    let delete = irc.does_to("#c", "ann", Action::Delete, &["key"]);
    irc.done(&delete);
    let react = irc.does_to("#c", "ann", Action::React { emoji: "👍".into(), on: true }, &["key"]);
    irc.done(&react);
    let empty = irc.says("ann", "");
    irc.done(&empty);
    irc.silence();
}

#[test]
fn nobody_is_highlighted_by_a_copy_of_their_own_nick() {
    let mut irc = plain();
    irc.server(":irc.test 353 bot = #c :@Ann +bob!b@h bot");
    irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<a\u{200B}nn> hi");
    irc.pong();
    irc.says("Dr (Bob)", "hi");
    irc.client("PRIVMSG #c :<Dr (B\u{200B}ob)> hi");
    irc.pong();
    irc.server(":Ann!a@h PART #c");
    irc.says("ann", "hi");
    irc.client("PRIVMSG #c :<ann> hi");
}

#[test]
fn names_can_not_pretend() {
    let mut irc = plain();
    irc.says("a\u{202E}n\r\nQUIT\u{1}\u{2}n", "\u{1}VERSION\u{1}\nJOIN 0");
    let line = irc.sent.pop_front().unwrap();
    assert!(line.starts_with("PRIVMSG #c :<an"), "{line:?}");
    assert!(line.ends_with("> VERSION"), "{line:?}");
    irc.sent.retain(|line| !line.starts_with("PING"));
    let line = irc.sent.pop_front().unwrap();
    assert!(line.starts_with("PRIVMSG #c :<an") && line.ends_with("> JOIN 0"), "{line:?}");
}

#[test]
fn replies_by_tag_or_by_a_short_quote() {
    let reply = |key: Option<&str>, author: Option<&str>, excerpt: Option<&str>| Action::Post {
        body: Text::plain("yes"),
        emote: false,
        attachments: Vec::new(),
        reply: Some(Quote {
            key: key.map(Into::into),
            author: author.map(Into::into),
            excerpt: excerpt.map(Into::into),
            ..Quote::default()
        }),
    };
    let mut irc = labelled();
    irc.does("#c", "ann", reply(Some("m1"), Some("bob"), Some("ready?")));
    assert_eq!(next(&mut irc), "@+draft/reply=m1 PRIVMSG #c :<ann> yes");
    irc.does("#c", "ann", reply(Some("1795311478000-12"), Some("bob"), Some("ready?")));
    assert_eq!(next(&mut irc), "PRIVMSG #c :<ann> (re bob: \"ready?\") yes");

    let mut irc = plain();
    for (author, excerpt, expected) in [
        (Some("bob"), Some("ready\nor not?"), "(re bob: \"ready or not?\") yes"),
        (Some("bob"), None, "(re bob) yes"),
        (None, Some("ready?"), "(re \"ready?\") yes"),
        (None, None, "yes"),
    ] {
        irc.does("#c", "ann", reply(Some("m1"), author, excerpt));
        irc.client(&format!("PRIVMSG #c :<ann> {expected}"));
        irc.pong();
    }
}

#[test]
fn files_are_links() {
    let mut irc = plain();
    let file = |name: &str, url: &str| Attachment {
        name: name.into(),
        mime: None,
        size: None,
        url: url.into(),
        access: Access::Public,
        content: None,
    };
    irc.does(
        "#c",
        "ann",
        Action::Post {
            body: Text::plain("look"),
            emote: false,
            attachments: vec![file("cat.png", "https://x.test/1"), file("", "https://x.test/2")],
            reply: None,
        },
    );
    irc.sent.retain(|line| !line.starts_with("PING"));
    irc.client("PRIVMSG #c :<ann> look");
    irc.client("PRIVMSG #c :<ann> cat.png: https://x.test/1");
    irc.client("PRIVMSG #c :<ann> https://x.test/2");
}

#[test]
fn deletions_and_reactions_where_the_server_has_them() {
    let mut irc = labelled();
    irc.does_to("#c", "ann", Action::Delete, &["m1", "m2"]);
    assert_eq!(next(&mut irc), "REDACT #c :m1");
    assert_eq!(next(&mut irc), "REDACT #c :m2");
    irc.does_to("#c", "ann", Action::React { emoji: "👍".into(), on: true }, &["m1"]);
    assert_eq!(next(&mut irc), "@+draft/reply=m1;+draft/react=👍 TAGMSG #c");
    irc.does_to("#c", "ann", Action::React { emoji: "👍".into(), on: false }, &["m1"]);
    assert_eq!(next(&mut irc), "@+draft/reply=m1;+draft/unreact=👍 TAGMSG #c");
}

#[test]
fn a_failed_redaction_is_left_out() {
    let mut irc = labelled();
    let id = irc.does_to("#c", "ann", Action::Delete, &["m1"]);
    let label = irc.sent.pop_front().unwrap();
    let label = label.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.server(&format!("@label={label} FAIL REDACT REDACT_FORBIDDEN #c m1 :You may not"));
    irc.done(&id);
}

/// What another client gets is `:bot!~bot@host.test PRIVMSG #c :…`, and has 512 bytes with CRLF.
fn room(mask: &str) -> usize {
    512 - 2 - format!(":{mask} PRIVMSG #c :").len()
}

#[test]
fn f39_a_text_of_exactly_the_room_is_one_line_and_a_byte_more_is_two() {
    for (mask, learn) in [
        ("bot!~bot@host.test", None),
        (
            "bot!~bot@a.much.longer.cloak.test",
            Some(":irc.test 396 bot a.much.longer.cloak.test :is now your displayed host"),
        ),
        ("bot!user@cloak", Some(":bot!~bot@host.test CHGHOST user cloak")),
        ("bot!u@h", Some(":irc.test 396 bot u@h :is now your displayed host")),
    ] {
        let mut irc = plain();
        if let Some(line) = learn {
            irc.server(line);
        }
        let text = "x".repeat(room(mask) - "<ann> ".len());
        irc.says("ann", &text);
        irc.client(&format!("PRIVMSG #c :<ann> {text}"));
        irc.pong();
        irc.silence();
        irc.says("ann", &format!("{text}y"));
        irc.sent.retain(|line| !line.starts_with("PING"));
        irc.client(&format!("PRIVMSG #c :<ann> {text}"));
        irc.client("PRIVMSG #c :<ann> y");
    }
}

#[test]
fn f39_graphemes_stay_whole_and_formatting_goes_on() {
    let mut irc = plain();
    let flag = "🏳️‍🌈";
    irc.says("ann", &flag.repeat(200));
    let lines: Vec<String> =
        irc.sent.drain(..).filter_map(|l| l.strip_prefix("PRIVMSG #c :<ann> ").map(str::to_owned)).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.replace(flag, "").is_empty()));

    let mut irc = plain();
    let bold = sameroom_model::Inline::Strong(vec![sameroom_model::Inline::Text("word ".repeat(150).trim().into())]);
    irc.does("#c", "ann", post(Text { blocks: vec![sameroom_model::Block::Paragraph(vec![bold])] }));
    let lines: Vec<String> =
        irc.sent.drain(..).filter_map(|l| l.strip_prefix("PRIVMSG #c :<ann> ").map(str::to_owned)).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.starts_with('\u{2}')));
}

#[test]
fn a_longer_line_where_the_server_has_them() {
    let mut irc = Setup::fast().joined("", "CASEMAPPING=ascii LINELEN=2048");
    irc.says("ann", &"x".repeat(1500));
    assert_eq!(irc.sent.pop_front().unwrap().len(), "PRIVMSG #c :<ann> ".len() + 1500);
}

#[test]
fn the_bucket_queues_and_drops_nothing() {
    let mut irc = Setup::default().joined("", "CASEMAPPING=ascii");
    irc.passes(10);
    let ids: Vec<String> = (0..10).map(|n| irc.says("ann", &n.to_string())).collect();
    let messages = |irc: &World| irc.sent.iter().filter(|line| line.starts_with("PRIVMSG")).count();
    assert_eq!(messages(&irc), 4);
    irc.passes_ms(999);
    assert_eq!(messages(&irc), 4);
    irc.passes_ms(1);
    assert_eq!(messages(&irc), 5);
    irc.passes(2);
    assert_eq!(messages(&irc), 7);
    irc.passes(3);
    assert_eq!(messages(&irc), 10);
    irc.unsettled();
    // One barrier at a time: the first PONG brings the next.
    assert_eq!(irc.sent.iter().filter(|line| line.starts_with("PING")).count(), 1);
    irc.sent.retain(|line| line.starts_with("PING"));
    irc.pong();
    irc.done(&ids[0]);
    irc.pong();
    for id in &ids[1..] {
        irc.done(id);
    }
}

#[test]
fn f58_a_hundred_lines_in_order_on_a_limited_bucket() {
    let mut irc = Setup::default().joined("", "CASEMAPPING=ascii");
    let ids: Vec<String> = (0..100).map(|n| irc.says("ann", &format!("line {n}"))).collect();
    let mut heard = Vec::new();
    for _ in 0..120 {
        irc.passes(1);
        while let Some(line) = irc.sent.pop_front() {
            if let Some(token) = line.strip_prefix("PING :").map(str::to_owned) {
                irc.server(&format!(":irc.test PONG irc.test :{token}"));
            } else {
                heard.push(line);
            }
        }
    }
    assert_eq!(heard, (0..100).map(|n| format!("PRIVMSG #c :<ann> line {n}")).collect::<Vec<_>>());
    for id in &ids {
        irc.done(id);
    }
}

#[test]
fn no_more_than_1500_bytes_are_unanswered() {
    let mut irc =
        Setup { settings: serde_json::json!({ "flood": { "burst": 100, "per_second": 1.0 } }), ..Setup::default() }
            .joined("", "CASEMAPPING=ascii");
    for _ in 0..20 {
        irc.says("ann", &"x".repeat(400));
    }
    let bytes: usize = irc.sent.iter().filter(|line| line.starts_with("PRIVMSG")).map(|line| line.len() + 2).sum();
    assert!((800..=1500).contains(&bytes), "{bytes}");
    irc.sent.retain(|line| line.starts_with("PING"));
    irc.pong();
    assert!(irc.sent.iter().any(|line| line.starts_with("PRIVMSG")));
}

#[test]
fn pong_passes_the_bucket_and_rooms_take_turns() {
    let mut irc = Setup { rooms: vec!["#a", "#b"], ..Setup::default() }.joined("", "CASEMAPPING=ascii");
    irc.passes(10);
    for n in 0..20 {
        irc.says_in("#a", "ann", &n.to_string());
    }
    irc.sent.clear();
    irc.server("PING :abc");
    irc.client("PONG :abc");
    irc.says_in("#b", "bob", "one");
    irc.passes(2);
    assert!(irc.sent.iter().any(|line| line == "PRIVMSG #b :<bob> one"), "{:?}", irc.sent);
}

#[test]
fn relaymsg_where_it_is_offered() {
    let caps = format!("{ALL} draft/relaymsg=/");
    let mut irc = Setup::fast().joined(&caps, "CASEMAPPING=ascii NICKLEN=30");
    let id = irc.says("Ann Smith", "hello");
    let line = irc.sent.pop_front().unwrap();
    assert_eq!(unlabelled(&line), "RELAYMSG #c Ann-Smith/sr :hello");
    let label = line.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.server(&format!("@label={label};msgid=m9;draft/relaymsg=bot :Ann-Smith/sr!relay@irc.test PRIVMSG #c :hello"));
    assert_eq!(irc.outcome(&id), Outcome::Done { keys: vec!["m9".into()] });
    irc.hears_nothing();
    irc.does("#c", "ann", Action::Post { body: Text::plain("waves"), emote: true, attachments: vec![], reply: None });
    assert_eq!(next(&mut irc), "RELAYMSG #c ann/sr :\u{1}ACTION waves\u{1}");
    // Another's relay is somebody's words.
    irc.server("@draft/relaymsg=otherbot :eve/x!relay@irc.test PRIVMSG #c :hi");
    irc.hears("eve/x", "hi");
}

#[test]
fn relaymsg_refused_falls_back_to_the_prefix() {
    let caps = format!("{ALL} draft/relaymsg=/");
    let mut irc = Setup::fast().joined(&caps, "CASEMAPPING=ascii");
    let emote = irc.does(
        "#c",
        "ann",
        Action::Post { body: Text::plain("waves"), emote: true, attachments: vec![], reply: None },
    );
    let line = irc.sent.pop_front().unwrap();
    let label = line.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.server(&format!("@label={label} FAIL RELAYMSG PRIVS_NEEDED #c :You need privileges"));
    let line = irc.sent.pop_front().unwrap();
    assert_eq!(unlabelled(&line), "PRIVMSG #c :* ann waves");
    let label = line.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.server(&format!("@label={label};msgid=m1 :bot!~bot@host.test PRIVMSG #c :* ann waves"));
    assert_eq!(irc.outcome(&emote), Outcome::Done { keys: vec!["m1".into()] });
    irc.says("ann", "next");
    assert_eq!(next(&mut irc), "PRIVMSG #c :<ann> next");
}

#[test]
fn multiline_where_it_is_offered() {
    let caps = format!("{ALL} draft/multiline=max-bytes=4096,max-lines=10");
    let mut irc = Setup::fast().joined(&caps, "CASEMAPPING=ascii");
    let id = irc.says("ann", &format!("one\n{}", "x".repeat(600)));
    let opening = irc.sent.pop_front().unwrap();
    let batch = unlabelled(&opening).strip_prefix("BATCH +").unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(unlabelled(&opening), format!("BATCH +{batch} draft/multiline #c"));
    irc.client(&format!("@batch={batch} PRIVMSG #c :<ann> one"));
    let first = irc.sent.pop_front().unwrap();
    let second = irc.sent.pop_front().unwrap();
    assert!(first.starts_with(&format!("@batch={batch} PRIVMSG #c :xxx")));
    assert!(second.starts_with(&format!("@batch={batch};draft/multiline-concat PRIVMSG #c :xxx")));
    let xs = |line: &str| line.bytes().filter(|b| *b == b'x').count();
    assert_eq!(xs(&first) + xs(&second), 600);
    irc.client(&format!("BATCH -{batch}"));
    irc.silence();
    let label = opening.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.server(&format!("@label={label};msgid=m5 :bot!~bot@host.test BATCH +9 draft/multiline #c"));
    irc.server("@batch=9 :bot!~bot@host.test PRIVMSG #c :<ann> one");
    irc.server(":irc.test BATCH -9");
    assert_eq!(irc.outcome(&id), Outcome::Done { keys: vec!["m5".into()] });
    irc.hears_nothing();
}

#[test]
fn multiline_refused_becomes_lines() {
    let caps = format!("{ALL} draft/multiline=max-bytes=4096,max-lines=10");
    let mut irc = Setup::fast().joined(&caps, "CASEMAPPING=ascii");
    irc.says("ann", "one\ntwo");
    let opening = irc.sent.pop_front().unwrap();
    let label = opening.strip_prefix("@label=").unwrap().split(' ').next().unwrap().to_owned();
    irc.sent.clear();
    irc.server(&format!("@label={label} FAIL BATCH MULTILINE_MAX_BYTES 10 :too long"));
    assert_eq!(next(&mut irc), "PRIVMSG #c :<ann> one");
    assert_eq!(next(&mut irc), "PRIVMSG #c :<ann> two");
}
