//! `sameroom doctor`: looks at everything that can be wrong and says, for each, what to do. It changes nothing. What is
//! around the program is looked at here; what is within, by whoever has the store open ([`within`]).

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use sameroom_embedded::SystemClock;
use sameroom_engine::ports::Clock as _;
use sameroom_model::{Account, AccountState};
use sameroom_platforms::{Carrier, Dial, Input, Output, Platform, Tls, by_name};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use url::Url;

use crate::cli::ServeArgs;
use crate::connect;
use crate::control::{self, Ask, Desk};
use crate::runtime::{Runtime, operator};
use crate::settings::{self, Settings};

/// How long one endpoint may take.
const REACH: Duration = Duration::from_secs(5);
/// Less free space than this is a problem, in bytes.
const FREE_MIN: u64 = 100 << 20;
/// How far files may seem to be from the future, in seconds: clocks are set by small steps.
const AHEAD_MAX: u64 = 120;
/// Years in which this may run: a clock that was never set says 1970 or 2000.
const YEARS: std::ops::Range<i64> = 2025..2100;

/// What was found about one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) ok: bool,
    pub(crate) says: String,
}

/// Checks everything.
pub(crate) async fn everything(args: &ServeArgs) -> Vec<Check> {
    let settings = match Settings::load(args) {
        Ok(settings) => settings,
        // Nothing else can be told without.
        Err(e) => return vec![bad("configuration", format!("{e:#}"))],
    };
    let mut checks = vec![configuration(args, &settings)];
    let data = &settings.data;
    let there = control::must_exist(data).is_ok();
    checks.push(folder(data));
    checks.push(key(data, there));
    checks.push(clock(data));
    checks.push(space(data));
    if !there {
        checks.push(listen(&settings, None));
        checks.push(good("store", "there is none yet; it is made at the first start".to_owned()));
        return checks;
    }
    match control::ask(&settings, Ask::Status).await {
        Ok(status) => {
            let url = status["url"].as_str();
            checks.push(listen(&settings, url));
            checks.push(good(
                "program",
                match url {
                    Some(url) => format!("runs on {url}"),
                    None => "does not run just now; start it by `sameroom`".to_owned(),
                },
            ));
        }
        Err(e) => {
            checks.push(listen(&settings, None));
            checks.push(bad("store", format!("{e:#}")));
            return checks;
        }
    }
    match control::ask(&settings, Ask::Doctor).await {
        Ok(answer) => {
            let found: Vec<Check> = serde_json::from_value(answer["checks"].clone()).unwrap_or_default();
            checks.extend(found);
        }
        Err(e) => checks.push(bad("store", format!("{e:#}"))),
    }
    checks
}

/// Checks what only whoever has the store open can.
pub(crate) async fn within(desk: &Desk) -> Vec<Check> {
    let runtime = &desk.runtime;
    let mut checks = vec![store(runtime).await];
    if let Some(url) = &desk.url {
        checks.push(health(runtime, url).await);
    }
    match runtime.engine.accounts(&operator()).await {
        Ok(accounts) => {
            let mut looking = JoinSet::new();
            for (i, account) in accounts.into_iter().filter(|account| !connect::is_local(&account.id)).enumerate() {
                let runtime = runtime.clone();
                looking.spawn(async move { (i, account_check(&runtime, &account).await) });
            }
            let mut found = looking.join_all().await;
            found.sort_by_key(|(i, _)| *i);
            checks.extend(found.into_iter().map(|(_, check)| check));
        }
        Err(e) => checks.push(bad("accounts", e.why)),
    }
    checks
}

fn configuration(args: &ServeArgs, settings: &Settings) -> Check {
    match settings::sources(args, settings) {
        Ok(sources) => {
            let said = sources.iter().filter(|source| source.from != "default");
            let said: Vec<_> = said.map(|s| format!("{} = {} ({})", s.name, s.value, s.from)).collect();
            let defaults = sources.iter().filter(|source| source.from == "default").map(|s| s.name.as_str());
            let defaults = defaults.collect::<Vec<_>>().join(", ");
            let said = if said.is_empty() { String::new() } else { format!("{}; ", said.join(", ")) };
            good("configuration", format!("{said}defaults: {defaults}"))
        }
        Err(e) => bad("configuration", format!("{e:#}")),
    }
}

fn folder(data: &Path) -> Check {
    let name = "data folder";
    let shown = data.display();
    if !data.exists() {
        let above = data.ancestors().find(|above| above.exists());
        return match above {
            Some(above) if above.is_dir() => {
                good(name, format!("{shown} is not there yet; it is made at the first start"))
            }
            _ => bad(
                name,
                format!("{shown} can't be made, since a part of its path is no folder; name another by --data"),
            ),
        };
    }
    let probe = data.join(".sameroom-doctor");
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => good(name, format!("{shown} can be written")),
        Err(e) => bad(name, format!("{shown} can't be written ({e}); mend its permissions, or name another by --data")),
    }
}

fn key(data: &Path, store: bool) -> Check {
    let name = "key file";
    let path = data.join("sameroom.key");
    let shown = path.display();
    match path.metadata() {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            bad(name, format!("{shown} can be read by other users; run chmod 600 on it"))
        }
        Ok(about) if about.len() != 32 => {
            bad(name, format!("{shown} does not hold a key of 32 bytes; put its backup in its place"))
        }
        Ok(_) => good(name, format!("{shown} is there, for its owner alone; keep a copy apart from the store's")),
        Err(e) if e.kind() == ErrorKind::NotFound && store => {
            bad(name, format!("{shown} is missing; put its backup in its place, or give all secrets anew"))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            good(name, "there is none yet; it is made at the first start".to_owned())
        }
        Err(e) => bad(name, format!("{shown} can't be looked at ({e}); mend its permissions")),
    }
}

fn clock(data: &Path) -> Check {
    let name = "clock";
    let now = SystemClock.now();
    // Years of average length are enough to tell.
    let year = 1970 + now.as_second() / 31_556_952;
    if !YEARS.contains(&year) {
        return bad(name, format!("the system's clock says {now}, which can't be; set it, best by NTP"));
    }
    let files = ["sameroom.db", "sameroom.db-wal", "sameroom.lock"].map(|file| data.join(file));
    let newest = files.iter().filter_map(|path| path.metadata().ok()?.modified().ok()).max();
    let newest = newest.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs());
    let ahead = newest.saturating_sub(now.as_second().max(0) as u64);
    if ahead > AHEAD_MAX {
        let says = format!(
            "the data was last written {ahead} s after what the clock says now ({now}); set the clock, best by NTP: \
             signatures and waits depend on it"
        );
        return bad(name, says);
    }
    good(name, format!("{now:.0}"))
}

fn space(data: &Path) -> Check {
    let name = "disk";
    let at = data.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(at) {
        Ok(about) => {
            let free = about.f_bavail.saturating_mul(about.f_frsize);
            let shown = format!("{} MB are free at {}", free >> 20, at.display());
            if free < FREE_MIN {
                bad(name, format!("{shown}; make room, or nothing can be accepted"))
            } else {
                good(name, shown)
            }
        }
        Err(e) => bad(name, format!("how much is free at {} can't be told ({e})", at.display())),
    }
}

fn listen(settings: &Settings, running: Option<&str>) -> Check {
    let name = "listen address";
    let address = settings.listen;
    match TcpListener::bind(address) {
        Ok(_) => good(name, format!("{address} is free")),
        Err(e) if e.kind() == ErrorKind::AddrInUse && running.is_some() => good(name, format!("{address} is ours")),
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            bad(name, format!("{address} is in use by another program; choose another by --listen ADDR:PORT"))
        }
        Err(e) => bad(name, format!("{address} can't be listened on ({e}); choose another by --listen ADDR:PORT")),
    }
}

async fn store(runtime: &Runtime) -> Check {
    let name = "store";
    match runtime.store.check().await {
        Ok(wrong) if wrong.is_empty() => {}
        Ok(wrong) => {
            let first: Vec<_> = wrong.iter().take(3).map(String::as_str).collect();
            let says = format!("it is damaged ({}); stop, and put a backup in its place", first.join("; "));
            return bad(name, says);
        }
        Err(e) => return bad(name, e.why),
    }
    match sameroom_engine::ports::Store::census(&*runtime.store).await {
        Ok(census) if census.conserves() => good(name, "it is sound, and its counts add up".to_owned()),
        Ok(_) => bad(
            name,
            "it is sound, but its counts don't add up; please report this with `sameroom status --json`".to_owned(),
        ),
        Err(e) => bad(name, e.why),
    }
}

/// Whether people and platforms can reach the running program by its URL.
async fn health(runtime: &Runtime, url: &str) -> Check {
    let name = "public URL";
    let address = format!("{}/healthz", url.trim_end_matches('/'));
    let Ok(request) = http::Request::get(&address).body(Bytes::new()) else {
        return bad(name, format!("{url} is not a URL that can be asked; mend it by --public-url"));
    };
    let cure = "see that --public-url is right, and that whatever stands in front passes requests on";
    match tokio::time::timeout(REACH, runtime.http.send(request)).await {
        Ok(Ok(answer)) if answer.status().is_success() && answer.body().as_ref() == b"ok\n" => {
            good(name, format!("{url} answers"))
        }
        Ok(Ok(answer)) => bad(name, format!("{url} answers {} and is not this Sameroom; {cure}", answer.status())),
        Ok(Err(e)) => bad(name, format!("{url} can't be reached ({e}); {cure}")),
        Err(_) => bad(name, format!("{url} does not answer within {} s; {cure}", REACH.as_secs())),
    }
}

async fn account_check(runtime: &Runtime, account: &Account) -> Check {
    let name = format!("account {} on {}", account.identity.name, account.endpoint);
    let Some(platform) = by_name(&account.platform) else {
        return bad(&name, format!("its platform, {}, is not known to this version", account.platform));
    };
    match &account.state {
        AccountState::NeedsOwner(why) => return bad(&name, why.clone()),
        AccountState::Ok | AccountState::Trouble(_) => {}
    }
    let dial = match dial(runtime, account, platform).await {
        Ok(Some(dial)) => dial,
        Ok(None) => return good(&name, "nothing needs to be reached".to_owned()),
        Err(why) => return bad(&name, why),
    };
    match (tokio::time::timeout(REACH, runtime.dialer(account).open(&dial)).await, &account.state) {
        (Ok(Ok(_)), AccountState::Trouble(why)) => {
            bad(&name, format!("it can be reached, but: {why}; this is being retried"))
        }
        (Ok(Ok(_)), _) => good(&name, "it can be reached".to_owned()),
        (Ok(Err(why)), _) => bad(&name, format!("{why}; check its address and the network, this is being retried")),
        (Err(_), _) => {
            bad(&name, format!("no connection within {} s; check its address and the network", REACH.as_secs()))
        }
    }
}

/// Where an account is reached. A held connection says so by itself.
async fn dial(runtime: &Runtime, account: &Account, platform: &dyn Platform) -> Result<Option<Dial>, String> {
    let opened = runtime.engine.open_account(&account.id).await.map_err(|e| e.why)?;
    match platform.about().capabilities.carrier {
        Carrier::Hosted => Ok(None),
        Carrier::Http => {
            let wrong = || format!("its endpoint is not a URL; add the account again, as {}", platform.about().example);
            let url = Url::parse(&account.endpoint).map_err(|_| wrong())?;
            let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
            let port = url.port_or_known_default().ok_or_else(wrong)?;
            Ok(Some(Dial::Tcp { host, port, tls: (url.scheme() == "https").then(Tls::default) }))
        }
        Carrier::Session => {
            let rooms = runtime.engine.joined(&account.id).await.map_err(|e| e.why)?;
            let Some(mut session) = opened.as_ref().and_then(|opened| platform.session(opened, 0)) else {
                return Ok(None);
            };
            session.handle(Input::Rooms(rooms), runtime.clock.now());
            while let Some(output) = session.poll() {
                if let Output::Open(_, dial) = output {
                    return Ok(Some(dial));
                }
            }
            Ok(None)
        }
    }
}

fn good(name: &str, says: String) -> Check {
    Check { name: name.to_owned(), ok: true, says }
}

fn bad(name: &str, says: String) -> Check {
    Check { name: name.to_owned(), ok: false, says }
}
