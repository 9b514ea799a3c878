//! A channel's URL, `slack://WORKSPACE/CHANNEL?token=…`. Must not ask Slack anything: so channels are given by id, and
//! what the workspace is called is believed.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sameroom_model::{Identity, Place, RoomKey, Secrets};
use serde_json::Value;
use url::Url;

use super::ABOUT;
use super::api;
use super::settings::{APP_TOKEN, SIGNING_SECRET, Settings, TOKEN};
use super::wire::is_id;
use crate::{BadUrl, Draft, Located, RoomDraft};

const PARAMETERS: &str = "token, signing, app, name, team, bot and endpoint";

pub(super) fn locate(url: &Url) -> Result<Located, BadUrl> {
    parse(url).map_err(BadUrl)
}

fn parse(url: &Url) -> Result<Located, String> {
    let workspace = url.host_str().map(str::to_ascii_lowercase).unwrap_or_default();
    let workspace = workspace.strip_suffix(".slack.com").unwrap_or(&workspace);
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if workspace.is_empty() || workspace.len() > 80 || !workspace.chars().all(named) {
        return Err(
            "A Slack URL names the workspace first, as in slack://acme/C024BE91L for acme.slack.com.".to_owned()
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("A Slack URL has no login before the workspace: give `token=env:NAME` behind `?`.".to_owned());
    }
    let channel = url.path().trim_matches('/');
    if !is_id(channel, &['C', 'G', 'D']) || channel.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err("A Slack URL names the channel by its id, such as C024BE91L, which stays when the channel is \
                    renamed: in Slack, click the channel's name and look at the end of About. Give a name to show as \
                    `name=general`."
            .to_owned());
    }
    let mut secrets = Secrets::default();
    let mut settings = Settings::default();
    let (mut name, mut endpoint) = (None, None);
    for (parameter, value) in pairs(url)? {
        let secret = |known: &str, prefix: &str| usable(known, &value, prefix);
        match parameter.as_ref() {
            "token" => secrets.set(TOKEN, secret("token", "xox")?),
            "signing" => secrets.set(SIGNING_SECRET, secret("signing", "")?),
            "app" => secrets.set(APP_TOKEN, secret("app", "xapp-")?),
            "name" => name = Some(sameroom_text::names::clean(value.trim_start_matches('#'), 80)),
            "team" if is_id(&value, &['T', 'E']) => settings.team_id = Some(value.into_owned()),
            "bot" if is_id(&value, &['B']) => settings.bot_id = Some(value.into_owned()),
            "team" => return Err("`team` is the workspace's id, such as T024BE7LD.".to_owned()),
            "bot" => return Err("`bot` is the bot's own id, such as B0LD7EX.".to_owned()),
            "endpoint" => endpoint = Some(value.into_owned()),
            _ => return Err(format!("A Slack URL takes {PARAMETERS} behind `?`, and nothing else.")),
        }
    }
    if secrets.get(TOKEN).is_none() {
        return Err("A Slack URL needs the bot's token: give `token=env:NAME`, with NAME set to what begins with \
                    xoxb-."
            .to_owned());
    }
    if secrets.get(SIGNING_SECRET).is_none() && secrets.get(APP_TOKEN).is_none() {
        return Err("A Slack URL needs a way to hear: `signing=env:NAME` with the signing secret, where Slack can \
                    call this Sameroom; else `app=env:NAME` with the app-level token, for Socket Mode."
            .to_owned());
    }
    let site = format!("{workspace}.slack.com");
    let account = Draft {
        platform: ABOUT.name,
        endpoint: api::endpoint(endpoint.as_deref())?,
        identity: Identity { key: None, name: site.clone() },
        settings: if settings == Settings::default() { Value::Null } else { settings.json() },
        secrets,
        place: Place::Alone,
    };
    let name = name.filter(|name| !name.is_empty()).map_or_else(|| channel.to_owned(), |name| format!("#{name}"));
    Ok(Located { account, room: RoomDraft { key: RoomKey::from(channel), name, site, settings: Value::Null } })
}

/// A parameter's name and value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names and values behind the question mark. A plus sign stands for itself.
fn pairs(url: &Url) -> Result<Vec<Pair<'_>>, String> {
    let pairs = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| percent_decode_str(text).decode_utf8();
            match (decode(name), decode(value)) {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => Err("What is behind `?` in the Slack URL is not UTF-8.".to_owned()),
            }
        })
        .collect()
}

/// A secret that can be one, or a reference to it.
pub(super) fn usable(name: &str, value: &str, prefix: &str) -> Result<String, String> {
    let reference = value.starts_with("env:") || value.starts_with("file:");
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    if reference && !value.chars().any(char::is_control) || plain && value.starts_with(prefix) {
        return Ok(value.to_owned());
    }
    Err(if prefix.is_empty() {
        format!("The {name} is empty or has characters that no secret has: copy it again.")
    } else {
        format!("The {name} begins with {prefix} and has no spaces: copy it again.")
    })
}
