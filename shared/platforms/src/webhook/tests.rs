//! The webhook's wire: the laws of every platform, and what is its own.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Action, Delivery, EventKind, MessageKey, Opened, Outcome, SignedDuration, Text, Timestamp};
use sameroom_text::{markdown, plain};
use serde_json::{Value, json};
use url::Url;

use super::{Webhook, signature};
use crate::suite::desk;
use crate::suite::{Fixture, Inbound, Outbound, Proof, delivery, now, opened};
use crate::{Answer, Platform, Rejected, Step, Turn};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

platform_tests!(fixture());

fn fixture() -> Fixture {
    let url = format!("webhook+https://example.com/hooks/chat?secret={SECRET}&v=2#general");
    Fixture {
        platform: &Webhook,
        account: opened(Webhook.locate(&Url::parse(&url).unwrap()).unwrap().account),
        urls: &[
            "webhook+https://example.com/hooks/chat?secret={secret}#general",
            "webhook+http://127.0.0.1:8080/?secret={secret}&secret_next=env:NEXT",
        ],
        fields: &[("url", "https://example.com/hooks/chat"), ("secret", "{secret}")],
        room: "general",
        message: "m1",
        inbound: Some(Inbound {
            bodies: examples().iter().map(|(name, body)| (*name, Bytes::from(body.clone()))).collect(),
            request: |account, body, at| signed(account.secrets.get("secret").unwrap(), "msg_1", body, at),
            proof: Some(Proof {
                headers: &[signature::ID, signature::TIMESTAMP, signature::SIGNATURE],
                window: Some(SignedDuration::from_secs(signature::WINDOW)),
            }),
        }),
        outbound: Some(Outbound {
            counted: |request| {
                let message = &json_of(request)["message"];
                Some(message.get("markdown").or(message.get("text"))?.as_str()?.to_owned())
            },
            words: |request| {
                let message = &json_of(request)["message"];
                let read = |text: &Value| text.as_str().map(str::to_owned);
                match read(&message["markdown"]) {
                    Some(text) => markdown::read(&text).words(),
                    None => plain::read(&read(&message["text"]).unwrap()).words(),
                }
            },
        }),
        session: None,
    }
}

/// The examples of the README that come in, named by type and place.
fn examples() -> Vec<(&'static str, String)> {
    let names = [
        "least",
        "posted",
        "edited",
        "deleted",
        "reaction_added",
        "reaction_removed",
        "room_renamed",
        "room_closed",
        "room_opened",
        "member_joined",
        "member_left",
        "member_removed",
        "member_renamed",
    ];
    let bodies = blocks("```json\n");
    assert_eq!(names.len(), bodies.len());
    names.into_iter().zip(bodies).collect()
}

fn blocks(fence: &str) -> Vec<String> {
    let readme = include_str!("README.md");
    readme.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn signed(secret: &str, id: &str, body: &[u8], at: Timestamp) -> Request<Bytes> {
    let timestamp = at.as_second().to_string();
    let signature = signature::sign(&signature::key(secret).unwrap(), id, &timestamp, body).unwrap();
    Request::post("/")
        .header(signature::ID, id)
        .header(signature::TIMESTAMP, timestamp)
        .header(signature::SIGNATURE, signature)
        .body(Bytes::copy_from_slice(body))
        .unwrap()
}

fn json_of(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

fn receive(account: &Opened, body: &Value) -> Result<sameroom_model::Event, Rejected> {
    let request = signed(SECRET, "msg_1", body.to_string().as_bytes(), now());
    Webhook.receive(account, &request, now()).map(|webhook| webhook.events.into_iter().next().unwrap())
}

fn render(action: Action, copies: &[&str]) -> Vec<Value> {
    requests(&prepared(action, copies)).iter().map(json_of).collect()
}

fn requests(delivery: &Delivery) -> Vec<Request<Bytes>> {
    Webhook.render(&fixture().account, delivery, now()).unwrap()
}

fn prepared(action: Action, copies: &[&str]) -> Delivery {
    Delivery {
        copies: copies.iter().map(|key| MessageKey::from(*key)).collect(),
        ..delivery(&fixture(), "dlv", action)
    }
}

fn post(text: &str) -> Action {
    Action::Post { body: Text::plain(text), emote: false, attachments: Vec::new(), reply: None }
}

fn edit(text: &str) -> Action {
    Action::Edit { body: Text::plain(text), emote: false }
}

fn settle(action: Action, copies: &[&str], part: usize, status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let response = response.body(Bytes::from(body.to_owned())).unwrap();
    match Webhook.settle(&fixture().account, &prepared(action, copies), part, "", &response, now()) {
        Turn::Over(outcome) => outcome,
        turn => panic!("{turn:?}"),
    }
}

fn done(keys: &[&str]) -> Outcome {
    Outcome::Done { keys: keys.iter().map(|key| MessageKey::from(*key)).collect() }
}

#[test]
fn the_reference_library_signs_alike() {
    // Also printed by PyPI's standardwebhooks 1.1.0 for these arguments.
    let key = signature::key(SECRET).unwrap();
    let ours = signature::sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    let theirs = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(ours.as_deref(), Some(theirs));

    let mut headers = http::HeaderMap::new();
    headers.insert(signature::ID, "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
    headers.insert(signature::TIMESTAMP, "1614265330".parse().unwrap());
    headers.insert(signature::SIGNATURE, theirs.parse().unwrap());
    let at = Timestamp::from_second(1_614_265_330).unwrap();
    let id = signature::verify(&fixture().account.secrets, &headers, br#"{"test": 2432232314}"#, at);
    assert_eq!(id, Ok("msg_p5jXN8AQM9LWM0D4loKWxJek"));
}

#[test]
fn the_readme_shows_every_kind_and_what_is_really_sent() {
    let kinds: BTreeSet<_> = examples()
        .iter()
        .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.len(), 12);
    let out: Value = serde_json::from_str(&blocks("```json out\n")[0]).unwrap();
    let deliveries = crate::suite::deliveries(&fixture());
    let (_, reply) = deliveries.iter().find(|(name, _)| *name == "reply").unwrap();
    assert_eq!(json_of(&requests(reply)[0]), out);
}

#[test]
fn what_we_send_we_can_read() {
    let account = fixture().account;
    for (name, delivery) in crate::suite::deliveries(&fixture()) {
        if delivery.author.is_none() {
            continue; // A notice has no author, and so is no message of anybody's.
        }
        for request in requests(&delivery) {
            let event = Webhook.receive(&account, &request, now());
            let event = event.unwrap_or_else(|error| panic!("{name}: {error}")).events.remove(0);
            assert_eq!(event.room.key, delivery.lane.to.key);
            if let (EventKind::Posted(message), Action::Post { body, .. }) = (event.kind, &delivery.action) {
                // But for what keeps mass mentions from calling anybody.
                assert_eq!(message.body.words().replace('\u{200b}', ""), body.words(), "{name}");
                assert_eq!(message.body.blocks.len(), body.blocks.len(), "{name}");
            }
        }
    }
}

#[test]
fn secrets_are_changed_without_a_gap() {
    let url = "webhook+https://example.com/?secret=old-secret&secret_next=whsec_bmV3LXNlY3JldA";
    let account = opened(Webhook.locate(&Url::parse(url).unwrap()).unwrap().account);
    let body = br#"{"type":"room.opened"}"#;
    let accepted = |request: &Request<Bytes>| Webhook.receive(&account, request, now()).is_ok();
    assert!(accepted(&signed("old-secret", "a", body, now())));
    assert!(accepted(&signed("new-secret", "a", body, now())), "whsec_ is base64 of the key, padded or not");
    assert!(!accepted(&signed("other-secret", "a", body, now())));

    // A sender that changes its own secret signs with both; schemes that we don't know are passed over.
    let mut both = signed("old-secret", "a", body, now());
    let ours = both.headers()[signature::SIGNATURE].to_str().unwrap().to_owned();
    for signatures in [format!("v1,AAAA v1a,zzzz {ours}"), format!("{ours} v1,AAAA")] {
        both.headers_mut().insert(signature::SIGNATURE, signatures.parse().unwrap());
        assert!(accepted(&both));
    }
    for odd in [ours.replace("v1,", "v1a,"), ours.replace("v1,", "V1,"), ours[3..].to_owned(), format!("{ours}=")] {
        both.headers_mut().insert(signature::SIGNATURE, odd.parse().unwrap());
        assert!(!accepted(&both), "{odd}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence_that_repeats_no_words() {
    let account = fixture().account;
    let why = |body: Value| receive(&account, &body).unwrap_err().to_string();
    insta::assert_snapshot!(why(json!({ "type": "message.posted", "message": { "text": "hi" } })), @"The author is missing.");
    insta::assert_snapshot!(why(json!({ "type": "message.posted", "author": { "name": "A" } })), @"The message is missing.");
    insta::assert_snapshot!(why(json!({ "type": "message.posted", "author": { "name": "A" }, "message": {} })), @"The message.text, message.markdown or message.html is missing.");
    insta::assert_snapshot!(why(json!({ "type": "message.deleted" })), @"The message.id is missing.");
    insta::assert_snapshot!(why(json!({ "type": "room.opened", "room": "x".repeat(300) })), @"The room must have 1 to 256 bytes of UTF-8 and no control characters.");
    insta::assert_snapshot!(why(json!({ "type": "room.opened", "id": "a\nb" })), @"The id must have 1 to 256 bytes of UTF-8 and no control characters.");
    insta::assert_snapshot!(why(json!({ "room": "main" })), @"The JSON does not fit: missing field `type` at line 1 column 15.");
    insta::assert_snapshot!(why(json!({ "type": "room.opened", "message": "my diary" })), @"The JSON does not fit at line 1, column 21: a value there is not of the documented kind.");
    let file = |url: &str| json!({ "type": "message.posted", "author": { "name": "A" }, "message": { "attachments": [{ "name": "f", "url": url }] } });
    insta::assert_snapshot!(why(file("javascript:alert(1)")), @"The url of an attachment must be a whole http or https URL.");
    assert!(receive(&account, &file("https://example.com/f")).is_ok(), "a file needs no words");
}

#[test]
fn f39_long_words_become_several_requests_with_ids_of_their_own() {
    let long = "word ".repeat(8_000);
    let first = render(post(&long), &[]);
    let ids: Vec<_> = first.iter().map(|payload| payload["message"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["dlv", "dlv-1", "dlv-2"]);
    assert!(first.iter().all(|payload| payload["id"] == payload["message"]["id"]));
}

#[test]
fn an_edit_that_needs_more_or_fewer_messages_posts_or_deletes_the_rest() {
    let kinds = |payloads: &[Value]| {
        let kind = |payload: &Value| format!("{} {}", payload["type"], payload["message"]["id"]).replace('"', "");
        payloads.iter().map(kind).collect::<Vec<_>>()
    };
    let long = "word ".repeat(8_000);
    assert_eq!(
        kinds(&render(edit(&long), &["k0"])),
        ["message.edited k0", "message.posted dlv-1", "message.posted dlv-2"]
    );
    assert_eq!(
        kinds(&render(edit("short"), &["k0", "k1", "k2"])),
        ["message.edited k0", "message.deleted k1", "message.deleted k2"]
    );
    assert_eq!(settle(edit(&long), &["k0"], 0, 200, &[], ""), done(&[]));
    assert_eq!(settle(edit(&long), &["k0"], 1, 200, &[], r#"{"id":"k1"}"#), done(&["k1"]));
    assert_eq!(settle(edit(&long), &["k0"], 2, 200, &[], ""), done(&["dlv-2"]));
    assert_eq!(kinds(&render(Action::Delete, &["k0", "k1"])), ["message.deleted k0", "message.deleted k1"]);
}

#[test]
fn a_copy_that_is_not_known_can_not_be_changed() {
    for action in [edit("x"), Action::Delete, Action::React { emoji: "👍".to_owned(), on: true }] {
        let outcome = Webhook.render(&fixture().account, &prepared(action, &[]), now()).unwrap_err();
        assert!(matches!(outcome, Outcome::Refused { .. }));
    }
}

#[test]
fn ids_that_no_header_takes_are_hashed() {
    let id = |id: &str| {
        let delivery = Delivery { id: id.into(), ..prepared(post("x"), &[]) };
        requests(&delivery)[0].headers()[signature::ID].to_str().unwrap().to_owned()
    };
    assert_eq!(id("dlv_1-a"), "dlv_1-a");
    for odd in ["a.b", "", "a b\r\nx: y", "ü", &"x".repeat(200)] {
        assert!(id(odd).len() == 43 && !id(odd).contains('.'), "{odd:?}");
    }
    assert_ne!(id("a.b"), id("a.c"));
}

#[test]
fn the_key_of_the_origin_room_never_leaves() {
    let payload = &requests(&prepared(post("x"), &[]))[0];
    let body = String::from_utf8_lossy(payload.body());
    assert!(!body.contains("the-key-of-the-origin-room") && body.contains("origin"));
}

#[test]
fn a_yes_is_a_yes_whatever_its_body() {
    assert_eq!(settle(post("x"), &[], 0, 200, &[], r#"{"id":"theirs"}"#), done(&["theirs"]));
    // f21: cut short, HTML, of another shape, or an id that is none.
    for body in
        ["", r#"{"id":"the"#, "<html>OK</html>", "[]", "null", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"a\nb"}"#]
    {
        assert_eq!(settle(post("x"), &[], 0, 202, &[], body), done(&["dlv"]), "{body}");
        assert_eq!(settle(post("x"), &[], 2, 204, &[], body), done(&["dlv-2"]), "{body}");
    }
    assert_eq!(settle(Action::Delete, &["k"], 0, 200, &[], r#"{"id":"theirs"}"#), done(&[]));
}

#[test]
fn f19_what_may_get_better_is_tried_again_and_what_won_t_is_not() {
    let answered = |status| settle(post("x"), &[], 0, status, &[], "a body that must not show");
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 599] {
        assert!(matches!(answered(status), Outcome::Retry { after: None, .. }), "{status}");
    }
    for status in [400, 401, 403, 404, 413, 422, 600] {
        assert!(matches!(answered(status), Outcome::Refused { .. }), "{status}");
    }
    assert!(matches!(answered(410), Outcome::Disconnected { .. }));
    let Outcome::Refused { why } = answered(302) else { panic!() };
    insta::assert_snapshot!(why, @"example.com/hooks/chat answered 302 Found: redirects are not followed; connect the address that it leads to");
}

#[test]
fn f16_f17_retry_after_is_passed_on_as_it_is_said() {
    let after = |value| match settle(post("x"), &[], 0, 503, &[("retry-after", value)], "") {
        Outcome::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after("120"), Some(Duration::from_mins(2)));
    assert_eq!(after("Fri, 02 Jan 2026 03:05:05 GMT"), Some(Duration::from_mins(1)));
    assert_eq!(after("-1"), None);
    assert_eq!(after("soon"), None);
}

#[test]
fn a_url_is_an_address_a_secret_and_a_room() {
    let located = Webhook
        .locate(
            &Url::parse(
                "webhook+https://Example.com:8443/hooks/chat/?a=1&secret=env:S&b=x%20y&secret_next=a+b#tea%20room",
            )
            .unwrap(),
        )
        .unwrap();
    assert_eq!(located.account.endpoint, "https://example.com:8443/hooks/chat/?a=1&b=x%20y");
    assert_eq!(located.account.identity.name, "example.com:8443/hooks/chat");
    let secrets = &located.account.secrets;
    assert_eq!((secrets.get("secret"), secrets.get("secret_next")), (Some("env:S"), Some("a+b")));
    let room = (located.room.key.as_str(), located.room.name.as_str(), located.room.site.as_str());
    assert_eq!(room, ("tea room", "tea room", "example.com"));
    let plain = Webhook.locate(&Url::parse("webhook+http://[::1]:9/?secret=x").unwrap()).unwrap();
    assert_eq!((plain.account.endpoint.as_str(), plain.room.key.as_str()), ("http://[::1]:9/", "main"));
}

#[test]
fn a_url_that_does_not_do_says_what_to_do() {
    let why = |url: &str| Webhook.locate(&Url::parse(url).unwrap()).unwrap_err().to_string();
    insta::assert_snapshot!(why("webhook+https://example.com/"), @"A webhook needs a secret that both sides sign with. Make one with `openssl rand -base64 32`, keep it in the environment as whsec_ and that text, and add `?secret=env:NAME` to the URL.");
    insta::assert_snapshot!(why("webhook+https://example.com/?secret="), @"The secret is not usable: after whsec_ must come base64, else any text that is not empty.");
    insta::assert_snapshot!(why("webhook+https://example.com/?secret=whsec_%20"), @"The secret is not usable: after whsec_ must come base64, else any text that is not empty.");
    insta::assert_snapshot!(why("webhook+https://a:b@example.com/?secret=x"), @"Leave user name and password out of the address: requests are signed with the secret instead.");
    insta::assert_snapshot!(why("webhook+ftp://example.com/?secret=x"), @"The address must begin with https:// or http://.");
    insta::assert_snapshot!(why("webhook+https://?secret=x"), @"The webhook's URL is not one: empty host.");
}

#[test]
fn an_account_is_added_by_a_form() {
    let fields = |url: &str, secret: &str| {
        let fields = [("url", url), ("secret", secret)];
        vec![Answer::Fields(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into())]
    };
    let Ok(Step::Done(draft)) = Webhook.onboard(&desk(), &fields(" https://example.com/x?secret=a&k=v#r ", "s3cret"))
    else {
        panic!()
    };
    assert_eq!(draft.endpoint, "https://example.com/x?k=v");
    assert_eq!(draft.secrets.get("secret"), Some("s3cret"));
    assert_eq!(Webhook.onboard(&desk(), &fields("https://example.com/x", "")).unwrap_err().field, Some("secret"));
    assert_eq!(Webhook.onboard(&desk(), &fields("example.com", "x")).unwrap_err().field, Some("url"));
}
