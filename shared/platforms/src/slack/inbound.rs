//! A signed request, or what Socket Mode brings, becomes events. Must not send anything, and leaves messages to
//! `messages.rs`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use sameroom_model::{AccountState, Availability, Event, EventKind, Opened, Place, RoomRef, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::settings::Settings;
use super::wire::{self, Change, Envelope, Msg, Person, Reaction, is_id, is_ts};
use super::{messages, people, signature, text};
use crate::{Profile, Rejected, Subject, Webhook};

/// What an event is read against.
pub(super) struct Heard<'a> {
    account: &'a Opened,
    envelope: &'a Envelope,
    settings: Settings,
    /// The workspace (or organisation) whose installation hears it.
    tenant: String,
    now: Timestamp,
}

/// What an event tells.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    state: Option<AccountState>,
    learned: Vec<(Subject, Profile)>,
}

pub(super) fn receive(account: &Opened, request: &Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
    signature::verify(&account.secrets, request.headers(), request.body(), now)?;
    // Slash commands and buttons, which we have none of, and the check of a certificate.
    let form = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if form.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Ok(Webhook::reply(Response::new(Bytes::new())));
    }
    decode(account, request.body(), now)
}

/// Reads an envelope that is proven.
pub(super) fn decode(account: &Opened, body: &[u8], now: Timestamp) -> Result<Webhook, Rejected> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| unfit("The envelope", &error))?;
    let mut webhook = Webhook::reply(Response::new(Bytes::new()));
    let kind = envelope.kind.as_deref().unwrap_or_default();
    if kind == "url_verification" {
        let challenge = envelope.challenge.as_deref().ok_or_else(|| missing("challenge"))?;
        webhook.reply = Response::new(Bytes::from(serde_json::json!({ "challenge": challenge }).to_string()));
        webhook.reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(webhook);
    }
    let tenant = tenant(&envelope);
    let settings = Settings::of(account);
    let told = match kind {
        "event_callback" => {
            let heard = Heard { account, envelope: &envelope, settings, tenant: tenant.clone(), now };
            if !heard.is_for_us() {
                return Ok(webhook);
            }
            event(&heard)?
        }
        "app_rate_limited" => Told {
            state: Some(AccountState::Trouble(
                "Slack drops what is said in this workspace: there were more than 30,000 events in an hour".to_owned(),
            )),
            ..Told::default()
        },
        _ => Told::default(),
    };
    webhook.tenant = (account.account.place == Place::App && !tenant.is_empty()).then_some(tenant);
    (webhook.events, webhook.state, webhook.learned) = (told.events, told.state, told.learned);
    Ok(webhook)
}

/// The installation that hears an event: with shared channels, not always the workspace where it happened.
fn tenant(envelope: &Envelope) -> String {
    let first = envelope.authorizations.iter().flatten().next();
    let organisation = first.filter(|first| first.is_enterprise_install == Some(true));
    organisation
        .and_then(|first| first.enterprise_id.clone())
        .or_else(|| first.and_then(|first| first.team_id.clone()))
        .or_else(|| envelope.team_id.clone())
        .or_else(|| envelope.enterprise_id.clone())
        .unwrap_or_default()
}

fn event(heard: &Heard<'_>) -> Result<Told, Rejected> {
    let event = heard.envelope.event.as_ref().ok_or_else(|| missing("event"))?;
    let mut told = Told::default();
    match event.get("type").and_then(Value::as_str).unwrap_or_default() {
        "message" => told.events.extend(messages::event(heard, &read::<Msg>(event)?)?),
        kind @ ("reaction_added" | "reaction_removed") => {
            told.events.extend(reaction(heard, &read(event)?, kind == "reaction_added")?);
        }
        kind @ ("app_uninstalled" | "tokens_revoked") => told.state = ended(kind, &read(event)?),
        "user_change" | "user_profile_changed" => told.learned.extend(person(&read(event)?)),
        kind => told.events.extend(channel(heard, kind, &read(event)?, &mut told.learned)?),
    }
    Ok(told)
}

fn reaction(heard: &Heard<'_>, reaction: &Reaction, on: bool) -> Result<Option<Event>, Rejected> {
    let item = reaction.item.as_ref().ok_or_else(|| missing("item"))?;
    if item.kind.as_deref().is_some_and(|kind| kind != "message") {
        return Ok(None);
    }
    let user = reaction.user.as_deref().ok_or_else(|| missing("user"))?;
    if heard.is_our_user(user) {
        return Ok(None);
    }
    let name = reaction.name.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| missing("reaction"))?;
    let ts = item.ts.as_deref().filter(|ts| is_ts(ts)).ok_or_else(|| missing("item.ts"))?;
    let at = reaction.event_ts.as_deref().filter(|at| is_ts(at)).ok_or_else(|| missing("event_ts"))?;
    let room = heard.room(item.channel.as_deref())?;
    let sign = if on { '+' } else { '-' };
    Ok(Some(Event {
        id: heard.id(&room, &format!("{ts}:{sign}{name}:{user}:{at}")),
        room,
        at: wire::at(at).unwrap_or(heard.now),
        author: Some(sameroom_model::Author::new(user, "")),
        kind: EventKind::Reacted { key: ts.into(), emoji: text::reaction(name), on },
    }))
}

/// What happened to a channel, and not in it.
fn channel(
    heard: &Heard<'_>,
    kind: &str,
    change: &Change,
    learned: &mut Vec<(Subject, Profile)>,
) -> Result<Option<Event>, Rejected> {
    let closed = |why: &str| EventKind::Availability(Availability::Closed(why.to_owned()));
    let id = match &change.channel {
        Some(Value::String(id)) => Some(id.as_str()),
        Some(channel) => channel.get("id").and_then(Value::as_str),
        None => None,
    };
    let (suffix, kind) = match kind {
        "channel_rename" | "group_rename" => {
            let name = change.channel.as_ref().and_then(|channel| channel.get("name")).and_then(Value::as_str);
            let name = name.filter(|name| !name.is_empty()).ok_or_else(|| missing("channel.name"))?;
            let name = format!("#{}", sameroom_text::names::clean(name, 80));
            let profile = Profile { name: name.clone(), ..Profile::default() };
            learned.push((Subject::Room(heard.room(id)?.key), profile));
            ("rename", EventKind::Renamed(name))
        }
        "channel_archive" | "group_archive" => ("archive", closed("The channel was archived.")),
        "channel_unarchive" | "group_unarchive" => ("unarchive", EventKind::Availability(Availability::Open)),
        "channel_deleted" | "group_deleted" => ("delete", closed("The channel was deleted.")),
        "channel_left" | "group_left" => ("left", closed(REMOVED)),
        "member_left_channel"
            if change.user.as_ref().and_then(Value::as_str).is_some_and(|user| heard.is_our_user(user)) =>
        {
            ("left", closed(REMOVED))
        }
        _ => return Ok(None),
    };
    let room = heard.room(id)?;
    let at = change.event_ts.as_deref().and_then(wire::at).or_else(|| heard.event_time());
    let (at, mark) = match (at, &heard.envelope.event_id) {
        // Two events tell that we left, within a moment.
        (Some(at), _) if suffix == "left" => (at, (at.as_second() / 60).to_string()),
        (Some(at), Some(id)) if !id.is_empty() => (at, id.clone()),
        (Some(at), _) => (at, at.as_microsecond().to_string()),
        (None, _) => return Err(missing("event_ts")),
    };
    Ok(Some(Event { id: heard.id(&room, &format!("{suffix}:{mark}")), room, at, author: None, kind }))
}

const REMOVED: &str = "The bot was removed from the channel; type /invite and its name there to have it back.";

/// How an installation fares that has ended.
fn ended(kind: &str, change: &Change) -> Option<AccountState> {
    let why = match kind {
        "app_uninstalled" => "The app was removed from the workspace: install it again.",
        // People's own tokens are none of ours.
        _ if change.tokens.as_ref().and_then(|tokens| tokens.bot.as_ref()).is_some_and(|bots| !bots.is_empty()) => {
            "The bot's token was revoked: install the app in the workspace again."
        }
        _ => return None,
    };
    Some(AccountState::NeedsOwner(why.to_owned()))
}

fn person(change: &Change) -> Option<(Subject, Profile)> {
    let person: Person = serde::Deserialize::deserialize(change.user.as_ref()?).ok()?;
    let key = person.id.clone().filter(|id| is_id(id, &['U', 'W']))?;
    Some((Subject::User(key.into()), people::profile(&person)))
}

impl Heard<'_> {
    /// An account that stands for itself hears its own workspace alone.
    fn is_for_us(&self) -> bool {
        let own = [&self.settings.team_id, &self.settings.enterprise_id];
        let known = own.iter().any(|own| own.is_some());
        self.account.account.place == Place::App
            || !known
            || self.tenant.is_empty()
            || own.iter().any(|own| own.as_deref() == Some(self.tenant.as_str()))
    }

    /// Whether a user is our bot.
    pub(super) fn is_our_user(&self, user: &str) -> bool {
        let told = self.envelope.authorizations.iter().flatten();
        let mut told = told.filter(|one| one.is_bot == Some(true)).filter_map(|one| one.user_id.as_deref());
        told.any(|own| own == user)
            || self.settings.bot_user_id.as_deref() == Some(user)
            || self.account.account.identity.key.as_ref().is_some_and(|own| own.as_str() == user)
    }

    /// Whether a bot is ours.
    pub(super) fn is_our_bot(&self, bot: &str) -> bool {
        self.settings.bot_id.as_deref() == Some(bot)
    }

    /// Whether an app is ours.
    pub(super) fn is_our_app(&self, app: &str) -> bool {
        !app.is_empty()
            && (self.settings.app_id.as_deref() == Some(app) || self.envelope.api_app_id.as_deref() == Some(app))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn room(&self, channel: Option<&str>) -> Result<RoomRef, Rejected> {
        let channel = channel.filter(|id| is_id(id, &['C', 'G', 'D'])).ok_or_else(|| missing("channel"))?;
        Ok(RoomRef::new(self.account.account.id.clone(), channel))
    }

    /// An event's id, from what it is about: the same message in a channel that workspaces share comes under several
    /// event ids of Slack's.
    pub(super) fn id(&self, room: &RoomRef, what: &str) -> sameroom_model::EventId {
        format!("{}:{}:{what}", self.tenant, room.key).into()
    }

    fn event_time(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.envelope.event_time?).ok()
    }
}

fn read<'a, T: Deserialize<'a>>(event: &'a Value) -> Result<T, Rejected> {
    T::deserialize(event).map_err(|error| unfit("The event", &error))
}

pub(super) fn missing(field: &str) -> Rejected {
    Rejected::Undecodable(format!("The event's {field} is missing or not as documented."))
}

/// What serde says of values is left out: it quotes them, and they may be somebody's words.
fn unfit(what: &str, error: &serde_json::Error) -> Rejected {
    Rejected::Undecodable(format!("{what} is not as documented, at line {}, column {}.", error.line(), error.column()))
}
