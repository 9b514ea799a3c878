//! What failed and what waits: deliveries that nobody took, with the reason and never with the words, to be tried again;
//! and lanes with something in them.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sameroom_engine::Failed;
use sameroom_model::{Action, Lane, OwnerId, RoomRef, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::App;
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging, cut};
use crate::api::problem::Problem;
use crate::api::shapes::{Place, owned_account, place};

/// How many are read at once, and how many are tried again by one request.
const PAGE: usize = 200;
const REPLAY_MAX: usize = 10_000;

/// A delivery that nobody took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct FailedDelivery {
    /// Its id.
    id: String,
    /// When it was given up.
    at: Timestamp,
    /// Why, in a sentence.
    why: String,
    /// What it was to do.
    what: DeliveryKind,
    /// The room that it came from; absent for a notice, which nobody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Place>,
    /// The room that it was to reach.
    to: Place,
}

/// What a delivery was to do.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryKind {
    /// To post a message.
    Message,
    /// To change one.
    Edit,
    /// To delete one.
    Deletion,
    /// To react to one.
    Reaction,
    /// To say something of Sameroom's own.
    Notice,
}

/// What is tried again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// How many deliveries.
    replayed: usize,
}

/// The way from one room to another, with something in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lane)]
pub(crate) struct WaitingLane {
    /// Its id.
    id: String,
    /// The room that it comes from; absent for notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Place>,
    /// The room that it goes to.
    to: Place,
    /// How many deliveries wait in it.
    waiting: u64,
    /// Why nothing leaves it, when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<String>,
}

/// Which lanes to let go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resume {
    /// One lane's id; left out: all of them.
    #[serde(default)]
    id: Option<String>,
}

/// What goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resumed {
    /// How many lanes.
    resumed: usize,
}

pub(crate) fn routes() -> Routes {
    routes!(list_deliveries, replay_all, replay_delivery, list_lanes, resume_lanes)
}

/// List deliveries that failed
///
/// Oldest first. They are kept for two weeks, unless they are tried again.
#[utoipa::path(
    get,
    path = "/deliveries",
    tag = "deliveries",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<FailedDelivery>)),
    security(("key" = ["read"]))
)]
async fn list_deliveries(
    State(app): State<App>,
    By(caller): By,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (limit, after) = paging.read("deliveries")?;
    let failed = app.engine.failed(&caller.owner, after.as_deref(), limit + 1).await?;
    let page = cut(failed, limit, |failed: &Failed| failed.id.clone());
    let mut items = Vec::new();
    for failed in page.items {
        items.push(show(&app, failed).await?);
    }
    let page = sameroom_engine::Page { items, next: page.next };
    Ok(paging.answer("deliveries", page, |item| item).into_response())
}

/// Try all failed deliveries again
#[utoipa::path(
    post,
    path = "/deliveries/replay",
    tag = "deliveries",
    responses((status = 200, description = "How many.", body = Replayed)),
    security(("key" = ["admin"]))
)]
async fn replay_all(State(app): State<App>, By(caller): By) -> Result<Response, Problem> {
    // Taken down first: what fails once more is listed anew, and must not be tried for ever.
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = app.engine.failed(&caller.owner, ids.last().map(String::as_str), PAGE).await?;
        let last = page.len() < PAGE;
        ids.extend(page.into_iter().map(|failed| failed.id));
        if last || ids.len() >= REPLAY_MAX {
            break;
        }
    }
    let mut replayed = 0;
    for id in &ids {
        replayed += usize::from(app.engine.replay(&caller.owner, id).await?);
    }
    Ok(Json(Replayed { replayed }).into_response())
}

/// Try a failed delivery again
#[utoipa::path(
    post,
    path = "/deliveries/{id}/replay",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, description = "It is in its lane again.", body = Replayed)),
    security(("key" = ["admin"]))
)]
async fn replay_delivery(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    if app.engine.replay(&caller.owner, &id).await? {
        return Ok(Json(Replayed { replayed: 1 }).into_response());
    }
    Err(Problem::not_found("failed delivery"))
}

/// List lanes with something in them
///
/// A lane is the way from one room to another. A parked one waits until what its reason names is mended, and then for
/// `POST /lanes/resume`, or goes on by itself.
#[utoipa::path(
    get,
    path = "/lanes",
    tag = "deliveries",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<WaitingLane>)),
    security(("key" = ["read"]))
)]
async fn list_lanes(State(app): State<App>, By(caller): By, Query(paging): Query<Paging>) -> Result<Response, Problem> {
    let (limit, after) = paging.read("lanes")?;
    let mut found = waiting(&app, &caller.owner).await?;
    found.retain(|found| after.as_ref().is_none_or(|after| found.id > *after));
    let page = cut(found, limit, |found| found.id.clone());
    let mut items = Vec::new();
    for Waiting { id, lane, pending, parked } in page.items {
        let from = if lane.from == lane.to { None } else { Some(place(&app, &lane.from).await?) };
        items.push(WaitingLane { id, from, to: place(&app, &lane.to).await?, waiting: pending, parked });
    }
    let page = sameroom_engine::Page { items, next: page.next };
    Ok(paging.answer("lanes", page, |item| item).into_response())
}

/// Let parked lanes go on
#[utoipa::path(
    post,
    path = "/lanes/resume",
    tag = "deliveries",
    request_body = Resume,
    responses((status = 200, description = "How many.", body = Resumed)),
    security(("key" = ["admin"]))
)]
async fn resume_lanes(State(app): State<App>, By(caller): By, Body(body): Body<Resume>) -> Result<Response, Problem> {
    let mut found = waiting(&app, &caller.owner).await?;
    if let Some(id) = &body.id {
        found.retain(|found| found.id == *id);
        if found.is_empty() {
            return Err(Problem::field("/id", "No lane with something in it has that id. GET /lanes lists them."));
        }
    }
    let mut resumed = 0;
    for one in &found {
        resumed += usize::from(app.engine.resume_lane(&one.lane).await?);
    }
    Ok(Json(Resumed { resumed }).into_response())
}

/// A lane that is not idle.
struct Waiting {
    id: String,
    lane: Lane,
    pending: u64,
    parked: Option<String>,
}

/// Every lane with something in it that begins or ends at a room of the owner's, in order of id.
async fn waiting(app: &App, owner: &OwnerId) -> Result<Vec<Waiting>, Problem> {
    let tubes = app.engine.tubes(owner).await?;
    let rooms: BTreeSet<RoomRef> = tubes.into_iter().flat_map(|tube| tube.ends).map(|end| end.room).collect();
    let mut found = Vec::new();
    for from in rooms {
        let mine = owned_account(app, owner, &from.account).await?.is_some();
        for (to, pending, parked) in app.engine.lanes(&from).await? {
            if mine || owned_account(app, owner, &to.account).await?.is_some() {
                let lane = Lane { from: from.clone(), to };
                found.push(Waiting { id: lane_id(&lane), lane, pending, parked });
            }
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Keys of rooms may be what lets people in, so a lane's id is a hash of them; the command line's is the same.
fn lane_id(Lane { from, to }: &Lane) -> String {
    let text = format!("{}\n{}\n{}\n{}", from.account, from.key, to.account, to.key);
    // 40 bits tell the lanes of one network apart.
    data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..5])
}

async fn show(app: &App, failed: Failed) -> Result<FailedDelivery, Problem> {
    let Lane { from, to } = &failed.delivery.lane;
    let what = match failed.delivery.action {
        Action::Post { .. } => DeliveryKind::Message,
        Action::Edit { .. } => DeliveryKind::Edit,
        Action::Delete => DeliveryKind::Deletion,
        Action::React { .. } => DeliveryKind::Reaction,
        Action::Notice { .. } => DeliveryKind::Notice,
    };
    Ok(FailedDelivery {
        from: if from == to { None } else { Some(place(app, from).await?) },
        to: place(app, to).await?,
        id: failed.id,
        at: failed.at,
        why: failed.why,
        what,
    })
}
