//! Letters: what came in and could not be read, kept whole so that it can be read again after a mend. Shown with the
//! reason, and never with what is in it.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sameroom_engine::Letter as Kept;
use sameroom_engine::ports::QueueName;
use sameroom_model::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::tubes::sentence;
use crate::App;
use crate::api::gate::By;
use crate::api::json::{Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging, cut};
use crate::api::problem::{Kind, Problem};

/// How many are read at once, and how many are read again by one request.
const PAGE: usize = 200;
const REPLAY_MAX: usize = 10_000;

/// Something that could not be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Letter {
    /// Its id.
    id: String,
    /// When it came.
    at: Timestamp,
    /// Why it was not understood, in a sentence.
    why: String,
    /// What it is: a platform's `request`, or an `event` or a `delivery` that was on its way.
    what: LetterKind,
    /// The id of the account that it came for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// What a letter is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LetterKind {
    /// What a platform sent, and proved.
    Request,
    /// Something that happened in a room, on its way to others.
    Event,
    /// Something that was to be done in a room.
    Delivery,
}

/// What was read again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reread {
    /// How many are on their way.
    replayed: usize,
    /// How many are still not understood, and stay.
    kept: usize,
}

pub(crate) fn routes() -> Routes {
    routes!(list_letters, replay_letters, replay_letter)
}

/// List what could not be read
///
/// Oldest first: requests of platforms that were proven but not understood, and what a newer version of Sameroom left
/// behind. They are kept for two weeks, unless they are read again.
#[utoipa::path(
    get,
    path = "/letters",
    tag = "deliveries",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<Letter>)),
    security(("key" = ["read"]))
)]
async fn list_letters(
    State(app): State<App>,
    By(caller): By,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (limit, after) = paging.read("letters")?;
    let letters = app.engine.letters(&caller.owner, after.as_deref(), limit + 1).await?;
    let page = cut(letters, limit, |letter: &Kept| letter.id.clone());
    Ok(paging.answer("letters", page, Letter::from).into_response())
}

/// Read all letters again
#[utoipa::path(
    post,
    path = "/letters/replay",
    tag = "deliveries",
    responses((status = 200, description = "How many were read, and how many were not.", body = Reread)),
    security(("key" = ["admin"]))
)]
async fn replay_letters(State(app): State<App>, By(caller): By) -> Result<Response, Problem> {
    // Taken down first: what is not understood once more must not be tried for ever.
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = app.engine.letters(&caller.owner, ids.last().map(String::as_str), PAGE).await?;
        let last = page.len() < PAGE;
        ids.extend(page.into_iter().map(|letter| letter.id));
        if last || ids.len() >= REPLAY_MAX {
            break;
        }
    }
    let mut reread = Reread { replayed: 0, kept: 0 };
    for id in &ids {
        match app.engine.replay_letter(&caller.owner, id).await? {
            Ok(done) => reread.replayed += usize::from(done),
            Err(_) => reread.kept += 1,
        }
    }
    Ok(Json(reread).into_response())
}

/// Read a letter again
///
/// One that is still not understood stays: 409, and `detail` says why.
#[utoipa::path(
    post,
    path = "/letters/{id}/replay",
    tag = "deliveries",
    params(("id" = String, Path, description = "The letter's id")),
    responses((status = 200, description = "It was read, and is on its way.", body = Reread)),
    security(("key" = ["admin"]))
)]
async fn replay_letter(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    match app.engine.replay_letter(&caller.owner, &id).await? {
        Ok(true) => Ok(Json(Reread { replayed: 1, kept: 0 }).into_response()),
        Ok(false) => Err(Problem::not_found("letter")),
        Err(why) => Err(Problem::new(Kind::Conflict, sentence(&why))),
    }
}

impl From<Kept> for Letter {
    fn from(letter: Kept) -> Self {
        let what = match letter.job {
            None => LetterKind::Request,
            Some((QueueName::Events, _)) => LetterKind::Event,
            Some((QueueName::Outbox | QueueName::Held, _)) => LetterKind::Delivery,
        };
        let account = Some(letter.account.to_string()).filter(|account| !account.is_empty());
        Self { id: letter.id, at: letter.at, why: letter.why, what, account }
    }
}
