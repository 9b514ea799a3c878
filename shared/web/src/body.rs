//! Reads request bodies: at most so many bytes, within so much time (faults F43 and F44, threat T12). No other code
//! reads a body.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sameroom_engine::problem;

use crate::BODY_MAX;

/// How long a body may take to arrive.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Why a body can't be read.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// What to answer with.
    pub(crate) status: StatusCode,
    /// The last part of the problem's type.
    kind: &'static str,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
}

impl Trouble {
    /// The answer to a webhook.
    pub(crate) fn response(&self) -> Response<Bytes> {
        problem(self.status, self.kind, &self.detail)
    }
}

/// Reads a body, or says what to answer instead.
pub(crate) async fn read(body: Body) -> Result<Bytes, Trouble> {
    let limited = Limited::new(body, BODY_MAX).collect();
    let (status, kind, detail) = match tokio::time::timeout(TIME_MAX, limited).await {
        Ok(Ok(collected)) => return Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            let detail =
                format!("The body is longer than {BODY_MAX} bytes. Send less at once, and files by their URL.");
            (StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        }
        Ok(Err(_)) => {
            let detail = "The body ended before it was whole. Send it again.".to_owned();
            (StatusCode::BAD_REQUEST, "truncated", detail)
        }
        Err(_) => {
            let detail = format!("The body took longer than {} seconds to arrive. Send it again.", TIME_MAX.as_secs());
            (StatusCode::REQUEST_TIMEOUT, "timeout", detail)
        }
    };
    Err(Trouble { status, kind, detail })
}
