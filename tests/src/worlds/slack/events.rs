//! Events: who is told of what, the envelope, and its way to the app's Request URL with signature and retries. The way
//! over a WebSocket is in `socket`. Source: <https://docs.slack.dev/apis/events-api>.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::ledger::Push;
use super::model::{Id, Install, Kind, State, random};
use super::socket::Socket;

/// Who is told of an event.
pub(super) enum Audience<'a> {
    /// Apps that are in a channel and may read its messages.
    Message(&'a str),
    /// Apps that are in a channel and have a scope.
    Member(&'a str, &'a str),
    /// Apps that know of a channel and have its `read` scope: everybody's where it is public.
    Room(&'a str),
    /// All of a workspace that have a scope.
    Team(&'a str, &'a str),
    /// One installation: app and workspace.
    Install(&'a str, &'a str),
}

/// An event on its way to an app.
#[derive(Clone)]
pub(super) struct Delivery {
    pub app: Id,
    pub kind: String,
    pub envelope: Value,
}

/// What is on its way, and how.
pub(super) struct Pushes {
    pub holding: bool,
    pub held: Vec<Delivery>,
    /// So many of the next events go out twice.
    pub duplicates: u32,
    /// So many of the next events are dropped.
    pub dropping: u32,
    /// When a failed delivery is tried again, each time counted from the failure before.
    pub retry_after: Vec<Duration>,
    pub timeout: Duration,
    /// How many set out, and of how many the first attempt is over.
    pub sent: u64,
    pub done: u64,
    /// How many are being tried again.
    pub retrying: u32,
    pub sockets: Vec<Socket>,
    pub turn: usize,
    /// Envelopes that wait for their acknowledgement: the socket they went to, and who waits.
    pub acks: BTreeMap<String, (u64, oneshot::Sender<()>)>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            holding: false,
            held: Vec::new(),
            duplicates: 0,
            dropping: 0,
            retry_after: [0, 60, 300].map(Duration::from_secs).to_vec(),
            timeout: Duration::from_secs(3),
            sent: 0,
            done: 0,
            retrying: 0,
            sockets: Vec::new(),
            turn: 0,
            acks: BTreeMap::new(),
        }
    }
}

/// What became of one attempt.
pub(super) struct Attempt {
    pub status: Option<u16>,
    pub reason: &'static str,
    pub no_retry: bool,
}

impl Attempt {
    fn failed(&self) -> bool {
        self.status.is_none_or(|status| !(200..300).contains(&status))
    }
}

impl State {
    pub fn tell(&mut self, audience: &Audience<'_>, event: Value) {
        self.tell_with(audience, event, &Value::Null);
    }

    /// Tells an event; whoever may read metadata gets it with the message.
    pub fn tell_with(&mut self, audience: &Audience<'_>, mut event: Value, metadata: &Value) {
        if event["event_ts"].is_null() {
            event["event_ts"] = json!(self.ts());
        }
        let installs: Vec<Install> = self.installs.iter().filter(|install| install.active).cloned().collect();
        for install in installs {
            if !self.is_told(&install, audience, &event) {
                continue;
            }
            let mut event = event.clone();
            if !metadata.is_null() && install.scopes.iter().any(|scope| scope == "metadata.message:read") {
                let holder = if event["message"].is_object() { &mut event["message"] } else { &mut event };
                holder["metadata"] = metadata.clone();
            }
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            let envelope = self.envelope(&install, event);
            self.send(&install.app, kind, envelope);
        }
    }

    /// Puts an envelope on its way, unless events are being dropped.
    pub fn send(&mut self, app: &str, kind: String, envelope: Value) {
        if self.pushes.dropping > 0 {
            self.pushes.dropping -= 1;
            return;
        }
        self.outbox.push(Delivery { app: app.to_owned(), kind, envelope });
    }

    /// The one event that tells of dropped ones.
    pub fn rate_limited(&mut self, app: &str, team: &str) {
        let envelope = json!({
            "token": self.apps[app].verification, "type": "app_rate_limited", "team_id": team,
            "minute_rate_limited": self.now / 60_000_000 * 60, "api_app_id": app,
        });
        self.send(app, "app_rate_limited".into(), envelope);
    }

    fn is_told(&self, install: &Install, audience: &Audience<'_>, event: &Value) -> bool {
        let has = |scope: &str| install.scopes.iter().any(|had| had == scope);
        let room = |id: &str| self.channels.get(id).filter(|channel| channel.seen_by(&install.team));
        let (may, kind) = match audience {
            Audience::Message(id) => {
                let Some(room) = room(id).filter(|room| room.has(&install.bot_user)) else { return false };
                let family = match room.kind {
                    Kind::Public => "message.channels",
                    Kind::Private => "message.groups",
                    Kind::Dm => "message.im",
                };
                (has(&room.scope("history")), family)
            }
            Audience::Member(id, scope) => {
                (has(scope) && room(id).is_some_and(|room| room.has(&install.bot_user)), kind(event))
            }
            Audience::Room(id) => {
                let Some(room) = room(id) else { return false };
                let known = room.kind == Kind::Public || room.has(&install.bot_user);
                (known && has(&room.scope("read")), kind(event))
            }
            Audience::Team(team, scope) => (install.team == *team && has(scope), kind(event)),
            Audience::Install(app, team) => (install.app == *app && install.team == *team, kind(event)),
        };
        may && self.apps[&install.app].subscriptions.contains(kind)
    }

    fn envelope(&mut self, install: &Install, event: Value) -> Value {
        let id = self.id("Ev");
        let channel = event["channel"].as_str().or_else(|| event["item"]["channel"].as_str()).map(str::to_owned);
        let channel = channel.and_then(|id| self.channels.get(&id));
        let context = json!({
            "et": event["type"], "tid": install.team, "aid": install.app, "cid": channel.map(|channel| &channel.id),
        });
        json!({
            "token": self.apps[&install.app].verification, "team_id": install.team, "context_team_id": install.team,
            "context_enterprise_id": null, "api_app_id": install.app, "event": event, "type": "event_callback",
            "event_id": id, "event_time": self.now / 1_000_000,
            "authorizations": [{
                "enterprise_id": null, "team_id": install.team, "user_id": install.bot_user, "is_bot": true,
                "is_enterprise_install": false,
            }],
            "is_ext_shared_channel": channel.is_some_and(|channel| !channel.shared.is_empty()),
            "event_context": format!("4-{}", STANDARD_NO_PAD.encode(context.to_string())),
        })
    }
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

/// Delivers, first attempts one after the other, until the world is gone.
pub(super) async fn work(shared: Weak<Shared>, mut deliveries: mpsc::UnboundedReceiver<Delivery>) {
    while let Some(delivery) = deliveries.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let first = attempt(&shared, &delivery, 0, None).await;
        let again = first.failed() && !first.no_retry;
        shared.with(|state| {
            state.pushes.done += 1;
            state.pushes.retrying += u32::from(again);
        });
        if again {
            tokio::spawn(retry(shared.clone(), delivery, first.reason));
        }
    }
}

async fn retry(shared: Arc<Shared>, delivery: Delivery, mut reason: &'static str) {
    let schedule = shared.with(|state| state.pushes.retry_after.clone());
    for (at, after) in schedule.into_iter().enumerate() {
        tokio::time::sleep(after).await;
        let tried = attempt(&shared, &delivery, at as u32 + 1, Some(reason)).await;
        if !tried.failed() || tried.no_retry {
            break;
        }
        reason = tried.reason;
    }
    shared.with(|state| state.pushes.retrying -= 1);
}

/// One attempt, by whatever way the app has chosen. The ledger has it when this is over.
async fn attempt(shared: &Arc<Shared>, delivery: &Delivery, number: u32, reason: Option<&'static str>) -> Attempt {
    let (socket, url, secret, timeout) = shared.with(|state| {
        let app = &state.apps[&delivery.app];
        (app.socket_mode, app.request_url.clone(), app.signing_secret.clone(), state.pushes.timeout)
    });
    let tried = match url {
        _ if socket => super::socket::attempt(shared, delivery, number, reason, timeout).await,
        Some(url) => {
            let mut headers = Vec::new();
            if let Some(reason) = reason {
                headers.push(("x-slack-retry-num", number.to_string()));
                headers.push(("x-slack-retry-reason", reason.to_owned()));
            }
            post(shared, &url, &secret, &delivery.envelope, headers, timeout).await.0
        }
        None => return Attempt { status: Some(200), reason: "", no_retry: true },
    };
    shared.with(|state| {
        let text = |key: &str| delivery.envelope[key].as_str().unwrap_or_default().to_owned();
        let push = Push {
            at: state.now,
            app: delivery.app.clone(),
            event_id: text("event_id"),
            kind: delivery.kind.clone(),
            attempt: number,
            reason: reason.map(str::to_owned),
            status: tried.status,
            envelope: delivery.envelope.clone(),
        };
        state.ledger.pushes.push(push);
    });
    tried
}

/// Posts something signed to an app; gives what became of it, and the body of the answer.
async fn post(
    shared: &Shared,
    url: &str,
    secret: &str,
    body: &Value,
    headers: Vec<(&'static str, String)>,
    timeout: Duration,
) -> (Attempt, String) {
    let (body, time) = (body.to_string(), (shared.now() / 1_000_000).to_string());
    let mut request = shared
        .client
        .post(url)
        .timeout(timeout)
        .header("content-type", "application/json")
        .header("accept", "*/*")
        .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header("x-slack-signature", sign(secret, &time, &body))
        .header("x-slack-request-timestamp", time);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let failed = |reason| Attempt { status: None, reason, no_retry: false };
    let response = match request.body(body).send().await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => return (failed("http_timeout"), String::new()),
        Err(error) if error.is_redirect() => return (failed("too_many_redirects"), String::new()),
        Err(error) if error.is_connect() => return (failed("connection_failed"), String::new()),
        Err(_) => return (failed("unknown_error"), String::new()),
    };
    let status = Some(response.status().as_u16());
    let no_retry = response.headers().get("x-slack-no-retry").is_some_and(|value| value == "1");
    let tried = Attempt { status, reason: "http_error", no_retry };
    (tried, response.text().await.unwrap_or_default())
}

/// The handshake with a Request URL: why it fails, if it does.
pub(super) async fn verify(shared: &Shared, app: &str, url: &str) -> Result<(), String> {
    let (secret, token) = shared.with(|state| {
        let app = &state.apps[app];
        (app.signing_secret.clone(), app.verification.clone())
    });
    let challenge = random(52);
    let body = json!({ "token": token, "challenge": challenge, "type": "url_verification" });
    let (tried, answer) = post(shared, url, &secret, &body, Vec::new(), Duration::from_secs(3)).await;
    if tried.status != Some(200) {
        return Err(match tried.status {
            Some(status) => format!("the request URL answered {status}"),
            None => format!("the request URL did not answer: {}", tried.reason),
        });
    }
    let json: Value = serde_json::from_str(&answer).unwrap_or_default();
    if answer.trim() == challenge || json["challenge"] == challenge.as_str() {
        return Ok(());
    }
    Err("the request URL did not answer with the challenge".into())
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>.
pub(super) fn sign(secret: &str, time: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{time}:{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={hex}")
}
