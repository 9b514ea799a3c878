//! Rooms: finding, adding, reading, their options, removing.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_model as model;
use sameroom_model::{AccountId, Caller, RoomRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding;
use super::tubes::changed;
use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging, cut};
use crate::api::problem::Problem;
use crate::api::shapes::{RoomOptions, RoomOptionsChange, owned_account, room_id, room_ref};
use crate::api::{PREFIX, location};

/// The longest text that is searched for, in characters.
const TEXT_MAX: usize = 200;

/// A room that one of your accounts sees.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Room {
    /// Its id: opaque, and the same for the same account and key.
    pub(crate) id: String,
    /// The id of the account that sees it.
    pub(crate) account: String,
    /// What the platform calls it.
    #[schema(example = "#rust")]
    pub(crate) key: String,
    /// The name shown to people.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) site: String,
    /// Whether it was added, so that Tubes and Portals can be made for it. `POST /rooms` adds one.
    pub(crate) added: bool,
    /// How people there like things; only of a room that was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<RoomOptions>,
}

/// Which rooms.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RoomQuery {
    /// Part of the name, in any case of letters. With it, rooms are found that were not added, too, and the list is one
    /// page: the best `limit` of them.
    #[serde(default)]
    #[param(max_length = 200)]
    q: Option<String>,
    /// Of this account alone.
    #[serde(default)]
    account: Option<String>,
    /// How many items at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// Where to go on: `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// A room to add: by `account` and `room`, or by `url`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoom {
    /// The id of an account of yours.
    #[serde(default)]
    account: Option<String>,
    /// The room's key or name there, as a person types it; also of a room that is not listed.
    #[serde(default)]
    #[schema(example = "#rust")]
    room: Option<String>,
    /// A room's URL; `GET /platforms` has examples. Its account is added, too, if it is not there. Secrets stand in it as
    /// they are, never as `env:` or `file:`.
    #[serde(default)]
    #[schema(example = "ircs://irc.libera.chat/#rust")]
    url: Option<String>,
}

pub(crate) fn routes() -> Routes {
    routes!(list_rooms, add_room, get_room, change_room, remove_room)
}

/// List your rooms, or find some
///
/// Those that were added, by account in order of its id and then in order of key; found ones by how well they fit.
#[utoipa::path(
    get,
    path = "/rooms",
    tag = "rooms",
    params(RoomQuery),
    responses((status = 200, description = "A page of them.", body = List<Room>)),
    security(("key" = ["read"]))
)]
async fn list_rooms(
    State(app): State<App>,
    By(caller): By,
    Query(query): Query<RoomQuery>,
) -> Result<Response, Problem> {
    let RoomQuery { q, account, limit, cursor } = query;
    let paging = Paging { limit, cursor };
    let list = format!("rooms {}", account.as_deref().unwrap_or_default());
    let (limit, after) = paging.read(&list)?;
    let account = match account {
        Some(id) => Some(chosen(&app, &caller, id).await?),
        None => None,
    };
    let text = q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text {
        if text.chars().count() > TEXT_MAX {
            return Err(Problem::parameter("q", format!("q is longer than {TEXT_MAX} characters.")));
        }
        let items = finding::search(&app, &caller.owner, text, account.as_ref(), limit).await?;
        return Ok(paging.answer(&list, sameroom_engine::Page { items, next: None }, |room| room).into_response());
    }
    let bad = || Problem::parameter("cursor", "This cursor is not of this list. Begin again without one.");
    let after = after.map(|id| room_ref(&id).ok_or_else(bad)).transpose()?;
    let rooms = app.engine.rooms_after(&caller.owner, account.as_ref(), after.as_ref(), limit + 1).await?;
    let page = cut(rooms, limit, |room: &model::Room| room_id(&room.at));
    Ok(paging.answer(&list, page, Room::from).into_response())
}

/// Add a room
///
/// So that Tubes and Portals can be made for it. We are in it from then on, also without a Tube, so that people there can
/// give commands, until it is removed. Adding it again brings its name up to date, and answers 200.
#[utoipa::path(
    post,
    path = "/rooms",
    tag = "rooms",
    request_body = NewRoom,
    responses(
        (status = 201, description = "The room was added.", body = Room),
        (status = 200, description = "It was there already.", body = Room),
    ),
    security(("key" = ["admin"]))
)]
async fn add_room(State(app): State<App>, By(caller): By, Body(new): Body<NewRoom>) -> Result<Response, Problem> {
    let (room, is_new) = match (new.account, new.room, new.url) {
        (Some(account), Some(room), None) => {
            let missing = || Problem::field("/account", "You have no account of that id. GET /accounts lists yours.");
            let id = AccountId::from(account);
            owned_account(&app, &caller.owner, &id).await?.ok_or_else(missing)?;
            finding::add(&app, &caller.owner, &id, &room).await?
        }
        (None, None, Some(url)) => finding::add_by_url(&app, &caller.owner, &url).await?,
        _ => return Err(Problem::field("", "Give `account` and `room`, or `url` alone.")),
    };
    let id = room_id(&room.at);
    let place = location(&format!("{PREFIX}/rooms/{id}"));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(header::LOCATION, place)], show(owned(&app, &caller, &id).await?)).into_response())
}

/// Read a room
#[utoipa::path(
    get,
    path = "/rooms/{id}",
    tag = "rooms",
    params(("id" = String, Path, description = "The room's id")),
    responses((status = 200, description = "The room.", body = Room, headers(("ETag", description = "Its version.")))),
    security(("key" = ["read"]))
)]
async fn get_room(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    Ok(show(owned(&app, &caller, &id).await?))
}

/// Change a room's options
///
/// They hold for every Tube of the room.
#[utoipa::path(
    patch,
    path = "/rooms/{id}",
    tag = "rooms",
    params(("id" = String, Path, description = "The room's id")),
    request_body = RoomOptionsChange,
    responses((status = 200, description = "The room as it is now.", body = Room)),
    security(("key" = ["tubes"]))
)]
async fn change_room(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Body(change): Body<RoomOptionsChange>,
) -> Result<Response, Problem> {
    let at = room_ref(&id).ok_or_else(|| Problem::not_found("room"))?;
    let change = |options| change.apply(options);
    let done = app.engine.change_options(&caller.owner, &at, expected.version(), change).await?;
    Ok(show(changed(done, "room")?))
}

/// Remove a room
///
/// With its Tubes and its Portals; the rooms at the other ends are told.
#[utoipa::path(
    delete,
    path = "/rooms/{id}",
    tag = "rooms",
    params(("id" = String, Path, description = "The room's id")),
    responses((status = 204, description = "It is gone.")),
    security(("key" = ["admin"]))
)]
async fn remove_room(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
) -> Result<StatusCode, Problem> {
    let at = room_ref(&id).ok_or_else(|| Problem::not_found("room"))?;
    changed(app.engine.remove_room_as(&caller.owner, &at, expected.version()).await?, "room")?;
    Ok(StatusCode::NO_CONTENT)
}

/// A room of the caller's, with its version.
async fn owned(app: &App, caller: &Caller, id: &str) -> Result<(model::Room, u64), Problem> {
    let at = room_ref(id).ok_or_else(|| Problem::not_found("room"))?;
    app.engine.room_version(&caller.owner, &at).await?.ok_or_else(|| Problem::not_found("room"))
}

/// The account that a query names.
async fn chosen(app: &App, caller: &Caller, id: String) -> Result<AccountId, Problem> {
    let id = AccountId::from(id);
    let missing = || Problem::parameter("account", "You have no account of that id. GET /accounts lists yours.");
    owned_account(app, &caller.owner, &id).await?.ok_or_else(missing)?;
    Ok(id)
}

fn show((room, version): (model::Room, u64)) -> Response {
    ([(header::ETAG, etag::value(version))], Json(Room::from(room))).into_response()
}

impl Room {
    /// A room that an account sees, and that was not added.
    pub(crate) fn listed(at: &RoomRef, name: String, site: String) -> Self {
        Self {
            id: room_id(at),
            account: at.account.to_string(),
            key: at.key.to_string(),
            name,
            site,
            added: false,
            options: None,
        }
    }
}

impl From<model::Room> for Room {
    fn from(room: model::Room) -> Self {
        let options = Some(room.options.into());
        Self { added: true, options, ..Self::listed(&room.at, room.name, room.site) }
    }
}
