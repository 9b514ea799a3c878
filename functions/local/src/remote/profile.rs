//! Which Sameroom a command goes to, and by which key: flags, variables, named profiles in the configuration folder, or
//! the one that runs on this machine. Keys are in a file for its owner alone, and never shown.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::args::Target;
use super::problem::Failure;
use crate::output;

/// The name of the Sameroom on this machine.
const LOCAL: &str = "local";
/// The longest key that is read.
const KEY_MAX: u64 = 4096;

/// Whom to ask.
#[derive(Debug)]
pub(crate) enum Whom {
    /// The program that runs on this machine's data folder.
    Local,
    /// Another.
    Elsewhere { url: Url, key: SecretString },
}

impl Whom {
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere { .. })
    }
}

/// The file. No `Debug`: there are keys in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: Url,
    key: String,
}

/// Flags win over variables, and variables over the profile in use.
pub(crate) fn choose(target: &Target) -> anyhow::Result<Whom> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(url) = &target.url {
        return elsewhere(url.clone(), target.key_file.as_deref());
    }
    if let Some(name) = &target.profile {
        return named(&load()?, name);
    }
    if let Some(url) = variable("SAMEROOM_URL") {
        let url = url.parse().with_context(|| format!("SAMEROOM_URL is '{url}', which is no URL"))?;
        return elsewhere(url, target.key_file.as_deref());
    }
    if target.key_file.is_some() {
        bail!(Failure::key("--key-file needs the URL that the key is for: add --url URL"));
    }
    if let Some(name) = variable("SAMEROOM_PROFILE") {
        return named(&load()?, &name);
    }
    let file = load()?;
    match &file.current {
        Some(name) => named(&file, name),
        None => Ok(Whom::Local),
    }
}

/// `sameroom profile add`.
pub(crate) fn add(name: &str, target: &Target) -> anyhow::Result<()> {
    let sane = name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) && !name.is_empty();
    if !sane || name == LOCAL {
        bail!(Failure::refused(format!(
            "'{name}' can't be a profile's name; take letters, digits, - and _, not {LOCAL}"
        )));
    }
    let Some(url) = target.url.clone() else {
        bail!(Failure::refused("say where that Sameroom is: add --url URL"));
    };
    let url = checked(url)?;
    let key = match key(target.key_file.as_deref())? {
        Some(key) => key,
        None => ask_key()?,
    };
    let mut file = load()?;
    let first = file.profiles.is_empty();
    file.profiles.insert(name.to_owned(), Profile { url, key: key.expose_secret().to_owned() });
    if first {
        file.current.get_or_insert_with(|| name.to_owned());
    }
    let used = file.current.as_deref() == Some(name);
    store(&file)?;
    if used {
        say!("Profile {name} is added and in use. Try it: {} tubes list", output::myself());
    } else {
        say!("Profile {name} is added. Use it by --profile {name}, or always: {} profile use {name}", output::myself());
    }
    Ok(())
}

/// `sameroom profile list`.
pub(crate) fn list(json: bool) -> anyhow::Result<()> {
    let file = load()?;
    let used = file.current.as_deref().unwrap_or(LOCAL);
    if json {
        let items: Vec<_> = file
            .profiles
            .iter()
            .map(|(name, profile)| json!({ "name": name, "url": profile.url, "in_use": name == used }))
            .collect();
        output::json(&json!({ "items": items }));
        return Ok(());
    }
    let mark = |name: &str| if name == used { "*".to_owned() } else { String::new() };
    let mut rows = vec![vec![mark(LOCAL), LOCAL.to_owned(), "(on this machine)".to_owned()]];
    rows.extend(file.profiles.iter().map(|(name, at)| vec![mark(name), name.clone(), at.url.to_string()]));
    say!("{}", output::table(&["USED", "NAME", "URL"], &rows));
    Ok(())
}

/// `sameroom profile show`.
pub(crate) fn show(name: Option<&str>, json: bool) -> anyhow::Result<()> {
    let file = load()?;
    let name = name.or(file.current.as_deref()).unwrap_or(LOCAL);
    let url = match file.profiles.get(name) {
        Some(profile) => Some(&profile.url),
        None if name == LOCAL => None,
        None => bail!(unknown(&file, name)),
    };
    if json {
        output::json(&json!({ "name": name, "url": url, "in_use": file.current.as_deref().unwrap_or(LOCAL) == name }));
        return Ok(());
    }
    say!("{name}: {}", url.map_or_else(|| "the Sameroom on this machine".to_owned(), Url::to_string));
    Ok(())
}

/// `sameroom profile use`.
pub(crate) fn make_current(name: &str) -> anyhow::Result<()> {
    let mut file = load()?;
    if name != LOCAL && !file.profiles.contains_key(name) {
        bail!(unknown(&file, name));
    }
    file.current = Some(name.to_owned()).filter(|name| name != LOCAL);
    store(&file)?;
    say!("Commands go to {name} from now on.");
    Ok(())
}

/// `sameroom profile remove`.
pub(crate) fn remove(name: &str) -> anyhow::Result<()> {
    let mut file = load()?;
    if file.profiles.remove(name).is_none() {
        bail!(unknown(&file, name));
    }
    if file.current.as_deref() == Some(name) {
        file.current = None;
    }
    store(&file)?;
    say!("Profile {name} is forgotten. Its key is still valid there; `sameroom keys revoke` ends it.");
    Ok(())
}

fn named(file: &File, name: &str) -> anyhow::Result<Whom> {
    if name == LOCAL {
        return Ok(Whom::Local);
    }
    let Some(profile) = file.profiles.get(name) else { bail!(unknown(file, name)) };
    Ok(Whom::Elsewhere { url: profile.url.clone(), key: SecretString::from(profile.key.clone()) })
}

fn elsewhere(url: Url, key_file: Option<&Path>) -> anyhow::Result<Whom> {
    let url = checked(url)?;
    let Some(key) = key(key_file)? else {
        bail!(Failure::key(format!(
            "there is no key for {url}: give a file that has it by --key-file, or put it in SAMEROOM_KEY"
        )));
    };
    Ok(Whom::Elsewhere { url, key })
}

fn unknown(file: &File, name: &str) -> Failure {
    let known: Vec<&str> = file.profiles.keys().map(String::as_str).collect();
    let known =
        if known.is_empty() { "there is none yet".to_owned() } else { format!("there are: {}", known.join(", ")) };
    Failure::name(format!("no profile is called '{name}' ({known}); `sameroom profile add` adds one"))
}

/// The URL of an instance, without what does not belong there.
fn checked(mut url: Url) -> anyhow::Result<Url> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        bail!(Failure::refused(format!(
            "'{url}' is not the URL of a Sameroom; write for example https://rooms.example.org"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!(Failure::refused("no name or password belongs into the URL; the key goes into a file or SAMEROOM_KEY"));
    }
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/v1").to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// The key from a file, or from the variable.
fn key(file: Option<&Path>) -> anyhow::Result<Option<SecretString>> {
    let text = match file {
        Some(path) => {
            let mut text = String::new();
            std::fs::File::open(path)
                .and_then(|file| file.take(KEY_MAX).read_to_string(&mut text))
                .with_context(|| format!("the key file {} can't be read", path.display()))?;
            text
        }
        None => match std::env::var("SAMEROOM_KEY") {
            Ok(text) if !text.trim().is_empty() => text,
            _ => return Ok(None),
        },
    };
    proper(&text).map(Some)
}

fn ask_key() -> anyhow::Result<SecretString> {
    if std::io::stdin().is_terminal() {
        return proper(&super::show::ask("Key", true)?);
    }
    let mut text = String::new();
    std::io::stdin().take(KEY_MAX).read_to_string(&mut text).context("the key can't be read from standard input")?;
    proper(&text)
}

fn proper(text: &str) -> anyhow::Result<SecretString> {
    let text = text.trim();
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        bail!(Failure::key("that is no API key; one begins with sr_ and is a single word"));
    }
    Ok(SecretString::from(text.to_owned()))
}

/// `$XDG_CONFIG_HOME/sameroom/profiles.toml`, or `~/.config/sameroom/profiles.toml`.
fn path() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let folder = folder.context("there is no HOME to keep profiles in; use --url and --key-file instead")?;
    Ok(folder.join("sameroom/profiles.toml"))
}

fn load() -> anyhow::Result<File> {
    // Without a home there are no profiles.
    let Ok(path) = path() else { return Ok(File::default()) };
    match std::fs::read_to_string(&path) {
        // The error would show the line around it, which may be a key.
        Ok(text) => toml::from_str(&text).map_err(|e| {
            let message = e.message().to_owned();
            anyhow::anyhow!("{} is wrong: {message}; mend it, or remove it and add the profiles anew", path.display())
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(e) => Err(e).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// Writes it whole or not at all, for its owner alone.
fn store(file: &File) -> anyhow::Result<()> {
    let path = path()?;
    let unwritable = || format!("{} can't be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(unwritable)?;
    }
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut out =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).with_context(unwritable)?;
    out.write_all(toml::to_string(file)?.as_bytes()).and_then(|()| out.sync_all()).with_context(unwritable)?;
    std::fs::rename(&new, &path).with_context(unwritable)
}
