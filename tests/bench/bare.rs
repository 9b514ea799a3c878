//! The least that a program on the same libraries does for a message: it proves the signature, keeps the message on the
//! disk before it answers, posts it on, signed, in order, and then keeps what became what in its place. No rooms, Tubes,
//! texts, edits, retries or limits. What the real program costs more than this is its own; what this costs is the machine's
//! and the libraries'. Runs as a process of its own: `bench --bare SINK FOLDER`.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::hook::SECRET;

/// As the store of the real program does: with so many commits at once others are waited for, for so long.
const BUSY: usize = 4;
const ENOUGH: usize = 32;
const GATHER: Duration = Duration::from_micros(200);

/// A message that is kept: its row, its id and its body.
type Kept = (i64, String, Vec<u8>);

enum Write {
    Keep { id: String, body: Vec<u8>, kept: oneshot::Sender<i64> },
    Settle { row: i64, id: String },
}

struct Shared {
    key: hmac::Key,
    writes: mpsc::Sender<Write>,
    posts: UnboundedSender<Kept>,
}

/// Runs until it is told to stop.
pub(crate) async fn run(sink: &str, folder: &Path) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&SECRET[6..]).expect("base64"));
    let (writes, asked) = mpsc::channel();
    let database = folder.join("bare.db");
    std::thread::spawn(move || keep(&database, &asked));
    let (posts, mut kept) = unbounded_channel::<Kept>();
    let shared = Arc::new(Shared { key, writes, posts });
    let (poster, sink) = (shared.clone(), sink.to_owned());
    tokio::spawn(async move {
        let client = reqwest::Client::builder().http1_only().no_proxy().tcp_nodelay(true).build().expect("a client");
        while let Some((row, id, body)) = kept.recv().await {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().to_string();
            let signature = sign(&poster.key, &id, &now, &body);
            let post = client.post(&sink).header("content-type", "application/json").header("webhook-id", &id);
            let post = post.header("webhook-timestamp", now).header("webhook-signature", signature).body(body);
            let answer = post.send().await.expect("an answer");
            assert!(answer.bytes().await.is_ok(), "a whole answer");
            poster.writes.send(Write::Settle { row, id }).expect("it writes");
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    println!("{}", json!({"url": url, "tubes": [{"rooms": [{"ref": {"account": "bare"}}]}]}));
    let router = Router::new().route("/hooks/webhook/{account}", post(hook)).with_state(shared);
    axum::serve(listener, router).await.expect("it serves");
}

async fn hook(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if sign(&shared.key, header("webhook-id"), header("webhook-timestamp"), &body) != header("webhook-signature") {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let body = event.to_string().into_bytes();
    let (kept, told) = oneshot::channel();
    shared.writes.send(Write::Keep { id: id.clone(), body: body.clone(), kept }).expect("it writes");
    let Ok(row) = told.await else { return StatusCode::SERVICE_UNAVAILABLE };
    shared.posts.send((row, id, body)).expect("it posts");
    StatusCode::ACCEPTED
}

fn sign(key: &hmac::Key, id: &str, time: &str, body: &[u8]) -> String {
    let mut mac = hmac::Context::with_key(key);
    [id.as_bytes(), b".", time.as_bytes(), b".", body].into_iter().for_each(|part| mac.update(part));
    format!("v1,{}", STANDARD.encode(mac.sign()))
}

/// Writes what is asked for, all that waits in one transaction, and answers when it is on the disk.
fn keep(path: &Path, asked: &mpsc::Receiver<Write>) {
    let database = Connection::open(path).expect("a database");
    let tables = "
        PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096; PRAGMA secure_delete = ON;
        CREATE TABLE jobs (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE seen (id INTEGER PRIMARY KEY, rest INTEGER NOT NULL) STRICT;
        CREATE TABLE rows (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;";
    database.execute_batch(tables).expect("tables");
    let prepare = |sql| database.prepare(sql).expect("SQL");
    let mut job = prepare("INSERT INTO jobs (body) VALUES (?1)");
    let mut seen = prepare("INSERT OR IGNORE INTO seen (id, rest) VALUES (?1, ?2)");
    let mut copy = prepare("INSERT OR REPLACE INTO rows (key, body) VALUES (?1, ?2)");
    let mut done = prepare("DELETE FROM jobs WHERE id = ?1");
    while let Ok(first) = asked.recv() {
        let mut batch: Vec<Write> = [first].into_iter().chain(asked.try_iter()).collect();
        if (BUSY..ENOUGH).contains(&batch.len()) {
            std::thread::sleep(GATHER);
            batch.extend(asked.try_iter());
        }
        database.execute_batch("BEGIN IMMEDIATE").expect("begun");
        let mut told = Vec::new();
        for write in batch {
            match write {
                Write::Keep { id, body, kept } => {
                    let [half, rest] = halves(&id);
                    seen.execute([half, rest]).expect("marked");
                    job.execute([body]).expect("kept");
                    told.push((kept, database.last_insert_rowid()));
                }
                Write::Settle { row, id } => {
                    let [half, rest] = halves(&id);
                    let became = json!({"room": "webhook/bare/room0", "key": id}).to_string();
                    copy.execute(params![format!("copies/{half:016x}{rest:016x}"), became]).expect("noted");
                    done.execute([row]).expect("forgotten");
                }
            }
        }
        database.execute_batch("COMMIT").expect("on the disk");
        for (kept, row) in told {
            let _ = kept.send(row);
        }
    }
}

/// The first half of an id's hash, as two numbers.
fn halves(id: &str) -> [i64; 2] {
    let hash = digest(&SHA256, id.as_bytes());
    [0, 8].map(|at| i64::from_le_bytes(hash.as_ref()[at..at + 8].try_into().expect("eight bytes")))
}
