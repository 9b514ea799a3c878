//! What comes in: JSON bodies, queries and path parameters, each refused with a problem that names the field. Unknown
//! fields are refused by the types themselves (`deny_unknown_fields`).

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::{FieldError, Kind, Problem};
use crate::body;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// The query.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The parameters of the path.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, incoming) = request.into_parts();
        let bytes: Bytes = body::read(incoming).await?;
        if !is_json(&parts.headers) {
            let detail = "The body has to be JSON. Send it with Content-Type: application/json.";
            return Err(Problem::new(Kind::MediaType, detail));
        }
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|e| {
            let text = e.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let name = text.split([':', '`']).next().unwrap_or_default().trim();
            let name = if name.contains(' ') { text.split('`').nth(1).unwrap_or_default() } else { name };
            Problem::parameter(name, format!("The query can't be read: {text}."))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(_) => Err(Problem::new(Kind::NotFound, "There is nothing at this address: an id in it can't be read.")),
        }
    }
}

/// Whether the body is said to be JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // First whether it is JSON at all, to its end: so what is broken is told from what does not do.
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|e| broken(&e))?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|e| wrong(pointer(e.path()), e.inner()))
}

/// JSON, and not what is asked for.
fn wrong(mut path: String, e: &serde_json::Error) -> Problem {
    let text = e.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some(name) = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        let step = format!("/{}", escape(name));
        if !path.ends_with(&step) {
            path.push_str(&step);
        }
    }
    let detail = format!("{}{}.", text[..1].to_uppercase(), &text[1..]);
    let error = FieldError { pointer: Some(path), parameter: None, detail };
    Problem::new(Kind::Invalid, "The body does not do; `errors` names the field.").with(error)
}

/// Not JSON.
fn broken(e: &serde_json::Error) -> Problem {
    let detail = format!("The body is not JSON: line {}, column {}. Mend it and send it again.", e.line(), e.column());
    Problem::new(Kind::Malformed, detail)
}

/// A path as a JSON Pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", escape(key))),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    steps.collect()
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only read by serde")]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only read by serde")]
        n: u8,
    }

    fn told(text: &str) -> String {
        let problem = parse::<Outer>(text.as_bytes()).unwrap_err();
        format!("{problem:?}")
    }

    #[test]
    fn a_mistake_is_named_by_its_pointer() {
        assert!(told(r#"{"list":[{"n":1},{"n":"x"}]}"#).contains("/list/1/n"));
        assert!(told(r#"{"list":[],"lost":1}"#).contains("\"/lost\""));
        assert!(told(r#"{"list":[{"n":1,"a/b":2}]}"#).contains("\"/list/0/a~1b\""));
        assert!(told("{}").contains("Missing field `list`"));
        assert!(told("[1]").contains("Invalid"));
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{}}", "nul", "\u{feff}{}"] {
            assert!(told(text).contains("Malformed"), "{text}");
        }
        assert!(told("{\"lost\":1} x").contains("Malformed"));
    }
}
