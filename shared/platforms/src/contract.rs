//! What a platform is asked to do: read what arrives, write what leaves, judge the answer, add an account, understand a
//! room's URL, hold a connection. All of it pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use sameroom_model::{
    AccountState, Attachment, Delivery, Event, Identity, Opened, Outcome, Place, RoomKey, Secrets, Timestamp, UserKey,
};
use serde::{Deserialize, Serialize};
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
    fn onboard(&self, desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem>;

    /// Reads a webhook request: verifies it on its raw bytes, then decodes it. The request's path is what follows
    /// `/hooks/{platform}/{account}`; its body is within the engine's cap.
    ///
    /// The default is for platforms that nothing calls.
    fn receive(&self, account: &Opened, request: &http::Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
        let _ = (account, request, now);
        Err(Rejected::Unauthorized)
    }

    /// The requests that make a delivery, in order; a text too long for one message becomes several. Each is sent only
    /// once the one before it is [`Outcome::Done`]. Called for [`crate::Carrier::Http`] alone. Mentions of people and
    /// rooms are of this account, wherever they were written; those of groups are as they were read.
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

    /// Judges the answer to a request of one part of [`Platform::render`]: `part` is its place there, from 0; `memo` is
    /// what the platform noted in [`Turn::Then`] with the request that is answered, and empty for the part's first.
    /// Keys in [`Outcome::Done`] are those that this part made.
    fn settle(
        &self,
        account: &Opened,
        delivery: &Delivery,
        part: usize,
        memo: &str,
        response: &http::Response<Bytes>,
        now: Timestamp,
    ) -> Turn {
        let _ = (account, delivery, part, memo, response, now);
        Turn::Over(Outcome::refused("this platform takes no requests"))
    }

    /// Reads what a held connection was told in the form of a webhook's body, and which the connection itself proves
    /// ([`crate::Output::Told`]).
    fn overhear(&self, account: &Opened, body: &Bytes, now: Timestamp) -> Result<Webhook, Rejected> {
        let _ = (account, body, now);
        Err(Rejected::Unauthorized)
    }

    /// Whether a draft is that account, though it is called otherwise: added by its URL before, say, and by a form now. Asked
    /// only where platform and endpoint are the same, and both stand for themselves.
    fn likeness(&self, account: &Opened, draft: &Draft) -> Likeness {
        let _ = (account, draft);
        Likeness::Unlike
    }

    /// When an account's secrets end by themselves, where that is known: they are renewed ahead of it.
    fn expires(&self, account: &Opened) -> Option<Timestamp> {
        let _ = account;
        None
    }

    /// The request that renews an account's secrets, where they end by themselves. `None`: they don't, or can't be
    /// renewed.
    fn renew(&self, account: &Opened) -> Option<http::Request<Bytes>> {
        let _ = account;
        None
    }

    /// The secrets that the answer to [`Platform::renew`] holds; others stay as they are. The outcome says whether to
    /// try again, or that the owner has to sign in anew.
    fn renewed(&self, account: &Opened, response: &http::Response<Bytes>, now: Timestamp) -> Result<Secrets, Outcome> {
        let _ = (account, response, now);
        Err(Outcome::refused("this platform renews nothing"))
    }

    /// The request for one page of the rooms that the account can see. `None`: the platform lists none.
    fn list(&self, account: &Opened, cursor: Option<&str>) -> Option<http::Request<Bytes>> {
        let _ = (account, cursor);
        None
    }

    /// Reads the answer to [`Platform::list`].
    fn listed(&self, account: &Opened, response: &http::Response<Bytes>, now: Timestamp) -> Result<Listing, Outcome> {
        let _ = (account, response, now);
        Err(Outcome::refused("this platform lists no rooms"))
    }

    /// The request that makes the account a member of a room, so that it hears what is said there. `None`: nothing is
    /// needed, or a held connection does it.
    fn enter(&self, account: &Opened, room: &RoomKey) -> Option<http::Request<Bytes>> {
        let _ = (account, room);
        None
    }

    /// Judges the answer to [`Platform::enter`].
    fn entered(&self, account: &Opened, room: &RoomKey, response: &http::Response<Bytes>, now: Timestamp) -> Outcome {
        let _ = (account, room, response, now);
        Outcome::done()
    }

    /// The request that tells what a key stands for. Asked for authors whose name is empty and for mentions whose label
    /// is empty; the answer is kept for a day. `None`: it can't be told.
    fn look_up(&self, account: &Opened, what: &Subject) -> Option<http::Request<Bytes>> {
        let _ = (account, what);
        None
    }

    /// Reads the answer to [`Platform::look_up`].
    fn looked_up(
        &self,
        account: &Opened,
        what: &Subject,
        response: &http::Response<Bytes>,
        now: Timestamp,
    ) -> Result<Profile, Outcome> {
        let _ = (account, what, response, now);
        Err(Outcome::refused("this platform tells no names"))
    }

    /// The request for a file that only the account may read ([`sameroom_model::Access::Account`]). `None`: it must not
    /// be asked for (the address is not the platform's), or can't.
    fn download(&self, account: &Opened, file: &Attachment) -> Option<http::Request<Bytes>> {
        let _ = (account, file);
        None
    }

    /// The file's bytes from the answer to [`Platform::download`].
    fn downloaded(&self, file: &Attachment, response: http::Response<Bytes>) -> Result<Bytes, Outcome> {
        let _ = file;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(Outcome::refused(format!("the file could not be read: {}", response.status())))
    }

    /// What to paste into the platform's own settings so that an app exists there for this instance. `None`: the
    /// platform wants nothing of the kind.
    fn manifest(&self, urls: &Urls<'_>) -> Option<String> {
        let _ = urls;
        None
    }

    /// The held connection of an account, where the platform has one. The seed feeds jitter, and what nobody may guess:
    /// it is random, another for every session, and secret.
    fn session(&self, account: &Opened, seed: u128) -> Option<Box<dyn Session>> {
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

/// What the platform has to know of where an account is being added.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// Where a person's browser comes back to after [`Step::Visit`], as it is registered with the platform.
    pub back: &'a str,
    /// A random value to hand to the platform with that visit, and which it has to give back. Checked by the caller.
    pub state: &'a str,
    /// The app to install, where it was added before.
    pub app: Option<&'a Opened>,
    /// When this was begun, half an hour ago at most: what a platform gives for so many seconds is counted from here, and
    /// so ends no later than we think.
    pub at: Timestamp,
}

/// How like an account and a draft are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Something shows that they are the same.
    Same,
    /// Nothing shows that they are not: enough for somebody who says that they are.
    Like,
    /// They are not, or there is nothing to tell by.
    Unlike,
}

/// Where this instance is reached, for [`Platform::manifest`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Urls<'a> {
    /// Where the platform posts what happens: the webhook URL of the app's account. `None`: not known yet.
    pub hooks: Option<&'a str>,
    /// Where browsers come back to after [`Step::Visit`]. `None`: there is no public address.
    pub back: Option<&'a str>,
    /// Whether what happens is to come over a held connection instead of `hooks`.
    pub held: bool,
}

/// What follows from the answer to a request.
#[derive(Debug)]
pub enum Turn {
    /// The part is over.
    Over(Outcome),
    /// The part needs this request, too. At most [`TURNS_MAX`] in a row.
    Then {
        /// What to send.
        request: Box<http::Request<Bytes>>,
        /// What to give back with its answer. Not kept at rest.
        memo: String,
    },
    /// The account's secrets have ended: renew them, then make the part again from its start. Once only; a second time
    /// is taken as the outcome.
    Renew(Outcome),
}

/// How many requests one part may take.
pub const TURNS_MAX: usize = 8;

impl From<Outcome> for Turn {
    fn from(outcome: Outcome) -> Self {
        Self::Over(outcome)
    }
}

/// Something that a platform names by a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person or bot.
    User(UserKey),
    /// A room.
    Room(RoomKey),
    /// A group of people.
    Group(String),
}

/// What a key stands for. Of a room: the name as [`RoomDraft::name`] has it, and as team its site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name shown to people.
    pub name: String,
    /// The user name, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Their team, workspace or network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// A picture's public https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Whether it is a program.
    #[serde(default)]
    pub bot: bool,
}

/// One page of rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The rooms.
    pub rooms: Vec<RoomDraft>,
    /// For the next page; `None`: that was the last.
    pub next: Option<String>,
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
    /// How it stands to others. An app's draft is saved, and the same onboarding goes on with it as [`Desk::app`].
    pub place: Place,
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
    /// Which installation of the app it is about, where the account is an app: events and state are that one's.
    pub tenant: Option<String>,
    /// What the request tells of people and rooms: kept in place of what was known.
    pub learned: Vec<(Subject, Profile)>,
}

impl Webhook {
    /// Nothing but an answer.
    pub fn reply(reply: http::Response<Bytes>) -> Self {
        Self { reply, events: Vec::new(), state: None, tenant: None, learned: Vec::new() }
    }
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
