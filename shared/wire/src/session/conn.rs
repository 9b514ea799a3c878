//! One open connection: reads and writes at the same time, from one task, so that neither waits for the other.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::causes::cause;
use crate::dialer::Stream;

/// Bytes read at a time.
const READ: usize = 8 << 10;

/// While more bytes than this wait to be written, no more deliveries are taken.
const MUCH: usize = 64 << 10;

/// Bytes waiting to be written beyond which the other side counts as gone.
const TOO_MUCH: usize = 4 << 20;

/// How long a closed connection may take to send what was written.
const GOODBYE: Duration = Duration::from_secs(5);

/// An open connection.
pub(super) struct Conn {
    stream: Stream,
    read: Box<[u8]>,
    out: BytesMut,
    unflushed: bool,
    broken: bool,
}

/// What came of waiting for a connection.
pub(super) enum Heard {
    /// So many bytes; they are at the start of [`Conn::received`].
    Bytes(usize),
    /// It has ended; why.
    End(String),
}

impl Conn {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, read: vec![0; READ].into(), out: BytesMut::new(), unflushed: false, broken: false }
    }

    /// Puts bytes behind those that wait to be written.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Whether the other side takes what we write.
    pub(super) fn keeps_up(&self) -> bool {
        self.out.len() < MUCH
    }

    /// The buffer that [`Heard::Bytes`] speaks of, to be given back.
    pub(super) fn received(&mut self) -> &mut Box<[u8]> {
        &mut self.read
    }

    /// Whether that buffer is out.
    pub(super) fn lent(&self) -> bool {
        self.read.is_empty()
    }

    /// Writes what waits, and meanwhile waits for bytes, if they are wanted. May be dropped at any time.
    pub(super) async fn drive(&mut self, wanted: bool) -> Heard {
        poll_fn(|cx| self.poll(cx, wanted)).await
    }

    /// Sends what was written, then closes. Reads on until the other side closes too: bytes left unread would make the
    /// kernel reset the connection, and the other side might lose our last words.
    pub(super) async fn goodbye(mut self) {
        let words = async {
            self.stream.write_all(&self.out).await?;
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.read).await? > 0 {}
            io::Result::Ok(())
        };
        if !self.broken {
            // It is over either way.
            let _ = timeout(GOODBYE, words).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Heard> {
        if self.out.len() > TOO_MUCH {
            return Poll::Ready(Heard::End("the other side takes nothing any more".into()));
        }
        if let Poll::Ready(Err(_)) = self.poll_out(cx) {
            // What the other side said before it went is still to be read; its end is told by the reading half.
            self.broken = true;
            self.out = BytesMut::new();
            self.unflushed = false;
        }
        if !wanted {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(&mut self.read);
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Heard::End("the other side closed the connection".into()),
            Ok(()) => Heard::Bytes(buffer.filled().len()),
            Err(error) => Heard::End(cause(&error)),
        })
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
