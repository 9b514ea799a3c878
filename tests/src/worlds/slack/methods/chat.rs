//! `chat.*`: what an app posts, edits and deletes.

use serde_json::{Map, Value, json};

use crate::worlds::slack::call::{Call, Done, Refusal, bad, no};
use crate::worlds::slack::model::{Channel, Holder, Id, Kind, Message};
use crate::worlds::slack::mrkdwn;

/// Longer text is cut. <https://api.slack.com/changelog/2018-04-truncating-really-long-messages>.
const CHARACTERS: usize = 40_000;
/// Longer text is refused by `chat.update`: "The `text` field cannot exceed 4,000 characters"
/// (<https://docs.slack.dev/reference/methods/chat.update>, `msg_too_long`). What was posted longer can't be edited.
const UPDATE_CHARACTERS: usize = 4_000;

pub(in super::super) fn post(call: &mut Call<'_>) -> Done {
    call.scope("chat:write")?;
    if call.flag("as_user")? {
        return no("as_user_not_supported");
    }
    let channel = writable(call)?;
    let mut body = author(call)?;
    content(call, &mut body, true)?;
    if let Some(thread) = thread(call, &channel)? {
        body.insert("thread_ts".into(), json!(thread));
        if call.flag("reply_broadcast")? {
            body.insert("subtype".into(), json!("thread_broadcast"));
        }
    }
    let metadata = metadata(call)?;
    let ts = call.state.post(&channel, body, metadata);
    let message = stored(call, &channel, &ts);
    Ok(json!({ "channel": channel, "ts": ts, "message": message }))
}

pub(in super::super) fn me(call: &mut Call<'_>) -> Done {
    call.scope("chat:write")?;
    let channel = writable(call)?;
    let mut body = Map::new();
    body.insert("subtype".into(), json!("me_message"));
    body.insert("user".into(), json!(call.user()));
    body.insert("bot_id".into(), json!(call.token().bot_id));
    content(call, &mut body, true)?;
    body.remove("blocks");
    let ts = call.state.post(&channel, body, Value::Null);
    Ok(json!({ "channel": channel, "ts": ts }))
}

pub(in super::super) fn update(call: &mut Call<'_>) -> Done {
    call.scope("chat:write")?;
    let (channel, ts) = own(call, "cant_update_message")?;
    if call.state.moods.edits_closed {
        return no("edit_window_closed");
    }
    if call.text("text")?.is_some_and(|text| text.chars().count() > UPDATE_CHARACTERS) {
        return no("msg_too_long");
    }
    if call.state.channels[&channel].archived {
        return no("is_inactive");
    }
    let mut body = Map::new();
    content(call, &mut body, false)?;
    // "If blocks are used and a message is being updated, the edited flag will not be displayed on the message".
    let by = call.object("blocks")?.is_null().then(|| call.user());
    let forgets = call.object("metadata")?.as_object().is_some_and(Map::is_empty);
    let metadata = if forgets { json!({}) } else { metadata(call)? };
    call.state.edit(&channel, &ts, by.as_deref(), body, metadata);
    let message = stored(call, &channel, &ts);
    Ok(json!({ "channel": channel, "ts": ts, "text": message["text"], "message": message }))
}

pub(in super::super) fn delete(call: &mut Call<'_>) -> Done {
    call.scope("chat:write")?;
    let (channel, ts) = own(call, "cant_delete_message")?;
    let named = call.state.channels[&channel].messages[&ts].body.contains_key("username");
    if named && call.state.moods.impersonated_stay {
        return no("cant_delete_message");
    }
    call.state.delete(&channel, &ts);
    Ok(json!({ "channel": channel, "ts": ts }))
}

pub(in super::super) fn whisper(call: &mut Call<'_>) -> Done {
    call.scope("chat:write")?;
    let channel = writable(call)?;
    let user = call.need("user")?;
    if !call.state.channels[&channel].has(&user) {
        return no("user_not_in_channel");
    }
    let mut body = Map::new();
    content(call, &mut body, true)?;
    let text = body.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    call.state.ledger.whispers.push((channel, user, text));
    Ok(json!({ "message_ts": call.state.ts() }))
}

pub(in super::super) fn permalink(call: &mut Call<'_>) -> Done {
    let ts = call.need("message_ts")?;
    let channel = call.channel("channel")?;
    let Some(message) = channel.messages.get(&ts) else { return no("message_not_found") };
    let domain = &call.state.teams[&channel.team].domain;
    let mut link = format!("https://{domain}.slack.com/archives/{}/p{}", channel.id, ts.replace('.', ""));
    if let Some(thread) = message.thread().filter(|thread| *thread != ts) {
        link.push_str(&format!("?thread_ts={thread}&cid={}", channel.id));
    }
    Ok(json!({ "channel": channel.id, "permalink": link }))
}

/// The channel, where the caller may write.
pub(super) fn may_write(call: &Call<'_>, channel: &Channel) -> Result<Id, Refusal> {
    if channel.archived {
        return no("is_archived");
    }
    let public = channel.kind == Kind::Public && call.may("chat:write.public");
    if !channel.has(&call.token().user) && !public {
        return no("not_in_channel");
    }
    Ok(channel.id.clone())
}

fn writable(call: &Call<'_>) -> Result<Id, Refusal> {
    may_write(call, call.channel("channel")?)
}

/// A message of the caller's own.
fn own(call: &Call<'_>, error: &str) -> Result<(Id, String), Refusal> {
    let channel = call.channel("channel")?;
    let ts = call.need("ts")?;
    let Some(message) = channel.messages.get(&ts) else { return no("message_not_found") };
    if message.subtype() == "tombstone" {
        return no("message_not_found");
    }
    let token = call.token();
    let by_bot = token.holder == Holder::Bot && message.text("bot_id") == token.bot_id;
    let by_person = token.holder == Holder::Person && message.text("user") == token.user;
    if !by_bot && !by_person {
        return no(error);
    }
    Ok((channel.id.clone(), ts))
}

/// The parent that `thread_ts` names. Slack takes a reply's `ts`, too, and makes a thread that nobody finds; here that
/// is refused.
pub(super) fn thread(call: &mut Call<'_>, channel: &str) -> Result<Option<String>, Refusal> {
    let Some(thread) = call.text("thread_ts")?.filter(|thread| !thread.is_empty()) else { return Ok(None) };
    let Some(parent) = call.state.channels[channel].messages.get(&thread) else { return no("thread_not_found") };
    if parent.subtype().starts_with("channel_") || parent.subtype().starts_with("group_") {
        return no("cannot_reply_to_message");
    }
    if parent.thread().is_some_and(|of| of != thread) {
        call.odd.push(format!("thread_ts {thread} is a reply's, not a parent's"));
        return no("cannot_reply_to_message");
    }
    Ok(Some(thread))
}

/// Who it is by: the bot, under another name where the call says so and the app may.
fn author(call: &mut Call<'_>) -> Result<Map<String, Value>, Refusal> {
    let token = call.token().clone();
    let mut body = Map::new();
    if token.holder == Holder::Person {
        body.insert("user".into(), json!(token.user));
        body.insert("app_id".into(), json!(token.app));
        return Ok(body);
    }
    body.insert("bot_id".into(), json!(token.bot_id));
    body.insert("app_id".into(), json!(token.app));
    let (name, url, emoji) = (call.text("username")?, call.text("icon_url")?, call.text("icon_emoji")?);
    if let Some(url) = &url
        && !url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
    {
        return bad("icon_url must be a URL [json-pointer:/icon_url]");
    }
    let given = name.is_some() || url.is_some() || emoji.is_some();
    if given && !call.may("chat:write.customize") {
        call.odd.push("username and icon are ignored without chat:write.customize".into());
    }
    if given && call.may("chat:write.customize") {
        body.insert("subtype".into(), json!("bot_message"));
        let name = name.unwrap_or_else(|| call.state.users[&token.user].real_name.clone());
        body.insert("username".into(), json!(name));
        match (emoji, url) {
            (Some(emoji), _) => body.insert("icons".into(), json!({ "emoji": emoji })),
            (None, Some(url)) => {
                body.insert("icons".into(), json!({ "image_36": url, "image_48": url, "image_72": url }))
            }
            (None, None) => None,
        };
        return Ok(body);
    }
    let bot = &call.state.users[&token.user];
    body.insert("user".into(), json!(token.user));
    body.insert("team".into(), json!(token.team));
    body.insert(
        "bot_profile".into(),
        json!({
            "id": token.bot_id, "app_id": token.app, "user_id": token.user, "name": bot.real_name, "deleted": false,
            "updated": 1_700_000_000, "team_id": token.team,
            "icons": { "image_36": bot.image, "image_48": bot.image, "image_72": bot.image },
        }),
    );
    Ok(body)
}

/// Text, blocks and attachments. Where the text is too long, it is cut, or refused.
fn content(call: &mut Call<'_>, body: &mut Map<String, Value>, cut: bool) -> Result<(), Refusal> {
    let (blocks, attachments) = (call.object("blocks")?, call.object("attachments")?);
    if !(blocks.is_null() || blocks.is_array()) {
        return no("invalid_blocks_format");
    }
    if blocks.as_array().is_some_and(|list| list.len() > 50 || list.iter().any(|block| !block["type"].is_string())) {
        return no("invalid_blocks");
    }
    if attachments.as_array().is_some_and(|list| list.len() > 100) {
        return no("too_many_attachments");
    }
    let has = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    let mut text = call.text("text")?.unwrap_or_default();
    if text.trim().is_empty() && !has(&blocks) && !has(&attachments) {
        return no("no_text");
    }
    if cut && text.chars().count() > CHARACTERS {
        text = text.chars().take(CHARACTERS).collect();
        call.warnings.push("message_truncated");
        let why =
            "[WARN] Your message was truncated but still posted. The `text` field accepts up to 40,000 characters.";
        call.messages.push(why.into());
    }
    let plain = call.args.get("mrkdwn").is_some() && !call.flag("mrkdwn")?;
    let text = mrkdwn::parsed(&text, &call.text("parse")?.unwrap_or_default());
    if has(&blocks) {
        body.insert("blocks".into(), blocks);
    } else if !plain && !text.is_empty() {
        body.insert("blocks".into(), mrkdwn::blocks(&text));
    }
    body.insert("text".into(), json!(text));
    if has(&attachments) {
        body.insert("attachments".into(), attachments);
    }
    Ok(())
}

fn metadata(call: &Call<'_>) -> Result<Value, Refusal> {
    let metadata = call.object("metadata")?;
    if metadata.is_null() {
        return Ok(metadata);
    }
    let name = metadata["event_type"].as_str().unwrap_or_default();
    let proper = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(proper) || !metadata["event_payload"].is_object() {
        return no("invalid_metadata_format");
    }
    if metadata.to_string().len() > 16 * 1024 {
        return no("metadata_too_large");
    }
    Ok(metadata)
}

fn stored(call: &Call<'_>, channel: &str, ts: &str) -> Value {
    let channel = &call.state.channels[channel];
    let mut message = channel.messages.get(ts).cloned().unwrap_or_else(|| Message::new(json!({})));
    message.body.remove("reactions");
    if !message.metadata.is_null() {
        message.body.insert("metadata".into(), message.metadata);
    }
    message.body.into()
}
