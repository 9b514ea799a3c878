//! How the document that describes the API (OpenAPI 3.1) is made of the routes. What all routes have in common is added
//! here: problems, headers, how to authenticate; and the examples, which a test records from a real conversation. Only
//! tests make it: what is served is what they checked.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::problem::{Document, FieldError};
use super::routes::events;
use super::{PREFIX, SECURITY, once, routes};

/// Requests and answers as they were, by `METHOD path`. Written by the test that plays them.
const EXAMPLES: &str = include_str!("examples.json");

const ABOUT: &str = "\
Connects chat rooms that live on different platforms.

**Authentication.** Send an API key: `Authorization: Bearer sr_...`. `sameroom keys add --name NAME` makes the first. Each \
operation names the scope that it needs; `portals` and `tubes` hold `read`, `admin` holds all.

**Problems.** What is not 2xx is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail` (what is wrong \
and what to do), `errors` (the fields that are wrong, by JSON Pointer) and `request_id`.

**Again, safely.** A POST with an `Idempotency-Key` is done once; sent again within a day with the same body it is answered \
as the first time, with `Idempotency-Replayed: true`. Another body is refused (422), as is a second one while the first \
runs (409). Only what was done is kept: a request that was refused is judged anew.

**Changes.** One object is read with its `ETag`; send it as `If-Match` with a change, and the change is refused (412) if \
somebody else was faster. Without `If-Match` the last one wins.

**Lists** come by the page: `limit` (1 to 200) and `cursor`; the answer has `items` and, where there is more, `next` and a \
`Link` header.

**Limits.** Each key may ask so many times a minute; the `RateLimit-Policy` and `RateLimit` headers say how it stands, 429 \
comes with `Retry-After`. Bodies have at most 256 KiB.

**Ids** are opaque. Every answer has an `X-Request-Id`; send one of your own (up to 64 letters, digits, `.`, `_`, `-`) and \
it is taken over.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Sameroom", version = "1"),
    components(schemas(Document, FieldError, events::Event, events::CrossingEvent)),
    tags(
        (name = "platforms", description = "What can be connected."),
        (name = "accounts", description = "Logins, bots and app installations."),
        (name = "rooms", description = "The rooms that accounts see."),
        (name = "tubes", description = "Connections of two rooms."),
        (name = "portals", description = "URLs by which others connect rooms of their own."),
        (name = "invitations", description = "Portals, from the other side."),
        (name = "deliveries", description = "What failed, and what waits."),
        (name = "map", description = "Who reads what."),
        (name = "events", description = "What changes, as it happens."),
        (name = "keys", description = "API keys."),
        (name = "owners", description = "Who owns accounts, Tubes and Portals."),
    )
)]
struct Base;

/// The document that describes the routes.
pub(super) fn document() -> Value {
    let mut document = Base::openapi();
    document.merge(routes::all().document);
    let mut document = serde_json::to_value(document).unwrap();
    complete(&mut document);
    document
}

/// The document as it is served and checked in.
pub(super) fn print(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap();
    text.push('\n');
    text
}

/// The operations of the document: method in capitals, path, operation.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (String, &String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (method.to_uppercase(), path, operation))
    })
}

/// Adds what all routes have in common.
fn complete(document: &mut Value) {
    document["info"]["description"] = ABOUT.into();
    if let Some(info) = document["info"].as_object_mut() {
        // Cargo's own fields say nothing about the API.
        info.retain(|name, _| matches!(name.as_str(), "title" | "version" | "description"));
    }
    document["servers"] = json!([{ "url": PREFIX }]);
    let scheme = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, sr_..., with the scope that the operation names.",
    });
    document["components"]["securitySchemes"] = json!({ SECURITY: scheme });
    document["components"]["responses"] = json!({
        "Problem": {
            "description": "A problem: what is wrong, and what to do.",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        },
    });
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let method = method.to_uppercase();
            add_problems(operation, &method, path);
            add_headers(operation, &method, path);
            add_examples(operation, &examples[format!("{method} {path}")]);
        }
    }
}

fn add_problems(operation: &mut Value, method: &str, path: &str) {
    let body = operation.get("requestBody").is_some();
    let changes = matches!(method, "PATCH" | "DELETE");
    let statuses = [
        ("400", true),
        ("401", true),
        ("403", true),
        ("404", path.contains('{')),
        ("409", method == "POST" || method == "GET" && path.contains("url")),
        ("412", changes || path.ends_with("/move") || path.ends_with("/rotate")),
        ("413", true),
        ("415", body),
        ("422", body || method == "POST"),
        ("429", true),
        ("503", true),
        ("default", true),
    ];
    for (status, _) in statuses.into_iter().filter(|(_, applies)| *applies) {
        operation["responses"][status] = json!({ "$ref": "#/components/responses/Problem" });
    }
}

fn add_headers(operation: &mut Value, method: &str, path: &str) {
    let mut add = |name: &str, description: &str, schema: Value| {
        let parameter = json!({
            "name": name,
            "in": "header",
            "required": false,
            "description": description,
            "schema": schema,
        });
        match operation.get_mut("parameters").and_then(Value::as_array_mut) {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    };
    if method == "POST" {
        let about = "Sent again with the same key and body it is done once. A random UUID does well.";
        let schema = json!({
            "type": "string",
            "minLength": 1,
            "maxLength": once::LEN_MAX,
            "pattern": "^[ -~]*[!#-~][ -~]*$",
        });
        add("Idempotency-Key", about, schema);
    }
    let onboarding = path.starts_with("/onboardings");
    if (matches!(method, "PATCH" | "DELETE") && !onboarding) || path.ends_with("/move") || path.ends_with("/rotate") {
        let about = "The ETag of the version that you read: the change is refused if there is another by now.";
        let pattern = r#"^(\*|(W/)?"[ !#-~]*")$"#;
        add("If-Match", about, json!({ "type": "string", "minLength": 1, "pattern": pattern }));
    }
}

/// Puts a request and its answer where they belong.
fn add_examples(operation: &mut Value, example: &Value) {
    if let Some(request) = example.get("request") {
        operation["requestBody"]["content"]["application/json"]["example"] = request.clone();
    }
    if let (Some(status), Some(answer)) = (example["status"].as_u64(), example.get("answer")) {
        let content = operation["responses"][status.to_string()]["content"].as_object_mut();
        for (_, content) in content.into_iter().flatten() {
            content["example"] = answer.clone();
        }
    }
}
