//! How a command works on the store while the program runs: the running program holds the store's lock, so it also
//! listens on a Unix socket in the data folder, for its owner alone. One JSON line asks, one JSON line answers. When
//! nothing runs, the command opens the store and answers itself, by the same [`answer`].

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use sameroom_embedded::OpenError;
use sameroom_model::{Caller, KeyId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::runtime::{Runtime, operator};
use crate::settings::Settings;
use crate::{backup, doctor, failures, keys, network, server, status};

/// The socket's name in the data folder.
const SOCKET: &str = "sameroom.sock";
/// The name of the socket that serves the HTTP API to the operator's own commands, without a key.
const API_SOCKET: &str = "sameroom.api.sock";
/// The longest question, in bytes: a network file and its secrets.
const ASK_MAX: u64 = 4 << 20;
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 64 << 20;
/// How long a question may take to arrive.
const TIME_MAX: Duration = Duration::from_secs(10);
/// How many are answered at once.
const ASKERS_MAX: usize = 8;

/// What can be asked. No `Debug`: there are secrets in it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Make it be as a network file says. Its references were looked up where the command was typed.
    Apply { document: String, secrets: BTreeMap<String, String>, dry_run: bool, prune: bool },
    /// The network file of what is there.
    Export,
    /// What failed, and what waits.
    Deliveries,
    /// Try a failed delivery or a request again; all of them without an id.
    Replay { id: Option<String> },
    /// Let a held lane go on; all of them without an id.
    Resume { lane: Option<String> },
    /// Make an API key; its token is in the answer.
    AddKey { name: String, scopes: BTreeSet<Scope>, days: Option<u32> },
    /// Write a copy of the store.
    Backup { path: PathBuf },
    /// Check the store and every account.
    Doctor,
    /// How it goes.
    Status,
}

/// Who answers.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) runtime: Arc<Runtime>,
    /// The URL that it serves on; `None`: nothing runs, and a command asks itself.
    pub(crate) url: Option<String>,
}

/// The socket of the running program.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds it in the data folder. Without it the program runs all the same, and only commands can't reach it.
    pub(crate) fn bind(folder: &Path) -> Option<Self> {
        let path = folder.join(SOCKET);
        match bind(&path) {
            Ok(listener) => Some(Self { listener, path }),
            Err(e) => {
                let why = format!("{e:#}");
                tracing::warn!(why, "other commands can't reach this Sameroom while it runs");
                None
            }
        }
    }
}

/// Where the HTTP API is served to the operator's own commands.
pub(crate) fn api_socket(folder: &Path) -> PathBuf {
    folder.join(API_SOCKET)
}

/// Serves the HTTP API on a socket for its owner alone, who is taken for the operator: whoever can open it can read the
/// store and the key beside it, too.
pub(crate) fn serve_api(
    folder: &Path,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let path = api_socket(folder);
    // At once: whoever reads that we are ready may ask.
    let bound = bind(&path);
    async move {
        let listener = match bound {
            Ok(listener) => listener,
            Err(e) => {
                let why = format!("{e:#}");
                tracing::warn!(why, "commands need a key to reach this Sameroom");
                return;
            }
        };
        let caller = Caller { owner: operator(), key: KeyId::from("this-machine"), scopes: Scope::ALL.into() };
        server::run(listener, sameroom_web::known(router, caller), stopping).await;
        let _ = std::fs::remove_file(&path);
    }
}

/// Answers a question. An error is a sentence.
pub(crate) async fn answer(desk: &Desk, ask: Ask) -> Result<Value, String> {
    let engine = &desk.runtime.engine;
    let answer = async {
        Ok(match ask {
            Ask::Apply { document, secrets, dry_run, prune } => {
                let mut resolve = |name: &str, reference: &str| {
                    secrets.get(reference).cloned().ok_or_else(|| format!("the secret '{name}' was not looked up"))
                };
                let wanted = network::file::read(&document, &mut resolve).map_err(|e| anyhow::anyhow!(e.join("\n")))?;
                serde_json::to_value(network::apply::apply(engine, wanted, dry_run, prune).await?)?
            }
            Ask::Export => json!({ "document": network::export::export(engine).await? }),
            Ask::Deliveries => failures::list(engine).await?,
            Ask::Replay { id } => failures::replay(engine, id.as_deref()).await?,
            Ask::Resume { lane } => failures::resume(engine, lane.as_deref()).await?,
            Ask::AddKey { name, scopes, days } => keys::add(engine, &name, &scopes, days).await?,
            Ask::Backup { path } => backup::write(&desk.runtime.store, &path).await?,
            Ask::Doctor => json!({ "checks": doctor::within(desk).await }),
            Ask::Status => status::status(desk).await?,
        })
    };
    answer.await.map_err(|e: anyhow::Error| format!("{e:#}"))
}

/// Answers whoever asks by the socket, until told to stop.
pub(crate) async fn listen(desk: Desk, socket: Option<Socket>, mut stopping: watch::Receiver<bool>) {
    let Some(Socket { listener, path }) = socket else { return };
    let permits = Arc::new(Semaphore::new(ASKERS_MAX));
    let mut asked = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(e) => {
                    tracing::error!(error = %e, "a command could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stopping.changed() => break,
        };
        while asked.try_join_next().is_some() {}
        let (desk, stopping) = (desk.clone(), stopping.clone());
        asked.spawn(async move {
            if let Err(e) = converse(&desk, stream, stopping).await {
                tracing::info!(error = %e, "a command went away");
            }
            drop(permit);
        });
    }
    drop(listener);
    let _ = std::fs::remove_file(&path);
    while asked.join_next().await.is_some() {}
}

/// Asks the running program, or opens the store and answers here.
pub(crate) async fn ask(settings: &Settings, ask: Ask) -> anyhow::Result<Value> {
    if let Ok(stream) = UnixStream::connect(settings.data.join(SOCKET)).await {
        return ask_by(stream, &ask).await;
    }
    let runtime = match Runtime::open(settings) {
        Ok(runtime) => Arc::new(runtime),
        Err(e) if matches!(e.downcast_ref(), Some(OpenError::Locked { .. })) => {
            return Err(e.context("a Sameroom runs or starts on this data folder, and can't be asked just now"));
        }
        Err(e) => return Err(e),
    };
    let desk = Desk { runtime, url: None };
    let answer = answer(&desk, ask).await;
    desk.runtime.store.close().await.context("the store did not close in order; nothing is lost by that")?;
    answer.map_err(anyhow::Error::msg)
}

/// Whether there is a store in the folder: what only looks makes none.
pub(crate) fn must_exist(folder: &Path) -> anyhow::Result<()> {
    if folder.join("sameroom.db").exists() {
        return Ok(());
    }
    bail!("there is no Sameroom data in {}; name the folder by --data DIR, or start `sameroom` once", folder.display());
}

/// Binds the socket for its owner alone. It is made in a folder of its own and then moved in place: so nobody else can
/// connect before its mode is set, and one that was left behind is replaced.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let folder = path.with_extension("new");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::DirBuilder::new().mode(0o700).create(&folder).context("the control socket's folder can't be made")?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).context("the control socket can't be made").and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_dir_all(&folder);
    bound
}

/// Reads one question, answers it.
async fn converse(desk: &Desk, stream: UnixStream, mut stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = Vec::new();
    let mut reading = BufReader::new(reading.take(ASK_MAX));
    let read = tokio::time::timeout(TIME_MAX, reading.read_until(b'\n', &mut line));
    tokio::select! {
        read = read => read.context("it took too long to ask")??,
        // What was not asked by now is not answered.
        _ = stopping.changed() => return Ok(()),
    };
    let answer = match serde_json::from_slice(&line) {
        Ok(ask) => answer(desk, ask).await,
        Err(_) => Err("the program that runs does not know this question; use the same version of both".to_owned()),
    };
    let answer = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(why) => json!({ "error": why }),
    };
    writing.write_all(answer.to_string().as_bytes()).await?;
    writing.write_all(b"\n").await?;
    writing.shutdown().await?;
    Ok(())
}

async fn ask_by(stream: UnixStream, ask: &Ask) -> anyhow::Result<Value> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Answer {
        Ok(Value),
        Error(String),
    }
    let gone = "the running Sameroom broke off; try again";
    let (reading, mut writing) = stream.into_split();
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    if line.len() as u64 > ASK_MAX {
        bail!("that is more than {ASK_MAX} bytes; give less at once");
    }
    writing.write_all(&line).await.context(gone)?;
    let mut text = Vec::new();
    reading.take(ANSWER_MAX).read_to_end(&mut text).await.context(gone)?;
    match serde_json::from_slice(&text).context(gone)? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(why) => bail!(why),
    }
}
