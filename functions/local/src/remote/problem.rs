//! What can go wrong when another program is asked, as one plain sentence that says what to do, and as an exit status.

use std::fmt;

use serde_json::Value;

/// A command that came to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit status; see [`super::args::STATUSES`].
    pub(crate) code: u8,
    text: String,
    /// The name of the kind of problem, where an instance answered with one.
    pub(crate) kind: String,
    /// The fields that do not do, where an instance named some.
    pub(crate) fields: Vec<String>,
}

impl Failure {
    /// Nothing in particular.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::with(1, text)
    }

    /// It can't be reached.
    pub(crate) fn unreachable(text: impl Into<String>) -> Self {
        Self::with(3, text)
    }

    /// There is no key.
    pub(crate) fn key(text: impl Into<String>) -> Self {
        Self::with(4, text)
    }

    /// There is nothing of that name, or several things.
    pub(crate) fn name(text: impl Into<String>) -> Self {
        Self::with(5, text)
    }

    /// It was refused, or would be.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::with(6, text)
    }

    /// From an answer that is a problem document (RFC 9457), or should be one. `site`: who answered.
    pub(crate) fn answered(site: &str, status: u16, body: &Value) -> Self {
        let kind = body["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default().to_owned();
        let Some(detail) = body["detail"].as_str() else {
            let cure = match status {
                // Of what stands before it: a proxy, or AWS before a function.
                500.. => "if the URL is right, it can't start or can't be reached there, and its log says why",
                _ => "is the URL right?",
            };
            return Self::with(3, format!("{site} answered {status}, and not as a Sameroom does; {cure}"));
        };
        let fields: Vec<String> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["pointer"].as_str().or(error["parameter"].as_str()))
            .map(str::to_owned)
            .collect();
        let (code, cure) = match status {
            401 => {
                let text = format!(
                    "the key is not valid at {site}: it may be revoked, over or mistyped. Have one made there by \
                     `sameroom keys add --name NAME --scope SCOPE`{}",
                    mark(status, body)
                );
                return Self { kind, ..Self::with(4, text) };
            }
            403 if kind == "scope" => (4, " `sameroom keys add --name NAME --scope SCOPE` makes one."),
            404 => (5, ""),
            409 | 412 | 422 | 403 => (6, ""),
            429 => (1, " Wait a little, and try again."),
            500.. => (1, " Its log says why."),
            _ => (1, ""),
        };
        Self { kind, fields, ..Self::with(code, format!("{detail}{cure}{}", mark(status, body))) }
    }

    fn with(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), kind: String::new(), fields: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The status and the request's id, for whoever is asked for help.
fn mark(status: u16, body: &Value) -> String {
    match body["request_id"].as_str() {
        Some(id) => format!(" ({status}, request {id})"),
        None => format!(" ({status})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_a_sentence_with_its_status_and_request() {
        let body = json!({
            "type": "urn:sameroom:problem:not-found", "detail": "You have no Tube of that id.", "request_id": "r1",
        });
        let failure = Failure::answered("https://x", 404, &body);
        assert_eq!(failure.to_string(), "You have no Tube of that id. (404, request r1)");
        assert_eq!((failure.code, failure.kind.as_str()), (5, "not-found"));
    }

    #[test]
    fn what_is_no_problem_document_is_no_sameroom() {
        let failure = Failure::answered("https://x", 200, &Value::Null);
        assert_eq!(failure.code, 3);
        assert!(failure.to_string().contains("is the URL right?"));
        // As AWS answers for a function that ends before it is asked.
        let failure = Failure::answered("https://x", 502, &json!({"errorType": "Runtime.ExitError"}));
        assert_eq!(failure.code, 3);
        assert!(failure.to_string().ends_with("its log says why"), "{failure}");
    }

    #[test]
    fn whoever_runs_it_is_led_to_its_log() {
        let body =
            json!({"type": "urn:sameroom:problem:unavailable", "detail": "Send this again.", "request_id": "r1"});
        let failure = Failure::answered("https://x", 503, &body);
        assert_eq!(failure.to_string(), "Send this again. Its log says why. (503, request r1)");
        assert_eq!(failure.code, 1);
    }
}
