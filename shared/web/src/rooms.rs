//! The pages of rooms that live in Sameroom: `GET /rooms/{token}` (several tokens joined by `~` stand side by side) and
//! `GET /rooms/{token}/events`, which tells the history first and then what comes. Whoever has the token may come in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event as Told, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use http::StatusCode;
use sameroom_engine::ports::Unavailable;
use sameroom_engine::{Engine, Entry, problem};
use sameroom_model::{Identity, MessageKey, Place, Room, RoomRef, Secrets};
use sameroom_platforms::Draft;
use sameroom_text::html;
use sameroom_text::names::excerpt;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{App, page};

/// The account that the rooms living here belong to.
pub const LOCAL_ACCOUNT: &str = "local";

/// That account as it is added: where it is there, its owner can make rooms that live here.
pub fn local_draft() -> Draft {
    Draft {
        platform: LOCAL_ACCOUNT,
        endpoint: "local:".to_owned(),
        identity: Identity { key: None, name: "Sameroom".to_owned() },
        settings: Value::Null,
        secrets: Secrets::default(),
        place: Place::Alone,
    }
}

/// How many rooms stand side by side at most.
const ROOMS_MAX: usize = 4;
/// The longest excerpt of an answered message, in graphemes.
const EXCERPT_MAX: usize = 80;
/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// After how long a page comes again whose stream ended.
const AGAIN: Duration = Duration::from_secs(3);

pub(crate) async fn page(State(app): State<App>, Path(tokens): Path<String>) -> Response {
    let mut rooms = Vec::new();
    for token in tokens.split('~').take(ROOMS_MAX) {
        match boot(&app.engine, &at(token)).await {
            Ok(Some(room)) => rooms.push(room),
            Ok(None) => return no_room(),
            Err(e) => return failed(&e),
        }
    }
    page::rooms(&json!({ "rooms": rooms, "hint": app.hint }))
}

pub(crate) async fn events(State(app): State<App>, Path(token): Path<String>) -> Response {
    let room = at(&token);
    match follow(app.engine, room, app.stream_for.is_some()).await {
        Ok(Some(stream)) => {
            let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
            // So that no proxy in between keeps what should be seen at once.
            response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
            response
        }
        Ok(None) => no_room(),
        Err(e) => failed(&e),
    }
}

/// The history first, then what comes; where `ends`, the history alone, and the page comes again. Following begins before the history is read, so that nothing falls in between;
/// the page replaces an entry that it has already.
async fn follow(
    engine: Engine,
    room: RoomRef,
    ends: bool,
) -> Result<Option<impl Stream<Item = Result<Told, Infallible>>>, Unavailable> {
    let Some(first) = boot(&engine, &room).await? else { return Ok(None) };
    let changes = engine.follow(&room);
    let history = engine.history(&room).await?;
    let mut known: HashMap<MessageKey, (String, String)> = HashMap::new();
    let mut start = vec![Ok(Told::default().event("room").data(first.to_string()))];
    start.extend(history.iter().map(|entry| Ok(told(entry, &mut known))));
    if ends {
        start.push(Ok(Told::default().retry(AGAIN)));
    }
    let live = stream::unfold((changes, known), move |(mut changes, mut known)| async move {
        if ends {
            return None;
        }
        match changes.recv().await {
            Ok(entry) => {
                let told = told(&entry, &mut known);
                Some((Ok(told), (changes, known)))
            }
            // Too far behind, or the process ends: the browser comes again and reads the history.
            Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => None,
        }
    });
    Ok(Some(stream::iter(start).chain(live)))
}

fn told(entry: &Entry, known: &mut HashMap<MessageKey, (String, String)>) -> Told {
    let reply = entry.reply.as_ref().map(|quote| {
        let found = quote.key.as_ref().and_then(|key| known.get(key)).cloned();
        let (author, excerpt) = found
            .unwrap_or_else(|| (quote.author.clone().unwrap_or_default(), quote.excerpt.clone().unwrap_or_default()));
        json!({ "key": quote.key, "author": author, "excerpt": excerpt })
    });
    known.insert(entry.key.clone(), (entry.shown.clone(), excerpt(&entry.body, EXCERPT_MAX)));
    let author = entry
        .author
        .as_ref()
        .map(|author| json!({ "key": author.key, "name": entry.shown, "bot": author.bot, "team": author.team }));
    let reactions: Vec<Value> =
        entry.reactions.iter().map(|(emoji, who)| json!({ "emoji": emoji, "count": who.len(), "who": who })).collect();
    let data = json!({
        "seq": entry.seq,
        "key": entry.key,
        "at": entry.at,
        "author": author,
        "html": html::write(&entry.body),
        "text": sameroom_text::markdown::write(&entry.body),
        "emote": entry.emote,
        "notice": author.is_none(),
        "reply": reply,
        "attachments": entry.attachments.iter().map(|a| json!({ "name": a.name, "url": a.url })).collect::<Vec<_>>(),
        "edited": entry.edited,
        "deleted": entry.deleted,
        "reactions": reactions,
    });
    Told::default().event("entry").id(entry.seq.to_string()).data(data.to_string())
}

/// What a page has to know of a room. `None`: there is no such room.
async fn boot(engine: &Engine, room: &RoomRef) -> Result<Option<Value>, Unavailable> {
    let Some(Room { name, site, .. }) = engine.room(room).await? else { return Ok(None) };
    let connected = engine.network(room).await?.rooms;
    let connected: Vec<String> = connected.iter().map(|room| format!("{} on {}", room.name, room.site)).collect();
    Ok(Some(json!({ "token": room.key, "name": name, "site": site, "connected": connected })))
}

fn at(token: &str) -> RoomRef {
    RoomRef::new(LOCAL_ACCOUNT, token)
}

fn no_room() -> Response {
    let detail = "There is no such room. Ask whoever gave you this link for it again.";
    page::document(problem(StatusCode::NOT_FOUND, "not-found", detail))
}

fn failed(e: &Unavailable) -> Response {
    page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &e.why))
}
