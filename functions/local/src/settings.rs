//! How the program is set up: flags over variables over the configuration file over defaults. The compiled-in default
//! file is the reference.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sameroom_engine::{CommandRules, Config, Who};
use sameroom_web::{Rate, RateLimits};
use sameroom_wire::Net;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::cli::ServeArgs;

/// Every setting with its default, commented.
#[cfg(test)]
const REFERENCE: &str = include_str!("../sameroom.default.toml");

/// How the program is set up.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<Url>,
    pub(crate) log: String,
    pub(crate) allow: Vec<Net>,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) durable: bool,
    pub(crate) dedup_window: Duration,
    pub(crate) engine: Config,
    pub(crate) limits: RateLimits,
}

/// The configuration file.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    public_url: Option<Url>,
    log: String,
    allow_network: Vec<String>,
    ca: Option<PathBuf>,
    store: StoreFile,
    relay: RelayFile,
    local_rooms: RoomsFile,
    commands: CommandsFile,
    api: ApiFile,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct StoreFile {
    durable: bool,
    dedup_window: Span,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct RelayFile {
    retry: Vec<Span>,
    unreachable: Vec<Span>,
    keep: Span,
    keep_failed: Span,
    keep_copies: Span,
    rooms_max: usize,
    echo_limit: u32,
    lag_slow: Span,
    lag_refuse: Span,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct RoomsFile {
    history_max: u64,
    history_keep: Span,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct ApiFile {
    per_minute: u32,
    burst: u32,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct CommandsFile {
    enabled: bool,
    connect: WhoFile,
    disable: WhoFile,
    format: WhoFile,
    ask: Option<String>,
}

/// `"anyone"`, `"nobody"`, or a list of people.
#[derive(Debug, PartialEq)]
struct WhoFile(Who);

impl Default for File {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            public_url: None,
            log: "warn".to_owned(),
            allow_network: Vec::new(),
            ca: None,
            store: StoreFile::default(),
            relay: RelayFile::default(),
            local_rooms: RoomsFile::default(),
            commands: CommandsFile::default(),
            api: ApiFile::default(),
        }
    }
}

impl Default for StoreFile {
    fn default() -> Self {
        Self { durable: true, dedup_window: Span(Duration::from_hours(1)) }
    }
}

impl Default for RelayFile {
    fn default() -> Self {
        let config = Config::default();
        Self {
            retry: config.retry.into_iter().map(Span).collect(),
            unreachable: config.unreachable.into_iter().map(Span).collect(),
            keep: Span(config.keep),
            keep_failed: Span(config.keep_failed),
            keep_copies: Span(config.keep_copies),
            rooms_max: config.rooms_max,
            echo_limit: config.echo_limit,
            lag_slow: Span(config.lag_slow),
            lag_refuse: Span(config.lag_refuse),
        }
    }
}

impl Default for RoomsFile {
    fn default() -> Self {
        let config = Config::default();
        Self { history_max: config.history_max, history_keep: Span(config.history_keep) }
    }
}

impl Default for ApiFile {
    fn default() -> Self {
        let Rate { per_minute, burst } = RateLimits::default().key;
        Self { per_minute, burst }
    }
}

impl Default for CommandsFile {
    fn default() -> Self {
        let CommandRules { enabled, connect, disable, format, ask } = CommandRules::default();
        Self { enabled, connect: WhoFile(connect), disable: WhoFile(disable), format: WhoFile(format), ask }
    }
}

impl CommandsFile {
    fn rules(self) -> CommandRules {
        let Self { enabled, connect, disable, format, ask } = self;
        CommandRules { enabled, connect: connect.0, disable: disable.0, format: format.0, ask }
    }
}

impl<'de> Deserialize<'de> for WhoFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let who = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "anyone" => Some(Who::Anyone),
            toml::Value::String(word) if word == "nobody" => Some(Who::Nobody),
            toml::Value::Array(users) => {
                let users: Option<Vec<String>> =
                    users.into_iter().map(|user| user.as_str().map(str::to_owned)).collect();
                users.map(Who::Users)
            }
            _ => None,
        };
        who.map(Self).ok_or_else(|| {
            serde::de::Error::custom("write \"anyone\", \"nobody\", or a list of people, for example [\"U024BE7LH\"]")
        })
    }
}

impl Settings {
    /// Puts together what flags, variables and the file say.
    pub(crate) fn load(args: &ServeArgs) -> anyhow::Result<Self> {
        let data = match &args.data {
            Some(data) => data.clone(),
            None => default_data()?,
        };
        let file = match &args.config {
            Some(path) => read(path)?,
            None => {
                let path = data.join("sameroom.toml");
                if path.exists() { read(&path)? } else { File::default() }
            }
        };
        let nets = if args.allow_network.is_empty() { file.allow_network } else { args.allow_network.clone() };
        let ca = args.ca.clone().or(file.ca);
        let public_url = args.public_url.clone().or(file.public_url);
        let mut engine = engine(file.relay, &file.local_rooms)?;
        engine.commands = file.commands.rules();
        engine.public_url = public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        let ApiFile { per_minute, burst } = file.api;
        if per_minute == 0 || burst == 0 {
            bail!("api.per_minute and api.burst are 1 at least");
        }
        Ok(Self {
            data,
            listen: args.listen.unwrap_or(file.listen),
            public_url,
            log: args.log.clone().unwrap_or(file.log),
            allow: nets
                .iter()
                .map(|net| net.parse().with_context(|| format!("'{net}' is not a network that can be allowed")))
                .collect::<anyhow::Result<_>>()?,
            ca: ca
                .map(|path| {
                    let shown = path.display().to_string();
                    std::fs::read(path).with_context(|| format!("the CA certificate {shown} can't be read"))
                })
                .transpose()?,
            durable: file.store.durable,
            dedup_window: file.store.dedup_window.0,
            engine,
            limits: RateLimits { key: Rate { per_minute, burst }, ..RateLimits::default() },
        })
    }
}

/// A setting as it is in force, and what says so.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) from: String,
}

/// Where each setting comes from. Those of the file's sections are listed where the file has them.
pub(crate) fn sources(args: &ServeArgs, settings: &Settings) -> anyhow::Result<Vec<Source>> {
    let path = args.config.clone().unwrap_or_else(|| settings.data.join("sameroom.toml"));
    let file: toml::Table = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)?,
        Err(_) => toml::Table::new(),
    };
    let own = |value: Option<&Url>| value.map_or_else(|| "(the listen address)".to_owned(), Url::to_string);
    let none = || "(none)".to_owned();
    let nets = |nets: &[String]| if nets.is_empty() { none() } else { nets.join(", ") };
    let mut found = Vec::new();
    let mut add = |name: &str, flag: Option<String>, value: String| {
        let variable = format!("SAMEROOM_{}", name.to_ascii_uppercase());
        let set = std::env::var(&variable).ok();
        let from = match flag {
            Some(flag) if set.as_ref() == Some(&flag) => variable,
            Some(_) => format!("--{}", name.replace('_', "-")),
            None if file.contains_key(name) => path.display().to_string(),
            None => "default".to_owned(),
        };
        found.push(Source { name: name.to_owned(), value, from });
    };
    let shown = |path: &PathBuf| path.display().to_string();
    add("data", args.data.as_ref().map(shown), settings.data.display().to_string());
    add("listen", args.listen.map(|address| address.to_string()), settings.listen.to_string());
    add("public_url", args.public_url.as_ref().map(Url::to_string), own(settings.public_url.as_ref()));
    add("log", args.log.clone(), settings.log.clone());
    let allowed = if args.allow_network.is_empty() {
        let in_file = file.get("allow_network").and_then(toml::Value::as_array).into_iter().flatten();
        in_file.filter_map(|net| net.as_str().map(str::to_owned)).collect()
    } else {
        args.allow_network.clone()
    };
    let flag = Some(args.allow_network.join(",")).filter(|nets| !nets.is_empty());
    add("allow_network", flag, nets(&allowed));
    let ca = args.ca.as_ref().map(shown);
    let ca_file = file.get("ca").and_then(toml::Value::as_str).map(str::to_owned);
    add("ca", ca.clone(), ca.or(ca_file).unwrap_or_else(none));
    for (section, table) in file.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        for (name, value) in table {
            let (name, from) = (format!("{section}.{name}"), path.display().to_string());
            found.push(Source { name, value: value.to_string(), from });
        }
    }
    Ok(found)
}

fn engine(relay: RelayFile, rooms: &RoomsFile) -> anyhow::Result<Config> {
    if relay.retry.is_empty() || relay.unreachable.is_empty() {
        bail!("relay.retry and relay.unreachable need at least one wait each, for example [\"5s\", \"1m\"]");
    }
    if rooms.history_max == 0 || relay.rooms_max == 0 {
        bail!("local_rooms.history_max and relay.rooms_max must be at least 1");
    }
    Ok(Config {
        retry: relay.retry.into_iter().map(|span| span.0).collect(),
        unreachable: relay.unreachable.into_iter().map(|span| span.0).collect(),
        keep: relay.keep.0,
        keep_failed: relay.keep_failed.0,
        keep_copies: relay.keep_copies.0,
        rooms_max: relay.rooms_max,
        echo_limit: relay.echo_limit,
        lag_slow: relay.lag_slow.0,
        lag_refuse: relay.lag_refuse.0,
        history_max: rooms.history_max,
        history_keep: rooms.history_keep.0,
        ..Config::default()
    })
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the configuration file {} can't be read", path.display()))?;
    // toml's error shows the line, the column and the text around it.
    toml::from_str(&text).map_err(|e| anyhow::anyhow!("the configuration file {} is wrong:\n{e}", path.display()))
}

/// `$XDG_DATA_HOME/sameroom`, or `~/.local/share/sameroom`.
fn default_data() -> anyhow::Result<PathBuf> {
    if let Some(home) = std::env::var_os("XDG_DATA_HOME").filter(|home| !home.is_empty()) {
        return Ok(PathBuf::from(home).join("sameroom"));
    }
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(".local/share/sameroom")),
        None => bail!("there is no HOME to keep data in; name a folder by --data DIR"),
    }
}

/// A time as it is written in the file: `500ms`, `5s`, `30m`, `24h`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("'{text}' is not a time; write for example 500ms, 5s, 30m or 24h"))
        })
    }
}

fn span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let n: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(n)),
        "s" => Some(Duration::from_secs(n)),
        "m" => n.checked_mul(60).map(Duration::from_secs),
        "h" => n.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_file_says_the_defaults() {
        let file: File = toml::from_str(REFERENCE).expect("the reference is well-formed");
        assert_eq!(file, File::default());
    }

    #[test]
    fn a_typo_is_named_with_its_line() {
        let e = toml::from_str::<File>("listen = \"127.0.0.1:1\"\nlisten_on = 3\n").expect_err("a typo").to_string();
        assert!(e.contains("line 2") && e.contains("listen_on"), "{e}");
    }

    #[test]
    fn who_may_do_what_is_a_word_or_a_list() {
        let rules = |text: &str| toml::from_str::<File>(text).map(|file| file.commands.rules());
        let set = rules("[commands]\nconnect = \"nobody\"\ndisable = [\"U1\", \"irc-x/ann\"]\nask = \"ops\"\n")
            .expect("it is right");
        assert_eq!((set.connect, set.format), (Who::Nobody, Who::Anyone));
        assert_eq!(set.disable, Who::Users(vec!["U1".to_owned(), "irc-x/ann".to_owned()]));
        let e = rules("[commands]\nconnect = \"me\"\n").expect_err("neither").to_string();
        assert!(e.contains("line 2") && e.contains("anyone"), "{e}");
    }

    #[test]
    fn times_are_written_with_their_unit() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("24h"), Some(Duration::from_hours(24)));
        assert_eq!(span("5"), None);
        assert_eq!(span("s"), None);
    }
}
