//! Portals: making, showing, changing, rotating and revoking them, and their guests.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_engine::PortalError;
use sameroom_model as model;
use sameroom_model::{GuestId, PortalId, PortalOptions, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tubes::{changed, sentence};
use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging};
use crate::api::problem::{Kind, Problem};
use crate::api::shapes::{GuestState, PortalState, named_room, nullable, room_id};
use crate::api::{PREFIX, location};

/// The longest label, in characters.
const LABEL_MAX: usize = 200;

/// A URL for one room, by which others connect rooms of their own to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Portal {
    /// Its id.
    id: String,
    /// The id of the room that it leads to.
    room: String,
    /// That room's name.
    name: String,
    /// Where that room is.
    site: String,
    /// Whether it can be used.
    state: PortalState,
    /// What you call it; guests do not see it.
    label: String,
    /// Until when it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// How many Tubes may be made through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    /// How many were.
    uses_made: u32,
    /// Whether you have to approve each guest.
    approval: bool,
    /// How many guests wait for you.
    waiting: u32,
    /// When it was made.
    made_at: Timestamp,
}

/// A Portal and the URL to hand on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalWithUrl {
    /// The Portal.
    portal: Portal,
    /// Whoever has it can use the Portal.
    url: String,
}

/// A Portal's URL.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortalUrl {
    /// Whoever has it can use the Portal.
    url: String,
}

/// A Portal to be. Without options it is for anybody, as often as they like, until it is revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPortal {
    /// The id of a room of yours.
    room: String,
    /// Until when it can be used.
    #[serde(default)]
    expires: Option<Timestamp>,
    /// How many Tubes may be made through it.
    #[serde(default)]
    #[schema(minimum = 1)]
    uses: Option<u32>,
    /// Whether you have to approve each guest.
    #[serde(default)]
    approval: bool,
    /// What you call it.
    #[serde(default)]
    #[schema(max_length = 200)]
    label: String,
}

/// What to change about a Portal; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::option_option, reason = "left out, `null`, or a value: three things")]
pub(crate) struct PortalChange {
    /// Until when it can be used; `null`: for good.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Timestamp>)]
    expires: Option<Option<Timestamp>>,
    /// How many Tubes may be made through it; `null`: as many as they like.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    uses: Option<Option<u32>>,
    /// Whether you have to approve each guest.
    #[serde(default)]
    approval: Option<bool>,
    /// What you call it.
    #[serde(default)]
    #[schema(max_length = 200)]
    label: Option<String>,
}

/// Whether Tubes go with it.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Revoke {
    /// `true`: the Tubes that were made through it are removed, too.
    #[serde(default)]
    tubes: bool,
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedPortal {
    /// The Portal as it is now.
    portal: Portal,
    /// How many Tubes were removed with it.
    tubes: usize,
}

/// Somebody who came through a Portal with a room: nothing but the room.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Guest {
    /// Their id. The same room through the same Portal is the same guest.
    id: String,
    /// The room's name.
    name: String,
    /// Where it is.
    site: String,
    /// When they came.
    at: Timestamp,
    /// What became of them.
    state: GuestState,
    /// The Tube that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    tube: Option<String>,
}

pub(crate) fn routes() -> Routes {
    routes!(
        list_portals,
        make_portal,
        get_portal,
        change_portal,
        revoke_portal,
        show_portal_url,
        rotate_portal,
        list_guests,
        approve_guest,
        refuse_guest
    )
}

/// List your Portals
///
/// In order of id, revoked ones too.
#[utoipa::path(
    get,
    path = "/portals",
    tag = "portals",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<Portal>)),
    security(("key" = ["read"]))
)]
async fn list_portals(
    State(app): State<App>,
    By(caller): By,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (limit, after) = paging.read("portals")?;
    let page = app.engine.portals_page(&caller.owner, after.as_deref(), limit).await?;
    Ok(paging.answer("portals", page, Portal::from).into_response())
}

/// Make a Portal
#[utoipa::path(
    post,
    path = "/portals",
    tag = "portals",
    request_body = NewPortal,
    responses((status = 201, description = "The Portal, and the URL to hand on.", body = PortalWithUrl)),
    security(("key" = ["portals"]))
)]
async fn make_portal(State(app): State<App>, By(caller): By, Body(new): Body<NewPortal>) -> Result<Response, Problem> {
    let options = PortalOptions {
        expires: expiry(&app, new.expires)?,
        uses: uses(new.uses)?,
        approval: new.approval,
        label: label(new.label)?,
    };
    let at = named_room(&app, &caller.owner, &new.room, "/room").await?.at;
    let made = app.engine.add_portal(&caller.owner, &at, &options).await?;
    let (portal, token) = made.ok_or_else(|| Problem::field("/room", "You have no room of that id."))?;
    let place = location(&format!("{PREFIX}/portals/{}", portal.id));
    let tag = etag::value(portal.version);
    let body = PortalWithUrl { portal: portal.into(), url: url(&app, &token) };
    Ok((StatusCode::CREATED, [(header::LOCATION, place), (header::ETAG, tag)], Json(body)).into_response())
}

/// Read a Portal
#[utoipa::path(
    get,
    path = "/portals/{id}",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id")),
    responses((status = 200, description = "The Portal.", body = Portal, headers(("ETag", description = "Its version.")))),
    security(("key" = ["read"]))
)]
async fn get_portal(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    Ok(show(owned(&app, &caller, &id).await?))
}

/// Change how a Portal may be used
#[utoipa::path(
    patch,
    path = "/portals/{id}",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id")),
    request_body = PortalChange,
    responses((status = 200, description = "The Portal as it is now.", body = Portal)),
    security(("key" = ["portals"]))
)]
async fn change_portal(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Body(change): Body<PortalChange>,
) -> Result<Response, Problem> {
    let portal = owned(&app, &caller, &id).await?;
    let before = portal.options;
    let options = PortalOptions {
        expires: match change.expires {
            Some(expires) => expiry(&app, expires)?,
            None => before.expires,
        },
        uses: match change.uses {
            Some(most) => uses(most)?,
            None => before.uses,
        },
        approval: change.approval.unwrap_or(before.approval),
        label: match change.label {
            Some(text) => label(text)?,
            None => before.label,
        },
    };
    // What was left out stays as it was read here: so without If-Match, too, nobody's change in between is undone.
    let version = expected.version().unwrap_or(portal.version);
    let done = app.engine.change_portal(&caller.owner, &portal.id, &options, Some(version)).await?;
    changed(done, "Portal").map(show)
}

/// Revoke a Portal
///
/// For good. Alone, or together with the Tubes that were made through it.
#[utoipa::path(
    delete,
    path = "/portals/{id}",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id"), Revoke),
    responses((status = 200, description = "What was revoked.", body = RevokedPortal)),
    security(("key" = ["portals"]))
)]
async fn revoke_portal(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Query(query): Query<Revoke>,
) -> Result<Response, Problem> {
    let portal = owned(&app, &caller, &id).await?;
    expected.check(&portal.version.to_string())?;
    let revoked = app.engine.revoke_portal(&caller.owner, &portal.id, query.tubes).await?;
    let revoked = revoked.ok_or_else(|| Problem::not_found("Portal"))?;
    Ok(Json(RevokedPortal { portal: revoked.portal.into(), tubes: revoked.tubes }).into_response())
}

/// Show a Portal's URL again
#[utoipa::path(
    get,
    path = "/portals/{id}/url",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id")),
    responses((status = 200, description = "The URL to hand on.", body = PortalUrl)),
    security(("key" = ["portals"]))
)]
async fn show_portal_url(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let portal = owned(&app, &caller, &id).await?;
    let token = app.engine.show_portal_token(&caller.owner, &portal.id).await?.ok_or_else(revoked)?;
    Ok(Json(PortalUrl { url: url(&app, &token) }).into_response())
}

/// Give a Portal a new URL
///
/// The old one is dead at once; guests and Tubes stay.
#[utoipa::path(
    post,
    path = "/portals/{id}/rotate",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id")),
    responses((status = 200, description = "The Portal, and the new URL.", body = PortalWithUrl)),
    security(("key" = ["portals"]))
)]
async fn rotate_portal(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let portal = owned(&app, &caller, &id).await?;
    if portal.state == model::PortalState::Revoked {
        return Err(revoked());
    }
    let rotated = app.engine.rotate_portal(&caller.owner, &portal.id, expected.version()).await?;
    let (portal, token) = changed(rotated, "Portal")?;
    let tag = etag::value(portal.version);
    let body = PortalWithUrl { portal: portal.into(), url: url(&app, &token) };
    Ok(([(header::ETAG, tag)], Json(body)).into_response())
}

/// List who came through a Portal
#[utoipa::path(
    get,
    path = "/portals/{id}/guests",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id"), Paging),
    responses((status = 200, description = "A page of them.", body = List<Guest>)),
    security(("key" = ["read"]))
)]
async fn list_guests(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let list = format!("guests {id}");
    let (limit, after) = paging.read(&list)?;
    let page = app.engine.guests(&caller.owner, &id.into(), after.as_deref(), limit).await?;
    let page = page.ok_or_else(|| Problem::not_found("Portal"))?;
    Ok(paging.answer(&list, page, Guest::from).into_response())
}

/// Approve a guest
///
/// The rooms are connected. A guest who was refused can be approved later.
#[utoipa::path(
    post,
    path = "/portals/{id}/guests/{guest}/approve",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id"), ("guest" = String, Path, description = "The guest's id")),
    responses((status = 200, description = "The guest as they are now.", body = Guest)),
    security(("key" = ["portals"]))
)]
async fn approve_guest(
    State(app): State<App>,
    By(caller): By,
    Params((id, guest)): Params<(String, String)>,
) -> Result<Response, Problem> {
    decide(&app, &caller, id, guest, true).await
}

/// Refuse a guest
#[utoipa::path(
    post,
    path = "/portals/{id}/guests/{guest}/refuse",
    tag = "portals",
    params(("id" = String, Path, description = "The Portal's id"), ("guest" = String, Path, description = "The guest's id")),
    responses((status = 200, description = "The guest as they are now.", body = Guest)),
    security(("key" = ["portals"]))
)]
async fn refuse_guest(
    State(app): State<App>,
    By(caller): By,
    Params((id, guest)): Params<(String, String)>,
) -> Result<Response, Problem> {
    decide(&app, &caller, id, guest, false).await
}

async fn decide(
    app: &App,
    caller: &model::Caller,
    id: String,
    guest: String,
    approve: bool,
) -> Result<Response, Problem> {
    let decided = app.engine.decide(&caller.owner, &PortalId::from(id), &GuestId::from(guest), approve).await;
    match decided.map_err(portal_problem)? {
        sameroom_engine::Changed::Done(guest) => Ok(Json(Guest::from(guest)).into_response()),
        sameroom_engine::Changed::Gone => Err(Problem::not_found("guest")),
        sameroom_engine::Changed::Stale => {
            let detail = "This guest is connected already. Remove the Tube instead: DELETE /tubes/{id}.";
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}

async fn owned(app: &App, caller: &model::Caller, id: &str) -> Result<model::Portal, Problem> {
    let portal = app.engine.portal(&caller.owner, &PortalId::from(id)).await?;
    portal.ok_or_else(|| Problem::not_found("Portal"))
}

/// Why a Portal can't be used.
pub(crate) fn portal_problem(e: PortalError) -> Problem {
    let detail = sentence(&e.to_string());
    match e {
        PortalError::NotValid => Problem::new(Kind::NotFound, detail),
        PortalError::UnknownRoom(_) | PortalError::SameRoom(_) => Problem::field("/room", detail),
        PortalError::Refused => Problem::new(Kind::Forbidden, detail),
        PortalError::Crowded => Problem::new(Kind::TooMany, detail).retry_after(60),
        PortalError::UsedUp | PortalError::CanNotJoin(_) => Problem::new(Kind::Conflict, detail),
        PortalError::Unavailable(e) => e.into(),
    }
}

fn url(app: &App, token: &SecretString) -> String {
    format!("{}/portals/{}", app.public_url(), token.expose_secret())
}

fn revoked() -> Problem {
    Problem::new(Kind::Conflict, "This Portal is revoked and has no URL any more. Make a new one: POST /portals.")
}

fn expiry(app: &App, expires: Option<Timestamp>) -> Result<Option<Timestamp>, Problem> {
    match expires {
        Some(end) if end <= app.engine.clock().now() => {
            Err(Problem::field("/expires", "This is in the past. Give a time to come, or leave it out."))
        }
        expires => Ok(expires),
    }
}

fn uses(uses: Option<u32>) -> Result<Option<u32>, Problem> {
    match uses {
        Some(0) => Err(Problem::field("/uses", "A Portal is used once at least. Leave it out for no limit.")),
        uses => Ok(uses),
    }
}

fn label(label: String) -> Result<String, Problem> {
    if label.chars().count() > LABEL_MAX {
        return Err(Problem::field("/label", format!("The label is longer than {LABEL_MAX} characters.")));
    }
    Ok(label)
}

fn show(portal: model::Portal) -> Response {
    let tag = etag::value(portal.version);
    ([(header::ETAG, tag)], Json(Portal::from(portal))).into_response()
}

impl From<model::Portal> for Portal {
    fn from(portal: model::Portal) -> Self {
        Self {
            id: portal.id.to_string(),
            room: room_id(&portal.room),
            name: portal.name,
            site: portal.site,
            state: portal.state.into(),
            label: portal.options.label,
            expires: portal.options.expires,
            uses: portal.options.uses,
            uses_made: portal.uses_made,
            approval: portal.options.approval,
            waiting: portal.waiting,
            made_at: portal.made_at,
        }
    }
}

impl From<model::Guest> for Guest {
    fn from(guest: model::Guest) -> Self {
        Self {
            id: guest.id.to_string(),
            name: guest.name,
            site: guest.site,
            at: guest.at,
            state: guest.state.into(),
            tube: guest.tube.map(|id| id.to_string()),
        }
    }
}
