//! Local rooms: the laws of every platform, and what is their own.

use bytes::Bytes;
use http::Request;
use sameroom_model::{Event, EventKind, Opened};
use serde_json::{Value, json};
use url::Url;

use super::Local;
use crate::suite::{Fixture, Inbound, now, opened};
use crate::{Platform, Rejected};

const ROOM: &str = "q7A1m-_2Vb0x5Zk9Jc3Rf8Lw6Nd4Tg1Yh7Us2Pe0Xo8";
const ADA: &str = "browser-secret-0001";
const ADA_KEY: &str = "INTSUd2Fb6R4wVri";

platform_tests!(fixture());

fn fixture() -> Fixture {
    let names = ["post", "reply_emote", "edit", "delete", "react"];
    let readme = include_str!("README.md").split("```json\n").skip(1);
    let bodies: Vec<_> = readme.map(|rest| Bytes::from(rest.split("```").next().unwrap())).collect();
    assert_eq!(names.len(), bodies.len());
    Fixture {
        platform: &Local,
        account: account(),
        urls: &["local:tea-room?token=q7A1m-_2Vb0x5Zk9Jc3Rf8Lw6Nd4Tg1Yh7Us2Pe0Xo8"],
        fields: &[],
        room: ROOM,
        message: "INTSUd2Fb6R4wVri.a",
        inbound: Some(Inbound {
            bodies: names.into_iter().zip(bodies).collect(),
            request: |_, body, _| request(&format!("/{ROOM}"), body),
            proof: None,
        }),
        outbound: None,
        session: None,
    }
}

fn account() -> Opened {
    opened(Local.locate(&url(&format!("local:tea-room?token={ROOM}"))).unwrap().account)
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn request(path: &str, body: &[u8]) -> Request<Bytes> {
    Request::post(path).body(Bytes::copy_from_slice(body)).unwrap()
}

/// Does something in a room, as a browser with a secret and a name.
fn does(room: &str, who: (&str, &str), mut deed: Value) -> Result<(Event, Value), Rejected> {
    deed["author"] = json!({ "id": who.0, "name": who.1 });
    let mut webhook = Local.receive(&account(), &request(&format!("/{room}"), deed.to_string().as_bytes()), now())?;
    assert_eq!(webhook.reply.status(), 200);
    Ok((webhook.events.remove(0), serde_json::from_slice(webhook.reply.body()).unwrap()))
}

fn why(deed: Value) -> String {
    does(ROOM, (ADA, "Ada"), deed).unwrap_err().to_string()
}

#[test]
fn a_retry_is_the_same_message_and_anything_else_is_another() {
    let post = |room, who, id| does(room, who, json!({ "type": "post", "id": id, "text": "hi" })).unwrap();
    let (event, reply) = post(ROOM, (ADA, "Ada"), "c1");
    let EventKind::Posted(message) = &event.kind else { panic!() };
    assert_eq!(reply, json!({ "author": ADA_KEY, "key": message.key }));
    assert_eq!(event.author.as_ref().unwrap().key.as_str(), ADA_KEY);
    let (again, _) = post(ROOM, (ADA, "Ada Lovelace"), "c1");
    assert_eq!(again.id, event.id);
    let elsewhere = ROOM.replace('q', "p");
    for other in [
        post(ROOM, (ADA, "Ada"), "c2"),
        post(ROOM, ("browser-secret-0002", "Ada"), "c1"),
        post(&elsewhere, (ADA, "Ada"), "c1"),
    ] {
        assert_ne!(other.0.id, event.id);
    }
}

#[test]
fn only_its_author_changes_a_message_and_anybody_reacts() {
    let (_, reply) = does(ROOM, (ADA, "Ada"), json!({ "type": "post", "id": "c1", "text": "hi" })).unwrap();
    let deed = |kind| json!({ "type": kind, "id": "c2", "key": reply["key"], "text": "ho", "emoji": "🎉" });
    let eve = ("browser-secret-0002", "Ada");
    assert!(does(ROOM, (ADA, "Ada"), deed("edit")).is_ok() && does(ROOM, (ADA, "Ada"), deed("delete")).is_ok());
    assert!(does(ROOM, eve, deed("react")).is_ok());
    insta::assert_snapshot!(does(ROOM, eve, deed("edit")).unwrap_err(), @"Only its author can change a message.");
    insta::assert_snapshot!(does(ROOM, eve, deed("delete")).unwrap_err(), @"Only its author can change a message.");
    // Knowing an author's key is of no use, nor is a key that is none of ours.
    assert!(does(ROOM, (&format!("{ADA_KEY}{ADA_KEY}"), "Ada"), deed("edit")).is_err());
    for key in ["", ".", "x", &format!("{ADA_KEY}x.y"), &ADA_KEY[..15], ADA_KEY] {
        let outcome = does(ROOM, eve, json!({ "type": "delete", "id": "c2", "key": key }));
        assert!(outcome.is_err(), "{key}");
    }
}

#[test]
fn the_browser_s_secret_stays_here() {
    for deed in [
        json!({ "type": "post", "id": "c1", "text": "hi" }),
        json!({ "type": "react", "id": "c1", "key": "k", "emoji": "🎉" }),
    ] {
        let (event, reply) = does(ROOM, (ADA, "Ada"), deed).unwrap();
        assert!(!format!("{event:?}{reply}").contains(ADA));
    }
    assert!(!why(json!({ "type": "post", "id": "c1" })).contains(ADA));
}

#[test]
fn an_emote_and_markup_are_read() {
    let read =
        |text| match does(ROOM, (ADA, "Ada"), json!({ "type": "post", "id": "c1", "text": text })).unwrap().0.kind {
            EventKind::Posted(message) => (message.emote, message.body.words()),
            _ => panic!(),
        };
    assert_eq!(read("  /me waves\n"), (true, "waves".to_owned()));
    assert_eq!(read("/mess"), (false, "/mess".to_owned()));
    assert_eq!(read("**bold**"), (false, "bold".to_owned()));
}

#[test]
fn what_does_not_do_is_said_in_a_sentence() {
    insta::assert_snapshot!(why(json!({ "type": "post", "id": "c", "text": " \n" })), @"Write something first.");
    insta::assert_snapshot!(why(json!({ "type": "post", "id": "c", "text": "/me  " })), @"Write something first.");
    insta::assert_snapshot!(why(json!({ "type": "post", "id": "c", "text": "x".repeat(16_001) })), @"That is too long: a message has at most 16,000 characters.");
    insta::assert_snapshot!(why(json!({ "type": "post", "id": "", "text": "x" })), @"The id must have 1 to 256 bytes and no control characters.");
    insta::assert_snapshot!(why(json!({ "type": "react", "id": "c", "key": "k" })), @"Choose an emoji to react with.");
    insta::assert_snapshot!(why(json!({ "type": "delete", "id": "c" })), @"The key of the message must have 1 to 256 bytes and no control characters.");
    insta::assert_snapshot!(why(json!({ "type": "shout", "id": "c" })), @"The request does not fit at line 1, column 75.");
    let named = |name: &str| does(ROOM, (ADA, name), json!({ "type": "post", "id": "c", "text": "x" })).map(|_| ());
    for name in ["", "  ", "\u{202e}\u{200b}", &"x".repeat(33), &"e\u{301}".repeat(400)] {
        assert_eq!(
            named(name),
            Err(Rejected::Malformed("Choose a name of 1 to 32 characters.".to_owned())),
            "{name:?}"
        );
    }
    assert_eq!(named(&"e\u{301}".repeat(32)), Ok(()), "as people count them");
    let guest = does(ROOM, ("short", "Ada"), json!({ "type": "post", "id": "c", "text": "x" }));
    assert!(guest.is_err(), "an author's secret can't be guessed");
}

#[test]
fn a_path_that_names_no_room_is_not_found_out() {
    let body = json!({ "type": "post", "id": "c1", "text": "hi", "author": { "id": ADA, "name": "Ada" } }).to_string();
    for path in ["/", "/main", &format!("/{ROOM}x"), &format!("/{}", &ROOM[1..]), &format!("/x/{ROOM}")] {
        let answer = Local.receive(&account(), &request(path, body.as_bytes()), now());
        assert_eq!(answer.err(), Some(Rejected::Unauthorized), "{path}");
    }
}

#[test]
fn a_url_is_a_name_and_a_token() {
    let located = Local.locate(&url(&format!("local:Tea%20room?token={ROOM}"))).unwrap();
    assert_eq!((located.room.key.as_str(), located.room.name.as_str()), (ROOM, "Tea room"));
    assert_eq!((located.account.endpoint.as_str(), located.account.identity.name.as_str()), ("local:", "local"));
    let why = |text: &str| Local.locate(&url(text)).unwrap_err().to_string();
    insta::assert_snapshot!(why("local:tea-room"), @"A room of Sameroom's own is entered by its token, and this URL has none: let `sameroom` make the room, or add `?token=` and 43 characters of base64url (32 random bytes).");
    insta::assert_snapshot!(why("local:tea-room?token=short"), @"A room of Sameroom's own is entered by its token, and this URL has none: let `sameroom` make the room, or add `?token=` and 43 characters of base64url (32 random bytes).");
    insta::assert_snapshot!(why("local://tea-room"), @"A room of Sameroom's own is written local:NAME, without slashes.");
    insta::assert_snapshot!(why(&format!("local:?token={ROOM}")), @"The room's name after local: must have 1 to 64 characters, for example local:tea-room.");
}
