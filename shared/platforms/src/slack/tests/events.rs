//! What comes in: signatures, echoes, edits, identity of events, and whose they are.

use std::collections::BTreeSet;

use sameroom_model::{Availability, Event, EventKind, MessageKey};

use super::*;
use crate::Subject;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// The one event of a webhook, if any.
fn one(webhook: Result<Webhook, Rejected>) -> Option<Event> {
    let mut events = webhook.unwrap().events;
    assert!(events.len() <= 1);
    events.pop()
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at its callers")]
fn message(more: Value) -> Value {
    let mut message = json!({
        "type": "message",
        "channel": "C024BE91L",
        "user": "U1",
        "text": "hi",
        "ts": "1700000000.000100",
        "event_ts": "1700000000.000100",
    });
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

fn said(event: &Value) -> Option<String> {
    match one(hears(&account(), event))?.kind {
        EventKind::Posted(message) | EventKind::Edited(message) => Some(message.body.words()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_vectors_of_slack_sdk_are_accepted() {
    let body = |name| FIXTURES.iter().find(|(fixture, _)| *fixture == name).unwrap().1;
    let vectors = [
        (1_700_000_001, body("vector_message"), "v0=03ae2fc3f18b84791a78a212e97d39299007bfa54bf650b096cfc5a8b62bd8ab"),
        (
            1_700_000_001,
            body("vector_challenge"),
            "v0=49275dc11c2e8836f3a7fb0c0d7ee0ccce91023a3dd9e6ed078022aa9ae1b7d4",
        ),
        (1_531_420_618, COMMAND, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
    ];
    for (seconds, body, signature) in vectors {
        let request = signed(SECRET, body.as_bytes(), at(seconds));
        assert_eq!(request.headers()[signature::SIGNATURE], signature);
        let webhook = Slack.receive(&account(), &request, at(seconds + 300)).unwrap();
        assert_eq!(webhook.reply.status(), 200);
        assert_eq!(Slack.receive(&account(), &request, at(seconds + 301)).err(), Some(Rejected::Unauthorized));
    }
}

#[test]
fn a_challenge_is_given_back() {
    let body = r#"{"type":"url_verification","token":"t","challenge":"3eZbrw1aBm2"}"#;
    let webhook = Slack.receive(&app(), &signed(SECRET, body.as_bytes(), at(9)), at(9)).unwrap();
    assert_eq!(webhook.reply.body(), r#"{"challenge":"3eZbrw1aBm2"}"#);
    assert_eq!(webhook.reply.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(webhook.tenant, None);
}

#[test]
fn a_retry_is_the_same_event_and_so_is_a_copy_from_a_shared_channel() {
    let body = FIXTURES[0].1;
    let first = one(Slack.receive(&account(), &signed(SECRET, body.as_bytes(), at(9)), at(9))).unwrap();
    let mut retry = signed(SECRET, body.replace("Ev9UQ52YNA", "EvOTHER").as_bytes(), at(400));
    retry.headers_mut().insert("x-slack-retry-num", 2.into());
    retry.headers_mut().insert("x-slack-retry-reason", "http_timeout".parse().unwrap());
    assert_eq!(one(Slack.receive(&account(), &retry, at(400))).unwrap().id, first.id);
}

#[test]
fn every_event_of_a_conversation_has_an_id_of_its_own() {
    let ids: Vec<_> = FIXTURES
        .iter()
        // A tombstone is the deletion that may be told as such, too.
        .filter(|(name, _)| !name.starts_with("vector") && *name != "message_tombstone")
        .filter_map(|(_, body)| one(Slack.overhear(&account(), &Bytes::from_static(body.as_bytes()), at(9))))
        .map(|event| event.id)
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn our_own_posts_are_dropped_by_any_sign() {
    let signs = [
        json!({ "bot_id": "B0SAMEROOM", "subtype": "bot_message", "user": null, "username": "ann" }),
        json!({ "bot_id": "B0X", "app_id": "A0SAMEROOM" }),
        json!({ "bot_id": "B0X", "bot_profile": { "app_id": "A0SAMEROOM" } }),
        json!({ "user": "U0KRQLJ9H" }),
        json!({ "metadata": { "event_type": "sameroom_relay", "event_payload": {} } }),
        json!({ "user": "USLACKBOT" }),
    ];
    for sign in signs {
        let own = message(sign.clone());
        assert!(one(hears(&account(), &own)).is_none(), "posted: {sign}");
        assert!(one(hears(&app(), &own)).is_none() || sign["bot_id"] == "B0SAMEROOM", "heard by the app: {sign}");
        let changed = json!({ "type": "message", "subtype": "message_changed", "channel": "C024BE91L",
            "ts": "1700000009.000100", "message": own, "previous_message": message(json!({ "text": "before" })) });
        assert!(one(hears(&account(), &changed)).is_none(), "changed: {sign}");
        let deleted = json!({ "type": "message", "subtype": "message_deleted", "channel": "C024BE91L",
            "ts": "1700000009.000100", "deleted_ts": "1700000000.000100", "previous_message": own });
        assert!(one(hears(&account(), &deleted)).is_none(), "deleted: {sign}");
    }
    let reaction = json!({ "type": "reaction_added", "user": "U0KRQLJ9H", "reaction": "+1",
        "item": { "type": "message", "channel": "C024BE91L", "ts": "1700000000.000100" }, "event_ts": "1700000001.000100" });
    assert!(one(hears(&account(), &reaction)).is_none());
    // Somebody else's bot is heard.
    let other = message(json!({ "bot_id": "B0OTHER", "app_id": "A0OTHER", "user": null, "username": "CI" }));
    let author = one(hears(&account(), &other)).unwrap().author.unwrap();
    assert_eq!((author.key.as_str(), author.name.as_str(), author.bot), ("B0OTHER", "CI", true));
}

#[test]
fn only_a_change_of_words_or_by_hand_is_an_edit() {
    let changed = |now: Value, before: Value| {
        said(&json!({ "type": "message", "subtype": "message_changed", "channel": "C024BE91L", "hidden": true,
            "ts": "1700000009.000100", "message": message(now), "previous_message": message(before) }))
    };
    let edited = |ts: &str| json!({ "text": "hi", "edited": { "user": "U1", "ts": ts } });
    assert_eq!(changed(json!({ "text": "ho" }), json!({ "text": "hi" })).as_deref(), Some("ho"));
    assert_eq!(changed(edited("1700000005.000000"), json!({})).as_deref(), Some("hi"));
    assert_eq!(changed(edited("1700000006.000000"), edited("1700000005.000000")).as_deref(), Some("hi"));
    assert_eq!(changed(edited("1700000005.000000"), edited("1700000005.000000")), None, "nothing new");
    assert_eq!(changed(json!({ "reply_count": 2, "thread_ts": "1700000000.000100" }), json!({})), None, "a counter");
    let preview = json!({ "attachments": [{ "fallback": "Example", "from_url": "https://example.org" }] });
    assert_eq!(changed(preview, json!({})), None, "a preview");
}

#[test]
fn two_edits_of_one_message_are_two_events() {
    let id = |ts: &str, text: &str| {
        let event = json!({ "type": "message", "subtype": "message_changed", "channel": "C024BE91L", "ts": ts,
            "message": message(json!({ "text": text, "edited": { "ts": ts } })), "previous_message": message(json!({})) });
        one(hears(&account(), &event)).unwrap().id
    };
    assert_ne!(id("1700000005.000000", "a"), id("1700000006.000000", "b"));
    assert_eq!(id("1700000005.000000", "a"), id("1700000005.000000", "a"));
}

#[test]
fn threads_name_their_root() {
    let Some(Event { kind: EventKind::Posted(reply), .. }) =
        one(hears(&account(), &message(json!({ "ts": "1700000009.000100", "thread_ts": "1700000000.000100" }))))
    else {
        panic!()
    };
    assert_eq!(reply.thread, Some(MessageKey::from("1700000000.000100")));
    assert_eq!(reply.reply_to, reply.thread);
    let Some(Event { kind: EventKind::Posted(root), .. }) =
        one(hears(&account(), &message(json!({ "thread_ts": "1700000000.000100" }))))
    else {
        panic!()
    };
    assert_eq!(root.thread, None, "a thread's root is no reply");
}

#[test]
fn what_slack_says_by_itself_is_dropped_and_what_is_new_to_us_is_not() {
    for subtype in ["channel_topic", "channel_name", "pinned_item", "huddle_thread", "message_replied"] {
        assert_eq!(said(&message(json!({ "subtype": subtype }))), None, "{subtype}");
    }
    assert_eq!(said(&message(json!({ "subtype": "of_tomorrow" }))).as_deref(), Some("hi"));
    assert_eq!(said(&message(json!({ "subtype": "of_tomorrow", "hidden": true }))), None);
    assert_eq!(said(&message(json!({ "text": "" }))), None, "no words, no files");
}

#[test]
fn an_app_says_whose_events_they_are() {
    let app = app();
    let tenant = |authorization: Value| {
        let body = json!({ "type": "event_callback", "team_id": "T0OTHER", "enterprise_id": "E0ORG",
            "authorizations": [authorization], "event_id": "Ev1", "event": message(json!({})) });
        let webhook = Slack.overhear(&app, &Bytes::from(body.to_string()), at(9)).unwrap();
        assert_eq!(webhook.events.len(), 1);
        webhook.tenant
    };
    assert_eq!(tenant(json!({ "team_id": "T024BE7LD" })).as_deref(), Some("T024BE7LD"));
    assert_eq!(tenant(json!({})).as_deref(), Some("T0OTHER"));
    let organisation = json!({ "team_id": "T1", "enterprise_id": "E0ORG", "is_enterprise_install": true });
    assert_eq!(tenant(organisation).as_deref(), Some("E0ORG"));
    // An account of one workspace hears nothing of others.
    let body = json!({ "type": "event_callback", "team_id": "T0OTHER", "event": message(json!({})) });
    let webhook = Slack.overhear(&account(), &Bytes::from(body.to_string()), at(9)).unwrap();
    assert!(webhook.events.is_empty() && webhook.tenant.is_none());
}

#[test]
fn how_an_installation_fares_is_told() {
    let state = |event: Value| hears(&app(), &event).unwrap().state;
    assert!(matches!(state(json!({ "type": "app_uninstalled" })), Some(AccountState::NeedsOwner(_))));
    let revoked = |bots: Value| state(json!({ "type": "tokens_revoked", "tokens": { "oauth": ["U1"], "bot": bots } }));
    assert!(matches!(revoked(json!(["U0KRQLJ9H"])), Some(AccountState::NeedsOwner(_))));
    assert_eq!(revoked(json!([])), None, "a person's token is none of ours");
    let body = Bytes::from_static(br#"{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1700000000}"#);
    let limited = Slack.overhear(&app(), &body, at(9)).unwrap();
    assert!(matches!(limited.state, Some(AccountState::Trouble(_))));
    assert_eq!(limited.tenant.as_deref(), Some("T1"));
}

#[test]
fn channels_close_for_us_alone() {
    let left = |user: &str| {
        let event = json!({ "type": "member_left_channel", "user": user, "channel": "C024BE91L",
            "event_ts": "1700000000.000100" });
        one(hears(&account(), &event))
    };
    assert!(left("U1").is_none());
    let ours = left("U0KRQLJ9H").unwrap();
    assert!(matches!(&ours.kind, EventKind::Availability(Availability::Closed(_))));
    let twice = json!({ "type": "channel_left", "channel": "C024BE91L", "event_ts": "1700000001.000200" });
    assert_eq!(one(hears(&account(), &twice)).unwrap().id, ours.id, "told twice, heard once");
    let back = json!({ "type": "channel_unarchive", "channel": "C024BE91L", "event_ts": "1700000000.000100" });
    assert_eq!(one(hears(&account(), &back)).unwrap().kind, EventKind::Availability(Availability::Open));
}

#[test]
fn names_are_learned() {
    let person = json!({ "type": "user_change", "user": { "id": "U1", "name": "ann",
        "profile": { "display_name": "", "real_name": "Ann Lee", "image_72": "https://a.example/72.png" } } });
    let learned = hears(&account(), &person).unwrap().learned;
    let [(Subject::User(key), profile)] = learned.as_slice() else { panic!("{learned:?}") };
    assert_eq!((key.as_str(), profile.name.as_str(), profile.username.as_deref()), ("U1", "Ann Lee", Some("ann")));
    assert_eq!(profile.avatar.as_deref(), Some("https://a.example/72.png"));
    let renamed = json!({ "type": "channel_rename", "channel": { "id": "C1", "name": "new" }, "event_ts": "1.000000" });
    let webhook = hears(&account(), &renamed).unwrap();
    assert_eq!(webhook.learned[0].1.name, "#new");
    assert_eq!(webhook.events[0].kind, EventKind::Renamed("#new".to_owned()));
}

#[test]
fn what_is_proven_and_odd_is_kept() {
    for odd in [
        json!({ "type": "message", "channel": "C1", "user": "U1", "text": "x" }),
        json!({ "type": "message", "channel": "C1", "user": "U1", "text": "x", "ts": "yesterday" }),
        json!({ "type": "message", "channel": "../C1", "user": "U1", "text": "x", "ts": "1.000000" }),
        json!({ "type": "message", "channel": "C1", "text": 7, "ts": "1.000000" }),
        json!({ "type": "reaction_added", "user": "U1" }),
    ] {
        match hears(&account(), &odd) {
            Err(Rejected::Undecodable(why)) => assert!(!why.contains("yesterday"), "{why}"),
            other => panic!("{odd}: {other:?}"),
        }
    }
    assert!(hears(&account(), &json!({ "type": "of_tomorrow", "channel": 7 })).unwrap().events.is_empty());
}
