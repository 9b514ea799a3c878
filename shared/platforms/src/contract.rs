//! What a platform is asked to do: read what arrives, write what leaves, judge the answer, add an account, understand a
//! room's URL, hold a connection. All of it pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use sameroom_model::{AccountState, Delivery, Event, Identity, Opened, Outcome, RoomKey, Secrets, Timestamp};
use url::Url;

use crate::{Capabilities, Session};

/// A chat platform.
///
/// Every method is a pure function of its arguments. None may panic, whatever bytes it is given.
pub trait Platform: Send + Sync + 'static {
    /// Name, title and capabilities.
    fn about(&self) -> &'static About;

    /// Understands a room's URL as a person types it, for example `ircs://irc.libera.chat/#rust`.
    ///
    /// Secrets may be given as references, `env:NAME` or `file:PATH`; they are returned as they stand, and the caller
    /// resolves them.
    fn locate(&self, url: &Url) -> Result<Located, BadUrl>;

    /// The next step of adding an account, given the answers so far, oldest first.
    fn onboard(&self, answers: &[Answer]) -> Result<Step, Problem>;

    /// Reads a webhook request: verifies it on its raw bytes, then decodes it. The request's path is what follows
    /// `/hooks/{platform}/{account}`; its body is within the engine's cap.
    ///
    /// The default is for platforms that nothing calls.
    fn receive(&self, account: &Opened, request: &http::Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
        let _ = (account, request, now);
        Err(Rejected::Unauthorized)
    }

    /// The requests that make a delivery, in order; a text too long for one message becomes several. Each is sent only
    /// once the one before it is [`Outcome::Done`]. Called for [`crate::Carrier::Http`] alone.
    ///
    /// An outcome as error says that there is nothing to send: the delivery is settled with it.
    fn render(
        &self,
        account: &Opened,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Vec<http::Request<Bytes>>, Outcome> {
        let _ = (account, delivery, now);
        Err(Outcome::refused("this platform takes no requests"))
    }

    /// Judges the answer to one request of [`Platform::render`]: `part` is its place there, from 0. Keys in
    /// [`Outcome::Done`] are those that this request made.
    fn settle(
        &self,
        account: &Opened,
        delivery: &Delivery,
        part: usize,
        response: &http::Response<Bytes>,
        now: Timestamp,
    ) -> Outcome {
        let _ = (account, delivery, part, response, now);
        Outcome::refused("this platform takes no requests")
    }

    /// The held connection of an account, where the platform has one. The seed feeds jitter and the like.
    fn session(&self, account: &Opened, seed: u64) -> Option<Box<dyn Session>> {
        let _ = (account, seed);
        None
    }
}

/// Who a platform is and what it can do.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name in the registry, in URLs and in the store: lower case, never changed.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The schemes of its rooms' URLs.
    pub schemes: &'static [&'static str],
    /// An example of a room's URL.
    pub example: &'static str,
    /// How it was proven, in a few words for the table of platforms.
    pub proven: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// A room's URL, understood.
#[derive(Clone, Debug)]
pub struct Located {
    /// The account that sees the room.
    pub account: Draft,
    /// The room.
    pub room: RoomDraft,
}

/// An account to be: the engine gives it its id, from platform, endpoint and identity name.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The platform's name.
    pub platform: &'static str,
    /// Where it is reached, as a URL.
    pub endpoint: String,
    /// Who we are there.
    pub identity: Identity,
    /// What the platform alone understands.
    pub settings: serde_json::Value,
    /// Secrets in the clear, or references to them.
    pub secrets: Secrets,
}

/// A room to be.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomDraft {
    /// The platform's key.
    pub key: RoomKey,
    /// The name shown to people.
    pub name: String,
    /// Where it is, shown next to its name.
    pub site: String,
    /// What the platform alone understands.
    pub settings: serde_json::Value,
}

/// A room's URL that is not one: a sentence that names the part and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub String);

/// What a webhook request told.
#[derive(Debug)]
pub struct Webhook {
    /// The answer, sent once the events are durable.
    pub reply: http::Response<Bytes>,
    /// What happened, in order. Our own echoes are left out where the platform lets us recognise them.
    pub events: Vec<Event>,
    /// How the account fares, where the request says so (uninstalled, token revoked).
    pub state: Option<AccountState>,
}

/// The sender is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not proven to come from the platform. Said alike for a bad signature and an unknown account. 401.
    #[error("the request is not signed by the platform")]
    Unauthorized,
    /// Not what the platform sends; what is wrong. 400.
    #[error("{0}")]
    Malformed(String),
    /// Proven, but not understood: kept whole among the dead letters, so that it can be replayed after a fix. The
    /// sender gets 2xx, since sending it again would not help.
    #[error("{0}")]
    Undecodable(String),
}

/// One step of adding an account.
#[derive(Debug)]
pub enum Step {
    /// Ask the person to fill in a form; answer with [`Answer::Fields`].
    Ask(Form),
    /// Send the person's browser there; answer with [`Answer::Returned`].
    Visit(Url),
    /// Send this request; answer with [`Answer::Response`].
    Send(Box<http::Request<Bytes>>),
    /// That was all.
    Done(Box<Draft>),
}

/// An answer to a step.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The form's fields by name.
    Fields(BTreeMap<String, String>),
    /// The query that the browser came back with.
    Returned(BTreeMap<String, String>),
    /// The answer to a request.
    Response(http::Response<Bytes>),
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for, in a sentence.
    pub title: &'static str,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in [`Answer::Fields`].
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What to put there, in a sentence.
    pub help: &'static str,
    /// Whether it may be left empty.
    pub optional: bool,
    /// Whether it is a secret.
    pub secret: bool,
}

/// An answer that does not do: which field, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The field, where it is one.
    pub field: Option<&'static str>,
    /// A sentence for the person.
    pub message: String,
}
