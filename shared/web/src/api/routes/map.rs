//! The picture of a network: which rooms are connected, and how.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sameroom_engine::Flow;
use sameroom_engine::NetworkMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::api::gate::By;
use crate::api::json::Params;
use crate::api::openapi::{Routes, routes};
use crate::api::problem::Problem;
use crate::api::shapes::{TubeState, owned_room};

/// Rooms and the Tubes between them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Map {
    /// The rooms; a room's number is its place here.
    rooms: Vec<MapRoom>,
    /// The Tubes.
    tubes: Vec<MapTube>,
    /// Whether there are more rooms than are shown.
    more: bool,
}

/// A room on a map.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MapRoom {
    /// Its number.
    n: usize,
    /// Its name.
    name: String,
    /// Where it is.
    site: String,
    /// Its platform's name for people.
    platform: String,
    /// Whether it is yours.
    mine: bool,
}

/// A Tube on a map.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MapTube {
    /// The number of the room at one end.
    a: usize,
    /// The number of the room at the other.
    b: usize,
    /// Whether it carries messages.
    state: TubeState,
    /// Which way, all options taken together.
    flow: MapFlow,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MapFlow {
    /// Both ways.
    Both,
    /// From a to b alone.
    AToB,
    /// From b to a alone.
    BToA,
    /// No way: options forbid both.
    Neither,
}

pub(crate) fn routes() -> Routes {
    routes!(get_map, get_room_map)
}

/// All networks that your rooms are in
#[utoipa::path(
    get,
    path = "/map",
    tag = "map",
    responses((status = 200, description = "Rooms and the Tubes between them.", body = Map)),
    security(("key" = ["read"]))
)]
async fn get_map(State(app): State<App>, By(caller): By) -> Result<Response, Problem> {
    Ok(Json(Map::from(app.engine.network_map(&caller.owner).await?)).into_response())
}

/// The network that a room of yours is in
#[utoipa::path(
    get,
    path = "/rooms/{id}/map",
    tag = "map",
    params(("id" = String, Path, description = "The room's id")),
    responses((status = 200, description = "Rooms and the Tubes between them.", body = Map)),
    security(("key" = ["read"]))
)]
async fn get_room_map(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    let room = owned_room(&app, &caller.owner, &id).await?.ok_or_else(|| Problem::not_found("room"))?;
    Ok(Json(Map::from(app.engine.room_map(&room.at, Some(&caller.owner)).await?)).into_response())
}

impl From<NetworkMap> for Map {
    fn from(map: NetworkMap) -> Self {
        let rooms = map.rooms.into_iter().map(|room| MapRoom {
            n: room.n,
            name: room.name,
            site: room.site,
            platform: room.platform,
            mine: room.mine,
        });
        let tubes = map.tubes.into_iter().map(|tube| MapTube {
            a: tube.a,
            b: tube.b,
            state: tube.state.into(),
            flow: match tube.flow {
                Flow::Both => MapFlow::Both,
                Flow::AToB => MapFlow::AToB,
                Flow::BToA => MapFlow::BToA,
                Flow::Neither => MapFlow::Neither,
            },
        });
        Self { rooms: rooms.collect(), tubes: tubes.collect(), more: map.more }
    }
}
