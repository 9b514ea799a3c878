//! Whether two ways of adding a bot gave the same one: by URL, which believes what the workspace is called and asks
//! nothing, and by a form, which learned who the bot is. Must not know how either was added.

use sameroom_model::{Opened, Secrets};
use serde::Deserialize as _;

use super::settings::{APP_TOKEN, SIGNING_SECRET, Settings, TOKEN};
use crate::{Draft, Likeness};

pub(super) fn likeness(account: &Opened, draft: &Draft) -> Likeness {
    let (known, new) = (Settings::of(account), Settings::deserialize(&draft.settings).unwrap_or_default());
    let keys = (account.account.identity.key.as_ref(), draft.identity.key.as_ref());
    let users = (
        known.bot_user_id.or_else(|| keys.0.map(ToString::to_string)),
        new.bot_user_id.or_else(|| keys.1.map(ToString::to_string)),
    );
    let team = compare(known.team_id.as_deref(), new.team_id.as_deref());
    let host = compare(host(&account.account.identity.name), host(&draft.identity.name));
    // A workspace's address may change; its id does not.
    let place = team.or(host);
    let bot = [
        compare(users.0.as_deref(), users.1.as_deref()),
        compare(known.bot_id.as_deref(), new.bot_id.as_deref()),
        compare(known.app_id.as_deref(), new.app_id.as_deref()),
    ];
    if place != Some(true) || bot.contains(&Some(false)) {
        return Likeness::Unlike;
    }
    // A workspace has one bot of an app, and an app's secrets are its own.
    let shared = |name| compare(secret(&account.secrets, name), secret(&draft.secrets, name)) == Some(true);
    if bot.contains(&Some(true)) || [TOKEN, SIGNING_SECRET, APP_TOKEN].into_iter().any(shared) {
        return Likeness::Same;
    }
    Likeness::Like
}

/// Whether both are the same, where both are known.
fn compare(a: Option<&str>, b: Option<&str>) -> Option<bool> {
    Some(a? == b?)
}

/// The workspace's address in the name of an account: `acme.slack.com`, or `bot@acme.slack.com`.
fn host(name: &str) -> Option<&str> {
    let host = name.rsplit('@').next()?;
    host.ends_with(".slack.com").then_some(host)
}

fn secret<'a>(secrets: &'a Secrets, name: &str) -> Option<&'a str> {
    secrets.get(name).filter(|secret| !secret.is_empty())
}
