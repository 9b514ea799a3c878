//! What came to a world of Slack and what it sent: every call of the Web API, every request for a file, every attempt to
//! deliver an event.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// One call of the Web API, or one request for a file's bytes (methods `upload` and `download`), or for the page of
/// OAuth (`authorize`).
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came: microseconds since 1970, by the world's clock.
    pub at: i64,
    /// The method.
    pub method: String,
    /// The token it came with, if any.
    pub token: Option<String>,
    /// Its arguments: strings where it was a form. Files' bytes are not here.
    pub args: Value,
    /// The HTTP status of the answer; 0 where the connection was cut instead.
    pub status: u16,
    /// The answer, where it was JSON.
    pub answer: Value,
    /// What Slack puts up with, and a good client does not do: arguments that the method does not have, a token sent
    /// where none belongs, and the like.
    pub odd: Vec<String>,
}

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
pub struct Push {
    /// When it was answered: microseconds since 1970, by the world's clock.
    pub at: i64,
    /// The app.
    pub app: String,
    /// The event's id.
    pub event_id: String,
    /// The inner event's type, or the envelope's where there is none, as `app_rate_limited`.
    pub kind: String,
    /// 0 for the first attempt, then 1, 2, 3.
    pub attempt: u32,
    /// Why it is tried again.
    pub reason: Option<String>,
    /// The HTTP status; `None`: nobody answered in time. Over a socket 200 means acknowledged.
    pub status: Option<u16>,
    /// What was sent.
    pub envelope: Value,
}

/// All of it.
#[derive(Default)]
pub(super) struct Ledger {
    pub calls: Vec<Call>,
    pub pushes: Vec<Push>,
    /// `ts` of messages that a test has heard, with their channels.
    pub heard: BTreeSet<(String, String)>,
    /// What somebody alone was told: channel, user, text.
    pub whispers: Vec<(String, String, String)>,
}

impl Call {
    /// Whether it was answered `ok:true`.
    pub fn ok(&self) -> bool {
        self.answer["ok"] == true
    }

    /// The error it was answered with.
    pub fn error(&self) -> &str {
        self.answer["error"].as_str().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "at": self.at, "method": self.method, "token": self.token, "args": self.args, "status": self.status,
            "answer": self.answer, "odd": self.odd,
        })
    }
}

impl Push {
    pub(super) fn json(&self) -> Value {
        json!({
            "at": self.at, "app": self.app, "event_id": self.event_id, "kind": self.kind, "attempt": self.attempt,
            "reason": self.reason, "status": self.status, "envelope": self.envelope,
        })
    }
}
