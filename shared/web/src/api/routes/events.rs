//! What changes, as it happens: server-sent events. What a client missed while it was away it gets by `Last-Event-ID`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Told, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use sameroom_engine::{Change, ChangeKind, Engine, Following};
use sameroom_model::Timestamp;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::api::gate::{By, Token};
use crate::api::problem::Problem;
use crate::api::shapes::room_id_of;

/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

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

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow_events))
}

/// Follow what changes
///
/// Server-sent events. Each has an id, the kind as its name, and a JSON object as its data. Send the last id that you saw
/// as `Last-Event-ID` and you get what came after it, for a day. An event named `reset` says that some are no longer kept:
/// read anew what you hold. Message text is never in it. Without `Last-Event-ID` it begins now.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that you saw")),
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
    let following = app.engine.watch(&caller.owner, after).await?;
    let stream = follow(app.engine.clone(), token, following);
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // So that no proxy in between keeps what should be seen at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What comes, until the key is no longer valid or the store fails: the client comes again then.
fn follow(engine: Engine, token: SecretString, following: Following) -> impl Stream<Item = Result<Told, Infallible>> {
    stream::unfold((engine, token, following), |(engine, token, mut following)| async move {
        let since = following.next().await.ok()?;
        // A key may have been revoked since the stream began.
        engine.authenticate(&token).await.ok()??;
        let mut told = Vec::new();
        if since.missed {
            told.push(Ok(Told::default().event("reset").data("{}")));
        }
        told.extend(since.changes.into_iter().map(|change| Ok(tell(change))));
        Some((stream::iter(told), (engine, token, following)))
    })
    .flatten()
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
