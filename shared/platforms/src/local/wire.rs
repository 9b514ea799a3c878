//! What the page of a room sends. Documented in README.md beside this file.

use serde::{Deserialize, Serialize};

/// One thing that somebody does.
#[derive(Deserialize)]
pub(super) struct Deed {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// Made by the browser, once for each thing done; the same when it tries again.
    pub(super) id: String,
    pub(super) author: Person,
    /// Markdown. For `post` and `edit`.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// The message answered. For `post`.
    #[serde(default)]
    pub(super) reply_to: Option<String>,
    /// The message meant. For all but `post`.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// For `react`.
    #[serde(default)]
    pub(super) emoji: Option<String>,
    /// For `react`: `false` takes the reaction back.
    #[serde(default = "yes")]
    pub(super) on: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Post,
    Edit,
    Delete,
    React,
}

#[derive(Deserialize)]
pub(super) struct Person {
    /// The browser's secret: whoever knows it is this author. Never kept or passed on; see [`super::inbound`].
    pub(super) id: String,
    pub(super) name: String,
}

/// The answer to a deed.
#[derive(Serialize)]
pub(super) struct Reply<'a> {
    /// The author's key.
    pub(super) author: &'a str,
    /// The key of the message posted, or meant.
    pub(super) key: &'a str,
}

fn yes() -> bool {
    true
}
