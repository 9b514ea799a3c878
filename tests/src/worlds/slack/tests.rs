//! The world's own tests: what programs that we did not write can't check from outside. Most of its proof is theirs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The vectors of the reference; the last one is Slack's own.
#[test]
fn signatures_are_slacks() {
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    let challenge = r#"{"token":"legacy","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let event = r#"{"token":"legacy","team_id":"T024BE7LD","api_app_id":"A0SAMEROOM","event":{"type":"message","channel":"C024BE91L","user":"U2147483697","text":"Hello &lt;world&gt; \u2713","ts":"1700000000.000100","event_ts":"1700000000.000100","channel_type":"channel"},"type":"event_callback","event_id":"Ev9UQ52YNA","event_time":1700000000}"#;
    let command = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    for (time, body, signature) in [
        ("1700000001", event, "03ae2fc3f18b84791a78a212e97d39299007bfa54bf650b096cfc5a8b62bd8ab"),
        ("1700000001", challenge, "49275dc11c2e8836f3a7fb0c0d7ee0ccce91023a3dd9e6ed078022aa9ae1b7d4"),
        ("1531420618", command, "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
    ] {
        assert_eq!(events::sign(SECRET, time, body), format!("v0={signature}"));
    }
}

/// One request as it goes over the wire; `None`: the connection was cut instead of an answer.
async fn calls(slack: &Slack, token: &str, method: &str, kind: &str, body: &str) -> Option<Value> {
    let host = slack.base().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let request = format!(
        "POST /api/{method} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(serde_json::from_str(answer.split_once("\r\n\r\n")?.1).unwrap_or_default())
}

const JSON: &str = "application/json; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";

async fn scene() -> (Slack, String, String) {
    let slack = Slack::open().await;
    let token = slack.install().token;
    let channel = slack.channel("general", &[]);
    slack.invites_bot("general");
    (slack, token, channel)
}

#[tokio::test]
async fn what_is_posted_under_another_name_is_heard_once() {
    let (slack, token, channel) = scene().await;
    let body = json!({ "channel": channel, "text": "hi *there*", "username": "ann (irc)" }).to_string();
    let answer = calls(&slack, &token, "chat.postMessage", JSON, &body).await.unwrap();
    let ts = slack.hears("general", "ann (irc)", "hi *there*").await;
    assert_eq!(answer["ts"], ts.as_str());
    let reply = slack.reply("general", "bob", &ts, "hello");
    slack.shows("general", &[("ann (irc)", "hi *there*"), ("bob", "hello")]).await;
    assert_eq!(slack.thread("general", &ts)[0].ts, reply);
    assert_eq!(slack.odd(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cut_connection_leaves_nothing_or_the_message() {
    let (slack, token, channel) = scene().await;
    let say = |text: &str| format!("channel={channel}&text={text}");
    slack.script("chat.postMessage", [Mood::CutBefore, Mood::CutAfter]);
    assert_eq!(calls(&slack, &token, "chat.postMessage", FORM, &say("lost")).await, None);
    assert_eq!(calls(&slack, &token, "chat.postMessage", FORM, &say("done")).await, None);
    slack.hears("general", "Sameroom", "done").await;
    assert!(!slack.messages("general").iter().any(|said| said.text == "lost"));
    let statuses: Vec<u16> = slack.calls("chat.postMessage").iter().map(|call| call.status).collect();
    assert_eq!(statuses, [0, 0]);
}

#[tokio::test]
async fn bodies_are_refused_as_slack_refuses_them() {
    let (slack, token, channel) = scene().await;
    let say = format!("channel={channel}&text=hi");
    for (method, kind, body, error) in [
        ("chat.postMessage", "text/plain", say.as_str(), "invalid_post_type"),
        ("chat.postMessage", JSON, "{", "invalid_json"),
        ("chat.postMessage", JSON, "[]", "json_not_object"),
        ("chat.postMessage", "multipart/form-data; boundary=x", "--y", "invalid_form_data"),
        ("conversations.info", JSON, r#"{"channel":"C1"}"#, "invalid_arguments"),
        ("chat.shout", FORM, say.as_str(), "unknown_method"),
    ] {
        let answer = calls(&slack, &token, method, kind, body).await.unwrap();
        assert_eq!((&answer["ok"], answer["error"].as_str()), (&json!(false), Some(error)), "{method} {kind}");
    }
    let answer = calls(&slack, &token, "chat.postMessage", "application/json", "{}").await.unwrap();
    assert_eq!(answer["warning"], "missing_charset");
    let parts = format!(
        "--x\r\ncontent-disposition: form-data; name=\"channel\"\r\n\r\n{channel}\r\n--x\r\n\
         content-disposition: form-data; name=\"text\"\r\n\r\nby parts\r\n--x--\r\n"
    );
    let answer = calls(&slack, &token, "chat.postMessage", "multipart/form-data; boundary=x", &parts).await.unwrap();
    assert_eq!(answer["message"]["text"], "by parts");
}

#[tokio::test]
async fn two_workspaces_that_share_a_channel_are_told_under_two_ids() {
    let (slack, _, _) = scene().await;
    let globex = slack.team("globex");
    globex.install();
    slack.shares_channel("general", &globex);
    globex.invites_bot("general");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    slack.shared.with(|state| {
        let app = state.apps.values_mut().next().unwrap();
        app.request_url = Some(format!("http://{}/", listener.local_addr().unwrap()));
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 65536]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    slack.settled().await;
    let ts = slack.says("general", "ann", "to both");
    slack.settled().await;
    let pushes: Vec<Push> =
        slack.pushes().into_iter().filter(|push| push.envelope["event"]["ts"] == ts.as_str()).collect();
    let teams: BTreeSet<&str> = pushes.iter().filter_map(|push| push.envelope["team_id"].as_str()).collect();
    let ids: BTreeSet<&String> = pushes.iter().map(|push| &push.event_id).collect();
    assert_eq!((pushes.len(), teams.len(), ids.len()), (2, 2, 2));
    assert!(pushes.iter().all(|push| push.envelope["is_ext_shared_channel"] == true));
}

#[test]
fn a_ts_is_a_pair_of_numbers() {
    assert_eq!(model::micros("1700000000.000100"), Some(1_700_000_000_000_100));
    assert_eq!(model::micros("1700000000"), Some(1_700_000_000_000_000));
    assert_eq!(model::ts(1_700_000_000_000_100), "1700000000.000100");
    for odd in ["", "noon", "1.", ".1", "1.0000000", "-1.0"] {
        assert_eq!(model::micros(odd), None, "{odd}");
    }
}

#[test]
fn a_shuffle_loses_nothing_and_is_always_the_same() {
    let shuffled = moods::ordered((0..9).collect(), Order::Shuffled(7));
    assert_eq!(shuffled, moods::ordered((0..9).collect(), Order::Shuffled(7)));
    assert_ne!(shuffled, (0..9).collect::<Vec<_>>());
    assert_eq!(shuffled.iter().copied().collect::<BTreeSet<_>>(), (0..9).collect());
}
