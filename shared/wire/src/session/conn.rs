//! An open connection of a session, of either kind: a stream of bytes ([`Streamed`]) or of messages ([`Socket`]).
//! Both read and write at the same time, from one task, so that neither waits for the other.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use sameroom_platforms::Dial;

use super::socket::Socket;
use super::stream::Streamed;
use crate::Dialer;

/// While more bytes than this wait to be written, no more deliveries are taken.
pub(super) const MUCH: usize = 64 << 10;

/// Bytes waiting to be written beyond which the other side counts as gone.
pub(super) const TOO_MUCH: usize = 4 << 20;

/// How long a closed connection may take to send what was written.
pub(super) const GOODBYE: Duration = Duration::from_secs(5);

/// An open connection.
pub(super) enum Conn {
    Stream(Streamed),
    Socket(Box<Socket>),
}

/// What came of waiting for a connection.
pub(super) enum Heard {
    /// So many bytes; they are at the start of what [`Conn::lend`] gives.
    Bytes(usize),
    /// One whole message.
    Message(Bytes),
    /// It has ended; why.
    End(String),
}

impl Conn {
    /// Opens a connection. The error is a sentence that names host and cause.
    pub(super) async fn open(dialer: &Dialer, dial: &Dial) -> Result<Self, String> {
        let stream = dialer.open(dial).await?;
        Ok(match dial {
            Dial::Tcp { .. } => Self::Stream(Streamed::new(stream)),
            Dial::WebSocket(url) => Self::Socket(Box::new(Socket::open(stream, url).await?)),
        })
    }

    /// Puts bytes behind those that wait to be written.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Stream(stream) => stream.send(&bytes),
            Self::Socket(socket) => socket.send(bytes),
        }
    }

    /// Whether the other side takes what we write.
    pub(super) fn keeps_up(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.keeps_up(),
            Self::Socket(socket) => socket.keeps_up(),
        }
    }

    /// The buffer that [`Heard::Bytes`] speaks of, until it is given back.
    pub(super) fn lend(&mut self) -> Box<[u8]> {
        match self {
            Self::Stream(stream) => stream.lend(),
            Self::Socket(_) => Box::default(),
        }
    }

    /// Takes the buffer back, if it is this connection's.
    pub(super) fn give_back(&mut self, buffer: Box<[u8]>) {
        if let Self::Stream(stream) = self {
            stream.give_back(buffer);
        }
    }

    /// Writes what waits, and meanwhile waits for something to be heard, if that is wanted.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Heard> {
        match self {
            Self::Stream(stream) => stream.poll(cx, wanted),
            Self::Socket(socket) => socket.poll(cx, wanted),
        }
    }

    /// Sends what was written, then closes.
    pub(super) async fn goodbye(self) {
        match self {
            Self::Stream(stream) => stream.goodbye().await,
            Self::Socket(socket) => socket.goodbye().await,
        }
    }

    /// What is left to do once the other side has ended the connection: a WebSocket answers that it heard.
    pub(super) async fn farewell(self) {
        if let Self::Socket(socket) = self {
            socket.goodbye().await;
        }
    }
}
