//! Adding an account, step by step: a form to fill in, an address to visit, until it is done. And where a browser comes
//! back to from that visit.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri, header};
use sameroom_engine as engine;
use sameroom_engine::{OnboardError, Status};
use sameroom_model::{AccountId, Timestamp};
use sameroom_platforms::Answer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding;
use super::tubes::sentence;
use crate::api::gate::By;
use crate::api::json::{Body, Params};
use crate::api::openapi::{Routes, routes};
use crate::api::problem::{FieldError, Kind, Problem};
use crate::api::{PREFIX, location};
use crate::{App, page};

/// Where a browser comes back to, below the public URL: to be registered with platforms.
pub const RETURN: &str = "/oauth/return";

/// An account to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    /// The platform's name; `GET /platforms` lists them.
    #[serde(default)]
    #[schema(example = "irc")]
    platform: Option<String>,
    /// The app to install, where it was added before: the id of its account.
    #[serde(default)]
    app: Option<String>,
    /// Instead of `platform`: the id of an account to renew in place. Its rooms and Tubes stay.
    #[serde(default)]
    renew: Option<String>,
}

/// An account being added.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Onboarding {
    /// Its id.
    id: String,
    /// The platform's name.
    platform: String,
    /// The app that is being installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    /// When it was begun. It has half an hour.
    begun_at: Timestamp,
    /// What comes next.
    state: OnboardingState,
    /// `ask`: the form to fill in.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
    /// `visit`: where to send the person's browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// `done`: the account's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// `failed`: why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What comes next. `ask`: fill in the form, and send it to `/onboardings/{id}/answers`. `visit`: send the person's browser
/// to the address, and read this again until it is something else. `wait`: the platform is being asked; read this again.
/// `done`: the account is there. `failed`: it came to nothing.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnboardingState {
    /// Fill in the form.
    Ask,
    /// Send a browser there.
    Visit,
    /// The platform is being asked.
    Wait,
    /// The account is there.
    Done,
    /// It came to nothing.
    Failed,
}

/// A form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Form {
    /// What it is for.
    title: String,
    /// Its fields.
    fields: Vec<FormField>,
}

/// A field of a form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FormField {
    /// Its name in the answer.
    name: String,
    /// Its label.
    label: String,
    /// What to put there.
    help: String,
    /// Whether it may be left out.
    optional: bool,
    /// Whether it is a secret: show dots while it is typed.
    secret: bool,
}

/// The answer to a step: `fields` to a form; `returned` to a visit, where the browser did not come back by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepAnswer {
    /// The form's fields by name.
    #[serde(default)]
    fields: Option<BTreeMap<String, String>>,
    /// The query that the browser came back with, by name.
    #[serde(default)]
    returned: Option<BTreeMap<String, String>>,
}

/// What a refresh found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefreshedRooms {
    /// How many rooms the account sees.
    found: usize,
    /// How many it saw before, and sees no longer.
    gone: usize,
}

pub(crate) fn routes() -> Routes {
    routes!(add_account, get_onboarding, cancel_onboarding, answer_onboarding, refresh_account)
}

/// Begin to add an account, or to renew one
///
/// Answers with the first step; go on until it is `done`.
#[utoipa::path(
    post,
    path = "/accounts",
    tag = "accounts",
    request_body = NewAccount,
    responses((status = 201, description = "The first step.", body = Onboarding)),
    security(("key" = ["admin"]))
)]
async fn add_account(State(app): State<App>, By(caller): By, Body(new): Body<NewAccount>) -> Result<Response, Problem> {
    let back = format!("{}{RETURN}", app.public_url());
    let owner = &caller.owner;
    let (begun, pointer) = match (&new.platform, &new.renew) {
        (Some(platform), None) => {
            let installs = new.app.as_deref().map(AccountId::from);
            (app.engine.start_onboarding(owner, platform, installs.as_ref(), &back).await, "/app")
        }
        (None, Some(account)) if new.app.is_none() => {
            (app.engine.renew_onboarding(owner, &AccountId::from(account.as_str()), &back).await, "/renew")
        }
        _ => return Err(Problem::field("", "Give `platform` (and `app`, to install one), or `renew` alone.")),
    };
    let begun = Onboarding::from(begun.map_err(|e| problem(e, pointer))?);
    let place = location(&format!("{PREFIX}/onboardings/{}", begun.id));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(begun)).into_response())
}

/// Read what comes next
#[utoipa::path(
    get,
    path = "/onboardings/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The onboarding's id")),
    responses((status = 200, description = "What comes next.", body = Onboarding)),
    security(("key" = ["admin"]))
)]
async fn get_onboarding(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let found = app.engine.onboarding(&caller.owner, &id).await?;
    Ok(Json(Onboarding::from(found.ok_or_else(gone)?)).into_response())
}

/// Give up adding an account
///
/// What was answered so far is forgotten.
#[utoipa::path(
    delete,
    path = "/onboardings/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The onboarding's id")),
    responses((status = 204, description = "It is gone.")),
    security(("key" = ["admin"]))
)]
async fn cancel_onboarding(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<StatusCode, Problem> {
    if app.engine.cancel_onboarding(&caller.owner, &id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(gone())
}

/// Answer a step
///
/// An answer that does not do is refused with the field that is wrong; the same step can be answered again.
#[utoipa::path(
    post,
    path = "/onboardings/{id}/answers",
    tag = "accounts",
    params(("id" = String, Path, description = "The onboarding's id")),
    request_body = StepAnswer,
    responses((status = 200, description = "What comes next.", body = Onboarding)),
    security(("key" = ["admin"]))
)]
async fn answer_onboarding(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
    Body(body): Body<StepAnswer>,
) -> Result<Response, Problem> {
    let answer = match (body.fields, body.returned) {
        (Some(fields), None) => Answer::Fields(fields),
        (None, Some(query)) => Answer::Returned(query),
        _ => return Err(Problem::field("", "Give `fields`, or `returned`.")),
    };
    let next = app.engine.answer_onboarding(&caller.owner, &id, answer).await.map_err(|e| problem(e, ""))?;
    Ok(Json(Onboarding::from(next)).into_response())
}

/// List an account's rooms anew
///
/// Rooms are listed by themselves now and then; this is for one that was just made.
#[utoipa::path(
    post,
    path = "/accounts/{id}/refresh",
    tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 200, description = "What was found.", body = RefreshedRooms)),
    security(("key" = ["admin"]))
)]
async fn refresh_account(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let found = app.engine.refresh_rooms(&caller.owner, &AccountId::from(id)).await;
    let found = found.map_err(|e| finding::problem(e, "account"))?;
    Ok(Json(RefreshedRooms { found: found.found, gone: found.gone }).into_response())
}

/// `GET /oauth/return`: a browser comes back from a platform. No key: the state in the query proves it, once. The page
/// says what to do next, and nothing of the account.
pub(crate) async fn returned(State(app): State<App>, uri: Uri) -> Response {
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let Some(state) = query.get("state").cloned() else {
        return page::words(StatusCode::BAD_REQUEST, "This address needs the query that a platform sends along.");
    };
    match app.engine.returned(&state, query).await {
        Ok(onboarding) => match onboarding.status {
            Status::Done(_) => page::words(StatusCode::OK, "The account is connected. You can close this page."),
            Status::Failed(why) => {
                page::words(StatusCode::OK, &format!("That did not work: {} Start again.", sentence(&why)))
            }
            Status::Visit(_) | Status::Ask(_) | Status::Wait => {
                page::words(StatusCode::OK, "Thank you. Go back to where you began: there is one more step.")
            }
        },
        Err(OnboardError::Unavailable(e)) => {
            tracing::error!(error = %e, "a browser came back, and could not be served");
            page::words(StatusCode::SERVICE_UNAVAILABLE, "Sameroom can't be used just now. Load this page again.")
        }
        Err(OnboardError::Problem { message, .. }) => page::words(StatusCode::OK, &sentence(&message)),
        Err(_) => {
            let words = "This was used already, or its half hour is over. Go back to where you began, and start again.";
            page::words(StatusCode::NOT_FOUND, words)
        }
    }
}

fn gone() -> Problem {
    Problem::new(Kind::NotFound, "This is not under way, or its half hour is over. Start again: POST /accounts.")
}

fn problem(e: OnboardError, pointer: &str) -> Problem {
    let detail = sentence(&e.to_string());
    match e {
        OnboardError::NoPlatform(_) => Problem::field("/platform", detail),
        OnboardError::NoAccount(_) => Problem::field(pointer, detail),
        OnboardError::Gone => gone(),
        OnboardError::Unasked(_) | OnboardError::Busy => Problem::new(Kind::Conflict, detail),
        OnboardError::Problem { field: Some(field), .. } => {
            let pointer = Some(format!("/fields/{field}"));
            Problem::new(Kind::Invalid, detail.clone()).with(FieldError { pointer, parameter: None, detail })
        }
        OnboardError::Problem { field: None, .. } => Problem::new(Kind::Invalid, detail),
        OnboardError::Unavailable(e) => e.into(),
    }
}

impl From<engine::Onboarding> for Onboarding {
    fn from(found: engine::Onboarding) -> Self {
        let mut shown = Self {
            id: found.id,
            platform: found.platform,
            app: found.app.map(|id| id.to_string()),
            begun_at: found.at,
            state: OnboardingState::Wait,
            form: None,
            url: None,
            account: None,
            why: None,
        };
        match found.status {
            Status::Ask(form) => {
                let fields = form.fields.into_iter().map(|field| FormField {
                    name: field.name,
                    label: field.label,
                    help: field.help,
                    optional: field.optional,
                    secret: field.secret,
                });
                shown.form = Some(Form { title: form.title, fields: fields.collect() });
                shown.state = OnboardingState::Ask;
            }
            Status::Visit(url) => (shown.state, shown.url) = (OnboardingState::Visit, Some(url)),
            Status::Wait => {}
            Status::Done(account) => {
                (shown.state, shown.account) = (OnboardingState::Done, Some(account.to_string()));
            }
            Status::Failed(why) => (shown.state, shown.why) = (OnboardingState::Failed, Some(why)),
        }
        shown
    }
}
