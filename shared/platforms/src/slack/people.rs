//! What keys stand for: people, bots, channels and groups. Must not know events.

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Opened, Outcome, Timestamp};
use sameroom_text::names;
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use super::errors::judge;
use super::messages::{NAME_MAX, picture};
use super::rooms;
use super::wire::{Person, is_id};
use crate::{Profile, Subject};

pub(super) fn look_up(account: &Opened, what: &Subject) -> Option<Request<Bytes>> {
    let api = Api::of(account).ok()?;
    let (method, field, key) = match what {
        Subject::User(key) if is_id(key.as_str(), &['B']) => ("bots.info", "bot", key.as_str()),
        Subject::User(key) if is_id(key.as_str(), &['U', 'W']) => ("users.info", "user", key.as_str()),
        Subject::Room(key) if is_id(key.as_str(), &['C', 'G']) => ("conversations.info", "channel", key.as_str()),
        Subject::Group(key) if is_id(key, &['S']) => ("usergroups.list", "include_disabled", "true"),
        _ => return None,
    };
    api.form(method, &[(field, key)]).ok()
}

pub(super) fn looked_up(
    account: &Opened,
    what: &Subject,
    response: &Response<Bytes>,
    now: Timestamp,
) -> Result<Profile, Outcome> {
    let answer = judge(response, now).map_err(super::errors::Fault::outcome)?;
    let unnamed = || Outcome::refused("Slack tells no name for it");
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let profile = match what {
        Subject::User(key) if key.as_str().starts_with('B') => {
            let bot = answer.get("bot").ok_or_else(unnamed)?;
            let avatar = bot.get("icons").and_then(picture);
            Profile { name: clean(&text(bot, "name")), avatar, bot: true, ..Profile::default() }
        }
        Subject::User(_) => {
            let person = answer.get("user").and_then(|user| Person::deserialize(user).ok()).ok_or_else(unnamed)?;
            profile(&person)
        }
        Subject::Room(_) => {
            let channel = answer.get("channel").ok_or_else(unnamed)?;
            let name = clean(&text(channel, "name"));
            let name = if name.is_empty() { name } else { format!("#{name}") };
            Profile { name, team: Some(rooms::site(account)), ..Profile::default() }
        }
        Subject::Group(key) => {
            let groups = answer.get("usergroups").and_then(Value::as_array).ok_or_else(unnamed)?;
            let group = groups.iter().find(|group| text(group, "id") == *key).ok_or_else(unnamed)?;
            let handle = text(group, "handle");
            Profile {
                name: clean(if handle.is_empty() { group["name"].as_str().unwrap_or_default() } else { &handle }),
                ..Profile::default()
            }
        }
    };
    if profile.name.is_empty() { Err(unnamed()) } else { Ok(profile) }
}

/// A person as Slack describes them: the display name, else the real name, else the user name.
pub(super) fn profile(person: &Person) -> Profile {
    let within = person.profile.as_deref();
    let some = |text: &Option<String>| text.as_deref().map(clean).filter(|text| !text.is_empty());
    let both =
        |of: fn(&Person) -> &Option<String>| within.and_then(|within| some(of(within))).or_else(|| some(of(person)));
    let username = some(&person.name);
    let name = both(|person| &person.display_name)
        .or_else(|| both(|person| &person.real_name))
        .or_else(|| username.clone())
        .unwrap_or_default();
    let avatar = both(|person| &person.image_192).or_else(|| both(|person| &person.image_72));
    Profile {
        username: username.filter(|username| *username != name),
        name,
        team: None,
        avatar: avatar.filter(|url| url.starts_with("https://")),
        bot: person.is_bot == Some(true),
    }
}

fn clean(name: &str) -> String {
    names::clean(name, NAME_MAX)
}
