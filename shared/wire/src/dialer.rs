//! Opens the byte streams that sessions ask for: guarded TCP, with TLS where asked. It must not know what is said on
//! them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use sameroom_platforms::{Dial, Tls};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::causes::cause;
use crate::{Guard, Trust, proof};

/// For name and connection; and once more for the TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// After how much silence the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Opens connections.
#[derive(Debug)]
pub struct Dialer {
    guard: Arc<Guard>,
    trust: Arc<Trust>,
}

impl Dialer {
    /// A dialer that obeys the guard and trusts whom `trust` trusts.
    pub fn new(guard: Arc<Guard>, trust: Arc<Trust>) -> Self {
        Self { guard, trust }
    }

    /// Opens the stream that a connection runs on; a WebSocket's own handshake is still to come. The error is a
    /// sentence that names host and cause.
    pub async fn open(&self, dial: &Dial) -> Result<Stream, String> {
        match dial {
            Dial::Tcp { host, port, tls } => self.stream(host, *port, tls.as_ref()).await,
            Dial::WebSocket(url) => {
                let tls = match url.scheme() {
                    "ws" => None,
                    "wss" => Some(Tls::default()),
                    _ => return Err("a WebSocket's URL begins with ws:// or wss://".into()),
                };
                let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
                    return Err("the WebSocket's URL names no host".into());
                };
                self.stream(host, port, tls.as_ref()).await
            }
        }
    }

    async fn stream(&self, host: &str, port: u16, tls: Option<&Tls>) -> Result<Stream, String> {
        let site = format!("{host}:{port}");
        let deadline = Instant::now() + CONNECT;
        let late = |_| format!("{site}: no connection within {} s", CONNECT.as_secs());
        let addresses = timeout_at(deadline, self.guard.addresses(host, port)).await.map_err(late)?;
        let addresses = addresses.map_err(|denied| denied.to_string())?;

        let mut tcp = Err(format!("{site}: it has no address"));
        for (tried, address) in addresses.iter().enumerate() {
            // Each address gets its share of the time that is left, so that a dead first one leaves some for the next.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            tcp = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(format!("{site}: {}", cause(&error))),
                Err(elapsed) => Err(late(elapsed)),
            };
            if tcp.is_ok() {
                break;
            }
        }
        let tcp = tcp?;
        prepare(&tcp).map_err(|error| format!("{site}: {}", cause(&error)))?;
        match tls {
            None => Ok(Stream::Plain(tcp)),
            Some(tls) => self.secure(&site, host, tls, tcp).await,
        }
    }

    async fn secure(&self, site: &str, host: &str, tls: &Tls, tcp: TcpStream) -> Result<Stream, String> {
        // URLs put addresses of IPv6 in brackets.
        let name = host.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{site}: the host's name can't be verified by TLS"))?;
        let pinnable = tls.pinnable;
        let (trust, tls) = (Arc::clone(&self.trust), tls.clone());
        // The first call, and every one with a CA of its own, reads the system's roots from many files.
        let config = tokio::task::spawn_blocking(move || trust.config_for(&tls)).await;
        let config =
            config.map_err(|_| format!("{site}: TLS can't be set up"))?.map_err(|bad| format!("{site}: {bad}"))?;
        match timeout(CONNECT, TlsConnector::from(config).connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                let pin = proof::seen(&error).filter(|_| pinnable);
                let cure = pin.map(|pin| format!("; if its fingerprint is the right one, add pin={pin} to the URL"));
                Err(format!("{site}: {}{}", cause(&error), cure.unwrap_or_default()))
            }
            Err(_) => Err(format!("{site}: no TLS handshake within {} s", CONNECT.as_secs())),
        }
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Secured.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
