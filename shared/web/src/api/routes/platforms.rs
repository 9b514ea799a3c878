//! Which platforms there are, and what each can do.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::openapi::{Routes, routes};

/// A platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Platform {
    /// Its name in this API.
    #[schema(example = "irc")]
    name: String,
    /// Its name for people.
    title: String,
    /// The schemes of its rooms' URLs.
    schemes: Vec<String>,
    /// An example of a room's URL.
    example: String,
    /// How it was proven.
    proven: String,
    /// What it can do: longest text, edits, deletions, replies, reactions, files, how authors are shown.
    #[schema(value_type = Object)]
    capabilities: serde_json::Value,
}

/// All platforms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Platforms {
    /// The platforms, in order of name.
    items: Vec<Platform>,
}

pub(crate) fn routes() -> Routes {
    routes!(list_platforms)
}

/// List platforms and what each can do
#[utoipa::path(
    get,
    path = "/platforms",
    tag = "platforms",
    responses((status = 200, description = "All of them.", body = Platforms)),
    security(("key" = ["read"]))
)]
async fn list_platforms() -> Response {
    let items = sameroom_platforms::all().iter().map(|platform| {
        let about = platform.about();
        Platform {
            name: about.name.to_owned(),
            title: about.title.to_owned(),
            schemes: about.schemes.iter().map(ToString::to_string).collect(),
            example: about.example.to_owned(),
            proven: about.proven.to_owned(),
            capabilities: serde_json::to_value(about.capabilities).unwrap_or_default(),
        }
    });
    Json(Platforms { items: items.collect() }).into_response()
}
