//! A world of webhooks: a server that takes our signed posts, checks each by its own code from the specification, keeps
//! a ledger of them, and can be told to behave badly; and people there, whose words it signs and sends to the engine.
//! Source of the scheme: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sameroom_engine::ports::Clock;
use sameroom_model::{AccountId, Timestamp};
use sameroom_platforms::{Draft, by_name};
use sameroom_wire::HttpClient;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Town, lines, stir, until};

/// How the server behaves towards one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes it, 200.
    Well,
    /// Takes it, and answers with an id of its own for the message: `own/` and the id that was proposed.
    Naming,
    /// Takes it, after a while.
    Slow(Duration),
    /// Reads it and answers nothing until the room is released; then takes it.
    Held,
    /// 429, with `Retry-After` in seconds where given.
    Busy(Option<u64>),
    /// 503.
    Ailing,
    /// 400: not this one, ever.
    Refusing,
    /// 410: nothing any more.
    Gone,
    /// Resets the connection before the body is read.
    CutBefore,
    /// Takes it, and resets the connection instead of answering.
    CutAfter,
}

/// One request that came, whatever became of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When, by the town's clock.
    pub at: Timestamp,
    /// Its `webhook-id`.
    pub id: String,
    /// Its body.
    pub body: Value,
    /// How the server behaved.
    pub mood: Mood,
    /// Whether it was taken.
    pub taken: bool,
    /// Whether one of the same id had been taken before: receivers collapse those.
    pub again: bool,
}

/// The engine's answer to something said.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// Its body.
    pub body: Value,
}

/// A world of webhooks and its rooms.
#[derive(Clone)]
pub struct Hook {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    address: SocketAddr,
    engine: SocketAddr,
    account: Mutex<Option<AccountId>>,
    secret: Vec<u8>,
    clock: Arc<dyn Clock>,
    client: Arc<HttpClient>,
    ids: AtomicU64,
    ledger: Mutex<Ledger>,
    stirred: watch::Sender<u64>,
    server: Mutex<Option<JoinHandle<()>>>,
    /// Whoever serves a connection ends when this changes.
    cut: watch::Sender<u64>,
}

#[derive(Default)]
struct Ledger {
    attempts: Vec<Attempt>,
    taken: BTreeSet<String>,
    /// Places in `attempts` that a scenario has heard.
    heard: BTreeSet<usize>,
    moods: HashMap<String, Mood>,
    script: HashMap<String, VecDeque<Mood>>,
    before_reading: u32,
    unproven: u32,
}

impl Hook {
    pub(super) async fn open(town: &Town, name: &str) -> (Self, Draft) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let secret = format!("the secret of {name}").into_bytes();
        let url = format!("webhook+http://{address}/in?secret=whsec_{}", STANDARD.encode(&secret));
        let draft = by_name("webhook").unwrap().locate(&url.parse().unwrap()).unwrap().account;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            address,
            engine: town.address,
            account: Mutex::default(),
            secret,
            clock: town.clock.clone(),
            client: town.client.clone(),
            ids: AtomicU64::new(1),
            ledger: Mutex::default(),
            stirred: watch::Sender::new(0),
            server: Mutex::default(),
            cut: watch::Sender::new(0),
        });
        let hook = Self { shared };
        hook.serve(listener);
        (hook, draft)
    }

    pub(super) fn registered(&self, account: &AccountId) {
        *self.shared.account.lock().unwrap() = Some(account.clone());
    }

    /// Somebody writes something.
    pub async fn says(&self, who: &str, room: &str, text: &str) -> String {
        self.posts(
            json!({ "type": "message.posted", "room": room, "author": { "name": who }, "message": { "text": text } }),
        )
        .await
    }

    /// Somebody answers a message.
    pub async fn replies(&self, who: &str, room: &str, to: &str, text: &str) -> String {
        let message = json!({ "text": text, "reply_to": to });
        self.posts(json!({ "type": "message.posted", "room": room, "author": { "name": who }, "message": message }))
            .await
    }

    /// Somebody edits a message.
    pub async fn edits(&self, who: &str, room: &str, key: &str, text: &str) {
        let message = json!({ "id": key, "text": text });
        self.posts(json!({ "type": "message.edited", "room": room, "author": { "name": who }, "message": message }))
            .await;
    }

    /// A message is deleted.
    pub async fn deletes(&self, room: &str, key: &str) {
        self.posts(json!({ "type": "message.deleted", "room": room, "message": { "id": key } })).await;
    }

    /// Somebody reacts to a message.
    pub async fn reacts(&self, who: &str, room: &str, key: &str, emoji: &str) {
        let (author, message) = (json!({ "name": who }), json!({ "id": key }));
        let kind = "reaction.added";
        self.posts(json!({ "type": kind, "room": room, "author": author, "message": message, "reaction": emoji }))
            .await;
    }

    /// Tells something that must be accepted; gives the event's id, which is a new message's key.
    pub async fn posts(&self, event: Value) -> String {
        let answered = self.tells(&self.id(), event).await;
        assert_eq!(answered.status, StatusCode::ACCEPTED, "{}", answered.body);
        answered.body["id"].as_str().unwrap().to_owned()
    }

    /// Tells something under that `webhook-id`.
    pub async fn tells(&self, id: &str, event: Value) -> Answered {
        self.sends(self.signed(id, event)).await
    }

    /// A signed request to our account.
    pub fn signed(&self, id: &str, event: Value) -> Request<Bytes> {
        let shared = &self.shared;
        let account = shared.account.lock().unwrap().clone().expect("the account was added");
        let (body, time) = (event.to_string(), shared.clock.now().as_second().to_string());
        Request::post(format!("http://{}/hooks/webhook/{account}", shared.engine))
            .header("webhook-id", id)
            .header("webhook-timestamp", &time)
            .header("webhook-signature", format!("v1,{}", sign(&shared.secret, id, &time, body.as_bytes())))
            .body(body.into())
            .unwrap()
    }

    /// Sends a request to the engine.
    pub async fn sends(&self, request: Request<Bytes>) -> Answered {
        let response = self.shared.client.send(request).await.unwrap();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        Answered {
            status: response.status(),
            retry_after: header.map(|value| value.parse().unwrap()),
            body: serde_json::from_slice(response.body()).unwrap_or_default(),
        }
    }

    /// Sends a request to the engine's router, for its whole answer.
    pub async fn gets(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.shared.client.send(request).await.unwrap()
    }

    /// A new `webhook-id`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.shared.name, self.shared.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Behaves so towards every request for a room, from now on. A room that was held is released by any other mood.
    pub fn is(&self, room: &str, mood: Mood) {
        self.ledger().moods.insert(room.to_owned(), mood);
        stir(&self.shared.stirred);
    }

    /// Behaves so towards the next requests for a room, one after the other, before its mood counts again.
    pub fn script(&self, room: &str, moods: impl IntoIterator<Item = Mood>) {
        self.ledger().script.entry(room.to_owned()).or_default().extend(moods);
    }

    /// Resets the next `n` connections before their request is read.
    pub fn cuts_before_reading(&self, n: u32) {
        self.ledger().before_reading = n;
    }

    /// Closes the port and all connections.
    pub async fn down(&self) {
        let server = self.shared.server.lock().unwrap().take().expect("it is up");
        server.abort();
        let _ = server.await;
        stir(&self.shared.cut);
    }

    /// Opens the port again.
    pub async fn up(&self) {
        self.serve(TcpListener::bind(self.shared.address).await.unwrap());
    }

    /// Waits until a room hears these words by that author, not heard before; gives the key of the message.
    pub async fn hears(&self, room: &str, who: &str, text: &str) -> String {
        self.hears_what(room, &format!("{who}: {text}"), |post| {
            let body = &post.body;
            body["type"] == "message.posted" && body["author"]["name"] == who && body["message"]["text"] == text
        })
        .await["message"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until a room is told something by us that holds these words.
    pub async fn is_told(&self, room: &str, words: &str) {
        self.hears_what(room, words, |post| {
            let said = post.body["message"]["text"].as_str().unwrap_or_default();
            post.body.get("author").is_none() && said.contains(words)
        })
        .await;
    }

    /// Waits until a room hears something that `wanted` wants, not heard before.
    pub async fn hears_what(&self, room: &str, name: &str, wanted: impl Fn(&Attempt) -> bool) -> Value {
        let look = || {
            let mut ledger = self.ledger();
            let Ledger { attempts, heard, .. } = &mut *ledger;
            let mut fresh = attempts
                .iter()
                .enumerate()
                .filter(|(at, post)| post.taken && !post.again && post.body["room"] == room && !heard.contains(at));
            let (at, post) = fresh.find(|(_, post)| wanted(post))?;
            heard.insert(at);
            Some(post.body.clone())
        };
        let tell = || format!("{room} to hear `{name}`; it heard{}", lines(self.ledger().attempts.iter()));
        until(&self.shared.stirred, look, tell).await
    }

    /// Waits until so many requests came for a room, whatever became of them.
    pub async fn is_tried(&self, room: &str, times: usize) {
        let tell = || format!("{room} to be tried {times} times; so far{}", lines(self.attempts(room)));
        until(&self.shared.stirred, || (self.attempts(room).len() >= times).then_some(()), tell).await;
    }

    /// Waits until a room shows this, and no more: author and text of every message, as edits and deletes left them.
    /// Notices are left out.
    pub async fn shows(&self, room: &str, wanted: &[(&str, &str)]) {
        let look = || {
            (self.said(room).iter().map(|(who, text)| (who.as_str(), text.as_str())).eq(wanted.iter().copied()))
                .then_some(())
        };
        until(&self.shared.stirred, look, || format!("{room} to show {wanted:?}; it shows{}", lines(self.said(room))))
            .await;
    }

    /// What a room shows now: author and text of every message, as edits and deletes left them, notices left out.
    pub fn said(&self, room: &str) -> Vec<(String, String)> {
        let mut shown: Vec<(String, Option<(String, String)>)> = Vec::new();
        for post in self.ledger().taken_once(room) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (body, key) = (&post.body, text(&post.body["message"]["id"]));
            let message = (text(&body["author"]["name"]), text(&body["message"]["text"]));
            match body["type"].as_str().unwrap() {
                "message.posted" if body.get("author").is_some() => shown.push((key, Some(message))),
                "message.edited" => {
                    if let Some((_, Some(shown))) = shown.iter_mut().find(|(known, _)| *known == key) {
                        shown.1 = message.1;
                    }
                }
                "message.deleted" => {
                    shown.iter_mut().filter(|(known, _)| *known == key).for_each(|(_, shown)| *shown = None)
                }
                _ => {}
            }
        }
        shown.into_iter().filter_map(|(_, shown)| shown).collect()
    }

    /// The texts of what a room shows.
    pub fn texts(&self, room: &str) -> Vec<String> {
        self.said(room).into_iter().map(|(_, text)| text).collect()
    }

    /// What a room was told by us.
    pub fn notices(&self, room: &str) -> Vec<String> {
        let ledger = self.ledger();
        let told = ledger
            .taken_once(room)
            .filter(|post| post.body.get("author").is_none() && post.body["type"] == "message.posted");
        told.map(|post| post.body["message"]["text"].as_str().unwrap().to_owned()).collect()
    }

    /// All requests that came for a room.
    pub fn attempts(&self, room: &str) -> Vec<Attempt> {
        self.ledger().attempts.iter().filter(|post| post.body["room"] == room).cloned().collect()
    }

    /// How many requests were taken a second time: duplicates, which a receiver collapses by their id.
    pub fn collapsed(&self) -> usize {
        self.ledger().attempts.iter().filter(|post| post.taken && post.again).count()
    }

    /// How many requests were not proven.
    pub fn unproven(&self) -> u32 {
        self.ledger().unproven
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().unwrap()
    }

    fn serve(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(shared.clone(), stream));
            }
        });
        *self.shared.server.lock().unwrap() = Some(server);
    }
}

impl Ledger {
    fn taken_once(&self, room: &str) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |post| post.taken && !post.again && post.body["room"] == room)
    }

    fn mood(&mut self, room: &str) -> Mood {
        let scripted = self.script.get_mut(room).and_then(VecDeque::pop_front);
        scripted.or_else(|| self.moods.get(room).copied()).unwrap_or(Mood::Well)
    }
}

impl Shared {
    fn cuts_before_reading(&self, headers: &HeaderMap) -> bool {
        let mut ledger = self.ledger.lock().unwrap();
        if ledger.before_reading == 0 {
            return false;
        }
        ledger.before_reading -= 1;
        let (at, id, mood) = (self.clock.now(), header(headers, "webhook-id"), Mood::CutBefore);
        ledger.attempts.push(Attempt { at, id, body: Value::Null, mood, taken: false, again: false });
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

/// Serves one connection, until it is cut: then the peer sees a reset.
async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut cut_all = shared.cut.subscribe();
    let (cut, mut cut_this) = watch::channel(());
    let service = service_fn(move |request| answer(shared.clone(), cut.clone(), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => {}
        _ = cut_all.changed() => {}
        Ok(()) = cut_this.changed() => {}
    }
}

async fn answer(
    shared: Arc<Shared>,
    cut: watch::Sender<()>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if shared.cuts_before_reading(&parts.headers) {
        cut.send_replace(());
        std::future::pending::<()>().await;
    }
    let body = body.collect().await.unwrap().to_bytes();
    Ok(judge(&shared, &cut, &parts.headers, &body).await)
}

async fn judge(shared: &Shared, cut: &watch::Sender<()>, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode| Response::builder().status(status).body(Full::default()).unwrap();
    if !proven(&shared.secret, headers, body, shared.clock.now()) {
        shared.ledger.lock().unwrap().unproven += 1;
        return plain(StatusCode::UNAUTHORIZED);
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    let room = body["room"].as_str().unwrap().to_owned();
    let mut attempt = {
        let mut ledger = shared.ledger.lock().unwrap();
        let mood = ledger.mood(&room);
        let (at, id) = (shared.clock.now(), header(headers, "webhook-id"));
        Attempt { at, id, body, mood, taken: false, again: false }
    };
    if attempt.mood == Mood::Held {
        let released = || (shared.ledger.lock().unwrap().moods.get(&room) != Some(&Mood::Held)).then_some(());
        stir(&shared.stirred);
        until(&shared.stirred, released, || format!("{room} to be released")).await;
    } else if let Mood::Slow(time) = attempt.mood {
        tokio::time::sleep(time).await;
    }
    let mood = attempt.mood;
    attempt.taken = matches!(mood, Mood::Well | Mood::Naming | Mood::Slow(_) | Mood::Held | Mood::CutAfter);
    let id = attempt.id.clone();
    {
        let mut ledger = shared.ledger.lock().unwrap();
        attempt.again = attempt.taken && !ledger.taken.insert(attempt.id.clone());
        ledger.attempts.push(attempt);
    }
    stir(&shared.stirred);
    match mood {
        Mood::Well | Mood::Slow(_) | Mood::Held => plain(StatusCode::OK),
        Mood::Naming => Response::new(Full::from(json!({ "id": format!("own/{id}") }).to_string())),
        Mood::Ailing => plain(StatusCode::SERVICE_UNAVAILABLE),
        Mood::Refusing => plain(StatusCode::BAD_REQUEST),
        Mood::Gone => plain(StatusCode::GONE),
        Mood::Busy(after) => {
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS);
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.into());
            }
            response
        }
        Mood::CutBefore | Mood::CutAfter => {
            cut.send_replace(());
            std::future::pending().await
        }
    }
}

/// The specification's check, written from it and not from ours.
fn proven(secret: &[u8], headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
    let (id, time) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    let fresh = time.parse::<i64>().is_ok_and(|sent| (now.as_second() - sent).abs() <= 5 * 60);
    let expected = sign(secret, &id, &time, body);
    let given = header(headers, "webhook-signature");
    fresh && !id.is_empty() && given.split(' ').any(|one| one.split_once(',') == Some(("v1", &expected)))
}

fn sign(secret: &[u8], id: &str, time: &str, body: &[u8]) -> String {
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed))
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
