//! What changes, as it happens: server-sent events. What a client missed while it was away it gets by `Last-Event-ID`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Told, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use sameroom_engine::{Change, ChangeKind, Crossed, Crossing, Following, Landing, Watching, Words};
use sameroom_model::{OwnerId, Scope, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::App;
use crate::api::gate::{By, Token, missing};
use crate::api::json::Query;
use crate::api::openapi::{Routes, routes};
use crate::api::problem::Problem;
use crate::api::shapes::{Place, owned_account, place, room_id_of};

/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// After how long a client comes again whose stream ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Something that changed: the data of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// What happened, for example `tube.made`; the event's name, too.
    kind: String,
    /// The id of what it happened to. For a guest: `PORTAL/GUEST`.
    id: String,
    /// When.
    at: Timestamp,
}

/// Something that crossed, or did not: the data of an event named `crossing`. Words are in it only where they were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Crossing)]
pub(crate) struct CrossingEvent {
    /// When it was settled.
    at: Timestamp,
    /// What it was to do: `message`, `edit`, `deletion`, `reaction` or `notice`.
    kind: &'static str,
    /// The room that it came from; absent for a notice, which nobody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Place>,
    /// The room that it goes to.
    to: Place,
    /// What became of it: `delivered`, `left-out`, `waits` or `failed`.
    outcome: &'static str,
    /// Why, when it waits or failed; where the room that it goes to is yours.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How long it took since it was accepted, in milliseconds.
    took_ms: u64,
    /// Who says it, as the other side is told; only with `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// What it says, on one line, without control characters and cut at 400; only with `text`, and only where it comes
    /// from a room of yours or was delivered to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// What to follow.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Follow {
    /// `true`: also what crosses between rooms of which one is yours, as it happens, as events named `crossing`. Nothing
    /// of that is kept: what you miss you do not get by `Last-Event-ID`.
    #[serde(default)]
    crossings: bool,
    /// `true`, with `crossings`: also what each message says. Needs the scope `admin`, since it is more than to see what
    /// you have.
    #[serde(default)]
    text: bool,
}

pub(crate) fn routes() -> Routes {
    routes!(follow_events)
}

/// Follow what changes
///
/// Server-sent events. Each has an id, the kind as its name, and a JSON object as its data. Send the last id that you saw
/// as `Last-Event-ID` and you get what came after it, for a day. An event named `reset` says that some are no longer kept:
/// read anew what you hold. Message text is never in it, but for `text` with `crossings`. Without `Last-Event-ID` it begins now.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(Follow, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that you saw")),
    responses((
        status = 200,
        description = "A stream that does not end by itself. The data of each event is an Event.",
        content_type = "text/event-stream",
        body = String,
    )),
    security(("key" = ["read"]))
)]
async fn follow_events(
    State(app): State<App>,
    By(caller): By,
    Token(token): Token,
    Query(query): Query<Follow>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let id = id.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            let bad = || Problem::parameter("Last-Event-ID", "Last-Event-ID is the id of an event of this stream.");
            Some(id.ok_or_else(bad)?)
        }
    };
    if query.text && !query.crossings {
        return Err(Problem::parameter("text", "`text` is for what crosses; give `crossings=true`, too."));
    }
    if query.text && !caller.may(Scope::Admin) {
        return Err(missing(Scope::Admin));
    }
    if query.text {
        // Whoever runs the instance sees that somebody reads along.
        tracing::info!(owner = %caller.owner, key = %caller.key, "what crosses is watched with its text");
    }
    let following = app.engine.watch(&caller.owner, after).await?;
    let crossings = query.crossings.then(|| app.engine.crossings(query.text.then(|| caller.owner.clone())));
    let until = app.stream_for.map(|time| Instant::now() + time);
    let first = until.map(|_| Ok(Told::default().id(following.seen().to_string()).retry(AGAIN)));
    let watch = Watch { app, owner: caller.owner, token, following, crossings, until, told: false };
    let stream = stream::iter(first).chain(follow(watch));
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // So that no proxy in between keeps what should be seen at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Somebody who follows.
struct Watch {
    app: App,
    owner: OwnerId,
    token: Option<SecretString>,
    following: Following,
    crossings: Option<Watching>,
    /// When it ends if there was nothing to tell. `None`: it goes on.
    until: Option<Instant>,
    /// Whether something was told.
    told: bool,
}

/// What comes, until the key is no longer valid, the store fails, or an answer has to end: the client comes again then.
fn follow(watch: Watch) -> impl Stream<Item = Result<Told, Infallible>> {
    stream::unfold(watch, |mut watch| async move {
        if watch.told && watch.until.is_some() {
            return None;
        }
        let told = tokio::select! {
            () = over(watch.until) => return None,
            since = watch.following.next() => {
                let since = since.ok()?;
                let mut told = Vec::new();
                if since.missed {
                    told.push(Told::default().event("reset").data("{}"));
                }
                told.extend(since.changes.into_iter().map(tell));
                told
            }
            crossing = next_crossing(&mut watch.crossings) => watch.crossed(crossing).await?,
        };
        if let Some(token) = &watch.token {
            // A key may have been revoked since the stream began.
            watch.app.engine.authenticate(token).await.ok()??;
        }
        watch.told |= !told.is_empty();
        Some((stream::iter(told.into_iter().map(Ok)), watch))
    })
    .flatten()
}

async fn over(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The next crossing, where they are watched. What a slow client misses is left out.
async fn next_crossing(crossings: &mut Option<Watching>) -> Crossing {
    let next = match crossings {
        Some(watched) => watched.next().await,
        None => None,
    };
    match next {
        Some(crossing) => crossing,
        None => std::future::pending().await,
    }
}

impl Watch {
    /// A crossing as this owner may see it: one between rooms of others is not told. `None`: the store failed.
    async fn crossed(&self, crossing: Crossing) -> Option<Vec<Told>> {
        let Crossing { at, from, to, kind, landing, took, words } = crossing;
        let arrives = owned_account(&self.app, &self.owner, &to.account).await.ok()?.is_some();
        if !arrives && owned_account(&self.app, &self.owner, &from.account).await.ok()?.is_none() {
            return Some(Vec::new());
        }
        let (outcome, why) = match landing {
            Landing::Delivered => ("delivered", None),
            Landing::LeftOut => ("left-out", None),
            Landing::Waits(why) => ("waits", Some(why)),
            Landing::Failed(why) => ("failed", Some(why)),
        };
        let kind = match kind {
            Crossed::Message => "message",
            Crossed::Edit => "edit",
            Crossed::Deletion => "deletion",
            Crossed::Reaction => "reaction",
            Crossed::Notice => "notice",
        };
        // How another owner's account fares is theirs to know.
        let why = why.filter(|_| arrives);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let whence = if from == to { None } else { Some(place(&self.app, &from).await.ok()?) };
        let to = place(&self.app, &to).await.ok()?;
        let (author, text) = words.map(|Words { author, text, .. }| (author, text)).unzip();
        let author = author.filter(|author| !author.is_empty());
        let data = CrossingEvent { at, kind, from: whence, to, outcome, why, took_ms, author, text };
        Some(vec![Told::default().event("crossing").data(serde_json::to_string(&data).unwrap_or_default())])
    }
}

fn tell(change: Change) -> Told {
    let Change { seq, at, kind, id, .. } = change;
    let id = match kind {
        ChangeKind::RoomChanged | ChangeKind::RoomRemoved => room_id_of(&id),
        _ => id,
    };
    let data = Event { kind: kind.as_str().to_owned(), id, at };
    let data = serde_json::to_string(&data).unwrap_or_default();
    Told::default().id(seq.to_string()).event(kind.as_str()).data(data)
}
