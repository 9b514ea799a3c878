//! `sameroom serve`, `sameroom connect` and `sameroom` alone: opens the data folder, connects what is to be connected,
//! serves until it is told to stop, and then ends in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sameroom_engine::{Engine, Pump};
use sameroom_model::{AccountId, AccountState, MadeBy, Room, RoomRef, Tube};
use sameroom_platforms::{Carrier, RoomDraft, by_name};
use sameroom_web::{LOCAL_ACCOUNT, Options, local_draft};
use sameroom_wire::News;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::ServeArgs;
use crate::connect::{self, Pair};
use crate::control::{self, Desk, Socket};
use crate::runtime::{Runtime, operator};
use crate::settings::Settings;
use crate::{output, server};

/// How long work that is under way may take to finish after we were told to stop.
const PATIENCE: Duration = Duration::from_secs(9);
/// Where rooms living here are, as people are told.
pub(crate) const LOCAL_SITE: &str = "this Sameroom";
/// The rooms of a newcomer.
const FIRST_ROOMS: [&str; 2] = ["Kitchen", "Garden"];

/// Runs until told to stop.
pub(crate) fn main(args: &ServeArgs, pairs: Vec<Pair>, json: bool) -> anyhow::Result<()> {
    let settings = Settings::load(args)?;
    logging(&settings.log, json)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        .enable_all()
        .build()
        .context("the program can't start its threads")?;
    runtime.block_on(run(settings, pairs, json))
}

/// Logs to standard error: JSON lines for programs, short lines for people.
pub(crate) fn logging(filter: &str, json: bool) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("'{filter}' is not a log filter; write for example warn, or sameroom_engine=debug"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::colours_told());
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).compact().init();
    }
    Ok(())
}

async fn run(mut settings: Settings, pairs: Vec<Pair>, json: bool) -> anyhow::Result<()> {
    // Bound first: a port in use is the commonest mistake, and nothing is changed by then.
    let listener = bind(settings.listen).await?;
    let address = listener.local_addr().context("the listen address can't be read")?;
    let base = settings
        .public_url
        .as_ref()
        .map_or_else(|| format!("http://{address}"), |url| url.as_str().trim_end_matches('/').to_owned());
    if settings.public_url.is_none() && address.ip().is_loopback() {
        // Good enough for links: whoever types in a room here is on this machine, or comes through the operator.
        settings.engine.public_url = Some(base.clone());
    }
    let mut signals = Signals::catch()?;
    let runtime = Arc::new(Runtime::open(&settings)?);
    runtime.check_secrets().await?;
    for pair in &pairs {
        connect::make(&runtime.engine, &operator(), pair).await?;
    }
    let scene = scene(&runtime.engine).await?;
    let (stop, stopping) = watch::channel(false);
    let pump = Pump::start(&runtime.engine);
    let supervisor = runtime.supervisor(move |news| tell(news, json));
    let held = stopping.clone();
    let sessions = tokio::spawn(async move { supervisor.run(held).await });
    if runtime.sends_requests().await? {
        let http = runtime.http.clone();
        // Reading the system's certificates takes a while; the first message need not wait for it.
        tokio::spawn(async move { http.warm().await });
    }
    let desk = Desk { runtime: runtime.clone(), url: Some(base.clone()) };
    let control = tokio::spawn(control::listen(desk, Socket::bind(&settings.data), stopping.clone()));
    let hint = scene.newcomer.then(try_next);
    let base_told = Arc::new(base.clone().into());
    let options = Options { hint, base: base_told, limits: settings.limits, ..Options::default() };
    let router = sameroom_web::router_with(runtime.engine.clone(), options);
    let commands = tokio::spawn(control::serve_api(&settings.data, router.clone(), stopping.clone()));
    let serving = tokio::spawn(server::run(listener, router, stopping.clone()));
    announce(&settings, &base, &scene, json);

    let outcome = tokio::select! {
        name = signals.told() => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        e = runtime.store.failed() => {
            Err(anyhow::anyhow!("{e}; nothing accepted is lost: mend the disk and start again"))
        }
    };
    // Intake first, then what is under way, then the connections.
    let _ = stop.send(true);
    let end = async {
        pump.stop(PATIENCE).await;
        let _ = sessions.await;
        let _ = serving.await;
        let _ = control.await;
        let _ = commands.await;
    };
    if tokio::time::timeout(PATIENCE, end).await.is_err() {
        tracing::warn!("not everything ended in time; it comes again after the next start");
    }
    runtime.store.close().await.context("the store did not close in order; nothing is lost by that")?;
    outcome
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "{address} is in use, perhaps by another Sameroom; choose another by --listen {}:{}",
            address.ip(),
            address.port().wrapping_add(1).max(1024)
        ),
        Err(e) => bail!("{address} can't be listened on ({e}); choose another address by --listen ADDR:PORT"),
    }
}

/// The signals that end the program. Caught before it says that it is ready: whoever reads that may send one at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("signals can't be listened for");
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn told(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What is there to be seen.
struct Scene {
    /// Nothing is connected but the two rooms of a newcomer.
    newcomer: bool,
    /// Tubes, with the rooms at their ends.
    tubes: Vec<(Tube, [Option<Room>; 2])>,
    /// Rooms that live here.
    local: Vec<Room>,
    /// Accounts that are told by webhook, with their platforms.
    hooks: BTreeMap<AccountId, String>,
}

/// Looks at what is configured; makes the newcomer's rooms when that is nothing, and never was.
async fn scene(engine: &Engine) -> anyhow::Result<Scene> {
    if engine.accounts(&operator()).await?.is_empty() {
        first_rooms(engine).await?;
    }
    let mut tubes = Vec::new();
    for tube in engine.tubes(&operator()).await? {
        let rooms = [engine.room(&tube.ends[0].room).await?, engine.room(&tube.ends[1].room).await?];
        tubes.push((tube, rooms));
    }
    let here = |room: &RoomRef| room.account.as_str() == LOCAL_ACCOUNT;
    Ok(Scene {
        newcomer: tubes.iter().all(|(tube, _)| tube.ends.iter().all(|end| here(&end.room))),
        tubes,
        local: engine.rooms(&LOCAL_ACCOUNT.into()).await?,
        hooks: engine
            .accounts(&operator())
            .await?
            .into_iter()
            .filter(|account| {
                by_name(&account.platform)
                    .is_some_and(|platform| platform.about().capabilities.carrier == Carrier::Http)
            })
            .map(|account| (account.id, account.platform))
            .collect(),
    })
}

/// Two rooms that live here, already connected.
async fn first_rooms(engine: &Engine) -> anyhow::Result<()> {
    let mut rooms = Vec::new();
    local_account(engine).await?;
    for name in FIRST_ROOMS {
        rooms.push(local_room(engine, name).await?);
    }
    engine.connect([&operator(), &operator()], [&rooms[0].at, &rooms[1].at], MadeBy::Operator).await?;
    Ok(())
}

/// The account that the rooms living here belong to.
pub(crate) async fn local_account(engine: &Engine) -> anyhow::Result<()> {
    engine.add_account_as(LOCAL_ACCOUNT.into(), &operator(), &local_draft()).await?;
    Ok(())
}

async fn local_room(engine: &Engine, name: &str) -> anyhow::Result<Room> {
    let mut draft = RoomDraft {
        key: "".into(),
        name: name.to_owned(),
        site: LOCAL_SITE.to_owned(),
        settings: serde_json::Value::Null,
    };
    connect::give_token(engine, &mut draft).await?;
    Ok(engine.add_room(&LOCAL_ACCOUNT.into(), &draft).await?)
}

/// 256 random bits: whoever has it may come in.
pub(crate) fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn announce(settings: &Settings, base: &str, scene: &Scene, json: bool) {
    let page = page(base, scene);
    if json {
        let tubes: Vec<_> = scene.tubes.iter().map(|(tube, rooms)| json!({"id": tube.id, "rooms": rooms})).collect();
        say!("{}", json!({"ready": true, "url": base, "page": page, "tubes": tubes, "data": settings.data}));
        return;
    }
    say!("{} is ready on {base}", output::bold("Sameroom"));
    if let (true, Some(page)) = (scene.newcomer, &page) {
        say!("\nTwo rooms, already connected. Open this page and type in one of them:\n");
        say!("  {}\n", output::bold(page));
        for line in try_next() {
            say!("{line}");
        }
    } else {
        say!("");
        for (tube, rooms) in &scene.tubes {
            let name = |room: &Option<Room>| {
                room.as_ref().map_or_else(|| "(gone)".to_owned(), |room| format!("{} on {}", room.name, room.site))
            };
            say!("  {} ⇄ {}  {}", name(&rooms[0]), name(&rooms[1]), output::dim(tube.id.as_str()));
            for end in &tube.ends {
                if let Some(platform) = scene.hooks.get(&end.room.account) {
                    say!("      {}", output::dim(&format!("POST {base}/hooks/{platform}/{}", end.room.account)));
                }
            }
        }
        if let Some(page) = page {
            say!("\nRooms that live here: {page}");
        }
    }
    say!("\n{}", output::dim(&format!("Data: {} · stop with Ctrl-C", settings.data.display())));
}

/// Tells how accounts fare: people on the terminal, programs in the log.
fn tell(news: &News<'_>, quiet: bool) {
    match *news {
        News::State { account, state: AccountState::Ok, .. } if quiet => tracing::info!(account, "connected"),
        News::State { account, state: AccountState::Ok, .. } => {
            tell!("{} connected: {account}", output::mark_told(true, "✓"));
        }
        News::State { new: false, .. } => {}
        News::State { account, state: AccountState::Trouble(why), .. } if quiet => {
            tracing::warn!(account, why, "an account is in trouble");
        }
        News::State { account, state: AccountState::NeedsOwner(why), .. } if quiet => {
            tracing::warn!(account, why, "an account can't be used");
        }
        News::State { account, state: AccountState::Trouble(why), .. } => {
            tell!("{} {account}: {why}", output::mark_told(false, "…"));
        }
        News::State { account, state: AccountState::NeedsOwner(why), .. } => {
            tell!("{} {account}: {why}", output::mark_told(false, "✗"));
        }
        // It is in the log already.
        News::Room { .. } if quiet => {}
        News::Room { room, why, .. } => tell!("{} {room}: {why}", output::mark_told(false, "✗")),
    }
}

fn page(base: &str, scene: &Scene) -> Option<String> {
    // Connected rooms stand side by side, in the order in which they were connected.
    let mut tokens: Vec<&str> = Vec::new();
    let ends = scene.tubes.iter().flat_map(|(tube, _)| &tube.ends).map(|end| &end.room);
    for room in ends.chain(scene.local.iter().map(|room| &room.at)) {
        if room.account.as_str() == LOCAL_ACCOUNT && !tokens.contains(&room.key.as_str()) {
            tokens.push(room.key.as_str());
        }
    }
    tokens.truncate(4);
    (!tokens.is_empty()).then(|| format!("{base}/rooms/{}", tokens.join("~")))
}

fn try_next() -> Vec<String> {
    vec![
        "Then stop this one with Ctrl-C, and connect rooms of your own, for example two IRC channels:".to_owned(),
        String::new(),
        format!("  {} connect ircs://irc.libera.chat/#one irc://irc.example.org/#two", output::myself()),
        String::new(),
        format!("To see what can be connected, and how each room is named: {} platforms", output::myself()),
    ]
}
