//! Channels: listed and entered. Must not know what is said in them.

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Opened, Outcome, RoomKey, Timestamp};
use sameroom_text::names;
use serde_json::{Value, json};

use super::api::Api;
use super::errors::{Fault, Reaction, judge};
use super::settings::Settings;
use super::wire::is_id;
use crate::{Listing, RoomDraft};

/// How many channels a page has; Slack advises no more.
const PAGE: &str = "200";

pub(super) fn list(account: &Opened, cursor: Option<&str>) -> Option<Request<Bytes>> {
    let mut fields = vec![("types", "public_channel,private_channel"), ("exclude_archived", "true"), ("limit", PAGE)];
    let settings = Settings::of(account);
    // An organisation's token sees many workspaces, and has to name one.
    if let (Some(team), Some(_)) = (&settings.team_id, &settings.enterprise_id) {
        fields.push(("team_id", team));
    }
    fields.extend(cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| ("cursor", cursor)));
    Api::of(account).ok()?.form("conversations.list", &fields).ok()
}

pub(super) fn listed(account: &Opened, response: &Response<Bytes>, now: Timestamp) -> Result<Listing, Outcome> {
    let answer = judge(response, now).map_err(Fault::outcome)?;
    let channels = answer.get("channels").and_then(Value::as_array);
    let channels = channels.ok_or_else(|| Outcome::retry("Slack's list of channels could not be read"))?;
    let site = site(account);
    let rooms = channels
        .iter()
        .filter_map(|channel| {
            let text = |name| channel.get(name).and_then(Value::as_str).unwrap_or_default();
            let name = names::clean(text("name"), 80);
            is_id(text("id"), &['C', 'G']).then(|| RoomDraft {
                key: RoomKey::from(text("id")),
                name: if name.is_empty() { text("id").to_owned() } else { format!("#{name}") },
                site: site.clone(),
                settings: Value::Null,
            })
        })
        .collect();
    let next = answer.pointer("/response_metadata/next_cursor").and_then(Value::as_str);
    Ok(Listing { rooms, next: next.filter(|next| !next.is_empty()).map(str::to_owned) })
}

/// Public channels and private ones have ids alike, so all are tried; only direct messages have nothing to join.
pub(super) fn enter(account: &Opened, room: &RoomKey) -> Option<Request<Bytes>> {
    if !is_id(room.as_str(), &['C', 'G']) {
        return None;
    }
    join(account, room).ok()
}

pub(super) fn join(account: &Opened, room: &RoomKey) -> Result<Request<Bytes>, Outcome> {
    Api::of(account)?.json("conversations.join", &json!({ "channel": room.as_str() }))
}

pub(super) fn entered(response: &Response<Bytes>, now: Timestamp) -> Outcome {
    match judge(response, now) {
        Ok(_) => Outcome::done(),
        // A private channel, which nobody can join; and which we only see where we have been invited.
        Err(fault) if fault.error == NO_JOIN => Outcome::done(),
        Err(fault) if fault.reaction == Reaction::Message => Outcome::room_closed(fault.why),
        Err(fault) => fault.outcome(),
    }
}

/// What Slack says of a channel that has no joining.
pub(super) const NO_JOIN: &str = "method_not_supported_for_channel_type";

/// Where rooms are, for people: the workspace's name.
pub(super) fn site(account: &Opened) -> String {
    let name = Settings::of(account).team.filter(|team| !team.is_empty());
    name.unwrap_or_else(|| account.account.identity.name.clone())
}
