//! Versions in headers (RFC 9110, sections 8.8.3 and 13.1.1): `ETag` with each object that is read, `If-Match` with each
//! change that must not undo somebody else's.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderValue, header};

use super::problem::Problem;

/// The version that a change expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Any: the header is not there, or is `*`.
    Any,
    /// The one of that tag, without its quotes.
    Tag(String),
}

impl IfMatch {
    /// The version that the engine is told to expect. A tag that we never gave is one that nothing has.
    pub(crate) fn version(&self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Tag(tag) => Some(tag.parse().unwrap_or(u64::MAX)),
        }
    }

    /// Whether a thing with that tag is the one expected; for what has no version of its own.
    pub(crate) fn check(&self, tag: &str) -> Result<(), Problem> {
        match self {
            Self::Tag(expected) if expected != tag => Err(Problem::stale()),
            _ => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self::Any) };
        let bad = || Problem::parameter("If-Match", "If-Match takes one ETag, as it was given, or *.");
        let text = value.to_str().map_err(|_| bad())?.trim();
        if values.next().is_some() {
            return Err(bad());
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        let strong = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match strong {
            Some(tag) if !tag.contains('"') => Ok(Self::Tag(tag.to_owned())),
            // A weak one never matches (section 13.1.1); ours are strong.
            None if text.starts_with("W/\"") && text.ends_with('"') => Ok(Self::Tag("W/".to_owned())),
            _ => Err(bad()),
        }
    }
}

/// The header's value for a tag.
pub(crate) fn value(tag: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<IfMatch, Problem> {
        let request = http::Request::builder().header("if-match", text).body(()).unwrap();
        IfMatch::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn one_tag_or_any() {
        assert_eq!(read("*").await.unwrap(), IfMatch::Any);
        assert_eq!(read("\"17\"").await.unwrap().version(), Some(17));
        assert_eq!(read("\"abc\"").await.unwrap().version(), Some(u64::MAX));
        assert_eq!(read("W/\"17\"").await.unwrap().version(), Some(u64::MAX));
        for bad in ["17", "\"1\", \"2\"", ""] {
            assert!(read(bad).await.is_err(), "{bad}");
        }
    }
}
