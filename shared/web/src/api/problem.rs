//! Problems: every answer of the API that is not what was asked for, as RFC 9457 problem+json. It says what is wrong and
//! what to do, and names the fields that are. It must not hold anything secret: it is shown as it is.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sameroom_engine::ports::Unavailable;
use serde::Serialize;
use utoipa::ToSchema;

use crate::page;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $status:ident $text:literal),* $(,)?) => {
        /// What kind of problem it is: the last part of its type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {$($(#[doc = $doc])* $name),*}

        impl Kind {
            /// All there are, with what they mean: for the documents.
            #[cfg(test)]
            pub(crate) const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, concat!($($doc),*))),*];

            /// The status that it is answered with.
            pub(crate) fn status(self) -> StatusCode {
                match self {$(Self::$name => StatusCode::$status),*}
            }

            /// Its name in the type.
            pub(crate) fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text),*}
            }
        }
    };
}

kinds! {
    /// The request can't be read: broken JSON, a bad cursor, a parameter that is not what it should be.
    Malformed = BAD_REQUEST "malformed",
    /// No key, or none that is valid.
    Unauthorized = UNAUTHORIZED "unauthorized",
    /// The key lacks a scope.
    Scope = FORBIDDEN "scope",
    /// Not allowed, whatever the key.
    Forbidden = FORBIDDEN "forbidden",
    /// There is nothing of that name, or it is not yours.
    NotFound = NOT_FOUND "not-found",
    /// The address takes other methods; `Allow` names them.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed",
    /// The body took too long to arrive.
    Timeout = REQUEST_TIMEOUT "timeout",
    /// It does not go together with how things are.
    Conflict = CONFLICT "conflict",
    /// The first request with that Idempotency-Key has not been answered yet.
    Running = CONFLICT "running",
    /// The thing was changed since the version in If-Match.
    Stale = PRECONDITION_FAILED "stale",
    /// The body is too long.
    TooLarge = PAYLOAD_TOO_LARGE "too-large",
    /// The body is not JSON.
    MediaType = UNSUPPORTED_MEDIA_TYPE "media-type",
    /// The body is JSON, and a field of it does not do.
    Invalid = UNPROCESSABLE_ENTITY "invalid",
    /// The Idempotency-Key was used with another body.
    KeyReused = UNPROCESSABLE_ENTITY "key-reused",
    /// Too many requests; `Retry-After` says when to come again.
    TooMany = TOO_MANY_REQUESTS "too-many",
    /// A platform did not do what was asked of it.
    Platform = BAD_GATEWAY "platform",
    /// Our store or vault failed. Nothing was done, or it can be done again.
    Unavailable = SERVICE_UNAVAILABLE "unavailable",
    /// The disk is full.
    Full = INSUFFICIENT_STORAGE "full",
}

/// A problem on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    /// `WWW-Authenticate`, where a key is asked for.
    challenge: Option<String>,
}

/// What is wrong with one field of the body, or one parameter.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field, as a JSON Pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/rooms/1")]
    pub(crate) pointer: Option<String>,
    /// The parameter, where it is one of the query or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// What kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "urn:sameroom:problem:not-found")]
    kind: String,
    /// The status, in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// The fields that are wrong, where it is about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The request's id, as in `X-Request-Id`: name it when you ask for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Problem {
    /// A problem with its sentences.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None, challenge: None }
    }

    /// Nothing of that name, or somebody else's: said alike.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("You have no {what} of that id. List them to see which there are."))
    }

    /// A field of the body does not do.
    pub(crate) fn field(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(Kind::Invalid, detail.clone()).with(FieldError {
            pointer: Some(pointer.to_owned()),
            parameter: None,
            detail,
        })
    }

    /// A parameter of the query, or a header, does not do.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(Kind::Malformed, detail.clone()).with(FieldError {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail,
        })
    }

    /// The thing was changed in between.
    pub(crate) fn stale() -> Self {
        Self::new(
            Kind::Stale,
            "It was changed since the version that If-Match names. Read it again, and send your change with its ETag.",
        )
    }

    /// With one more field.
    pub(crate) fn with(mut self, error: FieldError) -> Self {
        self.errors.push(error);
        self
    }

    /// To be tried again after so many seconds.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With what to authenticate by (RFC 6750).
    pub(crate) fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// The answer, with the request's id in it.
    pub(crate) fn response(&self, request_id: Option<&str>) -> Response {
        let status = self.kind.status();
        let document = Document {
            kind: format!("urn:sameroom:problem:{}", self.kind.as_str()),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            request_id: request_id.map(ToOwned::to_owned),
        };
        let mut response = page::plain(serde_json::to_vec(&document).unwrap_or_default());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = self.response(None);
        // Whoever knows the request's id writes it again, with that.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(e: Unavailable) -> Self {
        tracing::error!(error = %e, "a request of the API could not be done");
        if e.full {
            let detail = "The disk of this Sameroom is full. Send this again once its operator has made room.";
            return Self::new(Kind::Full, detail).retry_after(30);
        }
        Self::new(Kind::Unavailable, "The store of this Sameroom can't be used just now. Send this again.")
            .retry_after(5)
    }
}

impl From<crate::body::Trouble> for Problem {
    fn from(trouble: crate::body::Trouble) -> Self {
        let kind = match trouble.status {
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Kind::Timeout,
            _ => Kind::Malformed,
        };
        Self::new(kind, trouble.detail)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_problem_says_its_type_what_to_do_and_which_fields() {
        let response = Problem::field("/rooms/1", "There is no such room.").response(Some("req-1"));
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = serde_json::json!({
            "type": "urn:sameroom:problem:invalid",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "There is no such room.",
            "errors": [{ "pointer": "/rooms/1", "detail": "There is no such room." }],
            "request_id": "req-1",
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|(kind, _)| kind.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn what_failed_inside_is_not_shown() {
        let problem = Problem::from(Unavailable::new("the row account/x:@ can't be read"));
        assert!(!problem.detail.contains("row"));
        assert_eq!(problem.response(None).headers()["retry-after"], "5");
    }
}
