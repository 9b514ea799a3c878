//! Accounts: listing, reading, what goes with one, and removing. How one is added is in `onboardings`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_engine::Impact;
use sameroom_model as model;
use sameroom_model::AccountState;
use serde::Serialize;
use utoipa::ToSchema;

use super::portals::Portal;
use super::tubes::{Tube, changed};
use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging};
use crate::api::problem::Problem;

/// A login, bot or app installation on one site. Its secrets are never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// Its id.
    id: String,
    /// The platform's name.
    #[schema(example = "irc")]
    platform: String,
    /// Where the platform is reached.
    endpoint: String,
    /// Who we are there.
    name: String,
    /// How it fares.
    state: AccountHealth,
    /// Why, when it is not `ok`: a sentence that says what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// `account`, `app` (it is installed elsewhere, and has no rooms of its own) or `installation` (of an app).
    kind: AccountKind,
    /// The app that it is an installation of.
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
}

/// How an account fares.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountHealth {
    /// It works, as far as is known.
    Ok,
    /// The platform is in trouble or out of reach; being retried.
    Trouble,
    /// You have to sign in again, or mend a setting.
    NeedsOwner,
}

/// How an account stands to others.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountKind {
    /// It stands for itself.
    Account,
    /// It is an app, which is installed elsewhere.
    App,
    /// It is an installation of an app.
    Installation,
}

/// What goes with an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Impact)]
pub(crate) struct AccountImpact {
    /// Tubes that would be removed.
    tubes: Vec<Tube>,
    /// Portals that would be revoked.
    portals: Vec<Portal>,
    /// How many rooms would go.
    rooms: usize,
    /// Of an app: how many installations of it there are, yours and others', which would work no more. They are not
    /// removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    installations: Option<Installations>,
}

/// How many installations an app has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Installations {
    /// Yours.
    yours: usize,
    /// Other owners'. Who they are is not told.
    others: usize,
}

pub(crate) fn routes() -> Routes {
    routes!(list_accounts, get_account, remove_account, get_account_impact)
}

/// List your accounts
///
/// In order of id.
#[utoipa::path(
    get,
    path = "/accounts",
    tag = "accounts",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<Account>)),
    security(("key" = ["read"]))
)]
async fn list_accounts(
    State(app): State<App>,
    By(caller): By,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (limit, after) = paging.read("accounts")?;
    let page = app.engine.accounts_page(&caller.owner, after.as_deref(), limit).await?;
    Ok(paging.answer("accounts", page, Account::from).into_response())
}

/// Read an account
#[utoipa::path(
    get,
    path = "/accounts/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 200, description = "The account.", body = Account, headers(("ETag", description = "Its version.")))),
    security(("key" = ["read"]))
)]
async fn get_account(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    let found = app.engine.account_version(&caller.owner, &id.into()).await?;
    let (account, version) = found.ok_or_else(|| Problem::not_found("account"))?;
    Ok(([(header::ETAG, etag::value(version))], Json(Account::from(account))).into_response())
}

/// Remove an account
///
/// With its rooms, their Tubes and their Portals: `GET /accounts/{id}/impact` lists them first. The rooms at the other
/// ends are told.
#[utoipa::path(
    delete,
    path = "/accounts/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 204, description = "It is gone.")),
    security(("key" = ["admin"]))
)]
async fn remove_account(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
) -> Result<StatusCode, Problem> {
    changed(app.engine.remove_account_as(&caller.owner, &id.into(), expected.version()).await?, "account")?;
    Ok(StatusCode::NO_CONTENT)
}

/// See what would go with an account
#[utoipa::path(
    get,
    path = "/accounts/{id}/impact",
    tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 200, description = "What would go with it.", body = AccountImpact)),
    security(("key" = ["read"]))
)]
async fn get_account_impact(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let impact = app.engine.account_impact(&caller.owner, &id.into()).await?;
    let impact = impact.ok_or_else(|| Problem::not_found("account"))?;
    let Impact { tubes, portals, rooms, installations } = impact;
    let body = AccountImpact {
        tubes: tubes.into_iter().map(Tube::from).collect(),
        portals: portals.into_iter().map(Portal::from).collect(),
        rooms,
        installations: installations.map(|(yours, others)| Installations { yours, others }),
    };
    Ok(Json(body).into_response())
}

impl From<model::Account> for Account {
    fn from(account: model::Account) -> Self {
        let (state, why) = match account.state {
            AccountState::Ok => (AccountHealth::Ok, None),
            AccountState::Trouble(why) => (AccountHealth::Trouble, Some(why)),
            AccountState::NeedsOwner(why) => (AccountHealth::NeedsOwner, Some(why)),
        };
        let (kind, app) = match account.place {
            model::Place::Alone => (AccountKind::Account, None),
            model::Place::App => (AccountKind::App, None),
            model::Place::Installed { app, .. } => (AccountKind::Installation, Some(app.to_string())),
        };
        Self {
            id: account.id.to_string(),
            platform: account.platform,
            endpoint: account.endpoint,
            name: account.identity.name,
            state,
            why,
            kind,
            app,
        }
    }
}
