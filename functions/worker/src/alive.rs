//! How the worker fares, for whoever watches over it: `GET` on a port of this machine answers 200 while the process is
//! well, whether it leads or waits.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::routing::get;
use sameroom_wire::worker::Standing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where it is asked, unless `SAMEROOM_ALIVE` says otherwise.
const ADDRESS: &str = "127.0.0.1:8788";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 4096;

/// Answers from now on.
pub(crate) async fn answer(standing: watch::Receiver<Standing>) -> anyhow::Result<JoinHandle<()>> {
    let address = address()?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on; name another by SAMEROOM_ALIVE=ADDRESS:PORT"))?;
    let router = Router::new().route("/healthz", get(move || std::future::ready(words(&standing))));
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "nobody can be told any more how this worker fares");
        }
    }))
}

/// Asks the worker of this machine.
pub(crate) async fn ask() -> anyhow::Result<()> {
    let address = address()?;
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await.context("the worker does not answer")?;
    let answer = answer.with_context(|| format!("no worker can be reached on {address}"))?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("the worker is not well: {}", answer.lines().next().unwrap_or("it said nothing"));
    }
    Ok(())
}

fn words(standing: &watch::Receiver<Standing>) -> String {
    match *standing.borrow() {
        Standing::Leading(epoch) => format!("leading, epoch {epoch}\n"),
        Standing::Waiting => "waiting\n".to_owned(),
    }
}

fn address() -> anyhow::Result<SocketAddr> {
    let told = std::env::var("SAMEROOM_ALIVE").unwrap_or_default();
    let told = if told.is_empty() { ADDRESS } else { &told };
    told.parse().with_context(|| format!("SAMEROOM_ALIVE is '{told}', which is no ADDRESS:PORT"))
}
