//! What can be done in a world of Slack, whoever does it: post, edit, delete, react, join, leave, share a file. Each deed
//! changes the model and tells the apps that may know.

use serde_json::{Map, Value, json};

use super::call::Later;
use super::events::Audience;
use super::model::{File, Id, Kind, Message, State, random};

impl State {
    /// Posts a message: fills in `type` and `ts`, keeps it, tells it; gives its `ts`.
    pub fn post(&mut self, channel: &str, mut body: Map<String, Value>, metadata: Value) -> String {
        let ts = self.ts();
        body.insert("type".into(), json!("message"));
        body.insert("ts".into(), json!(ts));
        if let Some(thread) = body.get("thread_ts").and_then(Value::as_str).map(str::to_owned)
            && body.get("subtype").is_some_and(|subtype| subtype == "thread_broadcast")
        {
            let room = &self.channels[channel];
            let root = self.shown(room, &thread, false);
            body.insert("root".into(), root.unwrap_or_default());
        }
        let mut message = Message::new(body.into());
        message.metadata = metadata;
        let parent = message.thread().and_then(|parent| self.channels[channel].messages.get(parent));
        if let Some(author) = parent.and_then(|parent| parent.body.get("user")).cloned() {
            message.body.insert("parent_user_id".into(), author);
        }
        self.channel(channel).messages.insert(ts.clone(), message);
        let mut event = self.channels[channel].messages[&ts].body.clone();
        event.insert("channel".into(), json!(channel));
        event.insert("channel_type".into(), json!(self.channels[channel].channel_type()));
        event.insert("event_ts".into(), json!(ts));
        self.tell_with(&Audience::Message(channel), event.into(), &self.metadata(channel, &ts));
        ts
    }

    /// Somebody changes a message: fields given replace those there are. Without `by` nobody sees that it was edited.
    /// Empty metadata removes what there is.
    pub fn edit(&mut self, channel: &str, ts: &str, by: Option<&str>, body: Map<String, Value>, metadata: Value) {
        let before = self.bare(channel, ts);
        let edited = format!("{}.000000", self.now / 1_000_000);
        let message = self.message(channel, ts);
        for (key, value) in body {
            message.body.insert(key, value);
        }
        if let Some(by) = by {
            message.body.insert("edited".into(), json!({ "user": by, "ts": edited }));
        }
        match metadata {
            Value::Null => {}
            Value::Object(map) if map.is_empty() => message.metadata = Value::Null,
            metadata => message.metadata = metadata,
        }
        self.changed(channel, ts, before);
    }

    /// A message changes though nobody edited it: a link's preview, a counter, a tombstone.
    pub fn changes(&mut self, channel: &str, ts: &str, fields: Map<String, Value>) {
        let before = self.bare(channel, ts);
        self.message(channel, ts).body.extend(fields);
        self.changed(channel, ts, before);
    }

    /// A message goes; a thread's parent leaves a tombstone.
    pub fn delete(&mut self, channel: &str, ts: &str) {
        if self.channels[channel].replies(ts).next().is_some() {
            let before = self.bare(channel, ts);
            let tomb = json!({
                "type": "message", "subtype": "tombstone", "text": "This message was deleted.", "user": "USLACKBOT",
                "hidden": true, "ts": ts, "thread_ts": ts,
            });
            *self.message(channel, ts) = Message::new(tomb);
            return self.changed(channel, ts, before);
        }
        let before = self.bare(channel, ts);
        self.channel(channel).messages.remove(ts);
        let at = self.ts();
        let event = json!({
            "type": "message", "subtype": "message_deleted", "hidden": true, "channel": channel,
            "channel_type": self.channels[channel].channel_type(), "ts": at, "event_ts": at, "deleted_ts": ts,
            "previous_message": before,
        });
        self.tell(&Audience::Message(channel), event);
    }

    /// False: that user had reacted so already.
    pub fn react(&mut self, channel: &str, ts: &str, user: &str, name: &str) -> bool {
        let reactions = &mut self.message(channel, ts).reactions;
        match reactions.iter_mut().find(|(known, _)| known == name) {
            Some((_, users)) if users.iter().any(|known| known == user) => return false,
            Some((_, users)) => users.push(user.to_owned()),
            None => reactions.push((name.to_owned(), vec![user.to_owned()])),
        }
        self.reacted("reaction_added", channel, ts, user, name);
        true
    }

    /// False: that user had not reacted so.
    pub fn unreact(&mut self, channel: &str, ts: &str, user: &str, name: &str) -> bool {
        let reactions = &mut self.message(channel, ts).reactions;
        let Some((_, users)) = reactions.iter_mut().find(|(known, _)| known == name) else { return false };
        let before = users.len();
        users.retain(|known| known != user);
        if users.len() == before {
            return false;
        }
        reactions.retain(|(_, users)| !users.is_empty());
        self.reacted("reaction_removed", channel, ts, user, name);
        true
    }

    /// Somebody comes into a channel.
    pub fn joins(&mut self, channel: &str, user: &str) {
        if self.channels[channel].has(user) {
            return;
        }
        self.channel(channel).members.push(user.to_owned());
        self.notice(channel, user, "join", "has joined the channel", json!({}));
        self.membership("member_joined_channel", channel, user);
    }

    /// Somebody leaves a channel, or is removed.
    pub fn leaves(&mut self, channel: &str, user: &str) {
        if !self.channels[channel].has(user) {
            return;
        }
        self.notice(channel, user, "leave", "has left the channel", json!({}));
        self.membership("member_left_channel", channel, user);
        self.channel(channel).members.retain(|member| member != user);
        if let Some((app, _)) = self.users.get(user).and_then(|user| user.bot.clone()) {
            let (team, at) = (self.users[user].team.clone(), self.ts());
            let private = self.channels[channel].kind == Kind::Private;
            let kind = if private { "group_left" } else { "channel_left" };
            let event = json!({ "type": kind, "channel": channel, "actor_id": user, "event_ts": at });
            self.tell(&Audience::Install(&app, &team), event);
        }
    }

    /// A line that Slack itself writes into a channel: `channel_join`, `group_topic` and so on.
    pub fn notice(&mut self, channel: &str, user: &str, what: &str, words: &str, more: Value) {
        let family = if self.channels[channel].kind == Kind::Private { "group" } else { "channel" };
        let mut body = json!({ "subtype": format!("{family}_{what}"), "user": user,
            "text": format!("<@{user}> {words}") });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let Value::Object(body) = body else { return };
        self.post(channel, body, Value::Null);
    }

    /// A new file, of which nothing is known but its name and length in bytes.
    pub fn new_file(&mut self, team: &str, user: &str, name: &str, length: usize) -> Id {
        let id = self.id("F");
        let file = File {
            team: team.to_owned(),
            user: user.to_owned(),
            name: name.to_owned(),
            title: name.to_owned(),
            mime: mime(name).to_owned(),
            alt: None,
            created: self.now,
            length,
            bytes: None,
            completed: false,
            shares: Vec::new(),
            public_secret: None,
            secret: random(10),
            patch: json!({}),
        };
        self.files.insert(id.clone(), file);
        id
    }

    /// What was put off until after the answer.
    pub fn does(&mut self, later: Later) {
        let Later::Share { files, channels, thread, comment, user } = later;
        for channel in channels {
            if self.channels.contains_key(&channel) {
                self.share(&channel, &user, &comment, &files, thread.as_deref());
            }
        }
    }

    /// Somebody shares files in a channel; gives the message's `ts`.
    pub fn share(&mut self, channel: &str, user: &str, text: &str, files: &[Id], thread: Option<&str>) -> String {
        let shown: Vec<Value> = files.iter().map(|id| self.file(id)).collect();
        let text = super::mrkdwn::stored(text);
        let mut body = json!({
            "subtype": "file_share", "user": user, "text": text, "files": shown, "upload": false,
            "display_as_bot": false, "thread_ts": thread,
        });
        if !text.is_empty() {
            body["blocks"] = super::mrkdwn::blocks(&text);
        }
        if let Some((app, bot)) = self.users.get(user).and_then(|user| user.bot.clone()) {
            body["bot_id"] = json!(bot);
            body["app_id"] = json!(app);
        }
        let Value::Object(body) = body else { unreachable!("it was made as one") };
        let ts = self.post(channel, Message::new(body.into()).body, Value::Null);
        for id in files {
            if let Some(file) = self.files.get_mut(id) {
                file.shares.push((channel.to_owned(), ts.clone()));
            }
        }
        ts
    }

    /// Whether a file is one that this user of that workspace sees.
    pub fn may_see(&self, file: &File, team: &str, user: &str) -> bool {
        let shared = |(id, _): &(Id, String)| {
            self.channels.get(id).is_some_and(|channel| channel.seen_by(team) && channel.has(user))
        };
        file.user == user || file.shares.iter().any(shared)
    }

    /// A file as it is shown in a message.
    pub fn file(&self, id: &str) -> Value {
        let file = &self.files[id];
        let (base, team) = (&self.base, &file.team);
        let name = url::form_urlencoded::byte_serialize(file.name.as_bytes()).collect::<String>().replace('+', "_");
        let domain = &self.teams[team].domain;
        let mut shown = json!({
            "id": id, "created": file.created / 1_000_000, "timestamp": file.created / 1_000_000, "name": file.name,
            "title": file.title, "mimetype": file.mime, "filetype": file.name.rsplit('.').next(),
            "pretty_type": "File", "user": file.user, "user_team": team, "editable": false, "size": file.length,
            "mode": "hosted", "is_external": false, "external_type": "", "is_public": file.public_secret.is_some(),
            "public_url_shared": file.public_secret.is_some(), "display_as_bot": false, "username": "",
            "url_private": format!("{base}/files-pri/{team}-{id}/{name}"),
            "url_private_download": format!("{base}/files-pri/{team}-{id}/download/{name}"),
            "permalink": format!("https://{domain}.slack.com/files/{}/{id}/{name}", file.user),
            "permalink_public": format!("{base}/{team}-{id}-{}", file.secret),
            "has_rich_preview": false, "file_access": "visible",
        });
        if let Some(alt) = &file.alt {
            shown["alt_txt"] = json!(alt);
        }
        if file.mime.starts_with("image/") {
            shown["original_w"] = json!(640);
            shown["original_h"] = json!(480);
        }
        if let (Some(shown), Value::Object(patch)) = (shown.as_object_mut(), file.patch.clone()) {
            shown.extend(patch);
        }
        shown
    }

    /// A file as `files.info` shows it: where it is shared, too, and whatever a share in a message left out.
    pub fn full_file(&self, id: &str) -> Value {
        let (mut shown, file) = (self.file(id), &self.files[id]);
        let mut shares = json!({});
        for (channel, ts) in &file.shares {
            let room = &self.channels[channel];
            let kind = if room.kind == Kind::Public { "public" } else { "private" };
            let share = json!({
                "reply_users": [], "reply_users_count": 0, "reply_count": 0, "ts": ts, "channel_name": room.name,
                "team_id": room.team, "share_user_id": file.user,
            });
            if shares[kind][channel].is_null() {
                shares[kind][channel] = json!([]);
            }
            shares[kind][channel].as_array_mut().expect("made above").push(share);
        }
        shown["shares"] = shares;
        if shown["file_access"] == "check_file_info" {
            shown["file_access"] = json!("visible");
        }
        shown
    }

    fn changed(&mut self, channel: &str, ts: &str, before: Value) {
        let (after, at) = (self.bare(channel, ts), self.ts());
        let event = json!({
            "type": "message", "subtype": "message_changed", "hidden": true, "channel": channel,
            "channel_type": self.channels[channel].channel_type(), "ts": at, "event_ts": at, "message": after,
            "previous_message": before,
        });
        let metadata = self.metadata(channel, ts);
        self.tell_with(&Audience::Message(channel), event, &metadata);
    }

    fn reacted(&mut self, kind: &str, channel: &str, ts: &str, user: &str, name: &str) {
        let at = self.ts();
        let author = self.channels[channel].messages[ts].body.get("user").cloned();
        let mut event = json!({
            "type": kind, "user": user, "reaction": name, "event_ts": at,
            "item": { "type": "message", "channel": channel, "ts": ts },
        });
        if let Some(author) = author {
            event["item_user"] = author;
        }
        self.tell(&Audience::Member(channel, "reactions:read"), event);
    }

    fn membership(&mut self, kind: &str, channel: &str, user: &str) {
        let (at, room) = (self.ts(), &self.channels[channel]);
        let letter = if room.kind == Kind::Private { "G" } else { "C" };
        let scope = room.scope("read");
        let event = json!({
            "type": kind, "user": user, "channel": channel, "channel_type": letter, "team": room.team,
            "event_ts": at,
        });
        self.tell(&Audience::Member(channel, &scope), event);
    }

    /// A message without what is computed, as in `message_changed`.
    fn bare(&self, channel: &str, ts: &str) -> Value {
        let body = self.channels[channel].messages.get(ts).map(|message| message.body.clone());
        body.unwrap_or_default().into()
    }

    fn metadata(&self, channel: &str, ts: &str) -> Value {
        self.channels[channel].messages.get(ts).map(|message| message.metadata.clone()).unwrap_or_default()
    }

    pub fn channel(&mut self, id: &str) -> &mut super::model::Channel {
        self.channels.get_mut(id).expect("a channel of this world")
    }

    fn message(&mut self, channel: &str, ts: &str) -> &mut Message {
        self.channel(channel).messages.get_mut(ts).expect("a message of this channel")
    }
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "html" => "text/html",
        _ => "application/octet-stream",
    }
}
