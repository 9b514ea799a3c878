//! What goes out: posts, edits, files, and what becomes of every answer.

use std::time::Duration;

use sameroom_model::{Access, Action, Attachment, Delivery, MessageKey, Outcome, Quote, Sent, Text};

use super::*;
use crate::Turn;
use crate::suite::{delivery, now};

fn post(text: &str) -> Action {
    Action::Post { body: Text::plain(text), emote: false, attachments: Vec::new(), reply: None }
}

fn reply(quote: Quote) -> Delivery {
    let body = Text::plain("An engine.");
    delivery(&fixture(), "dlv", Action::Post { body, emote: false, attachments: Vec::new(), reply: Some(quote) })
}

fn render(delivery: &Delivery) -> Vec<Request<Bytes>> {
    Slack.render(&account(), delivery, now()).unwrap()
}

fn first(delivery: &Delivery) -> Value {
    json_of(&render(delivery)[0])
}

fn settle(delivery: &Delivery, memo: &str, body: &Value) -> Turn {
    Slack.settle(&account(), delivery, 0, memo, &answer(body), now())
}

fn over(turn: Turn) -> Outcome {
    match turn {
        Turn::Over(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn then(turn: Turn) -> (Request<Bytes>, String) {
    match turn {
        Turn::Then { request, memo } => (*request, memo),
        other => panic!("{other:?}"),
    }
}

fn keys(keys: &[&str]) -> Outcome {
    Outcome::Done { keys: keys.iter().map(|key| MessageKey::from(*key)).collect() }
}

#[test]
fn an_author_is_shown_as_one() {
    let mut delivery = delivery(&fixture(), "dlv", post("hi <all> @here"));
    delivery.author.as_mut().unwrap().avatar = Some("https://relay.example.org/a.png".to_owned());
    let body = first(&delivery);
    assert_eq!(body["username"], "Ada Lovelace");
    assert_eq!(body["icon_url"], "https://relay.example.org/a.png");
    assert_eq!(body["text"], "hi &lt;all&gt; @\u{200b}here");
    assert_eq!((&body["parse"], &body["link_names"]), (&json!("none"), &json!(false)));
    assert_eq!(body["metadata"]["event_type"], "sameroom_relay");
    assert_eq!(body["metadata"]["event_payload"]["id"], "dlv");
    assert!(!body.to_string().contains("the-key-of-the-origin-room"), "a room's key may be a secret");
    delivery.author.as_mut().unwrap().avatar = Some("http://relay.example.org/a.png".to_owned());
    assert_eq!(first(&delivery)["icon_url"], Value::Null);
    assert_eq!(
        over(settle(&delivery, "", &json!({ "ok": true, "channel": "C024BE91L", "ts": "1700000001.000200" }))),
        keys(&["1700000001.000200"])
    );
    // Our own words are said by the bot itself.
    let notice = super::super::Slack;
    let said = notice.render(&account(), &delivery_of(Action::Notice { body: Text::plain("x") }), now()).unwrap();
    assert_eq!(json_of(&said[0])["username"], Value::Null);
}

fn delivery_of(action: Action) -> Delivery {
    delivery(&fixture(), "dlv", action)
}

#[test]
fn mentions_reach_people_and_groups_only_within_one_workspace() {
    // The engine has made mentions of people this account's; it knows no groups.
    let body = sameroom_text::mrkdwn::read("ask <@U1|ann> or <!subteam^S1|ops>");
    let mut delivery = delivery_of(Action::Post { body, emote: false, attachments: Vec::new(), reply: None });
    assert_eq!(first(&delivery)["text"], "ask <@U1> or @ops", "a group of another account is none here");
    delivery.lane.from.account = delivery.lane.to.account.clone();
    assert_eq!(first(&delivery)["text"], "ask <@U1> or <!subteam^S1>");
}

#[test]
fn a_reply_goes_to_its_thread_or_quotes() {
    let known =
        Quote { key: Some("1700000002.000100".into()), thread: Some("1700000000.000100".into()), ..Quote::default() };
    assert_eq!(first(&reply(known.clone()))["thread_ts"], "1700000000.000100");
    assert_eq!(first(&reply(Quote { thread: None, ..known }))["thread_ts"], "1700000002.000100");
    let unknown =
        Quote { author: Some("Grace".to_owned()), excerpt: Some("What is it?".to_owned()), ..Quote::default() };
    let body = first(&reply(unknown));
    assert_eq!((&body["thread_ts"], &body["text"]), (&Value::Null, &json!("> *Grace:* What is it?\nAn engine.")));
}

#[test]
fn a_lost_thread_becomes_a_post_to_the_channel() {
    let delivery = reply(Quote { thread: Some("1700000000.000100".into()), ..Quote::default() });
    let (request, memo) = then(settle(&delivery, "", &json!({ "ok": false, "error": "thread_not_found" })));
    assert_eq!(json_of(&request)["thread_ts"], Value::Null);
    assert_eq!(json_of(&request)["text"], "An engine.");
    assert!(matches!(
        over(settle(&delivery, &memo, &json!({ "ok": false, "error": "thread_not_found" }))),
        Outcome::Refused { .. }
    ));
    assert_eq!(
        over(settle(&delivery, &memo, &json!({ "ok": true, "ts": "1700000003.000100" }))),
        keys(&["1700000003.000100"])
    );
}

#[test]
fn a_channel_is_joined_once() {
    let delivery = delivery_of(post("hi"));
    let outside = json!({ "ok": false, "error": "not_in_channel" });
    let (request, memo) = then(settle(&delivery, "", &outside));
    assert_eq!(show(&request), r#"conversations.join {"channel":"C024BE91L"}"#);
    let (request, again) = then(settle(&delivery, &memo, &json!({ "ok": true, "channel": {} })));
    assert_eq!(json_of(&request)["text"], "hi");
    assert_eq!(
        over(settle(&delivery, &again, &json!({ "ok": true, "ts": "1700000001.000200" }))),
        keys(&["1700000001.000200"])
    );
    for end in [
        settle(&delivery, &again, &outside),
        settle(&delivery, &memo, &json!({ "ok": false, "error": "method_not_supported_for_channel_type" })),
    ] {
        assert!(matches!(over(end), Outcome::RoomClosed { why } if why.contains("/invite")));
    }
    let busy = Response::builder().status(429).header("retry-after", "7").body(Bytes::new()).unwrap();
    let waits = Slack.settle(&account(), &delivery, 0, &memo, &busy, now());
    assert!(matches!(over(waits), Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(7)));
}

#[test]
fn every_error_has_its_reaction() {
    let delivery = delivery_of(post("hi"));
    let judged = |error: &str| match over(settle(&delivery, "", &json!({ "ok": false, "error": error }))) {
        Outcome::Done { .. } => "done",
        Outcome::Retry { sent: Sent::Maybe, .. } => "retry, maybe sent",
        Outcome::Retry { .. } => "retry",
        Outcome::Refused { .. } => "refused",
        Outcome::Disconnected { .. } => "disconnected",
        Outcome::RoomClosed { .. } => "room closed",
    };
    for error in ["ratelimited", "rate_limited", "service_unavailable", "team_added_to_org"] {
        assert_eq!(judged(error), "retry", "{error}");
    }
    for error in ["internal_error", "fatal_error", "request_timeout"] {
        assert_eq!(judged(error), "retry, maybe sent", "{error}");
    }
    for error in [
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "org_login_required",
        "missing_scope",
    ] {
        assert_eq!(judged(error), "disconnected", "{error}");
    }
    for error in ["channel_not_found", "is_archived", "channel_is_limited_access", "restricted_action", "no_permission"]
    {
        assert_eq!(judged(error), "room closed", "{error}");
    }
    for error in [
        "msg_too_long",
        "msg_blocks_too_long",
        "no_text",
        "invalid_blocks",
        "too_many_attachments",
        "invalid_arg_name",
        "cant_update_message",
        "edit_window_closed",
        "thread_not_found",
        "something_new",
    ] {
        assert_eq!(judged(error), "refused", "{error}");
    }
    for error in ["already_reacted", "no_reaction"] {
        assert_eq!(judged(error), "done", "{error}");
    }
}

#[test]
fn a_missing_scope_is_named() {
    let refused =
        json!({ "ok": false, "error": "missing_scope", "needed": "chat:write.customize", "provided": "chat:write" });
    let Outcome::Disconnected { why } = over(settle(&delivery_of(post("hi")), "", &refused)) else { panic!() };
    assert!(why.contains("chat:write.customize") && why.contains("install"), "{why}");
}

#[test]
fn answers_that_are_none_are_tried_again() {
    let delivery = delivery_of(post("hi"));
    for (status, body) in
        [(200, "<html>gateway</html>"), (200, "{\"ok\":tr"), (200, ""), (502, "x"), (404, "x"), (429, "")]
    {
        let response = Response::builder().status(status).body(Bytes::from(body)).unwrap();
        let outcome = over(Slack.settle(&account(), &delivery, 0, "", &response, now()));
        assert!(matches!(outcome, Outcome::Retry { .. }), "{status} {body}: {outcome:?}");
    }
}

#[test]
fn a_token_that_ended_is_renewed_where_it_can_be() {
    let delivery = delivery_of(post("hi"));
    let expired = answer(&json!({ "ok": false, "error": "token_expired" }));
    let mut account = account();
    let turn = |account: &Opened| Slack.settle(account, &delivery, 0, "", &expired, now());
    assert!(matches!(turn(&account), Turn::Over(Outcome::Disconnected { .. })));
    account.secrets.set("refresh_token", "xoxe-1-r");
    assert!(matches!(turn(&account), Turn::Renew(Outcome::Disconnected { .. })));
}

#[test]
fn edits_change_add_and_delete_parts() {
    let long = "word ".repeat(1200);
    let edit = |text: &str, copies: &[&str]| {
        let mut delivery = delivery_of(Action::Edit { body: Text::plain(text), emote: false });
        delivery.copies = copies.iter().map(|key| MessageKey::from(*key)).collect();
        let requests = render(&delivery);
        let methods = requests.iter().map(|request| {
            let body = json_of(request);
            format!("{} {}", request.uri().path(), body["ts"].as_str().unwrap_or("-"))
        });
        methods.collect::<Vec<_>>()
    };
    assert_eq!(edit("short", &["1.000000"]), ["/api/chat.update 1.000000"]);
    assert_eq!(edit(&long, &["1.000000"]), ["/api/chat.update 1.000000", "/api/chat.postMessage -"]);
    assert_eq!(edit("short", &["1.000000", "2.000000"]), ["/api/chat.update 1.000000", "/api/chat.delete 2.000000"]);
    assert_eq!(edit("", &["1.000000"]), ["/api/chat.update 1.000000"], "Slack takes no message without words");
    let mut long = delivery_of(Action::Edit { body: Text::plain(&long), emote: false });
    long.copies = vec!["1.000000".into()];
    let ok = answer(&json!({ "ok": true, "ts": "1700000009.000100" }));
    assert_eq!(over(Slack.settle(&account(), &long, 0, "", &ok, now())), Outcome::done());
    assert_eq!(over(Slack.settle(&account(), &long, 1, "", &ok, now())), keys(&["1700000009.000100"]));
}

#[test]
fn gone_is_gone() {
    let gone = json!({ "ok": false, "error": "message_not_found" });
    assert_eq!(over(settle(&delivery_of(Action::Delete), "", &gone)), Outcome::done());
    let react = |on| delivery_of(Action::React { emoji: "👍".to_owned(), on });
    assert_eq!(over(settle(&react(false), "", &gone)), Outcome::done());
    assert!(matches!(over(settle(&react(true), "", &gone)), Outcome::Refused { .. }));
    let edit = delivery_of(Action::Edit { body: Text::plain("x"), emote: false });
    assert!(matches!(over(settle(&edit, "", &gone)), Outcome::Refused { .. }));
    assert_eq!(first(&react(true)), json!({ "channel": "C024BE91L", "timestamp": "1700000000.000100", "name": "+1" }));
}

fn file(content: Option<&'static [u8]>) -> Attachment {
    Attachment {
        name: "notes & co.pdf".to_owned(),
        mime: Some("application/pdf".to_owned()),
        size: None,
        url: "https://files.example.org/notes.pdf".to_owned(),
        access: Access::Public,
        content: content.map(Bytes::from_static),
    }
}

fn with_files(text: &str, attachments: Vec<Attachment>) -> Delivery {
    let quote = Quote { thread: Some("1700000000.000100".into()), ..Quote::default() };
    delivery_of(Action::Post { body: Text::plain(text), emote: false, attachments, reply: Some(quote) })
}

#[test]
fn files_go_up_in_three_steps() {
    let delivery = with_files("", vec![file(Some(b"%PDF-"))]);
    let requests = render(&delivery);
    assert_eq!(requests.len(), 1);
    assert_eq!(show(&requests[0]), "files.getUploadURLExternal filename=notes & co.pdf&length=5");
    let place = json!({ "ok": true, "upload_url": "https://files.slack.com/upload/v1/x", "file_id": "F1" });
    let (bytes, memo) = then(settle(&delivery, "", &place));
    assert_eq!(show(&bytes), "https://files.slack.com/upload/v1/x %PDF-");
    assert!(!bytes.headers().contains_key("authorization"));
    let ok = Response::new(Bytes::from_static(b"OK - 5"));
    let (share, memo) = then(Slack.settle(&account(), &delivery, 0, &memo, &ok, now()));
    assert_eq!(
        show(&share),
        r#"files.completeUploadExternal files=[{"id":"F1","title":"notes & co.pdf"}]&channel_id=C024BE91L&thread_ts=1700000000.000100&initial_comment=*Ada Lovelace*"#
    );
    // Slack shares it by itself, a little later.
    let (info, asked) = then(settle(&delivery, &memo, &json!({ "ok": true, "files": [{ "id": "F1" }] })));
    assert_eq!(show(&info), "files.info file=F1");
    let shares =
        json!({ "ok": true, "file": { "shares": { "public": { "C024BE91L": [{ "ts": "1700000007.000100" }] } } } });
    assert_eq!(over(settle(&delivery, &asked, &shares)), keys(&["1700000007.000100"]));
    assert_eq!(over(settle(&delivery, &asked, &json!({ "ok": false, "error": "missing_scope" }))), Outcome::done());
    // Whatever fails in between, it begins anew.
    let broken = Response::builder().status(500).body(Bytes::new()).unwrap();
    assert!(matches!(over(Slack.settle(&account(), &delivery, 0, "put F1", &broken, now())), Outcome::Retry { .. }));
    // Shared where we are not: joined, and shared again.
    let (join, joined) = then(settle(&delivery, "share F1", &json!({ "ok": false, "error": "not_in_channel" })));
    assert!(show(&join).starts_with("conversations.join"));
    assert!(
        show(&then(settle(&delivery, &joined, &json!({ "ok": true }))).0).starts_with("files.completeUploadExternal")
    );
}

#[test]
fn bytes_go_to_slack_alone() {
    let delivery = with_files("", vec![file(Some(b"%PDF-"))]);
    for url in ["https://evil.example.org/upload", "http://files.slack.com/upload", "file:///etc", ""] {
        let turn = settle(&delivery, "", &json!({ "ok": true, "upload_url": url, "file_id": "F1" }));
        assert!(matches!(over(turn), Outcome::Refused { .. } | Outcome::Retry { .. }), "{url}");
    }
}

#[test]
fn words_go_before_files_and_other_files_are_links() {
    let private = Attachment { access: Access::Account, ..file(None) };
    let delivery = with_files("see", vec![file(None), private, file(Some(b"x")), file(Some(b""))]);
    let requests = render(&delivery);
    assert_eq!(requests.len(), 2);
    let link = "<https://files.example.org/notes.pdf|notes &amp; co.pdf>";
    let unreadable = "notes &amp; co.pdf (a file that can't be read here)";
    assert_eq!(json_of(&requests[0])["text"], format!("see\n\n{link}\n\n{unreadable}\n\n{link}"));
    assert!(show(&requests[1]).starts_with("files.getUploadURLExternal"));
    assert!(render(&with_files("", Vec::new())).is_empty(), "nothing to say");
}

#[test]
fn what_somebody_does_is_in_italics() {
    let body = Text::plain("waves");
    let delivery = delivery_of(Action::Post { body, emote: true, attachments: Vec::new(), reply: None });
    assert_eq!(first(&delivery)["text"], "_waves_");
    assert_eq!(first(&delivery)["username"], "Ada Lovelace");
}
