//! Portals from the other side: what one leads to, and coming through it with a room of one's own.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use sameroom_engine::Used;
use sameroom_model::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::portals::{Guest, portal_problem};
use super::tubes::Tube;
use crate::App;
use crate::api::gate::By;
use crate::api::json::{Body, Params};
use crate::api::openapi::{Routes, routes};
use crate::api::problem::{Kind, Problem};
use crate::api::shapes::{Direction, named_room};

/// What joining means, before anything happens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// The room's name.
    name: String,
    /// Where it is.
    site: String,
    /// Its platform.
    platform: String,
    /// Which way messages cross at that room.
    direction: Direction,
    /// How many rooms will read what is written in yours.
    readers: usize,
    /// Whether the Portal's owner has to approve your room.
    approval: bool,
    /// Until when the Portal can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// For how long it is kept which message is a copy of which, in seconds: ids, never words.
    keeps_seconds: u64,
}

/// The room to come with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    /// The id of a room of yours.
    room: String,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// `connected`: the rooms are. `waiting`: the Portal's owner has to approve.
    state: AcceptedState,
    /// The Tube, when connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    tube: Option<Tube>,
    /// You as a guest, when waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<Guest>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AcceptedState {
    /// The rooms are connected.
    Connected,
    /// The Portal's owner has to approve.
    Waiting,
}

pub(crate) fn routes() -> Routes {
    routes!(get_invitation, accept_invitation)
}

/// See what a Portal leads to
///
/// Changes nothing. A token that is unknown, revoked, over or used up is answered alike.
#[utoipa::path(
    get,
    path = "/invitations/{token}",
    tag = "invitations",
    params(("token" = String, Path, description = "The last part of a Portal's URL")),
    responses((status = 200, description = "The room, and what joining means.", body = Invitation)),
    security(("key" = ["read"]))
)]
async fn get_invitation(State(app): State<App>, Params(token): Params<String>) -> Result<Response, Problem> {
    let found = app.engine.invitation(&SecretString::from(token)).await?;
    let gone = || Problem::new(Kind::NotFound, "This Portal is not valid any more. Ask for a new one.");
    let found = found.ok_or_else(gone)?;
    let body = Invitation {
        name: found.name,
        site: found.site,
        platform: found.platform,
        direction: found.direction.into(),
        readers: found.readers,
        approval: found.approval,
        expires: found.expires,
        keeps_seconds: found.keeps.as_secs(),
    };
    Ok(Json(body).into_response())
}

/// Come through a Portal with a room
///
/// Connects your room with the Portal's, or has you wait for its owner's word. Asking again with the same room changes
/// nothing.
#[utoipa::path(
    post,
    path = "/invitations/{token}/accept",
    tag = "invitations",
    params(("token" = String, Path, description = "The last part of a Portal's URL")),
    request_body = Acceptance,
    responses(
        (status = 200, description = "The rooms are connected.", body = Accepted),
        (status = 202, description = "The Portal's owner has to approve.", body = Accepted),
    ),
    security(("key" = ["tubes"]))
)]
async fn accept_invitation(
    State(app): State<App>,
    By(caller): By,
    Params(token): Params<String>,
    Body(body): Body<Acceptance>,
) -> Result<Response, Problem> {
    let token = SecretString::from(token);
    // First the token: who has none learns nothing by the room.
    if app.engine.invitation(&token).await?.is_none() {
        return Err(portal_problem(sameroom_engine::PortalError::NotValid));
    }
    let at = named_room(&app, &caller.owner, &body.room, "/room").await?.at;
    let used = app.engine.use_portal(&token, &caller.owner, &at).await.map_err(portal_problem)?;
    let (status, body) = match used {
        Used::Connected(view) => {
            let tube = Some(Tube::from(view));
            (StatusCode::OK, Accepted { state: AcceptedState::Connected, tube, guest: None })
        }
        Used::Waiting(guest) => {
            let guest = Some(Guest::from(guest));
            (StatusCode::ACCEPTED, Accepted { state: AcceptedState::Waiting, tube: None, guest })
        }
    };
    Ok((status, Json(body)).into_response())
}
