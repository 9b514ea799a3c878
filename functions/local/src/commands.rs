//! The commands that ask and print. What they ask is answered by [`control::answer`], in the running program or here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sameroom_platforms::{AuthorShown, Capabilities, Carrier, Files, Platform, Support, Unit, Urls, by_name};
use serde_json::{Value, json};
use url::Url;

use crate::cli::{DeliveriesAction, KeyScope, ServeArgs};
use crate::control::{self, Ask};
use crate::network::apply::Applied;
use crate::settings::Settings;
use crate::{backup, doctor, network, output, secrets, serve};

/// The longest network file, in bytes.
const DOCUMENT_MAX: u64 = 1 << 20;

pub(crate) fn platforms(one: Option<&str>, json: bool) -> anyhow::Result<()> {
    if let Some(name) = one {
        known(name)?;
    }
    let all = sameroom_platforms::all().iter().map(|platform| platform.about());
    let all = all.filter(|about| one.is_none_or(|one| about.name == one));
    if json {
        let all: Vec<Value> = all
            .map(|about| {
                json!({
                    "name": about.name,
                    "title": about.title,
                    "schemes": about.schemes,
                    "example": about.example,
                    "proven": about.proven,
                    "capabilities": about.capabilities,
                })
            })
            .collect();
        output::json(&Value::Array(all));
        return Ok(());
    }
    let heading =
        ["PLATFORM", "CONNECTION", "EDITS", "DELETES", "REPLIES", "REACTIONS", "AUTHOR", "FILES", "TEXT", "PROVEN BY"];
    let rows: Vec<Vec<String>> = all
        .clone()
        .map(|about| {
            let mut row = vec![about.title.to_owned()];
            row.extend(abilities(&about.capabilities));
            row.push(about.proven.to_owned());
            row
        })
        .collect();
    say!("{}\n", output::table(&heading, &rows));
    let rooms: Vec<Vec<String>> = all.map(|about| vec![about.title.to_owned(), about.example.to_owned()]).collect();
    say!("{}", output::table(&["PLATFORM", "A ROOM'S URL"], &rooms));
    Ok(())
}

/// Prints what to paste into a platform's own settings so that an app exists there for this Sameroom.
pub(crate) fn manifest(name: &str, public: Option<&Url>, app: Option<&str>, socket: bool) -> anyhow::Result<()> {
    let platform = known(name)?;
    let base = public.map(|url| url.as_str().trim_end_matches('/'));
    let hooks = base.zip(app).map(|(base, app)| format!("{base}/hooks/{name}/{app}"));
    let back = base.map(|base| format!("{base}{}", sameroom_web::RETURN));
    let urls = Urls { hooks: hooks.as_deref().filter(|_| !socket), back: back.as_deref(), held: socket };
    let Some(text) = platform.manifest(&urls) else {
        bail!(
            "{} wants nothing pasted into its settings; add an account by `sameroom accounts add {name}`",
            platform.about().title
        );
    };
    output::document(&format!("{}\n", text.trim_end())).context("the manifest could not be written whole")?;
    if !socket && base.is_none() {
        tell!(
            "Give the public URL by --url URL, or choose a held connection by --socket; the manifest needs one of them."
        );
    } else if !socket && hooks.is_none() {
        tell!("Once the app's account is added, run this again with --app ACCOUNT-ID, and paste the webhook address.");
    }
    Ok(())
}

pub(crate) fn apply(args: &ServeArgs, file: &Path, dry_run: bool, prune: bool, json: bool) -> anyhow::Result<()> {
    let settings = begin(args, json)?;
    let document = read(file)?;
    // Every mistake is found here, where the variables are; the running program may have others.
    let mut looked_up = BTreeMap::new();
    let mut resolve = |name: &str, reference: &str| {
        let value = secrets::resolve_one(name, reference).map_err(|e| format!("{e:#}"))?;
        looked_up.insert(reference.to_owned(), value.clone());
        Ok(value)
    };
    if let Err(mistakes) = network::file::read(&document, &mut resolve) {
        bail!("the network file {} is wrong, and nothing was changed:\n{}", file.display(), mistakes.join("\n"));
    }
    let answer = ask(&settings, "applying", Ask::Apply { document, secrets: looked_up, dry_run, prune })?;
    if json {
        output::json(&answer);
        return Ok(());
    }
    let applied: Applied = serde_json::from_value(answer)?;
    if applied.changes.is_empty() {
        say!("Nothing to do: it is as the file says.");
    }
    applied.changes.iter().for_each(|change| say!("{change}"));
    if dry_run && !applied.changes.is_empty() {
        say!("\nNothing was changed; leave out --dry-run to do this.");
    }
    if applied.left > 0 {
        say!(
            "\n{} not in the file; --prune removes {}.",
            count(applied.left as u64, "Tube is", "Tubes are"),
            if applied.left == 1 { "it" } else { "them" }
        );
    }
    Ok(())
}

pub(crate) fn export(args: &ServeArgs, json: bool) -> anyhow::Result<()> {
    let settings = begin_there(args, json)?;
    let answer = ask(&settings, "reading", Ask::Export)?;
    if json {
        output::json(&answer);
    } else {
        output::document(answer["document"].as_str().unwrap_or_default())
            .context("the network file could not be written whole; make room and export again")?;
    }
    Ok(())
}

pub(crate) fn doctor(args: &ServeArgs, json: bool) -> anyhow::Result<()> {
    // A wrong configuration is one of the things to be told.
    let _ = Settings::load(args).and_then(|settings| serve::logging(&settings.log, json));
    let checks = runtime()?.block_on(output::patiently("looking", doctor::everything(args)));
    let wrong = checks.iter().filter(|check| !check.ok).count();
    if json {
        output::json(&json!({ "ok": wrong == 0, "checks": checks }));
    } else {
        for check in &checks {
            say!("{} {}: {}", output::mark(check.ok), check.name, check.says);
        }
    }
    match wrong {
        0 => Ok(()),
        n => bail!("{} wrong", count(n as u64, "thing is", "things are")),
    }
}

pub(crate) fn backup(args: &ServeArgs, file: &Path, with_key: bool, json: bool) -> anyhow::Result<()> {
    let settings = begin_there(args, json)?;
    let path = std::path::absolute(file).with_context(|| format!("{} can't be a file", file.display()))?;
    let key = backup::key_path(&path);
    backup::must_not_exist(&path)?;
    if with_key {
        backup::must_not_exist(&key)?;
    }
    let mut answer = ask(&settings, "copying", Ask::Backup { path: path.clone() })?;
    if with_key {
        backup::write_key(&settings.data, &key)?;
        answer["key"] = json!(key);
    }
    if json {
        output::json(&answer);
        return Ok(());
    }
    say!("{} {} ({} bytes)", output::mark(true), path.display(), answer["bytes"]);
    if with_key {
        say!("{} {}  (whoever has both can read the secrets; keep them apart)", output::mark(true), key.display());
    } else {
        let own = settings.data.join("sameroom.key");
        say!("Keep a copy of {} too, apart from this one: without it the secrets can't be opened.", own.display());
    }
    say!("To restore: stop Sameroom, put this file as sameroom.db and the key as sameroom.key (mode 600) into a new");
    say!("folder, and start `sameroom --data FOLDER`.");
    Ok(())
}

pub(crate) fn add_key(
    args: &ServeArgs,
    name: String,
    scopes: &[KeyScope],
    days: Option<u32>,
    json: bool,
) -> anyhow::Result<()> {
    let settings = begin(args, json)?;
    let scopes = scopes.iter().map(|scope| (*scope).into()).collect();
    let answer = ask(&settings, "making", Ask::AddKey { name, scopes, days })?;
    if json {
        output::json(&answer);
        return Ok(());
    }
    // The token alone goes to standard output, so that a script can take it.
    tell!(
        "{} {} ({})",
        output::mark(true),
        word(&answer["id"]),
        list_of(&answer["scopes"]).iter().map(word).collect::<Vec<_>>().join(", ")
    );
    tell!("Its token follows. It is not shown again; send it as `Authorization: Bearer TOKEN`.");
    say!("{}", word(&answer["token"]));
    Ok(())
}

pub(crate) fn deliveries(args: &ServeArgs, action: DeliveriesAction, json: bool) -> anyhow::Result<()> {
    let settings = begin_there(args, json)?;
    match action {
        DeliveriesAction::List => list(&ask(&settings, "reading", Ask::Deliveries)?, json),
        DeliveriesAction::Replay { id, .. } => {
            let answer = ask(&settings, "replaying", Ask::Replay { id })?;
            if json {
                output::json(&answer);
            } else {
                say!(
                    "{} again, in order; `sameroom deliveries` lists what fails once more.",
                    count(number(&answer["replayed"]), "is tried", "are tried")
                );
                for kept in list_of(&answer["kept"]) {
                    say!("{} {}: still not understood: {}", output::mark(false), word(&kept["id"]), word(&kept["why"]));
                }
            }
        }
        DeliveriesAction::Resume { lane, .. } => {
            let answer = ask(&settings, "resuming", Ask::Resume { lane })?;
            if json {
                output::json(&answer);
            } else {
                say!("{} on.", count(number(&answer["resumed"]), "lane goes", "lanes go"));
            }
        }
    }
    Ok(())
}

pub(crate) fn status(args: &ServeArgs, json: bool) -> anyhow::Result<()> {
    let settings = begin_there(args, json)?;
    let answer = ask(&settings, "reading", Ask::Status)?;
    if json {
        output::json(&answer);
        return Ok(());
    }
    match answer["url"].as_str() {
        Some(url) => say!("{} runs on {url}", output::bold("Sameroom")),
        None => say!("{} does not run; `sameroom` starts it", output::bold("Sameroom")),
    }
    say!("Data: {}\n", settings.data.display());
    let tubes: Vec<Vec<String>> = list_of(&answer["tubes"])
        .iter()
        .map(|tube| {
            vec![list_of(&tube["rooms"]).iter().map(word).collect::<Vec<_>>().join(" ⇄ "), word(&tube["state"])]
        })
        .collect();
    say!("{}\n", output::table(&["TUBE", "STATE"], &tubes));
    lanes(&answer["lanes"]);
    let accounts = list_of(&answer["accounts"]);
    if !accounts.is_empty() {
        let rows: Vec<Vec<String>> = accounts
            .iter()
            .map(|a| {
                let why = a["why"].as_str().map_or_else(String::new, |why| format!(": {why}"));
                let state = format!("{}{why}", word(&a["state"]).replace('_', " "));
                vec![word(&a["name"]), word(&a["endpoint"]), state]
            })
            .collect();
        say!("{}\n", output::table(&["ACCOUNT", "WHERE", "STATE"], &rows));
    }
    let (tally, waiting) = (&answer["census"]["tally"], &answer["census"]["waiting"]);
    let n = |name: &str| number(&tally[name]);
    say!(
        "Events: {} accepted, {} waiting. Copies: {} owed, {} delivered, {} waiting, {} failed, {} expired, {} left out.",
        n("accepted"),
        number(&waiting["events"]),
        n("owed"),
        n("delivered"),
        number(&waiting["outbox"]),
        n("dead"),
        n("expired"),
        n("left_out"),
    );
    Ok(())
}

fn list(answer: &Value, json: bool) {
    if json {
        return output::json(answer);
    }
    let (failed, requests) = (list_of(&answer["failed"]), list_of(&answer["requests"]));
    if failed.is_empty() && requests.is_empty() {
        say!("Nothing failed.");
    }
    if !failed.is_empty() {
        let rows: Vec<Vec<String>> = failed
            .iter()
            .map(|f| ["at", "what", "from", "to", "why", "id"].iter().map(|name| word(&f[*name])).collect())
            .collect();
        say!("{}", output::table(&["GIVEN UP", "WHAT", "FROM", "TO", "WHY", "ID"], &rows));
        say!("\n{}\n", output::dim("Try again by: sameroom deliveries replay ID, or --all"));
    }
    if !requests.is_empty() {
        let rows: Vec<Vec<String>> = requests
            .iter()
            .map(|r| ["at", "account", "why", "id"].iter().map(|name| word(&r[*name])).collect())
            .collect();
        say!("Requests that were proven but not understood; they can be replayed once a newer version does:");
        say!("{}\n", output::table(&["CAME", "ACCOUNT", "WHY", "ID"], &rows));
    }
    lanes(&answer["lanes"]);
}

fn lanes(lanes: &Value) {
    let lanes = list_of(lanes);
    if lanes.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = lanes
        .iter()
        .map(|lane| {
            let parked = lane["parked"].as_str().map_or_else(|| "waiting".to_owned(), |why| format!("parked: {why}"));
            vec![word(&lane["from"]), word(&lane["to"]), word(&lane["waiting"]), parked, word(&lane["id"])]
        })
        .collect();
    say!("{}", output::table(&["FROM", "TO", "WAITING", "STATE", "LANE"], &rows));
    if lanes.iter().any(|lane| lane["parked"].is_string()) {
        say!("\n{}", output::dim("Let a parked lane go on by: sameroom deliveries resume LANE, or --all"));
    }
    say!("");
}

/// The platform of that name.
fn known(name: &str) -> anyhow::Result<&'static dyn Platform> {
    by_name(name).with_context(|| {
        let names: Vec<&str> = sameroom_platforms::all().iter().map(|platform| platform.about().name).collect();
        format!("no platform is called '{name}'; there are: {}", names.join(", "))
    })
}

/// Reads the settings and starts logging.
fn begin(args: &ServeArgs, json: bool) -> anyhow::Result<Settings> {
    let settings = Settings::load(args)?;
    serve::logging(&settings.log, json)?;
    Ok(settings)
}

/// Likewise, for what makes no store.
fn begin_there(args: &ServeArgs, json: bool) -> anyhow::Result<Settings> {
    let settings = begin(args, json)?;
    control::must_exist(&settings.data)?;
    Ok(settings)
}

fn ask(settings: &Settings, doing: &str, ask: Ask) -> anyhow::Result<Value> {
    runtime()?.block_on(output::patiently(doing, control::ask(settings, ask)))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the program can't start its threads")
}

fn read(file: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("the network file {} can't be read", file.display());
    let size = std::fs::metadata(file).with_context(unreadable)?.len();
    if size > DOCUMENT_MAX {
        bail!("the network file {} is longer than {DOCUMENT_MAX} bytes", file.display());
    }
    std::fs::read_to_string(PathBuf::from(file)).with_context(unreadable)
}

/// The columns of a platform's abilities.
fn abilities(can: &Capabilities) -> Vec<String> {
    let support = |support| match support {
        Support::Native => "yes",
        Support::Sometimes => "if the server can",
        Support::Line => "as a line",
        Support::Never => "no",
    };
    let carrier = match can.carrier {
        Carrier::Http => "requests",
        Carrier::Session => "held",
        Carrier::Hosted => "lives here",
    };
    let author = match can.author {
        AuthorShown::Native => "native",
        AuthorShown::Prefix => "prefix",
    };
    let files = match can.files {
        Files::Link => "links".to_owned(),
        Files::Upload { max } => format!("up to {} MB", max >> 20),
    };
    let unit = match can.text.unit {
        Unit::Bytes => "bytes",
        Unit::Chars | Unit::Utf16 => "chars",
    };
    let mut row = vec![carrier.to_owned()];
    row.extend([can.edit, can.delete, can.reply, can.react].map(|s| support(s).to_owned()));
    row.extend([author.to_owned(), files, format!("{} {unit}", can.text.max)]);
    row
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
