//! Serves HTTP on one listener: a bounded number of connections, a bounded time for each one's headers (fault F44), and
//! an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::Layer as _;

/// The router, with the address that a connection comes from in each request.
type Peered = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long headers may take to arrive; an idle connection is closed after it, too.
const HEADERS_MAX: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes.
const HEAD_MAX: usize = 32 * 1024;

/// What is listened on.
pub(crate) trait Door: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, and the address that it comes from.
    fn next(&self) -> impl Future<Output = std::io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<(UnixStream, SocketAddr)> {
        // It is this machine.
        self.accept().await.map(|(stream, _)| (stream, SocketAddr::from(([127, 0, 0, 1], 0))))
    }
}

/// Serves until told to stop; then answers what was asked and ends.
pub(crate) async fn run(listener: impl Door, router: Router, mut stopping: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.next() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors, most likely: wait for some connection to end.
                    tracing::error!(error = %e, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stopping.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        // Whoever has no valid key is counted by address.
        let router = Extension(ConnectInfo(peer)).layer(router.clone());
        let stopping = stopping.clone();
        connections.spawn(async move {
            serve(stream, router, stopping).await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Peered,
    mut stopping: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        // A client that has said all it has to say may still read the answer.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            // What a client breaks off is the client's affair.
            _ = connection.as_mut() => return,
            _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
        }
    }
}
