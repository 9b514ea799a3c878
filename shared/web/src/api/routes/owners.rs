//! Owners: who owns accounts, Tubes and Portals. The operator adds them and sees them all; everybody else sees
//! themselves.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_engine::{OwnerChange, Page};
use sameroom_model as model;
use sameroom_model::{Caller, OwnerId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{ApiKeyWithToken, NewApiKey};
use super::tubes::changed;
use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging};
use crate::api::problem::{Kind, Problem};
use crate::api::shapes::nullable;
use crate::api::{PREFIX, location};

/// The longest name, and the longest address, in characters.
const NAME_MAX: usize = 80;
const EMAIL_MAX: usize = 254;

/// Somebody who owns accounts, Tubes and Portals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Owner {
    /// Their id. The operator's is `operator`.
    id: String,
    /// The name shown to people.
    name: String,
    /// Where mail about trouble goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// When they were added.
    made_at: Timestamp,
}

/// An owner to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOwner {
    /// The name shown to people.
    #[schema(min_length = 1, max_length = 80, pattern = r"\S")]
    name: String,
    /// Where mail about trouble goes.
    #[serde(default)]
    #[schema(max_length = 254, pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$")]
    email: Option<String>,
}

/// What to change about an owner; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnerChange)]
#[allow(clippy::option_option, reason = "left out, `null`, or a value: three things")]
pub(crate) struct ChangedOwner {
    /// The name shown to people.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80, pattern = r"\S")]
    name: Option<String>,
    /// Where mail about trouble goes; `null` takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 254, pattern = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$")]
    email: Option<Option<String>>,
}

pub(crate) fn routes() -> Routes {
    routes!(list_owners, add_owner, get_owner, change_owner, make_owner_key)
}

/// List owners
///
/// The operator sees all, in order of id; everybody else sees themselves.
#[utoipa::path(
    get,
    path = "/owners",
    tag = "owners",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<Owner>)),
    security(("key" = ["admin"]))
)]
async fn list_owners(
    State(app): State<App>,
    By(caller): By,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (limit, after) = paging.read("owners")?;
    let page = if is_operator(&caller) {
        app.engine.owners(after.as_deref(), limit).await?
    } else {
        Page { items: app.engine.owner(&caller.owner).await?.into_iter().collect(), next: None }
    };
    Ok(paging.answer("owners", page, Owner::from).into_response())
}

/// Add an owner
///
/// For the operator. Make a key for them next.
#[utoipa::path(
    post,
    path = "/owners",
    tag = "owners",
    request_body = NewOwner,
    responses((status = 201, description = "The owner.", body = Owner)),
    security(("key" = ["admin"]))
)]
async fn add_owner(State(app): State<App>, By(caller): By, Body(new): Body<NewOwner>) -> Result<Response, Problem> {
    operators_alone(&caller)?;
    let name = checked_name(&new.name)?;
    let email = new.email.as_deref().map(checked_email).transpose()?;
    let owner = app.engine.add_owner(name, email).await?;
    let place = location(&format!("{PREFIX}/owners/{}", owner.id));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], show(owner)).into_response())
}

/// Read an owner
#[utoipa::path(
    get,
    path = "/owners/{id}",
    tag = "owners",
    params(("id" = String, Path, description = "The owner's id")),
    responses((status = 200, description = "The owner.", body = Owner, headers(("ETag", description = "Its version.")))),
    security(("key" = ["admin"]))
)]
async fn get_owner(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    let id = seen(&caller, id)?;
    Ok(show(app.engine.owner(&id).await?.ok_or_else(|| Problem::not_found("owner"))?))
}

/// Change an owner's name or address
#[utoipa::path(
    patch,
    path = "/owners/{id}",
    tag = "owners",
    params(("id" = String, Path, description = "The owner's id")),
    request_body = ChangedOwner,
    responses((status = 200, description = "The owner as they are now.", body = Owner)),
    security(("key" = ["admin"]))
)]
async fn change_owner(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
    Body(body): Body<ChangedOwner>,
) -> Result<Response, Problem> {
    let id = seen(&caller, id)?;
    let name = body.name.as_deref().map(checked_name).transpose()?.map(ToOwned::to_owned);
    if let Some(Some(email)) = &body.email {
        checked_email(email)?;
    }
    let change = OwnerChange { name, mail: body.email };
    changed(app.engine.change_owner(&id, &change, expected.version()).await?, "owner").map(show)
}

/// Make an API key for an owner
///
/// For the operator, and for oneself.
#[utoipa::path(
    post,
    path = "/owners/{id}/keys",
    tag = "owners",
    params(("id" = String, Path, description = "The owner's id")),
    request_body = NewApiKey,
    responses((status = 201, description = "The key, and its token.", body = ApiKeyWithToken)),
    security(("key" = ["admin"]))
)]
async fn make_owner_key(
    State(app): State<App>,
    By(caller): By,
    Params(id): Params<String>,
    Body(new): Body<NewApiKey>,
) -> Result<Response, Problem> {
    let id = seen(&caller, id)?;
    super::keys::make(&app, &id, &new).await
}

/// Whether they run the installation.
fn is_operator(caller: &Caller) -> bool {
    caller.owner.as_str() == model::Owner::OPERATOR
}

fn operators_alone(caller: &Caller) -> Result<(), Problem> {
    if is_operator(caller) {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "Only the operator of this Sameroom adds owners. Ask them to."))
}

/// An owner that the caller may see.
fn seen(caller: &Caller, id: String) -> Result<OwnerId, Problem> {
    let id = OwnerId::from(id);
    if is_operator(caller) || id == caller.owner { Ok(id) } else { Err(Problem::not_found("owner")) }
}

fn checked_name(name: &str) -> Result<&str, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(Problem::field("/name", format!("A name has 1 to {NAME_MAX} characters.")));
    }
    Ok(name)
}

fn checked_email(email: &str) -> Result<&str, Problem> {
    let sane = email.chars().count() <= EMAIL_MAX
        && email.split_once('@').is_some_and(|(who, site)| !who.is_empty() && !site.is_empty() && !site.contains('@'))
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if sane {
        return Ok(email);
    }
    Err(Problem::field("/email", "This is no mail address. Give one like ada@example.com, or null for none."))
}

fn show(owner: model::Owner) -> Response {
    let tag = etag::value(owner.version);
    ([(header::ETAG, tag)], Json(Owner::from(owner))).into_response()
}

impl From<model::Owner> for Owner {
    fn from(owner: model::Owner) -> Self {
        Self { id: owner.id.to_string(), name: owner.name, email: owner.mail, made_at: owner.made_at }
    }
}
