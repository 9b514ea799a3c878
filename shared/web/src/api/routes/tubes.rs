//! Tubes: making, listing, pausing, one-way by side, moving a side, removing.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_engine::{Changed, LinkError, Made, Move, TubeView};
use sameroom_model::{MadeBy, Timestamp, TubeId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging};
use crate::api::problem::{Kind, Problem};
use crate::api::shapes::{Direction, TubeState, named_room, room_id};
use crate::api::{PREFIX, location};

/// A connection of two rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tube {
    /// Its id. It is derived from the two rooms, so moving a side changes it.
    id: String,
    /// Whether it carries messages.
    state: TubeState,
    /// The two sides; where one of them is somebody else's, yours is first.
    #[schema(min_items = 2, max_items = 2)]
    sides: Vec<TubeSide>,
    /// How it came to be.
    made_by: TubeMadeBy,
    /// When.
    made_at: Timestamp,
}

/// A side of a Tube.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TubeSide {
    /// The room's name.
    name: String,
    /// Where it is.
    site: String,
    /// Whether it is yours. The fields that follow are there only if it is.
    mine: bool,
    /// The room's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// Which way messages cross on this side.
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    /// Whether you paused the Tube. It is paused as long as either owner wants it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    /// Why nothing reaches this room from the other one just now, when nothing does: the room, its account or its owner
    /// has to be seen to. Only where one Tube is read; `GET /lanes` tells of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<String>,
}

/// How a Tube came to be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) struct TubeMadeBy {
    /// `operator`: by API, command line or network file. `portal`: through a Portal. `command`: by words in a room.
    by: MadeWay,
    /// The Portal, where it is yours.
    #[serde(skip_serializing_if = "Option::is_none")]
    portal: Option<String>,
}

/// How a Tube came to be.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MadeWay {
    /// By API, command line or network file.
    Operator,
    /// Through a Portal.
    Portal,
    /// By words in a room.
    Command,
}

/// Two rooms to connect.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTube {
    /// The ids of two different rooms of yours.
    #[schema(value_type = Vec<String>, min_items = 2, max_items = 2)]
    rooms: [String; 2],
}

/// What to change about a Tube; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TubeChange {
    /// `true` pauses it, `false` resumes it (and mends one that broke).
    #[serde(default)]
    paused: Option<bool>,
    /// Which way messages cross on a side of yours.
    #[serde(default)]
    side: Option<SideChange>,
}

/// Which way messages cross on one side.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SideChange {
    /// The room's id: an end of the Tube, and yours.
    room: String,
    /// Which way.
    direction: Direction,
}

/// Where to move a side of a Tube.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TubeMove {
    /// The room that your side is at now.
    from: String,
    /// The room of yours that it moves to.
    to: String,
    /// Whether your Portals for `from` lead to `to` from now on.
    #[serde(default)]
    portals: bool,
}

pub(crate) fn routes() -> Routes {
    routes!(list_tubes, make_tube, get_tube, change_tube, remove_tube, move_tube)
}

/// List your Tubes
///
/// In order of id.
#[utoipa::path(
    get,
    path = "/tubes",
    tag = "tubes",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<Tube>)),
    security(("key" = ["read"]))
)]
async fn list_tubes(State(app): State<App>, By(caller): By, Query(paging): Query<Paging>) -> Result<Response, Problem> {
    let (limit, after) = paging.read("tubes")?;
    let page = app.engine.tubes_page(&caller.owner, after.as_deref(), limit).await?;
    Ok(paging.answer("tubes", page, Tube::from).into_response())
}

/// Connect two rooms
///
/// Both rooms are told. Connecting them again changes nothing, and answers 200 with the Tube that there is.
#[utoipa::path(
    post,
    path = "/tubes",
    tag = "tubes",
    request_body = NewTube,
    responses(
        (status = 201, description = "The Tube was made.", body = Tube),
        (status = 200, description = "The rooms were connected already.", body = Tube),
    ),
    security(("key" = ["tubes"]))
)]
async fn make_tube(State(app): State<App>, By(caller): By, Body(new): Body<NewTube>) -> Result<Response, Problem> {
    let owner = &caller.owner;
    let [a, b] = &new.rooms;
    let a = named_room(&app, owner, a, "/rooms/0").await?.at;
    let b = named_room(&app, owner, b, "/rooms/1").await?.at;
    let linked =
        app.engine.connect([owner, owner], [&a, &b], MadeBy::Operator).await.map_err(|e| link(e, "/rooms/1"))?;
    // The rooms may have been connected by others before: then this owner has a side of it all the same.
    let view = app.engine.tube(owner, &linked.tube.id).await?.ok_or_else(|| Problem::not_found("Tube"))?;
    let status = if linked.new { StatusCode::CREATED } else { StatusCode::OK };
    let place = location(&format!("{PREFIX}/tubes/{}", view.id));
    Ok((status, [(header::LOCATION, place)], show(view)).into_response())
}

/// Read a Tube
#[utoipa::path(
    get,
    path = "/tubes/{id}",
    tag = "tubes",
    params(("id" = String, Path, description = "The Tube's id")),
    responses((status = 200, description = "The Tube.", body = Tube, headers(("ETag", description = "Its version.")))),
    security(("key" = ["read"]))
)]
async fn get_tube(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    let view = app.engine.tube(&caller.owner, &TubeId::from(id)).await?;
    Ok(show(view.ok_or_else(|| Problem::not_found("Tube"))?))
}

/// Pause, resume, or set which way messages cross
///
/// Both rooms are told. Each owner can pause a Tube; it is open again when both have resumed it.
#[utoipa::path(
    patch,
    path = "/tubes/{id}",
    tag = "tubes",
    params(("id" = String, Path, description = "The Tube's id")),
    request_body = TubeChange,
    responses((status = 200, description = "The Tube as it is now.", body = Tube)),
    security(("key" = ["tubes"]))
)]
async fn change_tube(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Body(change): Body<TubeChange>,
) -> Result<Response, Problem> {
    let (owner, id) = (&caller.owner, TubeId::from(id));
    let mut expected = expected.version();
    let mut view = app.engine.tube(owner, &id).await?.ok_or_else(|| Problem::not_found("Tube"))?;
    if expected.is_some_and(|expected| expected != view.version) {
        return Err(Problem::stale());
    }
    if let Some(side) = change.side {
        let wrong =
            || Problem::field("/side/room", "This room is no side of yours of this Tube. GET the Tube to see them.");
        let at = crate::api::shapes::room_ref(&side.room).ok_or_else(wrong)?;
        let own = view.sides.iter().filter_map(|side| side.own.as_ref()).any(|own| own.room == at);
        if !own {
            return Err(wrong());
        }
        view = changed(app.engine.set_side(owner, &id, &at, side.direction.into(), expected).await?, "Tube")?;
        expected = expected.map(|_| view.version);
    }
    if let Some(paused) = change.paused {
        let done = if paused {
            app.engine.pause_tube(owner, &id, expected).await?
        } else {
            app.engine.resume_tube(owner, &id, expected).await?
        };
        view = changed(done, "Tube")?;
    }
    Ok(show(view))
}

/// Remove a Tube
///
/// Both rooms are told. Either owner can.
#[utoipa::path(
    delete,
    path = "/tubes/{id}",
    tag = "tubes",
    params(("id" = String, Path, description = "The Tube's id")),
    responses((status = 204, description = "It is gone.")),
    security(("key" = ["tubes"]))
)]
async fn remove_tube(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
) -> Result<StatusCode, Problem> {
    changed(app.engine.close_tube(&caller.owner, &id.into(), expected.version()).await?, "Tube")?;
    Ok(StatusCode::NO_CONTENT)
}

/// Move your side to another room
///
/// The side's direction and pauses and the room's options come with it; all three rooms are told. The Tube has another
/// id then.
#[utoipa::path(
    post,
    path = "/tubes/{id}/move",
    tag = "tubes",
    params(("id" = String, Path, description = "The Tube's id")),
    request_body = TubeMove,
    responses((status = 200, description = "The Tube as it is now.", body = Tube)),
    security(("key" = ["tubes"]))
)]
async fn move_tube(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Body(body): Body<TubeMove>,
) -> Result<Response, Problem> {
    let (owner, id) = (&caller.owner, TubeId::from(id));
    let view = app.engine.tube(owner, &id).await?.ok_or_else(|| Problem::not_found("Tube"))?;
    let wrong = || Problem::field("/from", "This room is no side of yours of this Tube. GET the Tube to see them.");
    let from = crate::api::shapes::room_ref(&body.from).ok_or_else(wrong)?;
    if !view.sides.iter().filter_map(|side| side.own.as_ref()).any(|own| own.room == from) {
        return Err(wrong());
    }
    let to = named_room(&app, owner, &body.to, "/to").await?.at;
    let what = Move { from: &from, to: &to, portals: body.portals };
    let moved = app.engine.move_side(owner, &id, &what, expected.version()).await.map_err(|e| link(e, "/to"))?;
    let view = changed(moved, "Tube")?;
    let place = location(&format!("{PREFIX}/tubes/{}", view.id));
    Ok(([(header::LOCATION, place)], show(view)).into_response())
}

impl From<TubeView> for Tube {
    fn from(view: TubeView) -> Self {
        let (by, portal) = match view.made_by {
            Made::Operator => (MadeWay::Operator, None),
            Made::Portal(id) => (MadeWay::Portal, id),
            Made::Command => (MadeWay::Command, None),
        };
        let sides = view.sides.into_iter().map(|side| TubeSide {
            name: side.name,
            site: side.site,
            mine: side.own.is_some(),
            room: side.own.as_ref().map(|own| room_id(&own.room)),
            direction: side.own.as_ref().map(|own| own.direction.into()),
            paused: side.own.as_ref().map(|own| own.paused),
            parked: side.parked,
        });
        Self {
            id: view.id.to_string(),
            state: view.state.into(),
            sides: sides.collect(),
            made_by: TubeMadeBy { by, portal: portal.map(|id| id.to_string()) },
            made_at: view.made_at,
        }
    }
}

/// What came of a change.
pub(crate) fn changed<T>(changed: Changed<T>, what: &str) -> Result<T, Problem> {
    match changed {
        Changed::Done(value) => Ok(value),
        Changed::Gone => Err(Problem::not_found(what)),
        Changed::Stale => Err(Problem::stale()),
    }
}

fn show(view: TubeView) -> Response {
    let tag = etag::value(view.version);
    ([(header::ETAG, tag)], Json(Tube::from(view))).into_response()
}

fn link(e: LinkError, pointer: &str) -> Problem {
    match e {
        LinkError::Unavailable(e) => e.into(),
        LinkError::AlreadyConnected(_) => Problem::new(Kind::Conflict, sentence(&e.to_string())),
        e => Problem::field(pointer, sentence(&e.to_string())),
    }
}

/// An error's words as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    let mut out: String = first.into_iter().flatten().chain(chars).collect();
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}
