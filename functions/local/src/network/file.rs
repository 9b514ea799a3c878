//! Reads a network file and collects every mistake in it, each with its line and column. Nothing is changed here, and
//! no secret is looked up but through the function given.
//!
//! ```toml
//! [accounts.libera]
//! url = "ircs://sameroom@irc.libera.chat"     # a room's URL without its room
//! password = "env:LIBERA_PASSWORD"            # what else a room's URL may say, as its own line
//!
//! [rooms.one]
//! account = "libera"
//! room = "#one"
//! author = "both"                             # options; one left out has its default
//!
//! [rooms]
//! two = "ircs://irc.example.org/#two"         # a room by its URL
//!
//! [[tubes]]
//! rooms = ["one", "two"]
//! ```
//!
//! What no URL can say has a second form, which `sameroom export` uses where it must: an account by `platform`,
//! `endpoint`, `name` and `settings`, its rooms by `key`, `name`, `site` and `settings`.

use std::fmt::Write as _;
use std::ops::Range;

use sameroom_model::{AccountId, Identity, RoomKey, RoomOptions, Secrets};
use sameroom_platforms::{Draft, Located, RoomDraft, by_name};
use toml::Spanned;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::tables::{AccountTable, File, RoomEntry, RoomTable};
use super::{Wanted, WantedAccount, WantedRoom, WantedTube, without_nulls};
use crate::{connect, secrets};

/// Looks up a secret: its name, and the reference to it.
pub(crate) type Resolve<'a> = dyn FnMut(&str, &str) -> Result<String, String> + 'a;

/// Understands a network file; or says all that is wrong with it.
pub(crate) fn read(document: &str, resolve: &mut Resolve<'_>) -> Result<Wanted, Vec<String>> {
    let file: File = toml::from_str(document).map_err(|e| vec![e.to_string().trim_end().to_owned()])?;
    let mut reader = Reader { document, resolve, wanted: Wanted::default(), mistakes: Vec::new() };
    reader.rooms(&file);
    reader.tubes(&file);
    if reader.mistakes.is_empty() { Ok(reader.wanted) } else { Err(reader.mistakes) }
}

/// A room's URL from an account's: its parameters in the query; a room that begins with `#` as the fragment, another
/// one as the last part of the path.
pub(super) fn room_url<'a>(
    base: &str,
    parameters: impl Iterator<Item = (&'a str, String)>,
    room: &str,
) -> Result<String, String> {
    let mut url = Url::parse(base).map_err(|e| format!("'{}' is not a URL ({e})", connect::shown_text(base)))?;
    if let Some(name) = room.strip_prefix('#') {
        url.set_fragment(Some(name));
    } else {
        let mut path = url.path_segments_mut().map_err(|()| "its rooms are given by `url` alone".to_owned())?;
        path.pop_if_empty().push(room);
    }
    let mut query = url.query().unwrap_or_default().to_owned();
    for (name, value) in parameters {
        if !query.is_empty() {
            query.push('&');
        }
        // A plus sign stands for a space to some readers and for itself to others.
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
        let _ = write!(query, "{}={}", encode(name), encode(&value));
    }
    url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    Ok(url.into())
}

struct Reader<'a, 'r> {
    document: &'a str,
    resolve: &'a mut Resolve<'r>,
    wanted: Wanted,
    mistakes: Vec<String>,
}

impl Reader<'_, '_> {
    fn rooms(&mut self, file: &File) {
        for (label, RoomEntry(table)) in &file.rooms {
            match located(file, table) {
                Ok((located, account)) => self.room(label, table, located, account),
                Err((at, why)) => {
                    self.wrong(&at.unwrap_or_else(|| label.span()), &format!("room '{}': {why}", label.as_ref()));
                }
            }
        }
        for label in file.accounts.keys() {
            let named = |table: &RoomTable| table.account.as_ref().is_some_and(|name| name.as_ref() == label.as_ref());
            if !file.rooms.values().any(|RoomEntry(table)| named(table)) {
                let why = format!(
                    "account '{}': no room is of this account; add one with `account = \"{}\"`, or take it out",
                    label.as_ref(),
                    label.as_ref()
                );
                self.wrong(&label.span(), &why);
            }
        }
    }

    fn room(&mut self, label: &Spanned<String>, table: &RoomTable, mut located: Located, account: Option<&str>) {
        let name = label.as_ref().as_str();
        let mut clear = Secrets::default();
        let found: Vec<_> = located.account.secrets.expose().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for (secret, value) in found {
            let resolved = if secrets::is_reference(&value) {
                (self.resolve)(&secret, &value)
            } else {
                Err(format!(
                    "the secret '{secret}' stands here in plain; keep it in the environment or in a file, and write \
                     env:NAME or file:PATH"
                ))
            };
            match resolved {
                Ok(value) => clear.set(secret, value),
                Err(why) => self.wrong(&label.span(), &format!("room '{name}': {why}")),
            }
        }
        located.account.secrets = clear;
        let id = connect::account_id(&located.account);
        let twice = self.wanted.rooms.iter().find(|known| {
            known.account == id
                && known.draft.key == located.room.key
                && (!connect::is_nameless(&known.draft) || known.draft.name == located.room.name)
        });
        if let Some(known) = twice {
            let why = format!("rooms '{}' and '{name}' are the same room; give it once", known.label);
            return self.wrong(&label.span(), &why);
        }
        self.account(label, account, &id, located.account);
        let options = RoomOptions {
            author: table.author,
            team: table.team,
            system: table.system,
            direction: table.direction,
            edits: table.edits,
            replies: table.replies,
        };
        let label = name.to_owned();
        self.wanted.rooms.push(WantedRoom { label, account: id, draft: located.room, options });
    }

    /// Adds the account of a room, or sees that it is the same as another room says.
    fn account(&mut self, room: &Spanned<String>, label: Option<&str>, id: &AccountId, draft: Draft) {
        let Some(known) = self.wanted.accounts.iter_mut().find(|known| known.id == *id) else {
            let label = label.map_or_else(|| format!("{} on {}", draft.identity.name, draft.endpoint), str::to_owned);
            self.wanted.accounts.push(WantedAccount { label, id: id.clone(), draft });
            return;
        };
        let clash = |(name, value): (&str, &str)| known.draft.secrets.get(name).is_some_and(|other| other != value);
        if known.draft.settings != draft.settings || draft.secrets.expose().any(clash) {
            let why = format!(
                "room '{}': another room gives the same account ({} on {}) other settings; write them once, under \
                 [accounts]",
                room.as_ref(),
                draft.identity.name,
                draft.endpoint
            );
            return self.wrong(&room.span(), &why);
        }
        if let Some(label) = label {
            label.clone_into(&mut known.label);
        }
        draft.secrets.expose().for_each(|(name, value)| known.draft.secrets.set(name, value));
    }

    fn tubes(&mut self, file: &File) {
        for table in &file.tubes {
            let rooms = table.rooms.as_ref();
            let mut ends = Vec::new();
            for name in rooms {
                if !file.rooms.contains_key(name.as_ref().as_str()) {
                    let known = file.rooms.keys().map(|label| label.as_ref().as_str());
                    let why = format!("there is no room '{}'{}", name.as_ref(), meant(name.as_ref(), known));
                    self.wrong(&name.span(), &why);
                }
                ends.extend(self.wanted.rooms.iter().position(|room| room.label == *name.as_ref()));
            }
            if rooms.len() != 2 {
                self.wrong(&table.rooms.span(), &format!("a Tube has two rooms, and here are {}", rooms.len()));
                continue;
            }
            if rooms[0].as_ref() == rooms[1].as_ref() {
                let why = format!("both ends are the room '{}'; give two different rooms", rooms[0].as_ref());
                self.wrong(&table.rooms.span(), &why);
                continue;
            }
            // A room that is missing here is a mistake that was told.
            let Ok(ends) = <[usize; 2]>::try_from(ends) else { continue };
            let same = |tube: &WantedTube| tube.ends == ends || tube.ends == [ends[1], ends[0]];
            if self.wanted.tubes.iter().any(same) {
                self.wrong(&table.rooms.span(), "these two rooms are connected twice; give the Tube once");
                continue;
            }
            self.wanted.tubes.push(WantedTube { ends, paused: table.paused });
        }
    }

    fn wrong(&mut self, at: &Range<usize>, why: &str) {
        let before = &self.document[..at.start.min(self.document.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.mistakes.push(format!("line {line}, column {column}: {why}"));
    }
}

/// What is wrong, and where, if not at the room.
type Wrong = (Option<Range<usize>>, String);

/// Understands a room, and names its account where the file does.
fn located<'a>(file: &'a File, table: &'a RoomTable) -> Result<(Located, Option<&'a str>), Wrong> {
    let wrong = |why: &str| (None, why.to_owned());
    let Some(name) = &table.account else {
        let Some(url) = &table.url else {
            return Err(wrong("it needs a `url`, or an `account` and a `room`"));
        };
        if table.room.is_some() || table.key.is_some() || table.name.is_some() || table.site.is_some() {
            return Err(wrong("`url` says which room it is; leave out `room`, `key`, `name` and `site`"));
        }
        return Ok((connect::understand(url).map_err(|e| (None, format!("{e:#}")))?, None));
    };
    let at = |why: String| (Some(name.span()), why);
    if table.url.is_some() {
        return Err(at("give either `url`, or `account` and `room`".to_owned()));
    }
    let Some(account) = file.accounts.get(name.as_ref().as_str()) else {
        let known = file.accounts.keys().map(|label| label.as_ref().as_str());
        return Err(at(format!("there is no account '{}'{}", name.as_ref(), meant(name.as_ref(), known))));
    };
    let located = match (&account.url, &account.platform) {
        (Some(url), None) => by_url(account, url, table),
        (None, Some(platform)) => by_parts(account, platform, table),
        _ => Err("its account needs a `url`, or `platform`, `endpoint` and `name`".to_owned()),
    };
    Ok((located.map_err(|why| (None, why))?, Some(name.as_ref())))
}

fn by_url(account: &AccountTable, url: &str, table: &RoomTable) -> Result<Located, String> {
    let Some(room) = &table.room else {
        return Err("which room it is, is missing; write for example `room = \"#one\"`".to_owned());
    };
    let parameters = account.more.iter().map(|(name, value)| (name.as_str(), value.to_string()));
    let url = room_url(url, parameters, room)?;
    let located = connect::understand(&url).map_err(|e| format!("{e:#}"))?;
    // A platform that passes on what it doesn't know would take a typo for part of the address.
    if let Ok(endpoint) = Url::parse(&located.account.endpoint)
        && let Some((name, _)) = endpoint.query_pairs().find(|(name, _)| account.more.contains_key(name.as_ref()))
    {
        return Err(format!("its account has `{name}`, which is no setting of {}", located.account.platform));
    }
    Ok(located)
}

fn by_parts(account: &AccountTable, platform: &str, table: &RoomTable) -> Result<Located, String> {
    let Some(known) = by_name(platform) else {
        let all = sameroom_platforms::all().iter().map(|platform| platform.about().name);
        return Err(format!("there is no platform '{platform}'{}", meant(platform, all)));
    };
    let (Some(endpoint), Some(name)) = (&account.endpoint, &account.name) else {
        return Err("its account has a `platform`, and so needs `endpoint` and `name`".to_owned());
    };
    let Some(key) = &table.key else {
        return Err("its account has a `platform` and no `url`, so the room needs its `key`".to_owned());
    };
    let settings = |value: &Option<serde_json::Value>| value.as_ref().map(without_nulls).unwrap_or_default();
    let secrets = account.more.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let draft = Draft {
        platform: known.about().name,
        endpoint: endpoint.clone(),
        identity: Identity { key: None, name: name.clone() },
        settings: settings(&account.settings),
        secrets,
        place: sameroom_model::Place::Alone,
    };
    let room = RoomDraft {
        key: RoomKey::from(key.as_str()),
        name: table.name.clone().unwrap_or_else(|| key.clone()),
        site: table.site.clone().unwrap_or_else(|| endpoint.clone()),
        settings: settings(&table.settings),
    };
    Ok(Located { account: draft, room })
}

/// `; did you mean 'x'?`, where there is something near.
fn meant<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|other| (distance(word, other), other)).min().filter(|(distance, _)| *distance <= 2);
    near.map_or_else(String::new, |(_, other)| format!("; did you mean '{other}'?"))
}

/// How many characters to add, drop or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(document: &str) -> String {
        let mut resolve = |name: &str, _: &str| Ok(format!("clear {name}"));
        read(document, &mut resolve).map(drop).expect_err("a mistake").join("\n")
    }

    #[test]
    fn the_example_is_understood() {
        let document = "[accounts.libera]\nurl = \"ircs://sameroom@irc.libera.chat\"\npassword = \"env:P\"\n\
            [rooms]\ntwo = \"ircs://irc.example.org/#two\"\n[rooms.one]\naccount = \"libera\"\nroom = \"#one\"\n\
            author = \"both\"\n[[tubes]]\nrooms = [\"one\", \"two\"]\n";
        let wanted = read(document, &mut |name, reference| Ok(format!("{name}={reference}"))).expect("no mistake");
        assert_eq!(wanted.accounts.len(), 2);
        let libera = wanted.accounts.iter().find(|account| account.label == "libera").expect("named");
        assert_eq!(libera.draft.secrets.get("password"), Some("password=env:P"));
        assert_eq!(wanted.rooms[0].draft.name, "#one");
        assert_eq!(wanted.tubes[0].ends, [0, 1]);
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let document = "[rooms]\none = \"ircs://irc.example.org/#one\"\ntwo = \"gopher://x/#two\"\n[[tubes]]\n\
            rooms = [\"one\", \"onne\"]\n[[tubes]]\nrooms = [\"one\", \"one\"]\n[[tubes]]\nrooms = [\"one\"]\n";
        let wrong = wrong(document);
        for part in [
            "line 3, column 1: room 'two': no platform reads 'gopher:' URLs",
            "line 5, column 17: there is no room 'onne'; did you mean 'one'?",
            "line 7, column 9: both ends are the room 'one'",
            "line 9, column 9: a Tube has two rooms, and here are 1",
        ] {
            assert!(wrong.contains(part), "{part}\n--\n{wrong}");
        }
    }

    #[test]
    fn t17_a_secret_in_plain_is_refused_and_not_shown() {
        let wrong = wrong("[rooms]\none = \"ircs://bot:hunter2@irc.example.org/#one\"\n");
        assert!(wrong.contains("line 2, column 1: room 'one': the secret 'password' stands here in plain"), "{wrong}");
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let wrong = wrong("[rooms.one]\nurl = \"ircs://irc.example.org/#one\"\nauthors = \"both\"\n");
        assert!(wrong.contains("line 3, column 1") && wrong.contains("authors"), "{wrong}");
        let account = "[accounts.a]\nurl = \"webhook+https://x.example/h\"\nsecret = \"env:S\"\nsecert_next = \"env:T\"\n\
            [rooms.r]\naccount = \"a\"\nroom = \"#main\"\n";
        assert!(
            self::wrong(account).contains("`secert_next`, which is no setting of webhook"),
            "{}",
            self::wrong(account)
        );
    }

    #[test]
    fn near_words_are_suggested() {
        assert_eq!(distance("one", "onne"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(meant("xyz", ["one"].into_iter()), "");
    }
}
