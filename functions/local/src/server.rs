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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    /// A door that says whom it opens to, and at `/wait` not before it is told.
    struct House {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        asked: Arc<Notify>,
        go: Arc<Notify>,
        serving: JoinHandle<()>,
    }

    fn router(asked: Arc<Notify>, go: Arc<Notify>) -> Router {
        let wait = move || async move {
            asked.notify_one();
            go.notified().await;
            "at last"
        };
        let who = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
        Router::new().route("/", get(who)).route("/wait", get(wait))
    }

    async fn house() -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let serving = tokio::spawn(run(listener, router(asked.clone(), go.clone()), stopping));
        House { address, stop, asked, go, serving }
    }

    async fn says(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &str) -> String {
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn asks(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: house\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn it_is_known_who_comes() {
        let house = house().await;
        let answer = says(TcpStream::connect(house.address).await.unwrap(), &asks("/")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn whoever_comes_by_a_socket_is_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let (_stop, stopping) = watch::channel(false);
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(run(listener, router(Arc::default(), Arc::default()), stopping));
        let answer = says(UnixStream::connect(&path).await.unwrap(), &asks("/")).await;
        assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn what_was_asked_is_answered_before_the_end_and_nobody_else_comes_in() {
        let house = house().await;
        let stream = TcpStream::connect(house.address).await.unwrap();
        let answered = tokio::spawn(async move { says(stream, &asks("/wait")).await });
        house.asked.notified().await;
        house.stop.send(true).unwrap();
        // The door is shut as soon as it hears that.
        while TcpStream::connect(house.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!house.serving.is_finished());
        house.go.notify_one();
        assert!(answered.await.unwrap().ends_with("\r\n\r\nat last"));
        house.serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn f44_who_does_not_say_what_is_wanted_is_not_waited_for() {
        let house = house().await;
        for begun in ["", "GET / HTTP/1.1\r\nhost: ho"] {
            let (stream, since) = (TcpStream::connect(house.address).await.unwrap(), Instant::now());
            assert!(!says(stream, begun).await.contains(" 200 "));
            assert!(since.elapsed() >= HEADERS_MAX, "{:?}", since.elapsed());
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let house = house().await;
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(HEAD_MAX));
        stream.write_all(long.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}
