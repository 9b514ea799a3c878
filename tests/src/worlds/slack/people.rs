//! What people do in a workspace, in the order place, who, what: `slack.says("general", "ann", "hi *there*")`. Rooms are
//! named by name or id, people by name; people and their membership are made when they are needed. Everything gives the
//! message's `ts`, and the apps that may know are told.

use serde_json::{Map, Value, json};

use super::Slack;
use super::events::Audience;
use super::model::{Id, Kind, Message, State, random};
use super::mrkdwn;

/// A message as a channel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its id in the channel.
    pub ts: String,
    /// Who is shown as its author: the name an app gave, a display name, a real name.
    pub who: String,
    /// Its text, as Slack keeps it.
    pub text: String,
    /// The parent's, in a thread.
    pub thread_ts: Option<String>,
    /// Its subtype, empty where there is none.
    pub subtype: String,
    /// The names of its files.
    pub files: Vec<String>,
    /// Its reactions: emoji, and how many.
    pub reactions: Vec<(String, usize)>,
    /// Whether it was edited.
    pub edited: bool,
    /// The app that posted it.
    pub app: Option<String>,
}

/// A file that a person uploads.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its name; the type follows from it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Fields of its JSON that differ: `mode`, `is_external`, `url_private`, `file_access`, `mimetype` and the like.
    pub patch: Value,
}

impl Upload {
    /// A file.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.to_vec(), patch: json!({}) }
    }

    /// Likewise, with fields of its JSON that differ.
    pub fn patched(self, patch: Value) -> Self {
        Self { patch, ..self }
    }
}

impl Slack {
    /// Somebody writes something, in Slack's markup.
    pub fn says(&self, room: &str, who: &str, text: &str) -> String {
        self.writes(room, who, text, &json!({}))
    }

    /// Somebody answers in a thread.
    pub fn reply(&self, room: &str, who: &str, parent: &str, text: &str) -> String {
        self.writes(room, who, text, &json!({ "thread_ts": parent }))
    }

    /// Somebody answers in a thread and shows it in the channel, too.
    pub fn broadcasts(&self, room: &str, who: &str, parent: &str, text: &str) -> String {
        self.writes(room, who, text, &json!({ "thread_ts": parent, "subtype": "thread_broadcast" }))
    }

    /// Somebody writes `/me text`.
    pub fn me(&self, room: &str, who: &str, text: &str) -> String {
        self.writes(room, who, text, &json!({ "subtype": "me_message", "blocks": null }))
    }

    /// Somebody writes something with fields of its JSON that differ; null removes one.
    pub fn writes(&self, room: &str, who: &str, text: &str, fields: &Value) -> String {
        let (channel, user) = self.present(room, who);
        let stored = mrkdwn::stored(text);
        let mut body = json!({
            "user": user, "team": self.team, "text": stored, "blocks": mrkdwn::blocks(&stored),
            "client_msg_id": msg_id(),
        });
        lay(&mut body, fields);
        self.shared.with(|state| state.post(&channel, Message::new(body).body, Value::Null))
    }

    /// Another app's bot, or a webhook, writes something.
    pub fn bot_says(&self, room: &str, username: &str, text: &str) -> String {
        let channel = self.id_of(room);
        let body = json!({
            "subtype": "bot_message", "bot_id": "B0OTHER", "username": username, "text": mrkdwn::stored(text),
            "icons": { "emoji": ":robot_face:" },
        });
        self.shared.with(|state| state.post(&channel, Message::new(body).body, Value::Null))
    }

    /// Slack itself, or whatever, writes a message with exactly those fields (`type` and `ts` are filled in).
    pub fn posts(&self, room: &str, body: Value) -> String {
        let channel = self.id_of(room);
        self.shared.with(|state| state.post(&channel, Message::new(body).body, Value::Null))
    }

    /// The author edits a message.
    pub fn edits(&self, room: &str, ts: &str, text: &str) {
        let channel = self.id_of(room);
        let stored = mrkdwn::stored(text);
        let body = fields(json!({ "text": stored, "blocks": mrkdwn::blocks(&stored) }));
        self.shared.with(|state| {
            let author = state.channels[&channel].messages[ts].text("user").to_owned();
            state.edit(&channel, ts, Some(&author), body, Value::Null);
        });
    }

    /// A link in a message gets its preview: the message changes and nobody edited it.
    pub fn unfurls(&self, room: &str, ts: &str, url: &str) {
        let channel = self.id_of(room);
        let preview = json!([{ "from_url": url, "original_url": url, "id": 1, "title": "A page", "fallback": "A page",
            "service_name": "example", "title_link": url, "text": "What the page says." }]);
        self.shared.with(|state| state.changes(&channel, ts, fields(json!({ "attachments": preview }))));
    }

    /// A message is deleted. The parent of a thread leaves a tombstone.
    pub fn deletes(&self, room: &str, ts: &str) {
        let channel = self.id_of(room);
        self.shared.with(|state| state.delete(&channel, ts));
    }

    /// Somebody reacts; false: they had already.
    pub fn reacts(&self, room: &str, who: &str, ts: &str, emoji: &str) -> bool {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| state.react(&channel, ts, &user, emoji))
    }

    /// Somebody takes a reaction back; false: there was none.
    pub fn unreacts(&self, room: &str, who: &str, ts: &str, emoji: &str) -> bool {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| state.unreact(&channel, ts, &user, emoji))
    }

    /// Somebody uploads files, with a text that may be empty.
    pub fn uploads(&self, room: &str, who: &str, text: &str, files: &[Upload]) -> String {
        self.uploads_in(room, who, text, files, None)
    }

    /// Somebody uploads one file without a word.
    pub fn upload(&self, room: &str, who: &str, name: &str, bytes: &[u8]) -> String {
        self.uploads(room, who, "", &[Upload::new(name, bytes)])
    }

    /// Somebody uploads files, in a thread where one is given.
    pub fn uploads_in(&self, room: &str, who: &str, text: &str, files: &[Upload], thread: Option<&str>) -> String {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| {
            let made = files.iter().map(|upload| {
                let id = state.new_file(&self.team, &user, &upload.name, upload.bytes.len());
                let file = state.files.get_mut(&id).expect("it was just made");
                (file.bytes, file.completed) = (Some(upload.bytes.clone()), true);
                file.patch = upload.patch.clone();
                id
            });
            let made: Vec<Id> = made.collect();
            state.share(&channel, &user, text, &made, thread)
        })
    }

    /// Somebody comes into a channel.
    pub fn joins(&self, room: &str, who: &str) {
        let (channel, user) = (self.id_of(room), self.person(who));
        self.shared.with(|state| state.joins(&channel, &user));
    }

    /// Somebody leaves a channel.
    pub fn leaves(&self, room: &str, who: &str) {
        let (channel, user) = (self.id_of(room), self.person(who));
        self.shared.with(|state| state.leaves(&channel, &user));
    }

    /// The bot is invited.
    pub fn invites_bot(&self, room: &str) {
        let (channel, bot) = (self.id_of(room), self.bot());
        self.shared.with(|state| state.joins(&channel, &bot));
    }

    /// The bot is removed.
    pub fn removes_bot(&self, room: &str) {
        let (channel, bot) = (self.id_of(room), self.bot());
        self.shared.with(|state| state.leaves(&channel, &bot));
    }

    /// Somebody sets the topic.
    pub fn sets_topic(&self, room: &str, who: &str, topic: &str) {
        self.sets(room, who, "topic", topic);
    }

    /// Somebody sets the purpose.
    pub fn sets_purpose(&self, room: &str, who: &str, purpose: &str) {
        self.sets(room, who, "purpose", purpose);
    }

    /// Somebody renames a channel. Its id stays.
    pub fn renames(&self, room: &str, who: &str, to: &str) {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| {
            let known = state.channel(&channel);
            let old = std::mem::replace(&mut known.name, to.to_owned());
            known.previous.insert(0, old.clone());
            let (created, words) = (known.created / 1_000_000, format!("has renamed the channel from \"{old}\""));
            let more = json!({ "old_name": old, "name": to });
            state.notice(&channel, &user, "name", &words, more);
            let event = json!({ "channel": { "id": channel, "name": to, "created": created } });
            state.room_event(&channel, "rename", event);
        });
    }

    /// Somebody archives a channel.
    pub fn archives(&self, room: &str, who: &str) {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| {
            state.notice(&channel, &user, "archive", "archived the channel", json!({}));
            state.channel(&channel).archived = true;
            state.room_event(&channel, "archive", json!({ "channel": channel, "user": user, "is_moved": 0 }));
        });
    }

    /// Somebody brings a channel back.
    pub fn unarchives(&self, room: &str, who: &str) {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| {
            state.channel(&channel).archived = false;
            state.room_event(&channel, "unarchive", json!({ "channel": channel, "user": user }));
            state.notice(&channel, &user, "unarchive", "un-archived the channel", json!({}));
        });
    }

    /// Somebody deletes a channel for good.
    pub fn deletes_channel(&self, room: &str) {
        let channel = self.id_of(room);
        self.shared.with(|state| {
            state.room_event(&channel, "deleted", json!({ "channel": channel }));
            state.channels.remove(&channel);
        });
    }

    /// Something happens that this world does not model: an event with those fields, for the app in this workspace. It
    /// is told if the app has subscribed to its `type`.
    pub fn happens(&self, event: Value) {
        self.shared.with(|state| state.tell(&Audience::Install(&self.app, &self.team), event));
    }

    /// The bot's user id.
    pub fn bot(&self) -> String {
        let bot = self.shared.look(|state| state.install(&self.app, &self.team).map(|one| one.bot_user.clone()));
        bot.expect("the app is installed")
    }

    fn sets(&self, room: &str, who: &str, what: &str, value: &str) {
        let (channel, user) = self.present(room, who);
        self.shared.with(|state| {
            let new = json!({ "value": value, "creator": user, "last_set": state.now / 1_000_000 });
            let known = state.channel(&channel);
            *(if what == "topic" { &mut known.topic } else { &mut known.purpose }) = new;
            state.notice(&channel, &user, what, &format!("set the channel {what}: {value}"), json!({ what: value }));
        });
    }

    /// The ids of a room and of somebody in it, who was there all the time.
    fn present(&self, room: &str, who: &str) -> (Id, Id) {
        let (channel, user) = (self.id_of(room), self.person(who));
        self.shared.with(|state| {
            let known = state.channel(&channel);
            if !known.has(&user) {
                known.members.push(user.clone());
            }
        });
        (channel, user)
    }
}

impl State {
    /// `channel_rename` and its like; `group_…` for a private channel.
    fn room_event(&mut self, channel: &str, what: &str, mut event: Value) {
        let family = if self.channels[channel].kind == Kind::Private { "group" } else { "channel" };
        event["type"] = json!(format!("{family}_{what}"));
        self.tell(&Audience::Room(channel), event);
    }
}

fn lay(body: &mut Value, over: &Value) {
    if let (Some(body), Some(over)) = (body.as_object_mut(), over.as_object()) {
        body.extend(over.clone());
    }
}

fn fields(value: Value) -> Map<String, Value> {
    Message::new(value).body
}

fn msg_id() -> String {
    let letters = random(32).to_lowercase();
    [&letters[..8], &letters[8..12], &letters[12..16], &letters[16..20], &letters[20..]].join("-")
}
