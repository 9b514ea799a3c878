//! `conversations.*` and `users.conversations`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::oauth::list_of;
use crate::worlds::slack::call::{Call, Done, Refusal, bad, no};
use crate::worlds::slack::model::{Channel, Id, Kind, Message, micros, ts};

pub(in super::super) fn list(call: &mut Call<'_>) -> Done {
    channels(call, false)
}

pub(in super::super) fn mine(call: &mut Call<'_>) -> Done {
    if let Some(user) = call.text("user")?
        && user != call.user()
    {
        return no("user_not_found");
    }
    channels(call, true)
}

fn channels(call: &mut Call<'_>, mine: bool) -> Done {
    let mut types = list_of(call, "types")?;
    if types.is_empty() {
        types.push("public_channel".into());
    }
    for name in &types {
        let scope = match name.as_str() {
            "public_channel" => "channels:read",
            "private_channel" => "groups:read",
            "mpim" => "mpim:read",
            "im" => "im:read",
            _ => return no("invalid_types"),
        };
        call.scope(scope)?;
    }
    let (team, user, live) = (call.team(), call.user(), call.flag("exclude_archived")?);
    let wanted = |channel: &&Channel| {
        let name = match channel.kind {
            Kind::Public => "public_channel",
            Kind::Private => "private_channel",
            Kind::Dm => "im",
        };
        let (member, hidden) = (channel.has(&user), mine || channel.kind != Kind::Public);
        channel.seen_by(&team)
            && types.iter().any(|one| one == name)
            && (member || !hidden)
            && !(live && channel.archived)
    };
    let all = call.state.channels.values().filter(wanted).map(|channel| {
        let mut shown = channel.json(&user, &team);
        if channel.kind != Kind::Dm && !mine {
            shown["num_members"] = json!(channel.members.len());
        }
        (channel.id.clone(), shown)
    });
    let (channels, next) = call.page(all.collect(), 1000)?;
    Ok(json!({ "channels": channels, "response_metadata": { "next_cursor": next } }))
}

pub(in super::super) fn info(call: &mut Call<'_>) -> Done {
    let (user, team, count) = (call.user(), call.team(), call.flag("include_num_members")?);
    let channel = call.channel("channel")?;
    call.scope(&channel.scope("read"))?;
    let mut shown = channel.json(&user, &team);
    if count {
        shown["num_members"] = json!(channel.members.len());
    }
    Ok(json!({ "channel": shown }))
}

pub(in super::super) fn members(call: &mut Call<'_>) -> Done {
    let channel = call.channel("channel")?;
    call.scope(&channel.scope("read"))?;
    let all = channel.members.iter().map(|member| (member.clone(), json!(member))).collect();
    let (members, next) = call.page(all, 1000)?;
    Ok(json!({ "members": members, "response_metadata": { "next_cursor": next } }))
}

pub(in super::super) fn join(call: &mut Call<'_>) -> Done {
    call.scope("channels:join")?;
    let (user, team) = (call.user(), call.team());
    let channel = call.channel("channel")?;
    if channel.kind != Kind::Public {
        return no("method_not_supported_for_channel_type");
    }
    if channel.archived {
        return no("is_archived");
    }
    let (id, there) = (channel.id.clone(), channel.has(&user));
    if there {
        call.warnings.push("already_in_channel");
    } else {
        call.state.joins(&id, &user);
    }
    Ok(json!({ "channel": call.state.channels[&id].json(&user, &team) }))
}

pub(in super::super) fn history(call: &mut Call<'_>) -> Done {
    let channel = readable(call)?;
    let span = Span::of(call)?;
    let shown = channel.messages.values().filter(|message| message.in_channel() && span.has(message)).rev();
    let shown: Vec<String> = shown.map(|message| message.ts().to_owned()).collect();
    let id = channel.id.clone();
    answer(call, &id, shown, true)
}

pub(in super::super) fn replies(call: &mut Call<'_>) -> Done {
    let channel = readable(call)?;
    let at = call.need("ts")?;
    let Some(asked) = channel.messages.get(&at) else { return no("thread_not_found") };
    let span = Span::of(call)?;
    let mut shown = vec![at.clone()];
    if asked.thread().is_none_or(|thread| thread == at) {
        let replies = channel.replies(&at).filter(|reply| span.has(reply));
        shown.extend(replies.map(|reply| reply.ts().to_owned()));
    }
    let id = channel.id.clone();
    answer(call, &id, shown, false)
}

/// The channel, where its messages may be read.
fn readable<'a>(call: &'a Call<'_>) -> Result<&'a Channel, Refusal> {
    let channel = call.channel("channel")?;
    call.scope(&channel.scope("history"))?;
    if channel.has(&call.token().user) { Ok(channel) } else { no("not_in_channel") }
}

/// A page of messages, chosen by `limit` and by a cursor that names the next one, as Slack's do.
fn answer(call: &mut Call<'_>, channel: &Id, mut all: Vec<String>, newest_first: bool) -> Done {
    let metadata = call.flag("include_all_metadata")? && call.may("metadata.message:read");
    let limit = match call.number("limit")? {
        None | Some(0) => 100,
        Some(limit) if (1..=999).contains(&limit) => limit as usize,
        Some(_) => return no("invalid_limit"),
    };
    let limit = limit.min(call.state.moods.history_at_most.unwrap_or(usize::MAX));
    if let Some(cursor) = call.text("cursor")?.filter(|cursor| !cursor.is_empty()) {
        let written = STANDARD.decode(&cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let at = written.as_deref().and_then(|text| text.strip_prefix("next_ts:")).and_then(|at| at.parse().ok());
        let Some(at) = at.map(ts) else { return no("invalid_cursor") };
        all.retain(|one| if newest_first { *one <= at } else { *one >= at });
    }
    let next = all.get(limit).and_then(|next| micros(next)).map(|at| STANDARD.encode(format!("next_ts:{at}")));
    all.truncate(limit);
    let room = &call.state.channels[channel];
    let messages: Vec<Value> = all.iter().filter_map(|ts| call.state.shown(room, ts, metadata)).collect();
    let mut answer = json!({ "messages": messages, "has_more": next.is_some() });
    if newest_first {
        answer["pin_count"] = json!(0);
    }
    if let Some(next) = next {
        answer["response_metadata"] = json!({ "next_cursor": next });
    }
    Ok(answer)
}

/// From `oldest` to `latest`.
struct Span {
    oldest: i64,
    latest: i64,
    inclusive: bool,
}

impl Span {
    fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let at = |name: &str, error: &str, default: i64| match call.text(name)?.filter(|at| !at.is_empty()) {
            None => Ok(default),
            Some(at) => micros(&at).map_or_else(|| no(error), Ok),
        };
        let oldest = at("oldest", "invalid_ts_oldest", 0)?;
        let latest = at("latest", "invalid_ts_latest", i64::MAX)?;
        if oldest > latest {
            return bad("oldest must be before latest");
        }
        Ok(Self { oldest, latest, inclusive: call.flag("inclusive")? })
    }

    fn has(&self, message: &Message) -> bool {
        let at = micros(message.ts()).unwrap_or_default();
        let inside = self.oldest < at && at < self.latest;
        inside || (self.inclusive && (at == self.oldest || at == self.latest))
    }
}
