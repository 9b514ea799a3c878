//! What a platform can do, as data. The engine degrades by this table and never by a platform's name.

use sameroom_text::Markup;
use serde::Serialize;

/// What a platform can do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Capabilities {
    /// How deliveries reach it.
    pub carrier: Carrier,
    /// The markup that its messages can carry.
    #[serde(skip)]
    pub markup: Markup,
    /// The longest text of one message.
    pub text: Limit,
    /// Edits of a copy.
    pub edit: Support,
    /// Deletion of a copy.
    pub delete: Support,
    /// Replies to a copy, or to the message that was copied.
    pub reply: Support,
    /// Reactions to a copy.
    pub react: Support,
    /// How the author of a copy is shown.
    pub author: AuthorShown,
    /// What becomes of files.
    pub files: Files,
    /// How our own posts come back to us.
    pub echo: Echo,
    /// Whether the same delivery made twice has one effect.
    pub once: Once,
    /// How fast one room may be posted to; `None`: the platform says so by answering 429.
    pub rate: Option<Rate>,
}

/// How deliveries reach a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// By HTTP requests that [`crate::Platform::render`] makes.
    Http,
    /// By a held connection: a [`crate::Session`] makes them.
    Session,
    /// The rooms live in Sameroom itself: the engine keeps their bounded history, and whoever shows it follows along.
    Hosted,
}

/// How far a platform supports an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It does it.
    Native,
    /// It depends on the server: the delivery is handed over, and what can't be done is settled as done.
    Sometimes,
    /// The platform's writer turns it into a line of text, where the room's options want that.
    Line,
    /// Not at all: the engine leaves it out.
    Never,
}

/// How the author of a copy is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorShown {
    /// As the message's author, in the platform's own way.
    Native,
    /// As a prefix of the text.
    Prefix,
}

/// What becomes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// Their links are posted.
    Link,
    /// They are copied, up to a size.
    Upload {
        /// In bytes.
        max: u64,
    },
}

/// How our own posts come back to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// Not at all, or the platform's reader recognises and drops them by itself.
    Never,
    /// As events whose message key is that of a copy we made: the engine looks keys up, where that can be.
    ByKey,
    /// Likewise, and their author is marked as a bot.
    ByBots,
}

/// Whether the same delivery made twice has one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Once {
    /// Yes: requests carry an id that the platform collapses retries by.
    Native,
    /// No: a crash between the platform's yes and our record of it makes a duplicate, which is counted.
    AtLeast,
}

/// A limit of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// How many.
    pub max: usize,
    /// Of what.
    pub unit: Unit,
}

/// What length is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// UTF-8 bytes.
    Bytes,
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units.
    Utf16,
}

impl Limit {
    /// The length of a text in this limit's unit.
    pub fn measure(self, text: &str) -> usize {
        match self.unit {
            Unit::Bytes => text.len(),
            Unit::Chars => text.chars().count(),
            Unit::Utf16 => text.encode_utf16().count(),
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How many a second after that.
    pub per_second: f64,
}
