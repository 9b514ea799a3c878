//! How things are named on the command line: ids, beginnings of ids, names where no other thing has them, a room also by
//! `NAME@ACCOUNT` and by URL. What could be several things is refused, and the candidates are listed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sameroom_platforms::by_scheme;
use serde_json::{Value, json};
use url::Url;

use super::client::Client;
use super::problem::Failure;
use super::show::{items, place, text};
use crate::{connect, secrets};

/// The shortest beginning of an id.
const BEGINNING_MIN: usize = 3;
/// How many candidates are listed.
const CANDIDATES_MAX: usize = 10;

/// A thing of a list by its id, or by the beginning of it.
pub(crate) async fn pick(client: &Client, list: &[&str], what: &str, named: &str) -> Result<Value, Failure> {
    let all = client.list(list, &[]).await?;
    let found: Vec<&Value> = items(&all).iter().filter(|item| begins(item, named)).collect();
    if let Some(exact) = found.iter().find(|item| item["id"] == named) {
        return Ok((*exact).clone());
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let command = list.last().copied().unwrap_or_default();
            let list = if command == "guests" { "portals guests PORTAL".to_owned() } else { format!("{command} list") };
            Err(Failure::name(format!("no {what} has the id '{named}'; `sameroom {list}` lists those there are")))
        }
        several => {
            let ids: Vec<String> = several.iter().take(CANDIDATES_MAX).map(|item| text(item, "id")).collect();
            Err(Failure::name(format!("several {what}s begin with '{named}': {}; give more of it", ids.join(", "))))
        }
    }
}

fn begins(item: &Value, named: &str) -> bool {
    let id = item["id"].as_str().unwrap_or_default();
    // `portal-6vbcl…` is meant by `6vbc`, too.
    let after_kind = id.split_once('-').map_or("", |(_, rest)| rest);
    id == named || (named.len() >= BEGINNING_MIN && (id.starts_with(named) || after_kind.starts_with(named)))
}

/// An account by its id, its name, its platform, or `NAME on SITE`, where that names one.
pub(crate) async fn account(client: &Client, named: &str) -> Result<Value, Failure> {
    let all = client.list(&["accounts"], &[]).await?;
    let found = accounts_called(items(&all), named);
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::name(format!(
            "no account is called '{named}'; `sameroom accounts list` lists those there are"
        ))),
        several => {
            let shown: Vec<String> = several.iter().map(|one| format!("  {}", account_line(one))).collect();
            Err(Failure::name(format!("several accounts are called '{named}'; give the id:\n{}", shown.join("\n"))))
        }
    }
}

/// Those accounts that a name means: by id first, then by name, then by where it is or by platform.
fn accounts_called<'a>(all: &'a [Value], named: &str) -> Vec<&'a Value> {
    let lower = named.to_lowercase();
    let is = |value: &Value| value.as_str().is_some_and(|text| text.to_lowercase() == lower);
    let host = |one: &Value| {
        one["endpoint"].as_str().and_then(|url| Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned))
    };
    let tests: [&dyn Fn(&Value) -> bool; 4] = [
        &|one| one["id"] == named,
        &|one| is(&one["name"]),
        &|one| is(&one["endpoint"]) || host(one).is_some_and(|host| host == lower),
        &|one| is(&one["platform"]),
    ];
    for test in tests {
        let found: Vec<&Value> = all.iter().filter(|one| test(one)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// A room that was added.
pub(crate) async fn room(client: &Client, named: &str) -> Result<Value, Failure> {
    match known(client, named).await? {
        Ok(room) => Ok(room),
        Err(Named { text, account, .. }) => {
            let at = account.map_or_else(String::new, |account| format!(" at {account}"));
            Err(Failure::name(format!(
                "no room is called '{text}'{at}; `sameroom rooms list` lists those that were added, `sameroom rooms \
                 find` looks for others"
            )))
        }
    }
}

/// A room; one that was not added, but is named by its URL or seen by an account, is added.
pub(crate) async fn room_or_add(client: &Client, named: &str) -> Result<Value, Failure> {
    let Named { text, account, url } = match known(client, named).await? {
        Ok(room) => return Ok(room),
        Err(named) => named,
    };
    if let Some(url) = url {
        return client.post(&["rooms"], Some(json!({ "url": url }))).await;
    }
    let mut query = vec![("q", text.as_str())];
    if let Some(account) = &account {
        query.push(("account", account));
    }
    let seen = client.list(&["rooms"], &query).await?;
    let found: Vec<&Value> = items(&seen).iter().filter(|room| is_called(room, &text)).collect();
    match found.as_slice() {
        [one] => client.post(&["rooms"], Some(json!({ "account": one["account"], "room": one["key"] }))).await,
        [] => Err(Failure::name(format!(
            "no room is called '{text}', and none that your accounts see; give its URL, or `sameroom rooms add ACCOUNT \
             ROOM` first"
        ))),
        several => Err(ambiguous(&text, several, &Value::Null)),
    }
}

/// A room that was not found: what it is called, and where.
struct Named {
    text: String,
    account: Option<String>,
    url: Option<String>,
}

/// A room that was added, or how it was named.
async fn known(client: &Client, named: &str) -> Result<Result<Value, Named>, Failure> {
    if let Some(url) = as_url(named) {
        return by_url(client, url).await;
    }
    if is_room_id(named)
        && let Some(room) = client.find(&["rooms", named]).await?
    {
        return Ok(Ok(room));
    }
    let all = client.list(&["rooms"], &[]).await?;
    let found: Vec<&Value> = items(&all).iter().filter(|room| is_called(room, named)).collect();
    match found.as_slice() {
        [one] => return Ok(Ok((*one).clone())),
        [] => {}
        several => {
            let accounts = client.list(&["accounts"], &[]).await?;
            return Err(ambiguous(named, several, &accounts));
        }
    }
    let Some((name, at)) = named.rsplit_once('@').filter(|(name, at)| !name.is_empty() && !at.is_empty()) else {
        return Ok(Err(Named { text: named.to_owned(), account: None, url: None }));
    };
    let accounts = client.list(&["accounts"], &[]).await?;
    let mine = accounts_called(items(&accounts), at);
    if mine.is_empty() {
        let text = format!("no account is called '{at}'; `sameroom accounts list` lists those there are");
        return Err(Failure::name(text));
    }
    let here = |room: &Value| mine.iter().any(|account| account["id"] == room["account"]) && is_called(room, name);
    let found: Vec<&Value> = items(&all).iter().filter(|room| here(room)).collect();
    match (found.as_slice(), mine.as_slice()) {
        ([one], _) => Ok(Ok((*one).clone())),
        ([], [account]) => {
            let account = account["id"].as_str().map(str::to_owned);
            Ok(Err(Named { text: name.to_owned(), account, url: None }))
        }
        ([], _) => Err(Failure::name(format!("several accounts are called '{at}'; give the id of one after the @"))),
        (several, _) => Err(ambiguous(name, several, &accounts)),
    }
}

/// A room by its URL: the account's platform and endpoint, and the room's key there, are read from it here.
async fn by_url(client: &Client, url: Url) -> Result<Result<Value, Named>, Failure> {
    let located = connect::understand(url.as_str()).map_err(|e| Failure::refused(format!("{e:#}")))?;
    let accounts = client.list(&["accounts"], &[]).await?;
    let draft = &located.account;
    let is_its = |account: &Value| {
        account["platform"] == draft.platform
            && (draft.endpoint == "local:" || account["endpoint"] == draft.endpoint.as_str())
            && (draft.endpoint == "local:" || account["name"] == draft.identity.name.as_str())
    };
    let name_alone = draft.endpoint == "local:";
    for account in items(&accounts).iter().filter(|account| is_its(account)) {
        let Some(id) = account["id"].as_str() else { continue };
        let rooms = client.list(&["rooms"], &[("account", id)]).await?;
        let is_it = |room: &&Value| {
            room["key"] == located.room.key.as_str() || (name_alone && room["name"] == located.room.name.as_str())
        };
        if let Some(room) = items(&rooms).iter().find(is_it) {
            return Ok(Ok(room.clone()));
        }
    }
    Ok(Err(Named { text: located.room.name.clone(), account: None, url: Some(revealed(url)?) }))
}

/// The URL with the secrets that it refers to: they are looked up here, where the variables and files are.
pub(crate) fn revealed(mut url: Url) -> Result<String, Failure> {
    let mut pairs = Vec::new();
    let mut any = false;
    for (name, value) in url.query_pairs() {
        any = any || secrets::is_reference(&value);
        let value = secrets::resolve_one(&name, &value).map_err(|e| Failure::refused(format!("{e:#}")))?;
        pairs.push((name.into_owned(), value));
    }
    if any {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Ok(url.into())
}

/// A room's URL, if it is one.
pub(crate) fn as_url(named: &str) -> Option<Url> {
    let url = Url::parse(named).ok()?;
    by_scheme(url.scheme()).map(|_| url)
}

/// Whether a room is called so: by name or key, `#` and case of letters apart.
fn is_called(room: &Value, named: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('#').to_lowercase();
    let named = bare(named);
    !named.is_empty()
        && ["name", "key"].iter().any(|field| room[*field].as_str().is_some_and(|text| bare(text) == named))
}

fn is_room_id(named: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(named)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .is_some_and(|id| id.contains('/'))
}

fn ambiguous(named: &str, rooms: &[&Value], accounts: &Value) -> Failure {
    let lines: Vec<String> = rooms
        .iter()
        .take(CANDIDATES_MAX)
        .map(|room| {
            let account = items(accounts).iter().find(|account| account["id"] == room["account"]);
            let at = account.map_or_else(|| text(room, "account"), |account| text(account, "name"));
            format!("  {}  {}@{at}, id {}", place(room), text(room, "name"), text(room, "id"))
        })
        .collect();
    Failure::name(format!("several rooms are called '{named}'; give NAME@ACCOUNT or the id:\n{}", lines.join("\n")))
}

fn account_line(account: &Value) -> String {
    format!(
        "{}: {} on {} ({})",
        text(account, "id"),
        text(account, "name"),
        text(account, "endpoint"),
        text(account, "platform")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_meant_by_id_before_name_before_platform() {
        let all = [
            json!({ "id": "irc-1", "name": "bot", "platform": "irc", "endpoint": "ircs://irc.libera.chat" }),
            json!({ "id": "irc-2", "name": "bot", "platform": "irc", "endpoint": "ircs://irc.oftc.net" }),
            json!({ "id": "bot", "name": "x", "platform": "toy", "endpoint": "toy:" }),
        ];
        let ids = |named| accounts_called(&all, named).iter().map(|one| text(one, "id")).collect::<Vec<_>>();
        assert_eq!(ids("bot"), ["bot"]);
        assert_eq!(ids("irc"), ["irc-1", "irc-2"]);
        assert_eq!(ids("irc.oftc.net"), ["irc-2"]);
        assert_eq!(ids("TOY"), ["bot"]);
        assert!(ids("nobody").is_empty());
    }

    #[test]
    fn ids_are_meant_by_their_beginning_with_or_without_their_kind() {
        let item = json!({ "id": "portal-6vbcl" });
        assert!(begins(&item, "portal-6vbcl") && begins(&item, "portal-6") && begins(&item, "6vb"));
        assert!(!begins(&item, "6v") && !begins(&item, "vbc") && !begins(&item, ""));
    }

    #[test]
    fn rooms_are_called_by_name_or_key_with_or_without_the_hash() {
        let room = json!({ "name": "#Rust", "key": "C123" });
        assert!(is_called(&room, "rust") && is_called(&room, "#RUST") && is_called(&room, "c123"));
        assert!(!is_called(&room, "rus") && !is_called(&room, "#") && !is_called(&room, ""));
    }
}
