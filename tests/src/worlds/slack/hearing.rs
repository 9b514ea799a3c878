//! What a test reads: what rooms show, what was called, what was pushed; and waiting for it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Slack;
use super::ledger::{Call, Push};
use super::model::{Channel, Message, State};
use super::people::Said;
use crate::worlds::lines;

impl Slack {
    /// Every message of a room, oldest first, replies in threads among them.
    pub fn messages(&self, room: &str) -> Vec<Said> {
        let id = self.id_of(room);
        self.shared.look(|state| said(state, &state.channels[&id]))
    }

    /// The replies in a thread, oldest first.
    pub fn thread(&self, room: &str, parent: &str) -> Vec<Said> {
        let in_thread = |said: &Said| said.thread_ts.as_deref() == Some(parent) && said.ts != parent;
        self.messages(room).into_iter().filter(in_thread).collect()
    }

    /// A message as `conversations.history` would give it, with its metadata.
    pub fn message(&self, room: &str, ts: &str) -> Option<Value> {
        let id = self.id_of(room);
        self.shared.look(|state| state.shown(&state.channels[&id], ts, true))
    }

    /// Waits until a room hears these words by that author from the app, not heard before; gives the message's `ts`.
    pub async fn hears(&self, room: &str, who: &str, text: &str) -> String {
        self.hears_what(room, &format!("{who}: {text}"), |said| said.who == who && said.text == text).await.ts
    }

    /// Likewise, in the thread under that message.
    pub async fn hears_reply(&self, room: &str, parent: &str, who: &str, text: &str) -> String {
        let wanted = |said: &Said| said.who == who && said.text == text && said.thread_ts.as_deref() == Some(parent);
        self.hears_what(room, &format!("{who}: {text} (under {parent})"), wanted).await.ts
    }

    /// Waits until a room hears something by the app that `wanted` wants, not heard before.
    pub async fn hears_what(&self, room: &str, name: &str, wanted: impl Fn(&Said) -> bool) -> Said {
        let id = self.id_of(room);
        let look = |state: &mut State| {
            let list = said(state, &state.channels[&id]);
            let fresh = |one: &&Said| !state.ledger.heard.contains(&(id.clone(), one.ts.clone()));
            let found = list.iter().filter(fresh).find(|one| one.app.as_ref() == Some(&self.app) && wanted(one))?;
            state.ledger.heard.insert((id.clone(), found.ts.clone()));
            Some(found.clone())
        };
        let tell = |state: &State| {
            let heard = said(state, &state.channels[&id]);
            let heard = heard.iter().map(|one| (&one.who, &one.text, &one.thread_ts));
            format!("{room} to hear `{name}`; it heard{}", lines(heard))
        };
        self.shared.until(look, tell).await
    }

    /// Waits until a room shows this, and no more: author and text of every message, oldest first, Slack's own notices
    /// left out.
    pub async fn shows(&self, room: &str, wanted: &[(&str, &str)]) {
        let id = self.id_of(room);
        let shown = |state: &State| -> Vec<(String, String)> {
            let own = |one: &Said| !(one.subtype.starts_with("channel_") || one.subtype.starts_with("group_"));
            said(state, &state.channels[&id]).into_iter().filter(own).map(|one| (one.who, one.text)).collect()
        };
        let look = |state: &mut State| {
            let shown = shown(state);
            shown.iter().map(|(who, text)| (who.as_str(), text.as_str())).eq(wanted.iter().copied()).then_some(())
        };
        let tell = |state: &State| format!("{room} to show {wanted:?}; it shows{}", lines(shown(state)));
        self.shared.until(look, tell).await;
    }

    /// Waits until a message has that reaction by the bot.
    pub async fn is_reacted(&self, room: &str, ts: &str, emoji: &str) {
        let (id, bot) = (self.id_of(room), self.bot());
        let look = |state: &mut State| {
            let reactions = &state.channels[&id].messages.get(ts)?.reactions;
            reactions.iter().any(|(name, users)| name == emoji && users.contains(&bot)).then_some(())
        };
        self.shared.until(look, |_| format!("{ts} in {room} to be reacted to with {emoji}")).await;
    }

    /// What the app told somebody alone in a room.
    pub fn whispers(&self, room: &str, who: &str) -> Vec<String> {
        let (id, user) = (self.id_of(room), self.person(who));
        self.shared.look(|state| {
            let told = state.ledger.whispers.iter().filter(|(channel, to, _)| *channel == id && *to == user);
            told.map(|(_, _, text)| text.clone()).collect()
        })
    }

    /// The bytes of a file that was uploaded.
    pub fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        self.shared.look(|state| state.files.get(file).and_then(|file| file.bytes.clone()))
    }

    /// The ids of who is in a room.
    pub fn members(&self, room: &str) -> BTreeSet<String> {
        let id = self.id_of(room);
        self.shared.look(|state| state.channels[&id].members.iter().cloned().collect())
    }

    /// Every call of a method, whatever became of it; `*` is every method.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        let wanted = |call: &&Call| method == "*" || call.method == method;
        self.shared.look(|state| state.ledger.calls.iter().filter(wanted).cloned().collect())
    }

    /// Waits until a method was called so often.
    pub async fn is_called(&self, method: &str, times: usize) {
        let count = |state: &State| state.ledger.calls.iter().filter(|call| call.method == method).count();
        let tell = |state: &State| format!("{method} to be called {times} times; so far {}", count(state));
        self.shared.until(|state| (count(state) >= times).then_some(()), tell).await;
    }

    /// What Slack puts up with and a good client does not do, in the order it happened.
    pub fn odd(&self) -> Vec<String> {
        self.shared.look(|state| state.ledger.calls.iter().flat_map(|call| call.odd.clone()).collect())
    }

    /// Every attempt to deliver an event.
    pub fn pushes(&self) -> Vec<Push> {
        self.shared.look(|state| state.ledger.pushes.clone())
    }

    /// Waits until all events are delivered or given up. Held ones are not waited for.
    pub async fn settled(&self) {
        let look = |state: &mut State| {
            let pushes = &state.pushes;
            (pushes.done == pushes.sent && pushes.retrying == 0).then_some(())
        };
        let tell = |state: &State| {
            let pushes = &state.pushes;
            let tried = lines(state.ledger.pushes.iter().map(|push| (&push.kind, push.attempt, push.status)));
            format!("{} events to be delivered, {} are; tried{tried}", pushes.sent, pushes.done)
        };
        self.shared.until(look, tell).await;
    }

    /// The whole ledger as JSON.
    pub fn dump(&self) -> Value {
        self.shared.look(|state| {
            let calls: Vec<Value> = state.ledger.calls.iter().map(Call::json).collect();
            let pushes: Vec<Value> = state.ledger.pushes.iter().map(Push::json).collect();
            json!({ "calls": calls, "pushes": pushes })
        })
    }
}

fn said(state: &State, channel: &Channel) -> Vec<Said> {
    channel.messages.values().map(|message| one(state, message)).collect()
}

fn one(state: &State, message: &Message) -> Said {
    let user = state.users.get(message.text("user"));
    let named = user.map(|user| if user.display_name.is_empty() { &user.real_name } else { &user.display_name });
    let who = message.body.get("username").and_then(Value::as_str);
    let who = who.map_or_else(|| named.cloned().unwrap_or_else(|| message.text("user").to_owned()), str::to_owned);
    let text = |key: &str| message.body.get(key).and_then(Value::as_str).map(str::to_owned);
    let files = message.body.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
    Said {
        ts: message.ts().to_owned(),
        who,
        text: message.text("text").to_owned(),
        thread_ts: text("thread_ts"),
        subtype: message.subtype().to_owned(),
        files: files.iter().filter_map(|file| file["name"].as_str().map(str::to_owned)).collect(),
        reactions: message.reactions.iter().map(|(name, users)| (name.clone(), users.len())).collect(),
        edited: message.body.contains_key("edited"),
        app: text("app_id"),
    }
}
