//! The other side of a webhook room, with a ledger of everything that was posted to it, and with a sender that insists
//! as platforms do: the same id until it is taken. It signs by its own few lines, not by ours.
#![allow(clippy::expect_used, reason = "only tests use it")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sameroom_embedded::SystemClock;
use sameroom_engine::ports::Clock as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What both sides sign with; tests pass it in the variable `HOOK_SECRET`.
pub const SECRET: &str = "a secret that only these tests know";

/// How long a request may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One request that the hook took.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its `webhook-id`.
    pub id: String,
    /// When it came.
    pub at: Instant,
    /// Its body.
    pub body: Value,
}

impl Entry {
    /// The words of the message.
    pub fn text(&self) -> &str {
        self.body["message"]["text"].as_str().unwrap_or_default()
    }

    /// The name of its author.
    pub fn author(&self) -> &str {
        self.body["author"]["name"].as_str().unwrap_or_default()
    }
}

/// Takes everything that is posted to it, and keeps it.
#[derive(Debug)]
pub struct Hook {
    port: u16,
    ledger: Arc<Ledger>,
    news: watch::Receiver<usize>,
}

#[derive(Debug)]
struct Ledger {
    entries: Mutex<Vec<Entry>>,
    tell: watch::Sender<usize>,
    /// While it is `true` nothing is answered.
    held: watch::Sender<bool>,
}

impl Hook {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (tell, news) = watch::channel(0);
        let ledger = Arc::new(Ledger { entries: Mutex::default(), tell, held: watch::Sender::new(false) });
        let router = Router::new().route("/{*path}", post(take)).with_state(ledger.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, ledger, news }
    }

    /// The URL of a room of this hook.
    pub fn room(&self, path: &str, room: &str) -> String {
        format!("webhook+http://127.0.0.1:{}/{path}?secret=env:HOOK_SECRET#{room}", self.port)
    }

    /// While it is held it takes requests, and neither answers nor notes them.
    pub fn hold(&self, held: bool) {
        self.ledger.held.send_replace(held);
    }

    /// Every message that came, in order.
    pub fn ledger(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| !entry.author().is_empty()).collect()
    }

    /// What Sameroom itself had to say.
    pub fn notices(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.author().is_empty()).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        self.ledger.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many messages have come.
    pub async fn hears(&mut self, count: usize, within: Duration) -> Vec<Entry> {
        let until = Instant::now() + within;
        while self.ledger().len() < count {
            let came = timeout_at(until, self.news.changed()).await;
            assert!(came.is_ok(), "of {count} messages {} came", self.ledger().len());
        }
        self.ledger()
    }
}

async fn take(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    if header("webhook-signature") != sign(&id, &timestamp, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(body) = serde_json::from_str(&body) else { return StatusCode::BAD_REQUEST };
    // Its other end is in the same ledger, so it is not gone.
    let _ = ledger.held.subscribe().wait_for(|held| !held).await;
    let mut entries = ledger.entries.lock().unwrap_or_else(PoisonError::into_inner);
    entries.push(Entry { id, at: Instant::now(), body });
    ledger.tell.send_replace(entries.len());
    StatusCode::NO_CONTENT
}

fn sign(id: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Posts signed messages to Sameroom.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    url: String,
    room: String,
}

impl Sender {
    /// Posts as a room of an account, to a Sameroom at that URL.
    pub fn new(base: &str, account: &str, room: &str) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client can be made");
        Self { client, url: format!("{base}/hooks/webhook/{account}"), room: room.to_owned() }
    }

    /// Posts a message once. `None`: nobody answered.
    pub async fn post(&self, id: &str, author: &str, text: &str) -> Option<u16> {
        let body = json!({
            "type": "message.posted",
            "room": self.room,
            "author": { "name": author },
            "message": { "text": text },
        });
        let (body, timestamp) = (body.to_string(), SystemClock.now().as_second().to_string());
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-signature", sign(id, &timestamp, &body))
            .header("webhook-timestamp", timestamp)
            .body(body);
        request.send().await.ok().map(|response| response.status().as_u16())
    }

    /// Posts a message until it is taken, and tells how often that was.
    pub async fn insist(&self, id: &str, author: &str, text: &str) -> u32 {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(id, author, text).await {
                Some(200..=299) => return tries,
                None | Some(429 | 500..=599) => tokio::time::sleep(Duration::from_millis(20)).await,
                Some(status) => panic!("a message was answered {status}"),
            }
        }
    }
}

/// The body of a page.
pub async fn get(url: &str) -> String {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client can be made");
    let response = client.get(url).send().await.expect("it answers");
    assert!(response.status().is_success(), "{url} answered {}", response.status());
    response.text().await.expect("it is text")
}
