//! Slack, proven: the laws of every platform on the documented payloads, then what is its own, one file a theme. Nothing
//! here opens a socket.

mod events;
mod login;
mod properties;
mod sending;
mod socket;
mod texts;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use sameroom_model::{
    Account, AccountId, AccountState, Identity, Opened, OwnerId, Place, Sealed, Secrets, SignedDuration, Timestamp,
};
use serde_json::{Value, json};

use super::{Slack, settings, signature};
use crate::suite::{Fixture, Held, Inbound, Outbound, Proof};
use crate::{Joined, Platform, Rejected, Webhook};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TOKEN: &str = "xoxb-1-2-token-of-the-bot";

platform_tests!(fixture());

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        /// The payloads in `fixtures/`, by name.
        const FIXTURES: &[(&str, &str)] = &[$(($name, include_str!(concat!("fixtures/", $name, ".json")))),*];
    };
}

fixtures! {
    "vector_message", "vector_challenge", "message", "mrkdwn", "rich_text", "thread_reply", "thread_broadcast",
    "me_message", "file_share", "bot_message", "bot_attachments", "message_changed", "message_unfurled",
    "message_tombstone", "message_deleted", "reaction_added", "reaction_removed", "channel_join", "channel_rename",
    "channel_archive", "member_left_channel", "app_uninstalled", "tokens_revoked", "app_rate_limited", "user_change",
    "own_post",
}

const COMMAND: &str = include_str!("fixtures/vector_command.txt");

/// Those whose every byte is flipped and every value replaced, which takes its time.
const MANGLED: [&str; 5] =
    ["vector_message", "message_changed", "reaction_added", "channel_rename", "vector_challenge"];

#[test]
fn all_fixtures_decode() {
    let mut fixture = fixture();
    let bodies = FIXTURES.iter().copied().chain([("vector_command", COMMAND)]);
    let bodies = bodies.map(|(name, body)| (name, Bytes::from_static(body.as_bytes()))).collect();
    fixture.inbound = Some(Inbound { bodies, ..fixture.inbound.take().unwrap() });
    crate::suite::fixtures_decode(&fixture);
    crate::suite::the_same_payload_is_the_same_event(&fixture);
}

fn fixture() -> Fixture {
    let bodies = FIXTURES.iter().copied().filter(|(name, _)| MANGLED.contains(name));
    Fixture {
        platform: &Slack,
        account: account(),
        urls: &[
            "slack://acme/C024BE91L?token=env:TOKEN&app={secret}",
            "slack://acme/C024BE91L?token=xoxb-1&signing=env:S&name=general&team=T024BE7LD&bot=B0X",
            "slack://acme.slack.com/G0PRIVATE?token=file:/run/t&signing=abc&endpoint=http://127.0.0.1:8080/api",
        ],
        fields: &[("bot_token", TOKEN), ("app_token", "{secret}"), ("signing_secret", SECRET)],
        room: "C024BE91L",
        message: "1700000000.000100",
        inbound: Some(Inbound {
            bodies: bodies.map(|(name, body)| (name, Bytes::from_static(body.as_bytes()))).collect(),
            request: |account, body, at| signed(account.secrets.get(settings::SIGNING_SECRET).unwrap(), body, at),
            proof: Some(Proof {
                headers: &[signature::TIMESTAMP, signature::SIGNATURE],
                window: Some(SignedDuration::from_secs(signature::WINDOW)),
            }),
        }),
        outbound: Some(Outbound {
            counted: |request| json_of(request)["text"].as_str().map(str::to_owned),
            words: |request| sameroom_text::mrkdwn::read(json_of(request)["text"].as_str().unwrap()).words(),
        }),
        session: Some(Held {
            transcript: br#"{"type":"hello","num_connections":1,"connection_info":{"app_id":"A0SAMEROOM"}}"#,
            joined: Joined { key: "C024BE91L".into(), name: "#general".to_owned(), settings: Value::Null, seen: None },
            answer: br#"{"ok":true,"url":"wss://wss-primary.slack.com/link/?ticket=t&app_id=A0SAMEROOM"}"#,
        }),
    }
}

/// One workspace that stands for itself.
fn account() -> Opened {
    let settings = json!({
        "app_id": "A0SAMEROOM",
        "team_id": "T024BE7LD",
        "team": "Acme",
        "bot_id": "B0SAMEROOM",
        "bot_user_id": "U0KRQLJ9H",
    });
    let secrets = [
        (settings::TOKEN, TOKEN),
        (settings::SIGNING_SECRET, SECRET),
        (settings::APP_TOKEN, "xapp-1-A0SAMEROOM-secret"),
    ];
    opened(Place::Alone, settings, secrets.into_iter().collect())
}

/// An app that is installed elsewhere.
fn app() -> Opened {
    let secrets = [(settings::CLIENT_SECRET, "client-secret"), (settings::SIGNING_SECRET, SECRET)];
    let mut app = opened(Place::App, json!({ "client_id": "1.2" }), secrets.into_iter().collect());
    app.account.identity = Identity { key: None, name: "app 1.2".to_owned() };
    app
}

fn opened(place: Place, settings: Value, secrets: Secrets) -> Opened {
    let account = Account {
        id: AccountId::from("acc1"),
        owner: OwnerId::from("owner"),
        platform: "slack".to_owned(),
        endpoint: settings::ENDPOINT.to_owned(),
        identity: Identity { key: Some("U0KRQLJ9H".into()), name: "sameroom@acme.slack.com".to_owned() },
        settings,
        secrets: Sealed::default(),
        state: AccountState::Ok,
        place,
        unknown: serde_json::Map::new(),
    };
    Opened { account, secrets }
}

fn signed(secret: &str, body: &[u8], at: Timestamp) -> Request<Bytes> {
    let timestamp = at.as_second().to_string();
    let signature = signature::sign(secret, &timestamp, body).unwrap();
    let kind = if body.starts_with(b"token=") { "application/x-www-form-urlencoded" } else { "application/json" };
    Request::post("/")
        .header(CONTENT_TYPE, kind)
        .header(signature::TIMESTAMP, timestamp)
        .header(signature::SIGNATURE, signature)
        .body(Bytes::copy_from_slice(body))
        .unwrap()
}

/// What the account hears when an event comes.
fn hears(account: &Opened, event: &Value) -> Result<Webhook, Rejected> {
    let body = json!({
        "type": "event_callback",
        "team_id": "T024BE7LD",
        "api_app_id": "A0SAMEROOM",
        "event_id": "Ev1",
        "event_time": 1_700_000_000,
        "authorizations": [{ "team_id": "T024BE7LD", "user_id": "U0KRQLJ9H", "is_bot": true }],
        "event": event,
    });
    Slack.overhear(account, &Bytes::from(body.to_string()), crate::suite::now())
}

fn json_of(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap_or_default()
}

fn answer(body: &Value) -> Response<Bytes> {
    Response::new(Bytes::from(body.to_string()))
}

/// A request in short: method, then body.
fn show(request: &Request<Bytes>) -> String {
    let path = request.uri().to_string();
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let body = percent_encoding::percent_decode_str(&body.replace('+', " ")).decode_utf8_lossy().into_owned();
    format!("{} {}", path.strip_prefix("https://slack.com/api/").unwrap_or(&path), body)
}
