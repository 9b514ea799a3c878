//! What there is in a world of Slack: apps, workspaces, people, channels with their messages, files, installations and
//! tokens. Plain data and its JSON; nothing here knows HTTP, events or time-outs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_lc_rs::rand;
use serde_json::{Map, Value, json};

use super::events::{Delivery, Pushes};
use super::ledger::Ledger;
use super::moods::Moods;

pub(super) type Id = String;

/// Everything. Behind one lock.
pub(super) struct State {
    pub base: String,
    pub apps: BTreeMap<Id, App>,
    pub teams: BTreeMap<Id, Team>,
    pub users: BTreeMap<Id, User>,
    pub channels: BTreeMap<Id, Channel>,
    pub files: BTreeMap<Id, File>,
    pub groups: BTreeMap<Id, Group>,
    pub installs: Vec<Install>,
    pub tokens: BTreeMap<String, Token>,
    pub refreshes: BTreeMap<String, Refresh>,
    pub codes: BTreeMap<String, Code>,
    /// Tickets of Socket Mode addresses, each good for one connection.
    pub tickets: BTreeMap<String, Id>,
    /// Upload addresses: their secret part, and the file they are for.
    pub uploads: BTreeMap<String, Id>,
    /// What people answer on the page of OAuth, one after the other.
    pub consents: VecDeque<Consent>,
    /// Events on their way out; whoever releases the lock sends them.
    pub outbox: Vec<Delivery>,
    pub pushes: Pushes,
    pub moods: Moods,
    pub ledger: Ledger,
    /// Microseconds since 1970: the world's clock, set whenever the lock is taken.
    pub now: i64,
    pub last: i64,
    pub serial: u64,
}

/// A person's answer on the page of OAuth.
#[derive(Clone, Debug)]
pub enum Consent {
    /// This person, in the workspace that the world's handle is of, agrees.
    Agrees(String),
    /// Somebody clicks "Cancel".
    Denies,
}

pub(super) struct App {
    pub id: Id,
    pub name: String,
    pub client_id: String,
    pub client_secret: String,
    pub signing_secret: String,
    /// The deprecated token in every envelope.
    pub verification: String,
    pub app_token: String,
    pub redirects: BTreeSet<String>,
    pub request_url: Option<String>,
    pub subscriptions: BTreeSet<String>,
    pub socket_mode: bool,
    pub rotates: bool,
}

pub(super) struct Team {
    pub id: Id,
    pub name: String,
    pub domain: String,
    pub emoji: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(super) struct User {
    pub id: Id,
    pub team: Id,
    pub name: String,
    pub display_name: String,
    pub real_name: String,
    pub image: String,
    pub tz: String,
    pub is_bot: bool,
    pub deleted: bool,
    /// The app and the bot id of a bot.
    pub bot: Option<(Id, Id)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Public,
    Private,
    Dm,
}

pub(super) struct Channel {
    pub id: Id,
    pub team: Id,
    /// Other workspaces that share it (Slack Connect).
    pub shared: BTreeSet<Id>,
    pub name: String,
    pub previous: Vec<String>,
    pub kind: Kind,
    pub creator: Id,
    pub created: i64,
    pub members: Vec<Id>,
    pub archived: bool,
    pub topic: Value,
    pub purpose: Value,
    /// By `ts`.
    pub messages: BTreeMap<String, Message>,
}

/// A message: its JSON as Slack stores it, without what is computed when it is shown (replies, reactions).
#[derive(Clone)]
pub(super) struct Message {
    pub body: Map<String, Value>,
    pub reactions: Vec<(String, Vec<Id>)>,
    /// Metadata is shown only to whoever may read it.
    pub metadata: Value,
}

pub(super) struct File {
    pub team: Id,
    pub user: Id,
    pub name: String,
    pub title: String,
    pub mime: String,
    pub alt: Option<String>,
    pub created: i64,
    /// What was announced, in bytes.
    pub length: usize,
    pub bytes: Option<Vec<u8>>,
    pub completed: bool,
    /// Channel, and `ts` of the message there.
    pub shares: Vec<(Id, String)>,
    pub public_secret: Option<String>,
    pub secret: String,
    /// Laid over the JSON: `mode`, `is_external`, `file_access` and the like.
    pub patch: Value,
}

pub(super) struct Group {
    pub id: Id,
    pub team: Id,
    pub handle: String,
    pub name: String,
    pub users: Vec<Id>,
}

#[derive(Clone)]
pub(super) struct Install {
    pub app: Id,
    pub team: Id,
    pub bot_user: Id,
    pub bot_id: Id,
    pub scopes: Vec<String>,
    pub active: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    Bot,
    Person,
    App,
}

#[derive(Clone)]
pub(super) struct Token {
    pub holder: Holder,
    pub app: Id,
    pub team: Id,
    pub user: Id,
    pub bot_id: Id,
    pub scopes: Vec<String>,
    /// The error that it gives since it died.
    pub dead: Option<&'static str>,
    /// Microseconds since 1970.
    pub expires: Option<i64>,
}

pub(super) struct Refresh {
    pub token: Token,
    pub used: bool,
}

pub(super) struct Code {
    pub app: Id,
    pub team: Id,
    pub by: Id,
    pub scopes: Vec<String>,
    pub user_scopes: Vec<String>,
    pub redirect: Option<String>,
    pub made: i64,
    pub used: bool,
}

impl State {
    /// A new id: a letter and nine characters, in the order of creation.
    pub fn id(&mut self, letter: &str) -> Id {
        self.serial += 1;
        format!("{letter}0{}", base36(36_u64.pow(7) * 10 + self.serial * 1297))
    }

    /// A new `ts`: unique, and later than every one before.
    pub fn ts(&mut self) -> String {
        self.last = self.now.max(self.last + 1);
        ts(self.last)
    }

    /// A new token of that prefix, with the workspace's digits in it as Slack's have.
    pub fn token(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{}-{}-{}", 2_000_000_000_000 + self.serial, 4_000_000_000_000 + self.serial, random(24))
    }

    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.get(id)
    }

    /// The person of that name in a workspace.
    pub fn person(&self, team: &str, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.team == team && user.name == name)
    }

    /// The channel of that name or id that a workspace sees.
    pub fn room(&self, team: &str, name: &str) -> Option<&Channel> {
        let name = name.trim_start_matches('#');
        let named = |channel: &&Channel| channel.id == name || (channel.name == name && !name.is_empty());
        self.channels.values().find(|channel| channel.seen_by(team) && named(channel))
    }

    pub fn install(&self, app: &str, team: &str) -> Option<&Install> {
        self.installs.iter().find(|install| install.app == app && install.team == team)
    }

    /// A message as it is shown in a history or in an event.
    pub fn shown(&self, channel: &Channel, ts: &str, metadata: bool) -> Option<Value> {
        let message = channel.messages.get(ts)?;
        let mut body = message.body.clone();
        if metadata && !message.metadata.is_null() {
            body.insert("metadata".into(), message.metadata.clone());
        }
        if !message.reactions.is_empty() {
            let list = message.reactions.iter();
            let list = list.map(|(name, users)| json!({ "name": name, "users": users, "count": users.len() }));
            body.insert("reactions".into(), list.collect());
        }
        let replies: Vec<&Message> = channel.replies(ts).collect();
        if let Some(latest) = replies.last() {
            let mut users: Vec<&Value> = replies.iter().filter_map(|reply| reply.body.get("user")).collect();
            users.dedup();
            body.insert("thread_ts".into(), json!(ts));
            body.insert("reply_count".into(), json!(replies.len()));
            body.insert("reply_users_count".into(), json!(users.len()));
            body.insert("reply_users".into(), json!(users));
            body.insert("latest_reply".into(), latest.body["ts"].clone());
            body.insert("is_locked".into(), json!(false));
            body.insert("subscribed".into(), json!(false));
        }
        Some(body.into())
    }
}

impl Channel {
    pub fn seen_by(&self, team: &str) -> bool {
        self.team == team || self.shared.contains(team)
    }

    pub fn has(&self, user: &str) -> bool {
        self.members.iter().any(|member| member == user)
    }

    /// Replies in the thread under that message, oldest first.
    pub fn replies(&self, parent: &str) -> impl Iterator<Item = &Message> {
        let parent = parent.to_owned();
        let is_reply = move |message: &&Message| message.thread() == Some(&parent) && message.ts() != parent;
        self.messages.values().filter(is_reply)
    }

    /// The scope that reading its messages or its data needs: `history` or `read`.
    pub fn scope(&self, what: &str) -> String {
        let family = match self.kind {
            Kind::Public => "channels",
            Kind::Private => "groups",
            Kind::Dm => "im",
        };
        format!("{family}:{what}")
    }

    /// `channel_type` of message events.
    pub fn channel_type(&self) -> &'static str {
        match self.kind {
            Kind::Public => "channel",
            Kind::Private => "group",
            Kind::Dm => "im",
        }
    }

    /// As `conversations.*` shows it to that user.
    pub fn json(&self, viewer: &str, team: &str) -> Value {
        let seconds = self.created / 1_000_000;
        if self.kind == Kind::Dm {
            let other = self.members.iter().find(|member| *member != viewer);
            return json!({
                "id": self.id, "created": seconds, "is_archived": self.archived, "is_im": true,
                "is_org_shared": false, "context_team_id": team, "updated": self.created / 1000, "user": other,
                "is_user_deleted": false, "priority": 0,
            });
        }
        let teams: Vec<&Id> = [&self.team].into_iter().chain(&self.shared).collect();
        json!({
            "id": self.id, "name": self.name, "is_channel": true, "is_group": false, "is_im": false,
            "is_mpim": false, "is_private": self.kind == Kind::Private, "created": seconds,
            "is_archived": self.archived, "is_general": self.name == "general", "unlinked": 0,
            "name_normalized": self.name, "is_shared": !self.shared.is_empty(), "is_org_shared": false,
            "is_pending_ext_shared": false, "pending_shared": [], "context_team_id": team,
            "updated": self.created / 1000, "parent_conversation": null, "creator": self.creator,
            "is_ext_shared": !self.shared.is_empty(), "shared_team_ids": teams, "pending_connected_team_ids": [],
            "is_member": self.has(viewer), "topic": self.topic, "purpose": self.purpose,
            "previous_names": self.previous,
        })
    }
}

impl Message {
    pub fn new(body: Value) -> Self {
        let Value::Object(mut body) = body else { panic!("a message is an object") };
        body.retain(|_, value| !value.is_null());
        Self { body, reactions: Vec::new(), metadata: Value::Null }
    }

    pub fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn ts(&self) -> &str {
        self.text("ts")
    }

    pub fn thread(&self) -> Option<&str> {
        self.body.get("thread_ts").and_then(Value::as_str)
    }

    pub fn subtype(&self) -> &str {
        self.text("subtype")
    }

    /// Whether it stands in the channel itself: no reply in a thread, or one that is shown in the channel, too.
    pub fn in_channel(&self) -> bool {
        self.thread().is_none_or(|thread| thread == self.ts()) || self.subtype() == "thread_broadcast"
    }
}

impl User {
    pub fn json(&self) -> Value {
        let mut profile = json!({
            "display_name": self.display_name, "display_name_normalized": self.display_name,
            "real_name": self.real_name, "real_name_normalized": self.real_name, "team": self.team,
            "avatar_hash": "g1", "status_text": "", "status_emoji": "",
        });
        for size in [24, 32, 48, 72, 192, 512] {
            profile[format!("image_{size}")] = json!(format!("{}?size={size}", self.image));
        }
        if let Some((app, bot)) = &self.bot {
            profile["api_app_id"] = json!(app);
            profile["bot_id"] = json!(bot);
        }
        let mut user = json!({
            "id": self.id, "team_id": self.team, "name": self.name, "deleted": self.deleted, "profile": profile,
            "is_bot": self.is_bot, "is_app_user": false, "updated": 1_700_000_000,
        });
        if !self.deleted {
            user["real_name"] = json!(self.real_name);
            user["tz"] = json!(self.tz);
            user["is_admin"] = json!(false);
            user["is_owner"] = json!(false);
            user["is_restricted"] = json!(false);
        }
        user
    }
}

pub(super) fn ts(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The microseconds of a `ts`, where it is one.
pub(super) fn micros(ts: &str) -> Option<i64> {
    let (seconds, micros) = ts.split_once('.').unwrap_or((ts, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(micros) || micros.len() > 6 {
        return None;
    }
    Some(seconds.parse::<i64>().ok()? * 1_000_000 + format!("{micros:0<6}").parse::<i64>().ok()?)
}

/// That many letters and digits that nobody can guess.
pub(super) fn random(length: usize) -> String {
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ab";
    bytes.iter().map(|byte| LETTERS[usize::from(byte % 64)] as char).collect()
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(number % 36) as usize]);
        number /= 36;
    }
    digits.iter().rev().map(|digit| *digit as char).collect()
}
