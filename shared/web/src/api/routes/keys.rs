//! API keys: making, listing and revoking them. A token is shown once, when its key is made.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sameroom_model as model;
use sameroom_model::{KeyId, OwnerId, Timestamp};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::api::etag::{self, IfMatch};
use crate::api::gate::By;
use crate::api::json::{Body, Params, Query};
use crate::api::openapi::{Routes, routes};
use crate::api::paging::{List, Paging};
use crate::api::problem::Problem;
use crate::api::shapes::Scope;
use crate::api::{PREFIX, location};

/// The longest name, in characters.
const NAME_MAX: usize = 80;

/// An API key. The token is not part of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    /// Its id. Not secret.
    id: String,
    /// What you call it.
    name: String,
    /// What it may be used for.
    scopes: BTreeSet<Scope>,
    /// The token's first characters, so that you know it again.
    hint: String,
    /// When it was made.
    made_at: Timestamp,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyWithToken {
    /// The key.
    key: ApiKey,
    /// The token, for `Authorization: Bearer`. It is not shown again.
    token: String,
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKey {
    /// What to call it.
    #[schema(min_length = 1, max_length = 80, pattern = r"\S")]
    name: String,
    /// What it may be used for: one scope at least.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    scopes: BTreeSet<Scope>,
    /// When it ends by itself.
    #[serde(default)]
    expires: Option<Timestamp>,
}

pub(crate) fn routes() -> Routes {
    routes!(list_keys, make_key, get_key, revoke_key)
}

/// List your API keys
///
/// In order of id, revoked ones too.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    params(Paging),
    responses((status = 200, description = "A page of them.", body = List<ApiKey>)),
    security(("key" = ["admin"]))
)]
async fn list_keys(State(app): State<App>, By(caller): By, Query(paging): Query<Paging>) -> Result<Response, Problem> {
    let (limit, after) = paging.read("keys")?;
    let page = app.engine.keys(&caller.owner, after.as_deref(), limit).await?;
    Ok(paging.answer("keys", page, ApiKey::from).into_response())
}

/// Make an API key
///
/// The token is in this answer and in no other; only its hash is kept.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    request_body = NewApiKey,
    responses((status = 201, description = "The key, and its token.", body = ApiKeyWithToken)),
    security(("key" = ["admin"]))
)]
async fn make_key(State(app): State<App>, By(caller): By, Body(new): Body<NewApiKey>) -> Result<Response, Problem> {
    make(&app, &caller.owner, &new).await
}

/// Read an API key
#[utoipa::path(
    get,
    path = "/keys/{id}",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key.", body = ApiKey, headers(("ETag", description = "Its version.")))),
    security(("key" = ["admin"]))
)]
async fn get_key(State(app): State<App>, By(caller): By, Params(id): Params<String>) -> Result<Response, Problem> {
    let key = owned(&app, &caller.owner, &id).await?;
    let tag = etag::value(tag(&key));
    Ok(([(header::ETAG, tag)], Json(ApiKey::from(key))).into_response())
}

/// Revoke an API key
///
/// For good, and at once.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key, revoked.", body = ApiKey)),
    security(("key" = ["admin"]))
)]
async fn revoke_key(
    State(app): State<App>,
    By(caller): By,
    expected: IfMatch,
    Params(id): Params<String>,
) -> Result<Response, Problem> {
    let key = owned(&app, &caller.owner, &id).await?;
    expected.check(&tag(&key))?;
    let revoked = app.engine.revoke_key(&caller.owner, &key.id).await?;
    Ok(Json(ApiKey::from(revoked.ok_or_else(|| Problem::not_found("key"))?)).into_response())
}

/// Makes a key for an owner.
pub(crate) async fn make(app: &App, owner: &OwnerId, new: &NewApiKey) -> Result<Response, Problem> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(Problem::field("/name", format!("A name has 1 to {NAME_MAX} characters.")));
    }
    if new.scopes.is_empty() {
        return Err(Problem::field("/scopes", "A key needs a scope: read, portals, tubes or admin."));
    }
    if new.expires.is_some_and(|end| end <= app.engine.clock().now()) {
        return Err(Problem::field("/expires", "This is in the past. Give a time to come, or leave it out."));
    }
    let scopes = new.scopes.iter().map(|scope| (*scope).into()).collect();
    let made = app.engine.add_key(owner, name, &scopes, new.expires).await?;
    let (key, token) = made.ok_or_else(|| Problem::not_found("owner"))?;
    let place = location(&format!("{PREFIX}/keys/{}", key.id));
    let body = ApiKeyWithToken { key: key.into(), token: token.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(body)).into_response())
}

async fn owned(app: &App, owner: &OwnerId, id: &str) -> Result<model::ApiKey, Problem> {
    app.engine.key(owner, &KeyId::from(id)).await?.ok_or_else(|| Problem::not_found("key"))
}

/// A key changes by being revoked; that it is used is no change.
fn tag(key: &model::ApiKey) -> String {
    if key.revoked.is_some() { "revoked".to_owned() } else { "valid".to_owned() }
}

impl From<model::ApiKey> for ApiKey {
    fn from(key: model::ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes.into_iter().map(Into::into).collect(),
            hint: key.hint,
            made_at: key.made_at,
            expires: key.expires,
            last_used: key.last_used,
            revoked: key.revoked,
        }
    }
}
