//! Writes a network file that applies to the state it was made from. How a room is named by a URL is the platforms' own
//! affair, and they only read URLs: so likely ones are tried, and one is used if it is read as that very room. What no
//! URL can say is written in parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sameroom_engine::Engine;
use sameroom_model::{Account, Room, RoomOptions, RoomRef, TubeState};
use sameroom_platforms::by_name;
use serde_json::Value;
use url::Url;

use super::file::room_url;
use super::without_nulls;
use crate::connect;
use crate::runtime::operator;

/// The network file of all that is there. Secrets are references to variables that are to be set; the tokens of rooms
/// living here are left out, since in the same data folder their names are enough.
pub(crate) async fn export(engine: &Engine) -> anyhow::Result<String> {
    let mut writer = Writer::default();
    for account in engine.accounts(&operator()).await? {
        let mut rooms = engine.rooms(&account.id).await?;
        rooms.sort_by(|a, b| (&a.name, &a.at).cmp(&(&b.name, &b.at)));
        if rooms.is_empty() {
            writer.bare.push(format!("{} on {}", account.identity.name, account.endpoint));
            continue;
        }
        if connect::is_local(&account.id) {
            writer.local(&rooms);
            continue;
        }
        let opened = engine.open_account(&account.id).await?;
        let secrets: Vec<String> =
            opened.iter().flat_map(|opened| opened.secrets.expose()).map(|(name, _)| name.to_owned()).collect();
        writer.account(&account, &rooms, &secrets);
    }
    let mut tubes = Vec::new();
    for tube in engine.tubes(&operator()).await? {
        let [a, b] = [&tube.ends[0].room, &tube.ends[1].room].map(|room| writer.labels.get(room).cloned());
        let (Some(a), Some(b)) = (a, b) else { continue };
        let state = match tube.state {
            TubeState::Open => "",
            TubeState::Paused => "paused = true\n",
            TubeState::Broken => "paused = true  # it broke by itself\n",
        };
        tubes.push([text(&a), text(&b), state.to_owned()]);
    }
    // In an order that says nothing about when each was made.
    tubes.sort();
    for [a, b, state] in tubes {
        let _ = writeln!(writer.tubes, "[[tubes]]\nrooms = [{a}, {b}]\n{state}");
    }
    Ok(writer.document())
}

#[derive(Default)]
struct Writer {
    accounts: String,
    rooms: String,
    tubes: String,
    /// Labels given, to accounts and to rooms.
    taken: [BTreeSet<String>; 2],
    labels: BTreeMap<RoomRef, String>,
    /// Variables to be set.
    variables: Vec<String>,
    /// Accounts without a room, which a file can't name.
    bare: Vec<String>,
}

impl Writer {
    fn local(&mut self, rooms: &[Room]) {
        for room in rooms {
            let mut url = format!("local:{}", local_name(&room.name));
            if rooms.iter().filter(|other| other.name == room.name).count() > 1 {
                // Its name is not enough.
                let _ = write!(url, "?token={}", room.at.key);
            }
            self.room(room, &format!("url = {}\n", text(&url)));
        }
    }

    fn account(&mut self, account: &Account, rooms: &[Room], secrets: &[String]) {
        let host = Url::parse(&account.endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| account.platform.clone());
        // Variables are named after it, and must not begin with a digit.
        let numeric = host.starts_with(|c: char| !c.is_ascii_alphabetic());
        let label = self.label(0, &if numeric { format!("{} {host}", account.platform) } else { host });
        let mut references = BTreeMap::new();
        for secret in secrets {
            let variable = variable(&label, secret);
            references.insert(secret.clone(), format!("env:{variable}"));
            self.variables.push(variable);
        }
        let _ = writeln!(self.accounts, "[accounts.{}]", key(&label));
        if let Some((base, names)) = by_url(account, rooms, &references) {
            let _ = writeln!(self.accounts, "url = {}", text(&base));
            for (room, name) in rooms.iter().zip(names) {
                self.room(room, &format!("account = {}\nroom = {}\n", text(&label), text(&name)));
            }
        } else {
            let (platform, endpoint, name) = (&account.platform, &account.endpoint, &account.identity.name);
            let _ = writeln!(self.accounts, "platform = {}", text(platform));
            let _ = writeln!(self.accounts, "endpoint = {}", text(endpoint));
            let _ = writeln!(self.accounts, "name = {}{}", text(name), settings(&account.settings));
            for room in rooms {
                let parts = format!(
                    "account = {}\nkey = {}\nname = {}\nsite = {}{}\n",
                    text(&label),
                    text(room.at.key.as_str()),
                    text(&room.name),
                    text(&room.site),
                    settings(&room.settings)
                );
                self.room(room, &parts);
            }
        }
        for (secret, reference) in &references {
            let _ = writeln!(self.accounts, "{} = {}", key(secret), text(reference));
        }
        self.accounts.push('\n');
    }

    fn room(&mut self, room: &Room, which: &str) {
        let label = self.label(1, &room.name);
        let _ = write!(self.rooms, "[rooms.{}]\n{which}", key(&label));
        let json = |options: RoomOptions| serde_json::to_value(options).unwrap_or_default();
        let (own, usual) = (json(room.options), json(RoomOptions::default()));
        for (name, value) in
            own.as_object().into_iter().flatten().filter(|(name, value)| usual.get(*name) != Some(*value))
        {
            let _ = writeln!(self.rooms, "{name} = {value}");
        }
        self.rooms.push('\n');
        self.labels.insert(room.at.clone(), label);
    }

    /// A label of its own, made from a name.
    fn label(&mut self, kind: usize, name: &str) -> String {
        let mut label: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        label = label.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        if label.is_empty() {
            "room".clone_into(&mut label);
        }
        let mut own = label.clone();
        let mut n = 2;
        while !self.taken[kind].insert(own.clone()) {
            own = format!("{label}-{n}");
            n += 1;
        }
        own
    }

    fn document(self) -> String {
        let mut out = "# Sameroom's network, as `sameroom export` wrote it. `sameroom apply FILE` makes it so again.\n"
            .to_owned();
        if !self.variables.is_empty() {
            out.push_str(
                "# Secrets stay in the data folder. Before applying this elsewhere, put them into these variables:\n",
            );
            self.variables.iter().for_each(|variable| {
                let _ = writeln!(out, "#   {variable}");
            });
        }
        if self.rooms.contains("\"local:") {
            out.push_str("# Rooms living here (local:) are known by name in this data folder; another one gives them new links.\n");
        }
        self.bare.iter().for_each(|account| {
            let _ = writeln!(out, "# Not in this file, since it has no room: the account {account}.");
        });
        out.push('\n');
        out + &self.accounts + &self.rooms + self.tubes.trim_end() + if self.tubes.is_empty() { "" } else { "\n" }
    }
}

/// The account's URL and what to call each room after it, if there are such that are read as these very rooms.
fn by_url(account: &Account, rooms: &[Room], references: &BTreeMap<String, String>) -> Option<(String, Vec<String>)> {
    bases(account).into_iter().find_map(|base| {
        let names = rooms.iter().map(|room| {
            let names =
                [room.name.clone(), format!("#{}", room.name), room.at.key.to_string(), format!("#{}", room.at.key)];
            names.into_iter().find(|name| reads(account, room, references, &base, name))
        });
        Some((base.clone(), names.collect::<Option<Vec<_>>>()?))
    })
}

/// URLs that may name the account, the shortest first.
fn bases(account: &Account) -> Vec<String> {
    let Some(platform) = by_name(&account.platform) else { return Vec::new() };
    let mut bases = Vec::new();
    for scheme in platform.about().schemes {
        let outer = scheme.split_once('+').filter(|(_, inner)| account.endpoint.starts_with(&format!("{inner}:")));
        let endpoint = match outer {
            Some((outer, _)) => format!("{outer}+{}", account.endpoint),
            None if account.endpoint.starts_with(&format!("{scheme}:")) => account.endpoint.clone(),
            None => continue,
        };
        let Ok(whole) = Url::parse(&endpoint) else { continue };
        let mut short = whole.clone();
        let _ = short.set_port(None);
        for mut url in [short, whole] {
            bases.push(url.to_string());
            if url.set_username(&account.identity.name).is_ok() {
                bases.push(url.into());
            }
        }
    }
    bases
}

/// Whether the URL of that base and name is read as that room of that account.
fn reads(account: &Account, room: &Room, references: &BTreeMap<String, String>, base: &str, name: &str) -> bool {
    let parameters = references.iter().map(|(name, reference)| (name.as_str(), reference.clone()));
    let Ok(url) = room_url(base, parameters, name) else { return false };
    let Ok(located) = connect::understand(&url) else { return false };
    let secrets: BTreeMap<_, _> = located.account.secrets.expose().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    connect::account_id(&located.account) == account.id
        && located.account.endpoint == account.endpoint
        && without_nulls(&located.account.settings) == without_nulls(&account.settings)
        && located.room.key == room.at.key
        && without_nulls(&located.room.settings) == without_nulls(&room.settings)
        && secrets == *references
}

/// A line of settings, where there are some.
fn settings(value: &Value) -> String {
    let value = without_nulls(value);
    if value.is_null() {
        return String::new();
    }
    toml::Value::try_from(value).map_or_else(|_| String::new(), |value| format!("\nsettings = {value}"))
}

/// A string as TOML writes it.
fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { text(name) }
}

fn variable(label: &str, secret: &str) -> String {
    let name = format!("{label}_{secret}");
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A room's name within its URL.
fn local_name(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        match c {
            '%' | '?' | '#' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
        out
    })
}
