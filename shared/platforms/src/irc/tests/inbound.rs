//! What people say, as events.

use sameroom_model::{EventKind, MessageKey};

use super::world::{Setup, World, plain};
use crate::{Input, LinkId};

const TAGS: &str =
    "message-tags server-time account-tag extended-join account-notify batch draft/multiline=max-bytes=4096";
const HISTORY: &str = "message-tags server-time batch draft/chathistory";

fn tagged() -> World {
    Setup::fast().joined(TAGS, "CASEMAPPING=rfc1459 STATUSMSG=@+")
}

#[test]
fn messages_actions_and_what_is_neither() {
    let mut irc = plain();
    irc.server(":ann!a@h PRIVMSG #c :hello \u{2}there\u{2}");
    let event = irc.hears("ann", "hello there");
    assert_eq!(event.room.key.as_str(), "#c");
    assert_eq!(event.author.as_ref().unwrap().key.as_str(), "nick:ann");
    let key = format!("{}-", irc.now.as_millisecond());
    assert!(event.id.as_str().starts_with(&format!("#c {key}")));
    irc.server(":ann!a@h PRIVMSG #C :\u{1}ACTION waves\u{1}");
    let event = irc.hears("ann", "waves");
    assert!(matches!(event.kind, EventKind::Posted(message) if message.emote));
    irc.server(":ann!a@h PRIVMSG #c :\u{1}ACTION was cut");
    irc.hears("ann", "was cut");
    irc.server(":ann!a@h PRIVMSG #c :\u{1}VERSION\u{1}");
    irc.server(":ann!a@h PRIVMSG #c :\u{1}DCC SEND x 1 2 3\u{1}");
    irc.server(":ann!a@h PRIVMSG bot :psst");
    irc.server(":ann!a@h PRIVMSG #elsewhere :hi");
    irc.server(":ann!a@h NOTICE #c :beep");
    irc.server(":ann!a@h PRIVMSG #c :");
    irc.server(":bot!~bot@host.test PRIVMSG #c :my own words");
    irc.server(":ann!a@h TOPIC #c :new topic");
    irc.hears_nothing();
    irc.silence();
}

#[test]
fn keys_are_different_for_every_line() {
    let mut irc = plain();
    irc.server(":ann!a@h PRIVMSG #c :a\r\n:ann!a@h PRIVMSG #c :a");
    let (one, two) = (irc.hears("ann", "a"), irc.hears("ann", "a"));
    assert_ne!(one.id, two.id);
}

#[test]
fn notices_by_choice() {
    let mut irc = Setup { settings: serde_json::json!({ "notices": true }), ..Setup::default() }.joined("", "A=B");
    irc.server(":ann!a@h NOTICE #c :beep");
    irc.hears("ann", "beep");
}

#[test]
fn tags_tell_id_time_account_bot_and_reply() {
    let mut irc = tagged();
    irc.server("@msgid=m1;time=2026-11-22T10:00:01.500Z;account=annie;+draft/reply=m0;bot :ann!a@h PRIVMSG @#c :hi");
    let event = irc.hears("ann", "hi");
    assert_eq!((event.id.as_str(), event.at.to_string().as_str()), ("#c m1", "2026-11-22T10:00:01.5Z"));
    let author = event.author.unwrap();
    assert_eq!((author.key.as_str(), author.bot, author.username), ("account:annie", true, None));
    let EventKind::Posted(message) = event.kind else { panic!() };
    assert_eq!((message.key.as_str(), message.reply_to), ("m1", Some(MessageKey::from("m0"))));
    // The same line again is the same event: told once.
    irc.server("@msgid=m1 :ann!a@h PRIVMSG #c :hi");
    irc.hears_nothing();
}

#[test]
fn accounts_are_followed() {
    let mut irc = tagged();
    irc.server(":Ann[x]!a@h JOIN #c annie :Ann");
    assert_eq!(irc.events.pop_front().unwrap().author.unwrap().key.as_str(), "account:annie");
    irc.server(":ann{x}!a@h ACCOUNT *");
    irc.server(":Ann[x]!a@h PRIVMSG #c :hi");
    assert_eq!(irc.hears("Ann[x]", "hi").author.unwrap().key.as_str(), "nick:ann{x}");
    irc.server(":bob!a@h JOIN #c * :Bob");
    assert_eq!(irc.events.pop_front().unwrap().author.unwrap().key.as_str(), "nick:bob");
}

#[test]
fn reactions_and_deletions() {
    let mut irc = tagged();
    irc.server("@msgid=m2;+draft/reply=m1;+draft/react=👍 :ann!a@h TAGMSG #c");
    let reacted = |emoji: &str, on| EventKind::Reacted { key: "m1".into(), emoji: emoji.into(), on };
    assert_eq!(irc.events.pop_front().unwrap().kind, reacted("👍", true));
    irc.server("@msgid=m3;+draft/reply=m1;+draft/unreact=👍 :ann!a@h TAGMSG #c");
    assert_eq!(irc.events.pop_front().unwrap().kind, reacted("👍", false));
    irc.server("@+typing=active :ann!a@h TAGMSG #c");
    irc.hears_nothing();
    irc.server(":ann!a@h REDACT #c m1 :oops");
    assert_eq!(irc.events.pop_front().unwrap().kind, EventKind::Deleted("m1".into()));
}

#[test]
fn multiline_messages_are_one() {
    let mut irc = tagged();
    irc.server("@msgid=m1;account=annie :ann!a@h BATCH +1 draft/multiline #c");
    irc.server("@batch=1 :ann!a@h PRIVMSG #c :one");
    irc.server("@batch=1 :ann!a@h PRIVMSG #c :two ");
    irc.server("@batch=1;draft/multiline-concat :ann!a@h PRIVMSG #c :and a half");
    irc.hears_nothing();
    irc.server(":bob!b@h PRIVMSG #c :in between");
    irc.server(":irc.test BATCH -1");
    irc.hears("bob", "in between");
    let event = irc.hears("ann", "one\ntwo and a half");
    assert_eq!((event.id.as_str(), event.author.unwrap().key.as_str()), ("#c m1", "account:annie"));
}

#[test]
fn windows_1252_and_half_characters() {
    let mut irc = plain();
    irc.server_bytes(b":ann!a@h PRIVMSG #c :caf\xe9 \x96 na\xefve\r\n");
    irc.hears("ann", "café – naïve");
    irc.server_bytes(b":ann!a@h PRIVMSG #c :\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\r\n");
    irc.hears("ann", "日本");
}

#[test]
fn playback_of_the_past_is_no_news() {
    let mut irc = tagged();
    irc.server("@time=2026-11-22T09:00:00.000Z :ann!a@h PRIVMSG #c :an hour old");
    irc.server(":irc.test BATCH +1 chathistory #c");
    irc.server("@batch=1;time=2026-11-22T09:59:00.000Z :ann!a@h PRIVMSG #c :not asked for");
    irc.server(":irc.test BATCH -1");
    irc.server(":irc.test BATCH +2 znc.in/playback #c");
    irc.server("@batch=2 :ann!a@h PRIVMSG #c :from the bouncer");
    irc.server(":irc.test BATCH -2");
    irc.hears_nothing();
    irc.server("@time=2026-11-22T09:59:00.000Z :ann!a@h PRIVMSG #c :a slow server");
    irc.hears("ann", "a slow server");
}

#[test]
fn a_gap_is_filled_from_history_in_order() {
    let mut irc = Setup { seen: Some("2026-11-22T09:00:00.000Z m1"), ..Setup::fast() }.joined(HISTORY, "CHATHISTORY=2");
    irc.server(":bob!b@h PRIVMSG #d :other room");
    irc.sent.clear();
    irc.server("@time=2026-11-22T10:00:00.000Z;msgid=m5 :bob!b@h PRIVMSG #c :live");
    irc.hears_nothing();
    irc.server(":irc.test BATCH +1 chathistory #c");
    irc.server("@batch=1;time=2026-11-22T09:10:00.000Z;msgid=m2 :ann!a@h PRIVMSG #c :missed");
    irc.server("@batch=1;time=2026-11-22T09:11:00.000Z;msgid=m3 :bot!~bot@h PRIVMSG #c :<x> my own");
    irc.server(":irc.test BATCH -1");
    let event = irc.hears("ann", "missed");
    assert_eq!(event.at.to_string(), "2026-11-22T09:10:00Z");
    irc.hears_nothing();
    irc.client("CHATHISTORY AFTER #c msgid=m3 2");
    irc.server(":irc.test BATCH +2 chathistory #c");
    irc.server("@batch=2;time=2026-11-22T09:12:00.000Z;msgid=m4 :ann!a@h PRIVMSG #c :missed too");
    irc.server(":irc.test BATCH -2");
    irc.hears("ann", "missed too");
    irc.hears("bob", "live");
    assert_eq!(irc.marks.pop_back().unwrap(), ("#c".into(), "2026-11-22T10:00:00.000Z m5".into()));
}

#[test]
fn a_gap_is_asked_for_after_every_reconnect() {
    let mut irc = Setup::fast().start();
    irc.connects(HISTORY, "CHATHISTORY=0");
    irc.server("@time=2026-11-22T10:00:00.000Z :bot!~bot@host.test JOIN #c");
    assert!(!irc.sent.iter().any(|line| line.starts_with("CHATHISTORY")), "there is no gap before the first JOIN");
    irc.server("@time=2026-11-22T10:00:05.000Z;msgid=m1 :ann!a@h PRIVMSG #c :hi");
    irc.hears("ann", "hi");
    irc.handle(Input::Closed(LinkId::MAIN, "reset"));
    irc.passes(2);
    irc.connects(HISTORY, "CHATHISTORY=0");
    irc.server(":bot!~bot@host.test JOIN #c");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("CHATHISTORY AFTER #c msgid=m1 100"));
    // The server has forgotten that message: by time then, and if that fails too, without.
    irc.server(":ann!a@h PRIVMSG #c :live");
    irc.server(":irc.test FAIL CHATHISTORY MESSAGE_ERROR AFTER #c msgid=m1 :no such message");
    assert_eq!(irc.sent.pop_back().as_deref(), Some("CHATHISTORY AFTER #c timestamp=2026-11-22T10:00:05.000Z 100"));
    irc.server(":irc.test FAIL CHATHISTORY MESSAGE_ERROR AFTER #c timestamp=x :sorry");
    irc.hears("ann", "live");
}

#[test]
fn history_that_never_comes_holds_nothing_back_for_long() {
    let mut irc = Setup { seen: Some("2026-11-22T09:00:00.000Z m1"), ..Setup::fast() }.joined(HISTORY, "A=B");
    irc.server(":ann!a@h PRIVMSG #c :live");
    irc.hears_nothing();
    irc.passes(30);
    irc.hears("ann", "live");
}
